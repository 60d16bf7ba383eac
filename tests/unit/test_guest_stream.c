/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest as the engine starts it for one channel: the tests are the worker at the other end of its
 * stdin and stdout. And the guest that only waits, as process 1 of a namespace in which it did not start
 * the others. Each case ends with the guest gone and this process's descriptors as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "guest_harness.h"
#include "stream_msg.h"
#include "test.h"

#define GRACE_MS    300
#define PIECES_MAX  4
#define LARGE       (64 << 20)
#define LEAVES_OPEN "--leaves-terminal-open" /* this program in a guest's terminal */

static const char *guest_path = GUEST_FILE;
static struct guest_spawn order; /* too large for a stack */
static uint8_t record[GUEST_ORDER_MAX];
static size_t record_len;
static uint8_t zeros[STREAM_DATA_MAX];

/* The worker's side of one guest, and all that it has heard. */
static struct worker {
	pid_t guest;
	int to, from;
	uint8_t in[STREAM_FRAME_MAX];
	size_t in_len;
	bool hello, started, failed, exited, connected, output_ended, errors_ended, input_ended, over;
	struct guest_ctl failure, exit;
	uint64_t credit; /* for INPUT */
	bool generous;   /* each byte that comes makes room for another one */
	char output[65536], errors[65536];
	size_t output_len, errors_len; /* how much has come; of the first the begin is kept */
} w;
static unsigned fds_before;

/* ---- the guest's process ---- */

static _Noreturn void
become_guest(char **argv, int in, int out)
{
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(99);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	execv(guest_path, argv);
	_exit(99);
}

static void
start_with(const char *const *pieces)
{
	char option[] = GUEST_STREAM_OPTION;
	char *argv[PIECES_MAX + 3] = { strdup(guest_path), option };
	int in[2], out[2];

	memset(&w, 0, sizeof(w));
	w.generous = true;
	for (int i = 0; i <= PIECES_MAX && pieces[i] != NULL; i++)
		argv[2 + i] = strdup(pieces[i]);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	w.guest = fork();
	assert_true(w.guest >= 0);
	if (w.guest == 0)
		become_guest(argv, in[0], out[1]);
	fd_close(&in[0]);
	fd_close(&out[1]);
	w.to = in[1];
	w.from = out[0];
	free(argv[0]);
	for (int i = 2; argv[i] != NULL; i++)
		free(argv[i]);
}

/* With what is in record. */
static void
start_raw(void)
{
	static char text[PIECES_MAX * STREAM_ORDER_PIECE + 1];
	static char space[PIECES_MAX][STREAM_ORDER_PIECE + 1];
	const char *pieces[PIECES_MAX + 1] = { NULL };

	text[stream_base64_put(text, record, record_len)] = '\0';
	for (size_t i = 0; i * STREAM_ORDER_PIECE < strlen(text); i++) {
		(void)snprintf(space[i], sizeof(space[i]), "%s", text + i * STREAM_ORDER_PIECE);
		pieces[i] = space[i];
	}
	start_with(pieces);
}

static void
encode_order(void)
{
	struct wire_writer out;

	wire_writer_init(&out, record, sizeof(record));
	guest_put_spawn(&out, &order);
	assert_false(out.failed);
	record_len = out.len;
}

static void
start_order(void)
{
	encode_order();
	start_raw();
}

static void
start_sh(const char *script, bool pty)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };

	memset(&order, 0, sizeof(order));
	order.want_pty = pty;
	order.columns = 91;
	order.rows = 37;
	order.hangup_grace_ms = GRACE_MS;
	harness_set_argv(&order, argv);
	start_order();
}

/* The guest ends, with this status, in this time. */
static void
expect_gone(int status, int64_t least, int64_t most)
{
	int64_t from = harness_now_ms();
	int got;
	pid_t pid;

	while ((pid = waitpid(w.guest, &got, WNOHANG)) == 0) {
		if (harness_now_ms() - from > most)
			fail_msg("the guest does not end");
		(void)usleep(2000);
	}
	assert_int_equal(pid, w.guest);
	assert_int_equal(got, status << 8);
	assert_in_range(harness_now_ms() - from, least, most);
	fd_close(&w.to);
	fd_close(&w.from);
	w.guest = 0;
}

static void
finish(void)
{
	fd_close(&w.to);
	expect_gone(0, 0, HARNESS_WAIT_MS);
}

static void
expect_process_gone(pid_t pid)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;

	assert_true(pid > 1);
	while (kill(pid, 0) == 0) {
		if (harness_now_ms() > until)
			fail_msg("process %d is still there", (int)pid);
		(void)usleep(2000);
	}
}

static int
setup(void **state)
{
	(void)state;
	fds_before = count_fds();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(w.guest, 0);
	assert_int_equal(count_fds(), fds_before);
	return 0;
}

/* ---- frames ---- */

static void
send_bytes(const void *data, size_t len)
{
	assert_int_equal(write(w.to, data, len), len);
}

static void
send_frame(const struct stream_frame *f)
{
	static uint8_t bytes[STREAM_FRAME_MAX];
	struct wire_writer out;

	wire_writer_init(&out, bytes, sizeof(bytes));
	stream_put(&out, f);
	assert_false(out.failed);
	send_bytes(out.data, out.len);
}

static void
send_kind(enum stream_kind kind)
{
	send_frame(&(struct stream_frame){ .kind = kind });
}

static void
send_hello(uint32_t credit)
{
	send_frame(
	    &(struct stream_frame){ .kind = STREAM_HELLO, .hello = { STREAM_VERSION, credit } });
}

static void
send_more(uint32_t credit)
{
	send_frame(&(struct stream_frame){ .kind = STREAM_MORE, .more = credit });
}

static void
send_input(const void *data, size_t len)
{
	assert_true(len <= w.credit);
	w.credit -= len;
	send_frame(&(struct stream_frame){ .kind = STREAM_INPUT, .data = { data, len } });
}

