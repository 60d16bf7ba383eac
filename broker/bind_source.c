/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of the host for containers: may this one be mounted? Runs in the broker. Hostile: what is
 * in the directories, and the last component itself, which may be a tenant's; the words of the path
 * are the policy's, with the name of a user or a target in them.
 */
#include "bind_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "fd.h"
#include "names.h"
#include "policy.h"

static int SP_PRINTF(4, 5) explain(char *why, size_t cap, int outcome, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, cap, format, args);
	va_end(args);
	return outcome;
}

static bool
is_ours(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

/*
 * Whether somebody else could put another directory into the place of child, which lies in parent. In a
 * sticky directory only the owner of what is there can.
 */
static bool
can_be_replaced(const struct stat *parent, const struct stat *child)
{
	bool open_to_others = (parent->st_mode & (S_IWGRP | S_IWOTH)) != 0;

	return !is_ours(parent) ||
	    (open_to_others && ((parent->st_mode & S_ISVTX) == 0 || !is_ours(child)));
}

/* One step down, from parent at fd; *fd is the child then. path: up to the child, for the reason. */
static int
step(int *fd, struct stat *parent, const char *name, const char *path, char *why, size_t cap)
{
	SP_CLEANUP_FD int next = openat(*fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st = { 0 };
	int error = next < 0 ? errno : 0;

	if (next >= 0 && fstat(next, &st) < 0)
		error = errno;
	if (error == ENOENT)
		return explain(why, cap, BIND_SOURCE_E_MISSING, "%s does not exist", path);
	if (error != 0)
		return explain(why, cap, -error, "%s: %s", path, strerror(error));
	if (S_ISLNK(st.st_mode))
		return explain(why, cap, BIND_SOURCE_E_UNSAFE, "%s is a symbolic link", path);
	if (!S_ISDIR(st.st_mode))
		return explain(why, cap, BIND_SOURCE_E_UNSAFE, "%s is not a directory", path);
	if (can_be_replaced(parent, &st))
		return explain(why, cap, BIND_SOURCE_E_UNSAFE,
		    "%s could be replaced by others than root: the directory above it must be root's and "
		    "nobody else's to write",
		    path);
	fd_close(fd);
	*fd = fd_steal(&next);
	*parent = st;
	return 0;
}

static int
walk(const char *path, char *why, size_t cap)
{
	SP_CLEANUP_FD int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char so_far[PATH_MAX];
	struct stat st;
	const char *end;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return explain(why, cap, -errno, "/: %s", strerror(errno));
	if (strlen(path) >= sizeof(so_far))
		return explain(why, cap, -ENAMETOOLONG, "%s", strerror(ENAMETOOLONG));
	for (const char *p = path + 1; r == 0 && *p != '\0'; p = *end != '\0' ? end + 1 : end) {
		char name[NAME_MAX + 1];
		size_t len = strcspn(p, "/");

		end = p + len;
		if (len > NAME_MAX)
			return explain(why, cap, -ENAMETOOLONG, "%s", strerror(ENAMETOOLONG));
		memcpy(name, p, len);
		name[len] = '\0';
		memcpy(so_far, path, (size_t)(end - path));
		so_far[end - path] = '\0';
		r = step(&fd, &st, name, so_far, why, cap);
	}
	return r;
}

/* Whether one of the two is in the other; either may have links in it, as far as it exists. */
static bool
touches(const char *source, const char *fenced)
{
	char real[PATH_MAX];

	if (realpath(fenced, real) == NULL)
		(void)snprintf(real, sizeof(real), "%s", fenced);
	return names_path_within(source, real) || names_path_within(real, source);
}

/* What is ours, and the way to the engine. The policy's own guardrails name what every host has. */
static int
check_fences(const struct config *c, const char *path, char *why, size_t cap)
{
	const char *const fences[] = { c->engine.socket, c->engine.guest_dir, c->runtime_dir,
		c->state_dir, c->policy, c->policy_shadow, c->control.socket, c->audit.file,
		c->worker.program };

	for (size_t i = 0; i < SP_ARRAY_LEN(fences); i++) {
		if (fences[i] != NULL && touches(path, fences[i]))
			return explain(why, cap, BIND_SOURCE_E_UNSAFE,
			    "%s is in or above %s, which is sallyport's", path, fences[i]);
	}
	for (const char *const *key = c->host_keys; *key != NULL; key++) {
		if ((*key)[0] == '/' && touches(path, *key))
			return explain(why, cap, BIND_SOURCE_E_UNSAFE, "%s is above a host key",
			    path);
	}
	return 0;
}

int
bind_source_check(const struct config *config, const struct policy_bind *bind, char *why, size_t cap)
{
	int r;

	/* The path is one of the engine's host: what we see has to be the same. */
	if (strcmp(config->engine.view_runtime_dir, config->runtime_dir) != 0)
		return explain(why, cap, BIND_SOURCE_E_UNSAFE,
		    "the engine's host has other directories than we see: \"engine.host_view\" is set");
	/* The words are the policy's; once more, because this is root's request. */
	if (names_path_fault(bind->source) != NULL || strcmp(bind->source, bind->root) == 0 ||
	    !names_path_within(bind->source, bind->root))
		return explain(why, cap, BIND_SOURCE_E_UNSAFE, "%s is not below %s", bind->source,
		    bind->root);
	r = check_fences(config, bind->source, why, cap);
	return r != 0 ? r : walk(bind->source, why, cap);
}
