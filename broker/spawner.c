/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spawner process and the broker's side of its pair. No input is hostile here: only the broker
 * writes to it. It keeps privileges, so it stays this small.
 */
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "fd.h"
#include "ipc.h"
#include "ipc_chan.h"
#include "lockdown.h"
#include "log.h"
#include "side_process.h"
#include "wire.h"
#include "worker_clone.h"
#include "worker_priority.h"
#include "worker_space.h"

#define RECORD_MAX 64

enum record {
	RECORD_SPAWN = 1,
	RECORD_STARTED = 2,
	RECORD_FAILED = 3,
	RECORD_EXITED = 4,
	RECORD_OPEN_AUDIT = 5,
	RECORD_AUDIT_OPENED = 6,
	RECORD_AUDIT_FAILED = 7,
	RECORD_RAISE = 8,
};

/* A running worker, so that its end can be reported under the broker's token. */
struct child {
	struct child *next;
	pid_t pid;
	uint32_t token;
	uint32_t uid_slot;
	struct worker_space space; /* until it is reaped */
};

struct spawner {
	struct spawner_options options;
	struct child *children;
	struct worker_spaces spaces;
	bool *uid_taken;    /* options.n_uids of them */
	uint32_t next_slot; /* the search begins after the last one: a uid rests before its next use */
	enum {
		PRIORITY_UNKNOWN,
		PRIORITY_NONE,
		PRIORITY_LOW
	} priority; /* of who has not logged in */
};

static uid_t
uid_of(const struct spawner_options *o, const struct child *child)
{
	return o->uid + child->uid_slot;
}

static gid_t
gid_of(const struct spawner_options *o, const struct child *child)
{
	return o->n_uids != 0 ? (gid_t)uid_of(o, child) : o->gid;
}

static void
report(enum record kind, uint32_t token, uint32_t value, int fd)
{
	uint8_t buf[RECORD_MAX];
	struct wire_writer w;
	int r;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, (uint8_t)kind);
	wire_put_u32(&w, token);
	wire_put_u32(&w, value);
	/* Blocking: the broker always reads these, and the spawner has nothing better to do. */
	r = ipc_chan_send(SIDE_PROCESS_FD, w.data, w.len, &fd, fd >= 0 ? 1 : 0, 0);
	if (r != 0)
		_exit(1);
}

static bool
set_limits(const struct spawner_options *o)
{
	if (o->memory != 0 && lockdown_rlimit(RLIMIT_AS, o->memory) < 0)
		return false;
	return lockdown_rlimit(RLIMIT_CORE, 0) == 0;
}

struct worker_start {
	const struct spawner *spawner;
	const struct child *child;
	int ipc_fd;
	int log_fd;
};

/*
 * In the new process, which may have the spawner's memory (worker_clone.h): descriptors 0 and 1 are /dev/null
 * already, 2 is the log, 3 the pair with the broker, 4 a root if there is one, and nothing else is open when the
 * worker's program starts. Returns if that cannot be run.
 */
static int
exec_worker(void *arg)
{
	const struct worker_start *start = arg;
	const struct spawner_options *o = &start->spawner->options;
	bool has_root = start->child->space.root >= 0;
	int ipc_fd = fcntl(start->ipc_fd, F_DUPFD_CLOEXEC, 10);
	int log_fd = fcntl(start->log_fd, F_DUPFD_CLOEXEC, 10);
	int root_fd = has_root ? fcntl(start->child->space.root, F_DUPFD_CLOEXEC, 10) : -1;
	char uid[24];
	char gid[24];
	char program_name[] = "sallyportd";
	char uid_flag[] = "--uid";
	char gid_flag[] = "--gid";
	char root_flag[] = "--root";
	char best_effort[] = "--best-effort";
	char *argv[8] = { program_name, uid_flag, uid, gid_flag, gid };
	unsigned argc = 5;
	char no_openssl_conf[] = "OPENSSL_CONF=/dev/null";
	char lang[] = "LC_ALL=C";
	char *asan = getenv("ASAN_OPTIONS");
	char asan_env[256] = "ASAN_OPTIONS=";
	char *envp[] = { no_openssl_conf, lang, NULL, NULL };
	sigset_t none;

	if (start->spawner->priority == PRIORITY_LOW)
		worker_priority_lower();
	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)uid_of(o, start->child));
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned)gid_of(o, start->child));
	/* They may have sat on each other's place: they are out of the way now. */
	if (ipc_fd < 0 || log_fd < 0 || dup2(ipc_fd, IPC_FD) < 0 || dup2(log_fd, IPC_LOG_FD) < 0 ||
	    (has_root && dup2(root_fd, IPC_ROOT_FD) < 0) ||
	    lockdown_close_from(has_root ? IPC_ROOT_FD + 1 : IPC_FD + 1) < 0)
		return 125;
	if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return 125;
	if (!set_limits(o))
		return 125;
	if (asan != NULL && strlen(asan) < sizeof(asan_env) - strlen(asan_env)) {
		strcat(asan_env, asan);
		envp[2] = asan_env;
	}
	if (has_root)
		argv[argc++] = root_flag;
	if (o->best_effort)
		argv[argc++] = best_effort;
	argv[argc] = NULL;
	execve(o->program, argv, envp);
	dprintf(STDERR_FILENO, "cannot run %s (worker.program): %s\n", o->program, strerror(errno));
	return 126;
}

