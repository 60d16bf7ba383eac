/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one login can make us write: so many bytes and refusals at once, then so many in a second, and not a
 * line of the audit log is missing for it. Who works, and does not flood, never waits. How many channels it has, of
 * which three are the profile's. And why it ended.
 */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "ipc_msg.h"
#include "log.h"
#include "peer.h"
#include "scene.h"
#include "worker_pool.h"

/* As in peer_input.c and answer_refused.c; common/PROTOCOL.md has the numbers. */
#define BURST           (1 << 20)
#define BYTES_PER_S     65536
#define REFUSAL_BYTES   4096
#define REFUSALS_LISTED 100

static struct scene scene;
static uint8_t buf[IPC_RECORD_MAX];

static struct scene_worker *
log_in(void)
{
	struct scene_worker *w;

	scene_begin(&scene);
	w = scene_log_in(&scene, SCENE_ALICE);
	assert_non_null(w);
	return w;
}

static void
serve_container(void)
{
	assert_true(scene_launched(&scene, 0, 0) && scene_path_ready(&scene, 0));
}

/* Everything that was written since, in both logs. */
static size_t
written(void)
{
	return scene_audit_read()->bytes + (size_t)log_bytes();
}

/* Within the bound, but for the record that takes the credit below zero. */
static void
check_bound(size_t bytes, int64_t us, size_t last)
{
	assert_true(bytes <= BURST + (size_t)(us / 1000000 + 1) * BYTES_PER_S + last);
}

static void
test_refused_forwards(void **state)
{
	struct scene_worker *w = log_in();
	size_t before = written();
	int64_t begun = scene_now_us();
	unsigned n = 1000;
	int64_t took;

	(void)state;
	for (unsigned i = 0; i < n; i++)
		scene_send(&scene, w, buf, scene_put_forward(0, "10.0.0.1", 22, buf, sizeof(buf)));
	took = scene_now_us() - begun;
	assert_true(w->ipc >= 0);
	assert_int_equal(scene_audit_read()->forwards[0], n);
	/* 1 MiB of credit is 256 of them, each of the others takes a sixteenth of a second. */
	assert_true(took > (int64_t)(n - 260) * 1000000 / 16);
	assert_true(took < (int64_t)n * 1000000 / 10);
	check_bound(written() - before, took, 4096);
	scene_end(&scene);
}

static void
test_long_commands(void **state)
{
	static char command[IPC_COMMAND_MAX + 1];
	struct scene_worker *w = log_in();
	size_t before = written();
	int64_t begun = scene_now_us();
	unsigned n = 60;
	int64_t took;

	(void)state;
	/* Each of these bytes is six in the audit log. */
	memset(command, 1, IPC_COMMAND_MAX);
	serve_container();
	for (unsigned i = 0; i < n; i++) {
		scene_send(&scene, w, buf,
		    scene_put_start(0, false, false, command, buf, sizeof(buf)));
		scene_send(&scene, w, buf, scene_put_close(0, buf, sizeof(buf)));
	}
	took = scene_now_us() - begun;
	assert_int_equal(w->started_programs, n);
	assert_int_equal(scene_audit_read()->programs[1], n);
	assert_true(written() - before > (size_t)n * 6 * IPC_COMMAND_MAX);
	check_bound(written() - before, took, 7 * IPC_COMMAND_MAX);
	scene_end(&scene);
}

/* Who disconnects and logs in again with the same key has what was left, and not all of it anew. */
static void
test_again_and_again(void **state)
{
	static char command[IPC_COMMAND_MAX + 1];
	int64_t begun;
	size_t before;
	unsigned n = 30;

	(void)state;
	memset(command, 1, IPC_COMMAND_MAX);
	scene_begin(&scene);
	before = written();
	begun = scene_now_us();
	for (unsigned i = 0; i < n; i++) {
		struct scene_worker *w = scene_log_in(&scene, SCENE_ALICE);

		assert_non_null(w);
		if (i == 0)
			serve_container();
		for (unsigned k = 0; k < 3; k++)
			scene_send(&scene, w, buf,
			    scene_put_start(k, false, false, command, buf, sizeof(buf)));
		scene_close(&scene, w);
		scene_report_exit(&scene, w, 0);
	}
	/* Nothing is missing, and what had to wait did: 90 commands of 288 KiB each. */
	assert_int_equal(scene_audit_read()->programs[1], 3 * n);
	assert_true(scene_now_us() - begun > 380 * INT64_C(1000000));
	check_bound(written() - before, scene_now_us() - begun, 7 * IPC_COMMAND_MAX);
	scene_end(&scene);
}

