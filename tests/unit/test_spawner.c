/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spawner: who the workers become. This program is its own worker: started with --uid it says on
 * its pair what it was told and stays until it is ended. Needs root, as namespaces do.
 */
#include "test.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attr.h"
#include "fd.h"
#include "ipc.h"
#include "ipc_chan.h"
#include "lockdown.h"
#include "spawner.h"

#define FIRST   1900000000u
#define N_UIDS  4u
#define WAIT_MS 20000

static char self[4096];
static int spawner = -1;
static pid_t spawner_pid;

struct worker {
	uint32_t token;
	int pair;
	int pidfd;
	pid_t pid;
	unsigned uid;
	unsigned gid;
	ino_t network;
	ino_t root; /* that it is given; 0: none */
};

static struct spawner_event
next_event(void)
{
	struct pollfd p = { .fd = spawner, .events = POLLIN };
	struct spawner_event e;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(spawner_next_event(spawner, &e), 0);
	return e;
}

/* Ask for a worker. 0 with *ret, or the error that the spawner reports. */
static int
start(uint32_t token, struct worker *ret)
{
	struct spawner_event e;
	struct stat network;
	uintmax_t root = 0;
	char text[64] = "";
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(spawner_request(spawner, token, pair[1], STDERR_FILENO), 0);
	fd_close(&pair[1]);
	e = next_event();
	assert_int_equal(e.token, token);
	if (e.kind == SPAWNER_FAILED) {
		fd_close(&pair[0]);
		return e.error;
	}
	assert_int_equal(e.kind, SPAWNER_STARTED);
	assert_true(recv(pair[0], text, sizeof(text) - 1, 0) > 0);
	*ret = (struct worker){ .token = token, .pair = pair[0], .pidfd = e.fd, .pid = e.pid };
	assert_int_equal(sscanf(text, "%u %u %ju", &ret->uid, &ret->gid, &root), 3);
	ret->root = root;
	(void)snprintf(text, sizeof(text), "/proc/%d/ns/net", (int)ret->pid);
	assert_int_equal(stat(text, &network), 0);
	ret->network = network.st_ino;
	return 0;
}

/* End it and wait until the spawner has reaped it. */
static void
end(struct worker *w)
{
	struct spawner_event e;

	assert_int_equal(syscall(SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0), 0);
	e = next_event();
	assert_int_equal(e.kind, SPAWNER_EXITED);
	assert_int_equal(e.token, w->token);
	assert_true(WIFSIGNALED(e.status));
	fd_close(&w->pair);
	fd_close(&w->pidfd);
}

static void
start_spawner(uid_t uid, gid_t gid, uint32_t n_uids)
{
	struct spawner_options options = { .program = self, .uid = uid, .gid = gid, .n_uids = n_uids };

	assert_int_equal(spawner_start(&options, &spawner, &spawner_pid), 0);
}

static void
stop_spawner(void)
{
	fd_close(&spawner);
	assert_int_equal(waitpid(spawner_pid, NULL, 0), spawner_pid);
}

static void
test_each_has_its_own(void **state)
{
	struct worker w[N_UIDS];
	struct worker other;
	struct stat own_network;
	struct stat own_root;

	(void)state;
	assert_int_equal(stat("/proc/self/ns/net", &own_network), 0);
	assert_int_equal(stat("/proc/self/ns/mnt", &own_root), 0);
	start_spawner(FIRST, FIRST, N_UIDS);
	for (uint32_t i = 0; i < N_UIDS; i++) {
		assert_int_equal(start(i, &w[i]), 0);
		assert_in_range(w[i].uid, FIRST, FIRST + N_UIDS - 1);
		assert_int_equal(w[i].gid, w[i].uid);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(w[k].uid, w[i].uid);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(w[k].network, w[i].network);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(w[k].root, w[i].root);
		assert_int_not_equal(w[i].network, own_network.st_ino);
		assert_int_not_equal(w[i].root, own_root.st_ino);
		assert_int_not_equal(w[i].root, 0);
	}
	/* One more than there are uids: refused, and those that live are not disturbed. */
	assert_int_equal(start(99, &other), EUSERS);
	/* A uid is free again when its worker has been reaped, and so are its network and root: these, and no others. */
	other = w[2];
	end(&w[2]);
	assert_int_equal(start(100, &w[2]), 0);
	assert_int_equal(w[2].uid, other.uid);
	assert_int_equal(w[2].network, other.network);
	assert_int_equal(w[2].root, other.root);
	assert_int_equal(start(101, &other), EUSERS);
	for (uint32_t i = 0; i < N_UIDS; i++)
		end(&w[i]);
	stop_spawner();
}