/* A uid that no living worker has, or 0 when all share one. false: none is left. */
static bool
take_uid(struct spawner *s, uint32_t *ret_slot)
{
	uint32_t n = s->options.n_uids;

	*ret_slot = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = (s->next_slot + i) % n;

		if (s->uid_taken[slot])
			continue;
		s->uid_taken[slot] = true;
		s->next_slot = slot + 1;
		*ret_slot = slot;
		return true;
	}
	return n == 0;
}

static void
free_uid(struct spawner *s, uint32_t slot)
{
	if (s->options.n_uids != 0)
		s->uid_taken[slot] = false;
}

static pid_t
clone_worker(struct spawner *s, struct child *child, struct worker_start *start, int *ret_pidfd)
{
	const struct spawner_options *o = &s->options;
	unsigned long namespaces = WORKER_CLONE_ALL;
	uid_t uid = uid_of(o, child);
	gid_t gid = gid_of(o, child);
	pid_t pid;

	/* Who may not enter them can still make them with the worker. */
	if (worker_space_enter(&s->spaces, &child->space) == 0) {
		namespaces &= ~(unsigned long)CLONE_NEWNET;
		if (child->space.root >= 0)
			namespaces &= ~(unsigned long)CLONE_NEWNS;
	}
	pid = worker_clone(uid, gid, namespaces, exec_worker, start, ret_pidfd);
	if (pid < 0 && o->best_effort)
		pid = worker_clone(uid, gid, 0, exec_worker, start, ret_pidfd);
	return pid;
}

/* What only it had goes back to those who come, as nothing of it runs. */
static void
give_back(struct spawner *s, const struct child *gone)
{
	free_uid(s, gone->uid_slot);
	worker_space_give_back(&s->spaces, &gone->space);
}

/* 0 with a process that the caller's list has, or -errno. */
static int
start_worker(struct spawner *s, struct child *child, int ipc_fd, int log_fd, int *ret_pidfd)
{
	struct worker_start start = { .spawner = s, .child = child, .ipc_fd = ipc_fd, .log_fd = log_fd };
	pid_t pid;

	if (!take_uid(s, &child->uid_slot))
		return -EUSERS;
	pid = clone_worker(s, child, &start, ret_pidfd);
	if (pid < 0) {
		int r = -errno;

		give_back(s, child);
		return r;
	}
	child->pid = pid;
	child->next = s->children;
	s->children = child;
	return 0;
}

/* At the first worker: whoever is lowered must be raised again. */
static void
find_priority(struct spawner *s)
{
	s->priority = worker_priority_can_be_raised() ? PRIORITY_LOW : PRIORITY_NONE;
	if (s->priority == PRIORITY_NONE)
		log_warn(
		    "workers of strangers have the same priority as those of sessions, which a flood "
		    "of key exchanges will slow down: to tell them apart the spawner needs "
		    "CAP_SYS_NICE");
}

