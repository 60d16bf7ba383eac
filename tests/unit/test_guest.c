/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest as a real process 1: what programs get, what they leave behind, and what happens to
 * orders that cannot be carried out. Each case ends with the guest's descriptors back at five.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "guest_harness.h"
#include "ipc_chan.h"
#include "test.h"

static struct harness container;
static struct guest_spawn order; /* too large for a stack */
static char text[65536];
static const char *guest_path = GUEST_FILE;

static int
group_setup(void **state)
{
	(void)state;
	harness_start(&container, HARNESS_ROOT_HOST);
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	return 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	assert_int_equal(harness_stop(&container), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	return 0;
}

static void
order_for(const char *const *argv)
{
	memset(&order, 0, sizeof(order));
	order.hangup_grace_ms = 300;
	harness_set_argv(&order, argv);
}

/* Run a script to its end and keep what it writes to stdout in text. */
static void
sh_output(const char *script, unsigned code)
{
	struct program_ends e;

	harness_sh(&container, script, &e);
	harness_expect_started(&e);
	harness_read_all(e.out, text, sizeof(text));
	harness_expect_exit(&e, code);
	program_ends_close(&e);
}

static void
order_output(void)
{
	struct program_ends e;

	harness_order(&container, &order, &e);
	harness_expect_started(&e);
	harness_read_all(e.out, text, sizeof(text));
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
}

static void
test_streams(void **state)
{
	struct program_ends e;

	(void)state;
	harness_sh(&container, "cat; echo err >&2; exit 7", &e);
	harness_expect_started(&e);
	assert_int_equal(write(e.in, "in to out", 9), 9);
	fd_close(&e.in); /* half-close: cat ends, the program goes on */
	harness_read_all(e.out, text, sizeof(text));
	assert_string_equal(text, "in to out");
	harness_read_all(e.err, text, sizeof(text));
	assert_string_equal(text, "err\n");
	harness_expect_exit(&e, 7);
	program_ends_close(&e);
}

static void
test_every_exit_code(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 256; code++) {
		struct program_ends e;
		char script[32];

		(void)snprintf(script, sizeof(script), "exit %u", code);
		harness_sh(&container, script, &e);
		harness_expect_started(&e);
		harness_expect_exit(&e, code);
		program_ends_close(&e);
	}
}

static void
test_ends_by_signal(void **state)
{
	static const int numbers[] = { SIGHUP, SIGINT, SIGABRT, SIGKILL, SIGUSR1, SIGSEGV, SIGPIPE,
		SIGALRM, SIGTERM, 34, 64 };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(numbers); i++) {
		struct program_ends e;
		char script[64];

		(void)snprintf(script, sizeof(script), "ulimit -c 0; kill -%d $$; sleep 10",
		    numbers[i]);
		harness_sh(&container, script, &e);
		harness_expect_started(&e);
		harness_expect_signaled(&e, numbers[i]);
		program_ends_close(&e);
	}
}

/* Status of the program as the kernel shows it to the program itself. */
static void
test_clean_start(void **state)
{
	(void)state;
	sh_output("ls /proc/$$/fd", 0);
	assert_string_equal(text, "0\n1\n2\n");
	sh_output("grep -E '^Sig(Blk|Ign)' /proc/self/status", 0);
	assert_string_equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	sh_output("umask", 0);
	assert_string_equal(text, "0022\n");
	sh_output("read -r pid name state ppid pgrp sid rest </proc/$$/stat; "
		  "test $pid = $pgrp -a $pid = $sid -a $ppid = 1 && echo leads",
	    0);
	assert_string_equal(text, "leads\n");
}

static unsigned
count_lines(const char *what)
{
	size_t len = strlen(what);
	unsigned n = 0;

	for (const char *line = text; line != NULL && *line != '\0';) {
		n += strncmp(line, what, len) == 0;
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	return n;
}

static void
test_environment(void **state)
{
	static const char *const argv[] = { "env", NULL };

	(void)state;
	order_for(argv);
	order.env[0] = harness_span("IMAGE=order");
	order.env[1] = harness_span("NEW=1");
	order.env[2] = harness_span("NEW=2");
	order.env[3] = harness_span("EMPTY=");
	order.env[4] = harness_span("HOMES=not HOME");
	order.n_env = 5;
	order_output();
	assert_int_equal(count_lines("IMAGE=order\n"), 1);
	assert_int_equal(count_lines("IMAGE="), 1);
	assert_int_equal(count_lines("KEPT=kept\n"), 1);
	assert_int_equal(count_lines("NEW=2\n"), 1);
	assert_int_equal(count_lines("NEW="), 1);
	assert_int_equal(count_lines("EMPTY=\n"), 1);
	assert_int_equal(count_lines("HOME=/tmp\n"), 1);
	assert_int_equal(count_lines("HOMES=not HOME\n"), 1);
	assert_int_equal(count_lines("PATH="), 1);
	assert_int_equal(count_lines("SSH_TTY="), 0);
}

/* The order's PATH is the one that is searched; directories and empty entries are stepped over. */
static void
test_path(void **state)
{
	static const char *const argv[] = { "env", NULL };
	struct program_ends e;

	(void)state;
	order_for(argv);
	order.env[0] = harness_span("PATH=:/nowhere::/etc/passwd:/usr/bin:");
	order.n_env = 1;
	order_output();
	order.env[0] = harness_span("PATH=/nowhere");
	harness_order(&container, &order, &e);
	harness_expect_failed(&e, GUEST_FAIL_EXEC, ENOENT);
	program_ends_close(&e);
	order.env[0] = harness_span("PATH=");
	harness_order(&container, &order, &e);
	harness_expect_failed(&e, GUEST_FAIL_EXEC, ENOENT);
	program_ends_close(&e);
}

static void
test_argv0_and_workdir(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c", "echo $0 \"$1\" $#; pwd", "-name",
		"a b", NULL };
	static const char *const no_name[] = { "/bin/sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline",
		NULL };

	(void)state;
	order_for(argv);
	order.workdir = harness_span("/usr");
	order_output();
	assert_string_equal(text, "-name a b 1\n/usr\n");
	order_for(no_name);
	order.argv0 = harness_span("-sh");
	order_output();
	assert_int_equal(strncmp(text, "-sh -c ", 7), 0);
}

