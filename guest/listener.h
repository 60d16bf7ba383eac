/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One place that was ordered to be listened at: from the order until the worker closes ctl. Whoever
 * connects goes to the worker.
 */
#ifndef SP_LISTENER_H
#define SP_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "guest_msg.h"

struct listener {
	bool used;
	int ctl;
	int fds[GUEST_ADDRESSES_MAX];
	unsigned n;
	unsigned untaken;   /* connections that the worker has not taken yet */
	bool only_one;      /* connection is accepted */
	int64_t rest_until; /* ms: a connection could not be accepted; 0: it is not resting */
	char path[GUEST_PATH_MAX + 1]; /* what goes with it, and its directory; "": nothing */
};

/* Carry out one order in the unused slot l. ctl is taken. Whatever fails is told on ctl. */
void listener_start(struct listener *l, const struct guest_listen *order, int *ctl);

/* Whether connections are wanted now: the worker has room, and the last one did not fail just now. */
bool listener_wants(const struct listener *l);

/* fd, one of its own, has a connection. */
void listener_accept(struct listener *l, int fd, int64_t now_ms);

/* ctl has something to say. */
void listener_hear(struct listener *l);

/* The rest is over. */
void listener_tick(struct listener *l, int64_t now_ms);

#endif
