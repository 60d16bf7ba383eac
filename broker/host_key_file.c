/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading private key files. Runs in the broker, before it serves anybody. The files are the
 * administrator's; they are parsed as if they were not. Every buffer that held a secret is wiped.
 */
#include "host_key_file.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_MAX 1100 /* bytes of one RSA number */

static const struct {
	const char *type;
	const char *curve; /* as in blobs */
	const char *group; /* as OpenSSL calls it when asked */
} curves[] = {
	{ "ecdsa-sha2-nistp256", "nistp256", "prime256v1" },
	{ "ecdsa-sha2-nistp384", "nistp384", "secp384r1" },
	{ "ecdsa-sha2-nistp521", "nistp521", "secp521r1" },
};

/* By the curve's name, not its size: other curves of 256 bits exist. */
static const char *
ecdsa_type(const EVP_PKEY *pkey)
{
	char group[32];

	if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1)
		return NULL;
	for (size_t i = 0; i < SP_ARRAY_LEN(curves); i++) {
		if (strcmp(group, curves[i].group) == 0)
			return curves[i].type;
	}
	return NULL;
}

const char *
host_key_file_type(const EVP_PKEY *pkey)
{
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_ED25519:
		return "ssh-ed25519";
	case EVP_PKEY_RSA:
		return "ssh-rsa";
	case EVP_PKEY_EC:
		return ecdsa_type(pkey);
	default:
		return NULL;
	}
}

void
host_key_file_put_number(struct wire_writer *w, const EVP_PKEY *pkey, const char *name)
{
	uint8_t buf[NUMBER_MAX];
	BIGNUM *n = NULL;

	if (EVP_PKEY_get_bn_param(pkey, name, &n) != 1 || BN_num_bytes(n) > NUMBER_MAX)
		w->failed = true;
	else
		wire_put_mpint(w, buf, (size_t)BN_bn2bin(n, buf));
	BN_clear_free(n);
	OPENSSL_cleanse(buf, sizeof(buf));
}

static void
put_ec_public(struct wire_writer *w, EVP_PKEY *pkey)
{
	uint8_t point[133];
	size_t len = 0;

	wire_put_cstr(w, strrchr(host_key_file_type(pkey), '-') + 1); /* "nistp256" */
	if (EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
		"uncompressed") != 1 ||
	    EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
		&len) != 1)
		w->failed = true;
	wire_put_str(w, point, len);
}

static void
put_ed25519_public(struct wire_writer *w, const EVP_PKEY *pkey)
{
	uint8_t k[32];
	size_t len = sizeof(k);

	if (EVP_PKEY_get_raw_public_key(pkey, k, &len) != 1)
		w->failed = true;
	wire_put_str(w, k, len);
}

void
host_key_file_put_public(struct wire_writer *w, EVP_PKEY *pkey)
{
	const char *type = host_key_file_type(pkey);

	if (type == NULL) {
		w->failed = true;
		return;
	}
	wire_put_cstr(w, type);
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_ED25519:
		put_ed25519_public(w, pkey);
		break;
	case EVP_PKEY_RSA:
		host_key_file_put_number(w, pkey, OSSL_PKEY_PARAM_RSA_E);
		host_key_file_put_number(w, pkey, OSSL_PKEY_PARAM_RSA_N);
		break;
	default:
		put_ec_public(w, pkey);
		break;
	}
}

/* ---- reading openssh-key-v1 ---- */

static EVP_PKEY *
pair_from_params(const char *name, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *
get_ed25519(struct wire_reader *r)
{
	struct wire_span public = wire_get_span(r);
	struct wire_span secret = wire_get_span(r); /* seed, then the public half again */

	if (r->failed || public.len != 32 || secret.len != 64 ||
	    memcmp(public.data, secret.data + 32, 32) != 0)
		return NULL;
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret.data, 32);
}

/* d mod (prime - 1), which OpenSSH does not store. */
static BIGNUM *
crt_exponent(const BIGNUM *d, const BIGNUM *prime)
{
	BN_CTX *ctx = BN_CTX_secure_new();
	BIGNUM *minus_one = BN_secure_new();
	BIGNUM *result = BN_secure_new();

	if (ctx == NULL || minus_one == NULL || result == NULL ||
	    BN_sub(minus_one, prime, BN_value_one()) != 1 || BN_is_zero(minus_one) ||
	    BN_mod(result, d, minus_one, ctx) != 1) {
		BN_clear_free(result);
		result = NULL;
	}
	BN_clear_free(minus_one);
	BN_CTX_free(ctx);
	return result;
}

static EVP_PKEY *
rsa_from_numbers(BIGNUM *const n[6], const BIGNUM *dp, const BIGNUM *dq)
{
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (b != NULL && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n[0]) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, n[1]) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_D, n[2]) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, n[3]) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_FACTOR1, n[4]) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_FACTOR2, n[5]) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq) == 1)
		params = OSSL_PARAM_BLD_to_param(b);
	if (params != NULL)
		pkey = pair_from_params("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	return pkey;
}

