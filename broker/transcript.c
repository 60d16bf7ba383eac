/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking and hashing a key exchange. Runs in the broker. The transcript is hostile: a worker that has
 * been taken over writes it as it likes, to get a signature that is of use elsewhere.
 */
#include "transcript.h"

#include <openssl/evp.h>
#include <string.h>

#include "host_key.h"
#include "kexinit.h"
#include "ssh_version.h"

#define OPAQUE_MIN       40 /* e, f and K of the smallest exchange, with room below it */
#define NAME_MAX_LEN     64
#define SERVER_NAMES_MAX 64 /* in a list: it is our own libssh's */

/* Every exchange that may be used, with its hash. What is not here, SHA-1 above all, is refused. */
static const struct {
	const char *name;
	const EVP_MD *(*digest)(void);
} exchanges[] = {
	{ "curve25519-sha256", EVP_sha256 },
	{ "curve25519-sha256@libssh.org", EVP_sha256 },
	{ "ecdh-sha2-nistp256", EVP_sha256 },
	{ "ecdh-sha2-nistp384", EVP_sha384 },
	{ "ecdh-sha2-nistp521", EVP_sha512 },
	{ "diffie-hellman-group14-sha256", EVP_sha256 },
	{ "diffie-hellman-group16-sha512", EVP_sha512 },
	{ "diffie-hellman-group18-sha512", EVP_sha512 },
	{ "sntrup761x25519-sha512", EVP_sha512 },
	{ "sntrup761x25519-sha512@openssh.com", EVP_sha512 },
	{ "mlkem768x25519-sha256", EVP_sha256 },
};

/* RFC 4253 section 7.1: the client's first name that the server has too. "" when there is none. */
static void
negotiate(struct wire_span client, struct wire_span server, char out[NAME_MAX_LEN + 1])
{
	out[0] = '\0';
	while (client.len > 0) {
		struct wire_span name = kexinit_next_name(&client);

		if (name.len == 0 || name.len > NAME_MAX_LEN || !kexinit_list_has(server, name))
			continue;
		memcpy(out, name.data, name.len);
		out[name.len] = '\0';
		return;
	}
}

static const EVP_MD *
digest_of(const char *exchange)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(exchanges); i++) {
		if (strcmp(exchanges[i].name, exchange) == 0)
			return exchanges[i].digest();
	}
	return NULL;
}

struct transcript {
	struct wire_span client_version;
	struct wire_span server_version;
	struct kexinit client;
	struct kexinit server;
	struct wire_span host_key;
};

static const char *
read_transcript(struct wire_span text, struct transcript *ret)
{
	struct wire_span client;
	struct wire_span server;
	struct wire_reader r;

	wire_reader_init(&r, text.data, text.len);
	ret->client_version = wire_get_span(&r);
	ret->server_version = wire_get_span(&r);
	client = wire_get_span(&r);
	server = wire_get_span(&r);
	ret->host_key = wire_get_span(&r);
	if (r.failed || r.left < OPAQUE_MIN)
		return "the transcript is malformed";
	if (!kexinit_read(client, KEXINIT_CLIENT_NAMES_MAX, &ret->client))
		return "the client's KEXINIT is malformed";
	if (!kexinit_read(server, SERVER_NAMES_MAX, &ret->server))
		return "the server's KEXINIT is malformed";
	return NULL;
}

static const char *
check_rekey(const struct transcript_state *s, struct wire_span version, const struct kexinit *client)
{
	if (!wire_span_eq(version, s->client_version, s->client_version_len))
		return "rekey with another client version";
	if (kexinit_is_first(version, client))
		return "rekey with the KEXINIT of a first exchange";
	return NULL;
}

static const char *
check_versions(const uint8_t nonce[IPC_NONCE_LEN], const struct transcript *t)
{
	char expected[SSH_VERSION_MAX + 16] = "SSH-2.0-";

	ssh_version_format(nonce, expected + strlen(expected));
	if (!wire_span_is(t->server_version, expected))
		return "the server version is not this connection's";
	if (!kexinit_is_version(t->client_version))
		return "the client version is not one";
	return NULL;
}

/*
 * What client and server lists come to. I_S is the worker's to choose, and that is harmless: a client
 * hashes the I_S that it received, so the signature is of use only towards a client that was sent this
 * very list, and such a client has negotiated what is computed here. Whatever the list says, an
 * algorithm passes only when the client offered it and the tables of the broker have it.
 */
static const char *
check_algorithms(const struct transcript *t, const char *algorithm, const EVP_MD **ret)
{
	char name[NAME_MAX_LEN + 1];

	negotiate(t->client.host_key_algorithms, t->server.host_key_algorithms, name);
	if (strcmp(name, algorithm) != 0)
		return "the algorithm is not the negotiated one";
	negotiate(t->client.exchanges, t->server.exchanges, name);
	*ret = digest_of(name);
	return *ret != NULL ? NULL : "the key exchange is not one that is allowed";
}

/* The first exchange names the connection for good. */
static void
adopt(struct transcript_state *s, const struct transcript *t, const struct host_key *key,
    const uint8_t *hash, size_t len)
{
	memcpy(s->session_id, hash, len);
	s->session_id_len = len;
	memcpy(s->client_version, t->client_version.data, t->client_version.len);
	s->client_version_len = t->client_version.len;
	s->host_key = key;
}

const char *
transcript_check(struct transcript_state *s, const struct host_key_set *keys,
    const uint8_t nonce[IPC_NONCE_LEN], const char *algorithm, struct wire_span transcript,
    const struct host_key **ret_key, uint8_t ret_hash[TRANSCRIPT_HASH_MAX], size_t *ret_len)
{
	const struct host_key *key = host_key_set_find(keys, algorithm);
	uint8_t hash[EVP_MAX_MD_SIZE];
	struct transcript t;
	const EVP_MD *md = NULL;
	const char *why;
	unsigned len = 0;

	_Static_assert(sizeof(hash) <= TRANSCRIPT_HASH_MAX, "a hash does not fit");
	if (key == NULL)
		return "no host key for this algorithm";
	why = read_transcript(transcript, &t);
	if (why == NULL)
		why = check_versions(nonce, &t);
	if (why == NULL && !wire_span_eq(t.host_key, host_key_blob(key).data, host_key_blob(key).len))
		why = "the host key in the transcript is not the one that signs";
	if (why == NULL)
		why = check_algorithms(&t, algorithm, &md);
	if (why == NULL && s->session_id_len != 0)
		why = check_rekey(s, t.client_version, &t.client);
	if (why != NULL)
		return why;
	if (EVP_Digest(transcript.data, transcript.len, hash, &len, md, NULL) != 1)
		return "out of memory";
	if (s->session_id_len == 0)
		adopt(s, &t, key, hash, len);
	memcpy(ret_hash, hash, len);
	*ret_len = len;
	*ret_key = key;
	return NULL;
}
