/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: see stream_listener.h. The frames come from a worker that may be anybody's by now: it can take, feed and
 * end the connections of this one listener, and no more. What each of them makes us keep is bounded by the credit
 * that the worker has been given for it, what we send of it by the credit that the worker gives, and how many there
 * are by a number. Who connects may be anybody that reaches the container's network.
 */
#include "stream_listener.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "fd.h"
#include "ipc_chan.h"
#include "listener.h"
#include "startup.h"
#include "stream_input.h"
#include "stream_io.h"

/* Twice as many as a worker can have channels: what it has let go of may still be on its way to who connected. */
#define RELAYS_MAX     128
#define TIMEOUT_MAX_MS 60000

enum state {
	STATE_SILENT,     /* until the worker has said HELLO */
	STATE_OPEN,       /* somebody listens, or has failed to */
	STATE_STOPPED,    /* nobody listens any more; the connections go on */
	STATE_LAST_WORDS, /* there is nothing to do but to say why */
	STATE_GONE,       /* the worker has let go */
};

/* One connection that was accepted. */
struct relay {
	uint32_t number;
	int fd;
	bool input_over;                        /* it takes no more, or there is no more for it */
	bool output_over;                       /* it gives no more, or nobody wants more of it */
	bool tell_input_over, tell_output_over; /* the worker does not know yet */
	uint64_t granted, sent;                 /* credit for OUTPUT, and how much is used, ever */
	struct stream_input input;
};

enum poll_slot {
	POLL_SIGNAL,
	POLL_STDIN,
	POLL_STDOUT,
	POLL_CTL,
	POLL_LISTENER_CTL,
	POLL_LISTENER,
	POLL_RELAYS = POLL_LISTENER + GUEST_ADDRESSES_MAX,
	POLL_N = POLL_RELAYS + RELAYS_MAX,
};

/*
 * What poll() waits for: open descriptors only, because it refuses more entries than the container's limit of
 * descriptors, which may be low.
 */
struct poll_set {
	struct pollfd fds[POLL_N];
	unsigned slots[POLL_N]; /* of each */
	short found[POLL_N];    /* by slot */
	nfds_t n;
};

struct stream_listener {
	enum state state;
	int signal_fd;
	const uint8_t *order;
	size_t order_len;
	struct stream_io io;
	struct listener listener;
	int ctl; /* the other end of its */
	struct relay *relays[RELAYS_MAX];
	uint32_t n_accepted, n_taken; /* ever */
	unsigned first;               /* relay that has its turn first */
	int64_t left_until; /* ms: when what was left behind is dropped; 0: the worker has not let go */
};

/* ---- connections ---- */

/* RELAYS_MAX: there is none. */
static unsigned
free_place(const struct stream_listener *s)
{
	unsigned place = 0;

	while (place < RELAYS_MAX && s->relays[place] != NULL)
		place++;
	return place;
}

static struct relay *
find_relay(const struct stream_listener *s, uint32_t number)
{
	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		if (s->relays[i] != NULL && s->relays[i]->number == number)
			return s->relays[i];
	}
	return NULL;
}

static void
drop_relay(struct relay **place)
{
	fd_close(&(*place)->fd);
	(void)munmap(*place, sizeof(**place));
	*place = NULL;
}

