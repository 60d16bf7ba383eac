/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: open files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "sftp_actions.h"
#include "sftp_attr.h"
#include "sftp_server.h"

#define PROC_SUPER_MAGIC 0x9fa0 /* statfs(2); musl has no linux/magic.h */
#define COPY_CHUNK       65536

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

/*
 * What can be written in /proc are other processes, and their memory above all: a login that has files and no programs
 * would get some by writing into another server of its own, before that is no longer dumpable.
 */
static bool
is_in_proc(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC;
}

int
sftp_do_open(struct sftp_request *q)
{
	struct sftp_handle *h;
	struct sftp_attr a;
	uint32_t asked;
	mode_t mode;
	int fd;

	asked = wire_get_u32(&q->r);
	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	if (q->s->read_only && (asked & ~SFTP_OPEN_READ) != 0)
		return SFTP_PERMISSION_DENIED;
	mode = (a.flags & SFTP_ATTR_PERMISSIONS) != 0 ? a.permissions & 07777 : 0666;
	fd = open(q->path, open_flags(asked), mode);
	if (fd < 0)
		return sftp_status_of(fd);
	if ((asked & ~SFTP_OPEN_READ) != 0 && is_in_proc(fd)) {
		fd_close(&fd);
		return SFTP_PERMISSION_DENIED;
	}
	h = sftp_handle_new(&q->s->handles, fd, NULL);
	if (h == NULL) {
		fd_close(&fd);
		errno = EMFILE;
		return SFTP_FAILURE;
	}
	return sftp_reply_handle(q, h);
}

int
sftp_do_close(struct sftp_request *q)
{
	return sftp_status_of_code(sftp_handle_close(&q->s->handles, q->h));
}

int
sftp_do_read(struct sftp_request *q)
{
	uint64_t offset = wire_get_u64(&q->r);
	uint32_t len = wire_get_u32(&q->r);
	struct wire_writer w;
	ssize_t n = 0;

	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	if (len > SFTP_DATA_MAX)
		len = SFTP_DATA_MAX;
	/* Straight to where it will be sent from, behind the length that is not known yet. */
	w = sftp_reply_begin(q, SFTP_DATA);
	if (len > 0)
		n = pread(q->h->fd, w.data + w.len + 4, len, (off_t)offset);
	if (n < 0)
		return sftp_status_of(-1);
	if (n == 0 && len > 0)
		return SFTP_EOF;
	wire_put_u32(&w, (uint32_t)n);
	w.len += (size_t)n;
	return sftp_reply_end(q, &w);
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

int
sftp_do_write(struct sftp_request *q)
{
	uint64_t offset = wire_get_u64(&q->r);
	struct wire_span data = wire_get_span(&q->r);

	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	return sftp_status_of(write_all(q->h->fd, data.data, data.len, offset));
}

int
sftp_do_fsync(struct sftp_request *q)
{
	return sftp_status_of(fsync(q->h->fd));
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
			return sftp_status_of(-1);
		if (n == 0)
			return to_the_end ? SFTP_OK : SFTP_EOF;
		if (write_all(to, chunk, (size_t)n, to_offset) < 0)
			return sftp_status_of(-1);
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

int
sftp_do_copy_data(struct sftp_request *q)
{
	uint64_t from_offset = wire_get_u64(&q->r);
	uint64_t len = wire_get_u64(&q->r);
	const struct sftp_handle *to = sftp_request_file(q);
	uint64_t to_offset = wire_get_u64(&q->r);

	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	/* A file that is copied into itself would grow for ever. */
	if (to == NULL || same_file(q->h->fd, to->fd))
		return SFTP_FAILURE;
	return copy(q->h->fd, from_offset, to->fd, to_offset, len);
}
