/* SPDX-License-Identifier: Apache-2.0 */
/* The grammars of single values: sizes, durations, names, images, paths, networks, public keys. */
#include "test.h"

#include "cidr.h"
#include "names.h"
#include "public_key.h"
#include "units.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys_fixture.h"
#include "wire.h"

static void
test_sizes(void **state)
{
	static const struct {
		const char *text;
		int outcome;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "1", 0, 1 },
		{ "256M", 0, 256ull << 20 },
		{ "1K", 0, 1024 },
		{ "1G", 0, 1ull << 30 },
		{ "16T", 0, 16ull << 40 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", UNITS_E_RANGE, 0 },
		{ "16777216T", UNITS_E_RANGE, 0 },
		{ "16777215T", 0, 16777215ull << 40 },
		{ "", UNITS_E_SYNTAX, 0 },
		{ "M", UNITS_E_SYNTAX, 0 },
		{ "1m", UNITS_E_SYNTAX, 0 },
		{ "1MB", UNITS_E_SYNTAX, 0 },
		{ "1 M", UNITS_E_SYNTAX, 0 },
		{ " 1M", UNITS_E_SYNTAX, 0 },
		{ "1M ", UNITS_E_SYNTAX, 0 },
		{ "-1", UNITS_E_SYNTAX, 0 },
		{ "+1", UNITS_E_SYNTAX, 0 },
		{ "1.5G", UNITS_E_SYNTAX, 0 },
		{ "0x10", UNITS_E_SYNTAX, 0 },
		{ "1e3", UNITS_E_SYNTAX, 0 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		uint64_t value = 77;

		assert_int_equal(units_parse_size(cases[i].text, &value), cases[i].outcome);
		assert_true(value == (cases[i].outcome == 0 ? cases[i].value : 77));
	}
}

static void
test_durations(void **state)
{
	static const struct {
		const char *text;
		int outcome;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "500ms", 0, 500 },
		{ "10s", 0, 10000 },
		{ "20m", 0, 1200000 },
		{ "8h", 0, 28800000 },
		{ "1d", 0, 86400000 },
		{ "10", UNITS_E_SYNTAX, 0 },
		{ "s", UNITS_E_SYNTAX, 0 },
		{ "", UNITS_E_SYNTAX, 0 },
		{ "10S", UNITS_E_SYNTAX, 0 },
		{ "1.5s", UNITS_E_SYNTAX, 0 },
		{ "1m30s", UNITS_E_SYNTAX, 0 },
		{ "-1s", UNITS_E_SYNTAX, 0 },
		{ "99999999999999999999s", UNITS_E_RANGE, 0 },
		{ "18446744073709551615s", UNITS_E_RANGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		uint64_t value = 77;

		assert_int_equal(units_parse_duration(cases[i].text, &value), cases[i].outcome);
		assert_true(value == (cases[i].outcome == 0 ? cases[i].value : 77));
	}
}

/* What is printed means the same when it is read. */
static void
test_units_round_trip(void **state)
{
	static const uint64_t values[] = { 0, 1, 1000, 1023, 1024, 1500, 60000, 90000, 6u << 20,
		1u << 30, 3600000, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(values); i++) {
		char text[UNITS_TEXT_MAX];
		uint64_t back = 77;

		assert_int_equal(units_parse_size(units_format_size(values[i], text), &back), 0);
		assert_true(back == values[i]);
		assert_int_equal(units_parse_duration(units_format_duration(values[i], text), &back),
		    0);
		assert_true(back == values[i]);
	}
}

static void
test_images(void **state)
{
	static const char digest[] =
	    "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const good[] = { "debian", "debian:12", "a/b/c",
		"library/debian:12-slim", "docker.io/library/debian",
		"registry.example:5000/team/dev:1.2", "localhost/x", "localhost:5000/x", "my_app",
		"my__app", "my--app", "my.app", "a:A", "a:_x.-", "REGISTRY.example/x",
		"10.0.0.1:5000/x", "x.y" /* without a slash a dot makes no host */ };
	static const char *const bad[] = { "", " ", "a b", "a\n", "Debian", "a/B", "a:", "a:-x",
		"a:.x", ":12", "/a", "a/", "a//b", "a___b", "a..b", "_a", "a_", "-a", "a-", "a._b",
		"a@", "a@b", "a@sha256:", "a@sha256:abc", "a@sha512:00", "a:1:2", "a:12@",
		"http://a/b", "a/b:c/d", "x.y:/a", "x.y:123456/a", ".x/a", "a:\xc3\xa4", "sha256:abc",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "${user}", "*" };
	char text[NAMES_IMAGE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		assert_null(names_image_fault(good[i]));
		(void)snprintf(text, sizeof(text), "%s%s", good[i], digest);
		assert_null(names_image_fault(text));
		text[strlen(text) - 1] = 'F';
		assert_non_null(names_image_fault(text));
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		if (names_image_fault(bad[i]) == NULL)
			fail_msg("\"%s\" is taken", bad[i]);
	}
	memset(text, 'a', sizeof(text));
	text[NAMES_IMAGE_MAX] = '\0';
	assert_null(names_image_fault(text));
	text[NAMES_IMAGE_MAX] = 'a';
	text[NAMES_IMAGE_MAX + 1] = '\0';
	assert_non_null(names_image_fault(text));
}

