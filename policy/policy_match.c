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

bool
policy_user_valid(const void *name, size_t len)
{
	return names_login_valid(name, len);
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

	if (p->n_users == 0)
		return false;
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
in_a_group(const char *const *groups, const struct policy_user *user)
{
	for (const char *const *group = user->groups; *group != NULL; group++) {
		if (is_listed(groups, *group))
			return true;
	}
	return false;
}

static bool
comes_from(const struct policy_rule *rule, const struct sockaddr_storage *source)
{
	for (size_t i = 0; source != NULL && i < rule->n_from; i++) {
		if (cidr_contains(&rule->from[i], source))
			return true;
	}
	return false;
}

static bool
matches(const struct policy_rule *rule, const struct policy_user *user,
    const struct sockaddr_storage *source)
{
	return (rule->users == NULL || is_listed(rule->users, user->name)) &&
	    (rule->groups == NULL || in_a_group(rule->groups, user)) &&
	    (rule->from == NULL || comes_from(rule, source));
}

int
policy_decide(const struct policy *p, const struct policy_login *login, struct policy_decision *ret)
{
	const struct policy_user *user = policy_find_user(p, login->user, strlen(login->user));

	*ret = (struct policy_decision){ 0 };
	/* Who is not in the policy gets nothing, whatever a rule without conditions says. */
	for (size_t i = 0; user != NULL && i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];

		if (!matches(rule, user, login->source))
			continue;
		ret->rule = rule->id;
		ret->message = rule->deny;
		ret->profile = rule->profile;
		ret->file = p->file;
		ret->line = rule->line;
		return rule->profile != NULL ? 0 : POLICY_E_REFUSED;
	}
	return POLICY_E_REFUSED;
}

/* With one remembered star the work is at most length of name times length of pattern. */
static bool
fits_pattern(const char *pattern, const char *name)
{
	const char *star = NULL;
	const char *again = NULL;

	while (*name != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			again = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star + 1;
			name = ++again;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool
policy_accepts_env(const struct policy_profile *profile, const char *name)
{
	/* What is no name of a variable matches no pattern, so that "*" lets nothing odd through. */
	if (names_variable_fault(name, false) != NULL)
		return false;
	for (const char *const *pattern = profile->accept_env; *pattern != NULL; pattern++) {
		if (fits_pattern(*pattern, name))
			return true;
	}
	return false;
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
