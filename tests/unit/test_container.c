/* SPDX-License-Identifier: Apache-2.0 */
/* The ends of containers: one that comes before its beginning is over, and those that wait for who comes. */
#include "test.h"

#include "container.h"
#include "data_path.h"
#include "engine.h"
#include "pool.h"
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

/* Somebody has a container that is up. */
static struct scene_worker *
log_in(enum scene_user user)
{
	struct scene_worker *w = scene_log_in(&scene, user);

	assert_non_null(w);
	scene_send(&scene, w, buf, scene_put_start(0, false, false, "id", buf, sizeof(buf)));
	assert_true(scene_launched(&scene, 0, 0));
	assert_true(scene_path_ready(&scene, 0));
	return w;
}

static void
log_out(struct scene_worker *w)
{
	scene_close(&scene, w);
	scene_turn(&scene);
}

/* Its removal waits for what a login needs of the machine. */
static void
test_empty_waits_for_a_login(void **state)
{
	(void)state;
	scene_begin(&scene);
	log_out(log_in(SCENE_ALICE));
	assert_true(scene_emptied(&scene, 0, false));
	scene_pass(&scene, 200000);
	assert_int_equal(scene.discards, 0);
	scene_pass(&scene, 150000);
	assert_int_equal(scene.discards, 1);
	scene_end(&scene);
}

/* Where nobody comes, or the service stops, it waits for nothing. */
static void
test_empty_waits_for_nobody(void **state)
{
	struct scene_worker *w;

	(void)state;
	scene_begin(&scene);
	w = log_in(SCENE_ALICE);
	scene_pass(&scene, 1000000);
	log_out(w);
	assert_int_equal(scene.discards, 0);
	assert_true(scene_emptied(&scene, 0, false));
	assert_int_equal(scene.discards, 1);
	w = log_in(SCENE_ALICE);
	log_out(w);
	scene.broker.draining = true;
	assert_true(scene_emptied(&scene, 0, false));
	assert_int_equal(scene.discards, 2);
	scene_end(&scene);
}

/* However many come; it has ten seconds for everything. */
static void
test_empty_does_not_wait_for_ever(void **state)
{
	(void)state;
	scene_begin(&scene);
	log_out(log_in(SCENE_ALICE));
	assert_true(scene_emptied(&scene, 0, false));
	for (unsigned i = 0; i < 7; i++) {
		scene_pass(&scene, 250000);
		(void)log_in(i < 3 ? SCENE_ALICE : SCENE_BOB);
	}
	scene_pass(&scene, 200000);
	assert_int_equal(scene.discards, 0);
	scene_pass(&scene, 90000);
	assert_int_equal(scene.discards, 1);
	scene_end(&scene);
}

/* Its removal is part of what has the grace time, two seconds here. */
static void
test_empty_has_the_grace_time(void **state)
{
	(void)state;
	scene_begin(&scene);
	log_out(log_in(SCENE_BOB));
	scene_pass(&scene, 1500000);
	assert_true(scene_emptied(&scene, 0, false));
	assert_int_equal(scene.discards, 1);
	log_out(log_in(SCENE_BOB));
	scene_pass(&scene, 1000000);
	(void)log_in(SCENE_ALICE);
	assert_true(scene_emptied(&scene, 0, false));
	for (unsigned i = 0; i < 3; i++) {
		scene_pass(&scene, 240000);
		(void)log_in(SCENE_ALICE);
	}
	scene_pass(&scene, 230000);
	assert_int_equal(scene.discards, 1);
	scene_pass(&scene, 60000);
	assert_int_equal(scene.discards, 2);
	scene_end(&scene);
}

