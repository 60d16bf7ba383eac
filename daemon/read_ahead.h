/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libssh asks the kernel for 4096 bytes at a time and polls before each: most of what a stream to a program costs.
 * So this program defines the recv() and the poll() that libssh calls, as hooks.h does with other functions: while
 * a client sends without a pause, much is taken at once and then given out from memory. What is given out, and in
 * which order, is the same; poll() tells of what is held as if it still were the kernel's.
 */
#ifndef SP_READ_AHEAD_H
#define SP_READ_AHEAD_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* From now on, for the client at fd, a stream socket in non-blocking mode. Once in a process. */
void read_ahead_start(int fd);

/* poll(2), which knows of the bytes that are held. Our own waits for the client have to be by this one. */
int read_ahead_poll(struct pollfd *fds, nfds_t n, int timeout);

/*
 * libssh has nothing to write, and is called to read: until this is taken back, its poll() is told of what is held
 * without asking the kernel. (It asks whether it may write all the time while data comes.) Who would leave it on
 * while something is to be written would let a client ask far more than it takes answers.
 */
void read_ahead_only(bool reading);

/* Bytes that libssh has not got yet. */
size_t read_ahead_held(void);

/* Whether the last piece was a large one, and has been given out: the next one is probably on its way. */
bool read_ahead_flows(void);

#endif
