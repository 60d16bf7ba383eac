/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec of what guest and worker say over an engine's stream: what was put in comes out, and bad
 * input outnumbers good.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream_msg.h"
#include "test.h"

static uint8_t bytes[STREAM_FRAME_MAX + 1];
static uint8_t data[STREAM_DATA_MAX + 1];

#define DATA(k, n)                                 \
	{                                          \
		.kind = (k), .data = { data, (n) } \
	}

#define OF_CONNECTION(k, of, n)                                                               \
	{                                                                                     \
		.kind = (k), .of_connection = true, .connection = (of), .data = { data, (n) } \
	}

static const struct stream_frame good[] = {
	{ .kind = STREAM_HELLO, .hello = { STREAM_VERSION, STREAM_CREDIT } },
	{ .kind = STREAM_HELLO, .hello = { UINT32_MAX, 1 } },
	DATA(STREAM_CTL, 1),
	DATA(STREAM_CTL, GUEST_CTL_MAX),
	DATA(STREAM_INPUT, 1),
	DATA(STREAM_INPUT, STREAM_DATA_MAX),
	{ .kind = STREAM_INPUT_END },
	DATA(STREAM_OUTPUT, 1),
	DATA(STREAM_OUTPUT, STREAM_DATA_MAX),
	DATA(STREAM_ERRORS, 1),
	DATA(STREAM_ERRORS, STREAM_DATA_MAX),
	{ .kind = STREAM_OUTPUT_END },
	{ .kind = STREAM_ERRORS_END },
	{ .kind = STREAM_MORE, .more = 1 },
	{ .kind = STREAM_MORE, .more = STREAM_CREDIT },
	{ .kind = STREAM_SIZE, .size = { 80, 24, 640, 480 } },
	{ .kind = STREAM_SIZE, .size = { UINT32_MAX, 0, 1, 2 } },
	OF_CONNECTION(STREAM_INPUT, 0, 1),
	OF_CONNECTION(STREAM_INPUT, 7, STREAM_DATA_MAX),
	OF_CONNECTION(STREAM_OUTPUT, UINT32_MAX, 1),
	OF_CONNECTION(STREAM_OUTPUT, 1, STREAM_DATA_MAX),
	{ .kind = STREAM_INPUT_END, .of_connection = true, .connection = 3 },
	{ .kind = STREAM_OUTPUT_END, .of_connection = true, .connection = 0 },
	{ .kind = STREAM_MORE, .of_connection = true, .connection = 2, .more = STREAM_CREDIT },
};

static size_t
put(const struct stream_frame *f)
{
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	stream_put(&w, f);
	assert_false(w.failed);
	return w.len;
}

static void
assert_same(const struct stream_frame *a, const struct stream_frame *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->of_connection, b->of_connection);
	assert_int_equal(a->connection, b->connection);
	switch (a->kind) {
	case STREAM_HELLO:
		assert_int_equal(a->hello.version, b->hello.version);
		assert_int_equal(a->hello.credit, b->hello.credit);
		break;
	case STREAM_CTL:
	case STREAM_INPUT:
	case STREAM_OUTPUT:
	case STREAM_ERRORS:
		assert_true(wire_span_eq(a->data, b->data.data, b->data.len));
		break;
	case STREAM_INPUT_END:
	case STREAM_OUTPUT_END:
	case STREAM_ERRORS_END:
		break;
	case STREAM_MORE:
		assert_int_equal(a->more, b->more);
		break;
	case STREAM_SIZE:
		assert_memory_equal(&a->size, &b->size, sizeof(a->size));
		break;
	}
}

static void
test_there_and_back(void **state)
{
	struct stream_frame f;
	size_t used;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		size_t len = put(&good[i]);

		assert_int_equal(stream_get(bytes, len, &f, &used), 0);
		assert_int_equal(used, len);
		assert_same(&f, &good[i]);
		/* What follows is another frame's. */
		assert_int_equal(stream_get(bytes, len + 1, &f, &used), 0);
		assert_int_equal(used, len);
	}
}

