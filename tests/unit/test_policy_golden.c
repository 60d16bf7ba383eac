/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of the policy parser, word for word, and files that give none. */
#include "test.h"

#include "golden.h"
#include "policy.h"

static int
judge(const char *path, const char *text, size_t len, struct diag_list *diags)
{
	struct policy *p = NULL;
	int r = policy_parse(path, text, len, &p, diags);

	assert_int_equal(r == 0, p != NULL);
	policy_unref(p);
	return r;
}

static void
test_bad(void **state)
{
	(void)state;
	/* Files that are not there would not fail. */
	assert_true(golden_walk(SP_TEST_DATA "/policy/bad", POLICY_E_INVALID, judge) >= 150);
}

static void
test_warn(void **state)
{
	(void)state;
	assert_true(golden_walk(SP_TEST_DATA "/policy/warn", 0, judge) >= 7);
}

static void
test_good(void **state)
{
	(void)state;
	assert_true(golden_walk(SP_TEST_DATA "/policy/good", 0, judge) >= 2);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_warn),
		cmocka_unit_test(test_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
