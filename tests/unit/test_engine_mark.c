/* SPDX-License-Identifier: Apache-2.0 */
/* engine_mark: what the engine was comes back, whatever else is in the state directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_mark.h"
#include "policy.h"
#include "test.h"

static char dir[] = "/tmp/sp-mark-XXXXXX";

static void
test_comes_back(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		/* Each after each other one, twice. */
		unsigned facts = (i * 3) % 8;
		struct policy_engine engine = { .elsewhere = facts & 1,
			.own_kernels = facts & 2,
			.only_direct = facts & 4 };
		struct policy_engine found;

		engine_mark_set(dir, &engine);
		engine_mark_set(dir, &engine);
		memset(&found, 0xff, sizeof(found));
		engine_mark_get(dir, &found);
		assert_memory_equal(&found, &engine, sizeof(found));
	}
}

static void
test_nothing_there(void **state)
{
	static const struct policy_engine here;
	struct policy_engine found = { true, true, true };
	char path[64];
	FILE *f;

	(void)state;
	engine_mark_set(dir, &here);
	/* No mark: somebody else's file; and no state directory. */
	(void)snprintf(path, sizeof(path), "%s/engine.elsewhere", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	engine_mark_get(dir, &found);
	assert_memory_equal(&found, &here, sizeof(found));
	assert_int_equal(unlink(path), 0);
	found = (struct policy_engine){ true, true, true };
	engine_mark_get("/nonexistent", &found);
	assert_memory_equal(&found, &here, sizeof(found));
	engine_mark_set("/nonexistent", &(struct policy_engine){ .elsewhere = true });
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_nothing_there),
	};

	if (mkdtemp(dir) == NULL)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
