/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: reading from the client in large pieces. The bytes are a stranger's; they are moved and not looked at. */
#include "read_ahead.h"

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
	bool sends_on; /* the last read brought all that the caller asked for, or more: there may be more */
	bool flows; /* it brought a good part of what can be held */
	enum read_ahead_mode mode;
	size_t at;
	size_t len;
	uint8_t bytes[HELD_MAX];
} ahead = { .fd = -1 };

void
read_ahead_start(int fd)
{
	ahead.fd = fd;
}

static size_t
held(void)
{
	return ahead.len - ahead.at;
}

static ssize_t
take(int fd, void *buf, size_t len)
{
	return recvfrom(fd, buf, len, 0, NULL, NULL);
}

static ssize_t
give(void *buf, size_t len)
{
	size_t n = len < held() ? len : held();

	memcpy(buf, ahead.bytes + ahead.at, n);
	ahead.at += n;
	return (ssize_t)n;
}

size_t
read_ahead_held(void)
{
	return held();
}

void
read_ahead_set(enum read_ahead_mode mode)
{
	ahead.mode = mode;
}

bool
read_ahead_flows(void)
{
	return ahead.flows && held() == 0;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's names are not ours. */

/* Who types never fills a read: then nothing is held, and the memory for it is never touched. */
SP_EXPORT ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t n;

	if (fd != ahead.fd || flags != 0)
		return recvfrom(fd, buf, len, flags, NULL, NULL);
	if (held() > 0)
		return give(buf, len);
	if (!ahead.sends_on || len >= HELD_MAX) {
		n = take(fd, buf, len);
		ahead.sends_on = n > 0 && (size_t)n == len;
		return n;
	}
	n = take(fd, ahead.bytes, HELD_MAX);
	ahead.sends_on = n > 0 && (size_t)n >= len;
	ahead.flows = n >= FLOW;
	if (n <= 0)
		return n;
	ahead.at = 0;
	ahead.len = (size_t)n;
	return give(buf, len);
}

SP_EXPORT int
poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return read_ahead_poll(fds, n, timeout);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

static int
ask_kernel(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec t = { .tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L };

	return ppoll(fds, n, timeout < 0 ? NULL : &t, NULL);
}

/* The one of these that may read what is held, or NULL. */
static struct pollfd *
reader(struct pollfd *fds, nfds_t n)
{
	if (held() == 0)
		return NULL;
	for (nfds_t i = 0; i < n; i++) {
		if (fds[i].fd == ahead.fd && (fds[i].events & POLLIN) != 0)
			return &fds[i];
	}
	return NULL;
}

static int
poll_for_writing(struct pollfd *fds, int timeout)
{
	struct pollfd p = { .fd = fds->fd, .events = (short)(fds->events & ~POLLIN) };
	int ready = ask_kernel(&p, 1, timeout);

	fds->revents = p.revents;
	return ready;
}

int
read_ahead_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct pollfd *p = reader(fds, n);
	int ready;

	if (n == 1 && fds->fd == ahead.fd && ahead.mode == READ_AHEAD_WRITE_ONLY)
		return poll_for_writing(fds, timeout);
	if (p == NULL)
		return ask_kernel(fds, n, timeout);
	if (ahead.mode == READ_AHEAD_READ_FIRST && n == 1) {
		p->revents = POLLIN;
		return 1;
	}
	ready = ask_kernel(fds, n, 0);
	if (ready < 0)
		return ready;
	ready += p->revents == 0;
	p->revents |= POLLIN;
	return ready;
}
