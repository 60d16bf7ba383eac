/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests: the worker's own lock-down, call by call. Each call is made in a process of its own, with
 * arguments that do harm to nobody, after sandbox_worker() has said that everything took.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attr.h"
#include "sandbox.h"

#define NOBODY        65534
#define EXIT_REFUSED  101 /* sandbox_worker() said no */
#define EXIT_SURVIVED 102

struct call {
	const char *name;
	long number;
	long args[6];
};

#define CALL(name, ...)             \
	{                           \
#name, SYS_##name,  \
		{                   \
			__VA_ARGS__ \
		}                   \
	}

static bool
lock_down(uid_t uid, bool best_effort)
{
	struct sandbox_options o = { .uid = uid, .gid = uid, .best_effort = best_effort };
	char why[256] = "";

	/* Files cannot grow any more, and the log of a test run may be one. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return false;
	if (sandbox_worker(&o, why, sizeof(why)) == 0)
		return true;
	dprintf(STDERR_FILENO, "%s\n", why);
	return false;
}

/* In the child: like the spawner's clone, as far as this test's own rights reach. */
static bool
lock_down_as_usual(void)
{
	bool root = geteuid() == 0;

	if (root && unshare(CLONE_NEWNS) < 0)
		return false;
	return lock_down(root ? NOBODY : geteuid(), !root);
}

static int
status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The wait status of a locked-down process that makes this call and exits with its errno. */
static int
try(const struct call *c)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		long r;

		if (!lock_down_as_usual())
			_exit(EXIT_REFUSED);
		errno = 0;
		r = syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4],
		    c->args[5]);
		_exit(r >= 0 ? 0 : errno);
	}
	return status_of(pid);
}

