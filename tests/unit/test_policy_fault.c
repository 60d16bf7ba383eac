/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation of a load fails once: the load says so, leaks nothing, and gives no policy.
 * jansson's own allocations stay as they are: 2.14 asserts where memory is missing within a string.
 */
#include "test.h"

#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "golden.h"

/* Load with the n-th allocation failing; whether any did. */
static bool
load_with_fault(const char *text, size_t len, unsigned long n, int *ret_outcome)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	bool hit;

	fault_allocation(n);
	*ret_outcome = policy_parse("p", text, len, &p, &diags);
	hit = fault_end();
	assert_int_equal(*ret_outcome == 0, p != NULL);
	/* Even with no room for a word of it, an error is counted. */
	assert_int_equal(*ret_outcome == 0, diags.n_errors == 0);
	policy_unref(p);
	diag_list_clear(&diags);
	return hit;
}

static unsigned long
walk(const char *path, int wanted)
{
	size_t len;
	char *text = golden_read(path, &len);
	unsigned long n = 1;
	int outcome = 0;

	while (load_with_fault(text, len, n, &outcome)) {
		/* Never a policy; a bad file may still be known as bad. */
		assert_true(outcome == -ENOMEM || (wanted != 0 && outcome == wanted));
		n++;
	}
	assert_int_equal(outcome, wanted);
	free(text);
	print_message("%s: %lu allocations\n", strrchr(path, '/') + 1, n - 1);
	return n;
}

static void
test_good(void **state)
{
	(void)state;
	assert_true(walk(SP_TEST_DATA "/policy/good/every-key.json", 0) > 100);
}

static void
test_bad(void **state)
{
	static const char *const names[] = { "rule-from-host-bits", "extends-circle",
		"duplicate-nested", "text-comma", "limits-range", "user-later", "top-unsafe-name",
		"text-number-too-big", "image-undefined-near", "key-private" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		char path[256];

		(void)snprintf(path, sizeof(path), "%s/policy/bad/%s.json", SP_TEST_DATA, names[i]);
		assert_true(walk(path, POLICY_E_INVALID) > 5);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
