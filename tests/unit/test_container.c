/* SPDX-License-Identifier: Apache-2.0 */
/* A container whose end comes before its beginning is over. */
#include "test.h"

#include "scene.h"

static struct scene scene;
static uint8_t buf[IPC_RECORD_MAX];

static void
test_down_before_the_engine_has_answered(void **state)
{
	struct scene_worker *w;

	(void)state;
	scene_begin(&scene);
	w = scene_log_in(&scene, SCENE_ALICE);
	assert_non_null(w);
	/* Who reports as its guest is gone at once. */
	assert_true(scene_path_failed(&scene, 0));
	assert_true(scene_launched(&scene, 0, 0));
	assert_false(scene_path_ready(&scene, 0));
	scene_send(&scene, w, buf, scene_put_start(0, false, false, "id", buf, sizeof(buf)));
	assert_int_equal(w->channels[0].starts, 0);
	assert_int_equal(w->started_programs, 0);
	assert_int_equal(scene.discards, 0);
	scene_close(&scene, w);
	scene_turn(&scene);
	/* The engine has made it, so it has to remove it. */
	assert_int_equal(scene.discards, 1);
	scene_end(&scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_down_before_the_engine_has_answered),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}
