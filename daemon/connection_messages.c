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

/* Whether m is kept, to be answered later. */
static bool
on_channel_request(struct connection *c, ssh_message m)
{
	ssh_channel ssh = ssh_message_channel_request_channel(m);

	for (unsigned i = 0; i < c->n_channels; i++) {
		if (c->channels[i].ssh == ssh && ssh != NULL)
			return channel_request(&c->channels[i], m);
	}
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

	if (was_cut(m)) {
		log_info("the client broke the protocol: a text with a NUL inside");
		connection_end(c, WORKER_EXIT_PROTOCOL, "a text with a NUL inside");
		return false;
	}
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
connection_may_read(const struct connection *c)
{
	return connection_other_packets(c) - c->quiet_packets <=
	    (c->logged_in ? REPLIES_MAX : REPLIES_EARLY);
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
	for (int i = 0; i < CONNECTION_MESSAGES_PER_TURN && !c->ending && c->asking == NULL &&
	     connection_may_read(c);
	     i++) {
		m = c->held != NULL ? c->held : ssh_message_get(c->session);
		c->held = NULL;
		/* The wish may have been read just now, before m: what starts behind it finds the agent listened for. */
		forward_agent(c);
		if (c->asking != NULL) {
			c->held = m;
			break;
		}
		if (m == NULL) {
			c->seen_packets = connection_other_packets(c);
			return true;
		}
		if (!on_message(c, m))
			ssh_message_free(m);
	}
	connection_look_again(c);
	return false;
}
