/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: the pool. Nobody's words arrive here but the policy's, and the engine's as far as container.c
 * lets them through; what runs in a pooled container is our guest alone, but an image can still make
 * that one die, as often as it is started.
 */
#include "pool.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "audit.h"
#include "broker.h"
#include "ceilings.h"
#include "claim.h"
#include "clock.h"
#include "config.h"
#include "container.h"
#include "engine.h"
#include "log.h"
#include "made_of.h"
#include "policy.h"

#define LOOK_MS 50 /* while something is missing */
#define QUIET_MS \
	300 /* after a login, as long as a quarter of the shelf is left: it has the machine first */
#define WAIT_MS     1000 /* after a container that failed; doubled each time */
#define WAIT_MAX_MS 60000
#define PROVEN_MS   10000 /* who has been up for so long is no failure */
#define CROWDED_MS  1000  /* after a ceiling has left no room */

struct item {
	TAILQ_ENTRY(item) link;
	struct shelf *shelf;
	struct container *container;
	uint64_t memory;
	int64_t begun_at;
	int64_t up_at; /* 0: it is starting */
};

TAILQ_HEAD(item_list, item);

/* Containers that are all alike. */
struct shelf {
	TAILQ_ENTRY(shelf) link;
	struct pool *pool;
	struct policy_grant *grant;
	char made_of[MADE_OF_LEN + 1];
	unsigned want;
	unsigned n;
	struct item_list items;
	uint32_t wait_ms; /* after failures, one start in so long; 0: all is well */
	int64_t retry_at;
	int64_t failed_at; /* the last one */
	int64_t crowded_until;
	bool told; /* that a ceiling keeps it smaller */
};

TAILQ_HEAD(shelf_list, shelf);

struct pool {
	struct broker *broker;
	struct shelf_list shelves;
	struct event *timer;
	int64_t taken_at;
};

/* ---- one container ---- */

static void
drop(struct item *item)
{
	struct shelf *shelf = item->shelf;
	struct container *c = item->container;

	TAILQ_REMOVE(&shelf->items, item, link);
	shelf->n--;
	if (c != NULL)
		container_release(c, item);
	free(item);
}

static void
on_up(void *arg, struct container *c)
{
	struct item *item = arg;

	(void)c;
	item->up_at = clock_now_ms();
	pool_kick(item->shelf->pool);
}

static void
on_down(void *arg, struct container *c, const char *text)
{
	struct item *item = arg;
	struct shelf *shelf = item->shelf;
	struct pool *pool = shelf->pool;
	int64_t now = clock_now_ms();

	(void)text; /* for a user, and nobody has it */
	if (item->up_at != 0 && now - item->up_at >= PROVEN_MS)
		shelf->wait_ms = 0;
	/* Those that fail together are one failure: one that was begun before the last is none of its own. */
	if (item->begun_at >= shelf->failed_at) {
		shelf->failed_at = now;
		shelf->wait_ms = shelf->wait_ms == 0   ? WAIT_MS
		    : shelf->wait_ms < WAIT_MAX_MS / 2 ? 2 * shelf->wait_ms
						       : WAIT_MAX_MS;
		shelf->retry_at = now + shelf->wait_ms;
		log_warn("profile=%s container=%s a container of the pool failed (its line before this one "
			 "says why): the next one in %u s",
		    policy_grant_profile(shelf->grant)->name, container_name(c),
		    shelf->wait_ms / 1000);
	}
	drop(item);
	pool_kick(pool);
}

static void
on_stale(void *arg, struct container *c)
{
	struct item *item = arg;
	struct pool *pool = item->shelf->pool;

	(void)c;
	drop(item);
	pool_kick(pool);
}

/* ---- room ---- */

/* What waits for nobody in particular does not use up what everybody may have. Told once, until it has been
 * whole again. */
static void
tell_crowded(struct shelf *shelf, const struct ceiling_refusal *refusal)
{
	shelf->crowded_until = clock_now_ms() + CROWDED_MS;
	if (shelf->told)
		return;
	shelf->told = true;
	log_warn("profile=%s its pool has %u of %u containers and stays so for now: the ceiling %s.%s of %llu "
		 "leaves no room",
	    policy_grant_profile(shelf->grant)->name, shelf->n, shelf->want,
	    ceiling_scope_name(refusal->scope), ceiling_kind_name(refusal->kind),
	    (unsigned long long)refusal->most);
}

