/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SFTP server: packets, and which request is what. All that comes in is the client's, who has the
 * rights of this process in any case; so paths are the kernel's to judge, and what is checked here is
 * form, length and handles.
 *
 * Where the draft and OpenSSH differ (the order of SYMLINK's paths, RENAME that does not replace),
 * OpenSSH is what clients are written for. Bytes behind the known fields of a request are ignored, as
 * there.
 */
#include "sftp_server.h"

#include <errno.h>
#include <string.h>

#include "sftp_actions.h"

/* ---- which request is what ---- */

enum subject {
	ON_NOTHING,
	ON_PATH,
	ON_HANDLE,
	ON_FILE,
	ON_DIRECTORY,
};

struct action {
	int (*act)(struct sftp_request *q);
	enum subject on; /* the first field */
	bool writes;
	int without; /* the status when there is no such handle */
};

static const struct action actions[] = {
	/* clang-format off */
	[SFTP_OPEN]     = { sftp_do_open, ON_PATH, false, 0 }, /* looks for itself */
	[SFTP_CLOSE]    = { sftp_do_close, ON_HANDLE, false, SFTP_NO_SUCH_FILE },
	[SFTP_READ]     = { sftp_do_read, ON_FILE, false, SFTP_FAILURE },
	[SFTP_WRITE]    = { sftp_do_write, ON_FILE, true, SFTP_FAILURE },
	[SFTP_LSTAT]    = { sftp_do_lstat, ON_PATH, false, 0 },
	[SFTP_FSTAT]    = { sftp_do_fstat, ON_HANDLE, false, SFTP_FAILURE },
	[SFTP_SETSTAT]  = { sftp_do_setstat, ON_PATH, true, 0 },
	[SFTP_FSETSTAT] = { sftp_do_fsetstat, ON_HANDLE, true, SFTP_FAILURE },
	[SFTP_OPENDIR]  = { sftp_do_opendir, ON_PATH, false, 0 },
	[SFTP_READDIR]  = { sftp_do_readdir, ON_DIRECTORY, false, SFTP_FAILURE },
	[SFTP_REMOVE]   = { sftp_do_remove, ON_PATH, true, 0 },
	[SFTP_MKDIR]    = { sftp_do_mkdir, ON_PATH, true, 0 },
	[SFTP_RMDIR]    = { sftp_do_rmdir, ON_PATH, true, 0 },
	[SFTP_REALPATH] = { sftp_do_realpath, ON_PATH, false, 0 },
	[SFTP_STAT]     = { sftp_do_stat, ON_PATH, false, 0 },
	[SFTP_RENAME]   = { sftp_do_rename, ON_PATH, true, 0 },
	[SFTP_READLINK] = { sftp_do_readlink, ON_PATH, false, 0 },
	[SFTP_SYMLINK]  = { sftp_do_symlink, ON_PATH, true, 0 },
	/* clang-format on */
};

static const struct extension {
	const char *name;
	const char *version;
	struct action action;
} extensions[] = {
	{ "posix-rename@openssh.com", "1", { sftp_do_posix_rename, ON_PATH, true, 0 } },
	{ "statvfs@openssh.com", "2", { sftp_do_statvfs, ON_PATH, false, 0 } },
	{ "fstatvfs@openssh.com", "2", { sftp_do_fstatvfs, ON_HANDLE, false, SFTP_FAILURE } },
	{ "hardlink@openssh.com", "1", { sftp_do_hardlink, ON_PATH, true, 0 } },
	{ "fsync@openssh.com", "1", { sftp_do_fsync, ON_FILE, true, SFTP_NO_SUCH_FILE } },
	{ "lsetstat@openssh.com", "1", { sftp_do_lsetstat, ON_PATH, true, 0 } },
	{ "limits@openssh.com", "1", { sftp_do_limits, ON_NOTHING, false, 0 } },
	{ "expand-path@openssh.com", "1", { sftp_do_expand_path, ON_PATH, false, 0 } },
	{ "copy-data", "1", { sftp_do_copy_data, ON_FILE, true, SFTP_FAILURE } },
	{ "home-directory", "1", { sftp_do_home_directory, ON_PATH, false, 0 } },
	{ "users-groups-by-id@openssh.com", "1", { sftp_do_users_groups, ON_NOTHING, false, 0 } },
};

static const struct action *
find_action(struct sftp_request *q, uint8_t type)
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

	wire_writer_init(&w, s->out + s->out_len, SFTP_REPLY_MAX);
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

/* The subject of q, then what is done to it. */
static int
carry_out(struct sftp_request *q, const struct action *a)
{
	if (a->on == ON_PATH) {
		wire_get_cstr(&q->r, q->path, sizeof(q->path));
		if (q->r.failed)
			return SFTP_BAD_MESSAGE;
	} else if (a->on != ON_NOTHING) {
		q->h = sftp_handle_find(&q->s->handles, wire_get_span(&q->r));
		if (q->r.failed)
			return SFTP_BAD_MESSAGE;
		if (q->h == NULL || (a->on == ON_FILE && q->h->dir != NULL) ||
		    (a->on == ON_DIRECTORY && q->h->dir == NULL))
			return a->without;
	}
	return a->act(q);
}

/* One packet without its length. Whatever it asks for, exactly one reply follows. */
static int
answer(struct sftp_server *s, const uint8_t *packet, size_t len)
{
	static struct sftp_request q; /* one at a time */
	const struct action *action;
	uint8_t type;
	int status;

	q.s = s;
	q.h = NULL;
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
		status = carry_out(&q, action);
	if (status != SFTP_REPLIED)
		sftp_reply_status(&q, status, status == SFTP_FAILURE ? errno : 0);
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
		if (sizeof(s->out) - s->out_len < SFTP_REPLY_MAX)
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
