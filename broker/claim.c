/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see claim.h. */
#include "claim.h"

#include <stdio.h>

#include "audit.h"
#include "broker.h"
#include "clock.h"
#include "container.h"
#include "log.h"
#include "peer.h"
#include "policy.h"
#include "pool.h"

static struct ceiling_limits
limits_of(const struct policy_ceiling *c)
{
	struct ceiling_limits limits = { { 0 } };

	if (c == NULL)
		return limits;
	limits.most[CEILING_SESSIONS] = c->sessions;
	limits.most[CEILING_CONTAINERS] = c->containers;
	limits.most[CEILING_MEMORY] = c->memory;
	limits.most[CEILING_CREATES] = c->creates_per_minute;
	return limits;
}

static struct ceiling_claim
claim_of(const struct peer *p)
{
	const struct policy_ceilings *all = policy_ceilings(p->broker->policy);

	return (struct ceiling_claim){
		.user = p->user,
		.rule = p->decision.rule,
		.memory = p->decision.profile->memory,
		.limits = {
			[CEILING_GLOBAL] = limits_of(&all->global),
			[CEILING_USER] = limits_of(&all->per_user),
			[CEILING_RULE] = limits_of(p->decision.ceiling),
		},
	};
}

char *
claim_words(const struct ceiling_refusal *refusal, char out[CEILING_TEXT_MAX])
{
	(void)snprintf(out, CEILING_TEXT_MAX, "the ceiling %s.%s of %llu is reached",
	    ceiling_scope_name(refusal->scope), ceiling_kind_name(refusal->kind),
	    (unsigned long long)refusal->most);
	return out;
}

static void
tell(const struct peer *p, const char *about, const struct ceiling_refusal *refusal)
{
	struct audit_subject who = peer_audit_subject(p);
	char limit[64];

	(void)snprintf(limit, sizeof(limit), "%s.%s", ceiling_scope_name(refusal->scope),
	    ceiling_kind_name(refusal->kind));
	audit_note(p->broker->audit, "ceiling", &who, AUDIT_TEXT("about", about),
	    AUDIT_TEXT("limit", limit), AUDIT_NUMBER("most", refusal->most),
	    AUDIT_TEXT("rule", p->decision.rule));
}

/* Containers in which nobody is left stand in nobody's way: what they could avert is no refusal. */
static int
take_place(struct broker *b, const struct ceiling_claim *claim, struct ceiling_hold **ret,
    struct ceiling_refusal *refusal)
{
	struct ceiling_claim first = *claim;
	int r;

	first.ahead = true;
	r = ceilings_take(b->ceilings, CEILING_CONTAINERS, &first, clock_now_ms(), ret, refusal);
	if (r != CEILING_E_FULL)
		return r;
	container_set_give_way(b->containers);
	return ceilings_take(b->ceilings, CEILING_CONTAINERS, claim, clock_now_ms(), ret, refusal);
}

int
claim_session(struct peer *p, struct ceiling_hold **ret, struct ceiling_refusal *refusal)
{
	const struct ceiling_claim claim = claim_of(p);
	int r = ceilings_take(p->broker->ceilings, CEILING_SESSIONS, &claim, clock_now_ms(), ret,
	    refusal);

	if (r == CEILING_E_FULL)
		tell(p, "login", refusal);
	return r;
}

int
claim_container(struct peer *p, bool made, bool ahead, struct ceiling_hold **ret,
    char text[CEILING_TEXT_MAX])
{
	struct ceiling_claim claim = claim_of(p);
	struct ceiling_refusal refusal;
	char words[CEILING_TEXT_MAX];
	int r;

	claim.made = made;
	claim.ahead = ahead;
	pool_waiting(p->broker->pool, &claim.spare[CEILING_CONTAINERS], &claim.spare[CEILING_MEMORY]);
	r = take_place(p->broker, &claim, ret, &refusal);
	if (r != CEILING_E_FULL)
		return r;
	if (!ahead) {
		tell(p, "container", &refusal);
		log_info("connection=%s user=%s no container: %s, rule %s", p->id, p->user,
		    claim_words(&refusal, words), p->decision.rule);
	}
	(void)ceiling_sentence(&refusal, text);
	return r;
}

int
claim_found(struct broker *b, const char *user, uint64_t memory, struct ceiling_hold **ret)
{
	/* By which rule it was made is not known any more. */
	const struct ceiling_claim claim = { .user = user, .memory = memory, .made = true };
	struct ceiling_refusal refusal;

	return ceilings_take(b->ceilings, CEILING_CONTAINERS, &claim, clock_now_ms(), ret, &refusal);
}

int
claim_ready(struct broker *b, uint64_t memory, struct ceiling_hold **ret,
    struct ceiling_refusal *refusal)
{
	struct ceiling_claim claim = {
		.memory = memory,
		.ahead = true,
		.limits = { [CEILING_GLOBAL] = limits_of(&policy_ceilings(b->policy)->global) },
	};
	uint64_t *creates = &claim.limits[CEILING_GLOBAL].most[CEILING_CREATES];

	/* Rounded up: 0 is no limit. */
	*creates = (*creates + 1) / 2;
	return take_place(b, &claim, ret, refusal);
}

bool
claim_is_over(const struct broker *b)
{
	const struct ceiling_limits limits = limits_of(&policy_ceilings(b->policy)->global);
	static const enum ceiling_kind kinds[] = { CEILING_CONTAINERS, CEILING_MEMORY };

	for (size_t i = 0; i < SP_ARRAY_LEN(kinds); i++) {
		uint64_t most = limits.most[kinds[i]];

		if (most != 0 && ceilings_held(b->ceilings, kinds[i]) > most)
			return true;
	}
	return false;
}
