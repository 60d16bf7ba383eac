/* SPDX-License-Identifier: Apache-2.0 */
/* What a stranger has said, as one word of a line of fields: no blanks or quotes that would make fields of their own. */
#ifndef SP_LOG_WORD_H
#define SP_LOG_WORD_H

#include <stddef.h>

#include "wire.h"

/*
 * The word into out[cap], cut to what it holds, with '?' for all but printable ASCII, blanks and '"'; "-" for nothing.
 * Returns out. The audit log has all of it.
 */
char *log_word(struct wire_span said, char *out, size_t cap);

#endif
