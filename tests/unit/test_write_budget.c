/* SPDX-License-Identifier: Apache-2.0 */
/* write_budget: one for each key, whoever holds it and however often it is taken. */
#include "test.h"

#include <stdio.h>

#include "write_budget.h"

static struct write_budgets *all;

static int
begin(void **state)
{
	(void)state;
	return write_budgets_new(&all);
}

static int
end(void **state)
{
	(void)state;
	write_budgets_free(all);
	return 0;
}

static struct write_budget *
take(const char *key, int64_t now_ms)
{
	struct write_budget *b = write_budget_take(all, "alice", key, now_ms);

	assert_non_null(b);
	return b;
}

static void
it_grows_up_to_its_burst(void **state)
{
	struct write_budget *b = take("SHA256:a", 1000);

	(void)state;
	assert_int_equal(write_budget_left(b, 1000), WRITE_BUDGET_BURST);
	write_budget_spend(b, WRITE_BUDGET_BURST + 640);
	assert_int_equal(write_budget_left(b, 1000), -640);
	assert_int_equal(write_budget_left(b, 1010), 0);
	assert_int_equal(write_budget_left(b, 1011), WRITE_BUDGET_PER_MS);
	assert_int_equal(write_budget_left(b, 1000000), WRITE_BUDGET_BURST);
	for (unsigned i = 0; i < 100; i++)
		write_budget_spend(b, WRITE_BUDGET_BURST);
	assert_int_equal(write_budget_left(b, 1000000), -WRITE_BUDGET_BURST);
	write_budget_give(all, b, 1000000);
}

static void
who_comes_again_has_what_was_left(void **state)
{
	struct write_budget *b = take("SHA256:a", 0);
	struct write_budget *other;

	(void)state;
	write_budget_spend(b, WRITE_BUDGET_BURST);
	write_budget_give(all, b, 0);
	other = take("SHA256:b", 0);
	assert_int_equal(write_budget_left(other, 0), WRITE_BUDGET_BURST);
	write_budget_give(all, other, 0);
	other = write_budget_take(all, "al", "SHA256:a", 0);
	assert_int_equal(write_budget_left(other, 0), WRITE_BUDGET_BURST);
	write_budget_give(all, other, 0);
	b = take("SHA256:a", 1);
	assert_int_equal(write_budget_left(b, 1), WRITE_BUDGET_PER_MS);
	/* And a second one beside it has the same. */
	other = take("SHA256:a", 2);
	assert_ptr_equal(other, b);
	write_budget_give(all, other, 2);
	write_budget_spend(b, 2 * (int64_t)WRITE_BUDGET_PER_MS);
	assert_int_equal(write_budget_left(b, 2), 0);
	write_budget_give(all, b, 2);
	b = take("SHA256:a", WRITE_BUDGET_BURST / WRITE_BUDGET_PER_MS + 2);
	assert_int_equal(write_budget_left(b, WRITE_BUDGET_BURST / WRITE_BUDGET_PER_MS + 2),
	    WRITE_BUDGET_BURST);
	write_budget_give(all, b, WRITE_BUDGET_BURST);
}

/* Thousands come and go, in any order; the sanitizer sees what is left of them. */
static void
many_keys(void **state)
{
	struct write_budget *held[64] = { NULL };
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned k = i * 2654435761U >> 26;

		if (held[k] != NULL) {
			write_budget_give(all, held[k], i);
			held[k] = NULL;
			continue;
		}
		(void)snprintf(key, sizeof(key), "SHA256:%u", i % 977);
		held[k] = take(key, i);
		write_budget_spend(held[k], i % 3 * 1000);
	}
	for (unsigned k = 0; k < SP_ARRAY_LEN(held); k++)
		write_budget_give(all, held[k], 20000);
	write_budget_give(all, take("SHA256:last", 100000), 100000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_grows_up_to_its_burst, begin, end),
		cmocka_unit_test_setup_teardown(who_comes_again_has_what_was_left, begin, end),
		cmocka_unit_test_setup_teardown(many_keys, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
