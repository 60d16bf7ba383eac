/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: what the client asks for, one message of libssh's queue after the other. All of it is the client's. */
#include <libssh/ssh2.h>
#include <string.h>

#include "attr.h"
#include "client_socket.h"
#include "connection.h"
#include "forward.h"
#include "hooks.h"
#include "log.h"

#define MESSAGES_LEFT UINT64_MAX /* in place of a number of packets seen: libssh may hold more */
#define REPLIES_MAX   1024       /* that may wait for a client that asks and does not read */
#define REPLIES_EARLY 64         /* the same before it has logged in */
#define WITHHELD_MAX  256        /* replies that wait for the one to a tcpip-forward */

/* As under sshd listeners are none of the channels that a login has so many of. */
static void
count_channels(const struct connection *c, unsigned *ret_channels, unsigned *ret_listeners)
{
	*ret_channels = *ret_listeners = 0;
	for (unsigned i = 0; i < c->n_channels; i++) {
		const struct channel *ch = &c->channels[i];

		if (ch->state == CHANNEL_UNUSED)
			continue;
		if (ch->kind == CHANNEL_LISTENER)
			++*ret_listeners;
		else if (!channel_is_gone(ch))
			++*ret_channels;
	}
}

/* libssh keeps the name of a type that it does not know to itself. */
static const char *
channel_type_name(int type)
{
	switch (type) {
	case SSH_CHANNEL_SESSION:
		return "session";
	case SSH_CHANNEL_DIRECT_TCPIP:
		return "direct-tcpip";
	case SSH_CHANNEL_FORWARDED_TCPIP:
		return "forwarded-tcpip";
	case SSH_CHANNEL_X11:
		return "x11";
	case SSH_CHANNEL_AUTH_AGENT:
		return "auth-agent@openssh.com";
	default:
		return "";
	}
}

/*
 * As sshd, which says the same of types that it does not know, of those that are for clients to open, and of a session
 * too many. It does not count connections: of those one too many is what it would call a shortage.
 */
static void
refuse_channel(struct connection *c, ssh_message m, enum ipc_refused_kind kind)
{
	int type = ssh_message_subtype(m);

	connection_refused(c, kind, channel_type_name(type));
	(void)hooks_refuse_channel(m,
	    type == SSH_CHANNEL_DIRECT_TCPIP ? SSH2_OPEN_RESOURCE_SHORTAGE : SSH2_OPEN_CONNECT_FAILED,
	    FORWARD_OPEN_FAILED);
}

struct channel *
connection_free_channel(struct connection *c, enum channel_kind kind)
{
	unsigned channels, listeners;
	uint32_t number = 0;

	count_channels(c, &channels, &listeners);
	if (kind == CHANNEL_LISTENER ? listeners >= IPC_LISTENERS_MAX
				     : channels >= c->grants.max_channels)
		return NULL;
	while (number < IPC_CHANNEL_MAX && c->channels[number].state != CHANNEL_UNUSED)
		number++;
	if (number == IPC_CHANNEL_MAX)
		return NULL;
	c->channels[number].number = number;
	return &c->channels[number];
}

/* Whether m is kept, to be answered later. */
static bool
on_channel_open(struct connection *c, ssh_message m)
{
	int type = ssh_message_subtype(m);
	struct channel *ch = connection_free_channel(c,
	    type == SSH_CHANNEL_SESSION ? CHANNEL_PROGRAM : CHANNEL_DIRECT);
	ssh_channel ssh;

	if (type != SSH_CHANNEL_SESSION && type != SSH_CHANNEL_DIRECT_TCPIP) {
		refuse_channel(c, m, IPC_REFUSED_CHANNEL);
		return false;
	}
	/* As sshd. Later releases of libssh do it by themselves. */
	if (type == SSH_CHANNEL_SESSION && !hooks_session_allowed()) {
		log_info("the client broke the protocol: a session after no-more-sessions");
		connection_end(c, WORKER_EXIT_PROTOCOL,
		    "attempt to open a session after additional sessions disabled");
		return false;
	}
	if (ch == NULL) {
		refuse_channel(c, m, IPC_REFUSED_TOO_MANY);
		return false;
	}
	if (type == SSH_CHANNEL_DIRECT_TCPIP) {
		channel_begin(ch, c, ch->number, CHANNEL_DIRECT);
		forward_open_direct(ch, m);
		return true;
	}
	ssh = ssh_message_channel_request_open_reply_accept(m);
	if (ssh != NULL)
		channel_open(ch, c, ch->number, ssh);
	else
		connection_cannot_go_on(c);
	return false;
}

