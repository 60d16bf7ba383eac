/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys as lines of the policy, and as blobs. A line that the policy takes is a key that the
 * broker can verify with: nobody finds out at the first login that a key was none.
 *
 * Covers: public_key_parse decode_base64 check_blob check_rsa ssh_key_known_type
 * Covers: ssh_key_from_blob read_rsa read_ecdsa read_ed25519 is_number
 * Floor: 48
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "public_key.h"
#include "ssh_key.h"

void
fuzz_setup(void)
{
}

/* What a key of the type that the line names signs with. */
static const char *
algorithm_of(const char *line)
{
	const char *type = ssh_key_known_type(line, strcspn(line, " "));

	FUZZ_CHECK(type != NULL);
	return strcmp(type, "ssh-rsa") == 0 ? "rsa-sha2-512" : type;
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	SP_CLEANUP(ssh_key_freep) struct ssh_key *key = NULL;
	struct arena arena = { 0 };
	struct public_key line = { 0 };
	const char *why = NULL;
	const char *help = NULL;
	char *text = malloc(len + 1);
	int r;

	FUZZ_CHECK(text != NULL);
	memcpy(text, data, len);
	text[len] = '\0';
	r = public_key_parse(&arena, text, &line, &why, &help);
	FUZZ_CHECK(r == 0 || (r == PUBLIC_KEY_E_REFUSED && why != NULL));
	if (r == 0) {
		FUZZ_CHECK(line.len > 0 && line.len <= PUBLIC_KEY_BLOB_MAX);
		FUZZ_CHECK(strncmp(line.fingerprint, "SHA256:", 7) == 0);
		FUZZ_CHECK(ssh_key_from_blob(line.blob, line.len, &key) == 0);
		FUZZ_CHECK(ssh_key_fits(key, algorithm_of(text)));
	} else if (ssh_key_from_blob(data, len, &key) == 0) {
		FUZZ_CHECK(!ssh_key_fits(key, "ssh-rsa"));
	}
	free(text);
	arena_clear(&arena);
}

void
fuzz_seeds(void)
{
	fuzz_seed_files("keys", ".pub", NULL, 0);
}