static EVP_PKEY *
get_rsa(struct wire_reader *r)
{
	BIGNUM *n[6] = { NULL }; /* n e d iqmp p q, in the file's order */
	BIGNUM *dp = NULL;
	BIGNUM *dq = NULL;
	EVP_PKEY *pkey = NULL;
	bool whole = true;

	for (size_t i = 0; i < SP_ARRAY_LEN(n); i++) {
		struct wire_span s = wire_get_span(r);

		n[i] = BN_secure_new();
		if (r->failed || s.len > NUMBER_MAX || n[i] == NULL ||
		    BN_bin2bn(s.data, (int)s.len, n[i]) == NULL)
			whole = false;
	}
	if (whole) {
		dp = crt_exponent(n[2], n[4]);
		dq = crt_exponent(n[2], n[5]);
	}
	if (dp != NULL && dq != NULL)
		pkey = rsa_from_numbers(n, dp, dq);
	for (size_t i = 0; i < SP_ARRAY_LEN(n); i++)
		BN_clear_free(n[i]);
	BN_clear_free(dp);
	BN_clear_free(dq);
	return pkey;
}

static EVP_PKEY *
get_ecdsa(struct wire_reader *r, const char *curve, const char *group)
{
	struct wire_span name = wire_get_span(r);
	struct wire_span point = wire_get_span(r);
	struct wire_span secret = wire_get_span(r);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	BIGNUM *d = BN_secure_new();
	EVP_PKEY *pkey = NULL;

	if (!r->failed && wire_span_is(name, curve) && point.len > 0 && secret.len <= 67 &&
	    b != NULL && d != NULL && BN_bin2bn(secret.data, (int)secret.len, d) != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1)
		params = OSSL_PARAM_BLD_to_param(b);
	if (params != NULL)
		pkey = pair_from_params("EC", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	BN_clear_free(d);
	return pkey;
}

static EVP_PKEY *
get_private_fields(struct wire_reader *r)
{
	struct wire_span type = wire_get_span(r);

	if (wire_span_is(type, "ssh-ed25519"))
		return get_ed25519(r);
	if (wire_span_is(type, "ssh-rsa"))
		return get_rsa(r);
	for (size_t i = 0; i < SP_ARRAY_LEN(curves); i++) {
		if (wire_span_is(type, curves[i].type))
			return get_ecdsa(r, curves[i].curve, curves[i].group);
	}
	return NULL;
}

static int
fail(char *why, size_t cap, const char *text)
{
	(void)snprintf(why, cap, "%s", text);
	return -EINVAL;
}

/*
 * The same key, decoded from DER: then its numbers are in OpenSSL's secure heap, as those from PEM
 * are. A key made of its numbers has them in ordinary memory. Takes pkey; NULL is fine.
 */
static EVP_PKEY *
to_secure_heap(EVP_PKEY *pkey)
{
	uint8_t *der = NULL;
	int len = pkey != NULL ? i2d_PrivateKey(pkey, &der) : 0;
	const uint8_t *p = der;
	EVP_PKEY *secure = NULL;

	if (len > 0)
		secure = d2i_PrivateKey(EVP_PKEY_get_base_id(pkey), NULL, &p, len);
	OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
	EVP_PKEY_free(pkey);
	return secure;
}

/* After the comment come the bytes 1, 2, 3, ... up to the block size. */
static bool
padding_is_right(struct wire_reader *r)
{
	uint8_t expect = 1;

	while (r->left > 0) {
		if (wire_get_u8(r) != expect++)
			return false;
	}
	return !r->failed && expect <= 9;
}

/* The private section: check numbers, one key, comment, padding. */
static int
parse_private(struct wire_span section, struct wire_span public, EVP_PKEY **ret, char *why, size_t cap)
{
	struct wire_reader r;
	struct wire_writer w;
	uint8_t blob[HOST_KEY_BLOB_MAX];
	EVP_PKEY *pkey;
	uint32_t check;

	wire_reader_init(&r, section.data, section.len);
	check = wire_get_u32(&r);
	if (check != wire_get_u32(&r) || r.failed)
		return fail(why, cap, "is damaged (the check numbers differ)");
	pkey = to_secure_heap(get_private_fields(&r));
	(void)wire_get_span(&r); /* comment */
	if (pkey == NULL || !padding_is_right(&r)) {
		EVP_PKEY_free(pkey);
		return fail(why, cap,
		    "is damaged, or of no type that can be used: " HOST_KEY_FILE_TYPES);
	}
	wire_writer_init(&w, blob, sizeof(blob));
	host_key_file_put_public(&w, pkey);
	if (w.failed || !wire_span_eq(public, w.data, w.len)) {
		EVP_PKEY_free(pkey);
		return fail(why, cap, "is damaged (public and private half do not belong together)");
	}
	*ret = pkey;
	return 0;
}

static int
parse_binary(const uint8_t *data, size_t len, EVP_PKEY **ret, char *why, size_t cap)
{
	struct wire_reader r;
	struct wire_span cipher;
	struct wire_span kdf;
	struct wire_span public;
	struct wire_span private;
	uint32_t n;

	wire_reader_init(&r, data, len);
	if (!wire_span_eq(wire_get_bytes(&r, sizeof(HOST_KEY_FILE_MAGIC)), HOST_KEY_FILE_MAGIC,
		sizeof(HOST_KEY_FILE_MAGIC)))
		return fail(why, cap, "is not a private key in OpenSSH's format");
	cipher = wire_get_span(&r);
	kdf = wire_get_span(&r);
	(void)wire_get_span(&r); /* the kdf's options */
	n = wire_get_u32(&r);
	if (!r.failed && (!wire_span_is(cipher, "none") || !wire_span_is(kdf, "none")))
		return fail(why, cap,
		    "is encrypted; a service cannot ask for the passphrase: ssh-keygen -p -N '' -f FILE");
	if (!r.failed && n != 1)
		return fail(why, cap, "does not hold exactly one key");
	public = wire_get_span(&r);
	private = wire_get_span(&r);
	if (wire_finish(&r) != 0)
		return fail(why, cap, "is damaged (a length does not fit)");
	return parse_private(private, public, ret, why, cap);
}

static bool
is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    c == '+' || c == '/';
}