/* The largest order: every argument and variable arrives, at its full length. */
static void
test_largest_order(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c", "echo $#; printf %s \"$1\" | wc -c",
		"x", NULL };
	static char large[100000];
	static char variables[GUEST_ENV_MAX][16];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	order_for(argv);
	order.argv[4] = harness_span(large);
	for (uint32_t i = 5; i < GUEST_ARGV_MAX; i++)
		order.argv[i] = harness_span("y");
	order.n_argv = GUEST_ARGV_MAX;
	for (uint32_t i = 0; i < GUEST_ENV_MAX; i++) {
		(void)snprintf(variables[i], sizeof(variables[i]), "V%u=%u", i, i);
		order.env[i] = harness_span(variables[i]);
	}
	order.n_env = GUEST_ENV_MAX;
	order_output();
	assert_string_equal(text, "252\n99999\n");
}

static void
test_exec_failures(void **state)
{
	static const struct {
		const char *program;
		int error;
	} cases[] = {
		{ "/nowhere/program", ENOENT },
		{ "no-such-program", ENOENT },
		{ "", ENOENT },
		{ "/etc/passwd", EACCES },
		{ "/etc/passwd/x", ENOTDIR },
		{ "/usr", EACCES },
		{ "/tmp/no-interpreter", ENOENT },
		{ "/tmp/no-magic", ENOEXEC },
	};

	(void)state;
	sh_output("cd /tmp; echo '#!/nowhere/sh' >no-interpreter; echo 'exit 0' >no-magic; chmod 755 no-*",
	    0);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		const char *const argv[] = { cases[i].program, NULL };
		struct program_ends e;

		order_for(argv);
		harness_order(&container, &order, &e);
		harness_expect_failed(&e, GUEST_FAIL_EXEC, cases[i].error);
		assert_true(harness_ends_within(e.out, HARNESS_WAIT_MS));
		order.want_pty = true;
		program_ends_close(&e);
		harness_order(&container, &order, &e);
		harness_expect_failed(&e, GUEST_FAIL_EXEC, cases[i].error);
		program_ends_close(&e);
	}
	sh_output("rm /tmp/no-*", 0);
}

/* As with sshd and a home that is not there: it is said, and the program runs, at the root. */
static void
test_workdir_failures(void **state)
{
	static const struct {
		const char *workdir;
		const char *said;
	} cases[] = { { "/nowhere", "Could not chdir to /nowhere: No such file or directory\n" },
		{ "/etc/passwd", "Could not chdir to /etc/passwd: Not a directory\n" },
		{ "relative", "Could not chdir to relative: No such file or directory\n" },
		{ "/tmp/shut", "Could not chdir to /tmp/shut: Permission denied\n" } };
	static const char *const argv[] = { "/bin/sh", "-c", "pwd", NULL };

	(void)state;
	sh_output("mkdir -m 0 /tmp/shut", 0);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct program_ends e;

		order_for(argv);
		order.workdir = harness_span(cases[i].workdir);
		harness_order(&container, &order, &e);
		harness_expect_started(&e);
		harness_read_all(e.out, text, sizeof(text));
		assert_string_equal(text, "/\n");
		harness_read_all(e.err, text, sizeof(text));
		assert_string_equal(text, cases[i].said);
		harness_expect_exit(&e, 0);
		program_ends_close(&e);
	}
	sh_output("rmdir /tmp/shut", 0);
}

/* Where neither policy nor image has a directory, that is HOME, or without one the root. */
static void
test_home_for_a_directory(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c", "pwd", NULL };

	(void)state;
	order_for(argv);
	order_output();
	assert_string_equal(text, "/tmp\n");
	order.n_env = 1;
	order.env[0] = harness_span("HOME=/nowhere");
	order_output();
	assert_string_equal(text, "/\n");
}

/* ---- orders that are none ---- */

