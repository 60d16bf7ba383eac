/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns as in sshd_config(5): * for any bytes, ? for one. */
#ifndef SP_WILDCARD_H
#define SP_WILDCARD_H

#include <stdbool.h>

/*
 * Whether all of text fits. One remembered star is enough, so that the work is at most the length of one times
 * the length of the other.
 */
bool wildcard_matches(const char *pattern, const char *text);

#endif
