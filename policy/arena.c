/* SPDX-License-Identifier: Apache-2.0 */
/* One malloc per piece, on a list: loading a file is rare, and sanitizers see every overrun. */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next;
	max_align_t data[];
};

void *
arena_array(struct arena *a, size_t n, size_t size)
{
	struct arena_block *block = NULL;

	if (size == 0 || n <= (SIZE_MAX - sizeof(*block)) / size)
		block = calloc(1, sizeof(*block) + n * size);
	if (block == NULL) {
		a->failed = true;
		return NULL;
	}
	block->next = a->blocks;
	a->blocks = block;
	return block->data;
}

char *
arena_copy(struct arena *a, const char *text, size_t len)
{
	char *copy = arena_array(a, len + 1, 1);

	if (copy != NULL)
		memcpy(copy, text, len);
	return copy;
}

char *
arena_format(struct arena *a, const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n >= 0)
		text = arena_array(a, (size_t)n + 1, 1);
	if (text == NULL)
		return NULL;
	va_start(args, format);
	(void)vsnprintf(text, (size_t)n + 1, format, args);
	va_end(args);
	return text;
}

void
arena_clear(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *next = a->blocks->next;

		free(a->blocks);
		a->blocks = next;
	}
	a->failed = false;
}
