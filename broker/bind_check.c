/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that looks at directories of the host, and the broker's side of it. Only the broker writes to that
 * process; hostile is what bind_source.c says. It has no secret, no other descriptor, and can do nothing but look.
 */
#include "bind_check.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bind_source.h"
#include "clock.h"
#include "config.h"
#include "fd.h"
#include "ipc_chan.h"
#include "log.h"
#include "policy.h"
#include "sandbox.h"
#include "side_process.h"
#include "wire.h"

#define WHY_MAX      (PATH_MAX + 128)
#define QUESTION_MAX (2 * (4 + PATH_MAX))
#define ANSWER_MAX   (4 + 4 + WHY_MAX)

/*
 * So many children hang, each for so long: another one is not tried. Of one directory few, as who has it may make it
 * hang; below one root more than its users log in with at a time, as that may be all of a server's.
 */
#define HANGING_MS        1000
#define HANGING_DIRECTORY 2
#define HANGING_ROOT      128

#define NOT_LOOKED_AT "it could not be looked at"

/* ---- the side process ---- */

/* In a child of its own. */
static void
answer(const struct config *config, const uint8_t *question, size_t len, int fd)
{
	char source[PATH_MAX], root[PATH_MAX], why[WHY_MAX] = "";
	uint8_t buf[ANSWER_MAX];
	struct policy_bind bind = { .source = source, .root = root };
	struct wire_reader r;
	struct wire_writer w;
	int outcome;

	wire_reader_init(&r, question, len);
	wire_get_cstr(&r, source, sizeof(source));
	wire_get_cstr(&r, root, sizeof(root));
	if (wire_finish(&r) != 0)
		return;
	outcome = bind_source_check(config, &bind, why, sizeof(why));
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u32(&w, (uint32_t)outcome);
	wire_put_cstr(&w, why);
	/* Who has not waited for it is not there. */
	if (w.failed || ipc_chan_send(fd, w.data, w.len, NULL, 0, MSG_DONTWAIT) != 0)
		_exit(1);
}

static void
serve_one(const struct config *config, pid_t own)
{
	static uint8_t question[QUESTION_MAX];
	SP_CLEANUP_FD int fd = -1;
	unsigned n_fds = 0;
	size_t len = 0;

	/* Each child that still hangs dies with this process. */
	if (ipc_chan_recv_fds(SIDE_PROCESS_FD, question, sizeof(question), &len, &fd, 1, &n_fds,
		0) != 0)
		_exit(0);
	/* Where it fails the broker sees that its end is closed. */
	if (n_fds != 1 || fork() != 0)
		return;
	(void)close(SIDE_PROCESS_FD);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == own)
		answer(config, question, len, fd);
	_exit(0);
}

static void
serve(int own, const void *arg)
{
	const struct config *config = arg;
	pid_t pid = getpid();
	int r;

	side_process_settle(own, "sp-binds");
	/* Nobody asks how the children ended. */
	if (signal(SIGCHLD, SIG_IGN) == SIG_ERR)
		_exit(1);
	r = sandbox_bind_checker();
	if (r < 0 && config->worker.sandbox_required) {
		log_error("cannot lock down the process that looks at the host's directories: %s",
		    strerror(-r));
		_exit(1);
	}
	for (;;)
		serve_one(config, pid);
}

int
bind_checker_start(const struct config *config, int *ret_fd, pid_t *ret_pid)
{
	return side_process_start(serve, config, ret_fd, ret_pid);
}

/* ---- the broker's side ---- */

/*
 * One question. It waits for its turn while the side process has more to read than its socket holds; then it is there
 * until its child has answered, also when nobody waits for it any more.
 */
struct bind_check {
	TAILQ_ENTRY(bind_check) link;
	struct bind_checker *checker;
	bool in_turn; /* it waits for its turn */
	char *source;
	char *root;
	int fd;               /* to the child; -1: none was asked */
	int64_t since;        /* it was asked, ms of clock_now_ms() */
	struct event *answer; /* of the child */
	struct event *late;   /* it takes too long, from the question on */
	bind_check_fn *done;  /* NULL: nobody waits */
	void *arg;
};

