/* SPDX-License-Identifier: Apache-2.0 */
/* What would have become of logins and requests that an audit log tells of. */
#ifndef SP_REPLAY_H
#define SP_REPLAY_H

#include <stdbool.h>

struct policy;

/*
 * Ask both policies about each login whose key was proven, and each program and forward that was asked
 * for on it, in the audit log at path ("-": standard input); print those that they decide differently.
 * Returns an exit code.
 */
int replay(const char *path, struct policy *before, struct policy *after, bool json);

#endif
