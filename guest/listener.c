/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: listening for forwards. Where is the broker's decision; whether it can be had is the kernel's,
 * by the container user's rights. Who connects may be anybody that reaches the container's network, and
 * as many: no more than a few are on their way to the worker, the rest waits in the kernel's queue, which
 * ends somewhere too.
 */
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "address.h"
#include "authority.h"
#include "ctl.h"
#include "fd.h"
#include "ipc_chan.h"

#define BACKLOG 128 /* as sshd */
#define REST_MS \
	100 /* after a connection that could not be accepted: there is no descriptor for it */

/* The directory of a path. */
static void
directory_of(const char *path, char out[GUEST_PATH_MAX + 1])
{
	strcpy(out, path);
	*strrchr(out, '/') = '\0';
}

static void
stop_listening(struct listener *l)
{
	fd_close_all(l->fds, l->n);
	l->n = 0;
}

static void
drop(struct listener *l)
{
	char directory[GUEST_PATH_MAX + 1];

	stop_listening(l);
	fd_close(&l->ctl);
	if (l->path[0] != '\0') {
		directory_of(l->path, directory);
		(void)unlink(l->path);
		(void)rmdir(directory);
	}
	l->used = false;
}

static uint32_t
port_of(int fd)
{
	struct sockaddr_storage bound;
	struct guest_address address;
	socklen_t len = sizeof(bound);
	uint32_t port = 0;

	if (getsockname(fd, (struct sockaddr *)&bound, &len) < 0 ||
	    !address_read(&bound, &address, &port))
		return 0;
	return port;
}

/* A socket that listens, or -errno. */
static int
listen_at(const struct sockaddr_storage *at, socklen_t len)
{
	SP_CLEANUP_FD int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	/* As sshd: a port of which old connections are left can be had again. */
	if (at->ss_family != AF_UNIX)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)at, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* Whether the container has no such address: it may be without IPv6. */
static bool
is_absent(int error)
{
	return error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
}

/*
 * As sshd: it is enough when one of the addresses can be had, but a display has to be free at all that there
 * are; a chosen port is the same for all.
 */
static int
listen_tcp(struct listener *l, const struct guest_listen *order, uint32_t port, uint32_t *ret_port)
{
	int error = -EADDRNOTAVAIL;

	for (uint32_t i = 0; i < order->n; i++) {
		struct sockaddr_storage at;
		socklen_t len = address_fill(&at, &order->addresses[i], port);
		int fd = listen_at(&at, len);

		if (fd >= 0) {
			if (port == 0)
				port = port_of(fd);
			l->fds[l->n++] = fd;
			continue;
		}
		error = fd;
		if (order->kind != GUEST_LISTEN_X11 || is_absent(fd))
			continue;
		stop_listening(l);
		break;
	}
	*ret_port = port;
	return l->n > 0 ? 0 : error;
}

/* Only this user gets through it. */
static int
make_directory(struct listener *l, const struct guest_listen *order)
{
	char directory[GUEST_PATH_MAX + 1];

	directory_of(order->path, directory);
	if (mkdir(directory, 0700) < 0)
		return -errno;
	strcpy(l->path, order->path); /* from here on it is ours to remove */
	return 0;
}

/* Whoever gets through the directory may connect, as with sshd. */
static int
listen_unix(struct listener *l, const struct guest_listen *order)
{
	struct sockaddr_storage at = { .ss_family = AF_UNIX };
	int fd = make_directory(l, order);

	if (fd < 0)
		return fd;
	strcpy(((struct sockaddr_un *)&at)->sun_path, order->path);
	fd = listen_at(&at, sizeof(struct sockaddr_un));
	if (fd < 0)
		return fd;
	l->fds[l->n++] = fd;
	return 0;
}

/* Any user of the container's network may connect; who does not know the cookie is the X server's to refuse. */
static int
listen_x11(struct listener *l, const struct guest_listen *order, uint32_t *ret_port)
{
	int r = -EADDRINUSE;

	for (uint32_t i = 0; r < 0 && i < order->n_ports; i++)
		r = listen_tcp(l, order, order->port + i, ret_port);
	if (r == 0)
		r = make_directory(l, order);
	if (r == 0)
		r = authority_write(l->path, *ret_port - GUEST_X11_PORT, order->name, order->cookie);
	return r;
}

static int
listen_as_ordered(struct listener *l, const struct guest_listen *order, uint32_t *ret_port)
{
	switch (order->kind) {
	case GUEST_LISTEN_UNIX:
		return listen_unix(l, order);
	case GUEST_LISTEN_X11:
		return listen_x11(l, order, ret_port);
	case GUEST_LISTEN_TCP:
		break;
	}
	return listen_tcp(l, order, order->port, ret_port);
}

void
listener_start(struct listener *l, const struct guest_listen *order, int *ctl)
{
	struct guest_ctl listening = { .id = GUEST_CTL_LISTENING };
	int r;

	*l = (struct listener){ .used = true, .ctl = fd_steal(ctl), .only_one = order->only_one };
	r = listen_as_ordered(l, order, &listening.listening.port);
	if (r < 0)
		ctl_send_failed(l->ctl, GUEST_FAIL_LISTEN, -r);
	else
		r = ctl_send(l->ctl, &listening, NULL, 0);
	if (r != 0)
		drop(l);
}

bool
listener_wants(const struct listener *l)
{
	return l->n > 0 && l->untaken < GUEST_UNTAKEN_MAX && l->rest_until == 0;
}

void
listener_accept(struct listener *l, int fd, int64_t now_ms)
{
	struct guest_ctl accepted = { .id = GUEST_CTL_ACCEPTED };
	struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(from);
	SP_CLEANUP_FD int got =
	    accept4(fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int on = 1;

	if (got < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			l->rest_until = now_ms + REST_MS;
		return;
	}
	accepted.accepted.tcp = address_read(&from, &accepted.accepted.from, &accepted.accepted.port);
	if (accepted.accepted.tcp)
		(void)setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* as sshd */
	/* One that cannot be handed over is closed: too many descriptors of this user are under way. */
	if (ctl_send(l->ctl, &accepted, (int[]){ got, got }, 2) != 0) {
		l->rest_until = now_ms + REST_MS;
		return;
	}
	l->untaken++;
	if (l->only_one)
		stop_listening(l);
}

void
listener_hear(struct listener *l)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_reader r;
	struct guest_ctl m;
	size_t len;
	int result = ipc_chan_recv(l->ctl, buf, sizeof(buf), &len, MSG_DONTWAIT);

	if (result == IPC_CHAN_E_AGAIN)
		return;
	wire_reader_init(&r, buf, result == 0 ? len : 0);
	/* The end, or a worker that breaks the protocol: nobody wants these connections. */
	if (guest_get_ctl(&r, &m) != 0 || m.id != GUEST_CTL_TAKEN || l->untaken == 0)
		drop(l);
	else
		l->untaken--;
}

void
listener_tick(struct listener *l, int64_t now_ms)
{
	if (l->rest_until != 0 && now_ms >= l->rest_until)
		l->rest_until = 0;
}
