/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that are interrupted, fall short or fail, around the broker's files and sockets: done, or
 * refused with the reason, whole or not at all, and never in the place of something good.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "fd.h"
#include "host_key.h"
#include "instance.h"
#include "ipc_chan.h"
#include "keys_fixture.h"
#include "notify.h"
#include "spawner.h"
#include "wire.h"

static char *dir;
static char path[128];
static char copy[128];

static int
setup(void **state)
{
	(void)state;
	dir = dir_make();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	dir_remove(dir);
	return 0;
}

/* ---- records ---- */

static void
test_records(void **state)
{
	static const struct {
		enum fault_call call;
		int error;
		unsigned long more;
		bool fds;
		int sent, received;
	} cases[] = {
		{ FAULT_SEND, EINTR, 5, false, 0, 0 },
		{ FAULT_SEND, EINTR, 5, true, 0, 0 },
		{ FAULT_SEND, EAGAIN, 0, false, IPC_CHAN_E_AGAIN, IPC_CHAN_E_AGAIN },
		{ FAULT_SEND, ENOBUFS, 0, true, IPC_CHAN_E_AGAIN, IPC_CHAN_E_AGAIN },
		{ FAULT_SEND, EPIPE, 0, true, IPC_CHAN_E_END, IPC_CHAN_E_AGAIN },
		{ FAULT_SEND, ECONNRESET, 0, false, IPC_CHAN_E_END, IPC_CHAN_E_AGAIN },
		{ FAULT_SEND, ENOMEM, 0, true, -ENOMEM, IPC_CHAN_E_AGAIN },
		{ FAULT_SEND, EMSGSIZE, 0, false, -EMSGSIZE, IPC_CHAN_E_AGAIN },
		{ FAULT_SEND, ETOOMANYREFS, 0, true, -ETOOMANYREFS, IPC_CHAN_E_AGAIN },
		{ FAULT_RECEIVE, EINTR, 5, true, 0, 0 },
		{ FAULT_RECEIVE, ECONNRESET, 1, true, 0, 0 },
		{ FAULT_RECEIVE, EAGAIN, 0, true, 0, IPC_CHAN_E_AGAIN },
		{ FAULT_RECEIVE, ENOMEM, 0, true, 0, -ENOMEM },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		unsigned fds = count_fds();
		int got[IPC_CHAN_FDS_MAX];
		unsigned n = 0;
		size_t len = 0;
		char buf[16];
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		fault_system(cases[i].call, 1, cases[i].error, cases[i].more);
		assert_int_equal(ipc_chan_send(pair[0], "hello", 5, pair, cases[i].fds ? 2 : 0,
				     MSG_DONTWAIT),
		    cases[i].sent);
		assert_int_equal(ipc_chan_recv_fds(pair[1], buf, sizeof(buf), &len, got, 2, &n,
				     MSG_DONTWAIT),
		    cases[i].received);
		assert_true(fault_end());
		if (cases[i].received == 0) {
			assert_int_equal(len, 5);
			assert_int_equal(n, cases[i].fds ? 2 : 0);
			fd_close_all(got, n);
		}
		fd_close_all(pair, 2);
		assert_int_equal(count_fds(), fds);
	}
}

/* ---- the spawner's reports ---- */

static void
send_started(int fd, int pidfd)
{
	uint8_t buf[64];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, 2); /* RECORD_STARTED in spawner.c */
	wire_put_u32(&w, 7);
	wire_put_u32(&w, 4711);
	assert_int_equal(ipc_chan_send(fd, w.data, w.len, &pidfd, 1, 0), 0);
}

