/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which facts two policies can tell apart. Between two neighbouring edges of all networks nothing
 * changes, so that one address behind each edge stands for all of them; the same for moments. Runs in
 * the admin tool.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy_private.h"
#include "policy_show.h"

#define WEEK INT64_C(604800)
#define HOUR INT64_C(3600)

/* What is collected; each list has room for all that may come. */
struct collection {
	struct arena *arena;
	struct sockaddr_storage *sources;
	size_t n_sources;
	int64_t *times;
	size_t n_times;
	const char **targets;
	size_t n_targets;
	const char **named; /* users that a rule names */
	size_t n_named;
	int64_t now;
};

/* ---- addresses ---- */

static void
add_address(struct collection *c, int family, const uint8_t address[16])
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} one;

	memset(&one, 0, sizeof(one));
	one.any.ss_family = (sa_family_t)family;
	if (family == AF_INET)
		memcpy(&one.v4.sin_addr, address, 4);
	else
		memcpy(&one.v6.sin6_addr, address, 16);
	for (size_t i = 0; i < c->n_sources; i++) {
		if (memcmp(&c->sources[i], &one.any, sizeof(one.any)) == 0)
			return;
	}
	c->sources[c->n_sources++] = one.any;
}

/* The first address of the network, and the one after its last; there may be none. */
static void
add_edges(struct collection *c, const struct cidr *network)
{
	uint8_t next[16];
	unsigned byte = (network->bits + 7) / 8;

	memcpy(next, network->address, sizeof(next));
	add_address(c, network->family, next);
	if (network->bits == 0)
		return;
	/* Add one at the last bit of the prefix, and carry. */
	byte--;
	for (unsigned add = 1U << (7 - (network->bits - 1) % 8); add != 0; byte--) {
		unsigned sum = next[byte] + add;

		next[byte] = (uint8_t)sum;
		add = sum >> 8;
		if (add != 0 && byte == 0)
			return;
	}
	add_address(c, network->family, next);
}

/* ---- moments ---- */

static void
add_time(struct collection *c, int64_t when)
{
	for (size_t i = 0; i < c->n_times; i++) {
		if (c->times[i] == when)
			return;
	}
	if (when != INT64_MIN && when != INT64_MAX)
		c->times[c->n_times++] = when;
}

/* The next time after now at which a week's window begins or ends, for each of its days. */
static void
add_week(struct collection *c, const struct time_window *w)
{
	int64_t monday = (c->now + 3 * 24 * HOUR) / WEEK * WEEK - 3 * 24 * HOUR;
	int64_t night = w->begin < w->end ? 0 : 24 * HOUR;

	for (int64_t day = 0; day < 7; day++) {
		int64_t midnight = monday + day * 24 * HOUR - w->zone;

		if ((w->days & 1U << day) == 0)
			continue;
		add_time(c, midnight + w->begin);
		add_time(c, midnight + w->end + night);
	}
}

static void
add_window(struct collection *c, const struct time_window *w)
{
	if (w->weekly) {
		add_week(c, w);
		return;
	}
	add_time(c, w->from);
	add_time(c, w->to);
}

/* ---- targets ---- */

/* A target that fits the pattern. */
static void
add_target(struct collection *c, const char *pattern)
{
	char *target = arena_copy(c->arena, pattern, strlen(pattern));

	if (target == NULL)
		return;
	for (char *p = target; *p != '\0'; p++)
		*p = *p == '*' || *p == '?' ? 'x' : *p;
	for (size_t i = 1; i < c->n_targets; i++) {
		if (strcmp(c->targets[i], target) == 0)
			return;
	}
	c->targets[c->n_targets++] = target;
}

/* ---- all of a policy ---- */

static void
add_conditions(struct collection *c, const struct policy_conditions *conditions)
{
	for (size_t i = 0; i < conditions->from.n; i++)
		add_edges(c, &conditions->from.items[i]);
	for (size_t i = 0; i < conditions->n_times; i++)
		add_window(c, &conditions->times[i]);
	for (const char *const *t = conditions->targets; t != NULL && *t != NULL; t++)
		add_target(c, *t);
	for (const char *const *u = conditions->users; u != NULL && *u != NULL; u++)
		c->named[c->n_named++] = *u;
}

static void
add_policy(struct collection *c, const struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		add_conditions(c, &p->rules[i].conditions);
		if (p->rules[i].except != NULL)
			add_conditions(c, p->rules[i].except);
	}
}

static size_t
length_of(const char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

/* More than enough room for each list. */
static size_t
room_of(const struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_conditions *const both[] = { &p->rules[i].conditions,
			p->rules[i].except };

		for (size_t k = 0; k < 2 && both[k] != NULL; k++)
			n += 2 * both[k]->from.n + 14 * both[k]->n_times +
			    length_of(both[k]->targets) + length_of(both[k]->users);
	}
	return n;
}

/* ---- users ---- */

