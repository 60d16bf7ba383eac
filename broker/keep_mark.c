/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: marks of kept containers. Whatever is in the directory and is no mark is removed. */
#include "keep_mark.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "instance.h"
#include "log.h"

int64_t
keep_mark_now(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

static int
path_of(const char *state_dir, const char *name, int64_t until, char out[PATH_MAX])
{
	int n = name == NULL ? snprintf(out, PATH_MAX, "%s/" KEEP_MARK_DIRECTORY, state_dir)
			     : snprintf(out, PATH_MAX, "%s/" KEEP_MARK_DIRECTORY "/%s.%" PRId64,
				   state_dir, name, until);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int
keep_mark_set(const char *state_dir, const char *name, int64_t until)
{
	char path[PATH_MAX];
	int r = path_of(state_dir, name, until, path);

	if (r == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
		r = -errno;
	return r;
}

void
keep_mark_clear(const char *state_dir, const char *name, int64_t until)
{
	char path[PATH_MAX];

	if (path_of(state_dir, name, until, path) == 0 && rmdir(path) < 0 && errno != ENOENT)
		log_warn("cannot remove %s: %s", path, strerror(errno));
}

/* Split "NAME.SECONDS". False: it is none. */
static bool
parse(const char *entry, char name[INSTANCE_NAME_LEN + 1], int64_t *ret_until)
{
	const char *dot = strchr(entry, '.');
	char *end = NULL;

	if (dot == NULL || dot - entry != INSTANCE_NAME_LEN || dot[1] < '0' || dot[1] > '9')
		return false;
	memcpy(name, entry, INSTANCE_NAME_LEN);
	name[INSTANCE_NAME_LEN] = '\0';
	errno = 0;
	*ret_until = strtoll(dot + 1, &end, 10);
	return errno == 0 && *end == '\0';
}

static DIR *
open_marks(const char *state_dir)
{
	char path[PATH_MAX];

	return path_of(state_dir, NULL, 0, path) == 0 ? opendir(path) : NULL;
}

int64_t
keep_mark_find(const char *state_dir, const char *name)
{
	DIR *dir = open_marks(state_dir);
	const struct dirent *entry;
	int64_t found = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char of[INSTANCE_NAME_LEN + 1];
		int64_t until;

		if (parse(entry->d_name, of, &until) && strcmp(of, name) == 0 && until > found)
			found = until;
	}
	if (dir != NULL)
		(void)closedir(dir);
	return found;
}

void
keep_mark_sweep(const char *state_dir, bool (*has)(void *arg, const char *name), void *arg)
{
	DIR *dir = open_marks(state_dir);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char of[INSTANCE_NAME_LEN + 1];
		int64_t until;

		if (entry->d_name[0] == '.' || (parse(entry->d_name, of, &until) && has(arg, of)))
			continue;
		/* Marks are directories; what is no mark may be anything, and an empty directory at most. */
		if (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0 &&
		    (errno != ENOTDIR || unlinkat(dirfd(dir), entry->d_name, 0) < 0))
			log_warn("cannot remove the old mark %s: %s", entry->d_name, strerror(errno));
	}
	if (dir != NULL)
		(void)closedir(dir);
}
