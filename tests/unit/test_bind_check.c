/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of the host, looked at by the side process under its own filter: those that answer, and those of a file
 * system that does not, which is one of FUSE that nobody serves.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind_check.h"
#include "bind_fixture.h"
#include "bind_source.h"
#include "config.h"
#include "fd.h"
#include "policy.h"
#include "test.h"

#define ANSWERS_MS 60000 /* where all answer, however busy the machine is */
#define HANGS_MS   3000
#define ASKED      128 /* as many as may hang below one root */

static char base[] = "/srv/sallyport-test-XXXXXX";
static struct config config;

static struct event_base *loop;
static struct bind_checker *checker;
static pid_t side_process;
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

static int
set_up(uint32_t timeout_ms)
{
	int fd;

	if (geteuid() != 0)
		return 0;
	assert_int_equal(bind_checker_start(&config, &fd, &side_process), 0);
	loop = event_base_new();
	assert_non_null(loop);
	assert_int_equal(bind_checker_new(loop, fd, timeout_ms, on_gone, NULL, &checker), 0);
	gone = false;
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
tear_down(void **state)
{
	(void)state;
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
	(void)state;
	config = bind_config();
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
		cmocka_unit_test_setup_teardown(test_gone, set_up_answers, tear_down),
		cmocka_unit_test_setup_teardown(test_ends_with_its_connection, set_up_answers,
		    tear_down),
	};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
