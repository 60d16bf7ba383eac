/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to the engine, from its first moment to its last: it waits until the engine's version is known, is sent,
 * and ends with an answer, a deadline or a cancel. Runs in the broker. Hostile: every answer, which engine_answer.c
 * judges.
 */
#include "engine_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine_answer.h"
#include "engine_json_write.h"
#include "engine_priv.h"

#define BODY_MAX (1u << 20)

struct engine_request {
	struct engine_call call; /* first */
	TAILQ_ENTRY(engine_request) link;
	struct engine_request_list *list;
	const struct engine_op *op;
	enum engine_http_method method;
	char *path; /* without the version */
	char *body;
	struct engine_container_spec *spec; /* create only: who is asked is known when it is sent */
	uint32_t timeout_ms;
	size_t body_max;
	struct engine_http_call *http;
	int64_t sent_ms;
	engine_done_fn *done; /* NULL: cancelled, but goes on */
	void *arg;
};

static void
enlist(struct engine_request *r, struct engine_request_list *list)
{
	r->list = list;
	TAILQ_INSERT_TAIL(list, r, link);
}

static void
delist(struct engine_request *r)
{
	TAILQ_REMOVE(r->list, r, link);
	r->list = NULL;
}

/* Where it is counted: who waits for a container's end may do so for days, and asks nothing of the engine. */
static unsigned *
count_of(const struct engine_request *r)
{
	return r->op == &engine_op_wait ? &r->call.engine->n_waits : &r->call.engine->n_requests;
}

static void
request_free(struct engine_request *r)
{
	if (r->list != NULL)
		delist(r);
	--*count_of(r);
	free(r->path);
	free(r->body);
	engine_spec_free(r->spec);
	free(r);
}

/* Nobody waits for this create any more: what it made must not stay. */
static void
abandon_created(const struct engine_request *r, const struct engine_answer *a)
{
	/* Out of memory leaves it to the clean-up by label. */
	if (a->result.error == ENGINE_OK)
		(void)!engine_discard(r->call.engine, r->spec->name);
	else if (engine_is_unsure(a->result.error))
		(void)!engine_discard_unsure(r->call.engine, r->spec->name);
}

/* Not what the engine may well say: that there is no such thing, or no such image, or that it is too late. Nor that a
 * container has not ended so far. */
static bool
is_failure(const struct engine_op *op, enum engine_error error)
{
	return error == ENGINE_E_UNREACHABLE ||
	    (error == ENGINE_E_TIMEOUT && op != &engine_op_wait) || error == ENGINE_E_FAILED ||
	    error == ENGINE_E_BROKEN || error == ENGINE_E_DIFFERENT;
}

static void
complete(struct engine_request *r, struct engine_answer *a)
{
	r->call.engine->n_failed += is_failure(r->op, a->result.error);
	if (r->list != NULL)
		delist(r);
	r->http = NULL;
	if (r->done != NULL)
		r->done(r->arg, &a->result);
	else if (r->spec != NULL)
		abandon_created(r, a);
	engine_answer_clear(a);
	request_free(r);
}

static void
on_reply(void *arg, const struct engine_http_reply *reply)
{
	struct engine_request *r = arg;
	struct engine_answer a;

	engine_answer_init(&a);
	engine_answer_judge(&a, r->op, reply);
	engine_learn(r->call.engine, r->op, r->sent_ms, reply->outcome, a.result.error, a.sentence);
	complete(r, &a);
}

/* In the words of the engine that is there now. 0 or -errno. */
static int
write_create(struct engine_request *r, bool podman)
{
	free(r->body);
	r->body = NULL;
	free(r->path);
	r->path = NULL;
	/* Podman's own takes the name with the rest. */
	if (asprintf(&r->path, podman ? "/containers/create" : "/containers/create?name=%s",
		r->spec->name) < 0) {
		r->path = NULL;
		return -ENOMEM;
	}
	return podman ? engine_json_create_podman(r->spec, &r->body)
		      : engine_json_create(r->spec, &r->body);
}

static int
request_send(struct engine_request *r)
{
	struct engine *e = r->call.engine;
	bool podman = e->podman[0] != '\0' && r->op->podman != NULL;
	struct engine_http_ask ask = { .method = r->method,
		.upgrade = r->op->upgrade,
		.timeout_ms = r->timeout_ms,
		.body_max = r->body_max };
	char version[16];
	char *path = NULL;
	int err = r->spec != NULL ? write_create(r, podman) : 0;

	if (err < 0)
		return err;
	if (podman)
		r->op = r->op->podman;
	(void)snprintf(version, sizeof(version), "/v1.%u", e->minor);
	if (asprintf(&path, "%s%s", podman ? ENGINE_PODMAN_PATH : version, r->path) < 0)
		return -ENOMEM;
	ask.path = path;
	ask.body = r->body;
	err = engine_http_start(e->http, &ask, on_reply, r, &r->http);
	free(path);
	if (err < 0)
		return err;
	e->n_sent++;
	r->sent_ms = clock_now_ms();
	enlist(r, &e->sent);
	return 0;
}

