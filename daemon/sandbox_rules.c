/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: the few system calls that moving bytes takes. compile_filter makes the program of them that every
 * worker loads (sandbox_filter.h); none of this is in the worker itself.
 */
#include "sandbox_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

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

const struct lockdown_rule sandbox_rules[] = {
	/* clang-format off */
	/* bytes of descriptors that were handed over. No sendmsg: nothing can be handed on; and no address to
	 * send to, with which sendto would be a connect as well */
	ALLOW(read), ALLOW(write), ALLOW(recvfrom), ALLOW_EQ2(sendto, 4, 0, 5, 0), ALLOW(recvmsg), ALLOW(poll),
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

const size_t sandbox_n_rules = SP_ARRAY_LEN(sandbox_rules);
