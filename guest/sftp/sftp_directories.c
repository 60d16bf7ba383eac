/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: directories. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sftp_actions.h"
#include "sftp_attr.h"
#include "sftp_server.h"

#define ENTRIES_MAX 100 /* of one READDIR reply: all of them fit */

int
sftp_do_opendir(struct sftp_request *q)
{
	struct sftp_handle *h;
	DIR *dir;

	dir = opendir(q->path);
	if (dir == NULL)
		return sftp_status_of(-1);
	h = sftp_handle_new(&q->s->handles, dirfd(dir), dir);
	if (h == NULL) {
		(void)closedir(dir);
		errno = EMFILE;
		return SFTP_FAILURE;
	}
	return sftp_reply_handle(q, h);
}

int
sftp_do_readdir(struct sftp_request *q)
{
	const struct sftp_handle *h = q->h;
	char longname[SFTP_LONGNAME_MAX];
	const struct dirent *e;
	struct wire_writer w;
	uint32_t n = 0;

	w = sftp_reply_begin(q, SFTP_NAME);
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
	return sftp_reply_end(q, &w);
}

int
sftp_do_mkdir(struct sftp_request *q)
{
	struct sftp_attr a;

	sftp_attr_get(&q->r, &a);
	if (q->r.failed)
		return SFTP_BAD_MESSAGE;
	return sftp_status_of(
	    mkdir(q->path, (a.flags & SFTP_ATTR_PERMISSIONS) != 0 ? a.permissions & 07777 : 0777));
}

int
sftp_do_rmdir(struct sftp_request *q)
{
	return sftp_status_of(rmdir(q->path));
}
