/* SPDX-License-Identifier: Apache-2.0 */
/* ssh_key: every type verifies, signatures of ssh-keygen verify, and nothing else does. */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <string.h>

#include "keys_fixture.h"
#include "ssh_key.h"

static const uint8_t message[] = "what is signed";

static struct ssh_key *
key_of(const struct signer *s)
{
	struct ssh_key *key = NULL;

	assert_int_equal(ssh_key_from_blob(s->blob, s->blob_len, &key), 0);
	assert_true(ssh_key_fits(key, signer_algorithm(s)));
	return key;
}

static bool
verify(const struct ssh_key *key, const struct signer *s, const char *algorithm, const uint8_t *sig,
    size_t sig_len, const void *data, size_t len)
{
	struct ssh_signature value = { { sig, sig_len }, s->flags, s->counter };

	return ssh_key_verify(key, algorithm, &value, data, len);
}

static void
refuse_variations(const struct ssh_key *key, const struct signer *s, uint8_t *sig, size_t len)
{
	const char *algorithm = signer_algorithm(s);

	for (size_t i = 0; i < len; i++) {
		assert_false(verify(key, s, algorithm, sig, i, message, sizeof(message)));
		sig[i] ^= 0x40;
		assert_false(verify(key, s, algorithm, sig, len, message, sizeof(message)));
		sig[i] ^= 0x40;
	}
	sig[len] = 0;
	assert_false(verify(key, s, algorithm, sig, len + 1, message, sizeof(message)));
	assert_false(verify(key, s, algorithm, sig, len, message, sizeof(message) - 1));
	assert_false(verify(key, s, algorithm, sig, len, "What is signed", sizeof(message)));
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		if (strcmp(signer_types[i], algorithm) != 0)
			assert_false(
			    verify(key, s, signer_types[i], sig, len, message, sizeof(message)));
	}
}

static void
every_type_verifies_and_nothing_near_it(void **state)
{
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		struct signer s;
		struct ssh_key *key;
		size_t len;

		signer_make(&s, signer_types[i]);
		key = key_of(&s);
		assert_int_equal(ssh_key_is_sk(key), strncmp(s.type, "sk-", 3) == 0);
		len = signer_sign(&s, signer_algorithm(&s), message, sizeof(message), sig);
		assert_true(
		    verify(key, &s, signer_algorithm(&s), sig, len, message, sizeof(message)));
		refuse_variations(key, &s, sig, len);
		ssh_key_free(key);
		signer_free(&s);
	}
}

static void
another_key_of_the_type_is_not_this_one(void **state)
{
	uint8_t sig[FIXTURE_SIG_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		struct signer a;
		struct signer b;
		struct ssh_key *key;
		size_t len;

		signer_make(&a, signer_types[i]);
		signer_make(&b, signer_types[i]);
		key = key_of(&b);
		len = signer_sign(&a, signer_algorithm(&a), message, sizeof(message), sig);
		assert_false(
		    verify(key, &b, signer_algorithm(&b), sig, len, message, sizeof(message)));
		ssh_key_free(key);
		signer_free(&a);
		signer_free(&b);
	}
}

static void
rsa_takes_both_sha2_and_no_sha1(void **state)
{
	uint8_t sig[FIXTURE_SIG_MAX];
	struct ssh_key *key;
	struct signer s;
	size_t len;

	(void)state;
	signer_make(&s, "ssh-rsa");
	key = key_of(&s);
	len = signer_sign(&s, "rsa-sha2-256", message, sizeof(message), sig);
	assert_true(verify(key, &s, "rsa-sha2-256", sig, len, message, sizeof(message)));
	assert_false(verify(key, &s, "rsa-sha2-512", sig, len, message, sizeof(message)));
	len = signer_sign(&s, "ssh-rsa", message, sizeof(message), sig);
	assert_false(verify(key, &s, "ssh-rsa", sig, len, message, sizeof(message)));
	assert_false(verify(key, &s, "rsa-sha2-256", sig, len, message, sizeof(message)));
	ssh_key_free(key);
	signer_free(&s);
}