/* A frame comes in pieces: each begin of one is a begin, and nothing else. The copy is for sanitizers. */
static void
test_every_truncation(void **state)
{
	struct stream_frame f;
	size_t used;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		size_t len = put(&good[i]);

		for (size_t n = 0; n < len; n += n < 32 ? 1 : 997) {
			uint8_t *part = malloc(n + 1);

			assert_non_null(part);
			memcpy(part, bytes, n);
			assert_int_equal(stream_get(part, n, &f, &used), STREAM_E_SHORT);
			free(part);
		}
	}
}

/* Lengths that a kind cannot have are refused with the head: nobody waits for the rest. */
static void
test_lengths(void **state)
{
	static const struct {
		uint32_t min, max;
		bool of_connection;
	} bodies[] = { { 1, 0, false }, { 8, 8, false }, { 1, GUEST_CTL_MAX, false },
		{ 1, STREAM_DATA_MAX, true }, { 0, 0, true }, { 1, STREAM_DATA_MAX, true },
		{ 1, STREAM_DATA_MAX, false }, { 0, 0, true }, { 0, 0, false }, { 4, 4, true },
		{ 16, 16, false } };
	static const uint32_t lengths[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, GUEST_CTL_MAX,
		GUEST_CTL_MAX + 1, STREAM_DATA_MAX, STREAM_DATA_MAX + 1, STREAM_DATA_MAX + 4,
		STREAM_DATA_MAX + 5, 0x7fffffff, UINT32_MAX };
	struct stream_frame f;
	size_t used;

	(void)state;
	for (unsigned kind = 0; kind < 256; kind++) {
		for (size_t i = 0; i < SP_ARRAY_LEN(lengths); i++) {
			uint32_t n = lengths[i];
			unsigned plain = kind & ~(unsigned)STREAM_OF_CONNECTION;
			uint32_t more = kind != plain ? 4 : 0; /* the connection's number */
			bool known = plain < SP_ARRAY_LEN(bodies) &&
			    (kind == plain || bodies[plain].of_connection);
			struct wire_writer w;

			wire_writer_init(&w, bytes, sizeof(bytes));
			wire_put_u8(&w, (uint8_t)kind);
			wire_put_u32(&w, n);
			if (!known || n < bodies[plain].min + more || n > bodies[plain].max + more)
				assert_int_equal(stream_get(bytes, STREAM_HEAD, &f, &used),
				    STREAM_E_BAD);
			else
				assert_int_equal(stream_get(bytes, STREAM_HEAD, &f, &used),
				    n == 0 ? 0 : STREAM_E_SHORT);
		}
	}
}

static void
test_credits(void **state)
{
	static const uint32_t bad[] = { 0, STREAM_CREDIT + 1, UINT32_MAX };
	struct stream_frame f;
	size_t used;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		size_t len = put(&(struct stream_frame){ .kind = STREAM_MORE, .more = bad[i] });

		assert_int_equal(stream_get(bytes, len, &f, &used), STREAM_E_BAD);
		len = put(&(struct stream_frame){ .kind = STREAM_HELLO, .hello = { 1, bad[i] } });
		assert_int_equal(stream_get(bytes, len, &f, &used), STREAM_E_BAD);
	}
}

/* The table of PROTOCOL.md, in bytes. */
static void
test_bytes(void **state)
{
	static const uint8_t size[] = { 10, 0, 0, 0, 16, 0, 0, 0, 80, 0, 0, 0, 24, 0, 0, 2, 128, 0,
		0, 1, 224 };
	static const uint8_t hello[] = { 1, 0, 0, 0, 8, 0, 0, 0, 1, 0, 4, 0, 0 };

	(void)state;
	assert_int_equal(put(&(struct stream_frame){ .kind = STREAM_SIZE,
			     .size = { 80, 24, 640, 480 } }),
	    sizeof(size));
	assert_memory_equal(bytes, size, sizeof(size));
	assert_int_equal(put(&good[0]), sizeof(hello));
	assert_memory_equal(bytes, hello, sizeof(hello));
}

static void
test_no_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		size_t len = put(&good[i]);
		struct wire_writer w;

		wire_writer_init(&w, bytes, len - 1);
		stream_put(&w, &good[i]);
		assert_true(w.failed);
	}
}

