/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: the administrator's socket. Whoever is heard here may see who is in, end sessions and
 * reload the policy, nothing more; requests are bounded, and a client that neither asks nor reads is dropped.
 */
#include "control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker.h"
#include "clock.h"
#include "config.h"
#include "control_answers.h"
#include "fd.h"
#include "log.h"

#define BACKLOG        16
#define CLIENTS_MAX    16 /* at a time */
#define REQUEST_MAX    4096
#define CLIENT_SECONDS 10 /* to ask, and to read the answer */
#define GROUPS_MAX     256
#define PAUSE_MS       250 /* out of descriptors: try again, do not spin */

struct client {
	TAILQ_ENTRY(client) link;
	struct control *control;
	struct bufferevent *stream;
	bool may_ask;
	uid_t uid; /* who asks, as the kernel says */
	bool answered;
};

TAILQ_HEAD(client_list, client);

struct control {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int fd;
	bool has_group;
	gid_t group;
	struct control_context context;
	struct event *listening;
	struct event *pause;
	struct client_list clients;
	unsigned n_clients;
};

/* ---- the socket ---- */

/* A socket that nobody listens on is an earlier run's. */
static int
remove_old(const char *path, const struct sockaddr_un *address, char *why, size_t cap)
{
	SP_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		(void)snprintf(why, cap, "%s is there already and is no socket", path);
		return -EEXIST;
	}
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN) {
		(void)snprintf(why, cap, "another broker answers on %s", path);
		return -EADDRINUSE;
	}
	return unlink(path) < 0 ? -errno : 0;
}

static int
bind_socket(struct control *control, char *why, size_t cap)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	memcpy(address.sun_path, control->path, sizeof(address.sun_path));
	r = remove_old(control->path, &address, why, cap);
	if (r < 0)
		return r;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The umask makes it this user's alone until its group is set. */
	if (control->fd < 0 ||
	    bind(control->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (control->has_group && chown(control->path, (uid_t)-1, control->group) < 0) {
		r = -errno;
		(void)snprintf(why, cap,
		    "cannot give %s to gid %u, the group of control.group: %s; a broker that is not root has to "
		    "be in it: the packaged unit needs it in SupplementaryGroups=, and SystemCallFilter=chown",
		    control->path, (unsigned)control->group, strerror(-r));
		return r;
	}
	if (chmod(control->path, control->has_group ? 0660 : 0600) < 0)
		return -errno;
	return listen(control->fd, BACKLOG) < 0 ? -errno : 0;
}

int
control_open(const struct config *c, struct control **ret, char *why, size_t cap)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (control == NULL)
		return -ENOMEM;
	TAILQ_INIT(&control->clients);
	control->fd = -1;
	control->has_group = c->control.has_group;
	control->group = c->control.group;
	(void)snprintf(control->path, sizeof(control->path), "%s", c->control.socket);
	why[0] = '\0';
	r = bind_socket(control, why, cap);
	if (r < 0) {
		if (why[0] == '\0')
			(void)snprintf(why, cap, "cannot listen on %s: %s", control->path,
			    strerror(-r));
		fd_close(&control->fd);
		free(control);
		return r;
	}
	*ret = control;
	return 0;
}

/* ---- clients ---- */

static void
drop(struct client *c)
{
	TAILQ_REMOVE(&c->control->clients, c, link);
	c->control->n_clients--;
	bufferevent_free(c->stream);
	free(c);
}

static void
send_answer(struct client *c, json_t *answer)
{
	char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(answer);
	c->answered = true;
	if (text == NULL || bufferevent_write(c->stream, text, strlen(text)) < 0 ||
	    bufferevent_write(c->stream, "\n", 1) < 0 || bufferevent_disable(c->stream, EV_READ) < 0)
		drop(c);
	free(text);
}

static void
on_request(struct bufferevent *stream, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct client *c = arg;
	size_t len = 0;
	char *line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF);

	/* It is told after it has asked: an answer before the question is lost with the connection. */
	if (line != NULL && !c->may_ask)
		send_answer(c,
		    control_error("only root, the broker's user and the configured group may ask"));
	else if (line != NULL)
		send_answer(c, control_answer(&c->control->context, c->uid, line, len));
	else if (evbuffer_get_length(input) >= REQUEST_MAX)
		send_answer(c, control_error("the request is too long"));
	free(line);
}

/* All of the answer has left. */
static void
on_written(struct bufferevent *stream, void *arg)
{
	struct client *c = arg;

	(void)stream;
	if (c->answered)
		drop(c);
}

static void
on_end(struct bufferevent *stream, short what, void *arg)
{
	(void)stream;
	(void)what;
	drop(arg);
}

/* Root, ourselves, or a member of the group: the kernel's word, taken when it connected. */
static bool
may_ask(const struct control *control, int fd, uid_t *ret_uid)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);
	struct ucred who;
	socklen_t who_len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) < 0)
		return false;
	*ret_uid = who.uid;
	if (who.uid == 0 || who.uid == geteuid())
		return true;
	if (!control->has_group)
		return false;
	if (who.gid == control->group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++) {
		if (groups[i] == control->group)
			return true;
	}
	return false;
}

static void
add_client(struct control *control, int *fd)
{
	struct timeval patience = { .tv_sec = CLIENT_SECONDS };
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return;
	c->control = control;
	c->stream = bufferevent_socket_new(control->context.broker->base, *fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->stream == NULL) {
		free(c);
		return;
	}
	*fd = -1;
	TAILQ_INSERT_TAIL(&control->clients, c, link);
	control->n_clients++;
	bufferevent_setcb(c->stream, on_request, on_written, on_end, c);
	bufferevent_setwatermark(c->stream, EV_READ, 0, REQUEST_MAX);
	c->may_ask = may_ask(control, bufferevent_getfd(c->stream), &c->uid);
	if (bufferevent_set_timeouts(c->stream, &patience, &patience) < 0 ||
	    bufferevent_enable(c->stream, EV_READ | EV_WRITE) < 0)
		drop(c);
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;

	(void)fd;
	(void)what;
	if (event_add(control->listening, NULL) < 0)
		log_error("no answers on the control socket any more: out of memory");
}

static void
pause_accepting(struct control *control)
{
	struct timeval tv = { .tv_usec = PAUSE_MS * 1000 };

	if (event_add(control->pause, &tv) == 0)
		(void)event_del(control->listening);
}

static void
on_connection(evutil_socket_t listening, short what, void *arg)
{
	struct control *control = arg;
	SP_CLEANUP_FD int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0) {
		if (fd_is_exhausted(errno))
			pause_accepting(control);
		return;
	}
	if (control->n_clients < CLIENTS_MAX)
		add_client(control, &fd);
}

int
control_run(struct control *control, struct broker *b, const struct control_events *events)
{
	control->context = (struct control_context){ b, *events, clock_now_ms() };
	control->listening =
	    event_new(b->base, control->fd, EV_READ | EV_PERSIST, on_connection, control);
	control->pause = evtimer_new(b->base, on_pause_over, control);
	if (control->listening == NULL || control->pause == NULL ||
	    event_add(control->listening, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void
control_free(struct control *control)
{
	struct client *c;

	if (control == NULL)
		return;
	while ((c = TAILQ_FIRST(&control->clients)) != NULL)
		drop(c);
	if (control->listening != NULL)
		event_free(control->listening);
	if (control->pause != NULL)
		event_free(control->pause);
	if (control->fd >= 0 && unlink(control->path) < 0)
		log_warn("cannot remove %s: %s", control->path, strerror(errno));
	fd_close(&control->fd);
	free(control);
}
