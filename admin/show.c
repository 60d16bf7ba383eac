/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport policy show and schema: what profiles have, and what a file may hold. */
#include <string.h>

#include "policy_commands.h"
#include "policy_show.h"

static const char usage[] =
    "usage: sallyport policy show [--json] [--effective] FILE [--profile NAME]\n"
    "  --effective  also what nobody has set: the defaults\n";

static int
show_one(const struct policy *p, const struct policy_profile *profile, struct json_writer *w, bool all)
{
	int code;

	if (w == NULL) {
		printf("profile \"%s\"", profile->name);
		if (profile->set_by != NULL)
			printf(" as rule \"%s\" sets it", profile->set_by);
		(void)putchar('\n');
		code = print_settings(stdout, profile, all);
		return code == EXIT_FINE ? print_ceilings(stdout, p, NULL, profile, all) : code;
	}
	json_write_open(w, NULL, '{');
	json_write_string(w, "profile", profile->name);
	json_write_string(w, "rule", profile->set_by);
	code = write_settings(w, profile);
	if (code == EXIT_FINE)
		code = write_ceilings(w, p, NULL, profile);
	json_write_close(w, '}');
	return code;
}

static int
show(const char *path, const char *name, bool json, bool all)
{
	struct policy *p = command_load(path);
	struct json_writer writer = { .out = stdout };
	const struct policy_profile *profile;
	int code = EXIT_FINE;
	bool any = false;

	if (p == NULL)
		return EXIT_UNABLE;
	if (json)
		json_write_open(&writer, NULL, '[');
	for (size_t i = 0; code == EXIT_FINE && (profile = policy_profile_at(p, i)) != NULL; i++) {
		if (name != NULL && strcmp(name, profile->name) != 0)
			continue;
		any = true;
		code = show_one(p, profile, json ? &writer : NULL, all);
	}
	if (json) {
		json_write_close(&writer, ']');
		(void)putchar('\n');
	}
	if (name != NULL && !any) {
		(void)fprintf(stderr, "sallyport: %s has no profile \"%s\" with an image\n", path,
		    name);
		code = EXIT_NO;
	}
	policy_unref(p);
	return code;
}

int
command_show(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "effective", no_argument, NULL, 'e' },
		{ "profile", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *name = NULL;
	bool json = false;
	bool all = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'j')
			json = true;
		else if (option == 'e')
			all = true;
		else if (option == 'p')
			name = optarg;
		else
			return option == 'h' ? command_help(usage) : command_usage(usage);
	}
	if (!command_names(argc, argv, 1, usage))
		return EXIT_UNABLE;
	return show(argv[optind], name, json, all);
}

int
command_schema(int argc, char **argv)
{
	static const char how[] = "usage: sallyport policy schema\n";

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return command_help(how);
	if (argc != 1)
		return command_usage(how);
	policy_write_schema(stdout);
	return EXIT_FINE;
}
