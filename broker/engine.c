/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container engine: made, freed, counted, and what happens from the event loop for it. Runs in the broker. What it
 * is asked is in engine_calls.c, what becomes of that in engine_request.c and engine_answer.c, and whether it works in
 * engine_health.c.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "engine_priv.h"
#include "engine_request.h"

const char *
engine_error_name(enum engine_error error)
{
	static const char *const names[] = {
		[ENGINE_OK] = "ok",
		[ENGINE_E_UNREACHABLE] = "unreachable",
		[ENGINE_E_TIMEOUT] = "timeout",
		[ENGINE_E_UNHEALTHY] = "unhealthy",
		[ENGINE_E_BUSY] = "busy",
		[ENGINE_E_VERSION] = "version",
		[ENGINE_E_NO_IMAGE] = "no-image",
		[ENGINE_E_NOT_FOUND] = "not-found",
		[ENGINE_E_CONFLICT] = "conflict",
		[ENGINE_E_REFUSED] = "refused",
		[ENGINE_E_FAILED] = "failed",
		[ENGINE_E_BROKEN] = "broken",
		[ENGINE_E_DIFFERENT] = "different",
		[ENGINE_E_NO_MEMORY] = "no-memory",
	};

	return (size_t)error < SP_ARRAY_LEN(names) ? names[error] : "unknown";
}

bool
engine_is_unsure(enum engine_error error)
{
	return error == ENGINE_E_TIMEOUT || error == ENGINE_E_UNREACHABLE ||
	    error == ENGINE_E_BROKEN || error == ENGINE_E_NO_MEMORY;
}

void
engine_sanitize(char *out, size_t cap, const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0' && n + 1 < cap; n++)
		out[n] = (char)(text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?');
	out[n] = '\0';
}

void
engine_kick(struct engine *e)
{
	event_active(e->kick, EV_TIMEOUT, 0);
}

static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;

	(void)fd;
	(void)what;
	if (e->health_changed) {
		e->health_changed = false;
		if (e->options.on_health != NULL)
			e->options.on_health(e->options.on_health_arg, e->health, e->reason);
	}
	engine_launch_kick(e);
	engine_exec_kick(e);
	engine_discard_kick(e);
}

static void
set_default(uint32_t *value, uint32_t preset)
{
	if (*value == 0)
		*value = preset;
}

static void
set_defaults(struct engine_options *o)
{
	set_default(&o->probe_timeout_ms, 2000);
	set_default(&o->turn_ms, 10000);
	set_default(&o->exec_turn_ms, 2000);
	set_default(&o->max_queued, 1024);
	set_default(&o->max_calls, 4096);
}

int
engine_new(struct event_base *base, const struct engine_options *options, struct engine **ret)
{
	struct engine *e;
	int r;

	if (options->call_timeout_ms == 0 || options->start_timeout_ms == 0 ||
	    options->probe_interval_ms == 0 || options->max_starts == 0)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return -ENOMEM;
	e->base = base;
	e->options = *options;
	set_defaults(&e->options);
	TAILQ_INIT(&e->waiting);
	TAILQ_INIT(&e->flushing);
	TAILQ_INIT(&e->sent);
	engine_turns_init(&e->queued, e->options.max_starts);
	TAILQ_INIT(&e->refused);
	TAILQ_INIT(&e->starting);
	engine_turns_init(&e->execs_queued, ENGINE_EXECS_AT_A_TIME * e->options.max_starts);
	TAILQ_INIT(&e->execs_refused);
	TAILQ_INIT(&e->execs);
	TAILQ_INIT(&e->discards);
	e->kick = event_new(base, -1, 0, on_kick, e);
	e->probe_timer = evtimer_new(base, engine_probe_due, e);
	e->discard_timer = evtimer_new(base, engine_discard_due, e);
	if (options->no_podman != NULL)
		e->no_podman = strdup(options->no_podman);
	r = engine_http_new(base, options->socket, &e->http);
	if (r == 0 &&
	    ((options->no_podman != NULL && e->no_podman == NULL) || e->kick == NULL ||
		e->probe_timer == NULL || e->discard_timer == NULL))
		r = -ENOMEM;
	if (r < 0) {
		engine_free(e);
		return r;
	}
	/* Ours is not needed any more, and the caller's may go. */
	e->options.socket = e->options.no_podman = NULL;
	engine_probe_in(e, 0);
	*ret = e;
	return 0;
}

struct engine *
engine_free(struct engine *e)
{
	if (e == NULL)
		return NULL;
	engine_http_free(e->http);
	engine_request_clear(e);
	engine_launch_clear(e);
	engine_exec_clear(e);
	engine_discard_clear(e);
	if (e->kick != NULL)
		event_free(e->kick);
	if (e->probe_timer != NULL)
		event_free(e->probe_timer);
	if (e->discard_timer != NULL)
		event_free(e->discard_timer);
	free(e->no_podman);
	free(e);
	return NULL;
}

const char *
engine_podman(const struct engine *e)
{
	return e->minor != 0 && e->podman[0] != '\0' ? e->podman : NULL;
}

struct engine_counts
engine_counts(const struct engine *e)
{
	return (struct engine_counts){
		.calls = engine_under_way(e),
		.queued = e->queued.n,
		.starting = e->n_starting,
		.in_turn = e->n_starting - e->queued.n_slow,
		.wanted = engine_turns_next(&e->queued) != NULL,
		.discarding = e->n_discards,
		.absent = engine_discards_absent(e),
		.retried = engine_discards_retried(e),
		.requests = e->n_sent,
		.connections = engine_http_connections(e->http),
		.failures = e->n_failed,
		.api_minor = e->minor,
	};
}
