/* SPDX-License-Identifier: Apache-2.0 */
/* For control.c: requests and their answers, as JSON. */
#ifndef SP_CONTROL_ANSWERS_H
#define SP_CONTROL_ANSWERS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "control.h"

struct broker;

/* What answers are about. */
struct control_context {
	struct broker *broker;
	struct control_events events;
	int64_t started_at; /* ms of clock_now_ms() */
};

/* The answer to a line of who has this uid; owned by the caller. NULL: out of memory. */
json_t *control_answer(const struct control_context *x, uid_t uid, const char *line, size_t len);
/* A sentence as the answer. */
json_t *control_error(const char *sentence);

#endif
