/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of an SFTP client made absolute. */
#ifndef SP_SFTP_PATH_H
#define SP_SFTP_PATH_H

#include <limits.h>

#include "attr.h"

/*
 * The absolute path without links, "." and ".."; its last component need not exist, so that a client
 * can ask for what it is about to make. "" is the working directory. 0 or -errno.
 */
SP_MUST_CHECK int sftp_path_resolve(const char *path, char out[PATH_MAX]);

/*
 * The same after "~" (HOME, or where the session began) and "~user". -ENOENT also when there is no such user.
 */
SP_MUST_CHECK int sftp_path_expand(const char *path, char out[PATH_MAX]);

#endif
