/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's socket, as libssh sees it. libssh asks the kernel for 4096 bytes at a time, polls before each read and
 * after each write, and sends the first packet of several alone: most of what a stream costs, and a good part of a
 * key's echo. So this program defines the recv(), send() and poll() that libssh calls, as hooks.h does with other
 * functions. While a client sends without a pause, much is taken at once and then given out from memory; what is
 * known of the socket is not asked again; and a piece of output leaves as one. Which bytes come and go, and in which
 * order, is the same.
 */
#ifndef SP_CLIENT_SOCKET_H
#define SP_CLIENT_SOCKET_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* From now on, for the client at fd, a stream socket in non-blocking mode. Once in a process. */
void client_socket_start(int fd);

/* poll(2), which knows of the bytes that are held. Our own waits for the client and others have to be by this one. */
int client_socket_poll(struct pollfd *fds, nfds_t n, int timeout);

/*
 * What libssh may do with the socket, in calls that ask for it or not. It reads inside of calls that send, and has no
 * bound for answers that the client does not take, so who waits for those to leave lets it send alone. What it may
 * not send now stays in its queue.
 */
enum client_socket_use {
	CLIENT_SOCKET_HOLD = 0,
	CLIENT_SOCKET_READ = 1,
	CLIENT_SOCKET_SEND = 2,
	CLIENT_SOCKET_BOTH = CLIENT_SOCKET_READ | CLIENT_SOCKET_SEND,
};
void client_socket_allow(enum client_socket_use use);

/* Bytes that libssh has not got yet. */
size_t client_socket_held(void);

/* Whether the last piece was a large one, and has been given out: the next one is probably on its way. */
bool client_socket_flows(void);

/* Whether the kernel did not take all of what was sent last, and poll() has not told since that it takes more. */
bool client_socket_is_full(void);

#endif
