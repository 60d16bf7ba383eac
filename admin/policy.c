/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport policy: reads policies and says what they mean; talks to nobody. */
#include <string.h>

#include "commands.h"
#include "policy_commands.h"
#include "policy_show.h"
#include "utf8.h"

static const char usage[] =
    "usage: sallyport policy COMMAND ...\n"
    "  check FILE...                say what is wrong with policies, and what is hardly meant\n"
    "  explain FILE --user NAME ... say what a policy gives to a login, and why\n"
    "  test FILE --cases CASES ...  compare what a policy says with what is expected\n"
    "  show FILE                    say what profiles have, and where that was set\n"
    "  schema                       print the JSON Schema of a policy\n"
    "  diff OLD NEW                 say what changes for whom\n"
    "sallyport policy COMMAND --help says more; sallyport(1) says all.\n";

static const struct {
	const char *name;
	command_fn *run;
} commands[] = {
	{ "check", command_check },
	{ "explain", command_explain },
	{ "test", command_test },
	{ "show", command_show },
	{ "schema", command_schema },
	{ "diff", command_diff },
};

int
command_usage(const char *text)
{
	(void)fputs(text, stderr);
	return EXIT_UNABLE;
}

bool
command_names(int argc, char **argv, int policies, const char *text)
{
	int n = argc - optind;

	if (n > policies)
		(void)fprintf(stderr, "%s: \"%s\" is one word too many\n", argv[0],
		    argv[optind + policies]);
	else if (n < policies)
		(void)fprintf(stderr, "%s: %s missing\n", argv[0],
		    n + 1 == policies ? "a policy is" : "the policies are");
	if (n != policies)
		(void)fputs(text, stderr);
	return n == policies;
}

int
command_help(const char *text)
{
	(void)fputs(text, stdout);
	return EXIT_FINE;
}

struct policy *
command_load(const char *path)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;

	if (policy_load(path, &p, &diags) != 0)
		diag_print(&diags, stderr);
	diag_list_clear(&diags);
	return p;
}

bool
command_take_fact(struct facts *f, int option, const char *value)
{
	static const struct {
		int option;
		const char *name;
		const char *(*set)(struct facts *f, const char *text);
	} setters[] = {
		{ 'u', "--user", facts_set_user },
		{ 'g', "--group", facts_add_group },
		{ 'f', "--from", facts_set_from },
		{ 'k', "--key", facts_set_key },
		{ 'a', "--auth", facts_set_auth },
		{ 't', "--at", facts_set_time },
		{ 'r', "--request", facts_set_request },
		{ 'c', "--command", facts_set_command },
		{ 'o', "--to", facts_set_to },
	};
	const char *fault = NULL;
	size_t i = 0;

	if (option == 'p') {
		f->request.pty = true;
		return true;
	}
	if (option == 'v') {
		f->login.verified = true;
		return true;
	}
	while (i < SP_ARRAY_LEN(setters) && setters[i].option != option)
		i++;
	if (i == SP_ARRAY_LEN(setters))
		return false; /* getopt has said so */
	fault = setters[i].set(f, value);
	if (fault != NULL)
		(void)fprintf(stderr, "sallyport: %s \"%s\" %s\n", setters[i].name, value, fault);
	return fault == NULL;
}

void
write_place(struct json_writer *w, const char *file, unsigned line, unsigned column)
{
	json_write_string(w, "file", file);
	json_write_number(w, "line", line);
	json_write_number(w, "column", column);
}

void
print_plain(FILE *out, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t n = utf8_decode(text + i, len - i, &c);

		if (n != 0 && utf8_printable(c))
			(void)fwrite(text + i, 1, n, out);
		else
			(void)fprintf(out, "\\x%02x", (unsigned)(unsigned char)text[i]);
		i += n == 0 ? 1 : n;
	}
}

static const char *
origin_word(const struct policy_setting *s)
{
	return s->file == NULL   ? "default"
	    : s->rule != NULL    ? "rule"
	    : s->profile != NULL ? "profile"
				 : "policy";
}

