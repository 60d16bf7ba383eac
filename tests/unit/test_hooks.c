/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests: the interposed functions of OpenSSL, and the keys without a secret that lead libssh to them.
 * Called here as libssh calls them.
 */
#include "test.h"

#include <errno.h>
#include <libssh/server.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "dummy_key.h"
#include "hooks.h"
#include "wire.h"

#define TRANSCRIPT_LEN 600

static uint8_t transcript[TRANSCRIPT_LEN];

static struct {
	unsigned calls;
	char algorithm[IPC_ALGO_MAX + 1];
	uint8_t seen[TRANSCRIPT_LEN];
	size_t seen_len;
	bool refuse;
} signer;

static bool
sign(void *arg, const char *algorithm, const void *data, size_t len, uint8_t *sig, size_t *sig_len)
{
	static const uint8_t answer[] = { 's', 'i', 'g' };

	assert_ptr_equal(arg, &signer);
	signer.calls++;
	if (signer.refuse)
		return false;
	assert_true(len <= sizeof(signer.seen) && *sig_len >= 3);
	(void)strncpy(signer.algorithm, algorithm, IPC_ALGO_MAX);
	memcpy(signer.seen, data, len);
	signer.seen_len = len;
	memcpy(sig, answer, sizeof(answer));
	*sig_len = 3;
	return true;
}

static int
set_up(void **state)
{
	static const uint8_t version[] = { 'S', 'S', 'H', '-', '2', '.', '0', '-' };
	struct hooks_signature left;

	(void)state;
	for (size_t i = 0; i < sizeof(transcript); i++)
		transcript[i] = (uint8_t)i;
	memcpy(transcript + 4, version, sizeof(version));
	memset(&signer, 0, sizeof(signer));
	while (hooks_take_signature(&left))
		;
	hooks_enable(sign, &signer);
	return 0;
}

static EVP_PKEY *
new_key(int type)
{
	EVP_PKEY *key = NULL;

	if (type == EVP_PKEY_RSA)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	else if (type == EVP_PKEY_EC)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(key);
	return key;
}

static void
hash(const void *data, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	assert_int_equal(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL), 1);
	assert_int_equal(EVP_DigestUpdate(ctx, data, len), 1);
	EVP_MD_CTX_free(ctx);
}

/* As libssh signs an exchange hash. */
static int
sign_hash(EVP_PKEY *key, const EVP_MD *md, uint8_t *sig, size_t *sig_len)
{
	static const uint8_t h[32];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
	r = EVP_DigestSign(ctx, sig, sig_len, h, sizeof(h));
	EVP_MD_CTX_free(ctx);
	return r;
}

static int
verify(EVP_PKEY *key, const EVP_MD *md, const void *sig, size_t sig_len, const void *data, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r;

	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, md, NULL, key), 1);
	r = EVP_DigestVerify(ctx, sig, sig_len, data, len);
	EVP_MD_CTX_free(ctx);
	return r;
}

/* Before they are enabled, OpenSSL's own functions run: the library may test itself. */
static void
test_not_enabled(void **state)
{
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	uint8_t sig[64];
	size_t len = sizeof(sig);
	struct hooks_signature left;

	(void)state;
	hooks_enable(NULL, NULL);
	assert_int_equal(sign_hash(key, NULL, sig, &len), 1);
	assert_int_equal(len, 64);
	assert_int_equal(verify(key, NULL, sig, len, (const uint8_t[32]){ 0 }, 32), 1);
	sig[0] ^= 1;
	assert_int_not_equal(verify(key, NULL, sig, len, (const uint8_t[32]){ 0 }, 32), 1);
	assert_false(hooks_take_signature(&left));
	EVP_PKEY_free(key);
}

static void
test_sign_asks_with_the_transcript(void **state)
{
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	uint8_t sig[128];
	size_t len = sizeof(sig);

	(void)state;
	hash(transcript, sizeof(transcript));
	assert_int_equal(sign_hash(key, NULL, sig, &len), 1);
	assert_int_equal(len, 3);
	assert_memory_equal(sig, "sig", 3);
	assert_string_equal(signer.algorithm, "ssh-ed25519");
	assert_int_equal(signer.seen_len, sizeof(transcript));
	assert_memory_equal(signer.seen, transcript, sizeof(transcript));
	EVP_PKEY_free(key);
}

static void
test_one_signature_for_one_transcript(void **state)
{
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	uint8_t sig[128];
	size_t len = sizeof(sig);

	(void)state;
	assert_int_equal(sign_hash(key, NULL, sig, &len), 0);
	assert_int_equal(signer.calls, 0);
	hash(transcript, sizeof(transcript));
	assert_int_equal(sign_hash(key, NULL, sig, &len), 1);
	len = sizeof(sig);
	assert_int_equal(sign_hash(key, NULL, sig, &len), 0);
	assert_int_equal(signer.calls, 1);
	EVP_PKEY_free(key);
}

static void
test_refused_signature(void **state)
{
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	uint8_t sig[128];
	size_t len = sizeof(sig);

	(void)state;
	signer.refuse = true;
	hash(transcript, sizeof(transcript));
	assert_int_equal(sign_hash(key, NULL, sig, &len), 0);
	assert_int_equal(signer.calls, 1);
	EVP_PKEY_free(key);
}

