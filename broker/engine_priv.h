/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's state, shared by engine.c, engine_answer.c, engine_calls.c, engine_discard.c, engine_exec.c, engine_health.c,
 * engine_launch.c and engine_request.c. Beside them only doctor_engine.c includes it, for engine_parse_api(). */
#ifndef SP_ENGINE_PRIV_H
#define SP_ENGINE_PRIV_H

#include <sys/queue.h>

#include "engine.h"
#include "engine_http.h"
#include "engine_turns.h"

struct event;

/* Of what has had its turn and goes on, for each that has its turn at a time, of which one user may have one. */
#define ENGINE_SLOW_MOST 8
/* For each container that may start at a time: an exec is made, and then it is started. */
#define ENGINE_EXECS_AT_A_TIME 4

/* What a handle points to: first member of a request and of a launch. */
struct engine_call {
	struct engine *engine;
	void (*cancel)(struct engine_call *call);
};

struct engine_op;
struct engine_request;
struct engine_launch_call;
struct engine_discard_item;
struct engine_exec_call;
TAILQ_HEAD(engine_request_list, engine_request);
TAILQ_HEAD(engine_launch_list, engine_launch_call);
TAILQ_HEAD(engine_discard_list, engine_discard_item);
TAILQ_HEAD(engine_exec_list, engine_exec_call);

struct engine {
	struct event_base *base;
	struct engine_http *http;
	struct engine_options options;
	uint64_t n_sent;
	uint64_t n_failed; /* ended by what the engine should not do */

	/* requests: until the version is known, and sent */
	struct engine_request_list waiting;
	struct engine_request_list flushing;
	struct engine_request_list sent;
	unsigned n_requests; /* without those that wait for an end */
	unsigned n_waits;
	struct engine_http_call *ping;
	unsigned minor;                       /* API 1.minor; 0: not negotiated */
	char podman[ENGINE_HTTP_VERSION_MAX]; /* its version; "": Docker */
	char *no_podman;

	enum engine_health health;
	char reason[ENGINE_REASON_MAX];
	bool health_changed; /* on_health is still to be called */
	struct event *probe_timer;
	struct engine_call *probe;

	/* Whatever must not happen inside the function that caused it happens here. */
	struct event *kick;

	struct engine_turns queued;        /* starts of containers, by who they are for */
	struct engine_launch_list refused; /* to fail with ENGINE_E_BUSY */
	struct engine_launch_list starting;
	unsigned n_refused, n_starting;
	int64_t started_ms; /* when a start was last answered well */

	struct engine_turns execs_queued;      /* by who they are for */
	struct engine_exec_list execs_refused; /* to fail with ENGINE_E_BUSY */
	struct engine_exec_list execs;         /* being made or started */
	unsigned n_execs_refused, n_execs;

	struct engine_discard_list discards;
	struct event *discard_timer;
	unsigned n_discards, n_discarding;
	unsigned n_discarding_again; /* of these, those that have failed before */
};

/* engine.c: copy text into out[cap] with everything but printable ASCII as '?'. */
void engine_sanitize(char *out, size_t cap, const char *text);
/* After these a create may have made the container or may come to make it, and nobody told us its id. */
bool engine_is_unsure(enum engine_error error);
/* Run engine.c's on_kick() soon, from the event loop. */
void engine_kick(struct engine *e);

/* engine_answer.c: the minor version in "1.41" and nothing else; 0 when it is not. */
unsigned engine_parse_api(const char *version);

/* engine_health.c: unhealthy, with the reason; probed again soon. */
void engine_set_unhealthy(struct engine *e, const char *reason);
/* What the end of a call that was sent at sent_ms says about the engine. */
void engine_learn(struct engine *e, const struct engine_op *op, int64_t sent_ms,
    enum engine_http_outcome outcome, enum engine_error error, const char *sentence);
/* Probe it after that time. */
void engine_probe_in(struct engine *e, uint32_t ms);
/* Callback of probe_timer. */
void engine_probe_due(int fd, short what, void *arg);

/* engine_request.c: everything under way, and whether another call may be started: 0 or -EBUSY. */
unsigned engine_under_way(const struct engine *e);
SP_MUST_CHECK int engine_admit(const struct engine *e);

/* engine_launch.c */
void engine_launch_kick(struct engine *e);
void engine_launch_clear(struct engine *e);

/* engine_exec.c */
void engine_exec_kick(struct engine *e);
void engine_exec_clear(struct engine *e);

/*
 * engine_discard.c. Like engine_discard(), for a create whose answer never came: the container may
 * still appear, so "no such container" is believed only after a while.
 */
SP_MUST_CHECK int engine_discard_unsure(struct engine *e, const char *name);
void engine_discard_kick(struct engine *e);
void engine_discard_clear(struct engine *e);
/* How many of the containers to be removed were not there at the last look. */
unsigned engine_discards_absent(const struct engine *e);
unsigned engine_discards_retried(const struct engine *e);
/* Callback of discard_timer. */
void engine_discard_due(int fd, short what, void *arg);

#endif