static void
write_list(struct json_writer *w, const struct policy_setting *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct policy_setting *s = &list[i];

		json_write_open(w, NULL, '{');
		json_write_string(w, "name", s->name);
		json_write_raw(w, "value", s->value);
		json_write_string(w, "from", origin_word(s));
		if (s->file != NULL) {
			json_write_string(w, "by", s->rule != NULL ? s->rule : s->profile);
			write_place(w, s->file, s->line, s->column);
		}
		json_write_close(w, '}');
	}
}

static void
print_list(FILE *out, const struct policy_setting *list, size_t n, bool all)
{
	for (size_t i = 0; i < n; i++) {
		const struct policy_setting *s = &list[i];
		const char *by = s->rule != NULL ? s->rule : s->profile;

		if (s->file == NULL && !all)
			continue;
		(void)fprintf(out, "  %-26s ", s->name);
		print_plain(out, s->value);
		(void)fprintf(out, "%*s ", strlen(s->value) < 24 ? (int)(24 - strlen(s->value)) : 0,
		    "");
		if (s->file != NULL) {
			print_plain(out, s->file);
			(void)fprintf(out, ":%u:%u ", s->line, s->column);
		}
		(void)fputs(origin_word(s), out);
		if (by != NULL)
			(void)fprintf(out, " \"%s\"", by);
		(void)putc('\n', out);
	}
}

int
write_settings(struct json_writer *w, const struct policy_profile *p)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	size_t n = 0;
	const struct policy_setting *list = policy_settings(&arena, p, &n);

	if (list == NULL)
		return EXIT_UNABLE;
	json_write_open(w, "settings", '[');
	write_list(w, list, n);
	json_write_close(w, ']');
	return EXIT_FINE;
}

int
print_settings(FILE *out, const struct policy_profile *p, bool all)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	size_t n = 0;
	const struct policy_setting *list = policy_settings(&arena, p, &n);

	if (list == NULL)
		return EXIT_UNABLE;
	print_list(out, list, n, all);
	return EXIT_FINE;
}

/* Everybody's first, then the rules'. */
struct ceiling_lists {
	const struct policy_setting *all;
	const struct policy_setting *rules;
	size_t n_all;
	size_t n_rules;
};

static bool
list_ceilings(struct arena *a, const struct policy *p, const char *rule,
    const struct policy_profile *profile, struct ceiling_lists *ret)
{
	ret->all = policy_ceiling_settings(a, p, &ret->n_all);
	ret->rules = policy_rule_ceiling_settings(a, p, rule, profile, &ret->n_rules);
	return ret->all != NULL && ret->rules != NULL;
}

int
write_ceilings(struct json_writer *w, const struct policy *p, const char *rule,
    const struct policy_profile *profile)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	struct ceiling_lists lists;

	if (!list_ceilings(&arena, p, rule, profile, &lists))
		return EXIT_UNABLE;
	json_write_open(w, "ceilings", '[');
	write_list(w, lists.all, lists.n_all);
	write_list(w, lists.rules, lists.n_rules);
	json_write_close(w, ']');
	return EXIT_FINE;
}

int
print_ceilings(FILE *out, const struct policy *p, const char *rule,
    const struct policy_profile *profile, bool all)
{
	SP_CLEANUP(arena_clear) struct arena arena = { 0 };
	struct ceiling_lists lists;

	if (!list_ceilings(&arena, p, rule, profile, &lists))
		return EXIT_UNABLE;
	print_list(out, lists.all, lists.n_all, all);
	print_list(out, lists.rules, lists.n_rules, all);
	return EXIT_FINE;
}

int
command_policy(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return command_help(usage);
	for (size_t i = 0; i < SP_ARRAY_LEN(commands); i++) {
		if (strcmp(word, commands[i].name) == 0) {
			char name[64];
			int code;

			/* What getopt() begins its lines with. */
			(void)snprintf(name, sizeof(name), "sallyport policy %s", word);
			argv[1] = name;
			code = commands[i].run(argc - 1, argv + 1);
			/* An answer that nobody got is none. */
			return fflush(stdout) != 0 || ferror(stdout) ? EXIT_UNABLE : code;
		}
	}
	if (argc > 1)
		(void)fprintf(stderr, "sallyport policy: there is no command \"%s\"\n", word);
	return command_usage(usage);
}