/* Nor for an engine that removes nothing, or for one that has no time when the service stops. */
static void
test_empty_does_not_wait_for_the_engine(void **state)
{
	(void)state;
	scene_begin(&scene);
	scene.removing = 100;
	log_out(log_in(SCENE_ALICE));
	assert_true(scene_emptied(&scene, 0, false));
	for (unsigned i = 0; i < 48; i++)
		scene_pass(&scene, 100000);
	assert_int_equal(scene.discards, 0);
	scene_pass(&scene, 300000);
	assert_int_equal(scene.discards, 1);
	log_out(log_in(SCENE_ALICE));
	assert_true(scene_emptied(&scene, 0, false));
	assert_int_equal(scene.discards, 1);
	scene.broker.draining = true;
	scene_pass(&scene, 60000);
	assert_int_equal(scene.discards, 2);
	scene_end(&scene);
}

/* Four is what the policy lets everybody have: those in which nobody is left are not in the way of a fifth. */
static void
test_empty_gives_way(void **state)
{
	struct scene_worker *w[5];

	(void)state;
	scene_begin(&scene);
	for (unsigned i = 0; i < 4; i++)
		w[i] = log_in(SCENE_ALICE);
	log_out(w[0]);
	w[4] = scene_log_in(&scene, SCENE_ALICE);
	scene_send(&scene, w[4], buf, scene_put_start(0, false, false, "id", buf, sizeof(buf)));
	/* Somebody may be in there. */
	assert_int_equal(w[4]->channels[0].starts, 0);
	assert_int_equal(w[4]->started_programs, 0);
	assert_int_equal(scene.discards, 0);
	assert_true(scene_emptied(&scene, 0, false));
	assert_int_equal(scene.discards, 0);
	assert_int_equal(scene.launches, 4);
	scene_send(&scene, w[4], buf, scene_put_start(1, false, false, "id", buf, sizeof(buf)));
	assert_int_equal(scene.discards, 1);
	assert_int_equal(scene.launches, 5);
	scene_end(&scene);
}

/* Who cannot say it has not said it: there is the grace time, and no more. */
static void
test_empty_is_not_guessed(void **state)
{
	struct scene_worker *w;

	(void)state;
	scene_begin(&scene);
	w = log_in(SCENE_ALICE);
	scene_pass(&scene, 1000000);
	log_out(w);
	assert_true(scene_emptied(&scene, 0, true));
	scene_pass(&scene, 9000000);
	assert_int_equal(scene.discards, 0);
	scene_pass(&scene, 1100000);
	assert_int_equal(scene.discards, 1);
	scene_end(&scene);
}

/* Beside a pool of two, everybody may have one more. */
static void
begin_with_pool(void)
{
	scene_begin(&scene);
	scene_set_policy(&scene,
	    "\"profiles\": { \"shared\": { \"container\": { \"image\": \"shared-image\", \"user\": \"1001:1001\" } },"
	    "\"spare\": { \"container\": { \"image\": \"shared-image\", \"user\": \"1001:1001\", \"pool\": 2 } } },"
	    "\"ceilings\": { \"global\": { \"containers\": 3 } },"
	    "\"rules\": [ { \"id\": \"a\", \"if\": { \"user\": [\"alice\"] }, \"use\": \"shared\" } ]");
	assert_int_equal(pool_new(&scene.broker, &scene.broker.pool), 0);
	pool_policy_changed(scene.broker.pool);
	scene_pass(&scene, 60000);
	while (scene_launched(&scene, 0, 0))
		assert_true(scene_path_ready(&scene, 0));
	assert_int_equal(pool_counts(scene.broker.pool).ready, 2);
}

static void
end_with_pool(void)
{
	pool_stop(scene.broker.pool);
	scene_pass(&scene, 20000000);
	pool_free(scene.broker.pool);
	scene.broker.pool = NULL;
	scene_end(&scene);
}

/* Who waits for somebody stays when there is one who waits for nobody. */
static void
test_empty_gives_way_before_the_pool(void **state)
{
	(void)state;
	begin_with_pool();
	log_out(log_in(SCENE_ALICE));
	assert_true(scene_emptied(&scene, 0, false));
	assert_int_equal(scene.discards, 0);
	(void)log_in(SCENE_ALICE);
	assert_int_equal(scene.discards, 1);
	assert_int_equal(pool_counts(scene.broker.pool).ready, 2);
	end_with_pool();
}

