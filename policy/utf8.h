/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, as strict as RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef SP_UTF8_H
#define SP_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at text[0..len), with its number in *ret; 0: no valid character there. */
size_t utf8_decode(const char *text, size_t len, uint32_t *ret);
/* Write c into out and return its length. c is at most U+10FFFF and no surrogate. */
size_t utf8_encode(uint32_t c, char out[4]);
/* Whether a terminal shows it without side effects: no controls, no changes of direction. */
bool utf8_printable(uint32_t c);

/*
 * Why this text[len] cannot be shown on a terminal or compared by eye, half a sentence, or NULL. lines: it may have
 * line ends and tabs.
 */
const char *utf8_text_fault(const char *text, size_t len, bool lines);

#endif
