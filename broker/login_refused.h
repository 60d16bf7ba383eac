/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the logs have of a refused login: a key that was offered and is nobody's, a signature that is wrong, a rule
 * that denies. Who has proven nothing is a stranger, and what they can make us write is bounded here.
 */
#ifndef SP_LOGIN_REFUSED_H
#define SP_LOGIN_REFUSED_H

#include <stdbool.h>

#include "wire.h"

struct peer;

/* What the client said. */
struct login_claim {
	struct wire_span user;
	struct wire_span blob; /* of the key */
	bool verified;         /* by a security key, of whom a signature has proven */
};

/*
 * why, static text; NULL: there is no such user, or the key is not theirs.
 * A fingerprint in p says that they have proven who they are. Both of an unknown user and of a known one it is the
 * same work.
 */
void login_refused(struct peer *p, const struct login_claim *claim, const char *why);

/* How many were left out, at the end of the connection. */
void login_refused_end(struct peer *p);

#endif
