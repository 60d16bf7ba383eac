/* SPDX-License-Identifier: Apache-2.0 */
/* All processes of one session, wherever in the tree they are. */
#ifndef SP_SESSION_H
#define SP_SESSION_H

#include <sys/types.h>

/*
 * Send a signal to every living process of the session, then another one; 0 is none. Returns how many
 * there were: 0 means that the session is empty and, as nobody can join one, stays so.
 */
unsigned session_signal(pid_t session, int number, int then);

#endif
