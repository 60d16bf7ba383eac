/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: what OpenSSH has added about file systems, accounts and the server itself. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "sftp_account.h"
#include "sftp_actions.h"
#include "sftp_path.h"
#include "sftp_server.h"

#define SPARE_FDS 5 /* of the limit: 0 to 2, and two for what is open for a moment */

static int
reply_statvfs(const struct sftp_request *q, int result, const struct statvfs *v)
{
	struct wire_writer w;

	if (result < 0)
		return sftp_status_of(result);
	w = sftp_reply_begin(q, SFTP_EXTENDED_REPLY);
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
	return sftp_reply_end(q, &w);
}

int
sftp_do_statvfs(struct sftp_request *q)
{
	struct statvfs v;

	return reply_statvfs(q, statvfs(q->path, &v), &v);
}

int
sftp_do_fstatvfs(struct sftp_request *q)
{
	struct statvfs v;

	return reply_statvfs(q, fstatvfs(q->h->fd, &v), &v);
}

int
sftp_do_expand_path(struct sftp_request *q)
{
	char full[PATH_MAX];
	int r = sftp_path_expand(q->path, full);

	return r < 0 ? sftp_status_of_code(r) : sftp_reply_name(q, full);
}

int
sftp_do_home_directory(struct sftp_request *q)
{
	char home[PATH_MAX];

	if (sftp_account_home(q->path, home, sizeof(home)))
		return sftp_reply_name(q, home);
	errno = 0;
	return SFTP_FAILURE;
}

int
sftp_do_limits(struct sftp_request *q)
{
	struct wire_writer w = sftp_reply_begin(q, SFTP_EXTENDED_REPLY);
	uint64_t handles = SFTP_HANDLES_MAX;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > SPARE_FDS &&
	    limit.rlim_cur - SPARE_FDS < handles)
		handles = limit.rlim_cur - SPARE_FDS;
	wire_put_u64(&w, SFTP_PACKET_MAX);
	wire_put_u64(&w, SFTP_DATA_MAX);
	wire_put_u64(&w, SFTP_DATA_MAX);
	wire_put_u64(&w, handles);
	return sftp_reply_end(q, &w);
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

int
sftp_do_users_groups(struct sftp_request *q)
{
	struct wire_span uids = wire_get_span(&q->r);
	struct wire_span gids = wire_get_span(&q->r);
	struct wire_writer w;

	if (q->r.failed || uids.len % 4 != 0 || gids.len % 4 != 0)
		return SFTP_BAD_MESSAGE;
	w = sftp_reply_begin(q, SFTP_EXTENDED_REPLY);
	put_names(&w, uids, sftp_account_user);
	put_names(&w, gids, sftp_account_group);
	return sftp_reply_end(q, &w);
}
