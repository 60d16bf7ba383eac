/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests: the worker's own lock-down, call by call. Each call is made in a process of its own, with
 * arguments that do harm to nobody, after sandbox_worker() has said that everything took.
 *
 * The sweep makes every call of three ABIs and compares what comes of it with a table,
 * tests/data/worker_syscalls. SP_UPDATE_GOLDEN=1 in the environment writes the table instead.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attr.h"
#include "sandbox.h"
#include "sandbox_filter.h"
#include "sandbox_rules.h"

#define NOBODY        65534
#define EXIT_REFUSED  101 /* sandbox_worker() said no */
#define EXIT_SURVIVED 102
#define NUMBERS       601 /* 0 to 600: further than any kernel of today has calls */
#define AT_ONCE       8   /* processes */

enum abi { NATIVE, X32, I386 };

struct call {
	const char *name;
	enum abi abi;
	long number;
	long args[6];
};

static const int caught[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS };

static const char *const names[] = { [NATIVE] = "native", [X32] = "x32", [I386] = "i386" };

#define CALL(name, ...)                    \
	{                                  \
#name, NATIVE, SYS_##name, \
		{                          \
			__VA_ARGS__        \
		}                          \
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

/* The result, or an error as -1 with errno. */
static long
make(const struct call *c)
{
	const long *a = c->args;

#ifdef __x86_64__
	if (c->abi == I386) {
		long r = c->number;

		__asm__ volatile("int $0x80"
				 : "+a"(r)
				 : "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
				 : "memory", "r8", "r9", "r10", "r11");
		return r;
	}
#endif
	return syscall(c->abi == X32 ? c->number | 0x40000000 : c->number, a[0], a[1], a[2], a[3],
	    a[4], a[5]);
}

static pid_t
start(const struct call *c, bool locked)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		long r;

		/* cmocka would go on with its tests here after a signal that a call may bring. */
		for (size_t i = 0; i < SP_ARRAY_LEN(caught); i++)
			(void)signal(caught[i], SIG_DFL);
		if (locked && !lock_down_as_usual())
			_exit(EXIT_REFUSED);
		errno = 0;
		r = make(c);
		_exit(r >= 0 ? 0 : errno);
	}
	return pid;
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
	return status_of(start(c, true));
}

/* The same for n calls. */
static void
try_all(const struct call *calls, size_t n, int *ret_status)
{
	for (size_t i = 0; i < n; i += AT_ONCE) {
		size_t end = i + AT_ONCE < n ? i + AT_ONCE : n;
		pid_t pids[AT_ONCE];

		for (size_t k = i; k < end; k++)
			pids[k - i] = start(&calls[k], true);
		for (size_t k = i; k < end; k++)
			ret_status[k] = status_of(pids[k - i]);
	}
}

/* "kill", the errno that the filter answers with, or "pass": whatever the kernel makes of it. */
static const char *
verdict(int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return "kill";
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_REFUSED)
		return "not locked down";
	if (WIFEXITED(status) && WEXITSTATUS(status) == EACCES)
		return "EACCES";
	return "pass";
}

/* What was compiled when this was built is what libseccomp makes of the table. */
static void
test_compiled_program(void **state)
{
	static struct sock_filter made[BPF_MAXINSNS];
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	assert_int_equal(lockdown_seccomp_export(sandbox_rules, sandbox_n_rules, fileno(f)), 0);
	rewind(f);
	assert_int_equal(fread(made, sizeof(made[0]), BPF_MAXINSNS, f), sandbox_filter_len);
	assert_int_equal(fclose(f), 0);
	assert_memory_equal(made, sandbox_filter, sandbox_filter_len * sizeof(made[0]));
}

/* ---- the sweep ---- */

/* All calls of one ABI, with arguments that are valid for nothing: -1 is no file, memory or flag. */
static void
sweep(enum abi abi, int status[NUMBERS])
{
	static struct call calls[NUMBERS];

	for (long i = 0; i < NUMBERS; i++)
		calls[i] = (struct call){ names[abi], abi, i, { -1, -1, -1, -1, -1, -1 } };
	try_all(calls, NUMBERS, status);
}

static FILE *
open_table(const char *mode)
{
	FILE *f = fopen(SP_TEST_DATA "/worker_syscalls", mode);

	assert_non_null(f);
	return f;
}

/*
 * uretprobe and uprobe: recent kernels let these two past every filter (measured on 6.18), because the
 * kernel's own tracing plants them. From anywhere else they do nothing; other kernels have neither.
 */
static bool
past_every_filter(int number)
{
	return number == 335 || number == 336;
}

static const char table_head[] =
    "# What the kernel still does for a worker: every system call number of x86-64 from 0 to 600 that does\n"
    "# not end it at once (\"kill\"). \"pass\" reaches the kernel, an error is the filter's answer. All arguments\n"
    "# were -1: what depends on them is in tests/unit/test_worker_sandbox.c. x32 and i386 have no line.\n";

