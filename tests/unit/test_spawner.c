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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attr.h"
#include "fd.h"
#include "ipc.h"
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
	assert_int_equal(sscanf(text, "%u %u", &ret->uid, &ret->gid), 2);
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

	(void)state;
	start_spawner(FIRST, FIRST, N_UIDS);
	for (uint32_t i = 0; i < N_UIDS; i++) {
		assert_int_equal(start(i, &w[i]), 0);
		assert_in_range(w[i].uid, FIRST, FIRST + N_UIDS - 1);
		assert_int_equal(w[i].gid, w[i].uid);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(w[k].uid, w[i].uid);
	}
	/* One more than there are uids: refused, and those that live are not disturbed. */
	assert_int_equal(start(99, &other), EUSERS);
	/* A uid is free again when its worker has been reaped: this one, and no other. */
	other = w[2];
	end(&w[2]);
	assert_int_equal(start(100, &w[2]), 0);
	assert_int_equal(w[2].uid, other.uid);
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

/* In the worker's place: --uid N --gid N. */
static int
be_worker(char **argv)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s %s", argv[2], argv[4]);
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
	};

	if (argc > 1)
		return argc == 5 ? be_worker(argv) : 2;
	if (geteuid() != 0)
		return 77;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
