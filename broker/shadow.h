/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second policy that decides nothing: policy_shadow in broker.json. Each login that was proven and each request
 * is judged by it too, and where it would have decided otherwise, the log and the audit log say so. It is loaded
 * and reloaded with the policy; one that has errors stops nothing. A login keeps the shadow that it began
 * with, as it keeps its policy.
 */
#ifndef SP_SHADOW_H
#define SP_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

struct audit;
struct diag_list;
struct ipc_req_auth;
struct ipc_req_forward;
struct ipc_req_listen;
struct peer;
struct policy_grant;
struct policy_login;
struct policy_request;
struct shadow;

/* What a login has of it. All NULL and 0: it is not watched. */
struct shadow_login {
	struct policy_grant *grant; /* what it would have got; NULL: nothing */
	const char *rule;           /* the grant keeps it */
	unsigned generation;
};

struct shadow_state {
	unsigned generation; /* counts successful loads, from 1; 0: none is loaded */
	const char *sha256;  /* NULL: none is loaded */
	bool failed;         /* the last load: what is told is of the one before */
	uint64_t differences;
};

/* path is a loan for the life of the shadow. Nothing is loaded yet. 0 or -ENOMEM. */
SP_MUST_CHECK int shadow_new(const char *path, struct shadow **ret);
/* NULL is fine. */
void shadow_free(struct shadow *s);

/*
 * Load it, or load it again, and say so in the logs; messages of its reader go to *diags. One with errors
 * leaves the one before in its place. NULL: there is none, which is fine.
 */
void shadow_load(struct shadow *s, struct audit *audit, struct diag_list *diags);

struct shadow_state shadow_state(const struct shadow *s);

/*
 * A signature of p's user has been verified; login is what was decided about, and whether it is let in.
 * Called once for each such signature. What is to be kept for its requests is in p->shadow then.
 */
void shadow_judge_login(struct peer *p, const struct ipc_req_auth *m,
    const struct policy_login *login, bool allowed);
#define SHADOW_NO_CHANNEL UINT32_MAX
/* A program was asked for on a channel, kind in words, or on one that the broker does not know. */
void shadow_judge_request(struct peer *p, uint32_t channel, const char *kind,
    const struct policy_request *request, bool allowed);
void shadow_judge_forward(struct peer *p, const struct ipc_req_forward *m, bool allowed);
void shadow_judge_listen(struct peer *p, const struct ipc_req_listen *m, bool allowed);
/* The login is over, or is none. */
void shadow_forget(struct shadow_login *l);

#endif
