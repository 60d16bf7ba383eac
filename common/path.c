/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, and the directories that they are in. */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

void
path_directory(const char *path, char out[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		(void)snprintf(out, PATH_MAX, ".");
	else
		(void)snprintf(out, PATH_MAX, "%.*s", slash > path ? (int)(slash - path) : 1, path);
}

int
path_sync_directory(const char *path)
{
	SP_CLEANUP_FD int fd = -1;
	char directory[PATH_MAX];

	path_directory(path, directory);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
}
