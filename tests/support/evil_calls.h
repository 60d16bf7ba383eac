/* SPDX-License-Identifier: Apache-2.0 */
/* What code that has taken a worker over would ask of the kernel, by name. For sallyportd-evil only. */
#ifndef SP_EVIL_CALLS_H
#define SP_EVIL_CALLS_H

#include <stddef.h>

/*
 * Make the call of this name and write what came of it: "0 VALUE" when the kernel did it, else
 * "ERRNAME" of its errno, or a word of the call's own. client is a connected socket; argument is the
 * call's, or "". Does not return where the filter says no.
 */
void evil_call(const char *name, const char *argument, int client, char *out, size_t cap);

#endif
