/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points in time and windows of it, as people write them. No local time: what "08:00" means must not
 * depend on the machine, so each has its zone.
 *
 *   2026-12-20T00:00Z/2027-01-02T00:00Z    from one instant up to another; either side may be missing
 *   mon-fri 08:00-18:00 +01:00             hours of days of the week
 *   22:00-06:00 Z                          of every day; the night belongs to the day it begins on
 *   sat,sun Z                              whole days
 */
#ifndef SP_TIMES_H
#define SP_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

#define TIMES_E_SYNTAX 1 /* not of one of these forms */
#define TIMES_E_EMPTY  2 /* it ends before it begins */

struct time_window {
	bool weekly;
	/* an interval: seconds since 1970; from is in it, to is not. INT64_MIN, INT64_MAX: open */
	int64_t from;
	int64_t to;
	/* weekly */
	uint8_t days;   /* bit 0: Monday */
	uint32_t begin; /* seconds of the day */
	uint32_t end;   /* not in it; at most 24 h; not after begin: of the next day */
	int32_t zone;   /* seconds east of Greenwich */
};

/* "2026-12-20T18:30Z", with seconds or without, "Z" or "+01:00". 0 or an outcome. */
SP_MUST_CHECK int times_parse_instant(const char *text, int64_t *ret);
SP_MUST_CHECK int times_parse_window(const char *text, struct time_window *ret);
/* now: seconds since 1970. */
bool times_contains(const struct time_window *w, int64_t now);
/* Whether nothing after now is in it. */
bool times_is_past(const struct time_window *w, int64_t now);

#define TIMES_TEXT_MAX 32
/* "2026-12-20T18:30:00Z" into out, and returns it. */
char *times_format(int64_t when, char out[TIMES_TEXT_MAX]);

#endif
