/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: see exec_stream.h. */
#include "exec_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "ipc_chan.h"
#include "log.h"
#include "stream_msg.h"

#define READ_SIZE   65536
#define READ_TURN   4 /* reads in one turn: a flood does not stop the loop */
#define SMALL_MAX   (STREAM_HEAD + GUEST_CTL_MAX)
#define SEND_MAX    (STREAM_FRAME_MAX + 8 * SMALL_MAX)
#define CREDIT_STEP (STREAM_CREDIT / 4) /* so much is given back at once */
#define FLUSH_MS    10000
#define WORDS_MAX   200 /* bytes of what the engine says itself, for the log */

enum { STREAM, CTL, IN, OUT, ERR };

/* Bytes on their way into a pipe that did not take them yet. */
struct backlog {
	uint8_t *data; /* STREAM_CREDIT bytes, or NULL */
	size_t begin, len;
	bool ended;  /* nothing comes behind them that anybody wants */
	bool closed; /* the guest has said so */
};

/* Bytes of the engine's stream, both ways. */
struct carried {
	/* from the guest: the engine's frame, and ours that it is a piece of */
	uint8_t head[EXEC_FRAME_HEAD];
	size_t head_len;
	struct exec_frame frame;
	uint8_t received[STREAM_FRAME_MAX];
	size_t n_received;
	char words[WORDS_MAX + 1];
	size_t n_words;
	/* to the guest */
	uint8_t out[SEND_MAX];
	size_t n_out;
};

/* One that has an engine's stream of its own, or a connection that a listener's carries. */
struct exec_stream {
	int fds[EXEC_STREAM_FDS];
	bool let_go;
	int64_t flush_until;     /* 0: the channel still has its ends */
	struct carried *carried; /* NULL: another one's */

	/* from the guest */
	bool greeted;
	uint32_t given;    /* the guest may send so much more */
	uint32_t consumed; /* of what it sent has left us, and it was not told yet */
	struct backlog output, errors;

	/* to the guest */
	uint32_t credit;
	bool in_ended; /* and the guest was told, or has told us */
	bool resized;
	struct ipc_pty size;

	/* a listener's */
	LIST_HEAD(, exec_stream) connections;
	uint32_t n_accepted; /* ever */
	struct exec_stream *waiting; /* of its connections the one that had no room, and goes before the others */

	/* a connection's */
	LIST_ENTRY(exec_stream) link;
	struct exec_stream *listener; /* NULL: not a connection, or its stream has ended */
	uint32_t number;
	bool opened; /* the channel has its ends */
};

/* ---- to the guest ---- */

/* The one whose stream carries it; NULL: it has ended. */
static struct exec_stream *
carrier(struct exec_stream *s)
{
	return s->carried != NULL ? s : s->listener;
}

static bool
is_carried(const struct exec_stream *s)
{
	return s->carried != NULL ? s->fds[STREAM] >= 0 : s->listener != NULL;
}

/* There is room: the callers see to that. */
static void
put(struct exec_stream *s, const struct stream_frame *frame)
{
	struct carried *to = carrier(s)->carried;
	struct stream_frame f = *frame;
	struct wire_writer w;

	f.of_connection = s->carried == NULL;
	f.connection = s->number;
	wire_writer_init(&w, to->out + to->n_out, sizeof(to->out) - to->n_out);
	stream_put(&w, &f);
	if (!w.failed)
		to->n_out += w.len;
}

static bool
has_room(const struct exec_stream *s, size_t n)
{
	const struct exec_stream *by = s->carried != NULL ? s : s->listener;

	return by != NULL && sizeof(by->carried->out) - by->carried->n_out >= n;
}

/* Its stream is no more: what was received is still there. */
static void
cut(struct exec_stream *s)
{
	fd_close(&s->fds[IN]);
	s->output.ended = s->errors.ended = true;
}

static void
leave_listener(struct exec_stream *s)
{
	if (s->listener->waiting == s)
		s->listener->waiting = NULL;
	s->listener = NULL;
	LIST_REMOVE(s, link);
}

