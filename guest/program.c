/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: programs. Orders come from the broker and are trusted as far as their form goes; what
 * arrives on ctl comes from a worker that may be anybody's, and can do no more than signal or end its
 * own program. All of this runs with the container user's own rights.
 */
#include "program.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "ipc_chan.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ENV_ALL_MAX  (GUEST_ENV_MAX + 1024)

extern char **environ;

/* How far the child got before exec, read by the parent; nothing at all means that exec worked. */
struct failure {
	uint32_t stage;
	uint32_t error;
};

static void
tell(struct program *p, const struct guest_ctl *m, const int *fds, unsigned n_fds)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	if (p->ctl < 0)
		return;
	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, m);
	/* At most three messages in a program's life: a pair that cannot take them is dead. */
	if (ipc_chan_send(p->ctl, w.data, w.len, fds, n_fds, MSG_DONTWAIT) != 0)
		fd_close(&p->ctl);
}

static void
tell_failed(struct program *p, uint32_t stage, uint32_t error)
{
	struct guest_ctl m = { .id = GUEST_CTL_FAILED };

	m.failed.stage = (enum guest_fail_stage)stage;
	m.failed.error = error;
	tell(p, &m, NULL, 0);
}

/* ---- in the child, between fork and exec ---- */

static _Noreturn void
give_up(int result, uint32_t stage)
{
	struct failure f = { stage, (uint32_t)errno };
	ssize_t n = write(result, &f, sizeof(f));

	_exit(n == sizeof(f) ? 127 : 126);
}

static void
reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s <= 64; s++)
		(void)sigaction(s, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static char *
copy(struct wire_span s)
{
	char *text = malloc(s.len + 1);

	if (text == NULL)
		_exit(126);
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	return text;
}

/* Put entry into env, over one of the same name. */
static void
set_env(char **env, size_t *n, char *entry)
{
	size_t name = strcspn(entry, "=");

	for (size_t i = 0; i < *n; i++) {
		if (strncmp(env[i], entry, name) == 0 && env[i][name] == '=') {
			env[i] = entry;
			return;
		}
	}
	if (*n < ENV_ALL_MAX)
		env[(*n)++] = entry;
}

/* The image's environment as the runtime gave it to us, then the order's on top. */
static char **
make_env(const struct guest_spawn *order, const char *tty)
{
	static char *env[ENV_ALL_MAX + 1];
	static char path[] = DEFAULT_PATH;
	static char ssh_tty[TERMINAL_NAME_MAX + 16];
	size_t n = 0;

	set_env(env, &n, path);
	for (char **e = environ; *e != NULL; e++)
		set_env(env, &n, *e);
	for (uint32_t i = 0; i < order->n_env; i++)
		set_env(env, &n, copy(order->env[i]));
	if (tty != NULL) {
		snprintf(ssh_tty, sizeof(ssh_tty), "SSH_TTY=%s", tty);
		set_env(env, &n, ssh_tty);
	}
	env[n] = NULL;
	return env;
}

static const char *
env_value(char **env, const char *name)
{
	size_t len = strlen(name);

	for (; *env != NULL; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	}
	return "";
}

/* As execvpe(), but a script without "#!" is not handed to a shell: there may be none. */
static void
exec_in_path(const char *program, char **argv, char **env)
{
	const char *path = env_value(env, "PATH");
	int error = ENOENT;

	if (strchr(program, '/') != NULL) {
		execve(program, argv, env);
		return;
	}
	while (*path != '\0') {
		size_t len = strcspn(path, ":");
		char full[4096];

		if (len > 0 &&
		    snprintf(full, sizeof(full), "%.*s/%s", (int)len, path, program) <
			(int)sizeof(full)) {
			execve(full, argv, env);
			if (errno == EACCES)
				error = EACCES;
		}
		path += len;
		path += *path == ':';
	}
	errno = error;
}

/* The new session's terminal and standard streams. streams: three descriptors, or all the slave. */
static void
take_streams(const int streams[3], bool pty, int result)
{
	if (setsid() < 0)
		give_up(result, GUEST_FAIL_FORK);
	if (pty && ioctl(streams[0], TIOCSCTTY, 0) < 0)
		give_up(result, GUEST_FAIL_PTY);
	for (int i = 0; i < 3; i++) {
		if (dup2(streams[i], i) < 0)
			give_up(result, GUEST_FAIL_FORK);
	}
}

static _Noreturn void
run_child(const struct guest_spawn *order, const int streams[3], const char *tty, int result)
{
	static char *argv[GUEST_ARGV_MAX + 1];
	char *program = copy(order->argv[0]);
	char **env = make_env(order, tty);

	/* Everything that this process opened is close-on-exec. */
	take_streams(streams, order->want_pty, result);
	reset_signals();
	(void)umask(022);
	for (uint32_t i = 0; i < order->n_argv; i++)
		argv[i] = copy(order->argv[i]);
	if (order->argv0.len > 0)
		argv[0] = copy(order->argv0);
	if (order->workdir.len > 0 && chdir(copy(order->workdir)) < 0)
		give_up(result, GUEST_FAIL_WORKDIR);
	exec_in_path(program, argv, env);
	give_up(result, GUEST_FAIL_EXEC);
}

/* ---- in the guest ---- */

static void
abandon(struct program *p, uint32_t stage, int error)
{
	tell_failed(p, stage, (uint32_t)error);
	fd_close(&p->ctl);
	fd_close(&p->master);
	fd_close(&p->result);
	p->used = false;
}

static void
fork_child(struct program *p, const struct guest_spawn *order, const int streams[3], const char *tty)
{
	int result[2];

	if (pipe2(result, O_CLOEXEC | O_NONBLOCK) < 0) {
		abandon(p, GUEST_FAIL_FORK, errno);
		return;
	}
	/* Clear of 0 to 2, which the child replaces. */
	if (result[1] <= 2) {
		int moved = fcntl(result[1], F_DUPFD_CLOEXEC, 3);

		fd_close(&result[1]);
		result[1] = moved;
	}
	p->result = result[0];
	p->pid = fork();
	if (p->pid == 0)
		run_child(order, streams, tty, result[1]);
	fd_close(&result[1]);
	if (p->pid < 0)
		abandon(p, GUEST_FAIL_FORK, errno);
	p->session = p->pid;
}

void
program_start(struct program *p, const struct guest_spawn *order, int *fds, unsigned n_fds)
{
	struct terminal_size size = { order->columns, order->rows, order->width_px, order->height_px };
	char name[TERMINAL_NAME_MAX] = "";
	SP_CLEANUP_FD int slave = -1;
	int streams[3];
	int r = 0;

	memset(p, 0, sizeof(*p));
	p->used = true;
	p->ctl = fd_steal(&fds[0]);
	p->master = p->result = -1;
	p->grace_ms = order->hangup_grace_ms;
	if (order->want_pty)
		r = terminal_open(&size, &p->master, &slave, name);
	for (int i = 0; i < 3; i++)
		streams[i] = order->want_pty ? slave : n_fds == 4 ? fds[i + 1] : -1;
	if (r < 0)
		abandon(p, GUEST_FAIL_PTY, -r);
	else
		fork_child(p, order, streams, order->want_pty ? name : NULL);
	fd_close_all(fds, n_fds);
}

void
program_exec_known(struct program *p)
{
	struct guest_ctl m = { .id = GUEST_CTL_STARTED };
	struct failure f;
	ssize_t n = read(p->result, &f, sizeof(f));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	fd_close(&p->result);
	if (n == sizeof(f)) {
		tell_failed(p, f.stage, f.error);
		fd_close(&p->ctl);
	} else {
		tell(p, &m, &p->master, p->master >= 0 ? 1 : 0);
	}
	/* The worker alone holds the master: when it closes it, the kernel hangs the terminal up. */
	fd_close(&p->master);
	if (p->exited)
		program_reaped(p, p->status);
}

void
program_reaped(struct program *p, int status)
{
	struct guest_ctl m = { .id = GUEST_CTL_EXITED };

	p->pid = 0;
	p->exited = true;
	p->status = status;
	if (p->result >= 0)
		return; /* STARTED or FAILED comes first */
	m.exited.signaled = WIFSIGNALED(status);
	m.exited.value = (uint32_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	m.exited.core = WIFSIGNALED(status) && WCOREDUMP(status);
	tell(p, &m, NULL, 0);
}

void
program_ctl_readable(struct program *p, int64_t now_ms)
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
			/* As sshd: to the process group of the session's leader. */
			if (p->pid > 0)
				(void)kill(-p->pid, (int)m.signal.number);
			return;
		}
	}
	fd_close(&p->ctl);
	program_hang_up(p, now_ms);
}

