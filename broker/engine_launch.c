/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a specification to a running container, a bounded number at a time. Runs in the broker.
 * Hostile: the engine's answers, already typed by engine_answer.c; what it made is compared here, between
 * create and start, so that a container that is not the one asked for never runs.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "clock.h"
#include "engine_priv.h"
#include "log.h"

struct engine_launch_call {
	struct engine_call call;         /* first */
	struct engine_turn turn;         /* while queued, and when its turn is over */
	struct engine_launch_list *list; /* else */
	TAILQ_ENTRY(engine_launch_call) link;
	struct engine_container_spec *spec;
	char id[ENGINE_ID_LEN + 1]; /* "" until it is made */
	char warning[256];
	struct engine_call *step;
	struct event *patience; /* while queued, then until its turn is over */
	bool cancelled;         /* in flight without an owner: clean up, say nothing */
	bool podman;            /* compared by Podman's account */
	engine_done_fn *done;
	void *arg;
};

static unsigned *
counter(struct engine *e, const struct engine_launch_list *list)
{
	return list == &e->refused ? &e->n_refused : &e->n_starting;
}

static void
move_to(struct engine_launch_call *l, struct engine_launch_list *list)
{
	struct engine *e = l->call.engine;

	engine_turns_leave(&e->queued, &l->turn);
	if (l->list != NULL) {
		TAILQ_REMOVE(l->list, l, link);
		--*counter(e, l->list);
	}
	l->list = list;
	if (list != NULL) {
		TAILQ_INSERT_TAIL(list, l, link);
		++*counter(e, list);
	}
}

static void
launch_free(struct engine_launch_call *l)
{
	if (l == NULL)
		return;
	move_to(l, NULL);
	if (l->patience != NULL)
		event_free(l->patience);
	engine_spec_free(l->spec);
	free(l);
}

static void
end(struct engine_launch_call *l, const struct engine_result *result)
{
	struct engine *e = l->call.engine;

	/* The slot is free before the owner hears of it, so that it may ask for the next at once. */
	move_to(l, NULL);
	engine_kick(e);
	if (!l->cancelled)
		l->done(l->arg, result);
	launch_free(l);
}

/*
 * Whatever was made goes away again: by its name, which is ours alone, and not by the id that the engine
 * answered, which may be somebody else's container. Out of memory leaves it to the clean-up by label.
 */
static void
undo(struct engine_launch_call *l)
{
	if (l->id[0] != '\0')
		(void)!engine_discard(l->call.engine, l->spec->name);
}

static void
end_failed(struct engine_launch_call *l, const struct engine_result *from)
{
	struct engine_result result = *from;

	undo(l);
	result.id = "";
	result.container = NULL;
	end(l, &result);
}

static void SP_PRINTF(3, 4)
    end_with(struct engine_launch_call *l, enum engine_error error, const char *format, ...)
{
	char text[ENGINE_REASON_MAX], sentence[ENGINE_REASON_MAX];
	struct engine_result result = { .error = error, .sentence = sentence, .warning = "" };
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	engine_sanitize(sentence, sizeof(sentence), text);
	end_failed(l, &result);
}

/* A step that could not even be started. */
static void
end_stuck(struct engine_launch_call *l, int error)
{
	end_with(l, ENGINE_E_NO_MEMORY, "cannot ask the engine: %s", strerror(-error));
}

static void
on_running(void *arg, const struct engine_result *from)
{
	struct engine_launch_call *l = arg;
	struct engine_result result = *from;
	const struct engine_container *c = from->container;

	l->step = NULL;
	if (from->error != ENGINE_OK || l->cancelled) {
		end_failed(l, from);
	} else if (c->podman != l->podman) {
		/* What was compared one way would go unasked the other way: direct_path.c. */
		end_with(l, ENGINE_E_DIFFERENT, "the engine has become another one");
	} else if (!c->running || c->pid <= 0) {
		end_with(l, ENGINE_E_FAILED, "the container ended at once with code %lld: %.200s",
		    (long long)c->exit_code, c->error);
	} else {
		result.id = l->id;
		result.warning = l->warning;
		end(l, &result);
	}
}

static void
on_started(void *arg, const struct engine_result *from)
{
	struct engine_launch_call *l = arg;
	int r;

	l->step = NULL;
	if (from->error != ENGINE_OK || l->cancelled) {
		end_failed(l, from);
		return;
	}
	r = engine_inspect(l->call.engine, l->id, on_running, l, &l->step);
	if (r < 0)
		end_stuck(l, r);
}

static void
start_it(struct engine_launch_call *l)
{
	int r = engine_start(l->call.engine, l->id, on_started, l, &l->step);

	if (r < 0)
		end_stuck(l, r);
}

static void
on_read_back(void *arg, const struct engine_result *from)
{
	struct engine_launch_call *l = arg;
	char why[ENGINE_REASON_MAX];

	l->step = NULL;
	if (from->error != ENGINE_OK || l->cancelled) {
		end_failed(l, from);
		return;
	}
	if (strcmp(from->container->id, l->id) != 0) {
		end_with(l, ENGINE_E_BROKEN, "the engine described another container");
		return;
	}
	if (engine_compare(l->spec, from->container, why, sizeof(why)) != 0) {
		end_with(l, ENGINE_E_DIFFERENT, "the engine made something else: %s", why);
		return;
	}
	l->podman = from->container->podman;
	start_it(l);
}

