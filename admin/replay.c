/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport policy diff --replay: the lines of sallyport-audit(5), asked of two policies once more. The
 * log is the broker's own, but what stands in it came from strangers: each line is parsed as any JSON,
 * and printed escaped.
 */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc.h"
#include "json_text.h"
#include "policy_commands.h"

/* A login that the log tells of; the connections that are open in it are held, no more. */
struct login {
	char connection[32];
	char name[160]; /* with its target */
	char from[64];
	char key[80];
	bool verified;
	char time[40];
};

struct replay {
	struct policy *before;
	struct policy *after;
	struct json_writer *w; /* NULL: for people */
	struct login *logins;
	size_t n_logins;
	size_t cap;
	unsigned long asked;
	unsigned long changed;
	unsigned long left_out; /* what cannot be asked again */
	unsigned long broken;   /* lines that are no events */
	bool out_of_memory;
};

/* The text of a member, or NULL. */
static const char *
text_of(const struct json_node *event, const char *key)
{
	const struct json_node *e = json_node_find(event, key);

	return e != NULL && json_node_kind(e) == JSON_KIND_STRING ? json_node_string(e) : NULL;
}

static bool
is(const struct json_node *event, const char *key, const char *value)
{
	const char *text = text_of(event, key);

	return text != NULL && strcmp(text, value) == 0;
}

static bool
is_true(const struct json_node *event, const char *key)
{
	const struct json_node *e = json_node_find(event, key);

	return e != NULL && json_node_kind(e) == JSON_KIND_BOOLEAN && json_node_boolean(e);
}