/* One record with n descriptors, of which the first is ctl. */
static void
send_with_fds(const void *data, size_t len, unsigned n, struct program_ends *ret)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int pair[2];
	int fds[4];

	assert_true(null >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (unsigned i = 0; i < 4; i++)
		fds[i] = i == 0 ? pair[0] : null;
	harness_send_raw(&container, data, len, fds, n);
	*ret = (struct program_ends){ pair[1], -1, -1, -1, -1 };
	fd_close(&pair[0]);
	fd_close(&null);
}

static size_t
encode_true(bool pty, uint8_t *record, size_t cap)
{
	static const char *const argv[] = { "/bin/true", NULL };
	struct wire_writer w;

	order_for(argv);
	order.want_pty = pty;
	wire_writer_init(&w, record, cap);
	guest_put_spawn(&w, &order);
	assert_false(w.failed);
	return w.len;
}

static void
expect_refused(struct program_ends *e, int error)
{
	harness_expect_failed(e, GUEST_FAIL_ORDER, error);
	harness_expect_end(e->ctl);
	program_ends_close(e);
}

static void
test_malformed_orders(void **state)
{
	uint8_t record[256];
	size_t len = encode_true(false, record, sizeof(record) - 1);
	struct program_ends e;

	(void)state;
	for (size_t n = 1; n < len; n++) {
		send_with_fds(record, n, 4, &e);
		expect_refused(&e, EPROTO);
	}
	record[len] = 0;
	send_with_fds(record, len + 1, 4, &e);
	expect_refused(&e, EPROTO);
	record[0] = 2;
	send_with_fds(record, len, 4, &e);
	expect_refused(&e, EPROTO);
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
}

/* An order to end that has more than its one byte is none: everybody goes on. */
static void
test_malformed_ends(void **state)
{
	static const uint8_t end[2] = { GUEST_END };
	struct program_ends runs;
	struct program_ends e;

	(void)state;
	harness_sh(&container, "cat; exit 3", &runs);
	harness_expect_started(&runs);
	for (unsigned n = 0; n <= 4; n++) {
		for (size_t len = n <= 1 ? 2 : 1; len <= 2; len++) {
			if (n == 0) {
				/* There is nobody to tell. */
				harness_send_raw(&container, end, len, NULL, 0);
				continue;
			}
			send_with_fds(end, len, n, &e);
			expect_refused(&e, EPROTO);
		}
	}
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
	assert_int_equal(write(runs.in, "still here", 10), 10);
	fd_close(&runs.in);
	harness_read_all(runs.out, text, sizeof(text));
	assert_string_equal(text, "still here");
	harness_expect_exit(&runs, 3);
	program_ends_close(&runs);
}

/* ---- connections ---- */

static void
order_connect(const struct guest_connect *to, struct program_ends *ret)
{
	uint8_t record[64];
	struct wire_writer w;

	wire_writer_init(&w, record, sizeof(record));
	guest_put_connect(&w, to);
	assert_false(w.failed);
	send_with_fds(record, w.len, 1, ret);
}

/* The socket comes twice, is the guest's no more, and ctl ends; the first address was of no use. */
static void
test_connection(void **state)
{
	struct guest_connect to = { .n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } } };
	SP_CLEANUP_FD int listener = harness_listen_here(&to.port);
	SP_CLEANUP_FD int peer = -1;
	uint8_t buf[GUEST_CTL_MAX];
	struct program_ends e;
	int fds[4] = { -1, -1, -1, -1 };
	unsigned n = 0;
	size_t len;

	(void)state;
	order_connect(&to, &e);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	assert_int_equal(ipc_chan_recv_fds(e.ctl, buf, sizeof(buf), &len, fds, 4, &n, 0), 0);
	assert_int_equal(len, 1);
	assert_int_equal(buf[0], GUEST_CTL_CONNECTED);
	assert_int_equal(n, 2);
	harness_expect_end(e.ctl);
	assert_int_equal(write(fds[0], "there", 5), 5);
	assert_int_equal(read(peer, buf, sizeof(buf)), 5);
	assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
	fd_close(&fds[0]);
	assert_int_equal(read(peer, buf, sizeof(buf)), 0);
	assert_int_equal(write(peer, "back", 4), 4);
	(void)poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, HARNESS_WAIT_MS);
	assert_int_equal(read(fds[1], buf, sizeof(buf)), 4);
	fd_close(&peer);
	(void)poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, HARNESS_WAIT_MS);
	assert_int_equal(read(fds[1], buf, sizeof(buf)), 0);
	fd_close_all(fds, 4);
	program_ends_close(&e);
}

static void
test_no_connection(void **state)
{
	struct guest_connect to = { .n = 1, .addresses = { { false, { 127, 0, 0, 1 } } } };
	int listener = harness_listen_here(&to.port);
	struct program_ends e;

	(void)state;
	fd_close(&listener);            /* nobody listens any more */
	for (int i = 0; i < 200; i++) { /* more than the table has slots */
		order_connect(&to, &e);
		harness_expect_failed(&e, GUEST_FAIL_CONNECT, ECONNREFUSED);
		harness_expect_end(e.ctl);
		program_ends_close(&e);
	}
	/* No way to the worker is no way to anybody: it lets go before there is an answer. */
	for (int i = 0; i < 200; i++) {
		order_connect(&to, &e);
		program_ends_close(&e);
	}
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
}

