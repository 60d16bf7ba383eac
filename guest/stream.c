/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: a channel as a stream of frames. The frames come from a worker that may be anybody's by now: it
 * can feed, size, signal and end its own program, and no more. What it makes us keep is bounded by the
 * credit that it has been given, what we send by the credit that it gives, so that ctl is never behind
 * data that nobody takes.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"
#include "clock.h"
#include "fd.h"
#include "ipc_chan.h"
#include "program.h"
#include "startup.h"
#include "stream_input.h"
#include "stream_io.h"
#include "stream_listener.h"

#define TIMEOUT_MAX_MS 60000
#define DRAIN_MS \
	100 /* silence after which a terminal that others hold open has ended, as on the direct path */
#define TERMINAL_HOLDS 65536 /* bytes, at most, before who writes to it has to wait */

enum stream_state {
	STREAM_SILENT,     /* until the worker has said HELLO */
	STREAM_OPEN,       /* the order is being carried out */
	STREAM_LAST_WORDS, /* there is nothing to do but to say why */
	STREAM_FLUSHING, /* the worker has let go of a connection that has not taken all of its INPUT */
	STREAM_GONE,     /* the worker has let go */
};

enum poll_slot {
	POLL_SIGNAL,
	POLL_STDIN,
	POLL_STDOUT,
	POLL_CTL,
	POLL_FEED,
	POLL_OUTPUT,
	POLL_ERRORS,
	POLL_PROGRAM_CTL,
	POLL_PROGRAM_RESULT,
	POLL_ATTEMPT_CTL,
	POLL_ATTEMPT,
	POLL_N,
};

struct stream {
	enum stream_state state;
	int signal_fd;
	uint8_t order[GUEST_ORDER_MAX];
	size_t order_len; /* 0: what the command line says is no base64 */
	/* The inner side: one of them is used. */
	struct program program;
	struct attempt attempt;
	/* The other ends of what they have. */
	int ctl;
	int feed;    /* takes INPUT: stdin, the terminal's master, or the connection */
	int from[2]; /* OUTPUT, ERRORS */
	bool is_terminal;
	bool is_deaf;       /* nobody takes INPUT any more */
	bool runs;          /* the next record of the program's is its last */
	bool ends;          /* and is there, */
	uint64_t end_after; /* to be said when so much has been sent, ever */
	int64_t drain_at;   /* ms; 0: it was not said yet */
	/* The outer side. */
	struct stream_io io;
	struct stream_input input;
	uint64_t granted, sent; /* credit for OUTPUT and ERRORS together, and how much is used, ever */
	int64_t left_until; /* ms, while it is FLUSHING: then it has not read what was left for it */
};

/* The worker is gone, or as good as gone: what hangs on its ctl is hung up by the inner side. */
static void
let_go(struct stream *s)
{
	s->state = STREAM_GONE;
	fd_close(&s->ctl);
	fd_close(&s->feed);
	fd_close_all(s->from, 2);
	if (s->attempt.used)
		attempt_drop(&s->attempt);
}

static void
flush_out(struct stream *s)
{
	if (s->state != STREAM_GONE && !stream_io_flush(&s->io))
		let_go(s);
}

/* ---- the order ---- */

static void
refuse(struct stream *s, int error)
{
	s->state = STREAM_LAST_WORDS;
	stream_io_say_failed(&s->io, GUEST_FAIL_ORDER, error);
}

/*
 * The descriptors of an order, as the broker would send them, and our other ends of them, of which none
 * blocks us. 0 or -errno.
 */
static int
make_ends(struct stream *s, int theirs[4], unsigned n)
{
	int *const ours[] = { &s->ctl, &s->feed, &s->from[0], &s->from[1] };
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n; i++) {
		int written = i == 1 ? 1 : 0; /* the end that is ours: the program reads stdin only */
		int pair[2];

		r = i == 0 ? socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)
			   : pipe2(pair, O_CLOEXEC);
		if (r < 0)
			return -errno;
		*ours[i] = pair[written];
		theirs[i] = pair[1 - written];
		r = fd_set_nonblock(*ours[i]);
	}
	return r;
}

