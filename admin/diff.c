/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport policy diff: for whom two policies decide differently, and how. Every login that either of
 * them can tell from others is asked of both; what they answer is grouped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy_commands.h"
#include "policy_show.h"
#include "replay.h"
#include "times.h"

static const char usage[] =
    "usage: sallyport policy diff [--json] [--replay AUDIT] OLD NEW\n"
    "  --replay  ask both about the logins and requests of an audit log, \"-\" for the standard input\n";

#define CHANGES_MAX 1024 /* of different kinds; nobody reads more */

/* What a policy says to one login. */
struct said {
	bool allowed;
	const char *rule;
	const char *message;
	const char *why; /* it never came before the rules; or NULL */
	const struct policy_profile *profile;
	const struct policy_ceiling *ceiling; /* of the rule; NULL: none */
};

/* A kind of change, and for whom. */
struct change {
	struct said before;
	struct said after;
	struct policy_login login; /* the first one that it was found for */
	size_t n_users;
	bool counted; /* for the user that is being looked at */
};

/* Two profiles, and whether they give the same; compared once. */
struct pair {
	const struct policy_profile *before;
	const struct policy_profile *after;
	bool same;
};

struct comparison {
	const struct policy *before;
	const struct policy *after;
	struct arena arena;
	struct policy_facts facts;
	struct change *changes;
	size_t n_changes;
	bool too_many;
	struct pair *pairs;
	size_t n_pairs;
};

/* ---- comparing ---- */

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Those of a rule; a rule of another name has a count of its own, and is a change in any case. */
static bool
same_ceiling(const struct policy_ceiling *a, const struct policy_ceiling *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->sessions == b->sessions && a->containers == b->containers &&
	    a->creates_per_minute == b->creates_per_minute;
}

static bool
compare_profiles(const struct policy_profile *before, const struct policy_profile *after)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	size_t n = 0;
	size_t m = 0;
	const struct policy_setting *x = policy_settings(&arena, before, &n);
	const struct policy_setting *y = policy_settings(&arena, after, &m);
	bool same = x != NULL && y != NULL && n == m;

	for (size_t i = 0; same && i < n; i++)
		same = strcmp(x[i].value, y[i].value) == 0;
	return same;
}

static bool
same_profiles(struct comparison *c, const struct policy_profile *before,
    const struct policy_profile *after)
{
	struct pair *pairs;

	if (before == NULL || after == NULL)
		return before == after;
	for (size_t i = 0; i < c->n_pairs; i++) {
		if (c->pairs[i].before == before && c->pairs[i].after == after)
			return c->pairs[i].same;
	}
	pairs = reallocarray(c->pairs, c->n_pairs + 1, sizeof(*pairs));
	if (pairs == NULL)
		return false; /* to say too much is the better mistake */
	c->pairs = pairs;
	pairs[c->n_pairs] = (struct pair){ before, after, compare_profiles(before, after) };
	return pairs[c->n_pairs++].same;
}

/* A key that the policy does not have for the user lets nobody in, nor one that has not done what it wants. */
static struct said
ask(const struct policy *p, const struct policy_login *login)
{
	struct policy_login l = *login;
	struct policy_decision d;
	int r;

	if (!policy_user_has_key(p, l.user, l.fingerprint, &l.auth))
		return (struct said){ .why = "the user does not have this key" };
	if (!policy_is_verified(p, &l))
		return (struct said){ .why = POLICY_NOT_VERIFIED };
	r = policy_decide(p, &l, &d);
	return (struct said){ r == 0, d.rule, d.message, NULL, d.profile, d.ceiling };
}

static bool
same_said(const struct said *a, const struct said *b)
{
	return a->allowed == b->allowed && a->profile == b->profile && a->ceiling == b->ceiling &&
	    same_text(a->rule, b->rule) && same_text(a->message, b->message) &&
	    same_text(a->why, b->why);
}

static void
add_change(struct comparison *c, const struct said *before, const struct said *after,
    const struct policy_login *login, size_t n_users)
{
	size_t i = 0;

	while (i < c->n_changes &&
	    !(same_said(&c->changes[i].before, before) && same_said(&c->changes[i].after, after)))
		i++;
	if (i == CHANGES_MAX) {
		c->too_many = true;
		return;
	}
	if (i == c->n_changes)
		c->changes[c->n_changes++] = (struct change){ *before, *after, *login, 0, false };
	if (!c->changes[i].counted)
		c->changes[i].n_users += n_users;
	c->changes[i].counted = true;
}

static void
compare_login(struct comparison *c, const struct policy_login *login, size_t n_users)
{
	struct said before = ask(c->before, login);
	struct said after = ask(c->after, login);

	if (before.allowed != after.allowed || !same_text(before.rule, after.rule) ||
	    !same_text(before.message, after.message) ||
	    !same_ceiling(before.ceiling, after.ceiling) ||
	    !same_profiles(c, before.profile, after.profile))
		add_change(c, &before, &after, login, n_users);
}

