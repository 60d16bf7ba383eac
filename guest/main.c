/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-guest: the first process of every container. Connects to the broker's rendezvous socket,
 * starts the programs that it is ordered to, hands their terminals to the worker, reports how they
 * ended, reaps whatever the container leaves behind, and ends everything when the broker lets go.
 *
 * Where no descriptor can be passed into a container its first process only waits (hold.h), and for each
 * channel the engine starts another one (stream.h).
 *
 * It lives among processes of the same user, any of which may be hostile, so nobody trusts it: the
 * broker never reads from it, the worker checks each byte. It opens nothing of the image but /proc
 * and /dev, needs no library, no shell and no user database, and allocates nothing but a directory
 * handle. What names stand for is read and asked by processes of their own (lookup.h).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attempt.h"
#include "clock.h"
#include "ctl.h"
#include "ending.h"
#include "fd.h"
#include "guest_msg.h"
#include "hold.h"
#include "ipc_chan.h"
#include "listener.h"
#include "program.h"
#include "rendezvous.h"
#include "startup.h"
#include "stream.h"
#include "stream_msg.h"

#define PROGRAMS_MAX     256
#define ATTEMPTS_MAX     64
#define LISTENERS_MAX    64
#define CONNECT_TRIES    500 /* the broker waits for ten seconds too */
#define CONNECT_PAUSE_MS 20
#define TIMEOUT_MAX_MS   60000

/*
 * What poll() waits for: open descriptors only, because it refuses more entries than the container's
 * limit of descriptors, which may be low.
 */
enum poll_slot {
	POLL_SIGNAL,
	POLL_ORDER,
	POLL_PROGRAMS,
};
#define POLL_MAX                                               \
	(POLL_PROGRAMS + 2 * PROGRAMS_MAX + 2 * ATTEMPTS_MAX + \
	    (1 + GUEST_ADDRESSES_MAX) * LISTENERS_MAX)

/* Whose a descriptor is: one of them, or nobody's. */
struct poll_owner {
	struct program *program;
	struct attempt *attempt;
	struct listener *listener;
};

struct poll_set {
	struct pollfd fds[POLL_MAX];
	struct poll_owner owners[POLL_MAX]; /* from POLL_PROGRAMS on */
	nfds_t n;
};

struct guest {
	int order_fd;
	int signal_fd;
	struct rendezvous rendezvous;
	bool ending;
	int told_fd; /* 0, or: at its end it rests, as a broker chooses when, and says here that nobody is left */
	bool childless;
	int64_t end_at; /* SIGKILL for everything that is left */
	uint32_t grace_ms; /* the longest of the orders': before the first there is nothing to wait for */
	struct program programs[PROGRAMS_MAX];
	struct attempt attempts[ATTEMPTS_MAX];
	struct listener listeners[LISTENERS_MAX];
};

/* ---- start-up ---- */

/* The socket is there before the container is; the tries are for an engine that mounts late. */
static int
connect_to_broker(int signal_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = GUEST_SOCKET };
	struct timeval limit = { .tv_sec = CONNECT_TRIES * CONNECT_PAUSE_MS / 1000 };
	struct pollfd wait = { .fd = signal_fd, .events = POLLIN };
	SP_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -1;
	for (int i = 0; i < CONNECT_TRIES; i++) {
		if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
			return fd_steal(&fd);
		if (poll(&wait, 1, CONNECT_PAUSE_MS) > 0 && startup_read_signals(signal_fd))
			return -1;
	}
	return -1;
}

/* ---- orders ---- */

/* No more orders: everybody is asked to go, then made to. */
static void
begin_to_end(struct guest *g)
{
	if (g->ending)
		return;
	g->ending = true;
	g->end_at = clock_now_ms() + (int64_t)g->grace_ms;
	fd_close(&g->order_fd);
	ending_ask();
}

