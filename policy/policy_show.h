/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy says, for people: which rule matches and why not, which settings a profile has and
 * where each was made, what differs between two policies, and the JSON Schema of the language. For the
 * admin tool; the answers come from the code that decides.
 */
#ifndef SP_POLICY_SHOW_H
#define SP_POLICY_SHOW_H

#include <netinet/in.h>
#include <stdio.h>

#include "arena.h"
#include "policy.h"

#define POLICY_WHY_MAX 512

struct policy_rule_view {
	const char *id;
	const char *file;
	unsigned line;
	unsigned column;
	const struct policy_profile *profile; /* NULL: it denies */
	bool matches;
	char why[POLICY_WHY_MAX]; /* what did not hold, or what did; cut */
};

size_t policy_rule_count(const struct policy *p);
/* The i-th rule, as it looks at this login. An unknown user matches none. */
void policy_view_rule(const struct policy *p, size_t i, const struct policy_login *login,
    struct policy_rule_view *ret);

/* The address of a login, or "?". Returns out, or a static text. */
const char *policy_source_text(const struct sockaddr_storage *source, char out[INET6_ADDRSTRLEN]);

/* From when on the user is refused; INT64_MAX: never, or there is no such user. */
int64_t policy_user_expires(const struct policy *p, const char *user);
/* Whether the user has the key, and how it proves who one is. */
bool policy_user_has_key(const struct policy *p, const char *user, const char *fingerprint,
    enum policy_auth *ret);
/* Whether the login is verified, if its user has to be; asked before any rule is. */
bool policy_is_verified(const struct policy *p, const struct policy_login *login);
/* The fingerprint of one of the user's keys, or NULL. */
const char *policy_user_key_at(const struct policy *p, const char *user, size_t i,
    enum policy_auth *ret);

struct policy_setting {
	const char *name;  /* "container.limits.memory" */
	const char *value; /* JSON */
	const char *file;  /* NULL: a default */
	unsigned line;
	unsigned column;
	const char *profile; /* that made it; NULL: a rule, or the policy as such */
	const char *rule;    /* that made it, a profile's in its "set"; or NULL */
};

/* Everything that a profile has, in the order of the manual page. Owned by the arena; NULL: no memory. */
const struct policy_setting *policy_settings(struct arena *a, const struct policy_profile *p,
    size_t *ret_n);

/*
 * The ceilings for everybody and for each user, and those of rules: of the one with this id or, rule NULL,
 * of all that have some and give the profile. A value of "null" is no ceiling. As policy_settings().
 */
const struct policy_setting *policy_ceiling_settings(struct arena *a, const struct policy *p,
    size_t *ret_n);
const struct policy_setting *policy_rule_ceiling_settings(struct arena *a, const struct policy *p,
    const char *rule, const struct policy_profile *profile, size_t *ret_n);

/* Write the JSON Schema (draft 2020-12) of a policy file. */
void policy_write_schema(FILE *out);

/*
 * Facts that two policies tell apart: one address in each of their networks and one in none, moments
 * around each edge of their windows, each target, and one user for each set of users that no rule of
 * either can tell apart. Owned by the arena.
 */
struct policy_facts {
	const struct sockaddr_storage *sources;
	size_t n_sources;
	const int64_t *times;
	size_t n_times;
	const char *const *targets; /* the first one is NULL: without */
	size_t n_targets;
	const char **users;
	size_t *n_alike; /* users for which each of them stands, itself included */
	size_t n_users;
};

/* now: a moment that is always among the times. 0 or -ENOMEM. */
SP_MUST_CHECK int policy_facts(struct arena *arena, const struct policy *a, const struct policy *b,
    int64_t now, struct policy_facts *ret);

#endif
