/* SPDX-License-Identifier: Apache-2.0 */
/* Tests: hexadecimal digits, both ways. */
#include "test.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "hex.h"

static void
test_format(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x09, 0x0a, 0x7f, 0x80, 0xfe, 0xff };
	char out[2 * sizeof(bytes) + 2];

	(void)state;
	memset(out, '!', sizeof(out));
	hex_format(bytes, sizeof(bytes), out);
	assert_string_equal(out, "00090a7f80feff");
	assert_int_equal(out[sizeof(out) - 1], '!');
	hex_format(bytes, 0, out);
	assert_string_equal(out, "");
}

static void
test_digit(void **state)
{
	static const char digits[] = "0123456789abcdef";
	static const char capitals[] = "0123456789ABCDEF";

	(void)state;
	for (int c = CHAR_MIN; c <= CHAR_MAX; c++) {
		const char *at = c == '\0' ? NULL : strchr(digits, c);
		const char *capital = c == '\0' ? NULL : strchr(capitals, c);
		int worth = -1;

		if (at != NULL)
			worth = (int)(at - digits);
		else if (capital != NULL)
			worth = (int)(capital - capitals);
		assert_int_equal(hex_digit((char)c), worth);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_digit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
