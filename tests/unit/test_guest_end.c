/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest as a real process 1: terminals, signals, and every way in which something ends. Each case
 * has a container of its own, and what it must not leave behind is looked for from outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "fd.h"
#include "guest_harness.h"
#include "ipc_chan.h"
#include "test.h"

#define BUSYBOX "/bin/busybox"
#define FEW_FDS 40

static struct harness container;
static struct guest_spawn order;
static char text[65536];
static unsigned fds_before;

static int
setup(void **state)
{
	(void)state;
	fds_before = count_fds();
	harness_start(&container, HARNESS_ROOT_HOST);
	return 0;
}

static int
setup_few(void **state)
{
	(void)state;
	fds_before = count_fds();
	harness_set_max_fds(FEW_FDS);
	harness_start(&container, HARNESS_ROOT_HOST);
	harness_set_max_fds(0);
	return 0;
}

static int
setup_bare(void **state)
{
	(void)state;
	fds_before = count_fds();
	if (harness_is_static(BUSYBOX))
		harness_start(&container, HARNESS_ROOT_BARE);
	return 0;
}

/* Programs are gone, the guest is idle, and it ends at once when the broker lets go. */
static int
teardown(void **state)
{
	int64_t from;

	(void)state;
	if (container.order < 0 || container.runner == 0)
		return 0;
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	from = harness_now_ms();
	assert_int_equal(harness_stop(&container), 0);
	assert_in_range(harness_now_ms() - from, 0, 5000);
	assert_int_equal(count_fds(), fds_before);
	return 0;
}

static void
type(const struct program_ends *e, const char *keys)
{
	assert_int_equal(write(e->master, keys, strlen(keys)), strlen(keys));
}

/* ---- terminals ---- */

