/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login proofs: keys and signatures as a client sends them. What is accepted is a signature that was
 * made beforehand with the private half, for this user, algorithm, key, flags and counter; nothing
 * that is only like it.
 *
 * The input: flags (1: the key must verify its user), then an IPC_REQ_AUTH without its id.
 *
 * Covers: userauth_verify put_data verify ssh_key_from_blob ssh_key_fits ssh_key_digest ssh_key_is_sk
 * Covers: ssh_key_verify sk_data read_rsa read_ecdsa read_ed25519 check_rsa rsa_from_numbers
 * Floor: 30
 */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "host_key.h"
#include "ipc_msg.h"
#include "keys_fixture.h"
#include "ssh_key.h"
#include "transcript.h"
#include "userauth.h"

#define USER "alice"

static struct transcript_state state;
static struct host_key_set *host_keys;
static struct signer signers[SP_ARRAY_LEN(signer_types)];

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_strings(data, size, max, seed, 1);
}

/* Keys that are the same each time: inputs of one run mean something in the next. */
static void
load_signers(void)
{
	static const char *const files[] = { "ed25519_pkcs8.pem", "rsa2048_pkcs8.pem",
		"ecdsa256_pkcs8.pem", "ecdsa384_pkcs8.pem", "ecdsa521_pkcs8.pem",
		"ed25519_pkcs8.pem", "ecdsa256_pkcs8.pem" };

	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++)
		signer_load(&signers[i], signer_types[i], files[i]);
}

void
fuzz_setup(void)
{
	char *dir = dir_make();
	const char *const paths[] = { dir_copy(dir, "ed25519", 0600), NULL };
	char why[1024] = "";

	FUZZ_CHECK(host_key_set_load(paths, false, &host_keys, why, sizeof(why)) == 0);
	dir_remove(dir);
	load_signers();
	memset(state.session_id, 0x5a, 32);
	state.session_id_len = 32;
	state.host_key = host_key_set_find(host_keys, "ssh-ed25519");
}

static const struct signer *
signer_of(struct wire_span blob)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		if (wire_span_eq(blob, signers[i].blob, signers[i].blob_len))
			return &signers[i];
	}
	return NULL;
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct transcript_state nothing_yet = { 0 };
	struct fuzz_input in = { data, len };
	bool verify_required = (fuzz_u8(&in) & 1) != 0;
	const struct signer *s;
	struct ipc_req_auth m;
	struct wire_reader r;

	wire_reader_init(&r, in.next, in.left);
	if (ipc_get_req_auth(&r, &m) != 0)
		return;
	FUZZ_CHECK(userauth_verify(&nothing_yet, &m, verify_required) != NULL);
	if (userauth_verify(&state, &m, verify_required) != NULL)
		return;
	/* A good one: then all of it is what was signed. */
	s = signer_of(m.blob);
	FUZZ_CHECK(s != NULL && wire_span_is(m.user, USER));
	if (strcmp(s->type, "ssh-rsa") == 0)
		FUZZ_CHECK(strncmp(m.algorithm, "rsa-sha2-", 9) == 0);
	else
		FUZZ_CHECK(strcmp(m.algorithm, s->type) == 0);
	FUZZ_CHECK(m.sk_counter == s->counter && (m.sk_flags & 1) == (s->flags & 1));
	FUZZ_CHECK(!verify_required || (m.sk_flags & SSH_KEY_SK_VERIFIED) != 0);
}

static void
seed(const struct signer *s, const char *algorithm, const char *method, uint8_t head)
{
	uint8_t data[8192];
	uint8_t sig[FIXTURE_SIG_MAX];
	struct ipc_req_auth m = { .user = { (const uint8_t *)USER, strlen(USER) },
		.blob = { s->blob, s->blob_len },
		.sk_flags = s->flags,
		.sk_counter = s->counter };
	struct wire_writer w;

	wire_writer_init(&w, data, sizeof(data));
	wire_put_str(&w, state.session_id, state.session_id_len);
	wire_put_u8(&w, 50);
	wire_put_cstr(&w, USER);
	wire_put_cstr(&w, "ssh-connection");
	wire_put_cstr(&w, method);
	wire_put_u8(&w, 1);
	wire_put_cstr(&w, algorithm);
	wire_put_str(&w, s->blob, s->blob_len);
	if (strcmp(method, "publickey") != 0)
		wire_put_str(&w, host_key_blob(state.host_key).data,
		    host_key_blob(state.host_key).len);
	m.signature = (struct wire_span){ sig, signer_sign(s, algorithm, w.data, w.len, sig) };
	(void)snprintf(m.algorithm, sizeof(m.algorithm), "%s", algorithm);
	FUZZ_CHECK(head == 1 || userauth_verify(&state, &m, false) == NULL);
	wire_writer_init(&w, data, sizeof(data));
	ipc_put_req_auth(&w, &m);
	data[0] = head; /* in the id's place */
	fuzz_seed(data, w.len);
}

void
fuzz_seeds(void)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		const char *algorithm = signer_algorithm(&signers[i]);

		seed(&signers[i], algorithm, "publickey", 0);
		seed(&signers[i], algorithm, "publickey-hostbound-v00@openssh.com", 0);
		seed(&signers[i], algorithm, "publickey", 1);
	}
	seed(&signers[1], "rsa-sha2-256", "publickey", 0);
	signers[5].flags = 5; /* verified */
	seed(&signers[5], signer_algorithm(&signers[5]), "publickey", 1);
	signers[5].flags = 1;
}
