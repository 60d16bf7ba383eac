/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of the host, looked at by the side process under its own filter: those that answer, and those of a file
 * system that does not, which is one of FUSE that nobody serves. Where it matters what the side process is asked, the test
 * is in its place.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind_check.h"
#include "bind_fixture.h"
#include "bind_source.h"
#include "config.h"
#include "fd.h"
#include "ipc_chan.h"
#include "policy.h"
#include "test.h"
#include "wire.h"

#define ANSWERS_MS 60000 /* where all answer, however busy the machine is */
#define HANGS_MS   3000
#define ASKED      128 /* as many as may hang below one root */
#define MANY       900 /* more than a socket holds, and the last of them are not the first that wait */
#define GIVEN_UP   100

static char base[] = "/srv/sallyport-test-XXXXXX";
static struct config config;

static struct event_base *loop;
static struct bind_checker *checker;
static pid_t side_process;
static int asked_fd = -1; /* where the test is the side process */
static bool gone;

/* One question, and what came of it. */
struct asked {
	struct bind_check *check;
	int outcome;
	char why[256];
	bool told;
};

static void
on_answer(void *arg, int outcome, const char *why)
{
	struct asked *a = arg;

	assert_false(a->told);
	a->told = true;
	a->check = NULL;
	a->outcome = outcome;
	(void)snprintf(a->why, sizeof(a->why), "%s", why);
}

static void
on_gone(void *arg)
{
	(void)arg;
	gone = true;
}

static void
ask(struct asked *a, const char *root, const char *name)
{
	char source[PATH_MAX];
	struct policy_bind bind = { .root = root, .source = source };

	(void)snprintf(source, sizeof(source), "%s/%s", root, name);
	*a = (struct asked){ .outcome = -1 };
	assert_int_equal(bind_check(checker, &bind, on_answer, a, &a->check), 0);
	/* What was asked about is no loan. */
	memset(source, 'x', sizeof(source) - 1);
	assert_false(a->told);
}

static void
wait_for(const struct asked *a)
{
	while (!a->told)
		assert_int_equal(event_base_loop(loop, EVLOOP_ONCE), 0);
}

static void
says(const char *root, const char *name, int outcome, const char *words)
{
	struct asked a;

	ask(&a, root, name);
	wait_for(&a);
	if (a.outcome != outcome || strstr(a.why, words) == NULL)
		fail_msg("%s: %d, \"%s\" instead of %d, \"%s\"", name, a.outcome, a.why, outcome,
		    words);
}

static void
make_checker(int fd, uint32_t timeout_ms)
{
	loop = event_base_new();
	assert_non_null(loop);
	assert_int_equal(bind_checker_new(loop, fd, timeout_ms, on_gone, NULL, &checker), 0);
	gone = false;
}

static int
set_up(uint32_t timeout_ms)
{
	int fd;

	if (geteuid() != 0)
		return 0;
	assert_int_equal(bind_checker_start(&config, &fd, &side_process), 0);
	make_checker(fd, timeout_ms);
	return 0;
}

static int
set_up_answers(void **state)
{
	(void)state;
	return set_up(ANSWERS_MS);
}

static int
set_up_hangs(void **state)
{
	(void)state;
	return set_up(HANGS_MS);
}

static int
set_up_own(uint32_t timeout_ms)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	asked_fd = pair[1];
	make_checker(pair[0], timeout_ms);
	return 0;
}

static int
set_up_own_answers(void **state)
{
	(void)state;
	return set_up_own(ANSWERS_MS);
}

static int
set_up_own_hangs(void **state)
{
	(void)state;
	return set_up_own(HANGS_MS);
}

static int
tear_down(void **state)
{
	(void)state;
	fd_close(&asked_fd);
	bind_checker_free(checker);
	if (loop != NULL)
		event_base_free(loop);
	return 0;
}

static void
test_answers(void **state)
{
	struct asked many[ASKED];
	char path[PATH_MAX];

	(void)state;
	if (geteuid() != 0)
		skip();
	(void)snprintf(path, sizeof(path), "%s/there", base);
	assert_int_equal(mkdir(path, 0755), 0);
	says(base, "there", 0, "");
	says(base, "nowhere", BIND_SOURCE_E_MISSING, "nowhere does not exist");
	says(base, "there/..", BIND_SOURCE_E_UNSAFE, "is not below");
	says("/etc", "sallyport", BIND_SOURCE_E_UNSAFE, "which is sallyport's");
	for (int i = 0; i < ASKED; i++)
		ask(&many[i], base, i % 2 == 0 ? "there" : "nowhere");
	bind_check_cancel(many[1].check);
	for (int i = 0; i < ASKED; i++) {
		if (i == 1)
			continue;
		wait_for(&many[i]);
		assert_int_equal(many[i].outcome, i % 2 == 0 ? 0 : BIND_SOURCE_E_MISSING);
	}
	says(base, "there", 0, "");
	assert_false(many[1].told);
	assert_int_equal(rmdir(path), 0);
}

