/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: what broker and guest say of a channel's program. See channel.h for who is hostile. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "channel_priv.h"
#include "connection.h"
#include "fd.h"
#include "forward.h"
#include "guest_msg.h"
#include "ipc_chan.h"

#define CTL_TURN   8 /* ctl messages in one turn: a flood does not stop the loop */
#define EXIT_ERROR 255

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
		channel_fail(ch, e->text, EXIT_ERROR);
		return;
	}
	(void)snprintf(ch->program, sizeof(ch->program), "%.255s", e->text);
	if (e->n_fds == IPC_STREAM_FDS) {
		if (!channel_take_stream(ch, e->fds))
			channel_fail(ch, "The program's streams cannot be used.", EXIT_ERROR);
		return;
	}
	ch->ctl = fd_steal(&e->fds[0]);
	if (!e->pty) {
		ch->in = fd_steal(&e->fds[1]);
		ch->out = fd_steal(&e->fds[2]);
		ch->err = fd_steal(&e->fds[3]);
		if (fd_set_nonblock(ch->in) < 0 || fd_set_nonblock(ch->out) < 0 ||
		    fd_set_nonblock(ch->err) < 0)
			channel_fail(ch, "The program's streams cannot be used.", EXIT_ERROR);
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
	channel_apply_size(ch);
	return true;
}

static void
guest_broke_protocol(struct channel *ch)
{
	if (ch->kind != CHANNEL_PROGRAM)
		forward_failed(ch, "The container broke the protocol.");
	else if (!ch->exited)
		channel_fail(ch, "The container broke the protocol.", EXIT_ERROR);
	channel_close_streams(ch);
}

static void
guest_started(struct channel *ch, int *fds, unsigned n_fds)
{
	bool terminal = ch->pty && ch->stream == NULL; /* else it stays behind the stream */

	if (ch->state != CHANNEL_STARTING || n_fds != (terminal ? 1U : 0U) ||
	    (terminal && !take_terminal(ch, &fds[0]))) {
		guest_broke_protocol(ch);
		return;
	}
	if (ch->pty && !terminal)
		channel_apply_size(ch);
	ch->state = CHANNEL_RUNNING;
	channel_send_signals(ch);
}

static void
guest_failed(struct channel *ch, const struct guest_ctl *m)
{
	const char *why = channel_error_text(m->failed.error);
	char text[512];

	if (m->failed.stage == GUEST_FAIL_PTY)
		(void)snprintf(text, sizeof(text),
		    "No terminal could be made in this container: %s", why);
	else
		(void)snprintf(text, sizeof(text), "%s cannot be run in this container: %s",
		    ch->program, why);
	channel_fail(ch, text,
	    m->failed.stage == GUEST_FAIL_EXEC && m->failed.error == ENOENT ? 127 : 126);
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
		channel_finish(ch, m, m->exited.value);
	} else {
		guest_broke_protocol(ch);
	}
}

static void
guest_gone(struct channel *ch)
{
	/* Of a stream through the engine nobody here knows which of the two it was. */
	const char *what = ch->stream != NULL ? "The connection to the container has ended."
					      : "The container has ended.";

	fd_close(&ch->ctl);
	if (ch->kind != CHANNEL_PROGRAM) {
		forward_failed(ch, what);
		return;
	}
	if (ch->exited)
		return;
	/* What the program wrote before is still in the pipes. */
	ch->lost = true;
	channel_fail(ch, what, EXIT_ERROR);
}

bool
channel_hears_guest(const struct channel *ch)
{
	return ch->ctl >= 0 &&
	    (ch->kind != CHANNEL_LISTENER || ch->state != CHANNEL_RUNNING ||
		connection_free_channel(ch->connection, CHANNEL_ACCEPTED) != NULL);
}

bool
channel_runs_program(const struct channel *ch)
{
	return ch->kind == CHANNEL_PROGRAM && ch->state == CHANNEL_RUNNING;
}

/* That a program ran and that it has ended are not heard in one turn: its output comes in between. */
void
channel_read_guest(struct channel *ch)
{
	bool ran = channel_runs_program(ch);

	for (int i = 0; i < CTL_TURN && channel_hears_guest(ch); i++) {
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
		if (!ran && channel_runs_program(ch))
			return;
	}
}
