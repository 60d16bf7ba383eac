/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A login and a request that somebody thinks of, and what a policy says to them: the same calls, in the
 * same order, that the broker makes for real ones.
 */
#ifndef SP_JUDGE_H
#define SP_JUDGE_H

#include <stdbool.h>

#include "policy.h"

#define JUDGE_GROUPS_MAX 16

/* What is asked besides the login. */
enum ask {
	ASK_LOGIN, /* nothing */
	ASK_PROGRAM,
	ASK_FORWARD, /* a connection to host and port */
	ASK_LISTEN, /* a listener at host and port, in the container, for connections to the client */
	ASK_AGENT, /* the client's agent */
	ASK_X11,   /* the client's X display */
};

/* What is assumed. login and request point into it: it must not be copied. */
struct facts {
	struct policy_login login;
	enum ask ask;
	struct policy_request request; /* of a program */
	bool has_to;
	const char *host;
	size_t host_len;
	uint32_t port;
	char name[160];
	struct sockaddr_storage source;
	const char *groups[JUDGE_GROUPS_MAX + 1];
	size_t n_groups;
	bool has_user;
	bool has_key; /* its own way of proving counts, not login.auth */
};

void facts_init(struct facts *f, int64_t now);
/*
 * Each takes one fact as people write it and keeps pointers to text, but for the user and the address.
 * NULL, or a sentence about what is wrong with it.
 */
const char *facts_set_user(struct facts *f, const char *text);
const char *facts_add_group(struct facts *f, const char *text);
const char *facts_set_from(struct facts *f, const char *text);
const char *facts_set_key(struct facts *f, const char *text);
const char *facts_set_auth(struct facts *f, const char *text);
const char *facts_set_time(struct facts *f, const char *text);
const char *facts_set_request(struct facts *f, const char *text);
const char *facts_set_command(struct facts *f, const char *text);
/* Where a forward goes, or what is listened at: "host:port", "[::1]:80"; to listen also "*" and port 0. */
const char *facts_set_to(struct facts *f, const char *text);
/* Whether the facts are complete and fit together; the same. */
const char *facts_check(const struct facts *f);

struct verdict {
	bool login_allowed;
	bool allowed; /* the request as well, if there is one */
	struct policy_decision decision;
	struct policy_grant *grant;            /* owned; NULL: login refused */
	const char *profile;                   /* name, or NULL */
	char why[512];                         /* why not; "" when allowed */
	struct policy_words words;             /* that would run without a shell */
	struct policy_destination destination; /* of a forward or a listener that is allowed */
};

/* 0 or -ENOMEM. */
SP_MUST_CHECK int judge(struct policy *p, struct facts *f, struct verdict *ret);
void verdict_clear(struct verdict *v);

#endif