/* With one key of the user, verified or not, from everywhere, to every target, at every time. */
static void
compare_facts(struct comparison *c, struct policy_login *login, size_t n_users)
{
	const struct policy_facts *f = &c->facts;
	const int64_t ends[] = { policy_user_expires(c->before, login->user),
		policy_user_expires(c->after, login->user) };

	for (size_t s = 0; s < f->n_sources; s++) {
		login->source = &f->sources[s];
		for (size_t t = 0; t < f->n_targets; t++) {
			login->target = f->targets[t];
			for (size_t i = 0; i < f->n_times + SP_ARRAY_LEN(ends); i++) {
				login->time = i < f->n_times ? f->times[i] : ends[i - f->n_times];
				if (login->time != INT64_MAX)
					compare_login(c, login, n_users);
			}
		}
	}
}

static void
compare_key(struct comparison *c, struct policy_login *login, size_t n_users)
{
	login->verified = false;
	compare_facts(c, login, n_users);
	if (login->auth != POLICY_AUTH_SK_KEY)
		return;
	login->verified = true;
	compare_facts(c, login, n_users);
}

static void
compare_user(struct comparison *c, size_t i)
{
	struct policy_login login = { .user = c->facts.users[i] };

	for (size_t k = 0; k < c->n_changes; k++)
		c->changes[k].counted = false;
	for (size_t k = 0;; k++) {
		login.fingerprint = policy_user_key_at(c->before, login.user, k, &login.auth);
		if (login.fingerprint == NULL)
			break;
		compare_key(c, &login, c->facts.n_alike[i]);
	}
	for (size_t k = 0;; k++) {
		login.fingerprint = policy_user_key_at(c->after, login.user, k, &login.auth);
		if (login.fingerprint == NULL)
			break;
		if (!policy_user_has_key(c->before, login.user, login.fingerprint, &login.auth))
			compare_key(c, &login, c->facts.n_alike[i]);
	}
}

/* ---- showing ---- */

static void
print_said(const struct said *s)
{
	(void)fputs(s->allowed ? "ALLOW" : "DENY", stdout);
	if (s->rule != NULL)
		printf(" rule \"%s\"", s->rule);
	if (s->profile != NULL)
		printf(" profile \"%s\"", s->profile->name);
	if (s->why != NULL)
		printf(": %s", s->why);
}

struct settings {
	const struct policy_setting *list; /* NULL: out of memory */
	size_t n;
};

/* Settings that both give, with other values. */
static void
show_differences(const struct settings *before, const struct settings *after, struct json_writer *w)
{
	const struct policy_setting *x = before->list;
	const struct policy_setting *y = after->list;

	for (size_t i = 0; x != NULL && y != NULL && i < before->n && i < after->n; i++) {
		if (strcmp(x[i].value, y[i].value) == 0)
			continue;
		if (w != NULL) {
			json_write_open(w, NULL, '{');
			json_write_string(w, "name", x[i].name);
			json_write_raw(w, "before", x[i].value);
			json_write_raw(w, "after", y[i].value);
			json_write_close(w, '}');
			continue;
		}
		printf("    %s ", x[i].name);
		print_plain(stdout, x[i].value);
		(void)fputs(" -> ", stdout);
		print_plain(stdout, y[i].value);
		(void)putchar('\n');
	}
}

static void
show_settings(const struct comparison *all, const struct change *c, struct json_writer *w)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	struct settings before = { 0 };
	struct settings after = { 0 };

	if (c->before.profile == NULL || c->after.profile == NULL)
		return;
	before.list = policy_settings(&arena, c->before.profile, &before.n);
	after.list = policy_settings(&arena, c->after.profile, &after.n);
	show_differences(&before, &after, w);
	before.list =
	    policy_rule_ceiling_settings(&arena, all->before, c->before.rule, NULL, &before.n);
	after.list = policy_rule_ceiling_settings(&arena, all->after, c->after.rule, NULL, &after.n);
	show_differences(&before, &after, w);
}

static bool
same_ceilings(const struct comparison *c)
{
	const struct policy_ceilings *a = policy_ceilings(c->before);
	const struct policy_ceilings *b = policy_ceilings(c->after);

	return same_ceiling(&a->global, &b->global) && a->global.memory == b->global.memory &&
	    same_ceiling(&a->per_user, &b->per_user);
}