static void
test_forbidden(void **state)
{
	static const struct call calls[] = {
		CALL(execve, 0, 0, 0),
		CALL(execveat, -1, 0, 0, 0, 0),
		CALL(fork, 0),
		CALL(vfork, 0),
		CALL(clone, SIGCHLD, 0, 0, 0, 0),
		CALL(clone3, 0, 0),
		CALL(socket, AF_INET, SOCK_STREAM, 0),
		CALL(socket, AF_UNIX, SOCK_STREAM, 0),
		CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, 0),
		CALL(connect, -1, 0, 0),
		CALL(bind, -1, 0, 0),
		CALL(listen, -1, 0),
		CALL(accept, -1, 0, 0),
		CALL(accept4, -1, 0, 0, 0),
		CALL(sendmsg, -1, 0, 0),
		CALL(sendmmsg, -1, 0, 0, 0),
		CALL(recvmmsg, -1, 0, 0, 0, 0),
		CALL(setsockopt, -1, SOL_SOCKET, SO_REUSEADDR, 0, 0),
		CALL(setsockopt, -1, IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0),
		CALL(setsockopt, -1, IPPROTO_IP, TCP_QUICKACK, 0, 0),
		CALL(ioctl, -1, TIOCSTI, 0),
		CALL(ioctl, -1, TIOCSCTTY, 0),
		CALL(ioctl, -1, FIONREAD, 0),
		CALL(fcntl, -1, F_DUPFD, 0),
		CALL(fcntl, -1, F_SETOWN, 0),
		CALL(dup, -1),
		CALL(dup2, -1, -1),
		CALL(dup3, -1, -1, 0),
		CALL(pipe2, 0, 0),
		CALL(mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		CALL(mmap, 0, 4096, PROT_READ, MAP_PRIVATE, -1, 0),
		CALL(mprotect, 0, 0, PROT_READ | PROT_EXEC),
		CALL(pkey_mprotect, 0, 0, PROT_EXEC, -1),
		CALL(memfd_create, 0, 0),
		CALL(kill, 0, 0),
		CALL(tgkill, -1, -1, 0),
		CALL(ptrace, 0, 0, 0, 0),
		CALL(process_vm_readv, 0, 0, 0, 0, 0, 0),
		CALL(process_vm_writev, 0, 0, 0, 0, 0, 0),
		CALL(pidfd_open, -1, 0),
		CALL(pidfd_getfd, -1, -1, 0),
		CALL(pidfd_send_signal, -1, 0, 0, 0),
		CALL(openat2, -1, 0, 0, 0),
		CALL(open_by_handle_at, -1, 0, 0),
		CALL(creat, 0, 0),
		CALL(unlinkat, -1, 0, 0),
		CALL(renameat2, -1, 0, -1, 0, 0),
		CALL(linkat, -1, 0, -1, 0, 0),
		CALL(mknodat, -1, 0, 0, 0),
		CALL(mkdirat, -1, 0, 0),
		CALL(fchmodat, -1, 0, 0),
		CALL(getdents64, -1, 0, 0),
		CALL(statx, -1, 0, 0, 0, 0),
		CALL(chroot, 0),
		CALL(chdir, 0),
		CALL(mount, 0, 0, 0, 0, 0),
		CALL(umount2, 0, 0),
		CALL(pivot_root, 0, 0),
		CALL(fsopen, 0, 0),
		CALL(unshare, 0),
		CALL(setns, -1, 0),
		CALL(setuid, NOBODY),
		CALL(setresuid, -1, -1, -1),
		CALL(setgroups, 0, 0),
		CALL(capset, 0, 0),
		CALL(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0),
		CALL(seccomp, 0, 0, 0),
		CALL(personality, 0xffffffff),
		CALL(bpf, 0, 0, 0),
		CALL(io_uring_setup, 0, 0),
		CALL(userfaultfd, 0),
		CALL(perf_event_open, 0, 0, 0, 0, 0),
		CALL(keyctl, 0, 0, 0, 0, 0),
		CALL(add_key, 0, 0, 0, 0, 0),
		CALL(shmget, 0, 0, 0),
		CALL(msgget, 0, 0),
		CALL(semget, 0, 0, 0),
		CALL(splice, -1, 0, -1, 0, 0, 0),
		CALL(sendfile, -1, -1, 0, 0),
		CALL(eventfd2, 0, 0),
		CALL(timer_create, 0, 0, 0),
		CALL(prlimit64, 0, RLIMIT_NOFILE, 0, 0),
		CALL(setpriority, 0, 0, 0),
		CALL(uname, 0),
		CALL(getcwd, 0, 0),
	};

	(void)state;
#ifdef SP_SANITIZE
	skip(); /* the sanitizers' own calls are let through: the filter is not the product's */
#endif
	for (size_t i = 0; i < SP_ARRAY_LEN(calls); i++) {
		int status = try(&calls[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s (row %zu): wait status %x, not killed by the filter",
			    calls[i].name, i, (unsigned)status);
	}
}

/* Another ABI of the same kernel is another table of calls. */
static void
test_foreign_abi(void **state)
{
	static const struct call getpid_x32 = { "x32 getpid", 0x40000000 | SYS_getpid, { 0 } };
	int status = try(&getpid_x32);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void
expect(const struct call *calls, size_t n, const int *errors)
{
	for (size_t i = 0; i < n; i++) {
		int status = try(&calls[i]);

		if (!WIFEXITED(status) || WEXITSTATUS(status) != errors[i])
			fail_msg("%s (row %zu): wait status %x, not errno %d", calls[i].name, i,
			    (unsigned)status, errors[i]);
	}
}

static void
test_files_are_out_of_reach(void **state)
{
	static const char path[] = "/";
	const struct call calls[] = {
		CALL(openat, AT_FDCWD, (long)path, O_RDONLY),
		CALL(open, (long)path, O_RDONLY),
		CALL(newfstatat, AT_FDCWD, (long)path, 0, 0),
		CALL(stat, (long)path, 0),
		CALL(access, (long)path, 0),
		CALL(readlink, (long)path, 0, 0),
	};
	const int errors[] = { EACCES, EACCES, EACCES, EACCES, EACCES, EACCES };

	(void)state;
	expect(calls, SP_ARRAY_LEN(calls), errors);
}

/* EBADF and the like come from the kernel's own code, behind the filter. */
static void
test_allowed(void **state)
{
	const struct call calls[] = {
		CALL(read, -1, 0, 0),
		CALL(write, -1, 0, 0),
		CALL(recvfrom, -1, 0, 0, 0, 0, 0),
		CALL(sendto, -1, 0, 0, 0, 0, 0),
		CALL(recvmsg, -1, 0, 0),
		CALL(poll, 0, 0, 0),
		CALL(close, -1),
		CALL(shutdown, -1, 0),
		CALL(fstat, -1, 0),
		CALL(fcntl, -1, F_GETFL),
		CALL(fcntl, -1, F_SETFL, O_NONBLOCK),
		CALL(ioctl, -1, TIOCSWINSZ, 0),
		CALL(setsockopt, -1, IPPROTO_TCP, TCP_QUICKACK, 0, 0),
		CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		CALL(mprotect, 0, 0, PROT_READ),
		CALL(getrandom, 0, 0, 0),
		CALL(getpid, 0),
	};
	const int errors[] = { EBADF, EBADF, EBADF, EBADF, EBADF, 0, EBADF, EBADF, EBADF, EBADF,
		EBADF, EBADF, EBADF, 0, 0, 0, 0 };

	(void)state;
	assert_int_equal(SP_ARRAY_LEN(calls), SP_ARRAY_LEN(errors));
	expect(calls, SP_ARRAY_LEN(calls), errors);
}

/* Without rights and without leave to go on regardless, the worker refuses to run. */
static void
test_no_half_measures(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 &&
		    (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
			_exit(0);
		_exit(lock_down(NOBODY, false) ? EXIT_SURVIVED : EXIT_REFUSED);
	}
	status = status_of(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_REFUSED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_foreign_abi),
		cmocka_unit_test(test_files_are_out_of_reach),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_no_half_measures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
