/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guest and worker say to each other where no descriptor can be passed: on the data path
 * "engine" all of a channel, its ctl included, goes through one byte stream, stdin and stdout of an
 * exec that the engine carries. Towards the guest the bytes are as they are; towards the worker the
 * engine wraps them (exec_frame below).
 *
 *   frame = u8 kind, u32 length, so many bytes
 *
 * Nobody sends more data than the other has given credit for, so that one who does not read data still
 * hears ctl. The worker speaks first: until its HELLO the guest says nothing. PROTOCOL.md has the field
 * tables.
 *
 * A listener's stream also carries the connections that were accepted: their frames say whose they are,
 *
 *   frame = u8 kind + STREAM_OF_CONNECTION, u32 length, u32 connection, the rest of so many bytes
 *
 * and the number is how many ACCEPTED were said before the connection's own. Of one the guest says nothing
 * before the worker has given it credit, of which it has none at first.
 */
#ifndef SP_STREAM_MSG_H
#define SP_STREAM_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest_msg.h"
#include "wire.h"

/* Words of the guest's command line: carry out one order, which follows in base64, in pieces. */
#define GUEST_STREAM_OPTION "--stream"
/* The first process of such a container: waits to be ended; milliseconds of grace follow. */
#define GUEST_HOLD_OPTION "--hold"

#define STREAM_VERSION  1
#define STREAM_HEAD     5     /* bytes of a frame's head */
#define STREAM_DATA_MAX 32768 /* bytes of one frame's data */
#define STREAM_CREDIT \
	(256 * 1024) /* what each side gives at first, and never more than that is out */
#define STREAM_OF_CONNECTION 0x80 /* added to a kind: INPUT, OUTPUT, their ENDs, MORE */
#define STREAM_FRAME_MAX     (STREAM_HEAD + 4 + STREAM_DATA_MAX) /* no frame is longer */
#define STREAM_ORDER_PIECE   65536 /* characters of base64 in one argument; a multiple of 4 */

enum stream_kind {
	STREAM_HELLO = 1, /* both, first: u32 version, u32 credit */
	STREAM_CTL = 2,   /* both: one ctl record of guest_msg.h; never with descriptors */
	STREAM_INPUT = 3, /* worker to guest: 1..STREAM_DATA_MAX bytes for the program or connection */
	STREAM_INPUT_END =
	    4, /* empty; worker to guest: no more INPUT. guest to worker: nobody takes it */
	STREAM_OUTPUT = 5, /* guest to worker: 1..STREAM_DATA_MAX bytes of stdout, terminal, connection */
	STREAM_ERRORS = 6, /* guest to worker: the same of stderr */
	/* empty; guest to worker: no more of it. worker to guest: nobody takes it */
	STREAM_OUTPUT_END = 7,
	STREAM_ERRORS_END = 8,
	STREAM_MORE = 9, /* both: u32, so many bytes of credit more: 1..STREAM_CREDIT */
	STREAM_SIZE = 10, /* worker to guest: u32 columns, rows, width_px, height_px of the terminal */
};

/* One frame, data as a view. */
struct stream_frame {
	enum stream_kind kind;
	bool of_connection;
	uint32_t connection; /* of a listener's, the number; else 0 */
	union {
		struct {
			uint32_t version;
			uint32_t credit;
		} hello;
		struct wire_span data; /* CTL, INPUT, OUTPUT, ERRORS */
		uint32_t more;
		struct {
			uint32_t columns, rows, width_px, height_px;
		} size;
	};
};

/* Head and body. */
void stream_put(struct wire_writer *w, const struct stream_frame *f);

#define STREAM_E_SHORT 1 /* the rest has not come yet */
#define STREAM_E_BAD   2 /* not a frame */
/*
 * The frame at the begin of data. 0: *ret, and *ret_len bytes of data are its; STREAM_E_SHORT;
 * STREAM_E_BAD. Who may send which kind, and when, is for the caller to look at.
 */
SP_MUST_CHECK int stream_get(const uint8_t *data, size_t len, struct stream_frame *ret,
    size_t *ret_len);

/*
 * The engine's own framing of an exec without a terminal (Docker Engine API, "Stream format"): u8 which
 * (1 stdout, 2 stderr), three bytes 0, u32 length. 0, or STREAM_E_BAD.
 */
#define EXEC_FRAME_HEAD 8
struct exec_frame {
	bool is_stdout;
	uint32_t len;
};
SP_MUST_CHECK int exec_frame_get(const uint8_t head[EXEC_FRAME_HEAD], struct exec_frame *ret);

/* Base64 (RFC 4648 section 4, padded) of len bytes, without NUL. Returns characters written: 4 for each 3 begun. */
size_t stream_base64_put(char *out, const uint8_t *data, size_t len);
/*
 * Adds what text, one piece, says to out[cap] at *len, which is 0 before the first. 0, or STREAM_E_BAD: not
 * base64, more of it behind padding, or no room.
 */
SP_MUST_CHECK int stream_base64_get(const char *text, uint8_t *out, size_t cap, size_t *len);

#endif