static void
is_stale(struct container *c, void *arg)
{
	unsigned *n = arg;

	(*n)++;
	container_is_stale(c);
}

/* An image is another: its pool fills up again, and takes the place of who would have been looked at next. */
static void
test_empty_gives_way_while_all_are_visited(void **state)
{
	unsigned n = 0;

	(void)state;
	begin_with_pool();
	log_out(log_in(SCENE_ALICE));
	assert_true(scene_emptied(&scene, 0, false));
	container_set_visit(scene.broker.containers, is_stale, &n);
	assert_int_equal(scene.discards, 1);
	end_with_pool();
}

/* Somebody's order is on its way to a container whose end only the engine knows. */
static struct scene_worker *
order_afar(void)
{
	struct scene_worker *w = scene_log_in(&scene, SCENE_ALICE);

	assert_non_null(w);
	assert_true(scene_launched(&scene, 0, 0));
	assert_true(scene_path_ready_afar(&scene, 0));
	scene.start_result = DATA_PATH_E_LATER;
	scene_send(&scene, w, buf, scene_put_start(0, false, false, "id", buf, sizeof(buf)));
	assert_int_equal(w->channels[0].starts, 1);
	return w;
}

/* It waits not longer than some minutes for an answer that may never come, and then looks; and so on. */
static void
test_the_engine_is_asked_anew(void **state)
{
	static const unsigned errors[] = { ENGINE_E_TIMEOUT, ENGINE_E_UNREACHABLE };

	(void)state;
	scene_begin(&scene);
	(void)order_afar();
	for (unsigned i = 0; i < 4; i++) {
		assert_in_range(scene.wait_ms, 5 * 60000, 10 * 60000 - 1);
		assert_true(scene_answered(&scene, 0, errors[i % 2], false));
		scene_pass(&scene, 1900000);
		assert_false(scene_answered(&scene, 0, 0, true));
		scene_pass(&scene, 1200000);
		assert_int_equal(scene.wait_ms, 0);
		assert_true(scene_answered(&scene, 0, 0, true));
	}
	assert_int_not_equal(scene.wait_ms, 0);
	assert_true(scene_answered(&scene, 0, ENGINE_E_TIMEOUT, false));
	scene_pass(&scene, 3000000);
	assert_int_equal(scene.discards, 0);
	assert_true(scene_answered(&scene, 0, 0, false));
	assert_int_equal(scene.discards, 1);
	scene_end(&scene);
}

/* Who waits for a program in one that has ended gets another one; but not for ever, or where another one runs. */
static void
test_another_one(void **state)
{
	struct scene_worker *w;

	(void)state;
	scene_begin(&scene);
	w = order_afar();
	scene_send(&scene, w, buf, scene_put_listen(2, NULL, 0, buf, sizeof(buf)));
	scene_send(&scene, w, buf, scene_put_start(1, false, false, "id", buf, sizeof(buf)));
	assert_true(scene_path_ended(&scene, 0));
	assert_int_equal(scene.discards, 1);
	assert_int_equal(scene.launches, 2);
	assert_false(scene_ordered(&scene, 0));
	assert_true(scene_launched(&scene, 0, 0));
	assert_true(scene_path_ready_afar(&scene, 0));
	while (scene_ordered(&scene, 0))
		continue;
	assert_int_equal(w->started_programs, 2);
	assert_true(w->channels[2].running);
	/* In this one something runs. */
	scene_send(&scene, w, buf, scene_put_close(1, buf, sizeof(buf)));
	scene_send(&scene, w, buf, scene_put_start(1, false, false, "id", buf, sizeof(buf)));
	assert_int_equal(w->channels[1].starts, 1);
	assert_true(scene_path_ended(&scene, 0));
	assert_int_equal(w->channels[1].starts, 0);
	assert_int_equal(scene.launches, 2);
	scene_end(&scene);
}

