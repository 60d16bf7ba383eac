/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: accepts connections and hands them on. What the clients send never reaches this process; of
 * what a configured load balancer sends, the header does (balancer.c).
 */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balancer.h"
#include "broker.h"
#include "clock.h"
#include "config.h"
#include "fd.h"
#include "listen_address.h"
#include "log.h"
#include "log_budget.h"
#include "notify.h"
#include "peer.h"
#include "worker_pool.h"

#define BACKLOG          128
#define ACCEPTS_PER_TURN 16     /* then the sessions have their turn */
#define PAUSE_MS         250    /* out of descriptors: try again, do not spin */
#define PAUSE_LOG_MS     60000  /* between two lines that say so */
#define USER_TIMEOUT_MS  120000 /* unacknowledged data: the client is gone */
#define LISTENER_MAX     NOTIFY_LISTEN_MAX

struct listener {
	struct broker *broker;
	int fds[LISTENER_MAX];
	struct event *events[LISTENER_MAX];
	struct event *pause;
	struct log_budget pauses;
	struct balancer_set *balancers;
	bool inherited; /* from the service manager */
	unsigned n;
};

static int
open_at(const struct sockaddr_storage *address, socklen_t len)
{
	SP_CLEANUP_FD int fd =
	    socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (address->ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)address, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* What to do about an address that cannot be had; "": nothing that is known here. */
static const char *
advice_on(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "; another program has that port, the host's own sshd has 22 as a rule: stop that one, or "
		       "name another port in \"listen\"";
	case EADDRNOTAVAIL:
		return "; this host does not have that address: name one of its own in \"listen\"";
	case EAFNOSUPPORT:
		return "; this kernel does not have such addresses: leave it out of \"listen\"";
	case EACCES:
		return "; ports below 1024 take root, or a socket that the service manager passes";
	default:
		return "";
	}
}

static int
open_one(const char *text, char *why, size_t cap)
{
	struct sockaddr_storage address;
	socklen_t len;
	const char *fault = listen_address_parse(text, &address, &len);
	int r;

	if (fault != NULL) {
		(void)snprintf(why, cap, "\"%s\" %s", text, fault);
		return -EINVAL;
	}
	r = open_at(&address, len);
	if (r < 0)
		(void)snprintf(why, cap, "cannot listen on %s: %s%s", text, strerror(-r),
		    advice_on(-r));
	return r;
}

int
listener_open(const char *const *addresses, bool by_default, struct listener **ret, char *why,
    size_t cap)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	for (size_t i = 0; addresses[i] != NULL; i++) {
		int fd = l->n < LISTENER_MAX ? open_one(addresses[i], why, cap) : -E2BIG;

		if (fd == -EAFNOSUPPORT && by_default) {
			log_info("not listening on %s: this kernel does not have such addresses",
			    addresses[i]);
			continue;
		}
		if (fd < 0) {
			listener_free(l);
			return fd;
		}
		l->fds[l->n++] = fd;
	}
	if (l->n == 0) {
		listener_free(l);
		return -EAFNOSUPPORT;
	}
	*ret = l;
	return 0;
}

static bool
listens(int fd)
{
	int accepting = 0;
	socklen_t len = sizeof(accepting);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len) == 0 && accepting != 0;
}

int
listener_inherit(const struct notify_socket *sockets, int n, struct listener **ret, char *why,
    size_t cap)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		if (!listens(sockets[i].fd) || fd_set_nonblock(sockets[i].fd) < 0) {
			(void)snprintf(why, cap, "the inherited socket \"%s\" does not listen",
			    sockets[i].name);
			listener_free(l);
			return -ENOTSOCK;
		}
		l->fds[l->n++] = sockets[i].fd;
	}
	l->inherited = true;
	*ret = l;
	return 0;
}

