/* SPDX-License-Identifier: Apache-2.0 */
/* One grammar for both: digits, then one word of a table. No signs, no blanks, no fractions. */
#include "units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *word;
	uint64_t factor;
};

/* Ascending, so that formatting takes the last one that divides. */
static const struct unit sizes[] = {
	{ "", 1 },
	{ "K", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
	{ "T", UINT64_C(1) << 40 },
};

static const struct unit durations[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "d", 24 * 60 * 60 * 1000 },
};

static int
parse(const char *text, const struct unit *units, size_t n, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; text[i] >= '0' && text[i] <= '9'; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return UNITS_E_RANGE;
		value = value * 10 + digit;
	}
	if (i == 0)
		return UNITS_E_SYNTAX;
	for (size_t u = 0; u < n; u++) {
		if (strcmp(text + i, units[u].word) != 0)
			continue;
		if (value > UINT64_MAX / units[u].factor)
			return UNITS_E_RANGE;
		*ret = value * units[u].factor;
		return 0;
	}
	return UNITS_E_SYNTAX;
}

int
units_parse_size(const char *text, uint64_t *ret)
{
	return parse(text, sizes, SP_ARRAY_LEN(sizes), ret);
}

int
units_parse_duration(const char *text, uint64_t *ret)
{
	if (strcmp(text, "0") == 0) {
		*ret = 0;
		return 0;
	}
	return parse(text, durations, SP_ARRAY_LEN(durations), ret);
}

static char *
format(uint64_t value, const struct unit *units, size_t n, char out[UNITS_TEXT_MAX])
{
	size_t best = 0;

	for (size_t u = 0; value != 0 && u < n; u++) {
		if (value % units[u].factor == 0)
			best = u;
	}
	(void)snprintf(out, UNITS_TEXT_MAX, "%" PRIu64 "%s", value / units[best].factor,
	    value == 0 ? "" : units[best].word);
	return out;
}

char *
units_format_size(uint64_t bytes, char out[UNITS_TEXT_MAX])
{
	return format(bytes, sizes, SP_ARRAY_LEN(sizes), out);
}

char *
units_format_duration(uint64_t ms, char out[UNITS_TEXT_MAX])
{
	return format(ms, durations, SP_ARRAY_LEN(durations), out);
}
