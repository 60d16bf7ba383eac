/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The date jumps (somebody sets the clock, summer time begins): no deadline comes earlier or later, and
 * nobody is let in or thrown out by it. Only the time that passes counts.
 */
#include "test.h"

#include "scene.h"

#define DAY 86400

static const int64_t jumps[] = { DAY, -DAY, 3600, -3600, 3650 * (int64_t)DAY, -3650 * (int64_t)DAY };

static struct scene scene;
static uint8_t buf[4096];

static struct scene_worker *
worker_at(enum scene_stage stage)
{
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++) {
		struct scene_worker *w = &scene.workers[i];

		if (w->used && w->ipc >= 0 && w->stage == stage)
			return w;
	}
	return NULL;
}

/* Somebody is logged in and has a program, somebody else has connected and says nothing. */
static void
test_deadlines(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(jumps); i++) {
		struct scene_worker *in;
		struct scene_worker *out;

		scene_set_date_jump(0);
		scene_begin(&scene);
		in = scene_log_in(&scene, SCENE_ALICE);
		assert_non_null(in);
		scene_send(&scene, in, buf, scene_put_start(0, true, true, "", buf, sizeof(buf)));
		assert_true(scene_launched(&scene, 0, 0) && scene_path_ready(&scene, 0));
		assert_int_equal(in->started_programs, 1);
		scene_client(&scene, 2);
		assert_non_null(worker_at(SCENE_STARTING));
		scene_send(&scene, worker_at(SCENE_STARTING), buf, scene_put_ready(buf, sizeof(buf)));
		out = worker_at(SCENE_EXCHANGE);
		assert_non_null(out);
		scene_send(&scene, out, buf, scene_put_sign(out, false, buf, sizeof(buf)));
		assert_true(out->ipc >= 0 && out->stage == SCENE_LOGIN);

		scene_set_date_jump(jumps[i]);
		scene_pass(&scene, 100000000); /* of the 120 s that a login may take */
		assert_true(out->ipc >= 0);
		scene_pass(&scene, 21000000);
		assert_true(out->ipc < 0);

		/* Who is in stays in, and works. */
		assert_true(in->ipc >= 0);
		scene_send(&scene, in, buf, scene_put_start(1, true, false, "", buf, sizeof(buf)));
		assert_int_equal(in->started_programs, 2);
		scene_end(&scene);
	}
	scene_set_date_jump(0);
}

static void
test_held_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(jumps); i++) {
		struct scene_worker *w;

		scene_set_date_jump(0);
		scene_begin(&scene);
		w = worker_at(SCENE_STARTING);
		assert_non_null(w);
		scene_send(&scene, w, buf, scene_put_ready(buf, sizeof(buf)));
		scene_client(&scene, 1);
		scene_send(&scene, w, buf, scene_put_sign(w, false, buf, sizeof(buf)));
		scene_send(&scene, w, buf,
		    scene_put_query(SCENE_NOBODY, SCENE_NOBODY, buf, sizeof(buf)));
		scene_set_date_jump(jumps[i]);
		scene_pass(&scene, 4000);
		assert_int_equal(w->refusals, 0);
		scene_pass(&scene, 6000);
		assert_int_equal(w->refusals, 1);
		scene_end(&scene);
	}
	scene_set_date_jump(0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_held_back),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}
