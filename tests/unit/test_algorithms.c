/* SPDX-License-Identifier: Apache-2.0 */
/* Tests: of libcrypto's algorithms the worker has those that it offers to clients, and they work; it has no others. */
#include "test.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <string.h>

#include "algorithms.h"
#include "attr.h"

static int
start(void **state)
{
	char why[128] = "";

	(void)state;
	if (algorithms_start(why, sizeof(why)))
		return 0;
	print_error("%s\n", why);
	return -1;
}

/* Each of these: KIND is MD, CIPHER, MAC or KEYMGMT. */
#define EXPECT_ALL(KIND, ...)                                                     \
	do {                                                                      \
		static const char *const all[] = { __VA_ARGS__ };                 \
		for (size_t i = 0; i < SP_ARRAY_LEN(all); i++) {                  \
			EVP_##KIND *one = EVP_##KIND##_fetch(NULL, all[i], NULL); \
			assert_non_null(one);                                     \
			EVP_##KIND##_free(one);                                   \
		}                                                                 \
	} while (0)

static void
test_what_is_offered_is_there(void **state)
{
	(void)state;
	EXPECT_ALL(MD, "SHA256", "SHA384", "SHA512");
	EXPECT_ALL(CIPHER, "ChaCha20", "AES-128-CTR", "AES-192-CTR", "AES-256-CTR", "AES-128-GCM",
	    "AES-256-GCM");
	EXPECT_ALL(MAC, "HMAC", "POLY1305");
	EXPECT_ALL(KEYMGMT, "X25519", "DH", "RSA", "EC", "ED25519");
}

static void
test_what_nobody_is_offered_is_not(void **state)
{
	static const char *const digests[] = { "MD5", "SHA1", "SHA512-256", "RIPEMD160",
		"BLAKE2b512" };
	static const char *const ciphers[] = { "AES-256-CBC", "DES-EDE3-CBC", "ARIA-256-CTR", "NULL" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(digests); i++)
		assert_null(EVP_MD_fetch(NULL, digests[i], NULL));
	for (size_t i = 0; i < SP_ARRAY_LEN(ciphers); i++)
		assert_null(EVP_CIPHER_fetch(NULL, ciphers[i], NULL));
	assert_null(EVP_MAC_fetch(NULL, "SIPHASH", NULL));
	assert_null(EVP_KDF_fetch(NULL, "SCRYPT", NULL));
	assert_null(EVP_KEYMGMT_fetch(NULL, "X448", NULL));
	assert_int_equal(OSSL_PROVIDER_available(NULL, "default"), 0);
}

/* As libssh has it: by the names that were there before there were providers. */
static void
test_digests_by_their_old_names(void **state)
{
	static const uint8_t of_abc[] = { 0xba, 0x78, 0x16, 0xbf };
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	(void)state;
	assert_int_equal(EVP_Digest("abc", 3, digest, &len, EVP_sha256(), NULL), 1);
	assert_int_equal(len, 32);
	assert_memory_equal(digest, of_abc, sizeof(of_abc));
}

static EVP_PKEY *
make_key(const char *type)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, type);

	assert_non_null(key);
	return key;
}

static void
agree(EVP_PKEY *mine, EVP_PKEY *peer, uint8_t ret[32])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(mine, NULL);
	size_t len = 32;

	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, ret, &len), 1);
	assert_int_equal(len, 32);
	EVP_PKEY_CTX_free(ctx);
}

static void
test_two_agree_on_a_secret(void **state)
{
	EVP_PKEY *keys[] = { make_key("X25519"), make_key("X25519") };
	uint8_t secrets[2][32];

	(void)state;
	agree(keys[0], keys[1], secrets[0]);
	agree(keys[1], keys[0], secrets[1]);
	assert_memory_equal(secrets[0], secrets[1], sizeof(secrets[0]));
	EVP_PKEY_free(keys[0]);
	EVP_PKEY_free(keys[1]);
}

/* Where libcrypto has it, from 3.5 on; libssh asks it from 0.12 on. */
static void
test_post_quantum(void **state)
{
	uint8_t secrets[2][32];
	size_t len = sizeof(secrets[0]);
	uint8_t wrapped[2048];
	size_t wrapped_len = sizeof(wrapped);
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *key;

	(void)state;
	if (OPENSSL_version_major() == 3 && OPENSSL_version_minor() < 5)
		skip();
	key = make_key("ML-KEM-768");
	ctx = EVP_PKEY_CTX_new(key, NULL);
	assert_int_equal(EVP_PKEY_encapsulate_init(ctx, NULL), 1);
	assert_int_equal(EVP_PKEY_encapsulate(ctx, wrapped, &wrapped_len, secrets[0], &len), 1);
	assert_int_equal(EVP_PKEY_decapsulate_init(ctx, NULL), 1);
	assert_int_equal(EVP_PKEY_decapsulate(ctx, secrets[1], &len, wrapped, wrapped_len), 1);
	assert_memory_equal(secrets[0], secrets[1], sizeof(secrets[0]));
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
}

static void
test_random_numbers(void **state)
{
	uint8_t a[32] = { 0 };
	uint8_t b[32] = { 0 };

	(void)state;
	assert_int_equal(RAND_bytes(a, sizeof(a)), 1);
	assert_int_equal(RAND_priv_bytes(b, sizeof(b)), 1);
	assert_memory_not_equal(a, b, sizeof(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_offered_is_there),
		cmocka_unit_test(test_what_nobody_is_offered_is_not),
		cmocka_unit_test(test_digests_by_their_old_names),
		cmocka_unit_test(test_two_agree_on_a_secret),
		cmocka_unit_test(test_post_quantum),
		cmocka_unit_test(test_random_numbers),
	};

	return cmocka_run_group_tests_name("algorithms", tests, start, NULL);
}