static void
test_terminal(void **state)
{
	struct program_ends e;
	struct stat st;

	(void)state;
	harness_sh_pty(&container,
	    "tty; test \"$(tty)\" = \"$SSH_TTY\" && echo same; stty size; "
	    "test -t 0 -a -t 1 -a -t 2 && echo three; "
	    "read -r pid name state ppid pgrp sid tty tpgid rest </proc/$$/stat; "
	    "test $pid = $pgrp -a $pid = $sid -a $pid = $tpgid && echo leads; ls /proc/$$/fd; exit 3",
	    &e);
	harness_expect_started(&e);
	assert_int_equal(fstat(e.master, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(major(st.st_rdev), 5);
	assert_int_equal(minor(st.st_rdev), 2);
	harness_read_all(e.master, text, sizeof(text));
	assert_string_equal(text, "/dev/pts/0\r\nsame\r\n37 91\r\nthree\r\nleads\r\n0  1  2\r\n");
	harness_expect_exit(&e, 3);
	program_ends_close(&e);
}

/* What stty says of a terminal with these modes: each of on, and none of off. */
static void
expect_modes(const char *list, size_t len, const char *const *on, size_t n_on,
    const char *const *off, size_t n_off)
{
	static const char *const argv[] = { "stty", "-a", NULL };
	struct program_ends e;

	memset(&order, 0, sizeof(order));
	order.want_pty = true;
	order.modes = (struct wire_span){ (const uint8_t *)list, len };
	harness_set_argv(&order, argv);
	harness_order(&container, &order, &e);
	harness_expect_started(&e);
	harness_read_all(e.master, text, sizeof(text));
	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\r' || *c == '\n' ? ' ' : *c;
	for (size_t i = 0; i < n_on; i++) {
		if (strstr(text, on[i]) == NULL)
			fail_msg("\"%s\" is not in: %s", on[i], text);
	}
	for (size_t i = 0; i < n_off; i++) {
		if (strstr(text, off[i]) != NULL)
			fail_msg("\"%s\" is in: %s", off[i], text);
	}
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
}

static void
test_terminal_modes(void **state)
{
	static const char *const on[] = { " icrnl", " ixon", " opost", " onlcr", "isig", " icanon",
		" iexten", " echo ", " echoe", " echok", " echoctl", " echoke", " cs8", " cread",
		"erase = ^?", "intr = ^C", "susp = ^Z", "eof = ^D", "kill = ^U", "werase = ^W",
		"lnext = ^V", "eol = <undef>", "speed 38400 baud" };
	static const char *const off[] = { " inlcr", " igncr", " istrip", " ixoff", " noflsh",
		" tostop", " echonl", " echoprt", " parenb", " iutf8" };

	(void)state;
	expect_modes("", 0, on, SP_ARRAY_LEN(on), off, SP_ARRAY_LEN(off));
}

/* The client's list, in its order; what Linux does not have is passed over. */
static void
test_terminal_modes_wanted(void **state)
{
	static const char list[] = "\1\0\0\0\24"              /* intr ^T */
				   "\3\0\0\0\377"             /* erase: none */
				   "\6\0\0\1\1"               /* eol: the low byte */
				   "\13\0\0\0\31"             /* dsusp, which is not there */
				   "\44\0\0\0\0"              /* icrnl off */
				   "\52\377\377\377\377"      /* iutf8 on */
				   "\65\0\0\0\0"              /* echo off */
				   "\72\0\0\0\1"              /* tostop on */
				   "\110\0\0\0\1"             /* onlcr on */
				   "\133\0\0\0\0\132\0\0\0\1" /* cs8 off, cs7 on: no terminal is so */
				   "\177\1\2\3\4"             /* nobody's */
				   "\200\0\1\302\0\201\0\1\302\0" /* 115200 bits per second */
				   "\237\1\2\3\4";                /* nobody's */
	static const char *const on[] = { "intr = ^T", "erase = <undef>", "eol = ^A", " iutf8",
		" tostop", " onlcr", " cs8", "speed 115200 baud", " icanon", "kill = ^U" };
	static const char *const off[] = { " icrnl", " echo ", " cs7" };

	(void)state;
	expect_modes(list, sizeof(list) - 1, on, SP_ARRAY_LEN(on), off, SP_ARRAY_LEN(off));
}

/* Sizes that no terminal has are cut, not wrapped. */
static void
test_terminal_sizes(void **state)
{
	static const char *const argv[] = { "stty", "size", NULL };
	static const struct {
		uint32_t columns, rows;
		const char *seen;
	} cases[] = { { 80, 24, "24 80\r\n" }, { 0, 0, "0 0\r\n" },
		{ 65536, 65537, "65535 65535\r\n" }, { UINT32_MAX, 1, "1 65535\r\n" } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct program_ends e;

		memset(&order, 0, sizeof(order));
		order.want_pty = true;
		order.columns = cases[i].columns;
		order.rows = cases[i].rows;
		harness_set_argv(&order, argv);
		harness_order(&container, &order, &e);
		harness_expect_started(&e);
		harness_read_all(e.master, text, sizeof(text));
		assert_string_equal(text, cases[i].seen);
		harness_expect_exit(&e, 0);
		program_ends_close(&e);
	}
}

/* The worker sets the size on the master; the program's foreground group hears of it. */
static void
test_window_change(void **state)
{
	struct winsize ws = { .ws_row = 50, .ws_col = 132 };
	struct program_ends e;

	(void)state;
	harness_sh_pty(&container,
	    "trap 'stty size; exit 0' WINCH; sh -c 'echo ready; exec sleep 1000' & wait", &e);
	harness_expect_started(&e);
	harness_read_until(e.master, text, sizeof(text), "ready");
	assert_int_equal(ioctl(e.master, TIOCSWINSZ, &ws), 0);
	harness_read_until(e.master, text, sizeof(text), "50 132");
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
}

static void
test_ctrl_c(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh_pty(&container, "echo ready; exec sleep 1000", &e);
	harness_expect_started(&e);
	harness_read_until(e.master, text, sizeof(text), "ready");
	type(&e, "\x03");
	harness_expect_signaled(&e, SIGINT);
	program_ends_close(&e);
}

/* Wait until another process group than this one has the terminal. */
static void
expect_other_foreground(const struct program_ends *e, pid_t group)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;

	while (tcgetpgrp(e->master) == group) {
		assert_true(harness_now_ms() < until);
		(void)usleep(2000);
	}
}

static void
test_job_control(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-i", NULL };
	struct program_ends e;
	pid_t shell;

	(void)state;
	memset(&order, 0, sizeof(order));
	order.want_pty = true;
	order.columns = 80;
	order.rows = 24;
	order.argv0 = harness_span("-sh");
	harness_set_argv(&order, argv);
	harness_order(&container, &order, &e);
	harness_expect_started(&e);
	type(&e, "PS1=; echo up-$((40+2))\n");
	harness_read_until(e.master, text, sizeof(text), "up-42");
	shell = tcgetpgrp(e.master);
	assert_true(shell > 0);
	type(&e, "sh -c 'echo in-$((1+1)); exec sleep 1000'\n");
	harness_read_until(e.master, text, sizeof(text), "in-2");
	type(&e, "\x1a");
	type(&e, "echo back-$((1+1)); jobs\n");
	harness_read_until(e.master, text, sizeof(text), "back-2");
	if (strstr(text, "Stopped") == NULL)
		harness_read_until(e.master, text, sizeof(text), "Stopped");
	type(&e, "fg\n");
	harness_read_until(e.master, text, sizeof(text), "exec sleep 1000");
	expect_other_foreground(&e, shell); /* the shell hands the terminal over after it has said so */
	type(&e, "\x03");
	type(&e, "exit 9\n");
	harness_expect_exit(&e, 9);
	program_ends_close(&e);
}

/* What the program wrote in its last moment is still in the terminal, however late one reads. */
static void
test_last_words(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh_pty(&container, "echo last words", &e);
	harness_expect_started(&e);
	harness_expect_exit(&e, 0);
	(void)usleep(100 * 1000);
	harness_read_all(e.master, text, sizeof(text));
	assert_string_equal(text, "last words\r\n");
	program_ends_close(&e);
}

/* ---- signals ---- */

static void
test_signals(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "exec sleep 1000", &e);
	harness_signal(&e, SIGTERM); /* even before it has started */
	harness_expect_started(&e);
	harness_expect_signaled(&e, SIGTERM);
	harness_signal(&e, SIGKILL); /* too late: nobody's */
	program_ends_close(&e);

	/* the whole group, not just its leader */
	harness_sh(&container,
	    "trap 'wait; exit 4' USR1; "
	    "sh -c 'trap \"echo child; exit\" USR1; sh -c \"echo ready; exec sleep 1000\" & wait' & wait",
	    &e);
	harness_expect_started(&e);
	harness_read_until(e.out, text, sizeof(text), "ready");
	harness_signal(&e, SIGUSR1);
	harness_read_until(e.out, text, sizeof(text), "child");
	harness_expect_exit(&e, 4);
	program_ends_close(&e);
}

