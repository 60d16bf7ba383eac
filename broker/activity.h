/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much has passed through a connection, and when the last of it did: what its worker says. Nothing but
 * numbers for people, and the clock of session.idle, depends on it: a worker that has been taken over can
 * say what it likes about itself, and gains that its own user is not sent away for being idle.
 */
#ifndef SP_ACTIVITY_H
#define SP_ACTIVITY_H

#include <stdint.h>

#include "ipc_msg.h"

struct activity {
	uint64_t in; /* bytes from the client */
	uint64_t out;
	int64_t last_ms; /* ms of clock_now_ms(); the login at first */
};

/*
 * Take over what a worker said at now_ms. Time does not go backwards, whatever it says. NULL, or static
 * text: what it cannot have said by mistake.
 */
const char *activity_update(struct activity *a, const struct ipc_activity *m, int64_t now_ms);

/* Whole seconds since anything passed. */
int64_t activity_idle_seconds(const struct activity *a, int64_t now_ms);

#endif
