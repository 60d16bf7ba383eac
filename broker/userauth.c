/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying a public-key login. Runs in the broker. Everything in the request is hostile; what is
 * believed is the session id and the host key that transcript.c recorded.
 */
#include "userauth.h"

#include "host_key.h"
#include "policy.h"
#include "ssh_key.h"
#include "transcript.h"

#define SSH_MSG_USERAUTH_REQUEST 50
#define DATA_MAX                 (2 * IPC_BLOB_MAX + 4096)

/*
 * Two forms of the same: the method of RFC 4252, and OpenSSH's host-bound one, which clients choose
 * when the server's library announces it (libssh 0.12) and which ends with our host key.
 */
static void
put_data(struct wire_writer *w, const struct transcript_state *s, const struct ipc_req_auth *m,
    bool host_bound)
{
	wire_put_str(w, s->session_id, s->session_id_len);
	wire_put_u8(w, SSH_MSG_USERAUTH_REQUEST);
	wire_put_str(w, m->user.data, m->user.len);
	wire_put_cstr(w, "ssh-connection");
	wire_put_cstr(w, host_bound ? "publickey-hostbound-v00@openssh.com" : "publickey");
	wire_put_u8(w, 1); /* with a signature */
	wire_put_cstr(w, m->algorithm);
	wire_put_str(w, m->blob.data, m->blob.len);
	if (host_bound)
		wire_put_str(w, host_key_blob(s->host_key).data, host_key_blob(s->host_key).len);
}

static bool
verify(const struct transcript_state *s, const struct ipc_req_auth *m, const struct ssh_key *key,
    bool host_bound)
{
	static uint8_t data[DATA_MAX]; /* one loop, one login at a time */
	struct ssh_signature sig = { m->signature, m->sk_flags, m->sk_counter };
	struct wire_writer w;

	wire_writer_init(&w, data, sizeof(data));
	put_data(&w, s, m, host_bound);
	return !w.failed && ssh_key_verify(key, m->algorithm, &sig, w.data, w.len);
}

const char *
userauth_verify(const struct transcript_state *s, const struct ipc_req_auth *m, bool verify_required)
{
	SP_CLEANUP(ssh_key_freep) struct ssh_key *key = NULL;

	if (s->session_id_len == 0 || s->host_key == NULL)
		return "no key exchange yet";
	if (ssh_key_from_blob(m->blob.data, m->blob.len, &key) != 0)
		return "the key cannot be used";
	if (!ssh_key_fits(key, m->algorithm))
		return "the algorithm does not fit the key";
	if (!ssh_key_is_sk(key) && (m->sk_flags != 0 || m->sk_counter != 0))
		return "the key is no security key, the signature claims one";
	if (ssh_key_is_sk(key) && (m->sk_flags & SSH_KEY_SK_PRESENT) == 0)
		return "nobody touched the security key";
	if (verify_required && (!ssh_key_is_sk(key) || (m->sk_flags & SSH_KEY_SK_VERIFIED) == 0))
		return POLICY_NOT_VERIFIED;
	if (!verify(s, m, key, false) && !verify(s, m, key, true))
		return "the signature is wrong";
	return NULL;
}
