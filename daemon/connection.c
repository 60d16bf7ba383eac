/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: one SSH connection on libssh's message queue (no server callbacks: with them the queue stays
 * empty), so that every answer is given where the decision is made. One poll(2) loop; libssh's event
 * holds nothing but the session, because its callbacks run inside each other when more is in it.
 */
#include "connection.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "client_socket.h"
#include "clock.h"
#include "exec_stream.h"
#include "fd.h"
#include "forward.h"
#include "hooks.h"
#include "kexinit.h"
#include "log.h"

#define READS_PER_TURN 64 /* of 4096 bytes each, libssh's own size */
#define READ_SIZE      4096
#define FLUSH_MS       2000 /* for the last packets */
#define CLOSE_RETRY_MS 50
#define MOMENT_NS      120000
#define ANSWER_US      100
#define FLUSH_LOOK_MS  500 /* streams that are flushed have little time */
#define EXCHANGE_MAX   64  /* packets before there are keys; an honest exchange takes four */
#define LIMIT_EVERY_MS 1000

void
connection_end(struct connection *c, enum worker_exit code, const char *goodbye)
{
	if (c->ending)
		return;
	c->ending = true;
	c->exit_code = code;
	(void)snprintf(c->goodbye, sizeof(c->goodbye), "%s", goodbye != NULL ? goodbye : "");
}

void
connection_refused(struct connection *c, enum ipc_refused_kind kind, const char *detail)
{
	struct ipc_refused m = { .kind = kind,
		.detail = { (const uint8_t *)detail, strnlen(detail, IPC_DETAIL_MAX) } };

	if (ask_refused(&c->ask, &m) != 0)
		connection_end(c, WORKER_EXIT_BROKER_GONE, "service unavailable");
}

/*
 * One turn of a loop may take so much processor time; libssh 0.10 has a loop that a client makes
 * endless (it announces a maximum packet size of ten bytes). A worker that does not get here in time is
 * ended by SIGPROF. The timer is pushed on once in a while, not each turn: it costs nothing.
 */
static void
limit_cpu(struct connection *c)
{
	struct itimerval limit = { .it_value = { .tv_sec = WORKER_TURN_SECONDS } };
	int64_t now = clock_now_ms();

	if (now < c->next_limit)
		return;
	c->next_limit = now + LIMIT_EVERY_MS;
	(void)setitimer(ITIMER_PROF, &limit, NULL);
}

/*
 * What of the client's part the broker would not sign, and take us for an attacker instead of the client; NULL: nothing.
 * libssh reads a list of names up to its first NUL, the broker reads all of it: what the two make of such a list differs.
 */
static const char *
client_fault(const struct connection *c, const void *transcript, size_t len)
{
	struct wire_span version;
	struct wire_span init;
	struct kexinit lists;
	struct wire_reader r;

	wire_reader_init(&r, transcript, len);
	version = wire_get_span(&r);
	(void)wire_get_span(&r); /* V_S */
	init = wire_get_span(&r);
	if (!kexinit_is_version(version))
		return "an identification without a name";
	if (!kexinit_read(init, KEXINIT_CLIENT_NAMES_MAX, &lists))
		return "a KEXINIT that is none, or has too many names";
	if (c->exchanges > 0 && kexinit_is_first(version, &lists))
		return "new keys by the KEXINIT of a first exchange";
	if (!lists.is_text)
		return "a list of names with a NUL";
	return NULL;
}

static bool
sign(void *arg, const char *algorithm, const void *transcript, size_t len, uint8_t *sig,
    size_t *sig_len)
{
	struct connection *c = arg;
	const char *fault = client_fault(c, transcript, len);

	if (fault != NULL) {
		log_info("the client broke the protocol: %s", fault);
		connection_end(c, WORKER_EXIT_PROTOCOL, NULL);
		return false;
	}
	/* Short of what the broker takes for an attack by us. */
	if (++c->exchanges >= IPC_SIGN_MAX) {
		connection_end(c, WORKER_EXIT_PROTOCOL, "too many key exchanges");
		return false;
	}
	if (ask_sign(&c->ask, algorithm, transcript, len, sig, sig_len) == 0)
		return true;
	connection_end(c, WORKER_EXIT_BROKER_GONE, NULL);
	return false;
}

