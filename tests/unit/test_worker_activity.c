/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's activity: told when it is due, once, and at the end in any case. */
#include <sys/socket.h>
#include <unistd.h>

#include "activity.h"
#include "ask.h"
#include "clock.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "test.h"

static struct ask ask;
static int broker;

static int
setup(void **state)
{
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	ask_init(&ask, pair[0]);
	broker = pair[1];
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)close(ask.fd);
	(void)close(broker);
	return 0;
}

/* What the broker hears; false: nothing. */
static bool
hear(struct ipc_activity *ret)
{
	uint8_t record[64];
	struct wire_reader r;
	size_t len;

	if (ipc_chan_recv(broker, record, sizeof(record), &len, MSG_DONTWAIT) != 0)
		return false;
	wire_reader_init(&r, record, len);
	assert_int_equal(wire_get_u8(&r), IPC_ACTIVITY);
	assert_int_equal(ipc_get_activity(&r, ret), 0);
	return true;
}

static void
test_nothing_to_tell(void **state)
{
	struct activity a = { 0 };
	struct ipc_activity m;

	(void)state;
	assert_int_equal(activity_wait(&a), -1);
	activity_note(&a, 0, 0);
	assert_int_equal(activity_wait(&a), -1);
	assert_int_equal(activity_tell(&a, &ask, true), 0);
	assert_false(hear(&m));
}

static void
test_told_when_due(void **state)
{
	struct activity a = { 0 };
	struct ipc_activity m;
	int64_t due;

	(void)state;
	activity_begin(&a);
	activity_note(&a, 5, 0);
	assert_in_range(activity_wait(&a), 1, ACTIVITY_EVERY_MS);
	assert_int_equal(activity_tell(&a, &ask, false), 0);
	assert_false(hear(&m));
	/* More does not put it off. */
	due = a.due;
	activity_note(&a, 1, 1000);
	assert_int_equal(a.due, due);
	a.due = clock_now_ms() - 1;
	a.last = clock_now_ms() - 3500;
	assert_int_equal(activity_wait(&a), 0);
	assert_int_equal(activity_tell(&a, &ask, false), 0);
	assert_true(hear(&m));
	assert_int_equal(m.bytes_in, 6);
	assert_int_equal(m.bytes_out, 1000);
	assert_int_equal(m.idle_seconds, 3);
	assert_int_equal(activity_wait(&a), -1);
	assert_int_equal(activity_tell(&a, &ask, true), 0);
	assert_false(hear(&m));
}

/* A user who comes back is not sent away for want of a word. */
static void
test_after_a_pause_at_once(void **state)
{
	struct activity a = { .last = clock_now_ms() - ACTIVITY_EVERY_MS - 1 };
	struct ipc_activity m;

	(void)state;
	activity_note(&a, 1, 0);
	assert_int_equal(activity_wait(&a), 0);
	assert_int_equal(activity_tell(&a, &ask, false), 0);
	assert_true(hear(&m));
	assert_int_equal(m.idle_seconds, 0);
	/* What follows without a pause waits. */
	activity_note(&a, 1, 0);
	assert_in_range(activity_wait(&a), 1, ACTIVITY_EVERY_MS);
}

static void
test_the_last_word_does_not_wait(void **state)
{
	struct activity a = { 0 };
	struct ipc_activity m;

	(void)state;
	activity_note(&a, 0, 77);
	assert_int_equal(activity_tell(&a, &ask, true), 0);
	assert_true(hear(&m));
	assert_int_equal(m.bytes_out, 77);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_to_tell, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told_when_due, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_pause_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_word_does_not_wait, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
