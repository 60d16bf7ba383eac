/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: programs. Orders come from the broker; what arrives on ctl comes from a worker that may be
 * anybody's by now, and can do no more than signal or end its own program. All of this runs with the
 * container user's own rights.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "ctl.h"
#include "fd.h"
#include "ipc_chan.h"
#include "session.h"
#include "terminal.h"

#define KILL_AGAIN_MS 100
#define KILL_ROUNDS   50 /* then it is stuck in the kernel, and goes with the container */
#define KILL_SWEEPS   4  /* in one round: children that were born while we looked */

/* ---- what the worker is told ---- */

static void
set_failed(struct program *p, enum guest_fail_stage stage, uint32_t error)
{
	p->owes_first = true;
	p->first = (struct guest_ctl){ .id = GUEST_CTL_FAILED };
	p->first.failed.stage = stage;
	p->first.failed.error = error;
	fd_close(&p->master);
}

/*
 * Say what is owed, as far as ctl takes it. That the worker is gone is not noticed here but where ctl
 * is read: poll() reports it, and only there the session is hung up.
 */
static void
say(struct program *p)
{
	int r = 0;

	if (p->ctl < 0)
		return;
	if (p->owes_first) {
		r = ctl_send(p->ctl, &p->first, &p->master, p->master >= 0 ? 1 : 0);
		if (r < 0) {
			/* Too many descriptors of this user are on their way somewhere: no terminal
			 * without one, and the program ends with the hang-up of its own. */
			set_failed(p, GUEST_FAIL_PTY, (uint32_t)-r);
			r = ctl_send(p->ctl, &p->first, NULL, 0);
		}
		p->owes_first = r == IPC_CHAN_E_AGAIN;
		/* The worker alone holds it: when it closes it, the kernel hangs the terminal up. */
		if (!p->owes_first)
			fd_close(&p->master);
	}
	if (p->owes_exit && !p->owes_first && p->first.id == GUEST_CTL_STARTED) {
		r = ctl_send(p->ctl, &p->exit, NULL, 0);
		p->owes_exit = r == IPC_CHAN_E_AGAIN;
	}
}

static bool
is_waiting_to_say(const struct program *p)
{
	return p->owes_first || (p->owes_exit && p->first.id == GUEST_CTL_STARTED);
}

short
program_ctl_events(const struct program *p)
{
	return is_waiting_to_say(p) ? POLLIN | POLLOUT : POLLIN;
}

/* ---- from the order to the program ---- */

static void
fork_child(struct program *p, const struct child_plan *plan, int *result)
{
	p->pid = fork();
	if (p->pid == 0)
		child_run(plan);
	if (p->pid < 0) {
		set_failed(p, GUEST_FAIL_FORK, (uint32_t)errno);
		p->pid = 0;
		return;
	}
	p->session = p->pid;
	p->result = fd_steal(result);
}

void
program_start(struct program *p, const struct guest_spawn *order, int *fds, unsigned n_fds)
{
	struct terminal_size size = { order->columns, order->rows, order->width_px, order->height_px };
	struct child_plan plan = { .order = order, .result = -1 };
	char name[TERMINAL_NAME_MAX] = "";
	SP_CLEANUP_FD int slave = -1;
	int result[2] = { -1, -1 };
	int r = 0;

	*p = (struct program){ .used = true, .result = -1, .master = -1 };
	p->ctl = fd_steal(&fds[0]);
	p->grace_ms = order->hangup_grace_ms;
	if (order->want_pty)
		r = terminal_open(&size, order->modes, &p->master, &slave, name);
	for (unsigned i = 0; i < 3; i++)
		plan.streams[i] = order->want_pty ? slave : i + 1 < n_fds ? fds[i + 1] : -1;
	plan.tty = order->want_pty ? name : NULL;
	if (r < 0)
		set_failed(p, GUEST_FAIL_PTY, (uint32_t)-r);
	else if (pipe2(result, O_CLOEXEC | O_NONBLOCK) < 0)
		set_failed(p, GUEST_FAIL_FORK, (uint32_t)errno);
	else {
		plan.result = result[1];
		fork_child(p, &plan, &result[0]);
	}
	fd_close_all(result, 2);
	fd_close_all(fds, n_fds);
	say(p);
}

