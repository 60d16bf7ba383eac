/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of host keys, and signing with them. Runs in the broker. The files are read before it serves
 * anybody; afterwards the only input from outside is an algorithm's name, and what is signed is a hash
 * that transcript.c computed.
 */
#include "host_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host_key_file.h"
#include "host_key_write.h"
#include "ipc.h"
#include "log.h"
#include "path.h"
#include "public_key.h"
#include "read_file.h"
#include "ssh_key.h"

#define RSA_BITS        3072   /* of keys that we make */
#define SECURE_HEAP     262144 /* bytes for private numbers; each key needs a few KiB of it */
#define SECURE_HEAP_MIN 32     /* its smallest piece */

/* Ed25519 first: signing costs a fiftieth of RSA's, which anybody can make us do before login. */
static const char *const preference[] = {
	"ssh-ed25519",
	"ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521",
	"ssh-rsa",
};

struct host_key {
	const char *type;
	EVP_PKEY *pkey;
	uint8_t blob[HOST_KEY_BLOB_MAX];
	size_t blob_len;
};

/* What becomes of a key whose file is not there. */
enum missing_key {
	MISSING_KEY_FAILS,
	MISSING_KEY_IS_MADE,
	MISSING_KEY_COULD_BE_MADE, /* and is not */
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
generate(const char *type)
{
	if (strcmp(type, "ecdsa") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	if (strcmp(type, "rsa") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
	if (strcmp(type, "ed25519") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return NULL;
}

/* ssh_host_ecdsa_key: "ecdsa" before "rsa", in case a name mentions both. */
static const char *
type_of_name(const char *path)
{
	const char *base = strrchr(path, '/');

	base = base != NULL ? base + 1 : path;
	if (strstr(base, "ecdsa") != NULL)
		return "ecdsa";
	return strstr(base, "rsa") != NULL ? "rsa" : "ed25519";
}

int
host_key_generate(const char *path, const char *type, char *why, size_t cap)
{
	EVP_PKEY *pkey = generate(type != NULL ? type : type_of_name(path));
	int r;

	if (pkey == NULL) {
		ERR_clear_error();
		return refuse(why, cap, path, "could not be made: the type is ed25519, ecdsa or rsa");
	}
	r = host_key_write(path, pkey);
	EVP_PKEY_free(pkey);
	if (r < 0)
		(void)snprintf(why, cap, "host key %s could not be made: %s", path, strerror(-r));
	return r;
}

/* Every number of the key fits the others. For RSA 3072 this takes a tenth of a second. */
static bool
is_consistent(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool good = ctx != NULL && EVP_PKEY_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

/*
 * Sign with the private half, verify with the public blob that clients will see: a key whose halves
 * do not belong together, or a key that is too weak, is found before anybody connects.
 * NULL, or half a sentence.
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

	if (r == SSH_KEY_E_WEAK || r == SSH_KEY_E_LARGE)
		return "cannot be used: RSA keys need 2048 to 8192 bits; make another one with "
		       "ssh-keygen -t ed25519";
	if (r != 0)
		return "cannot be used as an SSH host key: its public half is malformed";
	if (!is_consistent(key->pkey))
		return "is damaged (its numbers do not belong together)";
	if (host_key_sign(key, algorithm, data, sizeof(data), buf, &len) < 0)
		return "cannot sign";
	sig.value.data = buf;
	sig.value.len = len;
	if (!ssh_key_verify(public, algorithm, &sig, data, sizeof(data)))
		return "is damaged (public and private half do not belong together)";
	return NULL;
}

static bool
has_type(const struct host_key_set *set, const char *type)
{
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->keys[i].type, type) == 0)
			return true;
	}
	return false;
}

/* Room for a key of this type. */
static int
claim(struct host_key_set *set, const char *path, const char *type, char *why, size_t cap)
{
	if (has_type(set, type))
		return refuse(why, cap, path,
		    "is the second one of its type; list one file of each type");
	if (set->n == SP_ARRAY_LEN(set->keys))
		return refuse(why, cap, path, "is one too many");
	set->keys[set->n++].type = type;
	return 0;
}

/* Takes *pkey. */
static int
add(struct host_key_set *set, const char *path, EVP_PKEY **pkey, char *why, size_t cap)
{
	const char *type = host_key_file_type(*pkey);
	struct host_key *key = &set->keys[set->n];
	struct wire_writer w;
	const char *problem;

	if (type == NULL)
		return refuse(why, cap, path,
		    "is of no type that can be used: " HOST_KEY_FILE_TYPES " is needed");
	if (claim(set, path, type, why, cap) < 0)
		return -EINVAL;
	key->pkey = *pkey;
	*pkey = NULL;
	wire_writer_init(&w, key->blob, sizeof(key->blob));
	host_key_file_put_public(&w, key->pkey);
	if (w.failed)
		return refuse(why, cap, path, "is too large");
	key->blob_len = w.len;
	problem = try_key(key);
	return problem == NULL ? 0 : refuse(why, cap, path, problem);
}

/* Where the service manager has put a credential. */
static int
credential_path(const char *name, char *path, size_t path_cap, char *why, size_t cap)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");

	if (directory == NULL || directory[0] != '/') {
		(void)snprintf(why, cap,
		    "host key " HOST_KEY_CREDENTIAL "%s: the service manager has passed no credentials "
		    "(CREDENTIALS_DIRECTORY is not set); the unit needs LoadCredential=%s:FILE",
		    name, name);
		return -ENOENT;
	}
	if ((size_t)snprintf(path, path_cap, "%s/%s", directory, name) >= path_cap) {
		(void)snprintf(why, cap, "host key " HOST_KEY_CREDENTIAL "%s: its path is too long",
		    name);
		return -ENAMETOOLONG;
	}
	return 0;
}

static bool
has_ending(const char *text, const char *ending)
{
	size_t n = strlen(text);
	size_t k = strlen(ending);

	return n >= k && strcmp(text + n - k, ending) == 0;
}

static int
read_key(const char *path, EVP_PKEY **ret, char *why, size_t cap)
{
	const char *credential = host_key_credential(path);
	const char *hint = "\"make_host_keys\": true makes it at the first start";
	enum read_file_kind kind = READ_FILE_SECRET;
	const char *file = path;
	char passed[PATH_MAX];
	char reason[512] = "out of memory";
	char *text;
	size_t len;
	int r;

	if (credential != NULL) {
		r = credential_path(credential, passed, sizeof(passed), why, cap);
		if (r < 0)
			return r;
		file = passed;
		kind = READ_FILE_CREDENTIAL;
		hint = "the unit needs LoadCredential= for it";
	}
	r = read_trusted_file(file, kind, HOST_KEY_FILE_MAX, &text, &len, reason, sizeof(reason));
	if (r < 0) {
		/* Before anybody makes the public half a secret, as is advised for keys. */
		if (has_ending(file, ".pub"))
			hint = "the private key, which belongs here, is the file without .pub";
		else if (r != -ENOENT)
			hint = "";
		(void)snprintf(why, cap, "host key %s%s%s", reason, hint[0] != '\0' ? "; " : "",
		    hint);
		return r;
	}
	r = host_key_file_parse(text, len, ret, reason, sizeof(reason));
	read_file_free(text, len);
	if (r < 0)
		(void)refuse(why, cap, path, reason);
	return r;
}

/* Whoever connects for the first time is asked about just this. */
static void
say_made(const char *path, const struct host_key *key)
{
	char text[PUBLIC_KEY_FINGERPRINT_LEN + 1];

	if (public_key_fingerprint(key->blob, key->blob_len, text))
		log_info("made host key %s: %s %s", path, key->type, text);
}

/* As if the key that host_key_generate() would make were there. */
static int
pretend(struct host_key_set *set, const char *path, char *why, size_t cap)
{
	const char *type = type_of_name(path);
	char directory[PATH_MAX];

	path_directory(path, directory);
	if (access(directory, F_OK) < 0) {
		int r = -errno;

		(void)snprintf(why, cap, "host key %s could not be made: %s: %s", path, directory,
		    strerror(-r));
		return r;
	}
	if (strcmp(type, "ed25519") == 0)
		type = "ssh-ed25519";
	else
		type = strcmp(type, "rsa") == 0 ? "ssh-rsa" : "ecdsa-sha2-nistp256";
	return claim(set, path, type, why, cap);
}

static int
load_one(struct host_key_set *set, const char *path, enum missing_key missing, char *why, size_t cap)
{
	EVP_PKEY *pkey = NULL;
	struct stat st;
	bool made = false;
	int r = 0;

	/* Whatever stands there, a dangling link too, is not replaced: reading it says what is wrong. */
	if (missing != MISSING_KEY_FAILS && host_key_credential(path) == NULL &&
	    lstat(path, &st) < 0 && errno == ENOENT) {
		if (missing == MISSING_KEY_COULD_BE_MADE)
			return pretend(set, path, why, cap);
		r = host_key_generate(path, NULL, why, cap);
		made = true;
	}
	if (r == 0)
		r = read_key(path, &pkey, why, cap);
	if (r == 0)
		r = add(set, path, &pkey, why, cap);
	if (r == 0 && made)
		say_made(path, &set->keys[set->n - 1]);
	EVP_PKEY_free(pkey);
	return r;
}

static size_t
rank(const struct host_key *key)
{
	size_t i = 0;

	while (i < SP_ARRAY_LEN(preference) && strcmp(preference[i], key->type) != 0)
		i++;
	return i;
}

static int
compare(const void *a, const void *b)
{
	return (int)rank(a) - (int)rank(b);
}

/*
 * Memory for private numbers that is not swapped out, not in core dumps, and fenced by pages that
 * nobody may touch. Best effort: without it they are in ordinary memory.
 */
static void
use_secure_heap(void)
{
	if (CRYPTO_secure_malloc_initialized() == 0)
		(void)CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_HEAP_MIN);
}

static int
load_all(const char *const *paths, enum missing_key missing, struct host_key_set **ret, char *why,
    size_t cap)
{
	struct host_key_set *set = calloc(1, sizeof(*set));
	int r = 0;

	if (set == NULL) {
		(void)snprintf(why, cap, "host keys: out of memory");
		return -ENOMEM;
	}
	use_secure_heap();
	for (; r == 0 && *paths != NULL; paths++)
		r = load_one(set, *paths, missing, why, cap);
	if (r == 0 && set->n == 0) {
		(void)snprintf(why, cap, "no host key is configured: list one in \"host_keys\"");
		r = -EINVAL;
	}
	if (r < 0) {
		host_key_set_free(set);
		return r;
	}
	*ret = set;
	return 0;
}

int
host_key_set_load(const char *const *paths, bool make, struct host_key_set **ret, char *why,
    size_t cap)
{
	struct host_key_set *set = NULL;
	int r = load_all(paths, make ? MISSING_KEY_IS_MADE : MISSING_KEY_FAILS, &set, why, cap);

	if (r < 0)
		return r;
	qsort(set->keys, set->n, sizeof(set->keys[0]), compare);
	*ret = set;
	return 0;
}

int
host_key_set_try(const char *const *paths, bool make, char *why, size_t cap)
{
	struct host_key_set *set = NULL;
	int r = load_all(paths, make ? MISSING_KEY_COULD_BE_MADE : MISSING_KEY_FAILS, &set, why, cap);

	host_key_set_free(set);
	return r;
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

/* Whether the algorithm is one of this key's. SHA-1 ("ssh-rsa") is nobody's. */
static bool
signs_with(const struct host_key *key, const char *algorithm)
{
	if (strcmp(algorithm, "rsa-sha2-256") == 0 || strcmp(algorithm, "rsa-sha2-512") == 0)
		algorithm = "ssh-rsa";
	else if (strcmp(algorithm, "ssh-rsa") == 0)
		return false;
	return strcmp(key->type, algorithm) == 0;
}

const struct host_key *
host_key_set_find(const struct host_key_set *set, const char *algorithm)
{
	for (size_t i = 0; i < set->n; i++) {
		if (signs_with(&set->keys[i], algorithm))
			return &set->keys[i];
	}
	return NULL;
}

int
host_key_sign(const struct host_key *key, const char *algorithm, const void *data, size_t len,
    uint8_t sig[HOST_KEY_SIG_MAX], size_t *ret_len)
{
	EVP_MD_CTX *ctx;
	size_t sig_len = HOST_KEY_SIG_MAX;
	const EVP_MD *md;
	bool done;

	if (!signs_with(key, algorithm) || !ssh_key_digest(algorithm, &md))
		return -EINVAL;
	ctx = EVP_MD_CTX_new();
	done = ctx != NULL && EVP_DigestSignInit(ctx, NULL, md, NULL, key->pkey) == 1 &&
	    EVP_DigestSign(ctx, sig, &sig_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	/* Without memory, OpenSSL has called an ECDSA signature of -1 bytes a success. */
	if (!done || sig_len > HOST_KEY_SIG_MAX)
		return -EIO;
	*ret_len = sig_len;
	return 0;
}
