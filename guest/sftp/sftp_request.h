/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request of an SFTP client, as the function that carries it out gets it, and the replies. What
 * comes from the client is whatever it likes; a request that is not complete never gets here.
 */
#ifndef SP_SFTP_REQUEST_H
#define SP_SFTP_REQUEST_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "sftp_handle.h"
#include "sftp_proto.h"
#include "wire.h"

#define SFTP_REPLY_MAX (4 + SFTP_PACKET_MAX)
#define SFTP_REPLIED   (-1) /* a handler has written the reply itself; else it returns the status */

struct sftp_server;

struct sftp_request {
	struct sftp_server *s;
	uint32_t id;
	struct wire_reader r; /* at the fields behind the subject */
	/* The subject, as the table of actions says: one of these, or neither. */
	char path[PATH_MAX];
	struct sftp_handle *h;
};

/* Of a system call's result, and errno. */
int sftp_status_of(int result);

/* Of 0 or -errno; sets errno, for the words of a failure. */
int sftp_status_of_code(int result);

/* The handle of a file (not of a directory) in the next field. NULL: it is none. */
struct sftp_handle *sftp_request_file(struct sftp_request *q);

/*
 * A reply begins with its type and the request's id; the caller writes the rest and ends it. There is
 * room for a whole packet.
 */
struct wire_writer sftp_reply_begin(const struct sftp_request *q, enum sftp_type type);

/* Returns SFTP_REPLIED; a reply that does not fit is no reply, but SFTP_FAILURE. */
int sftp_reply_end(const struct sftp_request *q, struct wire_writer *w);

/* error: an errno whose words are sent where the status has none; 0: none. */
void sftp_reply_status(const struct sftp_request *q, int status, int error);

/* Return SFTP_REPLIED, as sftp_reply_end(). */
int sftp_reply_name(const struct sftp_request *q, const char *name);
int sftp_reply_handle(const struct sftp_request *q, const struct sftp_handle *h);

#endif
