/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker's side of IPC_REQ_FORWARD, IPC_REQ_LISTEN and IPC_ACCEPTED: connections into the container, and out
 * of it to the client. The request is hostile: the worker may be anybody's by now, and what hosts and ports
 * it names are compared with the policy as addresses; of a name, the guest is told which ones it may stand for. The
 * guest looks it up, listens and connects, in the container's own network and with its user's rights; nothing that
 * comes of it passes through here.
 */
#include <errno.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "audit.h"
#include "container.h"
#include "dispatch.h"
#include "guest_msg.h"
#include "ipc_msg.h"
#include "log.h"
#include "log_word.h"
#include "session.h"
#include "shadow.h"

/*
 * Where the client's agent listens, and what is shown to its X server is kept: the engine makes this file
 * system for each container, in memory, and it can be written to also when the image's cannot. A directory in
 * there is the user's alone.
 */
#define OWN_PATH "/dev/shm/ssh-%016" PRIx64 "/%s"

_Static_assert(IPC_X11_NAME_MAX <= GUEST_X11_NAME_MAX && IPC_X11_COOKIE_MAX <= GUEST_X11_COOKIE_MAX,
    "what the guest refuses");
_Static_assert(POLICY_NETWORKS_MAX <= GUEST_NETWORKS_MAX, "what the guest refuses");

static const char *
kind_name(enum ipc_listen_kind kind)
{
	static const char *const
	    names[] = { [IPC_LISTEN_TCP] = "tcp", [IPC_LISTEN_AGENT] = "agent", [IPC_LISTEN_X11] = "x11" };

	return names[kind];
}

const struct peer_channel *
forward_agent(const struct peer *p)
{
	for (uint32_t i = 0; i < IPC_CHANNEL_MAX; i++) {
		if (p->channels[i].listens == IPC_LISTEN_AGENT)
			return &p->channels[i];
	}
	return NULL;
}

const struct peer_channel *
forward_display(const struct peer *p, uint32_t number)
{
	const struct peer_channel *listener = &p->channels[number];

	return listener->state == CHANNEL_RUNNING && listener->listens == IPC_LISTEN_X11 ? listener
											 : NULL;
}

void
forward_path(const struct peer_channel *listener, char path[GUEST_PATH_MAX + 1])
{
	(void)snprintf(path, GUEST_PATH_MAX + 1, OWN_PATH, listener->directory,
	    listener->listens == IPC_LISTEN_AGENT ? "agent" : "Xauthority");
}

static uint32_t
copy_addresses(struct guest_address list[GUEST_ADDRESSES_MAX], const struct policy_destination *from)
{
	uint32_t n = 0;

	for (; n < from->n && n < GUEST_ADDRESSES_MAX; n++) {
		list[n].v6 = from->list[n].family == AF_INET6;
		memcpy(list[n].bytes, from->list[n].bytes, 16);
	}
	return n;
}

void
forward_conclude(struct peer *p, uint32_t number, int r, struct data_path_streams *streams)
{
	if (r == DATA_PATH_E_LATER)
		return;
	if (r == 0) {
		session_ordered(p, number, false, "", streams);
		return;
	}
	log_error("connection=%s channel=%u cannot forward: %s", p->id, number,
	    data_path_error_text(r));
	session_refuse(p, number, IPC_START_FAILED,
	    container_refusal_text(r, "The container does not take any more orders."));
}

static void
fill_connect(struct guest_connect *order, const struct ipc_req_forward *m,
    const struct policy_destination *to)
{
	order->port = m->port;
	order->n = copy_addresses(order->addresses, to);
	if (order->n > 0)
		return;
	/* The policy has taken it for a name, so that it is not longer. */
	memcpy(order->name, m->host.data, m->host.len);
	order->n_networks = (uint32_t)to->n_networks;
	memcpy(order->networks, to->networks, to->n_networks * sizeof(to->networks[0]));
}

