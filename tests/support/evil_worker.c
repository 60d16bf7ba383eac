/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyportd-evil: a worker that has been taken over, for the tests. The real broker starts it instead
 * of sallyportd, and it locks itself down with sallyportd's own code (linked in from the same build)
 * before it meets its client: what the kernel and the broker then still allow is what an attacker gets.
 *
 * Whoever owns a worker plays its client too: the client here is the test, and this program does what
 * it says. Frames both ways are u8 kind, u32 length, bytes. From the test:
 *
 *   R  send this record to the broker            F  the same, after a byte: so many descriptors with it
 *   C  make the call "NAME ARGUMENT"             D  deaf: read nothing from the broker any more
 *   W  after a byte, the number of a descriptor that came: write this to it
 *   I  after a byte, the same: read it to its end              G  the same: what there is of it
 *   S  after a byte, the same: write no more to it
 *   L  write this to the log
 *   B  bombard: send this record to the broker without end     K  the same with the log
 *
 * To the test: H the broker's first record, A an answer after a byte (how many descriptors came), C what
 * came of a call, I bytes, E the broker has ended the pair.
 *
 * Named sallyportd-unfiltered it leaves out the system call filter and nothing else: what is then still
 * refused is refused by namespaces, uid, root and limits alone.
 *
 * Never installed, never linked into anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attr.h"
#include "evil_calls.h"
#include "fd.h"
#include "ipc.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "lockdown.h"
#include "sandbox.h"

#define FRAME_MAX  (IPC_RECORD_MAX + 1024) /* longer than any record that is allowed */
#define FDS_SENT   253                     /* the kernel's own limit */
#define FDS_MAX    256
#define FLOOD_MAX  32   /* answers; the pair has room for about 60 small ones */
#define LOOK_BYTES 8192 /* sent between two looks whether the test is still there */
#define EXIT_USAGE 2
#define EXIT_LOCK  3

static uint8_t frame[FRAME_MAX];
static uint8_t record[IPC_RECORD_MAX];
static int client = -1;
static bool deaf;
static int received[FDS_MAX]; /* descriptors that the broker has sent */
static unsigned n_received;

static void
read_all(int fd, void *to, size_t n)
{
	uint8_t *at = to;

	while (n > 0) {
		ssize_t r = read(fd, at, n);

		if (r <= 0)
			_exit(0); /* the test is done with us */
		at += r;
		n -= (size_t)r;
	}
}

static void
write_all(int fd, const void *from, size_t n)
{
	const uint8_t *at = from;

	while (n > 0) {
		ssize_t r = write(fd, at, n);

		if (r <= 0)
			_exit(0);
		at += r;
		n -= (size_t)r;
	}
}

static void
tell(char kind, const void *data, size_t len)
{
	uint8_t head[5] = { (uint8_t)kind, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
		(uint8_t)(len >> 8), (uint8_t)len };

	write_all(client, head, sizeof(head));
	write_all(client, data, len);
}

static _Noreturn void
tell_end(void)
{
	tell('E', "", 0);
	_exit(0);
}