static void
a_security_key_signs_its_flags_and_counter(void **state)
{
	uint8_t sig[FIXTURE_SIG_MAX];
	struct signer s;
	struct signer plain;
	struct ssh_key *key;
	size_t len;

	(void)state;
	for (size_t i = 5; i < SP_ARRAY_LEN(signer_types); i++) {
		signer_make(&s, signer_types[i]);
		key = key_of(&s);
		len = signer_sign(&s, s.type, message, sizeof(message), sig);
		assert_true(verify(key, &s, s.type, sig, len, message, sizeof(message)));
		s.flags |= SSH_KEY_SK_VERIFIED;
		assert_false(verify(key, &s, s.type, sig, len, message, sizeof(message)));
		s.flags = SSH_KEY_SK_PRESENT;
		s.counter++;
		assert_false(verify(key, &s, s.type, sig, len, message, sizeof(message)));
		/* the same private half, used as a plain key */
		plain = s;
		plain.type = strstr(s.type, "ed25519") != NULL ? "ssh-ed25519"
							       : "ecdsa-sha2-nistp256";
		len = signer_sign(&plain, plain.type, message, sizeof(message), sig);
		assert_false(verify(key, &s, s.type, sig, len, message, sizeof(message)));
		ssh_key_free(key);
		signer_free(&s);
	}
}

static void
the_application_is_part_of_a_security_key(void **state)
{
	uint8_t sig[FIXTURE_SIG_MAX];
	struct ssh_key *key;
	struct signer s;
	size_t len;

	(void)state;
	signer_make(&s, "sk-ssh-ed25519@openssh.com");
	len = signer_sign(&s, s.type, message, sizeof(message), sig);
	s.blob[s.blob_len - 1] = '!'; /* "ssh!" */
	key = key_of(&s);
	assert_false(verify(key, &s, s.type, sig, len, message, sizeof(message)));
	ssh_key_free(key);
	signer_free(&s);
}

static void
blobs_cut_or_continued_are_malformed(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		struct ssh_key *key = NULL;
		struct signer s;

		signer_make(&s, signer_types[i]);
		for (size_t len = 0; len < s.blob_len; len++)
			assert_int_equal(ssh_key_from_blob(s.blob, len, &key), SSH_KEY_E_MALFORMED);
		for (unsigned byte = 0; byte < 256; byte++) {
			s.blob[s.blob_len] = (uint8_t)byte;
			assert_int_equal(ssh_key_from_blob(s.blob, s.blob_len + 1, &key),
			    SSH_KEY_E_MALFORMED);
		}
		assert_null(key);
		signer_free(&s);
	}
}

/* ---- keys that are refused ---- */

static int
parse(const struct wire_writer *w)
{
	struct ssh_key *key = NULL;
	int r;

	assert_false(w->failed);
	r = ssh_key_from_blob(w->data, w->len, &key);
	assert_int_equal(r == 0, key != NULL);
	ssh_key_free(key);
	return r;
}

