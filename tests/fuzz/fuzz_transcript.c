/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key exchanges of one connection, one after another, each with a transcript that a hostile worker
 * wrote. A signature is given only for the hash of the whole transcript, which names this connection
 * and the key that signs; the first one fixes session id and client version for good; a refusal
 * changes nothing.
 *
 * The input is a row of exchanges: algorithm, flags, u16 length, then V_C V_S I_C I_S K_S as strings
 * and the rest. Flags 1 and 2 put our version and the right host key in, so that what lies behind them
 * is reached.
 *
 * Covers: transcript_check read_transcript read_kexinit check_versions check_algorithms check_rekey
 * Covers: negotiate next_name list_has adopt digest_of host_key_set_find host_key_sign signs_with
 * Floor: 44
 */
#include <openssl/evp.h>
#include <string.h>

#include "fuzz.h"
#include "host_key.h"
#include "keys_fixture.h"
#include "ssh_version.h"
#include "transcript.h"

#define HEAD          4
#define EXCHANGES_MAX 8
#define OWN_VERSION   1
#define OWN_HOST_KEY  2

static const uint8_t nonce[IPC_NONCE_LEN] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const char *const algorithms[] = { "ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256",
	"ecdsa-sha2-nistp256", "ssh-rsa", "" };
static const char *const digests[] = { "SHA256", "SHA384", "SHA512" };
static struct host_key_set *keys;
static char version[SSH_VERSION_MAX + 16] = "SSH-2.0-";

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	size_t first;

	/* Half of the time within the first exchange, field by field. */
	if (seed % 2 == 0 || size < HEAD)
		return fuzz_mutate_records(data, size, max, seed / 2, HEAD);
	first = HEAD + ((size_t)data[2] << 8 | data[3]);
	if (first < size)
		return fuzz_mutate_records(data, size, max, seed / 2, HEAD);
	size = fuzz_mutate_strings(data, size, max, seed / 2, HEAD);
	if (size >= HEAD && size - HEAD <= UINT16_MAX) {
		data[2] = (uint8_t)((size - HEAD) >> 8);
		data[3] = (uint8_t)(size - HEAD);
	}
	return size;
}

void
fuzz_setup(void)
{
	char *dir = dir_make();
	const char *const paths[] = { dir_copy(dir, "ed25519", 0600),
		dir_copy(dir, "rsa2048", 0600), dir_copy(dir, "ecdsa256", 0600), NULL };
	char why[1024] = "";

	FUZZ_CHECK(host_key_set_load(paths, false, &keys, why, sizeof(why)) == 0);
	dir_remove(dir);
	ssh_version_format(nonce, version + strlen(version));
}

/* The transcript with our own values in the places that the flags name. */
static size_t
compose(const char *algorithm, uint8_t flags, struct fuzz_input *in, uint8_t *out, size_t cap)
{
	const struct host_key *key = host_key_set_find(keys, algorithm);
	struct wire_reader r;
	struct wire_writer w;

	wire_reader_init(&r, in->next, in->left);
	wire_writer_init(&w, out, cap);
	for (unsigned i = 0; i < 5 && !r.failed; i++) {
		struct wire_span s = wire_get_span(&r);

		if (i == 1 && (flags & OWN_VERSION) != 0)
			s = (struct wire_span){ (const uint8_t *)version, strlen(version) };
		if (i == 4 && (flags & OWN_HOST_KEY) != 0 && key != NULL)
			s = host_key_blob(key);
		if (!r.failed)
			wire_put_str(&w, s.data, s.len);
	}
	if (r.failed) /* then as it is */
		wire_writer_init(&w, out, cap);
	wire_put_bytes(&w, r.failed ? in->next : r.next, r.failed ? in->left : r.left);
	return w.failed ? 0 : w.len;
}

/* The fields that matter, read anew. */
static void
check_fields(const struct transcript_state *s, const char *algorithm, struct wire_span t)
{
	struct wire_reader r;
	struct wire_span field;

	wire_reader_init(&r, t.data, t.len);
	field = wire_get_span(&r);
	FUZZ_CHECK(wire_span_eq(field, s->client_version, s->client_version_len));
	FUZZ_CHECK(field.len > 8 && memcmp(field.data, "SSH-2.0-", 8) == 0);
	FUZZ_CHECK(wire_span_is(wire_get_span(&r), version));
	for (unsigned i = 0; i < 2; i++) {
		field = wire_get_span(&r);
		FUZZ_CHECK(field.len > 17 && field.data[0] == 20);
		FUZZ_CHECK(memmem(field.data, field.len, algorithm, strlen(algorithm)) != NULL);
	}
	field = wire_get_span(&r);
	FUZZ_CHECK(wire_span_eq(field, host_key_blob(host_key_set_find(keys, algorithm)).data,
	    host_key_blob(host_key_set_find(keys, algorithm)).len));
	FUZZ_CHECK(!r.failed && r.left > 0);
}

