/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker's side of IPC_REFUSED: what the worker has refused its client without a question. Only the
 * worker's word, and so nothing but lines in the logs and a number come of it: a worker that was taken over may say
 * it a million times, or of what nobody asked for.
 */
#include <stdio.h>

#include "answer.h"
#include "audit.h"
#include "broker.h"
#include "dispatch.h"
#include "ipc_msg.h"
#include "log.h"
#include "log_word.h"
#include "peer.h"
#include "peer_input.h"
#include "policy.h"
#include "shadow.h"

#define LINES_MAX 100 /* of one connection; the rest is counted */

static const char *
kind_name(enum ipc_refused_kind kind)
{
	static const char *const names[IPC_REFUSED_END] = {
		[IPC_REFUSED_PTY] = "pty",
		[IPC_REFUSED_SHELL] = "shell",
		[IPC_REFUSED_EXEC] = "exec",
		[IPC_REFUSED_SUBSYSTEM] = "subsystem",
		[IPC_REFUSED_X11] = "x11",
		[IPC_REFUSED_CHANNEL] = "channel",
		[IPC_REFUSED_TOO_MANY] = "too-many-channels",
		[IPC_REFUSED_LISTEN] = "tcpip-forward",
	};

	return names[kind];
}

/* The question that it would have been; false: it is about no program, or its detail may have been cut. */
static bool
request_of(const struct ipc_refused *m, struct policy_request *ret)
{
	*ret = (struct policy_request){ .command = m->detail.data, .command_len = m->detail.len };
	if (m->kind == IPC_REFUSED_SHELL)
		ret->kind = POLICY_REQUEST_SHELL;
	else if (m->kind == IPC_REFUSED_EXEC)
		ret->kind = POLICY_REQUEST_EXEC;
	else if (m->kind == IPC_REFUSED_SUBSYSTEM)
		ret->kind = POLICY_REQUEST_SUBSYSTEM;
	else
		return false;
	return m->detail.len < IPC_DETAIL_MAX;
}

/* That the worker refuses it says nothing of the policy: it is asked once more what it has to say. */
static void
judge(struct peer *p, const struct ipc_refused *m)
{
	static struct policy_words words;
	struct policy_request request;

	if (request_of(m, &request))
		shadow_judge_request(p, SHADOW_NO_CHANNEL, kind_name(m->kind), &request,
		    policy_refuse(p->decision.profile, &request, &words) == NULL);
}

/* Which key of the profile makes the worker refuse it, as far as the profile itself says so; NULL: none. */
static const char *
setting_of(const struct policy_profile *profile, const struct ipc_refused *m)
{
	switch (m->kind) {
	case IPC_REFUSED_PTY:
		return profile->pty ? NULL : "session.pty";
	case IPC_REFUSED_SHELL:
		return profile->shell ? NULL : "session.shell";
	case IPC_REFUSED_EXEC:
		return profile->exec ? NULL : "session.exec";
	case IPC_REFUSED_SUBSYSTEM:
		return policy_find_subsystem(profile, m->detail.data, m->detail.len) != NULL
		    ? NULL
		    : "session.subsystems";
	case IPC_REFUSED_X11:
		return profile->forward_x11 ? NULL : "session.forward.x11";
	case IPC_REFUSED_TOO_MANY:
		return "session.channels";
	case IPC_REFUSED_CHANNEL:
	case IPC_REFUSED_LISTEN:
	case IPC_REFUSED_END:
		break;
	}
	return NULL;
}

/* What the administrator has set comes before the client's own words, which could look like it. */
static void
write_log(const struct peer *p, const struct ipc_refused *m)
{
	const char *kind = kind_name(m->kind);
	const char *setting = setting_of(p->decision.profile, m);
	char detail[IPC_DETAIL_MAX + 1];
	char by[192] = "";

	if (setting != NULL)
		(void)snprintf(by, sizeof(by), " by %s of profile %s", setting,
		    p->decision.profile->name);
	(void)snprintf(detail, sizeof(detail), "%.*s", (int)m->detail.len,
	    (const char *)m->detail.data);
	log_words(detail);
	log_info("connection=%s user=%s refused by the worker%s: %s%s%s", p->id, p->user, by, kind,
	    detail[0] != '\0' ? " " : "", detail);
}

int
answer_refused(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct audit_subject who = peer_audit_subject(p);
	struct ipc_refused m;

	(void)ret_fault;
	if (ipc_get_refused(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	p->broker->counters.requests_refused++;
	if (p->refused++ >= LINES_MAX)
		return 0;
	peer_charge_refusal(p);
	judge(p, &m);
	audit_note(p->broker->audit, "request.refused", &who, AUDIT_TEXT("kind", kind_name(m.kind)),
	    AUDIT_BYTES("detail", m.detail.len > 0 ? m.detail.data : NULL, m.detail.len));
	write_log(p, &m);
	return 0;
}

void
refusals_end(struct peer *p)
{
	struct audit_subject who = peer_audit_subject(p);

	if (p->refused > LINES_MAX)
		audit_note(p->broker->audit, "request.refused", &who,
		    AUDIT_NUMBER("left_out", p->refused - LINES_MAX));
}
