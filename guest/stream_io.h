/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: stdin and stdout as a stream of frames (stream_msg.h): what has come of a frame, and what has not left
 * yet. What is said has its room: who says something has looked.
 */
#ifndef SP_STREAM_IO_H
#define SP_STREAM_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream_msg.h"

#define STREAM_CTL_FRAME_MAX (STREAM_HEAD + GUEST_CTL_MAX) /* no frame without data is longer */
#define STREAM_OUT_RESERVE   (4 * STREAM_CTL_FRAME_MAX)    /* room that data leaves to the others */
#define STREAM_OUT_MAX       (2 * STREAM_FRAME_MAX + STREAM_OUT_RESERVE)

/*
 * So long, in all, what a client has written and closed may take to be read when its worker has gone. The kernel does the
 * same with a socket that was closed and whose other end does not read: it is dropped after some minutes.
 */
#ifndef STREAM_LEFT_MS
#define STREAM_LEFT_MS 300000
#endif

struct stream_io {
	uint8_t in[STREAM_FRAME_MAX];
	size_t in_len;
	uint8_t out[STREAM_OUT_MAX];
	size_t out_len;
};

/* Bytes that can still be said, and that can still be read. */
size_t stream_io_room(const struct stream_io *io);
size_t stream_io_in_room(const struct stream_io *io);

/* The longest data that a frame can have now, of which there is this much credit; 0: none. */
size_t stream_io_sendable(const struct stream_io *io, uint64_t credit);

void stream_io_say(struct stream_io *io, const struct stream_frame *f);
void stream_io_say_failed(struct stream_io *io, enum guest_fail_stage stage, int error);

/* Send what stdout takes. False: the worker is gone. */
SP_MUST_CHECK bool stream_io_flush(struct stream_io *io);

/* Take what stdin has. False: that is its end. */
SP_MUST_CHECK bool stream_io_read(struct stream_io *io);

/* That time is over: who reads on is told that it was not all. *fd is closed. */
void stream_io_cut(int *fd);

/* Outcomes of a frame. */
#define STREAM_FRAME_LATER 1 /* the inner ctl is full: it is emptied by this same process */
#define STREAM_FRAME_BAD   2 /* the protocol is broken */

/*
 * Give act() the frames that have come, one after the other, until it does not return 0; one that it says LATER to
 * stays. 0 or what it said; STREAM_FRAME_BAD: or what came is no frame.
 */
SP_MUST_CHECK int stream_io_take(struct stream_io *io,
    int (*act)(void *arg, const struct stream_frame *f), void *arg);

#endif
