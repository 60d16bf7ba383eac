/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that are of another release than the broker, and a spawner that reports what it should not: the
 * one costs that worker, the other is said and costs nobody, unless it is no report at all.
 */
#include "test.h"

#include <sys/socket.h>

#include "in_child.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "scene.h"

/* As in spawner.c. */
enum {
	SPAWNER_REPORT_STARTED = 2,
	SPAWNER_REPORT_FAILED = 3,
	SPAWNER_REPORT_EXITED = 4,
};

static struct scene scene;
static uint8_t buf[8192];

static void
say_ready(uint32_t version, size_t trailing, bool cut)
{
	struct scene_worker *w;
	struct wire_writer out;

	scene_begin(&scene);
	w = scene_pick(&scene, 0);
	assert_non_null(w);
	wire_writer_init(&out, buf, sizeof(buf));
	ipc_put_ready(&out, &(struct ipc_ready){ .version = version });
	for (size_t i = 0; i < trailing; i++)
		wire_put_u8(&out, 0);
	assert_false(out.failed);
	scene_send(&scene, w, buf, out.len - cut);
	/* It has no second try, nobody is handed to it, and the broker does not call itself ready. */
	assert_true(w->ipc < 0);
	assert_false(scene.ready);
	scene_client(&scene, 1);
	assert_int_not_equal(w->stage, SCENE_EXCHANGE);
	scene_end(&scene);
}

static void
test_worker_of_another_release(void **state)
{
	(void)state;
	say_ready(0, 0, false);
	say_ready(IPC_VERSION - 1, 0, false);
	say_ready(IPC_VERSION + 1, 0, false);
	say_ready(IPC_VERSION << 24, 0, false);
	say_ready(UINT32_MAX, 0, false);
}

static void
test_malformed_ready(void **state)
{
	(void)state;
	say_ready(IPC_VERSION, 0, true);
	say_ready(IPC_VERSION, 1, false);
	say_ready(IPC_VERSION, 4, false);
}

static void
report(uint8_t kind, uint32_t token, size_t cut)
{
	struct wire_writer out;
	int fd = 0;

	wire_writer_init(&out, buf, sizeof(buf));
	wire_put_u8(&out, kind);
	wire_put_u32(&out, token);
	wire_put_u32(&out, 1);
	assert_int_equal(ipc_chan_send(scene.spawner, buf, out.len - cut, &fd,
			     kind == SPAWNER_REPORT_STARTED, MSG_DONTWAIT),
	    0);
	scene_turn(&scene);
}

/* Nobody has asked for that worker: those that there are go on, and so does who comes after. */
static void
test_report_of_an_unknown_worker(void **state)
{
	static const uint32_t tokens[] = { 77, 0x80000000U, UINT32_MAX };
	struct scene_worker *w;
	unsigned fds;

	(void)state;
	scene_begin(&scene);
	w = scene_log_in(&scene, SCENE_ALICE);
	assert_non_null(w);
	fds = count_fds();
	for (size_t i = 0; i < SP_ARRAY_LEN(tokens); i++) {
		for (uint8_t kind = SPAWNER_REPORT_STARTED; kind <= SPAWNER_REPORT_EXITED; kind++)
			report(kind, tokens[i], 0);
	}
	assert_int_equal(count_fds(), fds);
	assert_false(scene.broken);
	assert_true(w->ipc >= 0);
	scene_close(&scene, w);
	assert_non_null(scene_log_in(&scene, SCENE_BOB));
	scene_end(&scene);
}

/* In a child: the pool listens to its spawner no more, and never comes to an end. */
static void
break_the_pool(void)
{
	for (size_t cut = 0; cut <= 8; cut++) {
		struct scene_worker *w;

		scene_begin(&scene);
		w = scene_log_in(&scene, SCENE_ALICE);
		CHILD_CHECK(w != NULL && !scene.broken);
		report(cut == 0 ? 0 : SPAWNER_REPORT_EXITED, w->token, cut);
		CHILD_CHECK(scene.broken);
		/* It says so once; what that spawner reports is nothing to anybody. */
		scene.broken = false;
		report(SPAWNER_REPORT_EXITED, w->token, 0);
		CHILD_CHECK(!scene.broken && w->ipc >= 0);
	}
}

/* Whoever says that cannot be relied on for anything any more: as when it is gone. */
static void
test_report_that_is_none(void **state)
{
	(void)state;
	assert_int_equal(in_child(break_the_pool), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worker_of_another_release),
		cmocka_unit_test(test_malformed_ready),
		cmocka_unit_test(test_report_of_an_unknown_worker),
		cmocka_unit_test(test_report_that_is_none),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}
