/* SPDX-License-Identifier: Apache-2.0 */
/* ceilings: what is held is never more than allowed, and what is given back can be had again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ceilings.h"
#include "test.h"

static struct ceilings *c;
static struct ceiling_refusal refusal;

static int
setup(void **state)
{
	(void)state;
	return ceilings_new(&c);
}

static int
teardown(void **state)
{
	(void)state;
	ceilings_free(c);
	return 0;
}

static struct ceiling_claim
claim(const char *user, const char *rule)
{
	return (struct ceiling_claim){ .user = user, .rule = rule };
}

static void
test_no_limit(void **state)
{
	struct ceiling_claim all = claim("u", "r");
	struct ceiling_hold *holds[1000] = { NULL };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(holds); i++)
		assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &all, 0, &holds[i], &refusal),
		    0);
	assert_int_equal(ceilings_held(c, CEILING_CONTAINERS), SP_ARRAY_LEN(holds));
	for (size_t i = 0; i < SP_ARRAY_LEN(holds); i++)
		ceilings_give(&holds[i]);
	assert_int_equal(ceilings_held(c, CEILING_CONTAINERS), 0);
	ceilings_give(&holds[0]); /* NULL by now */
}

/* Each scope by itself: exactly as many as allowed, and one more after one is over. */
static void
test_exactly(void **state)
{
	(void)state;
	for (unsigned scope = 0; scope < CEILING_SCOPES; scope++) {
		for (unsigned kind = 0; kind <= CEILING_CONTAINERS; kind++) {
			struct ceiling_claim one = claim("u", "r");
			struct ceiling_hold *holds[5] = { NULL };
			struct ceiling_hold *more = NULL;

			one.limits[scope].most[kind] = 5;
			for (size_t i = 0; i < 5; i++)
				assert_int_equal(ceilings_take(c, kind, &one, 0, &holds[i], &refusal),
				    0);
			for (size_t i = 0; i < 15; i++)
				assert_int_equal(ceilings_take(c, kind, &one, 0, &more, &refusal),
				    CEILING_E_FULL);
			assert_null(more);
			assert_int_equal(refusal.scope, scope);
			assert_int_equal(refusal.kind, kind);
			assert_int_equal(refusal.most, 5);
			assert_int_equal(ceilings_refused(c, scope, kind), 15);
			ceilings_give(&holds[3]);
			assert_int_equal(ceilings_take(c, kind, &one, 0, &holds[3], &refusal), 0);
			assert_int_equal(ceilings_take(c, kind, &one, 0, &more, &refusal),
			    CEILING_E_FULL);
			for (size_t i = 0; i < 5; i++)
				ceilings_give(&holds[i]);
		}
	}
}

static void
test_others_are_not_counted(void **state)
{
	struct ceiling_claim a = claim("a", "r");
	struct ceiling_claim b = claim("b", "s");
	struct ceiling_claim r =
	    claim("r", "a"); /* a user with the rule's name, and the other way round */
	struct ceiling_hold *holds[3] = { NULL };
	struct ceiling_hold *more = NULL;

	(void)state;
	a.limits[CEILING_USER].most[CEILING_SESSIONS] = 1;
	a.limits[CEILING_RULE].most[CEILING_SESSIONS] = 1;
	b.limits[CEILING_USER] = r.limits[CEILING_USER] = a.limits[CEILING_USER];
	b.limits[CEILING_RULE] = r.limits[CEILING_RULE] = a.limits[CEILING_RULE];
	assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &a, 0, &holds[0], &refusal), 0);
	assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &b, 0, &holds[1], &refusal), 0);
	assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &r, 0, &holds[2], &refusal), 0);
	assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &a, 0, &more, &refusal), CEILING_E_FULL);
	assert_int_equal(refusal.scope, CEILING_USER);
	/* The same rule by another user. */
	a.user = "c";
	assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &a, 0, &more, &refusal), CEILING_E_FULL);
	assert_int_equal(refusal.scope, CEILING_RULE);
	for (size_t i = 0; i < 3; i++)
		ceilings_give(&holds[i]);
}

