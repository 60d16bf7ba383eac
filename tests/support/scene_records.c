/* SPDX-License-Identifier: Apache-2.0 */
/* Valid records, as an honest worker of the scene would send them, and the keys behind them. */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "fuzz_check.h"
#include "ipc_msg.h"
#include "scene_private.h"
#include "ssh_version.h"

static EVP_PKEY *user_keys[SCENE_USERS + 1];
static uint8_t user_blobs[SCENE_USERS + 1][51];

void
scene_make_users(void)
{
	static const uint8_t head[] = "\0\0\0\x0bssh-ed25519\0\0\0\x20";

	for (unsigned i = 0; i <= SCENE_USERS; i++) {
		uint8_t seed[32];
		size_t len = 32;

		memset(seed, (int)i + 1, sizeof(seed));
		user_keys[i] = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
		memcpy(user_blobs[i], head, 19);
		FUZZ_CHECK(user_keys[i] != NULL &&
		    EVP_PKEY_get_raw_public_key(user_keys[i], user_blobs[i] + 19, &len) == 1);
	}
}

void
scene_key_line(enum scene_user user, char line[SCENE_KEY_LINE])
{
	strcpy(line, "ssh-ed25519 ");
	(void)EVP_EncodeBlock((uint8_t *)line + 12, user_blobs[user], sizeof(user_blobs[user]));
}

size_t
scene_put_ready(uint8_t *out, size_t cap)
{
	struct wire_writer w;

	wire_writer_init(&w, out, cap);
	ipc_put_ready(&w, &(struct ipc_ready){ .version = IPC_VERSION });
	return w.failed ? 0 : w.len;
}

static void
put_kexinit(struct wire_writer *w, bool rekey)
{
	uint8_t buf[512];
	struct wire_writer k;

	wire_writer_init(&k, buf, sizeof(buf));
	wire_put_u8(&k, 20);
	wire_put_bytes(&k, "0123456789abcdef", 16);
	wire_put_cstr(&k, rekey ? "curve25519-sha256" : "curve25519-sha256,ext-info-c");
	wire_put_cstr(&k, "ssh-ed25519");
	for (unsigned i = 0; i < 8; i++)
		wire_put_cstr(&k, "none");
	wire_put_u8(&k, 0);
	wire_put_u32(&k, 0);
	wire_put_str(w, k.data, k.len);
}

static size_t
put_transcript(const struct scene_worker *w, bool rekey, uint8_t *out, size_t cap)
{
	char version[SSH_VERSION_MAX + 16] = "SSH-2.0-";
	uint8_t opaque[100] = { 0, 0, 0, 32, 1 };
	struct wire_writer t;

	wire_writer_init(&t, out, cap);
	ssh_version_format(w->nonce, version + strlen(version));
	wire_put_cstr(&t, "SSH-2.0-OpenSSH_9.9");
	wire_put_cstr(&t, version);
	put_kexinit(&t, rekey);
	put_kexinit(&t, false);
	wire_put_str(&t, w->host_key, w->host_key_len);
	wire_put_bytes(&t, opaque, sizeof(opaque));
	return t.failed ? 0 : t.len;
}

size_t
scene_put_sign(const struct scene_worker *w, bool rekey, uint8_t *out, size_t cap)
{
	uint8_t transcript[4096];
	size_t n = put_transcript(w, rekey, transcript, sizeof(transcript));
	struct ipc_req_sign m = { .algorithm = "ssh-ed25519", .transcript = { transcript, n } };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_sign(&r, &m);
	return r.failed ? 0 : r.len;
}

static struct wire_span
span(const char *text)
{
	return (struct wire_span){ (const uint8_t *)text, strlen(text) };
}

size_t
scene_put_query(enum scene_user user, enum scene_user key, uint8_t *out, size_t cap)
{
	struct ipc_req_query m = { .user = span(scene_names[user]),
		.blob = { user_blobs[key], sizeof(user_blobs[key]) } };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_query(&r, &m);
	return r.failed ? 0 : r.len;
}