/* Memory that is the kernel's again with the connection's end. *fd is taken then. False: there is none. */
static bool
make_relay(struct stream_listener *s, int *fd)
{
	unsigned place = free_place(s);
	struct relay *relay = place == RELAYS_MAX
	    ? MAP_FAILED
	    : mmap(NULL, sizeof(*relay), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (relay == MAP_FAILED)
		return false;
	relay->number = s->n_accepted++;
	relay->fd = fd_steal(fd);
	s->relays[place] = relay;
	return true;
}

static bool
is_done(const struct relay *r)
{
	return r->input_over && r->output_over && !r->tell_input_over && !r->tell_output_over;
}

static void
end_input(struct relay *r, bool tell)
{
	r->input_over = true;
	r->tell_input_over = tell;
	stream_input_drop(&r->input);
}

/* Who does not read any more does not make the worker wait: what comes is dropped, as a closed socket would. */
static void
feed(struct relay *r)
{
	while (!r->input_over) {
		struct wire_span next = stream_input_next(&r->input);
		ssize_t n = next.len > 0 ? write(r->fd, next.data, next.len) : 0;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			end_input(r, !r->input.ended);
		if (n <= 0)
			break;
		stream_input_took(&r->input, (size_t)n);
	}
	if (r->input_over) {
		stream_input_drop(&r->input);
	} else if (r->input.ended && stream_input_is_empty(&r->input)) {
		(void)shutdown(r->fd, SHUT_WR);
		end_input(r, false);
	}
}

static size_t
sendable(const struct stream_listener *s, const struct relay *r)
{
	return r->output_over ? 0 : stream_io_sendable(&s->io, r->granted - r->sent);
}

/* Whether it had something to give, and there was room for it. */
static bool
collect(struct stream_listener *s, struct relay *r)
{
	static uint8_t data[STREAM_DATA_MAX];
	size_t most = sendable(s, r);
	ssize_t n;

	if (most == 0)
		return false;
	n = read(r->fd, data, most);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		r->output_over = r->tell_output_over = true;
		return false;
	}
	stream_io_say(&s->io,
	    &(struct stream_frame){ .kind = STREAM_OUTPUT,
		.of_connection = true,
		.connection = r->number,
		.data = { data, (size_t)n } });
	r->sent += (uint64_t)n;
	return true;
}

static bool
has_room(const struct stream_listener *s)
{
	return stream_io_room(&s->io) >= STREAM_CTL_FRAME_MAX;
}

static void
say_of(struct stream_listener *s, const struct relay *r, enum stream_kind kind, uint32_t more)
{
	struct stream_frame f = { .kind = kind, .of_connection = true, .connection = r->number };

	if (kind == STREAM_MORE)
		f.more = more;
	stream_io_say(&s->io, &f);
}

/*
 * The worker hears nothing of a connection before it wants to. False: there is no room for something that it is
 * to hear.
 */
static bool
tell(struct stream_listener *s, struct relay *r)
{
	uint32_t credit;

	if (r->granted == 0)
		return true;
	if (r->tell_input_over && has_room(s)) {
		r->tell_input_over = false;
		say_of(s, r, STREAM_INPUT_END, 0);
	}
	if (r->tell_output_over && has_room(s)) {
		r->tell_output_over = false;
		say_of(s, r, STREAM_OUTPUT_END, 0);
	}
	credit = has_room(s) ? stream_input_credit(&r->input) : 0;
	if (credit > 0)
		say_of(s, r, STREAM_MORE, credit);
	return has_room(s);
}

/* The worker is gone, or as good as gone. As the kernel does with what was written to a socket before it was closed. */
static void
let_go(struct stream_listener *s)
{
	if (s->left_until == 0)
		s->left_until = clock_now_ms() + STREAM_LEFT_MS;
	s->state = STATE_GONE;
	s->io.out_len = 0;
	fd_close(&s->ctl);
	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		struct relay *r = s->relays[i];

		if (r == NULL)
			continue;
		r->output_over = true;
		r->tell_input_over = r->tell_output_over = false;
		if (!r->input.ended || r->input_over)
			drop_relay(&s->relays[i]);
	}
}

/* ---- listening ---- */

static void
refuse(struct stream_listener *s, int error)
{
	s->state = STATE_LAST_WORDS;
	stream_io_say_failed(&s->io, GUEST_FAIL_ORDER, error);
}

static void
begin(struct stream_listener *s)
{
	struct guest_listen order;
	struct wire_reader r;
	int pair[2];

	wire_reader_init(&r, s->order, s->order_len);
	if (guest_get_listen(&r, &order) != 0) {
		refuse(s, EPROTO);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		refuse(s, errno);
		return;
	}
	s->ctl = pair[0];
	listener_start(&s->listener, &order, &pair[1]);
}

