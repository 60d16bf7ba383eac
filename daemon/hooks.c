/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: the interposed functions. Their arguments come from libssh, and so from the network. */
#include "hooks.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <libssh/libssh.h>
#include <libssh/ssh2.h>
#include <openssl/evp.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "no_kerberos.h"
#include "wire.h"

#define QUEUE_MAX      4 /* signed requests that a client may send without waiting */
#define ED25519_MAX    2
#define SK_DATA_LEN    69  /* sha256(application), flags, counter, sha256(data) */
#define TRANSCRIPT_MIN 400 /* two KEXINITs do not fit into less */
#define TRANSCRIPT_MAX (IPC_RECORD_MAX - 1024)

static __typeof__(EVP_DigestSign) *real_sign;
static __typeof__(EVP_DigestVerify) *real_verify;
static __typeof__(EVP_DigestUpdate) *real_update;
static __typeof__(EVP_PKEY_new_raw_private_key) *real_new_private;
static __typeof__(ssh_buffer_get_data) *real_get_data;
static __typeof__(ssh_buffer_add_data) *real_add_data;

/* What ssh_buffer_add_data() is just now: the real one but for a moment. It puts in each field of each packet. */
static __typeof__(ssh_buffer_add_data) resolve_add_data;
static __typeof__(ssh_buffer_add_data) add_libssh_reply;
static __typeof__(ssh_buffer_add_data) *add_data = resolve_add_data;

/* libssh calls without context: this file and client_socket.c are the ones with state of their own. */
static struct {
	hooks_sign_fn *sign;
	void *sign_arg;
	uint8_t *transcript; /* of the exchange that is about to be signed; holds K */
	size_t transcript_len;
	struct hooks_signature queue[QUEUE_MAX];
	unsigned n_queue;
	struct {
		uint8_t seed[32];
		uint8_t public_half[32];
	} ed25519[ED25519_MAX];
	unsigned n_ed25519;
	const void *cut[HOOKS_CUT_MAX]; /* where texts begin that have a NUL inside */
	unsigned n_cut;                 /* all there ever were: the next one's place, modulo */
	struct {
		enum {
			NOTHING,
			PADDING,
			TYPE,
			TEXT,
			GLOBAL
		} read; /* the last one of its beginning */
		uint8_t type;
		uint32_t number;
		bool no_more; /* the last global request: the client's last session has been opened */
	} packet;             /* that libssh is just taking apart */
	const char *key_algorithms; /* NULL: any */
	uint64_t logins;            /* requests, as far as libssh has read */
	uint64_t sessions;          /* opened, the same */
	uint64_t sessions_told;
	uint64_t sessions_last; /* no one after this; UINT64_MAX: not said */
	struct {
		ssh_buffer packet;
		unsigned read; /* the next one of pty_reads */
		bool inside;
		uint32_t number; /* the last one: the length of the text that follows a length */
		const char *term;
	} pty; /* the pty-req that libssh is just taking apart */
	struct {
		const char *term; /* NULL: free */
		uint64_t number;  /* among all there ever were */
		size_t len;       /* in modes_list, which is apart: most of it is never touched */
	} modes[HOOKS_MODES_MAX];
	uint64_t n_modes;
	struct {
		unsigned field; /* the next one of the packet */
		uint32_t reason;
		const char *text;
	} refusal; /* while add_data is add_refusal_field() */
	struct {
		unsigned first; /* in replies_list, modulo */
		unsigned n;
		unsigned withheld;
		unsigned reads; /* of libssh until it has the last request, and tells of it */
		bool lost;
	} replies; /* to global requests, that have not left */
} hooks = { .sessions_last = UINT64_MAX };

static uint8_t modes_list[HOOKS_MODES_MAX][TTY_MODES_MAX];

/* In the order of the requests: the type of a reply that is withheld, or that it is not known yet. */
static uint8_t replies_list[HOOKS_REPLIES_MAX];
#define AWAITED     0
#define REPLY_READS 3 /* of one that it tells of, from its flag on: a length, a text, a number */