static void
test_algorithm_follows_key_and_digest(void **state)
{
	EVP_PKEY *rsa = new_key(EVP_PKEY_RSA);
	EVP_PKEY *ec = new_key(EVP_PKEY_EC);
	uint8_t sig[512];
	size_t len = sizeof(sig);

	(void)state;
	hash(transcript, sizeof(transcript));
	assert_int_equal(sign_hash(rsa, EVP_sha256(), sig, &len), 1);
	assert_string_equal(signer.algorithm, "rsa-sha2-256");
	len = sizeof(sig);
	hash(transcript, sizeof(transcript));
	assert_int_equal(sign_hash(rsa, EVP_sha512(), sig, &len), 1);
	assert_string_equal(signer.algorithm, "rsa-sha2-512");
	len = sizeof(sig);
	hash(transcript, sizeof(transcript));
	assert_int_equal(sign_hash(ec, EVP_sha384(), sig, &len), 1);
	assert_string_equal(signer.algorithm, "ecdsa-sha2-nistp384");
	/* SHA-1 is no algorithm of ours */
	len = sizeof(sig);
	hash(transcript, sizeof(transcript));
	assert_int_equal(sign_hash(rsa, EVP_sha1(), sig, &len), 0);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

static void
test_what_is_no_transcript(void **state)
{
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	uint8_t other[TRANSCRIPT_LEN];
	uint8_t sig[128];
	size_t len = sizeof(sig);

	(void)state;
	memcpy(other, transcript, sizeof(other));
	other[11] = '_';
	hash(other, sizeof(other));
	hash(transcript, 400);
	hash(transcript, 12);
	hash(transcript, 1);
	assert_int_equal(sign_hash(key, NULL, sig, &len), 0);
	assert_int_equal(signer.calls, 0);
	EVP_PKEY_free(key);
}

/* The verdict is the broker's: here everything is remembered, in order, up to a ceiling. */
static void
test_signatures_queue_in_order(void **state)
{
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	struct hooks_signature s;
	uint8_t sig[8] = { 0 };

	(void)state;
	for (uint8_t i = 0; i < 4; i++) {
		sig[0] = i;
		assert_int_equal(verify(key, NULL, sig, (size_t)i + 1, "data", 4), 1);
	}
	assert_int_equal(verify(key, NULL, sig, sizeof(sig), "data", 4), 0);
	for (uint8_t i = 0; i < 4; i++) {
		assert_true(hooks_take_signature(&s));
		assert_int_equal(s.len, (size_t)i + 1);
		assert_int_equal(s.value[0], i);
		assert_false(s.rsa_sha512);
	}
	assert_false(hooks_take_signature(&s));
	EVP_PKEY_free(key);
}

static void
test_signature_bounds(void **state)
{
	static uint8_t big[IPC_SIG_MAX + 1];
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	struct hooks_signature s;

	(void)state;
	assert_int_equal(verify(key, NULL, big, sizeof(big), "data", 4), 0);
	assert_false(hooks_take_signature(&s));
	assert_int_equal(verify(key, NULL, big, IPC_SIG_MAX, "data", 4), 1);
	assert_true(hooks_take_signature(&s));
	assert_int_equal(s.len, IPC_SIG_MAX);
	EVP_PKEY_free(key);
}

static void
test_signature_details(void **state)
{
	EVP_PKEY *rsa = new_key(EVP_PKEY_RSA);
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);
	struct hooks_signature s;
	uint8_t sk[69] = { 0 };

	(void)state;
	assert_int_equal(verify(rsa, EVP_sha512(), "x", 1, "data", 4), 1);
	assert_int_equal(verify(rsa, EVP_sha256(), "x", 1, "data", 4), 1);
	sk[32] = 5;
	sk[33] = 1;
	sk[36] = 2;
	assert_int_equal(verify(key, NULL, "x", 1, sk, sizeof(sk)), 1);
	assert_int_equal(verify(key, NULL, "x", 1, sk, sizeof(sk) - 1), 1);
	assert_true(hooks_take_signature(&s));
	assert_true(s.rsa_sha512);
	assert_true(hooks_take_signature(&s));
	assert_false(s.rsa_sha512);
	assert_true(hooks_take_signature(&s));
	assert_int_equal(s.sk_flags, 5);
	assert_int_equal(s.sk_counter, 0x01000002);
	assert_true(hooks_take_signature(&s));
	assert_int_equal(s.sk_flags, 0);
	assert_int_equal(s.sk_counter, 0);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(key);
}

static void
test_interposed(void **state)
{
	char why[256] = "";

	(void)state;
	if (!hooks_in_place(why, sizeof(why)))
		fail_msg("%s", why);
}

/* ---- keys without a secret ---- */

static void
put_number(struct wire_writer *w, EVP_PKEY *key, const char *name)
{
	uint8_t bytes[512];
	BIGNUM *n = NULL;
	int len;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	len = BN_bn2bin(n, bytes);
	wire_put_mpint(w, bytes, (size_t)len);
	BN_free(n);
}

