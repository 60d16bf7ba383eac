/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much may be had at a time: logins, containers and their memory, and new containers within a minute; by
 * everybody together, by one user, by all whom one rule lets in. Counted when it is decided, before anything happens, and
 * given back when it is over, however that came about. One loop decides one thing after the other: two never
 * share the last place.
 *
 * Pure: no clock, no log. What is known of a user or a rule goes when nothing is held and no minute runs.
 */
#ifndef SP_CEILINGS_H
#define SP_CEILINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

/* ceilings_take(): there is no place; *refusal says where. */
#define CEILING_E_FULL 1

#define CEILING_TEXT_MAX 256 /* bytes of a sentence, with its end */

enum ceiling_scope {
	CEILING_GLOBAL,
	CEILING_USER,
	CEILING_RULE,
	CEILING_SCOPES,
};

enum ceiling_kind {
	CEILING_SESSIONS,
	CEILING_CONTAINERS,
	CEILING_MEMORY,  /* bytes; comes with each container */
	CEILING_CREATES, /* within a minute; the same */
	CEILING_KINDS,
};

/* The most of each kind; 0: no limit. */
struct ceiling_limits {
	uint64_t most[CEILING_KINDS];
};

/* Who wants something, and what limits there are for them. NULL: nobody, and the limits do not count. */
struct ceiling_claim {
	const char *user;
	const char *rule;
	uint64_t memory; /* of the container */
	bool made;       /* it exists already, and becomes theirs: everybody's minute has it */
	bool ahead;      /* not asked for yet: a refusal is not counted */
	/* What is held of CEILING_CONTAINERS and CEILING_MEMORY, and would be given up for this: everybody's ceilings
	 * are then looked at as if it had been. The caller gives it up when they are exceeded. */
	uint64_t spare[CEILING_KINDS];
	struct ceiling_limits limits[CEILING_SCOPES];
};

struct ceiling_refusal {
	enum ceiling_scope scope;
	enum ceiling_kind kind;
	uint64_t most;
};

struct ceilings;
struct ceiling_hold;

/* 0 or -ENOMEM. */
SP_MUST_CHECK int ceilings_new(struct ceilings **ret);
/* Nothing is held any more. NULL is fine. */
void ceilings_free(struct ceilings *c);

/*
 * Take one of a kind, CEILING_SESSIONS or CEILING_CONTAINERS (with its memory and one of CEILING_CREATES, also when it
 * does not come to be), at now_ms of clock_now_ms(). 0 with a hold for ceilings_give(); CEILING_E_FULL
 * with nothing counted; or -ENOMEM.
 */
SP_MUST_CHECK int ceilings_take(struct ceilings *c, enum ceiling_kind kind,
    const struct ceiling_claim *claim, int64_t now_ms, struct ceiling_hold **ret,
    struct ceiling_refusal *refusal);
/* It is over; *hold is NULL then. NULL in it is fine. */
void ceilings_give(struct ceiling_hold **hold);

/* Held now by everybody together. */
uint64_t ceilings_held(const struct ceilings *c, enum ceiling_kind kind);
/* Refused since the start. */
uint64_t ceilings_refused(const struct ceilings *c, enum ceiling_scope scope, enum ceiling_kind kind);
/* Users and rules that are known, for tests. */
size_t ceilings_known(const struct ceilings *c);

/* As in the policy: "global", "per_user", "per_rule"; "sessions", "containers", "memory",
 * "creates_per_minute". */
const char *ceiling_scope_name(enum ceiling_scope scope);
const char *ceiling_kind_name(enum ceiling_kind kind);
/* What the person is told: which limit, and what to do. Returns out. */
char *ceiling_sentence(const struct ceiling_refusal *refusal, char out[CEILING_TEXT_MAX]);

#endif