/* Before main(): EVP_DigestUpdate may be called by a library's own constructor. */
__attribute__((__constructor__)) static void
resolve(void)
{
	if (real_update != NULL)
		return;
	real_sign = (__typeof__(real_sign))dlsym(RTLD_NEXT, "EVP_DigestSign");
	real_verify = (__typeof__(real_verify))dlsym(RTLD_NEXT, "EVP_DigestVerify");
	real_new_private =
	    (__typeof__(real_new_private))dlsym(RTLD_NEXT, "EVP_PKEY_new_raw_private_key");
	real_get_data = (__typeof__(real_get_data))dlsym(RTLD_NEXT, "ssh_buffer_get_data");
	real_add_data = (__typeof__(real_add_data))dlsym(RTLD_NEXT, "ssh_buffer_add_data");
	real_update = (__typeof__(real_update))dlsym(RTLD_NEXT, "EVP_DigestUpdate");
	if (real_sign == NULL || real_verify == NULL || real_new_private == NULL ||
	    real_update == NULL || real_get_data == NULL || real_add_data == NULL)
		abort();
	add_data = real_add_data;
}

void
hooks_enable(hooks_sign_fn *sign, void *arg)
{
	hooks.sign = sign;
	hooks.sign_arg = arg;
}

void
hooks_add_ed25519(const uint8_t seed[32], const uint8_t public_half[32])
{
	if (hooks.n_ed25519 == ED25519_MAX)
		return;
	memcpy(hooks.ed25519[hooks.n_ed25519].seed, seed, 32);
	memcpy(hooks.ed25519[hooks.n_ed25519].public_half, public_half, 32);
	hooks.n_ed25519++;
}

void
hooks_accept_keys(const char *algorithms)
{
	hooks.key_algorithms = algorithms;
}

uint64_t
hooks_login_requests(void)
{
	return hooks.logins;
}

static void
forget_transcript(void)
{
	OPENSSL_clear_free(hooks.transcript, hooks.transcript_len);
	hooks.transcript = NULL;
	hooks.transcript_len = 0;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): OpenSSL's names are not ours. */

/* The exchange hash is one update with the whole transcript, which begins with V_C. */
SP_EXPORT int
EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *data, size_t len)
{
	resolve();
	if (hooks.sign != NULL && len > TRANSCRIPT_MIN && len <= TRANSCRIPT_MAX &&
	    memcmp((const uint8_t *)data + 4, "SSH-2.0-", 8) == 0) {
		forget_transcript();
		hooks.transcript = OPENSSL_memdup(data, len);
		hooks.transcript_len = hooks.transcript != NULL ? len : 0;
	}
	return real_update(ctx, data, len);
}

/* What the key exchange negotiated, as seen from the key and the digest that libssh chose. */
static const char *
algorithm_of(EVP_MD_CTX *ctx)
{
	const EVP_PKEY *key = EVP_PKEY_CTX_get0_pkey(EVP_MD_CTX_get_pkey_ctx(ctx));
	const EVP_MD *md = EVP_MD_CTX_get0_md(ctx);

	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_ED25519:
		return "ssh-ed25519";
	case EVP_PKEY_RSA:
		if (md != NULL && EVP_MD_is_a(md, "SHA2-256"))
			return "rsa-sha2-256";
		return md != NULL && EVP_MD_is_a(md, "SHA2-512") ? "rsa-sha2-512" : NULL;
	case EVP_PKEY_EC:
		switch (EVP_PKEY_get_bits(key)) {
		case 256:
			return "ecdsa-sha2-nistp256";
		case 384:
			return "ecdsa-sha2-nistp384";
		case 521:
			return "ecdsa-sha2-nistp521";
		default:
			return NULL;
		}
	default:
		return NULL;
	}
}

