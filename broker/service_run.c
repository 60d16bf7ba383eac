/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service while it runs: what engine and workers report, reload, status and watchdog, and stopping. Each
 * is a call from the loop, and none waits.
 */
#include "service.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit.h"
#include "clock.h"
#include "config.h"
#include "container.h"
#include "container_plan.h"
#include "control.h"
#include "data_path_reach.h"
#include "diag_log.h"
#include "engine_mark.h"
#include "listener.h"
#include "log.h"
#include "notify.h"
#include "policy.h"
#include "pool.h"
#include "shadow.h"
#include "sweep.h"
#include "user_containers.h"
#include "worker_pool.h"

#define TICK_MS        50    /* while stopping */
#define LAST_WORD_MS   2000  /* from "disconnect now" to the end of a worker that does not */
#define HURRY_MS       12000 /* after that no container gets more grace */
#define GIVE_UP_MS     30000 /* an engine that does not remove: the next start will */
#define STATUS_SECONDS 10
#define INFO_MS \
	3000 /* first connections wait for what the engine is, which decides their data path */

void
service_audit_policy(const struct service *s)
{
	audit_note(s->broker.audit, "policy.loaded", NULL,
	    AUDIT_NUMBER("generation", s->broker.generation),
	    AUDIT_TEXT("sha256", policy_digest(s->broker.policy)));
}

/* What Podman cannot do, before somebody logs in. */
static void
say_podman(const struct service *s)
{
	const struct policy_profile *p;

	if (engine_podman(s->broker.engine) == NULL)
		return;
	for (size_t i = 0; (p = policy_profile_at(s->broker.policy, i)) != NULL; i++) {
		if (p->image != NULL && !container_plan_suits_podman(p->data_path))
			log_error("profile \"%s\": " CONTAINER_NOT_WITH_PODMAN, p->name);
	}
}

/*
 * Which data path it is where a profile leaves it to us, and for whom another one was chosen and, as far as the engine
 * has said what it is, does not reach: before somebody logs in.
 */
static void
choose_data_path(struct service *s)
{
	const struct policy_profile *p;
	char why[768];

	policy_set_engine(s->broker.policy, &s->engine);
	for (size_t i = 0; (p = policy_profile_at(s->broker.policy, i)) != NULL; i++) {
		if (!data_path_reaches(s->config, policy_data_path(s->broker.policy, p), p->runtime,
			&s->engine_info, why, sizeof(why)))
			log_error("profile \"%s\": %s: its logins fail; " DATA_PATH_REACH_ADVICE,
			    p->name, why);
	}
}

/* A policy with errors, which are in *diags then, leaves the old one in force. */
static int
reload(void *arg, struct diag_list *diags)
{
	struct service *s = arg;
	struct policy *policy = NULL;
	int r;

	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now_ms() * 1000);
	worker_pool_reopen_audit(s->broker.workers);
	r = policy_load(s->config->policy, &policy, diags);
	s->broker.rejected_at = r != 0 ? time(NULL) : 0;
	if (r != 0) {
		log_error("policy not reloaded: generation %u (sha256 %.12s) stays in force",
		    s->broker.generation, policy_digest(s->broker.policy));
		audit_note(s->broker.audit, "policy.rejected", NULL,
		    AUDIT_NUMBER("generation", s->broker.generation),
		    AUDIT_TEXT("sha256", policy_digest(s->broker.policy)));
	} else {
		policy_unref(s->broker.policy);
		s->broker.policy = policy;
		s->broker.generation++;
		log_info("policy generation %u (sha256 %.12s) is in force", s->broker.generation,
		    policy_digest(policy));
		service_audit_policy(s);
		say_podman(s);
		choose_data_path(s);
		pool_policy_changed(s->broker.pool);
		user_containers_policy_changed(s->broker.user_containers);
	}
	shadow_load(s->broker.shadow, s->broker.audit, diags);
	/* Whoever asked for it: the log has what is wrong. */
	diag_log(diags);
	notify_send("READY=1");
	return r;
}

/* Why the audit log cannot be written, or NULL. */
static const char *
audit_fails(const struct service *s)
{
	struct audit_state state;

	if (s->broker.audit == NULL)
		return NULL;
	state = audit_state(s->broker.audit);
	return state.failing ? strerror(state.error) : NULL;
}

static void
send_status(struct service *s)
{
	struct admission_counts counts = worker_pool_counts(s->broker.workers);
	const char *why = audit_fails(s);

	notify_send("STATUS=%u connections (%u have not logged in), %u sources refused, "
		    "%u containers, policy generation %u, engine %s%s%s",
	    counts.connections, counts.startups, counts.penalised,
	    container_set_count(s->broker.containers), s->broker.generation,
	    engine_health(s->broker.engine) == ENGINE_UNHEALTHY ? "not responding" : "ok",
	    why != NULL ? ", the audit log cannot be written: " : "", why != NULL ? why : "");
}