/* A public key blob as the broker sends it. */
static size_t
make_blob(int type, uint8_t *out, size_t cap)
{
	EVP_PKEY *key = new_key(type);
	uint8_t bytes[256];
	size_t len = sizeof(bytes);
	struct wire_writer w;

	wire_writer_init(&w, out, cap);
	if (type == EVP_PKEY_RSA) {
		wire_put_cstr(&w, "ssh-rsa");
		put_number(&w, key, "e");
		put_number(&w, key, "n");
	} else if (type == EVP_PKEY_EC) {
		assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", bytes, len, &len), 1);
		wire_put_cstr(&w, "ecdsa-sha2-nistp384");
		wire_put_cstr(&w, "nistp384");
		wire_put_str(&w, bytes, len);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, bytes, &len), 1);
		wire_put_cstr(&w, "ssh-ed25519");
		wire_put_str(&w, bytes, len);
	}
	assert_false(w.failed);
	EVP_PKEY_free(key);
	return w.len;
}

static const int key_types[] = { EVP_PKEY_ED25519, EVP_PKEY_EC, EVP_PKEY_RSA };

static void
test_public_half_survives_the_import(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(key_types); i++) {
		char text[DUMMY_KEY_TEXT_MAX];
		uint8_t blob[1024];
		uint8_t back[1024];
		size_t len = make_blob(key_types[i], blob, sizeof(blob));
		ssh_key key = NULL;
		char *base64 = NULL;

		assert_int_equal(dummy_key_format((struct wire_span){ blob, len }, text), 0);
		assert_int_equal(ssh_pki_import_privkey_base64(text, NULL, NULL, NULL, &key), SSH_OK);
		assert_int_equal(ssh_pki_export_pubkey_base64(key, &base64), SSH_OK);
		assert_int_equal(strlen(base64), (len + 2) / 3 * 4);
		assert_true(
		    EVP_DecodeBlock(back, (uint8_t *)base64, (int)strlen(base64)) >= (int)len);
		assert_memory_equal(back, blob, len);
		ssh_string_free_char(base64);
		ssh_key_free(key);
	}
}

static void
test_bad_blobs(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(key_types); i++) {
		char text[DUMMY_KEY_TEXT_MAX];
		uint8_t blob[1024] = { 0 };
		size_t len = make_blob(key_types[i], blob, sizeof(blob));

		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(dummy_key_format((struct wire_span){ blob, cut }, text),
			    -EINVAL);
		assert_int_equal(dummy_key_format((struct wire_span){ blob, len + 1 }, text),
		    -EINVAL);
	}
}

/* A blob that is larger than any key is refused, not cut. */
static void
test_giant_blob(void **state)
{
	static uint8_t blob[16384];
	static uint8_t number[8000];
	char text[DUMMY_KEY_TEXT_MAX];
	struct wire_writer w;

	(void)state;
	memset(number, 0x7f, sizeof(number));
	wire_writer_init(&w, blob, sizeof(blob));
	wire_put_cstr(&w, "ssh-rsa");
	wire_put_mpint(&w, number, 3);
	wire_put_mpint(&w, number, sizeof(number));
	assert_int_equal(dummy_key_format((struct wire_span){ blob, w.len }, text), -EINVAL);
}

static void
test_seed_leads_to_the_public_half(void **state)
{
	uint8_t seed[32];
	uint8_t public_half[32];
	uint8_t got[32];
	size_t len = sizeof(got);
	EVP_PKEY *key = new_key(EVP_PKEY_ED25519);

	(void)state;
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, public_half, &len), 1);
	EVP_PKEY_free(key);
	memset(seed, 0x5a, sizeof(seed));
	hooks_add_ed25519(seed, public_half);
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	assert_non_null(key);
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, got, &len), 1);
	assert_memory_equal(got, public_half, sizeof(got));
	EVP_PKEY_free(key);
	/* any other seed is an ordinary one */
	seed[0] ^= 1;
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	assert_non_null(key);
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, got, &len), 1);
	assert_memory_not_equal(got, public_half, sizeof(got));
	EVP_PKEY_free(key);
}

/* As libssh takes a text out of a packet: into memory of its own. */
static char *
unpack(char *into, const char *bytes, uint32_t len)
{
	ssh_buffer buffer = ssh_buffer_new();

	assert_non_null(buffer);
	assert_int_equal(ssh_buffer_add_data(buffer, bytes, len), 0);
	assert_int_equal(ssh_buffer_get_data(buffer, into, len), len);
	ssh_buffer_free(buffer);
	return into;
}

static void
test_texts_with_a_nul_inside(void **state)
{
	static alignas(max_align_t) char text[64];
	static alignas(max_align_t) char others[HOOKS_CUT_MAX * 64];

	(void)state;
	assert_false(hooks_text_was_cut(NULL));
	assert_true(hooks_text_was_cut(unpack(text, "rm x\0y", 6)));
	assert_true(hooks_text_was_cut(unpack(text, "\0y", 2)));
	/* the same memory has had another one since, or one that has lost nothing */
	assert_false(hooks_text_was_cut(unpack(text, "rm x", 4)));
	assert_false(hooks_text_was_cut(unpack(text, "rm x\0", 5)));
	assert_false(hooks_text_was_cut(unpack(text, "\0", 1)));
	/* numbers and data lie elsewhere */
	assert_false(hooks_text_was_cut(unpack(text + 4, "a\0b", 3)));
	/* so many are remembered, and no more */
	(void)unpack(text, "a\0b", 3);
	for (unsigned i = 0; i < HOOKS_CUT_MAX - 1; i++)
		assert_true(hooks_text_was_cut(unpack(others + (size_t)i * 64, "a\0b", 3)));
	assert_true(hooks_text_was_cut(text));
	(void)unpack(others + (size_t)(HOOKS_CUT_MAX - 1) * 64, "a\0b", 3);
	assert_false(hooks_text_was_cut(text));
}