static void
on_created(void *arg, const struct engine_result *from)
{
	struct engine_launch_call *l = arg;
	int r;

	l->step = NULL;
	if (from->error != ENGINE_OK) {
		/* Out of memory leaves it to the clean-up by label. */
		if (engine_is_unsure(from->error))
			(void)!engine_discard_unsure(l->call.engine, l->spec->name);
		end_failed(l, from);
		return;
	}
	(void)snprintf(l->id, sizeof(l->id), "%s", from->id);
	(void)snprintf(l->warning, sizeof(l->warning), "%s", from->warning);
	if (l->cancelled) {
		end_failed(l, from);
		return;
	}
	r = engine_inspect(l->call.engine, l->id, on_read_back, l, &l->step);
	if (r < 0)
		end_stuck(l, r);
}

/* The timer was on: to set it anew takes no memory. */
static void
wait_at_most(struct engine_launch_call *l, uint32_t ms)
{
	struct timeval tv = clock_timeval(ms);

	(void)evtimer_add(l->patience, &tv);
}

static void
begin(struct engine_launch_call *l)
{
	int r;

	move_to(l, &l->call.engine->starting);
	wait_at_most(l, l->call.engine->options.turn_ms);
	r = engine_create(l->call.engine, l->spec, on_created, l, &l->step);
	if (r < 0)
		end_stuck(l, r);
}

static const char *
owner_of(const struct engine_launch_call *l)
{
	return l->spec->owner != NULL ? l->spec->owner : "";
}

static void
on_impatient(evutil_socket_t fd, short what, void *arg)
{
	struct engine_launch_call *l = arg;

	(void)fd;
	(void)what;
	if (l->list == &l->call.engine->starting) {
		engine_turns_linger(&l->call.engine->queued, &l->turn, owner_of(l));
		engine_kick(l->call.engine);
		return;
	}
	end_with(l, ENGINE_E_BUSY, "waited too long for other containers to start");
}

static void
refuse_all(struct engine *e)
{
	/* Only as many as there are now: their owners may ask again. */
	for (unsigned n = e->n_refused; n > 0 && !TAILQ_EMPTY(&e->refused); n--)
		end_with(TAILQ_FIRST(&e->refused), ENGINE_E_BUSY,
		    "too many containers are waiting to start");
	if (e->health != ENGINE_UNHEALTHY)
		return;
	for (unsigned n = e->queued.n; n > 0 && e->queued.n > 0; n--)
		end_with(engine_turns_first(&e->queued), ENGINE_E_UNHEALTHY,
		    "the engine is not responding: %s", e->reason);
}

/* Those that are slow wait for something else than the machine, but each is a call that the engine has. */
static bool
has_turn(const struct engine *e)
{
	return e->n_starting - e->queued.n_slow < e->options.max_starts &&
	    e->queued.n_slow < ENGINE_SLOW_MOST * e->options.max_starts;
}

void
engine_launch_kick(struct engine *e)
{
	struct engine_launch_call *l;

	refuse_all(e);
	while (e->health != ENGINE_UNHEALTHY && has_turn(e) &&
	    (l = engine_turns_next(&e->queued)) != NULL)
		begin(l);
}

void
engine_launch_clear(struct engine *e)
{
	struct engine_launch_list *const lists[] = { &e->refused, &e->starting };

	while (e->queued.n > 0)
		launch_free(engine_turns_first(&e->queued));
	for (size_t i = 0; i < SP_ARRAY_LEN(lists); i++)
		while (!TAILQ_EMPTY(lists[i]))
			launch_free(TAILQ_FIRST(lists[i]));
}

static void
cancel_launch(struct engine_call *call)
{
	struct engine_launch_call *l = (struct engine_launch_call *)call;

	/* In flight the step goes on, under its deadline, so that its outcome can be undone. */
	if (l->list == &call->engine->starting)
		l->cancelled = true;
	else
		launch_free(l);
}

static int
enqueue(struct engine_launch_call *l)
{
	struct engine *e = l->call.engine;
	uint32_t ms = e->options.start_timeout_ms;
	struct timeval tv = clock_timeval(ms);

	l->patience = evtimer_new(e->base, on_impatient, l);
	if (l->patience == NULL || evtimer_add(l->patience, &tv) < 0)
		return -ENOMEM;
	engine_turns_add(&e->queued, &l->turn, owner_of(l), l);
	/* Not always this one: who fills the queue keeps nobody else out of it. */
	if (e->queued.n > e->options.max_queued)
		move_to(engine_turns_last(&e->queued), &e->refused);
	engine_kick(e);
	return 0;
}

int
engine_launch(struct engine *e, const struct engine_container_spec *spec, engine_done_fn *done,
    void *arg, struct engine_call **ret_call)
{
	struct engine_launch_call *l;
	char why[160];
	int r = engine_spec_check(spec, why, sizeof(why));

	if (r < 0)
		log_error("container=%s is not asked for: %s", spec->name, why);
	else
		r = engine_admit(e);
	if (r < 0)
		return r;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	l->call = (struct engine_call){ .engine = e, .cancel = cancel_launch };
	l->done = done;
	l->arg = arg;
	r = engine_spec_copy(spec, &l->spec);
	if (r == 0)
		r = enqueue(l);
	if (r < 0) {
		launch_free(l);
		return r;
	}
	if (ret_call != NULL)
		*ret_call = &l->call;
	return 0;
}
