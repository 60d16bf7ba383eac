/* SPDX-License-Identifier: Apache-2.0 */
/* Read a configuration or key file the way sshd does: only when nobody else can have written it. */
#ifndef SP_READ_FILE_H
#define SP_READ_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "attr.h"

/*
 * Read the whole of path: a regular file, no symbolic link, owned by root or this user, not writable
 * by group or others (secret: not readable either), at most max bytes, and unchanged while it was
 * read. 0 with *ret (ended with an extra NUL, freed with read_file_free()), or -errno with a sentence
 * for the administrator in why[cap].
 */
SP_MUST_CHECK int read_trusted_file(const char *path, bool secret, size_t max, char **ret,
    size_t *ret_len, char *why, size_t why_cap);

/* Wipe and free. NULL is fine. */
void read_file_free(char *text, size_t len);

#endif
