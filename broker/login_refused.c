/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see login_refused.h. Names and keys are a stranger's: they are copied, hashed and compared, no more. */
#include "login_refused.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "log.h"
#include "log_word.h"
#include "peer.h"
#include "policy.h"
#include "public_key.h"
#include "worker_pool.h"

#define LINES_MAX 6 /* of one connection: its tries by default; the rest is counted */

/* Of the policy in force, and without its target. */
static bool
is_user(const struct peer *p, struct wire_span name)
{
	size_t target;
	size_t n = policy_split_name(name.data, name.len, &target);

	return n > 0 && policy_find_user(p->broker->policy, (const char *)name.data, n) != NULL;
}

/* A connection that goes on and on gets no more lines; of whom a signature has proven, each has its own. */
static bool
may_write(struct peer *p, bool proven)
{
	return proven || p->strangers++ < LINES_MAX;
}

static void
write_log(struct peer *p, struct wire_span name, const char *offered, const char *why, bool known)
{
	const char *rule = p->decision.rule;
	char user[IPC_USER_MAX + 1];
	size_t target;
	int n = (int)policy_split_name(name.data, name.len, &target);

	(void)log_word(name, user, sizeof(user));
	if (why != NULL)
		log_info("connection=%s from=%s user=%s login refused: %s%s%s", p->id, p->source_text,
		    user, why, rule != NULL ? ", rule " : "", rule != NULL ? rule : "");
	else if (known)
		log_info("connection=%s from=%s user=%s login refused: key %s is not one of \"%.*s\"'s",
		    p->id, p->source_text, user, offered, n, user);
	else
		log_info("connection=%s from=%s user=%s login refused: there is no user \"%s\"",
		    p->id, p->source_text, user, user);
}

void
login_refused(struct peer *p, const struct login_claim *claim, const char *why)
{
	/* Nobody has proven to be this user: it is what was claimed. */
	struct audit_subject who = { .connection = p->id, .from = p->source_text };
	bool proven = p->fingerprint[0] != '\0';
	struct wire_span user = claim->user;
	bool known = is_user(p, user);
	char offered[PUBLIC_KEY_FINGERPRINT_LEN + 1];
	const char *reason = why;

	if (!may_write(p, proven))
		return;
	(void)public_key_fingerprint(claim->blob.data, claim->blob.len, offered);
	if (reason == NULL)
		reason = known ? "the key is not one of the user's" : "there is no such user";
	/* Who has proven who they are is no flood. */
	if (proven || worker_pool_may_audit(p->broker->workers))
		audit_note(p->broker->audit, "login", &who, AUDIT_TEXT("outcome", "refused"),
		    AUDIT_TEXT("method", "publickey"), AUDIT_BYTES("claimed", user.data, user.len),
		    AUDIT_TEXT("key", proven ? p->fingerprint : NULL),
		    AUDIT_BOOL("verified", proven && claim->verified),
		    AUDIT_TEXT("offered", proven ? NULL : offered), AUDIT_TEXT("reason", reason),
		    AUDIT_TEXT("rule", p->decision.rule),
		    AUDIT_NUMBER("generation", p->broker->generation));
	if (proven || worker_pool_may_log(p->broker->workers))
		write_log(p, user, offered, why, known);
}

void
login_refused_end(struct peer *p)
{
	struct audit_subject who = { .connection = p->id, .from = p->source_text };
	unsigned more = p->strangers > LINES_MAX ? p->strangers - LINES_MAX : 0;

	if (more == 0)
		return;
	if (worker_pool_may_audit(p->broker->workers))
		audit_note(p->broker->audit, "login", &who, AUDIT_TEXT("outcome", "refused"),
		    AUDIT_TEXT("method", "publickey"), AUDIT_NUMBER("left_out", more));
	if (worker_pool_may_log(p->broker->workers))
		log_info("connection=%s from=%s user=- login refused: %u more times", p->id,
		    p->source_text, more);
}
