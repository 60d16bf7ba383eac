/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and durations as people write them: "256M", "1G", "500ms", "10s", "20m", "8h". */
#ifndef SP_UNITS_H
#define SP_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"

#define UNITS_E_SYNTAX 1 /* not of this form */
#define UNITS_E_RANGE  2 /* does not fit into 64 bits */

/* Digits and one of K M G T (powers of 1024), or digits alone: bytes. 0 or an outcome. */
SP_MUST_CHECK int units_parse_size(const char *text, uint64_t *ret);
/* Digits and one of ms s m h d; in milliseconds. A number without a unit is refused, but for 0. */
SP_MUST_CHECK int units_parse_duration(const char *text, uint64_t *ret);

#define UNITS_TEXT_MAX 32
/* The shortest exact form, for messages. Both return out. */
char *units_format_size(uint64_t bytes, char out[UNITS_TEXT_MAX]);
char *units_format_duration(uint64_t ms, char out[UNITS_TEXT_MAX]);

#endif
