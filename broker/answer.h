/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's side of each question that a worker may ask (daemon/ask.c asks them). Each handler:
 * decode, vet, decide, act. The body is hostile until the decoder and the handler's own checks are
 * through. Results as for dispatch().
 */
#ifndef SP_ANSWER_H
#define SP_ANSWER_H

#include "attr.h"

struct container;
struct peer;
struct wire_reader;

SP_MUST_CHECK int answer_ready(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_sign(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_query(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_auth(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_start(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_forward(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_listen(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_accepted(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_activity(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_refused(struct peer *p, struct wire_reader *body, const char **ret_fault);
SP_MUST_CHECK int answer_close(struct peer *p, struct wire_reader *body, const char **ret_fault);

/* Logged in: begin to make the container, so that it is there when the client asks for it. */
void session_begin(struct peer *p);
/* Let go of every container and every request that waits. */
void session_end(struct peer *p);

/* What was left out of the audit log of this peer's own refusals, in one line: at its end. */
void refusals_end(struct peer *p);

#endif