static void
start_program(struct stream *s)
{
	static struct guest_spawn order;
	int theirs[4] = { -1, -1, -1, -1 };
	struct wire_reader r;
	int result;

	wire_reader_init(&r, s->order, s->order_len);
	if (guest_get_spawn(&r, &order) != 0) {
		refuse(s, EPROTO);
		return;
	}
	s->is_terminal = order.want_pty;
	result = make_ends(s, theirs, order.want_pty ? 1 : 4);
	if (result < 0)
		refuse(s, -result);
	else
		program_start(&s->program, &order, theirs, order.want_pty ? 1 : 4);
	fd_close_all(theirs, 4);
}

static void
start_attempt(struct stream *s)
{
	int theirs[4] = { -1, -1, -1, -1 };
	struct guest_connect order;
	struct wire_reader r;
	int result;

	wire_reader_init(&r, s->order, s->order_len);
	if (guest_get_connect(&r, &order) != 0) {
		refuse(s, EPROTO);
		return;
	}
	result = make_ends(s, theirs, 1);
	if (result < 0)
		refuse(s, -result);
	else
		attempt_start(&s->attempt, &order, &theirs[0], clock_now_ms());
}

static bool
is_connect(const struct stream *s)
{
	return s->order_len > 0 &&
	    (s->order[0] == GUEST_CONNECT || s->order[0] == GUEST_CONNECT_NAME);
}

static void
carry_out(struct stream *s)
{
	if (is_connect(s))
		start_attempt(s);
	else
		start_program(s);
}

/* ---- from the inner ctl ---- */

/* A terminal's master comes once, a connection twice. False: nothing could be made of it. */
static bool
take_fds(struct stream *s, const int *fds, unsigned n)
{
	if (n == 0)
		return true;
	s->from[0] = fds[n - 1];
	s->feed = n > 1 ? fds[0] : fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
	return s->feed >= 0 && fd_set_nonblock(s->feed) == 0;
}

static void
hear_ctl(struct stream *s)
{
	uint8_t record[GUEST_CTL_MAX];
	int fds[2] = { -1, -1 };
	unsigned n_fds = 0;
	size_t len;
	int result =
	    ipc_chan_recv_fds(s->ctl, record, sizeof(record), &len, fds, 2, &n_fds, MSG_DONTWAIT);

	if (result == IPC_CHAN_E_AGAIN)
		return;
	if (result == IPC_CHAN_E_END && is_connect(s)) {
		fd_close(&s->ctl); /* all is said; the connection goes on without */
		return;
	}
	/* The end of a program's: the worker has broken the protocol on it. */
	if (result != 0 || !take_fds(s, fds, n_fds)) {
		let_go(s);
		return;
	}
	stream_io_say(&s->io, &(struct stream_frame){ .kind = STREAM_CTL, .data = { record, len } });
	s->runs = !is_connect(s);
	if (s->ends)
		s->drain_at = clock_now_ms() + DRAIN_MS;
}

/* Bytes that were written to us and not read yet. Of a terminal's it is a part, which poll() moves up if need be. */
static size_t
waiting(const struct stream *s)
{
	size_t all = 0;

	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = s->from[i], .events = POLLIN };
		int n = 0;

		if (s->is_terminal)
			(void)poll(&p, 1, 0);
		if (s->from[i] >= 0 && ioctl(s->from[i], FIONREAD, &n) == 0)
			all += (size_t)n;
	}
	return all;
}

/*
 * What a program wrote comes before the news of its end, as far as the worker takes it now. What others write there
 * later holds up nothing.
 */
static bool
is_end_held(const struct stream *s)
{
	return s->ends && s->sent < s->end_after && s->granted > s->sent && waiting(s) > 0;
}

static void
ctl_ready(struct stream *s)
{
	if (s->runs && !s->ends) {
		s->ends = true;
		s->end_after = s->sent + (s->is_terminal ? TERMINAL_HOLDS : waiting(s));
	}
	if (!is_end_held(s))
		hear_ctl(s);
}

/* ---- data to the worker ---- */

static size_t
sendable(const struct stream *s)
{
	return stream_io_sendable(&s->io, s->granted - s->sent);
}

static void
end_output(struct stream *s, int which)
{
	stream_io_say(&s->io,
	    &(struct stream_frame){ .kind = which == 0 ? STREAM_OUTPUT_END : STREAM_ERRORS_END });
	fd_close(&s->from[which]);
	if (s->is_terminal) {
		fd_close(&s->feed); /* the same terminal: nobody holds it, so that the kernel hangs up */
		s->is_deaf = true;
	}
}

