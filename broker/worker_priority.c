/* SPDX-License-Identifier: Apache-2.0 */
/* Priorities of workers before and after the login. No input of anybody's. */
#include "worker_priority.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A seventieth of the weight of who is raised, so that a hundred strangers together have about as much as one
 * session. SCHED_IDLE would keep sessions whole under a flood, and let nobody in while the host is busy.
 */
#define LOW 19

static int
raise_to(pid_t pid, int priority)
{
	return setpriority(PRIO_PROCESS, (id_t)pid, priority) < 0 ? -errno : 0;
}

bool
worker_priority_can_be_raised(void)
{
	int own = getpriority(PRIO_PROCESS, 0);
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		worker_priority_lower();
		_exit(raise_to(0, own) < 0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0;
}

void
worker_priority_lower(void)
{
	(void)setpriority(PRIO_PROCESS, 0, LOW);
}

int
worker_priority_raise(pid_t pid)
{
	return raise_to(pid, getpriority(PRIO_PROCESS, 0));
}
