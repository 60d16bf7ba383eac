/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's own lock-down, once everything that needs more is open. */
#ifndef SP_SANDBOX_H
#define SP_SANDBOX_H

#include <stddef.h>

#include "attr.h"

/*
 * Capabilities down to the few that the work needs, no_new_privs, the system call table, and the
 * kernel's word that it took. No execve, no fork, no new privileges from here on.
 * 0, or -errno or 1 with a sentence in why[cap].
 */
SP_MUST_CHECK int sandbox_broker(char *why, size_t cap);

#endif
