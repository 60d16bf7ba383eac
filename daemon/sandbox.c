/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: what this process may still ask of the kernel. It reads what strangers send; whoever takes
 * it over finds a process without files, network, children, neighbours or rights.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "exec_stream.h"
#include "fd.h"
#include "ipc.h"
#include "lockdown.h"
#include "lockdown_seccomp.h"

/* client, pair, log, and per channel what it is given at most; streams that are being flushed; a few in flight */
#define DESCRIPTORS_MAX (8 + (IPC_STREAM_FDS + EXEC_STREAM_FDS) * IPC_CHANNEL_MAX + 16)

#define ALLOW(name)                       \
	{                                 \
		.syscall = SCMP_SYS(name) \
	}
#define ERRNO(name, value)                                  \
	{                                                   \
		.syscall = SCMP_SYS(name), .error = (value) \
	}
#define ALLOW_EQ(name, index_, value_)                                                           \
	{                                                                                        \
		.syscall = SCMP_SYS(name), .args = {                                             \
			{ .index = (index_), .match = LOCKDOWN_EQ, .value = (uint64_t)(value_) } \
		}                                                                                \
	}
#define ALLOW_EQ2(name, index_, value_, index2_, value2_)                                          \
	{                                                                                          \
		.syscall = SCMP_SYS(name), .args = {                                               \
			{ .index = (index_), .match = LOCKDOWN_EQ, .value = (uint64_t)(value_) },  \
			{ .index = (index2_), .match = LOCKDOWN_EQ, .value = (uint64_t)(value2_) } \
		}                                                                                  \
	}

static const struct lockdown_rule rules[] = {
	/* clang-format off */
	/* bytes of descriptors that were handed over. No sendmsg: nothing can be handed on */
	ALLOW(read), ALLOW(write), ALLOW(recvfrom), ALLOW(sendto), ALLOW(recvmsg), ALLOW(poll),
	ALLOW(ppoll), ALLOW(close), ALLOW(shutdown),
	ALLOW_EQ(fcntl, 1, F_GETFL), ALLOW_EQ(fcntl, 1, F_SETFL), ALLOW_EQ(fcntl, 1, F_GETFD),
	/* what kind of descriptor the guest has sent, by handle; never by path */
	ALLOW(fstat),
	ALLOW_EQ2(getsockopt, 1, SOL_SOCKET, 2, SO_DOMAIN),
	ALLOW_EQ2(getsockopt, 1, SOL_SOCKET, 2, SO_TYPE),
	ALLOW_EQ2(getsockopt, 1, SOL_SOCKET, 2, SO_PROTOCOL),
	/* a terminal's size; and the socket's option without which a handshake waits 40 ms at a time */
	ALLOW_EQ(ioctl, 1, TIOCSWINSZ),
	ALLOW_EQ2(setsockopt, 1, IPPROTO_TCP, 2, TCP_QUICKACK),
	ALLOW_EQ2(setsockopt, 1, IPPROTO_TCP, 2, TCP_NODELAY),
	ALLOW_EQ2(getsockopt, 1, SOL_SOCKET, 2, SO_ERROR),
	/* memory, anonymous and never executable */
	ALLOW(brk), ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(futex),
	{ .syscall = SCMP_SYS(mmap), .args = {
	    { .index = 2, .match = LOCKDOWN_MASKED_EQ, .mask = PROT_EXEC, .value = 0 },
	    { .index = 3, .match = LOCKDOWN_MASKED_EQ, .mask = MAP_ANONYMOUS, .value = MAP_ANONYMOUS } } },
	{ .syscall = SCMP_SYS(mprotect), .args = {
	    { .index = 2, .match = LOCKDOWN_MASKED_EQ, .mask = PROT_EXEC, .value = 0 } } },
	/* time and randomness; and the timer that ends this process when it does not come to an end */
	ALLOW_EQ(setitimer, 0, ITIMER_PROF), ALLOW(getrandom), ALLOW(clock_gettime), ALLOW(gettimeofday), ALLOW(time),
	/* let others go first, while an answer is waited for awake */
	ALLOW(sched_yield),
	/* oneself */
	ALLOW(getpid), ALLOW(gettid), ALLOW(exit), ALLOW(exit_group), ALLOW(restart_syscall),
	ALLOW(rt_sigreturn), ALLOW(rt_sigprocmask), ALLOW(rt_sigaction),
	/* libraries look for files that are optional; there are none here */
	ERRNO(openat, EACCES), ERRNO(open, EACCES), ERRNO(newfstatat, EACCES), ERRNO(stat, EACCES),
	ERRNO(access, EACCES), ERRNO(readlink, EACCES),
#ifdef SP_SANITIZE
	/* Sanitizer builds only: their runtimes read /proc, make threads and signal themselves. */
	ALLOW(clone), ALLOW(clone3), ALLOW(mmap), ALLOW(mprotect), ALLOW(prctl), ALLOW(sigaltstack),
	ALLOW(wait4), ALLOW(tgkill), ALLOW(kill), ALLOW(set_robust_list), ALLOW(rseq),
	ALLOW(sched_yield), ALLOW(sched_getaffinity), ALLOW(getuid), ALLOW(geteuid), ALLOW(prlimit64),
	ALLOW(getrusage), ALLOW(lseek), ALLOW(ptrace), ALLOW(uname), ALLOW(dup), ALLOW(fcntl),
#endif
	/* clang-format on */
};

