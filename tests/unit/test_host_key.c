/* SPDX-License-Identifier: Apache-2.0 */
/* host_key: which files are keys, in which order they stand, what they sign, how they are made. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host_key.h"
#include "host_key_file.h"
#include "keys_fixture.h"
#include "ssh_key.h"

static const uint8_t hash[32] = { 7 };

static int
make_dir(void **state)
{
	*state = dir_make();
	return 0;
}

static int
drop_dir(void **state)
{
	dir_remove(*state);
	return 0;
}

static struct host_key_set *
load(const char *const *paths)
{
	struct host_key_set *set = NULL;
	char why[1024] = "";
	int r = host_key_set_load(paths, false, &set, why, sizeof(why));

	if (r != 0)
		fail_msg("%s", why);
	return set;
}

static struct host_key_set *
load_one(const char *path)
{
	const char *const paths[] = { path, NULL };

	return load(paths);
}

/* The file is refused, and the sentence has both texts. */
static void
refused_with(const char *path, const char *text, const char *text2)
{
	const char *const paths[] = { path, NULL };
	struct host_key_set *set = NULL;
	char why[1024] = "";
	int r = host_key_set_load(paths, false, &set, why, sizeof(why));

	assert_true(r < 0);
	assert_null(set);
	if (strstr(why, text) == NULL || strstr(why, text2) == NULL)
		fail_msg("\"%s\" has no \"%s\" or no \"%s\"", why, text, text2);
}

/* The same with the file's own name. */
static void
refused(const char *path, const char *text)
{
	refused_with(path, path, text);
}

/* ---- files that are keys ---- */

static void
check_signature(const struct host_key *key, const char *algorithm)
{
	uint8_t sig[HOST_KEY_SIG_MAX];
	struct ssh_signature value = { .sk_flags = 0 };
	struct ssh_key *public = NULL;
	size_t len = 0;

	assert_int_equal(host_key_sign(key, algorithm, hash, sizeof(hash), sig, &len), 0);
	assert_int_equal(ssh_key_from_blob(host_key_blob(key).data, host_key_blob(key).len, &public),
	    0);
	value.value = (struct wire_span){ sig, len };
	assert_true(ssh_key_verify(public, algorithm, &value, hash, sizeof(hash)));
	ssh_key_free(public);
}

static void
every_format_loads(void **state)
{
	static const struct {
		const char *name;
		const char *algorithms[3];
	} cases[] = {
		{ "ed25519", { "ssh-ed25519" } },
		{ "ed25519_pkcs8.pem", { "ssh-ed25519" } },
		{ "ecdsa256", { "ecdsa-sha2-nistp256" } },
		{ "ecdsa384", { "ecdsa-sha2-nistp384" } },
		{ "ecdsa521", { "ecdsa-sha2-nistp521" } },
		{ "ecdsa256_sec1.pem", { "ecdsa-sha2-nistp256" } },
		{ "ecdsa256_pkcs8.pem", { "ecdsa-sha2-nistp256" } },
		{ "ecdsa256_explicit.pem", { "ecdsa-sha2-nistp256" } },
		{ "ecdsa384_pkcs8.pem", { "ecdsa-sha2-nistp384" } },
		{ "ecdsa521_pkcs8.pem", { "ecdsa-sha2-nistp521" } },
		{ "rsa2048", { "rsa-sha2-512", "rsa-sha2-256" } },
		{ "rsa2048_pkcs1.pem", { "rsa-sha2-512", "rsa-sha2-256" } },
		{ "rsa2048_pkcs8.pem", { "rsa-sha2-512", "rsa-sha2-256" } },
	};
	uint8_t blob[FIXTURE_BLOB_MAX];
	char public[64];

	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct host_key_set *set = load_one(dir_copy(*state, cases[i].name, 0600));
		size_t len;

		(void)snprintf(public, sizeof(public), "%s.pub", cases[i].name);
		len = data_public(public, blob, sizeof(blob));
		assert_int_equal(host_key_set_count(set), 1);
		assert_true(wire_span_eq(host_key_set_blob(set, 0), blob, len));
		for (size_t j = 0; cases[i].algorithms[j] != NULL; j++) {
			const char *algorithm = cases[i].algorithms[j];

			assert_non_null(host_key_set_find(set, algorithm));
			check_signature(host_key_set_find(set, algorithm), algorithm);
		}
		host_key_set_free(set);
	}
}

