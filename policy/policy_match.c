/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions over a loaded policy, and its life. Runs in the broker and the admin tool. User names and
 * key blobs are a stranger's; all they are here is compared.
 */
#include "policy_private.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "wildcard.h"

struct policy *
policy_ref(struct policy *p)
{
	p->refs++;
	return p;
}

struct policy *
policy_unref(struct policy *p)
{
	if (p == NULL || --p->refs > 0)
		return NULL;
	arena_clear(&p->arena);
	free(p);
	return NULL;
}

void
policy_unrefp(struct policy **p)
{
	*p = policy_unref(*p);
}

const char *const policy_auth_names[] = {
	[POLICY_AUTH_KEY] = "key",
	[POLICY_AUTH_SK_KEY] = "sk-key",
	NULL,
};

bool
policy_user_valid(const void *name, size_t len)
{
	return names_login_valid(name, len);
}

size_t
policy_split_name(const void *name, size_t len, size_t *ret_target)
{
	const char *plus = len == 0 ? NULL : memchr(name, '+', len);
	size_t n = plus == NULL ? len : (size_t)(plus - (const char *)name);

	*ret_target = plus == NULL ? len : n + 1;
	if (!names_login_valid(name, n))
		return 0;
	return plus == NULL || names_target_valid(plus + 1, len - n - 1) ? n : 0;
}

/* The blob begins with the length and the name of its type, as all of RFC 4253's do. */
enum policy_auth
policy_auth_of_key(const void *blob, size_t len)
{
	return len > 7 && memcmp((const char *)blob + 4, "sk-", 3) == 0 ? POLICY_AUTH_SK_KEY
									: POLICY_AUTH_KEY;
}

/* -1, 0, 1 as strcmp() over name[len] and the user's name. */
static int
compare_name(const void *name, size_t len, const struct policy_user *user)
{
	size_t n = len < user->name_len ? len : user->name_len;
	int order = n == 0 ? 0 : memcmp(name, user->name, n);

	if (order != 0)
		return order;
	return len < user->name_len ? -1 : len > user->name_len;
}

