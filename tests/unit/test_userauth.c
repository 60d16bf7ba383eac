/* SPDX-License-Identifier: Apache-2.0 */
/* userauth: a login is proven by the user's key, on this connection, for this name, and by nothing else. */
#include <stdio.h>
#include <string.h>

#include "host_key.h"
#include "ipc_msg.h"
#include "keys_fixture.h"
#include "ssh_key.h"
#include "transcript.h"
#include "userauth.h"

#define METHOD    "publickey"
#define HOSTBOUND "publickey-hostbound-v00@openssh.com"

static char *dir;
static struct host_key_set *host_keys;
static struct signer signers[SP_ARRAY_LEN(signer_types)];
static struct signer others[SP_ARRAY_LEN(signer_types)]; /* a second pair of each type */

/* What a client signs, RFC 4252 section 7, and what is asked of the broker. */
struct login {
	uint8_t session_id[TRANSCRIPT_HASH_MAX];
	size_t session_id_len;
	uint8_t message;
	const char *user;
	const char *service;
	const char *method;
	uint8_t has_signature;
	const char *algorithm;
	struct wire_span blob;
	struct wire_span host_key; /* HOSTBOUND only */
	const char *tail;
};

static int
setup(void **state)
{
	char why[1024] = "";

	(void)state;
	dir = dir_make();
	const char *const paths[] = { dir_copy(dir, "ed25519", 0600),
		dir_copy(dir, "ecdsa256", 0600), NULL };

	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		signer_make(&signers[i], signer_types[i]);
		signer_make(&others[i], signer_types[i]);
	}
	return host_key_set_load(paths, false, &host_keys, why, sizeof(why));
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		signer_free(&signers[i]);
		signer_free(&others[i]);
	}
	host_key_set_free(host_keys);
	dir_remove(dir);
	return 0;
}

static struct transcript_state
connection(void)
{
	struct transcript_state s = { .session_id_len = 32 };

	for (uint8_t i = 0; i < 32; i++)
		s.session_id[i] = (uint8_t)(0xa0 + i);
	s.host_key = host_key_set_find(host_keys, "ssh-ed25519");
	return s;
}

/* The honest one. */
static struct login
login_of(const struct transcript_state *s, const struct signer *signer)
{
	struct login l = {
		.session_id_len = s->session_id_len,
		.message = 50,
		.user = "alice",
		.service = "ssh-connection",
		.method = METHOD,
		.has_signature = 1,
		.algorithm = signer_algorithm(signer),
		.blob = { signer->blob, signer->blob_len },
		.tail = "",
	};

	memcpy(l.session_id, s->session_id, s->session_id_len);
	l.host_key = host_key_blob(s->host_key);
	return l;
}

static size_t
sign_with(const struct signer *signer, const char *algorithm, const struct login *l,
    uint8_t sig[FIXTURE_SIG_MAX])
{
	uint8_t buf[8192];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_str(&w, l->session_id, l->session_id_len);
	wire_put_u8(&w, l->message);
	wire_put_cstr(&w, l->user);
	wire_put_cstr(&w, l->service);
	wire_put_cstr(&w, l->method);
	wire_put_u8(&w, l->has_signature);
	wire_put_cstr(&w, l->algorithm);
	wire_put_str(&w, l->blob.data, l->blob.len);
	if (strcmp(l->method, HOSTBOUND) == 0)
		wire_put_str(&w, l->host_key.data, l->host_key.len);
	wire_put_bytes(&w, l->tail, strlen(l->tail));
	assert_false(w.failed);
	return signer_sign(signer, algorithm, w.data, w.len, sig);
}

/* The question to the broker that goes with the honest login. */
static struct ipc_req_auth
question(const struct signer *signer, const uint8_t *sig, size_t len)
{
	struct ipc_req_auth m = {
		.user = { (const uint8_t *)"alice", 5 },
		.blob = { signer->blob, signer->blob_len },
		.signature = { sig, len },
		.sk_flags = signer->flags,
		.sk_counter = signer->counter,
	};

	(void)snprintf(m.algorithm, sizeof(m.algorithm), "%s", signer_algorithm(signer));
	return m;
}

static void
proven(const struct transcript_state *s, const struct ipc_req_auth *m, bool verify_required)
{
	const char *why = userauth_verify(s, m, verify_required);

	if (why != NULL)
		fail_msg("%s: %s", m->algorithm, why);
}

static void
refused(const struct transcript_state *s, const struct ipc_req_auth *m, bool verify_required,
    const char *reason)
{
	const char *why = userauth_verify(s, m, verify_required);

	if (why == NULL)
		fail_msg("%s: accepted, not \"%s\"", m->algorithm, reason);
	assert_string_equal(why, reason);
}

