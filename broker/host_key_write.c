/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing private key files. Runs in the broker, before it serves anybody; nothing here comes from
 * outside. Every buffer that held a secret is wiped.
 */
#include "host_key_write.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "host_key_file.h"
#include "path.h"
#include "wire.h"

#define BINARY_MAX  8192
#define BASE64_MAX  (4 * (BINARY_MAX / 3 + 1) + 1)
#define BASE64_LINE 70 /* as ssh-keygen breaks them */
#define COMMENT     "sallyport"

/* OpenSSH keeps the seed and the public half together. */
static void
put_ed25519_secret(struct wire_writer *w, const EVP_PKEY *pkey)
{
	uint8_t secret[64];
	size_t seed_len = 32;
	size_t public_len = 32;

	if (EVP_PKEY_get_raw_private_key(pkey, secret, &seed_len) != 1 ||
	    EVP_PKEY_get_raw_public_key(pkey, secret + 32, &public_len) != 1)
		w->failed = true;
	wire_put_str(w, secret, sizeof(secret));
	OPENSSL_cleanse(secret, sizeof(secret));
}

/* The order of RSA's numbers is not that of the public blob. */
static void
put_rsa(struct wire_writer *w, const EVP_PKEY *pkey)
{
	static const char *const names[] = { OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E,
		OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
		OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2 };

	wire_put_cstr(w, "ssh-rsa");
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++)
		host_key_file_put_number(w, pkey, names[i]);
}

static void
put_key(struct wire_writer *w, EVP_PKEY *pkey)
{
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_RSA:
		put_rsa(w, pkey);
		break;
	case EVP_PKEY_ED25519:
		host_key_file_put_public(w, pkey);
		put_ed25519_secret(w, pkey);
		break;
	default:
		host_key_file_put_public(w, pkey);
		host_key_file_put_number(w, pkey, OSSL_PKEY_PARAM_PRIV_KEY);
		break;
	}
}

/* The section that a passphrase would encrypt. */
static void
put_private_section(struct wire_writer *w, EVP_PKEY *pkey)
{
	uint8_t buf[BINARY_MAX];
	struct wire_writer section;
	uint32_t check = 0;

	if (RAND_bytes((uint8_t *)&check, sizeof(check)) != 1)
		w->failed = true;
	wire_writer_init(&section, buf, sizeof(buf));
	wire_put_u32(&section, check);
	wire_put_u32(&section, check);
	put_key(&section, pkey);
	wire_put_cstr(&section, COMMENT);
	for (uint8_t i = 1; !section.failed && section.len % 8 != 0; i++)
		wire_put_u8(&section, i);
	if (section.failed)
		w->failed = true;
	wire_put_str(w, section.data, section.len);
	OPENSSL_cleanse(buf, sizeof(buf));
}

static void
put_file(struct wire_writer *w, EVP_PKEY *pkey)
{
	uint8_t buf[HOST_KEY_BLOB_MAX];
	struct wire_writer public;

	wire_writer_init(&public, buf, sizeof(buf));
	host_key_file_put_public(&public, pkey);
	if (public.failed)
		w->failed = true;
	wire_put_bytes(w, HOST_KEY_FILE_MAGIC, sizeof(HOST_KEY_FILE_MAGIC));
	wire_put_cstr(w, "none"); /* cipher */
	wire_put_cstr(w, "none"); /* key derivation, and its options */
	wire_put_cstr(w, "");
	wire_put_u32(w, 1); /* key */
	wire_put_str(w, public.data, public.len);
	put_private_section(w, pkey);
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* link() fails when the name exists, rename() replaces it. */
static int
publish(const char *temporary, const char *path, bool replace)
{
	int r = replace ? rename(temporary, path) : link(temporary, path);

	return r < 0 ? -errno : path_sync_directory(path);
}

/* Make path hold text, with mode: complete, or not there at all. */
static int
write_file(const char *path, mode_t mode, bool replace, const char *text, size_t len)
{
	SP_CLEANUP_FD int fd = -1;
	char temporary[4096];
	int r;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, len);
	if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r == 0)
		r = publish(temporary, path, replace);
	if (r != 0 || !replace)
		(void)unlink(temporary);
	return r;
}

static int
write_private(const char *path, EVP_PKEY *pkey)
{
	uint8_t data[BINARY_MAX];
	char base64[BASE64_MAX];
	char text[HOST_KEY_FILE_MAX];
	struct wire_writer w;
	size_t n;
	int r = -EIO;

	wire_writer_init(&w, data, sizeof(data));
	put_file(&w, pkey);
	if (!w.failed) {
		(void)EVP_EncodeBlock((uint8_t *)base64, w.data, (int)w.len);
		n = (size_t)snprintf(text, sizeof(text), "%s\n", HOST_KEY_FILE_BEGIN);
		for (const char *p = base64; *p != '\0'; p += strnlen(p, BASE64_LINE))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s\n", BASE64_LINE, p);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", HOST_KEY_FILE_END);
		r = write_file(path, 0600, false, text, n);
	}
	OPENSSL_cleanse(data, sizeof(data));
	OPENSSL_cleanse(base64, sizeof(base64));
	OPENSSL_cleanse(text, sizeof(text));
	return r;
}

static int
write_public(const char *path, EVP_PKEY *pkey)
{
	uint8_t blob[HOST_KEY_BLOB_MAX];
	char base64[BASE64_MAX];
	char text[BASE64_MAX + 64];
	char name[4096];
	struct wire_writer w;
	int n;

	if (snprintf(name, sizeof(name), "%s.pub", path) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	wire_writer_init(&w, blob, sizeof(blob));
	host_key_file_put_public(&w, pkey);
	if (w.failed)
		return -EIO;
	(void)EVP_EncodeBlock((uint8_t *)base64, w.data, (int)w.len);
	n = snprintf(text, sizeof(text), "%s %s " COMMENT "\n", host_key_file_type(pkey), base64);
	return write_file(name, 0644, true, text, (size_t)n);
}

int
host_key_write(const char *path, EVP_PKEY *pkey)
{
	int r = write_private(path, pkey);

	return r == 0 ? write_public(path, pkey) : r;
}