static void
modes_0400_and_0700_are_private_too(void **state)
{
	host_key_set_free(load_one(dir_copy(*state, "ed25519", 0400)));
	host_key_set_free(load_one(dir_copy(*state, "ed25519", 0700)));
}

static struct host_key_set *
load_all(char *dir)
{
	const char *const paths[] = { dir_copy(dir, "rsa2048", 0600),
		dir_copy(dir, "ecdsa521", 0600), dir_copy(dir, "ecdsa384_pkcs8.pem", 0600),
		dir_copy(dir, "ed25519", 0600), dir_copy(dir, "ecdsa256", 0600), NULL };

	return load(paths);
}

static void
best_first_whatever_the_order_of_files(void **state)
{
	static const char *const names[] = { "ed25519.pub", "ecdsa256.pub",
		"ecdsa384_pkcs8.pem.pub", "ecdsa521.pub", "rsa2048.pub" };
	struct host_key_set *set = load_all(*state);
	uint8_t blob[FIXTURE_BLOB_MAX];

	assert_int_equal(host_key_set_count(set), SP_ARRAY_LEN(names));
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		size_t len = data_public(names[i], blob, sizeof(blob));

		assert_true(wire_span_eq(host_key_set_blob(set, i), blob, len));
	}
	host_key_set_free(set);
}

static void
a_key_signs_with_its_own_algorithms_only(void **state)
{
	static const char *const algorithms[] = { "ssh-ed25519", "ecdsa-sha2-nistp256",
		"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-256", "rsa-sha2-512",
		"ssh-rsa", "ssh-dss", "", "sk-ssh-ed25519@openssh.com",
		"sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512-cert-v01@openssh.com" };
	static const char *const owners[] = { "ssh-ed25519", "ecdsa-sha2-nistp256",
		"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512" };
	struct host_key_set *set = load_all(*state);
	uint8_t sig[HOST_KEY_SIG_MAX];
	size_t len;

	for (size_t i = 0; i < SP_ARRAY_LEN(owners); i++) {
		const struct host_key *key = host_key_set_find(set, owners[i]);

		assert_non_null(key);
		for (size_t j = 0; j < SP_ARRAY_LEN(algorithms); j++) {
			bool own = host_key_set_find(set, algorithms[j]) == key;
			int r = host_key_sign(key, algorithms[j], hash, sizeof(hash), sig, &len);

			assert_int_equal(own, j == i || (i == 4 && j == 5));
			assert_int_equal(r, own ? 0 : -EINVAL);
		}
	}
	for (size_t j = 6; j < SP_ARRAY_LEN(algorithms); j++)
		assert_null(host_key_set_find(set, algorithms[j]));
	host_key_set_free(set);
}

/* Each format puts the private numbers there, and takes them away again. */
static void
private_halves_live_in_the_secure_heap(void **state)
{
	static const struct {
		const char *name;
		size_t bytes;
	} cases[] = {
		{ "ed25519", 32 },
		{ "ed25519_pkcs8.pem", 32 },
		{ "ecdsa256", 32 },
		{ "ecdsa256_sec1.pem", 32 },
		{ "rsa2048", 256 },
		{ "rsa2048_pkcs1.pem", 256 },
		{ "rsa2048_pkcs8.pem", 256 },
	};

	host_key_set_free(load_one(dir_copy(*state, "ed25519", 0600))); /* the library's own state */
	if (CRYPTO_secure_malloc_initialized() == 0)
		skip();
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		size_t before = CRYPTO_secure_used();
		struct host_key_set *set = load_one(dir_copy(*state, cases[i].name, 0600));

		assert_true(CRYPTO_secure_used() >= before + cases[i].bytes);
		host_key_set_free(set);
		assert_int_equal(CRYPTO_secure_used(), before);
	}
}