static void
on_ping(void *arg, const struct engine_http_reply *reply)
{
	struct engine *e = arg;
	struct engine_request *r;
	struct engine_answer a, failed;

	e->ping = NULL;
	engine_answer_init(&a);
	engine_answer_judge_ping(&a, e, reply);
	if (a.result.error != ENGINE_OK)
		engine_set_unhealthy(e, a.sentence);
	/* Callbacks may put new requests into waiting: those start a ping of their own. */
	while ((r = TAILQ_FIRST(&e->waiting)) != NULL) {
		delist(r);
		enlist(r, &e->flushing);
	}
	while ((r = TAILQ_FIRST(&e->flushing)) != NULL) {
		delist(r);
		if (a.result.error == ENGINE_OK && e->minor != 0 && request_send(r) == 0)
			continue;
		engine_answer_init(&failed);
		if (a.result.error != ENGINE_OK)
			engine_answer_fail(&failed, a.result.error, "%s", a.sentence);
		else
			engine_answer_fail(&failed, ENGINE_E_NO_MEMORY, "out of memory");
		complete(r, &failed);
	}
}

static int
send_ping(struct engine *e)
{
	struct engine_http_ask ask = { .method = ENGINE_HTTP_GET,
		.path = "/_ping",
		.timeout_ms = e->options.probe_timeout_ms,
		.body_max = BODY_MAX };
	int r;

	if (e->ping != NULL)
		return 0;
	r = engine_http_start(e->http, &ask, on_ping, e, &e->ping);
	if (r == 0)
		e->n_sent++;
	return r;
}

static void
cancel_request(struct engine_call *call)
{
	struct engine_request *r = (struct engine_request *)call;

	if (r->http != NULL && r->op->changes) {
		r->done = NULL;
		return;
	}
	engine_http_cancel(r->http);
	request_free(r);
}

int
engine_request_start(struct engine *e, const struct engine_ask *ask, engine_done_fn *done,
    void *arg, struct engine_call **ret_call)
{
	struct engine_request *r = calloc(1, sizeof(*r));
	int err = 0;

	/* The probe always goes: it is what gets us out of trouble. A wait is bounded by the containers. */
	if (r == NULL ||
	    (ask->op != &engine_op_probe && ask->op != &engine_op_wait &&
		e->n_requests >= e->options.max_calls)) {
		err = r == NULL ? -ENOMEM : -EBUSY;
		free(r);
		return err;
	}
	r->call = (struct engine_call){ .engine = e, .cancel = cancel_request };
	r->op = ask->op;
	++*count_of(r);
	r->method = ask->method;
	r->timeout_ms = ask->timeout_ms;
	r->body_max = ask->body_max != 0 ? ask->body_max : BODY_MAX;
	r->done = done;
	r->arg = arg;
	if (ask->path != NULL)
		r->path = strdup(ask->path);
	if (ask->body != NULL)
		r->body = strdup(ask->body);
	if (ask->spec != NULL)
		err = engine_spec_copy(ask->spec, &r->spec);
	if (err < 0 || (ask->path != NULL && r->path == NULL) ||
	    (ask->body != NULL && r->body == NULL))
		err = -ENOMEM;
	else if (e->minor != 0)
		err = request_send(r);
	else if ((err = send_ping(e)) == 0)
		enlist(r, &e->waiting);
	if (err < 0) {
		request_free(r);
		return err;
	}
	if (ret_call != NULL)
		*ret_call = &r->call;
	return 0;
}

unsigned
engine_under_way(const struct engine *e)
{
	return e->n_requests + e->queued.n + e->n_refused + e->n_starting + e->execs_queued.n +
	    e->n_execs_refused;
}

int
engine_admit(const struct engine *e)
{
	return engine_under_way(e) < e->options.max_calls ? 0 : -EBUSY;
}

static void
free_requests(struct engine_request_list *list)
{
	struct engine_request *r;

	while ((r = TAILQ_FIRST(list)) != NULL)
		request_free(r);
}

void
engine_request_clear(struct engine *e)
{
	free_requests(&e->waiting);
	free_requests(&e->flushing);
	free_requests(&e->sent);
}
