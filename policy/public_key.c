/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public key lines of the policy: decoded, checked for a type and strength that we take, and kept as
 * bytes. Runs in the broker and the admin tool. The keys are the administrator's, pasted from who
 * knows where: every field of the blob is checked, so that nothing later meets a malformed one.
 */
#include "public_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ipc.h"
#include "ssh_key.h"
#include "wire.h"

_Static_assert(PUBLIC_KEY_BLOB_MAX == IPC_BLOB_MAX, "a key that no client could offer");

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool
public_key_fingerprint_valid(const char *text)
{
	return strncmp(text, "SHA256:", 7) == 0 && strlen(text + 7) == 43 &&
	    strspn(text + 7, base64_digits) == 43;
}

bool
public_key_fingerprint(const void *blob, size_t len, char out[PUBLIC_KEY_FINGERPRINT_LEN + 1])
{
	uint8_t hash[32];
	uint8_t text[4 * 11 + 1]; /* with the padding that ssh-keygen leaves out */

	out[0] = '\0';
	/* libcrypto has no other reason than missing memory */
	if (EVP_Digest(blob, len, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	(void)EVP_EncodeBlock(text, hash, sizeof(hash));
	(void)snprintf(out, PUBLIC_KEY_FINGERPRINT_LEN + 1, "SHA256:%.43s", (const char *)text);
	return true;
}

static int
base64_value(char c)
{
	const char *at = c == '\0' ? NULL : strchr(base64_digits, c);

	return at == NULL ? -1 : (int)(at - base64_digits);
}

/* Strict: padded, no unused bits set, so that a blob has one spelling. False: not base64. */
static bool
decode_base64(const char *text, size_t len, uint8_t *out, size_t *ret_len)
{
	size_t padding = 0;
	size_t n = 0;
	uint32_t bits = 0;

	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	if (len == 0 || len % 4 != 0)
		return false;
	for (size_t i = 0; i < len - padding; i++) {
		int value = base64_value(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 == 0)
			continue;
		out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	if ((padding == 1 && (bits & 0x3) != 0) || (padding == 2 && (bits & 0xf) != 0))
		return false;
	*ret_len = n;
	return true;
}

static int
make_fingerprint(struct arena *arena, struct public_key *key)
{
	char text[PUBLIC_KEY_FINGERPRINT_LEN + 1];

	if (!public_key_fingerprint(key->blob, key->len, text)) {
		arena->failed = true;
		return -ENOMEM;
	}
	key->fingerprint = arena_copy(arena, text, strlen(text));
	return key->fingerprint == NULL ? -ENOMEM : 0;
}

/* Lines that are something else, and what to say about them. */
static bool
is_something_else(const char *line, const char **ret_why, const char **ret_help)
{
	static const struct {
		const char *mark;
		bool at_start;
		const char *why;
		const char *help;
	} others[] = {
		{ "PRIVATE KEY", false, "this is a private key",
		    "consider it compromised: make a new pair, and put the line of the .pub file here" },
		{ "PuTTY-User-Key-File", true, "this is a private key in PuTTY's format",
		    "consider it compromised; PuTTYgen shows the public key \"for pasting into OpenSSH "
		    "authorized_keys file\"" },
		{ "---- BEGIN", true, "this is a public key in the format of RFC 4716",
		    "ssh-keygen -i converts it" },
		{ "-----BEGIN", true, "this is a key in PEM format",
		    "ssh-keygen -i -m PKCS8 converts a public one" },
		{ "ssh-dss ", true, "DSA keys are refused: they are too weak",
		    "make a new one with ssh-keygen -t ed25519" },
		{ "-cert-v01@openssh.com ", false, "certificates are not available in this build",
		    "put the plain public key here" },
		{ "#", true, "this is a comment, not a key", NULL },
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(others); i++) {
		size_t n = strlen(others[i].mark);

		if (others[i].at_start ? strncmp(line, others[i].mark, n) == 0
				       : strstr(line, others[i].mark) != NULL) {
			*ret_why = others[i].why;
			*ret_help = others[i].help;
			return true;
		}
	}
	return false;
}

/* Whether a known type stands later in the line: then something stands before it. */
static bool
has_options(const char *line)
{
	for (const char *p = strchr(line, ' '); p != NULL; p = strchr(p + 1, ' ')) {
		if (ssh_key_known_type(p + 1, strcspn(p + 1, " \t")) != NULL)
			return true;
	}
	return false;
}

static int
refuse(const char **ret_why, const char **ret_help, const char *why, const char *help)
{
	*ret_why = why;
	*ret_help = help;
	return PUBLIC_KEY_E_REFUSED;
}

/* The broker's own reading of it: a key that is taken here is one that a login can be verified with. */
static int
check_blob(const char *type, const struct public_key *key, const char **ret_why, const char **ret_help)
{
	SP_CLEANUP(ssh_key_freep) struct ssh_key *read = NULL;
	struct wire_reader r;
	int outcome;

	wire_reader_init(&r, key->blob, key->len);
	if (!wire_span_is(wire_get_span(&r), type))
		return refuse(ret_why, ret_help, "the key is of another type than the line says",
		    NULL);
	outcome = ssh_key_from_blob(key->blob, key->len, &read);
	if (outcome <= 0)
		return outcome;
	if (outcome == SSH_KEY_E_WEAK)
		return refuse(ret_why, ret_help,
		    "RSA keys below 2048 bits are refused: they are too weak",
		    "make a new one with ssh-keygen -t ed25519");
	if (outcome == SSH_KEY_E_LARGE)
		return refuse(ret_why, ret_help, "RSA keys above 8192 bits are refused", NULL);
	return refuse(ret_why, ret_help, "the key is damaged",
	    "was the line cut off or broken in two when it was pasted?");
}

int
public_key_parse(struct arena *arena, const char *line, struct public_key *ret,
    const char **ret_why, const char **ret_help)
{
	size_t n_type = strcspn(line, " ");
	const char *base64 = line + n_type + (line[n_type] == ' ');
	size_t n_base64 = strcspn(base64, " ");
	const char *type = ssh_key_known_type(line, n_type);
	struct public_key key = { 0 };
	uint8_t *blob;
	int r;

	if (is_something_else(line, ret_why, ret_help))
		return PUBLIC_KEY_E_REFUSED;
	if (type == NULL && has_options(line))
		return refuse(ret_why, ret_help,
		    "options before the key are not available in this build",
		    "what a login may do is said in profiles and rules");
	if (type == NULL)
		return refuse(ret_why, ret_help, "this is not a public key of a known type",
		    "one line of a .pub file: type, base64, comment");
	if (n_base64 / 4 * 3 > PUBLIC_KEY_BLOB_MAX)
		return refuse(ret_why, ret_help, "the key is too long", NULL);
	blob = arena_array(arena, n_base64 / 4 * 3 + 3, 1);
	if (blob == NULL)
		return -ENOMEM;
	if (!decode_base64(base64, n_base64, blob, &key.len))
		return refuse(ret_why, ret_help, "the key is not valid base64",
		    "was the line cut off or broken in two when it was pasted?");
	key.blob = blob;
	r = check_blob(type, &key, ret_why, ret_help);
	if (r < 0)
		arena->failed = true;
	if (r == 0)
		r = make_fingerprint(arena, &key);
	if (r == 0)
		*ret = key;
	return r;
}
