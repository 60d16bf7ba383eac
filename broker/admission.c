/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: who is let in. The semantics are those of sshd's MaxStartups and PerSourcePenalties, whose
 * defaults operators know, with one addition: under pressure those who hold a place without using it go
 * first, so that a flood of half-open connections does not keep everybody else out.
 *
 * Sources are in a balanced tree (tsearch), because hostile networks choose their addresses; those with a
 * penalty also in a heap, next to expire on top.
 */
#include "admission.h"

#include <errno.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include "worker_exit.h"

/* A key exchange needs no human: who has not finished it by then may have to go, under pressure. */
#define STALE_MS 3000

/*
 * Under pressure, one stranger in so long, after as many at once as may be waiting: each costs a process, and
 * a flood whose connections make room for each other would be as fast as the machine is.
 */
#define STRANGER_MS 62

/* Where somebody has logged in from is known for a day, with so many connections at a time. */
#define KNOWN_MS     (24 * 3600 * INT64_C(1000))
#define KNOWN_MAX    4096 /* sources */
#define KNOWN_PLACES 8

enum { FAMILY_V4, FAMILY_V6, FAMILIES };

struct admission_source {
	struct cidr network;
	unsigned connections;
	unsigned startups;
	int64_t expiry; /* of its penalty */
	size_t at;      /* in the heap */
	bool in_heap;
	bool enforced; /* has reached penalty_min_ms; stays so until it has expired */
	TAILQ_ENTRY(admission_source) link; /* of those that are known, last login last */
	int64_t known_until;                /* 0: not known */
};

enum stage {
	STAGE_WAITING, /* for a worker */
	STAGE_SERVED,
	STAGE_EXCHANGED,
	STAGE_LOGGED_IN,
	STAGE_EVICTED, /* was told to go, to make room for another */
};

struct admission_ticket {
	TAILQ_ENTRY(admission_ticket) link; /* until the login: in order of arrival */
	struct admission_source *source;    /* NULL: exempt */
	void *owner;
	enum stage stage;
	int64_t since; /* SERVED */
	bool stale;    /* EVICTED: it had had its time */
};

struct heap {
	struct admission_source **items;
	size_t n;
};

TAILQ_HEAD(source_list, admission_source);
TAILQ_HEAD(ticket_list, admission_ticket);

struct admission {
	const struct admission_options *options;
	admission_random_fn *random;
	void *tree;                  /* of struct admission_source, by network */
	struct heap heaps[FAMILIES]; /* of those with a penalty, by expiry */
	struct source_list known;
	unsigned n_known;
	struct ticket_list startups;
	int64_t strangers_until; /* those let in so far are worth the time up to then, see STRANGER_MS */
	struct admission_counts counts;
};

/* ---- sources ---- */

static int
compare_networks(const void *a, const void *b)
{
	const struct cidr *left = &((const struct admission_source *)a)->network;
	const struct cidr *right = &((const struct admission_source *)b)->network;

	if (left->family != right->family)
		return left->family < right->family ? -1 : 1;
	return memcmp(left->address, right->address, sizeof(left->address));
}

static struct heap *
heap_of(struct admission *a, const struct admission_source *s)
{
	return &a->heaps[s->network.family == AF_INET ? FAMILY_V4 : FAMILY_V6];
}

/* The network that an address counts as. False: it is exempt, or of no family that has sources. */
static bool
network_of(const struct admission *a, const struct sockaddr_storage *address, struct cidr *ret)
{
	return cidr_of(address, a->options->v4_bits, a->options->v6_bits, ret) &&
	    !cidr_list_contains(&a->options->exempt, address);
}

static struct admission_source *
find_source(struct admission *a, const struct cidr *network)
{
	struct admission_source key = { .network = *network };
	void *found = tfind(&key, &a->tree, compare_networks);

	return found == NULL ? NULL : *(struct admission_source **)found;
}

