/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: paths. Without /proc, which a container may lack; what is found is told, not trusted. */
#include "sftp_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sftp_account.h"

#define LINKS_MAX 40 /* as the kernel */

/* out is absolute and not "/": take its last component off. */
static void
strip_last(char *out)
{
	char *slash = strrchr(out, '/');

	*(slash == out ? slash + 1 : slash) = '\0';
}

static int
append(char out[PATH_MAX], const char *name, size_t len)
{
	size_t used = strlen(out);
	bool slash = used > 1;

	if (used + slash + len >= PATH_MAX)
		return -ENAMETOOLONG;
	if (slash)
		out[used++] = '/';
	memcpy(out + used, name, len);
	out[used + len] = '\0';
	return 0;
}

/* out is a link and left what comes after it: go on with where it points. */
static int
follow(char out[PATH_MAX], char left[PATH_MAX])
{
	char target[PATH_MAX];
	ssize_t n = readlink(out, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOENT;
	if ((size_t)n + 1 + strlen(left) >= PATH_MAX)
		return -ENAMETOOLONG;
	strip_last(out);
	if (target[0] == '/')
		out[1] = '\0';
	target[n++] = '/';
	memmove(left + n, left, strlen(left) + 1);
	memcpy(left, target, (size_t)n);
	/* The slash says that more follows: only true when it does. */
	if (left[n] == '\0')
		left[n - 1] = '\0';
	return 0;
}

int
sftp_path_resolve(const char *path, char out[PATH_MAX])
{
	char left[PATH_MAX];
	unsigned links = 0;

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(left, path);
	strcpy(out, "/");
	if (path[0] != '/' && getcwd(out, PATH_MAX) == NULL)
		return -errno;
	while (left[0] != '\0') {
		size_t len = strcspn(left, "/");
		char name[PATH_MAX];
		bool last = left[len] == '\0';
		struct stat st;
		int r;

		memcpy(name, left, len);
		name[len] = '\0';
		memmove(left, left + len + !last, strlen(left + len + !last) + 1);
		if (len == 0 || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			strip_last(out);
			continue;
		}
		r = append(out, name, len);
		if (r < 0)
			return r;
		if (lstat(out, &st) < 0)
			return last && errno == ENOENT ? 0 : -errno;
		if (!S_ISLNK(st.st_mode))
			continue;
		r = links++ < LINKS_MAX ? follow(out, left) : -ELOOP;
		if (r < 0)
			return r;
	}
	return 0;
}

int
sftp_path_expand(const char *path, char out[PATH_MAX])
{
	char full[PATH_MAX];
	char user[PATH_MAX];
	const char *home = getenv("HOME"); /* what "~" is to the shell, too: rsync and scp agree */
	size_t len = strcspn(path, "/");
	size_t used;

	if (path[0] != '~')
		return sftp_path_resolve(path, out);
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (len == 1 && home != NULL && home[0] == '/') {
		if (strlen(home) >= sizeof(full))
			return -ENAMETOOLONG;
		strcpy(full, home);
	} else if (len == 1) {
		if (getcwd(full, sizeof(full)) == NULL)
			return -errno;
	} else {
		memcpy(user, path + 1, len - 1);
		user[len - 1] = '\0';
		if (!sftp_account_home(user, full, sizeof(full)))
			return -ENOENT;
	}
	used = strlen(full);
	if (used + strlen(path + len) >= sizeof(full))
		return -ENAMETOOLONG;
	strcpy(full + used, path + len);
	return sftp_path_resolve(full, out);
}