struct alike {
	const char *name;
	const char *sign; /* equal for users that no rule tells apart */
};

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
compare_alike(const void *a, const void *b)
{
	const struct alike *x = a;
	const struct alike *y = b;
	int order = strcmp(x->sign, y->sign);

	return order != 0 ? order : strcmp(x->name, y->name);
}

/* What p can look at in the user: groups, keys, what is asked of them, the end of it. */
static const char *
sign_in(struct arena *a, const struct policy *p, const char *name)
{
	const struct policy_user *user = policy_find_user(p, name, strlen(name));
	const char *sign;

	if (user == NULL)
		return "nobody";
	sign = arena_format(a, "%lld%s", (long long)user->expires, user->verify_required ? "!" : "");
	for (const char *const *g = user->groups; sign != NULL && *g != NULL; g++)
		sign = arena_format(a, "%s %s", sign, *g);
	for (size_t i = 0; sign != NULL && i < user->n_keys; i++) {
		const struct public_key *key = &user->keys[i];
		bool asked = false;

		for (size_t r = 0; r < p->n_rules && !asked; r++)
			asked = p->rules[r].conditions.keys != NULL ||
			    (p->rules[r].except != NULL && p->rules[r].except->keys != NULL);
		sign = arena_format(a, "%s %d%s", sign,
		    (int)policy_auth_of_key(key->blob, key->len), asked ? key->fingerprint : "");
	}
	return sign;
}

/* Whether the user has other keys in b than in a: then nobody else stands for this user. */
static bool
has_other_keys(const struct policy *a, const struct policy *b, const char *name)
{
	const struct policy_user *x = policy_find_user(a, name, strlen(name));
	const struct policy_user *y = policy_find_user(b, name, strlen(name));

	if (x == NULL || y == NULL)
		return false;
	for (size_t i = 0; i < x->n_keys; i++) {
		if (i >= y->n_keys || strcmp(x->keys[i].fingerprint, y->keys[i].fingerprint) != 0)
			return true;
	}
	return x->n_keys != y->n_keys;
}

static int
collect_users(struct arena *arena, const struct policy *a, const struct policy *b,
    struct collection *c, struct policy_facts *ret)
{
	size_t room = a->n_users + b->n_users;
	struct alike *all = arena_array(arena, room, sizeof(*all));
	size_t n = 0;

	ret->users = arena_array(arena, room, sizeof(*ret->users));
	ret->n_alike = arena_array(arena, room, sizeof(*ret->n_alike));
	if (arena->failed)
		return -ENOMEM;
	qsort(c->named, c->n_named, sizeof(*c->named), compare_texts);
	for (size_t i = 0; i < room; i++) {
		const char *name = i < a->n_users ? a->users[i].name : b->users[i - a->n_users].name;
		const char *in_a = sign_in(arena, a, name);
		const char *in_b = sign_in(arena, b, name);
		bool named = c->n_named > 0 &&
		    bsearch(&name, c->named, c->n_named, sizeof(name), compare_texts) != NULL;

		named = named || has_other_keys(a, b, name);
		/* Who is in both has been there. */
		if (i >= a->n_users && policy_find_user(a, name, strlen(name)) != NULL)
			continue;
		if (in_a == NULL || in_b == NULL)
			return -ENOMEM;
		all[n++] = (struct alike){ name,
			arena_format(arena, "%s/%s/%s", in_a, in_b, named ? name : "") };
	}
	if (arena->failed)
		return -ENOMEM;
	qsort(all, n, sizeof(*all), compare_alike);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(all[i].sign, all[i - 1].sign) != 0)
			ret->users[ret->n_users++] = all[i].name;
		ret->n_alike[ret->n_users - 1]++;
	}
	return 0;
}

int
policy_facts(struct arena *arena, const struct policy *a, const struct policy *b, int64_t now,
    struct policy_facts *ret)
{
	static const uint8_t lowest[16];
	size_t room = room_of(a) + room_of(b) + a->n_users + b->n_users + 4;
	struct collection c = {
		.arena = arena,
		.sources = arena_array(arena, room, sizeof(*c.sources)),
		.times = arena_array(arena, room, sizeof(*c.times)),
		.targets = arena_array(arena, room, sizeof(*c.targets)),
		.named = arena_array(arena, room, sizeof(*c.named)),
		.n_targets = 1,
		.now = now,
	};

	*ret = (struct policy_facts){ 0 };
	if (arena->failed)
		return -ENOMEM;
	add_address(&c, AF_INET, lowest);
	add_address(&c, AF_INET6, lowest);
	add_time(&c, now);
	add_policy(&c, a);
	add_policy(&c, b);
	if (c.n_targets > 1)
		add_target(&c, "no-such-target");
	ret->sources = c.sources;
	ret->n_sources = c.n_sources;
	ret->times = c.times;
	ret->n_times = c.n_times;
	ret->targets = c.targets;
	ret->n_targets = c.n_targets;
	return collect_users(arena, a, b, &c, ret);
}