static void
refuse_order(int *fds, unsigned n_fds, int error)
{
	if (n_fds > 0)
		ctl_send_failed(fds[0], GUEST_FAIL_ORDER, error);
	fd_close_all(fds, n_fds);
}

static struct program *
free_slot(struct guest *g)
{
	for (int i = 0; i < PROGRAMS_MAX; i++) {
		if (!g->programs[i].used)
			return &g->programs[i];
	}
	return NULL;
}

static void
carry_out_connect(struct guest *g, const uint8_t *record, size_t len, int *fds, unsigned n_fds)
{
	struct guest_connect order;
	struct wire_reader r;

	wire_reader_init(&r, record, len);
	if (guest_get_connect(&r, &order) != 0 || n_fds != 1) {
		refuse_order(fds, n_fds, EPROTO);
		return;
	}
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		if (!g->attempts[i].used) {
			attempt_start(&g->attempts[i], &order, &fds[0], clock_now_ms());
			return;
		}
	}
	refuse_order(fds, n_fds, EAGAIN);
}

static void
carry_out_listen(struct guest *g, const uint8_t *record, size_t len, int *fds, unsigned n_fds)
{
	struct guest_listen order;
	struct wire_reader r;

	wire_reader_init(&r, record, len);
	if (guest_get_listen(&r, &order) != 0 || n_fds != 1) {
		refuse_order(fds, n_fds, EPROTO);
		return;
	}
	for (int i = 0; i < LISTENERS_MAX; i++) {
		if (!g->listeners[i].used) {
			listener_start(&g->listeners[i], &order, &fds[0]);
			return;
		}
	}
	refuse_order(fds, n_fds, EAGAIN);
}

static void
carry_out_spawn(struct guest *g, const uint8_t *record, size_t len, int *fds, unsigned n_fds)
{
	static struct guest_spawn order;
	struct program *slot = free_slot(g);
	struct wire_reader r;

	wire_reader_init(&r, record, len);
	if (guest_get_spawn(&r, &order) != 0 || n_fds != (order.want_pty ? 1U : 4U)) {
		refuse_order(fds, n_fds, EPROTO);
		return;
	}
	if (slot == NULL) {
		refuse_order(fds, n_fds, EAGAIN);
		return;
	}
	if (order.hangup_grace_ms > g->grace_ms)
		g->grace_ms = order.hangup_grace_ms;
	program_start(slot, &order, fds, n_fds);
}

static void
carry_out_end(struct guest *g, const uint8_t *record, size_t len, int *fds, unsigned n_fds)
{
	struct wire_reader r;

	wire_reader_init(&r, record, len);
	if (guest_get_end(&r) != 0 || n_fds > 1) {
		refuse_order(fds, n_fds, EPROTO);
		return;
	}
	/* Open until everything is let go of; never 0, which is open from the start. */
	if (n_fds == 1)
		g->told_fd = fds[0];
	begin_to_end(g);
}

static void
carry_out(struct guest *g, const uint8_t *record, size_t len, int *fds, unsigned n_fds)
{
	switch (record[0]) {
	case GUEST_CONNECT:
	case GUEST_CONNECT_NAME:
		carry_out_connect(g, record, len, fds, n_fds);
		break;
	case GUEST_END:
		carry_out_end(g, record, len, fds, n_fds);
		break;
	case GUEST_LISTEN:
		carry_out_listen(g, record, len, fds, n_fds);
		break;
	default:
		carry_out_spawn(g, record, len, fds, n_fds);
		break;
	}
}

/* Without a broker there is nobody to stay for; but in mode "user" another one may come. */
static void
lose_broker(struct guest *g)
{
	if (rendezvous_lost(&g->rendezvous, clock_now_ms()))
		fd_close(&g->order_fd);
	else
		begin_to_end(g);
}

static void
look_for_broker(struct guest *g)
{
	bool over;

	g->order_fd = rendezvous_look(&g->rendezvous, clock_now_ms(), &over);
	if (over)
		begin_to_end(g);
}

