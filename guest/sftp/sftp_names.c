/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: attributes, links, and what else is done to a name. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sftp_actions.h"
#include "sftp_attr.h"
#include "sftp_path.h"

/* ---- attributes ---- */

static int
reply_attrs(const struct sftp_request *q, int result, const struct stat *st)
{
	struct wire_writer w;

	if (result < 0)
		return sftp_status_of(result);
	w = sftp_reply_begin(q, SFTP_ATTRS);
	sftp_attr_put(&w, st);
	return sftp_reply_end(q, &w);
}

int
sftp_do_stat(struct sftp_request *q)
{
	struct stat st;

	return reply_attrs(q, stat(q->path, &st), &st);
}

int
sftp_do_lstat(struct sftp_request *q)
{
	struct stat st;

	return reply_attrs(q, lstat(q->path, &st), &st);
}

int
sftp_do_fstat(struct sftp_request *q)
{
	struct stat st;

	return reply_attrs(q, fstat(q->h->fd, &st), &st);
}

static int
set_path(struct sftp_request *q, int (*set)(const char *path, const struct sftp_attr *a))
{
	struct sftp_attr a;

	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	return sftp_status_of_code(set(q->path, &a));
}

int
sftp_do_setstat(struct sftp_request *q)
{
	return set_path(q, sftp_attr_set);
}

int
sftp_do_lsetstat(struct sftp_request *q)
{
	return set_path(q, sftp_attr_set_link);
}

int
sftp_do_fsetstat(struct sftp_request *q)
{
	struct sftp_attr a;

	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	return sftp_status_of_code(sftp_attr_set_fd(q->h->fd, &a));
}

/* ---- names ---- */

int
sftp_do_realpath(struct sftp_request *q)
{
	char full[PATH_MAX];
	int r = sftp_path_resolve(q->path, full);

	return r < 0 ? sftp_status_of_code(r) : sftp_reply_name(q, full);
}

int
sftp_do_readlink(struct sftp_request *q)
{
	char target[PATH_MAX];
	ssize_t n = readlink(q->path, target, sizeof(target) - 1);

	if (n < 0)
		return sftp_status_of(-1);
	target[n] = '\0';
	return sftp_reply_name(q, target);
}

int
sftp_do_remove(struct sftp_request *q)
{
	return sftp_status_of(unlink(q->path));
}

/* The subject and another path, one call. */
static int
on_two_paths(struct sftp_request *q, int (*act)(const char *one, const char *other))
{
	char other[PATH_MAX];

	wire_get_cstr(&q->r, other, sizeof(other));
	return q->r.failed ? SFTP_BAD_MESSAGE : sftp_status_of(act(q->path, other));
}

/* Only where the file system has no hard links: between the two calls something may appear. */
static int
rename_unless_there(const char *from, const char *to)
{
	struct stat st;

	if (stat(to, &st) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(from, to);
}

static int
rename_file(const char *from, const char *to)
{
	int error;

	if (link(from, to) < 0) {
		if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM)
			return rename_unless_there(from, to);
		return -1;
	}
	if (unlink(from) == 0)
		return 0;
	error = errno;
	(void)unlink(to);
	errno = error;
	return -1;
}

/* Version 3 does not replace what is there already; files are moved without a gap for that. */
static int
rename_to_new(const char *from, const char *to)
{
	struct stat st;

	if (lstat(from, &st) < 0)
		return -1;
	return S_ISREG(st.st_mode) ? rename_file(from, to) : rename_unless_there(from, to);
}

int
sftp_do_rename(struct sftp_request *q)
{
	return on_two_paths(q, rename_to_new);
}

int
sftp_do_posix_rename(struct sftp_request *q)
{
	return on_two_paths(q, rename);
}

int
sftp_do_hardlink(struct sftp_request *q)
{
	return on_two_paths(q, link);
}

/* First where it points, then the link: the other way round than the draft says, as OpenSSH has it. */
int
sftp_do_symlink(struct sftp_request *q)
{
	return on_two_paths(q, symlink);
}
