/* SPDX-License-Identifier: Apache-2.0 */
/* transcript: what gets a host key's signature, and each thing that does not, with its reason. */
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "host_key.h"
#include "keys_fixture.h"
#include "ssh_version.h"
#include "transcript.h"

#define CURVE   "curve25519-sha256"
#define STRICT  ",ext-info-c,kex-strict-c-v00@openssh.com"
#define OPENSSH "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10"

static const uint8_t nonce[IPC_NONCE_LEN] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 2,
	3, 4, 5, 6, 7, 0xff };
static char *dir;
static struct host_key_set *keys;
static char server_version[SSH_VERSION_MAX + 16];
static uint8_t buf[16384];

/* What the last check returned. */
static struct {
	const struct host_key *key;
	uint8_t hash[TRANSCRIPT_HASH_MAX];
	size_t len;
} got;

static int
setup(void **state)
{
	char why[1024] = "";

	(void)state;
	dir = dir_make();
	const char *const paths[] = { dir_copy(dir, "ed25519", 0600),
		dir_copy(dir, "rsa2048", 0600), dir_copy(dir, "ecdsa256", 0600), NULL };

	strcpy(server_version, "SSH-2.0-");
	ssh_version_format(nonce, server_version + 8);
	return host_key_set_load(paths, false, &keys, why, sizeof(why));
}

static int
teardown(void **state)
{
	(void)state;
	host_key_set_free(keys);
	dir_remove(dir);
	return 0;
}

static struct exchange
exchange_of(const char *algorithm)
{
	const struct host_key *key = host_key_set_find(keys, algorithm);
	struct exchange e = {
		.client_version = OPENSSH,
		.server_version = server_version,
		.client_exchanges = CURVE ",ecdh-sha2-nistp256" STRICT,
		.client_algorithms = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512",
		.server_exchanges = "ecdh-sha2-nistp256," CURVE ",kex-strict-s-v00@openssh.com",
		.server_algorithms = algorithm,
	};

	assert_non_null(key);
	e.host_key = host_key_blob(key);
	return e;
}

static const char *
check_bytes(struct transcript_state *s, const char *algorithm, size_t len)
{
	struct wire_span t = { buf, len };

	return transcript_check(s, keys, nonce, algorithm, t, &got.key, got.hash, &got.len);
}

static const char *
check(struct transcript_state *s, const char *algorithm, const struct exchange *e)
{
	return check_bytes(s, algorithm, exchange_put(e, buf, sizeof(buf)));
}

static void
accepted(struct transcript_state *s, const char *algorithm, const struct exchange *e)
{
	const char *why = check(s, algorithm, e);

	if (why != NULL)
		fail_msg("refused: %s", why);
}

/* For this reason, and leaving the state as it was. */
static void
refused(struct transcript_state *s, const char *algorithm, const struct exchange *e,
    const char *reason)
{
	struct transcript_state before = *s;
	const char *why = check(s, algorithm, e);

	assert_non_null(why);
	assert_string_equal(why, reason);
	assert_memory_equal(s, &before, sizeof(before));
}

/* ---- the version string ---- */

static void
the_version_is_legal_and_carries_the_nonce(void **state)
{
	char v[SSH_VERSION_MAX];
	char *space;

	(void)state;
	memset(v, 'x', sizeof(v));
	ssh_version_format(nonce, v);
	assert_string_equal(v,
	    "OpenSSH_9.2 sallyport_" SP_VERSION " 0123456789abcdef01020304050607ff");
	assert_true(strlen("SSH-2.0-") + strlen(v) + 2 <= 255);
	space = strchr(v, ' ');
	for (const char *p = v; *p != '\0'; p++) {
		assert_true(isprint((unsigned char)*p));
		assert_true(p > space || *p != '-');
	}
}

/* ---- what is signed ---- */

