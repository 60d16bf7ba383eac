/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The single calls, typed: from arguments to what is asked of the engine. Runs in the broker. The arguments are its
 * own, and are checked again: what leaves here is root's own request.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_answer.h"
#include "engine_http.h"
#include "engine_json_write.h"
#include "engine_priv.h"
#include "engine_request.h"

#define LIST_MAX   (16u << 20)
#define PATH_CAP   (3 * ENGINE_IMAGE_MAX + 128)
#define FILTER_CAP (6 * ENGINE_LABEL_MAX)

/* A call about one container: the path is "/containers/ID" and tail. */
static int
container_call(struct engine *e, const struct engine_ask *base, const char *id, const char *tail,
    engine_done_fn *done, void *arg, struct engine_call **ret_call)
{
	char path[PATH_CAP];
	struct engine_ask ask = *base;

	if (!engine_name_valid(id))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/containers/%s%s", id, tail);
	ask.path = path;
	if (ask.timeout_ms == 0)
		ask.timeout_ms = e->options.call_timeout_ms;
	return engine_request_start(e, &ask, done, arg, ret_call);
}

int
engine_create(struct engine *e, const struct engine_container_spec *spec, engine_done_fn *done,
    void *arg, struct engine_call **ret_call)
{
	struct engine_ask ask = { .op = &engine_op_create,
		.method = ENGINE_HTTP_POST,
		.spec = spec,
		.timeout_ms = e->options.call_timeout_ms };
	char why[160];
	int r = engine_spec_check(spec, why, sizeof(why));

	if (r == 0)
		r = engine_json_check(spec);
	return r < 0 ? r : engine_request_start(e, &ask, done, arg, ret_call);
}

int
engine_start(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct engine_ask ask = { .op = &engine_op_start,
		.method = ENGINE_HTTP_POST,
		.timeout_ms = e->options.start_timeout_ms };

	return container_call(e, &ask, id, "/start", done, arg, ret_call);
}

int
engine_inspect(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct engine_ask ask = { .op = &engine_op_inspect, .method = ENGINE_HTTP_GET };

	return container_call(e, &ask, id, "/json", done, arg, ret_call);
}

int
engine_kill(struct engine *e, const char *id, int signal, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct engine_ask ask = { .op = &engine_op_kill, .method = ENGINE_HTTP_POST };
	char tail[32];

	if (signal < 1 || signal > 64)
		return -EINVAL;
	(void)snprintf(tail, sizeof(tail), "/kill?signal=%d", signal);
	return container_call(e, &ask, id, tail, done, arg, ret_call);
}

int
engine_remove(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct engine_ask ask = { .op = &engine_op_remove, .method = ENGINE_HTTP_DELETE };

	return container_call(e, &ask, id, "?v=1&force=1", done, arg, ret_call);
}

int
engine_wait(struct engine *e, const char *id, uint32_t timeout_ms, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	struct engine_ask ask = { .op = &engine_op_wait,
		.method = ENGINE_HTTP_POST,
		.timeout_ms = timeout_ms };

	return container_call(e, &ask, id, "/wait?condition=not-running", done, arg, ret_call);
}

int
engine_list(struct engine *e, const char *label, const char *value, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	static const char head[] = "/containers/json?all=1&filters=";
	char path[sizeof(head) + FILTER_CAP];
	struct engine_ask ask = { .op = &engine_op_list,
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
	return r < 0 ? r : engine_request_start(e, &ask, done, arg, ret_call);
}

int
engine_info(struct engine *e, engine_done_fn *done, void *arg, struct engine_call **ret_call)
{
	struct engine_ask ask = { .op = &engine_op_info,
		.method = ENGINE_HTTP_GET,
		.path = "/info",
		.timeout_ms = e->options.call_timeout_ms };

	return engine_request_start(e, &ask, done, arg, ret_call);
}

int
engine_image_inspect(struct engine *e, const char *image, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	char escaped[3 * ENGINE_IMAGE_MAX + 1], path[PATH_CAP];
	struct engine_ask ask = { .op = &engine_op_image,
		.method = ENGINE_HTTP_GET,
		.path = path,
		.timeout_ms = e->options.call_timeout_ms };

	if (!engine_image_valid(image))
		return -EINVAL;
	if (engine_http_escape(image, escaped, sizeof(escaped)) < 0)
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/images/%s/json", escaped);
	return engine_request_start(e, &ask, done, arg, ret_call);
}

void
engine_cancel(struct engine_call *call)
{
	if (call != NULL)
		call->cancel(call);
}
