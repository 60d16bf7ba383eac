/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of the host that a policy gives to containers, looked at just before the engine is asked
 * to mount them.
 *
 * The engine resolves the path again, as root, when it starts the container. So a path is good only if
 * nobody but root and we could make it lead elsewhere meanwhile: no symbolic link on it, and each
 * directory above the last one such that only they can replace what is in it. What remains is what
 * root does to the tree itself, and other mounts that root makes there.
 */
#ifndef SP_BIND_SOURCE_H
#define SP_BIND_SOURCE_H

#include <stddef.h>

#include "attr.h"

struct config;
struct policy_bind;

#define BIND_SOURCE_E_MISSING 1 /* there is no such directory */
#define BIND_SOURCE_E_UNSAFE  2 /* it must not be mounted */

/*
 * Whether the directory may be mounted into a container. The bind is one of a grant: its templates are
 * filled in. The answer is good until root changes something on the path.
 *
 * config: its directories, and its engine's socket, are never mounted, nor what is in or above them.
 * Returns 0; an outcome with the reason for the log in why[cap]; or -errno, also explained there. The
 * calls may wait for a file system that does not answer, as any use of a path does: bind_check.h is for who must not.
 */
SP_MUST_CHECK int bind_source_check(const struct config *config, const struct policy_bind *bind,
    char *why, size_t cap);

#endif
