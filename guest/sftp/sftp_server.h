/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An SFTP server of version 3 as OpenSSH's: the same operations, extensions, status codes and bounds.
 * It runs as a program of a container, with that container's user and limits: whatever its client
 * asks for, it gets what the kernel gives this user. Memory is bounded; nothing is kept but handles.
 *
 * This is all of it but the loop around stdin and stdout (sftp_main.c): bytes in, bytes out.
 */
#ifndef SP_SFTP_SERVER_H
#define SP_SFTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "sftp_handle.h"
#include "sftp_proto.h"

#define SFTP_SERVER_E_PROTOCOL 1 /* a packet longer than allowed, or a request before INIT */

struct sftp_server {
	/* Takes all of data; 0, or anything else to stop: sftp_server_feed() returns it. */
	int (*send)(void *arg, const uint8_t *data, size_t len);
	void *arg;
	bool read_only; /* what would change a file is refused */
	bool greeted;
	uint8_t in[4 + SFTP_PACKET_MAX]; /* the beginning of a packet whose rest has not come */
	size_t in_len;
	uint8_t out[4 * SFTP_PACKET_MAX]; /* replies that are not sent yet */
	size_t out_len;
	struct sftp_handles handles;
};

/* s is large: static or allocated. */
void sftp_server_init(struct sftp_server *s, bool read_only,
    int (*send)(void *arg, const uint8_t *data, size_t len), void *arg);

/*
 * Take len bytes of the client, answer the requests that are complete, send the answers. 0,
 * SFTP_SERVER_E_PROTOCOL, or what send returned; after anything but 0 the session is over.
 */
SP_MUST_CHECK int sftp_server_feed(struct sftp_server *s, const uint8_t *data, size_t len);

/* Close what the client left open. */
void sftp_server_end(struct sftp_server *s);

#endif