/* Signed like this, the honest question is refused. */
static void
forged(const struct transcript_state *s, const struct signer *signer, const struct login *l)
{
	uint8_t sig[FIXTURE_SIG_MAX];
	struct ipc_req_auth m =
	    question(signer, sig, sign_with(signer, signer_algorithm(signer), l, sig));

	refused(s, &m, false, "the signature is wrong");
}

static void
every_type_and_both_methods_log_in(void **state)
{
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		struct login l = login_of(&s, &signers[i]);
		struct ipc_req_auth m;

		m = question(&signers[i], sig, sign_with(&signers[i], l.algorithm, &l, sig));
		proven(&s, &m, false);
		l.method = HOSTBOUND;
		m = question(&signers[i], sig, sign_with(&signers[i], l.algorithm, &l, sig));
		proven(&s, &m, false);
	}
}

static void
longer_session_ids_work(void **state)
{
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];
	static const size_t lens[] = { 48, 64 };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(lens); i++) {
		struct ipc_req_auth m;
		struct login l;

		s.session_id_len = lens[i];
		l = login_of(&s, &signers[0]);
		m = question(&signers[0], sig, sign_with(&signers[0], l.algorithm, &l, sig));
		proven(&s, &m, false);
		s.session_id_len -= 1;
		refused(&s, &m, false, "the signature is wrong");
	}
}

/* A genuine signature of the user for another connection: what a replay has to offer. */
static void
other_connections(void **state)
{
	struct transcript_state s = connection();

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		struct login l = login_of(&s, &signers[i]);

		for (size_t byte = 0; byte < l.session_id_len; byte++) {
			l.session_id[byte] ^= 1;
			forged(&s, &signers[i], &l);
			l.session_id[byte] ^= 1;
		}
		l.session_id_len = 0;
		forged(&s, &signers[i], &l);
	}
}

static void
other_contents(void **state)
{
	struct transcript_state s = connection();

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		const struct login honest = login_of(&s, &signers[i]);
		struct login l = honest;

		l.message = 51;
		forged(&s, &signers[i], &l);
		l = honest;
		l.user = "alicf";
		forged(&s, &signers[i], &l);
		l.user = "";
		forged(&s, &signers[i], &l);
		l = honest;
		l.service = "ssh-userauth";
		forged(&s, &signers[i], &l);
		l = honest;
		l.method = "hostbased";
		forged(&s, &signers[i], &l);
		l = honest;
		l.has_signature = 0; /* an offer, RFC 4252's "would this key do?" */
		forged(&s, &signers[i], &l);
		l.has_signature = 0xff;
		forged(&s, &signers[i], &l);
		l = honest;
		l.algorithm = "rsa-sha2-256"; /* signed with another name than is asked with */
		forged(&s, &signers[i], &l);
		l = honest;
		l.blob = (struct wire_span){ others[i].blob, others[i].blob_len };
		forged(&s, &signers[i], &l);
		l = honest;
		l.blob.len--;
		forged(&s, &signers[i], &l);
		l = honest;
		l.tail = "x";
		forged(&s, &signers[i], &l);
	}
}

static void
another_host_in_the_hostbound_form(void **state)
{
	struct transcript_state s = connection();

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		struct login l = login_of(&s, &signers[i]);

		l.method = HOSTBOUND;
		/* even another key of our own: the first exchange had the Ed25519 one */
		l.host_key = host_key_blob(host_key_set_find(host_keys, "ecdsa-sha2-nistp256"));
		forged(&s, &signers[i], &l);
		l.host_key.len = 0;
		forged(&s, &signers[i], &l);
	}
}

/* The question is changed, the signature is honest. */
static void
other_questions(void **state)
{
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		struct login l = login_of(&s, &signers[i]);
		const struct ipc_req_auth honest =
		    question(&signers[i], sig, sign_with(&signers[i], l.algorithm, &l, sig));
		struct ipc_req_auth m = honest;

		m.user = (struct wire_span){ (const uint8_t *)"root", 4 };
		refused(&s, &m, false, "the signature is wrong");
		m.user = (struct wire_span){ (const uint8_t *)"alice", 6 }; /* with its NUL */
		refused(&s, &m, false, "the signature is wrong");
		m.user = (struct wire_span){ (const uint8_t *)"alice", 4 };
		refused(&s, &m, false, "the signature is wrong");
		m = honest;
		m.blob = (struct wire_span){ others[i].blob, others[i].blob_len };
		refused(&s, &m, false, "the signature is wrong");
		m = honest;
		m.signature.len = 0;
		refused(&s, &m, false, "the signature is wrong");
		proven(&s, &honest, false);
	}
}

