/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: see exec_stream.h. */
#include "exec_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
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
#define SEND_MAX    (STREAM_HEAD + STREAM_DATA_MAX + 8 * SMALL_MAX)
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

struct exec_stream {
	int fds[EXEC_STREAM_FDS];
	bool let_go;
	int64_t flush_until; /* 0: the channel still has its ends */

	/* from the guest: the engine's frame, and ours that it is a piece of */
	uint8_t head[EXEC_FRAME_HEAD];
	size_t head_len;
	struct exec_frame frame;
	uint8_t received[STREAM_HEAD + STREAM_DATA_MAX];
	size_t n_received;
	bool greeted;
	uint32_t given;    /* the guest may send so much more */
	uint32_t consumed; /* of what it sent has left us, and it was not told yet */
	struct backlog output, errors;
	char words[WORDS_MAX + 1];
	size_t n_words;

	/* to the guest */
	uint8_t out[SEND_MAX];
	size_t n_out;
	uint32_t credit;
	bool in_ended;
	bool resized;
	struct ipc_pty size;
};

/* ---- to the guest ---- */

/* There is room: the callers see to that. */
static void
put(struct exec_stream *s, const struct stream_frame *f)
{
	struct wire_writer w;

	wire_writer_init(&w, s->out + s->n_out, sizeof(s->out) - s->n_out);
	stream_put(&w, f);
	if (!w.failed)
		s->n_out += w.len;
}

static bool
has_room(const struct exec_stream *s, size_t n)
{
	return sizeof(s->out) - s->n_out >= n;
}

struct exec_stream *
exec_stream_new(const int fds[EXEC_STREAM_FDS])
{
	struct exec_stream *s = calloc(1, sizeof(*s));

	for (int i = 0; i < EXEC_STREAM_FDS; i++) {
		int fd = fds[i];

		if (s != NULL)
			s->fds[i] = fd;
		else
			fd_close(&fd);
	}
	if (s == NULL)
		return NULL;
	s->given = STREAM_CREDIT;
	put(s,
	    &(struct stream_frame){ .kind = STREAM_HELLO,
		.hello = { STREAM_VERSION, STREAM_CREDIT } });
	return s;
}

struct exec_stream *
exec_stream_free(struct exec_stream *s)
{
	if (s == NULL)
		return NULL;
	fd_close_all(s->fds, EXEC_STREAM_FDS);
	free(s->output.data);
	free(s->errors.data);
	free(s);
	return NULL;
}

/* The engine's own words come before the guest's, or in its stead. */
static void
log_words(const struct exec_stream *s)
{
	if (!s->greeted && s->n_words > 0)
		log_info("the engine says: %s", s->words);
}

/* For the channel it is as if the guest had closed everything; what was received before is still there. */
static void
end(struct exec_stream *s)
{
	log_words(s);
	fd_close(&s->fds[STREAM]);
	fd_close(&s->fds[IN]);
	s->output.ended = s->errors.ended = true;
	s->n_out = 0;
}

static void
broken(struct exec_stream *s, const char *why)
{
	log_info("an engine's stream broke the protocol: %s", why);
	end(s);
}

static void
send_out(struct exec_stream *s)
{
	ssize_t n;

	if (s->n_out == 0 || s->fds[STREAM] < 0)
		return;
	n = write(s->fds[STREAM], s->out, s->n_out);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		end(s);
	if (n <= 0)
		return;
	s->n_out -= (size_t)n;
	memmove(s->out, s->out + n, s->n_out);
}

