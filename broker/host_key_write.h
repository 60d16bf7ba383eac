/* SPDX-License-Identifier: Apache-2.0 */
/* Writing private key files in OpenSSH's format. */
#ifndef SP_HOST_KEY_WRITE_H
#define SP_HOST_KEY_WRITE_H

#include <openssl/evp.h>

#include "attr.h"

/*
 * Write path (0600; complete or not at all, and never over an existing file: -EEXIST) and path.pub
 * (0644; an older one is replaced, since it cannot belong to this key). 0 or -errno.
 */
SP_MUST_CHECK int host_key_write(const char *path, EVP_PKEY *pkey);

#endif