/* ---- terminals ---- */

static alignas(max_align_t) char memory[HOOKS_MODES_MAX + 1][64]; /* of the names of terminals */

/* libssh's reads of the packet of a channel request, into memory as libssh has it. */
struct request {
	const char *name;
	uint8_t want_reply;
	char *term; /* where the name of the terminal goes */
	const char *terminal;
	uint32_t modes_len;
	const char *modes;
};

static void
take(ssh_buffer buffer, void *into, uint32_t len)
{
	assert_int_equal(ssh_buffer_get_data(buffer, into, len), len);
}

#define READS 14

/* reads: so many of them, the last ones are left out. */
static void
take_apart(const struct request *q, unsigned reads)
{
	static alignas(max_align_t) char text[256];
	static alignas(max_align_t) char elsewhere[TTY_MODES_MAX + 64];
	uint32_t name_len = (uint32_t)strlen(q->name);
	uint32_t term_len = (uint32_t)strlen(q->terminal);
	const struct {
		void *into;
		uint32_t len;
	} all[] = { { text, 1 }, { text, 1 }, { text, 4 }, { text, 4 }, { text, name_len },
		{ text, 1 }, { text, 4 }, { q->term, term_len }, { text, 4 }, { text, 4 },
		{ text, 4 }, { text, 4 }, { text, 4 }, { elsewhere + 4, q->modes_len } };
	ssh_buffer buffer = ssh_buffer_new();
	uint8_t bytes[TTY_MODES_MAX + 256];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_u8(&w, 4);  /* bytes of padding */
	wire_put_u8(&w, 98); /* SSH_MSG_CHANNEL_REQUEST */
	wire_put_u32(&w, 0);
	wire_put_cstr(&w, q->name);
	wire_put_u8(&w, q->want_reply);
	wire_put_cstr(&w, q->terminal);
	for (uint32_t i = 80; i < 84; i++)
		wire_put_u32(&w, i);
	wire_put_str(&w, q->modes, q->modes_len);
	assert_false(w.failed);
	assert_int_equal(ssh_buffer_add_data(buffer, bytes, (uint32_t)w.len), 0);
	for (unsigned i = 0; i < SP_ARRAY_LEN(all) && i < reads; i++)
		take(buffer, all[i].into, all[i].len);
	ssh_buffer_free(buffer);
}

static void
ask_for_terminal(char *term, const char *terminal, const char *modes, size_t modes_len)
{
	take_apart(&(struct request){ "pty-req", 1, term, terminal, (uint32_t)modes_len, modes },
	    READS);
}

static void
expect_modes(const char *term, const char *modes, size_t len)
{
	uint8_t list[TTY_MODES_MAX];

	assert_int_equal(hooks_take_modes(term, list), len);
	assert_memory_equal(list, modes, len);
	/* once */
	assert_int_equal(hooks_take_modes(term, list), 0);
}

static void
test_modes_of_a_terminal(void **state)
{
	char name[2] = "";

	(void)state;
	expect_modes(NULL, "", 0);
	expect_modes(memory[0], "", 0);
	ask_for_terminal(memory[0], "xterm", "\3\0\0\0\10\0", 6);
	expect_modes(memory[1], "", 0);
	expect_modes(memory[0], "\3\0\0\0\10", 5);
	/* texts of all lengths that mean something in a packet */
	ask_for_terminal(memory[0], "", "\3\0\0\0\10", 5);
	expect_modes(memory[0], "\3\0\0\0\10", 5);
	ask_for_terminal(memory[0], "vt52", "\3\0\0\0\11", 5);
	expect_modes(memory[0], "\3\0\0\0\11", 5);
	ask_for_terminal(memory[0], "pty-req", "\3\0\0\0\12", 5);
	expect_modes(memory[0], "\3\0\0\0\12", 5);
	ask_for_terminal(memory[0], "x", "pty-req", 7);
	expect_modes(memory[0], "", 0);
	/* several that wait, in any order */
	for (unsigned i = 0; i < HOOKS_MODES_MAX; i++) {
		char modes[] = { 3, 0, 0, 0, (char)i };

		name[0] = (char)('A' + i % 26);
		ask_for_terminal(memory[i], name, modes, sizeof(modes));
	}
	for (unsigned i = HOOKS_MODES_MAX; i-- > 0;) {
		char modes[] = { 3, 0, 0, 0, (char)i };

		expect_modes(memory[i], modes, sizeof(modes));
	}
}

