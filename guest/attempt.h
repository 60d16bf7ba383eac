/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection that was ordered: from the order until its socket is handed to the worker, or until
 * the worker has been told why not, or has let go.
 */
#ifndef SP_ATTEMPT_H
#define SP_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "guest_msg.h"
#include "lookup.h"

struct attempt {
	bool used;
	int ctl;
	int fd; /* is being connected; -1 while the name is looked up */
	struct lookup lookup;
	int64_t give_up_at; /* ms: of the lookup, then of all that came of it; 0: there was none */
	/* What the answer is compared with. */
	uint32_t n_networks;
	struct network networks[GUEST_NETWORKS_MAX];
	/* Allowed ones, whether the broker has compared them or this process. */
	uint32_t n;
	struct guest_address addresses[GUEST_FOUND_ADDRESSES_MAX];
	uint32_t port;
	uint32_t next; /* address that is tried after this one */
};

/* Carry out one order in the unused slot a. ctl is taken. */
void attempt_start(struct attempt *a, const struct guest_connect *to, int *ctl, int64_t now_ms);

/* What to wait for, and on which descriptor. */
int attempt_fd(const struct attempt *a);
short attempt_events(const struct attempt *a);

/* That has come: an answer about the name, a connection, or a failure. */
void attempt_ready(struct attempt *a);

/* The process that looks up its name may be the one that was reaped. */
void attempt_reaped(struct attempt *a, pid_t pid);

/* give_up_at may be over. */
void attempt_tick(struct attempt *a, int64_t now_ms);

/* ctl has something to say: that the worker has let go, as there is nothing else to say on it. */
void attempt_drop(struct attempt *a);

#endif
