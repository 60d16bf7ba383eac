/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: see forward.h. */
#include "forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libssh/ssh2.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "attr.h"
#include "clock.h"
#include "connection.h"
#include "exec_stream.h"
#include "fd.h"
#include "hooks.h"
#include "ipc_chan.h"
#include "log.h"
#include "x11_auth.h"

/* Of the guest to an order to listen, for which others wait. Through an engine it has to be started first. */
#define ANSWER_MS        5000
#define ANSWER_ENGINE_MS 20000

static void
broker_gone(struct connection *c)
{
	connection_end(c, WORKER_EXIT_BROKER_GONE, "service unavailable");
}

static bool
is_host(const char *host)
{
	return host != NULL && strlen(host) <= IPC_HOST_MAX;
}

/* An open of a channel is refused with a reason and a text of the protocol; a listener's request knows neither. */
static void
refuse(struct channel *ch, uint32_t reason, const char *text)
{
	if (ch->opening == NULL)
		return;
	if (ch->kind == CHANNEL_DIRECT)
		(void)hooks_refuse_channel(ch->opening, reason, text);
	else if (ch->listens == IPC_LISTEN_TCP)
		hooks_reply(ch->opening, false, 0);
	else
		(void)ssh_message_reply_default(ch->opening);
	ssh_message_free(ch->opening);
	ch->opening = NULL;
}

/* Nobody listens there any more. */
static void
end_listener(struct channel *ch)
{
	channel_close_streams(ch);
	ch->state = CHANNEL_ENDED;
}

/*
 * The agent could not be listened for, or what listened is gone: with its container, or killed there. It is asked for again
 * when the client wishes for it again, as it does with each of its sessions, and no sooner: who kills has no work done.
 */
static void
lost_agent(struct channel *ch)
{
	channel_settle(ch); /* the broker knows of one agent at a time */
	ch->connection->agent_wanted = ch->connection->agent_asked = false;
}

/* why: for the log. The others are for the client. */
static void
fail(struct channel *ch, const char *why, uint32_t reason, const char *text)
{
	log_info("channel %u: no forward: %s", ch->number, why);
	refuse(ch, reason, text);
	channel_close_streams(ch);
	ch->state = CHANNEL_ENDED;
	if (ch->connection->asking == ch)
		connection_asked(ch->connection);
	/* What the policy refuses stays so. */
	if (ch->kind == CHANNEL_LISTENER && ch->listens == IPC_LISTEN_AGENT &&
	    reason != SSH2_OPEN_ADMINISTRATIVELY_PROHIBITED)
		lost_agent(ch);
}

void
forward_failed(struct channel *ch, const char *why)
{
	fail(ch, why, SSH2_OPEN_CONNECT_FAILED, FORWARD_OPEN_FAILED);
}

/*
 * What sshd says when nobody answers at an address. The number is the container's word, so only those that a
 * connection can fail with are told on.
 */
static void
failed_in_container(struct channel *ch, uint32_t error)
{
	static const int known[] = { ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, ECONNRESET,
		EHOSTDOWN, ENETDOWN, EACCES, EPERM, EADDRNOTAVAIL, EAFNOSUPPORT };
	const char *text = FORWARD_OPEN_FAILED;

	for (size_t i = 0; i < SP_ARRAY_LEN(known); i++) {
		if (error == (uint32_t)known[i])
			text = strerror(known[i]);
	}
	fail(ch, channel_error_text(error), SSH2_OPEN_CONNECT_FAILED, text);
}

/* ---- into the container ---- */

void
forward_open_direct(struct channel *ch, ssh_message m)
{
	const char *host = ssh_message_channel_request_open_destination(m);
	int port = ssh_message_channel_request_open_destination_port(m);
	struct ipc_req_forward q = { .channel = ch->number };

	ch->opening = m;
	if (!is_host(host) || host[0] == '\0' || port < 1 || port > 65535) {
		forward_failed(ch, "no host and port");
		return;
	}
	q.host = (struct wire_span){ (const uint8_t *)host, strlen(host) };
	q.port = (uint32_t)port;
	if (ask_forward(&ch->connection->ask, &q) != 0) {
		broker_gone(ch->connection);
		return;
	}
	ch->unanswered = true;
	ch->known = true;
}