static void
every_exchange_has_its_hash(void **state)
{
	static const struct {
		const char *name;
		const char *digest;
	} cases[] = {
		{ "curve25519-sha256", "SHA256" },
		{ "curve25519-sha256@libssh.org", "SHA256" },
		{ "ecdh-sha2-nistp256", "SHA256" },
		{ "ecdh-sha2-nistp384", "SHA384" },
		{ "ecdh-sha2-nistp521", "SHA512" },
		{ "diffie-hellman-group14-sha256", "SHA256" },
		{ "diffie-hellman-group16-sha512", "SHA512" },
		{ "diffie-hellman-group18-sha512", "SHA512" },
		{ "sntrup761x25519-sha512", "SHA512" },
		{ "sntrup761x25519-sha512@openssh.com", "SHA512" },
		{ "mlkem768x25519-sha256", "SHA256" },
	};
	uint8_t want[64];
	size_t want_len;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct transcript_state s = { 0 };
		struct exchange e = exchange_of("ssh-ed25519");
		size_t len;

		e.client_exchanges = e.server_exchanges = cases[i].name;
		len = exchange_put(&e, buf, sizeof(buf));
		assert_null(check_bytes(&s, "ssh-ed25519", len));
		assert_int_equal(EVP_Q_digest(NULL, cases[i].digest, NULL, buf, len, want, &want_len),
		    1);
		assert_int_equal(got.len, want_len);
		assert_memory_equal(got.hash, want, want_len);
		assert_int_equal(s.session_id_len, want_len);
		assert_memory_equal(s.session_id, want, want_len);
		assert_int_equal(s.client_version_len, strlen(OPENSSH));
		assert_memory_equal(s.client_version, OPENSSH, strlen(OPENSSH));
	}
}

static void
the_negotiated_key_signs(void **state)
{
	static const char *const algorithms[] = { "ssh-ed25519", "ecdsa-sha2-nistp256",
		"rsa-sha2-512" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(algorithms); i++) {
		struct transcript_state s = { 0 };
		struct exchange e = exchange_of(algorithms[i]);

		accepted(&s, algorithms[i], &e);
		assert_ptr_equal(got.key, host_key_set_find(keys, algorithms[i]));
		assert_ptr_equal(s.host_key, got.key);
	}
}

/* RFC 4253 section 7.1: the client's order decides, not the server's. */
static void
the_first_name_of_the_client_wins(void **state)
{
	struct exchange e = exchange_of("rsa-sha2-512");
	struct transcript_state s = { 0 };

	(void)state;
	e.client_exchanges = "unknown@example,ecdh-sha2-nistp384,ecdh-sha2-nistp521";
	e.server_exchanges = "ecdh-sha2-nistp521,ecdh-sha2-nistp384";
	e.client_algorithms = "ssh-dss,rsa-sha2-512,ssh-ed25519";
	e.server_algorithms = "ssh-ed25519,rsa-sha2-512";
	accepted(&s, "rsa-sha2-512", &e);
	assert_int_equal(got.len, 48);
	s.session_id_len = 0;
	refused(&s, "rsa-sha2-256", &e, "the algorithm is not the negotiated one");
	refused(&s, "ssh-ed25519", &e, "the host key in the transcript is not the one that signs");
	e.host_key = host_key_blob(host_key_set_find(keys, "ssh-ed25519"));
	refused(&s, "ssh-ed25519", &e, "the algorithm is not the negotiated one");
}

/* ---- what is not ---- */

static void
other_servers_and_connections(void **state)
{
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");
	static const char reason[] = "the server version is not this connection's";
	char version[sizeof(server_version) + 1];
	size_t len = strlen(server_version);

	(void)state;
	e.server_version = version;
	for (size_t i = 0; i < len; i++) { /* each bit of the nonce among them */
		strcpy(version, server_version);
		version[i] ^= 1;
		refused(&s, "ssh-ed25519", &e, reason);
		strcpy(version, server_version);
		version[i] = '\0';
		refused(&s, "ssh-ed25519", &e, reason);
	}
	(void)snprintf(version, sizeof(version), "%s ", server_version);
	refused(&s, "ssh-ed25519", &e, reason);
	e.server_version = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10";
	refused(&s, "ssh-ed25519", &e, reason);
}