/* No getnameinfo(): for some addresses it opens a socket, which this process may not. */
char *
listener_address(const struct listener *l, unsigned i, char *out, size_t cap)
{
	struct sockaddr_storage address = { 0 };
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
	socklen_t len = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "";

	if (i >= l->n)
		return NULL;
	(void)getsockname(l->fds[i], (struct sockaddr *)&address, &len);
	if (address.ss_family == AF_INET &&
	    inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host)) != NULL)
		(void)snprintf(out, cap, "%s:%u", host, ntohs(in4->sin_port));
	else if (address.ss_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)) != NULL)
		(void)snprintf(out, cap, "[%s]:%u", host, ntohs(in6->sin6_port));
	else
		(void)snprintf(out, cap, "a socket without an address");
	return out;
}

static void
set_accepting(struct listener *l, bool on)
{
	for (unsigned i = 0; i < l->n; i++) {
		if (on ? event_add(l->events[i], NULL) < 0 : event_del(l->events[i]) < 0)
			log_error("cannot %s accepting connections", on ? "go on" : "pause");
	}
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	set_accepting(arg, true);
}

/* No descriptor or memory for another connection: those that are there are not disturbed. */
static void
pause_accepting(struct listener *l, int error)
{
	struct timeval tv = { .tv_usec = PAUSE_MS * 1000 };

	if (log_budget_take(&l->pauses, clock_now_ms()))
		log_warn("cannot accept connections for now: %s (%u times not logged)",
		    strerror(error), log_budget_lost(&l->pauses));
	set_accepting(l, false);
	if (event_add(l->pause, &tv) < 0)
		set_accepting(l, true);
}

/*
 * No Nagle: an SSH handshake is a chain of small messages, and each delay costs 40 ms (measured).
 * Failures are no reason to refuse anybody: inherited sockets may be of another family.
 */
static void
tune(int fd)
{
	unsigned timeout = USER_TIMEOUT_MS;
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

static void
on_connection(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct peer_client client = { 0 };
		socklen_t len = sizeof(client.source);
		int accepted = accept4(fd, (struct sockaddr *)&client.source, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (accepted < 0) {
			if (fd_is_exhausted(errno))
				pause_accepting(l, errno);
			return;
		}
		tune(accepted);
		len = sizeof(client.local);
		(void)getsockname(accepted, (struct sockaddr *)&client.local, &len);
		if (cidr_list_contains(&l->broker->config->proxy_protocol, &client.source))
			balancer_take(l->balancers, &accepted, &client);
		else
			worker_pool_serve(l->broker->workers, &accepted, &client);
	}
}

int
listener_run(struct listener *l, struct broker *b)
{
	char address[LISTENER_ADDRESS_MAX];

	l->broker = b;
	l->pauses = (struct log_budget){ .burst = 1, .interval_ms = PAUSE_LOG_MS };
	l->pause = evtimer_new(b->base, on_pause_over, l);
	if (l->pause == NULL || balancer_set_new(b, &l->balancers) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < l->n; i++) {
		l->events[i] = event_new(b->base, l->fds[i], EV_READ | EV_PERSIST, on_connection, l);
		if (l->events[i] == NULL || event_add(l->events[i], NULL) < 0)
			return -ENOMEM;
	}
	b->listener = l;
	for (unsigned i = 0; i < l->n; i++)
		log_info("listening on %s%s", listener_address(l, i, address, sizeof(address)),
		    l->inherited ? ", by the service manager's socket" : "");
	return 0;
}

bool
listener_is_well(const struct listener *l)
{
	bool running = l->pause != NULL;
	bool paused = running && event_pending(l->pause, EV_TIMEOUT, NULL) != 0;

	for (unsigned i = 0; i < l->n; i++) {
		if (!listens(l->fds[i]) ||
		    (running && !paused && event_pending(l->events[i], EV_READ, NULL) == 0))
			return false;
	}
	return true;
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	for (unsigned i = 0; i < l->n; i++) {
		if (l->events[i] != NULL)
			event_free(l->events[i]);
		fd_close(&l->fds[i]);
	}
	if (l->pause != NULL)
		event_free(l->pause);
	balancer_set_free(l->balancers);
	free(l);
}