/* The kernel's word what it is. What it is connected to is the container's affair. */
static bool
is_stream(int fd, bool tcp)
{
	int domain = 0;
	int type = 0;
	int protocol = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 || type != SOCK_STREAM)
		return false;
	if (!tcp)
		return domain == AF_UNIX;
	return (domain == AF_INET || domain == AF_INET6) && protocol == IPPROTO_TCP;
}

/* One connection, to write to and to read from. false: it is none. */
static bool
take_connection(struct channel *ch, int *fds, bool tcp)
{
	if (!is_stream(fds[0], tcp) || !is_stream(fds[1], tcp) || fd_set_nonblock(fds[0]) < 0 ||
	    fd_set_nonblock(fds[1]) < 0)
		return false;
	ch->in = fd_steal(&fds[0]);
	ch->out = fd_steal(&fds[1]);
	return true;
}

/* Both ends are there. */
static void
run(struct channel *ch)
{
	ch->exited = true; /* no program whose end could be reported */
	ch->state = CHANNEL_RUNNING;
}

static bool
guest_connected(struct channel *ch, int *fds)
{
	if (ch->stream == NULL && !take_connection(ch, fds, true))
		return false;
	ch->ssh = ssh_message_channel_request_open_reply_accept(ch->opening);
	ssh_message_free(ch->opening);
	ch->opening = NULL;
	if (ch->ssh == NULL) {
		connection_cannot_go_on(ch->connection);
		return true;
	}
	channel_add_callbacks(ch);
	fd_close(&ch->ctl); /* the guest has nothing more to say */
	run(ch);
	return true;
}

/* ---- out of the container: listening ---- */

static bool
ask_for_listener(struct channel *ch, struct ipc_req_listen *q)
{
	ch->listens = q->kind;
	q->channel = ch->number;
	if (ask_listen(&ch->connection->ask, q) != 0) {
		broker_gone(ch->connection);
		return false;
	}
	ch->unanswered = true;
	ch->known = true;
	return true;
}

/* One that is not put to the broker, which would take it for an attack. */
static void
refuse_listen(struct connection *c, const char *host, int port)
{
	char detail[IPC_DETAIL_MAX + 1];

	(void)snprintf(detail, sizeof(detail), "%.200s port %d", host != NULL ? host : "", port);
	connection_refused(c, IPC_REFUSED_LISTEN, detail);
}

bool
forward_listen(struct connection *c, ssh_message m)
{
	const char *host = ssh_message_global_request_address(m);
	int port = ssh_message_global_request_port(m);
	struct channel *ch = connection_free_channel(c, CHANNEL_LISTENER);
	struct ipc_req_listen q = { .kind = IPC_LISTEN_TCP };

	if (ch == NULL || !is_host(host) || port < 0 || port > 65535) {
		refuse_listen(c, host, port);
		hooks_reply(m, false, 0);
		return false;
	}
	channel_begin(ch, c, ch->number, CHANNEL_LISTENER);
	ch->opening = m;
	ch->port = (uint32_t)port;
	strcpy(ch->program, host);
	q.host = (struct wire_span){ (const uint8_t *)host, strlen(host) };
	q.port = ch->port;
	if (ask_for_listener(ch, &q))
		c->asking = ch;
	return true;
}

/* As sshd: by the address as it was written, and the port as it was answered. */
void
forward_cancel(struct connection *c, ssh_message m)
{
	const char *host = ssh_message_global_request_address(m);
	int port = ssh_message_global_request_port(m);

	for (unsigned i = 0; host != NULL && port > 0 && i < c->n_channels; i++) {
		struct channel *ch = &c->channels[i];

		if (ch->state != CHANNEL_RUNNING || ch->kind != CHANNEL_LISTENER ||
		    ch->listens != IPC_LISTEN_TCP || ch->port != (uint32_t)port ||
		    strcmp(ch->program, host) != 0)
			continue;
		end_listener(ch);
		channel_settle(ch); /* its number is free before the client is told so */
		hooks_reply(m, true, 0);
		return;
	}
	hooks_reply(m, false, 0);
}

