/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: channels. See channel.h for who is hostile. */
#include "channel_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "connection.h"
#include "exec_stream.h"
#include "fd.h"
#include "forward.h"
#include "guest_msg.h"
#include "hooks.h"
#include "ipc_chan.h"
#include "ssh_signal.h"

#define EOF_MS 100 /* from the streams' end to EOF, while the exit is not known yet */

/* More than a program's two pipes hold, with what is on its way in an engine's stream. */
#define LAST_OUTPUT_MAX (3 * 1024 * 1024)

/* ---- text and status for the client ---- */

void
channel_say(struct channel *ch, const char *text)
{
	char line[IPC_TEXT_MAX + 32];
	int n;

	if (ch->ssh == NULL || channel_is_connection(ch) || text[0] == '\0')
		return;
	n = snprintf(line, sizeof(line), "%s\r\n", text);
	if (!ch->pty) {
		line[n - 2] = '\n';
		n--;
	}
	(void)ssh_channel_write_stderr(ch->ssh, line, (uint32_t)n);
}

const char *
channel_error_text(uint32_t error)
{
	return error < 256 ? strerror((int)error) : "unknown error";
}

bool
channel_is_connection(const struct channel *ch)
{
	return ch->kind == CHANNEL_DIRECT || ch->kind == CHANNEL_ACCEPTED;
}

void
channel_close_streams(struct channel *ch)
{
	fd_close(&ch->ctl);
	fd_close(&ch->in);
	fd_close(&ch->out);
	fd_close(&ch->err);
	/*
	 * On the direct path what was written is the kernel's to deliver. A program whose client has left ends anyway,
	 * and is not waited for. A listener's stream carries connections.
	 */
	if (ch->stream != NULL)
		exec_stream_let_go(ch->stream,
		    (ch->kind != CHANNEL_PROGRAM || !ch->connection->ending) &&
			connection_may_flush(ch->connection));
	ch->stream = NULL;
}

bool
channel_take_stream(struct channel *ch, int fds[IPC_STREAM_FDS])
{
	int streams[EXEC_STREAM_FDS];

	for (int i = 1; i < IPC_STREAM_FDS; i++) {
		if (fd_set_nonblock(fds[i]) < 0)
			return false;
	}
	for (int i = 0; i < EXEC_STREAM_FDS; i++)
		streams[i] = fd_steal(&fds[IPC_START_FDS + i]);
	ch->stream = exec_stream_new(streams);
	if (ch->stream == NULL)
		return false;
	connection_add_stream(ch->connection, ch->stream);
	ch->ctl = fd_steal(&fds[0]);
	ch->in = fd_steal(&fds[1]);
	ch->out = fd_steal(&fds[2]);
	if (ch->kind == CHANNEL_PROGRAM && !ch->pty)
		ch->err = fd_steal(&fds[3]);
	return true;
}

void
channel_drain(struct channel *ch)
{
	ch->drain_until =
	    clock_now_ms() + (ch->stream != NULL ? CHANNEL_DRAIN_ENGINE_MS : CHANNEL_DRAIN_MS);
}

/*
 * Whether client and program have both said their last, and only the program's end is to be told: it closed its
 * streams and goes on, see eof_is_due().
 */
static bool
waits_for_exit(const struct channel *ch)
{
	return ch->kind == CHANNEL_PROGRAM && ch->state == CHANNEL_RUNNING && ch->closed &&
	    ch->eof_sent;
}

void
channel_finish(struct channel *ch, const struct guest_ctl *exit, unsigned code)
{
	if (ch->ssh != NULL && (!ch->closed || waits_for_exit(ch))) {
		if (exit != NULL && exit->exited.signaled)
			(void)ssh_channel_request_send_exit_signal(ch->ssh,
			    ssh_signal_name(exit->exited.value), exit->exited.core, "", "");
		else
			(void)ssh_channel_request_send_exit_status(ch->ssh, (int)code);
	}
	ch->exited = true;
	ch->no_more_input = true;
	channel_held_clear(&ch->input);
	fd_close(&ch->in); /* as sshd: what it left behind reads the end, and may still write */
	channel_drain(ch);
	ch->state = CHANNEL_ENDED;
}

