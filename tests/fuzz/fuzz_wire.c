/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded reader: whatever is asked of whatever bytes, it gives views of those bytes only, never
 * more than there are, stays failed once it has failed, and what it read writes back as it was.
 *
 * Covers: wire_get_u8 wire_get_bool wire_get_u32 wire_get_u64 wire_get_bytes wire_get_span
 * Covers: wire_get_cstr wire_finish wire_fail wire_put_bytes wire_put_str wire_put_mpint
 * Floor: 35
 */
#include <string.h>

#include "fuzz.h"
#include "wire.h"

#define ASKED_MAX 64
#define CSTR_CAP  32

void
fuzz_setup(void)
{
}

static void
check_view(const struct wire_reader *r, struct wire_span s, const uint8_t *data, size_t len)
{
	FUZZ_CHECK(s.data != NULL);
	if (r->failed)
		FUZZ_CHECK(s.len == 0);
	else
		FUZZ_CHECK(s.data >= data && s.len <= len && s.data + s.len <= data + len);
}

/* One question; what it got goes to w. */
static void
ask(struct wire_reader *r, uint8_t question, struct wire_writer *w, const uint8_t *data, size_t len)
{
	char text[CSTR_CAP];
	struct wire_span s;

	switch (question % 7) {
	case 0:
		wire_put_u8(w, wire_get_u8(r));
		break;
	case 1:
		wire_put_u8(w, wire_get_bool(r));
		break;
	case 2:
		wire_put_u32(w, wire_get_u32(r));
		break;
	case 3:
		wire_put_u64(w, wire_get_u64(r));
		break;
	case 4:
		s = wire_get_bytes(r, question / 7);
		check_view(r, s, data, len);
		wire_put_bytes(w, s.data, s.len);
		break;
	case 5:
		s = wire_get_span(r);
		check_view(r, s, data, len);
		wire_put_str(w, s.data, s.len);
		break;
	default:
		wire_get_cstr(r, text, sizeof(text));
		FUZZ_CHECK(strnlen(text, sizeof(text)) < sizeof(text));
		FUZZ_CHECK(!r->failed || text[0] == '\0');
		wire_put_cstr(w, text);
		break;
	}
}

static void
check_mpint(const uint8_t *data, size_t len)
{
	uint8_t buf[512];
	struct wire_writer w;
	struct wire_reader r;
	struct wire_span s;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_mpint(&w, data, len);
	if (w.failed)
		return;
	wire_reader_init(&r, w.data, w.len);
	s = wire_get_span(&r);
	FUZZ_CHECK(wire_finish(&r) == 0);
	FUZZ_CHECK(s.len == 0 || (s.data[0] & 0x80) == 0);
	FUZZ_CHECK(s.len < 2 || s.data[0] != 0 || (s.data[1] & 0x80) != 0);
	while (len > 0 && *data == 0) {
		data++;
		len--;
	}
	if (s.len > 0 && s.data[0] == 0) {
		s.data++;
		s.len--;
	}
	FUZZ_CHECK(wire_span_eq(s, data, len));
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	static uint8_t out[1 << 16];
	struct fuzz_input in = { data, len };
	uint8_t n = fuzz_u8(&in) % ASKED_MAX;
	size_t n_asked;
	const uint8_t *asked = fuzz_bytes(&in, n, &n_asked);
	struct wire_writer w;
	struct wire_reader r;
	bool failed = false;

	wire_reader_init(&r, in.next, in.left);
	wire_writer_init(&w, out, sizeof(out));
	for (size_t i = 0; i < n_asked; i++) {
		size_t left = r.left;

		ask(&r, asked[i], &w, in.next, in.left);
		FUZZ_CHECK(r.left <= left && (!failed || r.failed));
		failed = r.failed;
		if (failed)
			FUZZ_CHECK(r.left == 0 && wire_finish(&r) == WIRE_E_MALFORMED);
		else
			FUZZ_CHECK(w.len == in.left - r.left && memcmp(w.data, in.next, w.len) == 0);
	}
	check_mpint(in.next, in.left);
}

void
fuzz_seeds(void)
{
	static const uint8_t all[] = { 7, 0, 1, 2, 3, 4 + 7 * 3, 5, 6, /* what is asked */
		9, 1, 0, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 'a', 'b', 'c', 0, 0, 0, 2, 'x', 'y', 0, 0,
		0, 1, 'z' };
	static const uint8_t too_short[] = { 2, 5, 0, 0xff, 0xff, 0xff, 0xff, 'a' };
	static const uint8_t number[] = { 0, 0, 0, 0x80, 1 };

	fuzz_seed(all, sizeof(all));
	fuzz_seed(too_short, sizeof(too_short));
	fuzz_seed(number, sizeof(number));
}
