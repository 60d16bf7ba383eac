/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: descriptors and signals as a runtime leaves them, made fit for what follows. */
#include "startup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLOSE_FALLBACK_MAX 65536

void
startup_close_from(int first)
{
	struct rlimit limit = { .rlim_cur = CLOSE_FALLBACK_MAX };

	if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0)
		return;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = first; fd < CLOSE_FALLBACK_MAX && (rlim_t)fd < limit.rlim_cur; fd++)
		(void)close(fd);
}

int
startup_clean_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || open("/dev/null", O_RDWR | O_CLOEXEC) == fd)
			continue;
		/* An image without /dev/null. */
		if (socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) != fd)
			return -1;
	}
	startup_close_from(STDERR_FILENO + 1);
	return 0;
}

/* Blocked signals reach process 1 although it has no handler: the kernel keeps them for signalfd. */
int
startup_take_signals(void)
{
	static const int taken[] = { SIGCHLD, SIGTERM, SIGHUP, SIGINT };
	sigset_t mask;

	(void)sigemptyset(&mask);
	for (size_t i = 0; i < SP_ARRAY_LEN(taken); i++)
		(void)sigaddset(&mask, taken[i]);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0)
		return -1;
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool
startup_read_signals(int signal_fd)
{
	struct signalfd_siginfo info;
	bool end = false;

	while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			end = true;
	}
	return end;
}