void
forward_agent(struct connection *c)
{
	struct channel *ch = connection_free_channel(c, CHANNEL_LISTENER);

	if (!c->agent_wanted || c->agent_asked || c->asking != NULL)
		return;
	if (ch == NULL) {
		log_debug("no channel is left for the agent");
		return;
	}
	channel_begin(ch, c, ch->number, CHANNEL_LISTENER);
	c->agent_asked = ask_for_listener(ch, &(struct ipc_req_listen){ .kind = IPC_LISTEN_AGENT });
	if (c->agent_asked)
		c->asking = ch;
}

/* As sshd; and what its xauth would not take is refused at once. */
bool
forward_x11(struct channel *program, ssh_message m)
{
	struct connection *c = program->connection;
	struct channel *ch = connection_free_channel(c, CHANNEL_LISTENER);
	struct ipc_req_listen q = { .kind = IPC_LISTEN_X11 };
	struct x11_auth auth;

	if (!c->grants.x11 || ch == NULL ||
	    !x11_auth_read(ssh_message_channel_request_x11_auth_protocol(m),
		ssh_message_channel_request_x11_auth_cookie(m), &auth)) {
		connection_refused(c, IPC_REFUSED_X11, "");
		return false;
	}
	channel_begin(ch, c, ch->number, CHANNEL_LISTENER);
	ch->opening = m;
	ch->shows = program;
	ch->only_one = q.only_one = ssh_message_channel_request_x11_single_connection(m) != 0;
	program->screen = (uint32_t)ssh_message_channel_request_x11_screen_number(m);
	q.name = (struct wire_span){ (const uint8_t *)auth.name, strlen(auth.name) };
	q.cookie = (struct wire_span){ auth.cookie, auth.len };
	if (ask_for_listener(ch, &q))
		c->asking = ch;
	return true;
}

static struct channel *
listener_of(const struct channel *program)
{
	for (unsigned i = 0; i < program->connection->n_channels; i++) {
		struct channel *ch = &program->connection->channels[i];

		if (ch->kind == CHANNEL_LISTENER && ch->state == CHANNEL_RUNNING &&
		    ch->shows == program)
			return ch;
	}
	return NULL;
}

bool
forward_display(const struct channel *program, struct ipc_display *ret)
{
	const struct channel *listener = listener_of(program);

	if (listener == NULL)
		return false;
	ret->listener = listener->number;
	ret->number = listener->port - GUEST_X11_PORT;
	ret->screen = program->screen;
	return true;
}

void
forward_end_x11(const struct channel *program)
{
	struct channel *listener = listener_of(program);

	if (listener == NULL)
		return;
	end_listener(listener);
	channel_settle(listener); /* it may have been its turn before the program's */
}

/* Whether the guest may have got this port for what it was asked for. */
static bool
is_port_of(const struct channel *ch, uint32_t port)
{
	const uint32_t first = GUEST_X11_PORT + IPC_X11_FIRST;

	switch (ch->listens) {
	case IPC_LISTEN_AGENT:
		break;
	case IPC_LISTEN_X11:
		return port >= first && port < first + IPC_X11_DISPLAYS;
	case IPC_LISTEN_TCP:
		return port != 0 && (ch->port == 0 || ch->port == port);
	}
	return true;
}

/* The client is told: nothing for the agent's, which was answered before. */
static bool
guest_listens(struct channel *ch, uint32_t port)
{
	if (!is_port_of(ch, port))
		return false;
	ch->state = CHANNEL_RUNNING;
	connection_asked(ch->connection);
	if (ch->opening == NULL)
		return true;
	if (ch->listens == IPC_LISTEN_X11)
		(void)ssh_message_channel_request_reply_success(ch->opening);
	else
		hooks_reply(ch->opening, true, (uint16_t)port);
	if (ch->shows != NULL)
		ch->shows->x11 = true;
	ssh_message_free(ch->opening);
	ch->opening = NULL;
	ch->port = port;
	return true;
}

/* ---- out of the container: connections ---- */

