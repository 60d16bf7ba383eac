/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see log_word.h. */
#include "log_word.h"

#include <stdbool.h>
#include <stdio.h>

char *
log_word(struct wire_span said, char *out, size_t cap)
{
	size_t n = said.len < cap ? said.len : cap - 1;

	for (size_t i = 0; i < n; i++) {
		bool plain = said.data[i] > ' ' && said.data[i] < 0x7f && said.data[i] != '"';

		out[i] = plain ? (char)said.data[i] : '?';
	}
	out[n] = '\0';
	if (n == 0)
		(void)snprintf(out, cap, "-");
	return out;
}

void
log_words(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '=')
			*text = '?';
	}
}
