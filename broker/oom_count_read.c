/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's counter of who was killed for want of memory, read. Runs in the broker; trusts the kernel alone. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "oom_count.h"

#define CGROUP_MAX (16U * 1024) /* a line for each hierarchy, with one path */
#define COUNTS_MAX 1024U        /* a few short lines */

/* What is longer is cut. */
static bool
read_text(const char *path, char *text, size_t cap)
{
	SP_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0)
		return false;
	while (n > 0 && len < cap - 1) {
		n = read(fd, text + len, cap - 1 - len);
		if (n > 0)
			len += (size_t)n;
	}
	text[len] = '\0';
	return n >= 0;
}

char *
oom_count_find(pid_t pid, const char *id)
{
	char name[32], text[CGROUP_MAX], path[OOM_COUNT_PATH_MAX];

	(void)snprintf(name, sizeof(name), "/proc/%ld/cgroup", (long)pid);
	if (!read_text(name, text, sizeof(text)) || !oom_count_place(text, id, path))
		return NULL;
	return strdup(path);
}

bool
oom_count_read(const char *path, struct oom_count *ret)
{
	char text[COUNTS_MAX];

	return read_text(path, text, sizeof(text)) && oom_count_parse(text, ret);
}