/* What is refused by the last scope has not been counted in the first. */
static void
test_refused_is_not_counted(void **state)
{
	struct ceiling_claim a = claim("a", "r");
	struct ceiling_hold *hold = NULL;
	struct ceiling_hold *more = NULL;

	(void)state;
	a.limits[CEILING_GLOBAL].most[CEILING_CONTAINERS] = 1;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &hold, &refusal), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
		    CEILING_E_FULL);
	ceilings_give(&hold);
	a.limits[CEILING_GLOBAL].most[CEILING_CONTAINERS] = 0;
	a.limits[CEILING_USER].most[CEILING_CONTAINERS] = 1;
	a.limits[CEILING_USER].most[CEILING_CREATES] = 2;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &hold, &refusal), 0);
	ceilings_give(&hold);
}

/* By the byte, and given back by the byte. */
static void
test_memory(void **state)
{
	struct ceiling_claim a = claim("a", "r");
	struct ceiling_hold *first = NULL;
	struct ceiling_hold *second = NULL;
	struct ceiling_hold *more = NULL;

	(void)state;
	a.limits[CEILING_GLOBAL].most[CEILING_MEMORY] = 1000;
	a.memory = 600;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &first, &refusal), 0);
	a.memory = 401;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	assert_int_equal(refusal.kind, CEILING_MEMORY);
	assert_int_equal(refusal.most, 1000);
	a.memory = UINT64_MAX;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	a.memory = 400;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &second, &refusal), 0);
	assert_int_equal(ceilings_held(c, CEILING_MEMORY), 1000);
	/* A login has none. */
	assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &a, 0, &more, &refusal), 0);
	ceilings_give(&more);
	ceilings_give(&first);
	assert_int_equal(ceilings_held(c, CEILING_MEMORY), 400);
	ceilings_give(&second);
	assert_int_equal(ceilings_held(c, CEILING_MEMORY), 0);
}

/* A container that was there before is new to its user, and to nobody else. */
static void
test_one_that_was_made_before(void **state)
{
	struct ceiling_claim a = claim("a", NULL);
	struct ceiling_hold *hold = NULL;
	struct ceiling_hold *more = NULL;

	(void)state;
	a.made = true;
	a.limits[CEILING_GLOBAL].most[CEILING_CREATES] = 1;
	a.limits[CEILING_USER].most[CEILING_CREATES] = 3;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &hold, &refusal), 0);
		ceilings_give(&hold);
	}
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	assert_int_equal(refusal.scope, CEILING_USER);
	a.made = false;
	a.user = "b";
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &hold, &refusal), 0);
	ceilings_give(&hold);
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	assert_int_equal(refusal.scope, CEILING_GLOBAL);
}

/* What would be given up is no obstacle, to everybody's ceilings alone and by no more than that. */
static void
test_spare(void **state)
{
	struct ceiling_claim waiting = { .memory = 300 };
	struct ceiling_claim a = claim("a", "r");
	struct ceiling_hold *holds[2] = { NULL };
	struct ceiling_hold *mine = NULL;
	struct ceiling_hold *more = NULL;

	(void)state;
	a.memory = 500;
	a.limits[CEILING_GLOBAL].most[CEILING_CONTAINERS] = 2;
	a.limits[CEILING_GLOBAL].most[CEILING_MEMORY] = 900;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &waiting, 0, &holds[i],
				     &refusal),
		    0);
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	assert_int_equal(refusal.kind, CEILING_CONTAINERS);
	a.spare[CEILING_CONTAINERS] = 1;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	assert_int_equal(refusal.kind, CEILING_MEMORY);
	a.spare[CEILING_MEMORY] = 199;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	a.spare[CEILING_MEMORY] = 200;
	a.limits[CEILING_USER].most[CEILING_CONTAINERS] = 1;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &mine, &refusal), 0);
	assert_int_equal(ceilings_held(c, CEILING_CONTAINERS), 3);
	ceilings_give(&holds[0]);
	assert_int_equal(ceilings_held(c, CEILING_MEMORY), 800);
	/* More than there is, and a ceiling that is the user's own. */
	a.spare[CEILING_CONTAINERS] = a.spare[CEILING_MEMORY] = UINT64_MAX;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 0, &more, &refusal),
	    CEILING_E_FULL);
	assert_int_equal(refusal.scope, CEILING_USER);
	ceilings_give(&holds[1]);
	ceilings_give(&mine);
	assert_int_equal(ceilings_held(c, CEILING_CONTAINERS), 0);
	assert_int_equal(ceilings_held(c, CEILING_MEMORY), 0);
}

