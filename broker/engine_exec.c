/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further processes in containers, a bounded number at a time: each takes the engine tens of milliseconds outside of
 * any container's limits, and one that is busy with them for seconds answers nobody else either. What it still does for
 * a process after it has answered its start is not counted: nothing tells when that is done. Runs in the broker.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine_answer.h"
#include "engine_json_write.h"
#include "engine_priv.h"
#include "engine_request.h"

#define PATH_CAP (ENGINE_ID_LEN + 64)

/* The making of one, or its start. */
struct engine_exec_call {
	struct engine_call call;       /* first */
	struct engine_turn turn;       /* while queued, and when its turn is over */
	struct engine_exec_list *list; /* else */
	TAILQ_ENTRY(engine_exec_call) link;
	char *owner;
	char path[PATH_CAP];
	char *body;
	const struct engine_op *op;
	struct event *patience; /* while it waits for its turn, then until that is over */
	struct engine_call *step;
	engine_done_fn *done; /* NULL: nobody waits for it any more */
	void *arg;
};

static unsigned *
counter(struct engine *e, const struct engine_exec_list *list)
{
	return list == &e->execs_refused ? &e->n_execs_refused : &e->n_execs;
}

static void
move_to(struct engine_exec_call *x, struct engine_exec_list *list)
{
	struct engine *e = x->call.engine;

	engine_turns_leave(&e->execs_queued, &x->turn);
	if (x->list != NULL) {
		TAILQ_REMOVE(x->list, x, link);
		--*counter(e, x->list);
	}
	x->list = list;
	if (list != NULL) {
		TAILQ_INSERT_TAIL(list, x, link);
		++*counter(e, list);
	}
}

static void
exec_free(struct engine_exec_call *x)
{
	move_to(x, NULL);
	if (x->patience != NULL)
		event_free(x->patience);
	free(x->owner);
	free(x->body);
	free(x);
}

static void
on_answered(void *arg, const struct engine_result *result)
{
	struct engine_exec_call *x = arg;
	struct engine *e = x->call.engine;
	bool made_for_nobody = x->done == NULL && x->op == &engine_op_exec &&
	    result->error == ENGINE_OK;

	x->step = NULL;
	/* The place is free before the owner hears of it, so that the start may take it. */
	move_to(x, NULL);
	if (x->done != NULL)
		x->done(x->arg, result);
	else if (made_for_nobody)
		(void)!engine_exec_start(e, result->id, x->owner, NULL, NULL, NULL);
	exec_free(x);
	engine_kick(e);
}

static int
submit(struct engine_exec_call *x)
{
	struct engine *e = x->call.engine;
	struct timeval turn = clock_timeval(e->options.exec_turn_ms);
	struct engine_ask ask = { .op = x->op,
		.method = ENGINE_HTTP_POST,
		.path = x->path,
		.body = x->body,
		.timeout_ms = e->options.call_timeout_ms };

	move_to(x, &e->execs);
	/* Of one that has waited it was on, and to set it anew takes no memory. */
	if (evtimer_add(x->patience, &turn) < 0)
		return -ENOMEM;
	return engine_request_start(e, &ask, on_answered, x, &x->step);
}

static void
end_with(struct engine_exec_call *x, enum engine_error error, const char *sentence)
{
	struct engine_result result = { .error = error, .sentence = sentence, .id = "", .warning = "" };

	move_to(x, NULL);
	if (x->done != NULL)
		x->done(x->arg, &result);
	exec_free(x);
}

static void
on_impatient(evutil_socket_t fd, short what, void *arg)
{
	struct engine_exec_call *x = arg;

	(void)fd;
	(void)what;
	if (x->list == &x->call.engine->execs) {
		engine_turns_linger(&x->call.engine->execs_queued, &x->turn, x->owner);
		engine_kick(x->call.engine);
		return;
	}
	/* Starts of containers are not even queued then. */
	end_with(x, x->call.engine->health == ENGINE_UNHEALTHY ? ENGINE_E_UNHEALTHY : ENGINE_E_BUSY,
	    "too long in the queue of programs");
}

static void
refuse_all(struct engine *e)
{
	/* Only as many as there are now: their owners may ask again. */
	for (unsigned n = e->n_execs_refused; n > 0 && !TAILQ_EMPTY(&e->execs_refused); n--)
		end_with(TAILQ_FIRST(&e->execs_refused), ENGINE_E_BUSY,
		    "too many programs are waiting to begin");
}

/*
 * A program begins with what its container's limits leave it, so that a tenant can have it take as long as they like:
 * that is no reason for others to wait, but each is a call that the engine has.
 */
