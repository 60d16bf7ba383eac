/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of users and groups, from the image's own /etc/passwd and /etc/group when it has them. Read
 * here and not by libc, which would ask a name service daemon of the container's as well.
 */
#ifndef SP_SFTP_ACCOUNT_H
#define SP_SFTP_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The name, valid until the next call of the same function; NULL: there is none. */
const char *sftp_account_user(uint32_t uid);
const char *sftp_account_group(uint32_t gid);

/* The home directory of the user called name; false: there is no such user, or it does not fit. */
bool sftp_account_home(const char *name, char *out, size_t cap);

#endif