/* Every private-key operation of this process becomes a question to the broker. */
SP_EXPORT int
EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sig, size_t *sig_len, const unsigned char *data,
    size_t len)
{
	const char *algorithm;
	bool done;

	resolve();
	if (hooks.sign == NULL)
		return real_sign(ctx, sig, sig_len, data, len);
	algorithm = algorithm_of(ctx);
	done = sig != NULL && algorithm != NULL && hooks.transcript != NULL &&
	    hooks.sign(hooks.sign_arg, algorithm, hooks.transcript, hooks.transcript_len, sig,
		sig_len);
	forget_transcript(); /* once only, and not left in memory whatever came of it */
	return done ? 1 : 0;
}

/*
 * Remember, and say yes: a no makes libssh drop the request without any reply, and the client would
 * wait for ever. Saying yes decides nothing: the login code asks the broker, which verifies.
 */
SP_EXPORT int
EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
    const unsigned char *data, size_t len)
{
	const EVP_MD *md = EVP_MD_CTX_get0_md(ctx);
	struct hooks_signature *s;

	resolve();
	if (hooks.sign == NULL)
		return real_verify(ctx, sig, sig_len, data, len);
	if (hooks.n_queue == QUEUE_MAX || sig_len > sizeof(s->value))
		return 0;
	s = &hooks.queue[hooks.n_queue++];
	memset(s, 0, sizeof(*s));
	memcpy(s->value, sig, sig_len);
	s->len = sig_len;
	s->rsa_sha512 = md != NULL && EVP_MD_is_a(md, "SHA2-512");
	if (len == SK_DATA_LEN) {
		s->sk_flags = data[32];
		s->sk_counter = (uint32_t)data[33] << 24 | (uint32_t)data[34] << 16 |
		    (uint32_t)data[35] << 8 | (uint32_t)data[36];
	}
	return 1;
}

