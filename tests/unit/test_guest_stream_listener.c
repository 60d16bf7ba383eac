/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest as the engine starts it to listen: the tests are the worker at the other end of its stdin and stdout,
 * and those who connect. Each case ends with the guest gone, nobody listening, and this process's descriptors as
 * before.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "guest_harness.h"
#include "stream_msg.h"
#include "test.h"

#define CONNECTIONS_MAX 16
#define PATH            "/tmp/test-guest-stream-listener/agent"

static const char *guest_path = GUEST_FILE;
static uint8_t data[STREAM_DATA_MAX];

/* What the worker has heard of one connection. */
struct heard {
	struct guest_ctl accepted;
	char output[64]; /* the begin of it */
	size_t output_len;
	uint64_t credit; /* for INPUT */
	bool output_ended, input_ended, spoken_of;
};

/* The worker's side of one guest. */
static struct worker {
	pid_t guest;
	int to, from;
	uint8_t in[STREAM_FRAME_MAX];
	size_t in_len;
	bool hello, over, listening, failed;
	uint32_t port;
	struct guest_ctl failure;
	unsigned n; /* accepted */
	struct heard connections[CONNECTIONS_MAX];
} w;
static unsigned fds_before;
static rlim_t max_fds;

/* ---- the guest's process ---- */

static _Noreturn void
become_guest(char *piece, int in, int out)
{
	char *const argv[] = { (char[]){ "guest" }, (char[]){ GUEST_STREAM_OPTION }, piece, NULL };
	struct rlimit limit = { max_fds, max_fds };

	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(99);
	if (max_fds > 0 && setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(99);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	execv(guest_path, argv);
	_exit(99);
}

static void
start_raw(const uint8_t *record, size_t len)
{
	static char piece[4096];
	int in[2], out[2];

	memset(&w, 0, sizeof(w));
	piece[stream_base64_put(piece, record, len)] = '\0';
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	w.guest = fork();
	assert_true(w.guest >= 0);
	if (w.guest == 0)
		become_guest(piece, in[0], out[1]);
	fd_close(&in[0]);
	fd_close(&out[1]);
	w.to = in[1];
	w.from = out[0];
}

static void
expect_gone(void)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;
	int status;
	pid_t pid;

	while ((pid = waitpid(w.guest, &status, WNOHANG)) == 0) {
		if (harness_now_ms() > until)
			fail_msg("the guest does not end");
		(void)usleep(2000);
	}
	assert_int_equal(pid, w.guest);
	assert_int_equal(status, 0);
	fd_close(&w.to);
	fd_close(&w.from);
	w.guest = 0;
	assert_int_equal(access(PATH, F_OK), -1);
}

static void
finish(void)
{
	fd_close(&w.to);
	expect_gone();
}