/* Whoever does not log in fills no disk: so many events, then so many in a second; the rest is a number. */
static void
test_strangers(void **state)
{
	unsigned n = 6000;
	unsigned lines;

	(void)state;
	scene_begin(&scene);
	lines = scene_audit_read()->lines;
	for (unsigned i = 0; i < n; i++) {
		struct scene_worker *w = scene_pick(&scene, 0);

		assert_non_null(w);
		scene_send(&scene, w, buf, scene_put_ready(buf, sizeof(buf)));
		scene_client(&scene, (uint8_t)(i % 250));
		scene_close(&scene, w);
		scene_report_exit(&scene, w, 0);
	}
	assert_int_equal(scene_audit_read()->lines - lines, 10000);
	worker_pool_log_summary(scene.broker.workers);
	assert_int_equal(scene_audit_read()->lines - lines, 10001);
	worker_pool_log_summary(scene.broker.workers);
	assert_int_equal(scene_audit_read()->lines - lines, 10001);
	/* Who logs in is written down, whatever others do. */
	assert_non_null(scene_log_in(&scene, SCENE_ALICE));
	assert_true(scene_audit_read()->lines - lines > 10001);
	scene_end(&scene);
}

/* A tool that runs one short command after the other, and ten at a time as far as it is let. */
static void
test_honest_work(void **state)
{
	struct scene_worker *w = log_in();
	int64_t begun;
	unsigned n = 1200;

	(void)state;
	serve_container();
	begun = scene_now_us();
	for (unsigned i = 0; i < n; i++) {
		uint32_t channel = i % 3;

		scene_send(&scene, w, buf,
		    scene_put_start(channel, false, false,
			"/bin/sh -c 'echo ~dev && sleep 0' && /usr/bin/python3 && sleep 0", buf,
			sizeof(buf)));
		scene_send(&scene, w, buf, scene_put_close(channel, buf, sizeof(buf)));
		scene_pass(&scene, 5000); /* 200 in a second */
	}
	assert_int_equal(w->started_programs, n);
	/* Six seconds, and none was made to wait. */
	assert_int_equal(scene_now_us() - begun, n * 5000);
	scene_end(&scene);
}

static void
test_told(void **state)
{
	struct scene_worker *w = log_in();
	unsigned lines;
	unsigned n = REFUSALS_LISTED + 50;
	int64_t begun = scene_now_us();

	(void)state;
	lines = scene_audit_read()->lines;
	for (unsigned i = 0; i < n; i++)
		scene_send(&scene, w, buf,
		    scene_put_refused(IPC_REFUSED_X11, "\x1b[31m", buf, sizeof(buf)));
	assert_int_equal(scene_audit_read()->lines, lines + REFUSALS_LISTED);
	/* Nor does who is refused a hundred times wait for it. */
	assert_int_equal(scene_now_us() - begun, 0);
	scene_close(&scene, w);
	/* The rest in one line, when it ends. */
	assert_int_equal(scene_audit_read()->told, n);
	scene_end(&scene);
}

static void
dismiss(struct peer *p, void *arg)
{
	(void)arg;
	if (p->state == PEER_LOGGED_IN)
		peer_dismiss(p, "Lunch is ready.", "ended by the administrator");
}

/* Who leaves when told to has not left for a reason of its own. */
static void
test_why_it_ended(void **state)
{
	struct scene_worker *w = log_in();

	(void)state;
	scene_close(&scene, w);
	assert_string_equal(scene_audit_read()->ended, "connection closed");
	scene_end(&scene);
	w = log_in();
	worker_pool_visit(scene.broker.workers, dismiss, NULL);
	scene_close(&scene, w);
	assert_string_equal(scene_audit_read()->ended, "ended by the administrator");
	scene_end(&scene);
}

