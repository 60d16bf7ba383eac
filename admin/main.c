/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport: the administrator's commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "commands.h"
#include "control_path.h"

static const struct command {
	const char *name;
	const char *usage;
	const char *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "sessions", "[--json] [--watch]", "who is in, since when, from where", command_sessions },
	{ "kill", "[--json] [--user U] [--rule R] [--message TEXT] [CONNECTION]", "end sessions",
	    command_kill },
	{ "status", "[--json]", "the broker, its policy and its engine", command_status },
	{ "reload", "[--json]", "load the policy again", command_reload },
	{ "doctor", "[--json] [--config FILE] [--broker PROGRAM]",
	    "what is right and wrong with this host and its engine", command_doctor },
	{ "policy", "check|explain|test|show|schema|diff ...",
	    "what a policy says, before it is in force", command_policy },
};

static int
usage(FILE *out)
{
	(void)fprintf(out, "usage: sallyport COMMAND ...\n");
	for (size_t i = 0; i < SP_ARRAY_LEN(commands); i++)
		(void)fprintf(out, "  sallyport %s %s\n      %s\n", commands[i].name,
		    commands[i].usage, commands[i].summary);
	(void)fprintf(out,
	    "  sallyport --version | --help\n"
	    "Commands that ask the broker take --socket PATH, default " SP_CONTROL_SOCKET ",\n"
	    "or --config FILE of that broker. sallyport(1) tells the rest.\n");
	return out == stdout ? EXIT_SUCCESS : EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("sallyport " SP_VERSION);
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			char name[64];

			/* What getopt() begins its lines with. */
			(void)snprintf(name, sizeof(name), "sallyport %s", commands[i].name);
			argv[1] = name;
			return commands[i].run(argc - 1, argv + 1);
		}
	}
	(void)fprintf(stderr, "sallyport: there is no command \"%s\"\n", argv[1]);
	return usage(stderr);
}
