/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: how much data has passed through the channels, and when the last of it did, told to the broker
 * now and then. What libssh does by itself (keepalives, window changes, key exchanges) is no activity.
 */
#ifndef SP_ACTIVITY_H
#define SP_ACTIVITY_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

struct ask;

#define ACTIVITY_EVERY_MS \
	2000 /* what passes without a pause is told so often; common/PROTOCOL.md */

struct activity {
	uint64_t in; /* bytes from the client, all channels */
	uint64_t out;
	int64_t last; /* ms of clock_now_ms(): the last of them, or the login */
	int64_t due;  /* when to tell; 0: everything has been told */
};

/* Logged in: time is counted from now. */
void activity_begin(struct activity *a);

/* So many bytes have passed now. */
void activity_note(struct activity *a, uint64_t in, uint64_t out);

/* Milliseconds until there is something to tell; -1: nothing. */
int64_t activity_wait(const struct activity *a);

/* Tell what there is, when it is due or when last is set: nothing comes after it. 0 or ASK_E_GONE. */
SP_MUST_CHECK int activity_tell(struct activity *a, struct ask *ask, bool last);

#endif
