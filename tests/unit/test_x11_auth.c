/* SPDX-License-Identifier: Apache-2.0 */
/* Tests: what is taken from a client to be shown to its X server. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "x11_auth.h"

static void
test_taken(void **state)
{
	static const struct {
		const char *name;
		const char *hex;
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "MIT-MAGIC-COOKIE-1", "0123456789abcdefABCDEF",
		    "\x01\x23\x45\x67\x89\xab\xcd\xef\xab\xcd\xef", 11 },
		{ "a.b:c/d-e_f9", "00", "\0", 1 },
		{ "", "", "", 0 },
	};
	struct x11_auth got;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		assert_true(x11_auth_read(cases[i].name, cases[i].hex, &got));
		assert_string_equal(got.name, cases[i].name);
		assert_int_equal(got.len, cases[i].len);
		assert_memory_equal(got.cookie, cases[i].bytes, cases[i].len);
	}
}

static void
test_refused(void **state)
{
	static const struct {
		const char *name;
		const char *hex;
	} cases[] = {
		{ NULL, "00" },
		{ "M", NULL },
		{ "MIT MAGIC", "00" },
		{ "M\n", "00" },
		{ "M;id", "00" },
		{ "M\xe9", "00" },
		{ "M", "0" },
		{ "M", "0g" },
		{ "M", "g0" },
		{ "M", "0x" },
		{ "M", " 0" },
		{ "M", "0\xff" },
		{ "M", "00:00" },
	};
	struct x11_auth got;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++)
		assert_false(x11_auth_read(cases[i].name, cases[i].hex, &got));
}

static void
test_bounds(void **state)
{
	char name[IPC_X11_NAME_MAX + 2];
	char hex[2 * IPC_X11_COOKIE_MAX + 3];
	struct x11_auth got;

	(void)state;
	memset(name, 'n', sizeof(name));
	memset(hex, '7', sizeof(hex));
	name[IPC_X11_NAME_MAX] = '\0';
	hex[2 * IPC_X11_COOKIE_MAX] = '\0';
	assert_true(x11_auth_read(name, hex, &got));
	assert_int_equal(got.len, IPC_X11_COOKIE_MAX);
	assert_int_equal(got.cookie[IPC_X11_COOKIE_MAX - 1], 0x77);
	name[IPC_X11_NAME_MAX] = 'n';
	name[IPC_X11_NAME_MAX + 1] = '\0';
	assert_false(x11_auth_read(name, hex, &got));
	name[IPC_X11_NAME_MAX] = '\0';
	hex[2 * IPC_X11_COOKIE_MAX] = '7';
	hex[2 * IPC_X11_COOKIE_MAX + 2] = '\0';
	assert_false(x11_auth_read(name, hex, &got));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
