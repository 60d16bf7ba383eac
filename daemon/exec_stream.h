/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path "engine": a channel's bytes and its ctl come and go through one stream of the engine's, in
 * frames (stream_msg.h). A channel knows nothing of that: it has the same ctl and pipes as on the direct path,
 * whose other ends are here, and this moves what is between the two. What a listener's stream carries is the bytes
 * of as many channels as have connections of it.
 *
 * Hostile: everything that comes from the stream; it is the guest's, and any process of the container may have
 * taken its place. It is bounded by the credit that was given, and a stream that breaks the protocol ends as if
 * the container had.
 */
#ifndef SP_EXEC_STREAM_H
#define SP_EXEC_STREAM_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "ipc_msg.h"

struct exec_stream;

#define EXEC_STREAM_FDS 5 /* of poll() */

/*
 * fds: the stream, then our ends of ctl, stdin (to read), stdout and stderr (to write); all non-blocking, taken
 * whatever comes of it. NULL: out of memory.
 */
struct exec_stream *exec_stream_new(const int fds[EXEC_STREAM_FDS]);

/*
 * What a listener, or what listened once, has accepted, the next one that it says so of: its connection, which is
 * one of these, too, but without ctl and stderr, and shares the listener's stream. NULL: out of memory.
 */
struct exec_stream *exec_stream_accept(struct exec_stream *listener);

/* The channel has its ends of the connection: ours of in (to read) and out (to write), non-blocking; taken. */
void exec_stream_open(struct exec_stream *s, int *in, int *out);

/*
 * The terminal has another size. It does not overtake what was written before it, and what is written later does not
 * overtake it, as long as the guest takes what is written.
 */
void exec_stream_resize(struct exec_stream *s, const struct ipc_pty *size);

/*
 * The channel has let go of its ends. flush: what it had written still goes to the guest, for some seconds at most;
 * else the stream ends now. A listener's goes on for as long as channels have connections of it.
 */
void exec_stream_let_go(struct exec_stream *s, bool flush);

/* What to wait for; -1 where nothing. */
void exec_stream_want(const struct exec_stream *s, struct pollfd pfds[EXEC_STREAM_FDS]);

/* Act on what poll() found. */
void exec_stream_serve(struct exec_stream *s, const struct pollfd pfds[EXEC_STREAM_FDS]);

/* Whether there is more for out and err than fits into them. */
bool exec_stream_has_output(const struct exec_stream *s);

bool exec_stream_is_let_go(const struct exec_stream *s);

/* Whether the channel has let go and nothing is left to do. */
bool exec_stream_is_over(const struct exec_stream *s);

/* NULL is fine. Always returns NULL. */
struct exec_stream *exec_stream_free(struct exec_stream *s);

#endif
