/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine answered: how each kind of call ends, and the result that its owner gets. Runs in the broker.
 * Hostile: every answer; engine_http.c has bounded it, engine_json_parse.c checks its types, and the sentences made
 * from it hold printable ASCII only.
 */
#include "engine_answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine_priv.h"

#define MESSAGE_MAX 320

void
engine_answer_init(struct engine_answer *a)
{
	*a = (struct engine_answer){ 0 };
	a->result.sentence = a->sentence;
	a->result.id = "";
	a->result.warning = "";
}

void
engine_answer_clear(struct engine_answer *a)
{
	engine_container_free(a->container);
	engine_list_clear(&a->list);
}

void
engine_answer_fail(struct engine_answer *a, enum engine_error error, const char *format, ...)
{
	char text[ENGINE_REASON_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	engine_sanitize(a->sentence, sizeof(a->sentence), text);
	a->result.error = error;
}

/* --- the body --------------------------------------------------------------------------------- */

static int
take_nothing(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	(void)a;
	(void)reply;
	(void)why;
	(void)cap;
	return 0;
}

static int
take_created(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
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
give_container(struct engine_answer *a, int r)
{
	if (r == 0) {
		a->result.container = a->container;
		a->result.id = a->container->id;
	}
	return r;
}

static int
take_container(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	return give_container(a,
	    engine_json_inspect(reply->body, reply->len, &a->container, why, cap));
}

static int
take_podman_container(struct engine_answer *a, const struct engine_http_reply *reply, char *why,
    size_t cap)
{
	return give_container(a,
	    engine_json_inspect_podman(reply->body, reply->len, &a->container, why, cap));
}

static int
take_list(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	int r = engine_json_list(reply->body, reply->len, &a->list, why, cap);

	if (r == 0) {
		a->result.items = a->list.items;
		a->result.n_items = a->list.n;
	}
	return r;
}

static int
take_image(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	int r = engine_json_image(reply->body, reply->len, a->image, why, cap);

	if (r == 0)
		a->result.id = a->image;
	return r;
}

static int
take_info(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	int r = engine_json_info(reply->body, reply->len, &a->info, why, cap);

	if (r == 0)
		a->result.info = &a->info;
	return r;
}

static int
take_exit(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	return engine_json_wait(reply->body, reply->len, &a->result.exit_code, why, cap);
}

static int
take_stream(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	(void)why;
	(void)cap;
	a->result.stream = reply->fd;
	return 0;
}

static int
take_array(struct engine_answer *a, const struct engine_http_reply *reply, char *why, size_t cap)
{
	(void)a;
	return engine_json_array(reply->body, reply->len, why, cap);
}

/* --- each kind of call ------------------------------------------------------------------------ */

/* clang-format off */
static const struct engine_op op_podman_create  = { "create",  201, 201, ENGINE_E_NO_IMAGE,  true,  false, NULL, take_created };
static const struct engine_op op_podman_inspect = { "inspect", 200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_podman_container };
const struct engine_op engine_op_create  = { "create",  201, 201, ENGINE_E_NO_IMAGE,  true,  false, &op_podman_create, take_created };
/* 304: it runs already. */
const struct engine_op engine_op_start   = { "start",   204, 304, ENGINE_E_NOT_FOUND, true,  false, NULL, take_nothing };
const struct engine_op engine_op_inspect = { "inspect", 200, 200, ENGINE_E_NOT_FOUND, false, false, &op_podman_inspect, take_container };
const struct engine_op engine_op_kill    = { "kill",    204, 204, ENGINE_E_NOT_FOUND, true,  false, NULL, take_nothing };
const struct engine_op engine_op_remove  = { "remove",  204, 204, ENGINE_E_NOT_FOUND, true,  false, NULL, take_nothing };
const struct engine_op engine_op_wait    = { "wait",    200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_exit };
const struct engine_op engine_op_list    = { "list",    200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_list };
const struct engine_op engine_op_image   = { "image",   200, 200, ENGINE_E_NO_IMAGE,  false, false, NULL, take_image };
const struct engine_op engine_op_info    = { "info",    200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_info };
const struct engine_op engine_op_probe   = { "probe",   200, 200, ENGINE_E_NOT_FOUND, false, false, NULL, take_array };
/* One that is made and never started stays in the engine's memory; one that is ends with its stream. */
const struct engine_op engine_op_exec    = { "exec",    201, 201, ENGINE_E_NOT_FOUND, true,  false, NULL, take_created };
const struct engine_op engine_op_stream  = { "exec start", 101, 101, ENGINE_E_NOT_FOUND, false, true, NULL, take_stream };
/* clang-format on */

/* --- judged ----------------------------------------------------------------------------------- */

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
class_of_status(const struct engine_op *op, unsigned status)
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

static void
judge_status(struct engine_answer *a, const struct engine_op *op,
    const struct engine_http_reply *reply)
{
	char message[MESSAGE_MAX];
	enum engine_error error;

	engine_json_message(reply->body, reply->len, message, sizeof(message));
	error = class_of_status(op, reply->status);
	if (op == &op_podman_create && engine_json_is_no_image(reply->body, reply->len))
		error = ENGINE_E_NO_IMAGE;
	engine_answer_fail(a, error, "the engine answered %s with %u%s%s", op->name, reply->status,
	    message[0] != '\0' ? ": " : "", message);
}

void
engine_answer_judge(struct engine_answer *a, const struct engine_op *op,
    const struct engine_http_reply *reply)
{
	char why[160];
	int r;

	if (reply->outcome != ENGINE_HTTP_OK) {
		engine_answer_fail(a, class_of_outcome(reply->outcome), "%s: %s", op->name,
		    reply->detail);
		return;
	}
	if (reply->status != op->status && reply->status != op->also) {
		judge_status(a, op, reply);
		return;
	}
	r = op->take(a, reply, why, sizeof(why));
	if (r < 0)
		engine_answer_fail(a, ENGINE_E_NO_MEMORY, "%s: out of memory", op->name);
	else if (r > 0)
		engine_answer_fail(a, ENGINE_E_BROKEN, "%s: the engine sent something else: %s",
		    op->name, why);
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

void
engine_answer_judge_ping(struct engine_answer *a, struct engine *e,
    const struct engine_http_reply *reply)
{
	unsigned minor = engine_parse_api(reply->api_version);

	if (reply->outcome != ENGINE_HTTP_OK)
		engine_answer_fail(a, class_of_outcome(reply->outcome), "ping: %s", reply->detail);
	else if (reply->status != 200)
		engine_answer_fail(a, reply->status >= 500 ? ENGINE_E_FAILED : ENGINE_E_BROKEN,
		    "the engine answered ping with %u", reply->status);
	else if (reply->podman[0] != '\0' && e->no_podman != NULL)
		engine_answer_fail(a, ENGINE_E_VERSION, "%s", e->no_podman);
	/* It says so itself, but starts a dozen programs before it says anything about itself. */
	else if (reply->podman[0] != '\0' && engine_http_owner(e->http) != 0)
		engine_answer_fail(a, ENGINE_E_VERSION, ENGINE_PODMAN_ROOTLESS);
	else if (minor == 0)
		engine_answer_fail(a, ENGINE_E_BROKEN, "the engine's ping names no API version");
	else if (minor < ENGINE_API_MIN)
		engine_answer_fail(a, ENGINE_E_VERSION,
		    "the engine speaks API 1.%u; at least 1.%u is needed (Docker 20.10)", minor,
		    ENGINE_API_MIN);
	else
		e->minor = minor < ENGINE_API_MAX ? minor : ENGINE_API_MAX;
	engine_sanitize(e->podman, sizeof(e->podman), reply->podman);
}