static int
setup(void **state)
{
	(void)state;
	max_fds = 0;
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
send_frame(const struct stream_frame *f)
{
	static uint8_t bytes[STREAM_FRAME_MAX];
	struct wire_writer out;

	wire_writer_init(&out, bytes, sizeof(bytes));
	stream_put(&out, f);
	assert_false(out.failed);
	assert_int_equal(write(w.to, out.data, out.len), out.len);
}

#define SEND(...) send_frame(&(struct stream_frame){ __VA_ARGS__ })
#define OF(n)     .of_connection = true, .connection = (n)

static void
give(uint32_t connection, uint32_t more)
{
	SEND(.kind = STREAM_MORE, OF(connection), .more = more);
}

static void
type(uint32_t connection, const char *text)
{
	SEND(.kind = STREAM_INPUT, OF(connection), .data = { (const uint8_t *)text, strlen(text) });
}

static void
send_ctl(enum guest_ctl_id id)
{
	struct guest_ctl m = { .id = id, .signal.number = 9 };
	uint8_t bytes[GUEST_CTL_MAX];
	struct wire_writer out;

	wire_writer_init(&out, bytes, sizeof(bytes));
	guest_put_ctl(&out, &m);
	SEND(.kind = STREAM_CTL, .data = { out.data, out.len });
}

static void
on_ctl(struct wire_span record)
{
	struct wire_reader r;
	struct guest_ctl m;

	wire_reader_init(&r, record.data, record.len);
	assert_int_equal(guest_get_ctl(&r, &m), 0);
	if (m.id == GUEST_CTL_ACCEPTED) {
		assert_true(w.listening && w.n < CONNECTIONS_MAX);
		w.connections[w.n].accepted = m;
		w.connections[w.n++].credit = STREAM_CREDIT;
		return;
	}
	assert_false(w.listening || w.failed);
	w.listening = m.id == GUEST_CTL_LISTENING;
	w.failed = m.id == GUEST_CTL_FAILED;
	assert_true(w.listening || w.failed);
	if (w.listening)
		w.port = m.listening.port;
	w.failure = m;
}

static void
on_frame_of_connection(const struct stream_frame *f)
{
	struct heard *c = &w.connections[f->connection];
	size_t space;

	assert_true(f->connection < w.n);
	c->spoken_of = true;
	switch (f->kind) {
	case STREAM_OUTPUT:
		assert_false(c->output_ended);
		space = c->output_len < sizeof(c->output) - 1 ? sizeof(c->output) - 1 - c->output_len
							      : 0;
		if (space > 0)
			memcpy(c->output + c->output_len, f->data.data,
			    f->data.len < space ? f->data.len : space);
		c->output_len += f->data.len;
		return;
	case STREAM_OUTPUT_END:
		assert_false(c->output_ended);
		c->output_ended = true;
		return;
	case STREAM_INPUT_END:
		assert_false(c->input_ended);
		c->input_ended = true;
		return;
	case STREAM_MORE:
		c->credit += f->more;
		assert_in_range(c->credit, 1, STREAM_CREDIT);
		return;
	case STREAM_HELLO:
	case STREAM_CTL:
	case STREAM_INPUT:
	case STREAM_ERRORS:
	case STREAM_ERRORS_END:
	case STREAM_SIZE:
		break;
	}
	fail_msg("the guest says frame %d of a connection", (int)f->kind);
}

static void
on_frame(const struct stream_frame *f)
{
	assert_true(w.hello == (f->kind != STREAM_HELLO));
	if (f->of_connection) {
		on_frame_of_connection(f);
	} else if (f->kind == STREAM_HELLO) {
		assert_int_equal(f->hello.version, STREAM_VERSION);
		w.hello = true;
	} else {
		assert_int_equal(f->kind, STREAM_CTL);
		on_ctl(f->data);
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
		fail_msg("the guest says nothing");
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
hear_rest(int ms)
{
	while (is_readable(w.from, ms) && !w.over)
		hear();
}

static void
greet(void)
{
	assert_false(is_readable(w.from, 20));
	SEND(.kind = STREAM_HELLO, .hello = { STREAM_VERSION, STREAM_CREDIT });
	HEAR_UNTIL(w.hello);
}

static void
start(const struct guest_listen *order)
{
	uint8_t record[1024];
	struct wire_writer out;

	wire_writer_init(&out, record, sizeof(record));
	guest_put_listen(&out, order);
	assert_false(out.failed);
	start_raw(record, out.len);
	greet();
	HEAR_UNTIL(w.listening || w.failed);
}

static void
start_tcp(void)
{
	/* Of two addresses it is enough to have one: then there is no telling which. */
	struct guest_listen order = { .kind = GUEST_LISTEN_TCP,
		.n = 1,
		.addresses = { { false, { 127, 0, 0, 1 } } } };

	start(&order);
	assert_true(w.listening);
	assert_in_range(w.port, 1024, 65535);
}

static int
connect_to(uint32_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		fd_close(&fd);
	return fd;
}

/* The next connection, taken, with credit for what it sends. */
static int
connected(uint32_t credit)
{
	unsigned n = w.n;
	int fd = connect_to(w.port);

	assert_true(fd >= 0);
	HEAR_UNTIL(w.n == n + 1);
	send_ctl(GUEST_CTL_TAKEN);
	if (credit > 0)
		give(n, credit);
	return fd;
}

static void
expect_text(int fd, const char *text)
{
	char got[64] = "";

	assert_true(is_readable(fd, HARNESS_WAIT_MS));
	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
}

/* The other end has closed, one way or the other. */
static void
expect_closed(int fd)
{
	char byte;

	assert_true(is_readable(fd, HARNESS_WAIT_MS));
	assert_true(recv(fd, &byte, 1, 0) <= 0);
}

/*
 * Those who come in the last moment find their connection closed. Whose handshake is under way at the very end may
 * hear of it from the kernel only when it says something.
 */
static void
expect_nobody_listens(void)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;
	int fd;

	while ((fd = connect_to(w.port)) >= 0) {
		if (harness_now_ms() > until)
			fail_msg("somebody listens");
		(void)send(fd, "?", 1, MSG_NOSIGNAL);
		expect_closed(fd);
		fd_close(&fd);
	}
}

/* ---- connections ---- */

/* Two at once, each with its own bytes and its own ends, and both outlive the listening. */
static void
test_there_and_back(void **state)
{
	int fds[2];

	(void)state;
	start_tcp();
	for (uint32_t i = 0; i < 2; i++) {
		fds[i] = connected(STREAM_CREDIT);
		assert_true(w.connections[i].accepted.accepted.tcp);
		assert_in_range(w.connections[i].accepted.accepted.port, 1024, 65535);
	}
	type(1, "to the second");
	type(0, "to the first");
	expect_text(fds[0], "to the first");
	expect_text(fds[1], "to the second");
	assert_int_equal(send(fds[0], "one", 3, 0), 3);
	assert_int_equal(send(fds[1], "two", 3, 0), 3);
	HEAR_UNTIL(w.connections[0].output_len == 3 && w.connections[1].output_len == 3);
	assert_string_equal(w.connections[0].output, "one");
	assert_string_equal(w.connections[1].output, "two");

	SEND(.kind = STREAM_INPUT_END); /* nobody listens any more */
	expect_nobody_listens();
	SEND(.kind = STREAM_INPUT_END, OF(0));
	expect_closed(fds[0]);
	assert_int_equal(send(fds[0], " more", 5, 0), 5);
	fd_close(&fds[0]);
	HEAR_UNTIL(w.connections[0].output_ended);
	assert_string_equal(w.connections[0].output, "one more");
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	HEAR_UNTIL(w.connections[1].output_ended);
	type(1, "still");
	expect_text(fds[1], "still");
	SEND(.kind = STREAM_INPUT_END, OF(1));
	expect_closed(fds[1]);
	fd_close(&fds[1]);
	HEAR_UNTIL(w.over);
	expect_gone();
}

/* The worker may not have a place for a connection: it hears nothing of it before it says so. */
static void
test_silence_before_credit(void **state)
{
	int fd;

	(void)state;
	start_tcp();
	fd = connected(0);
	assert_int_equal(send(fd, "early", 5, 0), 5);
	fd_close(&fd);
	hear_rest(50);
	assert_false(w.connections[0].spoken_of);
	give(0, 3);
	HEAR_UNTIL(w.connections[0].output_len == 3);
	hear_rest(50);
	assert_int_equal(w.connections[0].output_len, 3);
	give(0, 10);
	HEAR_UNTIL(w.connections[0].output_ended);
	assert_string_equal(w.connections[0].output, "early");
	finish();
}

/* Until its kernel and the guest have no more room. Returns how much that was. */
static size_t
fill(uint32_t connection)
{
	struct heard *c = &w.connections[connection];
	size_t sent = 0;

	while (c->credit >= sizeof(data) || is_readable(w.from, 300)) {
		if (c->credit < sizeof(data)) {
			hear();
			continue;
		}
		SEND(.kind = STREAM_INPUT, OF(connection), .data = { data, sizeof(data) });
		c->credit -= sizeof(data);
		sent += sizeof(data);
	}
	return sent;
}

/* One that nobody reads, and one that does not read, are in nobody's way. */
static void
test_credit_is_each_ones_own(void **state)
{
	int fds[3];
	size_t sent;

	(void)state;
	start_tcp();
	for (int i = 0; i < 3; i++)
		fds[i] = connected(i == 0 ? 1000 : STREAM_CREDIT);
	for (ssize_t n = 0; n >= 0; n = send(fds[0], data, sizeof(data), MSG_DONTWAIT))
		continue;
	sent = fill(1);
	assert_in_range(w.connections[1].credit, 0, STREAM_CREDIT / 4);
	assert_int_equal(w.connections[0].output_len, 1000);
	type(2, "ping");
	expect_text(fds[2], "ping");
	assert_int_equal(send(fds[2], "pong", 4, 0), 4);
	HEAR_UNTIL(w.connections[2].output_len == 4);
	/* It was all kept. */
	while (sent > 0) {
		ssize_t n = recv(fds[1], data, sent < sizeof(data) ? sent : sizeof(data), 0);

		assert_true(n > 0);
		sent -= (size_t)n;
	}
	HEAR_UNTIL(w.connections[1].credit > STREAM_CREDIT / 2);
	fd_close_all(fds, 3);
	finish();
}

/* Each of many that send without end has its turn. */
static void
test_turns(void **state)
{
	int fds[8];
	bool all = false;

	(void)state;
	start_tcp();
	for (int i = 0; i < 8; i++) {
		fds[i] = connected(STREAM_CREDIT);
		assert_int_equal(fd_set_nonblock(fds[i]), 0);
	}
	while (!all) {
		all = true;
		for (int i = 0; i < 8; i++) {
			(void)!send(fds[i], data, sizeof(data), MSG_NOSIGNAL);
			all = all && w.connections[i].output_len == STREAM_CREDIT;
		}
		if (!all)
			hear();
	}
	fd_close_all(fds, 8);
	finish();
}

/* Of a few who always have something none gets ahead: the places that nobody has give their neighbour no turn more. */
static void
test_even_turns(void **state)
{
	int fds[3];

	(void)state;
	start_tcp();
	for (int i = 0; i < 3; i++) {
		fds[i] = connected(0);
		assert_int_equal(fd_set_nonblock(fds[i]), 0);
	}
	/* All of them begin in the same moment. */
	assert_int_equal(kill(w.guest, SIGSTOP), 0);
	for (uint32_t i = 0; i < 3; i++) {
		give(i, STREAM_CREDIT);
		(void)!send(fds[i], data, sizeof(data), MSG_NOSIGNAL);
	}
	assert_int_equal(kill(w.guest, SIGCONT), 0);
	for (int ahead = 0; w.connections[ahead].output_len < STREAM_CREDIT;) {
		for (int i = 0; i < 3; i++) {
			(void)!send(fds[i], data, sizeof(data), MSG_NOSIGNAL);
			if (w.connections[i].output_len > w.connections[ahead].output_len)
				ahead = i;
		}
		hear();
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(w.connections[i].output_len, STREAM_CREDIT / 2, STREAM_CREDIT);
	fd_close_all(fds, 3);
	finish();
}

/* Who closes what the worker sends to: it hears so, and what was on its way is dropped and given back. */
static void
test_reset(void **state)
{
	struct linger now = { .l_onoff = 1 };
	int fd;

	(void)state;
	start_tcp();
	fd = connected(STREAM_CREDIT);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	fd_close(&fd);
	HEAR_UNTIL(w.connections[0].output_ended);
	type(0, "x");
	HEAR_UNTIL(w.connections[0].input_ended);
	/* The guest has forgotten it, and what comes for it is no offence: the worker did not know. */
	type(0, "late");
	give(0, 1);
	SEND(.kind = STREAM_INPUT_END, OF(0));
	SEND(.kind = STREAM_OUTPUT_END, OF(0));
	fd = connected(STREAM_CREDIT);
	type(1, "next");
	expect_text(fd, "next");
	fd_close(&fd);
	finish();
}

/* The client does not want it: it never had credit. */
static void
test_refused_by_the_worker(void **state)
{
	int fd;

	(void)state;
	start_tcp();
	fd = connected(0);
	SEND(.kind = STREAM_INPUT_END, OF(0));
	SEND(.kind = STREAM_OUTPUT_END, OF(0));
	expect_closed(fd);
	fd_close(&fd);
	hear_rest(50);
	assert_false(w.connections[0].spoken_of);
	finish();
}

/* ---- listening ---- */

/* So many are on their way, and the others wait in the kernel. */
static void
test_untaken(void **state)
{
	int fds[GUEST_UNTAKEN_MAX + 2];

	(void)state;
	start_tcp();
	for (size_t i = 0; i < SP_ARRAY_LEN(fds); i++)
		fds[i] = connect_to(w.port);
	HEAR_UNTIL(w.n == GUEST_UNTAKEN_MAX);
	hear_rest(50);
	assert_int_equal(w.n, GUEST_UNTAKEN_MAX);
	send_ctl(GUEST_CTL_TAKEN);
	HEAR_UNTIL(w.n == GUEST_UNTAKEN_MAX + 1);
	/* Of those that the worker has not taken it will never say anything. */
	SEND(.kind = STREAM_INPUT_END);
	for (size_t i = 1; i < SP_ARRAY_LEN(fds); i++)
		expect_closed(fds[i]);
	type(0, "taken");
	expect_text(fds[0], "taken");
	fd_close_all(fds, SP_ARRAY_LEN(fds));
	finish();
}

static void
test_not_to_be_had(void **state)
{
	struct guest_listen order = { .kind = GUEST_LISTEN_TCP,
		.n = 1,
		.addresses = { { false, { 127, 0, 0, 1 } } } };
	int taken = harness_listen_here(&order.port);

	(void)state;
	start(&order);
	assert_true(w.failed);
	assert_int_equal(w.failure.failed.stage, GUEST_FAIL_LISTEN);
	assert_int_equal(w.failure.failed.error, EADDRINUSE);
	SEND(.kind = STREAM_INPUT_END);
	HEAR_UNTIL(w.over);
	expect_gone();
	fd_close(&taken);
}

static int
connect_to_path(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = PATH };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* A path goes with its listener, however that ends. */
static void
test_path(void **state)
{
	static const struct guest_listen order = { .kind = GUEST_LISTEN_UNIX, .path = PATH };

	(void)state;
	for (int i = 0; i < 4; i++) {
		SP_CLEANUP_FD int fd = -1;

		start(&order);
		assert_true(w.listening);
		assert_int_equal(w.port, 0);
		fd = connect_to_path();
		HEAR_UNTIL(w.n == 1);
		assert_false(w.connections[0].accepted.accepted.tcp);
		send_ctl(GUEST_CTL_TAKEN);
		give(0, 100);
		type(0, "x");
		expect_text(fd, "x");
		if (i == 0) {
			fd_close(&w.to);
		} else if (i == 1) {
			assert_int_equal(kill(w.guest, SIGTERM), 0);
		} else if (i == 2) {
			send_ctl(GUEST_CTL_SIGNAL);
		} else {
			SEND(.kind = STREAM_INPUT_END);
			while (access(PATH, F_OK) == 0)
				(void)usleep(2000);
			assert_int_equal(send(fd, "y", 1, 0), 1);
			HEAR_UNTIL(w.connections[0].output_len == 1);
			fd_close(&w.to);
		}
		expect_closed(fd);
		expect_gone();
	}
}

static void
test_display(void **state)
{
	static const struct guest_listen order = { .kind = GUEST_LISTEN_X11,
		.n = 1,
		.addresses = { { false, { 127, 0, 0, 1 } } },
		.port = GUEST_X11_PORT + 410,
		.n_ports = 100,
		.path = PATH,
		.name = { (const uint8_t *)"NAME", 4 },
		.cookie = { (const uint8_t *)"cookie", 6 },
		.only_one = true };
	char file[64];
	int fd;

	(void)state;
	start(&order);
	assert_in_range(w.port, order.port, order.port + 99);
	fd = open(PATH, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_in_range(read(fd, file, sizeof(file)), 16, 32);
	fd_close(&fd);
	fd = connected(STREAM_CREDIT);
	type(0, "drawn");
	expect_text(fd, "drawn");
	assert_int_equal(connect_to(w.port), -1);
	assert_int_equal(access(PATH, F_OK), 0);
	SEND(.kind = STREAM_INPUT_END);
	SEND(.kind = STREAM_OUTPUT_END);
	SEND(.kind = STREAM_ERRORS_END);
	assert_int_equal(send(fd, "on", 2, 0), 2);
	HEAR_UNTIL(w.connections[0].output_len == 2);
	fd_close(&fd);
	finish();
}

/* What was sent before the worker has gone still gets there, however slow that is; the others are closed. */
static void
test_last_bytes(void **state)
{
	size_t left = 4 * sizeof(data);
	int fds[2];

	(void)state;
	start_tcp();
	for (int i = 0; i < 2; i++)
		fds[i] = connected(STREAM_CREDIT);
	for (int i = 0; i < 4; i++)
		SEND(.kind = STREAM_INPUT, OF(0), .data = { data, sizeof(data) });
	SEND(.kind = STREAM_INPUT_END, OF(0));
	type(1, "x");
	fd_close(&w.to);
	while (left > 0) {
		ssize_t n = recv(fds[0], data, sizeof(data), 0);

		assert_true(n > 0);
		left -= (size_t)n;
	}
	expect_closed(fds[0]);
	expect_text(fds[1], "x");
	expect_closed(fds[1]);
	fd_close_all(fds, 2);
	expect_gone();
}

/*
 * But not for ever, also not a little now and then: who reads on after that learns that it is not all. While there is a
 * worker it has the time that it takes, as under sshd, whether its client has closed it or nobody is listened for any more.
 */
static void
test_last_bytes_for_nobody(void **state)
{
	size_t got = 0, sent = 0;
	int64_t gone_at;
	ssize_t n;
	int fds[2];

	(void)state;
	start_tcp();
	for (int i = 0; i < 2; i++)
		fds[i] = connected(STREAM_CREDIT);
	/* The kernel says late that it has room again: another connection has the guest try. */
	do {
		sent += fill(0);
		type(1, "x");
	} while (is_readable(w.from, 300));
	for (uint32_t i = 0; i < 2; i++) {
		SEND(.kind = STREAM_INPUT_END, OF(i));
		SEND(.kind = STREAM_OUTPUT_END, OF(i));
	}
	SEND(.kind = STREAM_INPUT_END);
	expect_nobody_listens();
	if (strcmp(guest_path, GUEST_FILE) != 0)
		(void)usleep((HARNESS_LEFT_MS + 500) * 1000);
	assert_int_equal(waitpid(w.guest, NULL, WNOHANG), 0);
	gone_at = harness_now_ms();
	fd_close(&w.to);
	for (int i = 0; i < 2; i++) {
		(void)usleep(HARNESS_LEFT_MS * 1000 / 5);
		assert_int_equal(waitpid(w.guest, NULL, WNOHANG), 0);
		n = recv(fds[0], data, sizeof(data), 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
	/* With the guest as shipped this takes minutes. */
	if (strcmp(guest_path, GUEST_FILE) != 0) {
		expect_gone();
		assert_in_range(harness_now_ms() - gone_at, HARNESS_LEFT_MS, 2 * HARNESS_LEFT_MS);
	}
	while ((n = recv(fds[0], data, sizeof(data), 0)) > 0)
		got += (size_t)n;
	if (strcmp(guest_path, GUEST_FILE) != 0) {
		assert_int_equal(n, -1);
		assert_int_equal(errno, ECONNRESET);
		assert_true(got < sent);
	} else {
		assert_int_equal(n, 0);
		assert_int_equal(got, sent);
		expect_gone();
	}
	fd_close_all(fds, 2);
}

/* Whoever reaches the container can use up its descriptors: then others wait, and it goes on. */
static void
test_few_descriptors(void **state)
{
	int fds[20];
	int fd;

	(void)state;
	max_fds = 14;
	start_tcp();
	for (size_t i = 0; i < SP_ARRAY_LEN(fds); i++)
		fds[i] = connect_to(w.port);
	while (is_readable(w.from, 300)) {
		unsigned n = w.n;

		hear();
		for (; n < w.n; n++) {
			send_ctl(GUEST_CTL_TAKEN);
			give(n, 100);
		}
	}
	assert_in_range(w.n, 2, 12);
	type(0, "alive");
	expect_text(fds[0], "alive");
	for (unsigned n = 0; n < w.n; n++) {
		SEND(.kind = STREAM_INPUT_END, OF(n));
		SEND(.kind = STREAM_OUTPUT_END, OF(n));
	}
	fd_close_all(fds, SP_ARRAY_LEN(fds));
	(void)usleep(300000); /* those that wait are seen to have left */
	hear_rest(300);
	for (unsigned n = 0; n < w.n; n++) {
		SEND(.kind = STREAM_INPUT_END, OF(n));
		SEND(.kind = STREAM_OUTPUT_END, OF(n));
	}
	fd = connect_to(w.port);
	assert_true(fd >= 0);
	fd_close(&fd);
	finish();
}

/* ---- a worker that is somebody else's ---- */

static void
test_bad_orders(void **state)
{
	static const struct guest_listen order = { .kind = GUEST_LISTEN_UNIX, .path = PATH };
	uint8_t record[1024];
	struct wire_writer out;

	(void)state;
	wire_writer_init(&out, record, sizeof(record));
	guest_put_listen(&out, &order);
	for (size_t len = 1; len <= out.len + 1; len++) {
		if (len == out.len)
			continue;
		start_raw(record, len);
		greet();
		HEAR_UNTIL(w.failed);
		assert_int_equal(w.failure.failed.stage, GUEST_FAIL_ORDER);
		assert_int_equal(w.failure.failed.error, EPROTO);
		HEAR_UNTIL(w.over);
		expect_gone();
	}
}

static void
test_broken_protocol(void **state)
{
	static const struct stream_frame bad[] = {
		{ .kind = STREAM_HELLO, .hello = { STREAM_VERSION, 1 } },
		{ .kind = STREAM_INPUT, .data = { data, 1 } },
		{ .kind = STREAM_OUTPUT, .data = { data, 1 } },
		{ .kind = STREAM_ERRORS, .data = { data, 1 } },
		{ .kind = STREAM_MORE, .more = 1 },
		{ .kind = STREAM_SIZE },
		{ .kind = STREAM_CTL, .data = { data, 1 } },
		{ .kind = STREAM_OUTPUT, OF(0), .data = { data, 1 } },
		{ .kind = STREAM_MORE, OF(0), .more = STREAM_CREDIT },
		/* A connection that there is not, nor has been. */
		{ .kind = STREAM_INPUT, OF(1), .data = { data, 1 } },
		{ .kind = STREAM_INPUT_END, OF(1) },
		{ .kind = STREAM_OUTPUT_END, OF(UINT32_MAX) },
		{ .kind = STREAM_MORE, OF(1), .more = 1 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad) + 4; i++) {
		SP_CLEANUP_FD int fd = -1;

		start_tcp();
		fd = connected(1);
		type(0, "up");
		expect_text(fd, "up");
		if (i < SP_ARRAY_LEN(bad)) {
			send_frame(&bad[i]);
		} else if (i == SP_ARRAY_LEN(bad)) {
			send_ctl(GUEST_CTL_TAKEN); /* of nothing */
		} else if (i == SP_ARRAY_LEN(bad) + 1) {
			SEND(.kind = STREAM_INPUT_END, OF(0));
			SEND(.kind = STREAM_INPUT_END, OF(0));
		} else if (i == SP_ARRAY_LEN(bad) + 2) {
			SEND(.kind = STREAM_INPUT_END, OF(0));
			type(0, "behind it");
		} else {
			SEND(.kind = STREAM_INPUT_END);
			SEND(.kind = STREAM_INPUT_END);
		}
		expect_closed(fd);
		HEAR_UNTIL(w.over);
		expect_gone();
		assert_int_equal(connect_to(w.port), -1);
	}
}

/* More INPUT than there was credit for. */
static void
test_more_than_credit(void **state)
{
	int fd;

	(void)state;
	start_tcp();
	fd = connected(1);
	for (ssize_t n = 0; n >= 0;) {
		uint8_t head[STREAM_HEAD + 4] = { STREAM_INPUT | STREAM_OF_CONNECTION, 0, 0, 0x80, 4 };

		n = write(w.to, head, sizeof(head));
		if (n >= 0)
			n = write(w.to, data, sizeof(data));
	}
	assert_int_equal(errno, EPIPE);
	fd_close(&fd);
	expect_gone();
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(test_there_and_back),
		CASE(test_silence_before_credit),
		CASE(test_credit_is_each_ones_own),
		CASE(test_turns),
		CASE(test_even_turns),
		CASE(test_reset),
		CASE(test_refused_by_the_worker),
		CASE(test_untaken),
		CASE(test_not_to_be_had),
		CASE(test_path),
		CASE(test_display),
		CASE(test_last_bytes),
		CASE(test_last_bytes_for_nobody),
		CASE(test_few_descriptors),
		CASE(test_bad_orders),
		CASE(test_broken_protocol),
		CASE(test_more_than_credit),
	};

	if (argc > 1)
		guest_path = argv[1];
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0:handle_segv=0", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