static void
on_order(struct guest *g)
{
	static uint8_t record[GUEST_ORDER_MAX];
	int fds[IPC_CHAN_FDS_MAX];
	unsigned n_fds = 0;
	size_t len;
	int result = ipc_chan_recv_fds(g->order_fd, record, sizeof(record), &len, fds,
	    IPC_CHAN_FDS_MAX, &n_fds, MSG_DONTWAIT);

	/*
	 * A violation costs that order only; the worker sees its ctl close. It also comes when this
	 * process has no descriptor left to receive with, which is no reason to end the other programs.
	 */
	if (result == IPC_CHAN_E_AGAIN || result == IPC_CHAN_E_VIOLATION)
		return;
	if (result != 0)
		lose_broker(g);
	else
		carry_out(g, record, len, fds, n_fds);
}

/* ---- the loop ---- */

/* Also whatever lost its parent: that is what process 1 is for. */
static void
reap(struct guest *g)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < PROGRAMS_MAX; i++) {
			struct program *p = &g->programs[i];

			if (p->used && p->pid == pid)
				program_reaped(p, status, clock_now_ms());
		}
		for (int i = 0; i < ATTEMPTS_MAX; i++)
			attempt_reaped(&g->attempts[i], pid);
	}
	g->childless = pid < 0 && errno == ECHILD;
}

static void
on_deadlines(struct guest *g)
{
	int64_t now = clock_now_ms();

	for (int i = 0; i < PROGRAMS_MAX; i++) {
		struct program *p = &g->programs[i];

		if (p->used && p->kill_at != 0 && now >= p->kill_at)
			program_kill(p, now);
		program_tidy(p);
	}
	for (int i = 0; i < ATTEMPTS_MAX; i++)
		attempt_tick(&g->attempts[i], now);
	for (int i = 0; i < LISTENERS_MAX; i++)
		listener_tick(&g->listeners[i], now);
	if (!g->ending || (!g->childless && now < g->end_at))
		return;
	if (g->told_fd > 0)
		ending_rest(g->signal_fd, g->told_fd);
	ending_finish();
}

/* The earlier one of two deadlines; 0: none. */
static int64_t
earlier(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Milliseconds until the next deadline, -1: none. */
static int
next_timeout(const struct guest *g)
{
	int64_t now = clock_now_ms();
	int64_t next = g->ending ? g->end_at : g->order_fd < 0 ? now + RENDEZVOUS_PAUSE_MS : 0;

	for (int i = 0; i < PROGRAMS_MAX; i++) {
		if (g->programs[i].used)
			next = earlier(next, g->programs[i].kill_at);
	}
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		if (g->attempts[i].used)
			next = earlier(next, g->attempts[i].give_up_at);
	}
	for (int i = 0; i < LISTENERS_MAX; i++) {
		if (g->listeners[i].used)
			next = earlier(next, g->listeners[i].rest_until);
	}
	if (next == 0)
		return -1;
	if (next <= now)
		return 0;
	return next - now > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : (int)(next - now);
}

static void
add_poll(struct poll_set *set, int fd, short events, struct poll_owner owner)
{
	set->fds[set->n] = (struct pollfd){ .fd = fd, .events = events };
	set->owners[set->n] = owner;
	set->n++;
}