/* A connection that is not passed on makes room for the next one. */
static void
turn_away(const struct stream_listener *s)
{
	(void)!ctl_send(s->ctl, &(struct guest_ctl){ .id = GUEST_CTL_TAKEN }, NULL, 0);
}

static void
hear_ctl(struct stream_listener *s)
{
	uint8_t record[GUEST_CTL_MAX];
	int fds[2] = { -1, -1 };
	unsigned n_fds = 0;
	size_t len;
	int result =
	    ipc_chan_recv_fds(s->ctl, record, sizeof(record), &len, fds, 2, &n_fds, MSG_DONTWAIT);

	if (result == IPC_CHAN_E_AGAIN)
		return;
	/* There is no descriptor left to receive it with. */
	if (result == IPC_CHAN_E_VIOLATION) {
		turn_away(s);
		return;
	}
	if (result != 0) {
		fd_close(&s->ctl); /* nobody listens: all is said */
		return;
	}
	if (n_fds > 0 && !make_relay(s, &fds[0]))
		turn_away(s);
	else
		stream_io_say(&s->io,
		    &(struct stream_frame){ .kind = STREAM_CTL, .data = { record, len } });
	fd_close_all(fds, n_fds);
}

/* Nobody takes what comes from now on, and not what the worker has not taken. */
static void
stop(struct stream_listener *s)
{
	s->state = STATE_STOPPED;
	fd_close(&s->ctl);
	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		if (s->relays[i] != NULL && s->relays[i]->number >= s->n_taken)
			drop_relay(&s->relays[i]);
	}
}

/* ---- frames ---- */

static int
on_hello(struct stream_listener *s, const struct stream_frame *f)
{
	stream_io_say(&s->io,
	    &(struct stream_frame){ .kind = STREAM_HELLO,
		.hello = { STREAM_VERSION, STREAM_CREDIT } });
	s->state = f->hello.version == STREAM_VERSION ? STATE_OPEN : STATE_LAST_WORDS;
	if (s->state == STATE_OPEN)
		begin(s);
	return 0;
}

/* TAKEN, which the listener itself looks at. */
static int
on_ctl(struct stream_listener *s, const struct stream_frame *f)
{
	int result;

	if (s->ctl < 0 || s->n_taken == s->n_accepted)
		return STREAM_FRAME_BAD;
	result = ipc_chan_send_plain(s->ctl, f->data.data, f->data.len, MSG_DONTWAIT);
	if (result == IPC_CHAN_E_AGAIN)
		return STREAM_FRAME_LATER;
	s->n_taken++;
	return result == 0 ? 0 : STREAM_FRAME_BAD;
}

static int
on_more(struct relay *r, const struct stream_frame *f)
{
	if (f->more > STREAM_CREDIT - (r->granted - r->sent))
		return STREAM_FRAME_BAD;
	r->granted += f->more;
	return 0;
}

static int
on_input_end(struct relay *r)
{
	if (r->input.ended)
		return STREAM_FRAME_BAD;
	r->input.ended = true;
	r->tell_input_over = false; /* it does not matter any more */
	return 0;
}

static int
on_frame_of_relay(struct stream_listener *s, const struct stream_frame *f)
{
	struct relay *r = find_relay(s, f->connection);

	if (f->connection >= s->n_accepted)
		return STREAM_FRAME_BAD;
	if (r == NULL)
		return 0; /* it has ended meanwhile */
	switch (f->kind) {
	case STREAM_INPUT:
		return stream_input_put(&r->input, f->data) ? 0 : STREAM_FRAME_BAD;
	case STREAM_INPUT_END:
		return on_input_end(r);
	case STREAM_OUTPUT_END:
		r->output_over = true;
		r->tell_output_over = false;
		return 0;
	case STREAM_MORE:
		return on_more(r, f);
	case STREAM_HELLO:
	case STREAM_CTL:
	case STREAM_OUTPUT: /* ours */
	case STREAM_ERRORS:
	case STREAM_ERRORS_END:
	case STREAM_SIZE:
		break;
	}
	return STREAM_FRAME_BAD;
}

