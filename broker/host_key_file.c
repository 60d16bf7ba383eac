/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: private key files. The files are the administrator's; they are parsed as if they were not.
 * Every buffer that held a secret is wiped.
 */
#include "host_key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

#define BEGIN       "-----BEGIN OPENSSH PRIVATE KEY-----"
#define END         "-----END OPENSSH PRIVATE KEY-----"
#define MAGIC       "openssh-key-v1" /* its NUL is part of it */
#define FILE_MAX    16384
#define NUMBER_MAX  1100 /* bytes of one RSA number */
#define BASE64_LINE 70

const char *
host_key_file_type(const EVP_PKEY *pkey)
{
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_ED25519:
		return "ssh-ed25519";
	case EVP_PKEY_RSA:
		return "ssh-rsa";
	case EVP_PKEY_EC:
		switch (EVP_PKEY_get_bits(pkey)) {
		case 256:
			return "ecdsa-sha2-nistp256";
		case 384:
			return "ecdsa-sha2-nistp384";
		case 521:
			return "ecdsa-sha2-nistp521";
		default:
			return NULL;
		}
	default:
		return NULL;
	}
}

static void
put_number(struct wire_writer *w, const EVP_PKEY *pkey, const char *name)
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

	wire_put_cstr(w, strrchr(host_key_file_type(pkey), '-') + 1);
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
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_E);
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_N);
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
	if (wire_span_is(type, "ecdsa-sha2-nistp256"))
		return get_ecdsa(r, "nistp256", "P-256");
	if (wire_span_is(type, "ecdsa-sha2-nistp384"))
		return get_ecdsa(r, "nistp384", "P-384");
	if (wire_span_is(type, "ecdsa-sha2-nistp521"))
		return get_ecdsa(r, "nistp521", "P-521");
	return NULL;
}

static int
fail(char *why, size_t cap, const char *text)
{
	(void)snprintf(why, cap, "%s", text);
	return -EINVAL;
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

static int
parse_binary(const uint8_t *data, size_t len, EVP_PKEY **ret, char *why, size_t cap)
{
	struct wire_reader r;
	struct wire_span cipher;
	struct wire_span public;
	struct wire_span private;
	struct wire_writer w;
	uint8_t blob[HOST_KEY_BLOB_MAX];
	EVP_PKEY *pkey;

	wire_reader_init(&r, data, len);
	if (!wire_span_eq(wire_get_bytes(&r, sizeof(MAGIC)), MAGIC, sizeof(MAGIC)))
		return fail(why, cap, "is not a private key in OpenSSH's format");
	cipher = wire_get_span(&r);
	(void)wire_get_span(&r); /* kdf */
	(void)wire_get_span(&r); /* its options */
	if (!r.failed && !wire_span_is(cipher, "none"))
		return fail(why, cap,
		    "is encrypted; a service cannot ask for the passphrase: ssh-keygen -p -N '' -f FILE");
	if (wire_get_u32(&r) != 1)
		return fail(why, cap, "does not hold exactly one key");
	public = wire_get_span(&r);
	private = wire_get_span(&r);
	if (wire_finish(&r) != 0)
		return fail(why, cap, "is damaged (a length does not fit)");
	wire_reader_init(&r, private.data, private.len);
	if (wire_get_u32(&r) != wire_get_u32(&r) || r.failed)
		return fail(why, cap, "is damaged (the check numbers differ)");
	pkey = get_private_fields(&r);
	(void)wire_get_span(&r); /* comment */
	if (pkey == NULL || !padding_is_right(&r)) {
		EVP_PKEY_free(pkey);
		return fail(why, cap,
		    "holds a key that cannot be used: ed25519, ecdsa (nistp256, 384, 521) or rsa is needed");
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
parse_openssh(const char *text, EVP_PKEY **ret, char *why, size_t cap)
{
	const char *from = strstr(text, BEGIN) + strlen(BEGIN);
	const char *to = strstr(from, END);
	EVP_ENCODE_CTX *ctx;
	uint8_t data[FILE_MAX];
	int len = 0;
	int tail = 0;
	int r;

	if (to == NULL || (size_t)(to - from) > sizeof(data))
		return fail(why, cap, "is damaged (its end is missing)");
	ctx = EVP_ENCODE_CTX_new();
	if (ctx == NULL)
		return -ENOMEM;
	EVP_DecodeInit(ctx);
	if (EVP_DecodeUpdate(ctx, data, &len, (const uint8_t *)from, (int)(to - from)) < 0 ||
	    EVP_DecodeFinal(ctx, data + len, &tail) < 0)
		r = fail(why, cap, "is damaged (not base64)");
	else
		r = parse_binary(data, (size_t)(len + tail), ret, why, cap);
	EVP_ENCODE_CTX_free(ctx);
	OPENSSL_cleanse(data, sizeof(data));
	return r;
}

/* Asked for a passphrase: there is none. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	bool *asked = arg;

	(void)buf;
	(void)size;
	(void)writing;
	*asked = true;
	return -1;
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
	return fail(why, cap,
	    asked ? "is encrypted; a service cannot ask for the passphrase: make an unencrypted copy"
		  : "is not a private key (OpenSSH's format or PEM)");
}

int
host_key_file_parse(const char *text, size_t len, EVP_PKEY **ret, char *why, size_t cap)
{
	if (len > FILE_MAX)
		return fail(why, cap, "is too large for a private key");
	if (strstr(text, BEGIN) != NULL)
		return parse_openssh(text, ret, why, cap);
	return parse_pem(text, len, ret, why, cap);
}

/* ---- writing ---- */

static void
put_private(struct wire_writer *w, EVP_PKEY *pkey)
{
	uint8_t secret[64];
	size_t len = 32;

	wire_put_cstr(w, host_key_file_type(pkey));
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_ED25519:
		put_ed25519_public(w, pkey);
		if (EVP_PKEY_get_raw_private_key(pkey, secret, &len) != 1)
			w->failed = true;
		len = 32;
		if (EVP_PKEY_get_raw_public_key(pkey, secret + 32, &len) != 1)
			w->failed = true;
		wire_put_str(w, secret, sizeof(secret));
		break;
	case EVP_PKEY_RSA:
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_N);
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_E);
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_D);
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_FACTOR1);
		put_number(w, pkey, OSSL_PKEY_PARAM_RSA_FACTOR2);
		break;
	default:
		put_ec_public(w, pkey);
		put_number(w, pkey, OSSL_PKEY_PARAM_PRIV_KEY);
		break;
	}
	OPENSSL_cleanse(secret, sizeof(secret));
}