static void
type(const char *text)
{
	send_input(text, strlen(text));
}

static void
send_size(uint32_t columns, uint32_t rows)
{
	send_frame(&(struct stream_frame){ .kind = STREAM_SIZE, .size = { columns, rows, 0, 0 } });
}

static void
send_signal(int number)
{
	struct guest_ctl m = { .id = GUEST_CTL_SIGNAL, .signal = { (uint32_t)number } };
	uint8_t bytes[GUEST_CTL_MAX];
	struct wire_writer out;

	wire_writer_init(&out, bytes, sizeof(bytes));
	guest_put_ctl(&out, &m);
	send_frame(&(struct stream_frame){ .kind = STREAM_CTL, .data = { out.data, out.len } });
}

static void
on_ctl(struct wire_span data)
{
	struct wire_reader r;
	struct guest_ctl m;

	wire_reader_init(&r, data.data, data.len);
	assert_int_equal(guest_get_ctl(&r, &m), 0);
	if (m.id == GUEST_CTL_EXITED) {
		assert_true(w.started && !w.exited);
		w.exited = true;
		w.exit = m;
		return;
	}
	assert_false(w.started || w.failed || w.connected);
	w.started = m.id == GUEST_CTL_STARTED;
	w.failed = m.id == GUEST_CTL_FAILED;
	w.connected = m.id == GUEST_CTL_CONNECTED;
	assert_true(w.started || w.failed || w.connected);
	w.failure = m;
}

static void
on_data(char *text, size_t *len, struct wire_span data)
{
	size_t space = *len < sizeof(w.output) - 1 ? sizeof(w.output) - 1 - *len : 0;

	if (space > 0)
		memcpy(text + *len, data.data, data.len < space ? data.len : space);
	*len += data.len;
	if (w.generous)
		send_more((uint32_t)data.len);
}

static void
on_frame(const struct stream_frame *f)
{
	assert_true(w.hello == (f->kind != STREAM_HELLO));
	switch (f->kind) {
	case STREAM_HELLO:
		assert_int_equal(f->hello.version, STREAM_VERSION);
		assert_int_equal(f->hello.credit, STREAM_CREDIT);
		w.hello = true;
		w.credit = STREAM_CREDIT;
		break;
	case STREAM_CTL:
		on_ctl(f->data);
		break;
	case STREAM_OUTPUT:
		assert_false(w.output_ended);
		on_data(w.output, &w.output_len, f->data);
		break;
	case STREAM_ERRORS:
		assert_false(w.errors_ended);
		on_data(w.errors, &w.errors_len, f->data);
		break;
	case STREAM_OUTPUT_END:
		assert_false(w.output_ended);
		w.output_ended = true;
		break;
	case STREAM_ERRORS_END:
		assert_false(w.errors_ended);
		w.errors_ended = true;
		break;
	case STREAM_MORE:
		w.credit += f->more;
		assert_in_range(w.credit, 1, STREAM_CREDIT);
		break;
	case STREAM_INPUT_END:
		assert_false(w.input_ended);
		w.input_ended = true;
		break;
	case STREAM_INPUT:
	case STREAM_SIZE:
		fail_msg("the guest says frame %d", (int)f->kind);
	}
}

static bool
is_readable(int fd, int ms)
{
	return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, ms) == 1;
}

/* Take one read's worth of what the guest says. */
static void
hear(void)
{
	struct stream_frame f;
	size_t used = 0, len;
	ssize_t n;
	int result;

	if (!is_readable(w.from, HARNESS_WAIT_MS))
		fail_msg("the guest says nothing: %.200s", w.output);
	n = read(w.from, w.in + w.in_len, sizeof(w.in) - w.in_len);
	assert_true(n >= 0);
	w.over = n == 0;
	w.in_len += (size_t)n;
	while ((result = stream_get(w.in + used, w.in_len - used, &f, &len)) == 0) {
		on_frame(&f);
		used += len;
	}
	assert_int_equal(result, STREAM_E_SHORT);
	w.in_len -= used;
	memmove(w.in, w.in + used, w.in_len);
}

#define HEAR_UNTIL(condition)                                             \
	do {                                                              \
		while (!(condition)) {                                    \
			if (w.over)                                       \
				fail_msg("the guest ended: " #condition); \
			hear();                                           \
		}                                                         \
	} while (0)

static void
greet(uint32_t credit)
{
	send_hello(credit);
	HEAR_UNTIL(w.hello);
}

static void
hear_output(const char *what)
{
	HEAR_UNTIL(strstr(w.output, what) != NULL);
}

static void
expect_exit(bool signaled, unsigned value)
{
	HEAR_UNTIL(w.exited);
	assert_int_equal(w.exit.exited.signaled, signaled);
	assert_int_equal(w.exit.exited.value, value);
}

static void
expect_failed(enum guest_fail_stage stage, int error)
{
	HEAR_UNTIL(w.failed);
	assert_int_equal(w.failure.failed.stage, stage);
	assert_int_equal(w.failure.failed.error, error);
}

/* Say HELLO, and hear all that the script says to its end. */
static void
run_sh(const char *script, bool pty)
{
	start_sh(script, pty);
	greet(STREAM_CREDIT);
	HEAR_UNTIL(w.exited && w.output_ended && (pty || w.errors_ended));
}

/* A number that the program has written first. */
static pid_t
heard_pid(void)
{
	hear_output("\n");
	return (pid_t)strtol(w.output, NULL, 10);
}

/* ---- programs ---- */

static void
test_echo(void **state)
{
	(void)state;
	start_sh("cat; echo err >&2; exit 7", false);
	greet(STREAM_CREDIT);
	type("in to ");
	type("out");
	hear_output("in to out");
	assert_false(w.output_ended);
	send_kind(STREAM_INPUT_END);
	HEAR_UNTIL(w.exited && w.output_ended && w.errors_ended);
	expect_exit(false, 7);
	assert_string_equal(w.output, "in to out");
	assert_string_equal(w.errors, "err\n");
	finish();
}

/* All at once, before the guest has said a word: also the end. */
static void
test_said_in_advance(void **state)
{
	(void)state;
	start_sh("cat", false);
	send_hello(STREAM_CREDIT);
	w.credit = STREAM_CREDIT;
	type("early");
	send_kind(STREAM_INPUT_END);
	HEAR_UNTIL(w.exited && w.output_ended && w.errors_ended);
	assert_string_equal(w.output, "early");
	finish();
}

/* Frames in the smallest pieces that a stream can make of them. */
static void
test_byte_by_byte(void **state)
{
	static const char said[] = "\1\0\0\0\10\0\0\0\1\0\4\0\0"
				   "\3\0\0\0\5hello"
				   "\4\0\0\0";

	(void)state;
	start_sh("cat", false);
	for (size_t i = 0; i < sizeof(said); i++) {
		send_bytes(said + i, 1);
		(void)usleep(200);
	}
	HEAR_UNTIL(w.exited && w.output_ended);
	assert_string_equal(w.output, "hello");
	finish();
}

static void
test_exit_codes(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 256; code += 51) {
		char script[32];

		(void)snprintf(script, sizeof(script), "exit %u", code);
		run_sh(script, false);
		expect_exit(false, code);
		finish();
	}
}