static void
spawn(struct spawner *s, uint32_t token, int ipc_fd, int log_fd)
{
	SP_CLEANUP_FD int pidfd = -1;
	struct child *child = calloc(1, sizeof(*child));
	int r = -ENOMEM;

	if (s->priority == PRIORITY_UNKNOWN)
		find_priority(s);
	if (child != NULL) {
		*child = (struct child){ .token = token, .space = WORKER_SPACE_NONE };
		r = start_worker(s, child, ipc_fd, log_fd, &pidfd);
	}
	if (r == 0) {
		report(RECORD_STARTED, token, (uint32_t)child->pid, pidfd);
		return;
	}
	free(child);
	report(RECORD_FAILED, token, (uint32_t)-r, -1);
}

/* The broker's own token, of a child that was not reaped: its pid is nobody else's. */
static void
raise_worker(const struct spawner *s, uint32_t token)
{
	const struct child *c = s->children;
	int r;

	while (c != NULL && c->token != token)
		c = c->next;
	if (c == NULL || s->priority != PRIORITY_LOW)
		return;
	r = worker_priority_raise(c->pid);
	if (r < 0)
		log_error("worker pid=%d keeps the priority of strangers: %s", (int)c->pid,
		    strerror(-r));
}

static void
reap(struct spawner *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child **at = &s->children;

		while (*at != NULL && (*at)->pid != pid)
			at = &(*at)->next;
		if (*at != NULL) {
			struct child *gone = *at;

			*at = gone->next;
			give_back(s, gone);
			report(RECORD_EXITED, gone->token, (uint32_t)status, -1);
			free(gone);
		}
	}
}

/* The broker is gone: nobody would answer the workers, and a hostile one would not leave by itself. */
static void
end_all(const struct spawner *s)
{
	for (const struct child *c = s->children; c != NULL; c = c->next)
		worker_kill(c->pid, uid_of(&s->options, c));
	_exit(0);
}

static void
open_audit(const struct spawner *s)
{
	char why[1024] = "";
	SP_CLEANUP_FD int fd = s->options.audit_file != NULL
	    ? audit_open_file(s->options.audit_file, why, sizeof(why))
	    : -EINVAL;

	if (fd >= 0) {
		report(RECORD_AUDIT_OPENED, 0, 0, fd);
		return;
	}
	log_error("%s", why);
	report(RECORD_AUDIT_FAILED, 0, (uint32_t)-fd, -1);
}

static void
serve_request(struct spawner *s)
{
	uint8_t buf[RECORD_MAX];
	int fds[2] = { -1, -1 };
	struct wire_reader r;
	uint32_t token;
	uint8_t kind;
	unsigned n_fds;
	size_t len;

	if (ipc_chan_recv_fds(SIDE_PROCESS_FD, buf, sizeof(buf), &len, fds, 2, &n_fds, 0) != 0)
		end_all(s);
	wire_reader_init(&r, buf, len);
	kind = wire_get_u8(&r);
	token = wire_get_u32(&r);
	if (wire_finish(&r) != 0)
		end_all(s);
	if (kind == RECORD_SPAWN && n_fds == 2)
		spawn(s, token, fds[0], fds[1]);
	else if (kind == RECORD_RAISE && n_fds == 0)
		raise_worker(s, token);
	else if (kind == RECORD_OPEN_AUDIT && n_fds == 0)
		open_audit(s);
	else
		end_all(s);
	fd_close_all(fds, 2);
}

_Noreturn void
spawner_serve(int own, const struct spawner_options *options)
{
	struct spawner s = { .options = *options };
	struct pollfd fds[2] = { { .fd = SIDE_PROCESS_FD, .events = POLLIN },
		{ .fd = -1, .events = POLLIN } };
	sigset_t mask;

	s.uid_taken = calloc(options->n_uids, sizeof(*s.uid_taken));
	if (options->n_uids != 0 && s.uid_taken == NULL)
		_exit(1);
	side_process_settle(own, "sp-spawner");
	/* The service's groups, the engine's above all, are not for workers. */
	if (lockdown_has_cap(CAP_SETGID) && setgroups(0, NULL) < 0)
		_exit(1);
	if (sigemptyset(&mask) < 0 || sigaddset(&mask, SIGCHLD) < 0)
		_exit(1);
	fds[1].fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fds[1].fd < 0)
		_exit(1);
	for (;;) {
		struct signalfd_siginfo info;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			_exit(1);
		while (read(fds[1].fd, &info, sizeof(info)) > 0)
			reap(&s);
		if (fds[0].revents != 0)
			serve_request(&s);
	}
}

