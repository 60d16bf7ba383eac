/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: the end of everything. -1 is everybody in the container but its first process. */
#include "ending.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "startup.h"

/* Killed ones are gone soon, but for one that the kernel cannot let go of. */
#define GONE_LOOKS   100
#define GONE_LOOK_MS 10

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

void
ending_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

void
ending_rest(int signal_fd, int told_fd)
{
	struct pollfd wait = { .fd = STDIN_FILENO, .events = POLLIN };
	int64_t until = clock_now_ms() + ENDING_REST_MS;
	int64_t left;

	(void)kill(-1, SIGKILL);
	for (int i = 0; i < GONE_LOOKS && !ending_is_alone(); i++) {
		ending_reap();
		(void)poll(NULL, 0, GONE_LOOK_MS);
	}
	/* Its end alone tells nothing: on its way it can be lost. */
	(void)!write(told_fd, "", 1);
	if (dup2(signal_fd, wait.fd) < 0 || startup_clean_fds() < 0)
		_exit(0);
	while ((left = until - clock_now_ms()) > 0) {
		ending_reap();
		if (poll(&wait, 1, (int)left) > 0 && startup_read_signals(wait.fd))
			break;
	}
	_exit(0);
}