void
channel_fail(struct channel *ch, const char *text, unsigned code)
{
	channel_say(ch, text);
	channel_finish(ch, NULL, code);
}

static void
on_close(ssh_session session, ssh_channel ssh, void *arg)
{
	struct channel *ch = arg;

	(void)session;
	(void)ssh;
	ch->closed = true;
}

/* A guest that does not read loses a signal; it is its own session's. */
static void
send_signal(const struct channel *ch, unsigned number)
{
	struct guest_ctl m = { .id = GUEST_CTL_SIGNAL, .signal.number = number };
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, &m);
	(void)!ipc_chan_send_plain(ch->ctl, w.data, w.len, MSG_DONTWAIT);
}

void
channel_send_signals(struct channel *ch)
{
	if (ch->ctl < 0)
		return;
	for (unsigned n = 1; n < 64; n++) {
		if ((ch->signals & (UINT64_C(1) << n)) != 0)
			send_signal(ch, n);
	}
	ch->signals = 0;
}

/* One for a program that is being started waits for it, as under sshd; others are lost, and so are those for a
 * subsystem. */
static void
on_signal(ssh_session session, ssh_channel ssh, const char *name, void *arg)
{
	struct channel *ch = arg;
	int number = ssh_signal_number(name);
	bool asked_for = ch->state == CHANNEL_STARTING || ch->state == CHANNEL_RUNNING ||
	    connection_holds(ch->connection, ch);

	(void)session;
	(void)ssh;
	if (ch->kind != CHANNEL_PROGRAM || ch->subsystem || !asked_for || number <= 0 ||
	    number >= 64 || hooks_text_was_cut(name))
		return;
	ch->signals |= UINT64_C(1) << number;
	if (ch->state == CHANNEL_RUNNING)
		channel_send_signals(ch);
}

/* libssh answers it at once, with success where there is this function. What comes of it is for the
 * programs that start later, as under sshd. */
static void
on_agent(ssh_session session, ssh_channel ssh, void *arg)
{
	struct channel *ch = arg;

	(void)session;
	(void)ssh;
	ch->connection->agent_wanted = true;
}

void
channel_add_callbacks(struct channel *ch)
{
	ch->callbacks.userdata = ch;
	if (ch->kind == CHANNEL_PROGRAM && ch->connection->grants.agent)
		ch->callbacks.channel_auth_agent_req_function = on_agent;
	ch->callbacks.channel_data_function = channel_on_data;
	ch->callbacks.channel_close_function = on_close;
	ch->callbacks.channel_signal_function = on_signal;
	ssh_callbacks_init(&ch->callbacks);
	(void)ssh_set_channel_callbacks(ch->ssh, &ch->callbacks);
}

void
channel_begin(struct channel *ch, struct connection *c, uint32_t number, enum channel_kind kind)
{
	unsigned slot = (unsigned)(ch - c->channels);

	if (slot >= c->n_channels)
		c->n_channels = slot + 1;
	memset(ch, 0, sizeof(*ch));
	ch->connection = c;
	ch->kind = kind;
	ch->state = kind == CHANNEL_PROGRAM ? CHANNEL_OPEN : CHANNEL_STARTING;
	ch->number = number;
	ch->ctl = ch->in = ch->out = ch->err = -1;
}

void
channel_open(struct channel *ch, struct connection *c, uint32_t number, ssh_channel ssh)
{
	channel_begin(ch, c, number, CHANNEL_PROGRAM);
	ch->ssh = ssh;
	channel_add_callbacks(ch);
}

/* ---- the loop's view ---- */

/* Whether libssh does not take output for which the client has a window: new keys are being agreed on. */
static bool
is_stuck(const struct channel *ch)
{
	return (ch->output.len > 0 || ch->errors.len > 0) && !ch->closed &&
	    ssh_channel_window_size(ch->ssh) > 0;
}

