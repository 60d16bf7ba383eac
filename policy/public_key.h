/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys as people paste them: "type base64 comment", one line of an authorized_keys file. */
#ifndef SP_PUBLIC_KEY_H
#define SP_PUBLIC_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "attr.h"

#define PUBLIC_KEY_BLOB_MAX 16384

struct public_key {
	const uint8_t *blob; /* owned by the arena, as is the fingerprint */
	size_t len;
	const char *fingerprint; /* "SHA256:..." as ssh-keygen prints it */
};

/* "SHA256:" and 43 characters of base64, as ssh-keygen prints it. */
#define PUBLIC_KEY_FINGERPRINT_LEN 50
bool public_key_fingerprint_valid(const char *text);
/* That of blob[len], whatever the bytes are. False: out of memory, and out is "". */
bool public_key_fingerprint(const void *blob, size_t len, char out[PUBLIC_KEY_FINGERPRINT_LEN + 1]);

/* The line is no key that we take: *ret_why is a sentence about it, *ret_help one more or NULL. */
#define PUBLIC_KEY_E_REFUSED 1

/* 0, PUBLIC_KEY_E_REFUSED or -ENOMEM. */
SP_MUST_CHECK int public_key_parse(struct arena *arena, const char *line, struct public_key *ret,
    const char **ret_why, const char **ret_help);

#endif
