/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests only: a process 1 that takes the guest's place and misbehaves. What it does is chosen by the
 * first word of the command that it is ordered to run (the last argument of the order, as in
 * "sh -c COMMAND"), the second word says in which way:
 *
 *   lie        exited (EXITED first), twice (STARTED twice), id, short, long, trailing, empty,
 *              signal (the worker's own message), stage, code, bool, failed (after STARTED),
 *              after (EXITED, then more)
 *   flood      STARTED, then EXITED and STARTED as fast as the worker reads
 *   wrongfds   none, two, three, file, socket, directory, epoll, pipe, slave
 *   silent     takes the order, never answers
 *   hold       STARTED, keeps every stream open, ignores everything
 *   die        process 1 ends at once
 *   order-flood  writes to the broker's order socket, then as silent
 *
 * A connection that it is ordered to make has no command: its port says what happens, see
 * connect_wrongly(); and so with a place to listen at, see listen_wrongly(). With a display the name of the way to
 * authenticate, which is the client's, is the port that it says to listen at.
 *
 * Where nothing is said about descriptors and a terminal was asked for, STARTED carries a good one,
 * so that only the one lie is a lie. Anything else fails as the guest would: EXEC, ENOENT.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "guest_msg.h"
#include "ipc_chan.h"

#define CONNECT_TRIES    500
#define CONNECT_PAUSE_NS 20000000
#define ORDER_FLOOD      10000
#define WORD_MAX         32

struct target {
	int order;
	int fds[IPC_CHAN_FDS_MAX];
	unsigned n_fds;
	bool pty;
	char word[WORD_MAX]; /* of the command */
	char kind[WORD_MAX]; /* second word */
};

/* ---- saying things ---- */

static int
say_raw(const struct target *t, const void *data, size_t len, const int *fds, unsigned n_fds)
{
	return ipc_chan_send(t->fds[0], data, len, fds, n_fds, 0);
}

static int
say(const struct target *t, const struct guest_ctl *m, const int *fds, unsigned n_fds)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, m);
	return say_raw(t, buf, w.len, fds, n_fds);
}

static int
open_master(int *ret_slave)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlock = 0;
	int number;
	char name[32];

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
	    ioctl(master, TIOCGPTN, &number) < 0)
		return -1;
	(void)snprintf(name, sizeof(name), "/dev/pts/%d", number);
	*ret_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC); /* open: no end of file on the master */
	return master;
}

static void
say_started(const struct target *t)
{
	static const struct guest_ctl started = { .id = GUEST_CTL_STARTED };
	int slave = -1;
	int master = t->pty ? open_master(&slave) : -1;

	(void)say(t, &started, &master, master >= 0 ? 1 : 0);
	fd_close(&master); /* the slave stays: a terminal that never ends */
}

/* ---- lies ---- */

static const struct {
	const char *kind;
	bool started; /* say STARTED before */
	size_t len;
	const char *data;
} lies[] = {
	{ "exited", false, 7, "\3\0\0\0\0\0\0" },
	{ "id", true, 1, "\143" },
	{ "short", true, 3, "\3\0\0" },
	{ "trailing", true, 8, "\3\0\0\0\0\0\0\0" },
	{ "empty", true, 0, "" },
	{ "signal", true, 5, "\4\0\0\0\17" },
	{ "stage", false, 9, "\2\0\0\0\11\0\0\0\2" },
	{ "code", true, 7, "\3\0\0\0\1\0\0" },
	{ "failed", true, 9, "\2\0\0\0\5\0\0\0\2" },
	{ "bool", true, 7, "\3\2\0\0\0\0\0" },
};

static void
lie(const struct target *t)
{
	static const char large[GUEST_CTL_MAX + 1] = { GUEST_CTL_EXITED };
	static const struct guest_ctl exited = { .id = GUEST_CTL_EXITED };

	for (size_t i = 0; i < SP_ARRAY_LEN(lies); i++) {
		if (strcmp(t->kind, lies[i].kind) != 0)
			continue;
		if (lies[i].started)
			say_started(t);
		if (lies[i].len > 0)
			(void)say_raw(t, lies[i].data, lies[i].len, NULL, 0);
		else
			(void)send(t->fds[0], "", 0, MSG_NOSIGNAL);
		return;
	}
	say_started(t);
	if (strcmp(t->kind, "long") == 0) {
		(void)say_raw(t, large, sizeof(large), NULL, 0);
	} else if (strcmp(t->kind, "after") == 0) {
		for (int i = 0; i < 3; i++)
			(void)say(t, &exited, NULL, 0);
		say_started(t);
	} else {
		say_started(t);
	}
}