/* A uid that has just been in use is the last one to be used again. */
static void
test_uids_rest(void **state)
{
	unsigned before[N_UIDS] = { 0 };
	struct worker w;

	(void)state;
	start_spawner(FIRST, FIRST, N_UIDS);
	for (uint32_t i = 0; i < 2 * N_UIDS; i++) {
		assert_int_equal(start(i, &w), 0);
		if (i >= N_UIDS)
			assert_int_equal(w.uid, before[i % N_UIDS]);
		for (uint32_t k = 0; k < N_UIDS && i < N_UIDS; k++)
			assert_int_not_equal(w.uid, before[k]);
		before[i % N_UIDS] = w.uid;
		end(&w);
	}
	stop_spawner();
}

static void
test_all_share_one(void **state)
{
	struct worker a;
	struct worker b;

	(void)state;
	start_spawner(64222, 64223, 0);
	assert_int_equal(start(1, &a), 0);
	assert_int_equal(start(2, &b), 0);
	assert_int_equal(a.uid, 64222);
	assert_int_equal(a.gid, 64223);
	assert_int_equal(b.uid, 64222);
	assert_int_equal(b.gid, 64223);
	end(&a);
	end(&b);
	stop_spawner();
}

static int
priority_of(const struct worker *w)
{
	int n;

	errno = 0;
	n = getpriority(PRIO_PROCESS, (id_t)w->pid);
	assert_int_equal(errno, 0);
	return n;
}

/* A worker begins below everybody, and the one that is named is raised: to what the spawner itself has. */
static void
test_priority(void **state)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	const int own = getpriority(PRIO_PROCESS, 0) + 1;
	struct worker a;
	struct worker b;
	struct worker c;

	(void)state;
	assert_int_equal(setpriority(PRIO_PROCESS, 0, own), 0);
	start_spawner(FIRST, FIRST, N_UIDS);
	assert_int_equal(start(1, &a), 0);
	assert_int_equal(start(2, &b), 0);
	assert_int_equal(priority_of(&a), 19);
	assert_int_equal(priority_of(&b), 19);
	/* One that there is not, and one that is gone: nothing happens. */
	assert_int_equal(spawner_raise(spawner, 77), 0);
	end(&b);
	assert_int_equal(spawner_raise(spawner, 2), 0);
	assert_int_equal(start(3, &c), 0);
	assert_int_equal(priority_of(&a), 19);
	assert_int_equal(spawner_raise(spawner, 1), 0);
	for (int i = 0; priority_of(&a) != own && i < WAIT_MS / 5; i++)
		(void)nanosleep(&nap, NULL);
	assert_int_equal(priority_of(&a), own);
	assert_int_equal(priority_of(&c), 19);
	end(&a);
	end(&c);
	stop_spawner();
}

/* Who cannot raise does not lower either: nobody is left behind. */
static void
test_priority_without_the_right(void **state)
{
	struct worker w;
	int own = getpriority(PRIO_PROCESS, 0);
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static const int keep[] = { CAP_SETUID, CAP_SETGID, CAP_SYS_ADMIN, CAP_KILL };

		if (lockdown_keep_caps(keep, SP_ARRAY_LEN(keep)) < 0)
			_exit(1);
		start_spawner(FIRST, FIRST, N_UIDS);
		assert_int_equal(start(1, &w), 0);
		assert_int_equal(spawner_raise(spawner, 1), 0);
		assert_int_equal(priority_of(&w), own);
		/* And without CAP_SYS_CHROOT nobody comes back from a root that is made for others. */
		assert_int_equal(w.root, 0);
		end(&w);
		stop_spawner();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &own, 0), pid);
	assert_int_equal(own, 0);
}

/* Whoever holds the workers' other ends is gone: so are they, without being asked. */
static void
test_nobody_outlives_the_broker(void **state)
{
	struct pollfd p = { .events = POLLIN };
	struct worker w;

	(void)state;
	start_spawner(FIRST, FIRST, N_UIDS);
	assert_int_equal(start(1, &w), 0);
	stop_spawner();
	p.fd = w.pidfd;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	fd_close(&w.pair);
	fd_close(&w.pidfd);
}

/* ---- records that are none ---- */

