/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded reader and writer. Runs in every process, the guest included. The reader's input is
 * hostile: nothing here trusts a length.
 */
#include "wire.h"

#include <string.h>

void
wire_reader_init(struct wire_reader *r, const void *data, size_t len)
{
	r->next = data;
	r->left = len;
	r->failed = false;
}

void
wire_fail(struct wire_reader *r)
{
	r->failed = true;
	r->left = 0;
}

struct wire_span
wire_get_bytes(struct wire_reader *r, size_t n)
{
	struct wire_span s = { r->next, n };

	if (r->failed || n > r->left) {
		wire_fail(r);
		s.data = (const uint8_t *)"";
		s.len = 0;
		return s;
	}
	r->next += n;
	r->left -= n;
	return s;
}

uint8_t
wire_get_u8(struct wire_reader *r)
{
	struct wire_span s = wire_get_bytes(r, 1);

	return r->failed ? 0 : s.data[0];
}

bool
wire_get_bool(struct wire_reader *r)
{
	uint8_t v = wire_get_u8(r);

	if (v > 1)
		wire_fail(r);
	return v == 1;
}

uint32_t
wire_get_u32(struct wire_reader *r)
{
	struct wire_span s = wire_get_bytes(r, 4);

	if (r->failed)
		return 0;
	return (uint32_t)s.data[0] << 24 | (uint32_t)s.data[1] << 16 | (uint32_t)s.data[2] << 8 |
	    (uint32_t)s.data[3];
}

uint64_t
wire_get_u64(struct wire_reader *r)
{
	uint64_t high = wire_get_u32(r);
	uint64_t low = wire_get_u32(r);

	return r->failed ? 0 : high << 32 | low;
}

struct wire_span
wire_get_span(struct wire_reader *r)
{
	uint32_t n = wire_get_u32(r);

	return wire_get_bytes(r, n);
}

void
wire_get_cstr(struct wire_reader *r, char *out, size_t cap)
{
	struct wire_span s = wire_get_span(r);

	out[0] = '\0';
	if (r->failed)
		return;
	if (s.len >= cap || memchr(s.data, '\0', s.len) != NULL) {
		wire_fail(r);
		return;
	}
	memcpy(out, s.data, s.len);
	out[s.len] = '\0';
}

int
wire_finish(const struct wire_reader *r)
{
	return r->failed || r->left != 0 ? WIRE_E_MALFORMED : 0;
}

void
wire_writer_init(struct wire_writer *w, void *data, size_t cap)
{
	w->data = data;
	w->cap = cap;
	w->len = 0;
	w->failed = false;
}

void
wire_put_bytes(struct wire_writer *w, const void *data, size_t n)
{
	if (w->failed || n > w->cap - w->len) {
		w->failed = true;
		return;
	}
	if (n > 0)
		memcpy(w->data + w->len, data, n);
	w->len += n;
}

void
wire_put_u8(struct wire_writer *w, uint8_t v)
{
	wire_put_bytes(w, &v, 1);
}

void
wire_put_u32(struct wire_writer *w, uint32_t v)
{
	uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	wire_put_bytes(w, b, sizeof(b));
}

void
wire_put_u64(struct wire_writer *w, uint64_t v)
{
	wire_put_u32(w, (uint32_t)(v >> 32));
	wire_put_u32(w, (uint32_t)v);
}

void
wire_put_str(struct wire_writer *w, const void *data, size_t n)
{
	if (n > UINT32_MAX) {
		w->failed = true;
		return;
	}
	wire_put_u32(w, (uint32_t)n);
	wire_put_bytes(w, data, n);
}

void
wire_put_cstr(struct wire_writer *w, const char *s)
{
	wire_put_str(w, s, strlen(s));
}

void
wire_put_mpint(struct wire_writer *w, const uint8_t *data, size_t n)
{
	bool pad;

	while (n > 0 && data[0] == 0) {
		data++;
		n--;
	}
	pad = n > 0 && (data[0] & 0x80) != 0;
	if (n >= UINT32_MAX) {
		w->failed = true;
		return;
	}
	wire_put_u32(w, (uint32_t)n + (pad ? 1 : 0));
	if (pad)
		wire_put_u8(w, 0);
	wire_put_bytes(w, data, n);
}

bool
wire_span_eq(struct wire_span a, const void *data, size_t n)
{
	return a.len == n && (n == 0 || memcmp(a.data, data, n) == 0);
}

bool
wire_span_is(struct wire_span a, const char *s)
{
	return wire_span_eq(a, s, strlen(s));
}
