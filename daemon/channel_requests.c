/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: what a client asks of a channel. See channel.h for who is hostile. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "channel_priv.h"
#include "connection.h"
#include "exec_stream.h"
#include "fd.h"
#include "forward.h"
#include "hooks.h"
#include "wildcard.h"

#define HEAD_START_MS 30

static bool
env_allowed(const struct channel *ch, const char *name)
{
	const struct grants *g = &ch->connection->grants;

	for (uint32_t i = 0; i < g->n_env; i++) {
		if (wildcard_matches(g->env[i], name))
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

	if (ch->state != CHANNEL_OPEN || name == NULL || value == NULL)
		return false;
	bytes = strlen(name) + strlen(value);
	if (ch->n_env == IPC_ENV_MAX || name[0] == '\0' || strchr(name, '=') != NULL ||
	    strlen(name) > IPC_ENV_NAME_MAX || strlen(value) > IPC_ENV_VALUE_MAX ||
	    ch->env_bytes + bytes > IPC_ENV_BYTES_MAX || !env_allowed(ch, name))
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
	uint8_t modes[TTY_MODES_MAX];
	size_t modes_len = hooks_take_modes(term, modes);

	if (ch->state != CHANNEL_OPEN || ch->pty || term == NULL || strlen(term) > IPC_TERM_MAX)
		return false;
	if (!ch->connection->grants.pty) {
		connection_refused(ch->connection, IPC_REFUSED_PTY, term);
		return false;
	}
	strcpy(ch->size.term, term);
	read_size(&ch->size, m);
	memcpy(ch->modes, modes, modes_len);
	ch->modes_len = modes_len;
	ch->pty = true;
	return true;
}

static unsigned short
cut(uint32_t v)
{
	return v > 65535 ? 65535 : (unsigned short)v;
}

void
channel_apply_size(const struct channel *ch)
{
	struct winsize ws = { .ws_row = cut(ch->size.rows),
		.ws_col = cut(ch->size.columns),
		.ws_xpixel = cut(ch->size.width_px),
		.ws_ypixel = cut(ch->size.height_px) };

	if (ch->stream != NULL)
		exec_stream_resize(ch->stream, &ch->size);
	else if (ch->out >= 0)
		(void)ioctl(ch->out, TIOCSWINSZ, &ws);
}

static bool
request_window_change(struct channel *ch, ssh_message m)
{
	if (!ch->pty)
		return true; /* as under sshd: there is nothing that could fail */
	read_size(&ch->size, m);
	/* While it is being started the size is applied when the terminal arrives. */
	channel_apply_size(ch);
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
	q.modes = (struct wire_span){ ch->modes, ch->modes_len };
	q.n_env = ch->n_env;
	for (uint32_t i = 0; i < ch->n_env; i++) {
		q.env[i].name =
		    (struct wire_span){ (const uint8_t *)ch->env[i].name, strlen(ch->env[i].name) };
		q.env[i].value = (struct wire_span){ (const uint8_t *)ch->env[i].value,
			strlen(ch->env[i].value) };
	}
	q.want_display = forward_display(ch, &q.display);
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
 * OpenSSH's client leaves when the answer comes, and does not show what it has read together with it: the words
 * get a head start. This process has no other client: who asks for what is refused waits, all its channels with it.
 */
static void
say_before_refusal(struct channel *ch, const char *text)
{
	channel_say(ch, text);
	(void)poll(NULL, 0, HEAD_START_MS);
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
		say_before_refusal(ch, "The command is too long.");
		return false;
	}
	if (kind == IPC_START_SHELL ? !g->shell : !g->exec) {
		connection_refused(ch->connection,
		    kind == IPC_START_SHELL ? IPC_REFUSED_SHELL : IPC_REFUSED_EXEC, command);
		say_before_refusal(ch,
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
	ch->subsystem = true;
	ch->signals = 0;
	return start(ch, IPC_START_SUBSYSTEM, name);
}

/* Before the program, and once, as under sshd. Whether m is kept. */
static bool
request_x11(struct channel *ch, ssh_message m)
{
	if (ch->state != CHANNEL_OPEN || ch->x11 || !forward_x11(ch, m)) {
		(void)ssh_message_reply_default(m);
		return false;
	}
	return true;
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
		channel_held_clear(&ch->output);
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

bool
channel_request(struct channel *ch, ssh_message m)
{
	bool done = false;

	if (ch->close_sent) /* as sshd: nothing follows CLOSE, no answer either */
		return false;
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
	case SSH_CHANNEL_REQUEST_X11:
		return request_x11(ch, m);
	default:
		break;
	}
	if (!done) {
		(void)ssh_message_reply_default(m);
		return false;
	}
	(void)ssh_message_channel_request_reply_success(m);
	if (ssh_message_subtype(m) == SSH_CHANNEL_REQUEST_SHELL)
		greet(ch);
	return false;
}