/* RFC 4252 section 7, over the session id of the genuine first exchange. */
size_t
scene_put_auth(const struct scene_worker *w, enum scene_user user, uint8_t *out, size_t cap)
{
	uint8_t transcript[4096];
	uint8_t session[SHA256_DIGEST_LENGTH];
	uint8_t data[1024];
	uint8_t sig[64];
	size_t sig_len = sizeof(sig);
	struct wire_writer d;
	struct wire_writer r;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct ipc_req_auth m = { .user = span(scene_names[user]),
		.algorithm = "ssh-ed25519",
		.blob = { user_blobs[user], sizeof(user_blobs[user]) } };

	(void)SHA256(transcript, put_transcript(w, false, transcript, sizeof(transcript)), session);
	wire_writer_init(&d, data, sizeof(data));
	wire_put_str(&d, session, sizeof(session));
	wire_put_u8(&d, 50);
	wire_put_cstr(&d, scene_names[user]);
	wire_put_cstr(&d, "ssh-connection");
	wire_put_cstr(&d, "publickey");
	wire_put_u8(&d, 1);
	wire_put_cstr(&d, "ssh-ed25519");
	wire_put_str(&d, m.blob.data, m.blob.len);
	FUZZ_CHECK(ctx != NULL && !d.failed);
	FUZZ_CHECK(EVP_DigestSignInit(ctx, NULL, NULL, NULL, user_keys[user]) == 1);
	FUZZ_CHECK(EVP_DigestSign(ctx, sig, &sig_len, d.data, d.len) == 1);
	EVP_MD_CTX_free(ctx);
	m.signature = (struct wire_span){ sig, sig_len };
	wire_writer_init(&r, out, cap);
	ipc_put_req_auth(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_start(uint32_t channel, bool shell, bool pty, const char *command, uint8_t *out, size_t cap)
{
	struct ipc_req_start m = { .channel = channel,
		.kind = shell ? IPC_START_SHELL : IPC_START_EXEC,
		.command = span(shell ? "" : command),
		.want_pty = pty,
		.pty = { .term = "xterm", .columns = 80, .rows = 24 },
		.n_env = 2,
		.env = { { span("LANG"), span("C.UTF-8") }, { span("USER"), span("root") } } };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_start(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_drawing(uint32_t channel, uint32_t listener, uint8_t *out, size_t cap)
{
	struct ipc_req_start m = { .channel = channel,
		.kind = IPC_START_EXEC,
		.command = span("xterm"),
		.want_display = true,
		.display = { listener, IPC_X11_FIRST, 0 } };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_start(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_close(uint32_t channel, uint8_t *out, size_t cap)
{
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_close(&r, &(struct ipc_req_close){ channel, 1, 2 });
	return r.failed ? 0 : r.len;
}

size_t
scene_put_activity(uint64_t in, uint32_t idle_seconds, uint8_t *out, size_t cap)
{
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_activity(&r, &(struct ipc_activity){ in, in / 2, idle_seconds });
	return r.failed ? 0 : r.len;
}

size_t
scene_put_forward(uint32_t channel, const char *host, uint32_t port, uint8_t *out, size_t cap)
{
	struct ipc_req_forward m = { .channel = channel, .host = span(host), .port = port };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_forward(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_listen(uint32_t channel, const char *host, uint32_t port, uint8_t *out, size_t cap)
{
	struct ipc_req_listen m = { .channel = channel,
		.kind = host != NULL ? IPC_LISTEN_TCP
		    : port == 0      ? IPC_LISTEN_AGENT
				     : IPC_LISTEN_X11,
		.host = span(host != NULL ? host : ""),
		.port = port,
		.name = span("MIT-MAGIC-COOKIE-1"),
		.cookie = span("0123456789abcdef") };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_listen(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_accepted(uint32_t channel, uint32_t listener, uint8_t *out, size_t cap)
{
	struct ipc_accepted m = { channel, listener, span("127.0.0.1"), 4242 };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_accepted(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_refused(uint8_t kind, const char *detail, uint8_t *out, size_t cap)
{
	struct ipc_refused m = { .kind = (enum ipc_refused_kind)kind, .detail = span(detail) };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_refused(&r, &m);
	return r.failed ? 0 : r.len;
}
