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
 * What libssh's poll() is told of the client. It always asks for both, and reads whatever it was called for; it has
 * no bound for answers that the client does not take, so who waits for those to leave lets it write alone. And it
 * goes on asking whether it may write while data comes: who knows that it has nothing to write spares the kernel that.
 */
enum read_ahead_mode {
	READ_AHEAD_BOTH,
	READ_AHEAD_READ_FIRST, /* of what is held, without a question to the kernel */
	READ_AHEAD_WRITE_ONLY,
};
void read_ahead_set(enum read_ahead_mode mode);

/* Bytes that libssh has not got yet. */
size_t read_ahead_held(void);

/* Whether the last piece was a large one, and has been given out: the next one is probably on its way. */
bool read_ahead_flows(void);

#endif
