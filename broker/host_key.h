/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host private keys. They live here, in the broker, and nowhere else: workers get the public blobs.
 */
#ifndef SP_HOST_KEY_H
#define SP_HOST_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attr.h"
#include "wire.h"

#define HOST_KEY_SIG_MAX 1024 /* RSA 8192 */

/* "credential:NAME" in place of a path: a file that the service manager has put ready, see
 * LoadCredential= in systemd.exec(5). It is never made. */
#define HOST_KEY_CREDENTIAL "credential:"

struct host_key;
struct host_key_set;

/*
 * Make a key file in OpenSSH's format (0600) and its .pub. type: "ed25519", "ecdsa" (nistp256), "rsa"
 * (3072 bits), or NULL: the one that the file's name mentions, else ed25519. An existing file stays as
 * it is: -EEXIST. 0, or -errno with a sentence in why[cap].
 */
SP_MUST_CHECK int host_key_generate(const char *path, const char *type, char *why, size_t cap);

/* The name of a credential, or NULL for a path. */
static inline const char *
host_key_credential(const char *path)
{
	size_t len = strlen(HOST_KEY_CREDENTIAL);

	return strncmp(path, HOST_KEY_CREDENTIAL, len) == 0 ? path + len : NULL;
}

/*
 * Read every file in paths (NULL-ended; credentials too): OpenSSH's format or PEM, unencrypted, readable by nobody
 * else, one key of each type. make: a file that does not exist is made first, as host_key_generate()
 * does it without a type. 0, or -errno with a sentence in why[cap].
 */
SP_MUST_CHECK int host_key_set_load(const char *const *paths, bool make, struct host_key_set **ret,
    char *why, size_t cap);
/* Whether that would succeed; a file that would be made is not. */
SP_MUST_CHECK int host_key_set_try(const char *const *paths, bool make, char *why, size_t cap);
/* Wipes. NULL is fine. */
void host_key_set_free(struct host_key_set *set);

/* Public blobs, best first: ed25519, ecdsa, rsa. */
size_t host_key_set_count(const struct host_key_set *set);
struct wire_span host_key_set_blob(const struct host_key_set *set, size_t i);
/* The key that signs with this algorithm, or NULL. Lives as long as the set. */
const struct host_key *host_key_set_find(const struct host_key_set *set, const char *algorithm);

struct wire_span host_key_blob(const struct host_key *key);

/*
 * Sign data[len] (an exchange hash that the broker computed itself), in the form in which OpenSSL's
 * EVP_DigestSign() returns it: raw for ed25519 and rsa, DER for ecdsa.
 * 0, -EINVAL (not an algorithm of this key) or -EIO.
 */
SP_MUST_CHECK int host_key_sign(const struct host_key *key, const char *algorithm, const void *data,
    size_t len, uint8_t sig[HOST_KEY_SIG_MAX], size_t *ret_len);

#endif
