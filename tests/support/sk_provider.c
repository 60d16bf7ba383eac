/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A security key made of software, for OpenSSH's SecurityKeyProvider: a real client then logs in with an
 * sk key where there is no such device. The key handle is the private key itself. SP_SK_FLAGS says what
 * the device claims to have seen (1 a touch, 4 a PIN); without it, what it was asked to wait for.
 * The interface is OpenSSH's sk-api.h, version 10.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define API_VERSION 0x000a0000
#define ALG_ECDSA   0
#define ALG_ED25519 1
#define E_GENERAL   (-1)
#define E_ALGORITHM (-2)
#define SECRET_LEN  32
#define COORD_LEN   32
#define EXPORT      __attribute__((visibility("default")))

struct sk_enroll_response {
	uint8_t flags;
	uint8_t *public_key;
	size_t public_key_len;
	uint8_t *key_handle;
	size_t key_handle_len;
	uint8_t *signature;
	size_t signature_len;
	uint8_t *attestation_cert;
	size_t attestation_cert_len;
	uint8_t *authdata;
	size_t authdata_len;
};

struct sk_sign_response {
	uint8_t flags;
	uint32_t counter;
	uint8_t *sig_r;
	size_t sig_r_len;
	uint8_t *sig_s;
	size_t sig_s_len;
};

struct sk_option;
struct sk_resident_key;

EXPORT uint32_t sk_api_version(void);
EXPORT int sk_enroll(uint32_t alg, const uint8_t *challenge, size_t challenge_len,
    const char *application, uint8_t flags, const char *pin, struct sk_option **options,
    struct sk_enroll_response **ret);
EXPORT int sk_sign(uint32_t alg, const uint8_t *data, size_t data_len, const char *application,
    const uint8_t *key_handle, size_t key_handle_len, uint8_t flags, const char *pin,
    struct sk_option **options, struct sk_sign_response **ret);
EXPORT int sk_load_resident_keys(const char *pin, struct sk_option **options,
    struct sk_resident_key ***ret, size_t *ret_n);

static uint8_t
claimed(uint8_t asked)
{
	const char *text = getenv("SP_SK_FLAGS");

	return text != NULL ? (uint8_t)strtoul(text, NULL, 0) : asked;
}

static uint8_t *
copy(const void *data, size_t len)
{
	uint8_t *out = malloc(len);

	if (out != NULL)
		memcpy(out, data, len);
	return out;
}

