/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Good policies, cut and mangled: no crash (the sanitizers look), and always either a policy or an
 * error with a place. Prints its seed; SP_TEST_SEED sets it.
 */
#include "test.h"

#include "policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "golden.h"

static unsigned long seed;

static unsigned
roll(unsigned n)
{
	seed = seed * 1664525ul + 1013904223ul;
	return (unsigned)(seed >> 16 & 0xffff) % n;
}

/* Use what was parsed as the broker does. */
static void
use(const struct policy *p)
{
	const struct policy_profile *profile;
	struct policy_login login = { .user = "alice" };
	struct policy_decision decision;
	const char *fingerprint;
	bool verify;

	for (size_t i = 0; (profile = policy_profile_at(p, i)) != NULL; i++) {
		/* Whatever the file said: these hold for each profile. */
		assert_non_null(profile->image);
		assert_non_null(profile->shell_argv[0]);
		assert_non_null(profile->exec_argv[0]);
		assert_in_range(profile->channels, 1, 64);
		assert_in_range(profile->pids, 4, 4194304);
		assert_true(profile->memory >= 6u << 20);
		assert_true(profile->nano_cpus >= 10000000);
		(void)policy_accepts_env(profile, "LC_ALL");
	}
	(void)policy_find_key(p, "alice", 5, "blob", 4, &fingerprint, &verify);
	if (policy_decide(p, &login, &decision) == 0)
		assert_non_null(decision.profile->image);
}

static bool
parses(const char *text, size_t len)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	FILE *null = fopen("/dev/null", "we");
	int r = policy_parse("p", text, len, &p, &diags);

	assert_non_null(null);
	assert_true(r == 0 || r == POLICY_E_INVALID);
	assert_int_equal(r == 0, p != NULL);
	assert_int_equal(r == 0, diags.n_errors == 0);
	for (size_t i = 0; i < diags.n; i++) {
		assert_true(diags.items[i].line > 0 && diags.items[i].column > 0);
		assert_true(strlen(diags.items[i].message) > 0);
	}
	diag_print(&diags, null);
	assert_int_equal(fclose(null), 0);
	if (p != NULL)
		use(p);
	policy_unref(p);
	diag_list_clear(&diags);
	return r == 0;
}

static char *
read_good(size_t *ret_len)
{
	return golden_read(SP_TEST_DATA "/policy/good/every-key.json", ret_len);
}

static void
test_truncations(void **state)
{
	size_t len;
	char *text = read_good(&len);
	size_t end = len;

	(void)state;
	assert_true(parses(text, len));
	while (text[end - 1] == '\n')
		end--;
	for (size_t cut = 0; cut < end; cut++)
		assert_false(parses(text, cut));
	free(text);
}

static void
test_flips(void **state)
{
	size_t len;
	char *good = read_good(&len);
	char *text = malloc(len);
	unsigned n_good = 0;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < 4000; i++) {
		memcpy(text, good, len);
		for (unsigned k = 1 + roll(3); k > 0; k--)
			text[roll((unsigned)len)] = (char)roll(256);
		n_good += parses(text, len);
	}
	/* Most flips break the file; those in comments and names do not. */
	assert_in_range(n_good, 1, 3000);
	free(text);
	free(good);
}

/* Pieces of the file over other pieces: right grammar in wrong places. */
static void
test_splices(void **state)
{
	size_t len;
	char *good = read_good(&len);
	char *text = malloc(2 * len);

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < 4000; i++) {
		unsigned from = roll((unsigned)len);
		unsigned n = roll((unsigned)len - from) % 200;
		unsigned to = roll((unsigned)len);
		unsigned drop = roll((unsigned)len - to) % 200;

		memcpy(text, good, to);
		memcpy(text + to, good + from, n);
		memcpy(text + to + n, good + to + drop, len - to - drop);
		(void)parses(text, len - drop + n);
	}
	free(text);
	free(good);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_splices),
	};
	const char *given = getenv("SP_TEST_SEED");

	seed = given != NULL ? strtoul(given, NULL, 10) : (unsigned long)time(NULL);
	print_message("SP_TEST_SEED=%lu\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
