/* SPDX-License-Identifier: Apache-2.0 */
#include "judge.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "policy_show.h"
#include "times.h"

void
facts_init(struct facts *f, int64_t now)
{
	*f = (struct facts){ .login.time = now };
	f->login.groups = f->groups;
}

const char *
facts_set_user(struct facts *f, const char *text)
{
	size_t len = strlen(text);
	size_t target;
	size_t n = policy_split_name(text, len, &target);

	if (n == 0 || len >= sizeof(f->name))
		return "is no name to log in with: \"alice\" or \"alice+target\"";
	memcpy(f->name, text, len + 1);
	f->name[n] = '\0';
	f->login.user = f->name;
	f->login.target = target < len ? f->name + target : NULL;
	f->has_user = true;
	return NULL;
}

const char *
facts_add_group(struct facts *f, const char *text)
{
	if (f->n_groups == JUDGE_GROUPS_MAX)
		return "is one group too many";
	if (!policy_user_valid(text, strlen(text)))
		return "is no name of a group";
	f->groups[f->n_groups++] = text;
	return NULL;
}

const char *
facts_set_from(struct facts *f, const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	memset(&f->source, 0, sizeof(f->source));
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		memcpy(&f->source, &v4, sizeof(v4));
	else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		memcpy(&f->source, &v6, sizeof(v6));
	else
		return "is no address";
	f->login.source = &f->source;
	return NULL;
}

const char *
facts_set_key(struct facts *f, const char *text)
{
	if (strncmp(text, "SHA256:", 7) != 0)
		return "is no fingerprint; ssh-keygen -l -f KEY.pub prints it, \"SHA256:...\"";
	f->login.fingerprint = text;
	f->has_key = true;
	return NULL;
}

const char *
facts_set_auth(struct facts *f, const char *text)
{
	for (unsigned i = 0; policy_auth_names[i] != NULL; i++) {
		if (strcmp(policy_auth_names[i], text) == 0) {
			f->login.auth = (enum policy_auth)i;
			return NULL;
		}
	}
	return "is no way to log in: \"key\" or \"sk-key\"";
}

const char *
facts_set_time(struct facts *f, const char *text)
{
	return times_parse_instant(text, &f->login.time) == 0
	    ? NULL
	    : "is no point in time such as \"2027-01-31T18:00Z\"";
}

const char *
facts_set_request(struct facts *f, const char *text)
{
	static const struct {
		const char *word;
		enum ask ask;
		enum policy_request_kind kind;
	} requests[] = {
		{ "shell", ASK_PROGRAM, POLICY_REQUEST_SHELL },
		{ "exec", ASK_PROGRAM, POLICY_REQUEST_EXEC },
		{ "subsystem", ASK_PROGRAM, POLICY_REQUEST_SUBSYSTEM },
		{ .word = "forward", .ask = ASK_FORWARD },
		{ .word = "listen", .ask = ASK_LISTEN },
		{ .word = "agent", .ask = ASK_AGENT },
		{ .word = "x11", .ask = ASK_X11 },
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(requests); i++) {
		if (strcmp(requests[i].word, text) != 0)
			continue;
		f->ask = requests[i].ask;
		f->request.kind = requests[i].kind;
		return NULL;
	}
	return "is no request: \"shell\", \"exec\", \"subsystem\", \"forward\", \"listen\", \"agent\" or "
	       "\"x11\"";
}

const char *
facts_set_command(struct facts *f, const char *text)
{
	f->request.command = text;
	f->request.command_len = strlen(text);
	return f->request.command_len <= POLICY_WORDS_COMMAND_MAX ? NULL : "is too long";
}

const char *
facts_set_to(struct facts *f, const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon == NULL ? 0 : (size_t)(colon - text);
	uint32_t port = 0;

	for (const char *p = len == 0 ? "" : colon + 1; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || port > UINT16_MAX)
			return "has no port";
		port = port * 10 + (uint32_t)(*p - '0');
	}
	if (len == 0 || colon[1] == '\0' || port > UINT16_MAX)
		return "is no host and port such as \"localhost:8080\" or \"[2001:db8::1]:443\"";
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	f->host = text;
	f->host_len = len;
	f->port = port;
	f->has_to = true;
	return NULL;
}