void
channel_want(const struct channel *ch, bool may_send, struct pollfd *pfds)
{
	bool active = ch->state == CHANNEL_RUNNING || ch->state == CHANNEL_ENDED;

	for (int i = 0; i < CHANNEL_FDS; i++)
		pfds[i] = (struct pollfd){ .fd = -1 };
	if (ch->state == CHANNEL_UNUSED)
		return;
	if (channel_hears_guest(ch) && (!channel_runs_program(ch) || (may_send && !is_stuck(ch))))
		pfds[0] = (struct pollfd){ .fd = ch->ctl, .events = POLLIN };
	if (ch->ssh == NULL)
		return;
	if (ch->state == CHANNEL_RUNNING && ch->input.len > 0)
		pfds[1] = (struct pollfd){ .fd = channel_input_fd(ch), .events = POLLOUT };
	if (!active || !may_send || ssh_channel_window_size(ch->ssh) == 0)
		return;
	if (ch->output.len == 0)
		pfds[2] = (struct pollfd){ .fd = ch->out, .events = POLLIN };
	if (ch->errors.len == 0)
		pfds[3] = (struct pollfd){ .fd = ch->err, .events = POLLIN };
}

void
channel_serve(struct channel *ch, const struct pollfd *pfds)
{
	if (ch->state == CHANNEL_UNUSED)
		return;
	/* A client that hears of an exit and is cut off then has not lost what the program had written before. */
	ch->end_known = pfds[0].revents != 0 && channel_runs_program(ch);
	/* But what others write there later holds up nothing. */
	if (ch->end_known && ch->end_by == 0)
		ch->end_by = ch->bytes_out + LAST_OUTPUT_MAX;
	if (pfds[0].revents != 0 && !ch->end_known)
		channel_read_guest(ch);
	if (ch->kind == CHANNEL_ACCEPTED && ch->state == CHANNEL_STARTING && ch->ssh != NULL &&
	    connection_may_read(ch->connection))
		forward_go_on(ch);
	if (ch->ssh != NULL)
		channel_pump_input(ch);
}

void
channel_hear_end(struct channel *ch)
{
	bool more = ch->stream != NULL && exec_stream_has_output(ch->stream) &&
	    ch->bytes_out < ch->end_by;

	/* What a client has no window for waits for it, and the news does not: as under sshd. */
	if (ch->end_known && !is_stuck(ch) &&
	    (!more || ch->closed || ssh_channel_window_size(ch->ssh) == 0))
		channel_read_guest(ch);
	ch->end_known = false;
}

/* What stands behind the channel goes; the channel itself may stay. */
static void
let_go(struct channel *ch)
{
	if (ch->x11)
		forward_end_x11(ch);
	ch->x11 = false;
	channel_close_streams(ch);
	channel_held_clear(&ch->input);
	channel_held_clear(&ch->output);
	channel_held_clear(&ch->errors);
	for (uint32_t i = 0; i < ch->n_env; i++) {
		free(ch->env[i].name);
		free(ch->env[i].value);
	}
	ch->n_env = 0;
	ch->no_more_input = true;
	ch->state = CHANNEL_ENDED;
}

static void
forget(struct channel *ch)
{
	if (ch->opening != NULL)
		ssh_message_free(ch->opening);
	ch->opening = NULL;
	if (ch->ssh != NULL) {
		(void)ssh_remove_channel_callbacks(ch->ssh, &ch->callbacks);
		ssh_channel_free(ch->ssh);
	}
	ch->ssh = NULL;
}

static bool
drained(const struct channel *ch)
{
	return ch->out < 0 && ch->err < 0 && ch->output.len == 0 && ch->errors.len == 0;
}

/*
 * A program that ends closes its streams a moment before its exit is known, so EOF waits for that a little, and the
 * client hears it all in one. A program that closed its streams and goes on has its EOF sent; a client that has sent
 * its own then closes the channel at once (OpenSSH's master does), and still has to hear of the exit: our CLOSE
 * waits for it, as under sshd.
 */
