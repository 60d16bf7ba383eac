/* SPDX-License-Identifier: Apache-2.0 */
/* Broker's side of IPC_ACTIVITY. The numbers are the worker's. */
#include "activity.h"

#include "answer.h"
#include "clock.h"
#include "dispatch.h"
#include "peer.h"
#include "session_time.h"

const char *
activity_update(struct activity *a, const struct ipc_activity *m, int64_t now_ms)
{
	int64_t last_ms = now_ms - (int64_t)m->idle_seconds * 1000;

	if (m->bytes_in < a->in || m->bytes_out < a->out)
		return "fewer bytes have passed than before";
	a->in = m->bytes_in;
	a->out = m->bytes_out;
	if (last_ms > a->last_ms)
		a->last_ms = last_ms;
	return NULL;
}

int64_t
activity_idle_seconds(const struct activity *a, int64_t now_ms)
{
	return now_ms > a->last_ms ? (now_ms - a->last_ms) / 1000 : 0;
}

int
answer_activity(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct ipc_activity m;
	const char *fault;

	if (ipc_get_activity(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	fault = activity_update(&p->activity, &m, clock_now_ms());
	if (fault == NULL) {
		session_time_activity(p);
		return 0;
	}
	*ret_fault = fault;
	return ANSWER_E_PEER_FAULT;
}
