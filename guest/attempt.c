/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: connections for forwards. Whereto is the broker's decision, of a name in the form of the networks that it may
 * lead into: who answers for a name is hostile, and an address is tried only after it was compared, and is not asked
 * for again. What is reached is what the container's own network reaches, with the container user's rights. The
 * bytes are the worker's: the socket goes to it and is closed here.
 */
#include "attempt.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "clock.h"
#include "ctl.h"
#include "fd.h"

#define CONNECT_MS \
	120000 /* to all addresses of a name together: whoever answers for it may name many */

/* 0: connected or on the way there; or -errno. */
static int
begin(struct attempt *a, const struct guest_address *address)
{
	struct sockaddr_storage to;
	socklen_t len = address_fill(&to, address, a->port);

	a->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	if (a->fd < 0)
		return -errno;
	/* A connection at once is reported like one that takes time: the socket is writable. */
	if (connect(a->fd, (const struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS) {
		int r = -errno;

		fd_close(&a->fd);
		return r;
	}
	return 0;
}

/* The next address, or the end with the last one's error. */
static void
try_next(struct attempt *a, int error)
{
	while (a->next < a->n) {
		int r = begin(a, &a->addresses[a->next++]);

		if (r == 0)
			return;
		error = -r;
	}
	ctl_send_failed(a->ctl, GUEST_FAIL_CONNECT, error);
	attempt_drop(a);
}

static void
fail_lookup(struct attempt *a, int error)
{
	ctl_send_failed(a->ctl, GUEST_FAIL_LOOKUP, error);
	attempt_drop(a);
}

void
attempt_start(struct attempt *a, const struct guest_connect *to, int *ctl, int64_t now_ms)
{
	int r;

	*a = (struct attempt){ .used = true, .ctl = fd_steal(ctl), .fd = -1, .lookup = { .fd = -1 } };
	a->port = to->port;
	if (to->n > 0) {
		a->n = to->n;
		memcpy(a->addresses, to->addresses, to->n * sizeof(to->addresses[0]));
		try_next(a, EPROTO);
		return;
	}
	a->n_networks = to->n_networks;
	memcpy(a->networks, to->networks, sizeof(a->networks));
	a->give_up_at = now_ms + LOOKUP_MS;
	r = lookup_start(&a->lookup, to->name);
	if (r < 0) {
		ctl_send_failed(a->ctl, GUEST_FAIL_FORK, -r);
		attempt_drop(a);
	}
}

/* Nothing else is ever connected to. */
static void
add_allowed(struct attempt *a, const struct guest_address *found)
{
	struct network address = { .v6 = found->v6, .bits = found->v6 ? 128 : 32 };
	struct network to;

	memcpy(address.bytes, found->bytes, found->v6 ? 16 : 4);
	if (!network_lead(a->networks, a->n_networks, &address, &to))
		return;
	a->addresses[a->n].v6 = to.v6;
	memcpy(a->addresses[a->n].bytes, to.bytes, sizeof(to.bytes));
	a->n++;
}

static void
take_answer(struct attempt *a)
{
	struct guest_found found;

	if (!lookup_read(&a->lookup, &found))
		return;
	a->give_up_at = clock_now_ms() + CONNECT_MS;
	if (found.error != 0) {
		fail_lookup(a, (int)found.error);
		return;
	}
	for (uint32_t i = 0; i < found.n; i++)
		add_allowed(a, &found.addresses[i]);
	if (a->n == 0)
		fail_lookup(a, EACCES);
	else
		try_next(a, EPROTO);
}

int
attempt_fd(const struct attempt *a)
{
	return a->lookup.fd >= 0 ? a->lookup.fd : a->fd;
}

short
attempt_events(const struct attempt *a)
{
	return a->lookup.fd >= 0 ? POLLIN : POLLOUT;
}

static void
take_connection(struct attempt *a)
{
	struct guest_ctl connected = { .id = GUEST_CTL_CONNECTED };
	socklen_t len = sizeof(int);
	int on = 1;
	int error = 0;
	int r;

	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0) {
		fd_close(&a->fd);
		try_next(a, error);
		return;
	}
	(void)setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* as sshd */
	r = ctl_send(a->ctl, &connected, (int[]){ a->fd, a->fd }, 2);
	/* Too many descriptors of this user are on their way somewhere. */
	if (r < 0)
		ctl_send_failed(a->ctl, GUEST_FAIL_CONNECT, -r);
	attempt_drop(a);
}

void
attempt_ready(struct attempt *a)
{
	if (a->lookup.fd >= 0)
		take_answer(a);
	else
		take_connection(a);
}

void
attempt_reaped(struct attempt *a, pid_t pid)
{
	if (a->used && a->lookup.pid == pid)
		a->lookup.pid = 0;
}

void
attempt_tick(struct attempt *a, int64_t now_ms)
{
	if (!a->used || a->give_up_at == 0 || now_ms < a->give_up_at)
		return;
	if (a->lookup.fd >= 0) {
		fail_lookup(a, ETIMEDOUT);
	} else {
		ctl_send_failed(a->ctl, GUEST_FAIL_CONNECT, ETIMEDOUT);
		attempt_drop(a);
	}
}

void
attempt_drop(struct attempt *a)
{
	lookup_drop(&a->lookup);
	fd_close(&a->fd);
	fd_close(&a->ctl);
	a->used = false;
}