/*
 * OpenSSH's client leaves Nagle on until its session runs and sends small packets in pairs: the second
 * one waits for our acknowledgement, which the kernel delays by 40 ms, unless it is told not to; it
 * forgets, so it is told after each read. This is most of a handshake's time.
 */
static void
acknowledge_at_once(const struct connection *c)
{
	int on = 1;

	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

/* The client's hurry is over once a program runs: from then on it does not use Nagle any more. */
static bool
any_running(const struct connection *c)
{
	for (unsigned i = 0; i < c->n_channels; i++) {
		if (c->channels[i].state == CHANNEL_RUNNING)
			return true;
	}
	return false;
}

/* Whether libssh has something that has not left yet. */
static bool
is_sending(const struct connection *c)
{
	return (ssh_get_status(c->session) & SSH_WRITE_PENDING) != 0;
}

static bool
session_is_closed(const struct connection *c)
{
	return (ssh_get_status(c->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0;
}

/* libssh from 0.11 on drops what is more than a window, and goes on: a stream would have a hole. */
static bool
window_was_exceeded(const struct connection *c)
{
	return strcmp(ssh_get_error(c->session), "Window exceeded") == 0;
}

/*
 * Whether libssh closed the connection over what the client sent. It has one error code for all, so
 * its words are looked at; what is not known is not held against the client, and neither are its own
 * words in a disconnect message.
 */
static bool
broke_protocol(const char *error)
{
	static const char *const signs[] = { "Decryption error", "HMAC error", "Packet filter",
		"Packet len", "Invalid padding", "Protocol error" };

	if (strncmp(error, "Received SSH_MSG_DISCONNECT", 27) == 0)
		return false;
	for (size_t i = 0; i < SP_ARRAY_LEN(signs); i++) {
		if (strstr(error, signs[i]) != NULL)
			return true;
	}
	return false;
}

/* The client left, or sent something that libssh does not let pass. */
static void
client_gone(struct connection *c)
{
	const char *error = ssh_get_error(c->session);
	enum worker_exit code = c->logged_in ? WORKER_EXIT_CLEAN
	    : c->failures > 0                ? WORKER_EXIT_AUTH_FAILED
					     : WORKER_EXIT_NO_LOGIN;

	if (broke_protocol(error)) {
		log_info("the client broke the protocol: %s", error);
		code = WORKER_EXIT_PROTOCOL;
	} else {
		log_debug("the client left: %s", error);
	}
	/* It may have asked for a last thing before it left: nobody hears the answer. */
	connection_end(c, code, NULL);
}

void
connection_cannot_go_on(struct connection *c)
{
	if (session_is_closed(c))
		client_gone(c);
	else
		connection_end(c, WORKER_EXIT_INTERNAL, "out of memory");
}

static void
give_left(struct connection *c)
{
	for (unsigned i = 0; i < c->n_channels; i++)
		channel_give_left(&c->channels[i]);
}

/* libssh has no bound for what it has read and nobody has taken yet either. */
static enum client_socket_use
allowed_use(const struct connection *c)
{
	return connection_may_read(c) && !connection_left_messages(c) ? CLIENT_SOCKET_BOTH
								      : CLIENT_SOCKET_SEND;
}

bool
connection_send(struct connection *c)
{
	if (!is_sending(c))
		return true;
	if (client_socket_is_full())
		return false;
	client_socket_allow(CLIENT_SOCKET_SEND);
	(void)ssh_event_dopoll(c->event, 0);
	client_socket_allow(CLIENT_SOCKET_BOTH);
	return !is_sending(c);
}

static void
read_client(struct connection *c)
{
	uint64_t others = connection_other_packets(c);
	uint64_t before;
	int turns = 0;
	int r;

	/* Who sends, and takes nothing of what waits for it, is as good as silent. */
	if (!is_sending(c) || c->socket.out_bytes != c->taken_bytes) {
		c->last_heard = clock_now_ms();
		c->keepalives = 0;
	}
	c->taken_bytes = c->socket.out_bytes;
	do {
		before = c->socket.in_bytes;
		client_socket_allow(allowed_use(c));
		r = ssh_event_dopoll(c->event, 0);
		client_socket_allow(CLIENT_SOCKET_BOTH);
		if (r == SSH_ERROR || session_is_closed(c)) {
			client_gone(c);
			return;
		}
		/* The next read may find the end of the client, and after that libssh gives nothing any more. */
		if (client_socket_held() == 0)
			give_left(c);
	} while (c->socket.in_bytes - before >= READ_SIZE && ++turns < READS_PER_TURN &&
	    connection_other_packets(c) - others < CONNECTION_MESSAGES_PER_TURN && !c->ending &&
	    connection_may_read(c));
	give_left(c);
	if (!any_running(c))
		acknowledge_at_once(c);
	(void)connection_take_messages(c);
}

static void
say_to_all(struct connection *c, const char *text)
{
	for (unsigned i = 0; i < c->n_channels; i++) {
		if (c->channels[i].state != CHANNEL_UNUSED)
			channel_say(&c->channels[i], text);
	}
}

static void
read_broker(struct connection *c)
{
	struct ask_event *e;
	int r;

	while ((r = ask_next_event(&c->ask, &e)) == 0) {
		if (e->id != IPC_NOTICE && e->channel < IPC_CHANNEL_MAX) {
			channel_answer(&c->channels[e->channel], e);
		} else if (e->id == IPC_NOTICE) {
			say_to_all(c, e->text);
			if (e->notice == IPC_NOTICE_END)
				connection_end(c, WORKER_EXIT_CLEAN, e->text);
		}
		ask_event_free(e);
	}
	if (r == ASK_E_GONE) {
		say_to_all(c, "The service has ended.");
		connection_end(c, WORKER_EXIT_BROKER_GONE, "service has ended");
	}
}

void
connection_note_written(struct connection *c, uint64_t written, uint64_t sent)
{
	if (sent >= written || connection_is_exchanging(c))
		return;
	c->open_exchange = c->exchanges + 1;
	c->exchanging_since = clock_now_ms();
}

/* With our signature the client has done its part, and libssh sends what it has queued. */
bool
connection_is_exchanging(struct connection *c)
{
	if (c->open_exchange != 0 && c->open_exchange != c->exchanges + 1) {
		c->open_exchange = 0;
		c->exchanging_since = 0;
	}
	return c->open_exchange != 0;
}

/* An open window, and still libssh takes nothing: new keys are being agreed on, and nothing tells when. */
void
connection_note_output(struct connection *c, bool taken, bool window)
{
	if (connection_is_exchanging(c))
		return;
	if (taken || !window)
		c->exchanging_since = 0;
	else if (c->exchanging_since == 0)
		c->exchanging_since = clock_now_ms();
}

/* A client that begins a key exchange and does not go on has as long as one that does not answer. */
static void
end_stuck_exchange(struct connection *c)
{
	int64_t most = (int64_t)c->keepalive_seconds * 1000 * ((int64_t)c->keepalive_count + 1);

	if (c->exchanging_since != 0 && most > 0 && clock_now_ms() - c->exchanging_since > most)
		connection_end(c, WORKER_EXIT_TIMEOUT, "Timeout, key exchange not finished");
}

/* A client that does not answer is gone, also when TCP has not noticed. */
static void
keep_alive(struct connection *c)
{
	int64_t now = clock_now_ms();

	end_stuck_exchange(c);
	if (c->keepalive_seconds == 0 || !c->logged_in || now < c->next_keepalive)
		return;
	c->next_keepalive = now + (int64_t)c->keepalive_seconds * 1000;
	if (now - c->last_heard < (int64_t)c->keepalive_seconds * 1000)
		return;
	if (c->keepalives++ >= c->keepalive_count) {
		connection_end(c, WORKER_EXIT_TIMEOUT, "Timeout, client not responding");
		return;
	}
	/* Every second call only clears libssh's state of the first one. */
	(void)ssh_send_keepalive(c->session);
	(void)ssh_send_keepalive(c->session);
}

static int
next_timeout(const struct connection *c)
{
	int64_t now = clock_now_ms();
	int64_t telling = activity_wait(&c->activity);
	int64_t timeout = -1;

	/*
	 * libssh reads from the socket inside of calls that send: what came in that way is in its queue
	 * or in a channel's buffer, and poll() would not tell.
	 */
	if (c->ask.n_events > 0 || c->inside.in_packets != c->served_packets ||
	    (connection_left_messages(c) && connection_may_act(c)))
		return 0;
	if (c->keepalive_seconds > 0 && c->logged_in)
		timeout = c->next_keepalive > now ? c->next_keepalive - now : 0;
	if (telling >= 0 && (timeout < 0 || timeout > telling))
		timeout = telling;
	if (c->asking != NULL && c->asking->answer_by != 0) {
		int64_t left = c->asking->answer_by > now ? c->asking->answer_by - now : 0;

		if (timeout < 0 || timeout > left)
			timeout = left;
	}
	if (timeout < 0 || timeout > FLUSH_LOOK_MS) {
		for (unsigned i = 0; i < c->n_streams; i++) {
			if (exec_stream_is_let_go(c->streams[i]))
				timeout = FLUSH_LOOK_MS;
		}
	}
	for (unsigned i = 0; i < c->n_channels; i++) {
		if (channel_has_left(&c->channels[i]))
			return 0;
		if (channel_wants_time(&c->channels[i]) && (timeout < 0 || timeout > CLOSE_RETRY_MS))
			timeout = CLOSE_RETRY_MS;
	}
	return (int)(timeout > INT_MAX ? INT_MAX : timeout);
}

/*
 * What is sent by one channel fills the connection's queue, and then the others wait: so the next one
 * in the circle goes first the next time.
 */
static void
serve_channels(struct connection *c, unsigned n, struct pollfd (*pfds)[CHANNEL_FDS])
{
	unsigned first = c->first < n ? c->first : 0;

	for (unsigned i = 0; i < n; i++)
		channel_serve(&c->channels[i], pfds[i]);
	for (unsigned i = 0; i < n; i++) {
		unsigned at = (first + i) % n;

		if (channel_send_output(&c->channels[at], pfds[at]))
			c->first = at + 1;
	}
	for (unsigned i = 0; i < n; i++)
		channel_hear_end(&c->channels[i]);
	/* One that was opened just now may have been closed in the same breath. */
	for (unsigned i = 0; i < c->n_channels; i++)
		channel_settle(&c->channels[i]);
	while (c->n_channels > 0 && c->channels[c->n_channels - 1].state == CHANNEL_UNUSED)
		c->n_channels--;
}

static void
drop_stream(struct connection *c, unsigned i)
{
	exec_stream_free(c->streams[i]);
	c->n_streams--;
	for (; i < c->n_streams; i++)
		c->streams[i] = c->streams[i + 1];
}

void
connection_add_stream(struct connection *c, struct exec_stream *s)
{
	c->streams[c->n_streams++] = s;
}

bool
connection_may_flush(const struct connection *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_streams; i++)
		n += exec_stream_is_let_go(c->streams[i]);
	return n < IPC_CHANNEL_MAX;
}

/* n: of which something was asked of poll(); those that came later have their turn in the next round. */
static void
serve_streams(struct connection *c, unsigned n, struct pollfd (*pfds)[EXEC_STREAM_FDS])
{
	for (unsigned i = 0; i < n; i++)
		exec_stream_serve(c->streams[i], pfds[i]);
	for (unsigned i = c->n_streams; i-- > 0;) {
		if (exec_stream_is_over(c->streams[i]))
			drop_stream(c, i);
	}
}

/* The broker always answers a request for a listener. The guest then has little time for it. */
static void
end_late_listener(const struct connection *c)
{
	if (!c->ending && c->asking != NULL && c->asking->answer_by != 0 &&
	    clock_now_ms() >= c->asking->answer_by)
		forward_failed(c->asking, "The container does not answer.");
}

/*
 * What is typed into a program that answers at once, as an editor or a shell does, is waited for awake: to be woken up
 * takes about as long as such an answer. Who is ready to run goes first, the program before all.
 */
static int
wait_for_answer(struct connection *c, struct pollfd *pfds, nfds_t n, int timeout)
{
	int64_t begin = clock_now_us();
	int ready = 0;

	while (c->answers_at_once && ready == 0 && clock_now_us() - begin < ANSWER_US) {
		(void)sched_yield();
		ready = client_socket_poll(pfds, n, 0);
	}
	if (ready == 0)
		ready = client_socket_poll(pfds, n, timeout);
	c->answers_at_once = clock_now_us() - begin < ANSWER_US;
	c->typed = false;
	return ready;
}

/*
 * pfds[0] is the client's. One that sends without a pause is let run ahead for a moment: to wake up for each of its
 * packets would cost more than to take them, and the most to who sends them. All else is served at once.
 */
static int
wait_for_events(struct connection *c, struct pollfd *pfds, nfds_t n, int timeout)
{
	struct timespec moment = { .tv_nsec = MOMENT_NS };
	short asked = pfds[0].events;

	if (timeout != 0 && (asked & POLLIN) != 0 && client_socket_flows()) {
		pfds[0].events &= (short)~POLLIN;
		(void)ppoll(pfds, n, &moment, NULL);
		pfds[0].events = asked;
	} else if (timeout != 0 && c->typed) {
		return wait_for_answer(c, pfds, n, timeout);
	}
	return client_socket_poll(pfds, n, timeout);
}

static void
turn(struct connection *c)
{
	static struct pollfd pfds[2 + IPC_CHANNEL_MAX * CHANNEL_FDS + CONNECTION_STREAMS * EXEC_STREAM_FDS];
	bool pending = is_sending(c);
	unsigned n = c->n_channels;
	unsigned n_streams = c->n_streams;
	struct pollfd(*channels)[CHANNEL_FDS] = (struct pollfd(*)[CHANNEL_FDS]) & pfds[2];
	struct pollfd(*streams)[EXEC_STREAM_FDS] = (struct pollfd(*)[EXEC_STREAM_FDS]) & channels[n];

	/* Its descriptor is closed already, and the next one that comes may have its number. */
	if (session_is_closed(c)) {
		client_gone(c);
		return;
	}
	if (!pending)
		connection_note_quiet(c);
	pfds[0] = (struct pollfd){ .fd = c->fd };
	if (connection_may_read(c) && !connection_left_messages(c))
		pfds[0].events |= POLLIN;
	if (pending)
		pfds[0].events |= POLLOUT;
	pfds[1] = (struct pollfd){ .fd = c->ask.fd, .events = POLLIN };
	for (unsigned i = 0; i < n; i++)
		channel_want(&c->channels[i], !pending && !connection_is_exchanging(c), channels[i]);
	for (unsigned i = 0; i < n_streams; i++)
		exec_stream_want(c->streams[i], streams[i]);
	if (wait_for_events(c, pfds, 2 + n * CHANNEL_FDS + n_streams * EXEC_STREAM_FDS,
		next_timeout(c)) < 0)
		return;
	limit_cpu(c);
	if (pfds[0].revents != 0)
		read_client(c);
	else
		(void)connection_take_messages(c);
	c->served_packets = c->inside.in_packets;
	/* libssh reads inside of calls that send, and tells of an end that it finds there to nobody. */
	if (!c->ending && session_is_closed(c))
		client_gone(c);
	else if (window_was_exceeded(c))
		connection_end(c, WORKER_EXIT_PROTOCOL, "channel window ignored");
	else if (hooks_lost_replies())
		connection_end(c, WORKER_EXIT_PROTOCOL, "too many requests");
	if (pfds[1].revents != 0 || c->ask.n_events > 0)
		read_broker(c);
	/* A channel that has been opened just now has its turn in the next round. */
	if (!c->ending)
		serve_channels(c, n, channels);
	if (!c->ending)
		serve_streams(c, n_streams, streams);
	end_late_listener(c);
	if (!c->ending && activity_tell(&c->activity, &c->ask, false) != 0)
		connection_end(c, WORKER_EXIT_BROKER_GONE, "service unavailable");
	keep_alive(c);
	(void)connection_send(c);
}

/*
 * libssh sends only after it has heard that it may, once for each time, and it closes the socket at once when the two
 * have no algorithm in common: its own list of them, by which a client says what is missing, must have left before.
 * So it hears that it may send, sends what waited, and hears it again, before it reads.
 */
static int
exchange_step(struct connection *c)
{
	int r = SSH_AGAIN;

	client_socket_allow(CLIENT_SOCKET_SEND);
	for (int i = 0; r == SSH_AGAIN && i < 2; i++)
		r = ssh_handle_key_exchange(c->session);
	client_socket_allow(CLIENT_SOCKET_BOTH);
	return r == SSH_AGAIN ? ssh_handle_key_exchange(c->session) : r;
}

/* The key exchange: libssh makes one step each time that something arrives. */
static bool
exchange_keys(struct connection *c)
{
	struct pollfd pfds[2] = { { .fd = c->fd, .events = POLLIN },
		{ .fd = c->ask.fd, .events = POLLIN } };
	int r;

	while ((r = exchange_step(c)) == SSH_AGAIN) {
		/* Replies to what nobody knows would be queued without bound. */
		if (c->inside.in_packets > EXCHANGE_MAX) {
			log_info("the client sends without end and agrees on no keys");
			connection_end(c, WORKER_EXIT_PROTOCOL, NULL);
			return false;
		}
		acknowledge_at_once(c);
		limit_cpu(c);
		pfds[0].events = (short)(POLLIN | (is_sending(c) ? POLLOUT : 0));
		if (poll(pfds, 2, -1) < 0)
			continue;
		if (pfds[1].revents != 0) /* the broker says nothing before login but goodbye */
			return false;
	}
	acknowledge_at_once(c);
	return r == SSH_OK;
}

static void
flush(struct connection *c)
{
	int64_t until = clock_now_ms() + FLUSH_MS;
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	while (is_sending(c) && !session_is_closed(c) && clock_now_ms() < until) {
		if (poll(&p, 1, 100) > 0 && ssh_event_dopoll(c->event, 0) == SSH_ERROR)
			return;
	}
	/* After each write libssh waits to hear that it may write again: what comes next is the very last. */
	if (poll(&p, 1, 0) > 0)
		(void)ssh_event_dopoll(c->event, 0);
}

/* What the client had sent into connections, on the direct path the kernel's to deliver. */
static void
flush_streams(struct connection *c)
{
	static struct pollfd pfds[CONNECTION_STREAMS][EXEC_STREAM_FDS];

	while (c->n_streams > 0) {
		for (unsigned i = 0; i < c->n_streams; i++)
			exec_stream_want(c->streams[i], pfds[i]);
		(void)poll(pfds[0], c->n_streams * EXEC_STREAM_FDS, FLUSH_LOOK_MS);
		serve_streams(c, c->n_streams, pfds);
	}
}

static enum worker_exit
finish(struct connection *c)
{
	(void)!activity_tell(&c->activity, &c->ask, true);
	connection_drop_held(c);
	for (unsigned i = 0; i < c->n_channels; i++)
		channel_drop(&c->channels[i]);
	if (c->goodbye[0] != '\0')
		(void)ssh_session_set_disconnect_message(c->session, c->goodbye);
	/* What the client says now is not answered any more. */
	client_socket_allow(CLIENT_SOCKET_SEND);
	flush(c);
	ssh_disconnect(c->session);
	flush_streams(c);
	return c->exit_code;
}

enum worker_exit
connection_serve(struct connection *c, int fd)
{
	c->fd = fd;
	c->exit_code = WORKER_EXIT_NO_LOGIN;
	limit_cpu(c);
	hooks_enable(sign, c);
	if (fd_set_nonblock(fd) < 0 || ssh_bind_accept_fd(c->bind, c->session, fd) != SSH_OK)
		return WORKER_EXIT_INTERNAL;
	(void)ssh_set_counters(c->session, &c->socket, &c->inside);
	ssh_set_auth_methods(c->session, SSH_AUTH_METHOD_PUBLICKEY);
	ssh_set_blocking(c->session, 0);
	client_socket_start(fd);
	if (!exchange_keys(c)) {
		log_info("no key exchange: %s", ssh_get_error(c->session));
		client_gone(c);
		return c->exit_code;
	}
	c->openssh_client = strncmp(ssh_get_clientbanner(c->session), "SSH-2.0-OpenSSH", 15) == 0;
	c->event = ssh_event_new();
	if (c->event == NULL || ssh_event_add_session(c->event, c->session) != SSH_OK)
		return WORKER_EXIT_INTERNAL;
	/* What came with the last packet of the exchange is queued already. */
	connection_look_again(c);
	(void)connection_take_messages(c);
	c->last_heard = clock_now_ms();
	while (!c->ending)
		turn(c);
	return finish(c);
}