static bool
eof_is_due(struct channel *ch)
{
	if (ch->eof_sent || !drained(ch))
		return false;
	if (ch->eof_at == 0)
		ch->eof_at = clock_now_ms() + EOF_MS;
	return ch->exited || clock_now_ms() >= ch->eof_at;
}

/* Everything has been said in both directions: what is left is to close. */
static bool
is_over(const struct channel *ch)
{
	return ch->exited && ch->eof_sent && (!channel_is_connection(ch) || ch->input_closed);
}

bool
channel_wants_time(const struct channel *ch)
{
	if (ch->ssh == NULL)
		return false;
	if (ch->closed)
		return (!channel_is_connection(ch) || ch->in < 0) && !waits_for_exit(ch);
	if (ch->close_sent)
		return false;
	if (ch->eof_at != 0 && !ch->eof_sent)
		return true;
	/* A terminal that others hold open, or a CLOSE that waits for its EOF to leave. */
	return channel_wants_drain(ch) || is_over(ch);
}

/* EOF and CLOSE as far as they are due. Whether CLOSE is on its way. */
static bool
send_close(struct channel *ch)
{
	if (ch->close_sent)
		return true;
	if (waits_for_exit(ch))
		return false;
	if (channel_is_connection(ch) && ch->closed && ch->in >= 0) {
		/* Nobody reads any more, but what the client had sent is still on its way. */
		fd_close(&ch->out);
		return false;
	}
	if (!ch->closed) {
		bool begun = ch->state == CHANNEL_RUNNING || ch->state == CHANNEL_ENDED;

		if (begun && eof_is_due(ch)) {
			ch->eof_sent = true;
			(void)ssh_channel_send_eof(ch->ssh);
		}
		if (!is_over(ch))
			return false;
	}
	/* SSH_AGAIN: the EOF is still on its way out and CLOSE was not sent. */
	if (ssh_channel_close(ch->ssh) == SSH_AGAIN)
		return false;
	ch->close_sent = true;
	return true;
}

/* The broker hears that its number is free, unless it knows nothing of it. */
static int
tell_close(struct channel *ch)
{
	bool known = ch->known;

	ch->known = false;
	if (!known)
		return 0;
	return ask_close(&ch->connection->ask,
	    &(struct ipc_req_close){ ch->number, ch->bytes_in, ch->bytes_out });
}

bool
channel_is_gone(const struct channel *ch)
{
	return ch->closed && ch->close_sent && !ch->known && !ch->unanswered;
}

/* Whether something that was asked for is to be answered first, or a listener listens. */
static bool
is_in_use(const struct channel *ch)
{
	const struct channel *asking = ch->connection->asking;

	return ch->opening != NULL || (asking != NULL && asking->shows == ch) ||
	    connection_holds(ch->connection, ch) ||
	    (ch->kind == CHANNEL_LISTENER && ch->state != CHANNEL_ENDED);
}

/*
 * A channel is there until both sides have closed it, as under sshd: a client that never does would
 * otherwise fill libssh's list, and our memory with what it sends after our CLOSE. And libssh's messages
 * point at their channel, so none may be left when it is freed.
 */
void
channel_settle(struct channel *ch)
{
	if (ch->state == CHANNEL_UNUSED || is_in_use(ch))
		return;
	if (ch->ssh != NULL) {
		if (!send_close(ch))
			return;
		let_go(ch);
		if (ch->closed && connection_take_messages(ch->connection))
			forget(ch);
	}
	if (ch->unanswered)
		return; /* the number stays taken until the broker has answered */
	if (tell_close(ch) != 0)
		connection_end(ch->connection, WORKER_EXIT_BROKER_GONE, "service unavailable");
	if (ch->ssh == NULL)
		ch->state = CHANNEL_UNUSED;
}

void
channel_drop(struct channel *ch)
{
	if (ch->state == CHANNEL_UNUSED)
		return;
	/* For the audit log. The broker may be gone: then nobody misses it. */
	if (!ch->unanswered)
		(void)!tell_close(ch);
	let_go(ch);
	forget(ch);
}