/* So many that nobody asked about so far, for as long as it takes. */
static void
hang(struct asked *many, int n, const char *root)
{
	char name[16];

	for (int i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		ask(&many[i], root, n == 1 ? "x" : name);
	}
	for (int i = 0; i < n; i++)
		assert_false(many[i].told);
	for (int i = 0; i < n; i++) {
		wait_for(&many[i]);
		assert_int_equal(many[i].outcome, BIND_CHECK_E_HANGS);
	}
}

/* Without a child for it, and without time. Else it hangs from now on. */
static bool
is_refused_at_once(const char *root, const char *name)
{
	struct asked a;
	bool at_once;

	ask(&a, root, name);
	assert_int_equal(event_base_loop(loop, EVLOOP_NONBLOCK), 0);
	at_once = a.told;
	wait_for(&a);
	assert_int_equal(a.outcome, BIND_CHECK_E_HANGS);
	return at_once;
}

/* One hangs, and others do not; many hang, and nobody waits any more; the server is back, and all is as before. */
static void
test_hangs(void **state)
{
	char root[PATH_MAX], options[64];
	struct asked many[ASKED];
	struct asked last;
	struct asked given_up;
	int fuse = geteuid() == 0 ? open("/dev/fuse", O_RDWR | O_CLOEXEC) : -1;

	(void)state;
	(void)snprintf(root, sizeof(root), "%s/hung", base);
	(void)snprintf(options, sizeof(options),
	    "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fuse);
	if (fuse < 0)
		skip();
	assert_int_equal(mkdir(root, 0755), 0);
	if (mount("nobody", root, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		(void)rmdir(root);
		skip();
	}
	ask(&given_up, root, "x");
	bind_check_cancel(given_up.check);
	/* Two for one directory. */
	hang(many, 1, root);
	says(base, "nowhere", BIND_SOURCE_E_MISSING, "nowhere does not exist");
	assert_true(is_refused_at_once(root, "x"));
	assert_false(is_refused_at_once(root, "y"));
	hang(many, ASKED - 3, root);
	assert_true(is_refused_at_once(root, "new"));
	says(base, "nowhere", BIND_SOURCE_E_MISSING, "nowhere does not exist");

	assert_int_equal(close(fuse), 0);
	assert_int_equal(umount2(root, MNT_DETACH), 0);
	/* Those that hung are answered. */
	do {
		ask(&last, root, "x");
		wait_for(&last);
	} while (last.outcome == BIND_CHECK_E_HANGS);
	assert_int_equal(last.outcome, BIND_SOURCE_E_MISSING);
	assert_false(given_up.told);
	assert_int_equal(rmdir(root), 0);
}

/* ---- more at once than the side process's socket holds ---- */

static struct asked many[MANY];

static void
ask_many(void)
{
	char name[16];

	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		ask(&many[i], base, name);
	}
}

static void
test_many(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(kill(side_process, SIGSTOP), 0);
	ask_many();
	assert_int_equal(kill(side_process, SIGCONT), 0);
	for (int i = 0; i < MANY; i++) {
		wait_for(&many[i]);
		assert_int_equal(many[i].outcome, BIND_SOURCE_E_MISSING);
	}
}

/* The next question, if there is one, with the number that is its directory's name, and where its answer goes. */
static bool
is_asked(int *ret_number, int *ret_fd)
{
	uint8_t buf[2 * PATH_MAX];
	char source[PATH_MAX], root[PATH_MAX];
	struct wire_reader r;
	unsigned n_fds = 0;
	size_t len = 0;
	int outcome =
	    ipc_chan_recv_fds(asked_fd, buf, sizeof(buf), &len, ret_fd, 1, &n_fds, MSG_DONTWAIT);

	if (outcome == IPC_CHAN_E_AGAIN)
		return false;
	assert_int_equal(outcome, 0);
	assert_int_equal(n_fds, 1);
	wire_reader_init(&r, buf, len);
	wire_get_cstr(&r, source, sizeof(source));
	wire_get_cstr(&r, root, sizeof(root));
	assert_int_equal(wire_finish(&r), 0);
	*ret_number = atoi(strrchr(source, '/') + 1);
	return true;
}

static void
answer(int fd, int outcome)
{
	uint8_t buf[16];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u32(&w, (uint32_t)outcome);
	wire_put_cstr(&w, "");
	assert_int_equal(ipc_chan_send(fd, w.data, w.len, NULL, 0, MSG_DONTWAIT), 0);
	fd_close(&fd);
}

static void
go_round(void)
{
	assert_int_equal(event_base_loop(loop, EVLOOP_NONBLOCK), 0);
}

/* All that there is now is to be asked in its order, from this one on, and answered with its number. */
static int
answer_from(int next)
{
	int number, fd;

	for (; is_asked(&number, &fd); next++) {
		assert_int_equal(number, next);
		answer(fd, number);
	}
	return next;
}

static void
test_turns(void **state)
{
	int next, before;

	(void)state;
	ask_many();
	/* One that was asked, and those that were asked last. */
	bind_check_cancel(many[0].check);
	for (int i = MANY - GIVEN_UP; i < MANY; i++)
		bind_check_cancel(many[i].check);
	next = answer_from(0);
	assert_in_range(next, 2, MANY - GIVEN_UP - 1);
	do {
		go_round();
		before = next;
		next = answer_from(next);
	} while (next != before);
	assert_int_equal(next, MANY - GIVEN_UP);
	go_round();
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(many[i].told, i != 0 && i < MANY - GIVEN_UP);
		assert_int_equal(many[i].outcome, many[i].told ? i : -1);
	}
	/* With nobody before it, at once. */
	ask(&many[0], base, "0");
	assert_int_equal(answer_from(0), 1);
	wait_for(&many[0]);
	assert_int_equal(many[0].outcome, 0);
}