/* A worker that breaks the protocol has closed its channel. */
static void
test_malformed_ctl(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} cases[] = {
		{ "\4", 1 },
		{ "\4\0\0\0", 4 },
		{ "\4\0\0\0\0", 5 },
		{ "\4\0\0\0\101", 5 },
		{ "\4\0\0\0\1\0", 6 },
		/* TAKEN is for listeners. */
		{ "\10", 1 },
		{ "\10\0", 2 },
		{ "\1", 1 },
		{ "\3\0\0\0\0\0\0", 7 },
		{ "\2\0\0\0\1\0\0\0\1", 9 },
		{ "\0", 1 },
		{ "\377", 1 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct program_ends e;

		harness_sh(&container, "exec sleep 1000", &e);
		harness_expect_started(&e);
		assert_int_equal(ipc_chan_send_plain(e.ctl, cases[i].data, cases[i].len, 0), 0);
		harness_expect_end(e.ctl);
		assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
		program_ends_close(&e);
	}
}

/* Longer than any message, empty, and with descriptors that nobody asked for. */
static void
test_odd_ctl_records(void **state)
{
	static const char large[GUEST_CTL_MAX + 1] = { GUEST_CTL_SIGNAL };
	struct program_ends e;
	int pair[2];

	(void)state;
	for (int i = 0; i < 3; i++) {
		harness_sh(&container, "exec sleep 1000", &e);
		harness_expect_started(&e);
		if (i == 0) {
			assert_int_equal(ipc_chan_send_plain(e.ctl, large, sizeof(large), 0), 0);
		} else if (i == 1) {
			assert_int_equal(send(e.ctl, "", 0, 0), 0);
		} else {
			assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
			    0);
			assert_int_equal(ipc_chan_send(e.ctl, "\4\0\0\0\17", 5, pair, 2, 0), 0);
			fd_close_all(pair, 2);
		}
		assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
		program_ends_close(&e);
	}
}