static void
write_table(const int status[NUMBERS])
{
	FILE *f = open_table("we");

	(void)fputs(table_head, f);
	for (int i = 0; i < NUMBERS; i++) {
		if (!past_every_filter(i) && strcmp(verdict(status[i]), "kill") != 0) {
			char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

			fprintf(f, "%d %s %s\n", i, name != NULL ? name : "?", verdict(status[i]));
			free(name);
		}
	}
	assert_int_equal(fclose(f), 0);
}

/* Verdict and name for each number; returns how many lines there were. */
static unsigned
read_table(char verdicts[NUMBERS][16])
{
	FILE *f = open_table("re");
	char line[256];
	unsigned n = 0;

	for (int i = 0; i < NUMBERS; i++)
		strcpy(verdicts[i], "kill");
	while (fgets(line, sizeof(line), f) != NULL) {
		char name[64];
		char word[16];
		int number;

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%d %63s %15s", &number, name, word), 3);
		assert_in_range(number, 0, NUMBERS - 1);
		assert_int_equal(seccomp_syscall_resolve_name_arch(SCMP_ARCH_NATIVE, name), number);
		strcpy(verdicts[number], word);
		n++;
	}
	assert_int_equal(fclose(f), 0);
	return n;
}

static void
test_every_call(void **state)
{
	static int status[NUMBERS];
	static char expected[NUMBERS][16];
	unsigned wrong = 0;

	(void)state;
#if defined(SP_SANITIZE) || !defined(__x86_64__)
	skip(); /* the sanitizers' own calls are let through: the filter is not the product's */
#endif
	sweep(NATIVE, status);
	if (getenv("SP_UPDATE_GOLDEN") != NULL)
		write_table(status);
	assert_in_range(read_table(expected), 30, 80);
	for (int i = 0; i < NUMBERS; i++) {
		if (!past_every_filter(i) && strcmp(verdict(status[i]), expected[i]) != 0) {
			print_message("call %d: %s, not %s (wait status %x)\n", i,
			    verdict(status[i]), expected[i], (unsigned)status[i]);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* Another ABI of the same kernel is another table of calls: none of them is let through. */
static void
expect_all_killed(enum abi abi, int signal)
{
	static int status[NUMBERS];

	sweep(abi, status);
	for (int i = 0; i < NUMBERS; i++) {
		if (!WIFSIGNALED(status[i]) || WTERMSIG(status[i]) != signal)
			fail_msg("%s call %d: wait status %x", names[abi], i, (unsigned)status[i]);
	}
}

static void
test_every_call_of_x32(void **state)
{
	(void)state;
#ifndef __x86_64__
	skip();
#endif
	expect_all_killed(X32, SIGSYS);
}

static void
test_every_call_of_i386(void **state)
{
	static const struct call getpid_i386 = { "getpid", I386, 20, { 0 } };
	int control;

	(void)state;
#ifndef __x86_64__
	skip();
#endif
	control = status_of(start(&getpid_i386, false));
	/* A kernel without that door has the same answer for everybody. */
	expect_all_killed(I386, WIFEXITED(control) ? SIGSYS : WTERMSIG(control));
}

static void
test_numbers_that_are_none(void **state)
{
	static const long numbers[] = { 601, 1000, 4096, 0x1000000, 0x3fffffff, 0x7fffffff,
		0x80000000L, 0xffffffffL, -1 };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(numbers); i++) {
		const struct call c = { "none", NATIVE, numbers[i], { 0 } };

		assert_string_equal(verdict(try(&c)), "kill");
	}
}

/* ---- what depends on arguments ---- */

static bool
fcntl_allowed(long cmd, long unused)
{
	(void)unused;
	return cmd == F_GETFL || cmd == F_SETFL || cmd == F_GETFD;
}

static bool
ioctl_allowed(long request, long unused)
{
	(void)unused;
	return request == TIOCSWINSZ;
}

static bool
setsockopt_allowed(long level, long name)
{
	return level == IPPROTO_TCP && (name == TCP_NODELAY || name == TCP_QUICKACK);
}

static bool
getsockopt_allowed(long level, long name)
{
	return level == SOL_SOCKET &&
	    (name == SO_ERROR || name == SO_DOMAIN || name == SO_TYPE || name == SO_PROTOCOL);
}

static bool
sendto_allowed(long address, long len)
{
	return address == 0 && len == 0;
}

static bool
setitimer_allowed(long which, long unused)
{
	(void)unused;
	return which == ITIMER_PROF;
}

static bool
mmap_allowed(long prot, long flags)
{
	return (prot & PROT_EXEC) == 0 && (flags & MAP_ANONYMOUS) != 0;
}

static bool
mprotect_allowed(long prot, long unused)
{
	(void)unused;
	return (prot & PROT_EXEC) == 0;
}

/* Every pair of a and b in these two places; the others harm nobody. */
static const struct conditional {
	struct call call;
	unsigned place_a, place_b;
	long first_a, last_a;
	long first_b, last_b;
	bool (*allowed)(long a, long b);
} conditionals[] = {
	{ CALL(fcntl, -1), 1, 2, 0, 40, 0, 0, fcntl_allowed },
	{ CALL(fcntl, -1), 1, 2, 1024, 1040, 0, 0, fcntl_allowed },
	{ CALL(ioctl, -1), 1, 2, 0x5400, 0x5470, 0, 0, ioctl_allowed },
	{ CALL(setsockopt, -1), 1, 2, 0, 6, 0, 40, setsockopt_allowed },
	{ CALL(getsockopt, -1), 1, 2, 0, 6, 0, 40, getsockopt_allowed },
	{ CALL(sendto, -1, 0, 0, 0), 4, 5, 0, 8, 0, 16, sendto_allowed },
	{ CALL(setitimer, -1, 0, 0), 0, 1, 0, 8, 0, 0, setitimer_allowed },
	{ CALL(mmap, 0, 4096, 0, 0, -1, 0), 2, 3, 0, 7, 0, 0x3f, mmap_allowed },
	{ CALL(mprotect, 0, 0), 2, 3, 0, 15, 0, 0, mprotect_allowed },
};

static void
test_arguments(void **state)
{
	static struct call calls[1024];
	static int status[SP_ARRAY_LEN(calls)];

	(void)state;
#ifdef SP_SANITIZE
	skip(); /* as above */
#endif
	for (size_t i = 0; i < SP_ARRAY_LEN(conditionals); i++) {
		const struct conditional *c = &conditionals[i];
		size_t n = 0;

		for (long a = c->first_a; a <= c->last_a; a++) {
			for (long b = c->first_b; b <= c->last_b; b++) {
				assert_true(n < SP_ARRAY_LEN(calls));
				calls[n] = c->call;
				calls[n].args[c->place_a] = a;
				calls[n++].args[c->place_b] = b;
			}
		}
		try_all(calls, n, status);
		for (size_t k = 0; k < n; k++) {
			long a = calls[k].args[c->place_a];
			long b = calls[k].args[c->place_b];
			const char *expected = c->allowed(a, b) ? "pass" : "kill";

			if (strcmp(verdict(status[k]), expected) != 0)
				fail_msg("%s with %lx and %lx: %s", c->call.name, (unsigned long)a,
				    (unsigned long)b, verdict(status[k]));
		}
	}
}

/* The upper half of a register is not a way around a comparison: the kernel's own view is compared. */
static void
test_upper_halves(void **state)
{
	static const struct call calls[] = {
		CALL(ioctl, -1, 0x100000000L | TIOCSTI, 0),
		CALL(mmap, 0, 4096, 0x100000000L | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		CALL(setsockopt, -1, 0x100000000L | IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0),
	};

	(void)state;
#ifdef SP_SANITIZE
	skip(); /* as above */
#endif
	for (size_t i = 0; i < SP_ARRAY_LEN(calls); i++)
		assert_string_equal(verdict(try(&calls[i])), "kill");
}

/* EBADF and the like come from the kernel's own code, behind the filter. */
static void
test_allowed(void **state)
{
	static const struct {
		struct call call;
		int error;
	} rows[] = {
		{ CALL(read, -1, 0, 0), EBADF },
		{ CALL(write, -1, 0, 0), EBADF },
		{ CALL(recvmsg, -1, 0, 0), EBADF },
		{ CALL(poll, 0, 0, 0), 0 },
		{ CALL(close, -1), EBADF },
		{ CALL(shutdown, -1, 0), EBADF },
		{ CALL(fcntl, -1, F_SETFL, O_NONBLOCK), EBADF },
		{ CALL(ioctl, -1, TIOCSWINSZ, 0), EBADF },
		{ CALL(setsockopt, -1, IPPROTO_TCP, TCP_QUICKACK, 0, 0), EBADF },
		{ CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0 },
		{ CALL(mprotect, 0, 0, PROT_READ), 0 },
		{ CALL(setitimer, ITIMER_PROF, 0, 0), 0 },
		{ CALL(getrandom, 0, 0, 0), 0 },
		{ CALL(getpid, 0), 0 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(rows); i++) {
		int status = try(&rows[i].call);

		if (!WIFEXITED(status) || WEXITSTATUS(status) != rows[i].error)
			fail_msg("%s: wait status %x, not errno %d", rows[i].call.name,
			    (unsigned)status, rows[i].error);
	}
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
		cmocka_unit_test(test_compiled_program),
		cmocka_unit_test(test_every_call),
		cmocka_unit_test(test_every_call_of_x32),
		cmocka_unit_test(test_every_call_of_i386),
		cmocka_unit_test(test_numbers_that_are_none),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_upper_halves),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_no_half_measures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