static void
test_paths(void **state)
{
	static const char *const good[] = { "/", "/a", "/a/b.c", "/...", "/.a", "/a b", "/\xc3\xa4" };
	static const char *const bad[] = { "", "a", "./a", "../a", "//", "/a/", "//a", "/a//b",
		"/.", "/..", "/a/.", "/a/..", "/../a", "/a/./b", "~", "~/a" };
	char text[NAMES_PATH_MAX + 2];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++)
		assert_null(names_path_fault(good[i]));
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_non_null(names_path_fault(bad[i]));
	for (size_t i = 0; i < NAMES_PATH_MAX; i++)
		text[i] = i % 200 == 0 ? '/' : 'a';
	text[NAMES_PATH_MAX] = '\0';
	assert_null(names_path_fault(text));
	text[NAMES_PATH_MAX] = 'a';
	text[NAMES_PATH_MAX + 1] = '\0';
	assert_non_null(names_path_fault(text));
	assert_true(names_path_within("/proc", "/proc"));
	assert_true(names_path_within("/proc/1", "/proc"));
	assert_false(names_path_within("/process", "/proc"));
	assert_false(names_path_within("/", "/proc"));
	assert_true(names_path_within("/x", "/"));
}

static void
test_labels(void **state)
{
	static const char *const bad[] = { "", "-a", ".a", "_a", "a b", "a/b", "a:b", "../x", "a\n",
		"\xc3\xa4", "${user}" };
	char text[66];

	(void)state;
	assert_null(names_label_fault("a"));
	assert_null(names_label_fault("Home-1_x.y"));
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_non_null(names_label_fault(bad[i]));
	memset(text, 'a', sizeof(text));
	text[64] = '\0';
	assert_null(names_label_fault(text));
	text[64] = 'a';
	text[65] = '\0';
	assert_non_null(names_label_fault(text));
}

static bool
contains(const char *network, const char *address)
{
	struct sockaddr_storage storage = { 0 };
	union {
		struct sockaddr_storage *any;
		struct sockaddr_in *v4;
		struct sockaddr_in6 *v6;
	} a = { .any = &storage };
	struct cidr c;

	assert_int_equal(cidr_parse(network, &c), 0);
	storage.ss_family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	if (storage.ss_family == AF_INET)
		assert_int_equal(inet_pton(AF_INET, address, &a.v4->sin_addr), 1);
	else
		assert_int_equal(inet_pton(AF_INET6, address, &a.v6->sin6_addr), 1);
	return cidr_contains(&c, &storage);
}