/* What is not in the table of kinds, or too long, is a violation like any other. */
static void
test_told_nonsense(void **state)
{
	static char detail[IPC_DETAIL_MAX + 2];

	(void)state;
	memset(detail, 'x', IPC_DETAIL_MAX + 1);
	for (unsigned i = 0; i < 3; i++) {
		struct scene_worker *w = log_in();

		scene_send(&scene, w, buf,
		    scene_put_refused(i == 0 ? 0
			    : i == 1         ? IPC_REFUSED_END
					     : IPC_REFUSED_EXEC,
			i == 2 ? detail : "", buf, sizeof(buf)));
		assert_true(w->ipc < 0);
		assert_int_equal(scene_audit_read()->told, 0);
		scene_end(&scene);
	}
}

static void
start(struct scene_worker *w, uint32_t channel)
{
	scene_send(&scene, w, buf, scene_put_start(channel, false, false, "x", buf, sizeof(buf)));
}

static void
listen_at(struct scene_worker *w, uint32_t channel)
{
	scene_send(&scene, w, buf, scene_put_listen(channel, "localhost", 0, buf, sizeof(buf)));
}

static void
accept_one(struct scene_worker *w, uint32_t channel, uint32_t listener)
{
	scene_send(&scene, w, buf, scene_put_accepted(channel, listener, buf, sizeof(buf)));
}

static void
close_one(struct scene_worker *w, uint32_t channel)
{
	scene_send(&scene, w, buf, scene_put_close(channel, buf, sizeof(buf)));
}

/* Programs from this channel on: three, and the fourth is one too many. */
static void
check_three_places(struct scene_worker *w, uint32_t first)
{
	for (uint32_t i = 0; i < 3; i++)
		start(w, first + i);
	assert_true(w->ipc >= 0);
	start(w, first + 3);
	assert_true(w->ipc < 0);
	scene_end(&scene);
}

/* Whatever becomes of a listener, no place is taken by it, and none becomes free. */
static void
test_listeners_take_no_place(void **state)
{
	struct scene_worker *w = log_in();

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		listen_at(w, 10 + i); /* they wait for the container */
	check_three_places(w, 0);

	w = log_in();
	for (uint32_t i = 0; i < 5; i++)
		listen_at(w, 10 + i);
	for (uint32_t i = 0; i < 5; i++)
		close_one(w, 10 + i); /* given up before that */
	check_three_places(w, 0);

	w = log_in();
	serve_container();
	scene_send(&scene, w, buf, scene_put_listen(10, "localhost", 1, buf, sizeof(buf)));
	assert_int_equal(scene_audit_read()->listens[0], 1); /* not allowed */
	listen_at(w, 10);
	listen_at(w, 11);
	scene.start_result = -EPIPE;
	listen_at(w, 12); /* the guest does not take the order */
	scene.start_result = 0;
	close_one(w, 11);
	check_three_places(w, 11);
}

/* A number each, and who connects to them has a place. */
static void
test_as_many_listeners_as_may_be(void **state)
{
	struct scene_worker *w = log_in();

	(void)state;
	serve_container();
	for (uint32_t i = 0; i < IPC_LISTENERS_MAX - 1; i++)
		listen_at(w, i);
	for (uint32_t i = 1; i <= 3; i++)
		accept_one(w, IPC_CHANNEL_MAX - i, i);
	assert_true(w->ipc >= 0);
	close_one(w, IPC_CHANNEL_MAX - 2);
	accept_one(w, IPC_CHANNEL_MAX - 2, 0);
	listen_at(w, IPC_CHANNEL_MAX - 4);
	assert_true(w->ipc >= 0);
	assert_int_equal(scene_audit_read()->listens[1], IPC_LISTENERS_MAX);
	close_one(w, 0);
	accept_one(w, 0, 1);
	assert_true(w->ipc < 0); /* a number is free, and no place */
	scene_end(&scene);

	w = log_in();
	serve_container();
	for (uint32_t i = 0; i < IPC_LISTENERS_MAX; i++)
		listen_at(w, i);
	assert_true(w->ipc >= 0);
	close_one(w, 3);
	listen_at(w, 3);
	assert_true(w->ipc >= 0);
	listen_at(w, IPC_LISTENERS_MAX); /* a number is free, and one more than there may be */
	assert_true(w->ipc < 0);
	scene_end(&scene);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_forwards),
		cmocka_unit_test(test_long_commands),
		cmocka_unit_test(test_again_and_again),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_honest_work),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_told_nonsense),
		cmocka_unit_test(test_why_it_ended),
		cmocka_unit_test(test_listeners_take_no_place),
		cmocka_unit_test(test_as_many_listeners_as_may_be),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}
