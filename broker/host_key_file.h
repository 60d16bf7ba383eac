/* SPDX-License-Identifier: Apache-2.0 */
/* Private key files: OpenSSH's "openssh-key-v1" (PROTOCOL.key) and PEM, to and from OpenSSL keys. */
#ifndef SP_HOST_KEY_FILE_H
#define SP_HOST_KEY_FILE_H

#include <openssl/evp.h>
#include <stddef.h>

#include "attr.h"
#include "wire.h"

#define HOST_KEY_BLOB_MAX 2304 /* RSA 16384 would not fit, 8192 does */

/* Parse text[len]. 0 with a key that the caller owns, or -errno with half a sentence in why[cap]. */
SP_MUST_CHECK int host_key_file_parse(const char *text, size_t len, EVP_PKEY **ret, char *why,
    size_t cap);

/* Write path (0600, in one step, never over an existing file) and path.pub. As above. */
SP_MUST_CHECK int host_key_file_write(const char *path, EVP_PKEY *pkey, char *why, size_t cap);

/* The SSH public blob of the key; w->failed when there is no SSH type for it. */
void host_key_file_put_public(struct wire_writer *w, EVP_PKEY *pkey);
/* Its SSH type, "ecdsa-sha2-nistp256", or NULL. */
const char *host_key_file_type(const EVP_PKEY *pkey);

#endif
