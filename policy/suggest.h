/* SPDX-License-Identifier: Apache-2.0 */
/* "did you mean": the nearest of some words to a misspelt one. */
#ifndef SP_SUGGEST_H
#define SP_SUGGEST_H

#include <stddef.h>

struct suggest {
	const char *word;
	const char *best; /* the nearest so far, or NULL: none is near enough */
	size_t distance;
};

void suggest_init(struct suggest *s, const char *word);
/* Offer one candidate (borrowed as long as s->best is used). */
void suggest_offer(struct suggest *s, const char *candidate);

#endif