static void
client_versions(void **state)
{
	static char longest[KEXINIT_VERSION_MAX + 2];
	static const char *const bad[] = { "", "SSH-2.0", "SSH-2.0-", "SSH-1.99-x", "ssh-2.0-x",
		"xSSH-2.0-x" };
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		e.client_version = bad[i];
		refused(&s, "ssh-ed25519", &e, "the client version is not one");
	}
	memset(longest, 'x', sizeof(longest) - 1);
	memcpy(longest, "SSH-2.0-", 8);
	e.client_version = longest;
	refused(&s, "ssh-ed25519", &e, "the client version is not one");
	longest[KEXINIT_VERSION_MAX] = '\0';
	accepted(&s, "ssh-ed25519", &e);
	assert_int_equal(s.client_version_len, KEXINIT_VERSION_MAX);
}

static void
other_host_keys(void **state)
{
	static const char reason[] = "the host key in the transcript is not the one that signs";
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");
	uint8_t blob[FIXTURE_BLOB_MAX];

	(void)state;
	memcpy(blob, e.host_key.data, e.host_key.len);
	e.host_key.data = blob;
	for (size_t i = 0; i < e.host_key.len; i++) {
		blob[i] ^= 4;
		refused(&s, "ssh-ed25519", &e, reason);
		blob[i] ^= 4;
	}
	e.host_key.len--;
	refused(&s, "ssh-ed25519", &e, reason);
	e.host_key.len += 2;
	refused(&s, "ssh-ed25519", &e, reason);
	e.host_key.len = 0;
	refused(&s, "ssh-ed25519", &e, reason);
	e.host_key = host_key_blob(host_key_set_find(keys, "ecdsa-sha2-nistp256"));
	refused(&s, "ssh-ed25519", &e, reason);
	e.host_key.len = data_public("ed25519_pkcs8.pem.pub", blob, sizeof(blob));
	e.host_key.data = blob;
	refused(&s, "ssh-ed25519", &e, reason);
}

static void
algorithms_without_a_key(void **state)
{
	static const char *const names[] = { "", "ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp384",
		"sk-ssh-ed25519@openssh.com", "ssh-ed25519-cert-v01@openssh.com" };
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("rsa-sha2-512");

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		e.client_algorithms = e.server_algorithms = names[i];
		refused(&s, names[i], &e, "no host key for this algorithm");
	}
}

static void
algorithms_that_were_not_negotiated(void **state)
{
	static const struct {
		const char *client;
		const char *server;
	} cases[] = {
		{ "", "" },
		{ "ssh-ed25519", "" },
		{ "", "ssh-ed25519" },
		{ "ssh-ed25519", "ssh-ed2551" },
		{ "ssh-ed25519", "ssh-ed25519x" },
		{ "ssh-ed25519,", ",ssh-rsa" },
		{ "ssh-rsa,ssh-ed25519", "ssh-rsa,ssh-ed25519" }, /* SHA-1 was the choice */
		{ "rsa-sha2-512,ssh-ed25519", "ssh-ed25519,rsa-sha2-512" },
	};
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		e.client_algorithms = cases[i].client;
		e.server_algorithms = cases[i].server;
		refused(&s, "ssh-ed25519", &e, "the algorithm is not the negotiated one");
	}
}

static void
exchanges_that_are_not_allowed(void **state)
{
	static const struct {
		const char *client;
		const char *server;
	} cases[] = {
		{ "diffie-hellman-group14-sha1", "diffie-hellman-group14-sha1" },
		{ "diffie-hellman-group1-sha1", "diffie-hellman-group1-sha1" },
		{ "diffie-hellman-group-exchange-sha256", "diffie-hellman-group-exchange-sha256" },
		{ "curve448-sha512", "curve448-sha512" },
		{ "sha256", "sha256" },
		{ "", "" },
		{ ",,,", ",,," },
		{ CURVE, "ecdh-sha2-nistp256" },
		{ CURVE, "curve25519-sha25" },
		/* the client's first choice is SHA-1, ours would come second */
		{ "diffie-hellman-group14-sha1," CURVE, CURVE ",diffie-hellman-group14-sha1" },
		/* a server that lists the client's markers */
		{ "ext-info-c," CURVE, "ext-info-c," CURVE },
		{ "a-name-of-more-than-64-characters-which-nobody-may-give-to-an-exchange@x",
		    "a-name-of-more-than-64-characters-which-nobody-may-give-to-an-exchange@x" },
	};
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		e.client_exchanges = cases[i].client;
		e.server_exchanges = cases[i].server;
		refused(&s, "ssh-ed25519", &e, "the key exchange is not one that is allowed");
	}
}

