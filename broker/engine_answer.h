/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of the engine, and the kinds of calls that it may end. Shared by engine_answer.c, engine_request.c,
 * engine_calls.c, engine_exec.c and engine_health.c; nobody else includes it. */
#ifndef SP_ENGINE_ANSWER_H
#define SP_ENGINE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "engine.h"
#include "engine_http.h"
#include "engine_json_read.h"

/* An answer being taken apart; the result points into it. */
struct engine_answer {
	struct engine_result result;
	char sentence[ENGINE_REASON_MAX];
	char warning[256];
	struct engine_json_created created;
	char image[ENGINE_ID_LEN + 1];
	struct engine_info info;
	struct engine_container *container;
	struct engine_list list;
};

/*
 * One kind of call: which status means success, and what the body then is. take: 0,
 * ENGINE_JSON_E_BROKEN or -ENOMEM, as the parsers.
 */
struct engine_op {
	const char *name;
	unsigned status, also; /* both are success */
	enum engine_error not_found;
	bool changes;                   /* the engine's state: goes on when it is cancelled */
	bool upgrade;                   /* the answer is the connection */
	const struct engine_op *podman; /* what it is on Podman, by Podman's own API; NULL: the same */
	int (*take)(struct engine_answer *a, const struct engine_http_reply *reply, char *why,
	    size_t cap);
};

extern const struct engine_op engine_op_create, engine_op_start, engine_op_inspect, engine_op_kill,
    engine_op_remove, engine_op_wait, engine_op_list, engine_op_image, engine_op_info,
    engine_op_probe, engine_op_exec, engine_op_stream;

void engine_answer_init(struct engine_answer *a);
void engine_answer_clear(struct engine_answer *a);
/* It is the error, with a sentence made of printable ASCII. */
void SP_PRINTF(3, 4)
    engine_answer_fail(struct engine_answer *a, enum engine_error error, const char *format, ...);
/* Take the reply for what the call has to have. */
void engine_answer_judge(struct engine_answer *a, const struct engine_op *op,
    const struct engine_http_reply *reply);
/* The same of a ping: from then on the engine is one of its kind and speaks its version. */
void engine_answer_judge_ping(struct engine_answer *a, struct engine *e,
    const struct engine_http_reply *reply);

#endif
