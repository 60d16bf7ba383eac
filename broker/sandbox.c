/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: what this process may still ask of the kernel. Whoever holds the engine's socket is as good
 * as root; the table makes it harder to get from a bug here to the use of that socket.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "lockdown.h"
#include "lockdown_seccomp.h"

#define ALLOW(name)                       \
	{                                 \
		.syscall = SCMP_SYS(name) \
	}
#define DENY_NE(name, index_, value_, errno_value)                                               \
	{                                                                                        \
		.syscall = SCMP_SYS(name), .error = (errno_value), .args = {                     \
			{ .index = (index_), .match = LOCKDOWN_NE, .value = (uint64_t)(value_) } \
		}                                                                                \
	}
#define ALLOW_EQ(name, index_, value_)                                                           \
	{                                                                                        \
		.syscall = SCMP_SYS(name), .args = {                                             \
			{ .index = (index_), .match = LOCKDOWN_EQ, .value = (uint64_t)(value_) } \
		}                                                                                \
	}
#define ALLOW_MASK(name, index_, mask_, value_)           \
	{                                                 \
		.syscall = SCMP_SYS(name), .args = {      \
			{ .index = (index_),              \
			    .match = LOCKDOWN_MASKED_EQ,  \
			    .mask = (mask_),              \
			    .value = (uint64_t)(value_) } \
		}                                         \
	}

static const struct lockdown_rule broker_rules[] = {
	/* clang-format off */
	/* the event loop, timers, signals */
	ALLOW(epoll_wait), ALLOW(epoll_pwait), ALLOW(epoll_pwait2), ALLOW(epoll_ctl), ALLOW(poll),
	ALLOW(ppoll), ALLOW(timerfd_settime), ALLOW(rt_sigaction), ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn), ALLOW(restart_syscall), ALLOW(clock_gettime), ALLOW(clock_getres),
	ALLOW(gettimeofday), ALLOW(time), ALLOW(clock_nanosleep), ALLOW(nanosleep),
	/* descriptors that exist */
	ALLOW(read), ALLOW(write), ALLOW(readv), ALLOW(writev), ALLOW(close), ALLOW(lseek),
	ALLOW(pread64), ALLOW(fcntl), ALLOW(dup), ALLOW(fstat), ALLOW(newfstatat), ALLOW(statx),
	ALLOW(getdents64), ALLOW(fsync),
	ALLOW_EQ(ioctl, 1, FIONREAD), ALLOW_EQ(ioctl, 1, FIONBIO),
	/* connections: the engine, the guests' rendezvous. Only AF_UNIX, never a new network socket */
	ALLOW_EQ(socket, 0, AF_UNIX), DENY_NE(socket, 0, AF_UNIX, EAFNOSUPPORT),
	ALLOW_EQ(socketpair, 0, AF_UNIX),
	ALLOW(connect), ALLOW(bind), ALLOW(listen), ALLOW(accept4), ALLOW(shutdown),
	ALLOW(getsockname), ALLOW(getpeername), ALLOW(getsockopt), ALLOW(setsockopt),
	ALLOW(sendto), ALLOW(sendmsg), ALLOW(recvfrom), ALLOW(recvmsg), ALLOW(pipe2),
	/* the containers' processes, by handle and never by number */
	ALLOW(pidfd_open), ALLOW(pidfd_send_signal),
	/* files: policy and keys to read, rendezvous directories to make and remove; never to write */
	ALLOW_MASK(openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0), ALLOW(readlink), ALLOW(readlinkat), ALLOW(access), ALLOW(faccessat),
	ALLOW(faccessat2), ALLOW(mkdir), ALLOW(mkdirat), ALLOW(rmdir), ALLOW(unlink), ALLOW(unlinkat),
	ALLOW(fchmod), ALLOW(fchmodat), ALLOW(getcwd),
	/* memory, never executable */
	ALLOW(brk), ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(futex), ALLOW(getrandom),
	ALLOW_MASK(mmap, 2, PROT_EXEC, 0), ALLOW_MASK(mprotect, 2, PROT_EXEC, 0),
	/* oneself */
	ALLOW(getpid), ALLOW(gettid), ALLOW(getuid), ALLOW(geteuid), ALLOW(getgid), ALLOW(getegid),
	ALLOW(tgkill), ALLOW(prlimit64), ALLOW(sysinfo), ALLOW(uname), ALLOW(sched_yield),
	ALLOW(sched_getaffinity), ALLOW(exit), ALLOW(exit_group), ALLOW(rseq),
	ALLOW(set_robust_list),
