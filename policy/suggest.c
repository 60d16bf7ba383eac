/* SPDX-License-Identifier: Apache-2.0 */
/* Edit distance with swaps of neighbours (optimal string alignment), over short words only. */
#include "suggest.h"

#include <string.h>

#define WORD_MAX 64

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static size_t
distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t *now = rows[i % 3];
		const size_t *before = rows[(i + 2) % 3];
		const size_t *two_before = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;

			now[j] = least(before[j] + 1, now[j - 1] + 1, before[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    two_before[j - 2] + 1 < now[j])
				now[j] = two_before[j - 2] + 1;
		}
	}
	return rows[n_a % 3][n_b];
}

void
suggest_init(struct suggest *s, const char *word)
{
	size_t len = strlen(word);

	s->word = word;
	s->best = NULL;
	/* One slip in three letters; more is another word. */
	s->distance = len / 3 + 2;
}

void
suggest_offer(struct suggest *s, const char *candidate)
{
	size_t n_word = strlen(s->word);
	size_t n_candidate = strlen(candidate);
	size_t d;

	if (n_word == 0 || n_word > WORD_MAX || n_candidate > WORD_MAX)
		return;
	d = distance(s->word, n_word, candidate, n_candidate);
	if (d < s->distance && d < n_candidate) {
		s->distance = d;
		s->best = candidate;
	}
}