static int
make(struct shelf *shelf, struct ceiling_hold **place)
{
	struct item *item = calloc(1, sizeof(*item));
	struct container_owner owner = { on_up, on_down, item };
	struct container_keeper keeper = { .stale = on_stale, .arg = item };
	struct container_request request = { .grant = shelf->grant, .made_of = shelf->made_of };
	int r;

	if (item == NULL)
		return -ENOMEM;
	item->shelf = shelf;
	item->memory = policy_grant_profile(shelf->grant)->memory;
	item->begun_at = clock_now_ms();
	TAILQ_INSERT_TAIL(&shelf->items, item, link);
	shelf->n++;
	r = container_new(shelf->pool->broker, &request, &owner, &item->container);
	if (r < 0) {
		drop(item);
		return r;
	}
	container_set_place(item->container, place);
	container_set_keeper(item->container, &keeper);
	/* It can be down already, and has told nobody. */
	if (container_down_text(item->container) != NULL)
		on_down(item, item->container, container_down_text(item->container));
	return 0;
}

/* 0, CEILING_E_FULL or -errno. */
static int
add(struct shelf *shelf)
{
	struct ceiling_hold *place = NULL;
	struct ceiling_refusal refusal;
	int r = claim_ready(shelf->pool->broker, policy_grant_profile(shelf->grant)->memory, &place,
	    &refusal);

	if (r == 0)
		r = make(shelf, &place);
	else if (r == CEILING_E_FULL)
		tell_crowded(shelf, &refusal);
	ceilings_give(&place);
	return r;
}

/* ---- filling ---- */

/*
 * What the engine can do besides what logins wait for: half of its starts, and none while one waits. Starts that hang are
 * no reason to leave it empty.
 */
static bool
has_room(const struct pool *p)
{
	struct engine_counts counts = engine_counts(p->broker->engine);
	uint32_t starts = p->broker->config->engine.starts;

	return engine_health(p->broker->engine) == ENGINE_HEALTHY && !counts.wanted &&
	    counts.in_turn < (starts > 1 ? starts / 2 : 1);
}

static unsigned
ready(const struct shelf *shelf)
{
	const struct item *item;
	unsigned n = 0;

	TAILQ_FOREACH(item, &shelf->items, link)
	{
		n += item->up_at != 0;
	}
	return n;
}

static bool
may_add(const struct shelf *shelf, int64_t now)
{
	const struct pool *p = shelf->pool;

	if (shelf->n >= shelf->want || now < shelf->retry_at || now < shelf->crowded_until)
		return false;
	return now - p->taken_at >= QUIET_MS || 4 * shelf->n < shelf->want;
}

static void
look_again(struct pool *p)
{
	struct timeval tv = { .tv_usec = LOOK_MS * 1000 };

	if (event_add(p->timer, &tv) < 0)
		log_error("the pool is not filled any more: out of memory");
}

/* One at a time: the engine has to begin with it before it is known what room is left. */
static bool
fill(struct shelf *shelf)
{
	int64_t now = clock_now_ms();
	int r;

	if (!may_add(shelf, now) || !has_room(shelf->pool))
		return false;
	r = add(shelf);
	if (r == CEILING_E_FULL)
		return false;
	if (r < 0) {
		log_error("profile=%s cannot make a container for the pool: %s",
		    policy_grant_profile(shelf->grant)->name, strerror(-r));
		shelf->retry_at = now + WAIT_MAX_MS;
		return false;
	}
	if (shelf->wait_ms != 0)
		shelf->retry_at = now + shelf->wait_ms;
	if (shelf->n >= shelf->want)
		shelf->told = false;
	return true;
}

/* After failures: somebody who lives. */
static void
forgive(struct shelf *shelf)
{
	const struct item *item;

	TAILQ_FOREACH(item, &shelf->items, link)
	{
		if (item->up_at != 0 && clock_now_ms() - item->up_at >= PROVEN_MS)
			shelf->wait_ms = 0;
	}
}

