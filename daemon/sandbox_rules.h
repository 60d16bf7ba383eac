/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: the table from which its system call filter is compiled, when this is built. */
#ifndef SP_SANDBOX_RULES_H
#define SP_SANDBOX_RULES_H

#include <stddef.h>

#include "lockdown_seccomp.h"

extern const struct lockdown_rule sandbox_rules[];
extern const size_t sandbox_n_rules;

#endif
