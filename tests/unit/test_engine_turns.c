/* SPDX-License-Identifier: Apache-2.0 */
/* engine_turns: everybody who waits has one turn in each round. */
#include <string.h>

#include "attr.h"
#include "engine_turns.h"
#include "test.h"

struct waiter {
	struct engine_turn turn;
	const char *name;
};

/* The first letter of a name is whose it is. */
static void
come(struct engine_turns *turns, struct waiter *w, const char *name)
{
	static const char *const all[] = { "a", "b", "c" };

	w->name = name;
	engine_turns_add(turns, &w->turn, all[name[0] - 'a'], w);
}

static const char *
next(struct engine_turns *turns)
{
	struct waiter *w = engine_turns_next(turns);

	if (w == NULL)
		return NULL;
	engine_turns_leave(turns, &w->turn);
	return w->name;
}

static void
rounds(void **state)
{
	static const char *const come_as[] = { "a1", "a2", "a3", "a4", "b1", "c1", "c2", "a5", "b2" };
	static const char *const go_as[] = { "a1", "b1", "c1", "a2", "c2", "b2", "a3", "a4", "a5" };
	struct waiter waiters[SP_ARRAY_LEN(come_as)] = { 0 };
	struct engine_turns turns = { 0 };

	(void)state;
	engine_turns_init(&turns, 1);
	assert_null(engine_turns_next(&turns));
	for (size_t i = 0; i < SP_ARRAY_LEN(come_as); i++)
		come(&turns, &waiters[i], come_as[i]);
	assert_int_equal(turns.n, SP_ARRAY_LEN(come_as));
	for (size_t i = 0; i < SP_ARRAY_LEN(go_as); i++)
		assert_string_equal(next(&turns), go_as[i]);
	assert_null(next(&turns));
	assert_int_equal(turns.n, 0);
}

/* Who has had a turn and comes again at once keeps nobody waiting, and who comes late is not behind everything. */
static void
again(void **state)
{
	struct waiter b[3] = { 0 }, a = { 0 }, c = { 0 };
	struct engine_turns turns = { 0 };

	(void)state;
	engine_turns_init(&turns, 1);
	come(&turns, &b[0], "b1");
	come(&turns, &b[1], "b2");
	come(&turns, &b[2], "b3");
	come(&turns, &a, "a1");
	assert_string_equal(next(&turns), "b1");
	assert_string_equal(next(&turns), "a1");
	come(&turns, &a, "a2");
	assert_string_equal(next(&turns), "b2");
	assert_string_equal(next(&turns), "a2");
	come(&turns, &a, "a3");
	come(&turns, &c, "c1");
	assert_string_equal(next(&turns), "b3");
	assert_string_equal(next(&turns), "a3");
	assert_string_equal(next(&turns), "c1");
}

/* From anywhere in the queue, and from nowhere. */
static void
given_up(void **state)
{
	struct waiter a[3] = { 0 }, b = { 0 };
	struct engine_turns turns = { 0 };

	(void)state;
	engine_turns_init(&turns, 1);
	engine_turns_leave(&turns, &a[0].turn);
	come(&turns, &a[0], "a1");
	come(&turns, &a[1], "a2");
	come(&turns, &a[2], "a3");
	come(&turns, &b, "b1");
	engine_turns_leave(&turns, &a[1].turn);
	engine_turns_leave(&turns, &a[1].turn);
	assert_int_equal(turns.n, 3);
	engine_turns_leave(&turns, &a[0].turn);
	assert_string_equal(next(&turns), "b1");
	assert_string_equal(next(&turns), "a3");
	assert_null(next(&turns));
}

/* Who has their share of what is slow is passed over, and has lost nothing when it ends. */
static void
shares(void **state)
{
	struct waiter slow[3] = { 0 }, a[2] = { 0 }, b[2] = { 0 };
	struct engine_turns turns = { 0 };

	(void)state;
	engine_turns_init(&turns, 2);
	come(&turns, &slow[0], "a1");
	assert_string_equal(next(&turns), "a1");
	for (size_t i = 0; i < 2; i++) {
		assert_true(engine_turns_may(&turns, "a"));
		engine_turns_linger(&turns, &slow[i].turn, "a");
	}
	engine_turns_linger(&turns, &slow[2].turn, "b");
	assert_int_equal(turns.n_slow, 3);
	assert_false(engine_turns_may(&turns, "a"));
	assert_true(engine_turns_may(&turns, "b"));
	come(&turns, &a[0], "a2");
	come(&turns, &a[1], "a3");
	come(&turns, &b[0], "b1");
	come(&turns, &b[1], "b2");
	assert_string_equal(next(&turns), "b1");
	assert_string_equal(next(&turns), "b2");
	assert_null(next(&turns));
	assert_ptr_equal(engine_turns_first(&turns), &a[0]);
	engine_turns_leave(&turns, &slow[2].turn);
	assert_null(next(&turns));
	engine_turns_leave(&turns, &slow[0].turn);
	engine_turns_leave(&turns, &slow[0].turn);
	assert_int_equal(turns.n_slow, 1);
	assert_string_equal(next(&turns), "a2");
	assert_string_equal(next(&turns), "a3");
	assert_null(engine_turns_first(&turns));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds),
		cmocka_unit_test(again),
		cmocka_unit_test(given_up),
		cmocka_unit_test(shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
