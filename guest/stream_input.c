/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: see stream_input.h. Numbers of bytes never go back; 64 bits of them do not run over. */
#include "stream_input.h"

#include <string.h>

/* Less is not worth a frame; and a worker that has used up its credit is never left without. */
#define CREDIT_STEP (STREAM_CREDIT / 4)

/* From byte number n to the end of the ring. */
static size_t
until_wrap(uint64_t n)
{
	return STREAM_CREDIT - (size_t)(n % STREAM_CREDIT);
}

static size_t
least(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

bool
stream_input_put(struct stream_input *in, struct wire_span data)
{
	size_t first = least(data.len, until_wrap(in->put));

	if (in->ended || data.len > STREAM_CREDIT - (in->put - in->credited))
		return false;
	memcpy(in->bytes + in->put % STREAM_CREDIT, data.data, first);
	memcpy(in->bytes, data.data + first, data.len - first);
	in->put += data.len;
	return true;
}

void
stream_input_put_size(struct stream_input *in, const struct terminal_size *size)
{
	unsigned last = in->n_sizes > 0 ? in->n_sizes - 1 : 0;

	if (in->n_sizes < STREAM_SIZES_MAX && (in->n_sizes == 0 || in->sizes[last].at != in->put))
		last = in->n_sizes++;
	in->sizes[last].at = in->put;
	in->sizes[last].size = *size;
}

struct wire_span
stream_input_next(const struct stream_input *in)
{
	uint64_t end = in->n_sizes > 0 ? in->sizes[0].at : in->put;

	return (struct wire_span){ in->bytes + in->taken % STREAM_CREDIT,
		least(end - in->taken, until_wrap(in->taken)) };
}

bool
stream_input_next_size(struct stream_input *in, struct terminal_size *ret)
{
	if (in->n_sizes == 0 || in->sizes[0].at != in->taken)
		return false;
	*ret = in->sizes[0].size;
	in->n_sizes--;
	memmove(in->sizes, in->sizes + 1, in->n_sizes * sizeof(in->sizes[0]));
	return true;
}

void
stream_input_took(struct stream_input *in, size_t n)
{
	in->taken += n;
}

void
stream_input_drop(struct stream_input *in)
{
	in->taken = in->put;
	in->n_sizes = 0;
}

bool
stream_input_is_empty(const struct stream_input *in)
{
	return in->taken == in->put && in->n_sizes == 0;
}

uint32_t
stream_input_credit(struct stream_input *in)
{
	uint64_t credit = in->taken - in->credited;

	if (credit < CREDIT_STEP)
		return 0;
	in->credited = in->taken;
	return (uint32_t)credit;
}
