/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files that decide about others' rights. Whoever could write one could decide. */
#include "read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

static char reader[64]; /* empty: no name is known */

void
read_file_reader(const char *name)
{
	(void)snprintf(reader, sizeof(reader), "%s", name != NULL ? name : "");
}

/* Who asks is not always who reads: the broker's user is another than the one who has put the file there. */
static int
explain_errno(char *why, size_t cap, int error, const char *path)
{
	unsigned uid = (unsigned)geteuid();
	char text[192];

	if (error != EACCES)
		return explain(why, cap, error, path, strerror(error));
	if (reader[0] != '\0')
		(void)snprintf(text, sizeof(text), "%s for user %s (uid %u), who has to read it",
		    strerror(error), reader, uid);
	else
		(void)snprintf(text, sizeof(text), "%s for uid %u, who has to read it",
		    strerror(error), uid);
	return explain(why, cap, error, path, text);
}

static bool
is_ours(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

static int
check_directory(const char *path, const char *directory, char *why, size_t cap)
{
	struct stat st;
	const char *fault = NULL;
	int error = EPERM;

	if (stat(directory, &st) < 0)
		return explain_errno(why, cap, errno, path);
	if (!S_ISDIR(st.st_mode)) {
		error = ENOTDIR;
		fault = "is not a directory";
	} else if (!is_ours(&st)) {
		fault = "belongs to another user, who could replace it; it must belong to root or to "
			"the user that the broker runs as";
	} else if ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0) {
		fault = "can be written by group or others, who could replace it; remove that with "
			"chmod go-w";
	}
	if (fault == NULL)
		return 0;
	(void)snprintf(why, cap, "%s: its directory %s %s", path, directory, fault);
	return -error;
}

/* Each directory that path mentions, from the first on. */
static int
check_directories(const char *path, const char *mentioned, char *why, size_t cap)
{
	char directory[PATH_MAX];
	int r = check_directory(path, mentioned[0] == '/' ? "/" : ".", why, cap);

	for (size_t i = 1; r == 0 && mentioned[i] != '\0'; i++) {
		if (mentioned[i] != '/' || mentioned[i - 1] == '/')
			continue;
		if (i >= sizeof(directory))
			return explain(why, cap, ENAMETOOLONG, path, strerror(ENAMETOOLONG));
		memcpy(directory, mentioned, i);
		directory[i] = '\0';
		r = check_directory(path, directory, why, cap);
	}
	return r;
}

int
trusted_place(const char *path, char *why, size_t cap)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX + 2] = ".";
	char real[PATH_MAX];
	int r = check_directories(path, path, why, cap);

	if (r < 0)
		return r;
	/* check_directories() has seen that it fits. */
	if (slash != NULL) {
		memcpy(parent, path, (size_t)(slash - path) + 1);
		parent[slash - path + 1] = '\0';
	}
	if (realpath(parent, real) == NULL)
		return explain_errno(why, cap, errno, path);
	r = check_directories(path, real, why, cap);
	return r < 0 ? r : check_directory(path, real, why, cap);
}

static int
check(const struct stat *st, const char *path, enum read_file_kind kind, size_t max, char *why,
    size_t cap)
{
	if (!S_ISREG(st->st_mode))
		return explain(why, cap, EINVAL, path, "is not a regular file");
	if (!is_ours(st))
		return explain(why, cap, EPERM, path,
		    "belongs to another user; it must belong to root or to the user that the broker "
		    "runs as");
	if ((st->st_mode & READ_FILE_PUBLIC) != 0)
		return explain(why, cap, EPERM, path,
		    "can be written by group or others; remove that with chmod go-w");
	if ((st->st_mode & (mode_t)kind) != 0)
		return explain(why, cap, EPERM, path,
		    "can be read by group or others; a private key must not be: chmod 600");
	if ((unsigned long long)st->st_size > max) {
		(void)snprintf(why, cap, "%s: is too large: %lld bytes, at most %zu are read", path,
		    (long long)st->st_size, max);
		return -EFBIG;
	}
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
	SP_CLEANUP_FD int fd = -1;
	struct stat before;
	struct stat after;
	char *text;
	size_t len;
	int r = trusted_place(path, why, why_cap);

	if (r < 0)
		return r;
	/* O_NONBLOCK: a FIFO in the file's place must not stop us. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ELOOP
		    ? explain(why, why_cap, ELOOP, path, "is a symbolic link; name the file itself")
		    : explain_errno(why, why_cap, errno, path);
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
