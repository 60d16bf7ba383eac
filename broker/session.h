/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels of a connection that is logged in: what programs (answer_session.c) and forwards
 * (answer_forward.c) have in common. A request claims a number, is audited, and is refused or taken; taken, it
 * waits until its container is up, and is ordered then.
 */
#ifndef SP_SESSION_H
#define SP_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "data_path.h"
#include "guest_msg.h"
#include "ipc_msg.h"
#include "peer.h"
#include "policy.h"

struct wire_reader;

/* What is answered when the line that has to come first cannot be written. */
extern const char session_audit_lost[];

/* Whether the number is free for a request of this kind; else *ret_fault says why not. */
SP_MUST_CHECK bool session_claim(struct peer *p, uint32_t number, enum peer_channel_kind kind,
    const char **ret_fault);

/* Answer a claimed request that is not taken: the number stays free. */
void session_reply(struct peer *p, uint32_t channel, enum ipc_start_result result, const char *text);

/* Take a claimed request: it is carried out now, or when the container is up. request: its record's body. */
void session_request(struct peer *p, uint32_t number, const struct wire_reader *request);

/* Answer a request that was taken and cannot be carried out: the number is free for another try. */
void session_refuse(struct peer *p, uint32_t channel, enum ipc_start_result result, const char *text);

/* The order was given: hand the worker its ends (closed here), with text for its messages. */
void session_ordered(struct peer *p, uint32_t number, bool pty, const char *text,
    struct data_path_streams *streams);

/* Who hears of an order for this channel that is not given at once. */
struct data_path_waiter *session_waiter(struct peer *p, uint32_t number);

/* ---- answer_forward.c ---- */

/* Why the profile does not allow this listener, a sentence; or NULL, with *ret_at for a TCP one. */
const char *forward_refuse_listener(const struct policy_profile *profile,
    const struct ipc_req_listen *m, struct policy_destination *ret_at);

/* The listener for the client's agent, running or on its way; NULL: there is none. */
const struct peer_channel *forward_agent(const struct peer *p);
/* The listener of this number, which runs as a display; NULL: it does not. */
const struct peer_channel *forward_display(const struct peer *p, uint32_t number);
/* Where such a listener has its socket or its file in the container. */
void forward_path(const struct peer_channel *listener, char path[GUEST_PATH_MAX + 1]);

/* Carry out what was taken. false: it does not decode. */
SP_MUST_CHECK bool forward_run(struct peer *p, uint32_t number, struct wire_reader *request);
/* What came of that: r as of the order. */
void forward_conclude(struct peer *p, uint32_t number, int r, struct data_path_streams *streams);
SP_MUST_CHECK bool forward_run_listener(struct peer *p, uint32_t number, struct wire_reader *request);

#endif