/* Only here it is known whether a terminal is silent, or what it said is on its way. Without credit it may not be. */
static bool
is_draining(const struct stream *s)
{
	return s->is_terminal && s->drain_at != 0 && s->from[0] >= 0 && sendable(s) > 0;
}

static void
collect(struct stream *s, int which)
{
	static uint8_t data[STREAM_DATA_MAX];
	size_t most = sendable(s);
	ssize_t n;

	if (s->from[which] < 0 || most == 0)
		return;
	n = read(s->from[which], data, most);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		stream_io_say(&s->io,
		    &(struct stream_frame){ .kind = which == 0 ? STREAM_OUTPUT : STREAM_ERRORS,
			.data = { data, (size_t)n } });
		s->sent += (uint64_t)n;
		if (s->drain_at != 0)
			s->drain_at = clock_now_ms() + DRAIN_MS;
		return;
	}
	/* The end, or an error, which is no less of one: a terminal without processes says EIO. */
	end_output(s, which);
}

/* ---- data from the worker ---- */

static void
end_feeding(struct stream *s)
{
	fd_close(&s->feed);
	if (!s->is_deaf && !s->input.ended && stream_io_room(&s->io) >= STREAM_HEAD)
		stream_io_say(&s->io, &(struct stream_frame){ .kind = STREAM_INPUT_END });
	s->is_deaf = true;
}

/* True: as much as was to be had of it. */
static bool
feed_some(struct stream *s)
{
	struct terminal_size size;
	struct wire_span next;
	ssize_t n;

	while (stream_input_next_size(&s->input, &size))
		(void)terminal_resize(s->feed, &size);
	next = stream_input_next(&s->input);
	if (next.len == 0)
		return false;
	n = write(s->feed, next.data, next.len);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		end_feeding(s);
	if (n <= 0)
		return false;
	stream_input_took(&s->input, (size_t)n);
	return true;
}

/* Who does not read any more does not make the worker wait: what comes is dropped, as a closed pipe would. */
static void
feed(struct stream *s)
{
	while (s->feed >= 0 && feed_some(s))
		;
	if (s->is_deaf)
		stream_input_drop(&s->input);
	if (s->feed < 0 || !s->input.ended || s->is_terminal || !stream_input_is_empty(&s->input))
		return;
	if (is_connect(s))
		(void)shutdown(s->feed, SHUT_WR);
	end_feeding(s);
}

static void
give_credit(struct stream *s)
{
	uint32_t credit =
	    stream_io_room(&s->io) >= STREAM_CTL_FRAME_MAX ? stream_input_credit(&s->input) : 0;

	if (credit > 0)
		stream_io_say(&s->io, &(struct stream_frame){ .kind = STREAM_MORE, .more = credit });
}

/* ---- frames ---- */

static int
on_hello(struct stream *s, const struct stream_frame *f)
{
	stream_io_say(&s->io,
	    &(struct stream_frame){ .kind = STREAM_HELLO,
		.hello = { STREAM_VERSION, STREAM_CREDIT } });
	s->granted = f->hello.credit;
	s->state = f->hello.version == STREAM_VERSION ? STREAM_OPEN : STREAM_LAST_WORDS;
	if (s->state == STREAM_OPEN)
		carry_out(s);
	return 0;
}

static int
on_ctl(const struct stream *s, const struct stream_frame *f)
{
	int result = s->ctl < 0
	    ? IPC_CHAN_E_END
	    : ipc_chan_send_plain(s->ctl, f->data.data, f->data.len, MSG_DONTWAIT);

	return result == 0 ? 0 : result == IPC_CHAN_E_AGAIN ? STREAM_FRAME_LATER : STREAM_FRAME_BAD;
}

static int
on_input_end(struct stream *s)
{
	if (s->input.ended)
		return STREAM_FRAME_BAD;
	s->input.ended = true;
	return 0;
}

/* The worker's client does not want it any more: the program finds its pipe closed. A terminal is one for all. */
static void
stop_reading(struct stream *s, int which)
{
	if (!s->is_terminal)
		fd_close(&s->from[which]);
}

static int
on_more(struct stream *s, const struct stream_frame *f)
{
	if (f->more > STREAM_CREDIT - (s->granted - s->sent))
		return STREAM_FRAME_BAD;
	s->granted += f->more;
	return 0;
}

