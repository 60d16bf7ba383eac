/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private key files, in OpenSSH's format and as PEM: a key of a type that we have, or a reason.
 *
 * Covers: host_key_file_parse host_key_file_type host_key_file_put_public
 * Floor: 60
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "host_key_file.h"
#include "ssh_key.h"

void
fuzz_setup(void)
{
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	uint8_t blob[HOST_KEY_BLOB_MAX];
	EVP_PKEY *pkey = NULL;
	struct wire_writer w;
	char why[512] = "";
	char *text;
	int r;

	if (len > HOST_KEY_FILE_MAX)
		return;
	text = malloc(len + 1);
	FUZZ_CHECK(text != NULL);
	memcpy(text, data, len);
	text[len] = '\0';
	r = host_key_file_parse(text, len, &pkey, why, sizeof(why));
	FUZZ_CHECK((r == 0) == (pkey != NULL) && (r == 0) == (why[0] == '\0'));
	if (r == 0 && host_key_file_type(pkey) != NULL) {
		wire_writer_init(&w, blob, sizeof(blob));
		host_key_file_put_public(&w, pkey);
	}
	EVP_PKEY_free(pkey);
	free(text);
}

void
fuzz_seeds(void)
{
	/* Everything in the folder that is no public line: they have "-----BEGIN" in common. */
	static const char *const names[] = { "ed25519", "ecdsa256", "ecdsa384", "ecdsa521",
		"rsa2048", "rsa1024", "dsa", "encrypted_ed25519" };

	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		char path[64] = "keys/";
		size_t len;
		char *text;

		strcat(path, names[i]);
		text = fuzz_read_data(path, &len);
		fuzz_seed(text, len);
		free(text);
	}
	fuzz_seed_files("keys", ".pem", NULL, 0);
}
