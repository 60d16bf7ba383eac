/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the engine works: it is probed as long as we run, and every call's end says something. Runs in the broker.
 * Hostile: every answer; here only how it ended counts.
 */
#include <event2/event.h>

#include "clock.h"
#include "engine_answer.h"
#include "engine_priv.h"
#include "engine_request.h"

#define PROBE_SOON_MS 1000

void
engine_probe_in(struct engine *e, uint32_t ms)
{
	struct timeval tv = clock_timeval(ms);

	/* Without memory for a timer it is now: without a probe nothing would ever be healthy again. */
	if (e->probe == NULL && evtimer_add(e->probe_timer, &tv) < 0)
		event_active(e->probe_timer, EV_TIMEOUT, 0);
}

static void
set_health(struct engine *e, enum engine_health health, const char *reason)
{
	if (e->health == health)
		return;
	e->health = health;
	engine_sanitize(e->reason, sizeof(e->reason), reason);
	e->health_changed = true;
	engine_kick(e);
}

void
engine_set_unhealthy(struct engine *e, const char *reason)
{
	set_health(e, ENGINE_UNHEALTHY, reason);
	engine_probe_in(e, PROBE_SOON_MS);
}

/* Only a probe makes it healthy; a missed start makes it unhealthy at once, since a wedged engine answers nearly
 * everything else. But not when it has started another one meanwhile: then it is about this container, whose image can
 * have the engine wait for ever. */
void
engine_learn(struct engine *e, const struct engine_op *op, int64_t sent_ms,
    enum engine_http_outcome outcome, enum engine_error error, const char *sentence)
{
	bool missed = error == ENGINE_E_TIMEOUT && op == &engine_op_start && e->started_ms < sent_ms;

	if (error == ENGINE_OK && op == &engine_op_start)
		e->started_ms = clock_now_ms();
	/* Another engine may answer next time. */
	if (outcome == ENGINE_HTTP_E_CONNECT || outcome == ENGINE_HTTP_E_LOST)
		e->minor = 0;
	if (op == &engine_op_probe)
		return;
	if (outcome == ENGINE_HTTP_E_CONNECT || missed)
		engine_set_unhealthy(e, sentence);
	else if (op == &engine_op_wait && error == ENGINE_E_TIMEOUT)
		return; /* its owner's own patience */
	else if (error == ENGINE_E_UNREACHABLE || error == ENGINE_E_TIMEOUT ||
	    error == ENGINE_E_BROKEN)
		engine_probe_in(e, 0);
}

static void
on_probed(void *arg, const struct engine_result *result)
{
	struct engine *e = arg;
	uint32_t pause = e->options.probe_interval_ms;

	e->probe = NULL;
	if (result->error == ENGINE_OK)
		set_health(e, ENGINE_HEALTHY, "");
	else
		set_health(e, ENGINE_UNHEALTHY, result->sentence);
	if (e->health != ENGINE_HEALTHY && pause > PROBE_SOON_MS)
		pause = PROBE_SOON_MS;
	engine_probe_in(e, pause);
}

void
engine_probe_due(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	/* Not _ping: an engine that is locked up for good still answers that. */
	struct engine_ask ask = { .op = &engine_op_probe,
		.method = ENGINE_HTTP_GET,
		.path = "/networks",
		.timeout_ms = e->options.probe_timeout_ms };

	(void)fd;
	(void)what;
	if (e->probe == NULL && engine_request_start(e, &ask, on_probed, e, &e->probe) < 0)
		engine_probe_in(e, PROBE_SOON_MS);
}

enum engine_health
engine_health(const struct engine *e)
{
	return e->health;
}

const char *
engine_health_reason(const struct engine *e)
{
	return e->health == ENGINE_UNHEALTHY ? e->reason : "";
}
