/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private key files: OpenSSH's "openssh-key-v1" (PROTOCOL.key of OpenSSH) and PEM. Bytes in, keys
 * out; host_key_write.h has the other direction.
 */
#ifndef SP_HOST_KEY_FILE_H
#define SP_HOST_KEY_FILE_H

#include <openssl/evp.h>
#include <stddef.h>

#include "attr.h"
#include "wire.h"

#define HOST_KEY_FILE_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define HOST_KEY_FILE_END   "-----END OPENSSH PRIVATE KEY-----"
#define HOST_KEY_FILE_MAGIC "openssh-key-v1" /* its NUL is part of it */
#define HOST_KEY_FILE_MAX   16384            /* characters; RSA 8192 needs 7000 */
#define HOST_KEY_FILE_TYPES "ed25519, ecdsa (nistp256, nistp384, nistp521) or rsa"
#define HOST_KEY_BLOB_MAX   2304 /* RSA 16384 would not fit, 8192 does */

/*
 * Parse text[len], which a NUL follows. 0 with a key that the caller owns, or -errno with half a
 * sentence in why[cap] ("is encrypted; ..."). The halves of the key agree as far as the file shows
 * both; whether they belong together, and are strong enough, is for the caller to try.
 */
SP_MUST_CHECK int host_key_file_parse(const char *text, size_t len, EVP_PKEY **ret, char *why,
    size_t cap);

/* The SSH public blob of the key; w->failed when there is no SSH type for it. */
void host_key_file_put_public(struct wire_writer *w, EVP_PKEY *pkey);
/* One number of the key, by OpenSSL's name for it, as mpint; w->failed when it has none. */
void host_key_file_put_number(struct wire_writer *w, const EVP_PKEY *pkey, const char *name);
/* Its SSH type, "ecdsa-sha2-nistp256", or NULL. */
const char *host_key_file_type(const EVP_PKEY *pkey);

#endif
