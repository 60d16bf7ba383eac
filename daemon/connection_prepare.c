/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: before the lock-down and before there is a client: libssh's options, and the public halves of the
 * host keys. What comes here is the broker's.
 */
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "connection.h"
#include "dummy_key.h"
#include "hooks.h"
#include "ssh_version.h"

/*
 * What ssh-audit has nothing against, and stock clients can do. No SHA-1, no NIST curves, no group below
 * 3072 bits, no group exchange (it opens a file), and none so large that a stranger's first packet costs
 * much. The post-quantum ones come first; libssh leaves out what it does not know, before 0.12 these.
 */
#define EXCHANGES                                                                          \
	"mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com," \
	"curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group16-sha512"
/* Where the configuration has it, behind these: for clients older than X25519, and than groups of 4096 bits. */
#define OLDER_EXCHANGES \
	"ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group14-sha256"
/* ChaCha20 first: libssh before Debian's deb12u3 did not verify the tags of AES-GCM. */
#define CIPHERS                                                                                  \
	"chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr,aes256-gcm@openssh.com," \
	"aes128-gcm@openssh.com"
/* The last is for libssh2 before 1.11, which has nothing better. */
#define MACS "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256"
#define USER_KEYS                                                                               \
	"ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512," \
	"rsa-sha2-256,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com"

static bool
public_half_is(ssh_key key, struct wire_span blob)
{
	static uint8_t bytes[IPC_BLOB_MAX];
	char *base64 = NULL;
	size_t len;
	bool same = false;

	if (ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK)
		return false;
	len = strlen(base64);
	if (len / 4 * 3 <= sizeof(bytes)) {
		int n = EVP_DecodeBlock(bytes, (const uint8_t *)base64, (int)len);

		same = n >= 0 && (size_t)n >= blob.len && (size_t)n <= blob.len + 2 &&
		    memcmp(bytes, blob.data, blob.len) == 0;
	}
	ssh_string_free_char(base64);
	return same;
}

static bool
add_host_key(struct connection *c, struct wire_span blob, char *why, size_t cap)
{
	static char text[DUMMY_KEY_TEXT_MAX];
	ssh_key key = NULL;

	if (dummy_key_format(blob, text) < 0 ||
	    ssh_pki_import_privkey_base64(text, NULL, NULL, NULL, &key) != SSH_OK) {
		(void)snprintf(why, cap, "libssh does not import a host key");
		return false;
	}
	/* A library that derives the public half from our worthless private one shows here. */
	if (!public_half_is(key, blob)) {
		ssh_key_free(key);
		(void)snprintf(why, cap, "libssh changed the public half of a host key");
		return false;
	}
	if (ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK) {
		ssh_key_free(key);
		(void)snprintf(why, cap, "libssh does not take a host key");
		return false;
	}
	return true;
}

/* Signature algorithms of the host keys that we have, in the order of the keys. */
static void
host_key_algorithms(const struct ipc_hello *hello, char *out, size_t cap)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < hello->n_host_keys; i++) {
		char type[IPC_ALGO_MAX + 1];
		struct wire_reader r;

		wire_reader_init(&r, hello->host_keys[i].data, hello->host_keys[i].len);
		wire_get_cstr(&r, type, sizeof(type));
		len += (size_t)snprintf(out + len, cap - len, "%s%s", len > 0 ? "," : "",
		    strcmp(type, "ssh-rsa") == 0 ? "rsa-sha2-512,rsa-sha2-256" : type);
		if (len >= cap)
			return;
	}
}

static bool
set_bind_options(struct connection *c, const struct ipc_hello *hello)
{
	char version[SSH_VERSION_MAX];
	char host_keys[512];
	bool no_files = false;
	const char *exchanges = hello->older_clients ? EXCHANGES "," OLDER_EXCHANGES : EXCHANGES;
	int rsa_bits = 2048;

	ssh_version_format(hello->nonce, version);
	host_key_algorithms(hello, host_keys, sizeof(host_keys));
	hooks_accept_keys(USER_KEYS);
	if (ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no_files) != SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_BANNER, version) != SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, host_keys) != SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_CIPHERS_C_S, CIPHERS) != SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_CIPHERS_S_C, CIPHERS) != SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_HMAC_C_S, MACS) != SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_HMAC_S_C, MACS) != SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, USER_KEYS) !=
		SSH_OK ||
	    ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_RSA_MIN_SIZE, &rsa_bits) != SSH_OK)
		return false;
	return ssh_bind_options_set(c->bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, exchanges) == SSH_OK;
}

static bool
set_session_options(struct connection *c, const struct ipc_hello *hello)
{
	uint64_t rekey = (uint64_t)hello->rekey_mib * 1024 * 1024;

	/* "no" would still allow zlib@openssh.com. */
	if (ssh_options_set(c->session, SSH_OPTIONS_COMPRESSION_C_S, "none") != SSH_OK ||
	    ssh_options_set(c->session, SSH_OPTIONS_COMPRESSION_S_C, "none") != SSH_OK)
		return false;
	return rekey == 0 || ssh_options_set(c->session, SSH_OPTIONS_REKEY_DATA, &rekey) == SSH_OK;
}

bool
connection_prepare(struct connection *c, const struct ipc_hello *hello, char *why, size_t cap)
{
	c->login_tries = hello->login_tries > 0 ? hello->login_tries : 1;
	c->keepalive_seconds = hello->keepalive_seconds;
	c->keepalive_count = hello->keepalive_count;
	if (hello->banner.len > 0)
		c->banner = strndup((const char *)hello->banner.data, hello->banner.len);
	c->bind = ssh_bind_new();
	c->session = ssh_new();
	if (c->bind == NULL || c->session == NULL || !set_bind_options(c, hello) ||
	    !set_session_options(c, hello)) {
		(void)snprintf(why, cap, "libssh does not take its options: %s",
		    c->bind != NULL ? ssh_get_error(c->bind) : "out of memory");
		return false;
	}
	for (uint32_t i = 0; i < hello->n_host_keys; i++) {
		if (!add_host_key(c, hello->host_keys[i], why, cap))
			return false;
	}
	return true;
}
