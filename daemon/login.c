/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: the userauth protocol (RFC 4252). What is decided here is only manners: how many tries, what
 * is announced. Whether somebody is logged in is decided in the broker, which this process cannot talk
 * into anything.
 */
#include <openssl/evp.h>
#include <string.h>

#include "connection.h"
#include "hooks.h"

#define OFFERS_MAX \
	32 /* of a key that would do, and no signature; fewer than the broker puts up with */

/* As sshd: the last try is answered by the disconnect alone. */
static void
refuse(struct connection *c, ssh_message m)
{
	if (++c->failures >= c->login_tries) {
		connection_end(c, WORKER_EXIT_AUTH_FAILED, "Too many authentication failures");
		return;
	}
	ssh_message_auth_set_methods(m, SSH_AUTH_METHOD_PUBLICKEY);
	(void)ssh_message_reply_default(m);
}

/* The key of the request as the blob that the client sent. */
static bool
export_blob(ssh_message m, uint8_t *out, size_t cap, struct wire_span *ret)
{
	ssh_key key = ssh_message_auth_pubkey(m);
	char *base64 = NULL;
	size_t len;
	int n = -1;

	if (key == NULL || ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK)
		return false;
	len = strlen(base64);
	if (len / 4 * 3 <= cap)
		n = EVP_DecodeBlock(out, (const uint8_t *)base64, (int)len);
	for (; n > 0 && len > 0 && base64[len - 1] == '='; len--)
		n--;
	ssh_string_free_char(base64);
	if (n <= 0)
		return false;
	ret->data = out;
	ret->len = (size_t)n;
	return true;
}

/* The name that the client signed under: the blob's type, but for RSA the hash decides. */
static bool
algorithm_of(struct wire_span blob, const struct hooks_signature *sig, char out[IPC_ALGO_MAX + 1])
{
	struct wire_reader r;

	wire_reader_init(&r, blob.data, blob.len);
	wire_get_cstr(&r, out, IPC_ALGO_MAX + 1);
	if (r.failed)
		return false;
	if (strcmp(out, "ssh-rsa") == 0)
		strcpy(out, sig->rsa_sha512 ? "rsa-sha2-512" : "rsa-sha2-256");
	return true;
}

static void
probe(struct connection *c, ssh_message m, struct ipc_req_query *q)
{
	bool acceptable = false;

	if (ask_query(&c->ask, q, &acceptable) != 0) {
		connection_end(c, WORKER_EXIT_BROKER_GONE, "service unavailable");
		return;
	}
	if (!acceptable)
		refuse(c, m);
	else if (++c->offers > OFFERS_MAX)
		connection_end(c, WORKER_EXIT_AUTH_FAILED, "Too many authentication failures");
	else
		(void)ssh_message_auth_reply_pk_ok_simple(m);
}

static void
keep_text(char *out, struct wire_span text)
{
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
}

static void
keep_grants(struct grants *g, const struct ipc_ans_auth *answer)
{
	g->pty = answer->pty;
	g->shell = answer->shell;
	g->exec = answer->exec;
	g->agent = answer->agent;
	g->x11 = answer->x11;
	g->max_channels = answer->max_channels;
	g->n_env = answer->n_env;
	for (uint32_t i = 0; i < answer->n_env; i++)
		keep_text(g->env[i], answer->env[i]);
	g->n_subsystems = answer->n_subsystems;
	for (uint32_t i = 0; i < answer->n_subsystems; i++)
		keep_text(g->subsystems[i], answer->subsystems[i]);
	keep_text(g->greeting, answer->greeting);
}

/* RFC 4252 section 5.4: text that the client shows before the login. Clients end no line for us. */
static void
show_banner(struct connection *c, struct wire_span text)
{
	bool ended = text.len > 0 && text.data[text.len - 1] == '\n';
	ssh_string banner;

	if (text.len == 0)
		return;
	banner = ssh_string_new(text.len + (ended ? 0 : 2));
	if (banner == NULL)
		return;
	memcpy(ssh_string_data(banner), text.data, text.len);
	if (!ended)
		memcpy((char *)ssh_string_data(banner) + text.len, "\r\n", 2);
	(void)ssh_send_issue_banner(c->session, banner);
	ssh_string_free(banner);
}

