/* SPDX-License-Identifier: Apache-2.0 */
/* lockdown: each step does what it says, in a child of its own, and the verification notices when
 * one is missing. Needs root for the steps that give privileges up. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attr.h"
#include "in_child.h"
#include "lockdown.h"
#include "lockdown_seccomp.h"

static const struct lockdown_rule rules[] = {
	{ .syscall = SCMP_SYS(read) },
	{ .syscall = SCMP_SYS(write) },
	{ .syscall = SCMP_SYS(exit_group) },
	{ .syscall = SCMP_SYS(openat), .error = EACCES },
	{ .syscall = SCMP_SYS(socket), .args = { { 0, LOCKDOWN_EQ, 0, AF_UNIX } } },
	{ .syscall = SCMP_SYS(socket),
	    .error = EAFNOSUPPORT,
	    .args = { { 0, LOCKDOWN_NE, 0, AF_UNIX } } },
};

static bool compiled; /* by another process: its program is what is loaded */
static struct sock_filter program[BPF_MAXINSNS];
static size_t n_program;

static void
load(void)
{
	CHILD_CHECK((compiled ? lockdown_filter(program, n_program)
			      : lockdown_seccomp(rules, SP_ARRAY_LEN(rules))) == 0);
}

static void
allowed_calls(void)
{
	load();
	CHILD_CHECK(write(1, "", 0) == 0);
	CHILD_CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
	CHILD_CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT);
	CHILD_CHECK(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
}

static void
forbidden_call(void)
{
	load();
	(void)getppid();
}

#ifdef __x86_64__
static void
foreign_abi(void)
{
	long r = 20; /* getpid of i386 */

	load();
	__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
}
#endif

static void
expect_filter(void)
{
	int status;

	assert_int_equal(in_child(allowed_calls), 0);
	status = in_child(forbidden_call);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#ifdef __x86_64__
	status = in_child(foreign_abi);
	assert_true(WIFSIGNALED(status));
#endif
}

static void
test_filter(void **state)
{
	(void)state;
	expect_filter();
}

static void
no_new_privs_too(void)
{
	struct lockdown_expect expect = { .seccomp = true, .no_new_privs = true };
	int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char why[128];

	load();
	CHILD_CHECK(lockdown_verify(status, &expect, why, sizeof(why)) == 0);
}

/* Refused, by the kernel or by us: it would see the second one's length without the upper bits. */
static void
no_program(void)
{
	CHILD_CHECK(lockdown_filter(program, 0) == -EINVAL);
	CHILD_CHECK(lockdown_filter(program, 0x10000 + n_program) == -EINVAL);
}

static void
test_compiled_filter(void **state)
{
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	assert_int_equal(lockdown_seccomp_export(rules, SP_ARRAY_LEN(rules), fileno(f)), 0);
	rewind(f);
	n_program = fread(program, sizeof(program[0]), SP_ARRAY_LEN(program), f);
	assert_int_equal(fclose(f), 0);
	compiled = true;
	expect_filter();
	assert_int_equal(in_child(no_new_privs_too), 0);
	compiled = false;
	assert_int_equal(in_child(no_program), 0);
}

static void
whole_sequence(void)
{
	struct lockdown_expect expect = { true, true, true, true, 65534, 65534 };
	int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char why[128] = "";

	CHILD_CHECK(unshare(CLONE_NEWNS) == 0);
	CHILD_CHECK(lockdown_empty_root() == 0);
	CHILD_CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOENT);
	CHILD_CHECK(open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EROFS);
	CHILD_CHECK(lockdown_drop_ids(65534, 65534) == 0);
	CHILD_CHECK(setuid(0) < 0);
	load();
	if (lockdown_verify(status, &expect, why, sizeof(why)) != 0) {
		fprintf(stderr, "verify: %s\n", why);
		_exit(1);
	}
}

/* Each expectation is unmet in an ordinary process: the verification must say so. */
static void
nothing_done(void)
{
	static const struct lockdown_expect each[] = {
		{ .seccomp = true },
		{ .no_new_privs = true },
		{ .no_capabilities = true },
		{ .check_ids = true, .uid = 65534, .gid = 0 },
		{ .check_ids = true, .uid = 0, .gid = 65534 },
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(each); i++) {
		int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		char why[128] = "";

		CHILD_CHECK(lockdown_verify(status, &each[i], why, sizeof(why)) == 1);
		CHILD_CHECK(why[0] != '\0');
		close(status);
	}
}

static void
test_sequence_and_verification(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(whole_sequence), 0);
	assert_int_equal(in_child(nothing_done), 0);
}

int
main(void)
{
#ifdef SP_SANITIZE
	/* Their runtime asks the kernel for what this small table does not have. The release build,
	 * which is what runs, is tested. */
	return 77;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_compiled_filter),
		cmocka_unit_test(test_sequence_and_verification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