/* All that wait are given up: the next one's turn comes all the same. */
static void
test_turns_given_up(void **state)
{
	int next;

	(void)state;
	ask_many();
	for (int i = 0; i < MANY; i++)
		bind_check_cancel(many[i].check);
	next = answer_from(0);
	assert_in_range(next, 2, MANY - 1);
	go_round();
	assert_int_equal(answer_from(next), next);
	ask(&many[0], base, "0");
	assert_int_equal(answer_from(0), 1);
	wait_for(&many[0]);
}

static void
test_turn_never_comes(void **state)
{
	int next;

	(void)state;
	ask_many();
	for (int i = 0; i < MANY; i++) {
		wait_for(&many[i]);
		assert_int_equal(many[i].outcome, BIND_CHECK_E_HANGS);
	}
	assert_non_null(strstr(many[0].why, "file system does not answer"));
	assert_non_null(strstr(many[MANY - 1].why, "its turn"));
	/* Nobody asks for them later. */
	next = answer_from(0);
	assert_in_range(next, 2, MANY - 1);
	go_round();
	assert_int_equal(answer_from(next), next);
	ask(&many[0], base, "0");
	assert_int_equal(answer_from(0), 1);
	wait_for(&many[0]);
	assert_int_equal(many[0].outcome, 0);
}

static void
test_gone_before_turns(void **state)
{
	(void)state;
	ask_many();
	fd_close(&asked_fd);
	for (int i = 0; i < MANY; i++) {
		wait_for(&many[i]);
		assert_true(many[i].outcome == -EIO || many[i].outcome == -EPIPE);
		assert_string_equal(many[i].why, "it could not be looked at");
	}
	assert_int_equal(many[0].outcome, -EIO);          /* it was asked */
	assert_int_equal(many[MANY - 1].outcome, -EPIPE); /* it was not */
	assert_true(gone);
}

static void
test_gone(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(kill(side_process, SIGKILL), 0);
	while (!gone)
		assert_int_equal(event_base_loop(loop, EVLOOP_ONCE), 0);
}

static void
test_ends_with_its_connection(void **state)
{
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	bind_checker_free(checker);
	checker = NULL;
	assert_int_equal(waitpid(side_process, &status, 0), side_process);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int
make_base(void **state)
{
	struct rlimit files;

	(void)state;
	config = bind_config();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	if (geteuid() != 0)
		return 0;
	assert_non_null(mkdtemp(base));
	return chmod(base, 0755);
}

static int
remove_base(void **state)
{
	(void)state;
	return geteuid() != 0 ? 0 : rmdir(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, set_up_answers, tear_down),
		cmocka_unit_test_setup_teardown(test_hangs, set_up_hangs, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up_answers, tear_down),
		cmocka_unit_test_setup_teardown(test_turns, set_up_own_answers, tear_down),
		cmocka_unit_test_setup_teardown(test_turns_given_up, set_up_own_answers, tear_down),
		cmocka_unit_test_setup_teardown(test_turn_never_comes, set_up_own_hangs, tear_down),
		cmocka_unit_test_setup_teardown(test_gone_before_turns, set_up_own_answers, tear_down),
		cmocka_unit_test_setup_teardown(test_gone, set_up_answers, tear_down),
		cmocka_unit_test_setup_teardown(test_ends_with_its_connection, set_up_answers,
		    tear_down),
	};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
