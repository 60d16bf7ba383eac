/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between guest and worker, the engine's framing around them, and the base64 in which the
 * guest's command line holds an order: encoder and decoder side by side. Each side treats what comes in
 * as hostile: a frame's kind and length are looked at before the rest of it is waited for.
 */
#include "stream_msg.h"

#include <string.h>

/* ---- frames ---- */

#define CONNECTION_BYTES 4U /* its number, in a body */

/* How long the body of each kind may be, and whether a connection of a listener's has such frames. */
static const struct {
	uint32_t min, max;
	bool of_connection;
} bodies[] = {
	[STREAM_HELLO] = { 8, 8, false },
	[STREAM_CTL] = { 1, GUEST_CTL_MAX, false },
	[STREAM_INPUT] = { 1, STREAM_DATA_MAX, true },
	[STREAM_INPUT_END] = { 0, 0, true },
	[STREAM_OUTPUT] = { 1, STREAM_DATA_MAX, true },
	[STREAM_ERRORS] = { 1, STREAM_DATA_MAX, false },
	[STREAM_OUTPUT_END] = { 0, 0, true },
	[STREAM_ERRORS_END] = { 0, 0, false },
	[STREAM_MORE] = { 4, 4, true },
	[STREAM_SIZE] = { 16, 16, false },
};

static bool
holds_data(enum stream_kind kind)
{
	return kind == STREAM_CTL || kind == STREAM_INPUT || kind == STREAM_OUTPUT ||
	    kind == STREAM_ERRORS;
}

static void
put_head(struct wire_writer *w, const struct stream_frame *f)
{
	uint32_t len = holds_data(f->kind) ? (uint32_t)f->data.len : bodies[f->kind].max;

	wire_put_u8(w, (uint8_t)(f->kind | (f->of_connection ? STREAM_OF_CONNECTION : 0)));
	wire_put_u32(w, len + (f->of_connection ? CONNECTION_BYTES : 0));
	if (f->of_connection)
		wire_put_u32(w, f->connection);
}

void
stream_put(struct wire_writer *w, const struct stream_frame *f)
{
	put_head(w, f);
	switch (f->kind) {
	case STREAM_HELLO:
		wire_put_u32(w, f->hello.version);
		wire_put_u32(w, f->hello.credit);
		break;
	case STREAM_CTL:
	case STREAM_INPUT:
	case STREAM_OUTPUT:
	case STREAM_ERRORS:
		wire_put_bytes(w, f->data.data, f->data.len);
		break;
	case STREAM_INPUT_END:
	case STREAM_OUTPUT_END:
	case STREAM_ERRORS_END:
		break;
	case STREAM_MORE:
		wire_put_u32(w, f->more);
		break;
	case STREAM_SIZE:
		wire_put_u32(w, f->size.columns);
		wire_put_u32(w, f->size.rows);
		wire_put_u32(w, f->size.width_px);
		wire_put_u32(w, f->size.height_px);
		break;
	}
}

/* A credit that could be meant. */
static uint32_t
get_credit(struct wire_reader *r)
{
	uint32_t credit = wire_get_u32(r);

	if (credit < 1 || credit > STREAM_CREDIT)
		wire_fail(r);
	return credit;
}

/* r holds the whole body, of a length that the kind may have. */
static void
get_body(struct wire_reader *r, struct stream_frame *ret)
{
	switch (ret->kind) {
	case STREAM_HELLO:
		ret->hello.version = wire_get_u32(r);
		ret->hello.credit = get_credit(r);
		break;
	case STREAM_CTL:
	case STREAM_INPUT:
	case STREAM_OUTPUT:
	case STREAM_ERRORS:
		ret->data = wire_get_bytes(r, r->left);
		break;
	case STREAM_INPUT_END:
	case STREAM_OUTPUT_END:
	case STREAM_ERRORS_END:
		break;
	case STREAM_MORE:
		ret->more = get_credit(r);
		break;
	case STREAM_SIZE:
		ret->size.columns = wire_get_u32(r);
		ret->size.rows = wire_get_u32(r);
		ret->size.width_px = wire_get_u32(r);
		ret->size.height_px = wire_get_u32(r);
		break;
	}
}

