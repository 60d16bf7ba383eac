/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One name that is looked up as any program of the container would have it: in the files and by the name servers
 * that it has. Both may be anybody's, and may never answer, so this is done by a process of its own that holds
 * nothing but a pipe to us.
 */
#ifndef SP_LOOKUP_H
#define SP_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest_msg.h"

#define LOOKUP_MS 10000 /* then it is given up */

struct lookup {
	pid_t pid; /* 0: reaped, or none */
	int fd;    /* what it says can be read, or its end; -1: nothing is looked up */
};

/* Begin; name is copied with the process. 0 or -errno. */
SP_MUST_CHECK int lookup_start(struct lookup *l, const char *name);

/*
 * fd can be read. false: without reason. True: it is over, and *ret says what came of it; its addresses are what
 * that process says.
 */
SP_MUST_CHECK bool lookup_read(struct lookup *l, struct guest_found *ret);

/* It is over, answered or not. */
void lookup_drop(struct lookup *l);

#endif
