/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of an engine's stream: what passes, in which order, within which credit; and guests that lie. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec_stream.h"
#include "fd.h"
#include "ipc_chan.h"
#include "stream_msg.h"

#define CONNECTIONS 8

enum { STREAM, CTL, IN, OUT, ERR };

/* The channel's ends, and the guest's end of the stream. */
struct fixture {
	struct exec_stream *s;
	int guest;
	int ctl, in, out, err;
	uint8_t heard[2 * STREAM_CREDIT]; /* by the guest */
	size_t n_heard;
	/* A listener's connections, and the channels' ends of them. */
	struct exec_stream *accepted[CONNECTIONS];
	int to[CONNECTIONS], from[CONNECTIONS];
	unsigned n;
};

static void
nonblock(int fd)
{
	assert_int_equal(fd_set_nonblock(fd), 0);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[EXEC_STREAM_FDS];
	int pair[2];

	assert_non_null(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->guest = pair[0];
	fds[STREAM] = pair[1];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->ctl = pair[0];
	fds[CTL] = pair[1];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	fds[IN] = pair[0];
	f->in = pair[1];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	fds[OUT] = pair[1];
	f->out = pair[0];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	fds[ERR] = pair[1];
	f->err = pair[0];
	for (int i = 0; i < EXEC_STREAM_FDS; i++)
		nonblock(fds[i]);
	nonblock(f->guest);
	nonblock(f->in);
	nonblock(f->out);
	nonblock(f->err);
	f->s = exec_stream_new(fds);
	assert_non_null(f->s);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < f->n; i++) {
		f->accepted[i] = exec_stream_free(f->accepted[i]);
		fd_close(&f->to[i]);
		fd_close(&f->from[i]);
	}
	assert_null(exec_stream_free(f->s));
	fd_close(&f->guest);
	fd_close(&f->ctl);
	fd_close(&f->in);
	fd_close(&f->out);
	fd_close(&f->err);
	free(f);
	return 0;
}

static void
turn(struct exec_stream *s)
{
	struct pollfd pfds[EXEC_STREAM_FDS];

	if (s == NULL)
		return;
	exec_stream_want(s, pfds);
	assert_true(poll(pfds, EXEC_STREAM_FDS, 0) >= 0);
	exec_stream_serve(s, pfds);
}

/* Some turns of the worker's loop; the guest hears what comes. */
static void
turns(struct fixture *f)
{
	for (int i = 0; i < 40; i++) {
		ssize_t n;

		turn(f->s);
		for (unsigned k = 0; k < f->n; k++)
			turn(f->accepted[k]);
		n = f->guest < 0
		    ? 0
		    : read(f->guest, f->heard + f->n_heard, sizeof(f->heard) - f->n_heard);
		if (n > 0)
			f->n_heard += (size_t)n;
	}
}

/* The next frame that the guest heard. false: none. */
static bool
hear(struct fixture *f, struct stream_frame *ret)
{
	static uint8_t copy[STREAM_FRAME_MAX];
	size_t len;
	int r = stream_get(f->heard, f->n_heard, ret, &len);

	assert_int_not_equal(r, STREAM_E_BAD);
	if (r != 0)
		return false;
	memcpy(copy, f->heard, len);
	assert_int_equal(stream_get(copy, len, ret, &len), 0);
	f->n_heard -= len;
	memmove(f->heard, f->heard + len, f->n_heard);
	return true;
}

static void
expect_kind(struct fixture *f, enum stream_kind kind)
{
	struct stream_frame frame;

	assert_true(hear(f, &frame));
	assert_int_equal(frame.kind, kind);
}

/* As the engine passes it on: in pieces of this many bytes, each with a head. */
static void
engine_sends(struct fixture *f, uint8_t which, const void *data, size_t len, size_t piece)
{
	const uint8_t *bytes = data;

	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		uint8_t head[EXEC_FRAME_HEAD] = { which, 0, 0, 0, (uint8_t)(n >> 24),
			(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };

		if (send(f->guest, head, sizeof(head), MSG_NOSIGNAL) < 0)
			return; /* the worker has had enough */
		if (send(f->guest, bytes + at, n, MSG_NOSIGNAL) < 0)
			return;
	}
}

