/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of "sallyport policy" and what they share. */
#ifndef SP_POLICY_COMMANDS_H
#define SP_POLICY_COMMANDS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "diag.h"
#include "json_write.h"
#include "judge.h"
#include "policy.h"

/* Exit codes. */
#define EXIT_FINE 0
#define EXIT_NO \
	1 /* errors, a refusal, a failed case, a difference: what was asked about is not so */
#define EXIT_UNABLE 2 /* usage, or a file that cannot be read: there is no answer */

/* Each takes its own name as argv[0] and returns an exit code. */
typedef int command_fn(int argc, char **argv);
command_fn command_check;
command_fn command_explain;
command_fn command_test;
command_fn command_show;
command_fn command_schema;
command_fn command_diff;

/* Say how a command is used, on stderr; returns EXIT_UNABLE. */
int command_usage(const char *text);
/* Whether so many policies, and nothing else, are named behind the options; says what is wrong, and the usage. */
bool command_names(int argc, char **argv, int policies, const char *text);
/* The same on stdout, for who has asked; returns EXIT_FINE. */
int command_help(const char *text);
/* The policy at path, or NULL after saying on stderr what is wrong. */
struct policy *command_load(const char *path);

/* Options for facts; the letters are the values that getopt_long() gives. */
#define FACT_OPTIONS                                                                             \
	{ "user", required_argument, NULL, 'u' }, { "group", required_argument, NULL, 'g' },     \
	    { "from", required_argument, NULL, 'f' }, { "key", required_argument, NULL, 'k' },   \
	    { "auth", required_argument, NULL, 'a' }, { "at", required_argument, NULL, 't' },    \
	    { "request", required_argument, NULL, 'r' },                                         \
	    { "command", required_argument, NULL, 'c' }, { "to", required_argument, NULL, 'o' }, \
	    { "pty", no_argument, NULL, 'p' },                                                   \
	{                                                                                        \
		"verified", no_argument, NULL, 'v'                                               \
	}
/* Whether the option is one of them and its value is right; if it is not, says so. */
bool command_take_fact(struct facts *f, int option, const char *value);

void write_place(struct json_writer *w, const char *file, unsigned line, unsigned column);
/* The settings of a profile, as an array "settings" or as lines. all: also those that are defaults. */
int write_settings(struct json_writer *w, const struct policy_profile *p);
int print_settings(FILE *out, const struct policy_profile *p, bool all);
/* The same of the ceilings, in an array "ceilings": what logins have by this rule, or get with the profile. */
int write_ceilings(struct json_writer *w, const struct policy *p, const char *rule,
    const struct policy_profile *profile);
int print_ceilings(FILE *out, const struct policy *p, const char *rule,
    const struct policy_profile *profile, bool all);
/* text with everything that a terminal might obey made harmless. */
void print_plain(FILE *out, const char *text);

#endif
