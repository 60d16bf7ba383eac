/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's questions to the broker, one function each (broker/answer_*.c answers), and what the
 * broker says unasked. A signature and a login are waited for; a program's start is not.
 */
#ifndef SP_ASK_H
#define SP_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "ipc_msg.h"

#define ASK_E_GONE  1 /* the broker is gone, or said something that makes no sense */
#define ASK_E_AGAIN 2 /* nothing was said */
#define ASK_EVENTS  (2 * IPC_CHANNEL_MAX) /* unasked messages that wait while a question is open */

/* An answer to a start, a forward or a listener, or a notice: what may come at any time. */
struct ask_event {
	uint8_t id; /* IPC_ANS_START, IPC_ANS_FORWARD, _LISTEN or _ACCEPTED, or IPC_NOTICE */
	uint32_t channel;
	enum ipc_start_result result;
	bool pty;
	enum ipc_notice_kind notice;
	char text[IPC_TEXT_MAX + 1];
	int fds[IPC_STREAM_FDS]; /* owned by whoever took the event */
	unsigned n_fds;
};

struct ask {
	int fd;
	struct ask_event *events[ASK_EVENTS];
	unsigned n_events;
};

void ask_init(struct ask *a, int fd);

/* 0 or ASK_E_GONE. */
SP_MUST_CHECK int ask_sign(struct ask *a, const char *algorithm, const void *transcript, size_t len,
    uint8_t *sig, size_t *sig_len);
SP_MUST_CHECK int ask_query(struct ask *a, const struct ipc_req_query *m, bool *ret_acceptable);
/* *ret points into storage that the next call overwrites. */
SP_MUST_CHECK int ask_auth(struct ask *a, const struct ipc_req_auth *m, struct ipc_ans_auth *ret);
/* The answer comes as an event. */
SP_MUST_CHECK int ask_start(struct ask *a, const struct ipc_req_start *m);
SP_MUST_CHECK int ask_forward(struct ask *a, const struct ipc_req_forward *m);
SP_MUST_CHECK int ask_listen(struct ask *a, const struct ipc_req_listen *m);
SP_MUST_CHECK int ask_close(struct ask *a, const struct ipc_req_close *m);
/* Told, and not answered. */
SP_MUST_CHECK int ask_activity(struct ask *a, const struct ipc_activity *m);
SP_MUST_CHECK int ask_accepted(struct ask *a, const struct ipc_accepted *m);
SP_MUST_CHECK int ask_refused(struct ask *a, const struct ipc_refused *m);

/* Take the next event, freed with ask_event_free(). 0, ASK_E_AGAIN or ASK_E_GONE. */
SP_MUST_CHECK int ask_next_event(struct ask *a, struct ask_event **ret);
/* Closes what is left in fds. NULL is fine. */
void ask_event_free(struct ask_event *e);

#endif