/* ---- files that are not ---- */

static void
unusable_keys_say_why(void **state)
{
	static const struct {
		const char *name;
		const char *text;
	} cases[] = {
		{ "encrypted_ed25519", "ssh-keygen -p -N ''" },
		{ "encrypted_pkcs8.pem", "is encrypted" },
		{ "encrypted_pkcs1.pem", "is encrypted" },
		{ "rsa1024", "need 2048 to 8192 bits" },
		{ "dsa", "no type that can be used" },
		{ "x25519.pem", "no type that can be used" },
		{ "secp256k1.pem", "no type that can be used" },
		{ "rsa_pss.pem", "no type that can be used" },
		{ "brainpool_explicit.pem", "no type that can be used" },
		{ "public_only.pem", "is not a private key, but the public half of one" },
		{ "ed25519.pub",
		    "is not a private key, but the public half of one: name the file without .pub" },
		{ "signed_ed25519", "is not a private key" },
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++)
		refused(dir_copy(*state, cases[i].name, 0600), cases[i].text);
	refused(dir_put(*state, "empty", 0600, "", 0), "is not a private key");
	/* Its mode is as it should be: nobody is to change it. */
	refused(dir_copy(*state, "ed25519.pub", 0644),
	    "; the private key, which belongs here, is the file without .pub");
}

static void
files_that_others_may_touch_are_refused(void **state)
{
	static const struct {
		mode_t mode;
		const char *text;
	} cases[] = {
		{ 0644, "chmod 600" },
		{ 0640, "chmod 600" },
		{ 0604, "chmod 600" },
		{ 0610, "chmod 600" },
		{ 0601, "chmod 600" },
		{ 0620, "chmod" },
		{ 0602, "chmod" },
	};
	const char *path;

	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++)
		refused(dir_copy(*state, "ed25519", cases[i].mode), cases[i].text);
	if (geteuid() != 0)
		return;
	path = dir_copy(*state, "ed25519", 0600);
	assert_int_equal(chown(path, 12345, 0), 0);
	refused(path, "belongs to another user");
}