const struct policy_user *
policy_find_user(const struct policy *p, const char *name, size_t len)
{
	size_t low = 0;
	size_t high = p->n_users;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_name(name, len, &p->users[middle]);

		if (order == 0)
			return &p->users[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * The user whose keys stand in for those of an unknown one. The same for the same name each time, and
 * not to be foreseen without the policy, so that timing shows a user with some number of keys.
 */
static const struct policy_user *
pick_decoy(const struct policy *p, const unsigned char *name, size_t len)
{
	uint64_t hash = p->decoy ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ name[i]) * UINT64_C(0x100000001b3);
	return &p->users[(hash ^ hash >> 32) % p->n_users];
}

/* Walks the whole list, also after a find. */
static const struct public_key *
find_key(const struct policy_user *user, const void *blob, size_t len)
{
	const struct public_key *found = NULL;

	for (size_t i = 0; i < user->n_keys; i++) {
		const struct public_key *key = &user->keys[i];

		if (key->len == len && CRYPTO_memcmp(key->blob, blob, len) == 0)
			found = key;
	}
	return found;
}

bool
policy_find_key(const struct policy *p, const void *user, size_t user_len, const void *blob,
    size_t len, const char **ret_fingerprint, bool *ret_verify_required)
{
	const struct policy_user *decoy;
	const struct policy_user *known;
	const struct public_key *key;

	size_t target;
	size_t name_len;

	if (p->n_users == 0)
		return false;
	/* No name has a NUL or is empty: what is none is looked for like one that nobody has. */
	name_len = policy_split_name(user, user_len, &target);
	if (name_len > 0)
		user_len = name_len;
	/* Both are looked for each time: a known name takes the same steps as an unknown one. */
	decoy = pick_decoy(p, user, user_len);
	known = policy_find_user(p, user, user_len);
	key = find_key(known != NULL ? known : decoy, blob, len);
	if (known == NULL || key == NULL)
		return false;
	*ret_fingerprint = key->fingerprint;
	*ret_verify_required = known->verify_required;
	return true;
}

static bool
is_listed(const char *const *list, const char *word)
{
	for (; *list != NULL; list++) {
		if (strcmp(*list, word) == 0)
			return true;
	}
	return false;
}

static bool
in_a_group(const char *const *groups, const char *const *mine)
{
	for (; mine != NULL && *mine != NULL; mine++) {
		if (is_listed(groups, *mine))
			return true;
	}
	return false;
}

static bool
is_time(const struct policy_conditions *c, int64_t now)
{
	for (size_t i = 0; i < c->n_times; i++) {
		if (times_contains(&c->times[i], now))
			return true;
	}
	return false;
}

static bool
fits_one(const char *const *patterns, const char *text)
{
	for (; *patterns != NULL; patterns++) {
		if (wildcard_matches(*patterns, text))
			return true;
	}
	return false;
}

/* The first condition that does not hold. */
static enum policy_condition
first_failing(const struct policy_conditions *c, const struct policy_user *user,
    const struct policy_login *login)
{
	if (c->users != NULL && !is_listed(c->users, user->name))
		return POLICY_CONDITION_USER;
	if (c->groups != NULL && !in_a_group(c->groups, user->groups) &&
	    !in_a_group(c->groups, login->groups))
		return POLICY_CONDITION_GROUP;
	if (c->keys != NULL && (login->fingerprint == NULL || !is_listed(c->keys, login->fingerprint)))
		return POLICY_CONDITION_KEY;
	if (c->auth != 0 && (c->auth & 1U << login->auth) == 0)
		return POLICY_CONDITION_AUTH;
	if (c->from.n > 0 && (login->source == NULL || !cidr_list_contains(&c->from, login->source)))
		return POLICY_CONDITION_FROM;
	if (c->times != NULL && !is_time(c, login->time))
		return POLICY_CONDITION_TIME;
	if (c->targets != NULL && (login->target == NULL || !fits_one(c->targets, login->target)))
		return POLICY_CONDITION_TARGET;
	return POLICY_CONDITION_NONE;
}

/*
 * Who asks for a target gets it, or nothing: never what others get without one. What is denied is denied
 * with every target, or "+anything" would lead around it.
 */
static bool
leaves_targets_out(const struct policy_rule *rule)
{
	return rule->profile != NULL && rule->conditions.targets == NULL;
}

enum policy_condition
policy_judge_rule(const struct policy_rule *rule, const struct policy_user *user,
    const struct policy_login *login)
{
	enum policy_condition failing = first_failing(&rule->conditions, user, login);

	if (failing != POLICY_CONDITION_NONE)
		return failing;
	if (login->target != NULL && leaves_targets_out(rule))
		return POLICY_CONDITION_NO_TARGET;
	if (rule->except != NULL && first_failing(rule->except, user, login) == POLICY_CONDITION_NONE)
		return POLICY_CONDITION_EXCEPT;
	return POLICY_CONDITION_NONE;
}

static struct policy_decision
decision_of(const struct policy_rule *rule)
{
	return (struct policy_decision){ .profile = rule->profile,
		.rule = rule->id,
		.message = rule->deny,
		.ceiling = rule->profile != NULL ? &rule->ceiling : NULL,
		.file = rule->file,
		.line = rule->line,
		.column = rule->column };
}

int
policy_decide(const struct policy *p, const struct policy_login *login, struct policy_decision *ret)
{
	const struct policy_user *user = policy_find_user(p, login->user, strlen(login->user));

	*ret = (struct policy_decision){ .expired = user != NULL && login->time >= user->expires };
	if (user != NULL)
		ret->message = ret->expired ? p->expired : p->refused;
	/* Who is not in the policy gets nothing, whatever a rule without conditions says. */
	for (size_t i = 0; user != NULL && !ret->expired && i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];

		if (policy_judge_rule(rule, user, login) != POLICY_CONDITION_NONE)
			continue;
		*ret = decision_of(rule);
		return rule->profile != NULL ? 0 : POLICY_E_REFUSED;
	}
	return POLICY_E_REFUSED;
}

const char *
policy_why_refused(const struct policy_decision *d)
{
	if (d->expired)
		return "the user has expired";
	return d->rule != NULL ? "a rule denies this login" : "no rule allows this login";
}

