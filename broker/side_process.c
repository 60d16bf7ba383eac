/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: what its side processes have in common. */
#include "side_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "lockdown.h"

int
side_process_start(void (*serve)(int own, const void *arg), const void *arg, int *ret_fd,
    pid_t *ret_pid)
{
	int pair[2];
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		r = -errno;
		fd_close_all(pair, 2);
		return r;
	}
	if (pid == 0) {
		serve(pair[1], arg);
		_exit(1);
	}
	fd_close(&pair[1]);
	r = fd_set_nonblock(pair[0]);
	if (r < 0) {
		fd_close(&pair[0]);
		return r;
	}
	*ret_fd = pair[0];
	*ret_pid = pid;
	return 0;
}

static bool
take_descriptors(int own)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	own = fcntl(own, F_DUPFD_CLOEXEC, 10);
	return null >= 0 && own >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0 &&
	    dup2(own, SIDE_PROCESS_FD) >= 0 && fcntl(SIDE_PROCESS_FD, F_SETFD, FD_CLOEXEC) >= 0 &&
	    lockdown_close_from(SIDE_PROCESS_FD + 1) == 0;
}

void
side_process_settle(int own, const char *name)
{
	sigset_t mask;

	if (!take_descriptors(own))
		_exit(1);
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* Signals for the service are the broker's: this process ends when the pair does. */
	if (sigfillset(&mask) < 0 || sigprocmask(SIG_SETMASK, &mask, NULL) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(1);
}
