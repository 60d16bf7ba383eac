/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see ceilings.h. */
#include "ceilings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "units.h"

#define BUCKETS 1024
/* One more than a minute has seconds: what began in the middle of one counts until its end. */
#define SLOTS 61

/* New containers in each of the last seconds. */
struct minute {
	int64_t second; /* of the newest slot */
	uint32_t slots[SLOTS];
	uint32_t sum;
};

struct entry {
	LIST_ENTRY(entry) link;
	enum ceiling_scope scope;
	uint64_t held[CEILING_KINDS]; /* CEILING_CREATES: not used */
	struct minute minute;
	char name[]; /* of the user or the rule */
};

LIST_HEAD(bucket, entry);

struct ceilings {
	struct entry *global;
	struct bucket buckets[BUCKETS];
	size_t next; /* bucket that is looked through next time */
	size_t known;
	uint64_t refused[CEILING_SCOPES][CEILING_KINDS];
};

struct ceiling_hold {
	enum ceiling_kind kind;
	uint64_t memory;
	struct entry *entries[CEILING_SCOPES]; /* NULL: does not count there */
};

/* ---- a minute ---- */

/* Forget what is older. */
static void
move_on(struct minute *m, int64_t now_ms)
{
	int64_t second = now_ms / 1000;

	if (second - m->second >= SLOTS) {
		memset(m, 0, sizeof(*m));
		m->second = second;
	}
	while (m->second < second) {
		uint32_t *slot = &m->slots[++m->second % SLOTS];

		m->sum -= *slot;
		*slot = 0;
	}
}

static void
count_create(struct minute *m)
{
	m->slots[m->second % SLOTS]++;
	m->sum++;
}

/* ---- users and rules ---- */

/* FNV-1a: names are the policy's and not a stranger's. */
static size_t
bucket_of(enum ceiling_scope scope, const char *name)
{
	uint32_t hash = 2166136261U ^ (uint32_t)scope;

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619U;
	return hash % BUCKETS;
}

static struct entry *
new_entry(enum ceiling_scope scope, const char *name)
{
	size_t len = strlen(name);
	struct entry *e = calloc(1, sizeof(*e) + len + 1);

	if (e == NULL)
		return NULL;
	e->scope = scope;
	memcpy(e->name, name, len + 1);
	return e;
}

/* NULL: no memory. */
static struct entry *
find_or_add(struct ceilings *c, enum ceiling_scope scope, const char *name)
{
	struct bucket *bucket = &c->buckets[bucket_of(scope, name)];
	struct entry *e;

	LIST_FOREACH(e, bucket, link)
	{
		if (e->scope == scope && strcmp(e->name, name) == 0)
			return e;
	}
	e = new_entry(scope, name);
	if (e == NULL)
		return NULL;
	LIST_INSERT_HEAD(bucket, e, link);
	c->known++;
	return e;
}

static bool
is_used(struct entry *e, int64_t now_ms)
{
	move_on(&e->minute, now_ms);
	return e->held[CEILING_SESSIONS] > 0 || e->held[CEILING_CONTAINERS] > 0 || e->minute.sum > 0;
}

/* A little with each take: nothing that is not used stays for long, and nobody waits for a long look. */
static void
tidy(struct ceilings *c, int64_t now_ms)
{
	struct bucket *bucket = &c->buckets[c->next];
	struct entry *e = LIST_FIRST(bucket);

	c->next = (c->next + 1) % BUCKETS;
	while (e != NULL) {
		struct entry *next = LIST_NEXT(e, link);

		if (!is_used(e, now_ms)) {
			LIST_REMOVE(e, link);
			c->known--;
			free(e);
		}
		e = next;
	}
}

int
ceilings_new(struct ceilings **ret)
{
	struct ceilings *c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->global = new_entry(CEILING_GLOBAL, "");
	if (c == NULL || c->global == NULL) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void
ceilings_free(struct ceilings *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct entry *e;

		while ((e = LIST_FIRST(&c->buckets[i])) != NULL) {
			LIST_REMOVE(e, link);
			free(e);
		}
	}
	free(c->global);
	free(c);
}

/* ---- taking and giving ---- */

/* Where it counts. False: no memory. */
static bool
find_entries(struct ceilings *c, const struct ceiling_claim *claim,
    struct entry *entries[CEILING_SCOPES])
{
	entries[CEILING_GLOBAL] = c->global;
	entries[CEILING_USER] = claim->user != NULL ? find_or_add(c, CEILING_USER, claim->user)
						    : NULL;
	entries[CEILING_RULE] = claim->rule != NULL ? find_or_add(c, CEILING_RULE, claim->rule)
						    : NULL;
	return (claim->user == NULL || entries[CEILING_USER] != NULL) &&
	    (claim->rule == NULL || entries[CEILING_RULE] != NULL);
}

/* Whether so many more are too many. */
static bool
is_full(struct entry *e, enum ceiling_kind kind, const struct ceiling_claim *claim, int64_t now_ms)
{
	uint64_t most = claim->limits[e->scope].most[kind];
	uint64_t more = kind == CEILING_MEMORY ? claim->memory : 1;
	uint64_t spare = e->scope == CEILING_GLOBAL ? claim->spare[kind] : 0;
	uint64_t held;

	if (most == 0)
		return false;
	if (kind == CEILING_CREATES)
		move_on(&e->minute, now_ms);
	held = kind == CEILING_CREATES ? e->minute.sum : e->held[kind];
	held -= spare < held ? spare : held;
	return held > most || more > most - held;
}

