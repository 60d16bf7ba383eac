/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: channels. See channel.h for who is hostile. */
#include "channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"
#include "fd.h"
#include "forward.h"
#include "guest_msg.h"
#include "hooks.h"
#include "ipc_chan.h"
#include "log.h"
#include "ssh_signal.h"

#define EOF_MS     100 /* from the streams' end to EOF, while the exit is not known yet */
#define DRAIN_MS   100 /* silence after which a terminal that others hold open is closed */
#define CTL_TURN   8   /* ctl messages in one turn: a flood does not stop the loop */
#define EXIT_ERROR 255

static uint8_t chunk[CHANNEL_CHUNK]; /* one loop, one chunk at a time */

static int
input_fd(const struct channel *ch)
{
	return ch->pty ? ch->out : ch->in;
}

static void
held_clear(struct held *h)
{
	free(h->data);
	memset(h, 0, sizeof(*h));
}

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
}

/* Nothing more comes for the program. */
static void
close_input(struct channel *ch)
{
	/* The same socket is still read from: only this half of it ends. */
	if (channel_is_connection(ch) && ch->in >= 0)
		(void)shutdown(ch->in, SHUT_WR);
	fd_close(&ch->in);
	ch->input_closed = true;
}

/* The program is over, or never began: say how, then drain. */
static void
finish(struct channel *ch, const struct guest_ctl *exit, unsigned code)
{
	if (ch->ssh != NULL && !ch->closed) {
		if (exit != NULL && exit->exited.signaled)
			(void)ssh_channel_request_send_exit_signal(ch->ssh,
			    ssh_signal_name(exit->exited.value), exit->exited.core, "", "");
		else
			(void)ssh_channel_request_send_exit_status(ch->ssh, (int)code);
	}
	ch->exited = true;
	ch->no_more_input = true;
	held_clear(&ch->input);
	fd_close(&ch->in); /* as sshd: what it left behind reads the end, and may still write */
	ch->drain_until = clock_now_ms() + DRAIN_MS;
	ch->state = CHANNEL_ENDED;
}

static void
fail(struct channel *ch, const char *text, unsigned code)
{
	channel_say(ch, text);
	finish(ch, NULL, code);
}

/* ---- from the client ---- */

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
static int
on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr, void *arg)
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
	if (ch->state != CHANNEL_RUNNING || ch->input.len > 0 || input_fd(ch) < 0 || size_waits(ch))
		return 0;
	n = write(input_fd(ch), data, len);
	if (n <= 0)
		return 0;
	note_data(ch, (size_t)n, 0);
	return (int)n;
}

static void
on_close(ssh_session session, ssh_channel ssh, void *arg)
{
	struct channel *ch = arg;

	(void)session;
	(void)ssh;
	ch->closed = true;
}

static void
on_signal(ssh_session session, ssh_channel ssh, const char *name, void *arg)
{
	struct channel *ch = arg;
	struct guest_ctl m = { .id = GUEST_CTL_SIGNAL };
	int number = ssh_signal_number(name);
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	(void)session;
	(void)ssh;
	if (ch->state != CHANNEL_RUNNING || ch->ctl < 0 || number == 0 || hooks_text_was_cut(name))
		return;
	m.signal.number = (uint32_t)number;
	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, &m);
	/* A guest that does not read loses a signal; it is its own session's. */
	(void)!ipc_chan_send_plain(ch->ctl, w.data, w.len, MSG_DONTWAIT);
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
	ch->callbacks.channel_data_function = on_data;
	ch->callbacks.channel_close_function = on_close;
	ch->callbacks.channel_signal_function = on_signal;
	ssh_callbacks_init(&ch->callbacks);
	(void)ssh_set_channel_callbacks(ch->ssh, &ch->callbacks);
}