static void
let_connections_go(struct exec_stream *s)
{
	while (!LIST_EMPTY(&s->connections)) {
		struct exec_stream *connection = LIST_FIRST(&s->connections);

		leave_listener(connection);
		cut(connection);
	}
}

struct exec_stream *
exec_stream_new(const int fds[EXEC_STREAM_FDS])
{
	struct exec_stream *s = calloc(1, sizeof(*s));
	struct carried *carried = calloc(1, sizeof(*carried));

	for (int i = 0; i < EXEC_STREAM_FDS; i++) {
		int fd = fds[i];

		if (s != NULL && carried != NULL)
			s->fds[i] = fd;
		else
			fd_close(&fd);
	}
	if (s == NULL || carried == NULL) {
		free(s);
		free(carried);
		return NULL;
	}
	LIST_INIT(&s->connections);
	s->carried = carried;
	s->given = STREAM_CREDIT;
	put(s,
	    &(struct stream_frame){ .kind = STREAM_HELLO,
		.hello = { STREAM_VERSION, STREAM_CREDIT } });
	return s;
}

struct exec_stream *
exec_stream_accept(struct exec_stream *listener)
{
	struct exec_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	for (int i = 0; i < EXEC_STREAM_FDS; i++)
		s->fds[i] = -1;
	LIST_INIT(&s->connections);
	s->number = listener->n_accepted++;
	s->credit = STREAM_CREDIT;
	s->errors.ended = true; /* it has none */
	if (is_carried(listener)) {
		s->listener = listener;
		LIST_INSERT_HEAD(&listener->connections, s, link);
	}
	return s;
}

void
exec_stream_open(struct exec_stream *s, int *in, int *out)
{
	s->fds[IN] = fd_steal(in);
	s->fds[OUT] = fd_steal(out);
	s->opened = true;
	if (is_carried(s))
		s->consumed = STREAM_CREDIT; /* it is given as the rest will be */
	else
		cut(s);
}

struct exec_stream *
exec_stream_free(struct exec_stream *s)
{
	if (s == NULL)
		return NULL;
	let_connections_go(s);
	if (s->listener != NULL)
		leave_listener(s);
	fd_close_all(s->fds, EXEC_STREAM_FDS);
	free(s->carried);
	free(s->output.data);
	free(s->errors.data);
	free(s);
	return NULL;
}

/* The engine's own words come before the guest's, or in its stead. */
static void
log_words(const struct exec_stream *s)
{
	if (!s->greeted && s->carried->n_words > 0)
		log_info("the engine says: %s", s->carried->words);
}

/* For the channel it is as if the guest had closed everything; what was received before is still there. */
static void
end(struct exec_stream *s)
{
	log_words(s);
	fd_close(&s->fds[STREAM]);
	cut(s);
	s->carried->n_out = 0;
	let_connections_go(s);
}

static void
broken(struct exec_stream *s, const char *why)
{
	log_info("an engine's stream broke the protocol: %s", why);
	end(carrier(s));
}

static void
send_out(struct exec_stream *s)
{
	ssize_t n;

	if (s->carried->n_out == 0 || s->fds[STREAM] < 0)
		return;
	n = write(s->fds[STREAM], s->carried->out, s->carried->n_out);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		end(s);
	if (n <= 0)
		return;
	s->carried->n_out -= (size_t)n;
	memmove(s->carried->out, s->carried->out + n, s->carried->n_out);
}

/*
 * Whether so much data can be put. One of a listener's connections that finds no room is the next one that puts
 * any: each of them has its turn, also when another one never runs out of data.
 */
static bool
has_turn(struct exec_stream *s, size_t n)
{
	bool room = has_room(s, STREAM_FRAME_MAX - STREAM_DATA_MAX + n + 4 * SMALL_MAX);
	struct exec_stream *listener = s->listener;

	if (listener == NULL)
		return room;
	if (listener->waiting != NULL && listener->waiting != s)
		return false;
	listener->waiting = room ? NULL : s;
	return room;
}