static void
test_clean_start(void **state)
{
	(void)state;
	run_sh("ls /proc/$$/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; umask", false);
	assert_string_equal(w.output,
	    "0\n1\n2\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0022\n");
	finish();
}

static void
test_failures(void **state)
{
	static const char *const argv[] = { "/nowhere/program", NULL };

	(void)state;
	for (int pty = 0; pty < 2; pty++) {
		memset(&order, 0, sizeof(order));
		order.want_pty = pty == 1;
		harness_set_argv(&order, argv);
		start_order();
		greet(STREAM_CREDIT);
		type("for nobody");
		expect_failed(GUEST_FAIL_EXEC, ENOENT);
		send_signal(SIGTERM);
		finish();
	}
}

static void
test_largest_order(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c", "echo $#; printf %s \"$1\" | wc -c",
		"x", NULL };
	static char large[120000];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	memset(&order, 0, sizeof(order));
	harness_set_argv(&order, argv);
	order.argv[order.n_argv++] = harness_span(large);
	start_order();
	greet(STREAM_CREDIT);
	HEAR_UNTIL(w.exited && w.output_ended);
	assert_string_equal(w.output, "1\n119999\n");
	finish();
}

/* Who lists processes does not see the order again. */
static void
test_order_is_not_shown(void **state)
{
	char path[64], shown[256];
	ssize_t n;
	int fd;

	(void)state;
	start_sh("exec sleep 1000", false);
	greet(STREAM_CREDIT);
	HEAR_UNTIL(w.started);
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)w.guest);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, shown, sizeof(shown));
	fd_close(&fd);
	assert_true(n > 0);
	for (size_t i = strlen(guest_path) + sizeof(GUEST_STREAM_OPTION) + 1; i < (size_t)n; i++)
		assert_int_equal(shown[i], '\0');
	finish();
}

/* ---- signals ---- */

static void
test_signals(void **state)
{
	(void)state;
	start_sh("exec sleep 1000", false);
	send_hello(STREAM_CREDIT);
	send_signal(SIGTERM); /* even before it has started */
	expect_exit(true, SIGTERM);
	send_signal(SIGKILL); /* too late: nobody's */
	HEAR_UNTIL(w.output_ended && w.errors_ended);
	finish();
}

/* More at once than any queue on the way has room for. */
static void
test_many_signals(void **state)
{
	(void)state;
	start_sh("trap : USR1; trap 'exit 9' USR2; sh -c 'echo ready; exec sleep 1000' & "
		 "while :; do wait; done",
	    false);
	greet(STREAM_CREDIT);
	hear_output("ready");
	for (int i = 0; i < 10000; i++)
		send_signal(SIGUSR1);
	send_signal(SIGUSR2);
	expect_exit(false, 9);
	finish();
}

/* The program does not read, all of the credit is used: a signal comes through. */
static void
test_signal_past_input(void **state)
{
	(void)state;
	start_sh("trap 'exit 5' USR1; sh -c 'echo ready; exec sleep 1000' & wait", false);
	greet(STREAM_CREDIT);
	hear_output("ready");
	for (unsigned sent = 0; sent < STREAM_CREDIT; sent += STREAM_DATA_MAX)
		send_input(zeros, STREAM_DATA_MAX);
	send_signal(SIGUSR1);
	expect_exit(false, 5);
	finish();
}

/* ---- credit ---- */

/* The worker takes no more data: how it ended is heard all the same, and the rest comes when it may. */
static void
test_exit_past_output(void **state)
{
	(void)state;
	start_sh("head -c 60000 /dev/zero; head -c 50000 /dev/zero >&2; exit 3", false);
	w.generous = false;
	greet(1000);
	expect_exit(false, 3);
	while (is_readable(w.from, 200))
		hear();
	assert_int_equal(w.output_len + w.errors_len, 1000);
	assert_false(w.output_ended && w.errors_ended);
	send_more(1);
	while (is_readable(w.from, 200))
		hear();
	assert_int_equal(w.output_len + w.errors_len, 1001);
	send_more(STREAM_CREDIT);
	HEAR_UNTIL(w.output_ended && w.errors_ended);
	assert_int_equal(w.output_len, 60000);
	assert_int_equal(w.errors_len, 50000);
	finish();
}

