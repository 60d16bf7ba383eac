/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: the set of host keys, and signing with them. */
#include "host_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host_key_file.h"
#include "ipc.h"
#include "read_file.h"
#include "ssh_key.h"

#define FILE_MAX 65536
#define RSA_BITS 3072 /* of keys that we make */

struct host_key {
	const char *type;
	EVP_PKEY *pkey;
	uint8_t blob[HOST_KEY_BLOB_MAX];
	size_t blob_len;
};

struct host_key_set {
	struct host_key keys[IPC_HOST_KEYS_MAX];
	size_t n;
};

static int
refuse(char *why, size_t cap, const char *path, const char *text)
{
	(void)snprintf(why, cap, "host key %s %s", path, text);
	return -EINVAL;
}

static EVP_PKEY *
generate(const char *path)
{
	const char *base = strrchr(path, '/');

	base = base != NULL ? base + 1 : path;
	if (strstr(base, "ecdsa") != NULL)
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	if (strstr(base, "rsa") != NULL)
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static int
make_file(const char *path, char *why, size_t cap)
{
	char text[256] = "could not be made";
	EVP_PKEY *pkey = generate(path);
	int r = -EIO;

	if (pkey != NULL)
		r = host_key_file_write(path, pkey, text, sizeof(text));
	EVP_PKEY_free(pkey);
	if (r < 0)
		(void)refuse(why, cap, path, text);
	return r;
}

/*
 * Sign with the private half, verify with the public blob that clients will see: a key whose halves
 * do not belong together, or a key that is too weak, is found before anybody connects.
 */
static const char *
try_key(const struct host_key *key)
{
	SP_CLEANUP(ssh_key_freep) struct ssh_key *public = NULL;
	const char *algorithm = strcmp(key->type, "ssh-rsa") == 0 ? "rsa-sha2-512" : key->type;
	struct ssh_signature sig = { .sk_flags = 0 };
	uint8_t buf[HOST_KEY_SIG_MAX];
	static const uint8_t data[32] = { 1 };
	size_t len;
	int r = ssh_key_from_blob(key->blob, key->blob_len, &public);

	if (r == SSH_KEY_E_WEAK)
		return "is too weak: RSA keys need 2048 to 8192 bits";
	if (r != 0)
		return "cannot be used as an SSH host key";
	if (host_key_sign(key, algorithm, data, sizeof(data), buf, &len) < 0)
		return "cannot sign";
	sig.value.data = buf;
	sig.value.len = len;
	if (!ssh_key_verify(public, algorithm, &sig, data, sizeof(data)))
		return "is damaged (public and private half do not belong together)";
	return NULL;
}

/* Takes pkey. */
static int
add(struct host_key_set *set, const char *path, EVP_PKEY *pkey, char *why, size_t cap)
{
	struct host_key *key = &set->keys[set->n];
	struct wire_writer w;
	const char *problem;

	if (set->n == SP_ARRAY_LEN(set->keys) || host_key_file_type(pkey) == NULL) {
		EVP_PKEY_free(pkey);
		return refuse(why, cap, path,
		    "is of no type that can be used: ed25519, ecdsa (nistp256, 384, 521) or rsa");
	}
	key->pkey = pkey;
	key->type = host_key_file_type(pkey);
	set->n++;
	for (size_t i = 0; i + 1 < set->n; i++) {
		if (strcmp(set->keys[i].type, key->type) == 0)
			return refuse(why, cap, path, "is the second one of its type; keep one");
	}
	wire_writer_init(&w, key->blob, sizeof(key->blob));
	host_key_file_put_public(&w, pkey);
	if (w.failed)
		return refuse(why, cap, path, "is too large");
	key->blob_len = w.len;
	problem = try_key(key);
	return problem == NULL ? 0 : refuse(why, cap, path, problem);
}

static int
load_one(struct host_key_set *set, const char *path, bool make, char *why, size_t cap)
{
	EVP_PKEY *pkey = NULL;
	char reason[512] = "cannot be read";
	char *text;
	size_t len;
	int r = 0;

	if (make && access(path, F_OK) < 0 && errno == ENOENT)
		r = make_file(path, why, cap);
	if (r < 0)
		return r;
	r = read_trusted_file(path, true, FILE_MAX, &text, &len, reason, sizeof(reason));
	if (r < 0) {
		(void)snprintf(why, cap, "host key %s%s", reason,
		    r == -ENOENT ? " (\"make_host_keys\": true makes it at the first start)" : "");
		return r;
	}
	r = host_key_file_parse(text, len, &pkey, reason, sizeof(reason));
	read_file_free(text, len);
	if (r < 0) {
		(void)refuse(why, cap, path, reason);
		return r;
	}
	return add(set, path, pkey, why, cap);
}

/* Ed25519 first: signing costs a fiftieth of RSA's, which anybody can make us do before login. */
static int
rank(const struct host_key *key)
{
	if (strcmp(key->type, "ssh-ed25519") == 0)
		return 0;
	return strcmp(key->type, "ssh-rsa") == 0 ? 2 : 1;
}

static int
compare(const void *a, const void *b)
{
	return rank(a) - rank(b);
}

int
host_key_set_load(const char *const *paths, bool make, struct host_key_set **ret, char *why,
    size_t cap)
{
	struct host_key_set *set = calloc(1, sizeof(*set));
	int r = 0;

	if (set == NULL)
		return -ENOMEM;
	for (; r == 0 && *paths != NULL; paths++)
		r = load_one(set, *paths, make, why, cap);
	if (r == 0 && set->n == 0) {
		(void)snprintf(why, cap, "no host key is configured: list one in \"host_keys\"");
		r = -EINVAL;
	}
	if (r < 0) {
		host_key_set_free(set);
		return r;
	}
	qsort(set->keys, set->n, sizeof(set->keys[0]), compare);
	*ret = set;
	return 0;
}

void
host_key_set_free(struct host_key_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->n; i++)
		EVP_PKEY_free(set->keys[i].pkey); /* OpenSSL wipes private parts */
	free(set);
}

size_t
host_key_set_count(const struct host_key_set *set)
{
	return set->n;
}

struct wire_span
host_key_set_blob(const struct host_key_set *set, size_t i)
{
	return host_key_blob(&set->keys[i]);
}

struct wire_span
host_key_blob(const struct host_key *key)
{
	struct wire_span blob = { key->blob, key->blob_len };

	return blob;
}

const struct host_key *
host_key_set_find(const struct host_key_set *set, const char *algorithm)
{
	const char *type = algorithm;

	if (strcmp(algorithm, "rsa-sha2-256") == 0 || strcmp(algorithm, "rsa-sha2-512") == 0)
		type = "ssh-rsa";
	else if (strcmp(algorithm, "ssh-rsa") == 0)
		return NULL; /* SHA-1 */
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->keys[i].type, type) == 0)
			return &set->keys[i];
	}
	return NULL;
}

int
host_key_sign(const struct host_key *key, const char *algorithm, const void *data, size_t len,
    uint8_t sig[HOST_KEY_SIG_MAX], size_t *ret_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t sig_len = HOST_KEY_SIG_MAX;
	const EVP_MD *md;
	bool done;

	done = ctx != NULL && ssh_key_digest(algorithm, &md) &&
	    EVP_DigestSignInit(ctx, NULL, md, NULL, key->pkey) == 1 &&
	    EVP_DigestSign(ctx, sig, &sig_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	if (!done)
		return -EIO;
	*ret_len = sig_len;
	return 0;
}