/* What the channel writes for the program. Whether all of it is on its way. */
static bool
take_input(struct exec_stream *s)
{
	static uint8_t chunk[STREAM_DATA_MAX];

	if (s->listener != NULL && s->listener->waiting == s)
		s->listener->waiting = NULL;
	while (s->fds[IN] >= 0 && s->credit > 0) {
		size_t want = s->credit < sizeof(chunk) ? s->credit : sizeof(chunk);
		ssize_t n;

		if (!has_turn(s, want))
			return false;
		n = read(s->fds[IN], chunk, want);
		if (n < 0)
			return true;
		if (n == 0) {
			fd_close(&s->fds[IN]);
			s->in_ended = true;
			put(s, &(struct stream_frame){ .kind = STREAM_INPUT_END });
			return true;
		}
		s->credit -= (uint32_t)n;
		put(s, &(struct stream_frame){ .kind = STREAM_INPUT, .data = { chunk, (size_t)n } });
		if (s->carried == NULL)
			break; /* the others have their turns */
	}
	return s->fds[IN] < 0;
}

/* What the channel says to the guest: signals. */
static void
take_ctl(struct exec_stream *s)
{
	uint8_t record[GUEST_CTL_MAX];
	size_t len;
	int r;

	while (s->fds[CTL] >= 0 && has_room(s, 3 * SMALL_MAX)) {
		r = ipc_chan_recv(s->fds[CTL], record, sizeof(record), &len, MSG_DONTWAIT);
		if (r == IPC_CHAN_E_AGAIN)
			return;
		if (r != 0) {
			fd_close(&s->fds[CTL]);
			return;
		}
		put(s, &(struct stream_frame){ .kind = STREAM_CTL, .data = { record, len } });
	}
}

static void
tell_more(struct exec_stream *s)
{
	if (s->consumed < CREDIT_STEP || !has_room(s, SMALL_MAX))
		return;
	put(s, &(struct stream_frame){ .kind = STREAM_MORE, .more = s->consumed });
	s->given += s->consumed;
	s->consumed = 0;
}

/* A program that writes to nobody is to hear of it. */
static void
tell_closed(struct exec_stream *s, int which, struct backlog *b, enum stream_kind kind)
{
	if (s->fds[which] >= 0 || b->ended || !has_room(s, SMALL_MAX))
		return;
	if (s->carried == NULL && !s->opened)
		return;
	b->ended = true;
	put(s, &(struct stream_frame){ .kind = kind });
}

static void
tell_size(struct exec_stream *s)
{
	if (!s->resized || !has_room(s, SMALL_MAX))
		return;
	s->resized = false;
	put(s,
	    &(struct stream_frame){ .kind = STREAM_SIZE,
		.size = { s->size.columns, s->size.rows, s->size.width_px, s->size.height_px } });
}

/* ---- from the guest ---- */

/* Into the pipe, as far as it takes it. */
static void
push(struct exec_stream *s, int which, struct backlog *b)
{
	while (b->len > 0 && s->fds[which] >= 0) {
		ssize_t n = write(s->fds[which], b->data + b->begin, b->len);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) { /* the channel does not read any more */
			fd_close(&s->fds[which]);
			break;
		}
		b->begin += (size_t)n;
		b->len -= (size_t)n;
		s->consumed += (uint32_t)n;
	}
	if (s->fds[which] < 0) {
		s->consumed += (uint32_t)b->len;
		b->len = 0;
	}
	if (b->len == 0 && b->ended)
		fd_close(&s->fds[which]);
}