/* ---- the channel's end ---- */

static void
test_hang_up(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container,
	    "trap 'echo HUP; exit' HUP; sh -c 'echo ready; exec sleep 1000' & wait", &e);
	harness_expect_started(&e);
	harness_read_until(e.out, text, sizeof(text), "ready");
	fd_close(&e.ctl);
	harness_read_all(e.out, text, sizeof(text));
	assert_string_equal(text, "HUP\n");
	program_ends_close(&e);
}

/* A stopped program cannot hear HUP: CONT wakes it up. */
static void
test_hang_up_of_stopped(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "trap 'echo HUP; exit' HUP; echo ready; kill -STOP $$; echo no", &e);
	harness_expect_started(&e);
	harness_read_until(e.out, text, sizeof(text), "ready");
	(void)usleep(50 * 1000);
	fd_close(&e.ctl);
	harness_read_all(e.out, text, sizeof(text));
	assert_string_equal(text, "HUP\n");
	program_ends_close(&e);
}

/* Who ignores HUP has the grace time, and not more. */
static void
test_grace(void **state)
{
	struct program_ends e;
	int64_t from;

	(void)state;
	harness_sh(&container, "trap '' HUP TERM; echo ready; sh -c 'while :; do sleep 0.05; done'",
	    &e);
	harness_expect_started(&e);
	harness_read_until(e.out, text, sizeof(text), "ready");
	from = harness_now_ms();
	fd_close(&e.ctl);
	assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
	assert_in_range(harness_now_ms() - from, 250, HARNESS_WAIT_MS);
	program_ends_close(&e);
}

/*
 * The program has ended by itself and left two in its session: as under sshd the kernel hangs up the one that it
 * finds on the terminal, and who does not listen to that stays until the container goes.
 */
static void
test_leftovers_on_a_terminal(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh_pty(&container, "sleep 1000 & trap '' HUP; sleep 2000 & echo done", &e);
	harness_expect_started(&e);
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
	harness_expect_gone(&container, "cmdline", "[s]leep 1000");
	harness_sh(&container,
	    "sleep 1.5; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o '[s]leep 2000'",
	    &e); /* more than the grace time */
	harness_expect_started(&e);
	harness_read_all(e.out, text, sizeof(text));
	assert_string_equal(text, "sleep 2000\n");
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	assert_int_equal(harness_stop(&container), 0);
}

/* Without one all of it stays, as under sshd, until the container goes. */
static void
test_leftovers(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "sleep 1000 & echo done", &e);
	harness_expect_started(&e);
	harness_expect_exit(&e, 0);
	fd_close(&e.ctl);
	assert_false(harness_ends_within(e.out, 1000)); /* more than the grace time */
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	assert_int_equal(harness_stop(&container), 0);
	assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
	program_ends_close(&e);
}

/* Faster than it is killed, it forks: sweeps until the session is empty. */
static void
test_forking_leftovers(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container,
	    "trap '' HUP; spin() { while :; do (exec sleep 0.01) & wait; done; }; spin & spin & spin & "
	    "echo done; wait",
	    &e);
	harness_expect_started(&e);
	harness_read_until(e.out, text, sizeof(text), "done");
	fd_close(&e.ctl);
	assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
	program_ends_close(&e);
}

/* A daemon has left the session on purpose: it stays, until the container goes. */
static void
test_daemon_stays(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "setsid sh -c 'trap \"\" HUP; echo up; exec sleep 1000' & wait", &e);
	harness_expect_started(&e);
	harness_read_until(e.out, text, sizeof(text), "up");
	fd_close(&e.ctl);
	assert_false(harness_ends_within(e.out, 1500));
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	assert_int_equal(harness_stop(&container), 0);
	assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
	program_ends_close(&e);
}

/* The worker closes the master: the kernel hangs up, because nobody else holds it. */
static void
test_terminal_hang_up(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh_pty(&container, "echo ready; exec sleep 1000", &e);
	harness_expect_started(&e);
	harness_read_until(e.master, text, sizeof(text), "ready");
	fd_close(&e.master);
	harness_expect_signaled(&e, SIGHUP);
	program_ends_close(&e);
}