/* The narrowest limit is told: it is the one that the person can do something about. */
static bool
find_full(struct entry *const entries[CEILING_SCOPES], enum ceiling_kind kind,
    const struct ceiling_claim *claim, int64_t now_ms, struct ceiling_refusal *ret)
{
	static const enum ceiling_scope order[] = { CEILING_USER, CEILING_RULE, CEILING_GLOBAL };

	for (size_t i = 0; i < SP_ARRAY_LEN(order); i++) {
		struct entry *e = entries[order[i]];

		/* Who gets one that exists does not make one. */
		if (kind == CEILING_CREATES && claim->made && order[i] == CEILING_GLOBAL)
			continue;
		if (e != NULL && is_full(e, kind, claim, now_ms)) {
			*ret = (struct ceiling_refusal){ order[i], kind,
				claim->limits[order[i]].most[kind] };
			return true;
		}
	}
	return false;
}

static bool
find_any_full(struct entry *const entries[CEILING_SCOPES], enum ceiling_kind kind,
    const struct ceiling_claim *claim, int64_t now_ms, struct ceiling_refusal *ret)
{
	if (find_full(entries, kind, claim, now_ms, ret))
		return true;
	return kind == CEILING_CONTAINERS &&
	    (find_full(entries, CEILING_MEMORY, claim, now_ms, ret) ||
		find_full(entries, CEILING_CREATES, claim, now_ms, ret));
}

static void
count_in(struct entry *e, enum ceiling_kind kind, const struct ceiling_claim *claim, int64_t now_ms)
{
	e->held[kind]++;
	if (kind != CEILING_CONTAINERS)
		return;
	e->held[CEILING_MEMORY] += claim->memory;
	if (claim->made && e->scope == CEILING_GLOBAL)
		return;
	move_on(&e->minute, now_ms);
	count_create(&e->minute);
}

int
ceilings_take(struct ceilings *c, enum ceiling_kind kind, const struct ceiling_claim *claim,
    int64_t now_ms, struct ceiling_hold **ret, struct ceiling_refusal *refusal)
{
	struct ceiling_hold *hold;

	tidy(c, now_ms);
	hold = calloc(1, sizeof(*hold));
	if (hold == NULL || !find_entries(c, claim, hold->entries)) {
		free(hold);
		return -ENOMEM;
	}
	hold->kind = kind;
	hold->memory = kind == CEILING_CONTAINERS ? claim->memory : 0;
	if (find_any_full(hold->entries, kind, claim, now_ms, refusal)) {
		c->refused[refusal->scope][refusal->kind] += !claim->ahead;
		free(hold);
		return CEILING_E_FULL;
	}
	for (size_t i = 0; i < CEILING_SCOPES; i++) {
		if (hold->entries[i] != NULL)
			count_in(hold->entries[i], kind, claim, now_ms);
	}
	*ret = hold;
	return 0;
}

void
ceilings_give(struct ceiling_hold **hold)
{
	struct ceiling_hold *h = *hold;

	*hold = NULL;
	if (h == NULL)
		return;
	for (size_t i = 0; i < CEILING_SCOPES; i++) {
		if (h->entries[i] == NULL)
			continue;
		h->entries[i]->held[h->kind]--;
		h->entries[i]->held[CEILING_MEMORY] -= h->memory;
	}
	free(h);
}

/* ---- what there is to tell ---- */

uint64_t
ceilings_held(const struct ceilings *c, enum ceiling_kind kind)
{
	return c->global->held[kind];
}

uint64_t
ceilings_refused(const struct ceilings *c, enum ceiling_scope scope, enum ceiling_kind kind)
{
	return c->refused[scope][kind];
}

size_t
ceilings_known(const struct ceilings *c)
{
	return c->known;
}

const char *
ceiling_scope_name(enum ceiling_scope scope)
{
	static const char *const
	    names[] = { [CEILING_GLOBAL] = "global", [CEILING_USER] = "per_user", [CEILING_RULE] = "per_rule" };

	return names[scope];
}

const char *
ceiling_kind_name(enum ceiling_kind kind)
{
	static const char *const names[] = { [CEILING_SESSIONS] = "sessions",
		[CEILING_CONTAINERS] = "containers",
		[CEILING_MEMORY] = "memory",
		[CEILING_CREATES] = "creates_per_minute" };

	return names[kind];
}

char *
ceiling_sentence(const struct ceiling_refusal *refusal, char out[CEILING_TEXT_MAX])
{
	static const char *const whose[] = { [CEILING_GLOBAL] = "on this host",
		[CEILING_USER] = "for one user",
		[CEILING_RULE] = "for logins of this kind" };
	static const char *const advice[] = { [CEILING_GLOBAL] = "Try again later.",
		[CEILING_USER] = "End one of yours first.",
		[CEILING_RULE] = "Try again later, or end one of yours." };
	char size[UNITS_TEXT_MAX];

	if (refusal->kind == CEILING_MEMORY)
		(void)snprintf(out, CEILING_TEXT_MAX,
		    "The containers %s may have %s of memory together, and one more does not fit. %s",
		    whose[refusal->scope], units_format_size(refusal->most, size),
		    advice[refusal->scope]);
	else if (refusal->kind == CEILING_CREATES)
		(void)snprintf(out, CEILING_TEXT_MAX,
		    "At most %llu new containers are allowed %s within a minute. Try again in a "
		    "minute.",
		    (unsigned long long)refusal->most, whose[refusal->scope]);
	else
		(void)snprintf(out, CEILING_TEXT_MAX,
		    "At most %llu %s are allowed %s at a time, and there are that many. %s",
		    (unsigned long long)refusal->most, ceiling_kind_name(refusal->kind),
		    whose[refusal->scope], advice[refusal->scope]);
	return out;
}