/* In any minute, wherever it begins. */
static void
test_creates_within_a_minute(void **state)
{
	struct ceiling_claim a = claim("a", "r");
	int64_t taken[2000];
	size_t n = 0;
	unsigned seed = 7;

	(void)state;
	a.limits[CEILING_USER].most[CEILING_CREATES] = 6;
	for (int64_t now = 1234; now < 1000000; now += rand_r(&seed) % 3000) {
		struct ceiling_hold *hold = NULL;
		size_t within = 0;
		int r = ceilings_take(c, CEILING_CONTAINERS, &a, now, &hold, &refusal);

		for (size_t i = 0; i < n; i++)
			within += now - taken[i] < 60000;
		/* 61 seconds after the oldest of six there is a place in any case. */
		if (r == 0)
			assert_true(within < 6);
		else
			assert_true(n >= 6 && now - taken[n - 6] < 61000);
		if (r == 0)
			taken[n++] = now;
		else
			assert_int_equal(refusal.kind, CEILING_CREATES);
		ceilings_give(&hold);
	}
	assert_in_range(n, 6 * 15, 6 * 17);
}

static void
test_a_long_pause(void **state)
{
	struct ceiling_claim a = claim("a", NULL);
	struct ceiling_hold *hold = NULL;

	(void)state;
	a.limits[CEILING_USER].most[CEILING_CREATES] = 1;
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 5000, &hold, &refusal), 0);
	ceilings_give(&hold);
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, 64999, &hold, &refusal),
	    CEILING_E_FULL);
	assert_int_equal(ceilings_take(c, CEILING_CONTAINERS, &a, INT64_C(9) << 40, &hold, &refusal),
	    0);
	ceilings_give(&hold);
}

/* Who is not there any more is forgotten; who is, is not. */
static void
test_forgets(void **state)
{
	struct ceiling_claim a = claim("stays", NULL);
	struct ceiling_hold *stays = NULL;
	char name[16];

	(void)state;
	a.limits[CEILING_USER].most[CEILING_SESSIONS] = 1;
	assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &a, 0, &stays, &refusal), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct ceiling_hold *hold = NULL;
		struct ceiling_claim b = claim(name, NULL);

		(void)snprintf(name, sizeof(name), "u%u", i);
		assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &b, 0, &hold, &refusal), 0);
		ceilings_give(&hold);
		/* Never more than one look through all has to find. */
		assert_in_range(ceilings_known(c), 1, 1 + 1024 + 1024);
	}
	for (unsigned i = 0; i < 2048; i++) {
		struct ceiling_hold *hold = NULL;

		assert_int_equal(ceilings_take(c, CEILING_SESSIONS, &a, 0, &hold, &refusal),
		    CEILING_E_FULL);
	}
	assert_int_equal(ceilings_known(c), 1);
	ceilings_give(&stays);
}

static void
test_sentences(void **state)
{
	char text[CEILING_TEXT_MAX];

	(void)state;
	assert_string_equal(ceiling_sentence(&(struct ceiling_refusal){ CEILING_USER,
						 CEILING_SESSIONS, 8 },
				text),
	    "At most 8 sessions are allowed for one user at a time, and there are that many. End one of "
	    "yours first.");
	assert_string_equal(ceiling_sentence(&(struct ceiling_refusal){ CEILING_GLOBAL,
						 CEILING_CREATES, 60 },
				text),
	    "At most 60 new containers are allowed on this host within a minute. Try again in a minute.");
	assert_string_equal(ceiling_sentence(&(struct ceiling_refusal){ CEILING_GLOBAL,
						 CEILING_MEMORY, UINT64_C(2) << 30 },
				text),
	    "The containers on this host may have 2G of memory together, and one more does not fit. "
	    "Try again later.");
	for (unsigned scope = 0; scope < CEILING_SCOPES; scope++) {
		for (unsigned kind = 0; kind < CEILING_KINDS; kind++)
			assert_in_range(strlen(ceiling_sentence(&(struct ceiling_refusal){ scope,
								    kind, UINT64_MAX },
					    text)),
			    60, CEILING_TEXT_MAX - 2);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exactly, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_are_not_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_is_not_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_was_made_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spare, setup, teardown),
		cmocka_unit_test_setup_teardown(test_creates_within_a_minute, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_long_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sentences, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