/* More than ipc_chan_send() would send: what hostile code does by hand. */
static int
send_with_descriptors(const void *data, size_t len, unsigned n)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FDS_SENT)];
		struct cmsghdr align;
	} control;
	union {
		const void *in;
		void *out;
	} payload = { .in = data };
	struct iovec iov = { payload.out, len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n) };
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control)); /* n times descriptor 0 */
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	return sendmsg(IPC_FD, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void
make_call(char *text)
{
	char out[1024] = "";
	char *argument = strchr(text, ' ');

	if (argument != NULL)
		*argument++ = '\0';
	evil_call(text, argument != NULL ? argument : "", client, out, sizeof(out));
	tell('C', out, strlen(out));
}

/* When there is something. False: that was its end. */
static bool
read_some(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	(void)poll(&p, 1, -1);
	n = read(fd, record, sizeof(record));
	tell('I', record, n > 0 ? (size_t)n : 0);
	return n > 0;
}

static void
read_to_end(int fd)
{
	while (read_some(fd))
		;
}

/*
 * Until the test is gone. Answers are thrown away, and no more than so many are let come in one go: a
 * worker that does not read them is ended.
 */
static void
flood_broker(const void *data, size_t len)
{
	unsigned waiting = 0;
	size_t unlooked = 0; /* by bytes: a large record takes the broker long */
	char byte;

	for (;;) {
		unlooked += len + 1;
		if (unlooked >= LOOK_BYTES) {
			if (recv(client, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
				_exit(0);
			unlooked = 0;
		}
		if (waiting < FLOOD_MAX && ipc_chan_send_plain(IPC_FD, data, len, 0) == 0)
			waiting++;
		while (waiting > 0 &&
		    recv(IPC_FD, record, sizeof(record), waiting < FLOOD_MAX ? MSG_DONTWAIT : 0) > 0)
			waiting--;
	}
}

static void
flood_log(const void *data, size_t len)
{
	char byte;

	while (recv(client, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		write_all(IPC_LOG_FD, data, len);
	_exit(0);
}

static int
descriptor(unsigned number)
{
	return number < n_received ? received[number] : -1;
}

static void
serve_test(void)
{
	uint8_t head[5];
	size_t len;

	read_all(client, head, sizeof(head));
	len = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
	if (len >= sizeof(frame))
		_exit(EXIT_USAGE);
	read_all(client, frame, len);
	frame[len] = '\0';
	switch (head[0]) {
	case 'R':
		if (ipc_chan_send_plain(IPC_FD, frame, len, 0) != 0)
			tell_end();
		break;
	case 'F':
		if (send_with_descriptors(frame + 1, len - 1, frame[0]) < 0)
			tell_end();
		break;
	case 'C':
		make_call((char *)frame);
		break;
	case 'D':
		deaf = true;
		break;
	case 'W':
		(void)!write(descriptor(frame[0]), frame + 1, len - 1);
		break;
	case 'I':
		read_to_end(descriptor(frame[0]));
		break;
	case 'G':
		(void)read_some(descriptor(frame[0]));
		break;
	case 'S':
		(void)shutdown(descriptor(frame[0]), SHUT_WR);
		break;
	case 'L':
		write_all(IPC_LOG_FD, frame, len);
		break;
	case 'B':
		flood_broker(frame, len);
		break;
	case 'K':
		flood_log(frame, len);
		break;
	default:
		_exit(EXIT_USAGE);
	}
}

static void
serve_broker(void)
{
	int fds[IPC_CHAN_FDS_MAX];
	unsigned n_fds = 0;
	size_t len;

	if (ipc_chan_recv_fds(IPC_FD, record + 1, sizeof(record) - 1, &len, fds, IPC_CHAN_FDS_MAX,
		&n_fds, 0) != 0)
		tell_end();
	for (unsigned i = 0; i < n_fds && n_received < FDS_MAX; i++)
		received[n_received++] = fds[i];
	record[0] = (uint8_t)n_fds;
	tell('A', record, len + 1);
}

static bool
lock_down_unfiltered(const struct sandbox_options *o)
{
	return lockdown_rlimit(RLIMIT_CORE, 0) == 0 && lockdown_rlimit(RLIMIT_NPROC, 0) == 0 &&
	    (o->has_root ? lockdown_enter_root(IPC_ROOT_FD) : lockdown_empty_root()) == 0 &&
	    lockdown_drop_ids(o->uid, o->gid) == 0;
}

static bool
lock_down(int argc, char **argv)
{
	struct sandbox_options o = { .uid = 0 };
	char program[4096] = "";
	char why[256] = "";

	if (argc < 5 || readlink("/proc/self/exe", program, sizeof(program) - 1) <= 0)
		return false;
	o.uid = (uid_t)strtoul(argv[2], NULL, 10);
	o.gid = (gid_t)strtoul(argv[4], NULL, 10);
	o.has_root = argc > 5 && strcmp(argv[5], "--root") == 0;
	if (strstr(program, "sallyportd-unfiltered") != NULL)
		return lock_down_unfiltered(&o);
	if (sandbox_worker(&o, why, sizeof(why)) == 0)
		return true;
	dprintf(STDERR_FILENO, "evil worker: %s\n", why);
	return false;
}

/* The client, after HELLO has been kept in frame[*ret_len]. */
static void
wait_for_client(void)
{
	uint8_t buf[16];
	struct wire_writer w;
	unsigned n_fds = 0;
	size_t len;

	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ready(&w, &(struct ipc_ready){ .version = IPC_VERSION });
	if (ipc_chan_send_plain(IPC_FD, w.data, w.len, 0) != 0 ||
	    ipc_chan_recv_fds(IPC_FD, buf, sizeof(buf), &len, &client, 1, &n_fds, 0) != 0 ||
	    n_fds != 1)
		_exit(0);
	if (fcntl(client, F_SETFL, 0) < 0)
		_exit(EXIT_USAGE);
}

int
main(int argc, char **argv)
{
	size_t hello_len;

	(void)signal(SIGPIPE, SIG_IGN);
	if (ipc_chan_recv(IPC_FD, frame, sizeof(frame), &hello_len, 0) != 0)
		return EXIT_USAGE;
	if (!lock_down(argc, argv))
		return EXIT_LOCK;
	wait_for_client();
	tell('H', frame, hello_len);
	for (;;) {
		struct pollfd fds[2] = { { .fd = client, .events = POLLIN },
			{ .fd = deaf ? -1 : IPC_FD, .events = POLLIN } };

		(void)poll(fds, 2, -1);
		if (fds[1].revents != 0)
			serve_broker();
		if (fds[0].revents != 0)
			serve_test();
	}
}
