/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: what all requests have in common, their statuses and replies. */
#include "sftp_request.h"

#include <errno.h>
#include <string.h>

#include "sftp_attr.h"
#include "sftp_server.h"

/* ---- status ---- */

/* 0 is success. */
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

int
sftp_status_of(int result)
{
	return result < 0 ? status_of_errno(errno) : SFTP_OK;
}

int
sftp_status_of_code(int result)
{
	errno = -result;
	return status_of_errno(errno);
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

/* ---- fields ---- */

struct sftp_handle *
sftp_request_file(struct sftp_request *q)
{
	struct sftp_handle *h = sftp_handle_find(&q->s->handles, wire_get_span(&q->r));

	return h != NULL && h->dir == NULL ? h : NULL;
}

/* ---- replies ---- */

struct wire_writer
sftp_reply_begin(const struct sftp_request *q, enum sftp_type type)
{
	struct wire_writer w;

	wire_writer_init(&w, q->s->out + q->s->out_len, SFTP_REPLY_MAX);
	wire_put_u32(&w, 0);
	wire_put_u8(&w, (uint8_t)type);
	wire_put_u32(&w, q->id);
	return w;
}

int
sftp_reply_end(const struct sftp_request *q, struct wire_writer *w)
{
	size_t len = w->len;

	if (w->failed)
		return SFTP_FAILURE;
	w->len = 0;
	wire_put_u32(w, (uint32_t)(len - 4));
	q->s->out_len += len;
	return SFTP_REPLIED;
}

void
sftp_reply_status(const struct sftp_request *q, int status, int error)
{
	struct wire_writer w = sftp_reply_begin(q, SFTP_STATUS);

	wire_put_u32(&w, (uint32_t)status);
	wire_put_cstr(&w, status_text(status, error));
	wire_put_cstr(&w, "");
	(void)sftp_reply_end(q, &w);
}

int
sftp_reply_name(const struct sftp_request *q, const char *name)
{
	struct wire_writer w = sftp_reply_begin(q, SFTP_NAME);

	wire_put_u32(&w, 1);
	wire_put_cstr(&w, name);
	wire_put_cstr(&w, name);
	sftp_attr_put_none(&w);
	return sftp_reply_end(q, &w);
}

int
sftp_reply_handle(const struct sftp_request *q, const struct sftp_handle *h)
{
	struct wire_writer w = sftp_reply_begin(q, SFTP_HANDLE);
	uint8_t name[SFTP_HANDLE_LEN];

	sftp_handle_name(&q->s->handles, h, name);
	wire_put_str(&w, name, sizeof(name));
	return sftp_reply_end(q, &w);
}