/* One step failed. In best effort, lack of privilege is passed over, with a line in the log. */
static bool
tolerable(const struct sandbox_options *o, int r, const char *what)
{
	if (!o->best_effort || (r != -EPERM && r != -EACCES && r != -EINVAL && r != -ENOSYS))
		return false;
	dprintf(STDERR_FILENO, "not locked down as it should be: %s: %s\n", what, strerror(-r));
	return true;
}

static int
set_limits(void)
{
	int r = lockdown_rlimit(RLIMIT_NOFILE, DESCRIPTORS_MAX);

	if (r == 0)
		r = lockdown_rlimit(RLIMIT_CORE, 0);
#ifndef SP_SANITIZE
	if (r == 0)
		r = lockdown_rlimit(RLIMIT_FSIZE, 0); /* the log is a pipe */
	if (r == 0)
		r = lockdown_rlimit(RLIMIT_NPROC, 0);
#endif
	return r;
}

/* What is made takes a namespace of its own. The descriptor of what is entered is needed for nothing else. */
static int
enter_empty_root(const struct sandbox_options *o)
{
	int fd = IPC_ROOT_FD;
	int r;

	if (!o->has_root)
		return lockdown_empty_root();
	r = lockdown_enter_root(fd);
	fd_close(&fd);
	return r;
}

static int
verify(const struct sandbox_options *o, int status, bool privileged, char *why, size_t cap)
{
	struct lockdown_expect expect = { .seccomp = true,
		.no_new_privs = true,
		.no_capabilities = privileged,
		.check_ids = privileged,
		.uid = o->uid,
		.gid = o->gid };

	return lockdown_verify(status, &expect, why, cap);
}

int
sandbox_worker(const struct sandbox_options *o, char *why, size_t cap)
{
	SP_CLEANUP_FD int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	bool privileged = geteuid() == 0;
	const char *what = "limits";
	int r;

	if (status < 0) {
		(void)snprintf(why, cap, "cannot open /proc/self/status: %s", strerror(errno));
		return -1;
	}
	r = set_limits();
	if (r == 0) {
		what = "empty root";
		r = enter_empty_root(o);
		if (r < 0 && tolerable(o, r, what))
			r = 0;
	}
	if (r == 0) {
		what = "user and capabilities";
		r = lockdown_drop_ids(o->uid, o->gid);
		if (r < 0 && !privileged && tolerable(o, r, what))
			r = 0;
	}
	if (r == 0) {
		/* Whatever has taken this process over: it ends when the spawner does. */
		what = "end with the spawner";
		r = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
	}
	if (r == 0) {
		what = "system call filter";
		r = lockdown_seccomp(rules, SP_ARRAY_LEN(rules));
	}
	if (r < 0) {
		(void)snprintf(why, cap, "cannot lock the worker down (%s): %s", what, strerror(-r));
		return r;
	}
	return verify(o, status, privileged || !o->best_effort, why, cap);
}