static bool
has_room(const struct engine *e)
{
	unsigned most = ENGINE_EXECS_AT_A_TIME * e->options.max_starts;

	return e->n_execs - e->execs_queued.n_slow < most &&
	    e->execs_queued.n_slow < ENGINE_SLOW_MOST * most;
}

void
engine_exec_kick(struct engine *e)
{
	struct engine_exec_call *x;
	int r;

	refuse_all(e);
	while (has_room(e) && (x = engine_turns_next(&e->execs_queued)) != NULL) {
		r = submit(x);
		if (r < 0)
			end_with(x, r == -EBUSY ? ENGINE_E_BUSY : ENGINE_E_NO_MEMORY, strerror(-r));
	}
}

static int
enqueue(struct engine_exec_call *x)
{
	struct engine *e = x->call.engine;
	struct timeval tv = clock_timeval(e->options.start_timeout_ms);

	if (evtimer_add(x->patience, &tv) < 0)
		return -ENOMEM;
	engine_turns_add(&e->execs_queued, &x->turn, x->owner, x);
	/* Not always this one: who fills the queue keeps nobody else out of it. */
	if (e->execs_queued.n > e->options.max_queued)
		move_to(engine_turns_last(&e->execs_queued), &e->execs_refused);
	engine_kick(e);
	return 0;
}

/* Made without an owner it goes on: the engine would keep it for ever; its answer has it started, and so ended. */
static void
cancel_exec(struct engine_call *call)
{
	struct engine_exec_call *x = (struct engine_exec_call *)call;
	struct engine *e = call->engine;

	if (x->step != NULL && x->op == &engine_op_exec) {
		x->done = NULL;
		return;
	}
	engine_cancel(x->step);
	exec_free(x);
	engine_kick(e);
}

/*
 * A start goes before those that are still to be made: what is made and not started costs the engine, too. Of these
 * nobody goes before who waits: a place may be free, and its turn be due.
 */
static int
begin(struct engine *e, const struct engine_op *op, const char *path, const char *body,
    const char *owner, engine_done_fn *done, void *arg, struct engine_call **ret_call)
{
	struct engine_exec_call *x;
	/* What is made has to be started, however many wait: it would stay in the engine. */
	int r = op == &engine_op_stream ? 0 : engine_admit(e);

	if (r < 0)
		return r;
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return -ENOMEM;
	x->call = (struct engine_call){ .engine = e, .cancel = cancel_exec };
	x->op = op;
	x->done = done;
	x->arg = arg;
	(void)snprintf(x->path, sizeof(x->path), "%s", path);
	x->body = strdup(body);
	x->owner = strdup(owner != NULL ? owner : "");
	x->patience = evtimer_new(e->base, on_impatient, x);
	if (x->body == NULL || x->owner == NULL || x->patience == NULL)
		r = -ENOMEM;
	else if (op == &engine_op_stream ||
	    (has_room(e) && e->execs_queued.n == 0 && engine_turns_may(&e->execs_queued, x->owner)))
		r = submit(x);
	else
		r = enqueue(x);
	if (r < 0) {
		exec_free(x);
		return r;
	}
	if (ret_call != NULL)
		*ret_call = &x->call;
	return 0;
}

int
engine_exec_create(struct engine *e, const char *id, const struct engine_exec_spec *spec,
    engine_done_fn *done, void *arg, struct engine_call **ret_call)
{
	char path[PATH_CAP];
	char *body;
	int r;

	if (!engine_id_valid(id))
		return -EINVAL;
	r = engine_json_exec(spec, &body);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/containers/%s/exec", id);
	r = begin(e, &engine_op_exec, path, body, spec->owner, done, arg, ret_call);
	free(body);
	return r;
}

int
engine_exec_start(struct engine *e, const char *exec_id, const char *owner, engine_done_fn *done,
    void *arg, struct engine_call **ret_call)
{
	char path[PATH_CAP];

	if (!engine_id_valid(exec_id))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/exec/%s/start", exec_id);
	return begin(e, &engine_op_stream, path, "{\"Detach\":false,\"Tty\":false}", owner, done,
	    arg, ret_call);
}

void
engine_exec_clear(struct engine *e)
{
	struct engine_exec_list *const lists[] = { &e->execs_refused, &e->execs };

	while (e->execs_queued.n > 0)
		exec_free(engine_turns_first(&e->execs_queued));
	for (size_t i = 0; i < SP_ARRAY_LEN(lists); i++)
		while (!TAILQ_EMPTY(lists[i]))
			exec_free(TAILQ_FIRST(lists[i]));
}
