/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place that is listened at for a worker that cannot be handed descriptors. Inside it is the same as ever, a
 * listener (listener.h) with a ctl, whose other end this process holds; and what is accepted stays here, too:
 * the stream carries all of these connections, in frames that say whose they are.
 */
#ifndef SP_STREAM_LISTENER_H
#define SP_STREAM_LISTENER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Carry out the one order, a LISTEN. Returns the process's exit status, when the worker is gone, or wants nobody to
 * listen any more and no connection is left.
 */
int stream_listener_run(int signal_fd, const uint8_t *order, size_t len);

#endif
