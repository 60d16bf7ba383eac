/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that has been taken over, for the tests: the real broker starts it instead of sallyportd.
 * It needs no client, because whoever owns a worker can play the client too. It forges logins in the
 * ways of the table below, one for each connection, and says on its log how the broker reacted:
 *
 *   evil CASE: accepted | refused | killed-soon (the pair ended) | ...
 *
 * The file "evil.conf" beside the program says which: case, user, path of the user's public key blob
 * (base64), path of a PEM private key that signs where a case needs a genuine signature.
 * Never installed, never linked into anything else.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc_chan.h"
#include "ipc_msg.h"
#include "ssh_version.h"

static struct {
	char name[64];
	char user[128];
	uint8_t blob[IPC_BLOB_MAX];
	size_t blob_len;
	EVP_PKEY *key;
} conf;

static struct ipc_hello hello;
static uint8_t hello_record[IPC_RECORD_MAX];
static uint8_t record[IPC_RECORD_MAX];
static uint8_t answer[IPC_RECORD_MAX];

struct exchange {
	uint8_t transcript[8192];
	size_t len;
	uint8_t hash[32];
};

static _Noreturn void
say(const char *what)
{
	dprintf(2, "evil %s: %s\n", conf.name, what);
	_exit(0);
}

static void
read_conf(void)
{
	char path[4096];
	char blob_path[1024];
	char key_path[1024];
	char base64[IPC_BLOB_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	FILE *f;

	if (n <= 0)
		_exit(9);
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, "evil.conf");
	f = fopen(path, "re");
	if (f == NULL ||
	    fscanf(f, "%63s %127s %1023s %1023s", conf.name, conf.user, blob_path, key_path) != 4)
		_exit(9);
	fclose(f);
	f = fopen(blob_path, "re");
	if (f == NULL || fscanf(f, "%16383s", base64) != 1)
		_exit(9);
	fclose(f);
	n = EVP_DecodeBlock(conf.blob, (uint8_t *)base64, (int)strlen(base64));
	for (size_t i = strlen(base64); i > 0 && base64[i - 1] == '='; i--)
		n--;
	conf.blob_len = (size_t)n;
	f = fopen(key_path, "re");
	if (f != NULL) {
		conf.key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		fclose(f);
	}
}

/* Send what was written; wait for one answer. Its id, or -1: the broker ended the pair. */
static int
ask(const struct wire_writer *w, struct wire_reader *ret)
{
	size_t len;

	if (w->failed || ipc_chan_send_plain(IPC_FD, w->data, w->len, 0) != 0 ||
	    ipc_chan_recv(IPC_FD, answer, sizeof(answer), &len, 0) != 0)
		return -1;
	wire_reader_init(ret, answer, len);
	return wire_get_u8(ret);
}

static void
put_kexinit(struct wire_writer *out, const char *exchanges)
{
	static const char *const rest[] = { "ssh-ed25519", "chacha20-poly1305@openssh.com",
		"chacha20-poly1305@openssh.com", "hmac-sha2-256", "hmac-sha2-256", "none", "none",
		"", "" };
	uint8_t buf[2048];
	uint8_t cookie[16] = { 7 };
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, 20);
	wire_put_bytes(&w, cookie, sizeof(cookie));
	wire_put_cstr(&w, exchanges);
	for (size_t i = 0; i < SP_ARRAY_LEN(rest); i++)
		wire_put_cstr(&w, rest[i]);
	wire_put_u8(&w, 0);
	wire_put_u32(&w, 0);
	wire_put_str(out, w.data, w.len);
}

/* The exchange of an honest connection, but with any nonce and any list of the client's. */
static void
make_exchange(struct exchange *x, const uint8_t nonce[IPC_NONCE_LEN], const char *client_exchanges)
{
	char version[SSH_VERSION_MAX + 16] = "SSH-2.0-";
	uint8_t e[32] = { 1 };
	uint8_t f[32] = { 2 };
	uint8_t k[32] = { 3 };
	struct wire_writer w;

	ssh_version_format(nonce, version + strlen(version));
	wire_writer_init(&w, x->transcript, sizeof(x->transcript));
	wire_put_cstr(&w, "SSH-2.0-OpenSSH_9.2p1");
	wire_put_cstr(&w, version);
	put_kexinit(&w, client_exchanges);
	put_kexinit(&w, "curve25519-sha256");
	wire_put_str(&w, hello.host_keys[0].data, hello.host_keys[0].len);
	wire_put_str(&w, e, sizeof(e));
	wire_put_str(&w, f, sizeof(f));
	wire_put_mpint(&w, k, sizeof(k));
	x->len = w.len;
	(void)EVP_Digest(x->transcript, x->len, x->hash, NULL, EVP_sha256(), NULL);
}