static void
test_networks(void **state)
{
	static const char *const bad[] = { "", "/", "/8", "10", "10.0.0", "10.0.0.0/",
		"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ",
		" 10.0.0.0/8", "10.0.0.0/8/8", "10.0.0.256", "010.0.0.0/8", "::/129", "::/",
		"fe80::1%lo", "[::1]", "::1:22:33::", "10.0.0.0/255.0.0.0", "example.org",
		"10.0.0.0/0x8", "1111:2222:3333:4444:5555:6666:7777:8888:9999/16" };
	char text[CIDR_TEXT_MAX];
	struct cidr c = { 0 };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_int_equal(cidr_parse(bad[i], &c), CIDR_E_SYNTAX);
	assert_int_equal(cidr_parse("10.1.2.3/8", &c), CIDR_E_HOST_BITS);
	assert_string_equal(cidr_format(&c, text), "10.0.0.0/8");
	assert_int_equal(cidr_parse("0.0.0.1/0", &c), CIDR_E_HOST_BITS);
	assert_true(contains("0.0.0.0/0", "255.255.255.255"));
	assert_false(contains("0.0.0.0/0", "2001:db8::1"));
	assert_true(contains("::/0", "2001:db8::1"));
	/* An IPv4 client on an IPv6 socket is an IPv4 client. */
	assert_false(contains("::/0", "::ffff:10.0.0.1"));
	assert_true(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
	assert_true(contains("::ffff:10.0.0.0/104", "10.9.9.9"));
	assert_true(contains("::ffff:0:0/96", "10.9.9.9"));
	assert_true(contains("192.0.2.128/25", "192.0.2.128"));
	assert_false(contains("192.0.2.128/25", "192.0.2.127"));
	assert_true(contains("192.0.2.1", "192.0.2.1"));
	assert_false(contains("192.0.2.1", "192.0.2.0"));
	assert_true(contains("2001:db8::/33", "2001:db8:7fff::"));
	assert_false(contains("2001:db8::/33", "2001:db8:8000::"));
	assert_true(contains("2001:db8::1", "2001:db8::1"));
}

/* ---- public keys ---- */

static int
parse_blob(const char *type, const uint8_t *blob, size_t len)
{
	struct arena arena = { 0 };
	struct public_key key = { 0 };
	const char *why = NULL;
	const char *help = NULL;
	char line[4096];
	int n = snprintf(line, sizeof(line), "%s ", type);
	int r;

	EVP_EncodeBlock((unsigned char *)line + n, blob, (int)len);
	(void)strcat(line, " a comment");
	r = public_key_parse(&arena, line, &key, &why, &help);
	assert_true(r == 0 || r == PUBLIC_KEY_E_REFUSED);
	assert_int_equal(r != 0, why != NULL);
	if (r == 0) {
		assert_int_equal(key.len, len);
		assert_memory_equal(key.blob, blob, len);
		assert_int_equal(strlen(key.fingerprint), 7 + 43);
	}
	arena_clear(&arena);
	return r;
}

static void
test_keys_cut_and_longer(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		struct signer k;

		signer_make(&k, signer_types[i]);
		assert_int_equal(parse_blob(k.type, k.blob, k.blob_len), 0);
		for (size_t len = 0; len < k.blob_len; len++)
			assert_int_equal(parse_blob(k.type, k.blob, len), PUBLIC_KEY_E_REFUSED);
		k.blob[k.blob_len] = 0;
		assert_int_equal(parse_blob(k.type, k.blob, k.blob_len + 1), PUBLIC_KEY_E_REFUSED);
		/* Each byte of a length, and of the type, counts. */
		for (size_t at = 0; at < 4 + strlen(k.type); at++) {
			k.blob[at] ^= 0x41;
			assert_int_equal(parse_blob(k.type, k.blob, k.blob_len),
			    PUBLIC_KEY_E_REFUSED);
			k.blob[at] ^= 0x41;
		}
		/* And every other line says the wrong type. */
		for (size_t other = 0; other < SP_ARRAY_LEN(signer_types); other++) {
			if (other != i)
				assert_int_equal(parse_blob(signer_types[other], k.blob, k.blob_len),
				    PUBLIC_KEY_E_REFUSED);
		}
		signer_free(&k);
	}
}

/* One character wrong in the middle: no such point. It would fail at each login, and nobody knows why. */
static void
test_point_is_on_its_curve(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		struct signer k;

		if (strstr(signer_types[i], "ecdsa") == NULL)
			continue;
		signer_make(&k, signer_types[i]);
		k.blob[4 + strlen(k.type) + 4 + 8 + 4 + 20] ^= 1;
		assert_int_equal(parse_blob(k.type, k.blob, k.blob_len), PUBLIC_KEY_E_REFUSED);
		signer_free(&k);
	}
}