static void
only_regular_files_are_read(void **state)
{
	char path[256];
	static char large[HOST_KEY_FILE_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s/link", (char *)*state);
	assert_int_equal(symlink(dir_copy(*state, "ed25519", 0600), path), 0);
	refused(path, "symbolic link");
	(void)snprintf(path, sizeof(path), "%s/fifo", (char *)*state);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(path, "not a regular file");
	refused(*state, "not a regular file");
	refused(dir_put(*state, "large", 0600, large, sizeof(large)), "too large");
	(void)snprintf(path, sizeof(path), "%s/missing", (char *)*state);
	refused(path, "\"make_host_keys\": true");
}

/* Mode 0440 is how an access list for one user looks; as an ordinary file such a key is refused. */
static void
credentials_are_found(void **state)
{
	const char *path = dir_copy(*state, "ed25519", 0440);

	refused(path, "can be read by group or others");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", *state, 1), 0);
	host_key_set_free(load_one("credential:ed25519"));
	refused_with("credential:absent", "/absent: No such file", "LoadCredential=");
	assert_int_equal(chmod(path, 0444), 0);
	refused_with("credential:ed25519", "can be read by", "chmod");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	refused_with("credential:ed25519", "CREDENTIALS_DIRECTORY is not set",
	    "LoadCredential=ed25519");
}

/* Where a credential is missing, no key is made in its place. */
static void
credentials_are_not_made(void **state)
{
	const char *const paths[] = { "credential:new_ed25519", NULL };
	struct host_key_set *set = NULL;
	char why[1024] = "";
	char path[512];

	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", *state, 1), 0);
	assert_true(host_key_set_load(paths, true, &set, why, sizeof(why)) < 0);
	(void)snprintf(path, sizeof(path), "%s/new_ed25519", (char *)*state);
	assert_true(access(path, F_OK) < 0);
	assert_true(access("credential:new_ed25519", F_OK) < 0);
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void
the_second_key_of_a_type_is_refused(void **state)
{
	const char *const paths[] = { dir_copy(*state, "ecdsa256", 0600),
		dir_copy(*state, "ed25519", 0600), dir_copy(*state, "ecdsa256_sec1.pem", 0600),
		NULL };
	const char *const none[] = { NULL };
	struct host_key_set *set = NULL;
	char why[1024] = "";

	assert_true(host_key_set_load(paths, false, &set, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "ecdsa256_sec1.pem is the second one of its type"));
	assert_true(host_key_set_load(none, false, &set, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "no host key"));
	assert_null(set);
}

/* ---- damaged files ---- */

static EVP_PKEY *
parse(const char *text, size_t len)
{
	char why[512] = "";
	EVP_PKEY *pkey = NULL;
	int r = host_key_file_parse(text, len, &pkey, why, sizeof(why));

	assert_int_equal(r < 0, pkey == NULL);
	assert_int_equal(r < 0, why[0] != '\0');
	return pkey;
}

static void
texts_cut_anywhere_are_no_keys(void **state)
{
	static const char *const names[] = { "ed25519", "ecdsa521", "ed25519_pkcs8.pem",
		"ecdsa256_sec1.pem", "rsa2048_pkcs1.pem" };
	char text[8192];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		size_t len = data_read(names[i], text, sizeof(text));
		EVP_PKEY *pkey = parse(text, len);

		assert_non_null(pkey);
		EVP_PKEY_free(pkey);
		/* the last two are the end of the END line and its newline */
		while (len-- > 0) {
			char *cut = strndup(text, len);

			pkey = parse(cut, len);
			assert_true(pkey == NULL || len >= strlen(text) - 1);
			EVP_PKEY_free(pkey);
			free(cut);
		}
	}
}

/* The binary of a file in OpenSSH's format, and back. */
static size_t
unarmor(const char *name, uint8_t *out, size_t cap)
{
	char text[8192];
	char packed[8192];
	size_t n = 0;
	size_t pad = 0;
	int len;

	(void)data_read(name, text, sizeof(text));
	for (const char *p = text + strlen(HOST_KEY_FILE_BEGIN); *p != '-'; p++) {
		if (*p != '\n')
			packed[n++] = *p;
		if (*p == '=')
			pad++;
	}
	assert_true(n < cap);
	len = EVP_DecodeBlock(out, (const uint8_t *)packed, (int)n);
	assert_true(len > 0);
	return (size_t)len - pad;
}

static size_t
armor(const uint8_t *data, size_t len, char *out)
{
	char *p = stpcpy(out, HOST_KEY_FILE_BEGIN "\n");

	p += EVP_EncodeBlock((uint8_t *)p, data, (int)len);
	p = stpcpy(p, "\n" HOST_KEY_FILE_END "\n");
	return (size_t)(p - out);
}

static void
binaries_cut_or_continued_are_no_keys(void **state)
{
	static const char *const names[] = { "ed25519", "ecdsa256", "ecdsa384", "ecdsa521",
		"rsa2048" };
	uint8_t data[4096];
	char text[8192];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		size_t len = unarmor(names[i], data, sizeof(data));
		EVP_PKEY *pkey = parse(text, armor(data, len, text));

		assert_non_null(pkey);
		EVP_PKEY_free(pkey);
		for (size_t n = 0; n < len; n++)
			assert_null(parse(text, armor(data, n, text)));
		for (unsigned byte = 0; byte < 256; byte++) {
			data[len] = (uint8_t)byte;
			assert_null(parse(text, armor(data, len + 1, text)));
		}
	}
}

