/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: the direct data path. A socket in a directory of the container's own, mounted read-only,
 * is where its guest reports; orders with descriptors go back over that one connection.
 *
 * Hostile: whoever connects (only processes of this container can, but they are the tenant's) and
 * the engine's description. Nothing is ever read from the connection.
 */
#include "data_path.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker.h"
#include "config.h"
#include "container_plan.h"
#include "engine.h"
#include "fd.h"
#include "guest_msg.h"
#include "ipc_chan.h"
#include "kernel_account.h"
#include "log.h"
#include "oom_count.h"

#define REPORT_SECONDS 10 /* from "the container runs" to the guest's report */

struct data_path {
	struct broker *broker;
	struct data_path_events events;
	bool kept;            /* the container does not end with this process */
	char *directory;      /* host path of the rendezvous directory */
	char *directory_view; /* the same as the engine's host sees it */
	int directory_fd;
	int listen_fd;
	struct event *listen_event;
	struct event *deadline;
	struct engine_call *inspect;
	char id[ENGINE_ID_LEN + 1];
	char *started_at;
	/* What the kernel's account is compared with; not of one that was found: an earlier broker has done that. */
	struct engine_container_spec *asked;
	bool described; /* asked is there, or was lost for want of memory */
	bool podman;    /* of which the kernel is asked everything */
	pid_t init;     /* what the engine says the container's first process is */
	pid_t reporter; /* who connected, as the kernel says */
	int pidfd;      /* of the reporter */
	int order_fd;
};

static void
stop_listening(struct data_path *d)
{
	if (d->listen_event != NULL)
		event_free(d->listen_event);
	d->listen_event = NULL;
	fd_close(&d->listen_fd);
	if (d->directory_fd >= 0)
		(void)unlinkat(d->directory_fd, "socket", 0);
	fd_close(&d->directory_fd);
	/* The guest of a container that is kept looks here for the next broker. */
	if (d->directory != NULL && !d->kept)
		(void)rmdir(d->directory);
}

static void
direct_close(struct data_path *d)
{
	if (d == NULL)
		return;
	stop_listening(d);
	if (d->deadline != NULL)
		event_free(d->deadline);
	engine_cancel(d->inspect);
	fd_close(&d->pidfd);
	fd_close(&d->order_fd);
	free(d->directory);
	free(d->directory_view);
	free(d->started_at);
	engine_spec_free(d->asked);
	free(d);
}

/* It will not become ready any more, whatever is on its way. */
static void
give_up(struct data_path *d)
{
	stop_listening(d);
	(void)event_del(d->deadline);
	engine_cancel(d->inspect);
	d->inspect = NULL;
}

static void
fail(struct data_path *d, const char *why)
{
	give_up(d);
	d->events.failed(d->events.arg, why);
}

static bool
still_alive(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd >= 0 && poll(&p, 1, 0) == 0;
}

/*
 * What no engine can make up. Docker's own account has been compared with what was asked for; here whether its
 * processes can gain anything, and where its mounts have gone. A broker that sees nobody else's processes has said at
 * its start that it believes the engine.
 */
static bool
kernel_agrees(const struct data_path *d, char *why, size_t cap)
{
	if (d->described && d->asked == NULL) {
		(void)snprintf(why, cap, "out of memory");
		return false;
	}
	if (!d->podman)
		return !d->broker->sees_others ||
		    kernel_account_check_docker(d->reporter, d->asked, why, cap) == 0;
	return kernel_account_check(d->reporter, d->asked, why, cap) == 0;
}

/*
 * The last look. The order of things is what makes it safe against reuse of the number: the pidfd was
 * opened for the reporter's pid; after that the engine says that this very start of this very
 * container runs with that pid, whose files in /proc are read; and the process of the pidfd is still
 * alive now. So pidfd, connection, what the kernel says and container belong together.
 */
static void
on_inspected(void *arg, const struct engine_result *result)
{
	struct data_path *d = arg;
	const struct engine_container *seen = result->container;
	char why[512], text[600];

	d->inspect = NULL;
	if (result->error != ENGINE_OK || seen == NULL) {
		fail(d, "the engine did not answer the second look at the container");
		return;
	}
	if (!kernel_agrees(d, why, sizeof(why))) {
		(void)snprintf(text, sizeof(text), "the container is not confined as asked: %s", why);
		fail(d, text);
		return;
	}
	if (!seen->running || seen->podman != d->podman || seen->pid != d->reporter ||
	    seen->pid != d->init || strcmp(seen->started_at, d->started_at) != 0 ||
	    !still_alive(d->pidfd)) {
		fail(d, "another process than the container's first one reported as its guest");
		return;
	}
	(void)event_del(d->deadline);
	d->events.ready(d->events.arg, &d->pidfd, oom_count_find(d->reporter, d->id));
}

/* Both halves are there: the report, and the engine's word that the container runs. */
static void
compare_when_complete(struct data_path *d)
{
	if (d->reporter == 0 || d->init == 0 || d->inspect != NULL)
		return;
	if (d->reporter != d->init) {
		fail(d, "another process than the container's first one reported as its guest");
		return;
	}
	if (engine_inspect(d->broker->engine, d->id, on_inspected, d, &d->inspect) < 0)
		fail(d, "cannot ask the engine about the container");
}

static void
on_report(evutil_socket_t fd, short what, void *arg)
{
	struct data_path *d = arg;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	(void)what;
	d->order_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (d->order_fd < 0) {
		/* Without a descriptor it would stay there to be accepted, and the loop would run in circles. */
		if (fd_is_exhausted(errno))
			fail(d, strerror(errno));
		return;
	}
	if (getsockopt(d->order_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0) {
		fail(d, "the kernel does not say who reported as the guest");
		return;
	}
	d->reporter = peer.pid;
	d->pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	if (d->pidfd < 0) {
		fail(d, "the process that reported as the guest is gone");
		return;
	}
	/* One report: the path goes, nobody else can connect. And one direction: what the guest writes
	 * is refused by the kernel, never read. */
	stop_listening(d);
	(void)shutdown(d->order_fd, SHUT_RD);
	compare_when_complete(d);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fail(arg, "the guest did not report in time");
}

/* bind() through the directory's descriptor: sun_path has room for 107 bytes only. */
static int
bind_socket(struct data_path *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/socket",
	    d->directory_fd);
	d->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->listen_fd < 0)
		return -errno;
	if (bind(d->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	/* The container's user, whoever that is, must be able to connect; other users of the host do
	 * not get into the directory above this one. */
	if (fchmodat(d->directory_fd, "socket", 0666, 0) < 0 || listen(d->listen_fd, 1) < 0)
		return -errno;
	return 0;
}

static int
make_rendezvous(struct data_path *d, const char *name, bool found)
{
	const struct config *c = d->broker->config;
	int r = data_path_directory(d->broker, name, &d->directory);

	if (r < 0)
		return r;
	if (asprintf(&d->directory_view, "%s/rendezvous/%s", c->engine.view_runtime_dir, name) < 0)
		return -ENOMEM;
	/* One that is not there any more cannot be made anew: the container has the old one mounted. */
	if (!found)
		r = data_path_make_directory(d->directory, 0711);
	if (r < 0)
		return r;
	d->directory_fd = open(d->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* The container's user passes through it; mkdir() has our umask taken off. */
	if (d->directory_fd < 0 || fchmod(d->directory_fd, 0711) < 0)
		return -errno;
	if (found)
		(void)unlinkat(d->directory_fd, "socket", 0);
	return bind_socket(d);
}

static int
direct_open(struct broker *b, const char *name, enum data_path_life life,
    const struct data_path_events *events, struct data_path **ret)
{
	struct data_path *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return -ENOMEM;
	d->broker = b;
	d->events = *events;
	d->directory_fd = d->listen_fd = d->pidfd = d->order_fd = -1;
	d->kept = life == DATA_PATH_FOUND;
	r = make_rendezvous(d, name, life == DATA_PATH_FOUND);
	if (r == 0) {
		d->listen_event =
		    event_new(b->base, d->listen_fd, EV_READ | EV_PERSIST, on_report, d);
		d->deadline = evtimer_new(b->base, on_deadline, d);
		if (d->listen_event == NULL || d->deadline == NULL ||
		    event_add(d->listen_event, NULL) < 0)
			r = -ENOMEM;
	}
	if (r < 0) {
		direct_close(d);
		return r;
	}
	d->kept = life != DATA_PATH_ONCE;
	*ret = d;
	return 0;
}

static void
direct_describe(struct data_path *d, struct engine_container_spec *spec,
    struct engine_mount *mounts, uint32_t grace_ms)
{
	(void)grace_ms; /* comes with each order */
	container_plan_direct(spec, mounts, d->broker->config->engine.view_guest_dir,
	    d->directory_view);
	d->described = true;
	(void)!engine_spec_copy(spec, &d->asked);
}

static void
direct_launched(struct data_path *d, const struct engine_container *seen)
{
	struct timeval tv = { .tv_sec = REPORT_SECONDS };

	memcpy(d->id, seen->id, sizeof(d->id));
	d->started_at = strdup(seen->started_at);
	d->init = seen->pid;
	d->podman = seen->podman;
	if (!seen->running || seen->pid <= 0) {
		fail(d, "the container ended as soon as it was started");
		return;
	}
	if (d->started_at == NULL || event_add(d->deadline, &tv) < 0) {
		fail(d, "out of memory");
		return;
	}
	compare_when_complete(d);
}

/* Send an order with the guest's ends; ret gets the worker's. ctl_alone: the guest makes the rest. */
static int
give_order(struct data_path *d, const struct wire_writer *w, bool ctl_alone,
    struct data_path_streams *ret)
{
	int child[IPC_START_FDS];
	int r;

	if (w->failed)
		return -E2BIG;
	ret->n = ctl_alone ? 1 : IPC_START_FDS;
	r = data_path_make_streams(ctl_alone, child, ret->fds);
	if (r == 0)
		r = ipc_chan_send(d->order_fd, w->data, w->len, child, ret->n, MSG_DONTWAIT);
	fd_close_all(child, IPC_START_FDS);
	if (r == 0)
		return 0;
	fd_close_all(ret->fds, IPC_START_FDS);
	if (r == IPC_CHAN_E_AGAIN)
		return DATA_PATH_E_BUSY;
	return r == IPC_CHAN_E_END ? DATA_PATH_E_ENDED : r;
}

static int
direct_start(struct data_path *d, const struct guest_spawn *order, struct data_path_waiter *waiter,
    struct data_path_streams *ret)
{
	static uint8_t record[GUEST_ORDER_MAX]; /* one loop, one order at a time */
	struct wire_writer w;

	(void)waiter;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_spawn(&w, order);
	return give_order(d, &w, order->want_pty, ret);
}

static int
direct_connect(struct data_path *d, const struct guest_connect *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret)
{
	uint8_t record[GUEST_CONNECT_MAX];
	struct wire_writer w;

	(void)waiter;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_connect(&w, order);
	return give_order(d, &w, true, ret);
}

static int
direct_listen(struct data_path *d, const struct guest_listen *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret)
{
	uint8_t record[GUEST_LISTEN_RECORD_MAX];
	struct wire_writer w;

	(void)waiter;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_listen(&w, order);
	return give_order(d, &w, true, ret);
}

/* The guest sends the connection itself. */
static int
direct_accept(struct data_path_streams *ret)
{
	ret->n = 0;
	return 0;
}

/* Nothing is ever on its way. */
static void
direct_forget(struct data_path_waiter *waiter)
{
	(void)waiter;
}

/* False: it has not been told; it ends with the connection, or is killed later. */
static bool
tell_to_end(struct data_path *d, const int *fds, unsigned n_fds)
{
	uint8_t record[1];
	struct wire_writer w;

	wire_writer_init(&w, record, sizeof(record));
	guest_put_end(&w);
	if (d->order_fd >= 0 &&
	    ipc_chan_send(d->order_fd, w.data, w.len, fds, n_fds, MSG_DONTWAIT) == 0)
		return true;
	log_debug("a guest does not take the order to end");
	return false;
}

/* -1: its end is not to be had. */
static int
tell_to_empty(struct data_path *d)
{
	SP_CLEANUP_FD int ours = -1;
	SP_CLEANUP_FD int theirs = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	ours = fds[0];
	theirs = fds[1];
	return tell_to_end(d, &theirs, 1) ? fd_steal(&ours) : -1;
}

/* One that is kept would look for another broker, and may be an older guest, which is told nothing but that. */
static int
direct_hang_up(struct data_path *d)
{
	bool kept = d->kept;
	int empty_fd = -1;

	d->kept = false;
	give_up(d);
	if (kept)
		(void)tell_to_end(d, NULL, 0);
	else
		empty_fd = tell_to_empty(d);
	fd_close(&d->order_fd);
	return empty_fd;
}

const struct data_path_ops data_path_direct = {
	.open = direct_open,
	.describe = direct_describe,
	.launched = direct_launched,
	.start = direct_start,
	.connect = direct_connect,
	.listen = direct_listen,
	.accept = direct_accept,
	.forget = direct_forget,
	.hang_up = direct_hang_up,
	.close = direct_close,
};