int
stream_get(const uint8_t *data, size_t len, struct stream_frame *ret, size_t *ret_len)
{
	struct wire_reader r;
	uint32_t body, least;
	uint8_t kind, of_connection;

	if (len < STREAM_HEAD)
		return STREAM_E_SHORT;
	wire_reader_init(&r, data, len);
	kind = wire_get_u8(&r);
	of_connection = kind & STREAM_OF_CONNECTION;
	kind &= (uint8_t)~STREAM_OF_CONNECTION;
	body = wire_get_u32(&r);
	if (kind < STREAM_HELLO || kind > STREAM_SIZE ||
	    (of_connection != 0 && !bodies[kind].of_connection))
		return STREAM_E_BAD;
	least = of_connection != 0 ? CONNECTION_BYTES : 0;
	if (body < least + bodies[kind].min || body > least + bodies[kind].max)
		return STREAM_E_BAD;
	if (body > r.left)
		return STREAM_E_SHORT;
	r.left = body;
	memset(ret, 0, sizeof(*ret));
	ret->kind = (enum stream_kind)kind;
	ret->of_connection = of_connection != 0;
	if (ret->of_connection)
		ret->connection = wire_get_u32(&r);
	get_body(&r, ret);
	*ret_len = STREAM_HEAD + body;
	return wire_finish(&r) == 0 ? 0 : STREAM_E_BAD;
}

/* ---- the engine's framing ---- */

#define ENGINE_STDOUT 1
#define ENGINE_STDERR 2

int
exec_frame_get(const uint8_t head[EXEC_FRAME_HEAD], struct exec_frame *ret)
{
	struct wire_reader r;
	uint8_t which;

	wire_reader_init(&r, head, EXEC_FRAME_HEAD);
	which = wire_get_u8(&r);
	if (!wire_span_eq(wire_get_bytes(&r, 3), "\0\0\0", 3) ||
	    (which != ENGINE_STDOUT && which != ENGINE_STDERR))
		return STREAM_E_BAD;
	ret->is_stdout = which == ENGINE_STDOUT;
	ret->len = wire_get_u32(&r);
	return 0;
}

/* ---- base64 ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
stream_base64_put(char *out, const uint8_t *data, size_t len)
{
	size_t written = 0;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t group = (uint32_t)data[i] << 16;

		if (n > 1)
			group |= (uint32_t)data[i + 1] << 8;
		if (n > 2)
			group |= data[i + 2];
		out[written++] = digits[group >> 18];
		out[written++] = digits[group >> 12 & 63];
		out[written++] = n > 1 ? digits[group >> 6 & 63] : '=';
		out[written++] = n > 2 ? digits[group & 63] : '=';
	}
	return written;
}

/* The value of one digit, or -1. */
static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '/')
		return c == '+' ? 62 : 63;
	return -1;
}

/* Four characters, of which fewer than four are there when NUL is one of them. Bytes that they say, 0: none. */
static size_t
get_group(const char *text, uint8_t bytes[3])
{
	uint32_t group = 0;
	size_t n = 0; /* digits */

	for (int value; n < 4 && (value = value_of(text[n])) >= 0; n++)
		group = group << 6 | (uint32_t)value;
	if (n < 2 || (n == 2 && (text[2] != '=' || text[3] != '=')) || (n == 3 && text[3] != '='))
		return 0;
	group <<= 6 * (4 - n);
	bytes[0] = (uint8_t)(group >> 16);
	bytes[1] = (uint8_t)(group >> 8);
	bytes[2] = (uint8_t)group;
	/* What the padding cuts off is zero, so that there is one text for the same bytes. */
	return (n < 3 && bytes[1] != 0) || (n < 4 && bytes[2] != 0) ? 0 : n - 1;
}

int
stream_base64_get(const char *text, uint8_t *out, size_t cap, size_t *len)
{
	while (*text != '\0') {
		uint8_t bytes[3];
		size_t n = get_group(text, bytes);

		/* Behind padding there is nothing, also not in the next piece. */
		if (n == 0 || *len % 3 != 0 || n > cap - *len)
			return STREAM_E_BAD;
		memcpy(out + *len, bytes, n);
		*len += n;
		text += 4;
	}
	return 0;
}