/* Orders whose worker is gone before anything was said: nothing stays, whatever the timing. */
static void
test_gone_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct program_ends e;

		if (i % 2 == 0)
			harness_sh(&container, "exec sleep 1000", &e);
		else
			harness_sh_pty(&container, "exec sleep 1000", &e);
		(void)usleep((unsigned)(i / 10) * 300);
		program_ends_close(&e);
	}
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	harness_expect_gone(&container, "cmdline", "[s]leep 1000");
}

/* ---- the container's end ---- */

static void
start_stubborn(struct program_ends *e)
{
	harness_sh(&container,
	    "trap '' HUP TERM INT; setsid sh -c 'echo ready; while :; do sleep 0.05; done'", e);
	harness_expect_started(e);
	harness_read_until(e->out, text, sizeof(text), "ready");
}

static void
test_broker_lets_go(void **state)
{
	struct program_ends e;
	int64_t from;

	(void)state;
	start_stubborn(&e);
	from = harness_now_ms();
	assert_int_equal(harness_stop(&container), 0);
	assert_in_range(harness_now_ms() - from, 250, HARNESS_WAIT_MS);
	assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
	program_ends_close(&e);
}

/* Who obeys is not made to wait, and its worker hears how it ended. */
static void
test_broker_lets_go_politely(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c",
		"trap 'echo TERM; exit 6' TERM; trap '' HUP; sh -c 'echo ready; exec sleep 1000' & wait",
		NULL };
	struct program_ends e;
	int64_t from;

	(void)state;
	memset(&order, 0, sizeof(order));
	order.hangup_grace_ms = 10000;
	harness_set_argv(&order, argv);
	harness_order(&container, &order, &e);
	harness_expect_started(&e);
	harness_read_until(e.out, text, sizeof(text), "ready");
	from = harness_now_ms();
	assert_int_equal(harness_stop(&container), 0);
	assert_in_range(harness_now_ms() - from, 0, 5000);
	harness_read_all(e.out, text, sizeof(text));
	assert_string_equal(text, "TERM\n");
	harness_expect_exit(&e, 6);
	program_ends_close(&e);
}

/* The order to end, with a descriptor; returns what gets a byte when nobody is left. */
static int
order_end(void)
{
	static const uint8_t end[1] = { GUEST_END };
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	harness_send_raw(&container, end, sizeof(end), &fds[1], 1);
	fd_close(&fds[1]);
	return fds[0];
}

/* Waits for its end. */
static bool
says_empty(int fd)
{
	char said[2];
	ssize_t n = read(fd, said, sizeof(said));

	assert_true(n == 0 || n == 1);
	assert_true(harness_ends_within(fd, HARNESS_WAIT_MS));
	return n == 1;
}

static bool
guest_is_there(void)
{
	return kill(container.guest, 0) == 0;
}

static bool
guest_has_children(void)
{
	char path[64];
	FILE *f;
	int c;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)container.guest,
	    (int)container.guest);
	f = fopen(path, "re");
	assert_non_null(f);
	c = fgetc(f);
	assert_int_equal(fclose(f), 0);
	return c != EOF;
}

/* It is told when nobody is left, and process 1 stays until it is killed: alone, with nothing open, obeying nothing. */
static void
test_rest(void **state)
{
	struct program_ends polite;
	struct program_ends stubborn;
	int64_t from;
	int empty;

	(void)state;
	harness_sh(&container, "exec sleep 1000", &polite);
	harness_expect_started(&polite);
	start_stubborn(&stubborn);
	from = harness_now_ms();
	empty = order_end();
	assert_true(says_empty(empty));
	assert_in_range(harness_now_ms() - from, 250, HARNESS_WAIT_MS);
	harness_expect_signaled(&polite, SIGHUP);
	assert_true(harness_ends_within(polite.out, 0));
	assert_true(harness_ends_within(stubborn.out, 0));
	harness_expect_fds(&container, 3);
	assert_false(guest_has_children());
	assert_true(guest_is_there());
	assert_int_equal(kill(container.guest, SIGTERM), 0);
	assert_int_equal(harness_wait(&container), 0);
	assert_in_range(harness_now_ms() - from, 0, 4000);
	fd_close(&empty);
	program_ends_close(&polite);
	program_ends_close(&stubborn);
}