static void
fill_poll(struct guest *g, struct poll_set *set)
{
	static const struct poll_owner nobody;

	set->n = 0;
	add_poll(set, g->signal_fd, POLLIN, nobody);
	add_poll(set, g->order_fd, POLLIN, nobody); /* -1 once it is closed: skipped */
	for (int i = 0; i < PROGRAMS_MAX; i++) {
		struct program *p = &g->programs[i];
		struct poll_owner owner = { .program = p };

		if (p->used && p->result >= 0)
			add_poll(set, p->result, POLLIN, owner);
		if (p->used && p->ctl >= 0)
			add_poll(set, p->ctl, program_ctl_events(p), owner);
	}
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		struct attempt *a = &g->attempts[i];
		struct poll_owner owner = { .attempt = a };

		if (a->used) {
			add_poll(set, attempt_fd(a), attempt_events(a), owner);
			add_poll(set, a->ctl, POLLIN, owner);
		}
	}
	for (int i = 0; i < LISTENERS_MAX; i++) {
		struct listener *l = &g->listeners[i];
		struct poll_owner owner = { .listener = l };

		if (l->used)
			add_poll(set, l->ctl, POLLIN, owner);
		for (unsigned n = 0; l->used && listener_wants(l) && n < l->n; n++)
			add_poll(set, l->fds[n], POLLIN, owner);
	}
}

/*
 * A descriptor that was closed meanwhile is its owner's no more, and no new one begins in here: a slot
 * that has become free has its next owner only after the next order.
 */
static void
wake_one(const struct poll_owner *owner, int fd)
{
	struct program *p = owner->program;
	struct attempt *a = owner->attempt;
	struct listener *l = owner->listener;

	if (p != NULL && fd == p->result)
		program_exec_known(p, clock_now_ms());
	else if (p != NULL && fd == p->ctl)
		program_ctl_ready(p, clock_now_ms());
	else if (a != NULL && a->used && fd == attempt_fd(a))
		attempt_ready(a);
	else if (a != NULL && a->used && fd == a->ctl)
		attempt_drop(a);
	else if (l != NULL && l->used && fd == l->ctl)
		listener_hear(l);
	else if (l != NULL && l->used && listener_wants(l))
		listener_accept(l, fd, clock_now_ms());
}

static void
wake(const struct poll_set *set)
{
	for (nfds_t i = POLL_PROGRAMS; i < set->n; i++) {
		if (set->fds[i].revents != 0)
			wake_one(&set->owners[i], set->fds[i].fd);
	}
}

static _Noreturn void
serve(struct guest *g)
{
	static struct poll_set set;

	for (;;) {
		fill_poll(g, &set);
		if (poll(set.fds, set.n, next_timeout(g)) < 0) {
			if (errno != EINTR && errno != EAGAIN && errno != ENOMEM)
				_exit(1);
			continue;
		}
		wake(&set);
		if (set.fds[POLL_SIGNAL].revents != 0 && startup_read_signals(g->signal_fd))
			begin_to_end(g);
		if (set.fds[POLL_ORDER].revents != 0 && g->order_fd >= 0)
			on_order(g);
		if (g->order_fd < 0 && !g->ending)
			look_for_broker(g);
		reap(g);
		on_deadlines(g);
	}
}

static int
run_first(int argc, char **argv)
{
	static struct guest g;

	if (argc == 3 && strcmp(argv[1], GUEST_HOLD_OPTION) == 0) {
		hold_run(argv[2]);
		return 1;
	}
	g.signal_fd = startup_take_signals();
	if (g.signal_fd < 0 || !rendezvous_parse(&g.rendezvous, argc, argv))
		return 1;
	g.order_fd = connect_to_broker(g.signal_fd);
	if (g.order_fd < 0)
		return 1;
	serve(&g);
}

int
main(int argc, char **argv)
{
	bool is_first = getpid() == 1;

	if (!is_first && (argc < 2 || strcmp(argv[1], GUEST_STREAM_OPTION) != 0)) {
		(void)fprintf(stderr,
		    "sallyport-guest " SP_VERSION
		    " is the first process of sallyport's containers: the broker has the "
		    "container engine start it. There is nothing to start by hand.\n");
		return 2;
	}
	/* Programs of the same user shall not read or steer this process's memory. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (startup_clean_fds() < 0)
		return 1;
	return is_first ? run_first(argc, argv) : stream_run((unsigned)argc - 2, argv + 2);
}
