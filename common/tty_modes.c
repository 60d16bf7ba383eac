/* SPDX-License-Identifier: Apache-2.0 */
/* See tty_modes.h. All of the input is hostile. */
#include "tty_modes.h"

#include <string.h>

static bool
is_mode(uint8_t opcode)
{
	return opcode >= 1 && opcode <= TTY_MODES_OPCODES;
}

size_t
tty_modes_read(const void *encoded, size_t len, uint8_t ret[TTY_MODES_MAX])
{
	size_t last[TTY_MODES_OPCODES + 1] = { 0 }; /* where each opcode comes for the last time */
	const uint8_t *from = encoded;
	size_t end = 0;
	size_t n = 0;

	while (end < len && is_mode(from[end])) {
		if (len - end < TTY_MODES_ENTRY)
			return 0;
		last[from[end]] = end;
		end += TTY_MODES_ENTRY;
	}
	if (len - end > 1)
		return 0;
	for (size_t at = 0; at < end; at += TTY_MODES_ENTRY) {
		if (last[from[at]] != at)
			continue;
		memcpy(ret + n, from + at, TTY_MODES_ENTRY);
		n += TTY_MODES_ENTRY;
	}
	return n;
}

bool
tty_modes_valid(const void *list, size_t len)
{
	bool seen[TTY_MODES_OPCODES + 1] = { false };
	const uint8_t *from = list;

	if (len > TTY_MODES_MAX || len % TTY_MODES_ENTRY != 0)
		return false;
	for (size_t at = 0; at < len; at += TTY_MODES_ENTRY) {
		if (!is_mode(from[at]) || seen[from[at]])
			return false;
		seen[from[at]] = true;
	}
	return true;
}