/* A terminal holds more than it says, and the news of an exit comes after that as well. */
static void
test_exit_behind_a_terminals_output(void **state)
{
	(void)state;
	start_sh("stty -opost; echo ready; sleep 0.2; head -c 10000 /dev/zero; exit 3", true);
	greet(STREAM_CREDIT);
	hear_output("ready");
	/* Everything has happened before it looks. */
	assert_int_equal(kill(w.guest, SIGSTOP), 0);
	(void)usleep(700000);
	assert_int_equal(kill(w.guest, SIGCONT), 0);
	expect_exit(false, 3);
	assert_int_equal(w.output_len, 10006);
	HEAR_UNTIL(w.output_ended);
	finish();
}

/* A program that leaves its terminal to somebody who keeps it, and says one word more. */
static _Noreturn void
leave_terminal_open(void)
{
	(void)signal(SIGHUP, SIG_IGN);
	if (ioctl(0, TIOCNOTTY) < 0)
		_exit(99);
	if (fork() != 0)
		_exit(5);
	(void)usleep(50000);
	(void)!write(1, "late", 4);
	(void)pause();
	_exit(0);
}

/* Such a terminal has ended when it is silent for a moment, and not when nobody has taken what it said. */
static void
test_terminal_that_is_left_open(void **state)
{
	char path[4096] = "";

	(void)state;
	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	memset(&order, 0, sizeof(order));
	order.want_pty = true;
	order.hangup_grace_ms = GRACE_MS;
	harness_set_argv(&order, (const char *const[]){ path, LEAVES_OPEN, NULL });
	start_order();
	w.generous = false;
	greet(2);
	expect_exit(false, 5);
	while (is_readable(w.from, 500))
		hear();
	assert_int_equal(w.output_len, 2);
	assert_false(w.output_ended);
	send_more(1000);
	HEAR_UNTIL(w.output_ended);
	assert_string_equal(w.output, "late");
	finish();
}

/* Nobody reads INPUT any more: it goes nowhere, and the worker is not made to wait. */
static void
test_input_for_nobody(void **state)
{
	(void)state;
	start_sh("exec <&-; echo ready; while :; do sleep 0.05; done", false);
	greet(STREAM_CREDIT);
	hear_output("ready");
	for (unsigned sent = 0; sent < 4 * STREAM_CREDIT; sent += STREAM_DATA_MAX) {
		HEAR_UNTIL(w.credit >= STREAM_DATA_MAX);
		send_input(zeros, STREAM_DATA_MAX);
	}
	assert_true(w.input_ended);
	send_kind(STREAM_INPUT_END);
	finish();
}

/* A program that writes to nobody hears of it as from a pipe; the other stream goes on. */
static void
test_output_for_nobody(void **state)
{
	(void)state;
	start_sh("echo ready; read x; while echo more; do :; done 2>/dev/null; echo closed >&2; exit 5",
	    false);
	greet(STREAM_CREDIT);
	hear_output("ready");
	send_kind(STREAM_OUTPUT_END);
	send_input((const uint8_t *)"go\n", 3);
	expect_exit(true, SIGPIPE);
	finish();
	start_sh("trap '' PIPE; echo ready; read x; while echo more; do :; done; echo closed >&2; exit 5",
	    false);
	greet(STREAM_CREDIT);
	hear_output("ready");
	send_kind(STREAM_OUTPUT_END);
	send_kind(STREAM_OUTPUT_END);
	send_input((const uint8_t *)"go\n", 3);
	HEAR_UNTIL(w.errors_ended);
	assert_non_null(strstr(w.errors, "closed"));
	expect_exit(false, 5);
	finish();
}

static uint8_t
byte_at(uint64_t n)
{
	return (uint8_t)(n * 31 + n / 251 + n / 65521);
}

/* Send what fits and is credited, of LARGE bytes in all; true when something was sent. */
static bool
push(uint64_t *sent)
{
	static uint8_t data[STREAM_DATA_MAX];
	size_t n = sizeof(data);

	if (*sent == LARGE || w.credit == 0)
		return false;
	if (n > w.credit)
		n = (size_t)w.credit;
	if (n > LARGE - *sent)
		n = (size_t)(LARGE - *sent);
	for (size_t i = 0; i < n; i++)
		data[i] = byte_at(*sent + i);
	*sent += n;
	send_input(data, n);
	if (*sent == LARGE)
		send_kind(STREAM_INPUT_END);
	return true;
}

/* Both ways at once. What comes is checked where it is kept. */
static void
test_large(void **state)
{
	uint64_t sent = 0, checked = 0;

	(void)state;
	start_sh("exec cat", false);
	greet(STREAM_CREDIT);
	while (!w.output_ended) {
		if (push(&sent))
			continue;
		hear();
		assert_true(w.output_len < sizeof(w.output));
		for (size_t i = 0; i < w.output_len; i++, checked++) {
			if ((uint8_t)w.output[i] != byte_at(checked))
				fail_msg("byte %llu is another one", (unsigned long long)checked);
		}
		w.output_len = 0;
	}
	assert_int_equal(checked, LARGE);
	expect_exit(false, 0);
	finish();
}

/* ---- terminals ---- */

static void
test_terminal(void **state)
{
	(void)state;
	run_sh("test \"$(tty)\" = \"$SSH_TTY\" && echo same; stty size; test -t 0 -a -t 1 -a -t 2 && "
	       "echo three; ls /proc/$$/fd; exit 3",
	    true);
	assert_string_equal(w.output, "same\r\n37 91\r\nthree\r\n0  1  2\r\n");
	assert_false(w.errors_ended);
	expect_exit(false, 3);
	send_size(80, 24); /* on its way while the program ended */
	type("also");
	send_kind(STREAM_INPUT_END);
	finish();
}

static void
test_terminal_input(void **state)
{
	(void)state;
	start_sh("stty -echo; trap 'exit 44' INT; echo ready; read -r line; echo \"got $line\"; cat; "
		 "echo ended; while :; do sleep 0.05; done",
	    true);
	greet(STREAM_CREDIT);
	hear_output("ready");
	type("a line\n");
	hear_output("got a line");
	type("\4"); /* the end for cat, which is no end of INPUT */
	hear_output("ended");
	type("\3");
	expect_exit(false, 44);
	finish();
}

