/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public-key logins (RFC 4252 section 7). The signed data is built here from what the broker knows of
 * the connection; nobody hands it in, so there is nothing about it to check or to get wrong.
 */
#ifndef SP_USERAUTH_H
#define SP_USERAUTH_H

#include <stdbool.h>

#include "attr.h"
#include "ipc_msg.h"

struct transcript_state;

/*
 * Whether m proves that its user, on this very connection, holds the private half of m->blob.
 * verify_required: a security key must also have verified who touched it.
 * NULL: proven. Else the reason, static, for the log.
 */
SP_MUST_CHECK const char *userauth_verify(const struct transcript_state *s,
    const struct ipc_req_auth *m, bool verify_required);

#endif