static struct admission_source *
add_source(struct admission *a, const struct cidr *network)
{
	struct admission_source *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->network = *network;
	if (tsearch(s, &a->tree, compare_networks) == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

/* Forget a source that nothing is known about any more. */
static void
drop_source(struct admission *a, struct admission_source *s)
{
	if (s->connections > 0 || s->in_heap || s->known_until > 0)
		return;
	(void)tdelete(s, &a->tree, compare_networks);
	free(s);
}

static void
forget(struct admission *a, struct admission_source *s)
{
	TAILQ_REMOVE(&a->known, s, link);
	a->n_known--;
	s->known_until = 0;
	drop_source(a, s);
}

static void
remember(struct admission *a, struct admission_source *s, int64_t now_ms)
{
	if (s->known_until > 0)
		TAILQ_REMOVE(&a->known, s, link);
	else if (a->n_known++ == KNOWN_MAX)
		forget(a, TAILQ_FIRST(&a->known));
	s->known_until = now_ms + KNOWN_MS;
	TAILQ_INSERT_TAIL(&a->known, s, link);
}

static bool
is_known(const struct admission_source *s)
{
	return s != NULL && s->known_until > 0 && s->startups <= KNOWN_PLACES;
}

/* ---- penalties ---- */

static void
heap_put(struct heap *h, size_t at, struct admission_source *s)
{
	h->items[at] = s;
	s->at = at;
}

static void
heap_up(struct heap *h, size_t at)
{
	struct admission_source *s = h->items[at];

	while (at > 0 && h->items[(at - 1) / 2]->expiry > s->expiry) {
		heap_put(h, at, h->items[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(h, at, s);
}

static void
heap_down(struct heap *h, size_t at)
{
	struct admission_source *s = h->items[at];
	size_t child;

	while ((child = 2 * at + 1) < h->n) {
		if (child + 1 < h->n && h->items[child + 1]->expiry < h->items[child]->expiry)
			child++;
		if (h->items[child]->expiry >= s->expiry)
			break;
		heap_put(h, at, h->items[child]);
		at = child;
	}
	heap_put(h, at, s);
}

/* The penalty that passes next is over, or has to give way. */
static void
forgive_first(struct admission *a, struct heap *h)
{
	struct admission_source *s = h->items[0];

	if (s->enforced)
		a->counts.penalised--;
	s->in_heap = false;
	s->enforced = false;
	if (--h->n > 0) {
		heap_put(h, 0, h->items[h->n]);
		heap_down(h, 0);
	}
	drop_source(a, s);
}

static void
expire(struct admission *a, int64_t now_ms)
{
	for (unsigned i = 0; i < FAMILIES; i++) {
		struct heap *h = &a->heaps[i];

		while (h->n > 0 && h->items[0]->expiry <= now_ms)
			forgive_first(a, h);
	}
	while (a->n_known > 0 && TAILQ_FIRST(&a->known)->known_until <= now_ms)
		forget(a, TAILQ_FIRST(&a->known));
}

/* Returns the milliseconds for which the source is refused, when that begins with this penalty. */
static uint32_t
penalise(struct admission *a, struct admission_source *s, uint32_t ms, int64_t now_ms)
{
	const struct admission_options *o = a->options;
	struct heap *h = heap_of(a, s);

	if (!s->in_heap) {
		if (h->n >= o->penalty_sources && o->penalty_deny_all)
			return 0;
		if (h->n >= o->penalty_sources)
			forgive_first(a, h);
		s->expiry = now_ms;
		s->in_heap = true;
		heap_put(h, h->n, s);
		h->n++;
		heap_up(h, s->at);
	}
	s->expiry += ms;
	if (s->expiry > now_ms + o->penalty_max_ms)
		s->expiry = now_ms + o->penalty_max_ms;
	heap_down(h, s->at);
	if (s->enforced || s->expiry - now_ms < o->penalty_min_ms)
		return 0;
	s->enforced = true;
	a->counts.penalised++;
	return (uint32_t)(s->expiry - now_ms);
}

/* ---- the door ---- */

static bool
early_drop(struct admission *a)
{
	const struct admission_options *o = a->options;
	uint32_t n = a->counts.startups;
	uint32_t percent;

	if (n < o->startups_start)
		return false;
	if (n >= o->startups_full || o->startups_rate >= 100)
		return true;
	percent = o->startups_rate +
	    (100 - o->startups_rate) * (n - o->startups_start) /
		(o->startups_full - o->startups_start);
	return a->random(100) < percent;
}

/* Whether the pace of strangers leaves room for one more; who is known, or exempt, has none. */
static bool
in_pace(const struct admission *a, const struct cidr *network, const struct admission_source *s,
    int64_t now_ms)
{
	const struct admission_options *o = a->options;

	return network == NULL || is_known(s) || a->counts.startups < o->startups_start ||
	    a->strangers_until - now_ms < (int64_t)o->startups_full * STRANGER_MS;
}

/* It has been let in, and counted. */
static void
count_stranger(struct admission *a, const struct admission_source *s, int64_t now_ms)
{
	if (s == NULL || is_known(s) || a->counts.startups <= a->options->startups_start)
		return;
	if (a->strangers_until < now_ms)
		a->strangers_until = now_ms;
	a->strangers_until += STRANGER_MS;
}

static bool
is_stale(const struct admission_ticket *t, int64_t now_ms)
{
	return t->stage == STAGE_SERVED && now_ms - t->since >= STALE_MS;
}

/* For a connection of this source, or of a new one (NULL). See admission.h for the choice. */
static struct admission_ticket *
find_victim(struct admission *a, const struct admission_source *s, int64_t now_ms)
{
	unsigned own = s != NULL ? s->startups : 0;
	struct admission_ticket *heaviest = NULL;
	struct admission_ticket *stale = NULL;
	struct admission_ticket *unknown = NULL;
	struct admission_ticket *exchanged = NULL;
	struct admission_ticket *t;

	TAILQ_FOREACH(t, &a->startups, link)
	{
		bool below = is_known(s) && t->source != NULL && !is_known(t->source);

		if (t->source == NULL || t->stage > STAGE_EXCHANGED ||
		    (is_known(t->source) && !is_known(s)))
			continue;
		if (t->stage == STAGE_EXCHANGED) {
			if (below)
				exchanged = t;
			continue;
		}
		/* Not only more, but still as many when it has lost one to the newcomer. */
		if (t->source->startups > own + 1 &&
		    (heaviest == NULL || t->source->startups >= heaviest->source->startups))
			heaviest = t;
		if (stale == NULL && t->source->startups > own && is_stale(t, now_ms))
			stale = t;
		if (below)
			unknown = t;
	}
	if (heaviest != NULL)
		return heaviest;
	if (stale != NULL)
		return stale;
	return unknown != NULL ? unknown : exchanged;
}

static void
leave_startups(struct admission *a, struct admission_ticket *t)
{
	TAILQ_REMOVE(&a->startups, t, link);
	a->counts.startups--;
	if (t->source != NULL)
		t->source->startups--;
}

static void
evict(struct admission *a, struct admission_ticket *victim, int64_t now_ms)
{
	leave_startups(a, victim);
	victim->stale = is_stale(victim, now_ms);
	victim->stage = STAGE_EVICTED;
	a->counts.evicted++;
}

static enum admission_verdict
judge_source(struct admission *a, const struct cidr *network, const struct admission_source *s)
{
	const struct admission_options *o = a->options;
	const struct heap *h = &a->heaps[network->family == AF_INET ? FAMILY_V4 : FAMILY_V6];

	if (s != NULL && s->enforced)
		return ADMISSION_PENALISED;
	if (o->penalty_deny_all && h->n >= o->penalty_sources)
		return ADMISSION_PENALTIES_FULL;
	if (s != NULL && o->source_connections > 0 && s->connections >= o->source_connections)
		return ADMISSION_SOURCE_CONNECTIONS;
	if (s != NULL && o->source_startups > 0 && s->startups >= o->source_startups)
		return ADMISSION_SOURCE_STARTUPS;
	return ADMISSION_OK;
}

static enum admission_verdict
judge(struct admission *a, const struct cidr *network, const struct admission_source *s,
    int64_t now_ms, struct admission_ticket **ret_victim)
{
	enum admission_verdict v = network != NULL ? judge_source(a, network, s) : ADMISSION_OK;

	if (v != ADMISSION_OK)
		return v;
	if (a->counts.connections >= a->options->connections)
		return ADMISSION_CONNECTIONS;
	if (!in_pace(a, network, s, now_ms))
		return ADMISSION_STARTUPS;
	if (!early_drop(a))
		return ADMISSION_OK;
	*ret_victim = find_victim(a, s, now_ms);
	return *ret_victim != NULL ? ADMISSION_OK : ADMISSION_STARTUPS;
}

/* Ticket and source of one that is let in; false: no memory. */
static bool
add_ticket(struct admission *a, const struct cidr *network, struct admission_source *s,
    struct admission_ticket **ret)
{
	struct admission_ticket *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return false;
	if (network != NULL && s == NULL)
		s = add_source(a, network);
	if (network != NULL && s == NULL) {
		free(t);
		return false;
	}
	t->source = s;
	TAILQ_INSERT_TAIL(&a->startups, t, link);
	a->counts.startups++;
	a->counts.connections++;
	if (s != NULL) {
		s->startups++;
		s->connections++;
	}
	*ret = t;
	return true;
}

enum admission_verdict
admission_enter(struct admission *a, const struct sockaddr_storage *source, int64_t now_ms,
    struct admission_ticket **ret, void **ret_victim)
{
	struct admission_ticket *victim = NULL;
	struct admission_source *s = NULL;
	struct cidr storage;
	struct cidr *network = network_of(a, source, &storage) ? &storage : NULL;
	enum admission_verdict v;

	*ret_victim = NULL;
	expire(a, now_ms);
	if (network != NULL)
		s = find_source(a, network);
	v = judge(a, network, s, now_ms, &victim);
	/* Without memory it is as full as can be. */
	if (v == ADMISSION_OK && !add_ticket(a, network, s, ret))
		v = ADMISSION_CONNECTIONS;
	if (v != ADMISSION_OK) {
		a->counts.refused[v]++;
		return v;
	}
	count_stranger(a, (*ret)->source, now_ms);
	if (victim != NULL) {
		evict(a, victim, now_ms);
		*ret_victim = victim->owner;
	}
	return ADMISSION_OK;
}

bool
admission_is_known(const struct admission_ticket *t)
{
	return t->source == NULL || is_known(t->source);
}

void
admission_set_owner(struct admission_ticket *t, void *owner)
{
	t->owner = owner;
}

void
admission_served(struct admission_ticket *t, int64_t now_ms)
{
	if (t->stage != STAGE_WAITING)
		return;
	t->stage = STAGE_SERVED;
	t->since = now_ms;
}

void
admission_exchanged(struct admission_ticket *t)
{
	if (t->stage == STAGE_SERVED)
		t->stage = STAGE_EXCHANGED;
}

void
admission_logged_in(struct admission *a, struct admission_ticket *t, int64_t now_ms)
{
	if (t->stage >= STAGE_LOGGED_IN)
		return;
	leave_startups(a, t);
	t->stage = STAGE_LOGGED_IN;
	if (t->source != NULL)
		remember(a, t->source, now_ms);
}

uint32_t
admission_leave(struct admission *a, struct admission_ticket *t, enum admission_end end,
    int64_t now_ms)
{
	struct admission_source *s;
	uint32_t refused_ms = 0;

	if (t == NULL)
		return 0;
	s = t->source;
	if (t->stage == STAGE_EVICTED && end != ADMISSION_END_CRASH)
		end = t->stale ? ADMISSION_END_GRACE : ADMISSION_END_FINE;
	if (t->stage < STAGE_LOGGED_IN)
		leave_startups(a, t);
	free(t);
	a->counts.connections--;
	expire(a, now_ms);
	if (s == NULL)
		return 0;
	if (a->options->penalty_ms[end] > 0)
		refused_ms = penalise(a, s, a->options->penalty_ms[end], now_ms);
	s->connections--;
	drop_source(a, s);
	return refused_ms;
}

struct admission_counts
admission_count(struct admission *a, int64_t now_ms)
{
	expire(a, now_ms);
	a->counts.penalties = (unsigned)(a->heaps[FAMILY_V4].n + a->heaps[FAMILY_V6].n);
	return a->counts;
}

int
admission_new(const struct admission_options *options, admission_random_fn *random,
    struct admission **ret)
{
	struct admission *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return -ENOMEM;
	a->options = options;
	a->random = random;
	TAILQ_INIT(&a->known);
	TAILQ_INIT(&a->startups);
	for (unsigned i = 0; i < FAMILIES; i++) {
		/* Untouched, it takes no memory. */
		a->heaps[i].items = calloc(options->penalty_sources, sizeof(void *));
		if (a->heaps[i].items == NULL) {
			admission_free(a);
			return -ENOMEM;
		}
	}
	*ret = a;
	return 0;
}

void
admission_free(struct admission *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < FAMILIES; i++)
		free(a->heaps[i].items);
	tdestroy(a->tree, free);
	free(a);
}

/* ---- words ---- */

char *
admission_source_text(const struct admission *a, const struct sockaddr_storage *source,
    char out[CIDR_TEXT_MAX])
{
	struct cidr network;

	if (network_of(a, source, &network))
		return cidr_format(&network, out);
	(void)snprintf(out, CIDR_TEXT_MAX, "-");
	return out;
}

const char *
admission_verdict_text(enum admission_verdict v)
{
	static const char *const texts[ADMISSION_VERDICT_COUNT] = {
		[ADMISSION_OK] = "let in",
		[ADMISSION_PENALISED] = "penalty of its source",
		[ADMISSION_PENALTIES_FULL] = "login.penalties.sources reached",
		[ADMISSION_CONNECTIONS] = "limits.connections reached",
		[ADMISSION_SOURCE_CONNECTIONS] = "limits.per_source.connections reached",
		[ADMISSION_SOURCE_STARTUPS] = "limits.per_source.startups reached",
		[ADMISSION_STARTUPS] = "login.max_startups",
	};

	return texts[v];
}

const char *
admission_verdict_answer(enum admission_verdict v)
{
	if (v == ADMISSION_PENALISED)
		return "too many failed connections from your address, try again later";
	if (v == ADMISSION_SOURCE_CONNECTIONS || v == ADMISSION_SOURCE_STARTUPS)
		return "too many connections from your address, try again later";
	return "too many connections, try again later";
}

const char *
admission_end_text(enum admission_end e)
{
	static const char *const texts[ADMISSION_END_COUNT] = {
		[ADMISSION_END_FINE] = "nothing",
		[ADMISSION_END_CRASH] = "a worker crashed or broke its protocol",
		[ADMISSION_END_AUTH_FAILED] = "failed logins",
		[ADMISSION_END_DENIED] = "logins that policy denies",
		[ADMISSION_END_NO_AUTH] = "connections without a login",
		[ADMISSION_END_GRACE] = "connections that did not log in in time",
	};

	return texts[e];
}

/* ---- ends ---- */

static bool
worker_failed(const struct admission_facts *f)
{
	if (WIFSIGNALED(f->status))
		return !(f->killed && WTERMSIG(f->status) == SIGKILL);
	return WEXITSTATUS(f->status) == WORKER_EXIT_INTERNAL;
}

enum admission_end
admission_judge(const struct admission_facts *f)
{
	if (!f->served)
		return ADMISSION_END_FINE;
	if (f->violation || worker_failed(f))
		return ADMISSION_END_CRASH;
	if (f->logged_in || f->full || f->our_fault)
		return ADMISSION_END_FINE;
	if (f->overdue)
		return ADMISSION_END_GRACE;
	if (f->denied)
		return ADMISSION_END_DENIED;
	/* One penalty whoever was asked for: how soon it comes must not tell which users there are. */
	if (f->refusals > 0 ||
	    (WIFEXITED(f->status) && WEXITSTATUS(f->status) == WORKER_EXIT_AUTH_FAILED))
		return ADMISSION_END_AUTH_FAILED;
	return ADMISSION_END_NO_AUTH;
}