/* Numbers as they stand, without making mpints of them. */
static int
parse_rsa(const void *e, size_t e_len, const void *n, size_t n_len)
{
	uint8_t buf[FIXTURE_BLOB_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_cstr(&w, "ssh-rsa");
	wire_put_str(&w, e, e_len);
	wire_put_str(&w, n, n_len);
	return parse(&w);
}

/* An odd n of so many bits, as an mpint's content. */
static size_t
number(unsigned bits, uint8_t out[1100])
{
	size_t len = bits / 8 + 1; /* room for the sign */

	memset(out, 0x55, len);
	out[0] = (uint8_t)(bits % 8 == 0 ? 0 : 1u << (bits % 8 - 1));
	if (bits % 8 == 0)
		out[1] = 0x80;
	if (bits % 8 == 0 || out[0] < 0x80)
		return len;
	memmove(out + 1, out, len);
	out[0] = 0;
	return len + 1;
}

static void
rsa_sizes(void **state)
{
	static const struct {
		unsigned bits;
		int result;
	} cases[] = {
		{ 512, SSH_KEY_E_WEAK },
		{ 1024, SSH_KEY_E_WEAK },
		{ 2047, SSH_KEY_E_WEAK },
		{ 2048, 0 },
		{ 3072, 0 },
		{ 4096, 0 },
		{ 8191, 0 },
		{ 8192, 0 },
		{ 8193, SSH_KEY_E_LARGE },
		{ 8208, SSH_KEY_E_LARGE },
	};
	uint8_t n[1100];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		size_t len = number(cases[i].bits, n);

		assert_int_equal(parse_rsa("\x01\x00\x01", 3, n, len), cases[i].result);
	}
}

