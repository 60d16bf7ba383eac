/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stranger has said, in a line of fields, as one word or as the rest of the line: nothing that would make fields
 * of its own.
 */
#ifndef SP_LOG_WORD_H
#define SP_LOG_WORD_H

#include <stddef.h>

#include "wire.h"

/*
 * The word into out[cap], cut to what it holds, with '?' for all but printable ASCII, blanks and '"'; "-" for nothing.
 * Returns out. The audit log has all of it.
 */
char *log_word(struct wire_span said, char *out, size_t cap);

/* Text that ends such a line: with '?' for each '=', it has words, but no fields of its own. */
void log_words(char *text);

#endif
