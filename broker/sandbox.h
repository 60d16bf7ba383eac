/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's own lock-down, once everything that needs more is open; and its bind checker's (bind_check.h). */
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

/* No capability of use, and no call but those that look at directories, and fork. 0 or -errno. */
SP_MUST_CHECK int sandbox_bind_checker(void);

#endif
