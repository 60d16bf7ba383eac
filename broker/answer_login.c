/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker's side of IPC_REQ_SIGN, IPC_REQ_QUERY and IPC_REQ_AUTH. Whatever the worker has become, it
 * gets a signature only over this connection's own key exchange, and a login only for a signature
 * that the user's key has made for this connection.
 */
#include <errno.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "audit.h"
#include "claim.h"
#include "clock.h"
#include "config.h"
#include "dispatch.h"
#include "host_key.h"
#include "ipc_msg.h"
#include "log.h"
#include "login_refused.h"
#include "peer.h"
#include "peer_input.h"
#include "session_time.h"
#include "shadow.h"
#include "ssh_key.h"
#include "ssh_version.h"
#include "userauth.h"
#include "worker_pool.h"

#define QUESTIONS_MAX  64 /* queries and logins of one connection, beside those that were refused */
#define SIGNATURE_MOST 2000
#define SIGNATURE_COST \
	64 /* in records, one of which is earned each millisecond: fifteen at once, then sixteen in a second */
#define SIGNATURE_PART \
	100 /* and no more than this part of a processor: RSA takes milliseconds, and the client's word suffices */

/* As OpenSSH: a refusal takes at least so long from the question, plus what depends on a secret and the name. */
#define REFUSAL_US        5000
#define REFUSAL_JITTER_US 4200

static const char unknown[] = POLICY_UNKNOWN_KEY; /* which of them: for login_refused() */

/* In records. */
static int
cost_of(int64_t us)
{
	int64_t ms = us * SIGNATURE_PART / 1000;

	if (ms > SIGNATURE_MOST)
		return SIGNATURE_MOST;
	return ms > SIGNATURE_COST ? (int)ms : SIGNATURE_COST;
}