static void
test_malformed_connections(void **state)
{
	struct guest_connect to = { .n = 1, .addresses = { { false, { 127, 0, 0, 1 } } }, .port = 1 };
	struct program_ends e;
	uint8_t record[64];
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_connect(&w, &to);
	for (size_t n = 1; n < w.len; n++) {
		send_with_fds(record, n, 1, &e);
		expect_refused(&e, EPROTO);
	}
	for (unsigned n = 2; n <= 4; n++) {
		send_with_fds(record, w.len, n, &e);
		expect_refused(&e, EPROTO);
	}
}

/* ---- listeners ---- */

static void
order_listen(const struct guest_listen *at, struct program_ends *ret)
{
	uint8_t record[256];
	struct wire_writer w;

	wire_writer_init(&w, record, sizeof(record));
	guest_put_listen(&w, at);
	assert_false(w.failed);
	send_with_fds(record, w.len, 1, ret);
}

/* The next word on a listener's ctl, with its descriptors. */
static struct guest_ctl
hear_listener(int ctl, int fds[2], unsigned expected)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_reader r;
	struct guest_ctl m;
	unsigned n = 0;
	size_t len;

	assert_int_equal(poll(&(struct pollfd){ .fd = ctl, .events = POLLIN }, 1, HARNESS_WAIT_MS),
	    1);
	assert_int_equal(ipc_chan_recv_fds(ctl, buf, sizeof(buf), &len, fds, 2, &n, 0), 0);
	assert_int_equal(n, expected);
	wire_reader_init(&r, buf, len);
	assert_int_equal(guest_get_ctl(&r, &m), 0);
	return m;
}

static int
connect_here(uint32_t port)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
		fd_close(&fd);
	return fd;
}

static bool
says_nothing(int ctl, int ms)
{
	return poll(&(struct pollfd){ .fd = ctl, .events = POLLIN }, 1, ms) == 0;
}

static void
say_taken(int ctl)
{
	uint8_t taken = GUEST_CTL_TAKEN;

	assert_int_equal(ipc_chan_send_plain(ctl, &taken, 1, 0), 0);
}

/* A port of the kernel's choice; no more connections than a worker has room for; and the end. */
static void
test_listener(void **state)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_TCP,
		.n = 2,
		.addresses = { { false, { 127, 0, 0, 1 } }, { true, { [15] = 1 } } } };
	int clients[GUEST_UNTAKEN_MAX + 2];
	struct program_ends e;
	struct guest_ctl m;
	int fds[2] = { -1, -1 };
	uint32_t port;
	char byte;

	(void)state;
	order_listen(&at, &e);
	m = hear_listener(e.ctl, fds, 0);
	assert_int_equal(m.id, GUEST_CTL_LISTENING);
	port = m.listening.port;
	assert_true(port > 0);
	for (size_t i = 0; i < SP_ARRAY_LEN(clients); i++) {
		clients[i] = connect_here(port);
		assert_true(clients[i] >= 0);
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(clients); i++) {
		if (i >= GUEST_UNTAKEN_MAX) {
			assert_true(says_nothing(e.ctl, 200));
			say_taken(e.ctl);
		}
		m = hear_listener(e.ctl, fds, 2);
		assert_int_equal(m.id, GUEST_CTL_ACCEPTED);
		assert_true(m.accepted.tcp && !m.accepted.from.v6 && m.accepted.port > 0);
		assert_memory_equal(m.accepted.from.bytes, ((uint8_t[]){ 127, 0, 0, 1 }), 4);
		assert_int_equal(write(clients[i], "x", 1), 1);
		(void)poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, HARNESS_WAIT_MS);
		assert_int_equal(read(fds[1], &byte, 1), 1);
		assert_int_equal(write(fds[0], "y", 1), 1);
		assert_int_equal(read(clients[i], &byte, 1), 1);
		fd_close_all(fds, 2);
		assert_int_equal(read(clients[i], &byte, 1), 0); /* the guest has kept none of it */
		fd_close(&clients[i]);
	}
	/* The port is taken while it is listened at, and not a moment longer. */
	at.n = 1;
	at.port = port;
	{
		struct program_ends second;

		order_listen(&at, &second);
		harness_expect_failed(&second, GUEST_FAIL_LISTEN, EADDRINUSE);
		program_ends_close(&second);
		program_ends_close(&e);
		order_listen(&at, &e);
	}
	assert_int_equal(hear_listener(e.ctl, fds, 0).listening.port, port);
	/* A word too many: nobody wants these connections. */
	say_taken(e.ctl);
	harness_expect_end(e.ctl);
	program_ends_close(&e);
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
}

/* ---- a worker that breaks the protocol ---- */

static const uint8_t oversized[GUEST_CTL_MAX + 1] = { GUEST_CTL_TAKEN };