/* The one that a channel request is about, or NULL. */
static struct channel *
channel_of(struct connection *c, ssh_message m)
{
	ssh_channel ssh = ssh_message_channel_request_channel(m);

	for (unsigned i = 0; i < c->n_channels; i++) {
		if (c->channels[i].ssh == ssh && ssh != NULL)
			return &c->channels[i];
	}
	return NULL;
}

/* Whether m is kept, to be answered later. */
static bool
on_channel_request(struct connection *c, ssh_message m)
{
	struct channel *ch = channel_of(c, m);

	if (ch != NULL)
		return channel_request(ch, m);
	(void)ssh_message_reply_default(m);
	return false;
}

/*
 * What libssh tells of at all: it refuses requests that it does not know by itself. Whether m is kept, to be
 * answered later.
 */
static bool
on_global_request(struct connection *c, ssh_message m)
{
	switch (ssh_message_subtype(m)) {
	case SSH_GLOBAL_REQUEST_TCPIP_FORWARD:
		return forward_listen(c, m);
	case SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD:
		forward_cancel(c, m);
		return false;
	default:
		hooks_reply(m, false, 0);
		return false;
	}
}

/*
 * Whether libssh lost a part of what the client said: it keeps texts as C strings. What is left is not what was
 * asked for, and sshd ends the connection too.
 */
static bool
was_cut(ssh_message m)
{
	const char *const texts[] = {
		ssh_message_service_service(m),
		ssh_message_auth_user(m),
		ssh_message_channel_request_open_destination(m),
		ssh_message_channel_request_open_originator(m),
		ssh_message_channel_request_env_name(m),
		ssh_message_channel_request_env_value(m),
		ssh_message_channel_request_pty_term(m),
		ssh_message_channel_request_command(m),
		ssh_message_channel_request_subsystem(m),
		ssh_message_channel_request_x11_auth_protocol(m),
		ssh_message_channel_request_x11_auth_cookie(m),
		ssh_message_global_request_address(m),
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(texts); i++) {
		if (hooks_text_was_cut(texts[i]))
			return true;
	}
	return false;
}

/* Whether m is kept, to be answered later. */
static bool
on_message(struct connection *c, ssh_message m)
{
	int type = ssh_message_type(m);

	if (type == SSH_REQUEST_AUTH)
		login_request(c, m);
	else if (type == SSH_REQUEST_SERVICE)
		login_service(c, m);
	else if (!c->logged_in)
		connection_end(c, WORKER_EXIT_PROTOCOL, "not logged in");
	else if (type == SSH_REQUEST_CHANNEL_OPEN)
		return on_channel_open(c, m);
	else if (type == SSH_REQUEST_CHANNEL)
		return on_channel_request(c, m);
	else if (type == SSH_REQUEST_GLOBAL)
		return on_global_request(c, m);
	else
		(void)ssh_message_reply_default(m);
	return false;
}

uint64_t
connection_other_packets(const struct connection *c)
{
	return c->inside.in_packets - c->data_packets;
}

bool
connection_may_act(const struct connection *c)
{
	if (c->asking != NULL && c->n_held == CONNECTION_HELD_MAX)
		return false;
	return connection_other_packets(c) - c->quiet_packets <=
	    (c->logged_in ? REPLIES_MAX : REPLIES_EARLY);
}

bool
connection_may_read(const struct connection *c)
{
	return connection_may_act(c) && hooks_withheld_replies() < WITHHELD_MAX;
}

/* Of answers alone nobody counts what is queued, so once in a while libssh gets something that would be. */
static void
probe(struct connection *c, uint64_t others)
{
	uint64_t before = c->inside.out_packets;

	c->probed_packets = others;
	client_socket_allow(CLIENT_SOCKET_SEND);
	(void)ssh_send_ignore(c->session, "");
	client_socket_allow(CLIENT_SOCKET_BOTH);
	connection_note_written(c, 1, c->inside.out_packets - before);
}

void
connection_note_quiet(struct connection *c)
{
	uint64_t others = connection_other_packets(c);

	if (c->logged_in && others - c->probed_packets > REPLIES_MAX)
		probe(c, others);
	if (!connection_is_exchanging(c))
		c->quiet_packets = others;
}

bool
connection_has_messages(const struct connection *c)
{
	return connection_other_packets(c) != c->seen_packets;
}

bool
connection_left_messages(const struct connection *c)
{
	return c->seen_packets == MESSAGES_LEFT;
}

void
connection_look_again(struct connection *c)
{
	c->seen_packets = MESSAGES_LEFT;
}

