/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker has sent for a program and the program has not taken yet: bytes, and between them the
 * sizes that its terminal is to have from there on. Bounded by the credit that the worker has been given.
 */
#ifndef SP_STREAM_INPUT_H
#define SP_STREAM_INPUT_H

#include <stdbool.h>

#include "stream_msg.h"
#include "terminal.h"

#define STREAM_SIZES_MAX 16

struct stream_input {
	uint8_t bytes[STREAM_CREDIT]; /* a ring: byte number n is at n % STREAM_CREDIT */
	uint64_t put, taken;          /* how many, from the beginning */
	uint64_t credited;            /* of those taken, so many have been given back as credit */
	struct {
		uint64_t at; /* so many bytes are to be taken first */
		struct terminal_size size;
	} sizes[STREAM_SIZES_MAX];
	unsigned n_sizes;
	bool ended; /* the worker sends no more */
};

/* False: more than the worker has credit for, or behind the end. */
SP_MUST_CHECK bool stream_input_put(struct stream_input *in, struct wire_span data);

/*
 * A size from here on. Of sizes that the same byte follows, and of those that are too many, the last one
 * counts.
 */
void stream_input_put_size(struct stream_input *in, const struct terminal_size *size);

/* Bytes that can be taken at once, none when a size has its turn. */
struct wire_span stream_input_next(const struct stream_input *in);
/* The size whose turn it is, taken out; false: none. */
SP_MUST_CHECK bool stream_input_next_size(struct stream_input *in, struct terminal_size *ret);

/* n of the bytes of stream_input_next() are taken. */
void stream_input_took(struct stream_input *in, size_t n);
/* Nobody will ever take what is there. */
void stream_input_drop(struct stream_input *in);

bool stream_input_is_empty(const struct stream_input *in);

/* Credit to be given back now, 0: not worth a frame yet. */
uint32_t stream_input_credit(struct stream_input *in);

#endif