static void
check_hash(struct wire_span t, const uint8_t *hash, size_t len)
{
	uint8_t own[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	for (size_t i = 0; i < SP_ARRAY_LEN(digests); i++) {
		FUZZ_CHECK(
		    EVP_Digest(t.data, t.len, own, &n, EVP_get_digestbyname(digests[i]), NULL) == 1);
		if (n == len && memcmp(own, hash, n) == 0)
			return;
	}
	fuzz_broken(__FILE__, __LINE__, "what is signed is a hash of the whole transcript");
}

static void
exchange(struct transcript_state *s, const char *algorithm, struct wire_span t)
{
	struct transcript_state before = *s;
	uint8_t hash[TRANSCRIPT_HASH_MAX];
	uint8_t sig[HOST_KEY_SIG_MAX];
	const struct host_key *key = NULL;
	size_t len = 0;
	size_t sig_len;
	const char *why = transcript_check(s, keys, nonce, algorithm, t, &key, hash, &len);

	if (why != NULL) {
		FUZZ_CHECK(memcmp(&before, s, sizeof(before)) == 0);
		return;
	}
	FUZZ_CHECK(key == host_key_set_find(keys, algorithm) && key != NULL);
	check_fields(s, algorithm, t);
	check_hash(t, hash, len);
	if (before.session_id_len != 0)
		FUZZ_CHECK(memcmp(&before, s, sizeof(before)) == 0);
	else
		FUZZ_CHECK(s->session_id_len == len && memcmp(s->session_id, hash, len) == 0 &&
		    s->host_key == key);
	FUZZ_CHECK(host_key_sign(key, algorithm, hash, len, sig, &sig_len) == 0);
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	static uint8_t buf[1 << 16];
	struct fuzz_input in = { data, len };
	struct transcript_state s;

	memset(&s, 0, sizeof(s));
	for (unsigned i = 0; i < EXCHANGES_MAX && in.left > 0; i++) {
		const char *algorithm = algorithms[fuzz_u8(&in) % SP_ARRAY_LEN(algorithms)];
		uint8_t flags = fuzz_u8(&in);
		uint32_t n = fuzz_u16(&in);
		struct fuzz_input body;

		body.next = fuzz_bytes(&in, n, &body.left);
		exchange(&s, algorithm,
		    (struct wire_span){ buf, compose(algorithm, flags, &body, buf, sizeof(buf)) });
	}
}

static size_t
put_exchange(uint8_t *out, size_t cap, uint8_t algorithm, const char *client, const char *exchanges)
{
	struct exchange e = { .client_version = client,
		.server_version = "SSH-2.0-x",
		.client_exchanges = exchanges,
		.client_algorithms = "ssh-ed25519,rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256",
		.server_exchanges = "curve25519-sha256,ecdh-sha2-nistp384,sntrup761x25519-sha512,"
				    "diffie-hellman-group1-sha1",
		.server_algorithms = algorithms[algorithm],
		.host_key = { (const uint8_t *)"key", 3 } };
	size_t n = exchange_put(&e, out + HEAD, cap - HEAD);

	out[0] = algorithm;
	out[1] = OWN_VERSION | OWN_HOST_KEY;
	out[2] = (uint8_t)(n >> 8);
	out[3] = (uint8_t)n;
	return n + HEAD;
}

void
fuzz_seeds(void)
{
	static const char *const clients[] = { "SSH-2.0-OpenSSH_9.9", "SSH-2.0-dropbear_2022.83" };
	static const char *const lists[] = { "curve25519-sha256,ext-info-c", "ecdh-sha2-nistp384",
		"nonsense,sntrup761x25519-sha512", "diffie-hellman-group1-sha1" };
	uint8_t buf[8192];

	for (uint8_t a = 0; a < SP_ARRAY_LEN(algorithms); a++)
		fuzz_seed(buf, put_exchange(buf, sizeof(buf), a, clients[0], lists[a % 4]));
	/* A rekey after the first; with the first's own list; by another client. */
	for (unsigned i = 0; i < 3; i++) {
		size_t n = put_exchange(buf, sizeof(buf), 0, clients[0], lists[0]);

		n += put_exchange(buf + n, sizeof(buf) - n, (uint8_t)i, clients[i == 2],
		    lists[i == 0]);
		fuzz_seed(buf, n);
	}
}