/* Ends only when the worker closes its side. */
static void
flood(const struct target *t)
{
	static const struct guest_ctl said[] = { { .id = GUEST_CTL_EXITED },
		{ .id = GUEST_CTL_STARTED } };

	say_started(t);
	for (unsigned i = 0; say(t, &said[i % 2], NULL, 0) == 0; i++)
		continue;
}

/* ---- descriptors ---- */

/* Something that is no terminal multiplexer. */
static int
open_other(const char *kind)
{
	int pair[2];

	if (strcmp(kind, "file") == 0)
		return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (strcmp(kind, "directory") == 0)
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (strcmp(kind, "epoll") == 0)
		return epoll_create1(EPOLL_CLOEXEC);
	if (strcmp(kind, "socket") == 0)
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -1 : pair[0];
	if (strcmp(kind, "pipe") == 0)
		return pipe2(pair, O_CLOEXEC) < 0 ? -1 : pair[0];
	if (strcmp(kind, "slave") == 0)
		return open_master(&pair[0]) < 0 ? -1 : pair[0];
	return -1;
}

static void
wrong_fds(const struct target *t)
{
	static const struct guest_ctl started = { .id = GUEST_CTL_STARTED };
	unsigned n = 1;
	int fds[3];
	int slave;

	if (strcmp(t->kind, "none") == 0)
		n = 0;
	else if (strcmp(t->kind, "two") == 0)
		n = 2;
	else if (strcmp(t->kind, "three") == 0)
		n = 3;
	for (unsigned i = 0; i < 3; i++)
		fds[i] = n == 1 ? open_other(t->kind) : open_master(&slave);
	(void)say(t, &started, fds, n);
}

/* ---- connections ---- */

static int
open_socket(int family, int type, bool listening)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (listening && listen(fd, 1) < 0)
		return -1;
	return fd;
}

/* What CONNECTED carries, n times. */
static void
say_connected(const struct target *t, int fd, unsigned n)
{
	struct guest_ctl connected = { .id = GUEST_CTL_CONNECTED };

	(void)say(t, &connected, (int[]){ fd, fd, fd, fd }, n);
}

static void
connect_wrongly(const struct target *t, uint32_t port)
{
	struct guest_ctl failed = { .id = GUEST_CTL_FAILED,
		.failed = { GUEST_FAIL_CONNECT, UINT32_MAX } };
	struct guest_ctl exited = { .id = GUEST_CTL_EXITED };
	struct guest_ctl started = { .id = GUEST_CTL_STARTED };
	int slave;

	switch (port) {
	case 1: /* never an answer */
		return;
	case 2:
		say_connected(t, -1, 0);
		return;
	case 3:
		say_connected(t, open_socket(AF_INET, SOCK_STREAM, false), 1);
		return;
	case 4:
		say_connected(t, open_socket(AF_INET, SOCK_STREAM, false), 3);
		return;
	case 5:
		say_connected(t, open_other("file"), 2);
		return;
	case 6:
		say_connected(t, open_other("pipe"), 2);
		return;
	case 7:
		say_connected(t, open_other("epoll"), 2);
		return;
	case 8:
		say_connected(t, open_other("directory"), 2);
		return;
	case 9:
		say_connected(t, open_master(&slave), 2);
		return;
	case 10:
		say_connected(t, open_socket(AF_UNIX, SOCK_STREAM, false), 2);
		return;
	case 11:
		say_connected(t, open_socket(AF_INET, SOCK_DGRAM, false), 2);
		return;
	case 12:
		say_connected(t, open_socket(AF_NETLINK, SOCK_RAW, false), 2);
		return;
	case 13:
		(void)say(t, &exited, NULL, 0);
		return;
	case 14:
		(void)say(t, &started, NULL, 0);
		return;
	case 15:
		(void)say(t, &failed, NULL, 0);
		return;
	case 16:
		(void)say_raw(t, "\5x", 2, NULL, 0);
		return;
	case 17: /* TCP, but connected to nobody */
		say_connected(t, open_socket(AF_INET, SOCK_STREAM, false), 2);
		return;
	case 18:
		say_connected(t, open_socket(AF_INET6, SOCK_STREAM, true), 2);
		return;
	default: /* good, then more than there is to say */
		say_connected(t, open_socket(AF_INET, SOCK_STREAM, true), 2);
		for (int i = 0; i < ORDER_FLOOD; i++)
			(void)say(t, &started, NULL, 0);
		return;
	}
}

