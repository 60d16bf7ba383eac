/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of uids: what is one, and who has some of it already. */
#include "test.h"

#include "uid_range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attr.h"

static char directory[] = "/tmp/sp-test-uids-XXXXXX";

static void
test_parse(void **state)
{
	static const struct {
		const char *text;
		uid_t first;
		uint32_t count;
	} good[] = {
		{ "1-1", 1, 1 },
		{ "1900000000-1900131071", 1900000000, 131072 },
		{ "2146435072-2147483647", 2146435072, 1048576 },
	};
	static const struct {
		const char *text;
		const char *fault;
	} bad[] = {
		{ "", "must be a range" },
		{ "1000", "must be a range" },
		{ "1000-", "must be a range" },
		{ "-1000", "must be a range" },
		{ "1000--2000", "must be a range" },
		{ "1000 - 2000", "must be a range" },
		{ "1000-2000 ", "must be a range" },
		{ "+1000-2000", "must be a range" },
		{ "0x10-0x20", "must be a range" },
		{ "1000-99999999999", "must be a range" },
		{ "0-1000", "must not begin with 0" },
		{ "1000-2147483648", "is no uid" },
		{ "4294967295-4294967295", "is no uid" },
		{ "2000-1999", "ends before it begins" },
		{ "1000-1049576", "more than 1048576" },
	};
	struct uid_range range;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		assert_null(uid_range_parse(good[i].text, &range));
		assert_int_equal(range.first, good[i].first);
		assert_int_equal(range.count, good[i].count);
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		const char *fault = uid_range_parse(bad[i].text, &range);

		if (fault == NULL || strstr(fault, bad[i].fault) == NULL)
			fail_msg("\"%s\": %s", bad[i].text, fault != NULL ? fault : "accepted");
	}
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

typedef int check_fn(const struct uid_range *range, const struct uid_range_files *files, char *why,
    size_t cap);

/* words NULL: nobody objects. */
static void
expect(check_fn *check, uid_t first, uid_t last, const char *words)
{
	static const struct uid_range_files files = { "passwd", "group", "subuid", "subgid",
		"uid_map", "gid_map" };
	const struct uid_range range = { first, last - first + 1 };
	char why[256] = "";
	int r = check(&range, &files, why, sizeof(why));

	assert_int_equal(r, words != NULL);
	assert_string_equal(why, words != NULL ? words : "");
}

static void
test_taken(void **state)
{
	(void)state;
	expect(uid_range_taken, 1, 2147483647, NULL); /* no files at all */
	write_file("passwd",
	    "root:x:0:0:root:/root:/bin/sh\n\n# a comment\nbroken\nalso:x::\n"
	    "alice:x:1000:1000::/home/alice:/bin/sh\nlast:x:3000:3000:::");
	write_file("group", "staff:x:50:\nclub:x:2000:alice,bob\n");
	write_file("subuid", "alice:100000:65536\nnone:500:0\nodd:600\n");
	write_file("subgid", "bob:300000:65536\n");
	expect(uid_range_taken, 900, 999, NULL);
	expect(uid_range_taken, 1001, 1999, NULL);
	expect(uid_range_taken, 400, 700, NULL);
	expect(uid_range_taken, 900, 1000, "contains 1000, which passwd gives to \"alice\"");
	expect(uid_range_taken, 1000, 1000, "contains 1000, which passwd gives to \"alice\"");
	expect(uid_range_taken, 3000, 3000, "contains 3000, which passwd gives to \"last\"");
	expect(uid_range_taken, 1500, 2500, "contains 2000, which group gives to \"club\"");
	expect(uid_range_taken, 99999, 99999, NULL);
	expect(uid_range_taken, 99999, 100000,
	    "overlaps 100000-165535, which subuid gives to \"alice\"");
	expect(uid_range_taken, 165535, 165535,
	    "overlaps 100000-165535, which subuid gives to \"alice\"");
	expect(uid_range_taken, 120000, 130000,
	    "overlaps 100000-165535, which subuid gives to \"alice\"");
	expect(uid_range_taken, 165536, 299999, NULL);
	expect(uid_range_taken, 365535, 400000,
	    "overlaps 300000-365535, which subgid gives to \"bob\"");
}

static void
test_unmapped(void **state)
{
	(void)state;
	expect(uid_range_unmapped, 1, 2147483647, NULL); /* a kernel without user namespaces */
	write_file("uid_map", "         0          0 4294967295\n");
	write_file("gid_map", "         0          0 4294967295\n");
	expect(uid_range_unmapped, 1, 2147483647, NULL);
	write_file("uid_map", "0 1000 1\n1 100000 65535\n65536 300000 1000\n");
	expect(uid_range_unmapped, 1, 66535, NULL);
	expect(uid_range_unmapped, 1, 66536,
	    "contains 66536, which this user namespace does not have (uid_map)");
	write_file("gid_map", "0 1000 1\n");
	expect(uid_range_unmapped, 5, 6,
	    "contains 5, which this user namespace does not have (gid_map)");
}

static int
make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL || chdir(directory) < 0;
}

static int
remove_directory(void **state)
{
	static const char *const names[] = { "passwd", "group", "subuid", "subgid", "uid_map",
		"gid_map" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		if (unlink(names[i]) < 0)
			return -1;
	}
	return rmdir(directory);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_unmapped),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