static void
test_window_change(void **state)
{
	(void)state;
	start_sh("trap 'stty size; exit 0' WINCH; sh -c 'echo ready; exec sleep 1000' & wait", true);
	greet(STREAM_CREDIT);
	hear_output("ready");
	send_size(132, 50);
	hear_output("50 132");
	expect_exit(false, 0);
	finish();
}

/* A size does not overtake the bytes before it; of very many in between the last one counts. */
static void
test_sizes_in_order(void **state)
{
	(void)state;
	start_sh("stty raw -echo; echo ready; sleep 0.5; stty size; head -c 104000 >/dev/null; "
		 "sleep 0.2; stty size",
	    true);
	greet(STREAM_CREDIT);
	hear_output("ready");
	for (int i = 0; i < 100; i++)
		send_input(zeros, 1000);
	for (uint32_t i = 1; i <= 40; i++) {
		send_input(zeros, 100);
		send_size(100 + i, 50);
	}
	HEAR_UNTIL(w.exited && w.output_ended);
	assert_non_null(strstr(w.output, "37 91"));
	assert_non_null(strstr(w.output, "50 140"));
	finish();
}

/* ---- ends ---- */

/* Its streams are closed with everything else, so it keeps away from them. */
static void
test_hang_up(void **state)
{
	char path[] = "/tmp/sallyport-stream.XXXXXX";
	char script[256], text[16];
	SP_CLEANUP_FD int fd = mkostemp(path, O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	(void)snprintf(script, sizeof(script),
	    "trap 'echo HUP >%s; exit' HUP; sh -c 'echo ready; exec sleep 1000 >/dev/null 2>&1' & "
	    "exec >/dev/null 2>&1; wait",
	    path);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		start_sh(script, i == 2);
		greet(STREAM_CREDIT);
		hear_output("ready");
		if (i == 0)
			fd_close(&w.to);
		else
			assert_int_equal(kill(w.guest, i == 1 ? SIGTERM : SIGHUP), 0);
		expect_gone(0, 0, HARNESS_WAIT_MS);
		assert_int_equal(pread(fd, text, sizeof(text), 0), 4);
		assert_memory_equal(text, "HUP\n", 4);
	}
	assert_int_equal(unlink(path), 0);
}

/* Who ignores HUP has the grace time, and not more; and who is with it in the session goes with it. */
static void
test_grace(void **state)
{
	pid_t pid, child;
	char *end;

	(void)state;
	for (int pty = 0; pty < 2; pty++) {
		start_sh("trap '' HUP TERM INT; nohup sleep 1000 2>/dev/null >/dev/null & echo $$ $!; "
			 "while :; do sleep 0.05; done",
		    pty == 1);
		greet(STREAM_CREDIT);
		hear_output("\n");
		pid = (pid_t)strtol(w.output, &end, 10);
		child = (pid_t)strtol(end, NULL, 10);
		fd_close(&w.to);
		expect_gone(0, GRACE_MS - 50, HARNESS_WAIT_MS);
		expect_process_gone(pid);
		expect_process_gone(child);
	}
}

/* Before it has started, and while it writes to somebody who does not listen any more. */
static void
test_gone_at_any_time(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		start_sh("exec sleep 1000", i % 2 == 1);
		if (i >= 10)
			send_hello(STREAM_CREDIT);
		(void)usleep((unsigned)(i / 10) * 500);
		finish();
	}
	start_sh("echo $$; exec cat /dev/zero", false);
	greet(STREAM_CREDIT);
	{
		pid_t pid = heard_pid();

		fd_close(&w.from);
		expect_gone(0, 0, HARNESS_WAIT_MS);
		expect_process_gone(pid);
	}
}

/* The program has ended, what it left behind keeps its stdout: as on the direct path. */
static void
test_leftovers(void **state)
{
	pid_t pid;

	(void)state;
	start_sh("(while :; do sleep 0.05; done) & echo $!", false);
	greet(STREAM_CREDIT);
	expect_exit(false, 0);
	pid = heard_pid();
	assert_false(is_readable(w.from, 300));
	assert_false(w.output_ended || w.errors_ended);
	finish();
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);

	/* With a terminal the kernel hangs it up, and nobody else does: who does not listen stays. */
	start_sh("sleep 1000 & echo $!", true);
	greet(STREAM_CREDIT);
	expect_exit(false, 0);
	pid = heard_pid();
	finish();
	expect_process_gone(pid);
	start_sh("trap '' HUP; sleep 1000 & echo $!", true);
	greet(STREAM_CREDIT);
	expect_exit(false, 0);
	pid = heard_pid();
	finish();
	(void)usleep(500000); /* more than the grace time */
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
}

/* ---- a worker that breaks the protocol ---- */

static void
test_more_input_than_credit(void **state)
{
	pid_t pid;

	(void)state;
	start_sh("echo $$; exec sleep 1000", false);
	greet(STREAM_CREDIT);
	pid = heard_pid();
	while (w.credit > 0) {
		while (w.credit > 0)
			send_input(zeros,
			    w.credit < sizeof(zeros) ? (size_t)w.credit : sizeof(zeros));
		while (is_readable(w.from, 200)) /* for what the program's pipe has taken */
			hear();
	}
	assert_int_equal(kill(pid, 0), 0);
	send_frame(&(struct stream_frame){ .kind = STREAM_INPUT, .data = { zeros, 1 } });
	expect_gone(0, 0, HARNESS_WAIT_MS);
	expect_process_gone(pid);
}