#ifdef SP_SANITIZE
	/* Sanitizer builds only: their runtimes start threads, read /proc and map what they like.
	 * The filter is exercised by the release build, which the tests run too. */
	ALLOW(open), ALLOW(clone), ALLOW(clone3), ALLOW(mmap), ALLOW(mprotect), ALLOW(prctl),
	ALLOW(sigaltstack), ALLOW(wait4), ALLOW(ptrace), ALLOW(process_vm_readv), ALLOW(arch_prctl),
	ALLOW(rt_sigsuspend), ALLOW(kill), ALLOW(tkill),
#endif
	/* clang-format on */
};

static const struct lockdown_rule bind_checker_rules[] = {
	/* clang-format off */
	ALLOW(recvmsg), ALLOW(sendto), ALLOW(fcntl), ALLOW(close),
	/* a child for each question, which ends with its parent */
	ALLOW(clone), ALLOW(prctl), ALLOW(getppid), ALLOW(gettid), ALLOW(exit), ALLOW(exit_group), ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn), ALLOW(restart_syscall), ALLOW(rseq), ALLOW(set_robust_list),
	/* looking, in no way that reads or changes a file */
	ALLOW_MASK(openat, 2, O_PATH, O_PATH), ALLOW(fstat), ALLOW(newfstatat), ALLOW(statx), ALLOW(readlink), ALLOW(readlinkat),
	ALLOW(access), ALLOW(faccessat), ALLOW(faccessat2), ALLOW(getcwd), ALLOW(geteuid),
	/* memory, never executable */
	ALLOW(brk), ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(futex), ALLOW(getrandom),
	ALLOW_MASK(mmap, 2, PROT_EXEC, 0),
#ifdef SP_SANITIZE
	/* As above. */
	ALLOW(mmap), ALLOW(mprotect), ALLOW(openat), ALLOW(read), ALLOW(write), ALLOW(getpid), ALLOW(sigaltstack),
	ALLOW(sched_yield), ALLOW(clock_gettime), ALLOW(kill), ALLOW(tgkill), ALLOW(wait4), ALLOW(ptrace),
	ALLOW(clock_nanosleep), ALLOW(rt_sigaction),
#endif
	/* clang-format on */
};

/*
 * CAP_KILL: end a worker, and a container's first process when the engine does not. Everything else
 * is gone, also CAP_DAC_OVERRIDE: files are read as their owner.
 */
static const int capabilities[] = { CAP_KILL };

int
sandbox_broker(char *why, size_t cap)
{
	struct lockdown_expect expect = { .seccomp = true, .no_new_privs = true };
	SP_CLEANUP_FD int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	int r;

	if (status < 0) {
		r = -errno;
		(void)snprintf(why, cap, "cannot open /proc/self/status: %s", strerror(errno));
		return r;
	}
	/* Libraries open descriptors of their own and do not all mark them. */
	if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
		r = -errno;
		(void)snprintf(why, cap, "cannot mark descriptors close-on-exec: %s",
		    strerror(errno));
		return r;
	}
	r = lockdown_keep_caps(capabilities, SP_ARRAY_LEN(capabilities));
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = lockdown_seccomp(broker_rules, SP_ARRAY_LEN(broker_rules));
	if (r < 0) {
		(void)snprintf(why, cap, "cannot lock the broker down: %s", strerror(-r));
		return r;
	}
	return lockdown_verify(status, &expect, why, cap);
}

int
sandbox_bind_checker(void)
{
	/* The packaged unit has no capset(2), so CAP_KILL stays, without a call to use it. */
	int r = lockdown_keep_caps(capabilities, SP_ARRAY_LEN(capabilities));

	return r == 0 ? lockdown_seccomp(bind_checker_rules, SP_ARRAY_LEN(bind_checker_rules)) : r;
}
