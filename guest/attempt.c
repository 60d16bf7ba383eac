/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: connections for forwards. Whereto is the broker's decision; what is reached is what the
 * container's own network reaches, with the container user's rights. The bytes are the worker's: the
 * socket goes to it and is closed here.
 */
#include "attempt.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "address.h"
#include "ctl.h"
#include "fd.h"

/* 0: connected or on the way there; or -errno. */
static int
begin(struct attempt *a, const struct guest_address *address)
{
	struct sockaddr_storage to;
	socklen_t len = address_fill(&to, address, a->to.port);

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
	while (a->next < a->to.n) {
		int r = begin(a, &a->to.addresses[a->next++]);

		if (r == 0)
			return;
		error = -r;
	}
	ctl_send_failed(a->ctl, GUEST_FAIL_CONNECT, error);
	attempt_drop(a);
}

void
attempt_start(struct attempt *a, const struct guest_connect *to, int *ctl)
{
	*a = (struct attempt){ .used = true, .ctl = fd_steal(ctl), .fd = -1, .to = *to };
	try_next(a, EPROTO);
}

void
attempt_ready(struct attempt *a)
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
attempt_drop(struct attempt *a)
{
	fd_close(&a->fd);
	fd_close(&a->ctl);
	a->used = false;
}
