/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guest and worker read from each other over an engine's stream: a row of frames, of which each is
 * either not there yet, or none, or the same when it is written again. The engine's own heads, and the
 * base64 of the guest's command line, keep the same promise.
 *
 * Covers: stream_get get_body get_credit stream_put put_head exec_frame_get
 * Covers: stream_base64_get get_group value_of stream_base64_put
 * Floor: 50
 */
#include <string.h>

#include "fuzz.h"
#include "stream_msg.h"

#define TEXT_MAX 4096

static uint8_t out[STREAM_FRAME_MAX];

void
fuzz_setup(void)
{
}

static void
check_frame(const struct stream_frame *f)
{
	FUZZ_CHECK(f->kind >= STREAM_HELLO && f->kind <= STREAM_SIZE);
	FUZZ_CHECK(!f->of_connection || f->kind == STREAM_INPUT || f->kind == STREAM_INPUT_END ||
	    f->kind == STREAM_OUTPUT || f->kind == STREAM_OUTPUT_END || f->kind == STREAM_MORE);
	FUZZ_CHECK(f->of_connection || f->connection == 0);
	switch (f->kind) {
	case STREAM_HELLO:
		FUZZ_CHECK(f->hello.credit >= 1 && f->hello.credit <= STREAM_CREDIT);
		break;
	case STREAM_CTL:
		FUZZ_CHECK(f->data.len >= 1 && f->data.len <= GUEST_CTL_MAX);
		break;
	case STREAM_INPUT:
	case STREAM_OUTPUT:
	case STREAM_ERRORS:
		FUZZ_CHECK(f->data.len >= 1 && f->data.len <= STREAM_DATA_MAX);
		break;
	case STREAM_MORE:
		FUZZ_CHECK(f->more >= 1 && f->more <= STREAM_CREDIT);
		break;
	case STREAM_INPUT_END:
	case STREAM_OUTPUT_END:
	case STREAM_ERRORS_END:
	case STREAM_SIZE:
		break;
	}
}

static void
read_frames(const uint8_t *data, size_t len)
{
	struct stream_frame f;
	size_t used;
	int result;

	while ((result = stream_get(data, len, &f, &used)) == 0) {
		struct stream_frame part;
		struct wire_writer w;

		FUZZ_CHECK(used >= STREAM_HEAD && used <= len);
		check_frame(&f);
		wire_writer_init(&w, out, sizeof(out));
		stream_put(&w, &f);
		FUZZ_CHECK(!w.failed && w.len == used && memcmp(w.data, data, used) == 0);
		FUZZ_CHECK(stream_get(out, used - 1, &part, &used) == STREAM_E_SHORT);
		data += w.len;
		len -= w.len;
	}
	FUZZ_CHECK(result == STREAM_E_SHORT || result == STREAM_E_BAD);
	FUZZ_CHECK(result != STREAM_E_SHORT || len < sizeof(out));
}

static void
read_heads(const uint8_t *data, size_t len)
{
	for (; len >= EXEC_FRAME_HEAD; data += EXEC_FRAME_HEAD, len -= EXEC_FRAME_HEAD) {
		struct exec_frame f;

		if (exec_frame_get(data, &f) == 0)
			FUZZ_CHECK(data[0] == (f.is_stdout ? 1 : 2) && data[4] == f.len >> 24);
	}
}

/* One piece, and the same in two: there is one text for the same bytes. */
static void
read_base64(const uint8_t *data, size_t len)
{
	char text[TEXT_MAX + 1], again[TEXT_MAX + 4];
	uint8_t bytes[TEXT_MAX];
	size_t n = 0, half = len / 8 * 4;

	if (len > TEXT_MAX || memchr(data, '\0', len) != NULL)
		return;
	memcpy(text, data, len);
	text[len] = '\0';
	if (stream_base64_get(text, bytes, sizeof(bytes), &n) != 0)
		return;
	FUZZ_CHECK(stream_base64_put(again, bytes, n) == len && memcmp(again, text, len) == 0);
	FUZZ_CHECK(n == 0 || stream_base64_get(text, bytes, n - 1, &(size_t){ 0 }) == STREAM_E_BAD);
	memcpy(again, text, half);
	again[half] = '\0';
	n = 0;
	FUZZ_CHECK(stream_base64_get(again, bytes, sizeof(bytes), &n) == 0);
	FUZZ_CHECK(stream_base64_get(text + half, bytes, sizeof(bytes), &n) == 0);
}

/* The first byte says who reads the rest. */
void
fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };

	switch (fuzz_u8(&in) & 3) {
	case 0:
		read_heads(in.next, in.left);
		break;
	case 1:
		read_base64(in.next, in.left);
		break;
	default:
		read_frames(in.next, in.left);
		break;
	}
}

static void
seed_text(const char *text)
{
	char seed[TEXT_MAX];

	seed[0] = 1;
	memcpy(seed + 1, text, strlen(text));
	fuzz_seed(seed, 1 + strlen(text));
}

void
fuzz_seeds(void)
{
	static const struct stream_frame frames[] = {
		{ .kind = STREAM_HELLO, .hello = { STREAM_VERSION, STREAM_CREDIT } },
		{ .kind = STREAM_CTL, .data = { (const uint8_t *)"\1", 1 } },
		{ .kind = STREAM_INPUT, .data = { (const uint8_t *)"ls\n", 3 } },
		{ .kind = STREAM_INPUT_END },
		{ .kind = STREAM_OUTPUT, .data = { (const uint8_t *)"out", 3 } },
		{ .kind = STREAM_ERRORS, .data = { (const uint8_t *)"err", 3 } },
		{ .kind = STREAM_OUTPUT_END },
		{ .kind = STREAM_ERRORS_END },
		{ .kind = STREAM_MORE, .more = 65536 },
		{ .kind = STREAM_SIZE, .size = { 80, 24, 640, 480 } },
		{ .kind = STREAM_INPUT,
		    .of_connection = true,
		    .connection = 1,
		    .data = { (const uint8_t *)"GET", 3 } },
		{ .kind = STREAM_OUTPUT_END, .of_connection = true, .connection = 2 },
		{ .kind = STREAM_MORE, .of_connection = true, .more = STREAM_CREDIT },
	};
	static const uint8_t heads[] = { 0, 1, 0, 0, 0, 0, 0, 0, 9, 2, 0, 0, 0, 255, 255, 255, 255 };
	uint8_t all[256];
	struct wire_writer w;

	wire_writer_init(&w, all, sizeof(all));
	wire_put_u8(&w, 2);
	for (size_t i = 0; i < SP_ARRAY_LEN(frames); i++) {
		uint8_t one[64];
		struct wire_writer alone;

		stream_put(&w, &frames[i]);
		wire_writer_init(&alone, one, sizeof(one));
		wire_put_u8(&alone, 2);
		stream_put(&alone, &frames[i]);
		fuzz_seed(alone.data, alone.len);
	}
	fuzz_seed(w.data, w.len);
	fuzz_seed(heads, sizeof(heads));
	seed_text("Zm9vYmFy");
	seed_text("Zm9vYmE=");
	seed_text("Zm9vYg==");
	seed_text("/+++");
}
