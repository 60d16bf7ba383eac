/* SPDX-License-Identifier: Apache-2.0 */
/* tty_modes: what clients say, well or badly, becomes a list; and what is a list. */
#include "tty_modes.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static uint8_t list[TTY_MODES_MAX];

/* From a block of exactly len bytes, so that a sanitizer sees each byte read beyond it. */
static size_t
read_modes(const void *encoded, size_t len)
{
	uint8_t *exact = malloc(len == 0 ? 1 : len);
	size_t n;

	assert_non_null(exact);
	memcpy(exact, encoded, len);
	n = tty_modes_read(exact, len, list);
	free(exact);
	assert_true(tty_modes_valid(list, n));
	return n;
}

static void
expect(const char *encoded, size_t len, const char *wanted, size_t wanted_len)
{
	assert_int_equal(read_modes(encoded, len), wanted_len);
	assert_memory_equal(list, wanted, wanted_len);
}

#define EXPECT(encoded, wanted) expect(encoded, sizeof(encoded) - 1, wanted, sizeof(wanted) - 1)

#define ERASE_8 "\3\0\0\0\10"
#define ECHO_ON "\65\0\0\0\1"
#define ECHO_NO "\65\0\0\0\0"
#define CS7_ON  "\132\0\0\0\1"
#define CS7_NO  "\132\0\0\0\0"
#define CS8_ON  "\133\0\0\0\1"

static void
test_what_clients_say(void **state)
{
	(void)state;
	EXPECT("", "");
	EXPECT("\0", "");
	EXPECT(ERASE_8 ECHO_NO "\0", ERASE_8 ECHO_NO);
	EXPECT("\1\377\377\377\377\237\1\2\3\4\0", "\1\377\377\377\377\237\1\2\3\4");
	/* without an end, and ended by what nobody knows */
	EXPECT(ERASE_8 ECHO_NO, ERASE_8 ECHO_NO);
	EXPECT(ERASE_8 "\240", ERASE_8);
	EXPECT(ERASE_8 "\377", ERASE_8);
}

static void
test_the_last_one_counts(void **state)
{
	(void)state;
	EXPECT(ECHO_NO ECHO_ON "\0", ECHO_ON);
	EXPECT(ECHO_NO ERASE_8 ECHO_ON "\0", ERASE_8 ECHO_ON);
	EXPECT(CS7_ON CS8_ON CS7_NO, CS8_ON CS7_NO);
	EXPECT(CS7_NO CS8_ON, CS7_NO CS8_ON);
}

static void
test_what_means_nothing(void **state)
{
	static const char whole[] = ERASE_8 ECHO_NO CS8_ON;

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++)
		assert_int_equal(read_modes(whole, n), n % TTY_MODES_ENTRY == 0 ? n : 0);
	EXPECT(ERASE_8 "\0\0", "");
	EXPECT(ERASE_8 "\0" ECHO_NO, "");
	EXPECT(ERASE_8 "\240\0\0\0\1" ECHO_NO "\0", "");
	EXPECT("\377\377\377\377\377\377\377", "");
}

static void
test_thousands(void **state)
{
	static uint8_t many[(size_t)TTY_MODES_ENTRY * 6000];

	(void)state;
	for (size_t i = 0; i < 6000; i++) {
		many[i * TTY_MODES_ENTRY] = (uint8_t)(1 + i % TTY_MODES_OPCODES);
		many[i * TTY_MODES_ENTRY + 3] = (uint8_t)(i >> 8);
		many[i * TTY_MODES_ENTRY + 4] = (uint8_t)i;
	}
	assert_int_equal(read_modes(many, sizeof(many)), TTY_MODES_MAX);
	assert_memory_equal(list, many + sizeof(many) - TTY_MODES_MAX, TTY_MODES_MAX);
	for (size_t i = 0; i < 6000; i++)
		many[i * TTY_MODES_ENTRY] = 53;
	assert_int_equal(read_modes(many, sizeof(many)), TTY_MODES_ENTRY);
	assert_memory_equal(list, many + sizeof(many) - TTY_MODES_ENTRY, TTY_MODES_ENTRY);
}

static void
test_what_is_a_list(void **state)
{
	static uint8_t many[TTY_MODES_MAX + TTY_MODES_ENTRY];

	(void)state;
	assert_true(tty_modes_valid("", 0));
	assert_true(tty_modes_valid(ERASE_8 ECHO_NO, 10));
	for (size_t n = 1; n < 10; n++)
		assert_int_equal(tty_modes_valid(ERASE_8 ECHO_NO, n), n == 5);
	assert_false(tty_modes_valid(ECHO_NO ECHO_NO, 10));
	assert_false(tty_modes_valid(ECHO_NO ECHO_ON, 10));
	assert_false(tty_modes_valid("\0\0\0\0\1", 5));
	assert_false(tty_modes_valid("\240\0\0\0\1", 5));
	assert_false(tty_modes_valid(ERASE_8 "\0", 6));
	for (size_t i = 0; i <= TTY_MODES_OPCODES; i++)
		many[i * TTY_MODES_ENTRY] = (uint8_t)(i + 1);
	assert_true(tty_modes_valid(many, TTY_MODES_MAX));
	assert_false(tty_modes_valid(many, sizeof(many)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_clients_say),
		cmocka_unit_test(test_the_last_one_counts),
		cmocka_unit_test(test_what_means_nothing),
		cmocka_unit_test(test_thousands),
		cmocka_unit_test(test_what_is_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