/* The guest may send the next one. If it does not hear that, it does not. */
static void
say_taken(const struct channel *listener)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, &(struct guest_ctl){ .id = GUEST_CTL_TAKEN });
	(void)!ipc_chan_send_plain(listener->ctl, w.data, w.len, MSG_DONTWAIT);
}

/* Where an accepted connection comes from, as the client is told; "" for the agent's. */
static void
from_text(const struct guest_ctl *m, char out[IPC_ADDRESS_MAX])
{
	int family = m->accepted.from.v6 ? AF_INET6 : AF_INET;

	if (!m->accepted.tcp ||
	    inet_ntop(family, m->accepted.from.bytes, out, IPC_ADDRESS_MAX) == NULL)
		out[0] = '\0';
}

/* r: what libssh says of the open. Refused by the client, it is closed, as under sshd. */
static void
opened(struct channel *ch, int r)
{
	if (r == SSH_AGAIN)
		return;
	if (r == SSH_OK) {
		run(ch);
		return;
	}
	log_info("channel %u: the client does not take the connection", ch->number);
	channel_close_streams(ch);
	ch->closed = ch->close_sent = true; /* it has never been open */
	ch->state = CHANNEL_ENDED;
}

/* Asking again, libssh looks at nothing but whether there is an answer. */
void
forward_go_on(struct channel *ch)
{
	switch (ch->listens) {
	case IPC_LISTEN_AGENT:
		opened(ch, ssh_channel_open_auth_agent(ch->ssh));
		return;
	case IPC_LISTEN_X11:
		opened(ch, ssh_channel_open_x11(ch->ssh, ch->from, (int)ch->from_port));
		return;
	case IPC_LISTEN_TCP:
		opened(ch,
		    ssh_channel_open_reverse_forward(ch->ssh, ch->program, (int)ch->port, ch->from,
			(int)ch->from_port));
		return;
	}
}

static void
ask_client(struct channel *ch)
{
	ch->ssh = ssh_channel_new(ch->connection->session);
	if (ch->ssh == NULL) {
		connection_end(ch->connection, WORKER_EXIT_INTERNAL, "out of memory");
		return;
	}
	channel_add_callbacks(ch);
	forward_go_on(ch);
}

/* What the guest has accepted, as the listener's kind has it. false: it is none of that. */
static bool
take_accepted(struct channel *ch, const struct channel *listener, const struct guest_ctl *m, int *fds)
{
	if (listener->stream == NULL)
		return take_connection(ch, fds, m->accepted.tcp);
	ch->stream = exec_stream_accept(listener->stream);
	if (ch->stream == NULL)
		return false;
	connection_add_stream(ch->connection, ch->stream);
	return true;
}

static bool
guest_accepted(struct channel *listener, const struct guest_ctl *m, int *fds)
{
	struct connection *c = listener->connection;
	struct channel *ch = connection_free_channel(c, CHANNEL_ACCEPTED);
	struct ipc_accepted told = { .listener = listener->number, .port = m->accepted.port };

	if (ch == NULL || m->accepted.tcp == (listener->listens == IPC_LISTEN_AGENT) ||
	    (listener->only_one && listener->had_one))
		return false;
	channel_begin(ch, c, ch->number, CHANNEL_ACCEPTED);
	ch->listens = listener->listens;
	ch->port = listener->port;
	strcpy(ch->program, listener->program);
	if (!take_accepted(ch, listener, m, fds)) {
		ch->state = CHANNEL_UNUSED;
		return false;
	}
	from_text(m, ch->from);
	ch->from_port = m->accepted.port;
	told.channel = ch->number;
	told.from = (struct wire_span){ (const uint8_t *)ch->from, strlen(ch->from) };
	if (ask_accepted(&c->ask, &told) != 0) {
		broker_gone(c);
		return true;
	}
	ch->unanswered = true;
	ch->known = true;
	listener->had_one = true;
	say_taken(listener);
	return true;
}

/* ---- the broker's answer, the guest's words ---- */