void
connection_asked(struct connection *c)
{
	c->asking = NULL;
	connection_look_again(c);
}

/* Whether one of the first n that are held asks something of this channel. */
static bool
is_held(const struct connection *c, unsigned n, ssh_channel ssh)
{
	for (unsigned i = 0; i < n; i++) {
		if (ssh_message_channel_request_channel(c->held[i]) == ssh)
			return true;
	}
	return false;
}

bool
connection_holds(const struct connection *c, const struct channel *ch)
{
	return ch->ssh != NULL && is_held(c, c->n_held, ch->ssh);
}

void
connection_drop_held(struct connection *c)
{
	while (c->n_held > 0)
		ssh_message_free(c->held[--c->n_held]);
}

/* Whether it is one that starts a program, or asks for a display. */
static bool
wants_listener(ssh_message m)
{
	switch (ssh_message_subtype(m)) {
	case SSH_CHANNEL_REQUEST_SHELL:
	case SSH_CHANNEL_REQUEST_EXEC:
	case SSH_CHANNEL_REQUEST_SUBSYSTEM:
	case SSH_CHANNEL_REQUEST_X11:
		return true;
	default:
		return false;
	}
}

/*
 * Whether the listener that is being asked for has to be answered first. The client knows replies to global requests apart
 * by their order alone, and those to requests on one channel too. A program finds what was asked for before it, its display
 * and the agent among that. n: so many of those that are held came before m.
 */
static bool
has_to_wait(struct connection *c, ssh_message m, unsigned n)
{
	const struct channel *ch;

	if (c->asking == NULL)
		return false;
	if (ssh_message_type(m) == SSH_REQUEST_GLOBAL)
		return true;
	if (ssh_message_type(m) != SSH_REQUEST_CHANNEL)
		return false;
	ch = channel_of(c, m);
	if (ch == NULL || ch->close_sent) /* which is gone before long */
		return false;
	return is_held(c, n, ch->ssh) || c->asking->shows == ch ||
	    (ch->state == CHANNEL_OPEN && wants_listener(m));
}

/* A key, a signature or a message that is none: libssh does not tell of such a request, and nobody would answer it. */
static void
end_broken_login(struct connection *c)
{
	if (c->logins >= hooks_login_requests())
		return;
	log_info("the client broke the protocol: a broken request to log in");
	connection_end(c, WORKER_EXIT_PROTOCOL, "broken request to log in");
}

static void
act(struct connection *c, ssh_message m)
{
	if (!on_message(c, m))
		ssh_message_free(m);
}

static void
act_on_held(struct connection *c)
{
	for (unsigned i = 0; i < c->n_held && !c->ending;) {
		ssh_message m = c->held[i];

		forward_agent(c);
		if (has_to_wait(c, m, i)) {
			i++;
			continue;
		}
		c->n_held--;
		for (unsigned j = i; j < c->n_held; j++)
			c->held[j] = c->held[j + 1];
		act(c, m);
	}
}

/* One that libssh has just told of. */
static void
take(struct connection *c, ssh_message m)
{
	if (was_cut(m)) {
		log_info("the client broke the protocol: a text with a NUL inside");
		connection_end(c, WORKER_EXIT_PROTOCOL, "a text with a NUL inside");
		ssh_message_free(m);
	} else if (has_to_wait(c, m, c->n_held)) {
		c->held[c->n_held++] = m;
	} else {
		act(c, m);
	}
}

static ssh_message
next_message(struct connection *c)
{
	ssh_message m;

	client_socket_allow(connection_may_read(c) ? CLIENT_SOCKET_BOTH : CLIENT_SOCKET_SEND);
	m = ssh_message_get(c->session);
	client_socket_allow(CLIENT_SOCKET_BOTH);
	return m;
}

/*
 * Asking libssh for a message costs a system call: only when a packet came that may be one. And it reads
 * on where the queue is empty: a client that never pauses has its turn, and then the others have theirs.
 */
bool
connection_take_messages(struct connection *c)
{
	ssh_message m;

	if (!connection_has_messages(c))
		return true;
	act_on_held(c);
	for (int i = 0; i < CONNECTION_MESSAGES_PER_TURN && !c->ending && connection_may_act(c); i++) {
		m = next_message(c);
		/* The wish may have been read just now, before m: what starts behind it finds the agent listened for. */
		forward_agent(c);
		if (m == NULL) {
			c->seen_packets = connection_other_packets(c);
			end_broken_login(c);
			return true;
		}
		c->logins += ssh_message_type(m) == SSH_REQUEST_AUTH;
		take(c, m);
	}
	connection_look_again(c);
	return false;
}