#define FIRST "curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com"

static int
ask_sign(const struct exchange *x, const char *algorithm)
{
	struct ipc_req_sign m = { .transcript = { x->transcript, x->len } };
	struct wire_writer w;
	struct wire_reader r;

	strcpy(m.algorithm, algorithm);
	wire_writer_init(&w, record, sizeof(record));
	ipc_put_req_sign(&w, &m);
	return ask(&w, &r);
}

/* The user's genuine signature, for the given session id and user name. */
static size_t
sign_login(const uint8_t hash[32], const char *user, uint8_t sig[IPC_SIG_MAX])
{
	uint8_t data[IPC_BLOB_MAX];
	struct wire_writer w;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = IPC_SIG_MAX;

	wire_writer_init(&w, data, sizeof(data));
	wire_put_str(&w, hash, 32);
	wire_put_u8(&w, 50);
	wire_put_cstr(&w, user);
	wire_put_cstr(&w, "ssh-connection");
	wire_put_cstr(&w, "publickey");
	wire_put_u8(&w, 1);
	wire_put_cstr(&w, "ssh-ed25519");
	wire_put_str(&w, conf.blob, conf.blob_len);
	if (conf.key == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, conf.key) != 1 ||
	    EVP_DigestSign(ctx, sig, &len, w.data, w.len) != 1)
		say("cannot sign");
	EVP_MD_CTX_free(ctx);
	return len;
}

/* "accepted", "refused" or "killed". */
static const char *
try_auth(const char *user, const char *algorithm, const uint8_t *sig, size_t len, size_t blob_len)
{
	struct ipc_req_auth m = { .user = { (const uint8_t *)user, strlen(user) },
		.blob = { conf.blob, blob_len },
		.signature = { sig, len } };
	static struct ipc_ans_auth a;
	struct wire_writer w;
	struct wire_reader r;
	int id;

	strcpy(m.algorithm, algorithm);
	wire_writer_init(&w, record, sizeof(record));
	ipc_put_req_auth(&w, &m);
	id = ask(&w, &r);
	if (id != IPC_ANS_AUTH || ipc_get_ans_auth(&r, &a) != 0)
		return "killed";
	return a.accepted ? "accepted" : "refused";
}

static const char *
try_start(void)
{
	struct ipc_req_start m = { .kind = IPC_START_EXEC, .command = { (const uint8_t *)"id", 2 } };
	struct wire_writer w;
	struct wire_reader r;
	struct ipc_ans_start a;

	wire_writer_init(&w, record, sizeof(record));
	ipc_put_req_start(&w, &m);
	if (ask(&w, &r) != IPC_ANS_START || ipc_get_ans_start(&r, &a) != 0)
		return "killed";
	return a.result == IPC_START_OK ? "started" : "not-started";
}

static void
first_exchange(struct exchange *x)
{
	make_exchange(x, hello.nonce, FIRST);
	if (ask_sign(x, "ssh-ed25519") != IPC_ANS_SIGN)
		say("no signature for an honest exchange");
}

static void
login(struct exchange *x)
{
	uint8_t sig[IPC_SIG_MAX];
	size_t len;

	first_exchange(x);
	len = sign_login(x->hash, conf.user, sig);
	if (strcmp(try_auth(conf.user, "ssh-ed25519", sig, len, conf.blob_len), "accepted") != 0)
		say("no login for an honest signature");
}

/* ---- the cases ---- */

static const char *
honest(void)
{
	struct exchange x;

	login(&x);
	return try_start();
}

static const char *
never_asked(void)
{
	struct exchange x;

	first_exchange(&x);
	return try_start();
}

static const char *
start_at_once(void)
{
	return try_start();
}

static const char *
invented_signature(void)
{
	struct exchange x;
	uint8_t sig[64];

	first_exchange(&x);
	memset(sig, 0x41, sizeof(sig));
	if (strcmp(try_auth(conf.user, "ssh-ed25519", sig, 64, conf.blob_len), "refused") != 0)
		return "not refused";
	return try_start();
}

