/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lives and dies with one owner: what a file said, as typed values. Failure is sticky, so
 * that readers ask once at the end.
 */
#ifndef SP_ARENA_H
#define SP_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "attr.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	bool failed; /* an allocation did not succeed */
};

/* n zeroed elements of size bytes each, for any type. NULL: out of memory, and a->failed is set. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* A copy of text[len], ended with NUL. */
char *arena_copy(struct arena *a, const char *text, size_t len);
char *arena_format(struct arena *a, const char *format, ...) SP_PRINTF(2, 3);
/* Free all of it. */
void arena_clear(struct arena *a);

#endif