void
pool_kick(struct pool *p)
{
	struct shelf *added = NULL;
	struct shelf *shelf;
	bool lacking = false;

	if (p == NULL || p->broker->draining)
		return;
	TAILQ_FOREACH(shelf, &p->shelves, link)
	{
		forgive(shelf);
		if (added == NULL && fill(shelf))
			added = shelf;
		lacking |= shelf->n < shelf->want || shelf->wait_ms != 0;
	}
	/* The others have their turn. */
	if (added != NULL) {
		TAILQ_REMOVE(&p->shelves, added, link);
		TAILQ_INSERT_TAIL(&p->shelves, added, link);
	}
	if (lacking)
		look_again(p);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pool_kick(arg);
}

/* ---- what the policy wants ---- */

static struct shelf *
find_shelf(const struct pool *p, const char *like)
{
	struct shelf *shelf;

	TAILQ_FOREACH(shelf, &p->shelves, link)
	{
		if (strcmp(shelf->made_of, like) == 0)
			return shelf;
	}
	return NULL;
}

static struct shelf *
add_shelf(struct pool *p, const char *like)
{
	struct shelf *shelf = calloc(1, sizeof(*shelf));

	if (shelf == NULL)
		return NULL;
	shelf->pool = p;
	(void)snprintf(shelf->made_of, sizeof(shelf->made_of), "%s", like);
	TAILQ_INIT(&shelf->items);
	TAILQ_INSERT_TAIL(&p->shelves, shelf, link);
	return shelf;
}

/* A profile with a pool has nothing in it that a login fills in: any login will do. */
static int
want_profile(struct pool *p, const struct policy_profile *profile)
{
	struct policy_login nobody = { .user = "" };
	struct policy_decision decision = { .profile = profile };
	struct policy_grant *grant = NULL;
	char like[MADE_OF_LEN + 1];
	struct shelf *shelf;
	char why[256] = "";
	int r = policy_grant_new(p->broker->policy, &nobody, &decision, &grant, why, sizeof(why));

	if (r != 0)
		return r < 0 ? r : -EINVAL;
	r = made_of(p->broker, policy_grant_profile(grant), like);
	shelf = r == 0 ? find_shelf(p, like) : NULL;
	if (r == 0 && shelf == NULL)
		shelf = add_shelf(p, like);
	if (shelf == NULL) {
		policy_grant_unref(grant);
		return r < 0 ? r : -ENOMEM;
	}
	policy_grant_unref(shelf->grant);
	shelf->grant = grant;
	/* Rules that set what makes no other container of it need no more of them. */
	if (profile->set_by == NULL)
		shelf->want += profile->pool;
	else if (shelf->want < profile->pool)
		shelf->want = profile->pool;
	shelf->wait_ms = 0;
	shelf->retry_at = 0;
	shelf->crowded_until = 0;
	shelf->told = false;
	return 0;
}

static void
shrink(struct shelf *shelf)
{
	while (shelf->n > shelf->want)
		drop(TAILQ_LAST(&shelf->items, item_list));
}

static void
free_shelf(struct shelf *shelf)
{
	TAILQ_REMOVE(&shelf->pool->shelves, shelf, link);
	policy_grant_unref(shelf->grant);
	free(shelf);
}

void
pool_policy_changed(struct pool *p)
{
	const struct policy_profile *profile;
	struct shelf *shelf;
	struct shelf *next;

	TAILQ_FOREACH(shelf, &p->shelves, link)
	{
		shelf->want = 0;
	}
	for (size_t i = 0; (profile = policy_profile_at(p->broker->policy, i)) != NULL; i++) {
		int r = profile->pool > 0 ? want_profile(p, profile) : 0;

		if (r < 0)
			log_error("profile=%s has no pool: %s", profile->name, strerror(-r));
	}
	for (shelf = TAILQ_FIRST(&p->shelves); shelf != NULL; shelf = next) {
		next = TAILQ_NEXT(shelf, link);
		shrink(shelf);
		if (shelf->want == 0)
			free_shelf(shelf);
	}
	/* It may allow less than there is. */
	pool_give_way(p);
	pool_kick(p);
}

void
pool_stop(struct pool *p)
{
	struct shelf *shelf;

	TAILQ_FOREACH(shelf, &p->shelves, link)
	{
		shelf->want = 0;
		shrink(shelf);
	}
	(void)event_del(p->timer);
}