static void
test_exec_frames(void **state)
{
	struct exec_frame f;

	(void)state;
	assert_int_equal(exec_frame_get((const uint8_t[]){ 1, 0, 0, 0, 1, 2, 3, 4 }, &f), 0);
	assert_true(f.is_stdout);
	assert_int_equal(f.len, 0x01020304);
	assert_int_equal(exec_frame_get((const uint8_t[]){ 2, 0, 0, 0, 0, 0, 0, 0 }, &f), 0);
	assert_false(f.is_stdout);
	assert_int_equal(f.len, 0);
	for (unsigned which = 0; which < 256; which++) {
		for (unsigned i = 0; i < 4; i++) {
			uint8_t head[EXEC_FRAME_HEAD] = { (uint8_t)which };

			head[i] |= i > 0;
			assert_int_equal(exec_frame_get(head, &f),
			    i == 0 && (which == 1 || which == 2) ? 0 : STREAM_E_BAD);
		}
	}
}

/* ---- base64 ---- */

static void
test_base64_vectors(void **state)
{
	/* RFC 4648 section 10 */
	static const char *const vectors[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" }, { "\xff\xef\xbe", "/+++" } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(vectors); i++) {
		const char *plain = vectors[i][0];
		size_t plain_len = strlen(plain);
		uint8_t out[16];
		char text[16];
		size_t len = 0;

		assert_int_equal(stream_base64_put(text, (const uint8_t *)plain, plain_len),
		    strlen(vectors[i][1]));
		assert_memory_equal(text, vectors[i][1], strlen(vectors[i][1]));
		assert_int_equal(stream_base64_get(vectors[i][1], out, sizeof(out), &len), 0);
		assert_int_equal(len, plain_len);
		assert_memory_equal(out, plain, len);
		if (plain_len == 0)
			continue;
		len = 0;
		assert_int_equal(stream_base64_get(vectors[i][1], out, plain_len - 1, &len),
		    STREAM_E_BAD);
	}
}

/* The largest order goes through its pieces as through the command line. */
static void
test_base64_pieces(void **state)
{
	static uint8_t order[GUEST_ORDER_MAX], out[GUEST_ORDER_MAX];
	static char text[4 * (GUEST_ORDER_MAX / 3 + 1) + 1];
	static char piece[STREAM_ORDER_PIECE + 1];
	size_t text_len, len = 0;
	unsigned pieces = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(order); i++)
		order[i] = (uint8_t)(i * 31 + i / 251);
	text_len = stream_base64_put(text, order, sizeof(order));
	assert_int_equal(text_len, sizeof(text) - 1);
	for (size_t at = 0; at < text_len; at += STREAM_ORDER_PIECE) {
		(void)snprintf(piece, sizeof(piece), "%s", text + at);
		assert_int_equal(stream_base64_get(piece, out, sizeof(out), &len), 0);
		pieces++;
	}
	assert_int_equal(pieces, 3);
	assert_int_equal(len, sizeof(order));
	assert_memory_equal(out, order, sizeof(order));
	/* It ended with padding: there is nothing behind that. */
	len = sizeof(order);
	assert_int_equal(stream_base64_get("AAAA", out, sizeof(out), &len), STREAM_E_BAD);
}

static void
test_bad_base64(void **state)
{
	static const char *const bad[] = { "A", "AA", "AAA", "AAAAA", "=",
		"==", "===", "====", "A===", "AA=A", "AA=", "AAA=A", "AA==AA==", "AA==AAAA",
		"AAA=AAAA", "A=AA", "=AAA", "AB==", "AAB=", "/x==", "AA\n=", "AAAA\n", " AAA",
		"AA-A", "AA_A", "AA\200A", "AAAA=", "AAAA====", "A A=" };
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		size_t len = 0;

		if (stream_base64_get(bad[i], out, sizeof(out), &len) != STREAM_E_BAD)
			fail_msg("\"%s\" is base64", bad[i]);
	}
	for (unsigned c = 1; c < 256; c++) {
		char text[5] = { 'A', 'A', 'A', (char)c, 0 };
		bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=';
		size_t len = 0;

		assert_int_equal(stream_base64_get(text, out, sizeof(out), &len),
		    digit ? 0 : STREAM_E_BAD);
		assert_int_equal(len, !digit ? 0 : c == '=' ? 2 : 3);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_credits),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_exec_frames),
		cmocka_unit_test(test_base64_vectors),
		cmocka_unit_test(test_base64_pieces),
		cmocka_unit_test(test_bad_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