static void
accept_connections(struct service *s)
{
	int r;

	if (!s->workers_ready || !s->engine_heard || s->broker.draining)
		return;
	r = listener_run(s->listener, &s->broker);
	if (r < 0) {
		log_error("cannot accept connections: %s", strerror(-r));
		s->exit_code = 1;
		(void)event_base_loopbreak(s->broker.base);
		return;
	}
	log_info("ready: policy generation %u (sha256 %.12s)", s->broker.generation,
	    policy_digest(s->broker.policy));
	notify_send("READY=1");
	send_status(s);
}

/* What is made before may be made for the wrong data path; but an engine that says nothing is nobody's to wait for. */
static void
engine_is_heard(struct service *s)
{
	if (s->engine_heard)
		return;
	s->engine_heard = true;
	accept_connections(s);
}

static void
on_info_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	engine_is_heard(arg);
}

/* What an earlier run, or the engine's own absence, left behind; and what is to be there. */
static void
look_after_containers(struct service *s)
{
	s->back = false;
	engine_is_heard(s);
	sweep_containers(&s->broker);
	pool_kick(s->broker.pool);
}

/* What is as before has been said. */
static void
learn_engine(struct service *s, const struct engine_info *info)
{
	bool podman = engine_podman(s->broker.engine) != NULL;
	char why[768];

	if (s->info_known && memcmp(&s->engine_info, info, sizeof(s->engine_info)) == 0 &&
	    s->info_of_podman == podman)
		return;
	s->info_known = true;
	s->engine_info = *info;
	s->info_of_podman = podman;
	data_path_detect(s->config, info, podman, &s->engine, why, sizeof(why));
	engine_mark_set(s->config->state_dir, &s->engine);
	if (why[0] != '\0')
		log_info("the data path is \"engine\" where a profile does not say: %s", why);
	choose_data_path(s);
	pool_policy_changed(s->broker.pool);
	user_containers_policy_changed(s->broker.user_containers);
}

static void
on_info(void *arg, const struct engine_result *result)
{
	struct service *s = arg;

	s->asking = NULL;
	if (result->error == ENGINE_OK)
		learn_engine(s, result->info);
	else if (!s->info_failed)
		log_warn("the engine does not say what it is: %s; it is taken for what it was, and asked again",
		    result->sentence);
	s->info_failed = result->error != ENGINE_OK;
	if (s->back)
		look_after_containers(s);
}

static void
ask_engine(struct service *s)
{
	if (s->asking != NULL || engine_info(s->broker.engine, on_info, s, &s->asking) == 0)
		return;
	log_warn("the engine is not asked what it is: out of memory");
	s->info_failed = true;
	if (s->back)
		look_after_containers(s);
}

/* One step of stopping, see the constants above for its timetable. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;
	int64_t over = clock_now_ms() - s->stop_since - (int64_t)s->config->limits.drain_ms;
	struct engine_counts counts = engine_counts(s->broker.engine);
	unsigned left = container_set_count(s->broker.containers) -
	    user_containers_staying(s->broker.user_containers);

	(void)fd;
	(void)what;
	if (over >= 0 && !s->told_to_end) {
		s->told_to_end = true;
		worker_pool_drain(s->broker.workers, "The service is stopping.", true);
	}
	if (over >= LAST_WORD_MS)
		worker_pool_end_all(s->broker.workers, "service stopped");
	if (over >= HURRY_MS)
		container_set_hurry(s->broker.containers);
	if (over >= GIVE_UP_MS) {
		log_warn("%u containers were not removed in time; the next start removes them",
		    counts.discarding + left);
		(void)event_base_loopbreak(s->broker.base);
	}
	/* A container that is not there yet, and may never be, is not waited for: should it come, the
	 * next start finds it. */
	if (worker_pool_is_empty(s->broker.workers) && left == 0 &&
	    counts.discarding == counts.absent && counts.calls == 0)
		(void)event_base_loopbreak(s->broker.base);
}

static void
stop(struct service *s)
{
	struct timeval tv = { .tv_usec = TICK_MS * 1000 };
	char text[128];

	if (s->broker.draining) {
		/* Asked twice: no more waiting for people, still for containers. */
		s->stop_since = clock_now_ms() - (int64_t)s->config->limits.drain_ms;
		return;
	}
	s->broker.draining = true;
	s->stop_since = clock_now_ms();
	log_info("stopping: no new connections, %u are open",
	    worker_pool_counts(s->broker.workers).connections);
	/* What was left out so far is not said later any more. */
	worker_pool_log_summary(s->broker.workers);
	audit_note(s->broker.audit, "service.stop", NULL,
	    AUDIT_NUMBER("connections", worker_pool_counts(s->broker.workers).connections));
	/* The manager's own patience does not know limits.drain. */
	notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64,
	    ((uint64_t)s->config->limits.drain_ms + GIVE_UP_MS + LAST_WORD_MS) * 1000);
	listener_free(s->listener);
	s->listener = NULL;
	(void)snprintf(text, sizeof(text),
	    "The service is stopping. This session ends in %u seconds.",
	    (unsigned)(s->config->limits.drain_ms / 1000));
	worker_pool_drain(s->broker.workers, text, false);
	pool_stop(s->broker.pool);
	user_containers_stop(s->broker.user_containers);
	if (event_add(s->tick, &tv) < 0)
		(void)event_base_loopbreak(s->broker.base);
}

