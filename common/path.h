/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, and the directories that they are in. */
#ifndef SP_PATH_H
#define SP_PATH_H

#include <limits.h>

#include "attr.h"

/* The directory that the file at path is in, as path spells it; "." for a mere name. No path that is too long to
 * be opened: it is cut. */
void path_directory(const char *path, char out[PATH_MAX]);

/* Make the name of the file at path as durable as its content: write its directory. 0 or -errno. */
SP_MUST_CHECK int path_sync_directory(const char *path);

#endif