/* The memory of one that nobody asked about has the name of another terminal since; and so many are remembered. */
static void
test_modes_of_others(void **state)
{
	(void)state;
	ask_for_terminal(memory[0], "xterm", "\3\0\0\0\10", 5);
	ask_for_terminal(memory[0], "xterm", "\3\0\0\0\11", 5);
	expect_modes(memory[0], "\3\0\0\0\11", 5);
	ask_for_terminal(memory[0], "xterm", "\3\0\0\0\10", 5);
	ask_for_terminal(memory[0], "xterm", "\3\0\0\0", 4);
	expect_modes(memory[0], "", 0);
	for (unsigned i = 0; i <= HOOKS_MODES_MAX; i++)
		ask_for_terminal(memory[i], "xterm", "\3\0\0\0\10", 5);
	expect_modes(memory[0], "", 0);
	for (unsigned i = 1; i <= HOOKS_MODES_MAX; i++)
		expect_modes(memory[i], "\3\0\0\0\10", 5);
}

/* Only the whole of a pty-req counts, and what breaks off leaves nothing for the next one. */
static void
test_modes_of_no_terminal(void **state)
{
	const struct request pty = { "pty-req", 1, memory[0], "xterm", 5, "\3\0\0\0\10" };
	struct request other = pty;

	(void)state;
	other.name = "pty-rex";
	take_apart(&other, READS);
	expect_modes(memory[0], "", 0);
	other.name = "pty-req@";
	take_apart(&other, READS);
	expect_modes(memory[0], "", 0);
	for (unsigned reads = 0; reads < READS; reads++) {
		take_apart(&pty, reads);
		expect_modes(memory[0], "", 0);
		other.name = "env";
		take_apart(&other, READS);
		expect_modes(memory[0], "", 0);
		take_apart(&pty, reads);
		take_apart(&pty, READS);
		expect_modes(memory[0], "\3\0\0\0\10", 5);
	}
}

/* ---- sessions ---- */

#define OPEN    90
#define GLOBAL  80
#define REQUEST 98
#define NO_MORE "no-more-sessions@openssh.com"

/* A packet with a text behind its type, and a byte behind that. */
static void
take_packet(uint8_t type, const char *first, uint32_t len, uint8_t behind)
{
	static alignas(max_align_t) char text[256];
	ssh_buffer buffer = ssh_buffer_new();
	uint8_t bytes[256];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_u8(&w, 4);
	wire_put_u8(&w, type);
	wire_put_str(&w, first, len);
	wire_put_u8(&w, behind);
	assert_int_equal(ssh_buffer_add_data(buffer, bytes, (uint32_t)w.len), 0);
	take(buffer, text, 1);
	take(buffer, text, 1);
	take(buffer, text, 4);
	take(buffer, text, len);
	take(buffer, text, 1);
	ssh_buffer_free(buffer);
}

#define TAKE_PACKET(type, first, behind) take_packet(type, first, sizeof(first) - 1, behind)

/* The reply that libssh puts together next. */
static uint8_t
reply_after(uint8_t own)
{
	ssh_buffer buffer = ssh_buffer_new();
	uint8_t got;

	assert_int_equal(ssh_buffer_add_data(buffer, &own, 1), 0);
	assert_int_equal(ssh_buffer_get_len(buffer), 1);
	got = *(const uint8_t *)ssh_buffer_get(buffer);
	ssh_buffer_free(buffer);
	return got;
}

/* For good: so this test is the last one. */
static void
test_no_more_sessions(void **state)
{
	(void)state;
	/* not said yet, whatever looks like it */
	TAKE_PACKET(REQUEST, NO_MORE, 1);
	TAKE_PACKET(OPEN, NO_MORE, 1);
	TAKE_PACKET(GLOBAL, NO_MORE "x", 1);
	assert_int_equal(reply_after(82), 82);
	TAKE_PACKET(GLOBAL, "no-more-sessions", 1);
	assert_int_equal(reply_after(82), 82);
	TAKE_PACKET(OPEN, "session", 0);
	assert_true(hooks_session_allowed());
	/* two were read before it, and one after it; and once said is said */
	TAKE_PACKET(OPEN, "session", 0);
	TAKE_PACKET(OPEN, "session\0 and more", 0);
	TAKE_PACKET(OPEN, "sessions", 0);
	TAKE_PACKET(OPEN, "direct-tcpip", 0);
	TAKE_PACKET(REQUEST, "session", 0);
	TAKE_PACKET(GLOBAL, NO_MORE, 0);
	assert_int_equal(reply_after(82), 82);
	TAKE_PACKET(OPEN, "session", 0);
	TAKE_PACKET(GLOBAL, NO_MORE "\0", 1);
	assert_true(hooks_session_allowed());
	assert_true(hooks_session_allowed());
	assert_false(hooks_session_allowed());
	assert_false(hooks_session_allowed());
	/* the reply, of this release of libssh and of later ones, and nothing else */
	assert_int_equal(reply_after(82), 81);
	assert_int_equal(reply_after(82), 82);
	TAKE_PACKET(GLOBAL, NO_MORE, 1);
	assert_int_equal(reply_after(81), 81);
	assert_int_equal(reply_after(82), 82);
	TAKE_PACKET(GLOBAL, NO_MORE, 1);
	assert_int_equal(reply_after(94), 94);
	assert_int_equal(reply_after(82), 82);
}

/* ---- requests to log in ---- */

#define LOGIN 50

