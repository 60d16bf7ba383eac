/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of the policy parser, word for word, and files that give none. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	assert_true(golden_walk(SP_TEST_DATA "/policy/warn", 0, judge) >= 9);
}

/* What an editor is told; at a time when all that these files call past is past. */
static int
judge_as_editor(const char *path, const char *text, size_t len, struct diag_list *diags)
{
	struct policy *p = NULL;
	int r = policy_check(path, INT64_C(1000000000), &p, diags);

	(void)text;
	(void)len;
	assert_int_equal(r == 0, p != NULL);
	policy_unref(p);
	return r;
}

static void
test_lint(void **state)
{
	(void)state;
	assert_true(golden_walk(SP_TEST_DATA "/policy/lint", 0, judge_as_editor) >= 7);
}

static void
test_good(void **state)
{
	(void)state;
	assert_true(golden_walk(SP_TEST_DATA "/policy/good", 0, judge) >= 2);
}

/* Mark every code that a line of dir's .err files ends with. */
static void
mark_codes(const char *dir, bool seen[DIAG_N_CODES])
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	char name[64];

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL) {
		char path[512];
		size_t len;
		char *text;

		if (strstr(entry->d_name, ".err") == NULL)
			continue;
		assert_true(snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) > 0);
		text = golden_read(path, &len);
		for (unsigned code = 0; code < DIAG_N_CODES; code++) {
			(void)snprintf(name, sizeof(name), " [%s]\n", diag_code_name(code));
			seen[code] = seen[code] || strstr(text, name) != NULL;
		}
		free(text);
	}
	assert_int_equal(closedir(d), 0);
}

/* No code without a file that earns it, but for those that no file's words can. */
static void
test_every_code(void **state)
{
	bool seen[DIAG_N_CODES] = {
		[DIAG_E_FILE] = true,
		[DIAG_E_MEMORY] = true,
		[DIAG_E_BUG] = true,
		[DIAG_W_NO_WORKER_USER] = true, /* a machine's */
	};

	(void)state;
	mark_codes(SP_TEST_DATA "/policy/bad", seen);
	mark_codes(SP_TEST_DATA "/policy/warn", seen);
	mark_codes(SP_TEST_DATA "/policy/lint", seen);
	mark_codes(SP_TEST_DATA "/config/bad", seen);
	for (unsigned code = 0; code < DIAG_N_CODES; code++) {
		if (!seen[code])
			fail_msg("no file earns %s", diag_code_name(code));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_warn),
		cmocka_unit_test(test_lint),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_every_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