int
pool_new(struct broker *b, struct pool **ret)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->broker = b;
	TAILQ_INIT(&p->shelves);
	p->timer = evtimer_new(b->base, on_time, p);
	if (p->timer == NULL) {
		free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void
pool_free(struct pool *p)
{
	struct shelf *shelf;
	struct item *item;

	if (p == NULL)
		return;
	while ((shelf = TAILQ_FIRST(&p->shelves)) != NULL) {
		while ((item = TAILQ_FIRST(&shelf->items)) != NULL) {
			TAILQ_REMOVE(&shelf->items, item, link);
			free(item);
		}
		free_shelf(shelf);
	}
	event_free(p->timer);
	free(p);
}

/* ---- a login ---- */

void
pool_waiting(const struct pool *p, uint64_t *ret_containers, uint64_t *ret_memory)
{
	const struct shelf *shelf;
	const struct item *item;

	*ret_containers = *ret_memory = 0;
	if (p == NULL)
		return;
	TAILQ_FOREACH(shelf, &p->shelves, link)
	{
		*ret_containers += shelf->n;
		TAILQ_FOREACH(item, &shelf->items, link)
		{
			*ret_memory += item->memory;
		}
	}
}

/* The one that is missed least: the last of the shelf that has most. NULL: there is none. */
static struct item *
pick_spare(const struct pool *p)
{
	const struct shelf *most = NULL;
	const struct shelf *shelf;

	TAILQ_FOREACH(shelf, &p->shelves, link)
	{
		if (most == NULL || shelf->n > most->n)
			most = shelf;
	}
	return most != NULL ? TAILQ_LAST(&most->items, item_list) : NULL;
}

void
pool_give_way(struct pool *p)
{
	struct item *item;

	/* Before those that somebody may have. */
	if (p != NULL && claim_is_over(p->broker))
		container_set_give_way(p->broker->containers);
	while (p != NULL && claim_is_over(p->broker) && (item = pick_spare(p)) != NULL) {
		struct container *c = item->container;

		log_info("profile=%s container=%s leaves the pool: its place is needed",
		    policy_grant_profile(item->shelf->grant)->name, container_name(c));
		item->shelf->crowded_until = clock_now_ms() + CROWDED_MS;
		item->container = NULL;
		container_scrap(c, item);
		drop(item);
		look_again(p);
	}
}

static struct item *
pick(const struct shelf *shelf)
{
	struct item *item;

	TAILQ_FOREACH(item, &shelf->items, link)
	{
		if (item->up_at != 0)
			return item;
	}
	/* One that is on its way comes sooner than a new one. */
	return TAILQ_FIRST(&shelf->items);
}

/* NULL: there is none. */
static struct item *
find_item(const struct pool *p, const struct policy_grant *grant)
{
	const struct policy_profile *profile = policy_grant_profile(grant);
	char like[MADE_OF_LEN + 1];
	const struct shelf *shelf;

	if (p == NULL || profile->pool == 0 || made_of(p->broker, profile, like) < 0)
		return NULL;
	shelf = find_shelf(p, like);
	return shelf != NULL ? pick(shelf) : NULL;
}

bool
pool_has(const struct pool *p, const struct policy_grant *grant)
{
	return find_item(p, grant) != NULL;
}

int
pool_take(struct pool *p, struct policy_grant *grant, const struct audit_subject *who,
    const struct container_owner *owner, struct container **ret)
{
	const struct policy_profile *profile = policy_grant_profile(grant);
	struct item *item = find_item(p, grant);
	struct container *c;
	const char *id;

	if (item == NULL)
		return POOL_E_EMPTY;
	c = item->container;
	id = container_id(c);
	if (!audit_event(p->broker->audit, "container.handout", who,
		AUDIT_TEXT("container", container_name(c)),
		AUDIT_TEXT("id", id[0] != '\0' ? id : NULL), AUDIT_TEXT("profile", profile->name),
		AUDIT_TEXT("source", "pool")))
		return -EIO;
	log_info("connection=%s container=%s comes from the pool", who->connection,
	    container_name(c));
	container_hand_out(c, item, grant, who->connection, owner);
	item->container = NULL;
	drop(item);
	p->taken_at = clock_now_ms();
	look_again(p);
	*ret = c;
	return 0;
}

struct pool_counts
pool_counts(const struct pool *p)
{
	struct pool_counts counts = { 0 };
	const struct shelf *shelf;

	if (p == NULL)
		return counts;
	TAILQ_FOREACH(shelf, &p->shelves, link)
	{
		unsigned up = ready(shelf);

		counts.wanted += shelf->want;
		counts.ready += up;
		counts.starting += shelf->n - up;
	}
	return counts;
}