static void
damaged_signatures(void **state)
{
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		struct login l = login_of(&s, &signers[i]);
		size_t len = sign_with(&signers[i], l.algorithm, &l, sig);

		for (size_t n = 0; n <= len; n++) {
			struct ipc_req_auth m = question(&signers[i], sig, n);

			if (n < len) {
				refused(&s, &m, false, "the signature is wrong"); /* cut here */
				m.signature.len = len;
				sig[n] ^= 1;
				refused(&s, &m, false, "the signature is wrong");
				sig[n] ^= 1;
			} else {
				sig[len] = 0;
				m.signature.len = len + 1;
				refused(&s, &m, false, "the signature is wrong");
			}
		}
		memset(sig, 'A', sizeof(sig));
		for (size_t n = 0; n <= IPC_SIG_MAX; n += 64) {
			struct ipc_req_auth m = question(&signers[i], sig, n);

			refused(&s, &m, false, "the signature is wrong");
		}
	}
}

static void
keys_that_cannot_be_used(void **state)
{
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];
	uint8_t blob[FIXTURE_BLOB_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		struct login l = login_of(&s, &signers[i]);
		struct ipc_req_auth m =
		    question(&signers[i], sig, sign_with(&signers[i], l.algorithm, &l, sig));

		memcpy(blob, signers[i].blob, signers[i].blob_len);
		m.blob.data = blob;
		for (size_t n = 0; n <= signers[i].blob_len + 1; n++) {
			m.blob.len = n;
			if (n != signers[i].blob_len)
				refused(&s, &m, false, "the key cannot be used");
		}
	}
}

static void
algorithms_that_do_not_fit(void **state)
{
	static const char *const algorithms[] = { "", "ssh-rsa", "ssh-dss", "rsa-sha2-256x",
		"rsa-sha2-512-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com" };
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signers); i++) {
		struct login l = login_of(&s, &signers[i]);
		struct ipc_req_auth m =
		    question(&signers[i], sig, sign_with(&signers[i], l.algorithm, &l, sig));

		for (size_t j = 0; j < SP_ARRAY_LEN(algorithms) + SP_ARRAY_LEN(signer_types); j++) {
			const char *name = j < SP_ARRAY_LEN(algorithms)
			    ? algorithms[j]
			    : signer_types[j - SP_ARRAY_LEN(algorithms)];

			if (strcmp(name, signer_algorithm(&signers[i])) == 0)
				continue;
			(void)snprintf(m.algorithm, sizeof(m.algorithm), "%s", name);
			refused(&s, &m, false, "the algorithm does not fit the key");
		}
	}
}

/* RSA has two algorithms; the name that was signed, the one asked with and the hash must be one. */
static void
rsa_algorithms_are_not_interchangeable(void **state)
{
	struct transcript_state s = connection();
	const struct signer *rsa = &signers[1];
	struct login l = login_of(&s, rsa);
	uint8_t sig[FIXTURE_SIG_MAX];
	struct ipc_req_auth m;

	(void)state;
	l.algorithm = "rsa-sha2-256";
	m = question(rsa, sig, sign_with(rsa, "rsa-sha2-256", &l, sig));
	strcpy(m.algorithm, "rsa-sha2-256");
	proven(&s, &m, false);
	strcpy(m.algorithm, "rsa-sha2-512");
	refused(&s, &m, false, "the signature is wrong");
	m = question(rsa, sig, sign_with(rsa, "rsa-sha2-512", &l, sig)); /* name 256, hash 512 */
	refused(&s, &m, false, "the signature is wrong");
	strcpy(m.algorithm, "rsa-sha2-256");
	refused(&s, &m, false, "the signature is wrong");
	l.algorithm = "ssh-rsa";
	m = question(rsa, sig, sign_with(rsa, "ssh-rsa", &l, sig)); /* SHA-1 throughout */
	strcpy(m.algorithm, "ssh-rsa");
	refused(&s, &m, false, "the algorithm does not fit the key");
	strcpy(m.algorithm, "rsa-sha2-256");
	refused(&s, &m, false, "the signature is wrong");
}

static void
security_keys_need_a_touch_and_perhaps_a_pin(void **state)
{
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 5; i < SP_ARRAY_LEN(signers); i++) {
		for (unsigned flags = 0; flags < 256; flags++) {
			struct signer k = signers[i];
			struct login l = login_of(&s, &k);
			struct ipc_req_auth m;

			k.flags = (uint8_t)flags;
			m = question(&k, sig, sign_with(&k, l.algorithm, &l, sig));
			if ((flags & SSH_KEY_SK_PRESENT) == 0) {
				refused(&s, &m, false, "nobody touched the security key");
				refused(&s, &m, true, "nobody touched the security key");
				continue;
			}
			proven(&s, &m, false);
			if ((flags & SSH_KEY_SK_VERIFIED) != 0)
				proven(&s, &m, true);
			else
				refused(&s, &m, true, "the security key did not verify its user");
		}
	}
}

