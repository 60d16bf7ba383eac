/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given back all at once: what a policy or a configuration is made of. */
#ifndef SP_ARENA_H
#define SP_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
};

#define ARENA_INIT   \
	{            \
		NULL \
	}

/* n zeroed bytes, or NULL. n = 0 gives a pointer too. */
void *arena_alloc(struct arena *a, size_t n);
/* A copy of s[n], ended with NUL, or NULL. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
void arena_free(struct arena *a);

#endif
