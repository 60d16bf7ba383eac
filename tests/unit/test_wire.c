/* SPDX-License-Identifier: Apache-2.0 */
/* wire: every field round-trips, every truncation and every surplus byte is malformed. */
#include <string.h>

#include "test.h"
#include "wire.h"

static size_t
sample(uint8_t *buf, size_t cap)
{
	static const uint8_t high[] = { 0x00, 0x80, 0x01 };
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	wire_put_u8(&w, 7);
	wire_put_u8(&w, 1);
	wire_put_u32(&w, 0x01020304);
	wire_put_u64(&w, UINT64_C(0x0102030405060708));
	wire_put_cstr(&w, "hello");
	wire_put_mpint(&w, high, sizeof(high));
	wire_put_mpint(&w, high, 1);
	return w.failed ? 0 : w.len;
}

static int
read_sample(const uint8_t *buf, size_t len)
{
	struct wire_reader r;
	char text[6];
	struct wire_span s;

	wire_reader_init(&r, buf, len);
	if (wire_get_u8(&r) != 7 || !wire_get_bool(&r) || wire_get_u32(&r) != 0x01020304 ||
	    wire_get_u64(&r) != UINT64_C(0x0102030405060708))
		return WIRE_E_MALFORMED;
	wire_get_cstr(&r, text, sizeof(text));
	s = wire_get_span(&r);
	if (!r.failed && !wire_span_eq(s, "\0\x80\x01", 3))
		return WIRE_E_MALFORMED;
	s = wire_get_span(&r);
	if (!r.failed && (s.len != 0 || strcmp(text, "hello") != 0))
		return WIRE_E_MALFORMED;
	return wire_finish(&r);
}

static void
test_round_trip(void **state)
{
	uint8_t buf[128];
	size_t len = sample(buf, sizeof(buf));

	(void)state;
	assert_true(len > 0);
	assert_int_equal(read_sample(buf, len), 0);
}

static void
test_truncations_and_surplus(void **state)
{
	uint8_t buf[128] = { 0 };
	size_t len = sample(buf, sizeof(buf));

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_int_equal(read_sample(buf, n), WIRE_E_MALFORMED);
	assert_int_equal(read_sample(buf, len + 1), WIRE_E_MALFORMED);
}

static void
test_writer_never_overflows(void **state)
{
	uint8_t buf[128];
	size_t whole = sample(buf, sizeof(buf));

	(void)state;
	for (size_t cap = 0; cap < whole; cap++) {
		memset(buf, 0xee, sizeof(buf));
		assert_int_equal(sample(buf, cap), 0);
		assert_int_equal(buf[cap], 0xee);
	}
}

static void
test_huge_length(void **state)
{
	static const uint8_t buf[] = { 0xff, 0xff, 0xff, 0xff, 'a' };
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	assert_int_equal(wire_get_span(&r).len, 0);
	assert_int_equal(wire_get_u8(&r), 0); /* failure is sticky */
	assert_int_equal(wire_finish(&r), WIRE_E_MALFORMED);
}

static void
test_strings_refuse_nul_and_overflow(void **state)
{
	static const uint8_t with_nul[] = { 0, 0, 0, 3, 'a', 0, 'b' };
	static const uint8_t four[] = { 0, 0, 0, 4, 'a', 'b', 'c', 'd' };
	struct wire_reader r;
	char out[4];

	(void)state;
	wire_reader_init(&r, with_nul, sizeof(with_nul));
	wire_get_cstr(&r, out, sizeof(out));
	assert_int_equal(wire_finish(&r), WIRE_E_MALFORMED);
	assert_string_equal(out, "");
	wire_reader_init(&r, four, sizeof(four));
	wire_get_cstr(&r, out, sizeof(out));
	assert_int_equal(wire_finish(&r), WIRE_E_MALFORMED);
}

static void
test_bool_has_one_encoding(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 256; v++) {
		uint8_t b = (uint8_t)v;
		struct wire_reader r;

		wire_reader_init(&r, &b, 1);
		assert_int_equal(wire_get_bool(&r), v == 1);
		assert_int_equal(wire_finish(&r), v > 1 ? WIRE_E_MALFORMED : 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_truncations_and_surplus),
		cmocka_unit_test(test_writer_never_overflows),
		cmocka_unit_test(test_huge_length),
		cmocka_unit_test(test_strings_refuse_nul_and_overflow),
		cmocka_unit_test(test_bool_has_one_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
