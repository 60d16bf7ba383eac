/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport policy test: what a policy says to logins that somebody has thought of before. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cases.h"
#include "policy_commands.h"
#include "policy_show.h"

static const char usage[] =
    "usage: sallyport policy test [--json] [--quiet] FILE --cases CASES [--cases CASES]...\n"
    "  --quiet  only cases that fail\n";

#define CASE_FILES_MAX 64

struct run {
	struct policy *policy;
	struct json_writer *w; /* NULL: for people */
	bool quiet;
	int64_t now;
	size_t passed;
	size_t failed;
};

/* Where the expectation does not hold: the reason, or "" . */
struct outcome {
	char why[1024];
};

static void SP_PRINTF(2, 3) differ(struct outcome *o, const char *format, ...)
{
	va_list args;

	if (o->why[0] != '\0')
		return; /* the first difference */
	va_start(args, format);
	(void)vsnprintf(o->why, sizeof(o->why), format, args);
	va_end(args);
}

static void
take(struct outcome *o, struct facts *f, const char *(*set)(struct facts *f, const char *text),
    const char *key, const char *text)
{
	const char *fault = text == NULL ? NULL : set(f, text);

	if (fault != NULL)
		differ(o, "\"%s\" %s", key, fault);
}

static void
take_facts(struct outcome *o, struct facts *f, const struct test_case *c)
{
	const char *fault;

	take(o, f, facts_set_user, "user", c->user);
	for (const char *const *g = c->groups; g != NULL && *g != NULL; g++)
		take(o, f, facts_add_group, "groups", *g);
	take(o, f, facts_set_from, "from", c->from);
	take(o, f, facts_set_key, "key", c->key);
	take(o, f, facts_set_auth, "auth", c->auth);
	take(o, f, facts_set_time, "time", c->time);
	take(o, f, facts_set_request, "request", c->request);
	take(o, f, facts_set_command, "command", c->command);
	take(o, f, facts_set_to, "to", c->to);
	f->request.pty = c->pty;
	f->login.verified = c->verified;
	fault = facts_check(f);
	if (fault != NULL)
		differ(o, "%s", fault);
}

static void
compare_text(struct outcome *o, const char *what, const char *expected, const char *found)
{
	if (expected != NULL && strcmp(expected, found != NULL ? found : "") != 0)
		differ(o, "the %s is \"%s\", expected \"%s\"", what, found != NULL ? found : "",
		    expected);
}

static void
compare_argv(struct outcome *o, const struct test_case *c, const struct verdict *v)
{
	size_t i = 0;

	if (c->argv == NULL)
		return;
	while (i < v->words.n && c->argv[i] != NULL && strcmp(c->argv[i], v->words.argv[i]) == 0)
		i++;
	if (i != v->words.n || c->argv[i] != NULL)
		differ(o, "the words differ from the expected ones at the %zu. one", i + 1);
}

/* A single value as JSON, from malloc. */
static char *
value_text(const struct json_node *node)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	if (json_node_kind(node) == JSON_KIND_STRING)
		json_write_text(out, json_node_string(node));
	else if (json_node_kind(node) == JSON_KIND_BOOLEAN)
		(void)fputs(json_node_boolean(node) ? "true" : "false", out);
	else if (json_node_kind(node) == JSON_KIND_NULL)
		(void)fputs("null", out);
	else
		(void)fprintf(out, "%.9g", json_node_real(node));
	return fclose(out) == 0 ? text : NULL;
}

static void
compare_settings(struct outcome *o, const struct test_case *c, const struct verdict *v)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	const struct policy_setting *all;
	const struct json_node *m;
	size_t n = 0;

	if (c->settings == NULL)
		return;
	all = v->grant == NULL ? NULL : policy_settings(&arena, policy_grant_profile(v->grant), &n);
	for (m = json_node_first(c->settings); m != NULL; m = json_node_next(m)) {
		char *expected = value_text(m);
		size_t i = 0;

		while (i < n && strcmp(all[i].name, json_node_key(m)) != 0)
			i++;
		if (i == n)
			differ(o, "there is no setting \"%s\"", json_node_key(m));
		else if (expected == NULL || strcmp(expected, all[i].value) != 0)
			differ(o, "%s is %s, expected %s", all[i].name, all[i].value,
			    expected != NULL ? expected : "");
		free(expected);
	}
}

