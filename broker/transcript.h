/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange hash (RFC 4253 section 8), computed by the broker over a transcript that it has
 * checked. A broker that signs a hash which somebody else computed can be made to replay a recorded
 * login; this one signs only what belongs to this connection.
 */
#ifndef SP_TRANSCRIPT_H
#define SP_TRANSCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "ipc.h"
#include "kexinit.h"
#include "wire.h"

#define TRANSCRIPT_HASH_MAX 64

struct host_key;
struct host_key_set;

/* What one connection has shown so far. All zero at first. */
struct transcript_state {
	uint8_t session_id[TRANSCRIPT_HASH_MAX];
	size_t session_id_len; /* 0: no exchange yet */
	uint8_t client_version[KEXINIT_VERSION_MAX];
	size_t client_version_len;
	const struct host_key *host_key; /* of the first exchange */
};

/*
 * Check the transcript of one key exchange and hash it.
 *
 *   V_S is our version string with this connection's nonce; K_S is the host key that signs with
 *   algorithm; algorithm is the one that I_C and I_S negotiate; the exchange's hash is known and not
 *   SHA-1. In a rekey also: V_C is the same, and I_C has no name that clients send only in their
 *   first KEXINIT, so that the signature is of no use for somebody else's first exchange.
 *
 * e, f and K, and whatever a future exchange puts there, stay opaque.
 *
 * NULL with the key, the hash and its length; the first one has become the session id. Otherwise the
 * reason, static; *s is as it was.
 */
SP_MUST_CHECK const char *transcript_check(struct transcript_state *s,
    const struct host_key_set *keys, const uint8_t nonce[IPC_NONCE_LEN], const char *algorithm,
    struct wire_span transcript, const struct host_key **ret_key,
    uint8_t ret_hash[TRANSCRIPT_HASH_MAX], size_t *ret_len);

#endif