/* All names of the one may be compared with all of the other: there are no more than clients and libssh have. */
static void
put_names(char *list, char name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		*list++ = name;
		*list++ = ',';
	}
	strcpy(list, CURVE);
}

static void
more_names_than_anybody_has(void **state)
{
	static char client[2 * 1024 + sizeof(CURVE)];
	static char server[2 * 64 + sizeof(CURVE)];
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");

	(void)state;
	put_names(client, 'c', 1023);
	put_names(server, 's', 63);
	e.client_exchanges = client;
	e.server_exchanges = server;
	accepted(&s, "ssh-ed25519", &e);
	put_names(server, 's', 64);
	refused(&s, "ssh-ed25519", &e, "the server's KEXINIT is malformed");
	put_names(server, ',', 32);
	refused(&s, "ssh-ed25519", &e, "the server's KEXINIT is malformed");
	e.server_exchanges = CURVE;
	e.server_algorithms = server;
	refused(&s, "ssh-ed25519", &e, "the server's KEXINIT is malformed");
	e = exchange_of("ssh-ed25519");
	put_names(client, 'c', 1024);
	e.client_exchanges = client;
	refused(&s, "ssh-ed25519", &e, "the client's KEXINIT is malformed");
}

/* ---- the encoding ---- */

static void
cut_anywhere_it_is_malformed(void **state)
{
	struct transcript_state s = { 0 };
	struct transcript_state zero = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");
	size_t len = exchange_put(&e, buf, sizeof(buf));
	const size_t tail = 3 * 36; /* e, f, K: opaque, so only their absence is seen */

	(void)state;
	for (size_t n = 0; n < len - tail; n++) {
		const char *why = check_bytes(&s, "ssh-ed25519", n);

		assert_non_null(why);
		assert_string_equal(why, "the transcript is malformed");
	}
	assert_string_equal(check_bytes(&s, "ssh-ed25519", len - tail),
	    "the transcript is malformed");
	assert_memory_equal(&s, &zero, sizeof(s));
	assert_null(check_bytes(&s, "ssh-ed25519", len));
}

/* Five strings with the given KEXINITs, and a tail. */
static size_t
put_raw(struct wire_span client, struct wire_span server)
{
	static const uint8_t tail[108];
	struct wire_span blob = host_key_blob(host_key_set_find(keys, "ssh-ed25519"));
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_cstr(&w, OPENSSH);
	wire_put_cstr(&w, server_version);
	wire_put_str(&w, client.data, client.len);
	wire_put_str(&w, server.data, server.len);
	wire_put_str(&w, blob.data, blob.len);
	wire_put_bytes(&w, tail, sizeof(tail));
	assert_false(w.failed);
	return w.len;
}

static void
a_kexinit_is_read_to_its_last_byte(void **state)
{
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");
	uint8_t copy[4096];
	uint8_t bad[1024] = { 0 };
	struct wire_reader r;
	struct wire_span client;
	struct wire_span server;
	struct wire_span cut = { bad, 0 };

	(void)state;
	wire_reader_init(&r, copy, exchange_put(&e, copy, sizeof(copy)));
	(void)wire_get_span(&r);
	(void)wire_get_span(&r);
	client = wire_get_span(&r);
	server = wire_get_span(&r);
	assert_true(client.len < sizeof(bad) && server.len < sizeof(bad));
	memcpy(bad, client.data, client.len);
	for (cut.len = 0; cut.len <= client.len + 1; cut.len++) {
		const char *why = check_bytes(&s, "ssh-ed25519", put_raw(cut, server));

		if (cut.len == client.len)
			assert_null(why);
		else
			assert_string_equal(why, "the client's KEXINIT is malformed");
		s.session_id_len = 0;
	}
	memset(bad, 0, sizeof(bad));
	memcpy(bad, server.data, server.len);
	for (cut.len = 0; cut.len <= server.len + 1; cut.len++) {
		const char *why = check_bytes(&s, "ssh-ed25519", put_raw(client, cut));

		if (cut.len == server.len)
			assert_null(why);
		else
			assert_string_equal(why, "the server's KEXINIT is malformed");
		s.session_id_len = 0;
	}
	bad[0] = 21; /* NEWKEYS */
	cut.len = server.len;
	assert_string_equal(check_bytes(&s, "ssh-ed25519", put_raw(client, cut)),
	    "the server's KEXINIT is malformed");
	assert_string_equal(check_bytes(&s, "ssh-ed25519", put_raw(cut, server)),
	    "the client's KEXINIT is malformed");
}