/* Genuine, but of another connection: another nonce, so another session id. */
static const char *
replayed_login(void)
{
	uint8_t other[IPC_NONCE_LEN] = { 9 };
	uint8_t sig[IPC_SIG_MAX];
	struct exchange old;
	struct exchange x;
	size_t len;

	first_exchange(&x);
	make_exchange(&old, other, FIRST);
	len = sign_login(old.hash, conf.user, sig);
	return try_auth(conf.user, "ssh-ed25519", sig, len, conf.blob_len);
}

/* The key is good for both users; the signature was made for the other one. */
static const char *
other_user(void)
{
	uint8_t sig[IPC_SIG_MAX];
	struct exchange x;
	size_t len;

	first_exchange(&x);
	len = sign_login(x.hash, "somebody", sig);
	return try_auth(conf.user, "ssh-ed25519", sig, len, conf.blob_len);
}

static const char *
second_signature(void)
{
	struct exchange x;

	first_exchange(&x);
	return ask_sign(&x, "ssh-ed25519") == IPC_ANS_SIGN ? "signed" : "killed";
}

/* A recorded exchange signed again would make its session id ours, and its login replayable. */
static const char *
old_exchange(void)
{
	uint8_t other[IPC_NONCE_LEN] = { 9 };
	struct exchange x;

	make_exchange(&x, other, FIRST);
	return ask_sign(&x, "ssh-ed25519") == IPC_ANS_SIGN ? "signed" : "killed";
}

static const char *
opaque_hash(void)
{
	struct exchange x;

	memset(x.transcript, 7, 32);
	x.len = 32;
	return ask_sign(&x, "ssh-ed25519") == IPC_ANS_SIGN ? "signed" : "killed";
}

static const char *
sha1_exchange(void)
{
	struct exchange x;

	make_exchange(&x, hello.nonce, "diffie-hellman-group14-sha1");
	return ask_sign(&x, "ssh-ed25519") == IPC_ANS_SIGN ? "signed" : "killed";
}

static const char *
other_algorithm(void)
{
	struct exchange x;

	make_exchange(&x, hello.nonce, FIRST);
	return ask_sign(&x, "rsa-sha2-512") == IPC_ANS_SIGN ? "signed" : "killed";
}

/* Logged in, and now another client's first exchange as a "rekey": impersonating the host. */
static const char *
rekey_oracle(void)
{
	struct exchange x;

	login(&x);
	make_exchange(&x, hello.nonce, FIRST);
	return ask_sign(&x, "ssh-ed25519") == IPC_ANS_SIGN ? "signed" : "killed";
}

static const char *
honest_rekey(void)
{
	struct exchange x;

	login(&x);
	make_exchange(&x, hello.nonce, "curve25519-sha256");
	return ask_sign(&x, "ssh-ed25519") == IPC_ANS_SIGN ? "signed" : "killed";
}

static const char *
auth_before_exchange(void)
{
	uint8_t sig[64] = { 0 };

	return try_auth(conf.user, "ssh-ed25519", sig, 64, conf.blob_len);
}

static const char *
blob_with_trailing_byte(void)
{
	uint8_t sig[IPC_SIG_MAX];
	struct exchange x;
	size_t len;

	first_exchange(&x);
	len = sign_login(x.hash, conf.user, sig);
	conf.blob[conf.blob_len] = 0;
	return try_auth(conf.user, "ssh-ed25519", sig, len, conf.blob_len + 1);
}

static const char *
wrong_algorithm(void)
{
	uint8_t sig[IPC_SIG_MAX];
	struct exchange x;
	size_t len;

	first_exchange(&x);
	len = sign_login(x.hash, conf.user, sig);
	return try_auth(conf.user, "ssh-rsa", sig, len, conf.blob_len);
}

static const char *
many_attempts(void)
{
	uint8_t sig[64] = { 0 };
	struct exchange x;

	first_exchange(&x);
	for (int i = 0; i < 100; i++) {
		const char *r = try_auth(conf.user, "ssh-ed25519", sig, 64, conf.blob_len);

		if (strcmp(r, "refused") != 0)
			return r;
	}
	return "refused a hundred times";
}

static const char *
second_login(void)
{
	uint8_t sig[IPC_SIG_MAX];
	struct exchange x;
	size_t len;

	login(&x);
	len = sign_login(x.hash, conf.user, sig);
	return try_auth(conf.user, "ssh-ed25519", sig, len, conf.blob_len);
}