static const struct {
	const char *data;
	size_t len;
} garbage[] = {
	{ "GET / HTTP/1.1\r\n\r\n", 18 },
	{ "\0\0\0\0\0", 5 },
	{ "\13\0\0\0\0", 5 },
	{ "\377\377\377\377\377", 5 },
	{ "\1\0\0\0\7", 5 },
	{ "\1\0\0\0\10\0\0\0\1\0\0\0\0", 13 },
	{ "\1\0\0\0\10\0\0\0\1\0\4\0\1", 13 },
	{ "\2\0\0\0\0", 5 },
	{ "\2\0\0\1\1", 5 },
	{ "\3\0\0\0\0", 5 },
	{ "\3\0\0\200\1", 5 },
	{ "\4\0\0\0\1", 5 },
	{ "\5\0\0\0\1x", 6 },
	{ "\6\0\0\0\1x", 6 },
	{ "\11\0\0\0\4\0\0\0\0", 9 },
};

/* Right frames at the wrong time, after HELLO. */
static const struct {
	const char *data;
	size_t len;
} mistimed[] = {
	{ "\1\0\0\0\10\0\0\0\1\0\4\0\0", 13 },                  /* another HELLO */
	{ "\4\0\0\0\0\4\0\0\0\0", 10 },                         /* two ends */
	{ "\4\0\0\0\0\3\0\0\0\1x", 11 },                        /* something behind the end */
	{ "\11\0\0\0\4\0\4\0\0", 9 },                           /* more credit than there may be */
	{ "\12\0\0\0\20\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", 21 }, /* a size of no terminal */
	{ "\2\0\0\0\1\1", 6 },          /* STARTED is not the worker's to say */
	{ "\2\0\0\0\5\4\0\0\0\0", 10 }, /* no signal */
	{ "\2\0\0\0\5\4\0\0\0\101", 10 },
};

static void
expect_breach(const char *data, size_t len, bool hello)
{
	pid_t pid = 0;

	start_sh("trap '' HUP; echo $$; while :; do sleep 0.05; done", false);
	if (hello) {
		greet(STREAM_CREDIT);
		pid = heard_pid();
	}
	send_bytes(data, len);
	expect_gone(0, hello ? GRACE_MS - 50 : 0, HARNESS_WAIT_MS);
	if (hello)
		expect_process_gone(pid);
}

static void
test_garbage(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(garbage); i++) {
		expect_breach(garbage[i].data, garbage[i].len, false);
		expect_breach(garbage[i].data, garbage[i].len, true);
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(mistimed); i++)
		expect_breach(mistimed[i].data, mistimed[i].len, true);
}

/* Without HELLO not a word, whatever is said instead; with another version no more than HELLO. */
static void
test_hello(void **state)
{
	(void)state;
	start_sh("echo hello", false);
	assert_false(is_readable(w.from, 200));
	send_kind(STREAM_INPUT_END);
	hear();
	assert_true(w.over && !w.hello && w.in_len == 0);
	finish();
	start_sh("exec sleep 1000", false);
	send_frame(&(struct stream_frame){ .kind = STREAM_HELLO,
	    .hello = { STREAM_VERSION + 1, STREAM_CREDIT } });
	while (!w.over)
		hear();
	assert_true(w.hello && !w.started && !w.failed);
	finish();
}

/* ---- orders that are none ---- */

static void
expect_bad_order(void)
{
	assert_false(is_readable(w.from, 20));
	greet(STREAM_CREDIT);
	expect_failed(GUEST_FAIL_ORDER, EPROTO);
	while (!w.over)
		hear();
	expect_gone(0, 0, HARNESS_WAIT_MS);
}

static void
test_bad_base64(void **state)
{
	static const char *const bad[][3] = { { NULL }, { "" }, { "A" }, { "AAAA" }, { "!AAA" },
		{ "AQ==", "AAAA" }, { "AgAA", "A" } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		start_with(bad[i]);
		expect_bad_order();
	}
}

static void
test_bad_orders(void **state)
{
	struct guest_connect to = { .n = 1, .addresses = { { false, { 127, 0, 0, 1 } } }, .port = 1 };
	static const char *const argv[] = { "/bin/true", NULL };
	struct wire_writer out;
	size_t len;

	(void)state;
	memset(&order, 0, sizeof(order));
	harness_set_argv(&order, argv);
	encode_order();
	for (len = record_len, record_len = 1; record_len < len; record_len += 3) {
		start_raw();
		expect_bad_order();
	}
	record_len = len;
	record[record_len++] = 0;
	start_raw();
	expect_bad_order();

	wire_writer_init(&out, record, sizeof(record));
	guest_put_connect(&out, &to);
	record_len = out.len - 1;
	start_raw();
	expect_bad_order();
}

/* ---- connections ---- */

static void
start_connect(uint32_t port)
{
	struct guest_connect to = { .n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } },
		.port = port };
	struct wire_writer out;

	wire_writer_init(&out, record, sizeof(record));
	guest_put_connect(&out, &to);
	record_len = out.len;
	start_raw();
	greet(STREAM_CREDIT);
}

/* Each side ends for itself. */
static void
test_connection(void **state)
{
	char text[16];

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint32_t port;
		SP_CLEANUP_FD int listener = harness_listen_here(&port);
		SP_CLEANUP_FD int peer = -1;

		start_connect(port);
		type("there");
		peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(peer >= 0);
		HEAR_UNTIL(w.connected);
		assert_int_equal(recv(peer, text, sizeof(text), 0), 5);
		if (i == 0) {
			send_kind(STREAM_INPUT_END);
			assert_int_equal(recv(peer, text, sizeof(text), 0), 0);
			assert_int_equal(send(peer, "back", 4, 0), 4);
			hear_output("back");
			assert_false(w.output_ended);
			fd_close(&peer);
			HEAR_UNTIL(w.output_ended);
		} else {
			assert_int_equal(shutdown(peer, SHUT_WR), 0);
			HEAR_UNTIL(w.output_ended);
			type("still");
			assert_int_equal(recv(peer, text, sizeof(text), 0), 5);
			send_kind(STREAM_INPUT_END);
			assert_int_equal(recv(peer, text, sizeof(text), 0), 0);
		}
		assert_false(w.errors_ended);
		finish();
	}
}