TAILQ_HEAD(bind_checks, bind_check);

struct bind_checker {
	struct event_base *base;
	int fd;
	struct event *event; /* its end */
	struct event *room;  /* for the next question; only while one waits for its turn */
	uint32_t timeout_ms;
	void (*gone)(void *arg);
	void *arg;
	struct bind_checks asked;
	struct bind_checks turns; /* the oldest one first */
};

static struct bind_checks *
list_of(struct bind_check *check)
{
	return check->in_turn ? &check->checker->turns : &check->checker->asked;
}

static void
check_free(struct bind_check *check)
{
	TAILQ_REMOVE(list_of(check), check, link);
	if (check->answer != NULL)
		event_free(check->answer);
	if (check->late != NULL)
		event_free(check->late);
	fd_close(&check->fd);
	free(check->source);
	free(check->root);
	free(check);
}

static void
conclude(struct bind_check *check, int outcome, const char *why)
{
	bind_check_fn *done = check->done;

	check->done = NULL;
	if (done != NULL)
		done(check->arg, outcome, why);
}

static void
take_answer(struct bind_check *check)
{
	uint8_t buf[ANSWER_MAX];
	char why[WHY_MAX] = "";
	struct wire_reader r;
	size_t len = 0;
	int outcome = -EIO;

	if (ipc_chan_recv(check->fd, buf, sizeof(buf), &len, MSG_DONTWAIT) == 0) {
		wire_reader_init(&r, buf, len);
		outcome = (int)wire_get_u32(&r);
		wire_get_cstr(&r, why, sizeof(why));
		if (wire_finish(&r) != 0)
			outcome = -EPROTO;
	}
	if (why[0] == '\0')
		(void)snprintf(why, sizeof(why), NOT_LOOKED_AT);
	conclude(check, outcome, why);
}

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct bind_check *check = arg;

	(void)fd;
	(void)what;
	take_answer(check);
	check_free(check);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct bind_check *check = arg;

	(void)fd;
	(void)what;
	conclude(check, BIND_CHECK_E_HANGS,
	    check->in_turn ? "its turn to be looked at did not come"
			   : "its file system does not answer");
	/* One that was asked hangs until it answers, and says so for others. */
	if (check->fd < 0)
		check_free(check);
}

static void
on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct bind_checker *checker = arg;

	(void)fd;
	(void)what;
	(void)event_del(checker->event);
	checker->gone(checker->arg);
}

/* 0; IPC_CHAN_E_AGAIN: the side process has more to read than there is room for; or -errno. */
static int
ask(struct bind_check *check)
{
	SP_CLEANUP_FD int ours = -1;
	SP_CLEANUP_FD int theirs = -1;
	uint8_t buf[QUESTION_MAX];
	struct wire_writer w;
	int pair[2];
	int r;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_cstr(&w, check->source);
	wire_put_cstr(&w, check->root);
	if (w.failed)
		return -ENAMETOOLONG;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	r = ipc_chan_send(check->checker->fd, w.data, w.len, &theirs, 1, MSG_DONTWAIT);
	if (r != 0)
		return r == IPC_CHAN_E_END ? -EPIPE : r;
	check->fd = fd_steal(&ours);
	check->since = clock_now_ms();
	check->answer = event_new(check->checker->base, check->fd, EV_READ, on_answer, check);
	return check->answer == NULL || event_add(check->answer, NULL) < 0 ? -ENOMEM : 0;
}

static void
put(struct bind_check *check, bool in_turn)
{
	TAILQ_REMOVE(list_of(check), check, link);
	check->in_turn = in_turn;
	TAILQ_INSERT_TAIL(list_of(check), check, link);
}