static void
take_data(struct exec_stream *s, int which, struct backlog *b, struct wire_span data)
{
	ssize_t n = 0;

	if (b->closed || data.len > s->given) {
		broken(s, "more data than was asked for");
		return;
	}
	s->given -= (uint32_t)data.len;
	if (s->fds[which] < 0)
		n = (ssize_t)data.len; /* the channel has closed it */
	else if (b->len == 0)
		n = write(s->fds[which], data.data, data.len);
	if (n > 0) {
		s->consumed += (uint32_t)n;
		data.data += n;
		data.len -= (size_t)n;
	}
	if (data.len == 0)
		return;
	if (b->data == NULL)
		b->data = malloc(STREAM_CREDIT);
	if (b->data == NULL) {
		broken(s, "out of memory");
		return;
	}
	if (b->begin > 0)
		memmove(b->data, b->data + b->begin, b->len);
	b->begin = 0;
	/* Within what was given, of which this is a part: there is room. */
	memcpy(b->data + b->len, data.data, data.len);
	b->len += data.len;
	push(s, which, b);
}

static void
end_data(struct exec_stream *s, int which, struct backlog *b)
{
	if (b->closed) {
		broken(s, "data ends twice");
		return;
	}
	b->closed = b->ended = true;
	push(s, which, b);
}

/* A channel that has let go hears nothing; one that does not read its ctl has more than a guest has to say. */
static void
give_ctl(struct exec_stream *s, struct wire_span record)
{
	if (s->fds[CTL] < 0)
		return;
	if (ipc_chan_send_plain(s->fds[CTL], record.data, record.len, MSG_DONTWAIT) ==
	    IPC_CHAN_E_AGAIN)
		broken(s, "too many records");
}

/* Nobody takes what is sent. */
static void
stop_input(struct exec_stream *s)
{
	/* The channel finds that nobody reads what it writes. */
	fd_close(&s->fds[IN]);
	s->in_ended = true;
}

static void
take_credit(struct exec_stream *s, uint32_t more)
{
	if (more > STREAM_CREDIT - s->credit)
		broken(s, "more credit than there is");
	else
		s->credit += more;
}

/* One that the channel has let go of hears no more, and the guest may not know yet. */
static void
take_frame_of_connection(struct exec_stream *listener, const struct stream_frame *f)
{
	struct exec_stream *s;

	LIST_FOREACH(s, &listener->connections, link)
	{
		if (s->number == f->connection)
			break;
	}
	if (f->connection >= listener->n_accepted)
		broken(listener, "a connection that there is not");
	else if (f->kind == STREAM_INPUT)
		broken(listener, "what only a worker says");
	else if (s == NULL)
		return;
	else if (f->kind == STREAM_OUTPUT)
		take_data(s, OUT, &s->output, f->data);
	else if (f->kind == STREAM_OUTPUT_END)
		end_data(s, OUT, &s->output);
	else if (f->kind == STREAM_INPUT_END)
		stop_input(s);
	else
		take_credit(s, f->more);
}

static void
take_frame(struct exec_stream *s, const struct stream_frame *f)
{
	if (s->greeted == (f->kind == STREAM_HELLO)) {
		broken(s, "no greeting, or a second one");
		return;
	}
	if (f->of_connection) {
		take_frame_of_connection(s, f);
		return;
	}
	switch (f->kind) {
	case STREAM_HELLO:
		s->greeted = f->hello.version == STREAM_VERSION;
		s->credit = f->hello.credit;
		if (!s->greeted)
			broken(s, "another version");
		break;
	case STREAM_CTL:
		give_ctl(s, f->data);
		break;
	case STREAM_OUTPUT:
		take_data(s, OUT, &s->output, f->data);
		break;
	case STREAM_ERRORS:
		take_data(s, ERR, &s->errors, f->data);
		break;
	case STREAM_OUTPUT_END:
		end_data(s, OUT, &s->output);
		break;
	case STREAM_ERRORS_END:
		end_data(s, ERR, &s->errors);
		break;
	case STREAM_INPUT_END:
		stop_input(s);
		break;
	case STREAM_MORE:
		take_credit(s, f->more);
		break;
	case STREAM_INPUT:
	case STREAM_SIZE:
		broken(s, "what only a worker says");
		break;
	}
}