static int
on_size(struct stream *s, const struct stream_frame *f)
{
	struct terminal_size size = { f->size.columns, f->size.rows, f->size.width_px,
		f->size.height_px };

	if (!s->is_terminal)
		return STREAM_FRAME_BAD;
	stream_input_put_size(&s->input, &size);
	return 0;
}

static bool
is_listening(const struct stream *s)
{
	return s->state == STREAM_SILENT || s->state == STREAM_OPEN;
}

/* HELLO is the first frame, and only that. */
static int
on_frame(void *arg, const struct stream_frame *f)
{
	struct stream *s = arg;

	if (!is_listening(s))
		return STREAM_FRAME_LATER;
	if ((s->state == STREAM_SILENT) != (f->kind == STREAM_HELLO) || f->of_connection)
		return STREAM_FRAME_BAD;
	switch (f->kind) {
	case STREAM_HELLO:
		return on_hello(s, f);
	case STREAM_CTL:
		return on_ctl(s, f);
	case STREAM_INPUT:
		return stream_input_put(&s->input, f->data) ? 0 : STREAM_FRAME_BAD;
	case STREAM_INPUT_END:
		return on_input_end(s);
	case STREAM_MORE:
		return on_more(s, f);
	case STREAM_SIZE:
		return on_size(s, f);
	case STREAM_OUTPUT_END:
		stop_reading(s, 0);
		return 0;
	case STREAM_ERRORS_END:
		stop_reading(s, 1);
		return 0;
	case STREAM_OUTPUT:
	case STREAM_ERRORS:
		break; /* ours */
	}
	return STREAM_FRAME_BAD;
}

static void
take_frames(struct stream *s)
{
	if (stream_io_take(&s->io, on_frame, s) == STREAM_FRAME_BAD)
		let_go(s);
}

/* As the kernel does with what was written to a socket before it was closed. */
static void
begin_to_flush(struct stream *s)
{
	s->state = STREAM_FLUSHING;
	s->left_until = clock_now_ms() + STREAM_LEFT_MS;
	s->io.out_len = 0;
	fd_close_all(s->from, 2);
}

static void
read_in(struct stream *s)
{
	if (stream_io_read(&s->io))
		return;
	if (is_connect(s) && s->input.ended && !stream_input_is_empty(&s->input))
		begin_to_flush(s);
	else
		let_go(s);
}

/* ---- the loop ---- */

static struct pollfd
wait_for(int fd, bool wanted, short events)
{
	return (struct pollfd){ .fd = wanted ? fd : -1, .events = events };
}

/* Only what something can be done about now: who has hung up would wake us for ever. */
static void
fill_poll(const struct stream *s, struct pollfd set[POLL_N])
{
	const struct program *p = &s->program;
	const struct attempt *a = &s->attempt;

	set[POLL_SIGNAL] = wait_for(s->signal_fd, true, POLLIN);
	set[POLL_STDIN] =
	    wait_for(STDIN_FILENO, is_listening(s) && stream_io_in_room(&s->io) > 0, POLLIN);
	set[POLL_STDOUT] =
	    wait_for(STDOUT_FILENO, s->io.out_len > 0 && s->state != STREAM_GONE, POLLOUT);
	set[POLL_CTL] = wait_for(s->ctl,
	    stream_io_room(&s->io) >= STREAM_CTL_FRAME_MAX && !is_end_held(s), POLLIN);
	set[POLL_FEED] = wait_for(s->feed, !stream_input_is_empty(&s->input), POLLOUT);
	set[POLL_OUTPUT] = wait_for(s->from[0], sendable(s) > 0, POLLIN);
	set[POLL_ERRORS] = wait_for(s->from[1], sendable(s) > 0, POLLIN);
	set[POLL_PROGRAM_CTL] = wait_for(p->ctl, p->used, program_ctl_events(p));
	set[POLL_PROGRAM_RESULT] = wait_for(p->result, p->used, POLLIN);
	set[POLL_ATTEMPT_CTL] = wait_for(a->ctl, a->used, POLLIN);
	set[POLL_ATTEMPT] = wait_for(attempt_fd(a), a->used, attempt_events(a));
}

