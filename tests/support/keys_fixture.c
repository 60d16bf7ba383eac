/* SPDX-License-Identifier: Apache-2.0 */
#include "keys_fixture.h"

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION "ssh:"

const char *const signer_types[7] = {
	"ssh-ed25519",
	"ssh-rsa",
	"ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com",
	"sk-ecdsa-sha2-nistp256@openssh.com",
};

static void
put_bn(struct wire_writer *w, const EVP_PKEY *pkey, const char *name)
{
	uint8_t buf[1100];
	BIGNUM *n = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(pkey, name, &n), 1);
	wire_put_mpint(w, buf, (size_t)BN_bn2bin(n, buf));
	BN_free(n);
}

static void
put_fields(struct wire_writer *w, const struct signer *s)
{
	uint8_t buf[200];
	size_t len = sizeof(buf);

	wire_put_cstr(w, s->type);
	if (strstr(s->type, "ed25519") != NULL) {
		assert_int_equal(EVP_PKEY_get_raw_public_key(s->pkey, buf, &len), 1);
		wire_put_str(w, buf, len);
	} else if (strcmp(s->type, "ssh-rsa") == 0) {
		put_bn(w, s->pkey, OSSL_PKEY_PARAM_RSA_E);
		put_bn(w, s->pkey, OSSL_PKEY_PARAM_RSA_N);
	} else {
		wire_put_str(w, strstr(s->type, "nistp"), 8);
		assert_int_equal(EVP_PKEY_get_octet_string_param(s->pkey, OSSL_PKEY_PARAM_PUB_KEY,
				     buf, sizeof(buf), &len),
		    1);
		wire_put_str(w, buf, len);
	}
	if (strncmp(s->type, "sk-", 3) == 0)
		wire_put_cstr(w, APPLICATION);
}

static void
signer_init(struct signer *s, const char *type, EVP_PKEY *pkey)
{
	struct wire_writer w;

	memset(s, 0, sizeof(*s));
	s->type = type;
	s->pkey = pkey;
	assert_non_null(s->pkey);
	if (strncmp(type, "sk-", 3) == 0) {
		s->flags = 1;
		s->counter = 0x01020304;
	}
	wire_writer_init(&w, s->blob, sizeof(s->blob));
	put_fields(&w, s);
	assert_false(w.failed);
	s->blob_len = w.len;
}

void
signer_make(struct signer *s, const char *type)
{
	EVP_PKEY *pkey;

	if (strstr(type, "ed25519") != NULL)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else if (strcmp(type, "ssh-rsa") == 0)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	else if (strstr(type, "nistp256") != NULL)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	else if (strstr(type, "nistp384") != NULL)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	else
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
	signer_init(s, type, pkey);
}

void
signer_load(struct signer *s, const char *type, const char *name)
{
	uint8_t text[8192];
	size_t len = data_read(name, text, sizeof(text));
	BIO *bio = BIO_new_mem_buf(text, (int)len);

	assert_non_null(bio);
	signer_init(s, type, PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL));
	BIO_free(bio);
}

void
signer_free(struct signer *s)
{
	EVP_PKEY_free(s->pkey);
	s->pkey = NULL;
}

const char *
signer_algorithm(const struct signer *s)
{
	return strcmp(s->type, "ssh-rsa") == 0 ? "rsa-sha2-512" : s->type;
}

static const EVP_MD *
digest(const char *algorithm)
{
	if (strstr(algorithm, "ed25519") != NULL)
		return NULL;
	if (strcmp(algorithm, "ssh-rsa") == 0)
		return EVP_sha1();
	if (strstr(algorithm, "256") != NULL)
		return EVP_sha256();
	return strstr(algorithm, "384") != NULL ? EVP_sha384() : EVP_sha512();
}