static void
on_room(evutil_socket_t fd, short what, void *arg)
{
	struct bind_checker *checker = arg;
	struct bind_check *check;

	(void)fd;
	(void)what;
	while ((check = TAILQ_FIRST(&checker->turns)) != NULL) {
		int r = ask(check);

		if (r == IPC_CHAN_E_AGAIN)
			return;
		put(check, false);
		if (r < 0) {
			conclude(check, r, NOT_LOOKED_AT);
			check_free(check);
		}
	}
	(void)event_del(checker->room);
}

int
bind_checker_new(struct event_base *base, int fd, uint32_t timeout_ms, void (*gone)(void *arg),
    void *arg, struct bind_checker **ret)
{
	struct bind_checker *checker = calloc(1, sizeof(*checker));

	if (checker == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	*checker = (struct bind_checker){ .base = base,
		.fd = fd,
		.timeout_ms = timeout_ms,
		.gone = gone,
		.arg = arg };
	TAILQ_INIT(&checker->asked);
	TAILQ_INIT(&checker->turns);
	checker->event = event_new(base, fd, EV_READ, on_gone, checker);
	checker->room = event_new(base, fd, EV_WRITE | EV_PERSIST, on_room, checker);
	if (checker->event == NULL || checker->room == NULL || event_add(checker->event, NULL) < 0) {
		bind_checker_free(checker);
		return -ENOMEM;
	}
	*ret = checker;
	return 0;
}

void
bind_checker_free(struct bind_checker *checker)
{
	struct bind_check *check;

	if (checker == NULL)
		return;
	while ((check = TAILQ_FIRST(&checker->turns)) != NULL ||
	    (check = TAILQ_FIRST(&checker->asked)) != NULL)
		check_free(check);
	if (checker->event != NULL)
		event_free(checker->event);
	if (checker->room != NULL)
		event_free(checker->room);
	fd_close(&checker->fd);
	free(checker);
}

static bool
hangs(const struct bind_check *wanted)
{
	int64_t now = clock_now_ms();
	const struct bind_checker *checker = wanted->checker;
	const struct bind_check *check;
	unsigned n = 0;
	unsigned n_root = 0;

	TAILQ_FOREACH(check, &checker->asked, link)
	{
		if (check->fd < 0 || now - check->since < HANGING_MS)
			continue;
		n += strcmp(check->source, wanted->source) == 0;
		n_root += strcmp(check->root, wanted->root) == 0;
	}
	return n >= HANGING_DIRECTORY || n_root >= HANGING_ROOT;
}

static int
begin(struct bind_check *check)
{
	struct bind_checker *checker = check->checker;
	struct timeval patience = clock_timeval(checker->timeout_ms);
	int r = IPC_CHAN_E_AGAIN;

	check->late = event_new(checker->base, -1, 0, on_late, check);
	if (check->source == NULL || check->root == NULL || check->late == NULL ||
	    event_add(check->late, &patience) < 0)
		return -ENOMEM;
	if (hangs(check)) {
		/* From the loop, as any answer. */
		event_active(check->late, EV_TIMEOUT, 0);
		return 0;
	}
	if (TAILQ_EMPTY(&checker->turns))
		r = ask(check);
	if (r != IPC_CHAN_E_AGAIN)
		return r;
	put(check, true);
	return event_add(checker->room, NULL) < 0 ? -ENOMEM : 0;
}

int
bind_check(struct bind_checker *checker, const struct policy_bind *bind, bind_check_fn *done,
    void *arg, struct bind_check **ret)
{
	struct bind_check *check = calloc(1, sizeof(*check));
	int r;

	if (check == NULL)
		return -ENOMEM;
	*check = (struct bind_check){ .checker = checker, .fd = -1, .done = done, .arg = arg };
	check->source = strdup(bind->source);
	check->root = strdup(bind->root);
	TAILQ_INSERT_TAIL(&checker->asked, check, link);
	r = begin(check);
	if (r < 0)
		check_free(check);
	else
		*ret = check;
	return r;
}

void
bind_check_cancel(struct bind_check *check)
{
	if (check == NULL)
		return;
	check->done = NULL;
	if (check->in_turn)
		check_free(check);
}