/* Whether libssh reads the method as it was sent. algorithm NULL: nothing follows; signature NULL: it is an offer. */
static bool
reads_method(const char *method, const char *algorithm, const char *type, const char *signature)
{
	static alignas(max_align_t) char text[256];
	ssh_buffer buffer = ssh_buffer_new();
	uint8_t bytes[512];
	uint8_t inner[128];
	uint64_t before = hooks_login_requests();
	struct wire_writer w;
	struct wire_writer v;
	bool same;

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_u8(&w, 4);
	wire_put_u8(&w, LOGIN);
	wire_put_cstr(&w, "dev");
	wire_put_cstr(&w, "ssh-connection");
	wire_put_cstr(&w, method);
	if (algorithm != NULL) {
		wire_put_u8(&w, signature != NULL);
		wire_put_cstr(&w, algorithm);
		wire_writer_init(&v, inner, sizeof(inner));
		wire_put_cstr(&v, type);
		wire_put_str(&w, inner, v.len);
		if (strcmp(method, "publickey") != 0)
			wire_put_cstr(&w, "a host key");
		if (signature != NULL) {
			wire_writer_init(&v, inner, sizeof(inner));
			wire_put_cstr(&v, signature);
			wire_put_str(&w, inner, v.len);
		}
	}
	assert_int_equal(ssh_buffer_add_data(buffer, bytes, (uint32_t)w.len), 0);
	take(buffer, text, 1);
	take(buffer, text, 1);
	take(buffer, text, 4);
	take(buffer, text, 3);
	take(buffer, text, 4);
	take(buffer, text, 14);
	take(buffer, text, 4);
	take(buffer, text, (uint32_t)strlen(method));
	same = memcmp(text, method, strlen(method)) == 0;
	ssh_buffer_free(buffer);
	assert_int_equal(hooks_login_requests(), before + 1);
	return same;
}

static void
test_requests_that_libssh_may_read(void **state)
{
	static const char hostbound[] = "publickey-hostbound-v00@openssh.com";

	(void)state;
	hooks_accept_keys("ssh-ed25519,rsa-sha2-256");
	assert_true(reads_method("none", NULL, NULL, NULL));
	assert_true(reads_method("publickey", "ssh-ed25519", "ssh-ed25519", NULL));
	assert_true(reads_method("publickey", "ssh-ed25519", "ssh-ed25519", "ssh-ed25519"));
	assert_true(reads_method("publickey", "rsa-sha2-256", "ssh-rsa", "rsa-sha2-256"));
	assert_true(reads_method(hostbound, "ssh-ed25519", "ssh-ed25519", "ssh-ed25519"));
	/* another method; it breaks off */
	assert_false(reads_method("password", NULL, NULL, NULL));
	assert_false(reads_method("publickey", NULL, NULL, NULL));
	/* algorithms that are not in the list, and a part of one and more than one that are */
	assert_false(reads_method("publickey", "ssh-rsa", "ssh-rsa", NULL));
	assert_false(reads_method("publickey", "rsa-sha2-512", "ssh-rsa", NULL));
	assert_false(reads_method("publickey", "ssh-ed2551", "ssh-ed2551", NULL));
	assert_false(
	    reads_method("publickey", "ssh-ed25519,rsa-sha2-256", "ssh-ed25519,rsa-sha2-256", NULL));
	assert_false(reads_method("publickey", "", "", NULL));
	/* of another type */
	assert_false(reads_method("publickey", "rsa-sha2-256", "rsa-sha2-256", NULL));
	assert_false(reads_method("publickey", "rsa-sha2-256", "ssh-ed25519", NULL));
	assert_false(reads_method("publickey", "ssh-ed25519", "ssh-rsa", NULL));
	assert_false(reads_method("publickey", "ssh-ed25519", "ssh-ed25519", "ssh-rsa"));
	assert_false(reads_method("publickey", "rsa-sha2-256", "ssh-rsa", "ssh-rsa"));
	assert_false(reads_method(hostbound, "ssh-ed25519", "ssh-ed25519", "a host key"));
	hooks_accept_keys(NULL);
}

/* ---- channels that are refused ---- */

struct field {
	const void *data;
	uint32_t len;
};

static struct {
	const struct field *fields;
	size_t n;
	ssh_buffer packet;
} reply;

#define NUMBER(n)             \
	{                     \
		"\0\0\0" n, 4 \
	}

/* ---- replies to global requests ---- */

static struct {
	bool wanted;    /* a reply to the message that is replied to */
	char sent[256]; /* in hexadecimal, with a space behind each packet */
} global;

/* As libssh sends a packet. */
static void
send_fields(const struct field *fields, size_t n)
{
	ssh_buffer packet = ssh_buffer_new();
	size_t at = strlen(global.sent);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(ssh_buffer_add_data(packet, fields[i].data, fields[i].len), 0);
	for (uint32_t i = 0; i < ssh_buffer_get_len(packet); i++, at += 2)
		(void)snprintf(global.sent + at, sizeof(global.sent) - at, "%02x",
		    ((const uint8_t *)ssh_buffer_get(packet))[i]);
	(void)snprintf(global.sent + at, sizeof(global.sent) - at, " ");
	ssh_buffer_free(packet);
}

#define SEND(...)                                          \
	send_fields((const struct field[]){ __VA_ARGS__ }, \
	    sizeof((const struct field[]){ __VA_ARGS__ }) / sizeof(struct field))