/* By a name that this machine has, to addresses in this network. */
static void
start_connect_name(const char *name, uint8_t first, uint32_t port)
{
	struct guest_connect to = { .n_networks = 1,
		.networks = { { .bits = 8, .bytes = { first } } },
		.port = port };
	struct wire_writer out;

	strcpy(to.name, name);
	wire_writer_init(&out, record, sizeof(record));
	guest_put_connect(&out, &to);
	assert_false(out.failed);
	record_len = out.len;
	start_raw();
	greet(STREAM_CREDIT);
}

static void
test_connection_by_name(void **state)
{
	uint32_t port;
	SP_CLEANUP_FD int listener = harness_listen_here(&port);
	SP_CLEANUP_FD int peer = -1;
	char text[16];

	(void)state;
	start_connect_name("localhost", 127, port);
	type("there");
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	HEAR_UNTIL(w.connected);
	assert_int_equal(recv(peer, text, sizeof(text), 0), 5);
	assert_int_equal(send(peer, "back", 4, 0), 4);
	hear_output("back");
	finish();
	/* It has addresses, but none of these. */
	start_connect_name("localhost", 10, port);
	expect_failed(GUEST_FAIL_LOOKUP, EACCES);
	finish();
	/* Whose worker has gone leaves nobody behind. */
	for (int i = 0; i < 20; i++) {
		start_connect_name("localhost", 127, port);
		finish();
	}
}

/* A connection whose other end has not read what it was sent when the worker goes. Returns how much that was. */
static size_t
leave_unread(int *ret_peer)
{
	size_t sent = 0;
	uint32_t port;
	SP_CLEANUP_FD int listener = harness_listen_here(&port);
	int small = 4096;

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	start_connect(port);
	*ret_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	HEAR_UNTIL(w.connected);
	/* Until the kernel's buffers are full, and the guest's. */
	while (w.credit >= STREAM_DATA_MAX || is_readable(w.from, 300)) {
		if (w.credit < STREAM_DATA_MAX) {
			hear();
			continue;
		}
		send_input(zeros, STREAM_DATA_MAX);
		sent += STREAM_DATA_MAX;
	}
	send_kind(STREAM_INPUT_END);
	fd_close(&w.to);
	(void)usleep(200000);
	assert_int_equal(waitpid(w.guest, NULL, WNOHANG), 0);
	return sent;
}

/* Returns what the last recv() said. */
static ssize_t
read_all(int peer, size_t *ret_got)
{
	static uint8_t text[STREAM_DATA_MAX];
	ssize_t n;

	*ret_got = 0;
	while ((n = recv(peer, text, sizeof(text), 0)) > 0)
		*ret_got += (size_t)n;
	return n;
}

/* What was sent before the worker has gone still gets there, however slow that is. */
static void
test_last_bytes_of_a_connection(void **state)
{
	SP_CLEANUP_FD int peer = -1;
	size_t sent = leave_unread(&peer);
	size_t got;

	(void)state;
	assert_int_equal(read_all(peer, &got), 0);
	assert_int_equal(got, sent);
	expect_gone(0, 0, HARNESS_WAIT_MS);
}

/* But who does not read at all is not waited for, and told when it reads on; with the guest as shipped that takes minutes. */
static void
test_last_bytes_for_nobody(void **state)
{
	SP_CLEANUP_FD int peer = -1;
	size_t sent = leave_unread(&peer);
	size_t got;

	(void)state;
	if (strcmp(guest_path, GUEST_FILE) == 0) {
		(void)usleep(HARNESS_LEFT_MS * 1000);
		assert_int_equal(read_all(peer, &got), 0);
		assert_int_equal(got, sent);
		expect_gone(0, 0, HARNESS_WAIT_MS);
		return;
	}
	expect_gone(0, HARNESS_LEFT_MS / 2, 2 * HARNESS_LEFT_MS);
	assert_int_equal(read_all(peer, &got), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_true(got < sent);
}

/* The worker goes: so does the connection. */
static void
test_connection_dropped(void **state)
{
	uint32_t port;
	SP_CLEANUP_FD int listener = harness_listen_here(&port);
	SP_CLEANUP_FD int peer = -1;
	char text[16];

	(void)state;
	start_connect(port);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	HEAR_UNTIL(w.connected);
	finish();
	assert_int_equal(recv(peer, text, sizeof(text), 0), 0);
	start_connect(port);
	HEAR_UNTIL(w.connected);
	send_signal(SIGTERM); /* of nothing */
	expect_gone(0, 0, HARNESS_WAIT_MS);
}

static void
test_no_connection(void **state)
{
	uint32_t port;
	int listener = harness_listen_here(&port);

	(void)state;
	fd_close(&listener);
	start_connect(port);
	expect_failed(GUEST_FAIL_CONNECT, ECONNREFUSED);
	finish();
}

/* ---- the guest that waits ---- */

static struct {
	pid_t runner, first; /* the first process's parent, and itself */
	int out;             /* of the one beside it */
} held;

static _Noreturn void
run_hold(const char *grace, const char *script, int report, int out)
{
	char option[] = GUEST_HOLD_OPTION;
	char *argv[] = { strdup(guest_path), option, strdup(grace), NULL };
	pid_t first, pid;
	int status;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (!harness_enter_namespaces())
		_exit(77);
	first = fork();
	if (first == 0) {
		execv(guest_path, argv);
		_exit(99);
	}
	if (write(report, &first, sizeof(first)) != (ssize_t)sizeof(first))
		_exit(98);
	/* Beside it, not below: as the engine does. */
	if (script != NULL && fork() == 0) {
		(void)dup2(out, 1);
		execl("/bin/sh", "/bin/sh", "-c", script, (char *)NULL);
		_exit(99);
	}
	(void)close(out);
	while ((pid = wait(&status)) != first) {
		if (pid < 0)
			_exit(97);
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Before it has taken its signals, a first process is deaf to them. fork() of newer libraries holds all of them back
 * for a moment: that is still this program. */
static void
wait_for_signals_taken(void)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;
	char path[64], text[4096];
	const char *blocked = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)held.first);
	while (blocked == NULL || strncmp(text, "Name:\ttest_", 11) == 0 ||
	    strtoull(blocked + 8, NULL, 16) == 0) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, text, sizeof(text) - 1);

		fd_close(&fd);
		assert_true(n > 0 && harness_now_ms() < until);
		text[n] = '\0';
		blocked = strstr(text, "SigBlk:");
	}
}