size_t
signer_sign(const struct signer *s, const char *algorithm, const void *data, size_t len,
    uint8_t sig[FIXTURE_SIG_MAX])
{
	uint8_t sk[32 + 1 + 4 + 32];
	size_t sig_len = FIXTURE_SIG_MAX;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (strncmp(s->type, "sk-", 3) == 0) {
		(void)SHA256((const uint8_t *)APPLICATION, strlen(APPLICATION), sk);
		sk[32] = s->flags;
		for (size_t i = 0; i < 4; i++)
			sk[33 + i] = (uint8_t)(s->counter >> (24 - 8 * i));
		(void)SHA256(data, len, sk + 37);
		data = sk;
		len = sizeof(sk);
	}
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, digest(algorithm), NULL, s->pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, data, len), 1);
	EVP_MD_CTX_free(ctx);
	return sig_len;
}

static void
put_kexinit(struct wire_writer *w, const char *exchanges, const char *algorithms)
{
	static const char *const rest[] = { "aes256-gcm@openssh.com", "aes256-gcm@openssh.com",
		"hmac-sha2-256", "hmac-sha2-256", "none", "none", "", "" };
	uint8_t buf[4096];
	struct wire_writer k;

	wire_writer_init(&k, buf, sizeof(buf));
	wire_put_u8(&k, 20);
	wire_put_bytes(&k, "0123456789abcdef", 16);
	wire_put_cstr(&k, exchanges);
	wire_put_cstr(&k, algorithms);
	for (size_t i = 0; i < SP_ARRAY_LEN(rest); i++)
		wire_put_cstr(&k, rest[i]);
	wire_put_u8(&k, 0);
	wire_put_u32(&k, 0);
	assert_false(k.failed);
	wire_put_str(w, k.data, k.len);
}

size_t
exchange_put(const struct exchange *e, uint8_t *buf, size_t cap)
{
	uint8_t value[32];
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	wire_put_cstr(&w, e->client_version);
	wire_put_cstr(&w, e->server_version);
	put_kexinit(&w, e->client_exchanges, e->client_algorithms);
	put_kexinit(&w, e->server_exchanges, e->server_algorithms);
	wire_put_str(&w, e->host_key.data, e->host_key.len);
	for (uint8_t i = 1; i <= 3; i++) { /* e, f, K */
		memset(value, i, sizeof(value));
		wire_put_str(&w, value, sizeof(value));
	}
	assert_false(w.failed);
	return w.len;
}

size_t
data_read(const char *name, void *buf, size_t cap)
{
	char path[1024];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", SP_KEYS_DIR, name);
	f = fopen(path, "re");
	if (f == NULL)
		fail_msg("%s is missing", path);
	n = fread(buf, 1, cap, f);
	assert_int_equal(fclose(f), 0);
	assert_true(n > 0 && n < cap);
	((uint8_t *)buf)[n] = '\0';
	return n;
}

size_t
data_public(const char *name, uint8_t *blob, size_t cap)
{
	char text[4096];
	char *from;
	char *to;
	size_t pad;
	int n;

	(void)data_read(name, text, sizeof(text));
	from = strchr(text, ' ');
	assert_non_null(from);
	from++;
	to = from + strcspn(from, " \n");
	pad = (size_t)(to[-1] == '=') + (size_t)(to[-2] == '=');
	assert_true((size_t)(to - from) < cap);
	n = EVP_DecodeBlock(blob, (const uint8_t *)from, (int)(to - from));
	assert_true(n > 0);
	return (size_t)n - pad;
}

char *
dir_make(void)
{
	char *dir = strdup("/tmp/sallyport-keys-XXXXXX");

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	return dir;
}

static unsigned
each(const char *dir, bool remove_it)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[1024];
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n++;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (remove_it)
			assert_int_equal(remove(path), 0);
	}
	assert_int_equal(closedir(d), 0);
	return n;
}

unsigned
dir_count(const char *dir)
{
	return each(dir, false);
}

void
dir_remove(char *dir)
{
	(void)each(dir, true);
	assert_int_equal(rmdir(dir), 0);
	free(dir);
}

const char *
dir_put(const char *dir, const char *name, mode_t mode, const void *data, size_t len)
{
	static char paths[8][1024];
	static unsigned turn;
	char *path = paths[turn++ % SP_ARRAY_LEN(paths)];
	int fd;

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
	return path;
}

const char *
dir_copy(const char *dir, const char *name, mode_t mode)
{
	uint8_t buf[8192];
	size_t len = data_read(name, buf, sizeof(buf));

	return dir_put(dir, name, mode, buf, len);
}
