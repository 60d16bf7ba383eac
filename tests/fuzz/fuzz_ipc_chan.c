/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records and descriptors over a real pair, against a sender that does as it likes: records of any
 * length, any number of descriptors, empty ones, the end in between. The receiver gets whole records
 * of at most the size it asked for, the descriptors it asked for and no other, close-on-exec, and
 * nothing stays open that it was not given.
 *
 * The input is a row of records: kind, descriptors, cap, u16 length, bytes.
 *
 * Covers: ipc_chan_recv ipc_chan_recv_fds ipc_chan_send ipc_chan_send_plain take_fds recv_outcome
 * Floor: 36
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "fuzz.h"
#include "ipc_chan.h"

#define HEAD     5
#define FDS_MAX  8 /* that the sender attaches */
#define CAP_UNIT 16

struct sent {
	const uint8_t *data;
	size_t len;
	unsigned n_fds;
	size_t cap;
	unsigned wanted;
	bool plain;
};

static int null_fd;

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_records(data, size, max, seed, HEAD);
}

void
fuzz_setup(void)
{
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	FUZZ_CHECK(null_fd >= 0);
}

/* As no code of ours sends: more descriptors than the protocol knows. */
static bool
send_raw(int fd, const struct sent *s)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = { .space = { 0 } };
	union {
		const void *in;
		void *out;
	} payload = { .in = s->data };
	struct iovec iov = { payload.out, s->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (s->n_fds > 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * s->n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * s->n_fds);
		for (unsigned i = 0; i < s->n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &null_fd, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)s->len;
}

static bool
send_ours(int fd, const struct sent *s)
{
	int fds[IPC_CHAN_FDS_MAX] = { null_fd, null_fd, null_fd, null_fd };

	return ipc_chan_send(fd, s->data, s->len, fds, s->n_fds, MSG_DONTWAIT) == 0;
}

/* What has to come of it. */
static int
expected(const struct sent *s)
{
	if (s->len == 0)
		return IPC_CHAN_E_END;
	if (s->len > s->cap || s->n_fds > (s->plain ? 0 : s->wanted))
		return IPC_CHAN_E_VIOLATION;
	return 0;
}

static void
receive(int fd, const struct sent *s)
{
	static uint8_t buf[256 * CAP_UNIT];
	int fds[IPC_CHAN_FDS_MAX] = { -1, -1, -1, -1 };
	int before = fuzz_next_fd();
	unsigned n = 0;
	size_t len = 0;
	int r;

	if (s->plain)
		r = ipc_chan_recv(fd, buf, s->cap, &len, MSG_DONTWAIT);
	else
		r = ipc_chan_recv_fds(fd, buf, s->cap, &len, fds, s->wanted, &n, MSG_DONTWAIT);
	FUZZ_CHECK(r == expected(s));
	if (r == 0) {
		FUZZ_CHECK(len == s->len && memcmp(buf, s->data, len) == 0);
		FUZZ_CHECK(s->plain || n == s->n_fds);
		for (unsigned i = 0; i < n; i++)
			FUZZ_CHECK((fcntl(fds[i], F_GETFD) & FD_CLOEXEC) != 0);
		fd_close_all(fds, n);
	}
	FUZZ_CHECK(fuzz_next_fd() == before);
}

static bool
next_record(struct fuzz_input *in, struct sent *ret, uint8_t *ret_kind)
{
	if (in->left == 0)
		return false;
	*ret_kind = fuzz_u8(in);
	ret->n_fds = fuzz_u8(in) % (FDS_MAX + 1);
	ret->cap = (size_t)(fuzz_u8(in) + 1) * CAP_UNIT;
	ret->plain = (*ret_kind & 1) != 0;
	ret->wanted = (*ret_kind >> 1) % (IPC_CHAN_FDS_MAX + 1);
	ret->data = fuzz_bytes(in, fuzz_u16(in), &ret->len);
	return true;
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	int before = fuzz_next_fd();
	struct sent s;
	uint8_t kind;
	int pair[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	while (next_record(&in, &s, &kind)) {
		bool ours = (kind & 0x80) != 0 && s.n_fds <= IPC_CHAN_FDS_MAX;

		if (ours ? send_ours(pair[0], &s) : send_raw(pair[0], &s))
			receive(pair[1], &s);
	}
	fd_close(&pair[0]);
	FUZZ_CHECK(ipc_chan_recv(pair[1], (uint8_t[1]){ 0 }, 1, &(size_t){ 0 }, MSG_DONTWAIT) ==
	    IPC_CHAN_E_END);
	FUZZ_CHECK(ipc_chan_send_plain(pair[1], "x", 1, MSG_DONTWAIT) == IPC_CHAN_E_END);
	fd_close(&pair[1]);
	FUZZ_CHECK(fuzz_next_fd() == before);
}

void
fuzz_seeds(void)
{
	static const uint8_t plain[] = { 0x81, 0, 4, 0, 5, 'h', 'e', 'l', 'l', 'o' };
	static const uint8_t with_fds[] = { 0x88, 4, 4, 0, 2, 'a', 'b', 0x06, 5, 4, 0, 1, 'c' };
	static const uint8_t empty[] = { 0x01, 0, 0, 0, 0, 0x01, 1, 0, 0, 17, '0', '1', '2', '3',
		'4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g' };

	fuzz_seed(plain, sizeof(plain));
	fuzz_seed(with_fds, sizeof(with_fds));
	fuzz_seed(empty, sizeof(empty));
}