/* The binary form, PROTOCOL.key of OpenSSH. */
static void
put_binary(struct wire_writer *w, EVP_PKEY *pkey)
{
	uint8_t public[HOST_KEY_BLOB_MAX];
	uint8_t private[FILE_MAX / 2];
	struct wire_writer pub;
	struct wire_writer sec;
	uint32_t check;

	if (RAND_bytes((uint8_t *)&check, sizeof(check)) != 1)
		w->failed = true;
	wire_writer_init(&pub, public, sizeof(public));
	host_key_file_put_public(&pub, pkey);
	wire_writer_init(&sec, private, sizeof(private));
	wire_put_u32(&sec, check);
	wire_put_u32(&sec, check);
	put_private(&sec, pkey);
	wire_put_cstr(&sec, "sallyport");
	for (uint8_t i = 1; !sec.failed && sec.len % 8 != 0; i++)
		wire_put_u8(&sec, i);
	wire_put_bytes(w, MAGIC, sizeof(MAGIC));
	wire_put_cstr(w, "none");
	wire_put_cstr(w, "none");
	wire_put_cstr(w, "");
	wire_put_u32(w, 1);
	wire_put_str(w, pub.data, pub.len);
	wire_put_str(w, sec.data, sec.len);
	if (pub.failed || sec.failed)
		w->failed = true;
	OPENSSL_cleanse(private, sizeof(private));
}

/* Make path hold text, with mode, unless it exists: complete or not there at all. */
static int
write_new(const char *path, mode_t mode, const char *text, size_t len)
{
	SP_CLEANUP_FD int fd = -1;
	char temporary[4096];
	int r = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode) < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) < 0 ||
	    link(temporary, path) < 0)
		r = -errno;
	(void)unlink(temporary);
	return r;
}

static char *
to_base64(const uint8_t *data, size_t len)
{
	char *out = malloc(4 * (len / 3 + 1) + 1);

	if (out != NULL)
		(void)EVP_EncodeBlock((uint8_t *)out, data, (int)len);
	return out;
}

static int
write_private(const char *path, EVP_PKEY *pkey)
{
	uint8_t data[FILE_MAX / 2];
	char text[FILE_MAX];
	struct wire_writer w;
	char *base64 = NULL;
	size_t n = 0;
	int r = -EIO;

	wire_writer_init(&w, data, sizeof(data));
	put_binary(&w, pkey);
	if (!w.failed)
		base64 = to_base64(w.data, w.len);
	if (base64 != NULL) {
		n = (size_t)snprintf(text, sizeof(text), "%s\n", BEGIN);
		for (const char *p = base64; *p != '\0'; p += strnlen(p, BASE64_LINE))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s\n", BASE64_LINE, p);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", END);
		r = write_new(path, 0600, text, n);
		OPENSSL_cleanse(base64, strlen(base64));
	}
	free(base64);
	OPENSSL_cleanse(data, sizeof(data));
	OPENSSL_cleanse(text, sizeof(text));
	return r;
}

static int
write_public(const char *path, EVP_PKEY *pkey)
{
	uint8_t blob[HOST_KEY_BLOB_MAX];
	char name[4096];
	struct wire_writer w;
	char *base64;
	char *text = NULL;
	int r = -ENOMEM;
	int n = -1;

	wire_writer_init(&w, blob, sizeof(blob));
	host_key_file_put_public(&w, pkey);
	base64 = to_base64(w.data, w.len);
	if (base64 != NULL)
		n = asprintf(&text, "%s %s sallyport\n", host_key_file_type(pkey), base64);
	if (n > 0 && snprintf(name, sizeof(name), "%s.pub", path) < (int)sizeof(name))
		r = write_new(name, 0644, text, (size_t)n);
	free(base64);
	if (n > 0)
		free(text);
	/* A left-over .pub is not worth refusing to start for. */
	return r == -EEXIST ? 0 : r;
}

int
host_key_file_write(const char *path, EVP_PKEY *pkey, char *why, size_t cap)
{
	int r = write_private(path, pkey);

	if (r == 0)
		r = write_public(path, pkey);
	if (r < 0)
		(void)snprintf(why, cap, "could not be made: %s", strerror(-r));
	return r;
}
