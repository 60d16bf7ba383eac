/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SFTP server: requests. All that comes in is the client's, who has the rights of this process in any
 * case; so paths are the kernel's to judge, and what is checked here is form, length and handles.
 *
 * Where the draft and OpenSSH differ (the order of SYMLINK's paths, RENAME that does not replace),
 * OpenSSH is what clients are written for. Bytes behind the known fields of a request are ignored, as
 * there.
 */
#include "sftp_server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fd.h"
#include "sftp_account.h"
#include "sftp_attr.h"
#include "sftp_path.h"

#define REPLY_MAX   (4 + SFTP_PACKET_MAX)
#define ENTRIES_MAX 100 /* of one READDIR reply: all of them fit */
#define SPARE_FDS   5   /* of the limit: 0 to 2, and two for what is open for a moment */
#define COPY_CHUNK  65536
#define REPLIED     (-1) /* a handler has written the reply itself; else it returns the status */

/* A request without the fields that all of them have. */
struct request {
	struct sftp_server *s;
	uint32_t id;
	struct wire_reader r;
};

/* ---- status ---- */

static int
status_of_errno(int error)
{
	switch (error) {
	case 0:
		return SFTP_OK;
	case ENOENT:
	case ENOTDIR:
	case EBADF:
	case ELOOP:
		return SFTP_NO_SUCH_FILE;
	case EPERM:
	case EACCES:
	case EFAULT:
		return SFTP_PERMISSION_DENIED;
	case ENAMETOOLONG:
	case EINVAL:
		return SFTP_BAD_MESSAGE;
	case ENOSYS:
		return SFTP_UNSUPPORTED;
	default:
		return SFTP_FAILURE;
	}
}

/* Of a system call's result. */
static int
status_of(int result)
{
	return result < 0 ? status_of_errno(errno) : SFTP_OK;
}

/* "Failure" alone helps nobody: where it stands for an errno, the kernel's words are sent. */
static const char *
status_text(int status, int error)
{
	switch (status) {
	case SFTP_OK:
		return "Success";
	case SFTP_EOF:
		return "End of file";
	case SFTP_NO_SUCH_FILE:
		return "No such file";
	case SFTP_PERMISSION_DENIED:
		return "Permission denied";
	case SFTP_BAD_MESSAGE:
		return "Bad message";
	case SFTP_UNSUPPORTED:
		return "Operation unsupported";
	default:
		return error != 0 ? strerror(error) : "Failure";
	}
}

/* ---- replies ---- */

/* There is room for a whole packet: answer() has seen to it. */
static struct wire_writer
reply_begin(const struct request *q, enum sftp_type type)
{
	struct wire_writer w;

	wire_writer_init(&w, q->s->out + q->s->out_len, REPLY_MAX);
	wire_put_u32(&w, 0);
	wire_put_u8(&w, (uint8_t)type);
	wire_put_u32(&w, q->id);
	return w;
}

/* Returns REPLIED; a reply that does not fit is no reply. */
static int
reply_end(const struct request *q, struct wire_writer *w)
{
	size_t len = w->len;

	if (w->failed)
		return SFTP_FAILURE;
	w->len = 0;
	wire_put_u32(w, (uint32_t)(len - 4));
	q->s->out_len += len;
	return REPLIED;
}

static void
reply_status(const struct request *q, int status, int error)
{
	struct wire_writer w = reply_begin(q, SFTP_STATUS);

	wire_put_u32(&w, (uint32_t)status);
	wire_put_cstr(&w, status_text(status, error));
	wire_put_cstr(&w, "");
	(void)reply_end(q, &w);
}

static int
reply_name(const struct request *q, const char *name)
{
	struct wire_writer w = reply_begin(q, SFTP_NAME);

	wire_put_u32(&w, 1);
	wire_put_cstr(&w, name);
	wire_put_cstr(&w, name);
	sftp_attr_put_none(&w);
	return reply_end(q, &w);
}

static int
reply_attrs(const struct request *q, int result, const struct stat *st)
{
	struct wire_writer w;

	if (result < 0)
		return status_of(result);
	w = reply_begin(q, SFTP_ATTRS);
	sftp_attr_put(&w, st);
	return reply_end(q, &w);
}

static int
reply_handle(const struct request *q, const struct sftp_handle *h)
{
	struct wire_writer w = reply_begin(q, SFTP_HANDLE);
	uint8_t name[SFTP_HANDLE_LEN];

	sftp_handle_name(&q->s->handles, h, name);
	wire_put_str(&w, name, sizeof(name));
	return reply_end(q, &w);
}

/* ---- fields ---- */

/* False: it is no path, or not all of the request is there. */
static bool
get_path(struct request *q, char path[PATH_MAX])
{
	wire_get_cstr(&q->r, path, PATH_MAX);
	return !q->r.failed;
}

static struct sftp_handle *
get_handle(struct request *q)
{
	return sftp_handle_find(&q->s->handles, wire_get_span(&q->r));
}

static struct sftp_handle *
only_file(struct sftp_handle *h)
{
	return h != NULL && h->dir == NULL ? h : NULL;
}

/* ---- files ---- */

static int
open_flags(uint32_t asked)
{
	int flags = O_CLOEXEC | O_NOCTTY;

	if ((asked & SFTP_OPEN_WRITE) != 0)
		flags |= (asked & SFTP_OPEN_READ) != 0 ? O_RDWR : O_WRONLY;
	if ((asked & SFTP_OPEN_APPEND) != 0)
		flags |= O_APPEND;
	if ((asked & SFTP_OPEN_CREATE) != 0)
		flags |= O_CREAT;
	if ((asked & SFTP_OPEN_TRUNC) != 0)
		flags |= O_TRUNC;
	if ((asked & SFTP_OPEN_EXCL) != 0)
		flags |= O_EXCL;
	return flags;
}

static int
do_open(struct request *q)
{
	struct sftp_handle *h;
	char path[PATH_MAX];
	struct sftp_attr a;
	uint32_t asked;
	mode_t mode;
	int fd;

	wire_get_cstr(&q->r, path, sizeof(path));
	asked = wire_get_u32(&q->r);
	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	if (q->s->read_only && (asked & ~SFTP_OPEN_READ) != 0)
		return SFTP_PERMISSION_DENIED;
	mode = (a.flags & SFTP_ATTR_PERMISSIONS) != 0 ? a.permissions & 07777 : 0666;
	fd = open(path, open_flags(asked), mode);
	if (fd < 0)
		return status_of(fd);
	h = sftp_handle_new(&q->s->handles, fd, NULL);
	if (h == NULL) {
		fd_close(&fd);
		errno = EMFILE;
		return SFTP_FAILURE;
	}
	return reply_handle(q, h);
}

static int
do_close(struct request *q)
{
	struct sftp_handle *h = get_handle(q);
	int r;

	if (h == NULL)
		return status_of_errno(EBADF);
	r = sftp_handle_close(&q->s->handles, h);
	errno = -r;
	return status_of_errno(-r);
}

static int
do_read(struct request *q)
{
	const struct sftp_handle *h = only_file(get_handle(q));
	uint64_t offset = wire_get_u64(&q->r);
	uint32_t len = wire_get_u32(&q->r);
	struct wire_writer w;
	ssize_t n = 0;

	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	if (h == NULL)
		return SFTP_FAILURE;
	if (len > SFTP_DATA_MAX)
		len = SFTP_DATA_MAX;
	/* Straight to where it will be sent from, behind the length that is not known yet. */
	w = reply_begin(q, SFTP_DATA);
	if (len > 0)
		n = pread(h->fd, w.data + w.len + 4, len, (off_t)offset);
	if (n < 0)
		return status_of(-1);
	if (n == 0 && len > 0)
		return SFTP_EOF;
	wire_put_u32(&w, (uint32_t)n);
	w.len += (size_t)n;
	return reply_end(q, &w);
}

/* All of it, or the reason why not: a part that was written is not told to anybody. */
static int
write_all(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);

		if (n < 0)
			return -1;
		if (n == 0) {
			errno = ENOSPC;
			return -1;
		}
		data += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int
do_write(struct request *q)
{
	const struct sftp_handle *h = only_file(get_handle(q));
	uint64_t offset = wire_get_u64(&q->r);
	struct wire_span data = wire_get_span(&q->r);

	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	if (h == NULL)
		return SFTP_FAILURE;
	return status_of(write_all(h->fd, data.data, data.len, offset));
}

static int
do_fsync(struct request *q)
{
	const struct sftp_handle *h = only_file(get_handle(q));

	return h == NULL ? SFTP_NO_SUCH_FILE : status_of(fsync(h->fd));
}

static int
copy(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t len)
{
	static uint8_t chunk[COPY_CHUNK];
	bool to_the_end = len == 0;

	while (len > 0 || to_the_end) {
		size_t want = to_the_end || len > sizeof(chunk) ? sizeof(chunk) : (size_t)len;
		ssize_t n = pread(from, chunk, want, (off_t)from_offset);

		if (n < 0)
			return status_of(-1);
		if (n == 0)
			return to_the_end ? SFTP_OK : SFTP_EOF;
		if (write_all(to, chunk, (size_t)n, to_offset) < 0)
			return status_of(-1);
		from_offset += (uint64_t)n;
		to_offset += (uint64_t)n;
		if (!to_the_end)
			len -= (uint64_t)n;
	}
	return SFTP_OK;
}

static bool
same_file(int a, int b)
{
	struct stat one;
	struct stat other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
	    one.st_ino == other.st_ino;
}

static int
do_copy_data(struct request *q)
{
	const struct sftp_handle *from = only_file(get_handle(q));
	uint64_t from_offset = wire_get_u64(&q->r);
	uint64_t len = wire_get_u64(&q->r);
	const struct sftp_handle *to = only_file(get_handle(q));
	uint64_t to_offset = wire_get_u64(&q->r);

	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	/* A file that is copied into itself would grow for ever. */
	if (from == NULL || to == NULL || same_file(from->fd, to->fd))
		return SFTP_FAILURE;
	return copy(from->fd, from_offset, to->fd, to_offset, len);
}

/* ---- directories ---- */

static int
do_opendir(struct request *q)
{
	struct sftp_handle *h;
	char path[PATH_MAX];
	DIR *dir;

	if (!get_path(q, path))
		return SFTP_BAD_MESSAGE;
	dir = opendir(path);
	if (dir == NULL)
		return status_of(-1);
	h = sftp_handle_new(&q->s->handles, dirfd(dir), dir);
	if (h == NULL) {
		(void)closedir(dir);
		errno = EMFILE;
		return SFTP_FAILURE;
	}
	return reply_handle(q, h);
}

static int
do_readdir(struct request *q)
{
	const struct sftp_handle *h = get_handle(q);
	char longname[SFTP_LONGNAME_MAX];
	const struct dirent *e;
	struct wire_writer w;
	uint32_t n = 0;

	if (h == NULL || h->dir == NULL)
		return SFTP_FAILURE;
	w = reply_begin(q, SFTP_NAME);
	wire_put_u32(&w, 0);
	while (n < ENTRIES_MAX && (e = readdir(h->dir)) != NULL) {
		struct stat st;

		if (fstatat(h->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sftp_longname(longname, e->d_name, &st);
		wire_put_cstr(&w, e->d_name);
		wire_put_cstr(&w, longname);
		sftp_attr_put(&w, &st);
		n++;
	}
	if (n == 0)
		return SFTP_EOF;
	/* The number stands where it was left open: behind length, type and id. */
	for (int i = 0; i < 4; i++)
		w.data[9 + i] = (uint8_t)(n >> (24 - 8 * i));
	return reply_end(q, &w);
}

static int
do_mkdir(struct request *q)
{
	char path[PATH_MAX];
	struct sftp_attr a;

	wire_get_cstr(&q->r, path, sizeof(path));
	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	return status_of(
	    mkdir(path, (a.flags & SFTP_ATTR_PERMISSIONS) != 0 ? a.permissions & 07777 : 0777));
}

static int
do_rmdir(struct request *q)
{
	char path[PATH_MAX];

	return get_path(q, path) ? status_of(rmdir(path)) : SFTP_BAD_MESSAGE;
}

static int
do_remove(struct request *q)
{
	char path[PATH_MAX];

	return get_path(q, path) ? status_of(unlink(path)) : SFTP_BAD_MESSAGE;
}

/* ---- attributes ---- */

static int
do_stat(struct request *q)
{
	char path[PATH_MAX];
	struct stat st;

	if (!get_path(q, path))
		return SFTP_BAD_MESSAGE;
	return reply_attrs(q, stat(path, &st), &st);
}

static int
do_lstat(struct request *q)
{
	char path[PATH_MAX];
	struct stat st;

	if (!get_path(q, path))
		return SFTP_BAD_MESSAGE;
	return reply_attrs(q, lstat(path, &st), &st);
}

static int
do_fstat(struct request *q)
{
	const struct sftp_handle *h = get_handle(q);
	struct stat st;

	if (h == NULL)
		return SFTP_FAILURE;
	return reply_attrs(q, fstat(h->fd, &st), &st);
}

static int
set_path(struct request *q, int (*set)(const char *path, const struct sftp_attr *a))
{
	char path[PATH_MAX];
	struct sftp_attr a;

	wire_get_cstr(&q->r, path, sizeof(path));
	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	errno = -set(path, &a);
	return status_of_errno(errno);
}

static int
do_setstat(struct request *q)
{
	return set_path(q, sftp_attr_set);
}

static int
do_lsetstat(struct request *q)
{
	return set_path(q, sftp_attr_set_link);
}

static int
do_fsetstat(struct request *q)
{
	const struct sftp_handle *h = get_handle(q);
	struct sftp_attr a;

	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	if (h == NULL)
		return SFTP_FAILURE;
	errno = -sftp_attr_set_fd(h->fd, &a);
	return status_of_errno(errno);
}

static int
reply_statvfs(const struct request *q, int result, const struct statvfs *v)
{
	struct wire_writer w;

	if (result < 0)
		return status_of(result);
	w = reply_begin(q, SFTP_EXTENDED_REPLY);
	wire_put_u64(&w, v->f_bsize);
	wire_put_u64(&w, v->f_frsize);
	wire_put_u64(&w, v->f_blocks);
	wire_put_u64(&w, v->f_bfree);
	wire_put_u64(&w, v->f_bavail);
	wire_put_u64(&w, v->f_files);
	wire_put_u64(&w, v->f_ffree);
	wire_put_u64(&w, v->f_favail);
	wire_put_u64(&w, v->f_fsid);
	wire_put_u64(&w,
	    ((v->f_flag & ST_RDONLY) != 0 ? SFTP_STATVFS_READ_ONLY : 0) |
		((v->f_flag & ST_NOSUID) != 0 ? SFTP_STATVFS_NO_SUID : 0));
	wire_put_u64(&w, v->f_namemax);
	return reply_end(q, &w);
}

static int
do_statvfs(struct request *q)
{
	char path[PATH_MAX];
	struct statvfs v;

	if (!get_path(q, path))
		return SFTP_BAD_MESSAGE;
	return reply_statvfs(q, statvfs(path, &v), &v);
}

static int
do_fstatvfs(struct request *q)
{
	const struct sftp_handle *h = get_handle(q);
	struct statvfs v;

	if (h == NULL)
		return SFTP_FAILURE;
	return reply_statvfs(q, fstatvfs(h->fd, &v), &v);
}

/* ---- names ---- */

static int
reply_path(const struct request *q, int result, const char *path)
{
	errno = -result;
	return result < 0 ? status_of_errno(-result) : reply_name(q, path);
}

static int
do_realpath(struct request *q)
{
	char path[PATH_MAX];
	char full[PATH_MAX];

	if (!get_path(q, path))
		return SFTP_BAD_MESSAGE;
	return reply_path(q, sftp_path_resolve(path, full), full);
}

static int
do_expand_path(struct request *q)
{
	char path[PATH_MAX];
	char full[PATH_MAX];

	if (!get_path(q, path))
		return SFTP_BAD_MESSAGE;
	return reply_path(q, sftp_path_expand(path, full), full);
}

static int
do_home_directory(struct request *q)
{
	char name[PATH_MAX];
	char home[PATH_MAX];

	if (!get_path(q, name))
		return SFTP_BAD_MESSAGE;
	if (sftp_account_home(name, home, sizeof(home)))
		return reply_name(q, home);
	errno = 0;
	return SFTP_FAILURE;
}

static int
do_readlink(struct request *q)
{
	char path[PATH_MAX];
	char target[PATH_MAX];
	ssize_t n;

	if (!get_path(q, path))
		return SFTP_BAD_MESSAGE;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return status_of(-1);
	target[n] = '\0';
	return reply_name(q, target);
}

/* Two paths, one call. */
static int
on_two_paths(struct request *q, int (*act)(const char *one, const char *other))
{
	char one[PATH_MAX];
	char other[PATH_MAX];

	wire_get_cstr(&q->r, one, sizeof(one));
	wire_get_cstr(&q->r, other, sizeof(other));
	return q->r.failed ? SFTP_BAD_MESSAGE : status_of(act(one, other));
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

static int
do_rename(struct request *q)
{
	return on_two_paths(q, rename_to_new);
}

static int
do_posix_rename(struct request *q)
{
	return on_two_paths(q, rename);
}

static int
do_hardlink(struct request *q)
{
	return on_two_paths(q, link);
}

/* First where it points, then the link: the other way round than the draft says, as OpenSSH has it. */
static int
do_symlink(struct request *q)
{
	return on_two_paths(q, symlink);
}

/* ---- about the server ---- */

static int
do_limits(struct request *q)
{
	struct wire_writer w = reply_begin(q, SFTP_EXTENDED_REPLY);
	uint64_t handles = SFTP_HANDLES_MAX;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > SPARE_FDS &&
	    limit.rlim_cur - SPARE_FDS < handles)
		handles = limit.rlim_cur - SPARE_FDS;
	wire_put_u64(&w, SFTP_PACKET_MAX);
	wire_put_u64(&w, SFTP_DATA_MAX);
	wire_put_u64(&w, SFTP_DATA_MAX);
	wire_put_u64(&w, handles);
	return reply_end(q, &w);
}

/* A list of ids as a list of names, "" for who has none. */
static void
put_names(struct wire_writer *w, struct wire_span ids, const char *(*name_of)(uint32_t id))
{
	size_t start = w->len;
	struct wire_reader r;
	struct wire_writer count;

	wire_put_u32(w, 0);
	wire_reader_init(&r, ids.data, ids.len);
	while (r.left >= 4 && !w->failed) {
		const char *name = name_of(wire_get_u32(&r));

		wire_put_cstr(w, name != NULL ? name : "");
	}
	if (w->failed)
		return;
	wire_writer_init(&count, w->data + start, 4);
	wire_put_u32(&count, (uint32_t)(w->len - start - 4));
}

static int
do_users_groups(struct request *q)
{
	struct wire_span uids = wire_get_span(&q->r);
	struct wire_span gids = wire_get_span(&q->r);
	struct wire_writer w;

	if (q->r.failed || uids.len % 4 != 0 || gids.len % 4 != 0)
		return SFTP_BAD_MESSAGE;
	w = reply_begin(q, SFTP_EXTENDED_REPLY);
	put_names(&w, uids, sftp_account_user);
	put_names(&w, gids, sftp_account_group);
	return reply_end(q, &w);
}

/* ---- which request is what ---- */

static const struct action {
	int (*act)(struct request *q);
	bool writes;
} actions[] = {
	/* clang-format off */
	[SFTP_OPEN]     = { do_open, false }, /* looks for itself */
	[SFTP_CLOSE]    = { do_close, false },
	[SFTP_READ]     = { do_read, false },
	[SFTP_WRITE]    = { do_write, true },
	[SFTP_LSTAT]    = { do_lstat, false },
	[SFTP_FSTAT]    = { do_fstat, false },
	[SFTP_SETSTAT]  = { do_setstat, true },
	[SFTP_FSETSTAT] = { do_fsetstat, true },
	[SFTP_OPENDIR]  = { do_opendir, false },
	[SFTP_READDIR]  = { do_readdir, false },
	[SFTP_REMOVE]   = { do_remove, true },
	[SFTP_MKDIR]    = { do_mkdir, true },
	[SFTP_RMDIR]    = { do_rmdir, true },
	[SFTP_REALPATH] = { do_realpath, false },
	[SFTP_STAT]     = { do_stat, false },
	[SFTP_RENAME]   = { do_rename, true },
	[SFTP_READLINK] = { do_readlink, false },
	[SFTP_SYMLINK]  = { do_symlink, true },
	/* clang-format on */
};

static const struct extension {
	const char *name;
	const char *version;
	struct action action;
} extensions[] = {
	{ "posix-rename@openssh.com", "1", { do_posix_rename, true } },
	{ "statvfs@openssh.com", "2", { do_statvfs, false } },
	{ "fstatvfs@openssh.com", "2", { do_fstatvfs, false } },
	{ "hardlink@openssh.com", "1", { do_hardlink, true } },
	{ "fsync@openssh.com", "1", { do_fsync, true } },
	{ "lsetstat@openssh.com", "1", { do_lsetstat, true } },
	{ "limits@openssh.com", "1", { do_limits, false } },
	{ "expand-path@openssh.com", "1", { do_expand_path, false } },
	{ "copy-data", "1", { do_copy_data, true } },
	{ "home-directory", "1", { do_home_directory, false } },
	{ "users-groups-by-id@openssh.com", "1", { do_users_groups, false } },
};

static const struct action *
find_action(struct request *q, uint8_t type)
{
	struct wire_span name;

	if (type < SP_ARRAY_LEN(actions) && actions[type].act != NULL)
		return &actions[type];
	if (type != SFTP_EXTENDED)
		return NULL;
	name = wire_get_span(&q->r);
	for (size_t i = 0; i < SP_ARRAY_LEN(extensions); i++) {
		if (wire_span_is(name, extensions[i].name))
			return &extensions[i].action;
	}
	return NULL;
}

static void
greet(struct sftp_server *s)
{
	struct wire_writer w;
	size_t len;

	wire_writer_init(&w, s->out + s->out_len, REPLY_MAX);
	wire_put_u32(&w, 0);
	wire_put_u8(&w, SFTP_VERSION_REPLY);
	wire_put_u32(&w, SFTP_VERSION);
	for (size_t i = 0; i < SP_ARRAY_LEN(extensions); i++) {
		wire_put_cstr(&w, extensions[i].name);
		wire_put_cstr(&w, extensions[i].version);
	}
	len = w.len;
	w.len = 0;
	wire_put_u32(&w, (uint32_t)(len - 4));
	s->out_len += len;
	s->greeted = true;
}

/* One packet without its length. Whatever it asks for, exactly one reply follows. */
static int
answer(struct sftp_server *s, const uint8_t *packet, size_t len)
{
	struct request q = { .s = s };
	const struct action *action;
	uint8_t type;
	int status;

	wire_reader_init(&q.r, packet, len);
	type = wire_get_u8(&q.r);
	q.id = wire_get_u32(&q.r);
	if (q.r.failed || (type != SFTP_INIT && !s->greeted))
		return SFTP_SERVER_E_PROTOCOL;
	if (type == SFTP_INIT) {
		greet(s);
		return 0;
	}
	action = find_action(&q, type);
	errno = 0;
	if (action == NULL)
		status = SFTP_UNSUPPORTED;
	else if (s->read_only && action->writes)
		status = SFTP_PERMISSION_DENIED;
	else
		status = action->act(&q);
	if (status != REPLIED)
		reply_status(&q, status, status == SFTP_FAILURE ? errno : 0);
	return 0;
}

/* ---- bytes ---- */

static int
flush(struct sftp_server *s)
{
	int r = s->out_len > 0 ? s->send(s->arg, s->out, s->out_len) : 0;

	s->out_len = 0;
	return r;
}

static uint32_t
length_of(const uint8_t head[4])
{
	struct wire_reader r;

	wire_reader_init(&r, head, 4);
	return wire_get_u32(&r);
}

/* What data begins with, up to n bytes of s->in in all. Returns how many bytes were taken. */
static size_t
keep(struct sftp_server *s, size_t n, const uint8_t *data, size_t len)
{
	size_t take = n - s->in_len < len ? n - s->in_len : len;

	memcpy(s->in + s->in_len, data, take);
	s->in_len += take;
	return take;
}

/*
 * The next packet, from data itself when it is there in one piece. Sets *ret_packet to NULL when all
 * of data was taken and it is not complete. Returns how many bytes were taken.
 */
static size_t
next_packet(struct sftp_server *s, const uint8_t *data, size_t len, const uint8_t **ret_packet,
    uint32_t *ret_len)
{
	size_t taken = 0;

	*ret_packet = NULL;
	*ret_len = 0;
	if (s->in_len == 0 && len >= 4) {
		*ret_len = length_of(data);
		if (*ret_len > SFTP_PACKET_MAX)
			return 0;
		if (len - 4 >= *ret_len) {
			*ret_packet = data + 4;
			return 4 + (size_t)*ret_len;
		}
	}
	if (s->in_len < 4)
		taken = keep(s, 4, data, len);
	if (s->in_len < 4)
		return taken;
	*ret_len = length_of(s->in);
	if (*ret_len > SFTP_PACKET_MAX)
		return taken;
	taken += keep(s, 4 + (size_t)*ret_len, data + taken, len - taken);
	if (s->in_len == 4 + (size_t)*ret_len) {
		*ret_packet = s->in + 4;
		s->in_len = 0; /* it is answered before the next byte is kept */
	}
	return taken;
}

int
sftp_server_feed(struct sftp_server *s, const uint8_t *data, size_t len)
{
	while (data != NULL && len > 0) {
		const uint8_t *packet;
		uint32_t packet_len;
		size_t taken = next_packet(s, data, len, &packet, &packet_len);
		int r = 0;

		if (packet_len > SFTP_PACKET_MAX)
			return SFTP_SERVER_E_PROTOCOL;
		data += taken;
		len -= taken;
		if (packet == NULL)
			continue;
		if (sizeof(s->out) - s->out_len < REPLY_MAX)
			r = flush(s);
		if (r == 0)
			r = answer(s, packet, packet_len);
		if (r != 0)
			return r;
	}
	return flush(s);
}

void
sftp_server_init(struct sftp_server *s, bool read_only,
    int (*send)(void *arg, const uint8_t *data, size_t len), void *arg)
{
	s->send = send;
	s->arg = arg;
	s->read_only = read_only;
	s->greeted = false;
	s->in_len = 0;
	s->out_len = 0;
	sftp_handles_init(&s->handles);
}

void
sftp_server_end(struct sftp_server *s)
{
	sftp_handles_close_all(&s->handles);
}
