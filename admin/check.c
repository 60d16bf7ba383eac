/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport policy check: everything that is wrong, and everything that is hardly meant. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy_commands.h"

static const char usage[] = "usage: sallyport policy check [--json] [--strict] FILE|DIRECTORY...\n"
			    "  --strict  warnings count as errors\n";

struct totals {
	size_t errors;
	size_t warnings;
	bool unreadable;
};

static void
write_diags(struct json_writer *w, const char *path, const struct diag_list *diags)
{
	json_write_open(w, NULL, '{');
	json_write_string(w, "policy", path);
	json_write_open(w, "messages", '[');
	for (size_t i = 0; i < diags->n; i++) {
		const struct diag *d = &diags->items[i];

		json_write_open(w, NULL, '{');
		json_write_string(w, "severity", diag_is_error(d->code) ? "error" : "warning");
		json_write_string(w, "code", diag_code_name(d->code));
		write_place(w, d->file, d->line, d->column);
		json_write_number(w, "width", d->width);
		json_write_string(w, "message", d->message);
		json_write_string(w, "help", d->help);
		json_write_close(w, '}');
	}
	json_write_close(w, ']');
	json_write_number(w, "left_out", diags->n_left_out);
	json_write_close(w, '}');
}

static void
check_one(const char *path, struct json_writer *w, struct totals *totals)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	int r = policy_check(path, time(NULL), &p, &diags);

	policy_unref(p);
	if (w != NULL)
		write_diags(w, path, &diags);
	else
		diag_print(&diags, stdout);
	totals->errors += diags.n_errors;
	totals->warnings += diags.n + diags.n_left_out - diags.n_errors;
	totals->unreadable = totals->unreadable || r < 0;
	diag_list_clear(&diags);
}

static int
exit_code(const struct totals *t, bool strict)
{
	if (t->unreadable)
		return EXIT_UNABLE;
	return t->errors > 0 || (strict && t->warnings > 0) ? EXIT_NO : EXIT_FINE;
}

int
command_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "strict", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct json_writer writer = { .out = stdout };
	struct totals totals = { 0 };
	bool json = false;
	bool strict = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return command_help(usage);
		if (option != 'j' && option != 's')
			return command_usage(usage);
		json = json || option == 'j';
		strict = strict || option == 's';
	}
	if (optind == argc)
		return command_usage(usage);
	if (json)
		json_write_open(&writer, NULL, '[');
	for (int i = optind; i < argc; i++)
		check_one(argv[i], json ? &writer : NULL, &totals);
	if (json) {
		json_write_close(&writer, ']');
		(void)putchar('\n');
	} else {
		printf("%zu error%s, %zu warning%s\n", totals.errors, totals.errors == 1 ? "" : "s",
		    totals.warnings, totals.warnings == 1 ? "" : "s");
	}
	return exit_code(&totals, strict);
}