static void
try_signature(struct connection *c, ssh_message m, struct wire_span user, struct wire_span blob,
    const struct hooks_signature *sig)
{
	static struct ipc_ans_auth answer;
	struct ipc_req_auth q = { .user = user, .blob = blob };

	if (!algorithm_of(blob, sig, q.algorithm)) {
		refuse(c, m);
		return;
	}
	q.signature = (struct wire_span){ sig->value, sig->len };
	q.sk_flags = sig->sk_flags;
	q.sk_counter = sig->sk_counter;
	if (ask_auth(&c->ask, &q, &answer) != 0) {
		connection_end(c, WORKER_EXIT_BROKER_GONE, "service unavailable");
		return;
	}
	if (!answer.accepted) {
		show_banner(c, answer.text);
		refuse(c, m);
		return;
	}
	keep_grants(&c->grants, &answer);
	c->logged_in = true;
	activity_begin(&c->activity);
	(void)ssh_message_auth_reply_success(m, 0);
}

static void
public_key(struct connection *c, ssh_message m, const char *name)
{
	static uint8_t blob_bytes[IPC_BLOB_MAX];
	static struct hooks_signature sig;
	struct wire_span user = { (const uint8_t *)name, strlen(name) };
	enum ssh_publickey_state_e state = ssh_message_auth_publickey_state(m);
	/* Taken first, whatever comes of the request: the next one has the next signature. */
	bool is_signed = state == SSH_PUBLICKEY_STATE_VALID && hooks_take_signature(&sig);
	bool is_offer = state == SSH_PUBLICKEY_STATE_NONE;
	struct wire_span blob;

	if ((!is_offer && !is_signed) || user.len > IPC_USER_MAX ||
	    !export_blob(m, blob_bytes, sizeof(blob_bytes), &blob))
		refuse(c, m);
	else if (is_offer)
		probe(c, m, &(struct ipc_req_query){ .user = user, .blob = blob });
	else
		try_signature(c, m, user, blob, &sig);
}

/* As sshd: the user of the first request is the user of the connection. */
static bool
same_user(struct connection *c, const char *name)
{
	size_t len = strlen(name);

	if (c->user[0] == '\0' && len > 0 && len < sizeof(c->user)) {
		memcpy(c->user, name, len + 1);
		return true;
	}
	return strcmp(c->user, name) == 0 || len >= sizeof(c->user);
}

void
login_request(struct connection *c, ssh_message m)
{
	const char *name = ssh_message_auth_user(m);

	if (c->logged_in) /* RFC 4252 section 5.1: ignored without a reply */
		return;
	if (!c->asked_service) {
		connection_end(c, WORKER_EXIT_PROTOCOL, "no service was asked for");
		return;
	}
	if (name == NULL)
		name = "";
	if (!same_user(c, name)) {
		connection_end(c, WORKER_EXIT_PROTOCOL, "Change of username or service not allowed");
		return;
	}
	if (!c->banner_sent && c->banner != NULL)
		show_banner(c, (struct wire_span){ (const uint8_t *)c->banner, strlen(c->banner) });
	c->banner_sent = true;
	switch (ssh_message_subtype(m)) {
	case SSH_AUTH_METHOD_PUBLICKEY:
		public_key(c, m, name);
		break;
	case SSH_AUTH_METHOD_NONE:
		/* Every client begins with it to hear the methods: the first is no failure. */
		if (c->asked_methods) {
			refuse(c, m);
			break;
		}
		ssh_message_auth_set_methods(m, SSH_AUTH_METHOD_PUBLICKEY);
		(void)ssh_message_reply_default(m);
		break;
	default:
		refuse(c, m);
		break;
	}
	c->asked_methods = true;
}

void
login_service(struct connection *c, ssh_message m)
{
	const char *service = ssh_message_service_service(m);

	if (service == NULL || strcmp(service, "ssh-userauth") != 0) {
		connection_end(c, WORKER_EXIT_PROTOCOL, "unknown service");
		return;
	}
	c->asked_service = true;
	(void)ssh_message_service_reply_success(m);
}
