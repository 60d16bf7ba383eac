/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys and signatures. Runs in the broker and the admin tool. Blobs and signatures are hostile:
 * the callers see to it that a blob from the network equals a configured one, and nothing here relies
 * on that.
 */
#include "ssh_key.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define RSA_BITS_MIN   2048
#define RSA_BITS_MAX   8192
#define RSA_E_BITS_MAX 32
#define POINT_MAX      133 /* 4, x and y of nistp521 */
#define SK_DATA_LEN    (SHA256_DIGEST_LENGTH + 1 + 4 + SHA256_DIGEST_LENGTH)

enum family {
	FAMILY_ED25519,
	FAMILY_RSA,
	FAMILY_ECDSA,
};

struct key_type {
	const char *name;
	enum family family;
	const char *curve; /* as in the blob */
	const char *group; /* as OpenSSL calls it */
	bool sk;
};

static const struct key_type types[] = {
	/* clang-format off */
	{ "ssh-ed25519",                        FAMILY_ED25519, NULL,       NULL,    false },
	{ "ssh-rsa",                            FAMILY_RSA,     NULL,       NULL,    false },
	{ "ecdsa-sha2-nistp256",                FAMILY_ECDSA,   "nistp256", "P-256", false },
	{ "ecdsa-sha2-nistp384",                FAMILY_ECDSA,   "nistp384", "P-384", false },
	{ "ecdsa-sha2-nistp521",                FAMILY_ECDSA,   "nistp521", "P-521", false },
	{ "sk-ssh-ed25519@openssh.com",         FAMILY_ED25519, NULL,       NULL,    true },
	{ "sk-ecdsa-sha2-nistp256@openssh.com", FAMILY_ECDSA,   "nistp256", "P-256", true },
	/* clang-format on */
};

struct ssh_key {
	const struct key_type *type;
	EVP_PKEY *pkey;
	uint8_t application_hash[SHA256_DIGEST_LENGTH]; /* security keys */
};

void
ssh_key_free(struct ssh_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

void
ssh_key_freep(struct ssh_key **key)
{
	ssh_key_free(*key);
	*key = NULL;
}

static EVP_PKEY *
from_params(const char *name, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error(); /* nobody reads what hostile input leaves there */
	return pkey;
}

/*
 * A positive mpint in its one encoding (RFC 4251 section 5): a second spelling of a number would be a
 * second blob for the same key.
 */
static bool
is_number(struct wire_span s)
{
	if (s.len == 0 || (s.data[0] & 0x80) != 0)
		return false;
	return s.data[0] != 0 || (s.len > 1 && (s.data[1] & 0x80) != 0);
}

/* Numbers that verification would choke on, or take for ever with. */
static int
check_rsa(const BIGNUM *n, const BIGNUM *e)
{
	int bits = BN_num_bits(n);

	if (BN_is_odd(n) == 0 || BN_is_odd(e) == 0 || BN_num_bits(e) > RSA_E_BITS_MAX || BN_is_one(e))
		return SSH_KEY_E_MALFORMED;
	if (bits < RSA_BITS_MIN)
		return SSH_KEY_E_WEAK;
	return bits > RSA_BITS_MAX ? SSH_KEY_E_LARGE : 0;
}

static int
rsa_from_numbers(const BIGNUM *n, const BIGNUM *e, EVP_PKEY **ret)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;

	if (builder != NULL && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(builder);
	if (params != NULL)
		*ret = from_params("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	return *ret != NULL ? 0 : SSH_KEY_E_MALFORMED;
}

static int
read_rsa(struct wire_reader *r, EVP_PKEY **ret)
{
	struct wire_span e = wire_get_span(r);
	struct wire_span n = wire_get_span(r);
	BIGNUM *bn_e;
	BIGNUM *bn_n;
	int result = -ENOMEM;

	if (r->failed || !is_number(e) || !is_number(n) || e.len > RSA_E_BITS_MAX / 8 + 1)
		return SSH_KEY_E_MALFORMED;
	if (n.len > RSA_BITS_MAX / 8 + 1)
		return SSH_KEY_E_LARGE;
	bn_e = BN_bin2bn(e.data, (int)e.len, NULL);
	bn_n = BN_bin2bn(n.data, (int)n.len, NULL);
	if (bn_e != NULL && bn_n != NULL)
		result = check_rsa(bn_n, bn_e);
	if (result == 0)
		result = rsa_from_numbers(bn_n, bn_e, ret);
	BN_free(bn_e);
	BN_free(bn_n);
	return result;
}

static int
read_ecdsa(struct wire_reader *r, const struct key_type *type, EVP_PKEY **ret)
{
	struct wire_span curve = wire_get_span(r);
	struct wire_span point = wire_get_span(r);
	/* OSSL_PARAM only reads through these, its constructors just have no const. */
	union {
		const void *in;
		void *out;
	} group = { .in = type->group }, q = { .in = point.data };
	OSSL_PARAM params[3];

	if (r->failed || !wire_span_is(curve, type->curve) || point.len == 0 ||
	    point.len > POINT_MAX || point.data[0] != 4) /* uncompressed, RFC 5656 section 3.1 */
		return SSH_KEY_E_MALFORMED;
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.out, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, q.out, point.len);
	params[2] = OSSL_PARAM_construct_end();
	*ret = from_params("EC", params); /* refuses a point that is not on the curve */
	return *ret != NULL ? 0 : SSH_KEY_E_MALFORMED;
}

static int
read_ed25519(struct wire_reader *r, EVP_PKEY **ret)
{
	struct wire_span k = wire_get_span(r);

	if (r->failed || k.len != 32)
		return SSH_KEY_E_MALFORMED;
	*ret = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, k.data, k.len);
	return *ret != NULL ? 0 : SSH_KEY_E_MALFORMED;
}

