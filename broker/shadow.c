/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: see shadow.h. The same functions decide here as in answer_*.c, over another policy. What is written
 * is caused by records of the worker, and bounded as everything that they cause.
 */
#include "shadow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "broker.h"
#include "ipc_msg.h"
#include "log.h"
#include "peer.h"
#include "policy.h"
#include "session.h"

struct shadow {
	const char *path;
	struct policy *policy; /* NULL: none is loaded */
	unsigned generation;
	bool failed;
	uint64_t differences;
};

/* What it would have said. */
struct verdict {
	bool allowed;
	const char *reason; /* when not */
	const char *rule;   /* NULL: none */
};

int
shadow_new(const char *path, struct shadow **ret)
{
	struct shadow *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->path = path;
	*ret = s;
	return 0;
}

void
shadow_free(struct shadow *s)
{
	if (s == NULL)
		return;
	policy_unref(s->policy);
	free(s);
}

void
shadow_load(struct shadow *s, struct audit *audit, struct diag_list *diags)
{
	struct policy *policy = NULL;

	if (s == NULL)
		return;
	s->failed = policy_load(s->path, &policy, diags) != 0;
	if (s->failed) {
		log_warn("shadow policy %s has errors and is not used; %s", s->path,
		    s->policy != NULL ? "the one before goes on" : "nothing is compared");
		audit_note(audit, "shadow.rejected", NULL, AUDIT_NUMBER("generation", s->generation),
		    AUDIT_TEXT("sha256", s->policy != NULL ? policy_digest(s->policy) : NULL));
		return;
	}
	policy_unref(s->policy);
	s->policy = policy;
	s->generation++;
	log_info("shadow policy generation %u (sha256 %.12s) is compared", s->generation,
	    policy_digest(policy));
	audit_note(audit, "shadow.loaded", NULL, AUDIT_NUMBER("generation", s->generation),
	    AUDIT_TEXT("sha256", policy_digest(policy)));
}

struct shadow_state
shadow_state(const struct shadow *s)
{
	return (struct shadow_state){
		.generation = s->generation,
		.sha256 = s->policy != NULL ? policy_digest(s->policy) : NULL,
		.failed = s->failed,
		.differences = s->differences,
	};
}

/* ---- differences ---- */

static const char *
outcome_name(bool allowed)
{
	return allowed ? "would-be-allowed" : "would-be-refused";
}

static void
count(struct peer *p, const char *what, const struct verdict *v)
{
	p->broker->shadow->differences++;
	log_info("connection=%s user=%s shadow: this %s %s: %s%s%s", p->id, p->user, what,
	    outcome_name(v->allowed), v->allowed ? "nothing is against it" : v->reason,
	    v->rule != NULL ? ", rule " : "", v->rule != NULL ? v->rule : "");
}

/* ---- logins ---- */

/* The same steps as in answer_login.c, but that the signature is verified already. */
static struct verdict
decide_login(struct policy *policy, const struct ipc_req_auth *m, struct policy_login *login,
    struct shadow_login *keep)
{
	struct policy_decision d = { .rule = NULL };
	bool verify_required = false;
	char value[256];

	if (!policy_find_key(policy, m->user.data, m->user.len, m->blob.data, m->blob.len,
		&login->fingerprint, &verify_required))
		return (struct verdict){ false, POLICY_UNKNOWN_KEY, NULL };
	if (verify_required && !login->verified)
		return (struct verdict){ false, POLICY_NOT_VERIFIED, NULL };
	if (policy_decide(policy, login, &d) != 0)
		return (struct verdict){ false, policy_why_refused(&d), d.rule };
	if (policy_grant_new(policy, login, &d, &keep->grant, value, sizeof(value)) != 0)
		return (struct verdict){ false, POLICY_NOT_FILLED_IN, d.rule };
	keep->rule = d.rule;
	return (struct verdict){ true, NULL, d.rule };
}

