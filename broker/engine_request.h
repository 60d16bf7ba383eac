/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the engine. Shared by engine.c, engine_calls.c, engine_exec.c, engine_health.c and engine_request.c; nobody else
 * includes it. */
#ifndef SP_ENGINE_REQUEST_H
#define SP_ENGINE_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "engine.h"
#include "engine_http.h"

struct engine_op;

/* What a call asks; all of it is copied. */
struct engine_ask {
	const struct engine_op *op;
	enum engine_http_method method;
	const char *path;
	char *body;
	const struct engine_container_spec *spec; /* instead of path and body */
	uint32_t timeout_ms;
	size_t body_max;
};

/* By the rules of every call: engine.h. */
SP_MUST_CHECK int engine_request_start(struct engine *e, const struct engine_ask *ask,
    engine_done_fn *done, void *arg, struct engine_call **ret_call);
/* Forget them all. */
void engine_request_clear(struct engine *e);

#endif
