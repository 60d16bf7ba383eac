/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as hexadecimal digits, and what such a digit is worth. */
#ifndef SP_HEX_H
#define SP_HEX_H

#include <stddef.h>

/* data[n] as 2 * n lower-case digits, and a NUL behind them. */
void hex_format(const void *data, size_t n, char *out);

/* 0 to 15, of a digit in either case; -1: it is none. */
int hex_digit(char c);

#endif