int
answer_sign(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	uint8_t buf[IPC_SIG_MAX + 64];
	uint8_t sig[HOST_KEY_SIG_MAX];
	uint8_t hash[TRANSCRIPT_HASH_MAX];
	const struct host_key *key;
	struct ipc_req_sign m;
	struct ipc_ans_sign answer;
	struct wire_writer w;
	const char *why;
	int64_t begun;
	size_t hash_len;
	size_t sig_len;

	if (ipc_get_req_sign(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	why = p->signatures < IPC_SIGN_MAX ? NULL : "too many key exchanges";
	if (why == NULL)
		why = transcript_check(&p->transcript, p->broker->host_keys, p->nonce, m.algorithm,
		    m.transcript, &key, hash, &hash_len);
	if (why != NULL) {
		*ret_fault = why;
		return ANSWER_E_PEER_FAULT;
	}
	begun = clock_spent_us();
	if (host_key_sign(key, m.algorithm, hash, hash_len, sig, &sig_len) < 0)
		return -EIO;
	p->signatures++;
	peer_charge(p, cost_of(clock_spent_us() - begun));
	if (p->state == PEER_EXCHANGE)
		peer_exchanged(p);
	answer.signature = (struct wire_span){ sig, sig_len };
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_sign(&w, &answer);
	(void)peer_send(p, &w, NULL, 0);
	return 0;
}

static void
send_refusal(struct peer *p, uint8_t id)
{
	uint8_t buf[IPC_TEXT_MAX + 64];
	struct ipc_ans_auth auth = { .accepted = false,
		.text = { (const uint8_t *)p->refusal, strlen(p->refusal) } };
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	if (id == IPC_REQ_QUERY)
		ipc_put_ans_query(&w, &(struct ipc_ans_query){ .acceptable = false });
	else
		ipc_put_ans_auth(&w, &auth);
	(void)peer_send(p, &w, NULL, 0);
}

static void
on_refuse_query(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_refusal(arg, IPC_REQ_QUERY);
}

static void
on_refuse_auth(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_refusal(arg, IPC_REQ_AUTH);
}

/* The same for one name each time, and not to be guessed: repeated tries average nothing out. */
static unsigned
jitter_us(const struct peer *p, struct wire_span user)
{
	const struct instance *i = &p->broker->instance;
	uint8_t hash[32] = { 0 };
	unsigned len = sizeof(hash);

	(void)HMAC(EVP_sha256(), i->secret, sizeof(i->secret), user.data, user.len, hash, &len);
	return ((unsigned)hash[0] << 8 | hash[1]) * REFUSAL_JITTER_US / 65536;
}

/*
 * Say no, but not at once: how long it took to find out, and whether there is such a user, is not to be
 * seen from outside. So the time runs from when the question came, asked_us of clock_now_us(); what took
 * longer is answered at the next multiple.
 */
static int
refuse_later(struct peer *p, uint8_t id, struct wire_span user, int64_t asked_us)
{
	int64_t whole = REFUSAL_US + jitter_us(p, user);
	int64_t left = whole - (clock_now_us() - asked_us) % whole;
	struct timeval tv = { .tv_usec = (suseconds_t)left };

	p->facts.refusals++;
	if (p->answer != NULL)
		event_free(p->answer);
	p->answer =
	    evtimer_new(p->broker->base, id == IPC_REQ_QUERY ? on_refuse_query : on_refuse_auth, p);
	if (p->answer == NULL || event_add(p->answer, &tv) < 0)
		return -ENOMEM;
	return 0;
}

/* One question at a time: a worker that does not wait for its answer is not ours any more. */
static bool
answer_is_pending(const struct peer *p)
{
	return p->answer != NULL && evtimer_pending(p->answer, NULL);
}

static const char *
count_attempt(struct peer *p)
{
	if (answer_is_pending(p))
		return "a question before the last one was answered";
	/* An honest worker has sent its client away by then. */
	if (p->facts.refusals >= p->broker->config->login.tries ||
	    ++p->attempts > QUESTIONS_MAX + p->facts.refusals)
		return "too many login attempts";
	return NULL;
}

/* Of the question before this one. */
static void
forget_decision(struct peer *p)
{
	p->refusal[0] = '\0';
	p->fingerprint[0] = '\0';
	memset(&p->decision, 0, sizeof(p->decision));
}

int
answer_query(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	int64_t asked_us = clock_now_us();
	struct ipc_req_query m;
	const char *fingerprint;
	bool verify_required;
	struct wire_writer w;
	uint8_t buf[16];

	if (ipc_get_req_query(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	*ret_fault = count_attempt(p);
	if (*ret_fault != NULL)
		return ANSWER_E_PEER_FAULT;
	if (!policy_find_key(p->broker->policy, m.user.data, m.user.len, m.blob.data, m.blob.len,
		&fingerprint, &verify_required)) {
		forget_decision(p);
		login_refused(p, &(struct login_claim){ m.user, m.blob, false }, NULL);
		p->broker->counters.keys_refused++;
		return refuse_later(p, IPC_REQ_QUERY, m.user, asked_us);
	}
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_query(&w, &(struct ipc_ans_query){ .acceptable = true });
	(void)peer_send(p, &w, NULL, 0);
	return 0;
}

/* The user and the target of a name that policy_find_key() has found: each ends with a NUL of its own. */
static void
take_name(struct peer *p, struct wire_span name, struct policy_login *login)
{
	size_t target;
	size_t n = policy_split_name(name.data, name.len, &target);

	memcpy(p->user, name.data, name.len);
	p->user[name.len] = '\0';
	p->user[n] = '\0';
	login->user = p->user;
	p->target = login->target = target < name.len ? p->user + target : NULL;
}

/* What policy says of a login whose signature is verified: why not, or NULL with the grant in p. */
static const char *
decide(struct peer *p, const struct policy_login *login)
{
	struct policy *policy = p->broker->policy;
	char value[256];
	int r;

	(void)snprintf(p->fingerprint, sizeof(p->fingerprint), "%s", login->fingerprint);
	if (policy_decide(policy, login, &p->decision) != 0) {
		/* Who they are is proven: they may hear why. */
		(void)snprintf(p->refusal, sizeof(p->refusal), "%s",
		    p->decision.message != NULL ? p->decision.message : "");
		p->facts.denied = true;
		return policy_why_refused(&p->decision);
	}
	r = policy_grant_new(policy, login, &p->decision, &p->grant, value, sizeof(value));
	if (r == POLICY_E_REFUSED)
		log_error("connection=%s user=%s the profile does not suit this login: %s", p->id,
		    p->user, value);
	if (r != 0) {
		p->facts.our_fault = true;
		return r < 0 ? strerror(-r) : POLICY_NOT_FILLED_IN;
	}
	p->decision.profile = policy_grant_profile(p->grant);
	p->generation = p->broker->generation;
	return NULL;
}

/* Whether the key says that it has verified its user: what a good signature says is so. */
static bool
is_verified(const struct ipc_req_auth *m)
{
	return (m->sk_flags & SSH_KEY_SK_VERIFIED) != 0;
}

/* Why this is no login, or NULL with everything about it in p. */
static const char *
judge(struct peer *p, const struct ipc_req_auth *m)
{
	struct policy *policy = p->broker->policy;
	struct policy_login login = { .source = &p->client.source, .time = time(NULL) };
	const char *fingerprint = NULL;
	bool verify_required = false;
	const char *why;
	bool known = policy_find_key(policy, m->user.data, m->user.len, m->blob.data, m->blob.len,
	    &fingerprint, &verify_required);

	/* Only a key that the configuration has is ever parsed: hostile blobs end here. */
	if (!known)
		return unknown;
	why = userauth_verify(&p->transcript, m, verify_required);
	if (why != NULL)
		return why;
	login.fingerprint = fingerprint;
	login.auth = policy_auth_of_key(m->blob.data, m->blob.len);
	login.verified = is_verified(m);
	take_name(p, m->user, &login);
	why = decide(p, &login);
	shadow_judge_login(p, m, &login, why == NULL);
	return why;
}

static void
send_accepted(struct peer *p)
{
	static uint8_t buf[IPC_RECORD_MAX];
	const struct policy_profile *profile = p->decision.profile;
	struct ipc_ans_auth m = { .accepted = true,
		.pty = profile->pty,
		.shell = profile->shell,
		.exec = profile->exec,
		.agent = policy_refuse_agent(profile) == NULL,
		.x11 = policy_refuse_x11(profile) == NULL,
		.max_channels = profile->channels };
	struct wire_writer w;

	for (const char *const *e = profile->accept_env;
	     e != NULL && *e != NULL && m.n_env < IPC_ENV_MAX; e++)
		m.env[m.n_env++] = (struct wire_span){ (const uint8_t *)*e, strlen(*e) };
	if (profile->greeting != NULL)
		m.greeting = (struct wire_span){ (const uint8_t *)profile->greeting,
			strlen(profile->greeting) };
	for (size_t i = 0; i < profile->n_subsystems && i < IPC_SUBSYSTEMS_MAX; i++)
		m.subsystems[m.n_subsystems++] =
		    (struct wire_span){ (const uint8_t *)profile->subsystems[i].name,
			    strlen(profile->subsystems[i].name) };
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_auth(&w, &m);
	(void)peer_send(p, &w, NULL, 0);
}

/* What was decided is none after all; the rule is still named. */
static void
give_up_login(struct peer *p)
{
	p->grant = policy_grant_unref(p->grant);
	p->decision.profile = NULL;
	shadow_forget(&p->shadow);
	ceilings_give(&p->place);
}

/* The last thing to ask: what is counted here is let in, but for the audit log. */
static const char *
take_place(struct peer *p)
{
	static char words[CEILING_TEXT_MAX];
	char text[CEILING_TEXT_MAX] = "The service is out of memory. Try again later.";
	struct ceiling_refusal refusal;
	int r = claim_session(p, &p->place, &refusal);
	bool full = r == CEILING_E_FULL;

	if (r == 0)
		return NULL;
	give_up_login(p);
	(void)snprintf(p->refusal, sizeof(p->refusal), "%s",
	    full ? ceiling_sentence(&refusal, text) : text);
	if (full)
		p->facts.full = true;
	else
		p->facts.our_fault = true;
	return full ? claim_words(&refusal, words) : strerror(-r);
}

/* Before anything of it happens: a login that cannot be written down is none. */
static const char *
audit_login(struct peer *p, const struct ipc_req_auth *m)
{
	struct audit_subject who = peer_audit_subject(p);
	size_t len = strlen(p->user); /* what the name has behind it is a target: take_name() */

	if (audit_event(p->broker->audit, "login", &who, AUDIT_TEXT("outcome", "accepted"),
		AUDIT_TEXT("method", "publickey"), AUDIT_TEXT("key", p->fingerprint),
		AUDIT_BOOL("verified", is_verified(m)),
		AUDIT_TEXT("target", len < m->user.len ? p->user + len + 1 : NULL),
		AUDIT_TEXT("rule", p->decision.rule), AUDIT_TEXT("profile", p->decision.profile->name),
		AUDIT_NUMBER("generation", p->broker->generation),
		AUDIT_TEXT("sha256", policy_digest(p->broker->policy))))
		return NULL;
	(void)snprintf(p->refusal, sizeof(p->refusal),
	    "The audit log cannot be written, so nobody is let in. Tell the administrator.");
	give_up_login(p);
	p->facts.our_fault = true;
	return "the audit log cannot be written";
}

int
answer_auth(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	int64_t asked_us = clock_now_us();
	struct ipc_req_auth m;
	const char *why;

	if (ipc_get_req_auth(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	*ret_fault = count_attempt(p);
	if (*ret_fault != NULL)
		return ANSWER_E_PEER_FAULT;
	forget_decision(p);
	why = judge(p, &m);
	if (why == NULL)
		why = take_place(p);
	if (why == NULL)
		why = audit_login(p, &m);
	if (why != NULL) {
		login_refused(p, &(struct login_claim){ m.user, m.blob, is_verified(&m) },
		    why == unknown ? NULL : why);
		p->user[0] = '\0';
		p->broker->counters.logins_refused++;
		return refuse_later(p, IPC_REQ_AUTH, m.user, asked_us);
	}
	peer_logged_in(p);
	p->broker->counters.logins++;
	log_info("connection=%s from=%s user=%s logged in: key %s, rule %s, profile %s, policy %u",
	    p->id, p->source_text, p->user, p->fingerprint, p->decision.rule,
	    p->decision.profile->name, p->broker->generation);
	send_accepted(p);
	/* The client still has to open its channel: the engine works meanwhile. */
	if (p->state != PEER_LOGGED_IN)
		return 0;
	session_begin(p);
	return session_time_begin(p);
}
