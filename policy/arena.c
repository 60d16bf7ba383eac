/* SPDX-License-Identifier: Apache-2.0 */
/* One allocation per piece: sanitizers see each one's end, and speed does not matter here. */
#include "arena.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next;
	max_align_t bytes[];
};

void *
arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = calloc(1, sizeof(*b) + n);

	if (b == NULL)
		return NULL;
	b->next = a->blocks;
	a->blocks = b;
	return b->bytes;
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *copy = arena_alloc(a, n + 1);

	if (copy != NULL)
		memcpy(copy, s, n);
	return copy;
}

void
arena_free(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}
