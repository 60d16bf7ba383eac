/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One channel whose worker cannot be handed descriptors: the guest is started for it by the engine, beside
 * the container's first process, and stdin and stdout are a stream of frames (stream_msg.h). Inside it is
 * the same as ever: a program (program.h) or connection (attempt.h) with a ctl and descriptors, whose
 * other ends this process holds.
 */
#ifndef SP_STREAM_H
#define SP_STREAM_H

/*
 * Carry out the one order that the pieces (what follows GUEST_STREAM_OPTION) say. Returns the process's exit
 * status, when the worker is gone and nothing is left to do.
 */
int stream_run(unsigned n_pieces, char **pieces);

#endif