/* Our table of descriptors is full: one worker is lost by it, and not the service. */
static void
test_no_room_for_a_pidfd(void **state)
{
	struct rlimit before;
	struct rlimit full;
	struct spawner_event e;
	int pair[2];
	int next;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	send_started(pair[0], pair[0]);
	send_started(pair[0], pair[0]);
	next = dup(pair[0]);
	assert_true(next >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	full = before;
	full.rlim_cur = (rlim_t)next + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	assert_int_equal(spawner_next_event(pair[1], &e), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(e.kind, SPAWNER_STARTED);
	assert_int_equal(e.pid, 4711);
	assert_int_equal(e.fd, -1);
	assert_int_equal(spawner_next_event(pair[1], &e), 0);
	assert_true(e.fd >= 0);
	fd_close(&e.fd);
	assert_int_equal(spawner_next_event(pair[1], &e), SPAWNER_E_AGAIN);
	fd_close(&next);
	fd_close_all(pair, 2);
}

static void
test_reports(void **state)
{
	static const struct {
		int error, result;
	} cases[] = {
		{ EINTR, 0 },
		{ ENOMEM, SPAWNER_E_AGAIN },
		{ ENOBUFS, SPAWNER_E_AGAIN },
		{ EAGAIN, SPAWNER_E_AGAIN },
		{ EBADF, -EBADF },
	};
	struct spawner_event e;
	int pair[2];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		send_started(pair[0], pair[0]);
		fault_system(FAULT_RECEIVE, 1, cases[i].error, 0);
		e.fd = -1;
		assert_int_equal(spawner_next_event(pair[1], &e), cases[i].result);
		assert_true(fault_end());
		if (cases[i].result == SPAWNER_E_AGAIN) /* it is there still */
			assert_int_equal(spawner_next_event(pair[1], &e), 0);
		fd_close(&e.fd);
		fd_close_all(pair, 2);
	}
}

static void
test_requests(void **state)
{
	static const struct {
		int error, result;
	} cases[] = {
		{ EINTR, 0 },
		{ EAGAIN, -EAGAIN },
		{ ENOMEM, -ENOMEM },
		{ EPIPE, -EPIPE },
	};
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		fault_system(FAULT_SEND, 1, cases[i].error, 0);
		assert_int_equal(spawner_request(pair[0], 1, pair[0], pair[1]), cases[i].result);
		assert_true(fault_end());
	}
	fd_close_all(pair, 2);
}

/* ---- host keys ---- */

static void
forget_key(void)
{
	char public[160];

	(void)snprintf(public, sizeof(public), "%s.pub", path);
	(void)unlink(path);
	(void)unlink(public);
}

static bool
key_loads(void)
{
	const char *const list[] = { path, NULL };
	struct host_key_set *set = NULL;
	char why[512] = "";
	int r = host_key_set_load(list, false, &set, why, sizeof(why));

	host_key_set_free(set);
	return r == 0;
}

static void
test_new_host_key(void **state)
{
	static const struct {
		enum fault_call call;
		int error;
		bool survives;
	} cases[] = {
		{ FAULT_WRITE, FAULT_SHORT, true },
		{ FAULT_WRITE, EINTR, true },
		{ FAULT_WRITE, ENOSPC, false },
		{ FAULT_WRITE, EIO, false },
		{ FAULT_FSYNC, EIO, false },
		{ FAULT_LINK, EEXIST, false },
		{ FAULT_LINK, EMFILE, false },
		{ FAULT_RENAME, EIO, false },
	};

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/made", dir);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		unsigned files = dir_count(dir);
		bool hit = true;

		for (unsigned long n = 1; hit; n++) {
			char why[512] = "";
			unsigned fds = count_fds();
			int r;

			fault_system(cases[i].call, n, cases[i].error, 0);
			r = host_key_generate(path, "ed25519", why, sizeof(why));
			hit = fault_end();
			if (!hit || cases[i].survives)
				assert_int_equal(r, 0);
			else
				assert_true(r == -cases[i].error && why[0] != '\0');
			assert_int_equal(count_fds(), fds);
			/* Whole, or not there. */
			assert_true(access(path, F_OK) < 0 || key_loads());
			forget_key();
			assert_int_equal(dir_count(dir), files);
		}
	}
}