/* The session that a process belongs to: sixth field of /proc/PID/stat, after the name in (). */
static pid_t
session_of(const char *pid)
{
	char path[64];
	char stat[512];
	const char *end;
	ssize_t n;
	int fd;
	int sid;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, stat, sizeof(stat) - 1);
	(void)close(fd);
	if (n <= 0)
		return 0;
	stat[n] = '\0';
	end = strrchr(stat, ')');
	if (end == NULL || sscanf(end, ") %*c %*d %*d %d", &sid) != 1)
		return 0;
	return sid;
}

/* Signal every process of the session. Returns how many there were. */
static unsigned
signal_session(pid_t session, int number)
{
	DIR *proc = opendir("/proc");
	unsigned n = 0;
	struct dirent *e;

	if (proc == NULL)
		return kill(-session, number) == 0 ? 1 : 0;
	while ((e = readdir(proc)) != NULL) {
		if (isdigit((unsigned char)e->d_name[0]) && session_of(e->d_name) == session) {
			(void)kill((pid_t)atoi(e->d_name), number);
			n++;
		}
	}
	(void)closedir(proc);
	return n;
}

/*
 * What has made a session of its own (a daemon) stays until the container ends, as it would outlive
 * its connection under sshd.
 */
void
program_hang_up(struct program *p, int64_t now_ms)
{
	if (p->kill_at != 0 || p->session <= 0)
		return;
	if (signal_session(p->session, SIGHUP) == 0)
		return;
	(void)signal_session(p->session, SIGCONT);
	p->kill_at = now_ms + (int64_t)p->grace_ms;
}

void
program_kill(struct program *p)
{
	p->kill_at = 0;
	(void)signal_session(p->session, SIGKILL);
}

void
program_tidy(struct program *p)
{
	if (p->used && p->ctl < 0 && p->pid == 0 && p->result < 0 && p->kill_at == 0) {
		fd_close(&p->master);
		p->used = false;
	}
}
