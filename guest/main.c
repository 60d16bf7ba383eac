/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-guest: the first process of every container. Connects to the broker's rendezvous socket,
 * starts the programs that it is ordered to, hands their terminals to the worker, reports how they
 * ended, reaps whatever the container leaves behind, and ends everything when the broker lets go.
 *
 * It lives among processes of the same user, any of which may be hostile, so nobody trusts it: the
 * broker never reads from it, the worker checks each byte. It opens nothing of the image but /proc
 * and /dev/ptmx, needs no library, no shell and no user database.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "guest_msg.h"
#include "ipc_chan.h"
#include "program.h"

#define PROGRAMS_MAX     256
#define CONNECT_TRIES    500 /* of 20 ms: the broker has ten seconds too */
#define DEFAULT_GRACE_MS 10000

struct guest {
	int order_fd;
	int signal_fd;
	bool ending;
	int64_t end_at;    /* SIGKILL for everything that is left */
	uint32_t grace_ms; /* the longest of the orders' */
	struct program programs[PROGRAMS_MAX];
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
connect_to_broker(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		return -1;
	strcpy(addr.sun_path, path);
	for (int i = 0; i < CONNECT_TRIES; i++) {
		if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
			return fd;
		(void)nanosleep(&pause, NULL);
	}
	(void)close(fd);
	return -1;
}

/* No more orders: everybody is asked to go, then made to. */
static void
begin_to_end(struct guest *g)
{
	if (g->ending)
		return;
	g->ending = true;
	g->end_at = now_ms() + (int64_t)g->grace_ms;
	fd_close(&g->order_fd);
	(void)kill(-1, SIGHUP);
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGCONT);
}

static void
refuse_order(int *fds, unsigned n_fds, int error)
{
	struct guest_ctl m = { .id = GUEST_CTL_FAILED };
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	m.failed.stage = GUEST_FAIL_ORDER;
	m.failed.error = (uint32_t)error;
	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, &m);
	if (n_fds > 0 && ipc_chan_send_plain(fds[0], w.data, w.len, MSG_DONTWAIT) != 0)
		errno = error; /* nobody listens; nothing else to do */
	fd_close_all(fds, n_fds);
}

static void
on_order(struct guest *g)
{
	static uint8_t record[GUEST_ORDER_MAX];
	static struct guest_spawn order;
	int fds[IPC_CHAN_FDS_MAX];
	struct program *slot = NULL;
	struct wire_reader r;
	unsigned n_fds = 0;
	size_t len;
	int result = ipc_chan_recv_fds(g->order_fd, record, sizeof(record), &len, fds,
	    IPC_CHAN_FDS_MAX, &n_fds, MSG_DONTWAIT);

	if (result == IPC_CHAN_E_AGAIN)
		return;
	if (result != 0) {
		begin_to_end(g);
		return;
	}
	for (int i = 0; i < PROGRAMS_MAX && slot == NULL; i++) {
		if (!g->programs[i].used)
			slot = &g->programs[i];
	}
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

/* Also whatever lost its parent: that is what PID 1 is for. */
static void
reap(struct guest *g)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < PROGRAMS_MAX; i++) {
			if (g->programs[i].used && g->programs[i].pid == pid)
				program_reaped(&g->programs[i], status);
		}
	}
	/* ECHILD: the container is empty. */
	if (pid < 0 && errno == ECHILD && g->ending)
		_exit(0);
}

static void
on_signal(struct guest *g)
{
	struct signalfd_siginfo info;

	while (read(g->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP || info.ssi_signo == SIGINT)
			begin_to_end(g);
	}
}

/* Milliseconds until the next deadline, -1: none. */
static int
next_timeout(const struct guest *g, int64_t now)
{
	int64_t next = g->ending ? g->end_at : 0;

	for (int i = 0; i < PROGRAMS_MAX; i++) {
		int64_t at = g->programs[i].used ? g->programs[i].kill_at : 0;

		if (at != 0 && (next == 0 || at < next))
			next = at;
	}
	if (next == 0)
		return -1;
	return next <= now ? 0 : (int)(next - now);
}

static void
on_deadlines(struct guest *g)
{
	int64_t now = now_ms();

	if (g->ending && now >= g->end_at) {
		(void)kill(-1, SIGKILL);
		_exit(0); /* the rest of the container's processes go with their first one */
	}
	for (int i = 0; i < PROGRAMS_MAX; i++) {
		struct program *p = &g->programs[i];

		if (p->used && p->kill_at != 0 && now >= p->kill_at)
			program_kill(p);
		program_tidy(p);
	}
}

static void
serve(struct guest *g)
{
	static struct pollfd fds[2 + 2 * PROGRAMS_MAX];

	for (;;) {
		nfds_t n = 2 + 2 * PROGRAMS_MAX;

		fds[0] = (struct pollfd){ .fd = g->signal_fd, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = g->order_fd, .events = POLLIN };
		for (int i = 0; i < PROGRAMS_MAX; i++) {
			const struct program *p = &g->programs[i];

			fds[2 + 2 * i] =
			    (struct pollfd){ .fd = p->used ? p->result : -1, .events = POLLIN };
			fds[3 + 2 * i] =
			    (struct pollfd){ .fd = p->used ? p->ctl : -1, .events = POLLIN };
		}
		if (poll(fds, n, next_timeout(g, now_ms())) < 0 && errno != EINTR)
			_exit(1);
		for (int i = 0; i < PROGRAMS_MAX; i++) {
			if (fds[2 + 2 * i].revents != 0)
				program_exec_known(&g->programs[i]);
			if (fds[3 + 2 * i].revents != 0 && g->programs[i].ctl >= 0)
				program_ctl_readable(&g->programs[i], now_ms());
		}
		if (fds[0].revents != 0)
			on_signal(g);
		if (fds[1].revents != 0 && g->order_fd >= 0)
			on_order(g);
		reap(g);
		on_deadlines(g);
	}
}

static int
take_signals(void)
{
	static const int taken[] = { SIGCHLD, SIGTERM, SIGHUP, SIGINT };
	sigset_t mask;

	(void)sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		(void)sigaddset(&mask, taken[i]);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0)
		return -1;
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
main(int argc, char **argv)
{
	static struct guest g = { .grace_ms = DEFAULT_GRACE_MS };
	const char *path = GUEST_SOCKET;

#ifdef GUEST_TEST
	/* The test makes the pid namespace and says where it listens. */
	if (argc == 2)
		path = argv[1];
	argc = 1;
#else
	(void)argv;
#endif
	if (getpid() != 1 || argc != 1) {
		fprintf(stderr,
		    "sallyport-guest is the first process of sallyport's containers; it is "
		    "started by the container engine, not by hand\n");
		return 2;
	}
	/* Programs of the same user shall not read or steer this process's memory. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	g.signal_fd = take_signals();
	g.order_fd = connect_to_broker(path);
	if (g.signal_fd < 0 || g.order_fd < 0)
		return 1;
	serve(&g);
}