static void
base64_has_one_reading(void **state)
{
	char text[8192];
	char *middle;
	size_t len = data_read("ed25519", text, sizeof(text));
	char keep;
	static const char bad[] = "=-.%\x01\x7f\xff";

	(void)state;
	middle = text + len / 2;
	keep = *middle;
	for (size_t i = 0; i + 1 < sizeof(bad); i++) {
		*middle = bad[i];
		assert_null(parse(text, len));
	}
	*middle = '\0';
	assert_null(parse(text, len));
	*middle = keep;
	memmove(middle + 1, middle, len - len / 2 + 1);
	*middle = 'A'; /* one too many */
	assert_null(parse(text, len + 1));
	*middle = '\r'; /* as editors of other systems have it */
	EVP_PKEY_free(parse(text, len + 1));
}

/*
 * Whatever byte is changed: either the file is refused, or it is the same key still (the comment, the
 * name of nothing). Never another key, never one that does not sign.
 */
static void
changed_bytes(void *dir, const char *name, size_t step, size_t *ret_same)
{
	uint8_t data[4096];
	char text[8192];
	char public[64];
	uint8_t blob[FIXTURE_BLOB_MAX];
	size_t len = unarmor(name, data, sizeof(data));
	size_t blob_len;

	(void)snprintf(public, sizeof(public), "%s.pub", name);
	blob_len = data_public(public, blob, sizeof(blob));
	*ret_same = 0;
	for (size_t i = 0; i < len; i += step) {
		struct host_key_set *set = NULL;
		const char *paths[2] = { NULL, NULL };
		char why[1024];

		data[i] ^= 0x10;
		paths[0] = dir_put(dir, "changed", 0600, text, armor(data, len, text));
		data[i] ^= 0x10;
		if (host_key_set_load(paths, false, &set, why, sizeof(why)) != 0)
			continue;
		assert_true(wire_span_eq(host_key_set_blob(set, 0), blob, blob_len));
		host_key_set_free(set);
		++*ret_same;
	}
}

static void
a_changed_byte_makes_no_other_key(void **state)
{
	size_t same;

	changed_bytes(*state, "ed25519", 1, &same);
	assert_int_equal(same, strlen("throw-away"));
	changed_bytes(*state, "ecdsa256", 1, &same);
	assert_int_equal(same, strlen("throw-away"));
	changed_bytes(*state, "rsa2048", 41, &same);
	assert_true(same <= 1);
}

/* A file whose private half is one key's and whose public half is another's. */
static void
halves_of_two_keys_are_refused(void **state)
{
	EVP_PKEY *a = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	EVP_PKEY *b = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	EVP_PKEY *mixed = NULL;
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *params;
	BIGNUM *d = NULL;
	uint8_t point[65];
	size_t len;
	const char *path = dir_put(*state, "mixed.pem", 0600, "", 0);
	FILE *f = fopen(path, "we");

	assert_int_equal(EVP_PKEY_get_bn_param(a, OSSL_PKEY_PARAM_PRIV_KEY, &d), 1);
	assert_int_equal(EVP_PKEY_get_octet_string_param(b, OSSL_PKEY_PARAM_PUB_KEY, point,
			     sizeof(point), &len),
	    1);
	assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
			     "P-256", 0),
	    1);
	assert_int_equal(OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
			     len),
	    1);
	assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, d), 1);
	params = OSSL_PARAM_BLD_to_param(builder);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &mixed, EVP_PKEY_KEYPAIR, params), 1);
	assert_int_equal(PEM_write_PrivateKey(f, mixed, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(f), 0);
	refused(path, "do not belong together");
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(ctx);
	BN_clear_free(d);
	EVP_PKEY_free(mixed);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}

