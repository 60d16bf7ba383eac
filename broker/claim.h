/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a login takes of the ceilings (ceilings.h) that the policy sets: those for everybody and for each user are
 * the ones of the policy in force, those of its rule are of the policy that it logged in by. A refusal is in
 * both logs, with the limit and the rule.
 */
#ifndef SP_CLAIM_H
#define SP_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"
#include "ceilings.h"

struct broker;
struct peer;

/*
 * The login of p itself, which is decided but for this: 0; CEILING_E_FULL, and *refusal says where; -ENOMEM. The
 * line in the log is the caller's.
 */
SP_MUST_CHECK int claim_session(struct peer *p, struct ceiling_hold **ret,
    struct ceiling_refusal *refusal);
/*
 * A container for p. made: one that was ready before. ahead: nobody has asked for it yet, and a refusal is not
 * written. What waits in the pool stands in nobody's way: pool_give_way() is to follow, once the place is the
 * container's. As claim_session(), with a sentence in text, and the line is written.
 */
SP_MUST_CHECK int claim_container(struct peer *p, bool made, bool ahead, struct ceiling_hold **ret,
    char text[CEILING_TEXT_MAX]);
/* The user's container of an earlier run, which is there whatever the limits are by now. 0 or -ENOMEM. */
SP_MUST_CHECK int claim_found(struct broker *b, const char *user, uint64_t memory,
    struct ceiling_hold **ret);
/*
 * A container of so many bytes that is to wait for a login: everybody's ceilings are for it as well, and of the
 * new containers of a minute half are left to the logins. As ceilings_take(); a refusal is in no log.
 */
SP_MUST_CHECK int claim_ready(struct broker *b, uint64_t memory, struct ceiling_hold **ret,
    struct ceiling_refusal *refusal);
/* "the ceiling per_user.sessions of 2 is reached", for the logs. Returns out. */
char *claim_words(const struct ceiling_refusal *refusal, char out[CEILING_TEXT_MAX]);
/* Whether more is held than everybody together may have. */
bool claim_is_over(const struct broker *b);

#endif