/* The P-256 key of this secret; its public half, uncompressed, in point. */
static EVP_PKEY *
ecdsa_key(const uint8_t *secret, uint8_t *point)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *public = EC_POINT_new(group);
	BIGNUM *d = BN_bin2bn(secret, SECRET_LEN, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (EC_POINT_mul(group, public, d, NULL, NULL, NULL) == 1 &&
	    EC_POINT_point2oct(group, public, POINT_CONVERSION_UNCOMPRESSED, point,
		1 + 2 * COORD_LEN, NULL) == 1 + 2 * COORD_LEN &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
		1 + 2 * COORD_LEN) == 1 &&
	    (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_BLD_free(build);
	BN_free(d);
	EC_POINT_free(public);
	EC_GROUP_free(group);
	return key;
}

/* A fresh key: its secret and its public half. 0 or E_... */
static int
make_key(uint32_t alg, uint8_t *secret, uint8_t *public, size_t *public_len)
{
	EVP_PKEY *key = alg == ALG_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					   : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	size_t len = SECRET_LEN;
	BIGNUM *d = NULL;
	bool good;

	if (alg == ALG_ED25519) {
		good = EVP_PKEY_get_raw_private_key(key, secret, &len) == 1 &&
		    EVP_PKEY_get_raw_public_key(key, public, public_len) == 1;
	} else {
		EVP_PKEY *again = NULL;

		good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
		    BN_bn2binpad(d, secret, SECRET_LEN) == SECRET_LEN &&
		    (again = ecdsa_key(secret, public)) != NULL;
		*public_len = 1 + 2 * COORD_LEN;
		EVP_PKEY_free(again);
	}
	BN_free(d);
	EVP_PKEY_free(key);
	return good ? 0 : E_GENERAL;
}

uint32_t
sk_api_version(void)
{
	return API_VERSION;
}

int
sk_enroll(uint32_t alg, const uint8_t *challenge, size_t challenge_len, const char *application,
    uint8_t flags, const char *pin, struct sk_option **options, struct sk_enroll_response **ret)
{
	uint8_t secret[SECRET_LEN], public[1 + 2 * COORD_LEN];
	size_t public_len = sizeof(public);
	struct sk_enroll_response *r = calloc(1, sizeof(*r));

	(void)challenge;
	(void)challenge_len;
	(void)application;
	(void)pin;
	(void)options;
	if (alg != ALG_ECDSA && alg != ALG_ED25519)
		return E_ALGORITHM;
	if (r == NULL || make_key(alg, secret, public, &public_len) != 0)
		return E_GENERAL;
	r->flags = flags;
	r->public_key = copy(public, public_len);
	r->public_key_len = public_len;
	r->key_handle = copy(secret, sizeof(secret));
	r->key_handle_len = sizeof(secret);
	r->signature = copy("none", 4); /* nobody asks for an attestation */
	r->signature_len = 4;
	*ret = r;
	return 0;
}

/* What a device signs: hash of the application, flags, counter, hash of the data. */
static void
signed_data(const char *application, uint8_t flags, uint32_t counter, const uint8_t *data,
    size_t len, uint8_t out[2 * SHA256_DIGEST_LENGTH + 5])
{
	(void)SHA256((const uint8_t *)application, strlen(application), out);
	out += SHA256_DIGEST_LENGTH;
	*out++ = flags;
	for (int shift = 24; shift >= 0; shift -= 8)
		*out++ = (uint8_t)(counter >> shift);
	(void)SHA256(data, len, out);
}

static int
split_ecdsa(const uint8_t *der, size_t len, struct sk_sign_response *r)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	if (sig == NULL)
		return E_GENERAL;
	r->sig_r_len = r->sig_s_len = COORD_LEN;
	r->sig_r = calloc(1, COORD_LEN);
	r->sig_s = calloc(1, COORD_LEN);
	if (r->sig_r != NULL && r->sig_s != NULL) {
		(void)BN_bn2binpad(ECDSA_SIG_get0_r(sig), r->sig_r, COORD_LEN);
		(void)BN_bn2binpad(ECDSA_SIG_get0_s(sig), r->sig_s, COORD_LEN);
	}
	ECDSA_SIG_free(sig);
	return 0;
}

int
sk_sign(uint32_t alg, const uint8_t *data, size_t data_len, const char *application,
    const uint8_t *key_handle, size_t key_handle_len, uint8_t flags, const char *pin,
    struct sk_option **options, struct sk_sign_response **ret)
{
	uint8_t text[2 * SHA256_DIGEST_LENGTH + 5], point[1 + 2 * COORD_LEN], sig[128];
	struct sk_sign_response *r = calloc(1, sizeof(*r));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = sizeof(sig);
	EVP_PKEY *key;
	int result = E_GENERAL;

	(void)pin;
	(void)options;
	if (r == NULL || ctx == NULL || key_handle_len != SECRET_LEN)
		return E_GENERAL;
	r->flags = claimed(flags);
	r->counter = 7;
	signed_data(application, r->flags, r->counter, data, data_len, text);
	key = alg == ALG_ED25519
	    ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key_handle, key_handle_len)
	    : ecdsa_key(key_handle, point);
	if (key != NULL &&
	    EVP_DigestSignInit(ctx, NULL, alg == ALG_ED25519 ? NULL : EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(ctx, sig, &len, text, sizeof(text)) == 1) {
		if (alg == ALG_ED25519) {
			r->sig_r = copy(sig, len);
			r->sig_r_len = len;
			result = 0;
		} else {
			result = split_ecdsa(sig, len, r);
		}
	}
	EVP_PKEY_free(key);
	EVP_MD_CTX_free(ctx);
	*ret = r;
	return result;
}

int
sk_load_resident_keys(const char *pin, struct sk_option **options, struct sk_resident_key ***ret,
    size_t *ret_n)
{
	(void)pin;
	(void)options;
	*ret = NULL;
	*ret_n = 0;
	return 0;
}
