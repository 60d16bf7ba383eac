/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminal modes as a client says them. Whatever it says becomes a list of the one form, which is read as itself, with
 * an end or without; what is of that form, is; and of no opcode does the list have another value than the last one said.
 *
 * Covers: tty_modes_read tty_modes_valid is_mode
 * Floor: 45
 */
#include <string.h>

#include "fuzz.h"
#include "tty_modes.h"

void
fuzz_setup(void)
{
}

/* The last value of the opcode in data, which is entries from its beginning on. */
static const uint8_t *
last_of(const uint8_t *data, size_t len, uint8_t opcode)
{
	const uint8_t *last = NULL;

	for (size_t at = 0; at + TTY_MODES_ENTRY <= len; at += TTY_MODES_ENTRY) {
		if (data[at] < 1 || data[at] > TTY_MODES_OPCODES)
			break;
		if (data[at] == opcode)
			last = data + at;
	}
	return last;
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	uint8_t list[TTY_MODES_MAX];
	uint8_t again[TTY_MODES_MAX];
	uint8_t ended[TTY_MODES_MAX + 1];
	size_t n = tty_modes_read(data, len, list);

	FUZZ_CHECK(n <= sizeof(list) && n <= len && tty_modes_valid(list, n));
	FUZZ_CHECK(tty_modes_read(list, n, again) == n && memcmp(list, again, n) == 0);
	memcpy(ended, list, n);
	ended[n] = 0;
	FUZZ_CHECK(tty_modes_read(ended, n + 1, again) == n && memcmp(list, again, n) == 0);
	for (size_t at = 0; at < n; at += TTY_MODES_ENTRY) {
		const uint8_t *last = last_of(data, len, list[at]);

		FUZZ_CHECK(last != NULL && memcmp(last, list + at, TTY_MODES_ENTRY) == 0);
	}
	if (tty_modes_valid(data, len))
		FUZZ_CHECK(n == len && memcmp(list, data, n) == 0);
}

void
fuzz_seeds(void)
{
	static const char usual[] = "\201\0\0\226\0\200\0\0\226\0\1\0\0\0\3\3\0\0\0\177\65\0\0\0\1\0";
	static const char again[] = "\65\0\0\0\1\65\0\0\0\0\132\0\0\0\1\133\0\0\0\1\132\0\0\0\0";
	static const char behind[] = "\65\0\0\0\1\240\0\0\0\1\0";

	fuzz_seed(usual, sizeof(usual) - 1);
	fuzz_seed(again, sizeof(again) - 1);
	fuzz_seed(behind, sizeof(behind) - 1);
	fuzz_seed("\65\0\0", 3);
}