/* What nobody may say on the ctl of a CONNECT, and, but for a lone TAKEN, nobody on that of a LISTEN. */
static const struct odd_record {
	const void *data;
	size_t len;
	unsigned n_fds;
} odd_records[] = {
	{ "\10", 1, 1 },   /* TAKEN with a descriptor, */
	{ "\10", 1, 4 },   /* with more, */
	{ "\10\0", 2, 0 }, /* with a byte too many, */
	{ oversized, sizeof(oversized), 0 },
	{ "\4\0\0\0\17", 5, 0 }, /* SIGNAL, */
	{ "\4\0\0\0\17", 5, 1 },
	{ "\4", 1, 0 },
	{ "\1", 1, 0 }, /* what the guest says, */
	{ "\2\0\0\0\1\0\0\0\1", 9, 0 },
	{ "\3\0\0\0\0\0\0", 7, 0 },
	{ "\5", 1, 2 },
	{ "\6\0\0\0\1", 5, 0 },
	{ "\7\0", 2, 2 },
	{ "\0", 1, 0 }, /* and nothing that has a name */
	{ "\11", 1, 0 },
	{ "\377junk", 5, 0 },
	{ "", 0, 0 },
};

static void
say_odd(int ctl, const struct odd_record *odd)
{
	int pair[2];

	if (odd->n_fds == 0) {
		assert_int_equal(send(ctl, odd->data, odd->len, MSG_NOSIGNAL), odd->len);
		return;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ipc_chan_send(ctl, odd->data, odd->len,
			     (int[]){ pair[0], pair[0], pair[0], pair[0] }, odd->n_fds, 0),
	    0);
	fd_close(&pair[0]);
	harness_expect_end(pair[1]); /* and none of them is kept */
	fd_close(&pair[1]);
}

/* Only the guest can say that the port is free again. */
static void
expect_port_is_free(uint32_t port)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_TCP,
		.n = 1,
		.addresses = { { false, { 127, 0, 0, 1 } } },
		.port = port };
	struct program_ends e;
	int fds[2] = { -1, -1 };

	order_listen(&at, &e);
	assert_int_equal(hear_listener(e.ctl, fds, 0).id, GUEST_CTL_LISTENING);
	program_ends_close(&e);
}

/* The listener ends, and with it whoever waits for it; who was handed over stays the worker's. */
static void
test_malformed_listener_ctl(void **state)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_TCP,
		.n = 1,
		.addresses = { { false, { 127, 0, 0, 1 } } } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(odd_records); i++) {
		struct program_ends e;
		int fds[2] = { -1, -1 };
		uint32_t port;
		int client;
		char byte;

		order_listen(&at, &e);
		port = hear_listener(e.ctl, fds, 0).listening.port;
		client = connect_here(port);
		assert_true(client >= 0);
		assert_int_equal(hear_listener(e.ctl, fds, 2).id, GUEST_CTL_ACCEPTED);
		say_odd(e.ctl, &odd_records[i]);
		harness_expect_end(e.ctl);
		assert_int_equal(write(client, "x", 1), 1);
		(void)poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, HARNESS_WAIT_MS);
		assert_int_equal(read(fds[1], &byte, 1), 1);
		fd_close_all(fds, 2);
		fd_close(&client);
		program_ends_close(&e);
		expect_port_is_free(port);
	}
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
}

/* One TAKEN for each ACCEPTED: not before the first, and not one more than there were. */
static void
test_taken_too_often(void **state)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_TCP,
		.n = 1,
		.addresses = { { false, { 127, 0, 0, 1 } } } };

	(void)state;
	for (unsigned n = 0; n <= GUEST_UNTAKEN_MAX; n++) {
		struct program_ends e;
		int fds[2] = { -1, -1 };
		uint32_t port;

		order_listen(&at, &e);
		port = hear_listener(e.ctl, fds, 0).listening.port;
		for (unsigned i = 0; i < n; i++) {
			int client = connect_here(port);

			assert_true(client >= 0);
			assert_int_equal(hear_listener(e.ctl, fds, 2).id, GUEST_CTL_ACCEPTED);
			fd_close_all(fds, 2);
			fd_close(&client);
		}
		for (unsigned i = 0; i < n; i++)
			say_taken(e.ctl);
		assert_true(says_nothing(e.ctl, 50));
		say_taken(e.ctl);
		harness_expect_end(e.ctl);
		program_ends_close(&e);
		expect_port_is_free(port);
	}
	/* A path goes with its listener. */
	{
		struct guest_listen path = { .kind = GUEST_LISTEN_UNIX, .path = "/tmp/test/agent" };
		struct program_ends e;
		int fds[2] = { -1, -1 };

		order_listen(&path, &e);
		assert_int_equal(hear_listener(e.ctl, fds, 0).id, GUEST_CTL_LISTENING);
		say_taken(e.ctl);
		harness_expect_end(e.ctl);
		program_ends_close(&e);
		sh_output("test -e /tmp/test || echo gone", 0);
		assert_string_equal(text, "gone\n");
	}
}

/* A port of this machine whose queue is full: who connects to it waits. */
static int
listen_busy(uint32_t *ret_port, int clients[2])
{
	int fd = harness_listen_here(ret_port);

	assert_int_equal(listen(fd, 0), 0);
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in here = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			.sin_port = htons((uint16_t)*ret_port) };

		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(clients[i], (struct sockaddr *)&here, sizeof(here));
	}
	return fd;
}