/* The worker says what the flags and the counter were; the signature says otherwise. */
static void
flags_that_were_not_signed(void **state)
{
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 5; i < SP_ARRAY_LEN(signers); i++) {
		struct signer k = signers[i];
		struct login l = login_of(&s, &k);
		struct ipc_req_auth m;

		k.flags = 0;
		m = question(&k, sig, sign_with(&k, l.algorithm, &l, sig));
		m.sk_flags = SSH_KEY_SK_PRESENT;
		refused(&s, &m, false, "the signature is wrong");
		k.flags = SSH_KEY_SK_PRESENT;
		m = question(&k, sig, sign_with(&k, l.algorithm, &l, sig));
		m.sk_flags |= SSH_KEY_SK_VERIFIED;
		refused(&s, &m, true, "the signature is wrong");
		m.sk_flags = k.flags;
		m.sk_counter++;
		refused(&s, &m, false, "the signature is wrong");
		m.sk_counter--;
		proven(&s, &m, false);
	}
}

static void
plain_keys_are_no_security_keys(void **state)
{
	static const char reason[] = "the key is no security key, the signature claims one";
	struct transcript_state s = connection();
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct login l = login_of(&s, &signers[i]);
		struct ipc_req_auth m =
		    question(&signers[i], sig, sign_with(&signers[i], l.algorithm, &l, sig));

		refused(&s, &m, true, "the security key did not verify its user");
		m.sk_flags = SSH_KEY_SK_PRESENT | SSH_KEY_SK_VERIFIED;
		refused(&s, &m, true, reason);
		refused(&s, &m, false, reason);
		m.sk_flags = 0;
		m.sk_counter = 1;
		refused(&s, &m, false, reason);
	}
}

static void
not_before_a_key_exchange(void **state)
{
	struct transcript_state s = connection();
	struct transcript_state none = { 0 };
	uint8_t sig[FIXTURE_SIG_MAX];
	struct login l = login_of(&s, &signers[0]);
	struct ipc_req_auth m;

	(void)state;
	l.session_id_len = 0; /* signed for the session id that there is not */
	m = question(&signers[0], sig, sign_with(&signers[0], l.algorithm, &l, sig));
	refused(&none, &m, false, "no key exchange yet");
	s.session_id_len = 0;
	refused(&s, &m, false, "no key exchange yet");
}

/* The largest fields that the messages allow are no reason to fail, or to write too far. */
static void
the_largest_fields_fit(void **state)
{
	struct transcript_state s = connection();
	static uint8_t blob[IPC_BLOB_MAX];
	char user[IPC_USER_MAX + 1];
	uint8_t sig[FIXTURE_SIG_MAX];
	struct signer k = signers[5];
	struct login l;
	struct ipc_req_auth m;
	struct wire_writer w;
	struct wire_reader r;
	struct wire_span public;

	(void)state;
	memset(user, 'u', sizeof(user) - 1);
	user[sizeof(user) - 1] = '\0';
	wire_reader_init(&r, k.blob, k.blob_len);
	(void)wire_get_span(&r);
	public = wire_get_span(&r);
	wire_writer_init(&w, blob, sizeof(blob)); /* an application of nearly 16 KiB */
	wire_put_cstr(&w, k.type);
	wire_put_str(&w, public.data, public.len);
	wire_put_u32(&w, (uint32_t)(sizeof(blob) - w.len - 4));
	assert_false(w.failed);
	s.session_id_len = TRANSCRIPT_HASH_MAX;
	l = login_of(&s, &k);
	m = question(&k, sig, sign_with(&k, l.algorithm, &l, sig));
	m.user = (struct wire_span){ (const uint8_t *)user, sizeof(user) - 1 };
	m.blob = (struct wire_span){ blob, sizeof(blob) };
	refused(&s, &m, false, "the signature is wrong");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_and_both_methods_log_in),
		cmocka_unit_test(longer_session_ids_work),
		cmocka_unit_test(other_connections),
		cmocka_unit_test(other_contents),
		cmocka_unit_test(another_host_in_the_hostbound_form),
		cmocka_unit_test(other_questions),
		cmocka_unit_test(damaged_signatures),
		cmocka_unit_test(keys_that_cannot_be_used),
		cmocka_unit_test(algorithms_that_do_not_fit),
		cmocka_unit_test(rsa_algorithms_are_not_interchangeable),
		cmocka_unit_test(security_keys_need_a_touch_and_perhaps_a_pin),
		cmocka_unit_test(flags_that_were_not_signed),
		cmocka_unit_test(plain_keys_are_no_security_keys),
		cmocka_unit_test(not_before_a_key_exchange),
		cmocka_unit_test(the_largest_fields_fit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
