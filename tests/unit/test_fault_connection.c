/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections from the first byte to the end, with each allocation and each system call failing once.
 * What support/scene.h holds against the broker holds here as well: nothing that was not earned, one
 * answer to each request of a worker that is still there, nothing left at the end.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>

#include "fault.h"
#include "scene.h"

static struct scene scene;
static enum scene_user who;

static void
around(bool broker)
{
	if (broker)
		fault_resume();
	else
		fault_pause();
}

/* The scene checks, at each step, that nobody gets what was not earned, and that nothing is left. */
static void
one_connection(bool faulty)
{
	struct scene_worker *w;
	uint8_t buf[4096];

	fault_pause();
	scene_begin_around(&scene, around);
	w = scene_log_in(&scene, who);
	if (w != NULL) {
		scene_send(&scene, w, buf, scene_put_start(0, false, false, "id", buf, sizeof(buf)));
		(void)scene_launched(&scene, 0, 0);
		(void)scene_path_ready(&scene, 0);
		scene_send(&scene, w, buf, scene_put_start(1, true, false, "", buf, sizeof(buf)));
		(void)scene_launched(&scene, 0, 0);
		(void)scene_path_ready(&scene, 0);
		scene_send(&scene, w, buf, scene_put_close(0, buf, sizeof(buf)));
		scene_pass(&scene, 3000000);
	}
	if (!faulty) {
		if (who == SCENE_CAROL)
			assert_null(w);
		else
			assert_true(w != NULL && w->started_programs == 2);
	}
	scene_end(&scene);
	fault_resume();
}

static void
test_memory(void **state)
{
	(void)state;
	for (unsigned u = 0; u < SCENE_USERS; u++) {
		who = (enum scene_user)u;
		assert_true(fault_walk(scene_names[u], one_connection) > 20);
	}
}

static void
test_system_calls(void **state)
{
	static const struct {
		enum fault_call call;
		int error;
	} cases[] = {
		{ FAULT_SOCKETPAIR, EMFILE },
		{ FAULT_PIPE2, EMFILE },
		{ FAULT_FCNTL, ENOMEM },
		{ FAULT_SEND, ENOMEM },
		{ FAULT_SEND, EAGAIN },
		{ FAULT_SEND, EINTR },
		{ FAULT_SEND, EPIPE },
		{ FAULT_RECEIVE, ENOMEM },
		{ FAULT_RECEIVE, EINTR },
		{ FAULT_RECEIVE, EAGAIN },
		{ FAULT_READ, EIO },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		bool hit = true;

		who = SCENE_ALICE;
		for (unsigned long n = 1; hit; n++) {
			fault_system(cases[i].call, n, cases[i].error, 0);
			one_connection(true);
			hit = fault_end();
		}
	}
	one_connection(false);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_system_calls),
	};

	fault_install_libraries();
	return cmocka_run_group_tests(tests, scene_group_setup, NULL);
}