/* ---- the secret ---- */

static void
test_instance(void **state)
{
	static const struct {
		enum fault_call call;
		int error;
		unsigned long more;
		bool survives;
	} cases[] = {
		{ FAULT_READ, FAULT_SHORT, 40, true }, /* never takes it for a part, and makes another */
		{ FAULT_READ, EINTR, 3, true },
		{ FAULT_READ, EIO, 0, false },
		{ FAULT_OPEN, EMFILE, 0, false },
		{ FAULT_FSTAT, EIO, 0, false },
	};
	struct instance first;
	char why[512] = "";

	(void)state;
	assert_int_equal(instance_open(&first, dir, why, sizeof(why)), 0);
	assert_int_equal(close(first.lock_fd), 0);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		unsigned fds = count_fds();
		struct instance again;
		int r;

		why[0] = '\0';
		fault_system(cases[i].call, 1, cases[i].error, cases[i].more);
		r = instance_open(&again, dir, why, sizeof(why));
		assert_true(fault_end());
		assert_int_equal(r, cases[i].survives ? 0 : -cases[i].error);
		assert_int_equal(why[0] == '\0', cases[i].survives);
		if (r == 0) {
			assert_memory_equal(again.secret, first.secret, sizeof(first.secret));
			assert_int_equal(close(again.lock_fd), 0);
		}
		assert_int_equal(count_fds(), fds);
	}
	/* And nobody has changed it meanwhile. */
	assert_int_equal(instance_open(&first, dir, why, sizeof(why)), 0);
	assert_int_equal(close(first.lock_fd), 0);
}

/* A secret that could not be written is not used; the next start makes one. */
static void
test_new_instance(void **state)
{
	static const struct {
		enum fault_call call;
		int error;
		bool survives;
	} cases[] = {
		{ FAULT_WRITE, FAULT_SHORT, true },
		{ FAULT_WRITE, EINTR, true },
		{ FAULT_WRITE, ENOSPC, false },
		{ FAULT_FSYNC, EIO, false },
	};

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/instance.key", dir);
	(void)snprintf(copy, sizeof(copy), "%s/instance.copy", dir);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct instance made;
		struct instance again;
		char why[512] = "";
		int r;

		(void)unlink(path);
		(void)unlink(copy);
		fault_system(cases[i].call, 1, cases[i].error, 0);
		r = instance_open(&made, dir, why, sizeof(why));
		assert_true(fault_end());
		assert_int_equal(r, cases[i].survives ? 0 : -cases[i].error);
		if (r == 0)
			assert_int_equal(close(made.lock_fd), 0);
		assert_int_equal(instance_open(&again, dir, why, sizeof(why)), 0);
		assert_int_equal(close(again.lock_fd), 0);
		if (r == 0)
			assert_memory_equal(made.secret, again.secret, sizeof(made.secret));
	}
}

/* ---- the service manager ---- */

static void
test_notify(void **state)
{
	static const struct {
		enum fault_call call;
		int error;
	} cases[] = {
		{ FAULT_SOCKET, EMFILE },
		{ FAULT_CONNECT, ECONNREFUSED },
		{ FAULT_CONNECT, ENOMEM },
	};

	(void)state;
	assert_int_equal(setenv("NOTIFY_SOCKET", "@sallyport-nobody-listens", 1), 0);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		unsigned fds = count_fds();

		fault_system(cases[i].call, 1, cases[i].error, 0);
		assert_int_equal(notify_open(), -cases[i].error);
		assert_true(fault_end());
		assert_int_equal(count_fds(), fds);
	}
	notify_send("READY=1"); /* to nobody */
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_no_room_for_a_pidfd),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_requests),
		cmocka_unit_test_setup_teardown(test_new_host_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_instance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_instance, setup, teardown),
		cmocka_unit_test(test_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