/* ---- making keys ---- */

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

/* The words of a command's first line of output, or false when the machine has no such command. */
static bool
first_line(const char *command, char *out, size_t cap)
{
	FILE *f = popen(command, "re");
	bool some;

	assert_non_null(f);
	some = fgets(out, (int)cap, f) != NULL;
	(void)pclose(f);
	return some;
}

/* OpenSSH reads the private file, and what it finds there is what the .pub says. */
static void
check_with_ssh_keygen(const char *path, const char *word)
{
	char command[512];
	char fingerprint[256];
	char derived[4096];
	char written[4096];
	FILE *f;

	(void)snprintf(command, sizeof(command), "ssh-keygen -lf %s.pub 2>/dev/null", path);
	if (!first_line(command, fingerprint, sizeof(fingerprint))) {
		print_message("ssh-keygen is not here: not compared\n");
		return;
	}
	assert_non_null(strstr(fingerprint, word));
	(void)snprintf(command, sizeof(command), "ssh-keygen -y -P '' -f %s 2>/dev/null", path);
	assert_true(first_line(command, derived, sizeof(derived)));
	(void)snprintf(command, sizeof(command), "%s.pub", path);
	f = fopen(command, "re");
	assert_non_null(f);
	assert_non_null(fgets(written, sizeof(written), f));
	assert_int_equal(fclose(f), 0);
	assert_string_equal(derived, written);
}

static void
made_keys_are_read_by_ssh_keygen(void **state)
{
	static const struct {
		const char *name;
		const char *type;
		const char *algorithm;
		const char *word;
	} cases[] = {
		{ "ssh_host_ed25519_key", NULL, "ssh-ed25519", "(ED25519)" },
		{ "ssh_host_ecdsa_key", NULL, "ecdsa-sha2-nistp256", "(ECDSA)" },
		{ "ssh_host_rsa_key", NULL, "rsa-sha2-512", "3072 " },
		{ "key", NULL, "ssh-ed25519", "(ED25519)" },
		{ "rsa_by_name_only", "ecdsa", "ecdsa-sha2-nistp256", "(ECDSA)" },
		{ "host", "rsa", "rsa-sha2-256", "(RSA)" },
	};
	char path[256];
	char public[260];
	char why[1024] = "";

	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct host_key_set *set;

		(void)snprintf(path, sizeof(path), "%s/%s", (char *)*state, cases[i].name);
		(void)snprintf(public, sizeof(public), "%s.pub", path);
		assert_int_equal(host_key_generate(path, cases[i].type, why, sizeof(why)), 0);
		assert_int_equal(mode_of(path), 0600);
		assert_int_equal(mode_of(public), 0644);
		check_with_ssh_keygen(path, cases[i].word);
		set = load_one(path);
		check_signature(host_key_set_find(set, cases[i].algorithm), cases[i].algorithm);
		host_key_set_free(set);
	}
	assert_int_equal(dir_count(*state), 2 * SP_ARRAY_LEN(cases)); /* nothing left over */
}

static void
an_existing_key_stays(void **state)
{
	const char *path = dir_copy(*state, "ed25519", 0600);
	char before[1024];
	char after[1024];
	char why[1024] = "";
	FILE *f;
	size_t len = data_read("ed25519", before, sizeof(before));

	assert_int_equal(host_key_generate(path, NULL, why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, path));
	f = fopen(path, "re");
	assert_int_equal(fread(after, 1, sizeof(after), f), len);
	assert_int_equal(fclose(f), 0);
	assert_memory_equal(before, after, len);
	assert_int_equal(dir_count(*state), 1);
}

