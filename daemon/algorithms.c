/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: the algorithms that libcrypto has here. */
#include "algorithms.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "attr.h"

#define KEPT_MAX 16 /* of one kind */

/* Of those that are offered to clients (connection_prepare.c), and what libcrypto makes them of. */
static const char *const names[] = {
	/* key exchanges; the second of DH's is libssh's, and the hashes are ML-KEM's own */
	"X25519",
	"ECDH",
	"DH",
	"DHX",
	"ML-KEM-768",
	"SHAKE-128",
	"SHAKE-256",
	"SHA3-256",
	"SHA3-512",
	/* what comes of them, and ciphers and MACs */
	"SHA256",
	"SHA384",
	"SHA512",
	"SSHKDF",
	"ChaCha20",
	"POLY1305",
	"AES-128-CTR",
	"AES-192-CTR",
	"AES-256-CTR",
	"AES-128-GCM",
	"AES-256-GCM",
	"HMAC",
	/* host keys and users' */
	"RSA",
	"EC",
	"ECDSA",
	"ED25519",
	/* random numbers */
	"CTR-DRBG",
	"SEED-SRC",
	"AES-256-ECB",
};

static const int operations[] = { OSSL_OP_DIGEST, OSSL_OP_CIPHER, OSSL_OP_MAC, OSSL_OP_KDF,
	OSSL_OP_RAND, OSSL_OP_KEYMGMT, OSSL_OP_KEYEXCH, OSSL_OP_SIGNATURE, OSSL_OP_KEM };

/* By operation; each list ends with an entry without names. */
static OSSL_ALGORITHM kept[OSSL_OP__HIGHEST + 1][KEPT_MAX + 1];
/* Until the process ends. */
static OSSL_PROVIDER *ours;
static EVP_KEM *holder; /* is libcrypto's provider's, and keeps that in memory when it is unloaded */
static void *implementations; /* the context of that, which its functions want */

/* names_of: all that an algorithm is called, with colons in between. */
static bool
is_kept(const char *names_of)
{
	while (*names_of != '\0') {
		size_t len = strcspn(names_of, ":");

		for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
			if (strlen(names[i]) == len && strncasecmp(names[i], names_of, len) == 0)
				return true;
		}
		names_of += len + (names_of[len] == ':');
	}
	return false;
}

/* false: there are more of them than there is room for. */
static bool
keep(const OSSL_PROVIDER *from, int operation)
{
	int no_cache = 0;
	size_t n = 0;

	for (const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(from, operation, &no_cache);
	     a != NULL && a->algorithm_names != NULL; a++) {
		if (!is_kept(a->algorithm_names))
			continue;
		if (n == KEPT_MAX)
			return false;
		kept[operation][n++] = *a;
	}
	return true;
}

static const OSSL_ALGORITHM *
query_operation(void *context, int operation, int *no_cache)
{
	(void)context;
	*no_cache = 0;
	if (operation < 0 || operation > OSSL_OP__HIGHEST ||
	    kept[operation][0].algorithm_names == NULL)
		return NULL;
	return kept[operation];
}

static int
start_provider(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **ret,
    void **ret_context)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_operation },
		{ 0, NULL },
	};

	(void)handle;
	(void)in;
	*ret = functions;
	*ret_context = implementations;
	return 1;
}

bool
algorithms_start(char *why, size_t cap)
{
	OSSL_PROVIDER *whole;
	bool fits = true;

	/*
	 * No files. No lists of what was there before there were providers: nobody looks there. No sentences for errors: the
	 * log has their numbers.
	 */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
		    OPENSSL_INIT_NO_ADD_ALL_CIPHERS | OPENSSL_INIT_NO_ADD_ALL_DIGESTS,
		NULL) != 1 ||
	    (whole = OSSL_PROVIDER_load(NULL, "default")) == NULL) {
		(void)snprintf(why, cap, "the cryptographic library does not start");
		return false;
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(operations); i++)
		fits = keep(whole, operations[i]) && fits;
	implementations = OSSL_PROVIDER_get0_provider_ctx(whole);
	/* Of this kind it has few. */
	holder = EVP_KEM_fetch(NULL, "RSA", NULL);
	if (!fits || holder == NULL ||
	    OSSL_PROVIDER_add_builtin(NULL, "sallyport", start_provider) != 1 ||
	    (ours = OSSL_PROVIDER_load(NULL, "sallyport")) == NULL ||
	    OSSL_PROVIDER_unload(whole) != 1) {
		(void)snprintf(why, cap,
		    "the cryptographic library does not take our choice of its algorithms");
		return false;
	}
	return true;
}