bool
forward_run(struct peer *p, uint32_t number, struct wire_reader *request)
{
	struct guest_connect order = { 0 };
	struct data_path_streams streams;
	struct policy_destination to;
	struct ipc_req_forward m;

	if (ipc_get_req_forward(request, &m) != 0)
		return false;
	/* It was allowed when it came, by the same profile; this is for the addresses. */
	if (policy_refuse_forward(p->decision.profile, m.host.data, m.host.len, m.port, &to) != NULL) {
		session_refuse(p, number, IPC_START_REFUSED, "This request is not allowed.");
		return true;
	}
	fill_connect(&order, &m, &to);
	forward_conclude(p, number,
	    container_connect(p->channels[number].container, &order, session_waiter(p, number),
		&streams),
	    &streams);
	return true;
}

const char *
forward_refuse_listener(const struct policy_profile *profile, const struct ipc_req_listen *m,
    struct policy_destination *ret_at)
{
	switch (m->kind) {
	case IPC_LISTEN_AGENT:
		return policy_refuse_agent(profile);
	case IPC_LISTEN_X11:
		return policy_refuse_x11(profile);
	case IPC_LISTEN_TCP:
		break;
	}
	return policy_refuse_listen(profile, m->host.data, m->host.len, m->port, ret_at);
}

/* at: of a TCP listener. */
static void
fill_listen(struct guest_listen *order, const struct peer_channel *listener,
    const struct ipc_req_listen *m, const struct policy_destination *at)
{
	static const struct guest_address loopback[] = { { .v6 = true, .bytes = { [15] = 1 } },
		{ .bytes = { 127, 0, 0, 1 } } };

	switch (m->kind) {
	case IPC_LISTEN_TCP:
		order->kind = GUEST_LISTEN_TCP;
		order->n = copy_addresses(order->addresses, at);
		order->port = m->port;
		return;
	case IPC_LISTEN_AGENT:
		order->kind = GUEST_LISTEN_UNIX;
		break;
	case IPC_LISTEN_X11:
		order->kind = GUEST_LISTEN_X11;
		order->n = SP_ARRAY_LEN(loopback);
		memcpy(order->addresses, loopback, sizeof(loopback));
		order->port = GUEST_X11_PORT + IPC_X11_FIRST;
		order->n_ports = IPC_X11_DISPLAYS;
		order->name = m->name;
		order->cookie = m->cookie;
		order->only_one = m->only_one;
		break;
	}
	forward_path(listener, order->path);
}

bool
forward_run_listener(struct peer *p, uint32_t number, struct wire_reader *request)
{
	struct guest_listen order = { 0 };
	struct data_path_streams streams;
	struct policy_destination at;
	struct ipc_req_listen m;

	if (ipc_get_req_listen(request, &m) != 0)
		return false;
	if (forward_refuse_listener(p->decision.profile, &m, &at) != NULL) {
		session_refuse(p, number, IPC_START_REFUSED, "This request is not allowed.");
		return true;
	}
	fill_listen(&order, &p->channels[number], &m, &at);
	forward_conclude(p, number,
	    container_listen(p->channels[number].container, &order, session_waiter(p, number),
		&streams),
	    &streams);
	return true;
}

/* Refused, or not to be written down first, or taken. */
static void
decide(struct peer *p, uint32_t number, const char *why, bool written,
    const struct wire_reader *request)
{
	if (why != NULL)
		session_reply(p, number, IPC_START_REFUSED, why);
	else if (!written)
		session_reply(p, number, IPC_START_FAILED, session_audit_lost);
	else
		session_request(p, number, request);
}

