/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container engine: single calls, version negotiation and health. Runs in the broker. Hostile:
 * every answer; engine_http.c has bounded it, engine_json_parse.c checks its types, and the sentences made
 * from it hold printable ASCII only.
 */
#include "engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "engine_http.h"
#include "engine_json_read.h"
#include "engine_json_write.h"
#include "engine_priv.h"

#define BODY_MAX      (1u << 20)
#define LIST_MAX      (16u << 20)
#define PATH_CAP      (3 * ENGINE_IMAGE_MAX + 128)
#define FILTER_CAP    (6 * ENGINE_LABEL_MAX)
#define PROBE_SOON_MS 1000
#define MESSAGE_MAX   320

/* An answer being taken apart; the result points into it. */
struct answer {
	struct engine_result result;
	char sentence[ENGINE_REASON_MAX];
	char warning[256];
	struct engine_json_created created;
	char image[ENGINE_ID_LEN + 1];
	struct engine_container *container;
	struct engine_list list;
};

/*
 * One kind of call: which status means success, and what the body then is. take: 0,
 * ENGINE_JSON_E_BROKEN or -ENOMEM, as the parsers.
 */
struct op {
	const char *name;
	unsigned status, also; /* both are success */
	enum engine_error not_found;
	bool changes;            /* the engine's state: goes on when it is cancelled */
	bool upgrade;            /* the answer is the connection */
	const struct op *podman; /* what it is on Podman, by Podman's own API; NULL: the same */
	int (*take)(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap);
};

struct engine_request {
	struct engine_call call; /* first */
	TAILQ_ENTRY(engine_request) link;
	struct engine_request_list *list;
	const struct op *op;
	enum engine_http_method method;
	char *path; /* without the version */
	char *body;
	struct engine_container_spec *spec; /* create only: who is asked is known when it is sent */
	uint32_t timeout_ms;
	size_t body_max;
	struct engine_http_call *http;
	engine_done_fn *done; /* NULL: cancelled, but goes on */
	void *arg;
};

static int
take_nothing(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	(void)a;
	(void)reply;
	(void)why;
	(void)cap;
	return 0;
}

static int
take_created(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	int r = engine_json_created(reply->body, reply->len, &a->created, why, cap);

	if (r == 0) {
		engine_sanitize(a->warning, sizeof(a->warning), a->created.warning);
		a->result.id = a->created.id;
		a->result.warning = a->warning;
	}
	return r;
}

/* r: what its parser says. */
static int
give_container(struct answer *a, int r)
{
	if (r == 0) {
		a->result.container = a->container;
		a->result.id = a->container->id;
	}
	return r;
}

static int
take_container(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	return give_container(a,
	    engine_json_inspect(reply->body, reply->len, &a->container, why, cap));
}

static int
take_podman_container(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	return give_container(a,
	    engine_json_inspect_podman(reply->body, reply->len, &a->container, why, cap));
}

static int
take_list(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	int r = engine_json_list(reply->body, reply->len, &a->list, why, cap);

	if (r == 0) {
		a->result.items = a->list.items;
		a->result.n_items = a->list.n;
	}
	return r;
}

static int
take_image(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	int r = engine_json_image(reply->body, reply->len, a->image, why, cap);

	if (r == 0)
		a->result.id = a->image;
	return r;
}

static int
take_exit(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	return engine_json_wait(reply->body, reply->len, &a->result.exit_code, why, cap);
}

static int
take_stream(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	(void)why;
	(void)cap;
	a->result.stream = reply->fd;
	return 0;
}

static int
take_array(struct answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	(void)a;
	return engine_json_array(reply->body, reply->len, why, cap);
}

/* clang-format off */
static const struct op op_podman_create  = { "create",  201, 201, ENGINE_E_NO_IMAGE,  true,  false, NULL, take_created };
static const struct op op_podman_inspect = { "inspect", 200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_podman_container };
static const struct op op_create  = { "create",  201, 201, ENGINE_E_NO_IMAGE,  true,  false, &op_podman_create, take_created };
/* 304: it runs already. */
static const struct op op_start   = { "start",   204, 304, ENGINE_E_NOT_FOUND, true,  false, NULL, take_nothing };
static const struct op op_inspect = { "inspect", 200, 200, ENGINE_E_NOT_FOUND, false, false, &op_podman_inspect, take_container };
static const struct op op_kill    = { "kill",    204, 204, ENGINE_E_NOT_FOUND, true,  false, NULL, take_nothing };
static const struct op op_remove  = { "remove",  204, 204, ENGINE_E_NOT_FOUND, true,  false, NULL, take_nothing };
static const struct op op_wait    = { "wait",    200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_exit };
static const struct op op_list    = { "list",    200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_list };
static const struct op op_image   = { "image",   200, 200, ENGINE_E_NO_IMAGE,  false, false, NULL, take_image };
static const struct op op_probe   = { "probe",   200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_array };
/* One that is made and never started stays in the engine's memory; one that is ends with its stream. */
static const struct op op_exec    = { "exec",    201, 201, ENGINE_E_NOT_FOUND, true,  false, NULL, take_created };
static const struct op op_stream  = { "exec start", 101, 101, ENGINE_E_NOT_FOUND, false, true, NULL, take_stream };
/* clang-format on */

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