/* A worker has nothing to say on the ctl of a CONNECT: whatever it says gives the connection up. */
static void
test_words_on_the_ctl_of_a_connection(void **state)
{
	static const struct odd_record taken = { "\10", 1, 0 };
	struct guest_connect to = { .n = 2,
		.addresses = { { false, { 127, 0, 0, 1 } }, { false, { 127, 0, 0, 1 } } } };
	int clients[2];
	int listener = listen_busy(&to.port, clients);

	(void)state;
	for (size_t i = 0; i <= SP_ARRAY_LEN(odd_records); i++) {
		struct program_ends e;

		order_connect(&to, &e);
		sh_output("", 0); /* orders are carried out one after the other */
		assert_true(says_nothing(e.ctl, 0));
		say_odd(e.ctl, i < SP_ARRAY_LEN(odd_records) ? &odd_records[i] : &taken);
		harness_expect_end(e.ctl);
		program_ends_close(&e);
		harness_expect_fds(&container, HARNESS_IDLE_FDS);
	}
	fd_close_all(clients, 2);
	fd_close(&listener);
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
}

static void
test_listener_at_a_path(void **state)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_UNIX, .path = "/tmp/test/agent" };
	struct program_ends e;
	int fds[2] = { -1, -1 };

	(void)state;
	for (int i = 0; i < 100; i++) { /* more than the table has slots */
		order_listen(&at, &e);
		assert_int_equal(hear_listener(e.ctl, fds, 0).id, GUEST_CTL_LISTENING);
		if (i == 0) {
			struct program_ends second;

			/* What is there already is somebody else's. */
			order_listen(&at, &second);
			harness_expect_failed(&second, GUEST_FAIL_LISTEN, EEXIST);
			program_ends_close(&second);
			sh_output("stat -c '%a %F' /tmp/test", 0);
			assert_string_equal(text, "700 directory\n");
		}
		program_ends_close(&e);
		sh_output("while test -e /tmp/test; do sleep 0.01; done; echo gone", 0);
		assert_string_equal(text, "gone\n");
	}
}

/* The first display that is free at both addresses, and a file for it, which goes with it. */
static void
test_display(void **state)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_X11,
		.n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } },
		.port = GUEST_X11_PORT + 10,
		.path = "/tmp/test/key",
		.n_ports = 2,
		.name = { (const uint8_t *)"NAME", 4 },
		.cookie = { (const uint8_t *)"\1\2\3", 3 } };
	struct guest_listen tcp = { .kind = GUEST_LISTEN_TCP,
		.n = 1,
		.addresses = { { false, { 127, 0, 0, 1 } } },
		.port = GUEST_X11_PORT + 10 };
	struct program_ends busy;
	struct program_ends e;
	int fds[2] = { -1, -1 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct program_ends second;

		/* The first one is taken, then free, then taken at one of its addresses. */
		tcp.port = GUEST_X11_PORT + (i == 1 ? 11 : 10);
		order_listen(&tcp, &busy);
		assert_int_equal(hear_listener(busy.ctl, fds, 0).id, GUEST_CTL_LISTENING);
		order_listen(&at, &e);
		assert_int_equal(hear_listener(e.ctl, fds, 0).listening.port,
		    GUEST_X11_PORT + (i == 1 ? 10 : 11));
		sh_output("od -An -tx1 /tmp/test/key; stat -c '%a %F' /tmp/test/key /tmp/test", 0);
		assert_string_equal(text,
		    i == 1 ? " ff ff 00 00 00 02 31 30 00 04 4e 41 4d 45 00 03\n 01 02 03\n"
			     "600 regular file\n700 directory\n"
			   : " ff ff 00 00 00 02 31 31 00 04 4e 41 4d 45 00 03\n 01 02 03\n"
			     "600 regular file\n700 directory\n");
		/* No display is left. */
		order_listen(&at, &second);
		harness_expect_failed(&second, GUEST_FAIL_LISTEN, EADDRINUSE);
		program_ends_close(&second);
		program_ends_close(&busy);
		/* A display is, but not the file: what is there is somebody else's, and stays. */
		order_listen(&at, &second);
		harness_expect_failed(&second, GUEST_FAIL_LISTEN, EEXIST);
		program_ends_close(&second);
		sh_output("test -f /tmp/test/key && echo there", 0);
		assert_string_equal(text, "there\n");
		program_ends_close(&e);
		sh_output("while test -e /tmp/test; do sleep 0.01; done; echo gone", 0);
		assert_string_equal(text, "gone\n");
	}
}

/* Whoever comes second finds nobody, but the file is there until the end. */
static void
test_display_for_one(void **state)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_X11,
		.n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } },
		.port = GUEST_X11_PORT + 10,
		.path = "/tmp/test/key",
		.n_ports = 1,
		.only_one = true };
	struct program_ends e;
	int fds[2] = { -1, -1 };
	int first, second;

	(void)state;
	order_listen(&at, &e);
	assert_int_equal(hear_listener(e.ctl, fds, 0).id, GUEST_CTL_LISTENING);
	first = connect_here(at.port);
	assert_true(first >= 0);
	assert_int_equal(hear_listener(e.ctl, fds, 2).id, GUEST_CTL_ACCEPTED);
	say_taken(e.ctl);
	while ((second = connect_here(at.port)) >= 0)
		fd_close(&second);
	sh_output("stat -c %s /tmp/test/key", 0);
	assert_string_equal(text, "12\n");
	fd_close_all(fds, 2);
	fd_close(&first);
	program_ends_close(&e);
	sh_output("while test -e /tmp/test; do sleep 0.01; done; echo gone", 0);
	assert_string_equal(text, "gone\n");
}