/* A broker that is killed, or forgets it, leaves nothing behind for long. */
static void
test_rest_is_short(void **state)
{
	int64_t from;
	int empty = order_end();

	(void)state;
	from = harness_now_ms();
	assert_true(says_empty(empty));
	fd_close(&empty);
	fd_close(&container.order);
	assert_true(guest_is_there());
	assert_int_equal(harness_wait(&container), 0);
	assert_in_range(harness_now_ms() - from, 4000, HARNESS_WAIT_MS);
}

/* Listen somewhere, which takes two descriptors; returns the worker's ctl. */
static int
order_listener(void)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_TCP,
		.n = 1,
		.addresses = { { .bytes = { 127, 0, 0, 1 } } } };
	uint8_t record[64];
	struct wire_writer w;
	struct guest_ctl m;
	int pair[2];
	int none;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	wire_writer_init(&w, record, sizeof(record));
	guest_put_listen(&w, &at);
	harness_send_raw(&container, record, w.len, &pair[1], 1);
	fd_close(&pair[1]);
	harness_recv(pair[0], &m, &none);
	assert_int_equal(m.id, GUEST_CTL_LISTENING);
	return pair[0];
}

/* Without room for the descriptor the order is lost, and its end says nothing: who runs has its grace time. */
static void
test_rest_without_descriptors(void **state)
{
	int listeners[(FEW_FDS - HARNESS_IDLE_FDS - 1) / 2];
	struct program_ends stubborn;
	int64_t from;
	int empty;

	(void)state;
	start_stubborn(&stubborn);
	for (size_t i = 0; i < SP_ARRAY_LEN(listeners); i++)
		listeners[i] = order_listener();
	harness_expect_fds(&container, FEW_FDS);
	from = harness_now_ms();
	empty = order_end();
	fd_close(&container.order);
	assert_false(says_empty(empty));
	assert_true(guest_is_there());
	assert_int_equal(harness_wait(&container), 0);
	assert_in_range(harness_now_ms() - from, 250, 4000);
	assert_true(harness_ends_within(stubborn.out, HARNESS_WAIT_MS));
	fd_close(&empty);
	program_ends_close(&stubborn);
	fd_close_all(listeners, SP_ARRAY_LEN(listeners));
}

/* The last orders before the end are still read; they end with everything else. */
static void
test_orders_before_the_end(void **state)
{
	struct program_ends e[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		harness_sh(&container, "exec sleep 1000", &e[i]);
	assert_int_equal(harness_stop(&container), 0);
	for (int i = 0; i < 5; i++) {
		assert_true(harness_ends_within(e[i].out, HARNESS_WAIT_MS));
		program_ends_close(&e[i]);
	}
}

static void
test_asked_to_end(void **state)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	struct program_ends e;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(numbers); i++) {
		if (i > 0)
			harness_start(&container, HARNESS_ROOT_HOST);
		start_stubborn(&e);
		assert_int_equal(kill(container.guest, numbers[i]), 0);
		assert_int_equal(harness_wait(&container), 0);
		assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
		program_ends_close(&e);
	}
}

/* Other signals, from inside or outside, do nothing to process 1. */
static void
test_other_signals(void **state)
{
	struct program_ends e;

	(void)state;
	assert_int_equal(kill(container.guest, SIGUSR1), 0);
	assert_int_equal(kill(container.guest, SIGPIPE), 0);
	harness_sh(&container, "kill -USR1 1; kill -SEGV 1; kill -KILL 1; kill -STOP 1; echo alive",
	    &e);
	harness_expect_started(&e);
	harness_read_all(e.out, text, sizeof(text));
	assert_string_equal(text, "alive\n");
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
}

/*
 * A container with few descriptors: what is too much fails, what runs goes on, and when there is room
 * again there is room again.
 */