static void
serve(int own, const void *options)
{
	spawner_serve(own, options);
}

int
spawner_start(const struct spawner_options *options, int *ret_fd, pid_t *ret_pid)
{
	return side_process_start(serve, options, ret_fd, ret_pid);
}

int
spawner_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	SP_CLEANUP_FD int fd = -1;
	size_t len = strlen(path);
	int r;

	if (len == 0 || len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	r = fd_set_nonblock(fd);
	if (r < 0)
		return r;
	*ret_fd = fd_steal(&fd);
	return 0;
}

static int
send_request(int fd, enum record kind, uint32_t token, const int *fds, unsigned n_fds)
{
	uint8_t buf[RECORD_MAX];
	struct wire_writer w;
	int r;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, (uint8_t)kind);
	wire_put_u32(&w, token);
	r = ipc_chan_send(fd, w.data, w.len, fds, n_fds, MSG_DONTWAIT);
	if (r == IPC_CHAN_E_AGAIN)
		return -EAGAIN;
	return r > 0 ? -EPIPE : r;
}

int
spawner_request(int fd, uint32_t token, int ipc_fd, int log_fd)
{
	int fds[2] = { ipc_fd, log_fd };

	return send_request(fd, RECORD_SPAWN, token, fds, 2);
}

int
spawner_raise(int fd, uint32_t token)
{
	return send_request(fd, RECORD_RAISE, token, NULL, 0);
}

int
spawner_open_audit(int fd)
{
	return send_request(fd, RECORD_OPEN_AUDIT, 0, NULL, 0);
}

static int
decode_event(const uint8_t *buf, size_t len, struct spawner_event *ret)
{
	struct wire_reader r;
	uint8_t kind;
	uint32_t value;

	wire_reader_init(&r, buf, len);
	kind = wire_get_u8(&r);
	ret->token = wire_get_u32(&r);
	value = wire_get_u32(&r);
	if (wire_finish(&r) != 0)
		return -EPROTO;
	switch (kind) {
	case RECORD_STARTED:
		ret->kind = SPAWNER_STARTED;
		ret->pid = (pid_t)value;
		return 0;
	case RECORD_FAILED:
		ret->kind = SPAWNER_FAILED;
		ret->error = (int)value;
		return 0;
	case RECORD_EXITED:
		ret->kind = SPAWNER_EXITED;
		ret->status = (int)value;
		return 0;
	case RECORD_AUDIT_OPENED:
		ret->kind = SPAWNER_AUDIT_OPENED;
		return 0;
	case RECORD_AUDIT_FAILED:
		ret->kind = SPAWNER_AUDIT_FAILED;
		ret->error = (int)value;
		return 0;
	default:
		return -EPROTO;
	}
}

int
spawner_next_event(int fd, struct spawner_event *ret)
{
	uint8_t buf[RECORD_MAX];
	unsigned n_fds = 0;
	int passed = -1;
	size_t len = 0;
	int r = ipc_chan_recv_fds(fd, buf, sizeof(buf), &len, &passed, 1, &n_fds, MSG_DONTWAIT);
	/* Our own table is full: the kernel has dropped the descriptor, the event is there. */
	bool dropped = r == IPC_CHAN_E_VIOLATION && len > 0;

	/* It is still there when memory is back. */
	if (r == IPC_CHAN_E_AGAIN || r == -ENOMEM || r == -ENOBUFS)
		return SPAWNER_E_AGAIN;
	if (r != 0 && !dropped)
		return r < 0 ? r : SPAWNER_E_END;
	memset(ret, 0, sizeof(*ret));
	r = decode_event(buf, len, ret);
	if (r == 0 &&
	    (ret->kind == SPAWNER_STARTED || ret->kind == SPAWNER_AUDIT_OPENED) !=
		(n_fds == 1 || dropped))
		r = -EPROTO;
	if (r == 0 && dropped && ret->kind == SPAWNER_AUDIT_OPENED) {
		ret->kind = SPAWNER_AUDIT_FAILED;
		ret->error = EMFILE;
	}
	if (r < 0)
		fd_close(&passed);
	ret->fd = passed;
	return r;
}