static void
a_left_over_public_file_is_replaced(void **state)
{
	char path[256];
	char why[1024] = "";

	(void)dir_copy(*state, "ed25519.pub", 0600);
	(void)snprintf(path, sizeof(path), "%s/ed25519", (char *)*state);
	assert_int_equal(host_key_generate(path, NULL, why, sizeof(why)), 0);
	check_with_ssh_keygen(path, "(ED25519)");
	assert_int_equal(dir_count(*state), 2);
}

static void
keys_that_cannot_be_made_say_why(void **state)
{
	char path[5000];
	char why[8192] = "";
	struct rlimit old;
	struct rlimit small;

	(void)snprintf(path, sizeof(path), "%s/absent/key", (char *)*state);
	assert_int_equal(host_key_generate(path, NULL, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "No such file"));
	(void)snprintf(path, sizeof(path), "%s/key", (char *)*state);
	assert_int_equal(host_key_generate(path, "dsa", why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "ed25519, ecdsa or rsa"));
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(host_key_generate(path, NULL, why, sizeof(why)), -ENAMETOOLONG);

	/* The disk is full in the middle of the file: no half a key is left. */
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ .rlim_cur = 100, .rlim_max = old.rlim_max };
	(void)snprintf(path, sizeof(path), "%s/key", (char *)*state);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(host_key_generate(path, NULL, why, sizeof(why)), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(dir_count(*state), 0);
}

static void
missing_keys_are_made_when_asked(void **state)
{
	char made[256];
	char link[256];
	const char *const paths[] = { made, dir_copy(*state, "rsa2048", 0600), NULL };
	const char *const dangling[] = { link, NULL };
	struct host_key_set *set = NULL;
	struct wire_span blob;
	uint8_t first[FIXTURE_BLOB_MAX];
	char why[1024] = "";

	(void)snprintf(made, sizeof(made), "%s/ssh_host_ecdsa_key", (char *)*state);
	assert_int_equal(host_key_set_load(paths, true, &set, why, sizeof(why)), 0);
	assert_int_equal(host_key_set_count(set), 2);
	blob = host_key_blob(host_key_set_find(set, "ecdsa-sha2-nistp256"));
	memcpy(first, blob.data, blob.len);
	host_key_set_free(set);
	assert_int_equal(host_key_set_load(paths, true, &set, why, sizeof(why)), 0);
	assert_true(wire_span_eq(host_key_set_blob(set, 0), first, blob.len)); /* once only */
	host_key_set_free(set);

	(void)snprintf(link, sizeof(link), "%s/link", (char *)*state);
	assert_int_equal(symlink("/nonexistent/key", link), 0);
	assert_true(host_key_set_load(dangling, true, &set, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "symbolic link"));
}

static void
no_descriptor_is_left_open(void **state)
{
	unsigned before = count_fds();

	every_format_loads(state);
	unusable_keys_say_why(state);
	missing_keys_are_made_when_asked(state);
	assert_int_equal(count_fds(), before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_format_loads),
		TEST(modes_0400_and_0700_are_private_too),
		TEST(best_first_whatever_the_order_of_files),
		TEST(a_key_signs_with_its_own_algorithms_only),
		TEST(private_halves_live_in_the_secure_heap),
		TEST(unusable_keys_say_why),
		TEST(files_that_others_may_touch_are_refused),
		TEST(only_regular_files_are_read),
		TEST(credentials_are_found),
		TEST(credentials_are_not_made),
		TEST(the_second_key_of_a_type_is_refused),
		TEST(texts_cut_anywhere_are_no_keys),
		TEST(binaries_cut_or_continued_are_no_keys),
		TEST(base64_has_one_reading),
		TEST(a_changed_byte_makes_no_other_key),
		TEST(halves_of_two_keys_are_refused),
		TEST(made_keys_are_read_by_ssh_keygen),
		TEST(an_existing_key_stays),
		TEST(a_left_over_public_file_is_replaced),
		TEST(keys_that_cannot_be_made_say_why),
		TEST(missing_keys_are_made_when_asked),
		TEST(no_descriptor_is_left_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