static void
start_hold(const char *grace, const char *script)
{
	int report[2], out[2];

	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	held.runner = fork();
	assert_true(held.runner >= 0);
	if (held.runner == 0)
		run_hold(grace, script, report[1], out[1]);
	fd_close(&report[1]);
	fd_close(&out[1]);
	assert_int_equal(read(report[0], &held.first, sizeof(held.first)), sizeof(held.first));
	fd_close(&report[0]);
	held.out = out[0];
}

/* It ends with status within this time, and all that was in its namespace with it. */
static void
expect_end_of_hold(int status, int64_t least, int64_t most)
{
	int64_t from = harness_now_ms();
	int got;

	assert_int_equal(waitpid(held.runner, &got, 0), held.runner);
	assert_int_equal(got, status << 8);
	assert_in_range(harness_now_ms() - from, least, most);
	assert_true(harness_ends_within(held.out, HARNESS_WAIT_MS));
	fd_close(&held.out);
}

static void
test_hold(void **state)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	char text[64];

	(void)state;
	if (!harness_is_possible())
		skip();
	for (size_t i = 0; i < SP_ARRAY_LEN(numbers); i++) {
		start_hold("300", "trap '' HUP TERM INT; echo ready; while :; do sleep 0.05; done");
		harness_read_until(held.out, text, sizeof(text), "ready");
		wait_for_signals_taken();
		assert_int_equal(kill(held.first, numbers[i]), 0);
		expect_end_of_hold(0, 250, HARNESS_WAIT_MS);
	}
	/* Who obeys is not made to wait, and is waited for. */
	start_hold("20000",
	    "trap 'sleep 0.3; echo TERM; exit' TERM; trap '' HUP; "
	    "sh -c 'echo ready; exec sleep 1000' & wait");
	harness_read_until(held.out, text, sizeof(text), "ready");
	wait_for_signals_taken();
	assert_int_equal(kill(held.first, SIGTERM), 0);
	harness_read_until(held.out, text, sizeof(text), "TERM");
	expect_end_of_hold(0, 0, 10000);
}

static void
test_hold_alone(void **state)
{
	static const char *const bad[] = { "", "x", "-1", "1x", "99999999999999999999" };

	(void)state;
	if (!harness_is_possible())
		skip();
	start_hold("20000", NULL);
	wait_for_signals_taken();
	assert_int_equal(kill(held.first, SIGUSR1), 0); /* nothing to it */
	(void)usleep(100 * 1000);
	assert_int_equal(kill(held.first, 0), 0);
	assert_int_equal(kill(held.first, SIGTERM), 0);
	expect_end_of_hold(0, 0, 10000);
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		start_hold(bad[i], NULL);
		expect_end_of_hold(1, 0, HARNESS_WAIT_MS);
	}
}

/* Whoever has lost its parent is its child, and is reaped. */
static void
test_hold_reaps(void **state)
{
	int64_t until;
	char path[64], text[64];
	ssize_t n = 1;

	(void)state;
	if (!harness_is_possible())
		skip();
	start_hold("300", "(sleep 0.2 & sleep 0.2 &); sleep 0.1; echo lost; exec sleep 1000");
	harness_read_until(held.out, text, sizeof(text), "lost");
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)held.first,
	    (int)held.first);
	for (until = harness_now_ms() + HARNESS_WAIT_MS; n > 0; (void)usleep(2000)) {
		SP_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			break; /* a kernel that does not tell */
		assert_true(harness_now_ms() < until);
		n = read(fd, text, sizeof(text));
	}
	assert_int_equal(kill(held.first, SIGTERM), 0);
	expect_end_of_hold(0, 0, HARNESS_WAIT_MS);
}

int
main(int argc, char **argv)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_echo),
		CASE(test_said_in_advance),
		CASE(test_byte_by_byte),
		CASE(test_exit_codes),
		CASE(test_clean_start),
		CASE(test_failures),
		CASE(test_largest_order),
		CASE(test_order_is_not_shown),
		CASE(test_signals),
		CASE(test_many_signals),
		CASE(test_signal_past_input),
		CASE(test_exit_past_output),
		CASE(test_exit_behind_a_terminals_output),
		CASE(test_terminal_that_is_left_open),
		CASE(test_input_for_nobody),
		CASE(test_output_for_nobody),
		CASE(test_large),
		CASE(test_terminal),
		CASE(test_terminal_input),
		CASE(test_window_change),
		CASE(test_sizes_in_order),
		CASE(test_hang_up),
		CASE(test_grace),
		CASE(test_gone_at_any_time),
		CASE(test_leftovers),
		CASE(test_more_input_than_credit),
		CASE(test_garbage),
		CASE(test_hello),
		CASE(test_bad_base64),
		CASE(test_bad_orders),
		CASE(test_connection),
		CASE(test_connection_by_name),
		CASE(test_last_bytes_of_a_connection),
		CASE(test_last_bytes_for_nobody),
		CASE(test_connection_dropped),
		CASE(test_no_connection),
		CASE(test_hold),
		CASE(test_hold_alone),
		CASE(test_hold_reaps),
	};

	if (argc > 1 && strcmp(argv[1], LEAVES_OPEN) == 0)
		leave_terminal_open();
	if (argc > 1)
		guest_path = argv[1];
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0:handle_segv=0", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