/* libssh 0.12 derives an Ed25519 key's public half from its seed: ours has none, so give it. */
SP_EXPORT EVP_PKEY *
EVP_PKEY_new_raw_private_key(int type, ENGINE *engine, const unsigned char *key, size_t len)
{
	resolve();
	for (unsigned i = 0; type == EVP_PKEY_ED25519 && len == 32 && i < hooks.n_ed25519; i++) {
		if (memcmp(key, hooks.ed25519[i].seed, 32) == 0)
			return EVP_PKEY_new_raw_public_key(type, engine,
			    hooks.ed25519[i].public_half, 32);
	}
	return real_new_private(type, engine, key, len);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

static const void **
find_cut(const void *at)
{
	for (unsigned i = 0; i < HOOKS_CUT_MAX; i++) {
		if (hooks.cut[i] == at)
			return &hooks.cut[i];
	}
	return NULL;
}

/* As sshd has it: a NUL at the end may be the client's own end of the text. */
static bool
has_nul_inside(const char *text, size_t len)
{
	return len > 1 && memchr(text, '\0', len - 1) != NULL;
}

/* What libssh reads of a channel request behind the text "pty-req". */
static const enum {
	FLAG,
	LENGTH,
	TERM,
	NUMBER,
	MODES
} pty_reads[] = { FLAG, LENGTH, TERM, NUMBER, NUMBER, NUMBER, NUMBER, LENGTH, MODES };

static void
forget_modes(const char *term)
{
	for (unsigned i = 0; i < HOOKS_MODES_MAX; i++) {
		if (hooks.modes[i].term == term)
			hooks.modes[i].term = NULL;
	}
}

static void
keep_modes(const void *encoded, uint32_t len)
{
	unsigned place = 0;

	for (unsigned i = 0; i < HOOKS_MODES_MAX; i++) {
		if (hooks.modes[i].term == NULL) {
			place = i;
			break;
		}
		if (hooks.modes[i].number < hooks.modes[place].number)
			place = i;
	}
	hooks.modes[place].term = hooks.pty.term;
	hooks.modes[place].number = ++hooks.n_modes;
	hooks.modes[place].len = tty_modes_read(encoded, len, modes_list[place]);
}

/* Whether the next read of the pty-req is this one. */
static bool
follow_pty(const void *data, uint32_t len)
{
	switch (pty_reads[hooks.pty.read]) {
	case FLAG:
		return len == 1;
	case LENGTH:
	case NUMBER:
		if (len != sizeof(hooks.pty.number))
			return false;
		memcpy(&hooks.pty.number, data, sizeof(hooks.pty.number));
		return true;
	case TERM:
		if (len != ntohl(hooks.pty.number))
			return false;
		forget_modes(data); /* of one whose memory this was */
		hooks.pty.term = data;
		return true;
	case MODES:
		if (len == ntohl(hooks.pty.number))
			keep_modes(data, len);
		return false; /* it is the last one */
	}
	return false;
}

/*
 * The message has not been made yet when libssh reads it, so a pty-req is known by its name and by what is read of the
 * same packet behind that, all of it in one go. A text of that name elsewhere is followed by something else, or it leaves
 * a list that nobody asks for.
 */
static void
look_for_pty(ssh_buffer packet, const void *data, uint32_t len)
{
	static const char name[] = { 'p', 't', 'y', '-', 'r', 'e', 'q' };

	if (hooks.pty.inside && packet == hooks.pty.packet && follow_pty(data, len)) {
		hooks.pty.read++;
		return;
	}
	hooks.pty.inside = len == sizeof(name) && memcmp(data, name, sizeof(name)) == 0;
	hooks.pty.packet = packet;
	hooks.pty.read = 0;
}

/* As libssh compares it: up to a NUL. */
static bool
is_text(const void *data, uint32_t len, const char *text)
{
	size_t n = strlen(text);

	return len >= n && memcmp(data, text, n) == 0 &&
	    (len == n || ((const char *)data)[n] == '\0');
}

/* The client wants a reply to a global request, which libssh gives in the next moment, or we do later. */
static void
await_reply(void)
{
	if (hooks.replies.n == HOOKS_REPLIES_MAX) {
		hooks.replies.lost = true;
		return;
	}
	replies_list[(hooks.replies.first + hooks.replies.n++) % HOOKS_REPLIES_MAX] = AWAITED;
	hooks.replies.reads = REPLY_READS;
	add_data = add_libssh_reply;
}

static bool
span_is(struct wire_span s, const char *text)
{
	return s.len > 0 && is_text(s.data, (uint32_t)s.len, text);
}

static bool
key_algorithm_is_accepted(struct wire_span algorithm)
{
	const char *list = hooks.key_algorithms;

	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		if (wire_span_eq(algorithm, list, len))
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

/* r: behind the method. RFC 4252 section 7: a key is of its algorithm's type, and so is a signature; RFC 8332 for RSA's. */
static bool
key_is_accepted(struct wire_reader *r, bool names_host_key)
{
	bool is_signed = wire_get_u8(r) != 0;
	struct wire_span algorithm = wire_get_span(r);
	struct wire_span key = wire_get_span(r);
	bool is_rsa = span_is(algorithm, "rsa-sha2-256") || span_is(algorithm, "rsa-sha2-512");
	struct wire_reader inner;
	struct wire_span type;

	wire_reader_init(&inner, key.data, key.len);
	type = wire_get_span(&inner);
	if (!key_algorithm_is_accepted(algorithm) ||
	    (is_rsa ? !span_is(type, "ssh-rsa") : !wire_span_eq(type, algorithm.data, algorithm.len)))
		return false;
	if (names_host_key)
		(void)wire_get_span(r);
	if (is_signed) {
		struct wire_span signature = wire_get_span(r);

		wire_reader_init(&inner, signature.data, signature.len);
		type = wire_get_span(&inner);
		if (!wire_span_eq(type, algorithm.data, algorithm.len))
			return false;
	}
	return !r->failed;
}

/* Of the packet libssh has read the user's name; what follows has not been looked at, and is changed where it lies. */
static void
look_at_login(ssh_buffer packet)
{
	uint8_t *rest = ssh_buffer_get(packet);
	struct wire_reader r;
	struct wire_span method;
	bool with_host_key;

	hooks.logins++;
	if (hooks.key_algorithms == NULL)
		return;
	wire_reader_init(&r, rest, ssh_buffer_get_len(packet));
	(void)wire_get_span(&r); /* service */
	method = wire_get_span(&r);
	/* OpenSSH's own, which libssh knows from 0.12 on. */
	with_host_key = span_is(method, "publickey-hostbound-v00@openssh.com");
	if (method.len == 0 || span_is(method, "none") ||
	    ((span_is(method, "publickey") || with_host_key) && key_is_accepted(&r, with_host_key)))
		return;
	rest[method.data - rest] = '?'; /* no method begins so */
}

/* The text with which a message begins. */
static void
on_first_text(ssh_buffer packet, const void *data, uint32_t len)
{
	hooks.packet.read = NOTHING;
	if (hooks.packet.type == SSH2_MSG_USERAUTH_REQUEST)
		look_at_login(packet);
	if (hooks.packet.type == SSH2_MSG_CHANNEL_OPEN && is_text(data, len, "session"))
		hooks.sessions++;
	if (hooks.packet.type != SSH2_MSG_GLOBAL_REQUEST)
		return;
	hooks.packet.read = GLOBAL;
	hooks.packet.no_more = is_text(data, len, "no-more-sessions@openssh.com");
	if (hooks.packet.no_more && hooks.sessions_last > hooks.sessions)
		hooks.sessions_last = hooks.sessions;
}

/*
 * The beginning of a packet, as libssh reads it: one byte, how much padding there is, one byte, the type, and then with the
 * messages that are looked for the length of a text, and the text; behind that of a global request whether it wants a reply.
 */
static void
look_at_beginning(ssh_buffer packet, const void *data, uint32_t len)
{
	const uint8_t *byte = data;

	if (hooks.packet.read == TEXT && len == ntohl(hooks.packet.number)) {
		on_first_text(packet, data, len);
	} else if (len == 1) {
		if (hooks.packet.read == GLOBAL && *byte != 0)
			await_reply();
		hooks.packet.read =
		    hooks.packet.read == PADDING || hooks.packet.read == TYPE ? TYPE : PADDING;
		hooks.packet.type = *byte;
	} else if (hooks.packet.read == TYPE && len == sizeof(hooks.packet.number)) {
		memcpy(&hooks.packet.number, data, sizeof(hooks.packet.number));
		hooks.packet.read = TEXT;
	} else {
		hooks.packet.read = NOTHING;
	}
}

bool
hooks_session_allowed(void)
{
	return ++hooks.sessions_told <= hooks.sessions_last;
}

/*
 * By this libssh takes each field out of a packet, a text into memory that it has allocated for it. Fields that
 * lie elsewhere (numbers, most of the data of channels) are of no interest.
 */
SP_EXPORT uint32_t
ssh_buffer_get_data(ssh_buffer buffer, void *data, uint32_t len)
{
	const void **cut;
	uint32_t n;

	resolve();
	n = real_get_data(buffer, data, len);
	if (hooks.sign == NULL)
		return n;
	if (n == len && add_data == add_libssh_reply && --hooks.replies.reads == 0)
		add_data = real_add_data; /* all of it was there: this one is for us to reply to */
	if (n != len) {
		hooks.packet.read = NOTHING; /* the message breaks off */
		return n;
	}
	look_for_pty(buffer, data, len);
	look_at_beginning(buffer, data, len);
	if ((uintptr_t)data % alignof(max_align_t) != 0)
		return n;
	cut = find_cut(data);
	if (!has_nul_inside(data, len)) {
		if (cut != NULL) /* the memory has had another text before */
			*cut = NULL;
	} else if (cut == NULL) {
		hooks.cut[hooks.n_cut++ % HOOKS_CUT_MAX] = data;
	}
	return n;
}

bool
hooks_text_was_cut(const char *text)
{
	return text != NULL && find_cut(text) != NULL;
}

size_t
hooks_take_modes(const char *term, uint8_t ret[TTY_MODES_MAX])
{
	for (unsigned i = 0; term != NULL && i < HOOKS_MODES_MAX; i++) {
		if (hooks.modes[i].term != term)
			continue;
		hooks.modes[i].term = NULL;
		memcpy(ret, modes_list[i], hooks.modes[i].len);
		return hooks.modes[i].len;
	}
	return 0;
}

/* By this libssh puts each field into a packet. */
SP_EXPORT int
ssh_buffer_add_data(ssh_buffer buffer, const void *data, uint32_t len)
{
	return add_data(buffer, data, len);
}

static int
resolve_add_data(ssh_buffer buffer, const void *data, uint32_t len)
{
	resolve();
	return real_add_data(buffer, data, len);
}

/* Whether this is the first field of a packet, and of a reply to a global request. */
static bool
begins_reply(ssh_buffer buffer, const void *data, uint32_t len)
{
	const uint8_t *type = data;

	return len == 1 && ssh_buffer_get_len(buffer) == 0 &&
	    (*type == SSH2_MSG_REQUEST_SUCCESS || *type == SSH2_MSG_REQUEST_FAILURE);
}

static uint8_t
take_first_reply(void)
{
	uint8_t type = replies_list[hooks.replies.first];

	hooks.replies.first = (hooks.replies.first + 1) % HOOKS_REPLIES_MAX;
	hooks.replies.n--;
	hooks.replies.withheld -= type != AWAITED;
	return type;
}

/*
 * libssh replies to the last request. One that is before its time becomes a packet that says nothing: byte SSH_MSG_IGNORE,
 * string data. To what libssh 0.10 does not know it is sshd's.
 */
static int
add_libssh_reply(ssh_buffer buffer, const void *data, uint32_t len)
{
	static const uint8_t nothing[] = { SSH2_MSG_IGNORE, 0, 0, 0, 0 };
	unsigned last = (hooks.replies.first + hooks.replies.n - 1) % HOOKS_REPLIES_MAX;

	add_data = real_add_data;
	if (!begins_reply(buffer, data, len))
		return real_add_data(buffer, data, len);
	replies_list[last] = hooks.packet.no_more ? SSH2_MSG_REQUEST_SUCCESS : *(const uint8_t *)data;
	hooks.replies.withheld++;
	if (hooks.replies.n > 1)
		return real_add_data(buffer, nothing, sizeof(nothing));
	return real_add_data(buffer, &(const uint8_t){ take_first_reply() }, 1);
}

/* The one that was awaited. */
static int
add_our_reply(ssh_buffer buffer, const void *data, uint32_t len)
{
	add_data = real_add_data;
	if (begins_reply(buffer, data, len) && hooks.replies.n > 0)
		(void)take_first_reply();
	return real_add_data(buffer, data, len);
}

static int
add_withheld_reply(ssh_buffer buffer, const void *data, uint32_t len)
{
	add_data = real_add_data;
	if (!begins_reply(buffer, data, len))
		return real_add_data(buffer, data, len);
	return real_add_data(buffer, &(const uint8_t){ take_first_reply() }, 1);
}

/* By way of a message whose reply has left. Whether it was of use for that. */
static bool
send_withheld_reply(ssh_message m)
{
	unsigned n = hooks.replies.n;

	add_data = add_withheld_reply;
	(void)ssh_message_reply_default(m);
	add_data = real_add_data;
	return hooks.replies.n < n;
}

void
hooks_reply(ssh_message m, bool success, uint16_t port)
{
	add_data = add_our_reply;
	if (success)
		(void)ssh_message_global_request_reply_success(m, port);
	else
		(void)ssh_message_reply_default(m);
	add_data = real_add_data;
	while (hooks.replies.n > 0 && replies_list[hooks.replies.first] != AWAITED &&
	    send_withheld_reply(m))
		;
}

unsigned
hooks_withheld_replies(void)
{
	return hooks.replies.withheld;
}

bool
hooks_lost_replies(void)
{
	return hooks.replies.lost;
}

static bool
is_number(const void *data, uint32_t len, uint32_t value)
{
	uint32_t n;

	if (len != sizeof(n))
		return false;
	memcpy(&n, data, sizeof(n));
	return ntohl(n) == value;
}

static int
add_number(ssh_buffer buffer, uint32_t value)
{
	value = htonl(value);
	return real_add_data(buffer, &value, sizeof(value));
}

/*
 * byte SSH_MSG_CHANNEL_OPEN_FAILURE, uint32 recipient, uint32 reason, string text, string language: the reason is the
 * only one that libssh gives, and both strings are a length of 0. Should a packet begin otherwise, it stays libssh's.
 */
static int
add_refusal_field(ssh_buffer buffer, const void *data, uint32_t len)
{
	const char *text = hooks.refusal.text;

	switch (hooks.refusal.field++) {
	case 0:
		if (len == 1 && *(const uint8_t *)data == SSH2_MSG_CHANNEL_OPEN_FAILURE)
			return real_add_data(buffer, data, len);
		break;
	case 1:
		if (len == 4)
			return real_add_data(buffer, data, len);
		break;
	case 2:
		if (is_number(data, len, SSH2_OPEN_ADMINISTRATIVELY_PROHIBITED))
			return add_number(buffer, hooks.refusal.reason);
		break;
	case 3:
		add_data = real_add_data;
		if (!is_number(data, len, 0))
			break;
		if (add_number(buffer, (uint32_t)strlen(text)) != 0)
			return -1;
		return real_add_data(buffer, text, (uint32_t)strlen(text));
	default:
		break;
	}
	add_data = real_add_data;
	return real_add_data(buffer, data, len);
}

int
hooks_refuse_channel(ssh_message m, uint32_t reason, const char *text)
{
	int r;

	hooks.refusal.field = 0;
	hooks.refusal.reason = reason;
	hooks.refusal.text = text;
	add_data = add_refusal_field;
	r = ssh_message_reply_default(m);
	add_data = real_add_data;
	return r;
}

bool
hooks_take_signature(struct hooks_signature *ret)
{
	if (hooks.n_queue == 0)
		return false;
	*ret = hooks.queue[0];
	hooks.n_queue--;
	memmove(&hooks.queue[0], &hooks.queue[1], hooks.n_queue * sizeof(hooks.queue[0]));
	return true;
}

bool
hooks_in_place(char *why, size_t cap)
{
	static const struct {
		const char *name;
		void (*own)(void);
	} all[] = {
		{ "EVP_DigestSign", (void (*)(void))EVP_DigestSign },
		{ "EVP_DigestVerify", (void (*)(void))EVP_DigestVerify },
		{ "EVP_DigestUpdate", (void (*)(void))EVP_DigestUpdate },
		{ "EVP_PKEY_new_raw_private_key", (void (*)(void))EVP_PKEY_new_raw_private_key },
		{ "gss_indicate_mechs", (void (*)(void))gss_indicate_mechs },
		{ "ssh_buffer_get_data", (void (*)(void))ssh_buffer_get_data },
		{ "ssh_buffer_add_data", (void (*)(void))ssh_buffer_add_data },
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(all); i++) {
		if ((void (*)(void))dlsym(RTLD_DEFAULT, all[i].name) != all[i].own) {
			(void)snprintf(why, cap,
			    "%s is not ours: host keys could not be kept apart", all[i].name);
			return false;
		}
	}
	return true;
}
