/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files that decide about others' rights. Whoever could write one could decide. */
#include "read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

static int
explain(char *why, size_t cap, int error, const char *path, const char *text)
{
	(void)snprintf(why, cap, "%s: %s", path, text);
	return -error;
}

static int
check(const struct stat *st, const char *path, enum read_file_kind kind, size_t max, char *why,
    size_t cap)
{
	if (!S_ISREG(st->st_mode))
		return explain(why, cap, EINVAL, path, "is not a regular file");
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return explain(why, cap, EPERM, path,
		    "belongs to another user; it must belong to root or to the user that the broker "
		    "runs as");
	if ((st->st_mode & READ_FILE_PUBLIC) != 0)
		return explain(why, cap, EPERM, path,
		    "can be written by group or others; remove that with chmod go-w");
	if ((st->st_mode & (mode_t)kind) != 0)
		return explain(why, cap, EPERM, path,
		    "can be read by group or others; a private key must not be: chmod 600");
	if ((unsigned long long)st->st_size > max)
		return explain(why, cap, EFBIG, path, "is too large");
	return 0;
}

static bool
same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec && a->st_mode == b->st_mode &&
	    a->st_uid == b->st_uid;
}

static int
read_whole(int fd, char *text, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, text + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EAGAIN; /* shorter than it was a moment ago */
		done += (size_t)n;
	}
	return 0;
}

int
read_trusted_file(const char *path, enum read_file_kind kind, size_t max, char **ret,
    size_t *ret_len, char *why, size_t why_cap)
{
	/* O_NONBLOCK: a FIFO in the file's place must not stop us. */
	SP_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat before;
	struct stat after;
	char *text;
	size_t len;
	int r;

	if (fd < 0)
		return explain(why, why_cap, errno, path,
		    errno == ELOOP ? "is a symbolic link; name the file itself" : strerror(errno));
	if (fstat(fd, &before) < 0)
		return explain(why, why_cap, errno, path, strerror(errno));
	r = check(&before, path, kind, max, why, why_cap);
	if (r < 0)
		return r;
	len = (size_t)before.st_size;
	text = malloc(len + 1);
	if (text == NULL)
		return explain(why, why_cap, ENOMEM, path, "out of memory");
	text[len] = '\0';
	r = read_whole(fd, text, len);
	if (r == 0 && (fstat(fd, &after) < 0 || !same(&before, &after)))
		r = -EAGAIN;
	if (r < 0) {
		read_file_free(text, len);
		return explain(why, why_cap, -r, path,
		    r == -EAGAIN ? "changed while it was read; try again" : strerror(-r));
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

void
read_file_free(char *text, size_t len)
{
	if (text == NULL)
		return;
	explicit_bzero(text, len);
	free(text);
}
