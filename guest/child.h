/* SPDX-License-Identifier: Apache-2.0 */
/* The way from fork to exec: what the new process does before it is the ordered program. */
#ifndef SP_CHILD_H
#define SP_CHILD_H

#include <stdint.h>

#include "guest_msg.h"

/* Written to the result pipe when there will be no exec; exec itself just closes the pipe. */
struct child_failure {
	uint32_t stage; /* enum guest_fail_stage */
	uint32_t error; /* errno */
};

struct child_plan {
	const struct guest_spawn *order;
	int streams[3];  /* loans above 2: stdin, stdout, stderr, or three times the terminal */
	const char *tty; /* the terminal's path, NULL without one */
	int result;      /* close-on-exec, above 2 */
};

/* Become the program. Only called in a fresh child; does not return. */
_Noreturn void child_run(const struct child_plan *plan);

#endif
