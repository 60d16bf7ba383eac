/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminal modes, as a client says them in its pty-req (RFC 4254 section 8), and as our processes pass them on: a list
 * of opcode (one byte, 1..159) and value (four, the first one the most significant), each opcode at most once. What
 * they mean is the guest's affair (guest/terminal.c).
 */
#ifndef SP_TTY_MODES_H
#define SP_TTY_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TTY_MODES_OPCODES 159 /* from 1 on; those above take no value, and there are none */
#define TTY_MODES_ENTRY   5   /* bytes */
#define TTY_MODES_MAX     (TTY_MODES_OPCODES * TTY_MODES_ENTRY) /* bytes of the longest list */

/*
 * The list of what a client has said in encoded[len], hostile: of an opcode that comes again the last value counts, and
 * the place of that, as some stand for the same bits. As under sshd a string that goes on behind its end, or behind an
 * opcode that nobody knows to skip, means nothing. Nor does one that breaks off, for which sshd ends the connection.
 * Returns the length of the list, in bytes.
 */
size_t tty_modes_read(const void *encoded, size_t len, uint8_t ret[TTY_MODES_MAX]);

/* Whether list[len], hostile, is such a list. */
bool tty_modes_valid(const void *list, size_t len);

#endif