const char *
facts_check(const struct facts *f)
{
	bool words = f->ask == ASK_PROGRAM && f->request.kind != POLICY_REQUEST_SHELL;
	bool to = f->ask == ASK_FORWARD || f->ask == ASK_LISTEN;

	if (!f->has_user)
		return "a user is needed";
	if (f->login.verified && !f->has_key && f->login.auth != POLICY_AUTH_SK_KEY)
		return "only a security key verifies its user: \"sk-key\", or a key that is one";
	if (words && f->request.command == NULL)
		return "\"exec\" needs a command, and \"subsystem\" its name as one";
	if (!words && f->request.command != NULL)
		return "a command goes with the request \"exec\" or \"subsystem\" only";
	if (f->request.pty && f->ask != ASK_PROGRAM)
		return "a terminal goes with a request for a program only";
	if (f->has_to != to)
		return f->ask == ASK_FORWARD ? "\"forward\" needs a host and port to go to"
		    : to                     ? "\"listen\" needs a host and port to listen at"
			 : "a host and port go with the request \"forward\" or \"listen\" only";
	if (f->ask == ASK_FORWARD && f->port == 0)
		return "port 0 is no port to go to: it is for \"listen\", where any will do";
	return NULL;
}

static void
refuse(struct verdict *v, const char *why)
{
	(void)snprintf(v->why, sizeof(v->why), "%s", why);
}

static void
explain_refusal(const struct policy *p, const struct facts *f, struct verdict *v)
{
	bool known = policy_user_key_at(p, f->login.user, 0, &(enum policy_auth){ 0 }) != NULL;

	if (v->decision.expired)
		refuse(v, "the user has expired");
	else if (v->decision.rule != NULL)
		refuse(v, "the rule denies it");
	else
		refuse(v, known ? "no rule matches" : "there is no such user, or it has no keys");
}

static void
judge_request(const struct facts *f, struct verdict *v)
{
	const struct policy_profile *profile = policy_grant_profile(v->grant);
	const char *why = NULL;

	switch (f->ask) {
	case ASK_LOGIN:
		break;
	case ASK_PROGRAM:
		why = policy_refuse(profile, &f->request, &v->words);
		break;
	case ASK_FORWARD:
		why = policy_refuse_forward(profile, f->host, f->host_len, f->port, &v->destination);
		break;
	case ASK_LISTEN:
		why = policy_refuse_listen(profile, f->host, f->host_len, f->port, &v->destination);
		break;
	case ASK_AGENT:
		why = policy_refuse_agent(profile);
		break;
	case ASK_X11:
		why = policy_refuse_x11(profile);
		break;
	}
	v->allowed = why == NULL;
	if (why != NULL)
		refuse(v, why);
}

int
judge(struct policy *p, struct facts *f, struct verdict *ret)
{
	int r;

	ret->login_allowed = ret->allowed = false;
	ret->decision = (struct policy_decision){ 0 };
	ret->grant = NULL;
	ret->profile = NULL;
	ret->why[0] = '\0';
	ret->words.n = 0;
	if (f->has_key &&
	    !policy_user_has_key(p, f->login.user, f->login.fingerprint, &f->login.auth)) {
		refuse(ret, "the user does not have this key");
		return 0;
	}
	if (!policy_is_verified(p, &f->login)) {
		refuse(ret, POLICY_NOT_VERIFIED);
		return 0;
	}
	if (policy_decide(p, &f->login, &ret->decision) != 0) {
		explain_refusal(p, f, ret);
		return 0;
	}
	r = policy_grant_new(p, &f->login, &ret->decision, &ret->grant, ret->why, sizeof(ret->why));
	if (r != 0)
		return r < 0 ? r : 0;
	ret->profile = policy_grant_profile(ret->grant)->name;
	ret->login_allowed = true;
	judge_request(f, ret);
	return 0;
}

void
verdict_clear(struct verdict *v)
{
	v->grant = policy_grant_unref(v->grant);
}