/* As in spawner.c. */
enum {
	SPAWN = 1,
	STARTED = 2,
	FAILED = 3,
	EXITED = 4,
	OPEN_AUDIT = 5,
	AUDIT_OPENED = 6,
	AUDIT_FAILED = 7,
	RAISE = 8,
	KINDS = 9,
	REQUEST_LEN = 5,
	EVENT_LEN = 9,
	RECORD_ROOM = 64,
};

static void
send_record(int fd, uint8_t kind, size_t len, unsigned n_fds)
{
	uint8_t record[RECORD_ROOM + 1] = { kind };
	int fds[IPC_CHAN_FDS_MAX];

	for (size_t i = 0; i < SP_ARRAY_LEN(fds); i++)
		fds[i] = STDERR_FILENO;
	assert_true(len <= sizeof(record));
	assert_int_equal(ipc_chan_send(fd, record, len, fds, n_fds, MSG_DONTWAIT), 0);
}

/* The spawner does nothing of what it was asked, ends, and takes the worker that it has with it. */
static void
expect_fatal(uint8_t kind, size_t len, unsigned n_fds)
{
	struct pollfd p = { .events = POLLIN };
	struct spawner_event e;
	struct worker w;
	int status;
	int r;

	start_spawner(FIRST, FIRST, N_UIDS);
	assert_int_equal(start(1, &w), 0);
	send_record(spawner, kind, len, n_fds);
	p.fd = spawner;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	r = spawner_next_event(spawner, &e);
	if (r != SPAWNER_E_END)
		fail_msg("kind %u, %zu bytes, %u descriptors: %d", kind, len, n_fds, r);
	assert_int_equal(waitpid(spawner_pid, &status, 0), spawner_pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	p.fd = w.pidfd;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	fd_close(&spawner);
	fd_close(&w.pair);
	fd_close(&w.pidfd);
}

/* Who holds the broker's end may be anybody by now, and the spawner has the privileges: no second chance. */
static void
test_requests_of_another_length(void **state)
{
	static const uint8_t kinds[] = { SPAWN, OPEN_AUDIT, RAISE };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(kinds); i++) {
		unsigned n_fds = kinds[i] == SPAWN ? 2 : 0;

		expect_fatal(kinds[i], 1, n_fds);
		expect_fatal(kinds[i], REQUEST_LEN - 1, n_fds);
		expect_fatal(kinds[i], REQUEST_LEN + 1, n_fds);
		expect_fatal(kinds[i], RECORD_ROOM, n_fds);
		expect_fatal(kinds[i], RECORD_ROOM + 1, n_fds);
	}
}

static void
test_requests_with_other_descriptors(void **state)
{
	(void)state;
	expect_fatal(SPAWN, REQUEST_LEN, 0);
	expect_fatal(SPAWN, REQUEST_LEN, 1);
	expect_fatal(SPAWN, REQUEST_LEN, 3);
	expect_fatal(SPAWN, REQUEST_LEN, IPC_CHAN_FDS_MAX);
	for (unsigned n = 1; n <= 3; n++) {
		expect_fatal(RAISE, REQUEST_LEN, n);
		expect_fatal(OPEN_AUDIT, REQUEST_LEN, n);
	}
}

static void
test_requests_of_another_kind(void **state)
{
	static const uint8_t kinds[] = { 0, STARTED, FAILED, EXITED, AUDIT_OPENED, AUDIT_FAILED,
		KINDS, 255 };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(kinds); i++) {
		expect_fatal(kinds[i], REQUEST_LEN, 0);
		expect_fatal(kinds[i], REQUEST_LEN, 2);
	}
}

/* A worker that is named twice, and descriptors that are none of a worker's: no harm to anybody else. */
static void
test_requests_that_make_no_sense(void **state)
{
	struct spawner_event e;
	struct worker a;
	struct worker b;

	(void)state;
	start_spawner(FIRST, FIRST, N_UIDS);
	assert_int_equal(start(1, &a), 0);
	assert_int_equal(start(1, &b), 0);
	assert_int_not_equal(a.uid, b.uid);
	/* The log in the pair's place: that worker ends, having nobody to speak to. */
	assert_int_equal(spawner_request(spawner, 2, STDERR_FILENO, STDERR_FILENO), 0);
	e = next_event();
	assert_int_equal(e.kind, SPAWNER_STARTED);
	fd_close(&e.fd);
	e = next_event();
	assert_int_equal(e.kind, SPAWNER_EXITED);
	assert_int_equal(e.token, 2);
	assert_true(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 1);
	/* There is no audit log to open here. */
	assert_int_equal(spawner_open_audit(spawner), 0);
	e = next_event();
	assert_int_equal(e.kind, SPAWNER_AUDIT_FAILED);
	assert_int_equal(e.fd, -1);
	end(&a);
	end(&b);
	stop_spawner();
}