int
answer_forward(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct audit_subject who = peer_audit_subject(p);
	struct wire_reader raw = *body;
	struct policy_destination to;
	struct ipc_req_forward m;
	char word[IPC_HOST_MAX + 1];
	const char *why;
	bool written;

	if (ipc_get_req_forward(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	if (!session_claim(p, m.channel, CHANNEL_FORWARD, ret_fault))
		return ANSWER_E_PEER_FAULT;
	why = policy_refuse_forward(p->decision.profile, m.host.data, m.host.len, m.port, &to);
	shadow_judge_forward(p, &m, why == NULL);
	p->broker->counters.requests_refused += why != NULL;
	written = audit_event(p->broker->audit, "forward", &who, AUDIT_NUMBER("channel", m.channel),
	    AUDIT_BYTES("host", m.host.data, m.host.len), AUDIT_NUMBER("port", m.port),
	    AUDIT_BOOL("lookup", to.n_networks > 0),
	    AUDIT_TEXT("outcome", why == NULL ? "allowed" : "refused"), AUDIT_TEXT("reason", why));
	log_info("connection=%s user=%s channel=%u forward to %s port %u %s%s", p->id, p->user,
	    m.channel, log_word(m.host, word, sizeof(word)), m.port,
	    why != NULL             ? "refused: "
		: to.n_networks > 0 ? "allowed, looked up in the container"
				    : "allowed",
	    why == NULL ? "" : why);
	decide(p, m.channel, why, written, &raw);
	return 0;
}

int
answer_listen(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct audit_subject who = peer_audit_subject(p);
	struct wire_reader raw = *body;
	struct policy_destination at;
	struct ipc_req_listen m;
	uint64_t directory = 0;
	char word[IPC_HOST_MAX + 1];
	const char *why;
	bool written;
	bool tcp;

	if (ipc_get_req_listen(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	if (!session_claim(p, m.channel, CHANNEL_LISTENER, ret_fault))
		return ANSWER_E_PEER_FAULT;
	tcp = m.kind == IPC_LISTEN_TCP;
	why = forward_refuse_listener(p->decision.profile, &m, &at);
	if (why == NULL && m.kind == IPC_LISTEN_AGENT && forward_agent(p) != NULL)
		why = "The agent is forwarded already.";
	if (why == NULL && !tcp && RAND_bytes((unsigned char *)&directory, sizeof(directory)) != 1)
		why = "No random bytes can be had.";
	shadow_judge_listen(p, &m, why == NULL);
	p->broker->counters.requests_refused += why != NULL;
	written = audit_event(p->broker->audit, "listen", &who, AUDIT_NUMBER("channel", m.channel),
	    AUDIT_TEXT("kind", kind_name(m.kind)),
	    AUDIT_BYTES("host", tcp ? m.host.data : NULL, m.host.len), AUDIT_NUMBER("port", m.port),
	    AUDIT_TEXT("outcome", why == NULL ? "allowed" : "refused"), AUDIT_TEXT("reason", why));
	log_info("connection=%s user=%s channel=%u listen for %s at %s port %u %s%s", p->id,
	    p->user, m.channel, kind_name(m.kind), tcp ? log_word(m.host, word, sizeof(word)) : "-",
	    m.port, why == NULL ? "allowed" : "refused: ", why == NULL ? "" : why);
	if (why == NULL && written) {
		p->channels[m.channel].listens = m.kind;
		p->channels[m.channel].directory = directory;
	}
	decide(p, m.channel, why, written, &raw);
	return 0;
}

int
answer_accepted(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct audit_subject who = peer_audit_subject(p);
	const struct peer_channel *listener;
	struct data_path_streams streams;
	struct ipc_accepted m;

	if (ipc_get_accepted(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	listener = &p->channels[m.listener];
	if (!session_claim(p, m.channel, CHANNEL_ACCEPTED, ret_fault))
		return ANSWER_E_PEER_FAULT;
	*ret_fault = "a connection of a listener that there is not";
	if (listener->state != CHANNEL_RUNNING || listener->kind != CHANNEL_LISTENER)
		return ANSWER_E_PEER_FAULT;
	if (!audit_event(p->broker->audit, "accepted", &who, AUDIT_NUMBER("channel", m.channel),
		AUDIT_NUMBER("listener", m.listener),
		AUDIT_BYTES("peer", m.from.len > 0 ? m.from.data : NULL, m.from.len),
		AUDIT_NUMBER("port", m.port))) {
		session_reply(p, m.channel, IPC_START_FAILED, session_audit_lost);
		return 0;
	}
	if (container_accept(listener->container, &streams) != 0) {
		session_reply(p, m.channel, IPC_START_FAILED, "No pipes can be had.");
		return 0;
	}
	p->n_channels++;
	session_ordered(p, m.channel, false, "", &streams);
	return 0;
}