void
shadow_judge_login(struct peer *p, const struct ipc_req_auth *m, const struct policy_login *login,
    bool allowed)
{
	struct shadow *s = p->broker->shadow;
	struct policy_login again = *login;
	struct audit_subject who = peer_audit_subject(p);
	struct verdict v;

	shadow_forget(&p->shadow);
	if (s == NULL || s->policy == NULL)
		return;
	p->shadow.generation = s->generation;
	v = decide_login(s->policy, m, &again, &p->shadow);
	if (v.allowed != allowed) {
		count(p, "login", &v);
		audit_note(p->broker->audit, "shadow", &who, AUDIT_TEXT("about", "login"),
		    AUDIT_TEXT("outcome", outcome_name(v.allowed)), AUDIT_TEXT("reason", v.reason),
		    AUDIT_TEXT("rule", v.rule), AUDIT_NUMBER("generation", s->generation));
	}
	if (!allowed)
		shadow_forget(&p->shadow);
}

void
shadow_forget(struct shadow_login *l)
{
	policy_grant_unref(l->grant);
	memset(l, 0, sizeof(*l));
}

/* ---- requests ---- */

void
shadow_judge_request(struct peer *p, uint32_t channel, const char *kind,
    const struct policy_request *request, bool allowed)
{
	static struct policy_words words;
	struct audit_subject who = peer_audit_subject(p);
	struct verdict v = { .rule = p->shadow.rule };
	struct audit_field on = AUDIT_NUMBER("channel", channel);

	if (channel == SHADOW_NO_CHANNEL)
		on = (struct audit_field)AUDIT_TEXT("channel", NULL);
	/* A login that it would not have let in is one difference, and not one for each request. */
	if (p->shadow.grant == NULL)
		return;
	v.reason = policy_refuse(policy_grant_profile(p->shadow.grant), request, &words);
	v.allowed = v.reason == NULL;
	if (v.allowed == allowed)
		return;
	count(p, "request", &v);
	audit_note(p->broker->audit, "shadow", &who, AUDIT_TEXT("about", "request"), on,
	    AUDIT_TEXT("kind", kind), AUDIT_TEXT("outcome", outcome_name(v.allowed)),
	    AUDIT_TEXT("reason", v.reason), AUDIT_TEXT("rule", v.rule),
	    AUDIT_NUMBER("generation", p->shadow.generation));
}

/* What it says of a connection or a listener: reason NULL, allowed. */
static void
judge_forward(struct peer *p, const char *about, uint32_t channel, struct wire_span host,
    uint32_t port, const char *reason, bool allowed)
{
	struct audit_subject who = peer_audit_subject(p);
	struct verdict v = { .rule = p->shadow.rule, .reason = reason, .allowed = reason == NULL };

	if (v.allowed == allowed)
		return;
	count(p, about, &v);
	audit_note(p->broker->audit, "shadow", &who, AUDIT_TEXT("about", about),
	    AUDIT_NUMBER("channel", channel), AUDIT_BYTES("host", host.data, host.len),
	    AUDIT_NUMBER("port", port), AUDIT_TEXT("outcome", outcome_name(v.allowed)),
	    AUDIT_TEXT("reason", v.reason), AUDIT_TEXT("rule", v.rule),
	    AUDIT_NUMBER("generation", p->shadow.generation));
}

void
shadow_judge_forward(struct peer *p, const struct ipc_req_forward *m, bool allowed)
{
	struct policy_destination to;

	if (p->shadow.grant != NULL)
		judge_forward(p, "forward", m->channel, m->host, m->port,
		    policy_refuse_forward(policy_grant_profile(p->shadow.grant), m->host.data,
			m->host.len, m->port, &to),
		    allowed);
}

void
shadow_judge_listen(struct peer *p, const struct ipc_req_listen *m, bool allowed)
{
	struct policy_destination at;

	if (p->shadow.grant != NULL)
		judge_forward(p, "listen", m->channel, m->host, m->port,
		    forward_refuse_listener(policy_grant_profile(p->shadow.grant), m, &at), allowed);
}
