/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: the end of everything. -1 is everybody in the container but its first process. */
#include "ending.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

void
ending_ask(void)
{
	/* Shells obey HUP, the others TERM; who is stopped must wake up to see either. */
	(void)kill(-1, SIGHUP);
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGCONT);
}

/* Dead ones count until their parents have reaped them, so nobody can be missed; not even /proc is needed. */
bool
ending_is_alone(void)
{
	return kill(-1, 0) < 0 && errno == ESRCH;
}

void
ending_finish(void)
{
	(void)kill(-1, SIGKILL);
	_exit(0); /* what is left goes with the container's first process */
}
