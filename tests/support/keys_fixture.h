/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's half of SSH's key work, for the tests of the broker's half: key pairs of every type
 * with their blobs, signatures (a software security key too), key exchanges. Written on its own, so
 * that a mistake in the code under test is not made twice.
 */
#ifndef SP_KEYS_FIXTURE_H
#define SP_KEYS_FIXTURE_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "test.h"
#include "wire.h"

#define FIXTURE_BLOB_MAX 4096
#define FIXTURE_SIG_MAX  2048

struct signer {
	const char *type;
	EVP_PKEY *pkey;
	uint8_t blob[FIXTURE_BLOB_MAX];
	size_t blob_len;
	uint8_t flags; /* what its security key says */
	uint32_t counter;
};

extern const char *const signer_types[7];

/* A new pair of the type; sk-... types use the application "ssh:". */
void signer_make(struct signer *s, const char *type);
/* The same with the private half from a PEM file of tests/data/keys. */
void signer_load(struct signer *s, const char *type, const char *name);
void signer_free(struct signer *s);
/* "rsa-sha2-512" for ssh-rsa, else the type. */
const char *signer_algorithm(const struct signer *s);
/* In OpenSSL's form. Returns the length. */
size_t signer_sign(const struct signer *s, const char *algorithm, const void *data, size_t len,
    uint8_t sig[FIXTURE_SIG_MAX]);

/* The input of an exchange hash. */
struct exchange {
	const char *client_version;
	const char *server_version; /* with "SSH-2.0-" */
	const char *client_exchanges;
	const char *client_algorithms;
	const char *server_exchanges;
	const char *server_algorithms;
	struct wire_span host_key;
};
/* Returns the length. */
size_t exchange_put(const struct exchange *e, uint8_t *buf, size_t cap);

/* A file of tests/data/keys. Returns its length; a NUL follows. */
size_t data_read(const char *name, void *buf, size_t cap);
/* The blob in a .pub file. */
size_t data_public(const char *name, uint8_t *blob, size_t cap);

/* A new directory of mode 0700; dir_remove() takes away all that is in it. */
char *dir_make(void);
void dir_remove(char *dir);
/* dir/name with content and mode, replacing what was there. Returns the path, static. */
const char *dir_put(const char *dir, const char *name, mode_t mode, const void *data, size_t len);
/* A copy of a file of tests/data/keys. Returns the path, static. */
const char *dir_copy(const char *dir, const char *name, mode_t mode);
unsigned dir_count(const char *dir);

#endif