/* HELLO is the first frame, and only that. */
static int
on_frame(void *arg, const struct stream_frame *f)
{
	struct stream_listener *s = arg;

	if (s->state >= STATE_LAST_WORDS)
		return STREAM_FRAME_LATER;
	if ((s->state == STATE_SILENT) != (f->kind == STREAM_HELLO))
		return STREAM_FRAME_BAD;
	if (f->of_connection)
		return on_frame_of_relay(s, f);
	switch (f->kind) {
	case STREAM_HELLO:
		return on_hello(s, f);
	case STREAM_CTL:
		return on_ctl(s, f);
	case STREAM_INPUT_END:
		if (s->state == STATE_STOPPED)
			return STREAM_FRAME_BAD;
		stop(s);
		return 0;
	case STREAM_OUTPUT_END: /* the listener itself has none */
	case STREAM_ERRORS_END:
		return 0;
	case STREAM_INPUT:
	case STREAM_OUTPUT:
	case STREAM_ERRORS:
	case STREAM_MORE:
	case STREAM_SIZE:
		break;
	}
	return STREAM_FRAME_BAD;
}

/* ---- the loop ---- */

static void
add_poll(struct poll_set *set, unsigned slot, int fd, short events)
{
	if (fd < 0 || events == 0)
		return;
	set->slots[set->n] = slot;
	set->fds[set->n++] = (struct pollfd){ .fd = fd, .events = events };
}

static bool
is_listening(const struct stream_listener *s)
{
	return s->state <= STATE_STOPPED;
}

/* Only what something can be done about now: who has hung up would wake us for ever. */
static void
fill_poll(const struct stream_listener *s, struct poll_set *set)
{
	const struct listener *l = &s->listener;

	set->n = 0;
	add_poll(set, POLL_SIGNAL, s->signal_fd, POLLIN);
	if (is_listening(s) && stream_io_in_room(&s->io) > 0)
		add_poll(set, POLL_STDIN, STDIN_FILENO, POLLIN);
	if (s->io.out_len > 0)
		add_poll(set, POLL_STDOUT, STDOUT_FILENO, POLLOUT);
	if (has_room(s) && free_place(s) < RELAYS_MAX)
		add_poll(set, POLL_CTL, s->ctl, POLLIN);
	if (l->used)
		add_poll(set, POLL_LISTENER_CTL, l->ctl, POLLIN);
	for (unsigned i = 0; l->used && listener_wants(l) && i < l->n; i++)
		add_poll(set, POLL_LISTENER + i, l->fds[i], POLLIN);
	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		const struct relay *r = s->relays[i];

		if (r != NULL)
			add_poll(set, POLL_RELAYS + i, r->fd,
			    (short)((sendable(s, r) > 0 ? POLLIN : 0) |
				(stream_input_is_empty(&r->input) ? 0 : POLLOUT)));
	}
}

/* Milliseconds until the listener has rested, or what is left is dropped; -1: neither. */
static int
next_timeout(const struct stream_listener *s)
{
	bool rests = s->listener.used && s->listener.rest_until != 0;
	int64_t at = rests ? s->listener.rest_until : s->left_until;
	int64_t left = at - clock_now_ms();

	if (at == 0)
		return -1;
	return left <= 0 ? 0 : left > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : (int)left;
}

static bool
wait_for_something(const struct stream_listener *s, struct poll_set *set)
{
	fill_poll(s, set);
	memset(set->found, 0, sizeof(set->found));
	if (poll(set->fds, set->n, next_timeout(s)) < 0)
		return errno == EINTR || errno == EAGAIN || errno == ENOMEM;
	for (nfds_t i = 0; i < set->n; i++)
		set->found[set->slots[i]] = set->fds[i].revents;
	return true;
}