/* ---- logins of which only the user and the target are known ---- */

/* In this order: of two conditions that both have to hold, the lesser one counts. */
enum chance {
	CHANCE_NEVER,
	CHANCE_PERHAPS,
	CHANCE_ALWAYS,
};

/* By the keys that the user has: no login is by another one. */
static enum chance
chance_of_keys(const struct policy_conditions *c, const struct policy_user *user)
{
	size_t n = 0;
	size_t n_usable = 0;

	for (size_t i = 0; i < user->n_keys; i++) {
		const struct public_key *key = &user->keys[i];
		enum policy_auth auth = policy_auth_of_key(key->blob, key->len);

		if (user->verify_required && auth != POLICY_AUTH_SK_KEY)
			continue;
		n_usable++;
		n += (c->keys == NULL || is_listed(c->keys, key->fingerprint)) &&
		    (c->auth == 0 || (c->auth & 1U << auth) != 0);
	}
	return n == 0 ? CHANCE_NEVER : n < n_usable ? CHANCE_PERHAPS : CHANCE_ALWAYS;
}

static enum chance
chance_of_time(const struct policy_conditions *c, int64_t now)
{
	for (size_t i = 0; i < c->n_times; i++) {
		if (!times_is_past(&c->times[i], now))
			return CHANCE_PERHAPS;
	}
	return c->times == NULL ? CHANCE_ALWAYS : CHANCE_NEVER;
}

static enum chance
chance_of(const struct policy_conditions *c, const struct policy_user *user, const char *target,
    int64_t now)
{
	enum chance by_key = chance_of_keys(c, user);
	enum chance by_time = chance_of_time(c, now);
	enum chance chance = by_key < by_time ? by_key : by_time;

	if ((c->users != NULL && !is_listed(c->users, user->name)) ||
	    (c->groups != NULL && !in_a_group(c->groups, user->groups)) ||
	    (c->targets != NULL && (target == NULL || !fits_one(c->targets, target))))
		return CHANCE_NEVER;
	return chance == CHANCE_ALWAYS && c->from.n > 0 ? CHANCE_PERHAPS : chance;
}

static enum chance
chance_of_rule(const struct policy_rule *rule, const struct policy_user *user, const char *target,
    int64_t now)
{
	enum chance chance = chance_of(&rule->conditions, user, target, now);
	enum chance except = CHANCE_NEVER;

	if (target != NULL && leaves_targets_out(rule))
		return CHANCE_NEVER;
	if (rule->except != NULL)
		except = chance_of(rule->except, user, target, now);
	if (except == CHANCE_ALWAYS)
		return CHANCE_NEVER;
	return except == CHANCE_PERHAPS && chance == CHANCE_ALWAYS ? CHANCE_PERHAPS : chance;
}

bool
policy_may_get(const struct policy *p, const char *user, const char *target, int64_t now,
    bool (*is_it)(void *arg, const struct policy_decision *d), void *arg)
{
	const struct policy_user *known = policy_find_user(p, user, strlen(user));
	enum chance chance = CHANCE_NEVER;

	if (known == NULL || now >= known->expires)
		return false;
	/* Behind a rule that always matches there is nothing. */
	for (size_t i = 0; i < p->n_rules && chance != CHANCE_ALWAYS; i++) {
		struct policy_decision d = decision_of(&p->rules[i]);

		chance = chance_of_rule(&p->rules[i], known, target, now);
		if (chance != CHANCE_NEVER && d.profile != NULL && is_it(arg, &d))
			return true;
	}
	return false;
}

bool
policy_accepts_env(const struct policy_profile *profile, const char *name)
{
	/* What is no name of a variable matches no pattern, so that "*" lets nothing odd through. */
	if (names_variable_fault(name, false) != NULL)
		return false;
	return fits_one(profile->accept_env, name);
}

const struct policy_profile *
policy_profile_at(const struct policy *p, size_t i)
{
	return i < p->n_profiles ? p->profiles[i] : NULL;
}

const char *
policy_digest(const struct policy *p)
{
	return p->digest;
}
