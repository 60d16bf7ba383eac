/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that nobody wants any more, removed with patience. Runs in the broker. An engine that is
 * away or wedged must not make us forget one, and a crowd of them must not flood it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "clock.h"
#include "engine_priv.h"
#include "log.h"

#define IN_FLIGHT_MAX  8
#define AGAIN_MAX      6 /* of them: those that have failed before leave room for others */
#define PENDING_MAX    8192
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS   30000
#define REFUSALS_MAX   8
/* A create whose answer we gave up on may still be carried out: look for its container this often. */
#define UNSURE_LOOKS 6
#define UNSURE_MS    5000

struct engine_discard_item {
	TAILQ_ENTRY(engine_discard_item) link;
	struct engine *engine;
	char id[ENGINE_NAME_MAX + 1];
	unsigned tries, refusals, looks;
	int64_t due_ms;
	bool absent; /* it was not there when it was last looked for */
	struct engine_call *call;
};

static void
item_free(struct engine_discard_item *d)
{
	TAILQ_REMOVE(&d->engine->discards, d, link);
	d->engine->n_discards--;
	free(d);
}

unsigned
engine_discards_retried(const struct engine *e)
{
	const struct engine_discard_item *d;
	unsigned n = 0;

	TAILQ_FOREACH(d, &e->discards, link)
	n += d->tries > 0 && d->call == NULL;
	return n;
}

unsigned
engine_discards_absent(const struct engine *e)
{
	const struct engine_discard_item *d;
	unsigned n = 0;

	TAILQ_FOREACH(d, &e->discards, link)
	n += d->absent && d->call == NULL;
	return n;
}

static void
again(struct engine_discard_item *d, int64_t ms)
{
	d->due_ms = clock_now_ms() + ms;
	engine_kick(d->engine);
}

static int64_t
backoff(const struct engine_discard_item *d)
{
	int64_t ms = RETRY_FIRST_MS;

	for (unsigned i = 1; i < d->tries && ms < RETRY_MAX_MS; i++)
		ms *= 2;
	return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

static void
on_removed(void *arg, const struct engine_result *result)
{
	struct engine_discard_item *d = arg;

	d->call = NULL;
	d->engine->n_discarding--;
	d->engine->n_discarding_again -= d->tries > 1;
	switch (result->error) {
	case ENGINE_E_NOT_FOUND:
		if (d->looks > 0) {
			d->looks--;
			d->absent = true;
			again(d, UNSURE_MS);
			return;
		}
		break;
	case ENGINE_OK:
		break;
	case ENGINE_E_REFUSED:
		d->refusals++;
		if (d->refusals < REFUSALS_MAX) {
			again(d, backoff(d));
			return;
		}
		log_error("container=%.64s cannot be removed: %s", d->id, result->sentence);
		break;
	case ENGINE_E_FAILED: /* one that is stopping says so too, and a device may be busy for long */
		if (d->tries == REFUSALS_MAX)
			log_error("container=%.64s cannot be removed: %s; it is tried again every %d s",
			    d->id, result->sentence, RETRY_MAX_MS / 1000);
		again(d, backoff(d));
		return;
	case ENGINE_E_UNREACHABLE:
	case ENGINE_E_TIMEOUT:
	case ENGINE_E_UNHEALTHY:
	case ENGINE_E_BUSY:
	case ENGINE_E_VERSION:
	case ENGINE_E_NO_IMAGE:
	case ENGINE_E_CONFLICT: /* somebody is removing it: look again */
	case ENGINE_E_BROKEN:
	case ENGINE_E_DIFFERENT:
	case ENGINE_E_NO_MEMORY:
		again(d, backoff(d));
		return;
	}
	engine_kick(d->engine);
	item_free(d);
}

static void
remove_now(struct engine_discard_item *d)
{
	d->tries++;
	if (engine_remove(d->engine, d->id, on_removed, d, &d->call) < 0) {
		d->due_ms = clock_now_ms() + backoff(d);
		return;
	}
	d->engine->n_discarding++;
	d->engine->n_discarding_again += d->tries > 1;
}

static bool
has_turn(const struct engine_discard_item *d, int64_t now)
{
	return d->call == NULL && d->due_ms <= now &&
	    (d->tries == 0 || d->engine->n_discarding_again < AGAIN_MAX);
}

/* Start what is due and may start; sleep until the next one is. */
void
engine_discard_kick(struct engine *e)
{
	struct engine_discard_item *d;
	int64_t now = clock_now_ms(), next = INT64_MAX;
	struct timeval tv;

	/* An unhealthy engine gets no new work; its recovery kicks us. */
	if (e->health == ENGINE_UNHEALTHY)
		return;
	TAILQ_FOREACH(d, &e->discards, link)
	{
		if (e->n_discarding >= IN_FLIGHT_MAX)
			return;
		if (has_turn(d, now))
			remove_now(d);
		/* One that is due, and has to wait for others, is looked at when the next of them ends. */
		if (d->call == NULL && d->due_ms > now && d->due_ms < next)
			next = d->due_ms;
	}
	if (next == INT64_MAX)
		return;
	next = next > now ? next - now : 1;
	tv = clock_timeval(next);
	if (evtimer_add(e->discard_timer, &tv) < 0)
		event_active(e->discard_timer, EV_TIMEOUT, 0); /* no memory for a timer: now, then */
}

void
engine_discard_due(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	engine_discard_kick(arg);
}

void
engine_discard_clear(struct engine *e)
{
	while (!TAILQ_EMPTY(&e->discards))
		item_free(TAILQ_FIRST(&e->discards));
}

bool
engine_discards(const struct engine *e, const char *id)
{
	const struct engine_discard_item *d;

	TAILQ_FOREACH(d, &e->discards, link)
	{
		if (strcmp(d->id, id) == 0)
			return true;
	}
	return false;
}

static int
discard(struct engine *e, const char *id, unsigned looks)
{
	struct engine_discard_item *d;

	if (!engine_name_valid(id))
		return -EINVAL;
	if (engine_discards(e, id))
		return 0;
	if (e->n_discards >= PENDING_MAX)
		return -EBUSY;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->engine = e;
	d->looks = looks;
	(void)snprintf(d->id, sizeof(d->id), "%s", id);
	TAILQ_INSERT_TAIL(&e->discards, d, link);
	e->n_discards++;
	engine_kick(e);
	return 0;
}

int
engine_discard(struct engine *e, const char *id)
{
	return discard(e, id, 0);
}

int
engine_discard_unsure(struct engine *e, const char *name)
{
	return discard(e, name, UNSURE_LOOKS);
}