static void
wake_inner(struct stream *s, const struct pollfd set[POLL_N])
{
	struct program *p = &s->program;
	struct attempt *a = &s->attempt;

	if (set[POLL_PROGRAM_RESULT].revents != 0)
		program_exec_known(p, clock_now_ms());
	if (set[POLL_PROGRAM_CTL].revents != 0 && p->ctl >= 0)
		program_ctl_ready(p, clock_now_ms());
	if (set[POLL_ATTEMPT].revents != 0)
		attempt_ready(a);
	if (set[POLL_ATTEMPT_CTL].revents != 0 && a->used)
		attempt_drop(a);
}

/* In this order: what was said before the end is heard before it. */
static void
wake_outer(struct stream *s, const struct pollfd set[POLL_N])
{
	if (set[POLL_CTL].revents != 0)
		ctl_ready(s);
	if (set[POLL_STDIN].revents != 0)
		read_in(s);
	take_frames(s);
	feed(s);
	for (int i = 0; i < 2; i++) {
		if (set[POLL_OUTPUT + i].revents != 0)
			collect(s, i);
	}
	if (s->state == STREAM_OPEN)
		give_credit(s);
	flush_out(s);
	if (s->state == STREAM_FLUSHING && s->feed < 0)
		let_go(s);
}

static void
reap(struct stream *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->program.pid)
			program_reaped(&s->program, status, clock_now_ms());
		attempt_reaped(&s->attempt, pid);
	}
}

static void
on_deadline(struct stream *s)
{
	struct program *p = &s->program;
	int64_t now = clock_now_ms();

	if (p->used && p->kill_at != 0 && now >= p->kill_at)
		program_kill(p, now);
	program_tidy(p);
	attempt_tick(&s->attempt, now);
	if (is_draining(s) && now >= s->drain_at && waiting(s) == 0) {
		end_output(s, 0);
		flush_out(s);
	}
	if (s->state == STREAM_FLUSHING && now >= s->left_until) {
		stream_io_cut(&s->feed);
		let_go(s);
	}
}

/* Milliseconds until the next deadline, of the program's, the lookup's or the connection's, and the terminal's; -1: none. */
static int
next_timeout(const struct stream *s)
{
	int64_t at = s->program.used ? s->program.kill_at
	    : s->attempt.used        ? s->attempt.give_up_at
				     : s->left_until;
	int64_t left;

	if (is_draining(s) && (at == 0 || s->drain_at < at))
		at = s->drain_at;
	if (at == 0)
		return -1;
	left = at - clock_now_ms();
	return left <= 0 ? 0 : left > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : (int)left;
}

static bool
is_over(const struct stream *s)
{
	return (s->state == STREAM_LAST_WORDS && s->io.out_len == 0) ||
	    (s->state == STREAM_GONE && !s->program.used);
}

static int
serve(struct stream *s)
{
	struct pollfd set[POLL_N];

	while (!is_over(s)) {
		fill_poll(s, set);
		if (poll(set, POLL_N, next_timeout(s)) < 0) {
			if (errno != EINTR && errno != EAGAIN && errno != ENOMEM)
				return 1;
			continue;
		}
		wake_inner(s, set);
		wake_outer(s, set);
		if (set[POLL_SIGNAL].revents != 0 && startup_read_signals(s->signal_fd) &&
		    s->state != STREAM_GONE)
			let_go(s);
		reap(s);
		on_deadline(s);
	}
	return 0;
}

/* The pieces are in everybody's view until they are taken. */
static size_t
read_order(uint8_t *order, size_t cap, unsigned n_pieces, char **pieces)
{
	size_t len = 0;
	bool bad = false;

	for (unsigned i = 0; i < n_pieces; i++) {
		bad = bad || stream_base64_get(pieces[i], order, cap, &len) != 0;
		memset(pieces[i], 0, strlen(pieces[i]));
	}
	return bad ? 0 : len;
}

int
stream_run(unsigned n_pieces, char **pieces)
{
	static struct stream s = { .ctl = -1, .feed = -1, .from = { -1, -1 } };

	s.order_len = read_order(s.order, sizeof(s.order), n_pieces, pieces);
	s.signal_fd = startup_take_signals();
	/* The program gets it back (child.c): here a closed pipe is an error like others. */
	if (s.signal_fd < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	if (fd_set_nonblock(STDIN_FILENO) < 0 || fd_set_nonblock(STDOUT_FILENO) < 0)
		return 1;
	if (s.order_len > 0 && s.order[0] == GUEST_LISTEN)
		return stream_listener_run(s.signal_fd, s.order, s.order_len);
	return serve(&s);
}