/* ---- listeners ---- */

static void
say_accepted(const struct target *t, bool tcp, int fd, unsigned n)
{
	struct guest_ctl accepted = { .id = GUEST_CTL_ACCEPTED, .accepted = { .tcp = tcp } };

	(void)say(t, &accepted, (int[]){ fd, fd }, n);
}

static void
listen_wrongly(const struct target *t, uint32_t port)
{
	struct guest_ctl listening = { .id = GUEST_CTL_LISTENING, .listening = { port } };
	struct guest_ctl exited = { .id = GUEST_CTL_EXITED };
	struct guest_ctl taken = { .id = GUEST_CTL_TAKEN };
	int socket_fd = open_socket(AF_INET, SOCK_STREAM, false);
	int file = open_other("file");

	switch (port) {
	case 1: /* never an answer */
		return;
	case 2:
		listening.listening.port = 3;
		(void)say(t, &listening, NULL, 0);
		return;
	case 3:
		listening.listening.port = 0;
		(void)say(t, &listening, NULL, 0);
		return;
	case 4:
		say_accepted(t, true, open_socket(AF_INET, SOCK_STREAM, true), 2);
		return;
	case 5:
		(void)say(t, &listening, &file, 1);
		return;
	case 6:
		(void)say(t, &exited, NULL, 0);
		return;
	case 7:
		(void)say(t, &taken, NULL, 0);
		return;
	default:
		break;
	}
	(void)say(t, &listening, NULL, 0);
	switch (port) {
	case 11:
		(void)say(t, &listening, NULL, 0);
		return;
	case 12:
		say_accepted(t, true, file, 2);
		return;
	case 13:
		say_accepted(t, true, open_socket(AF_INET, SOCK_STREAM, true), 1);
		return;
	case 14:
		say_accepted(t, true, -1, 0);
		return;
	case 15:
		say_accepted(t, true, open_socket(AF_UNIX, SOCK_STREAM, false), 2);
		return;
	case 16:
		say_accepted(t, false, open_socket(AF_UNIX, SOCK_STREAM, false), 2);
		return;
	case 17:
		say_accepted(t, true, open_socket(AF_INET, SOCK_DGRAM, false), 2);
		return;
	case 18:
		(void)say_raw(t, "\7\1x", 3, NULL, 0);
		return;
	default: /* as many as it can, of sockets that are connected to nobody, whoever has taken them */
		for (;;)
			say_accepted(t, true, socket_fd, 2);
	}
}

/* Then somebody comes from where nobody listens. */
static void
show_wrongly(const struct target *t, uint32_t port)
{
	struct guest_ctl listening = { .id = GUEST_CTL_LISTENING, .listening = { port } };

	(void)say(t, &listening, NULL, 0);
	say_accepted(t, false, open_socket(AF_UNIX, SOCK_STREAM, false), 2);
}

/* ---- orders ---- */

static void
silent(const struct target *t)
{
	(void)t;
}

static void
order_flood(const struct target *t)
{
	static const char junk[1000] = { GUEST_SPAWN };

	for (int i = 0; i < ORDER_FLOOD; i++) {
		if (ipc_chan_send_plain(t->order, junk, sizeof(junk), MSG_DONTWAIT) != 0)
			return;
	}
}

static const struct {
	const char *word;
	void (*act)(const struct target *t);
} acts[] = {
	{ "lie", lie },
	{ "flood", flood },
	{ "wrongfds", wrong_fds },
	{ "silent", silent },
	{ "hold", say_started },
	{ "order-flood", order_flood },
};