static void
rsa_numbers(void **state)
{
	uint8_t n[1100];
	uint8_t other[1100];
	size_t len = number(2048, n);

	(void)state;
	assert_int_equal(parse_rsa("\x03", 1, n, len), 0);
	assert_int_equal(parse_rsa("\x00\xff\xff\xff\xff", 5, n, len), 0); /* 32 bits */
	assert_int_equal(parse_rsa("\x01", 1, n, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa("", 0, n, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa("\x00", 1, n, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa("\x02", 1, n, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa("\x01\x00\x00", 3, n, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa("\x83", 1, n, len), SSH_KEY_E_MALFORMED); /* negative */
	assert_int_equal(parse_rsa("\x00\x03", 2, n, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa("\x01\x00\x00\x00\x01", 5, n, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa(n, len, "\x03", 1), SSH_KEY_E_MALFORMED); /* swapped */
	assert_int_equal(parse_rsa("\x03", 1, "", 0), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_rsa("\x03", 1, n + 1, len - 1), SSH_KEY_E_MALFORMED); /* negative */
	memcpy(other + 1, n, len);
	other[0] = 0;
	assert_int_equal(parse_rsa("\x03", 1, other, len + 1), SSH_KEY_E_MALFORMED);
	n[len - 1] &= 0xfe;
	assert_int_equal(parse_rsa("\x03", 1, n, len), SSH_KEY_E_MALFORMED); /* even */
}

static int
parse_point(const char *type, const char *curve, const uint8_t *point, size_t len)
{
	uint8_t buf[FIXTURE_BLOB_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_cstr(&w, type);
	wire_put_cstr(&w, curve);
	wire_put_str(&w, point, len);
	return parse(&w);
}

static void
ecdsa_points(void **state)
{
	struct signer s;
	uint8_t p[140] = { 0 };
	const size_t len = 65;

	(void)state;
	signer_make(&s, "ecdsa-sha2-nistp256");
	memcpy(p, s.blob + s.blob_len - len, len);
	assert_int_equal(parse_point(s.type, "nistp256", p, len), 0);
	assert_int_equal(parse_point(s.type, "nistp384", p, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_point(s.type, "", p, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_point("ecdsa-sha2-nistp384", "nistp256", p, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_point("ecdsa-sha2-nistp384", "nistp384", p, len), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_point(s.type, "nistp256", p, 0), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_point(s.type, "nistp256", p, len - 1), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_point(s.type, "nistp256", p, len + 1), SSH_KEY_E_MALFORMED);
	assert_int_equal(parse_point(s.type, "nistp256", p, sizeof(p)), SSH_KEY_E_MALFORMED);
	p[len - 1] ^= 1; /* off the curve */
	assert_int_equal(parse_point(s.type, "nistp256", p, len), SSH_KEY_E_MALFORMED);
	p[len - 1] ^= 1;
	p[0] = (uint8_t)(2 + (p[len - 1] & 1)); /* compressed */
	assert_int_equal(parse_point(s.type, "nistp256", p, 33), SSH_KEY_E_MALFORMED);
	p[0] = (uint8_t)(6 + (p[len - 1] & 1)); /* hybrid */
	assert_int_equal(parse_point(s.type, "nistp256", p, len), SSH_KEY_E_MALFORMED);
	p[0] = 0; /* infinity */
	assert_int_equal(parse_point(s.type, "nistp256", p, 1), SSH_KEY_E_MALFORMED);
	memset(p, 0, len);
	p[0] = 4;
	assert_int_equal(parse_point(s.type, "nistp256", p, len), SSH_KEY_E_MALFORMED);
	signer_free(&s);
}

static void
ed25519_lengths(void **state)
{
	static const uint8_t k[40] = { 1 };

	(void)state;
	for (size_t len = 0; len <= sizeof(k); len++) {
		uint8_t buf[128];
		struct wire_writer w;

		wire_writer_init(&w, buf, sizeof(buf));
		wire_put_cstr(&w, "ssh-ed25519");
		wire_put_str(&w, k, len);
		assert_int_equal(parse(&w), len == 32 ? 0 : SSH_KEY_E_MALFORMED);
	}
}

static void
other_types_are_unsupported(void **state)
{
	static const char *const names[] = { "", "ssh-dss", "ssh-ed448",
		"ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com",
		"ecdsa-sha2-nistp192", "ssh-ed2551", "ssh-ed25519x", "SSH-ED25519", "rsa-sha2-256",
		"null" };
	uint8_t buf[FIXTURE_BLOB_MAX];
	struct wire_writer w;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		wire_writer_init(&w, buf, sizeof(buf));
		wire_put_cstr(&w, names[i]);
		wire_put_str(&w, "01234567890123456789012345678901", 32);
		assert_int_equal(parse(&w), SSH_KEY_E_UNSUPPORTED);
	}
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_str(&w, "ssh-ed25519", sizeof("ssh-ed25519")); /* with its NUL */
	wire_put_str(&w, "01234567890123456789012345678901", 32);
	assert_int_equal(parse(&w), SSH_KEY_E_UNSUPPORTED);
	wire_writer_init(&w, buf, sizeof(buf));
	w.len = data_public("dsa.pub", buf, sizeof(buf));
	assert_int_equal(parse(&w), SSH_KEY_E_UNSUPPORTED);
	w.len = data_public("rsa1024.pub", buf, sizeof(buf));
	assert_int_equal(parse(&w), SSH_KEY_E_WEAK);
}

static void
algorithms_fit_their_own_type_only(void **state)
{
	static const char *const algorithms[] = { "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256",
		"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com",
		"sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-256", "rsa-sha2-512", "ssh-dss", "",
		"rsa-sha2-256-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com" };
	const EVP_MD *md;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		bool rsa = strcmp(signer_types[i], "ssh-rsa") == 0;
		struct ssh_key *key;
		struct signer s;

		signer_make(&s, signer_types[i]);
		key = key_of(&s);
		for (size_t j = 0; j < SP_ARRAY_LEN(algorithms); j++) {
			bool want = rsa ? j == 7 || j == 8 : i == j;

			assert_int_equal(ssh_key_fits(key, algorithms[j]), want);
		}
		ssh_key_free(key);
		signer_free(&s);
	}
	assert_false(ssh_key_digest("ssh-rsa", &md));
	assert_false(ssh_key_digest("", &md));
	assert_true(ssh_key_digest("ssh-ed25519", &md) && md == NULL);
	assert_true(ssh_key_digest("ecdsa-sha2-nistp521", &md) && md == EVP_sha512());
}

/* ---- what ssh-keygen signed ---- */

/* SSH's r and s to OpenSSL's DER. */
static size_t
to_der(struct wire_span value, uint8_t out[FIXTURE_SIG_MAX])
{
	struct wire_reader r;
	struct wire_span a;
	struct wire_span b;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	uint8_t *p = out;
	int n;

	wire_reader_init(&r, value.data, value.len);
	a = wire_get_span(&r);
	b = wire_get_span(&r);
	assert_int_equal(wire_finish(&r), 0);
	assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(a.data, (int)a.len, NULL),
			     BN_bin2bn(b.data, (int)b.len, NULL)),
	    1);
	n = i2d_ECDSA_SIG(sig, &p);
	assert_true(n > 0);
	ECDSA_SIG_free(sig);
	return (size_t)n;
}

/* PROTOCOL.sshsig of OpenSSH. */
static void
check_signed(const char *name)
{
	static const uint8_t text[] = { 's', 'a', 'l', 'l', 'y', 'p', 'o', 'r', 't' };
	uint8_t file[FIXTURE_BLOB_MAX];
	uint8_t hash[64];
	uint8_t data[256];
	uint8_t der[FIXTURE_SIG_MAX];
	char algorithm[64];
	struct ssh_signature sig = { .sk_flags = 0 };
	struct ssh_key *key = NULL;
	struct wire_reader r;
	struct wire_reader inner;
	struct wire_writer w;
	struct wire_span blob;
	struct wire_span s;

	wire_reader_init(&r, file, data_read(name, file, sizeof(file)));
	assert_true(wire_span_is(wire_get_bytes(&r, 6), "SSHSIG"));
	assert_int_equal(wire_get_u32(&r), 1);
	blob = wire_get_span(&r);
	assert_true(wire_span_is(wire_get_span(&r), "test"));
	(void)wire_get_span(&r);
	assert_true(wire_span_is(wire_get_span(&r), "sha512"));
	s = wire_get_span(&r);
	assert_int_equal(wire_finish(&r), 0);
	wire_reader_init(&inner, s.data, s.len);
	wire_get_cstr(&inner, algorithm, sizeof(algorithm));
	sig.value = wire_get_span(&inner);
	assert_int_equal(wire_finish(&inner), 0);
	if (strncmp(algorithm, "ecdsa", 5) == 0) {
		sig.value.len = to_der(sig.value, der);
		sig.value.data = der;
	}
	assert_int_equal(EVP_Digest(text, sizeof(text), hash, NULL, EVP_sha512(), NULL), 1);
	wire_writer_init(&w, data, sizeof(data));
	wire_put_bytes(&w, "SSHSIG", 6);
	wire_put_cstr(&w, "test");
	wire_put_cstr(&w, "");
	wire_put_cstr(&w, "sha512");
	wire_put_str(&w, hash, sizeof(hash));
	assert_int_equal(ssh_key_from_blob(blob.data, blob.len, &key), 0);
	assert_true(ssh_key_verify(key, algorithm, &sig, w.data, w.len));
	data[w.len - 1] ^= 1;
	assert_false(ssh_key_verify(key, algorithm, &sig, w.data, w.len));
	ssh_key_free(key);
}

static void
ssh_keygen_agrees(void **state)
{
	static const char *const names[] = { "signed_ed25519", "signed_rsa2048", "signed_ecdsa256",
		"signed_ecdsa384", "signed_ecdsa521" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++)
		check_signed(names[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_verifies_and_nothing_near_it),
		cmocka_unit_test(another_key_of_the_type_is_not_this_one),
		cmocka_unit_test(rsa_takes_both_sha2_and_no_sha1),
		cmocka_unit_test(a_security_key_signs_its_flags_and_counter),
		cmocka_unit_test(the_application_is_part_of_a_security_key),
		cmocka_unit_test(blobs_cut_or_continued_are_malformed),
		cmocka_unit_test(rsa_sizes),
		cmocka_unit_test(rsa_numbers),
		cmocka_unit_test(ecdsa_points),
		cmocka_unit_test(ed25519_lengths),
		cmocka_unit_test(other_types_are_unsupported),
		cmocka_unit_test(algorithms_fit_their_own_type_only),
		cmocka_unit_test(ssh_keygen_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