void
channel_begin(struct channel *ch, struct connection *c, uint32_t number, enum channel_kind kind)
{
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

/* The program does not take any more: what the client still sends is read and thrown away. */
static void
stop_input(struct channel *ch)
{
	ch->no_more_input = true;
	held_clear(&ch->input);
	if (!ch->pty)
		close_input(ch);
}

/* false: nothing more can be written now. */
static bool
write_held(struct channel *ch)
{
	while (ch->input.done < ch->input.len) {
		ssize_t n = write(input_fd(ch), ch->input.data + ch->input.done,
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
	held_clear(&ch->input);
	return true;
}

/*
 * Take all that libssh has buffered in one read, and nothing before it is written: libssh 0.10 opens
 * the window again with each read whatever it still holds, so that small reads would let a client
 * fill our memory.
 */
static bool
take_input(struct channel *ch)
{
	int n;

	if (!connection_may_read(ch->connection))
		return false;
	n = ssh_channel_poll(ch->ssh, 0);
	if (n <= 0)
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
	n = ssh_channel_read_nonblocking(ch->ssh, ch->input.data, (uint32_t)n, 0);
	if (n <= 0) {
		held_clear(&ch->input);
		return false;
	}
	ch->input.len = (size_t)n;
	note_data(ch, (size_t)n, 0);
	return true;
}

static void
pump_input(struct channel *ch)
{
	/* What was sent before the close still belongs to who is connected. */
	if (ch->state != CHANNEL_RUNNING || input_fd(ch) < 0 ||
	    (ch->closed && !channel_is_connection(ch)) || size_waits(ch))
		return;
	while (!ch->no_more_input) {
		if (ch->input.len > 0 && !write_held(ch))
			return;
		if (!take_input(ch))
			break;
	}
	/* A terminal has no end of input but the one that is typed: as sshd, the client's EOF means
	 * nothing there. */
	if (!ch->pty && !ch->input_closed && ch->input.len == 0 &&
	    (ch->no_more_input || ssh_channel_is_eof(ch->ssh) != 0))
		close_input(ch);
}

/* ---- requests ---- */

bool
channel_env_matches(const char *pattern, const char *name)
{
	const char *star = NULL;
	const char *retry = NULL;

	while (*name != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			retry = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star + 1;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool
env_allowed(const struct channel *ch, const char *name)
{
	const struct grants *g = &ch->connection->grants;

	for (uint32_t i = 0; i < g->n_env; i++) {
		if (channel_env_matches(g->env[i], name))
			return true;
	}
	return false;
}

static bool
request_env(struct channel *ch, ssh_message m)
{
	const char *name = ssh_message_channel_request_env_name(m);
	const char *value = ssh_message_channel_request_env_value(m);
	struct channel_env *e = &ch->env[ch->n_env];
	size_t bytes;

	if (ch->state != CHANNEL_OPEN || name == NULL || value == NULL || !env_allowed(ch, name))
		return false;
	bytes = strlen(name) + strlen(value);
	if (ch->n_env == IPC_ENV_MAX || name[0] == '\0' || strchr(name, '=') != NULL ||
	    strlen(name) > IPC_ENV_NAME_MAX || strlen(value) > IPC_ENV_VALUE_MAX ||
	    ch->env_bytes + bytes > IPC_ENV_BYTES_MAX)
		return false;
	e->name = strdup(name);
	e->value = strdup(value);
	if (e->name == NULL || e->value == NULL) {
		free(e->name);
		free(e->value);
		return false;
	}
	ch->n_env++;
	ch->env_bytes += bytes;
	return true;
}

static void
read_size(struct ipc_pty *size, ssh_message m)
{
	size->columns = (uint32_t)ssh_message_channel_request_pty_width(m);
	size->rows = (uint32_t)ssh_message_channel_request_pty_height(m);
	size->width_px = (uint32_t)ssh_message_channel_request_pty_pxwidth(m);
	size->height_px = (uint32_t)ssh_message_channel_request_pty_pxheight(m);
}

static bool
request_pty(struct channel *ch, ssh_message m)
{
	const char *term = ssh_message_channel_request_pty_term(m);

	if (ch->state != CHANNEL_OPEN || ch->pty || term == NULL || strlen(term) > IPC_TERM_MAX)
		return false;
	if (!ch->connection->grants.pty) {
		connection_refused(ch->connection, IPC_REFUSED_PTY, term);
		return false;
	}
	strcpy(ch->size.term, term);
	read_size(&ch->size, m);
	ch->pty = true;
	return true;
}

static unsigned short
cut(uint32_t v)
{
	return v > 65535 ? 65535 : (unsigned short)v;
}

static void
apply_size(const struct channel *ch)
{
	struct winsize ws = { .ws_row = cut(ch->size.rows),
		.ws_col = cut(ch->size.columns),
		.ws_xpixel = cut(ch->size.width_px),
		.ws_ypixel = cut(ch->size.height_px) };

	if (ch->out >= 0)
		(void)ioctl(ch->out, TIOCSWINSZ, &ws);
}

static bool
request_window_change(struct channel *ch, ssh_message m)
{
	if (!ch->pty)
		return false;
	read_size(&ch->size, m);
	/* While it is being started the size is applied when the terminal arrives. */
	apply_size(ch);
	return true;
}

static bool
start(struct channel *ch, enum ipc_start_kind kind, const char *command)
{
	static struct ipc_req_start q;

	memset(&q, 0, sizeof(q));
	q.channel = ch->number;
	q.kind = kind;
	q.command = (struct wire_span){ (const uint8_t *)command, strlen(command) };
	q.want_pty = ch->pty;
	q.pty = ch->size;
	q.n_env = ch->n_env;
	for (uint32_t i = 0; i < ch->n_env; i++) {
		q.env[i].name =
		    (struct wire_span){ (const uint8_t *)ch->env[i].name, strlen(ch->env[i].name) };
		q.env[i].value = (struct wire_span){ (const uint8_t *)ch->env[i].value,
			strlen(ch->env[i].value) };
	}
	forward_agent(ch->connection);
	if (ask_start(&ch->connection->ask, &q) != 0) {
		connection_end(ch->connection, WORKER_EXIT_BROKER_GONE, "service unavailable");
		return false;
	}
	ch->state = CHANNEL_STARTING;
	ch->unanswered = true;
	ch->known = true;
	return true;
}

static bool
subsystem_allowed(const struct grants *g, const char *name)
{
	for (uint32_t i = 0; i < g->n_subsystems; i++) {
		if (strcmp(g->subsystems[i], name) == 0)
			return true;
	}
	return false;
}

/*
 * Answered before the broker has: what the login may do is known, and the container is told about
 * while the client goes on. What fails later is said on stderr with an exit status, as under sshd
 * when a shell cannot be run.
 */
static bool
request_program(struct channel *ch, ssh_message m, enum ipc_start_kind kind)
{
	const struct grants *g = &ch->connection->grants;
	const char *command = "";

	if (ch->state != CHANNEL_OPEN)
		return false;
	if (kind == IPC_START_EXEC)
		command = ssh_message_channel_request_command(m);
	if (command == NULL || strlen(command) > IPC_COMMAND_MAX) {
		channel_say(ch, "The command is too long.");
		return false;
	}
	if (kind == IPC_START_SHELL ? !g->shell : !g->exec) {
		connection_refused(ch->connection,
		    kind == IPC_START_SHELL ? IPC_REFUSED_SHELL : IPC_REFUSED_EXEC, command);
		channel_say(ch,
		    kind == IPC_START_SHELL ? "Shells are not allowed for this login."
					    : "Commands are not allowed for this login.");
		return false;
	}
	return start(ch, kind, command);
}

/* One that there is not fails without a word, as under sshd. */
static bool
request_subsystem(struct channel *ch, ssh_message m)
{
	const char *name = ssh_message_channel_request_subsystem(m);

	if (ch->state != CHANNEL_OPEN || name == NULL)
		return false;
	if (!subsystem_allowed(&ch->connection->grants, name)) {
		connection_refused(ch->connection, IPC_REFUSED_SUBSYSTEM, name);
		return false;
	}
	return start(ch, IPC_START_SUBSYSTEM, name);
}

/*
 * The only unknown request that OpenSSH's client sends on a channel without a terminal while a program
 * runs is eow@openssh.com: nobody reads the output any more. libssh does not tell the name.
 */
static void
request_unknown(struct channel *ch)
{
	if (ch->connection->openssh_client && !ch->pty &&
	    (ch->state == CHANNEL_RUNNING || ch->state == CHANNEL_ENDED)) {
		fd_close(&ch->out);
		held_clear(&ch->output);
	}
}

/*
 * As sshd shows /etc/motd: among the output, so that it comes before the shell's, and on terminals alone, so
 * that what programs read stays as it is.
 */
static void
greet(struct channel *ch)
{
	char text[2 * IPC_TEXT_MAX + 2];
	size_t n = 0;

	for (const char *c = ch->connection->grants.greeting; *c != '\0'; c++) {
		if (*c == '\n')
			text[n++] = '\r';
		text[n++] = *c;
	}
	if (n == 0 || !ch->pty)
		return;
	if (text[n - 1] != '\n') {
		text[n++] = '\r';
		text[n++] = '\n';
	}
	(void)ssh_channel_write(ch->ssh, text, (uint32_t)n);
}

void
channel_request(struct channel *ch, ssh_message m)
{
	bool done = false;

	if (ch->close_sent) /* as sshd: nothing follows CLOSE, no answer either */
		return;
	switch (ssh_message_subtype(m)) {
	case SSH_CHANNEL_REQUEST_ENV:
		done = request_env(ch, m);
		break;
	case SSH_CHANNEL_REQUEST_PTY:
		done = request_pty(ch, m);
		break;
	case SSH_CHANNEL_REQUEST_WINDOW_CHANGE:
		done = request_window_change(ch, m);
		break;
	case SSH_CHANNEL_REQUEST_SHELL:
		done = request_program(ch, m, IPC_START_SHELL);
		break;
	case SSH_CHANNEL_REQUEST_EXEC:
		done = request_program(ch, m, IPC_START_EXEC);
		break;
	case SSH_CHANNEL_REQUEST_SUBSYSTEM:
		done = request_subsystem(ch, m);
		break;
	case SSH_CHANNEL_REQUEST_UNKNOWN:
		request_unknown(ch);
		break;
	case SSH_CHANNEL_REQUEST_X11: /* as sshd does when it is switched off */
		connection_refused(ch->connection, IPC_REFUSED_X11, "");
		break;
	default:
		break;
	}
	if (!done) {
		(void)ssh_message_reply_default(m);
		return;
	}
	(void)ssh_message_channel_request_reply_success(m);
	if (ssh_message_subtype(m) == SSH_CHANNEL_REQUEST_SHELL)
		greet(ch);
}

/* ---- the broker's answer, the guest's words ---- */

void
channel_answer(struct channel *ch, struct ask_event *e)
{
	static const uint8_t answers[] = { [CHANNEL_PROGRAM] = IPC_ANS_START,
		[CHANNEL_DIRECT] = IPC_ANS_FORWARD,
		[CHANNEL_ACCEPTED] = IPC_ANS_ACCEPTED,
		[CHANNEL_LISTENER] = IPC_ANS_LISTEN };

	ch->unanswered = false;
	if (e->result != IPC_START_OK)
		ch->known = false; /* the number is free at the broker */
	if (ch->state != CHANNEL_STARTING)
		return; /* closed meanwhile; the descriptors go with the event */
	if (e->id != answers[ch->kind]) {
		connection_end(ch->connection, WORKER_EXIT_BROKER_GONE, "service unavailable");
		return;
	}
	if (ch->kind != CHANNEL_PROGRAM) {
		forward_answered(ch, e);
		return;
	}
	if (e->result != IPC_START_OK) {
		fail(ch, e->text, EXIT_ERROR);
		return;
	}
	(void)snprintf(ch->program, sizeof(ch->program), "%.255s", e->text);
	ch->ctl = fd_steal(&e->fds[0]);
	if (!e->pty) {
		ch->in = fd_steal(&e->fds[1]);
		ch->out = fd_steal(&e->fds[2]);
		ch->err = fd_steal(&e->fds[3]);
		if (fd_set_nonblock(ch->in) < 0 || fd_set_nonblock(ch->out) < 0 ||
		    fd_set_nonblock(ch->err) < 0)
			fail(ch, "The program's streams cannot be used.", EXIT_ERROR);
	}
}

/*
 * A terminal from the guest is believed to be one only when the kernel says that it is the
 * multiplexer device (5, 2). O_NONBLOCK belongs to the open file, which a hostile guest may share and
 * change: then this worker waits, and with it nobody but this user.
 */
static bool
take_terminal(struct channel *ch, int *fd)
{
	struct stat st;

	if (syscall(SYS_fstat, *fd, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) != 5 ||
	    minor(st.st_rdev) != 2 || fd_set_nonblock(*fd) < 0)
		return false;
	ch->out = fd_steal(fd);
	apply_size(ch);
	return true;
}

static void
guest_broke_protocol(struct channel *ch)
{
	if (ch->kind != CHANNEL_PROGRAM)
		forward_failed(ch, "The container broke the protocol.");
	else if (!ch->exited)
		fail(ch, "The container broke the protocol.", EXIT_ERROR);
	channel_close_streams(ch);
}

static void
guest_started(struct channel *ch, int *fds, unsigned n_fds)
{
	if (ch->state != CHANNEL_STARTING || n_fds != (ch->pty ? 1U : 0U) ||
	    (ch->pty && !take_terminal(ch, &fds[0]))) {
		guest_broke_protocol(ch);
		return;
	}
	ch->state = CHANNEL_RUNNING;
}

static void
guest_failed(struct channel *ch, const struct guest_ctl *m)
{
	const char *why = channel_error_text(m->failed.error);
	char text[512];

	if (m->failed.stage == GUEST_FAIL_WORKDIR)
		(void)snprintf(text, sizeof(text),
		    "The working directory of this container cannot be entered: %s", why);
	else if (m->failed.stage == GUEST_FAIL_PTY)
		(void)snprintf(text, sizeof(text),
		    "No terminal could be made in this container: %s", why);
	else
		(void)snprintf(text, sizeof(text), "%s cannot be run in this container: %s",
		    ch->program, why);
	fail(ch, text, m->failed.stage == GUEST_FAIL_EXEC && m->failed.error == ENOENT ? 127 : 126);
	channel_close_streams(ch);
}

static void
guest_said(struct channel *ch, const struct guest_ctl *m, int *fds, unsigned n_fds)
{
	if (ch->kind != CHANNEL_PROGRAM) {
		if (!forward_guest_said(ch, m, fds, n_fds))
			guest_broke_protocol(ch);
	} else if (m->id == GUEST_CTL_STARTED) {
		guest_started(ch, fds, n_fds);
	} else if (m->id == GUEST_CTL_FAILED && n_fds == 0 && ch->state == CHANNEL_STARTING) {
		guest_failed(ch, m);
	} else if (m->id == GUEST_CTL_EXITED && n_fds == 0 && ch->state == CHANNEL_RUNNING) {
		finish(ch, m, m->exited.value);
	} else {
		guest_broke_protocol(ch);
	}
}

static void
guest_gone(struct channel *ch)
{
	fd_close(&ch->ctl);
	if (ch->kind != CHANNEL_PROGRAM) {
		forward_failed(ch, "The container has ended.");
		return;
	}
	if (ch->exited)
		return;
	/* What the program wrote before is still in the pipes. */
	ch->lost = true;
	fail(ch, "The container has ended.", EXIT_ERROR);
}

/* A listener is heard when there is room for one that it accepts. */
static bool
hears_guest(const struct channel *ch)
{
	return ch->ctl >= 0 &&
	    (ch->kind != CHANNEL_LISTENER || ch->state != CHANNEL_RUNNING ||
		connection_free_channel(ch->connection) != NULL);
}

static void
read_ctl(struct channel *ch)
{
	for (int i = 0; i < CTL_TURN && hears_guest(ch); i++) {
		uint8_t buf[GUEST_CTL_MAX];
		int fds[2] = { -1, -1 };
		struct wire_reader r;
		struct guest_ctl m;
		unsigned n_fds = 0;
		size_t len;
		int result =
		    ipc_chan_recv_fds(ch->ctl, buf, sizeof(buf), &len, fds, 2, &n_fds, MSG_DONTWAIT);

		if (result == IPC_CHAN_E_AGAIN)
			return;
		if (result == IPC_CHAN_E_VIOLATION) {
			guest_broke_protocol(ch);
			return;
		}
		if (result != 0) {
			guest_gone(ch);
			return;
		}
		wire_reader_init(&r, buf, len);
		if (guest_get_ctl(&r, &m) != 0 || m.id == GUEST_CTL_SIGNAL ||
		    m.id == GUEST_CTL_TAKEN || ch->exited) {
			guest_broke_protocol(ch);
		} else {
			guest_said(ch, &m, fds, n_fds);
		}
		fd_close_all(fds, n_fds);
	}
}

/* ---- to the client ---- */

/* What could not be sent in one go, during a rekey for instance, goes first. */
static bool
send_held(struct channel *ch, struct held *h, bool is_stderr)
{
	while (h->done < h->len) {
		uint32_t n = (uint32_t)(h->len - h->done);
		bool window = ssh_channel_window_size(ch->ssh) > 0;
		int sent = is_stderr ? ssh_channel_write_stderr(ch->ssh, h->data + h->done, n)
				     : ssh_channel_write(ch->ssh, h->data + h->done, n);

		connection_note_output(ch->connection, sent > 0, window);
		if (sent <= 0)
			return false;
		note_data(ch, 0, (size_t)sent);
		h->done += (size_t)sent;
	}
	held_clear(h);
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

	if ((ssh_get_status(ch->connection->session) & SSH_WRITE_PENDING) != 0 || ch->closed)
		return false;
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
	ch->drain_until = clock_now_ms() + DRAIN_MS;
	sent = is_stderr ? ssh_channel_write_stderr(ch->ssh, chunk, (uint32_t)n)
			 : ssh_channel_write(ch->ssh, chunk, (uint32_t)n);
	if (sent < 0)
		sent = 0;
	note_data(ch, 0, (size_t)sent);
	if (sent < n)
		hold(ch, h, chunk + sent, (size_t)(n - sent));
	return true;
}

/* The streams have to be looked at although nothing came: others may hold them open. */
static bool
wants_drain(const struct channel *ch)
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

		if (is_stderr && (pfds[3].revents != 0 || ch->errors.len > 0 || wants_drain(ch)))
			moved = send_stream(ch, &ch->err, &ch->errors, true);
		else if (!is_stderr && (pfds[2].revents != 0 || ch->output.len > 0 || wants_drain(ch)))
			moved = send_stream(ch, &ch->out, &ch->output, false);
		/* A full queue lets only one of the two through: the other is first the next time. */
		if (moved)
			ch->errors_first = !is_stderr;
		sent = sent || moved;
	}
	return sent;
}

/* ---- the loop's view ---- */

void
channel_want(const struct channel *ch, bool may_send, struct pollfd *pfds)
{
	bool active = ch->state == CHANNEL_RUNNING || ch->state == CHANNEL_ENDED;

	for (int i = 0; i < CHANNEL_FDS; i++)
		pfds[i] = (struct pollfd){ .fd = -1 };
	if (ch->state == CHANNEL_UNUSED)
		return;
	if (hears_guest(ch))
		pfds[0] = (struct pollfd){ .fd = ch->ctl, .events = POLLIN };
	if (ch->ssh == NULL)
		return;
	if (ch->state == CHANNEL_RUNNING && ch->input.len > 0)
		pfds[1] = (struct pollfd){ .fd = input_fd(ch), .events = POLLOUT };
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
	if (pfds[0].revents != 0)
		read_ctl(ch);
	if (ch->kind == CHANNEL_ACCEPTED && ch->state == CHANNEL_STARTING && ch->ssh != NULL &&
	    connection_may_read(ch->connection))
		forward_go_on(ch);
	if (ch->ssh != NULL)
		pump_input(ch);
}

/* What stands behind the channel goes; the channel itself may stay. */
static void
let_go(struct channel *ch)
{
	channel_close_streams(ch);
	held_clear(&ch->input);
	held_clear(&ch->output);
	held_clear(&ch->errors);
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
 * A program that ends closes its streams a moment before its exit is known, and a client that sees EOF
 * and has sent its own may close the channel at once: then the exit status would come too late. So EOF
 * waits for it a little. A program that closed its streams and goes on does not come to harm.
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
		return !channel_is_connection(ch) || ch->in < 0;
	if (ch->close_sent)
		return false;
	if (ch->eof_at != 0 && !ch->eof_sent)
		return true;
	/* A terminal that others hold open, or a CLOSE that waits for its EOF to leave. */
	return wants_drain(ch) || is_over(ch);
}

/* EOF and CLOSE as far as they are due. Whether CLOSE is on its way. */
static bool
send_close(struct channel *ch)
{
	if (ch->close_sent)
		return true;
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

/*
 * A channel is there until both sides have closed it, as under sshd: a client that never does would
 * otherwise fill libssh's list, and our memory with what it sends after our CLOSE. And libssh's messages
 * point at their channel, so none may be left when it is freed.
 */
void
channel_settle(struct channel *ch)
{
	if (ch->state == CHANNEL_UNUSED || ch->opening != NULL ||
	    (ch->kind == CHANNEL_LISTENER && ch->state != CHANNEL_ENDED))
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