/* Any byte of it that is changed changes the hash, or is refused: nothing is hashed beside the point. */
static void
every_byte_counts(void **state)
{
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");
	size_t len = exchange_put(&e, buf, sizeof(buf));
	uint8_t hash[TRANSCRIPT_HASH_MAX];
	unsigned hashed = 0;

	(void)state;
	assert_null(check_bytes(&s, "ssh-ed25519", len));
	memcpy(hash, got.hash, got.len);
	for (size_t i = 0; i <= len; i++) {
		struct transcript_state t = { 0 };

		buf[i] ^= 0x20;
		if (check_bytes(&t, "ssh-ed25519", i == len ? len + 1 : len) == NULL) {
			assert_true(memcmp(got.hash, hash, 32) != 0);
			hashed++;
		}
		buf[i] ^= 0x20;
	}
	assert_true(hashed > 108); /* the tail is opaque, so at least that much is not refused */
}

/* ---- rekeys ---- */

static void
a_rekey_keeps_the_session_id(void **state)
{
	struct transcript_state s = { 0 };
	struct transcript_state first;
	struct exchange e = exchange_of("ssh-ed25519");

	(void)state;
	accepted(&s, "ssh-ed25519", &e);
	first = s;
	e.client_exchanges = CURVE;
	e.server_exchanges = "ecdh-sha2-nistp521," CURVE;
	accepted(&s, "ssh-ed25519", &e);
	assert_memory_equal(&s, &first, sizeof(s));
	assert_true(memcmp(got.hash, first.session_id, 32) != 0);
	e = exchange_of("rsa-sha2-512"); /* another key of ours, should a client want it */
	e.client_exchanges = "ecdh-sha2-nistp521";
	e.server_exchanges = "ecdh-sha2-nistp521," CURVE;
	accepted(&s, "rsa-sha2-512", &e);
	assert_int_equal(got.len, 64);
	assert_memory_equal(&s, &first, sizeof(s));
}

static void
a_rekey_is_checked_like_the_first_exchange(void **state)
{
	struct transcript_state s = { 0 };
	struct exchange e = exchange_of("ssh-ed25519");

	(void)state;
	accepted(&s, "ssh-ed25519", &e);
	e.client_exchanges = CURVE;
	accepted(&s, "ssh-ed25519", &e);
	e.server_version = "SSH-2.0-other";
	refused(&s, "ssh-ed25519", &e, "the server version is not this connection's");
	e.server_version = server_version;
	e.client_exchanges = e.server_exchanges = "diffie-hellman-group14-sha1";
	refused(&s, "ssh-ed25519", &e, "the key exchange is not one that is allowed");
	e = exchange_of("ssh-ed25519");
	e.client_exchanges = CURVE;
	e.client_version = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u11";
	refused(&s, "ssh-ed25519", &e, "rekey with another client version");
	e.client_version = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u1";
	refused(&s, "ssh-ed25519", &e, "rekey with another client version");
}

/* A worker has its own login, and somebody else's first exchange to be signed "as a rekey". */
static void
a_first_exchange_is_no_rekey(void **state)
{
	static const char *const clients[] = { "SSH-2.0-OpenSSH_9.2p1",
		"SSH-2.0-OpenSSH_for_Windows_9.5", "SSH-2.0-libssh_0.10.6",
		"SSH-2.0-PuTTY_Release_0.78" };
	static const char *const lists[] = { CURVE ",ext-info-c", "ext-info-c," CURVE,
		CURVE ",kex-strict-c-v00@openssh.com", CURVE STRICT };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(clients); i++) {
		struct transcript_state s = { 0 };
		struct exchange e = exchange_of("ssh-ed25519");

		e.client_version = clients[i];
		accepted(&s, "ssh-ed25519", &e);
		for (size_t j = 0; j < SP_ARRAY_LEN(lists); j++) {
			e.client_exchanges = lists[j];
			refused(&s, "ssh-ed25519", &e, "rekey with the KEXINIT of a first exchange");
		}
		e.client_exchanges = CURVE ",ext-info-cc"; /* another name */
		accepted(&s, "ssh-ed25519", &e);
	}
}