/* Nor where something has run before, and has left something there perhaps. */
static void
test_another_one_is_not_taken_for_the_same(void **state)
{
	struct scene_worker *w;

	(void)state;
	scene_begin(&scene);
	w = order_afar();
	assert_true(scene_ordered(&scene, 0));
	assert_int_equal(w->started_programs, 1);
	scene_send(&scene, w, buf, scene_put_close(0, buf, sizeof(buf)));
	scene_send(&scene, w, buf, scene_put_start(1, false, false, "id", buf, sizeof(buf)));
	assert_int_equal(w->channels[1].starts, 1);
	assert_true(scene_path_ended(&scene, 0));
	assert_int_equal(w->channels[1].starts, 0);
	assert_int_equal(scene.launches, 1);
	scene_end(&scene);
}

static void
test_another_one_once(void **state)
{
	struct scene_worker *w;

	(void)state;
	scene_begin(&scene);
	w = order_afar();
	assert_true(scene_path_ended(&scene, 0));
	assert_true(scene_launched(&scene, 0, 0));
	assert_true(scene_path_ready_afar(&scene, 0));
	assert_int_equal(w->channels[0].starts, 1);
	assert_true(scene_path_ended(&scene, 0));
	assert_int_equal(w->channels[0].starts, 0);
	assert_int_equal(w->started_programs, 0);
	assert_int_equal(scene.launches, 2);
	scene_end(&scene);
}

/* Those that wait in the pool may have ended, too; and one that does not start is not begun again. */
static void
test_another_one_is_a_new_one(void **state)
{
	struct scene_worker *w;

	(void)state;
	scene_begin(&scene);
	scene_set_policy(&scene,
	    "\"profiles\": { \"shared\": { \"container\": { \"image\": \"shared-image\", \"user\": \"1001:1001\","
	    "\"pool\": 2 } } },"
	    "\"rules\": [ { \"id\": \"a\", \"if\": { \"user\": [\"alice\"] }, \"use\": \"shared\" } ]");
	assert_int_equal(pool_new(&scene.broker, &scene.broker.pool), 0);
	pool_policy_changed(scene.broker.pool);
	scene_pass(&scene, 60000);
	while (scene_launched(&scene, 0, 0))
		assert_true(scene_path_ready_afar(&scene, 0));
	assert_int_equal(pool_counts(scene.broker.pool).ready, 2);
	scene.start_result = DATA_PATH_E_LATER;
	w = scene_log_in(&scene, SCENE_ALICE);
	assert_non_null(w);
	scene_send(&scene, w, buf, scene_put_start(0, false, false, "id", buf, sizeof(buf)));
	assert_int_equal(pool_counts(scene.broker.pool).ready, 1);
	assert_true(scene_path_ended(&scene, 0));
	assert_int_equal(pool_counts(scene.broker.pool).ready, 1);
	assert_int_equal(scene.launches, 3);
	assert_true(scene_launched(&scene, 0, ENGINE_E_FAILED));
	assert_int_equal(w->channels[0].starts, 0);
	assert_int_equal(scene.launches, 3);
	end_with_pool();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_engine_is_asked_anew),
		cmocka_unit_test(test_another_one),
		cmocka_unit_test(test_another_one_is_not_taken_for_the_same),
		cmocka_unit_test(test_another_one_once),
		cmocka_unit_test(test_another_one_is_a_new_one),
		cmocka_unit_test(test_empty_waits_for_a_login),
		cmocka_unit_test(test_empty_waits_for_nobody),
		cmocka_unit_test(test_empty_does_not_wait_for_ever),
		cmocka_unit_test(test_empty_has_the_grace_time),
		cmocka_unit_test(test_empty_does_not_wait_for_the_engine),
		cmocka_unit_test(test_empty_gives_way),
		cmocka_unit_test(test_empty_gives_way_before_the_pool),
		cmocka_unit_test(test_empty_gives_way_while_all_are_visited),
		cmocka_unit_test(test_empty_is_not_guessed),
		cmocka_unit_test(test_down_before_the_engine_has_answered),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}