/* --- health ------------------------------------------------------------------------------------ */

static void
probe_in(struct engine *e, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

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
	probe_in(e, PROBE_SOON_MS);
}

/*
 * What a call's end says about the engine. Only a probe makes it healthy; a missed start makes it
 * unhealthy at once, since a wedged engine answers nearly everything else.
 */
static void
learn(struct engine *e, const struct op *op, enum engine_http_outcome outcome,
    enum engine_error error, const char *sentence)
{
	/* Another engine may answer next time. */
	if (outcome == ENGINE_HTTP_E_CONNECT || outcome == ENGINE_HTTP_E_LOST)
		e->minor = 0;
	if (op == &op_probe)
		return;
	if (outcome == ENGINE_HTTP_E_CONNECT || (error == ENGINE_E_TIMEOUT && op == &op_start))
		engine_set_unhealthy(e, sentence);
	else if (op == &op_wait && error == ENGINE_E_TIMEOUT)
		return; /* its owner's own patience */
	else if (error == ENGINE_E_UNREACHABLE || error == ENGINE_E_TIMEOUT ||
	    error == ENGINE_E_BROKEN)
		probe_in(e, 0);
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
	probe_in(e, pause);
}

/* --- answers ----------------------------------------------------------------------------------- */

static enum engine_error
class_of_outcome(enum engine_http_outcome outcome)
{
	switch (outcome) {
	case ENGINE_HTTP_OK:
		return ENGINE_OK;
	case ENGINE_HTTP_E_CONNECT:
	case ENGINE_HTTP_E_LOST:
		return ENGINE_E_UNREACHABLE;
	case ENGINE_HTTP_E_TIMEOUT:
		return ENGINE_E_TIMEOUT;
	case ENGINE_HTTP_E_TOO_LONG:
	case ENGINE_HTTP_E_BROKEN:
		return ENGINE_E_BROKEN;
	case ENGINE_HTTP_E_NO_MEMORY:
		return ENGINE_E_NO_MEMORY;
	}
	return ENGINE_E_BROKEN;
}

static enum engine_error
class_of_status(const struct op *op, unsigned status)
{
	if (status == 404)
		return op->not_found;
	if (status == 409)
		return ENGINE_E_CONFLICT;
	if (status >= 400 && status < 500)
		return ENGINE_E_REFUSED;
	if (status >= 500 && status < 600)
		return ENGINE_E_FAILED;
	return ENGINE_E_BROKEN;
}