/* ---- what real clients send ---- */

/* The recorded exchange with this connection's version string and our host key in their places. */
static size_t
put_recorded(const char *name)
{
	struct wire_span blob = host_key_blob(host_key_set_find(keys, "ssh-ed25519"));
	uint8_t file[8192];
	struct wire_span part[5];
	struct wire_reader r;
	struct wire_writer w;

	wire_reader_init(&r, file, data_read(name, file, sizeof(file)));
	for (size_t i = 0; i < SP_ARRAY_LEN(part); i++)
		part[i] = wire_get_span(&r);
	assert_false(r.failed);
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_str(&w, part[0].data, part[0].len);
	wire_put_cstr(&w, server_version);
	wire_put_str(&w, part[2].data, part[2].len);
	wire_put_str(&w, part[3].data, part[3].len);
	wire_put_str(&w, blob.data, blob.len);
	wire_put_bytes(&w, r.next, r.left);
	assert_false(w.failed);
	return w.len;
}

static void
recorded_clients_pass(void **state)
{
	static const struct {
		const char *first;
		const char *rekey;
		bool first_again; /* the client repeats the markers of a first exchange */
	} cases[] = {
		{ "exchange_openssh_first", "exchange_openssh_rekey", false },
		{ "exchange_mlkem_first", "exchange_mlkem_rekey", false },
		{ "exchange_dropbear_first", "exchange_dropbear_rekey", true },
		{ "exchange_putty_first", NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct transcript_state s = { 0 };
		const char *why;

		assert_null(check_bytes(&s, "ssh-ed25519", put_recorded(cases[i].first)));
		if (cases[i].rekey != NULL)
			assert_null(check_bytes(&s, "ssh-ed25519", put_recorded(cases[i].rekey)));
		why = check_bytes(&s, "ssh-ed25519", put_recorded(cases[i].first));
		if (cases[i].first_again)
			assert_null(why);
		else
			assert_string_equal(why, "rekey with the KEXINIT of a first exchange");
	}
}

/* As they were recorded they belong to another server and another connection. */
static void
recorded_exchanges_cannot_be_replayed(void **state)
{
	static const char *const names[] = { "exchange_openssh_first", "exchange_mlkem_first",
		"exchange_dropbear_first", "exchange_putty_first" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		struct transcript_state s = { 0 };
		const char *why =
		    check_bytes(&s, "ssh-ed25519", data_read(names[i], buf, sizeof(buf)));

		assert_non_null(why);
		assert_string_equal(why, "the server version is not this connection's");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_version_is_legal_and_carries_the_nonce),
		cmocka_unit_test(every_exchange_has_its_hash),
		cmocka_unit_test(the_negotiated_key_signs),
		cmocka_unit_test(the_first_name_of_the_client_wins),
		cmocka_unit_test(other_servers_and_connections),
		cmocka_unit_test(client_versions),
		cmocka_unit_test(other_host_keys),
		cmocka_unit_test(algorithms_without_a_key),
		cmocka_unit_test(algorithms_that_were_not_negotiated),
		cmocka_unit_test(more_names_than_anybody_has),
		cmocka_unit_test(exchanges_that_are_not_allowed),
		cmocka_unit_test(cut_anywhere_it_is_malformed),
		cmocka_unit_test(a_kexinit_is_read_to_its_last_byte),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(a_rekey_keeps_the_session_id),
		cmocka_unit_test(a_rekey_is_checked_like_the_first_exchange),
		cmocka_unit_test(a_first_exchange_is_no_rekey),
		cmocka_unit_test(recorded_clients_pass),
		cmocka_unit_test(recorded_exchanges_cannot_be_replayed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
