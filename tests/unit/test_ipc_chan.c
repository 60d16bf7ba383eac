/* SPDX-License-Identifier: Apache-2.0 */
/* ipc_chan: records and descriptors, from the hostile side too; no descriptor is ever left over. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "ipc_chan.h"
#include "test.h"

struct fixture {
	int pair[2];
	unsigned fds_before;
};

static int
setup(void **state)
{
	static struct fixture f;

	f.fds_before = count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f.pair), 0);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	fd_close_all(f->pair, 2);
	assert_int_equal(count_fds(), f->fds_before);
	return 0;
}

static void
test_plain(void **state)
{
	struct fixture *f = *state;
	char buf[16];
	size_t len;

	assert_int_equal(ipc_chan_recv(f->pair[1], buf, sizeof(buf), &len, MSG_DONTWAIT),
	    IPC_CHAN_E_AGAIN);
	assert_int_equal(ipc_chan_send(f->pair[0], "abc", 3, NULL, 0, 0), 0);
	assert_int_equal(ipc_chan_recv(f->pair[1], buf, sizeof(buf), &len, 0), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(buf, "abc", 3);
}

/* What a peer said last counts although it left without reading what it was sent. */
static void
test_last_words_of_a_peer_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	unsigned n_fds = 0;
	char buf[16];
	size_t len;
	int fd = -1;

	for (int round = 0; round < 2; round++) {
		bool with_fds = round == 1;

		assert_int_equal(ipc_chan_send(f->pair[0], "unread", 6, NULL, 0, 0), 0);
		assert_int_equal(ipc_chan_send(f->pair[1], "last", 4, NULL, 0, 0), 0);
		fd_close(&f->pair[1]);
		for (int i = 0; i < 2; i++) {
			int r = with_fds
			    ? ipc_chan_recv_fds(f->pair[0], buf, sizeof(buf), &len, &fd, 1, &n_fds, 0)
			    : ipc_chan_recv(f->pair[0], buf, sizeof(buf), &len, 0);

			assert_int_equal(r, i == 0 ? 0 : IPC_CHAN_E_END);
		}
		assert_int_equal(len, 4);
		assert_memory_equal(buf, "last", 4);
		fd_close(&f->pair[0]);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->pair), 0);
	}
}

static void
test_too_long_is_seen(void **state)
{
	struct fixture *f = *state;
	char buf[4];
	size_t len;

	assert_int_equal(ipc_chan_send(f->pair[0], "abcde", 5, NULL, 0, 0), 0);
	assert_int_equal(ipc_chan_recv(f->pair[1], buf, sizeof(buf), &len, 0), IPC_CHAN_E_VIOLATION);
}

static void
test_end(void **state)
{
	struct fixture *f = *state;
	char buf[4];
	size_t len;

	assert_int_equal(send(f->pair[0], "", 0, 0), 0);
	assert_int_equal(ipc_chan_recv(f->pair[1], buf, sizeof(buf), &len, 0), IPC_CHAN_E_END);
	fd_close(&f->pair[0]);
	assert_int_equal(ipc_chan_recv(f->pair[1], buf, sizeof(buf), &len, 0), IPC_CHAN_E_END);
	assert_int_equal(ipc_chan_send(f->pair[1], "x", 1, NULL, 0, 0), IPC_CHAN_E_END);
}

static void
test_full_queue(void **state)
{
	struct fixture *f = *state;
	int r = 0;

	for (int i = 0; i < 100000 && r == 0; i++)
		r = ipc_chan_send(f->pair[0], "x", 1, NULL, 0, MSG_DONTWAIT);
	assert_int_equal(r, IPC_CHAN_E_AGAIN);
}

static void
test_descriptors(void **state)
{
	struct fixture *f = *state;
	int fds[IPC_CHAN_FDS_MAX + 1] = { 0 };
	int got[IPC_CHAN_FDS_MAX];
	unsigned n = 0;
	char buf[4];
	size_t len;

	assert_int_equal(ipc_chan_send(f->pair[0], "f", 1, fds, IPC_CHAN_FDS_MAX, 0), 0);
	assert_int_equal(ipc_chan_recv_fds(f->pair[1], buf, sizeof(buf), &len, got,
			     IPC_CHAN_FDS_MAX, &n, 0),
	    0);
	assert_int_equal(n, IPC_CHAN_FDS_MAX);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fcntl(got[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	fd_close_all(got, n);
	assert_int_equal(ipc_chan_send(f->pair[0], "f", 1, fds, IPC_CHAN_FDS_MAX + 1, 0), -EINVAL);
}

static void
test_surplus_descriptors_are_closed(void **state)
{
	struct fixture *f = *state;
	int fds[4] = { 0, 0, 0, 0 };
	int got[4] = { -1, -1, -1, -1 };
	unsigned before;
	unsigned n = 0;
	char buf[4];
	size_t len;

	assert_int_equal(ipc_chan_send(f->pair[0], "f", 1, fds, 4, 0), 0);
	assert_int_equal(ipc_chan_recv_fds(f->pair[1], buf, sizeof(buf), &len, got, 1, &n, 0),
	    IPC_CHAN_E_VIOLATION);
	/* a record of a hostile peer to a receiver that expects none: dropped by the kernel, and seen */
	before = count_fds();
	assert_int_equal(ipc_chan_send(f->pair[0], "f", 1, fds, 4, 0), 0);
	assert_int_equal(ipc_chan_recv(f->pair[1], buf, sizeof(buf), &len, 0), IPC_CHAN_E_VIOLATION);
	assert_int_equal(count_fds(), before);
}

static void
test_253_descriptors(void **state)
{
	struct fixture *f = *state;
	union {
		char space[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t) "f", 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	struct cmsghdr *c;
	int got[1] = { -1 };
	unsigned n = 0;
	char buf[4];
	size_t len;

	memset(&control, 0, sizeof(control)); /* 253 times descriptor 0 */
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * 253);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(sendmsg(f->pair[0], &msg, 0), 1);
		assert_int_equal(ipc_chan_recv_fds(f->pair[1], buf, sizeof(buf), &len, got, 1, &n, 0),
		    IPC_CHAN_E_VIOLATION);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_words_of_a_peer_that_does_not_read, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_too_long_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_surplus_descriptors_are_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_253_descriptors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
