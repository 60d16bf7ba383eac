/* SPDX-License-Identifier: Apache-2.0 */
/* Broker. Every record of a worker passes through here; nothing else calls the answer_ functions. */
#include "dispatch.h"

#include "answer.h"
#include "attr.h"
#include "ipc.h"
#include "peer.h"
#include "wire.h"

/*
 * What a worker may ask, in which state, and how often: all of it is this table, which is also in
 * common/PROTOCOL.md (a test compares the two). Signing once before login is what keeps a worker
 * from using the host key as an oracle: the first signature leaves PEER_EXCHANGE for good.
 */
static const struct rule {
	unsigned when;
	bool once;
	int (*answer)(struct peer *p, struct wire_reader *body, const char **ret_fault);
} rules[] = {
	/* clang-format off */
	[IPC_READY]     = { PEER_STARTING,                    true,  answer_ready },
	[IPC_REQ_SIGN]  = { PEER_EXCHANGE | PEER_LOGGED_IN,   false, answer_sign },
	[IPC_REQ_QUERY] = { PEER_LOGIN,                       false, answer_query },
	[IPC_REQ_AUTH]  = { PEER_LOGIN,                       false, answer_auth },
	[IPC_REQ_START] = { PEER_LOGGED_IN,                   false, answer_start },
	[IPC_REQ_CLOSE] = { PEER_LOGGED_IN,                   false, answer_close },
	[IPC_REQ_FORWARD] = { PEER_LOGGED_IN,                 false, answer_forward },
	[IPC_REQ_LISTEN] = { PEER_LOGGED_IN,                  false, answer_listen },
	[IPC_ACCEPTED]  = { PEER_LOGGED_IN,                   false, answer_accepted },
	[IPC_ACTIVITY]  = { PEER_LOGGED_IN,                   false, answer_activity },
	[IPC_REFUSED]   = { PEER_LOGGED_IN,                   false, answer_refused },
	/* clang-format on */
};

static const struct rule *
find(uint32_t id)
{
	if (id >= SP_ARRAY_LEN(rules) || rules[id].answer == NULL)
		return NULL;
	return &rules[id];
}

unsigned
dispatch_states(uint32_t id)
{
	const struct rule *rule = find(id);

	return rule != NULL ? rule->when : 0;
}

bool
dispatch_once(uint32_t id)
{
	const struct rule *rule = find(id);

	return rule != NULL && rule->once;
}

int
dispatch(struct peer *p, const uint8_t *record, size_t len, const char **ret_fault)
{
	const struct rule *rule;
	struct wire_reader body;
	uint8_t id;

	wire_reader_init(&body, record, len);
	id = wire_get_u8(&body);
	rule = find(id);
	if (rule == NULL) {
		*ret_fault = "unknown message";
		return ANSWER_E_PEER_FAULT;
	}
	if ((rule->when & (unsigned)p->state) == 0) {
		*ret_fault = "message not allowed in this state";
		return ANSWER_E_PEER_FAULT;
	}
	if (rule->once && (p->used & 1U << id) != 0) {
		*ret_fault = "once-only message repeated";
		return ANSWER_E_PEER_FAULT;
	}
	p->used |= 1U << id;
	*ret_fault = "malformed message";
	return rule->answer(p, &body, ret_fault);
}