static void
test_malformed_listeners(void **state)
{
	struct guest_listen at = { .kind = GUEST_LISTEN_TCP, .n = 1 };
	struct program_ends e;
	uint8_t record[64];
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_listen(&w, &at);
	for (size_t n = 1; n < w.len; n++) {
		send_with_fds(record, n, 1, &e);
		expect_refused(&e, EPROTO);
	}
	for (unsigned n = 2; n <= 4; n++) {
		send_with_fds(record, w.len, n, &e);
		expect_refused(&e, EPROTO);
	}
}

static void
test_wrong_descriptor_counts(void **state)
{
	uint8_t record[256];
	struct program_ends e;
	size_t len;

	(void)state;
	for (unsigned n = 1; n <= 4; n++) {
		len = encode_true(false, record, sizeof(record));
		send_with_fds(record, len, n, &e);
		if (n == 4) {
			harness_expect_started(&(struct program_ends){ e.ctl, -1, 0, -1, -1 });
			harness_expect_exit(&e, 0);
			program_ends_close(&e);
		} else {
			expect_refused(&e, EPROTO);
		}
		if (n == 1)
			continue;
		len = encode_true(true, record, sizeof(record));
		send_with_fds(record, len, n, &e);
		expect_refused(&e, EPROTO);
	}
	/* none at all: there is nobody to tell */
	harness_send_raw(&container, record, len, NULL, 0);
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
}

/* More descriptors than any order has: the record is dropped, its ctl ends, others go on. */
static void
test_surplus_descriptors(void **state)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * (IPC_CHAN_FDS_MAX + 1))];
		struct cmsghdr align;
	} control;
	uint8_t record[256];
	struct iovec iov = { record, encode_true(false, record, sizeof(record)) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	struct cmsghdr *c;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * (IPC_CHAN_FDS_MAX + 1));
	for (size_t i = 0; i < IPC_CHAN_FDS_MAX + 1; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &pair[0], sizeof(int));
	assert_true(sendmsg(container.order, &msg, MSG_NOSIGNAL) > 0);
	fd_close(&pair[0]);
	harness_expect_end(pair[1]);
	fd_close(&pair[1]);
	sh_output("echo well", 0);
	assert_string_equal(text, "well\n");
}

static void
test_oversized_order(void **state)
{
	static uint8_t record[GUEST_ORDER_MAX + 1];
	struct program_ends e;
	int size = 4 * GUEST_ORDER_MAX;

	(void)state;
	assert_int_equal(setsockopt(container.order, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	memset(record, 1, sizeof(record));
	send_with_fds(record, sizeof(record), 4, &e);
	harness_expect_end(e.ctl);
	program_ends_close(&e);
	send_with_fds(record, sizeof(record) - 1, 4, &e);
	expect_refused(&e, EPROTO);
}

/* ---- many at a time ---- */

static void
test_ten_at_a_time(void **state)
{
	struct program_ends e[10];

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		char script[64];

		(void)snprintf(script, sizeof(script), "cat; exit %u", i);
		harness_sh(&container, script, &e[i]);
	}
	for (unsigned i = 10; i-- > 0;) {
		char word[16];
		int n = snprintf(word, sizeof(word), "program %u", i);

		harness_expect_started(&e[i]);
		assert_int_equal(write(e[i].in, word, (size_t)n), n);
		fd_close(&e[i].in);
		harness_read_all(e[i].out, text, sizeof(text));
		assert_string_equal(text, word);
		harness_expect_exit(&e[i], i);
		program_ends_close(&e[i]);
	}
}

/* Order until there is room again; nobody but root can see when that is. */
static void
wait_for_room(void)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;
	struct guest_ctl m = { .id = GUEST_CTL_FAILED };

	while (m.id != GUEST_CTL_STARTED) {
		struct program_ends e;
		int fd;

		assert_true(harness_now_ms() < until);
		harness_sh(&container, "exit 0", &e);
		harness_recv(e.ctl, &m, &fd);
		assert_true(m.id == GUEST_CTL_STARTED || m.failed.stage == GUEST_FAIL_ORDER);
		program_ends_close(&e);
	}
}

static void
test_table_full(void **state)
{
	static const char *const argv[] = { "/bin/sleep", "1000", NULL };
	static struct program_ends e[256];
	uint8_t record[256];
	struct wire_writer w;
	struct program_ends surplus;

	(void)state;
	order_for(argv);
	wire_writer_init(&w, record, sizeof(record));
	guest_put_spawn(&w, &order);
	for (size_t i = 0; i < SP_ARRAY_LEN(e); i++) {
		send_with_fds(record, w.len, 4, &e[i]);
		harness_expect_started(&(struct program_ends){ e[i].ctl, -1, 0, -1, -1 });
	}
	send_with_fds(record, w.len, 4, &surplus);
	expect_refused(&surplus, EAGAIN);
	for (size_t i = 0; i < SP_ARRAY_LEN(e); i++)
		program_ends_close(&e[i]);
	wait_for_room();
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	harness_expect_gone(&container, "cmdline", "[s]leep 1000");
}

