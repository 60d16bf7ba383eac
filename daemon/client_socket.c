/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: the client's socket, as libssh sees it. The bytes are a stranger's; they are moved and not looked at. */
#include "client_socket.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "attr.h"

#define HELD_MAX 131072 /* four of the largest packets that OpenSSH sends */
#define FLOW     16384

/* libssh calls without context. */
static struct {
	int fd;
	enum client_socket_use use;
	bool readable; /* the kernel has said so, and nothing was read since; not of one that has ended */
	bool full;
	bool sends_on; /* the last read brought all that the caller asked for, or more: there may be more */
	bool flows; /* it brought a good part of what can be held */
	size_t at;
	size_t len;
	uint8_t bytes[HELD_MAX];
} client = { .fd = -1, .use = CLIENT_SOCKET_BOTH };

void
client_socket_start(int fd)
{
	client.fd = fd;
}

static size_t
held(void)
{
	return client.len - client.at;
}

static ssize_t
take(int fd, void *buf, size_t len)
{
	client.readable = false;
	return recvfrom(fd, buf, len, 0, NULL, NULL);
}

static ssize_t
give(void *buf, size_t len)
{
	size_t n = len < held() ? len : held();

	memcpy(buf, client.bytes + client.at, n);
	client.at += n;
	return (ssize_t)n;
}

void
client_socket_allow(enum client_socket_use use)
{
	client.use = use;
}

size_t
client_socket_held(void)
{
	return held();
}

bool
client_socket_flows(void)
{
	return client.flows && held() == 0;
}

bool
client_socket_is_full(void)
{
	return client.full;
}

static int
ask_kernel(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec t = { .tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L };

	return ppoll(fds, n, timeout < 0 ? NULL : &t, NULL);
}

/* What the kernel said of the client's socket. */
static void
note(const struct pollfd *p)
{
	client.readable = client.readable || (p->revents & ~POLLOUT) == POLLIN;
	client.full = client.full && (p->revents & ~POLLIN) == 0;
}

/*
 * libssh asks for the client alone. Of what is known the kernel is not asked again, but whether more has come: a
 * client that sends without a pause is read on. One that has ended is the kernel's to tell.
 */
static int
tell_libssh(struct pollfd *p, int timeout)
{
	short asked = p->events;
	short known = 0;
	int ready = 0;

	if ((client.use & CLIENT_SOCKET_READ) == 0)
		p->events &= (short)~POLLIN;
	if (held() > 0 || client.readable)
		known |= p->events & POLLIN;
	if (!client.full)
		known |= p->events & POLLOUT;
	p->events &= (short)~known;
	p->revents = 0;
	if (known == 0 || (p->events & POLLIN) != 0) {
		ready = ask_kernel(p, 1, known != 0 ? 0 : timeout);
		note(p);
	}
	p->events = asked;
	p->revents |= known;
	return p->revents != 0 ? 1 : ready;
}

/* The one of these that is the client, or NULL. */
static struct pollfd *
find_client(struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; client.fd >= 0 && i < n; i++) {
		if (fds[i].fd == client.fd)
			return &fds[i];
	}
	return NULL;
}

int
client_socket_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct pollfd *p = find_client(fds, n);
	bool more = p != NULL && held() > 0 && (p->events & POLLIN) != 0;
	int ready;

	if (p != NULL && n == 1)
		return tell_libssh(p, timeout);
	ready = ask_kernel(fds, n, more ? 0 : timeout);
	if (ready < 0 || p == NULL)
		return ready;
	note(p);
	if (more) {
		ready += p->revents == 0;
		p->revents |= POLLIN;
	}
	return ready;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's names are not ours. */

/* Who types never fills a read: then nothing is held, and the memory for it is never touched. */
SP_EXPORT ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t n;

	if (fd != client.fd || flags != 0)
		return recvfrom(fd, buf, len, flags, NULL, NULL);
	if (held() > 0)
		return give(buf, len);
	if (!client.sends_on || len >= HELD_MAX) {
		n = take(fd, buf, len);
		client.sends_on = n > 0 && (size_t)n == len;
		return n;
	}
	n = take(fd, client.bytes, HELD_MAX);
	client.sends_on = n > 0 && (size_t)n >= len;
	client.flows = n >= FLOW && n < HELD_MAX;
	if (n <= 0)
		return n;
	client.at = 0;
	client.len = (size_t)n;
	return give(buf, len);
}

/* It is tried without asking first. What does not leave stays in libssh's queue: an error would end the connection. */
SP_EXPORT ssize_t
send(int fd, const void *buf, size_t n, int flags)
{
	ssize_t sent;

	if (fd == client.fd && (client.use & CLIENT_SOCKET_SEND) == 0)
		return 0;
	sent = sendto(fd, buf, n, flags, NULL, 0);
	if (fd != client.fd)
		return sent;
	client.full = sent < 0 ? errno == EAGAIN : (size_t)sent < n;
	return client.full && sent < 0 ? 0 : sent;
}

SP_EXPORT int
poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return client_socket_poll(fds, n, timeout);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