/* Frames as far as they are complete. */
static void
take_frames(struct exec_stream *s)
{
	struct carried *c = s->carried;
	size_t used = 0;

	while (s->fds[STREAM] >= 0) {
		struct stream_frame f;
		size_t len;
		int r = stream_get(c->received + used, c->n_received - used, &f, &len);

		if (r == STREAM_E_SHORT)
			break;
		if (r != 0) {
			broken(s, "not a frame");
			return;
		}
		take_frame(s, &f);
		used += len;
	}
	c->n_received -= used;
	memmove(c->received, c->received + used, c->n_received);
}

/* Printable, for the log. */
static void
keep_words(struct carried *c, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len && c->n_words < WORDS_MAX; i++)
		c->words[c->n_words++] = (char)(data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '?');
}

/* The inside of one of the engine's frames. Returns how much of data it took. */
static size_t
take_inside(struct exec_stream *s, const uint8_t *data, size_t len)
{
	struct carried *c = s->carried;
	size_t room = sizeof(c->received) - c->n_received;

	if (len > c->frame.len)
		len = c->frame.len;
	/* Its words, or those of who runs in the guest's place. */
	if (!s->greeted)
		keep_words(c, data, len);
	if (c->frame.is_stdout) {
		if (len > room)
			len = room;
		memcpy(c->received + c->n_received, data, len);
		c->n_received += len;
		take_frames(s);
	}
	c->frame.len -= (uint32_t)len;
	return len;
}

static void
take_bytes(struct exec_stream *s, const uint8_t *data, size_t len)
{
	struct carried *c = s->carried;

	while (len > 0 && s->fds[STREAM] >= 0) {
		size_t n;

		if (c->frame.len > 0) {
			n = take_inside(s, data, len);
		} else {
			n = sizeof(c->head) - c->head_len < len ? sizeof(c->head) - c->head_len : len;
			memcpy(c->head + c->head_len, data, n);
			c->head_len += n;
			if (c->head_len == sizeof(c->head)) {
				c->head_len = 0;
				if (exec_frame_get(c->head, &c->frame) != 0)
					broken(s, "not one of the engine's frames");
			}
		}
		data += n;
		len -= n;
	}
}

static void
receive(struct exec_stream *s)
{
	static uint8_t chunk[READ_SIZE];

	for (int i = 0; i < READ_TURN && s->fds[STREAM] >= 0; i++) {
		ssize_t n = read(s->fds[STREAM], chunk, sizeof(chunk));

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			end(s);
		else
			take_bytes(s, chunk, (size_t)n);
	}
}

/* ---- the loop's view ---- */

void
exec_stream_resize(struct exec_stream *s, const struct ipc_pty *size)
{
	/* What was typed before it goes before it, as far as the guest takes it, and what comes later after it. */
	bool is_next = s->fds[STREAM] >= 0 && take_input(s);

	s->size = *size;
	s->resized = true;
	if (is_next)
		tell_size(s);
}

/* Nothing that is to be sent is left, or will come. */
static bool
is_flushed(const struct exec_stream *s)
{
	return LIST_EMPTY(&s->connections) && s->in_ended && s->carried->n_out == 0;
}

/* The guest hears at once that nobody wants it any more. Without room for that it has not read for long. */
static void
give_up_connection(struct exec_stream *s)
{
	bool room = has_room(s, 2 * SMALL_MAX);

	if (is_carried(s) && !room)
		broken(s, "connections that nobody hears of");
	if (is_carried(s) && !s->in_ended)
		put(s, &(struct stream_frame){ .kind = STREAM_INPUT_END });
	if (is_carried(s) && !s->output.ended)
		put(s, &(struct stream_frame){ .kind = STREAM_OUTPUT_END });
	s->in_ended = true;
	cut(s);
}