#define SUCCESS        \
	{              \
		"Q", 1 \
	}
#define FAILURE        \
	{              \
		"R", 1 \
	}

int
ssh_message_global_request_reply_success(ssh_message msg, uint16_t bound_port)
{
	const uint8_t port[4] = { 0, 0, (uint8_t)(bound_port >> 8), (uint8_t)bound_port };

	(void)msg;
	if (global.wanted)
		SEND(SUCCESS, { port, 4 });
	return SSH_OK;
}

static void
expect_sent(const char *hex)
{
	assert_string_equal(global.sent, hex);
	global.sent[0] = '\0';
}

/* A request that libssh tells of: it reads all of it, and says nothing. */
static void
take_forward(uint8_t want_reply, const char *address)
{
	static alignas(max_align_t) char text[256];
	ssh_buffer buffer = ssh_buffer_new();
	uint8_t bytes[256];
	struct wire_writer w;

	/* it is there before anything of the packet is read */
	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_cstr(&w, address);
	wire_put_u32(&w, 0);
	assert_int_equal(ssh_buffer_add_data(buffer, bytes, (uint32_t)w.len), 0);
	TAKE_PACKET(GLOBAL, "tcpip-forward", want_reply);
	take(buffer, text, 4);
	take(buffer, text, (uint32_t)strlen(address));
	take(buffer, text, 4);
	ssh_buffer_free(buffer);
}

/* One that libssh replies to by itself. */
#define TAKE_AND_REPLY(name, ...)             \
	do {                                  \
		TAKE_PACKET(GLOBAL, name, 1); \
		SEND(__VA_ARGS__);            \
	} while (0)

static void
set_up_replies(void)
{
	global.wanted = true;
	global.sent[0] = '\0';
	reply.packet = NULL;
}

static void
test_replies_in_order(void **state)
{
	(void)state;
	set_up_replies();
	TAKE_AND_REPLY("a", FAILURE);
	TAKE_AND_REPLY("keepalive@openssh.com", SUCCESS);
	expect_sent("52 51 ");
	/* what comes behind one that is not replied to yet says nothing until then */
	take_forward(1, "localhost");
	TAKE_AND_REPLY("keepalive@openssh.com", SUCCESS);
	TAKE_AND_REPLY("a", FAILURE);
	TAKE_AND_REPLY("", FAILURE);
	take_forward(1, "a");
	TAKE_AND_REPLY("a", FAILURE);
	take_forward(1, "");
	expect_sent("0200000000 0200000000 0200000000 0200000000 ");
	assert_int_equal(hooks_withheld_replies(), 4);
	hooks_reply(NULL, true, 0x1234);
	expect_sent("5100001234 51 52 52 ");
	assert_int_equal(hooks_withheld_replies(), 1);
	hooks_reply(NULL, false, 0);
	expect_sent("52 52 ");
	hooks_reply(NULL, true, 1);
	expect_sent("5100000001 ");
	TAKE_AND_REPLY("keepalive@openssh.com", SUCCESS);
	expect_sent("51 ");
	assert_int_equal(hooks_withheld_replies(), 0);
	assert_false(hooks_lost_replies());
}

/* What is no reply of libssh's own: it passes, and takes nobody's place. */
static void
test_replies_and_what_is_none(void **state)
{
	(void)state;
	set_up_replies();
	take_forward(1, "localhost");
	take_forward(1, "localhost");
	/* data of channels looks like it, and the next byte on the client's socket */
	SEND(FAILURE);
	SEND(SUCCESS, NUMBER("\1"));
	TAKE_PACKET(GLOBAL, "later libssh tells of it", 1);
	SEND({ "\x5e", 1 }, NUMBER("\1"), FAILURE);
	SEND(FAILURE);
	expect_sent("52 5100000001 5e0000000152 52 ");
	assert_int_equal(hooks_withheld_replies(), 0);
	for (int i = 0; i < 3; i++)
		hooks_reply(NULL, false, 0);
	expect_sent("52 52 52 ");
	/* whoever wants no reply has no place */
	take_forward(0, "localhost");
	take_forward(1, "localhost");
	TAKE_AND_REPLY("a", FAILURE);
	global.wanted = false;
	hooks_reply(NULL, false, 0);
	expect_sent("0200000000 ");
	global.wanted = true;
	hooks_reply(NULL, false, 0);
	expect_sent("52 52 ");
	/* one that breaks off: libssh says no */
	TAKE_AND_REPLY("tcpip-forward", FAILURE);
	expect_sent("52 ");
}

/* The list has an end, and goes round. That is remembered for good: so this test is one of the last. */
static void
test_replies_without_end(void **state)
{
	(void)state;
	set_up_replies();
	for (unsigned i = 0; i < HOOKS_REPLIES_MAX; i++)
		take_forward(1, "localhost");
	assert_false(hooks_lost_replies());
	hooks_reply(NULL, false, 0);
	TAKE_AND_REPLY("keepalive@openssh.com", SUCCESS);
	expect_sent("52 0200000000 ");
	assert_int_equal(hooks_withheld_replies(), 1);
	assert_false(hooks_lost_replies());
	take_forward(1, "localhost");
	assert_true(hooks_lost_replies());
	for (unsigned i = 1; i < HOOKS_REPLIES_MAX - 1; i++) {
		hooks_reply(NULL, false, 0);
		expect_sent("52 ");
	}
	hooks_reply(NULL, false, 0);
	expect_sent("52 51 ");
}

