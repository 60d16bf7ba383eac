/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded reader and writer for the encoding of RFC 4251 section 5: big-endian integers and strings
 * with a 32-bit length. IPC records, SSH key blobs and transcripts are all made of these.
 *
 * Failure is sticky: after the first field that does not fit, every further get returns zero or an
 * empty span, and wire_finish() reports it. So a decoder reads like the message and asks one
 * question at the end.
 */
#ifndef SP_WIRE_H
#define SP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

/* Outcome of wire_finish(): too short, a length beyond the end, a refused byte, or bytes left. */
#define WIRE_E_MALFORMED 1

/* Bytes that belong to somebody else, valid as long as the buffer they were read from. */
struct wire_span {
	const uint8_t *data;
	size_t len;
};

struct wire_reader {
	const uint8_t *next;
	size_t left;
	bool failed;
};

struct wire_writer {
	uint8_t *data;
	size_t cap;
	size_t len;
	bool failed;
};

void wire_reader_init(struct wire_reader *r, const void *data, size_t len);
uint8_t wire_get_u8(struct wire_reader *r);
/* A byte that must be 0 or 1: anything else is malformed, so that a message has one encoding. */
bool wire_get_bool(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
/* n bytes without a length field. */
struct wire_span wire_get_bytes(struct wire_reader *r, size_t n);
/* A string as a view into the reader's buffer; any byte allowed. */
struct wire_span wire_get_span(struct wire_reader *r);
/* A string copied into out[cap] and ended with NUL; malformed when it does not fit or holds a NUL. */
void wire_get_cstr(struct wire_reader *r, char *out, size_t cap);
/* Mark the message as malformed (a decoder's own check failed). */
void wire_fail(struct wire_reader *r);
/* 0 when every get succeeded and every byte was consumed, else WIRE_E_MALFORMED. */
SP_MUST_CHECK int wire_finish(const struct wire_reader *r);

void wire_writer_init(struct wire_writer *w, void *data, size_t cap);
void wire_put_u8(struct wire_writer *w, uint8_t v);
void wire_put_u32(struct wire_writer *w, uint32_t v);
void wire_put_u64(struct wire_writer *w, uint64_t v);
void wire_put_bytes(struct wire_writer *w, const void *data, size_t n);
void wire_put_str(struct wire_writer *w, const void *data, size_t n);
void wire_put_cstr(struct wire_writer *w, const char *s);
/* An unsigned big-endian number as mpint (RFC 4251 section 5): no leading zeros, sign byte added. */
void wire_put_mpint(struct wire_writer *w, const uint8_t *data, size_t n);

bool wire_span_eq(struct wire_span a, const void *data, size_t n);
bool wire_span_is(struct wire_span a, const char *s);

#endif