static void
reload_by_signal(struct service *s)
{
	struct diag_list diags = DIAG_LIST_INIT;

	(void)reload(s, &diags);
	diag_list_clear(&diags);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct service *s = arg;

	(void)what;
	if (number == SIGHUP)
		reload_by_signal(s);
	else if (number == SIGTERM || number == SIGINT)
		stop(s);
}

static void
on_status(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;

	(void)fd;
	(void)what;
	send_status(s);
	worker_pool_log_summary(s->broker.workers);
	if (s->info_failed && engine_health(s->broker.engine) == ENGINE_HEALTHY)
		ask_engine(s);
}

/*
 * From the loop itself: a loop that hangs does not say that it is alive. Nor does one that could not
 * do its work any more, for that a new start is the cure.
 */
static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	const struct service *s = arg;

	(void)fd;
	(void)what;
	if (!worker_pool_is_well(s->broker.workers))
		log_error("the spawner does not answer: the service manager should start us again");
	else if (s->listener != NULL && !listener_is_well(s->listener))
		log_error("a listening socket is lost: the service manager should start us again");
	else
		notify_send("WATCHDOG=1");
}

void
service_on_engine_health(void *arg, enum engine_health health, const char *reason)
{
	struct service *s = arg;

	if (health == ENGINE_UNHEALTHY)
		log_error("container engine is not responding: %s; new containers fail until it does",
		    reason);
	if (health == ENGINE_UNHEALTHY) {
		user_containers_not_found(s->broker.user_containers);
		engine_is_heard(s);
	}
	if (health == ENGINE_HEALTHY) {
		log_info("container engine is healthy");
		if (engine_podman(s->broker.engine) != NULL && !s->podman_said)
			log_warn("the engine is Podman %s: " ENGINE_PODMAN_SENTENCE,
			    engine_podman(s->broker.engine));
		if (!s->podman_said)
			say_podman(s);
		s->podman_said = engine_podman(s->broker.engine) != NULL;
		s->back = true;
		ask_engine(s);
	}
}

void
service_on_workers_ready(void *arg)
{
	struct timeval patience = clock_timeval(INFO_MS);
	struct service *s = arg;
	int r = control_run(s->control, &s->broker, &(struct control_events){ reload, s });
	if (r < 0)
		log_error("no answers on the control socket: %s", strerror(-r));
	s->workers_ready = true;
	if (!s->engine_heard &&
	    event_base_once(s->broker.base, -1, EV_TIMEOUT, on_info_late, s, &patience) < 0)
		s->engine_heard = true;
	accept_connections(s);
}

void
service_on_workers_broken(void *arg, const char *why)
{
	struct service *s = arg;

	log_error("cannot go on: %s", why);
	s->exit_code = 1;
	(void)event_base_loopbreak(s->broker.base);
}

void
service_on_binds_broken(void *arg)
{
	service_on_workers_broken(arg, "the process that looks at the host's directories is gone");
}

int
service_make_events(struct service *s)
{
	static const int numbers[] = { SIGHUP, SIGTERM, SIGINT };
	_Static_assert(SP_ARRAY_LEN(numbers) == SP_ARRAY_LEN(s->signals), "a place for each signal");
	struct timeval status = { .tv_sec = STATUS_SECONDS };
	uint64_t watchdog = notify_watchdog_usec() / 2;
	struct timeval half = { .tv_sec = (time_t)(watchdog / 1000000),
		.tv_usec = (suseconds_t)(watchdog % 1000000) };

	for (size_t i = 0; i < SP_ARRAY_LEN(numbers); i++) {
		s->signals[i] = evsignal_new(s->broker.base, numbers[i], on_signal, s);
		if (s->signals[i] == NULL || event_add(s->signals[i], NULL) < 0)
			return -ENOMEM;
	}
	s->tick = event_new(s->broker.base, -1, EV_PERSIST, on_tick, s);
	s->status = event_new(s->broker.base, -1, EV_PERSIST, on_status, s);
	s->watchdog = event_new(s->broker.base, -1, EV_PERSIST, on_watchdog, s);
	if (s->tick == NULL || s->status == NULL || s->watchdog == NULL ||
	    event_add(s->status, &status) < 0 || (watchdog != 0 && event_add(s->watchdog, &half) < 0))
		return -ENOMEM;
	return 0;
}