static void
compare(struct outcome *o, const struct test_case *c, const struct verdict *v)
{
	if (c->allow != v->allowed)
		differ(o, "%s%s%s", v->allowed ? "allowed" : "refused", v->allowed ? "" : ": ",
		    v->why);
	compare_text(o, "rule", c->rule, v->decision.rule);
	compare_text(o, "profile", c->profile, v->profile);
	compare_text(o, "message", c->message, v->decision.message);
	compare_argv(o, c, v);
	compare_settings(o, c, v);
}

static void
report(struct run *run, const char *file, const struct test_case *c, const struct outcome *o,
    const struct verdict *v)
{
	const struct json_place place =
	    json_text_place(json_node_text(c->node), c->node, JSON_AT_VALUE);
	bool failed = o->why[0] != '\0';

	if (run->quiet && !failed)
		return;
	if (run->w != NULL) {
		json_write_open(run->w, NULL, '{');
		json_write_string(run->w, "name", c->name);
		json_write_bool(run->w, "passed", !failed);
		json_write_string(run->w, "why", failed ? o->why : NULL);
		json_write_bool(run->w, "allowed", v->allowed);
		json_write_string(run->w, "rule", v->decision.rule);
		json_write_string(run->w, "profile", v->profile);
		write_place(run->w, file, place.line, place.column);
		json_write_close(run->w, '}');
		return;
	}
	printf("%s  ", failed ? "FAIL" : "PASS");
	print_plain(stdout, file);
	printf(":%u:%u", place.line, place.column);
	if (c->name != NULL) {
		(void)putchar(' ');
		print_plain(stdout, c->name);
	}
	if (failed) {
		(void)fputs(": ", stdout);
		print_plain(stdout, o->why);
	}
	(void)putchar('\n');
}

static int
run_case(struct run *run, const char *file, const struct test_case *c)
{
	static struct facts f;
	static struct verdict v;
	struct outcome o = { .why = "" };
	int r = 0;

	facts_init(&f, run->now);
	v = (struct verdict){ .allowed = false };
	take_facts(&o, &f, c);
	if (o.why[0] == '\0') {
		r = judge(run->policy, &f, &v);
		if (r == 0)
			compare(&o, c, &v);
	}
	report(run, file, c, &o, &v);
	verdict_clear(&v);
	run->passed += o.why[0] == '\0';
	run->failed += o.why[0] != '\0';
	return r;
}

static int
run_file(struct run *run, const char *path)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct case_file file;
	int r = case_file_load(path, &file, &diags);

	diag_print(&diags, stderr);
	diag_list_clear(&diags);
	for (size_t i = 0; r == 0 && i < file.n; i++)
		r = run_case(run, path, &file.items[i]);
	case_file_clear(&file);
	return r;
}

static int
run_all(struct run *run, const char *const *paths, size_t n)
{
	int r = 0;

	if (run->w != NULL) {
		json_write_open(run->w, NULL, '{');
		json_write_open(run->w, "cases", '[');
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = run_file(run, paths[i]);
	if (run->w != NULL) {
		json_write_close(run->w, ']');
		json_write_number(run->w, "passed", run->passed);
		json_write_number(run->w, "failed", run->failed);
		json_write_close(run->w, '}');
		(void)putchar('\n');
	} else if (r == 0) {
		printf("%zu passed, %zu failed\n", run->passed, run->failed);
	}
	if (r != 0)
		return EXIT_UNABLE;
	return run->failed == 0 ? EXIT_FINE : EXIT_NO;
}

int
command_test(int argc, char **argv)
{
	static const struct option options[] = {
		{ "cases", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *paths[CASE_FILES_MAX];
	struct json_writer writer = { .out = stdout };
	struct run run = { .now = time(NULL) };
	size_t n = 0;
	int option;
	int code;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'j')
			run.w = &writer;
		else if (option == 'q')
			run.quiet = true;
		else if (option == 'c' && n++ < CASE_FILES_MAX)
			paths[n - 1] = optarg;
		else if (option != 'c')
			return option == 'h' ? command_help(usage) : command_usage(usage);
	}
	if (!command_names(argc, argv, 1, usage))
		return EXIT_UNABLE;
	if (n == 0 || n > CASE_FILES_MAX) {
		(void)fprintf(stderr, "%s: --cases names the cases, 1 to %d times\n%s", argv[0],
		    CASE_FILES_MAX, usage);
		return EXIT_UNABLE;
	}
	run.policy = command_load(argv[optind]);
	if (run.policy == NULL)
		return EXIT_UNABLE;
	code = run_all(&run, paths, n);
	policy_unref(run.policy);
	return code;
}
