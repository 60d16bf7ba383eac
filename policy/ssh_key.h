/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH public keys and signatures (RFC 4253 section 6.6, RFC 5656, RFC 8332, RFC 8709, and OpenSSH's
 * PROTOCOL.u2f for security keys) on libcrypto. Key blobs come from the configuration, or from the
 * network after they were found equal to one from the configuration.
 */
#ifndef SP_SSH_KEY_H
#define SP_SSH_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "wire.h"

#define SSH_KEY_E_UNSUPPORTED 1 /* a type that we do not know, or refuse (DSA, certificates) */
#define SSH_KEY_E_MALFORMED   2 /* fields missing, left over or out of range */
#define SSH_KEY_E_WEAK        3 /* RSA below 2048 bits */
#define SSH_KEY_E_LARGE       4 /* RSA above 8192 bits */

struct ssh_key;

/* 0 with a key that the caller owns, an outcome above, or -ENOMEM. */
SP_MUST_CHECK int ssh_key_from_blob(const void *blob, size_t len, struct ssh_key **ret);
void ssh_key_free(struct ssh_key *key);
void ssh_key_freep(struct ssh_key **key);

/* The type with this name, static, or NULL: none that we know. */
const char *ssh_key_known_type(const char *name, size_t len);
/* Whether it lives in a security key (sk-...). */
bool ssh_key_is_sk(const struct ssh_key *key);

/*
 * Whether a signature algorithm fits the key: rsa-sha2-256 and -512 for ssh-rsa (never SHA-1), for all
 * others the type itself.
 */
bool ssh_key_fits(const struct ssh_key *key, const char *algorithm);

/* The digest that a signature algorithm uses, or NULL (ed25519 has its own). False: unknown. */
bool ssh_key_digest(const char *algorithm, const EVP_MD **ret);

struct ssh_signature {
	struct wire_span value; /* as OpenSSL takes it: raw (ed25519, rsa) or DER (ecdsa) */
	uint8_t sk_flags;       /* security keys only */
	uint32_t sk_counter;
};

#define SSH_KEY_SK_PRESENT  0x01 /* somebody touched the key */
#define SSH_KEY_SK_VERIFIED 0x04 /* and gave its PIN or fingerprint */

/*
 * Whether sig is the key's signature over data[len] with the algorithm. For security keys the flags
 * and the counter are part of what was signed; which flags are enough is the caller's question.
 */
bool ssh_key_verify(const struct ssh_key *key, const char *algorithm,
    const struct ssh_signature *sig, const void *data, size_t len);

#endif