/* A listener's stream lasts until the last of its connections has been let go of, too. */
static void
let_connection_go(struct exec_stream *s, bool flush)
{
	if (is_carried(s) && s->listener->flush_until < s->flush_until)
		s->listener->flush_until = s->flush_until;
	fd_close(&s->fds[OUT]);
	/* Without room for that now there will be, or its time is over. */
	if (!flush || (s->fds[IN] < 0 && has_room(s, 2 * SMALL_MAX)))
		give_up_connection(s);
}

void
exec_stream_let_go(struct exec_stream *s, bool flush)
{
	s->let_go = true;
	s->flush_until = clock_now_ms() + FLUSH_MS;
	if (s->carried == NULL)
		let_connection_go(s, flush);
	else if (!flush || !s->greeted || is_flushed(s) || s->fds[STREAM] < 0)
		end(s);
}

bool
exec_stream_has_output(const struct exec_stream *s)
{
	return s->output.len > 0 || s->errors.len > 0;
}

bool
exec_stream_is_let_go(const struct exec_stream *s)
{
	return s->let_go;
}

bool
exec_stream_is_over(const struct exec_stream *s)
{
	const struct exec_stream *other;

	if (!s->let_go || !is_carried(s))
		return s->let_go;
	if (s->carried == NULL)
		return s->in_ended && s->output.ended;
	LIST_FOREACH(other, &s->connections, link)
	{
		if (!other->let_go)
			return false;
	}
	return is_flushed(s) || clock_now_ms() >= s->flush_until;
}

void
exec_stream_want(const struct exec_stream *s, struct pollfd pfds[EXEC_STREAM_FDS])
{
	for (int i = 0; i < EXEC_STREAM_FDS; i++)
		pfds[i] = (struct pollfd){ .fd = -1 };
	/* What comes is bounded by what was given, so it is always heard. */
	pfds[STREAM] = (struct pollfd){ .fd = s->fds[STREAM], .events = POLLIN };
	if (s->carried != NULL && s->carried->n_out > 0)
		pfds[STREAM].events |= POLLOUT;
	if (s->fds[STREAM] >= 0 && has_room(s, 3 * SMALL_MAX))
		pfds[CTL] = (struct pollfd){ .fd = s->fds[CTL], .events = POLLIN };
	if (s->credit > 0 && has_room(s, STREAM_FRAME_MAX + 4 * SMALL_MAX))
		pfds[IN] = (struct pollfd){ .fd = s->fds[IN], .events = POLLIN };
	/* Also without a byte for it: poll() tells when the channel has closed its end. */
	pfds[OUT] = (struct pollfd){ .fd = s->fds[OUT], .events = s->output.len > 0 ? POLLOUT : 0 };
	pfds[ERR] = (struct pollfd){ .fd = s->fds[ERR], .events = s->errors.len > 0 ? POLLOUT : 0 };
}

static void
notice_closed(struct exec_stream *s, const struct pollfd *pfds, int which)
{
	if (pfds[which].fd >= 0 && (pfds[which].revents & POLLERR) != 0)
		fd_close(&s->fds[which]);
}

void
exec_stream_serve(struct exec_stream *s, const struct pollfd pfds[EXEC_STREAM_FDS])
{
	notice_closed(s, pfds, OUT);
	notice_closed(s, pfds, ERR);
	if (pfds[STREAM].revents != 0)
		receive(s);
	push(s, OUT, &s->output);
	push(s, ERR, &s->errors);
	if (!is_carried(s)) {
		/* The channel hears of the end when it has everything. */
		fd_close(&s->fds[CTL]);
		return;
	}
	if (s->carried == NULL && s->let_go && clock_now_ms() >= s->flush_until &&
	    has_room(s, 2 * SMALL_MAX))
		give_up_connection(s);
	/* What it has to say itself comes before what its connections have. */
	if (s->carried != NULL)
		send_out(s);
	take_ctl(s);
	if (take_input(s))
		tell_size(s);
	tell_more(s);
	tell_closed(s, OUT, &s->output, STREAM_OUTPUT_END);
	tell_closed(s, ERR, &s->errors, STREAM_ERRORS_END);
	if (s->carried != NULL)
		send_out(s);
}
