/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker's side of IPC_REQ_FORWARD, IPC_REQ_LISTEN and IPC_ACCEPTED: connections into the container, and out
 * of it to the client. The request is hostile: the worker may be anybody's by now, and what hosts and ports
 * it names are compared with the policy as addresses. The guest listens and connects, in the container's own
 * network and with its user's rights; nothing that comes of it passes through here.
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
#include "session.h"
#include "shadow.h"

/*
 * Where the client's agent listens: the engine makes this file system for each container, in memory, and
 * it can be written to also when the image's cannot. A directory in there is the user's alone.
 */
#define AGENT_PATH "/dev/shm/ssh-%016" PRIx64 "/agent"

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

/* r: of a container's order that leaves ctl alone to the worker. */
static void
conclude(struct peer *p, uint32_t number, int r, struct data_path_streams *streams)
{
	if (r == 0) {
		session_ordered(p, number, false, "", streams);
		return;
	}
	log_error("connection=%s channel=%u cannot forward: %s", p->id, number,
	    r == DATA_PATH_E_BUSY ? "the container does not take orders" : strerror(-r));
	session_refuse(p, number, IPC_START_FAILED, "The container does not take any more orders.");
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
	order.n = copy_addresses(order.addresses, &to);
	order.port = m.port;
	conclude(p, number, container_connect(p->channels[number].container, &order, &streams),
	    &streams);
	return true;
}

/* NULL, with *ret_at for a TCP listener; or why not. */
static const char *
refuse_listener(const struct peer *p, const struct ipc_req_listen *m,
    struct policy_destination *ret_at)
{
	if (m->kind == IPC_LISTEN_AGENT)
		return policy_refuse_agent(p->decision.profile);
	return policy_refuse_listen(p->decision.profile, m->host.data, m->host.len, m->port, ret_at);
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
	if (refuse_listener(p, &m, &at) != NULL) {
		session_refuse(p, number, IPC_START_REFUSED, "This request is not allowed.");
		return true;
	}
	if (m.kind == IPC_LISTEN_AGENT) {
		order.kind = GUEST_LISTEN_UNIX;
		(void)snprintf(order.path, sizeof(order.path), "%s", p->agent_path);
	} else {
		order.kind = GUEST_LISTEN_TCP;
		order.n = copy_addresses(order.addresses, &at);
		order.port = m.port;
	}
	conclude(p, number, container_listen(p->channels[number].container, &order, &streams),
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
	    AUDIT_TEXT("outcome", why == NULL ? "allowed" : "refused"), AUDIT_TEXT("reason", why));
	log_info("connection=%s user=%s channel=%u forward to %.*s port %u %s%s", p->id, p->user,
	    m.channel, (int)m.host.len, (const char *)m.host.data, m.port,
	    why == NULL ? "allowed" : "refused: ", why == NULL ? "" : why);
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
	uint64_t random = 0;
	const char *why;
	bool written;
	bool tcp;

	if (ipc_get_req_listen(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	if (!session_claim(p, m.channel, CHANNEL_LISTENER, ret_fault))
		return ANSWER_E_PEER_FAULT;
	tcp = m.kind == IPC_LISTEN_TCP;
	why = refuse_listener(p, &m, &at);
	if (why == NULL && !tcp && p->agent_path[0] != '\0')
		why = "The agent is forwarded already.";
	if (why == NULL && !tcp && RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		why = "No random bytes can be had.";
	shadow_judge_listen(p, &m, why == NULL);
	p->broker->counters.requests_refused += why != NULL;
	written = audit_event(p->broker->audit, "listen", &who, AUDIT_NUMBER("channel", m.channel),
	    AUDIT_TEXT("kind", tcp ? "tcp" : "agent"),
	    AUDIT_BYTES("host", tcp ? m.host.data : NULL, m.host.len), AUDIT_NUMBER("port", m.port),
	    AUDIT_TEXT("outcome", why == NULL ? "allowed" : "refused"), AUDIT_TEXT("reason", why));
	log_info("connection=%s user=%s channel=%u listen for %s at %.*s port %u %s%s", p->id,
	    p->user, m.channel, tcp ? "connections" : "the agent", (int)m.host.len,
	    tcp ? (const char *)m.host.data : "", m.port,
	    why == NULL ? "allowed" : "refused: ", why == NULL ? "" : why);
	if (why == NULL && written && !tcp) {
		p->channels[m.channel].agent = true;
		(void)snprintf(p->agent_path, sizeof(p->agent_path), AGENT_PATH, random);
	}
	decide(p, m.channel, why, written, &raw);
	return 0;
}

int
answer_accepted(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct audit_subject who = peer_audit_subject(p);
	const struct peer_channel *listener;
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
		AUDIT_BYTES("from", m.from.len > 0 ? m.from.data : NULL, m.from.len),
		AUDIT_NUMBER("port", m.port))) {
		session_reply(p, m.channel, IPC_START_FAILED, session_audit_lost);
		return 0;
	}
	p->channels[m.channel].state = CHANNEL_RUNNING;
	p->n_channels++;
	session_reply(p, m.channel, IPC_START_OK, "");
	return 0;
}