static void
test_few_descriptors(void **state)
{
	struct program_ends e[60];
	struct program_ends last;
	unsigned n_started = 0;

	(void)state;
	for (unsigned i = 0; i < SP_ARRAY_LEN(e); i++) {
		struct pollfd p;
		struct guest_ctl m;
		struct wire_reader r;
		uint8_t buf[GUEST_CTL_MAX];
		size_t len;
		int result;

		harness_sh(&container, "exec cat", &e[i]);
		p = (struct pollfd){ .fd = e[i].ctl, .events = POLLIN };
		assert_int_equal(poll(&p, 1, HARNESS_WAIT_MS), 1);
		result = ipc_chan_recv(e[i].ctl, buf, sizeof(buf), &len, 0);
		if (result == IPC_CHAN_E_END)
			continue; /* it could not even be received */
		assert_int_equal(result, 0);
		wire_reader_init(&r, buf, len);
		assert_int_equal(guest_get_ctl(&r, &m), 0);
		if (m.id == GUEST_CTL_STARTED)
			n_started++;
		else
			assert_int_equal(m.failed.error, EMFILE);
	}
	assert_in_range(n_started, FEW_FDS / 2 + 1, FEW_FDS);
	assert_int_equal(write(e[0].in, "alive", 5), 5);
	harness_read_until(e[0].out, text, sizeof(text), "alive");
	for (unsigned i = 0; i < SP_ARRAY_LEN(e); i++)
		program_ends_close(&e[i]);
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	(void)usleep(100 * 1000);
	harness_sh(&container, "exit 4", &last);
	harness_expect_started(&last);
	harness_expect_exit(&last, 4);
	program_ends_close(&last);
}

/* ---- an image with one static binary in it ---- */

static void
test_bare_image(void **state)
{
	static const char *const argv[] = { "busybox", "sh", "-c",
		"echo $PATH; busybox tty; busybox ls /; exit 5", NULL };
	static const char *const missing[] = { "/bin/sh", NULL };
	struct program_ends e;

	(void)state;
	if (!harness_is_static(BUSYBOX))
		skip();
	for (int pty = 0; pty < 2; pty++) {
		memset(&order, 0, sizeof(order));
		order.want_pty = pty == 1;
		harness_set_argv(&order, argv);
		harness_order(&container, &order, &e);
		harness_expect_started(&e);
		harness_read_all(pty == 1 ? e.master : e.out, text, sizeof(text));
		assert_non_null(
		    strstr(text, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
		assert_non_null(strstr(text, pty == 1 ? "/dev/pts/0" : "not a tty"));
		assert_null(strstr(text, "lib"));
		assert_null(strstr(text, "etc"));
		harness_expect_exit(&e, 5);
		program_ends_close(&e);
	}
	harness_set_argv(&order, missing);
	harness_order(&container, &order, &e);
	harness_expect_failed(&e, GUEST_FAIL_EXEC, ENOENT);
	program_ends_close(&e);
}

int
main(int argc, char **argv)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_terminal),
		CASE(test_terminal_modes),
		CASE(test_terminal_modes_wanted),
		CASE(test_terminal_sizes),
		CASE(test_window_change),
		CASE(test_ctrl_c),
		CASE(test_job_control),
		CASE(test_last_words),
		CASE(test_signals),
		CASE(test_malformed_ctl),
		CASE(test_odd_ctl_records),
		CASE(test_hang_up),
		CASE(test_hang_up_of_stopped),
		CASE(test_grace),
		CASE(test_leftovers_on_a_terminal),
		CASE(test_leftovers),
		CASE(test_forking_leftovers),
		CASE(test_daemon_stays),
		CASE(test_terminal_hang_up),
		CASE(test_gone_at_once),
		CASE(test_broker_lets_go),
		CASE(test_broker_lets_go_politely),
		CASE(test_rest),
		CASE(test_rest_is_short),
		CASE(test_orders_before_the_end),
		CASE(test_asked_to_end),
		CASE(test_other_signals),
		cmocka_unit_test_setup_teardown(test_few_descriptors, setup_few, teardown),
		cmocka_unit_test_setup_teardown(test_rest_without_descriptors, setup_few, teardown),
	};
	const struct CMUnitTest bare[] = {
		cmocka_unit_test_setup_teardown(test_bare_image, setup_bare, teardown),
	};
	const char *guest = argc > 1 ? argv[1] : GUEST_FILE;
	int failed;

	harness_set_guest(guest);
	if (!harness_is_possible()) {
		fprintf(stderr, "skipped: this machine lets nobody make namespaces\n");
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	/* The checked build needs a loader and libraries: the bare image is for the one as shipped. */
	if (harness_is_static(guest))
		failed += cmocka_run_group_tests(bare, NULL, NULL);
	return failed;
}
