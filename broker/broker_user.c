/* SPDX-License-Identifier: Apache-2.0 */
/* Seeing with the eyes of the broker's user. */
#include "broker_user.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attr.h"
#include "config.h"
#include "diag.h"
#include "read_file.h"

#define GROUPS_MAX   256
#define SPAWNER_USER "sallyport-spawner" /* of the packaged unit */

/* Root's own, while it is somebody else. */
static struct {
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	int n;
} own;

uid_t
broker_user_of(const struct config *c)
{
	struct stat st;

	return stat(c->state_dir, &st) == 0 ? st.st_uid : geteuid();
}

const char *
broker_user_name(const struct config *c)
{
	static char name[64];
	uid_t uid = broker_user_of(c);
	const struct passwd *user = getpwuid(uid);

	if (user != NULL)
		(void)snprintf(name, sizeof(name), "%s", user->pw_name);
	else
		(void)snprintf(name, sizeof(name), "uid %u", (unsigned)uid);
	return name;
}

bool
broker_user_is_other(const struct config *c)
{
	return geteuid() != 0 && geteuid() != broker_user_of(c);
}

void
broker_user_name_reader(void)
{
	const struct passwd *user = getpwuid(geteuid());

	read_file_reader(user != NULL ? user->pw_name : NULL);
}

/* A user without a name has no group but one of the same number. more: another group, or 0. */
static bool
become(uid_t uid, gid_t more)
{
	const struct passwd *user = getpwuid(uid);
	gid_t gid = user != NULL ? user->pw_gid : (gid_t)uid;
	gid_t groups[GROUPS_MAX];
	int n = GROUPS_MAX - 1;

	if (user == NULL || getgrouplist(user->pw_name, gid, groups, &n) < 0)
		n = 0;
	if (more != 0)
		groups[n++] = more;
	own.gid = getegid();
	own.n = getgroups(GROUPS_MAX, own.groups);
	if (own.n < 0 || setgroups((size_t)n, groups) < 0)
		return false;
	if (setegid(gid) == 0 && seteuid(uid) == 0) {
		broker_user_name_reader();
		return true;
	}
	broker_user_leave();
	return false;
}

bool
broker_user_become(const struct config *c)
{
	uid_t uid = broker_user_of(c);
	struct stat st;

	if (geteuid() != 0 || uid == 0)
		return false;
	return become(uid, stat(c->engine.socket, &st) == 0 ? st.st_gid : 0);
}

static bool
become_spawner(const struct config *c)
{
	const struct passwd *spawner = getpwnam(SPAWNER_USER);

	if (geteuid() != 0 || spawner == NULL || broker_user_of(c) == 0)
		return false;
	return become(spawner->pw_uid, 0);
}

void
broker_user_leave(void)
{
	/* With less than before it would tell lies: what it cannot have back it does not go on without. */
	if (seteuid(0) < 0 || setegid(own.gid) < 0 || setgroups((size_t)own.n, own.groups) < 0)
		abort();
	broker_user_name_reader();
}

bool
broker_users_can_load(const struct config *c, const char *path, struct diag_list *diags)
{
	static bool (*const become_one[])(
	    const struct config *) = { become_spawner, broker_user_become };
	bool good = true;

	for (size_t i = 0; good && i < SP_ARRAY_LEN(become_one); i++) {
		struct config *again = NULL;

		if (!become_one[i](c))
			continue;
		good = config_load(path, &again, diags) == 0;
		broker_user_leave();
		if (good) {
			config_free(again);
			diag_list_clear(diags);
		}
	}
	return good;
}