/* As libssh does it: into one packet, field by field. */
int
ssh_message_reply_default(ssh_message msg)
{
	(void)msg;
	if (reply.packet == NULL) {
		if (global.wanted)
			SEND(FAILURE);
		return SSH_OK;
	}
	for (size_t i = 0; i < reply.n; i++)
		assert_int_equal(ssh_buffer_add_data(reply.packet, reply.fields[i].data,
				     reply.fields[i].len),
		    0);
	return SSH_OK;
}

/* The packet, when libssh puts in these fields and the reply is to be 2, "why". */
#define refuse_with(...)                                     \
	refuse_fields((const struct field[]){ __VA_ARGS__ }, \
	    sizeof((const struct field[]){ __VA_ARGS__ }) / sizeof(struct field))

static const char *
refuse_fields(const struct field *fields, size_t n)
{
	static char hex[256];
	const uint8_t *bytes;
	uint32_t len;

	reply.fields = fields;
	reply.n = n;
	reply.packet = ssh_buffer_new();
	assert_int_equal(hooks_refuse_channel(NULL, 2, "why"), SSH_OK);
	/* what comes after that is another packet's */
	assert_int_equal(ssh_buffer_add_data(reply.packet, "\0\0\0\1", 4), 0);
	bytes = ssh_buffer_get(reply.packet);
	len = ssh_buffer_get_len(reply.packet);
	assert_true(len * 2 < sizeof(hex));
	for (uint32_t i = 0; i < len; i++)
		(void)snprintf(hex + (size_t)i * 2, 3, "%02x", bytes[i]);
	ssh_buffer_free(reply.packet);
	return hex;
}

static void
test_refused_channel(void **state)
{
	(void)state;
	assert_string_equal(refuse_with({ "\x5c", 1 }, NUMBER("\7"), NUMBER("\1"), NUMBER("\0"),
				NUMBER("\0"), { "padding", 7 }),
	    "5c0000000700000002000000037768790000000070616464696e6700000001");
}

/* What does not look like it is left alone, from there on. */
static void
test_refused_channel_of_another_libssh(void **state)
{
	(void)state;
	assert_string_equal(refuse_with({ "\x5d", 1 }, NUMBER("\7"), NUMBER("\1"), NUMBER("\0")),
	    "5d00000007000000010000000000000001");
	assert_string_equal(refuse_with(NUMBER("\x5c"), NUMBER("\7"), NUMBER("\1"), NUMBER("\0")),
	    "0000005c00000007000000010000000000000001");
	assert_string_equal(refuse_with({ "\x5c", 1 }, { "\7", 1 }, NUMBER("\1"), NUMBER("\0")),
	    "5c07000000010000000000000001");
	assert_string_equal(refuse_with({ "\x5c", 1 }, NUMBER("\7"), NUMBER("\3"), NUMBER("\0")),
	    "5c00000007000000030000000000000001");
	assert_string_equal(refuse_with({ "\x5c", 1 }, NUMBER("\7"), NUMBER("\1"), NUMBER("\5"),
				{ "words", 5 }),
	    "5c000000070000000200000005776f72647300000001");
	assert_string_equal(refuse_with({ "\x5c", 1 }, NUMBER("\7")), "5c0000000700000001");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_not_enabled, set_up),
		cmocka_unit_test_setup(test_sign_asks_with_the_transcript, set_up),
		cmocka_unit_test_setup(test_one_signature_for_one_transcript, set_up),
		cmocka_unit_test_setup(test_refused_signature, set_up),
		cmocka_unit_test_setup(test_algorithm_follows_key_and_digest, set_up),
		cmocka_unit_test_setup(test_what_is_no_transcript, set_up),
		cmocka_unit_test_setup(test_signatures_queue_in_order, set_up),
		cmocka_unit_test_setup(test_signature_bounds, set_up),
		cmocka_unit_test_setup(test_signature_details, set_up),
		cmocka_unit_test(test_interposed),
		cmocka_unit_test(test_public_half_survives_the_import),
		cmocka_unit_test(test_bad_blobs),
		cmocka_unit_test(test_giant_blob),
		cmocka_unit_test_setup(test_seed_leads_to_the_public_half, set_up),
		cmocka_unit_test_setup(test_texts_with_a_nul_inside, set_up),
		cmocka_unit_test_setup(test_modes_of_a_terminal, set_up),
		cmocka_unit_test_setup(test_modes_of_others, set_up),
		cmocka_unit_test_setup(test_modes_of_no_terminal, set_up),
		cmocka_unit_test(test_refused_channel),
		cmocka_unit_test(test_refused_channel_of_another_libssh),
		cmocka_unit_test_setup(test_replies_in_order, set_up),
		cmocka_unit_test_setup(test_replies_and_what_is_none, set_up),
		cmocka_unit_test_setup(test_replies_without_end, set_up),
		cmocka_unit_test_setup(test_requests_that_libssh_may_read, set_up),
		cmocka_unit_test_setup(test_no_more_sessions, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