static const struct key_type *
find_type(struct wire_span name)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(types); i++) {
		if (wire_span_is(name, types[i].name))
			return &types[i];
	}
	return NULL;
}

static int
read_fields(struct ssh_key *key, struct wire_reader *r)
{
	int result = SSH_KEY_E_UNSUPPORTED;

	switch (key->type->family) {
	case FAMILY_ED25519:
		result = read_ed25519(r, &key->pkey);
		break;
	case FAMILY_RSA:
		result = read_rsa(r, &key->pkey);
		break;
	case FAMILY_ECDSA:
		result = read_ecdsa(r, key->type, &key->pkey);
		break;
	}
	if (result == 0 && key->type->sk) {
		struct wire_span application = wire_get_span(r);

		if (application.len == 0)
			return SSH_KEY_E_MALFORMED;
		if (EVP_Digest(application.data, application.len, key->application_hash, NULL,
			EVP_sha256(), NULL) != 1)
			return -ENOMEM;
	}
	if (result == 0 && wire_finish(r) != 0)
		result = SSH_KEY_E_MALFORMED;
	return result;
}

int
ssh_key_from_blob(const void *blob, size_t len, struct ssh_key **ret)
{
	struct ssh_key *key;
	const struct key_type *type;
	struct wire_span name;
	struct wire_reader r;
	int result;

	wire_reader_init(&r, blob, len);
	name = wire_get_span(&r);
	if (r.failed)
		return SSH_KEY_E_MALFORMED;
	type = find_type(name);
	if (type == NULL)
		return SSH_KEY_E_UNSUPPORTED;
	key = calloc(1, sizeof(*key));
	if (key == NULL)
		return -ENOMEM;
	key->type = type;
	result = read_fields(key, &r);
	if (result == 0)
		*ret = key;
	else
		ssh_key_free(key);
	return result;
}

const char *
ssh_key_known_type(const char *name, size_t len)
{
	const struct key_type *type = find_type((struct wire_span){ (const uint8_t *)name, len });

	return type != NULL ? type->name : NULL;
}

bool
ssh_key_is_sk(const struct ssh_key *key)
{
	return key->type->sk;
}

bool
ssh_key_fits(const struct ssh_key *key, const char *algorithm)
{
	if (key->type->family == FAMILY_RSA)
		return strcmp(algorithm, "rsa-sha2-256") == 0 ||
		    strcmp(algorithm, "rsa-sha2-512") == 0;
	return strcmp(algorithm, key->type->name) == 0;
}

bool
ssh_key_digest(const char *algorithm, const EVP_MD **ret)
{
	static const struct {
		const char *name;
		const EVP_MD *(*digest)(void);
	} known[] = {
		{ "ssh-ed25519", NULL },
		{ "sk-ssh-ed25519@openssh.com", NULL },
		{ "rsa-sha2-256", EVP_sha256 },
		{ "rsa-sha2-512", EVP_sha512 },
		{ "ecdsa-sha2-nistp256", EVP_sha256 },
		{ "ecdsa-sha2-nistp384", EVP_sha384 },
		{ "ecdsa-sha2-nistp521", EVP_sha512 },
		{ "sk-ecdsa-sha2-nistp256@openssh.com", EVP_sha256 },
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(known); i++) {
		if (strcmp(known[i].name, algorithm) == 0) {
			*ret = known[i].digest != NULL ? known[i].digest() : NULL;
			return true;
		}
	}
	return false;
}

/* What a security key signs instead of the data: OpenSSH's PROTOCOL.u2f, "SSH U2F Signatures". */
static bool
sk_data(const struct ssh_key *key, const struct ssh_signature *sig, const void *data, size_t len,
    uint8_t out[SK_DATA_LEN])
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct wire_writer w;

	if (EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	wire_writer_init(&w, out, SK_DATA_LEN);
	wire_put_bytes(&w, key->application_hash, sizeof(key->application_hash));
	wire_put_u8(&w, sig->sk_flags);
	wire_put_u32(&w, sig->sk_counter);
	wire_put_bytes(&w, hash, sizeof(hash));
	return !w.failed;
}

bool
ssh_key_verify(const struct ssh_key *key, const char *algorithm, const struct ssh_signature *sig,
    const void *data, size_t len)
{
	uint8_t sk[SK_DATA_LEN];
	const EVP_MD *md;
	EVP_MD_CTX *ctx;
	bool good;

	if (!ssh_key_fits(key, algorithm) || !ssh_key_digest(algorithm, &md))
		return false;
	if (key->type->sk) {
		if (!sk_data(key, sig, data, len, sk))
			return false;
		data = sk;
		len = sizeof(sk);
	}
	ctx = EVP_MD_CTX_new();
	good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key->pkey) == 1 &&
	    EVP_DigestVerify(ctx, sig->value.data, sig->value.len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}
