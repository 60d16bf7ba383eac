/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: the bytes between the client and a program or a connection. See channel.h for who is hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel_priv.h"
#include "client_socket.h"
#include "clock.h"
#include "connection.h"
#include "fd.h"

static uint8_t chunk[CHANNEL_CHUNK]; /* one loop, one chunk at a time */

int
channel_input_fd(const struct channel *ch)
{
	return ch->pty && ch->stream == NULL ? ch->out : ch->in;
}

void
channel_held_clear(struct held *h)
{
	free(h->data);
	memset(h, 0, sizeof(*h));
}

/* Nothing more comes for the program. */
static void
close_input(struct channel *ch)
{
	/* The same socket is still read from: only this half of it ends. */
	if (channel_is_connection(ch) && ch->in >= 0 && ch->stream == NULL)
		(void)shutdown(ch->in, SHUT_WR);
	fd_close(&ch->in);
	ch->input_closed = true;
}

/* A size that the client set before these bytes has to be set before them; it waits as a message. */
static bool
size_waits(const struct channel *ch)
{
	return ch->pty && connection_has_messages(ch->connection);
}

static void
note_data(struct channel *ch, size_t in, size_t out)
{
	ch->bytes_in += in;
	ch->bytes_out += out;
	activity_note(&ch->connection->activity, in, out);
}

/* What a program takes now goes to it straight from libssh's buffer; the rest stays there, where it
 * counts against the client's window. */
int
channel_on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr,
    void *arg)
{
	struct channel *ch = arg;
	ssize_t n;

	(void)session;
	(void)ssh;
	ch->connection->data_packets++;
	if (len > CHANNEL_INPUT_MAX) {
		connection_end(ch->connection, WORKER_EXIT_PROTOCOL, "channel window ignored");
		return (int)len;
	}
	/* Taking it would make libssh open the window of a channel that we have closed. */
	if (ch->close_sent)
		return 0;
	if (is_stderr != 0 || ch->no_more_input || ch->closed) {
		note_data(ch, len, 0);
		return (int)len;
	}
	ch->left = len;
	if (ch->state != CHANNEL_RUNNING || ch->input.len > 0 || channel_input_fd(ch) < 0 ||
	    size_waits(ch))
		return 0;
	/* More is here already, and is written with it; or at this turn's end, should it be for somebody else. */
	if (len < CHANNEL_CHUNK && client_socket_held() >= CHANNEL_PACKET)
		return 0;
	n = write(channel_input_fd(ch), data, len);
	if (n <= 0)
		return 0;
	ch->left -= (uint32_t)n;
	ch->connection->typed = n <= CHANNEL_TYPED_MAX;
	note_data(ch, (size_t)n, 0);
	return (int)n;
}

/* The program does not take any more: what the client still sends is read and thrown away. */
static void
stop_input(struct channel *ch)
{
	ch->no_more_input = true;
	channel_held_clear(&ch->input);
	if (!ch->pty)
		close_input(ch);
}

/* false: nothing more can be written now. */
static bool
write_held(struct channel *ch)
{
	while (ch->input.done < ch->input.len) {
		ssize_t n = write(channel_input_fd(ch), ch->input.data + ch->input.done,
		    ch->input.len - ch->input.done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0) {
			stop_input(ch);
			return false;
		}
		ch->input.done += (size_t)n;
	}
	channel_held_clear(&ch->input);
	return true;
}

/*
 * Take all that libssh has buffered in one read, and nothing before it is written: libssh 0.10 opens
 * the window again with each read whatever it still holds, so that small reads would let a client
 * fill our memory. What is there is known, so the socket is not looked at, where the client's end may be.
 */
static bool
take_input(struct channel *ch)
{
	int n = (int)ch->left;

	if (n == 0 || !connection_may_read(ch->connection))
		return false;
	if (n > CHANNEL_INPUT_MAX) {
		connection_end(ch->connection, WORKER_EXIT_PROTOCOL, "channel window ignored");
		return false;
	}
	ch->input.data = malloc((size_t)n);
	if (ch->input.data == NULL) {
		connection_end(ch->connection, WORKER_EXIT_INTERNAL, "out of memory");
		return false;
	}
	ch->left = 0;
	n = ssh_channel_read_timeout(ch->ssh, ch->input.data, (uint32_t)n, 0, 0);
	if (n <= 0) {
		channel_held_clear(&ch->input);
		return false;
	}
	ch->input.len = (size_t)n;
	note_data(ch, (size_t)n, 0);
	return true;
}

static bool
may_take(const struct channel *ch)
{
	return ch->state == CHANNEL_RUNNING && channel_input_fd(ch) >= 0 && !ch->no_more_input &&
	    !size_waits(ch);
}

bool
channel_has_left(const struct channel *ch)
{
	return ch->left > 0 && ch->input.len == 0 && may_take(ch) &&
	    connection_may_read(ch->connection);
}

void
channel_give_left(struct channel *ch)
{
	if (channel_has_left(ch) && take_input(ch))
		(void)write_held(ch);
}