static void
refuse(const struct target *t)
{
	struct guest_ctl m = { .id = GUEST_CTL_FAILED, .failed = { GUEST_FAIL_EXEC, ENOENT } };

	(void)say(t, &m, NULL, 0);
}

/* Nothing here ever ends by itself, and every descriptor stays open. */
static _Noreturn void
misbehave(const struct target *t, void (*act)(const struct target *t))
{
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	act(t);
	for (;;)
		(void)pause();
}

static void
carry_out(const struct target *t)
{
	/* The one thing that only process 1 itself can do. */
	if (strcmp(t->word, "die") == 0)
		_exit(0);
	for (size_t i = 0; i < SP_ARRAY_LEN(acts); i++) {
		if (strcmp(t->word, acts[i].word) != 0)
			continue;
		/* A child for each, so that one flood does not keep the others from theirs. */
		if (fork() == 0)
			misbehave(t, acts[i].act);
		return;
	}
	refuse(t);
}

static void
read_command(struct target *t, const struct guest_spawn *order)
{
	const struct wire_span *command = &order->argv[order->n_argv - 1];
	char text[2 * WORD_MAX] = "";

	t->pty = order->want_pty;
	if (command->len < sizeof(text))
		memcpy(text, command->data, command->len);
	(void)sscanf(text, "%31s %31s", t->word, t->kind);
}

static int
connect_to_broker(void)
{
	static const struct timespec pause_time = { 0, CONNECT_PAUSE_NS };
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = GUEST_SOCKET };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	for (int i = 0; i < CONNECT_TRIES; i++) {
		if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
			return fd;
		(void)nanosleep(&pause_time, NULL);
	}
	return -1;
}

/* In a child, by the port that the order names. */
static void
misbehave_at(const struct target *t, void (*act)(const struct target *t, uint32_t port), uint32_t port)
{
	if (t->n_fds == 0 || fork() != 0)
		return;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	act(t, port);
	for (;;)
		(void)pause();
}

static void
take_connect(struct target *t, const uint8_t *record, size_t len)
{
	struct guest_connect order;
	struct wire_reader r;

	wire_reader_init(&r, record, len);
	if (guest_get_connect(&r, &order) == 0)
		misbehave_at(t, connect_wrongly, order.port);
}

static uint32_t
number_of(struct wire_span text)
{
	uint32_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n = n * 10 + (uint32_t)(text.data[i] - '0');
	return n;
}

static void
take_listen(struct target *t, const uint8_t *record, size_t len)
{
	struct guest_listen order;
	struct wire_reader r;

	wire_reader_init(&r, record, len);
	if (guest_get_listen(&r, &order) != 0)
		return;
	if (order.kind == GUEST_LISTEN_X11)
		misbehave_at(t, show_wrongly, number_of(order.name));
	else
		misbehave_at(t, listen_wrongly, order.port);
}

int
main(void)
{
	static uint8_t record[GUEST_ORDER_MAX];
	static struct guest_spawn order;
	int order_fd;
	int result = 0;

	if (getpid() != 1)
		return 2;
	(void)signal(SIGCHLD, SIG_IGN);
	order_fd = connect_to_broker();
	while (result == 0 || result == IPC_CHAN_E_VIOLATION) {
		struct target t = { .order = order_fd };
		struct wire_reader r;
		size_t len;

		result = ipc_chan_recv_fds(order_fd, record, sizeof(record), &len, t.fds,
		    IPC_CHAN_FDS_MAX, &t.n_fds, 0);
		if (result != 0)
			continue;
		if (record[0] == GUEST_CONNECT)
			take_connect(&t, record, len);
		if (record[0] == GUEST_LISTEN)
			take_listen(&t, record, len);
		wire_reader_init(&r, record, len);
		if (guest_get_spawn(&r, &order) == 0 && t.n_fds > 0) {
			read_command(&t, &order);
			carry_out(&t);
		}
		fd_close_all(t.fds, t.n_fds);
	}
	/* The broker lets go: this one does not end by itself, it has to be made to. */
	for (;;)
		(void)pause();
}
