/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: the way to a broker, at the start, and again when that one is gone (mode "user"). */
#ifndef SP_GUEST_RENDEZVOUS_H
#define SP_GUEST_RENDEZVOUS_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

#define RENDEZVOUS_PAUSE_MS 200 /* between two looks for a new broker */

struct rendezvous {
	int64_t keep_ms; /* how long a lost broker is waited for; 0: not at all */
	int64_t until;   /* clock_now_ms(): the end of that; 0: no broker is looked for */
};

/* The program's arguments: none, or GUEST_KEEP_OPTION and seconds. False: other ones. */
SP_MUST_CHECK bool rendezvous_parse(struct rendezvous *r, int argc, char *const *argv);

/* The broker is gone. False: nobody waits for another one. */
SP_MUST_CHECK bool rendezvous_lost(struct rendezvous *r, int64_t now_ms);

/*
 * One look for a new broker, without waiting: the connection to it, or -1. *ret_over: the time for that
 * is over.
 */
SP_MUST_CHECK int rendezvous_look(struct rendezvous *r, int64_t now_ms, bool *ret_over);

#endif