/* Through the engine's streams: the channel's ends of in and out, then the others. */
static bool
take_pipes(struct channel *ch, int fds[IPC_PIPE_FDS])
{
	for (int i = 0; i < IPC_PIPE_FDS; i++) {
		if (fd_set_nonblock(fds[i]) < 0)
			return false;
	}
	ch->in = fd_steal(&fds[0]);
	ch->out = fd_steal(&fds[1]);
	exec_stream_open(ch->stream, &fds[2], &fds[3]);
	return true;
}

void
forward_answered(struct channel *ch, struct ask_event *e)
{
	if (e->result != IPC_START_OK) {
		fail(ch, e->text,
		    e->result == IPC_START_REFUSED ? SSH2_OPEN_ADMINISTRATIVELY_PROHIBITED
						   : SSH2_OPEN_CONNECT_FAILED,
		    FORWARD_OPEN_FAILED);
		return;
	}
	if (ch->kind == CHANNEL_ACCEPTED) {
		if ((ch->stream != NULL) != (e->n_fds == IPC_PIPE_FDS) ||
		    (ch->stream != NULL && !take_pipes(ch, e->fds)))
			forward_failed(ch, "the streams cannot be used");
		else
			ask_client(ch);
		return;
	}
	ch->answer_by = clock_now_ms() + (e->n_fds == IPC_STREAM_FDS ? ANSWER_ENGINE_MS : ANSWER_MS);
	if (e->n_fds != IPC_STREAM_FDS)
		ch->ctl = fd_steal(&e->fds[0]);
	else if (!channel_take_stream(ch, e->fds))
		forward_failed(ch, "the streams cannot be used");
}

static bool
guest_said_of_listener(struct channel *ch, const struct guest_ctl *m, int *fds, unsigned n_fds)
{
	bool starting = ch->state == CHANNEL_STARTING;

	if (m->id == GUEST_CTL_LISTENING && n_fds == 0 && starting)
		return guest_listens(ch, m->listening.port);
	if (m->id == GUEST_CTL_ACCEPTED && n_fds == (ch->stream != NULL ? 0U : 2U) &&
	    ch->state == CHANNEL_RUNNING)
		return guest_accepted(ch, m, fds);
	if (m->id != GUEST_CTL_FAILED || n_fds != 0 || !starting)
		return false;
	failed_in_container(ch, m->failed.error);
	return true;
}

/* With getaddrinfo's words, as sshd; the log has more. */
static void
failed_lookup(struct channel *ch, uint32_t error)
{
	switch (error) {
	case ENOENT:
		fail(ch, "The container does not know this name.", SSH2_OPEN_CONNECT_FAILED,
		    "Name or service not known");
		break;
	case EAGAIN:
		fail(ch, "No name server of the container answers.", SSH2_OPEN_CONNECT_FAILED,
		    "Temporary failure in name resolution");
		break;
	case ETIMEDOUT:
		fail(ch, "The container has not found this name in time.", SSH2_OPEN_CONNECT_FAILED,
		    "Temporary failure in name resolution");
		break;
	case EACCES:
		fail(ch,
		    "Forwarding to what this name stands for in the container is not allowed for this login.",
		    SSH2_OPEN_ADMINISTRATIVELY_PROHIBITED, FORWARD_OPEN_FAILED);
		break;
	default:
		failed_in_container(ch, error);
		break;
	}
}

static void
failed_to_connect(struct channel *ch, const struct guest_ctl *m)
{
	if (m->failed.stage == GUEST_FAIL_LOOKUP)
		failed_lookup(ch, m->failed.error);
	else if (m->failed.stage == GUEST_FAIL_ORDER && m->failed.error == EPROTO)
		forward_failed(ch,
		    "The container's guest is of an earlier release, and does not know how.");
	else
		failed_in_container(ch, m->failed.error);
}

bool
forward_guest_said(struct channel *ch, const struct guest_ctl *m, int *fds, unsigned n_fds)
{
	if (ch->kind == CHANNEL_LISTENER)
		return guest_said_of_listener(ch, m, fds, n_fds);
	if (m->id == GUEST_CTL_CONNECTED && n_fds == (ch->stream != NULL ? 0U : 2U))
		return guest_connected(ch, fds);
	if (m->id != GUEST_CTL_FAILED || n_fds != 0)
		return false;
	failed_to_connect(ch, m);
	return true;
}