static int
parse_rsa(const uint8_t *e, size_t n_e, size_t bits, uint8_t last)
{
	uint8_t blob[2048];
	uint8_t n[1100];
	size_t bytes = (bits + 7) / 8;
	struct wire_writer w;

	memset(n, 0xa5, sizeof(n));
	n[0] = (uint8_t)(1u << ((bits - 1) % 8));
	n[bytes - 1] = last;
	wire_writer_init(&w, blob, sizeof(blob));
	wire_put_cstr(&w, "ssh-rsa");
	wire_put_mpint(&w, e, n_e);
	wire_put_mpint(&w, n, bytes);
	assert_false(w.failed);
	return parse_blob("ssh-rsa", blob, w.len);
}

static void
test_rsa(void **state)
{
	static const uint8_t f4[] = { 1, 0, 1 };
	static const uint8_t three[] = { 3 };
	static const uint8_t one[] = { 1 };
	static const uint8_t even[] = { 1, 0, 0 };
	static const uint8_t huge[9] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 };
	static const uint8_t large[5] = { 1, 0, 0, 0, 1 };

	(void)state;
	assert_int_equal(parse_rsa(f4, 3, 2048, 1), 0);
	assert_int_equal(parse_rsa(three, 1, 4096, 1), 0);
	assert_int_equal(parse_rsa(f4, 3, 8192, 1), 0);
	assert_int_equal(parse_rsa(f4, 3, 2047, 1), PUBLIC_KEY_E_REFUSED);
	assert_int_equal(parse_rsa(f4, 3, 8193, 1), PUBLIC_KEY_E_REFUSED);
	assert_int_equal(parse_rsa(f4, 3, 2048, 2), PUBLIC_KEY_E_REFUSED); /* an even modulus */
	assert_int_equal(parse_rsa(one, 1, 2048, 1), PUBLIC_KEY_E_REFUSED);
	assert_int_equal(parse_rsa(even, 3, 2048, 1), PUBLIC_KEY_E_REFUSED);
	assert_int_equal(parse_rsa(huge, 9, 2048, 1), PUBLIC_KEY_E_REFUSED);
	/* Above 32 bits the broker verifies with none, so that nobody makes it compute for long. */
	assert_int_equal(parse_rsa(large, 5, 2048, 1), PUBLIC_KEY_E_REFUSED);
}

/* An mpint in a second spelling, or a negative one, would make two blobs of one key. */
static void
test_rsa_spelling(void **state)
{
	uint8_t blob[1024];
	uint8_t n[258] = { 0, 0, 0x80 };

	(void)state;
	n[257] = 1;
	for (size_t from = 0; from < 3; from++) {
		struct wire_writer w;

		wire_writer_init(&w, blob, sizeof(blob));
		wire_put_cstr(&w, "ssh-rsa");
		wire_put_str(&w, "\3", 1);
		wire_put_str(&w, n + from, sizeof(n) - from);
		assert_int_equal(parse_blob("ssh-rsa", blob, w.len),
		    from == 1 ? 0 : PUBLIC_KEY_E_REFUSED);
	}
}

/* Known answers, of whatever the bytes are; ssh-keygen's are in test_policy.c. */
static void
test_fingerprints(void **state)
{
	static const uint8_t zeros[PUBLIC_KEY_BLOB_MAX];
	char text[PUBLIC_KEY_FINGERPRINT_LEN + 1];

	(void)state;
	assert_true(public_key_fingerprint("", 0, text));
	assert_string_equal(text, "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU");
	assert_true(public_key_fingerprint_valid(text));
	assert_true(public_key_fingerprint(zeros, sizeof(zeros), text));
	assert_int_equal(strlen(text), PUBLIC_KEY_FINGERPRINT_LEN);
	assert_true(public_key_fingerprint_valid(text));
	text[PUBLIC_KEY_FINGERPRINT_LEN - 1] = '=';
	assert_false(public_key_fingerprint_valid(text));
	text[PUBLIC_KEY_FINGERPRINT_LEN - 1] = '\0';
	assert_false(public_key_fingerprint_valid(text));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_units_round_trip),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_keys_cut_and_longer),
		cmocka_unit_test(test_point_is_on_its_curve),
		cmocka_unit_test(test_rsa),
		cmocka_unit_test(test_rsa_spelling),
		cmocka_unit_test(test_fingerprints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