void
channel_pump_input(struct channel *ch)
{
	if (ch->state != CHANNEL_RUNNING || channel_input_fd(ch) < 0 || size_waits(ch))
		return;
	if (!write_held(ch))
		return;
	if (may_take(ch) && take_input(ch) && !write_held(ch))
		return;
	/* A terminal has no end of input but the one that is typed: as sshd, the client's EOF means
	 * nothing there. */
	if (!ch->pty && !ch->input_closed && ch->input.len == 0 &&
	    (ch->no_more_input || ssh_channel_is_eof(ch->ssh) != 0))
		close_input(ch);
}

/* ---- to the client ---- */

/* The packets of it leave together, which for a client that reads is less work as well. */
static int
write_as_one(struct channel *ch, const void *data, uint32_t len, bool is_stderr)
{
	struct connection *c = ch->connection;
	uint64_t before = c->inside.out_bytes;
	int taken;

	client_socket_allow(CLIENT_SOCKET_HOLD);
	taken = is_stderr ? ssh_channel_write_stderr(ch->ssh, data, len)
			  : ssh_channel_write(ch->ssh, data, len);
	client_socket_allow(CLIENT_SOCKET_BOTH);
	if (taken > 0)
		connection_note_written(c, (uint64_t)taken, c->inside.out_bytes - before);
	(void)connection_send(c);
	return taken;
}

/* What could not be sent in one go, during a rekey for instance, goes first. */
static bool
send_held(struct channel *ch, struct held *h, bool is_stderr)
{
	while (h->done < h->len) {
		uint32_t n = (uint32_t)(h->len - h->done);
		bool window = ssh_channel_window_size(ch->ssh) > 0;
		int sent = write_as_one(ch, h->data + h->done, n, is_stderr);

		connection_note_output(ch->connection, sent > 0, window);
		if (sent <= 0)
			return false;
		note_data(ch, 0, (size_t)sent);
		h->done += (size_t)sent;
	}
	channel_held_clear(h);
	return true;
}

static void
hold(struct channel *ch, struct held *h, const uint8_t *data, size_t len)
{
	h->data = malloc(len);
	if (h->data == NULL) {
		connection_end(ch->connection, WORKER_EXIT_INTERNAL, "out of memory");
		return;
	}
	memcpy(h->data, data, len);
	h->len = len;
	h->done = 0;
}

static bool
send_stream(struct channel *ch, int *fd, struct held *h, bool is_stderr)
{
	uint32_t window;
	size_t want;
	ssize_t n;
	int sent;

	if (ch->closed)
		return false;
	if (!connection_send(ch->connection) || connection_is_exchanging(ch->connection)) {
		ch->end_known = false; /* others had filled the connection's queue: its turn comes */
		return false;
	}
	if (h->len > 0 && !send_held(ch, h, is_stderr))
		return false;
	window = ssh_channel_window_size(ch->ssh);
	want = window < sizeof(chunk) ? window : sizeof(chunk);
	if (*fd < 0 || want == 0)
		return false;
	n = read(*fd, chunk, want);
	if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
		if ((ch->pty || ch->lost) && ch->exited && clock_now_ms() >= ch->drain_until)
			fd_close(fd);
		return false;
	}
	if (n <= 0) { /* a terminal without processes says EIO */
		fd_close(fd);
		return false;
	}
	/* There is more; a terminal gives a part at a time. */
	if (((size_t)n == sizeof(chunk) || (ch->pty && ch->stream == NULL)) &&
	    ch->bytes_out < ch->end_by)
		ch->end_known = false;
	channel_drain(ch);
	sent = write_as_one(ch, chunk, (uint32_t)n, is_stderr);
	if (sent < 0)
		sent = 0;
	note_data(ch, 0, (size_t)sent);
	if (sent < n)
		hold(ch, h, chunk + sent, (size_t)(n - sent));
	return true;
}

bool
channel_wants_drain(const struct channel *ch)
{
	return (ch->pty || ch->lost) && ch->exited && (ch->out >= 0 || ch->err >= 0);
}

bool
channel_send_output(struct channel *ch, const struct pollfd *pfds)
{
	bool errors_first = ch->errors_first;
	bool sent = false;

	if (ch->ssh == NULL || (ch->state != CHANNEL_RUNNING && ch->state != CHANNEL_ENDED))
		return false;
	for (int i = 0; i < 2; i++) {
		bool is_stderr = (i == 0) == errors_first;
		bool moved = false;

		if (is_stderr &&
		    (pfds[3].revents != 0 || ch->errors.len > 0 || channel_wants_drain(ch)))
			moved = send_stream(ch, &ch->err, &ch->errors, true);
		else if (!is_stderr &&
		    (pfds[2].revents != 0 || ch->output.len > 0 || channel_wants_drain(ch)))
			moved = send_stream(ch, &ch->out, &ch->output, false);
		/* A full queue lets only one of the two through: the other is first the next time. */
		if (moved)
			ch->errors_first = !is_stderr;
		sent = sent || moved;
	}
	return sent;
}