/* They are the same for all, whoever logs in. */
static void
show_ceilings(const struct comparison *c, struct json_writer *w)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	struct settings before = { 0 };
	struct settings after = { 0 };

	if (same_ceilings(c))
		return;
	before.list = policy_ceiling_settings(&arena, c->before, &before.n);
	after.list = policy_ceiling_settings(&arena, c->after, &after.n);
	if (w == NULL) {
		(void)puts("everybody:");
		show_differences(&before, &after, NULL);
		return;
	}
	json_write_open(w, NULL, '{');
	json_write_string(w, "user", NULL);
	json_write_open(w, "settings", '[');
	show_differences(&before, &after, w);
	json_write_close(w, ']');
	json_write_close(w, '}');
}

static void
print_change(const struct comparison *all, const struct change *c)
{
	char address[INET6_ADDRSTRLEN];
	char when[TIMES_TEXT_MAX];

	printf("%s%s%s", c->login.user, c->login.target != NULL ? "+" : "",
	    c->login.target != NULL ? c->login.target : "");
	if (c->n_users > 1)
		printf(" and %zu more", c->n_users - 1);
	(void)fputs(": ", stdout);
	print_said(&c->before);
	(void)fputs(" -> ", stdout);
	print_said(&c->after);
	printf("\n    for example from %s at %s%s\n", policy_source_text(c->login.source, address),
	    times_format(c->login.time, when),
	    c->login.verified ? ", verified by a security key" : "");
	if (!same_text(c->before.message, c->after.message)) {
		(void)fputs("    message: ", stdout);
		print_plain(stdout, c->before.message != NULL ? c->before.message : "none");
		(void)fputs(" -> ", stdout);
		print_plain(stdout, c->after.message != NULL ? c->after.message : "none");
		(void)putchar('\n');
	}
	show_settings(all, c, NULL);
}

static void
write_said(struct json_writer *w, const char *key, const struct said *s)
{
	json_write_open(w, key, '{');
	json_write_bool(w, "allowed", s->allowed);
	json_write_string(w, "rule", s->rule);
	json_write_string(w, "profile", s->profile != NULL ? s->profile->name : NULL);
	json_write_string(w, "message", s->message);
	json_write_string(w, "why", s->why);
	json_write_close(w, '}');
}

static void
write_change(struct json_writer *w, const struct comparison *all, const struct change *c)
{
	char address[INET6_ADDRSTRLEN];
	char when[TIMES_TEXT_MAX];

	json_write_open(w, NULL, '{');
	json_write_string(w, "user", c->login.user);
	json_write_string(w, "target", c->login.target);
	json_write_string(w, "from", policy_source_text(c->login.source, address));
	json_write_string(w, "at", times_format(c->login.time, when));
	json_write_string(w, "key", c->login.fingerprint);
	json_write_bool(w, "verified", c->login.verified);
	json_write_number(w, "users", c->n_users);
	write_said(w, "before", &c->before);
	write_said(w, "after", &c->after);
	json_write_open(w, "settings", '[');
	show_settings(all, c, w);
	json_write_close(w, ']');
	json_write_close(w, '}');
}

static void
show(const struct comparison *c, bool json)
{
	struct json_writer w = { .out = stdout };

	if (json)
		json_write_open(&w, NULL, '[');
	show_ceilings(c, json ? &w : NULL);
	for (size_t i = 0; i < c->n_changes; i++) {
		if (json)
			write_change(&w, c, &c->changes[i]);
		else
			print_change(c, &c->changes[i]);
	}
	if (json) {
		json_write_close(&w, ']');
		(void)putchar('\n');
	}
	if (c->too_many)
		(void)fprintf(stderr, "sallyport: there are more kinds of change than these %d\n",
		    CHANGES_MAX);
}

static int
compare(struct comparison *c, bool json)
{
	c->changes = calloc(CHANGES_MAX, sizeof(*c->changes));
	if (c->changes == NULL ||
	    policy_facts(&c->arena, c->before, c->after, time(NULL), &c->facts) < 0) {
		(void)fputs("sallyport: out of memory\n", stderr);
		return EXIT_UNABLE;
	}
	for (size_t i = 0; i < c->facts.n_users; i++)
		compare_user(c, i);
	show(c, json);
	return c->n_changes > 0 || !same_ceilings(c) ? EXIT_NO : EXIT_FINE;
}

int
command_diff(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "replay", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *audit = NULL;
	struct policy *before;
	struct policy *after;
	struct comparison c = { 0 };
	bool json = false;
	int code = EXIT_UNABLE;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'r')
			audit = optarg;
		else if (option == 'j')
			json = true;
		else
			return option == 'h' ? command_help(usage) : command_usage(usage);
	}
	if (!command_names(argc, argv, 2, usage))
		return EXIT_UNABLE;
	before = command_load(argv[optind]);
	after = command_load(argv[optind + 1]);
	c.before = before;
	c.after = after;
	if (before != NULL && after != NULL)
		code = audit != NULL ? replay(audit, before, after, json) : compare(&c, json);
	arena_clear(&c.arena);
	free(c.changes);
	free(c.pairs);
	policy_unref(before);
	policy_unref(after);
	return code;
}