static bool
put(char *out, size_t cap, const char *text)
{
	size_t len = text != NULL ? strlen(text) : cap;

	if (len >= cap)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

/* "192.0.2.7,50022" without its port; "2026-01-02T03:04:05.678901Z" without its fraction. */
static bool
take_place_and_time(struct login *l, const struct json_node *event)
{
	char *comma;
	char *point;

	if (!put(l->from, sizeof(l->from), text_of(event, "from")) ||
	    !put(l->time, sizeof(l->time) - 1, text_of(event, "time")))
		return false;
	comma = strrchr(l->from, ',');
	if (comma != NULL)
		*comma = '\0';
	point = strchr(l->time, '.');
	if (point != NULL)
		(void)snprintf(point, 2, "Z");
	return true;
}

/* Whose signature was good: who was let in, or whom the policy refused. */
static bool
take_login(struct login *l, const struct json_node *event)
{
	const char *target = text_of(event, "target");
	const char *user = text_of(event, "user");
	int n = 0;

	*l = (struct login){ .verified = is_true(event, "verified") };
	if (is(event, "outcome", "accepted") && user != NULL)
		n = snprintf(l->name, sizeof(l->name), "%s%s%s", user, target != NULL ? "+" : "",
		    target != NULL ? target : "");
	else if (!put(l->name, sizeof(l->name), text_of(event, "claimed")))
		return false;
	return n >= 0 && (size_t)n < sizeof(l->name) &&
	    put(l->connection, sizeof(l->connection), text_of(event, "connection")) &&
	    put(l->key, sizeof(l->key), text_of(event, "key")) && take_place_and_time(l, event);
}

static struct login *
find_login(struct replay *r, const char *connection)
{
	for (size_t i = r->n_logins; connection != NULL && i > 0; i--) {
		if (strcmp(r->logins[i - 1].connection, connection) == 0)
			return &r->logins[i - 1];
	}
	return NULL;
}

static void
keep_login(struct replay *r, const struct login *l)
{
	struct login *known = find_login(r, l->connection);

	if (known == NULL && r->n_logins == r->cap) {
		size_t cap = r->cap > 0 ? 2 * r->cap : 64;
		struct login *more = reallocarray(r->logins, cap, sizeof(*more));

		if (more == NULL) {
			r->out_of_memory = true;
			return;
		}
		r->logins = more;
		r->cap = cap;
	}
	if (known == NULL)
		known = &r->logins[r->n_logins++];
	*known = *l;
}

/* One side's answer. */
struct said {
	bool allowed;
	char rule[128];
	char profile[128];
	char why[512];
};

/* false: there is no memory. */
static bool
ask(struct policy *p, struct facts *f, struct said *ret)
{
	static struct verdict v;
	int r = judge(p, f, &v);

	*ret = (struct said){ .allowed = v.allowed };
	if (r == 0) {
		(void)snprintf(ret->rule, sizeof(ret->rule), "%s",
		    v.decision.rule != NULL ? v.decision.rule : "");
		(void)snprintf(ret->profile, sizeof(ret->profile), "%s",
		    v.profile != NULL ? v.profile : "");
		(void)snprintf(ret->why, sizeof(ret->why), "%s", v.why);
	}
	verdict_clear(&v);
	return r == 0;
}

static void
write_said(struct json_writer *w, const char *key, const struct said *s)
{
	json_write_open(w, key, '{');
	json_write_bool(w, "allowed", s->allowed);
	json_write_string(w, "rule", s->rule[0] != '\0' ? s->rule : NULL);
	json_write_string(w, "profile", s->profile[0] != '\0' ? s->profile : NULL);
	json_write_string(w, "why", s->why[0] != '\0' ? s->why : NULL);
	json_write_close(w, '}');
}

static void
print_said(const struct said *s)
{
	(void)fputs(s->allowed ? "ALLOW" : "DENY", stdout);
	if (s->rule[0] != '\0')
		printf(" rule \"%s\"", s->rule);
	if (s->profile[0] != '\0')
		printf(" profile \"%s\"", s->profile);
	if (s->why[0] != '\0') {
		(void)fputs(": ", stdout);
		print_plain(stdout, s->why);
	}
}

static void
report(const struct replay *r, const struct login *l, const char *kind, const char *what,
    const struct said *before, const struct said *after)
{
	if (r->w != NULL) {
		json_write_open(r->w, NULL, '{');
		json_write_string(r->w, "connection", l->connection);
		json_write_string(r->w, "time", l->time);
		json_write_string(r->w, "user", l->name);
		json_write_string(r->w, "from", l->from);
		json_write_string(r->w, "kind", kind);
		json_write_string(r->w, "what", what);
		write_said(r->w, "before", before);
		write_said(r->w, "after", after);
		json_write_close(r->w, '}');
		return;
	}
	print_plain(stdout, l->time);
	(void)putchar(' ');
	print_plain(stdout, l->connection);
	(void)putchar(' ');
	print_plain(stdout, l->name);
	(void)fputs(" from ", stdout);
	print_plain(stdout, l->from);
	printf(": %s", kind);
	if (what != NULL) {
		(void)putchar(' ');
		print_plain(stdout, what);
	}
	(void)fputs(": ", stdout);
	print_said(before);
	(void)fputs(" -> ", stdout);
	print_said(after);
	(void)putchar('\n');
}

/* Fill in what was recorded of the login; false: it is not what the broker writes. */
static bool
take_facts(struct facts *f, const struct login *l)
{
	facts_init(f, 0);
	f->login.verified = l->verified;
	return facts_set_user(f, l->name) == NULL && facts_set_from(f, l->from) == NULL &&
	    facts_set_key(f, l->key) == NULL && facts_set_time(f, l->time) == NULL;
}

/* kind, what: of a request; kind "login": none. */
static void
compare(struct replay *r, const struct login *l, const char *kind, const char *what, bool pty)
{
	static struct facts f;
	struct said before;
	struct said after;
	bool login = strcmp(kind, "login") == 0;
	bool good = take_facts(&f, l);

	if (good && !login)
		good = facts_set_request(&f, kind) == NULL &&
		    (what == NULL ||
			(f.ask == ASK_PROGRAM ? facts_set_command : facts_set_to)(&f, what) == NULL);
	f.request.pty = pty;
	if (!good || facts_check(&f) != NULL) {
		r->left_out++;
		return;
	}
	r->asked++;
	if (!ask(r->before, &f, &before) || !ask(r->after, &f, &after)) {
		r->out_of_memory = true;
		return;
	}
	/* Which rule and profile gave it matters to the login; a request has its answer only. */
	if (before.allowed == after.allowed &&
	    (!login ||
		(strcmp(before.rule, after.rule) == 0 && strcmp(before.profile, after.profile) == 0)))
		return;
	r->changed++;
	report(r, l, kind, what, &before, &after);
}

static void
on_login(struct replay *r, const struct json_node *event)
{
	struct login l;

	if (!take_login(&l, event)) {
		r->left_out++;
		return;
	}
	compare(r, &l, "login", NULL, false);
	keep_login(r, &l);
}

static void
on_request(struct replay *r, const struct json_node *event)
{
	const struct login *l = find_login(r, text_of(event, "connection"));
	const char *kind = text_of(event, "kind");

	if (l == NULL || kind == NULL || json_node_find(event, "command_escaped") != NULL)
		r->left_out++;
	else
		compare(r, l, kind, text_of(event, "command"), is_true(event, "pty"));
}

/* kind: "forward" or "listen". */
static void
on_forward(struct replay *r, const struct json_node *event, const char *kind)
{
	const struct login *l = find_login(r, text_of(event, "connection"));
	const struct json_node *port = json_node_find(event, "port");
	const char *host = text_of(event, "host");
	char to[320];
	int n;

	if (l == NULL || host == NULL || port == NULL || json_node_kind(port) != JSON_KIND_INTEGER) {
		r->left_out++;
		return;
	}
	/* To listen at "" is to listen everywhere, as at "*". */
	n = snprintf(to, sizeof(to), "[%s]:%lld", host[0] != '\0' ? host : "*",
	    (long long)json_node_integer(port));
	if (n < 0 || (size_t)n >= sizeof(to))
		r->left_out++;
	else
		compare(r, l, kind, to, false);
}

static void
on_listen(struct replay *r, const struct json_node *event)
{
	const struct login *l = find_login(r, text_of(event, "connection"));
	const char *kind = text_of(event, "kind");

	if (!is(event, "kind", "agent") && !is(event, "kind", "x11"))
		on_forward(r, event, "listen");
	else if (l != NULL)
		compare(r, l, kind, NULL, false);
	else
		r->left_out++;
}

/* What the worker refused without a question. A terminal alone is none, nor what was cut. */
static void
on_refused(struct replay *r, const struct json_node *event)
{
	const struct login *l = find_login(r, text_of(event, "connection"));
	const char *kind = text_of(event, "kind");
	const char *detail = text_of(event, "detail");
	bool named = is(event, "kind", "exec") || is(event, "kind", "subsystem");

	if (l == NULL || kind == NULL || is(event, "kind", "pty") ||
	    (named && (detail == NULL || strlen(detail) >= IPC_DETAIL_MAX)))
		r->left_out++;
	else if (named || is(event, "kind", "shell") || is(event, "kind", "x11"))
		compare(r, l, kind, named ? detail : NULL, false);
}

static void
on_disconnect(struct replay *r, const struct json_node *event)
{
	struct login *l = find_login(r, text_of(event, "connection"));

	if (l != NULL)
		*l = r->logins[--r->n_logins];
}

static void
on_event(struct replay *r, const struct json_node *event)
{
	if (is(event, "event", "login"))
		on_login(r, event);
	else if (is(event, "event", "request"))
		on_request(r, event);
	else if (is(event, "event", "forward"))
		on_forward(r, event, "forward");
	else if (is(event, "event", "listen"))
		on_listen(r, event);
	else if (is(event, "event", "request.refused"))
		on_refused(r, event);
	else if (is(event, "event", "disconnect"))
		on_disconnect(r, event);
	else if (is(event, "event", "service.start"))
		r->n_logins = 0; /* what was open before it has ended without a word */
}

static void
on_line(struct replay *r, const char *path, const char *line, size_t len)
{
	SP_CLEANUP(json_text_freep) struct json_text *text = NULL;
	struct diag_list diags = DIAG_LIST_INIT;

	if (json_text_parse(path, line, len, &text, &diags) != 0 ||
	    json_node_kind(json_text_root(text)) != JSON_KIND_OBJECT)
		r->broken++;
	else
		on_event(r, json_text_root(text));
	diag_list_clear(&diags);
}

static int
finish(const struct replay *r)
{
	if (r->out_of_memory) {
		(void)fputs("sallyport: out of memory\n", stderr);
		return EXIT_UNABLE;
	}
	(void)fprintf(stderr,
	    "sallyport: %lu of %lu logins and requests would change; %lu cannot be asked again, %lu lines "
	    "are no events\n",
	    r->changed, r->asked, r->left_out, r->broken);
	return r->changed > 0 ? EXIT_NO : EXIT_FINE;
}

int
replay(const char *path, struct policy *before, struct policy *after, bool json)
{
	struct json_writer w = { .out = stdout };
	struct replay r = { .before = before, .after = after, .w = json ? &w : NULL };
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int code;

	if (in == NULL) {
		(void)fprintf(stderr, "sallyport: %s: %s\n", path, strerror(errno));
		return EXIT_UNABLE;
	}
	if (json)
		json_write_open(&w, NULL, '[');
	while (!r.out_of_memory && (n = getline(&line, &cap, in)) >= 0)
		on_line(&r, path, line, (size_t)n);
	if (json) {
		json_write_close(&w, ']');
		(void)putchar('\n');
	}
	code = ferror(in) ? EXIT_UNABLE : finish(&r);
	if (ferror(in))
		(void)fprintf(stderr, "sallyport: %s: cannot be read\n", path);
	free(line);
	free(r.logins);
	if (in != stdin)
		(void)fclose(in);
	return code;
}