/*
 * Lines of base64 without their ends, into packed[]. EVP_DecodeBlock() wants it so, and it would read
 * '=' anywhere as a zero. Length, or 0 when it is not base64; *ret_pad is the number of '='.
 */
static size_t
pack_base64(const char *text, size_t len, uint8_t *packed, size_t *ret_pad)
{
	size_t n = 0;
	size_t pad = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (c == '=')
			pad++;
		else if (!is_base64(c) || pad > 0)
			return 0;
		packed[n++] = (uint8_t)c;
	}
	*ret_pad = pad;
	return n % 4 == 0 && pad <= 2 ? n : 0;
}

static int
parse_openssh(const char *text, EVP_PKEY **ret, char *why, size_t cap)
{
	const char *from = strstr(text, HOST_KEY_FILE_BEGIN) + strlen(HOST_KEY_FILE_BEGIN);
	const char *to = strstr(from, HOST_KEY_FILE_END);
	uint8_t packed[HOST_KEY_FILE_MAX];
	uint8_t data[HOST_KEY_FILE_MAX];
	size_t pad = 0;
	size_t n;
	int len;
	int r;

	if (to == NULL || (size_t)(to - from) > sizeof(packed))
		return fail(why, cap, "is damaged (its end is missing)");
	n = pack_base64(from, (size_t)(to - from), packed, &pad);
	len = n > 0 ? EVP_DecodeBlock(data, packed, (int)n) : -1;
	if (len < 0)
		r = fail(why, cap, "is damaged (not base64)");
	else
		r = parse_binary(data, (size_t)len - pad, ret, why, cap);
	OPENSSL_cleanse(packed, sizeof(packed));
	OPENSSL_cleanse(data, sizeof(data));
	ERR_clear_error();
	return r;
}

/* Asked for a passphrase: there is none. */
static int
no_passphrase(char *buf, /* NOLINT(readability-non-const-parameter): OpenSSL gives the type */
    int size, int writing, void *arg)
{
	bool *asked = arg;

	(void)buf;
	(void)size;
	(void)writing;
	*asked = true;
	return -1;
}

/* As in a file of ssh-keygen's with .pub, or in PEM. */
static bool
is_public(const char *text)
{
	return strncmp(text, "ssh-", 4) == 0 || strncmp(text, "ecdsa-", 6) == 0 ||
	    strstr(text, "-----BEGIN PUBLIC KEY-----") != NULL;
}

static int
parse_pem(const char *text, size_t len, EVP_PKEY **ret, char *why, size_t cap)
{
	bool asked = false;
	BIO *bio = BIO_new_mem_buf(text, (int)len);

	if (bio == NULL)
		return -ENOMEM;
	*ret = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	BIO_free(bio);
	ERR_clear_error();
	if (*ret != NULL)
		return 0;
	if (asked)
		return fail(why, cap,
		    "is encrypted; a service cannot ask for the passphrase: make an unencrypted copy");
	return fail(why, cap,
	    is_public(text)
		? "is not a private key, but the public half of one: name the file without .pub"
		: "is not a private key (OpenSSH's format or PEM)");
}

int
host_key_file_parse(const char *text, size_t len, EVP_PKEY **ret, char *why, size_t cap)
{
	if (len > HOST_KEY_FILE_MAX)
		return fail(why, cap, "is too large for a private key");
	if (strstr(text, HOST_KEY_FILE_BEGIN) != NULL)
		return parse_openssh(text, ret, why, cap);
	return parse_pem(text, len, ret, why, cap);
}
