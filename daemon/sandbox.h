/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's lock-down: everything it will ever open is open when this runs. */
#ifndef SP_SANDBOX_H
#define SP_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "attr.h"

struct sandbox_options {
	uid_t uid;
	gid_t gid;
	bool has_root;    /* IPC_ROOT_FD is one to enter, and not to be made */
	bool best_effort; /* go on where the kernel refuses a step for lack of privilege */
};

/*
 * Limits, empty root, ids and capabilities, no_new_privs, the system call table; then the kernel's
 * own word that each took. 0, or non-zero with a sentence in why[cap].
 */
SP_MUST_CHECK int sandbox_worker(const struct sandbox_options *o, char *why, size_t cap);

#endif