static void
wake_listener(struct stream_listener *s, const struct poll_set *set)
{
	struct listener *l = &s->listener;

	if (set->found[POLL_LISTENER_CTL] != 0)
		listener_hear(l);
	for (unsigned i = 0; i < GUEST_ADDRESSES_MAX; i++) {
		if (set->found[POLL_LISTENER + i] != 0 && l->used && listener_wants(l))
			listener_accept(l, l->fds[i], clock_now_ms());
	}
	listener_tick(l, clock_now_ms());
}

/*
 * Each one that has something to give gives one frame of it, as long as there is room. The next time those go first
 * that come behind the first that gave one: not behind a number of places, most of which nobody has.
 */
static void
wake_relays(struct stream_listener *s, const struct poll_set *set)
{
	unsigned first = s->first;
	bool given = false;

	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		unsigned at = (first + i) % RELAYS_MAX;

		if (s->relays[at] == NULL)
			continue;
		feed(s->relays[at]);
		if (set->found[POLL_RELAYS + at] == 0 || !collect(s, s->relays[at]) || given)
			continue;
		given = true;
		s->first = (at + 1) % RELAYS_MAX;
	}
}

/* False: there was no room for all of it. */
static bool
tell_all(struct stream_listener *s)
{
	bool all = true;

	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		struct relay *r = s->relays[i];

		if (r == NULL)
			continue;
		if (is_listening(s))
			all = tell(s, r) && all;
		if (is_done(r))
			drop_relay(&s->relays[i]);
	}
	return all;
}

static void
flush_out(struct stream_listener *s)
{
	bool all;

	/* What found no room has it as soon as something has left. */
	do {
		all = tell_all(s);
		if (s->state != STATE_GONE && !stream_io_flush(&s->io))
			let_go(s);
	} while (!all && is_listening(s) && has_room(s));
}

/* In this order: what was said before the end is heard before it. */
static void
wake(struct stream_listener *s, const struct poll_set *set)
{
	wake_listener(s, set);
	if (set->found[POLL_CTL] != 0 && has_room(s))
		hear_ctl(s);
	if (set->found[POLL_STDIN] != 0 && !stream_io_read(&s->io))
		let_go(s);
	if (stream_io_take(&s->io, on_frame, s) == STREAM_FRAME_BAD)
		let_go(s);
	wake_relays(s, set);
	flush_out(s);
	if (set->found[POLL_SIGNAL] != 0 && startup_read_signals(s->signal_fd) &&
	    s->state != STATE_GONE)
		let_go(s);
}

/* Whoever does not read what was left behind is not waited for any longer. */
static void
cut_relays(struct stream_listener *s)
{
	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		if (s->relays[i] == NULL)
			continue;
		stream_io_cut(&s->relays[i]->fd);
		drop_relay(&s->relays[i]);
	}
}

static bool
is_over(const struct stream_listener *s)
{
	if (s->state == STATE_LAST_WORDS)
		return s->io.out_len == 0;
	if (s->listener.used || s->state < STATE_STOPPED ||
	    (s->state == STATE_STOPPED && s->io.out_len > 0))
		return false;
	for (unsigned i = 0; i < RELAYS_MAX; i++) {
		if (s->relays[i] != NULL)
			return false;
	}
	return true;
}

int
stream_listener_run(int signal_fd, const uint8_t *order, size_t len)
{
	static struct stream_listener s = { .ctl = -1 };
	static struct poll_set set;

	s.signal_fd = signal_fd;
	s.order = order;
	s.order_len = len;
	while (!is_over(&s)) {
		if (!wait_for_something(&s, &set))
			return 1;
		wake(&s, &set);
		if (s.left_until != 0 && clock_now_ms() >= s.left_until)
			cut_relays(&s);
	}
	return 0;
}