static void
guest_says(struct fixture *f, const struct stream_frame *frame)
{
	static uint8_t buf[STREAM_FRAME_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	stream_put(&w, frame);
	assert_false(w.failed);
	engine_sends(f, 1, buf, w.len, 30000);
	turns(f);
}

#define SAYS(f, ...) guest_says(f, &(struct stream_frame){ __VA_ARGS__ })

static void
greet(struct fixture *f, uint32_t credit)
{
	struct stream_frame frame;

	turns(f);
	assert_true(hear(f, &frame));
	assert_int_equal(frame.kind, STREAM_HELLO);
	assert_int_equal(frame.hello.version, STREAM_VERSION);
	assert_int_equal(frame.hello.credit, STREAM_CREDIT);
	SAYS(f, .kind = STREAM_HELLO, .hello = { STREAM_VERSION, credit });
}

static struct wire_span
bytes(const char *text)
{
	return (struct wire_span){ (const uint8_t *)text, strlen(text) };
}

static void
expect_text(int fd, const char *text)
{
	char buf[64] = "";

	assert_int_equal(read(fd, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}

/* The channel finds everything closed, and the engine's stream is. */
static void
expect_end(struct fixture *f)
{
	uint8_t buf[GUEST_CTL_MAX];
	size_t len;
	char byte;

	turns(f);
	assert_int_equal(ipc_chan_recv(f->ctl, buf, sizeof(buf), &len, MSG_DONTWAIT), IPC_CHAN_E_END);
	while (read(f->out, buf, sizeof(buf)) > 0)
		turns(f);
	assert_int_equal(read(f->out, &byte, 1), 0);
	assert_int_equal(read(f->err, &byte, 1), 0);
	assert_int_equal(write(f->in, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	assert_true(f->guest < 0 || recv(f->guest, buf, sizeof(buf), MSG_DONTWAIT) <= 0);
}

static void
test_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;
	uint8_t record[GUEST_CTL_MAX];
	size_t len;

	greet(f, 1000);
	SAYS(f, .kind = STREAM_OUTPUT, .data = bytes("out"));
	SAYS(f, .kind = STREAM_ERRORS, .data = bytes("err"));
	SAYS(f, .kind = STREAM_CTL, .data = bytes("ctl"));
	expect_text(f->out, "out");
	expect_text(f->err, "err");
	assert_int_equal(ipc_chan_recv(f->ctl, record, sizeof(record), &len, MSG_DONTWAIT), 0);
	assert_memory_equal(record, "ctl", 3);
	assert_int_equal(write(f->in, "in", 2), 2);
	assert_int_equal(ipc_chan_send_plain(f->ctl, "sig", 3, MSG_DONTWAIT), 0);
	turns(f);
	for (int i = 0; i < 2; i++) {
		assert_true(hear(f, &frame));
		assert_true(frame.kind == STREAM_INPUT ? wire_span_is(frame.data, "in")
						       : wire_span_is(frame.data, "sig"));
	}
	fd_close(&f->in);
	turns(f);
	expect_kind(f, STREAM_INPUT_END);
	SAYS(f, .kind = STREAM_OUTPUT_END);
	SAYS(f, .kind = STREAM_ERRORS_END);
	assert_int_equal(read(f->out, record, 1), 0);
	assert_int_equal(read(f->err, record, 1), 0);
	assert_false(hear(f, &frame));
}

/* Whatever pieces the engine makes of it. */
static void
test_pieces(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64];
	struct wire_writer w;

	greet(f, 1000);
	wire_writer_init(&w, buf, sizeof(buf));
	stream_put(&w, &(struct stream_frame){ .kind = STREAM_OUTPUT, .data = bytes("pieces") });
	stream_put(&w, &(struct stream_frame){ .kind = STREAM_ERRORS, .data = bytes("too") });
	for (size_t piece = 1; piece <= w.len; piece++) {
		engine_sends(f, 1, buf, w.len, piece);
		engine_sends(f, 2, "the runtime's words", 19, piece); /* not ours */
		turns(f);
		expect_text(f->out, "pieces");
		expect_text(f->err, "too");
	}
}

static void
test_input_keeps_to_its_credit(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;

	greet(f, 3);
	assert_int_equal(write(f->in, "abcdef", 6), 6);
	turns(f);
	assert_true(hear(f, &frame));
	assert_true(wire_span_is(frame.data, "abc"));
	assert_false(hear(f, &frame));
	/* Signals do not wait for it; a size waits for what was typed before it. */
	exec_stream_resize(f->s, &(struct ipc_pty){ .columns = 7, .rows = 5 });
	assert_int_equal(ipc_chan_send_plain(f->ctl, "sig", 3, MSG_DONTWAIT), 0);
	turns(f);
	expect_kind(f, STREAM_CTL);
	assert_false(hear(f, &frame));
	SAYS(f, .kind = STREAM_MORE, .more = 10);
	assert_true(hear(f, &frame));
	assert_true(wire_span_is(frame.data, "def"));
	assert_true(hear(f, &frame));
	assert_int_equal(frame.kind, STREAM_SIZE);
	assert_int_equal(frame.size.columns, 7);
	assert_int_equal(frame.size.rows, 5);
	SAYS(f, .kind = STREAM_INPUT_END);
	assert_int_equal(write(f->in, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
}

/* What was typed and the sizes, all before the next turn: in the order in which they came. */
static void
test_sizes_keep_their_place(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;

	greet(f, 100);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(write(f->in, "ab", 2), 2);
		exec_stream_resize(f->s, &(struct ipc_pty){ .columns = 7 + i, .rows = 5 });
	}
	assert_int_equal(write(f->in, "c", 1), 1);
	turns(f);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(hear(f, &frame));
		assert_int_equal(frame.kind, STREAM_INPUT);
		assert_true(wire_span_is(frame.data, "ab"));
		assert_true(hear(f, &frame));
		assert_int_equal(frame.kind, STREAM_SIZE);
		assert_int_equal(frame.size.columns, 7 + i);
	}
	assert_true(hear(f, &frame));
	assert_true(wire_span_is(frame.data, "c"));
	assert_false(hear(f, &frame));
}

/* More of them than there is room for, to a guest that does not read: the last one comes. */
static void
test_sizes_without_room(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame = { .kind = STREAM_SIZE };
	uint32_t last = 0;

	greet(f, 100);
	for (uint32_t i = 1; i <= 100000; i++)
		exec_stream_resize(f->s, &(struct ipc_pty){ .columns = i, .rows = 5 });
	for (;;) {
		turns(f);
		if (!hear(f, &frame))
			break;
		assert_int_equal(frame.kind, STREAM_SIZE);
		assert_true(frame.size.columns > last);
		last = frame.size.columns;
	}
	assert_int_equal(last, 100000);
}

/* As much as was given is kept for a channel that does not read; ctl gets past it; then more is given. */
static void
test_output_keeps_to_its_credit(void **state)
{
	static uint8_t data[STREAM_DATA_MAX], back[STREAM_CREDIT];
	struct fixture *f = *state;
	struct stream_frame frame;
	uint8_t record[GUEST_CTL_MAX];
	size_t got = 0;
	size_t more = 0;
	size_t len;

	greet(f, 1);
	for (size_t i = 0; i < STREAM_CREDIT / sizeof(data); i++) {
		memset(data, (int)('a' + i), sizeof(data));
		SAYS(f, .kind = STREAM_OUTPUT, .data = { data, sizeof(data) });
	}
	SAYS(f, .kind = STREAM_CTL, .data = bytes("exited"));
	assert_int_equal(ipc_chan_recv(f->ctl, record, sizeof(record), &len, MSG_DONTWAIT), 0);
	while (got < sizeof(back)) {
		ssize_t n = read(f->out, back + got, sizeof(back) - got);

		assert_true(n > 0);
		got += (size_t)n;
		turns(f);
	}
	for (size_t i = 0; i < sizeof(back); i++)
		assert_int_equal(back[i], 'a' + i / sizeof(data));
	while (hear(f, &frame)) {
		assert_int_equal(frame.kind, STREAM_MORE);
		more += frame.more;
	}
	assert_true(more > STREAM_CREDIT / 2 && more <= STREAM_CREDIT);
	/* So much and no more. */
	for (size_t left = more; left > 0; left -= len) {
		len = left < sizeof(data) ? left : sizeof(data);
		SAYS(f, .kind = STREAM_ERRORS, .data = { data, len });
	}
	assert_int_equal(ipc_chan_recv(f->ctl, record, sizeof(record), &len, MSG_DONTWAIT),
	    IPC_CHAN_E_AGAIN);
	for (int i = 0; i < 9; i++)
		SAYS(f, .kind = STREAM_ERRORS, .data = { data, sizeof(data) });
	while (read(f->err, data, sizeof(data)) > 0)
		turns(f);
	expect_end(f);
}

static void
test_closed_by_the_channel(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;

	greet(f, 10);
	fd_close(&f->out);
	turns(f);
	expect_kind(f, STREAM_OUTPUT_END);
	/* What was on its way to it is no offence. */
	SAYS(f, .kind = STREAM_OUTPUT, .data = bytes("late"));
	SAYS(f, .kind = STREAM_OUTPUT_END);
	SAYS(f, .kind = STREAM_ERRORS, .data = bytes("err"));
	expect_text(f->err, "err");
	assert_false(hear(f, &frame));
}

static void
test_let_go(void **state)
{
	struct fixture *f = *state;
	char byte;

	greet(f, 10);
	exec_stream_let_go(f->s, false);
	assert_true(exec_stream_is_over(f->s));
	assert_int_equal(recv(f->guest, &byte, 1, 0), 0);
}

/* The last bytes of a connection get there after its channel has gone. */
static void
test_let_go_with_a_rest(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;

	greet(f, 2);
	assert_int_equal(write(f->in, "abcd", 4), 4);
	fd_close(&f->in);
	exec_stream_let_go(f->s, true);
	turns(f);
	assert_false(exec_stream_is_over(f->s));
	assert_true(hear(f, &frame));
	assert_true(wire_span_is(frame.data, "ab"));
	SAYS(f, .kind = STREAM_MORE, .more = 5);
	assert_true(hear(f, &frame));
	assert_true(wire_span_is(frame.data, "cd"));
	expect_kind(f, STREAM_INPUT_END);
	assert_true(exec_stream_is_over(f->s));
}

static void
test_the_engine_goes(void **state)
{
	struct fixture *f = *state;

	greet(f, 10);
	SAYS(f, .kind = STREAM_OUTPUT, .data = bytes("last"));
	fd_close(&f->guest);
	turns(f);
	expect_text(f->out, "last");
	expect_end(f);
}

static void
test_words_of_the_engine(void **state)
{
	static const char words[] = "OCI runtime exec failed: \033[31mno such file\n";
	struct fixture *f = *state;

	engine_sends(f, 1, words, sizeof(words) - 1, 100);
	turns(f);
	expect_end(f);
}

static void
broken(struct fixture *f, const void *data, size_t len)
{
	greet(f, 10);
	(void)send(f->guest, data, len, MSG_NOSIGNAL);
	turns(f);
	expect_end(f);
}

#define BROKEN(name, ...)                                      \
	static void test_##name(void **state)                  \
	{                                                      \
		static const uint8_t data[] = { __VA_ARGS__ }; \
                                                               \
		broken(*state, data, sizeof(data));            \
	}

#define INSIDE(n) 1, 0, 0, 0, 0, 0, 0, (n)

BROKEN(no_exec_frame, 9, 0, 0, 0, 0, 0, 0, 1, 0)
BROKEN(second_greeting, INSIDE(13), STREAM_HELLO, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1)
BROKEN(unknown_frame, INSIDE(5), 99, 0, 0, 0, 0)
BROKEN(endless_frame, INSIDE(5), STREAM_OUTPUT, 0xff, 0xff, 0xff, 0xff)
BROKEN(empty_data, INSIDE(5), STREAM_OUTPUT, 0, 0, 0, 0)
BROKEN(input, INSIDE(6), STREAM_INPUT, 0, 0, 0, 1, 'x')
BROKEN(size, INSIDE(21), STREAM_SIZE, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1)
BROKEN(too_much_credit, INSIDE(9), STREAM_MORE, 0, 0, 0, 4, 0, 4, 0, 0)
BROKEN(two_ends, INSIDE(10), STREAM_OUTPUT_END, 0, 0, 0, 0, STREAM_OUTPUT_END, 0, 0, 0, 0)
BROKEN(data_behind_its_end, INSIDE(11), STREAM_ERRORS_END, 0, 0, 0, 0, STREAM_ERRORS, 0, 0, 0, 1, 'x')

static void
test_data_before_the_greeting(void **state)
{
	struct fixture *f = *state;

	SAYS(f, .kind = STREAM_OUTPUT, .data = bytes("x"));
	expect_end(f);
}

static void
test_another_version(void **state)
{
	struct fixture *f = *state;

	SAYS(f, .kind = STREAM_HELLO, .hello = { STREAM_VERSION + 1, 1 });
	expect_end(f);
}

/* Records that the channel does not read are no reason to keep them all. */
static void
test_flood_of_records(void **state)
{
	static uint8_t record[GUEST_CTL_MAX];
	struct fixture *f = *state;
	uint8_t buf[GUEST_CTL_MAX];
	size_t len;

	greet(f, 10);
	for (int i = 0; i < 5000; i++) {
		struct wire_writer w;
		uint8_t frame[STREAM_HEAD + GUEST_CTL_MAX];

		wire_writer_init(&w, frame, sizeof(frame));
		stream_put(&w, &(struct stream_frame){ .kind = STREAM_CTL, .data = { record, 100 } });
		engine_sends(f, 1, frame, w.len, sizeof(frame));
		if (i % 100 == 0)
			turns(f);
	}
	while (ipc_chan_recv(f->ctl, buf, sizeof(buf), &len, MSG_DONTWAIT) == 0)
		continue;
	expect_end(f);
}

/* ---- a listener's connections ---- */

#define OF(n) .of_connection = true, .connection = (n)

/* One more, for which its channel does not have its ends yet. */
static void
take_one(struct fixture *f)
{
	f->to[f->n] = f->from[f->n] = -1;
	f->accepted[f->n] = exec_stream_accept(f->s);
	assert_non_null(f->accepted[f->n]);
	f->n++;
}

static void
open_one(struct fixture *f, unsigned i)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	f->to[i] = in[1];
	f->from[i] = out[0];
	exec_stream_open(f->accepted[i], &in[0], &out[1]);
	assert_int_equal(in[0], -1);
	assert_int_equal(out[1], -1);
}

static void
expect_of(struct fixture *f, uint32_t connection, enum stream_kind kind, const char *text)
{
	struct stream_frame frame;

	assert_true(hear(f, &frame));
	assert_int_equal(frame.kind, kind);
	assert_true(frame.of_connection);
	assert_int_equal(frame.connection, connection);
	if (text != NULL)
		assert_true(wire_span_is(frame.data, text));
	if (kind == STREAM_MORE)
		assert_int_equal(frame.more, STREAM_CREDIT);
}

/* n of them, with their credit. */
static void
listen_for(struct fixture *f, unsigned n)
{
	greet(f, STREAM_CREDIT);
	for (unsigned i = 0; i < n; i++) {
		take_one(f);
		open_one(f, i);
		turns(f);
		expect_of(f, i, STREAM_MORE, NULL);
	}
}

static void
expect_closed(struct fixture *f, unsigned i)
{
	char byte;

	turns(f);
	assert_int_equal(read(f->from[i], &byte, 1), 0);
	assert_int_equal(write(f->to[i], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
}

static void
test_connections(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;
	char byte;

	listen_for(f, 2);
	SAYS(f, .kind = STREAM_OUTPUT, OF(1), .data = bytes("second"));
	SAYS(f, .kind = STREAM_OUTPUT, OF(0), .data = bytes("first"));
	expect_text(f->from[0], "first");
	expect_text(f->from[1], "second");
	assert_int_equal(write(f->to[1], "two", 3), 3);
	turns(f);
	expect_of(f, 1, STREAM_INPUT, "two");
	/* Each half for itself, and each connection. */
	fd_close(&f->to[1]);
	turns(f);
	expect_of(f, 1, STREAM_INPUT_END, NULL);
	SAYS(f, .kind = STREAM_OUTPUT, OF(1), .data = bytes("more"));
	SAYS(f, .kind = STREAM_OUTPUT_END, OF(1));
	expect_text(f->from[1], "more");
	assert_int_equal(read(f->from[1], &byte, 1), 0);
	SAYS(f, .kind = STREAM_INPUT_END, OF(0));
	assert_int_equal(write(f->to[0], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	fd_close(&f->from[0]);
	turns(f);
	expect_of(f, 0, STREAM_OUTPUT_END, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_false(exec_stream_is_over(f->accepted[i]));
		exec_stream_let_go(f->accepted[i], true);
		assert_true(exec_stream_is_over(f->accepted[i]));
	}
	assert_false(hear(f, &frame));
}

/* It is heard of when its channel has ends; what the client does not take, the guest is told at once. */
static void
test_connection_that_nobody_takes(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;

	greet(f, STREAM_CREDIT);
	take_one(f);
	take_one(f);
	turns(f);
	assert_false(hear(f, &frame));
	exec_stream_let_go(f->accepted[1], true);
	assert_true(exec_stream_is_over(f->accepted[1]));
	turns(f);
	expect_of(f, 1, STREAM_INPUT_END, NULL);
	expect_of(f, 1, STREAM_OUTPUT_END, NULL);
	f->accepted[1] = exec_stream_free(f->accepted[1]);
	/* It did not know yet. */
	SAYS(f, .kind = STREAM_OUTPUT, OF(1), .data = bytes("late"));
	SAYS(f, .kind = STREAM_OUTPUT_END, OF(1));
	open_one(f, 0);
	turns(f);
	expect_of(f, 0, STREAM_MORE, NULL);
	SAYS(f, .kind = STREAM_OUTPUT, OF(0), .data = bytes("there"));
	expect_text(f->from[0], "there");
}

/* The listener is given up: nobody is listened for, and its connections go on to their ends. */
static void
test_listener_let_go(void **state)
{
	struct fixture *f = *state;
	struct stream_frame frame;
	char byte;

	listen_for(f, 2);
	fd_close(&f->ctl);
	fd_close(&f->in);
	fd_close(&f->out);
	fd_close(&f->err);
	exec_stream_let_go(f->s, true);
	turns(f);
	assert_true(hear(f, &frame));
	assert_int_equal(frame.kind, STREAM_INPUT_END);
	assert_false(frame.of_connection);
	expect_kind(f, STREAM_OUTPUT_END);
	expect_kind(f, STREAM_ERRORS_END);
	assert_false(exec_stream_is_over(f->s));
	SAYS(f, .kind = STREAM_OUTPUT, OF(0), .data = bytes("on"));
	expect_text(f->from[0], "on");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(write(f->to[i], "last", 4), 4);
		fd_close(&f->to[i]);
		fd_close(&f->from[i]);
		exec_stream_let_go(f->accepted[i], true);
		assert_false(exec_stream_is_over(f->accepted[i]));
		turns(f);
		expect_of(f, i, STREAM_INPUT, "last");
		expect_of(f, i, STREAM_OUTPUT_END, NULL);
		expect_of(f, i, STREAM_INPUT_END, NULL);
		assert_true(exec_stream_is_over(f->accepted[i]));
		f->accepted[i] = exec_stream_free(f->accepted[i]);
	}
	assert_true(exec_stream_is_over(f->s));
	f->s = exec_stream_free(f->s);
	assert_int_equal(recv(f->guest, &byte, 1, 0), 0);
}

/* Whatever the order is in which they are freed. */
static void
test_listener_freed_first(void **state)
{
	struct fixture *f = *state;

	listen_for(f, 2);
	SAYS(f, .kind = STREAM_OUTPUT, OF(0), .data = bytes("last"));
	f->s = exec_stream_free(f->s);
	expect_text(f->from[0], "last");
	expect_closed(f, 0);
	expect_closed(f, 1);
	exec_stream_let_go(f->accepted[0], true);
	assert_true(exec_stream_is_over(f->accepted[0]));
}

/* What the channel reads of a listener that has ended meanwhile. */
static void
test_accepted_of_what_has_ended(void **state)
{
	struct fixture *f = *state;

	greet(f, STREAM_CREDIT);
	fd_close(&f->guest);
	turns(f);
	take_one(f);
	open_one(f, 0);
	expect_closed(f, 0);
}

/* One that has data without end leaves room for the others, and one that is not read is in nobody's way. */
static void
test_turns(void **state)
{
	static uint8_t data[1 << 16];
	struct fixture *f = *state;
	struct stream_frame frame;
	size_t got[CONNECTIONS] = { 0 };

	listen_for(f, CONNECTIONS);
	for (int i = 0; i < 60; i++) {
		for (unsigned k = 0; k < CONNECTIONS; k++)
			(void)!write(f->to[k], data, sizeof(data));
		turns(f);
		while (hear(f, &frame)) {
			assert_int_equal(frame.kind, STREAM_INPUT);
			got[frame.connection] += frame.data.len;
		}
	}
	for (unsigned k = 0; k < CONNECTIONS; k++)
		assert_int_equal(got[k], STREAM_CREDIT);
	for (unsigned i = 0; i < STREAM_CREDIT / STREAM_DATA_MAX; i++)
		SAYS(f, .kind = STREAM_OUTPUT, OF(3), .data = { data, STREAM_DATA_MAX });
	SAYS(f, .kind = STREAM_OUTPUT, OF(4), .data = bytes("past it"));
	expect_text(f->from[4], "past it");
}

/* While the guest reads nothing each waits for its turn, and one that gives up waiting blocks nobody. */
static void
test_turns_of_a_guest_that_does_not_read(void **state)
{
	static uint8_t data[1 << 16];
	struct fixture *f = *state;
	struct stream_frame frame;
	bool seen[CONNECTIONS] = { false };

	listen_for(f, CONNECTIONS);
	for (int i = 0; i < 40; i++) {
		for (unsigned k = 0; k < CONNECTIONS; k++)
			(void)!write(f->to[k], data, sizeof(data));
		turn(f->s);
		for (unsigned k = 0; k < CONNECTIONS; k++)
			turn(f->accepted[k]);
	}
	for (unsigned k = 0; k < CONNECTIONS; k += 2) {
		fd_close(&f->to[k]);
		fd_close(&f->from[k]);
		exec_stream_let_go(f->accepted[k], false);
		if (exec_stream_is_over(f->accepted[k]))
			f->accepted[k] = exec_stream_free(f->accepted[k]);
	}
	for (int i = 0; i < 100; i++) {
		turns(f);
		while (hear(f, &frame)) {
			if (frame.kind == STREAM_INPUT)
				seen[frame.connection] = true;
		}
	}
	for (unsigned k = 1; k < CONNECTIONS; k += 2)
		assert_true(seen[k]);
}

/* Each of these ends the listener and all of its connections. */
static void
test_connections_of_a_guest_that_lies(void **state)
{
	static const struct stream_frame bad[] = {
		{ .kind = STREAM_INPUT, OF(0), .data = { (const uint8_t *)"x", 1 } },
		{ .kind = STREAM_MORE, OF(0), .more = 1 },
		{ .kind = STREAM_OUTPUT, OF(2), .data = { (const uint8_t *)"x", 1 } },
		{ .kind = STREAM_OUTPUT_END, OF(UINT32_MAX) },
		{ .kind = STREAM_INPUT_END, OF(2) },
		/* Nobody has asked for it yet. */
		{ .kind = STREAM_OUTPUT, OF(1), .data = { (const uint8_t *)"x", 1 } },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < SP_ARRAY_LEN(bad) + 2; i++) {
		listen_for(f, 1);
		take_one(f);
		if (i < SP_ARRAY_LEN(bad)) {
			guest_says(f, &bad[i]);
		} else if (i == SP_ARRAY_LEN(bad)) {
			SAYS(f, .kind = STREAM_OUTPUT_END, OF(0));
			SAYS(f, .kind = STREAM_OUTPUT_END, OF(0));
		} else {
			SAYS(f, .kind = STREAM_OUTPUT_END, OF(0));
			SAYS(f, .kind = STREAM_OUTPUT, OF(0), .data = bytes("x"));
		}
		expect_closed(f, 0);
		expect_end(f);
		open_one(f, 1);
		expect_closed(f, 1);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
		f = *state;
	}
}

/* As much as was given is kept for a channel that does not read it, and not a byte more. */
static void
test_connection_keeps_to_its_credit(void **state)
{
	static uint8_t data[STREAM_DATA_MAX];
	struct fixture *f = *state;

	listen_for(f, 2);
	for (unsigned i = 0; i < STREAM_CREDIT / sizeof(data); i++)
		SAYS(f, .kind = STREAM_OUTPUT, OF(0), .data = { data, sizeof(data) });
	SAYS(f, .kind = STREAM_OUTPUT, OF(1), .data = bytes("fine"));
	expect_text(f->from[1], "fine");
	/* What the pipe took has been given again. */
	for (int i = 0; i < 3; i++)
		SAYS(f, .kind = STREAM_OUTPUT, OF(0), .data = { data, sizeof(data) });
	expect_closed(f, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_there_and_back),
		CASE(test_pieces),
		CASE(test_input_keeps_to_its_credit),
		CASE(test_sizes_keep_their_place),
		CASE(test_sizes_without_room),
		CASE(test_output_keeps_to_its_credit),
		CASE(test_closed_by_the_channel),
		CASE(test_let_go),
		CASE(test_let_go_with_a_rest),
		CASE(test_the_engine_goes),
		CASE(test_words_of_the_engine),
		CASE(test_no_exec_frame),
		CASE(test_second_greeting),
		CASE(test_unknown_frame),
		CASE(test_endless_frame),
		CASE(test_empty_data),
		CASE(test_input),
		CASE(test_size),
		CASE(test_too_much_credit),
		CASE(test_two_ends),
		CASE(test_data_behind_its_end),
		CASE(test_data_before_the_greeting),
		CASE(test_another_version),
		CASE(test_flood_of_records),
		CASE(test_connections),
		CASE(test_connection_that_nobody_takes),
		CASE(test_listener_let_go),
		CASE(test_listener_freed_first),
		CASE(test_accepted_of_what_has_ended),
		CASE(test_turns),
		CASE(test_turns_of_a_guest_that_does_not_read),
		CASE(test_connections_of_a_guest_that_lies),
		CASE(test_connection_keeps_to_its_credit),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
