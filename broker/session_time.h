/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a login may last, the profile's "max", and how long without any data, its "idle"; each with a word
 * before the end. The first is kept here alone, so that no worker, whatever it has become, outlasts it. The
 * second is counted from what the worker says (activity.h).
 */
#ifndef SP_SESSION_TIME_H
#define SP_SESSION_TIME_H

#include "attr.h"

struct peer;

/* Logged in: from now on it counts. 0 or -ENOMEM. */
SP_MUST_CHECK int session_time_begin(struct peer *p);
/* p->activity has changed. */
void session_time_activity(struct peer *p);
/* The login is over. */
void session_time_end(struct peer *p);

#endif