/* Programs whose parents are gone end as children of process 1; no zombie may stay. */
static void
test_orphans_are_reaped(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		sh_output("(sleep 0.1 >/dev/null & ) ; (setsid sleep 0.1 >/dev/null & ) ; exit 0", 0);
	harness_expect_gone(&container, "stat", "(sleep)");
}

/* A worker that does not read: its program runs and ends all the same, and nobody else waits. */
static void
test_full_ctl(void **state)
{
	uint8_t record[256];
	size_t len = encode_true(false, record, sizeof(record));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[4] = { -1, null, null, null };
	struct program_ends e;
	int pair[2];
	unsigned junk = 0;
	char drop[8];
	size_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	while (ipc_chan_send_plain(pair[0], "junk", 4, MSG_DONTWAIT) == 0)
		junk++;
	fds[0] = pair[0];
	harness_send_raw(&container, record, len, fds, 4);
	fd_close(&pair[0]);
	fd_close(&null);
	harness_expect_gone(&container, "cmdline", "[/]bin/true");
	for (; junk > 0; junk--)
		assert_int_equal(ipc_chan_recv(pair[1], drop, sizeof(drop), &n, 0), 0);
	e = (struct program_ends){ pair[1], -1, 0, -1, -1 };
	harness_expect_started(&e);
	harness_expect_exit(&e, 0);
	fd_close(&e.ctl);
}

/* The same, but the room ends between the first message and the last. */
static void
test_full_ctl_at_the_end(void **state)
{
	static const char *const argv[] = { "/bin/cat", NULL };
	uint8_t record[256];
	struct wire_writer w;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ctl[2];
	int in[2];
	struct program_ends e;
	unsigned junk = 0;
	char drop[8];
	size_t n;

	(void)state;
	order_for(argv);
	wire_writer_init(&w, record, sizeof(record));
	guest_put_spawn(&w, &order);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	harness_send_raw(&container, record, w.len, (int[]){ ctl[0], in[0], null, null }, 4);
	e = (struct program_ends){ ctl[1], -1, 0, -1, -1 };
	harness_expect_started(&e);
	while (ipc_chan_send_plain(ctl[0], "junk", 4, MSG_DONTWAIT) == 0)
		junk++;
	fd_close(&ctl[0]);
	fd_close_all(in, 2); /* cat ends */
	fd_close(&null);
	harness_expect_gone(&container, "cmdline", "[/]bin/cat");
	for (; junk > 0; junk--)
		assert_int_equal(ipc_chan_recv(ctl[1], drop, sizeof(drop), &n, 0), 0);
	harness_expect_exit(&e, 0);
	fd_close(&e.ctl);
}

/* Nobody of the same user may look into process 1 or steer it. */
static void
test_process_1_is_closed(void **state)
{
	(void)state;
	sh_output("cat /proc/1/environ || ls /proc/1/fd || cat /proc/1/maps || echo shut", 0);
	assert_string_equal(text, "shut\n");
}

static void
test_by_hand(void **state)
{
	int out[2];
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(out[1], 2);
		execl(guest_path, guest_path, (char *)NULL);
		_exit(99);
	}
	fd_close(&out[1]);
	harness_read_all(out[0], text, sizeof(text));
	fd_close(&out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 2);
	assert_non_null(strstr(text, "sallyport-guest"));
	assert_non_null(strstr(text, "container"));
}

int
main(int argc, char **argv)
{
#define CASE(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_streams),
		CASE(test_every_exit_code),
		CASE(test_ends_by_signal),
		CASE(test_clean_start),
		CASE(test_environment),
		CASE(test_path),
		CASE(test_argv0_and_workdir),
		CASE(test_largest_order),
		CASE(test_exec_failures),
		CASE(test_workdir_failures),
		CASE(test_home_for_a_directory),
		CASE(test_malformed_orders),
		CASE(test_malformed_ends),
		CASE(test_connection),
		CASE(test_no_connection),
		CASE(test_malformed_connections),
		CASE(test_listener),
		CASE(test_malformed_listener_ctl),
		CASE(test_taken_too_often),
		CASE(test_words_on_the_ctl_of_a_connection),
		CASE(test_listener_at_a_path),
		CASE(test_display),
		CASE(test_display_for_one),
		CASE(test_malformed_listeners),
		CASE(test_wrong_descriptor_counts),
		CASE(test_surplus_descriptors),
		CASE(test_oversized_order),
		CASE(test_ten_at_a_time),
		CASE(test_table_full),
		CASE(test_orphans_are_reaped),
		CASE(test_full_ctl),
		CASE(test_full_ctl_at_the_end),
		CASE(test_process_1_is_closed),
		CASE(test_by_hand),
	};

	if (argc > 1)
		guest_path = argv[1];
	harness_set_guest(guest_path);
	if (!harness_is_possible()) {
		fprintf(stderr, "skipped: this machine lets nobody make namespaces\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