/* What the channel writes for the program. Whether all of it is on its way. */
static bool
take_input(struct exec_stream *s)
{
	static uint8_t chunk[STREAM_DATA_MAX];

	while (s->fds[IN] >= 0 && s->credit > 0) {
		size_t want = s->credit < sizeof(chunk) ? s->credit : sizeof(chunk);
		ssize_t n;

		if (!has_room(s, STREAM_HEAD + want + 4 * SMALL_MAX))
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

static void
take_frame(struct exec_stream *s, const struct stream_frame *f)
{
	if (s->greeted == (f->kind == STREAM_HELLO)) {
		broken(s, "no greeting, or a second one");
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
		/* The channel finds that nobody reads what it writes. */
		fd_close(&s->fds[IN]);
		s->in_ended = true;
		break;
	case STREAM_MORE:
		if (f->more > STREAM_CREDIT - s->credit)
			broken(s, "more credit than there is");
		else
			s->credit += f->more;
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
	size_t used = 0;

	while (s->fds[STREAM] >= 0) {
		struct stream_frame f;
		size_t len;
		int r = stream_get(s->received + used, s->n_received - used, &f, &len);

		if (r == STREAM_E_SHORT)
			break;
		if (r != 0) {
			broken(s, "not a frame");
			return;
		}
		take_frame(s, &f);
		used += len;
	}
	s->n_received -= used;
	memmove(s->received, s->received + used, s->n_received);
}

/* Printable, for the log. */
static void
keep_words(struct exec_stream *s, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len && s->n_words < WORDS_MAX; i++)
		s->words[s->n_words++] = (char)(data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '?');
}

/* The inside of one of the engine's frames. Returns how much of data it took. */
static size_t
take_inside(struct exec_stream *s, const uint8_t *data, size_t len)
{
	size_t room = sizeof(s->received) - s->n_received;

	if (len > s->frame.len)
		len = s->frame.len;
	/* Its words, or those of who runs in the guest's place. */
	if (!s->greeted)
		keep_words(s, data, len);
	if (s->frame.is_stdout) {
		if (len > room)
			len = room;
		memcpy(s->received + s->n_received, data, len);
		s->n_received += len;
		take_frames(s);
	}
	s->frame.len -= (uint32_t)len;
	return len;
}

static void
take_bytes(struct exec_stream *s, const uint8_t *data, size_t len)
{
	while (len > 0 && s->fds[STREAM] >= 0) {
		size_t n;

		if (s->frame.len > 0) {
			n = take_inside(s, data, len);
		} else {
			n = sizeof(s->head) - s->head_len < len ? sizeof(s->head) - s->head_len : len;
			memcpy(s->head + s->head_len, data, n);
			s->head_len += n;
			if (s->head_len == sizeof(s->head)) {
				s->head_len = 0;
				if (exec_frame_get(s->head, &s->frame) != 0)
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
	s->size = *size;
	s->resized = true;
}

void
exec_stream_let_go(struct exec_stream *s, bool flush)
{
	s->let_go = true;
	if (flush && (!s->in_ended || s->n_out > 0) && s->fds[STREAM] >= 0)
		s->flush_until = clock_now_ms() + FLUSH_MS;
	else
		end(s);
}

bool
exec_stream_is_let_go(const struct exec_stream *s)
{
	return s->let_go;
}

bool
exec_stream_is_over(const struct exec_stream *s)
{
	bool flushed = s->in_ended && s->n_out == 0;

	return s->let_go && (s->fds[STREAM] < 0 || flushed || clock_now_ms() >= s->flush_until);
}

void
exec_stream_want(const struct exec_stream *s, struct pollfd pfds[EXEC_STREAM_FDS])
{
	for (int i = 0; i < EXEC_STREAM_FDS; i++)
		pfds[i] = (struct pollfd){ .fd = -1 };
	/* What comes is bounded by what was given, so it is always heard. */
	pfds[STREAM] = (struct pollfd){ .fd = s->fds[STREAM], .events = POLLIN };
	if (s->n_out > 0)
		pfds[STREAM].events |= POLLOUT;
	if (s->fds[STREAM] >= 0 && has_room(s, 3 * SMALL_MAX))
		pfds[CTL] = (struct pollfd){ .fd = s->fds[CTL], .events = POLLIN };
	if (s->credit > 0 && has_room(s, STREAM_HEAD + STREAM_DATA_MAX + 4 * SMALL_MAX))
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
	if (s->fds[STREAM] < 0) {
		/* The channel hears of the end when it has everything. */
		fd_close(&s->fds[CTL]);
		return;
	}
	take_ctl(s);
	if (take_input(s))
		tell_size(s);
	tell_more(s);
	tell_closed(s, OUT, &s->output, STREAM_OUTPUT_END);
	tell_closed(s, ERR, &s->errors, STREAM_ERRORS_END);
	send_out(s);
}