/* ---- events that are none ---- */

static bool
brings_descriptor(unsigned kind)
{
	return kind == STARTED || kind == AUDIT_OPENED;
}

static bool
is_event(unsigned kind)
{
	return kind == STARTED || kind == FAILED || kind == EXITED || kind == AUDIT_OPENED ||
	    kind == AUDIT_FAILED;
}

/* The broker takes an event of each kind, of one length and with its descriptor; and keeps nothing of others. */
static void
test_events(void **state)
{
	struct spawner_event e;
	int pair[2];
	unsigned before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	before = count_fds();
	for (unsigned kind = 0; kind < 256; kind++) {
		for (size_t len = 1; len <= EVENT_LEN + 1; len++) {
			for (unsigned n = 0; n <= 1; n++) {
				bool good = is_event(kind) && len == EVENT_LEN &&
				    n == brings_descriptor(kind);

				send_record(pair[1], (uint8_t)kind, len, n);
				assert_int_equal(spawner_next_event(pair[0], &e), good ? 0 : -EPROTO);
				assert_int_equal(e.fd >= 0, good && n == 1);
				fd_close(&e.fd);
			}
		}
	}
	assert_int_equal(count_fds(), before);
	assert_int_equal(spawner_next_event(pair[0], &e), SPAWNER_E_AGAIN);
	fd_close_all(pair, 2);
}

/* More descriptors than one are none, as when there is no room for it; a record that is too long is the end. */
static void
test_oversized_events(void **state)
{
	struct spawner_event e;
	int pair[2];
	unsigned before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	before = count_fds();
	for (unsigned n = 2; n <= IPC_CHAN_FDS_MAX; n++) {
		send_record(pair[1], STARTED, EVENT_LEN, n);
		assert_int_equal(spawner_next_event(pair[0], &e), 0);
		assert_int_equal(e.kind, SPAWNER_STARTED);
		assert_int_equal(e.fd, -1);
		send_record(pair[1], AUDIT_OPENED, EVENT_LEN, n);
		assert_int_equal(spawner_next_event(pair[0], &e), 0);
		assert_int_equal(e.kind, SPAWNER_AUDIT_FAILED);
		assert_int_equal(e.fd, -1);
		send_record(pair[1], EXITED, EVENT_LEN, n);
		assert_int_equal(spawner_next_event(pair[0], &e), -EPROTO);
		assert_int_equal(count_fds(), before);
	}
	for (unsigned n = 0; n <= 2; n++) {
		send_record(pair[1], STARTED, RECORD_ROOM + 1, n);
		assert_int_equal(spawner_next_event(pair[0], &e), SPAWNER_E_END);
		assert_int_equal(count_fds(), before);
	}
	fd_close_all(pair, 2);
}

/* In the worker's place: --uid N --gid N, and --root when there is one. */
static int
be_worker(char **argv)
{
	struct stat root = { .st_ino = 0 };
	char text[64];

	/* Whoever is told of a root has a descriptor of it, and whoever is not has none. */
	if ((fstat(IPC_ROOT_FD, &root) == 0) != (argv[5] != NULL && strcmp(argv[5], "--root") == 0))
		return 1;
	(void)snprintf(text, sizeof(text), "%s %s %ju", argv[2], argv[4], (uintmax_t)root.st_ino);
	if (send(IPC_FD, text, strlen(text), 0) < 0)
		return 1;
	for (;;)
		pause();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_has_its_own),
		cmocka_unit_test(test_uids_rest),
		cmocka_unit_test(test_all_share_one),
		cmocka_unit_test(test_priority),
		cmocka_unit_test(test_priority_without_the_right),
		cmocka_unit_test(test_nobody_outlives_the_broker),
		cmocka_unit_test(test_requests_of_another_length),
		cmocka_unit_test(test_requests_with_other_descriptors),
		cmocka_unit_test(test_requests_of_another_kind),
		cmocka_unit_test(test_requests_that_make_no_sense),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_oversized_events),
	};

	if (argc > 1)
		return argc == 5 || argc == 6 ? be_worker(argv) : 2;
	if (geteuid() != 0)
		return 77;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