/* ---- the end of the channel ---- */

/*
 * Whatever is left of the session is asked to go, then made to. What has made a session of its own (a
 * daemon) stays until the container ends, as it would outlive its connection under sshd; so does what a
 * program left behind that ended by itself: of a terminal's, the kernel hangs up whom sshd's would.
 */
static void
hang_up(struct program *p, int64_t now_ms)
{
	if (p->session == 0 || p->kill_at != 0 || p->result >= 0)
		return; /* before exec the child may not have its session yet: see program_exec_known() */
	/* Who is stopped must be woken up to hear it. */
	if (session_signal(p->session, SIGHUP, SIGCONT) == 0)
		return;
	p->kill_at = now_ms + (int64_t)p->grace_ms;
	p->kill_rounds = KILL_ROUNDS;
}

static void
channel_gone(struct program *p, int64_t now_ms)
{
	fd_close(&p->ctl);
	fd_close(&p->master);
	if (p->pid == 0)
		p->session = 0;
	hang_up(p, now_ms);
}

void
program_kill(struct program *p, int64_t now_ms)
{
	unsigned left = 1;

	for (int i = 0; i < KILL_SWEEPS && left > 0; i++)
		left = session_signal(p->session, SIGKILL, 0);
	p->kill_at = left > 0 && p->kill_rounds-- > 0 ? now_ms + KILL_AGAIN_MS : 0;
	if (p->kill_at == 0)
		p->session = 0;
}

/* ---- what happens to it ---- */

void
program_exec_known(struct program *p, int64_t now_ms)
{
	struct child_failure f;
	ssize_t n = read(p->result, &f, sizeof(f));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	fd_close(&p->result);
	if (n == sizeof(f)) {
		set_failed(p, (enum guest_fail_stage)f.stage, f.error);
	} else {
		p->owes_first = true;
		p->first = (struct guest_ctl){ .id = GUEST_CTL_STARTED };
	}
	say(p);
	if (p->ctl < 0) {
		fd_close(&p->master);
		hang_up(p, now_ms);
	}
}

void
program_reaped(struct program *p, int status, int64_t now_ms)
{
	bool killed = WIFSIGNALED(status);

	/* It is dead, so its end of the pipe is closed: this read has an outcome. */
	if (p->result >= 0)
		program_exec_known(p, now_ms);
	p->pid = 0;
	p->owes_exit = true;
	p->exit = (struct guest_ctl){ .id = GUEST_CTL_EXITED };
	p->exit.exited.signaled = killed;
	p->exit.exited.value = (uint32_t)(killed ? WTERMSIG(status) : WEXITSTATUS(status));
	p->exit.exited.core = killed && WCOREDUMP(status);
	say(p);
	/*
	 * The number of an empty session may soon name somebody else's, so it is forgotten at once. As
	 * long as one process is in it, the kernel does not give it away.
	 */
	if (p->session != 0 && session_signal(p->session, 0, 0) == 0) {
		p->session = 0;
		p->kill_at = 0;
	}
}

/* As sshd: to the process group of the session's leader, for as long as that lives. */
static void
signal_program(const struct program *p, int number)
{
	if (p->pid > 0 && kill(-p->pid, number) < 0 && errno == ESRCH)
		(void)kill(p->pid, number); /* it has not come to setsid() yet */
}

static void
hear(struct program *p, int64_t now_ms)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_reader r;
	struct guest_ctl m;
	size_t len;
	int result = ipc_chan_recv(p->ctl, buf, sizeof(buf), &len, MSG_DONTWAIT);

	if (result == IPC_CHAN_E_AGAIN)
		return;
	if (result == 0) {
		wire_reader_init(&r, buf, len);
		if (guest_get_ctl(&r, &m) == 0 && m.id == GUEST_CTL_SIGNAL) {
			signal_program(p, (int)m.signal.number);
			return;
		}
	}
	/* The end, or a worker that breaks the protocol: the same for the program. */
	channel_gone(p, now_ms);
}

void
program_ctl_ready(struct program *p, int64_t now_ms)
{
	say(p);
	hear(p, now_ms);
}

void
program_tidy(struct program *p)
{
	if (p->used && p->ctl < 0 && p->pid == 0 && p->result < 0 && p->kill_at == 0)
		p->used = false;
}