static void SP_PRINTF(3, 4)
    set_failed(struct answer *a, enum engine_error error, const char *format, ...)
{
	char text[ENGINE_REASON_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	engine_sanitize(a->sentence, sizeof(a->sentence), text);
	a->result.error = error;
}

static void
judge_status(struct answer *a, const struct op *op, const struct engine_http_reply *reply)
{
	char message[MESSAGE_MAX];
	enum engine_error error;

	engine_json_message(reply->body, reply->len, message, sizeof(message));
	error = class_of_status(op, reply->status);
	if (op == &op_podman_create && engine_json_is_no_image(reply->body, reply->len))
		error = ENGINE_E_NO_IMAGE;
	set_failed(a, error, "the engine answered %s with %u%s%s", op->name, reply->status,
	    message[0] != '\0' ? ": " : "", message);
}

static void
judge(struct answer *a, const struct op *op, const struct engine_http_reply *reply)
{
	char why[160];
	int r;

	a->result.status = reply->status;
	if (reply->outcome != ENGINE_HTTP_OK) {
		set_failed(a, class_of_outcome(reply->outcome), "%s: %s", op->name, reply->detail);
		return;
	}
	if (reply->status != op->status && reply->status != op->also) {
		judge_status(a, op, reply);
		return;
	}
	r = op->take(a, reply, why, sizeof(why));
	if (r < 0)
		set_failed(a, ENGINE_E_NO_MEMORY, "%s: out of memory", op->name);
	else if (r > 0)
		set_failed(a, ENGINE_E_BROKEN, "%s: the engine sent something else: %s", op->name,
		    why);
}

static void
answer_init(struct answer *a)
{
	*a = (struct answer){ 0 };
	a->result.sentence = a->sentence;
	a->result.id = "";
	a->result.warning = "";
}

static void
answer_clear(struct answer *a)
{
	engine_container_free(a->container);
	engine_list_clear(&a->list);
}

/* --- requests ---------------------------------------------------------------------------------- */

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
	return r->op == &op_wait ? &r->call.engine->n_waits : &r->call.engine->n_requests;
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

bool
engine_is_unsure(enum engine_error error)
{
	return error == ENGINE_E_TIMEOUT || error == ENGINE_E_UNREACHABLE || error == ENGINE_E_BROKEN;
}

/* Nobody waits for this create any more: what it made must not stay. */
static void
abandon_created(const struct engine_request *r, const struct answer *a)
{
	/* Out of memory leaves it to the clean-up by label. */
	if (a->result.error == ENGINE_OK)
		(void)!engine_discard(r->call.engine, r->spec->name);
	else if (engine_is_unsure(a->result.error))
		(void)!engine_discard_unsure(r->call.engine, r->spec->name);
}

/* Not what the engine may well say: that there is no such thing, or no such image, or that it is too late. */
static bool
is_failure(enum engine_error error)
{
	return error == ENGINE_E_UNREACHABLE || error == ENGINE_E_TIMEOUT ||
	    error == ENGINE_E_FAILED || error == ENGINE_E_BROKEN || error == ENGINE_E_DIFFERENT;
}

static void
complete(struct engine_request *r, struct answer *a)
{
	r->call.engine->n_failed += is_failure(a->result.error);
	if (r->list != NULL)
		delist(r);
	r->http = NULL;
	if (r->done != NULL)
		r->done(r->arg, &a->result);
	else if (r->spec != NULL)
		abandon_created(r, a);
	else if (r->op == &op_exec && a->result.error == ENGINE_OK)
		(void)!engine_exec_start(r->call.engine, a->result.id, NULL, NULL, NULL);
	answer_clear(a);
	request_free(r);
}

static void
on_reply(void *arg, const struct engine_http_reply *reply)
{
	struct engine_request *r = arg;
	struct answer a;

	answer_init(&a);
	judge(&a, r->op, reply);
	learn(r->call.engine, r->op, reply->outcome, a.result.error, a.sentence);
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
	enlist(r, &e->sent);
	return 0;
}

unsigned
engine_parse_api(const char *version)
{
	unsigned minor = 0;
	size_t digits;

	if (strncmp(version, "1.", 2) != 0)
		return 0;
	version += 2;
	digits = strspn(version, "0123456789");
	if (digits == 0 || digits > 4 || version[digits] != '\0')
		return 0;
	for (; *version != '\0'; version++)
		minor = minor * 10 + (unsigned)(*version - '0');
	return minor;
}

static void
judge_ping(struct engine *e, struct answer *a, const struct engine_http_reply *reply)
{
	unsigned minor = engine_parse_api(reply->api_version);

	if (reply->outcome != ENGINE_HTTP_OK)
		set_failed(a, class_of_outcome(reply->outcome), "ping: %s", reply->detail);
	else if (reply->status != 200)
		set_failed(a, reply->status >= 500 ? ENGINE_E_FAILED : ENGINE_E_BROKEN,
		    "the engine answered ping with %u", reply->status);
	else if (reply->podman[0] != '\0' && e->no_podman != NULL)
		set_failed(a, ENGINE_E_VERSION, "%s", e->no_podman);
	/* It says so itself, but starts a dozen programs before it says anything about itself. */
	else if (reply->podman[0] != '\0' && engine_http_owner(e->http) != 0)
		set_failed(a, ENGINE_E_VERSION, ENGINE_PODMAN_ROOTLESS);
	else if (minor == 0)
		set_failed(a, ENGINE_E_BROKEN, "the engine's ping names no API version");
	else if (minor < ENGINE_API_MIN)
		set_failed(a, ENGINE_E_VERSION,
		    "the engine speaks API 1.%u; at least 1.%u is needed (Docker 20.10)", minor,
		    ENGINE_API_MIN);
	else
		e->minor = minor < ENGINE_API_MAX ? minor : ENGINE_API_MAX;
	engine_sanitize(e->podman, sizeof(e->podman), reply->podman);
}

static void
on_ping(void *arg, const struct engine_http_reply *reply)
{
	struct engine *e = arg;
	struct engine_request *r;
	struct answer a, failed;

	e->ping = NULL;
	answer_init(&a);
	judge_ping(e, &a, reply);
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
		answer_init(&failed);
		if (a.result.error != ENGINE_OK)
			set_failed(&failed, a.result.error, "%s", a.sentence);
		else
			set_failed(&failed, ENGINE_E_NO_MEMORY, "out of memory");
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

/* What a call asks; path is taken over only on success. */
struct ask {
	const struct op *op;
	enum engine_http_method method;
	const char *path;
	char *body;
	const struct engine_container_spec *spec; /* instead of path and body */
	uint32_t timeout_ms;
	size_t body_max;
};

static int
request_start(struct engine *e, const struct ask *ask, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct engine_request *r = calloc(1, sizeof(*r));
	int err = 0;

	/* The probe always goes: it is what gets us out of trouble. A wait is bounded by the containers. */
	if (r == NULL ||
	    (ask->op != &op_probe && ask->op != &op_wait && e->n_requests >= e->options.max_calls)) {
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

int
engine_admit(const struct engine *e)
{
	unsigned n = e->n_requests + e->n_queued + e->n_refused + e->n_starting;

	return n < e->options.max_calls ? 0 : -EBUSY;
}

/* A call about one container: the path is "/containers/ID" and tail. */
static int
container_call(struct engine *e, const struct ask *base, const char *id, const char *tail,
    engine_done_fn *done, void *arg, struct engine_call **ret_call)
{
	char path[PATH_CAP];
	struct ask ask = *base;

	if (!engine_name_valid(id))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/containers/%s%s", id, tail);
	ask.path = path;
	if (ask.timeout_ms == 0 && ask.op != &op_wait)
		ask.timeout_ms = e->options.call_timeout_ms;
	return request_start(e, &ask, done, arg, ret_call);
}

int
engine_create(struct engine *e, const struct engine_container_spec *spec, engine_done_fn *done,
    void *arg, struct engine_call **ret_call)
{
	struct ask ask = { .op = &op_create,
		.method = ENGINE_HTTP_POST,
		.spec = spec,
		.timeout_ms = e->options.call_timeout_ms };
	char why[160];
	int r = engine_spec_check(spec, why, sizeof(why));

	if (r == 0)
		r = engine_json_check(spec);
	return r < 0 ? r : request_start(e, &ask, done, arg, ret_call);
}

int
engine_start_now(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct ask ask = { .op = &op_start,
		.method = ENGINE_HTTP_POST,
		.timeout_ms = e->options.start_timeout_ms };

	return container_call(e, &ask, id, "/start", done, arg, ret_call);
}

int
engine_inspect(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct ask ask = { .op = &op_inspect, .method = ENGINE_HTTP_GET };

	return container_call(e, &ask, id, "/json", done, arg, ret_call);
}

int
engine_kill(struct engine *e, const char *id, int signal, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct ask ask = { .op = &op_kill, .method = ENGINE_HTTP_POST };
	char tail[32];

	if (signal < 1 || signal > 64)
		return -EINVAL;
	(void)snprintf(tail, sizeof(tail), "/kill?signal=%d", signal);
	return container_call(e, &ask, id, tail, done, arg, ret_call);
}

int
engine_remove(struct engine *e, const char *id, bool force, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct ask ask = { .op = &op_remove, .method = ENGINE_HTTP_DELETE };

	return container_call(e, &ask, id, force ? "?v=1&force=1" : "?v=1", done, arg, ret_call);
}

int
engine_wait(struct engine *e, const char *id, uint32_t timeout_ms, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct ask ask = { .op = &op_wait, .method = ENGINE_HTTP_POST, .timeout_ms = timeout_ms };

	return container_call(e, &ask, id, "/wait?condition=not-running", done, arg, ret_call);
}

int
engine_list(struct engine *e, const char *label, const char *value, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	static const char head[] = "/containers/json?all=1&filters=";
	char path[sizeof(head) + FILTER_CAP];
	struct ask ask = { .op = &op_list,
		.method = ENGINE_HTTP_GET,
		.path = path,
		.timeout_ms = e->options.call_timeout_ms,
		.body_max = LIST_MAX };
	char *filter;
	int r = engine_json_filter(label, value, &filter);

	if (r < 0)
		return r;
	memcpy(path, head, sizeof(head));
	r = engine_http_escape(filter, path + sizeof(head) - 1, FILTER_CAP);
	free(filter);
	return r < 0 ? r : request_start(e, &ask, done, arg, ret_call);
}

int
engine_exec_create(struct engine *e, const char *id, const struct engine_exec_spec *spec,
    engine_done_fn *done, void *arg, struct engine_call **ret_call)
{
	struct ask ask = { .op = &op_exec, .method = ENGINE_HTTP_POST };
	int r = engine_json_exec(spec, &ask.body);

	if (r < 0)
		return r;
	r = container_call(e, &ask, id, "/exec", done, arg, ret_call);
	free(ask.body);
	return r;
}

int
engine_exec_start(struct engine *e, const char *exec_id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	char path[PATH_CAP];
	char body[] = "{\"Detach\":false,\"Tty\":false}";
	struct ask ask = { .op = &op_stream,
		.method = ENGINE_HTTP_POST,
		.path = path,
		.body = body,
		.timeout_ms = e->options.call_timeout_ms };

	if (!engine_name_valid(exec_id))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/exec/%s/start", exec_id);
	return request_start(e, &ask, done, arg, ret_call);
}

int
engine_image_inspect(struct engine *e, const char *image, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	char escaped[3 * ENGINE_IMAGE_MAX + 1], path[PATH_CAP];
	struct ask ask = { .op = &op_image,
		.method = ENGINE_HTTP_GET,
		.path = path,
		.timeout_ms = e->options.call_timeout_ms };

	if (!engine_image_valid(image))
		return -EINVAL;
	if (engine_http_escape(image, escaped, sizeof(escaped)) < 0)
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/images/%s/json", escaped);
	return request_start(e, &ask, done, arg, ret_call);
}

void
engine_cancel(struct engine_call *call)
{
	if (call != NULL)
		call->cancel(call);
}

/* --- the engine itself ------------------------------------------------------------------------- */

static void
on_probe_due(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	/* Not _ping: an engine that is locked up for good still answers that. */
	struct ask ask = { .op = &op_probe,
		.method = ENGINE_HTTP_GET,
		.path = "/networks",
		.timeout_ms = e->options.probe_timeout_ms };

	(void)fd;
	(void)what;
	if (e->probe == NULL && request_start(e, &ask, on_probed, e, &e->probe) < 0)
		probe_in(e, PROBE_SOON_MS);
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
	set_default(&o->call_timeout_ms, 10000);
	set_default(&o->start_timeout_ms, 30000);
	set_default(&o->probe_interval_ms, 5000);
	set_default(&o->probe_timeout_ms, 2000);
	set_default(&o->max_starts, 4);
	set_default(&o->max_queued, 1024);
	set_default(&o->max_calls, 4096);
}

int
engine_new(struct event_base *base, const struct engine_options *options, struct engine **ret)
{
	struct engine *e = calloc(1, sizeof(*e));
	int r;

	if (e == NULL)
		return -ENOMEM;
	e->base = base;
	e->options = *options;
	set_defaults(&e->options);
	TAILQ_INIT(&e->waiting);
	TAILQ_INIT(&e->flushing);
	TAILQ_INIT(&e->sent);
	TAILQ_INIT(&e->queued);
	TAILQ_INIT(&e->refused);
	TAILQ_INIT(&e->starting);
	TAILQ_INIT(&e->discards);
	e->kick = event_new(base, -1, 0, on_kick, e);
	e->probe_timer = evtimer_new(base, on_probe_due, e);
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
	probe_in(e, 0);
	*ret = e;
	return 0;
}

static void
free_requests(struct engine_request_list *list)
{
	struct engine_request *r;

	while ((r = TAILQ_FIRST(list)) != NULL)
		request_free(r);
}

struct engine *
engine_free(struct engine *e)
{
	if (e == NULL)
		return NULL;
	engine_http_free(e->http);
	free_requests(&e->waiting);
	free_requests(&e->flushing);
	free_requests(&e->sent);
	engine_launch_clear(e);
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

const char *
engine_podman(const struct engine *e)
{
	return e->minor != 0 && e->podman[0] != '\0' ? e->podman : NULL;
}

struct engine_counts
engine_counts(const struct engine *e)
{
	return (struct engine_counts){
		.calls = e->n_requests + e->n_queued + e->n_refused + e->n_starting,
		.queued = e->n_queued,
		.starting = e->n_starting,
		.discarding = e->n_discards,
		.absent = engine_discards_absent(e),
		.requests = e->n_sent,
		.connections = engine_http_connections(e->http),
		.failures = e->n_failed,
		.api_minor = e->minor,
	};
}
