/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection that was ordered: from the order until its socket is handed to the worker, or until
 * the worker has been told why not, or has let go.
 */
#ifndef SP_ATTEMPT_H
#define SP_ATTEMPT_H

#include <stdbool.h>

#include "guest_msg.h"

struct attempt {
	bool used;
	int ctl;
	int fd; /* is being connected */
	struct guest_connect to;
	uint32_t next; /* address that is tried after this one */
};

/* Carry out one order in the unused slot a. ctl is taken. */
void attempt_start(struct attempt *a, const struct guest_connect *to, int *ctl);

/* fd is connected, or has failed. */
void attempt_ready(struct attempt *a);

/* ctl has something to say: that the worker has let go, as there is nothing else to say on it. */
void attempt_drop(struct attempt *a);

#endif
