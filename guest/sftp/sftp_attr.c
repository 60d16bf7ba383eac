/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: attributes. What comes in is the client's; what it sets, the kernel allows or not. */
#include "sftp_attr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sftp_account.h"
#include "sftp_proto.h"

#define PERMISSIONS 07777
#define HALF_A_YEAR (365 * 24 * 60 * 60 / 2) /* seconds; older files are shown with their year */

void
sftp_attr_get(struct wire_reader *r, struct sftp_attr *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->flags = wire_get_u32(r);
	if ((ret->flags & SFTP_ATTR_SIZE) != 0)
		ret->size = wire_get_u64(r);
	if ((ret->flags & SFTP_ATTR_UIDGID) != 0) {
		ret->uid = wire_get_u32(r);
		ret->gid = wire_get_u32(r);
	}
	if ((ret->flags & SFTP_ATTR_PERMISSIONS) != 0)
		ret->permissions = wire_get_u32(r);
	if ((ret->flags & SFTP_ATTR_TIMES) != 0) {
		ret->atime = wire_get_u32(r);
		ret->mtime = wire_get_u32(r);
	}
	if ((ret->flags & SFTP_ATTR_EXTENDED) != 0) {
		/* Each takes eight bytes at least, so that a count that lies ends with the packet. */
		for (uint32_t n = wire_get_u32(r); n > 0 && !r->failed; n--) {
			(void)wire_get_span(r);
			(void)wire_get_span(r);
		}
	}
}

void
sftp_attr_put(struct wire_writer *w, const struct stat *st)
{
	wire_put_u32(w, SFTP_ATTR_SIZE | SFTP_ATTR_UIDGID | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES);
	wire_put_u64(w, (uint64_t)st->st_size);
	wire_put_u32(w, st->st_uid);
	wire_put_u32(w, st->st_gid);
	wire_put_u32(w, st->st_mode);
	wire_put_u32(w, (uint32_t)st->st_atime);
	wire_put_u32(w, (uint32_t)st->st_mtime);
}

void
sftp_attr_put_none(struct wire_writer *w)
{
	wire_put_u32(w, 0);
}

/* ---- setting ---- */

static void
fill_times(const struct sftp_attr *a, struct timespec times[2])
{
	times[0] = (struct timespec){ .tv_sec = (time_t)a->atime };
	times[1] = (struct timespec){ .tv_sec = (time_t)a->mtime };
}

static void
note(int *r, int result)
{
	if (result < 0)
		*r = -errno;
}

/* All but the size, which a link does not have. flags: 0 or AT_SYMLINK_NOFOLLOW. */
static int
set_by_path(const char *path, const struct sftp_attr *a, int flags)
{
	struct timespec times[2];
	int r = 0;

	if ((a->flags & SFTP_ATTR_PERMISSIONS) != 0)
		note(&r, fchmodat(AT_FDCWD, path, a->permissions & PERMISSIONS, flags));
	if ((a->flags & SFTP_ATTR_TIMES) != 0) {
		fill_times(a, times);
		note(&r, utimensat(AT_FDCWD, path, times, flags));
	}
	if ((a->flags & SFTP_ATTR_UIDGID) != 0)
		note(&r, fchownat(AT_FDCWD, path, a->uid, a->gid, flags));
	return r;
}

int
sftp_attr_set(const char *path, const struct sftp_attr *a)
{
	int r = 0;
	int later;

	if ((a->flags & SFTP_ATTR_SIZE) != 0)
		note(&r, truncate(path, (off_t)a->size));
	later = set_by_path(path, a, 0);
	return later != 0 ? later : r;
}

int
sftp_attr_set_link(const char *path, const struct sftp_attr *a)
{
	if ((a->flags & SFTP_ATTR_SIZE) != 0)
		return -EINVAL;
	return set_by_path(path, a, AT_SYMLINK_NOFOLLOW);
}

int
sftp_attr_set_fd(int fd, const struct sftp_attr *a)
{
	struct timespec times[2];
	int r = 0;

	if ((a->flags & SFTP_ATTR_SIZE) != 0)
		note(&r, ftruncate(fd, (off_t)a->size));
	if ((a->flags & SFTP_ATTR_PERMISSIONS) != 0)
		note(&r, fchmod(fd, a->permissions & PERMISSIONS));
	if ((a->flags & SFTP_ATTR_TIMES) != 0) {
		fill_times(a, times);
		note(&r, futimens(fd, times));
	}
	if ((a->flags & SFTP_ATTR_UIDGID) != 0)
		note(&r, fchown(fd, a->uid, a->gid));
	return r;
}

/* ---- showing ---- */

static char
type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	case S_IFREG:
		return '-';
	default:
		return '?';
	}
}

/* "drwxr-xr-x " with the blank for what other systems show there. */
static void
mode_text(mode_t mode, char out[12])
{
	static const char letters[] = "rwxrwxrwx";
	static const struct {
		mode_t bit;
		int at;
		char with_x, without;
	} special[] = {
		{ S_ISUID, 3, 's', 'S' },
		{ S_ISGID, 6, 's', 'S' },
		{ S_ISVTX, 9, 't', 'T' },
	};

	out[0] = type_letter(mode);
	for (int i = 0; i < 9; i++)
		out[i + 1] = (mode & (0400U >> i)) != 0 ? letters[i] : '-';
	for (size_t i = 0; i < SP_ARRAY_LEN(special); i++) {
		char *c = &out[special[i].at];

		if ((mode & special[i].bit) != 0)
			*c = *c == 'x' ? special[i].with_x : special[i].without;
	}
	out[10] = ' ';
	out[11] = '\0';
}

/* The hour for what was written in the last half year, else the year. */
static void
time_text(time_t t, char *out, size_t cap)
{
	const struct tm *local = localtime(&t);
	time_t now = time(NULL);
	bool recent = now - HALF_A_YEAR < t && now >= t;

	if (local == NULL || strftime(out, cap, recent ? "%b %e %H:%M" : "%b %e  %Y", local) == 0)
		out[0] = '\0';
}

static const char *
name_or_number(const char *name, uint32_t id, char buf[16])
{
	if (name != NULL)
		return name;
	(void)snprintf(buf, 16, "%u", (unsigned)id);
	return buf;
}

void
sftp_longname(char out[SFTP_LONGNAME_MAX], const char *name, const struct stat *st)
{
	char mode[12];
	char when[64];
	char links[16];
	char uid[16];
	char gid[16];

	mode_text(st->st_mode, mode);
	time_text(st->st_mtime, when, sizeof(when));
	(void)snprintf(links, sizeof(links), "%u", (unsigned)st->st_nlink);
	(void)snprintf(out, SFTP_LONGNAME_MAX, "%s %3s %-8s %-8s %8llu %s %s", mode, links,
	    name_or_number(sftp_account_user(st->st_uid), st->st_uid, uid),
	    name_or_number(sftp_account_group(st->st_gid), st->st_gid, gid),
	    (unsigned long long)st->st_size, when, name);
}