static const char *
too_many_channels(void)
{
	struct wire_writer w;
	struct wire_reader r;
	struct exchange x;

	login(&x);
	for (uint32_t i = 0; i < IPC_CHANNEL_MAX; i++) {
		struct ipc_req_start m = { .channel = i,
			.kind = IPC_START_EXEC,
			.command = { (const uint8_t *)"sleep 9", 7 } };

		wire_writer_init(&w, record, sizeof(record));
		ipc_put_req_start(&w, &m);
		if (ask(&w, &r) != IPC_ANS_START)
			return "killed";
	}
	return "sixty-four started";
}

/* 253 descriptors with each of many records: none may stay in the broker. */
static const char *
smuggled_descriptors(void)
{
	struct exchange x;
	int fds[4] = { 2, 2, 2, 2 };
	struct wire_writer w;

	login(&x);
	for (int i = 0; i < 1000; i++) {
		wire_writer_init(&w, record, sizeof(record));
		ipc_put_req_close(&w, &(struct ipc_req_close){ .channel = 1 });
		if (ipc_chan_send(IPC_FD, w.data, w.len, fds, 4, 0) != 0)
			return "killed";
	}
	return "ignored";
}

static const char *
never_reads(void)
{
	struct wire_writer w;
	struct exchange x;

	login(&x);
	for (int i = 0; i < 100000; i++) {
		struct ipc_req_start m = { .kind = IPC_START_EXEC,
			.command = { (const uint8_t *)"", 0 } };

		wire_writer_init(&w, record, sizeof(record));
		ipc_put_req_start(&w, &m);
		if (ipc_chan_send_plain(IPC_FD, w.data, w.len, 0) != 0)
			return "killed";
	}
	return "endured";
}

static const char *
garbage(void)
{
	uint8_t junk[64];

	memset(junk, 0xff, sizeof(junk));
	return ipc_chan_send_plain(IPC_FD, junk, sizeof(junk), 0) == 0 &&
		recv(IPC_FD, junk, sizeof(junk), 0) > 0
	    ? "answered"
	    : "killed";
}

static const char *
record_too_long(void)
{
	static uint8_t big[IPC_RECORD_MAX + 1] = { IPC_REQ_SIGN };

	return ipc_chan_send_plain(IPC_FD, big, sizeof(big), 0) == 0 &&
		recv(IPC_FD, big, sizeof(big), 0) > 0
	    ? "answered"
	    : "killed";
}

static const struct {
	const char *name;
	const char *(*run)(void);
} cases[] = {
	{ "honest", honest },
	{ "honest-rekey", honest_rekey },
	{ "never-asked", never_asked },
	{ "start-at-once", start_at_once },
	{ "invented-signature", invented_signature },
	{ "replayed-login", replayed_login },
	{ "other-user", other_user },
	{ "second-signature", second_signature },
	{ "old-exchange", old_exchange },
	{ "opaque-hash", opaque_hash },
	{ "sha1-exchange", sha1_exchange },
	{ "other-algorithm", other_algorithm },
	{ "rekey-oracle", rekey_oracle },
	{ "auth-before-exchange", auth_before_exchange },
	{ "blob-with-trailing-byte", blob_with_trailing_byte },
	{ "wrong-algorithm", wrong_algorithm },
	{ "many-attempts", many_attempts },
	{ "second-login", second_login },
	{ "too-many-channels", too_many_channels },
	{ "smuggled-descriptors", smuggled_descriptors },
	{ "never-reads", never_reads },
	{ "garbage", garbage },
	{ "record-too-long", record_too_long },
};

int
main(void)
{
	struct wire_reader r;
	struct wire_writer w;
	int client = -1;
	unsigned n_fds = 0;
	size_t len;

	if (ipc_chan_recv(IPC_FD, hello_record, sizeof(hello_record), &len, 0) != 0)
		return 9;
	wire_reader_init(&r, hello_record, len);
	if (wire_get_u8(&r) != IPC_HELLO || ipc_get_hello(&r, &hello) != 0)
		return 9;
	wire_writer_init(&w, record, sizeof(record));
	ipc_put_ready(&w, &(struct ipc_ready){ .version = IPC_VERSION });
	if (ipc_chan_send_plain(IPC_FD, w.data, w.len, 0) != 0 ||
	    ipc_chan_recv_fds(IPC_FD, record, sizeof(record), &len, &client, 1, &n_fds, 0) != 0)
		return 9;
	read_conf();
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		if (strcmp(cases[i].name, conf.name) == 0)
			say(cases[i].run());
	}
	say("no such case");
}
