/* SPDX-License-Identifier: Apache-2.0 */
/* Read a configuration or key file the way sshd does: only when nobody else can have written it. */
#ifndef SP_READ_FILE_H
#define SP_READ_FILE_H

#include <stddef.h>

#include "attr.h"

/* The bits that the mode of a file must not have. */
enum read_file_kind {
	READ_FILE_PUBLIC = 022,
	READ_FILE_SECRET = 077,
	/* From the service manager, which lets this user in with an ACL: the group's bits are its mask. */
	READ_FILE_CREDENTIAL = 027,
};

/*
 * Whether nobody else can put something else in the place of path: every directory that its name
 * mentions, and every one above the place where it really is, belongs to root or this user and is not
 * writable by group or others (or is sticky, as /tmp is: then only what is in it can be replaced, by its
 * owner). path itself is not looked at and need not exist. Directories on the way may be symbolic links.
 * 0, or -errno with a sentence for the administrator in why[cap].
 */
SP_MUST_CHECK int trusted_place(const char *path, char *why, size_t cap);

/*
 * Read the whole of path: in a trusted place, a regular file, no symbolic link, owned by root or this
 * user, with a mode that its kind allows, at most max bytes, and unchanged while it was read. 0 with *ret (ended with
 * an extra NUL, freed with read_file_free()), or -errno with a sentence for the administrator in why[cap].
 */
SP_MUST_CHECK int read_trusted_file(const char *path, enum read_file_kind kind, size_t max,
    char **ret, size_t *ret_len, char *why, size_t why_cap);

/*
 * Whom those sentences name where a right is missing, beside the number: the user that this process is for now. It is
 * copied. NULL, as in the beginning: none. The password file is not looked into here, as a filter may forbid that.
 */
void read_file_reader(const char *name);

/* Wipe and free. NULL is fine. */
void read_file_free(char *text, size_t len);

#endif
