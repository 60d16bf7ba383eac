/* SPDX-License-Identifier: Apache-2.0 */
/* What a start opens besides configuration and policy, looked at without being made. Runs as -t. */
#include "start_check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit.h"
#include "broker_user.h"
#include "config.h"
#include "doctor.h"
#include "log.h"
#include "path.h"
#include "read_file.h"

#define WHY_MAX 1024

/* stat() failed: not there, or not for us to see? */
static bool
is_missing(void)
{
	return errno == ENOENT || errno == ENOTDIR;
}

/* Each key as at a start; one that a start would make is no error. */
static bool
check_host_keys(const struct config *c, bool *ret_all)
{
	char why[WHY_MAX] = "";
	bool good = true;

	*ret_all = true;
	for (const char *const *path = c->host_keys; *path != NULL; path++) {
		int r = doctor_try_host_key(c, *path, why, sizeof(why));

		if (r == DOCTOR_KEY_UNKNOWN)
			log_warn("%s", why);
		else if (r == DOCTOR_KEY_NOT_YET)
			log_info("%s", why);
		else if (r < 0)
			log_error("%s%s%s", why, r == -EACCES ? "; " : "",
			    r == -EACCES ? doctor_host_key_advice(r) : "");
		good = good && r >= 0;
		*ret_all = *ret_all && r != DOCTOR_KEY_UNKNOWN;
	}
	if (good && doctor_try_host_keys(c, why, sizeof(why)) < 0) {
		log_error("%s", why);
		good = false;
	}
	return good;
}

/* The directory that path is in; a start makes none of those, but what made_at_start names. */
static bool
check_parent(const char *what, const char *path, const char *made_at_start)
{
	char parent[PATH_MAX];
	struct stat st;

	path_directory(path, parent);
	if (made_at_start != NULL && strcmp(parent, made_at_start) == 0)
		return true;
	if (stat(parent, &st) < 0) {
		if (!is_missing())
			return true;
		log_error("%s %s: its directory %s: %s", what, path, parent, strerror(errno));
		return false;
	}
	if (S_ISDIR(st.st_mode))
		return true;
	log_error("%s %s: %s is no directory", what, path, parent);
	return false;
}

/* Whoever could put another directory in its place could have what is in it; and a start writes there. */
static bool
check_own_directory(const struct config *c, const char *what, const char *path)
{
	char inside[PATH_MAX];
	char why[WHY_MAX] = "";

	if (snprintf(inside, sizeof(inside), "%s/", path) >= (int)sizeof(inside))
		return true;
	/* Who is neither root nor the broker's user is not the one whom it has to belong to. */
	if (!broker_user_is_other(c) && trusted_place(inside, why, sizeof(why)) < 0) {
		log_error("%s %s", what, why);
		return false;
	}
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 || errno != EROFS)
		return true;
	log_error("%s %s: %s", what, path, strerror(errno));
	return false;
}

/* It is made when it is not there. */
static bool
check_directory(const struct config *c, const char *what, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return check_parent(what, path, NULL);
	if (S_ISDIR(st.st_mode))
		return check_own_directory(c, what, path);
	log_error("%s %s is no directory", what, path);
	return false;
}

static bool
check_audit(const struct config *c)
{
	const char *path = c->audit.file;
	const struct audit_fault *fault;
	struct stat st;

	if (path == NULL)
		return true;
	if (lstat(path, &st) < 0)
		return check_parent("the audit log", path, c->state_dir);
	fault = doctor_audit_fault(c, &st);
	if (fault != NULL)
		log_error("the audit log %s %s; %s", path, fault->what, fault->advice);
	return fault == NULL;
}

static bool
check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		if (!is_missing())
			return true;
		log_error("worker.program %s: %s", path, strerror(errno));
		return false;
	}
	if (S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0)
		return true;
	log_error("worker.program %s is no program: it cannot be run", path);
	return false;
}

/* Only the engine opens it, which may be on another host. */
static void
warn_of_guest(const char *directory)
{
	char program[PATH_MAX];
	const char *path = directory;
	struct stat st;

	(void)snprintf(program, sizeof(program), "%s/sallyport-guest", directory);
	if (stat(directory, &st) == 0) {
		if (!S_ISDIR(st.st_mode)) {
			log_warn("engine.guest_dir %s is no directory: nobody could log in",
			    directory);
			return;
		}
		path = program;
	}
	if (stat(path, &st) < 0 && is_missing())
		log_warn("engine.guest_dir: %s: %s: with an engine on this host nobody could log in",
		    path, strerror(errno));
}

bool
start_check(const struct config *c, bool own_spawner, bool *ret_all_keys)
{
	bool good = check_host_keys(c, ret_all_keys);

	good &= check_directory(c, "runtime_dir", c->runtime_dir);
	good &= check_directory(c, "state_dir", c->state_dir);
	good &= check_parent("the control socket", c->control.socket, c->runtime_dir);
	good &= check_audit(c);
	if (own_spawner)
		good &= check_program(c->worker.program);
	warn_of_guest(c->engine.guest_dir);
	return good;
}
