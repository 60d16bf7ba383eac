/* SPDX-License-Identifier: Apache-2.0 */
/* path: which directory a file is in. */
#include "path.h"

#include <errno.h>
#include <string.h>

#include "test.h"

static void
test_directory(void **state)
{
	static const char *const rows[][2] = {
		{ "a", "." },
		{ "/a", "/" },
		{ "/a/b", "/a" },
		{ "a/b", "a" },
		{ "../a", ".." },
		{ "a/", "a" },
		{ "/", "/" },
		{ "", "." },
	};
	char out[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(rows); i++) {
		path_directory(rows[i][0], out);
		assert_string_equal(out, rows[i][1]);
	}
}

static void
test_too_long_is_cut(void **state)
{
	static char longest[2 * PATH_MAX];
	char out[PATH_MAX];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 2] = '/';
	path_directory(longest, out);
	assert_int_equal(strlen(out), PATH_MAX - 1);
	assert_int_equal(path_sync_directory(longest), -ENAMETOOLONG);
}

static void
test_sync(void **state)
{
	(void)state;
	assert_int_equal(path_sync_directory("/tmp/a"), 0);
	assert_int_equal(path_sync_directory("a"), 0);
	assert_int_equal(path_sync_directory("/no/such/a"), -ENOENT);
	assert_int_equal(path_sync_directory("/dev/null/a"), -ENOTDIR);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_too_long_is_cut),
		cmocka_unit_test(test_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
