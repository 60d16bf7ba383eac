/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a container, as its first process brings it about. */
#ifndef SP_ENDING_H
#define SP_ENDING_H

#include <stdbool.h>

/* Ask everybody else to go. */
void ending_ask(void);

/* Whether nobody else is left, not even a process that the engine has put beside our children. */
bool ending_is_alone(void);

/* Make everybody go, and end. */
_Noreturn void ending_finish(void);

/*
 * Make everybody go, say so with one byte on told_fd, close every descriptor, and do nothing until somebody wants
 * this process to end, for ENDING_REST_MS at most. signal_fd: from startup_take_signals().
 */
#define ENDING_REST_MS 5000
_Noreturn void ending_rest(int signal_fd, int told_fd);

/* Children that have ended, whoever started them. */
void ending_reap(void);

#endif
