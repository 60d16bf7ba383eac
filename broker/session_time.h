/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a login may last: the profile's "max", with a word before the end. Kept here, so that no
 * worker, whatever it has become, outlasts it.
 */
#ifndef SP_SESSION_TIME_H
#define SP_SESSION_TIME_H

#include "attr.h"

struct peer;

/* Logged in: from now on it counts. 0 or -ENOMEM. */
SP_MUST_CHECK int session_time_begin(struct peer *p);

#endif
