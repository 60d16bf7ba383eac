/* SPDX-License-Identifier: Apache-2.0 */
/* How a container differs from what was asked for, in a sentence: for engine_compare.c and kernel_account.c. */
#ifndef SP_DIFFERENCE_H
#define SP_DIFFERENCE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "attr.h"

/* Where the sentence goes. */
struct difference {
	char *why;
	size_t cap;
};

/* Write it, cut to the room there is. false, which is what the caller returns. */
static inline bool SP_PRINTF(2, 3) differ(const struct difference *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(d->why, d->cap, format, args);
	va_end(args);
	return false;
}

#endif
