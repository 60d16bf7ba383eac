/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile guest does what its first page says: a test of the broker or the worker that uses it
 * proves nothing when the attack does not happen.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "guest_harness.h"
#include "ipc_chan.h"
#include "test.h"

static struct harness container;

/* The next record as it is: its length, 0 for an empty one or the end, and how many descriptors. */
static size_t
next_record(int ctl, uint8_t buf[2 * GUEST_CTL_MAX], int fds[IPC_CHAN_FDS_MAX], unsigned *ret_n)
{
	struct pollfd p = { .fd = ctl, .events = POLLIN };
	size_t len = 0;
	int r;

	*ret_n = 0;
	assert_int_equal(poll(&p, 1, HARNESS_WAIT_MS), 1);
	r = ipc_chan_recv_fds(ctl, buf, (size_t)2 * GUEST_CTL_MAX, &len, fds, IPC_CHAN_FDS_MAX,
	    ret_n, 0);
	if (r == IPC_CHAN_E_END)
		return 0;
	assert_int_equal(r, 0);
	return len;
}

static bool
is_good(const uint8_t *data, size_t len)
{
	struct guest_ctl m;
	struct wire_reader r;

	wire_reader_init(&r, data, len);
	return guest_get_ctl(&r, &m) == 0;
}

static void
test_lies(void **state)
{
	static const struct {
		const char *command;
		bool started; /* a good STARTED comes first */
		size_t len;
		bool well_formed; /* a lie in what it says, not in its form */
	} cases[] = {
		{ "lie exited", false, 7, true },
		{ "lie twice", true, 1, true },
		{ "lie id", true, 1, false },
		{ "lie short", true, 3, false },
		{ "lie long", true, GUEST_CTL_MAX + 1, false },
		{ "lie trailing", true, 8, false },
		{ "lie empty", true, 0, false },
		{ "lie signal", true, 5, true },
		{ "lie stage", false, 9, false },
		{ "lie code", true, 7, false },
		{ "lie bool", true, 7, false },
		{ "lie failed", true, 9, true },
		{ "lie after", true, 7, true },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		uint8_t buf[2 * GUEST_CTL_MAX];
		int fds[IPC_CHAN_FDS_MAX];
		struct program_ends e;
		unsigned n;
		size_t len;

		harness_sh(&container, cases[i].command, &e);
		if (cases[i].started)
			harness_expect_started(&e);
		len = next_record(e.ctl, buf, fds, &n);
		assert_int_equal(len, cases[i].len);
		assert_int_equal(n, 0);
		assert_int_equal(is_good(buf, len), cases[i].well_formed);
		program_ends_close(&e);
	}
}

static void
test_flood(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "flood", &e);
	for (int i = 0; i < 20000; i++) {
		uint8_t buf[2 * GUEST_CTL_MAX];
		int fds[IPC_CHAN_FDS_MAX];
		unsigned n;

		assert_true(next_record(e.ctl, buf, fds, &n) > 0);
	}
	program_ends_close(&e);
}

static bool
is_multiplexer(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return S_ISCHR(st.st_mode) && major(st.st_rdev) == 5 && minor(st.st_rdev) == 2;
}

static void
test_wrong_descriptors(void **state)
{
	static const struct {
		const char *command;
		unsigned n;
		mode_t type; /* of the one that is none; 0: an anonymous inode */
	} cases[] = {
		{ "wrongfds none", 0, 0 },
		{ "wrongfds two", 2, S_IFCHR },
		{ "wrongfds three", 3, S_IFCHR },
		{ "wrongfds file", 1, S_IFREG },
		{ "wrongfds socket", 1, S_IFSOCK },
		{ "wrongfds directory", 1, S_IFDIR },
		{ "wrongfds pipe", 1, S_IFIFO },
		{ "wrongfds epoll", 1, 0 },
		{ "wrongfds slave", 1, S_IFCHR },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		uint8_t buf[2 * GUEST_CTL_MAX];
		int fds[IPC_CHAN_FDS_MAX];
		struct program_ends e;
		struct stat st;
		unsigned n;

		harness_sh_pty(&container, cases[i].command, &e);
		assert_int_equal(next_record(e.ctl, buf, fds, &n), 1);
		assert_int_equal(buf[0], GUEST_CTL_STARTED);
		assert_int_equal(n, cases[i].n);
		for (unsigned f = 0; f < n; f++) {
			assert_int_equal(fstat(fds[f], &st), 0);
			assert_int_equal(st.st_mode & S_IFMT, cases[i].type);
			assert_int_equal(is_multiplexer(fds[f]), n > 1);
		}
		fd_close_all(fds, n);
		program_ends_close(&e);
	}
}

static bool
says_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void
test_silent_and_hold(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "silent", &e);
	assert_false(says_within(e.ctl, 300));
	program_ends_close(&e);
	harness_sh(&container, "order-flood", &e); /* the kernel refuses it: nobody reads there */
	assert_false(says_within(e.ctl, 300));
	program_ends_close(&e);
	for (int pty = 0; pty < 2; pty++) {
		if (pty == 1)
			harness_sh_pty(&container, "hold", &e);
		else
			harness_sh(&container, "hold", &e);
		harness_expect_started(&e);
		harness_signal(&e, SIGTERM);
		assert_false(says_within(e.ctl, 300));
		assert_false(says_within(pty == 1 ? e.master : e.out, 0));
		program_ends_close(&e);
	}
	harness_sh(&container, "something else", &e);
	harness_expect_failed(&e, GUEST_FAIL_EXEC, ENOENT);
	program_ends_close(&e);
}

static void
test_die(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "die", &e);
	assert_int_equal(harness_wait(&container), 0);
	harness_expect_end(e.ctl);
	program_ends_close(&e);
}

/* Letting go does not end it; the engine's SIGKILL does. */
static void
test_stays(void **state)
{
	int status;

	(void)state;
	harness_start(&container, HARNESS_ROOT_HOST);
	fd_close(&container.order);
	(void)usleep(300 * 1000);
	assert_int_equal(waitpid(container.runner, &status, WNOHANG), 0);
	assert_int_equal(kill(container.guest, SIGKILL), 0);
	status = harness_wait(&container);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 128 + SIGKILL);
}

static int
setup(void **state)
{
	(void)state;
	harness_start(&container, HARNESS_ROOT_HOST);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_wrong_descriptors),
		cmocka_unit_test(test_silent_and_hold),
		cmocka_unit_test(test_die),
		cmocka_unit_test(test_stays),
	};

	harness_set_guest(GUEST_FILE);
	if (!harness_is_possible()) {
		fprintf(stderr, "skipped: this machine lets nobody make namespaces\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, NULL);
}
