/* SPDX-License-Identifier: Apache-2.0 */
/* activity: what a worker says of itself is taken over, but its time does not go backwards. */
#include "activity.h"
#include "test.h"

static void
test_bytes_and_time(void **state)
{
	struct activity a = { .last_ms = 1000 };

	(void)state;
	assert_int_equal(activity_idle_seconds(&a, 8500), 7);
	assert_null(activity_update(&a, &(struct ipc_activity){ 10, 20, 2 }, 9000));
	assert_int_equal(a.in, 10);
	assert_int_equal(a.out, 20);
	assert_int_equal(a.last_ms, 7000);
	assert_int_equal(activity_idle_seconds(&a, 9999), 2);
	/* The same again is nothing new, and no fault. */
	assert_null(activity_update(&a, &(struct ipc_activity){ 10, 20, 0 }, 10000));
	assert_int_equal(activity_idle_seconds(&a, 10000), 0);
}

static void
test_time_does_not_go_back(void **state)
{
	struct activity a = { .last_ms = 50000 };

	(void)state;
	assert_null(activity_update(&a, &(struct ipc_activity){ 1, 1, UINT32_MAX }, 60000));
	assert_int_equal(a.last_ms, 50000);
	assert_int_equal(activity_idle_seconds(&a, 49000), 0);
}

static void
test_fewer_bytes_are_a_fault(void **state)
{
	struct activity a = { .in = 5, .out = 6, .last_ms = 1 };

	(void)state;
	assert_non_null(activity_update(&a, &(struct ipc_activity){ 4, 6, 0 }, 100));
	assert_non_null(activity_update(&a, &(struct ipc_activity){ 5, 5, 0 }, 100));
	assert_int_equal(a.in, 5);
	assert_int_equal(a.out, 6);
	assert_int_equal(a.last_ms, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_and_time),
		cmocka_unit_test(test_time_does_not_go_back),
		cmocka_unit_test(test_fewer_bytes_are_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
