/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that somebody who is logged in asks for. A command that must match a pattern is split here,
 * in the way of a shell but without one, and runs as the arguments that were judged: nothing is left
 * for a shell to find in it. Runs in the broker and the admin tool, over a stranger's bytes.
 */
#include "policy_private.h"

#include <string.h>

#include "guest_msg.h"
#include "ipc.h"
#include "wildcard.h"

_Static_assert(POLICY_WORDS_COMMAND_MAX == IPC_COMMAND_MAX, "a command that does not fit");

struct split {
	const char *p;
	const char *end;
	char *out; /* has room for all of the command, and a NUL behind each word */
};

/* What a shell would do more with than pass it on. */
static bool
wants_shell(char c, bool first)
{
	return strchr("$`;&|<>()*?[]{}\n\r", c) != NULL || (first && strchr("~#!", c) != NULL);
}

/* The rest of a word in single quotes; false: it never ends. */
static bool
split_single(struct split *s)
{
	while (s->p < s->end && *s->p != '\'')
		*s->out++ = *s->p++;
	return s->p++ < s->end;
}

/* In double quotes; false: it never ends, or something in it is a shell's. */
static bool
split_double(struct split *s)
{
	for (; s->p < s->end && *s->p != '"'; s->p++) {
		bool escape = *s->p == '\\' && s->p + 1 < s->end &&
		    strchr("\"\\$`\n", s->p[1]) != NULL;

		if (escape && s->p[1] == '\n')
			return false;
		if (!escape && (*s->p == '$' || *s->p == '`'))
			return false;
		s->p += escape ? 1 : 0;
		*s->out++ = *s->p;
	}
	return s->p++ < s->end;
}

static bool
split_word(struct split *s)
{
	bool first = true;

	for (; s->p < s->end && *s->p != ' ' && *s->p != '\t'; first = false) {
		char c = *s->p++;

		if (c == '\'') {
			if (!split_single(s))
				return false;
		} else if (c == '"') {
			if (!split_double(s))
				return false;
		} else if (c == '\\') {
			if (s->p == s->end || *s->p == '\n')
				return false;
			*s->out++ = *s->p++;
		} else if (wants_shell(c, first)) {
			return false;
		} else {
			*s->out++ = c;
		}
	}
	*s->out++ = '\0';
	return true;
}

/* Whether command[len] is a list of words to anybody; then they are in words, at least one. */
static bool
split_command(const char *command, size_t len, struct policy_words *words)
{
	struct split s = { command, command + len, words->text };

	words->n = 0;
	if (len > POLICY_WORDS_COMMAND_MAX || memchr(command, '\0', len) != NULL)
		return false;
	for (;;) {
		while (s.p < s.end && (*s.p == ' ' || *s.p == '\t'))
			s.p++;
		if (s.p == s.end)
			break;
		if (words->n == POLICY_WORDS_MAX)
			return false;
		words->argv[words->n++] = s.out;
		if (!split_word(&s))
			return false;
	}
	words->argv[words->n] = NULL;
	/* "NAME=value program" is an assignment to a shell. */
	return words->n > 0 && words->argv[0][0] != '\0' && strchr(words->argv[0], '=') == NULL;
}

/*
 * Whether one argument fits one word of a pattern. A star does not bring an option in by itself: what
 * begins with "-" has to be asked for with "-".
 */
static bool
fits_word(const char *pattern, const char *argument)
{
	if (argument[0] == '-' && pattern[0] != '-')
		return false;
	return wildcard_matches(pattern, argument);
}

static bool
fits_pattern(const char *const *pattern, const struct policy_words *words)
{
	size_t i = 0;

	for (; *pattern != NULL; pattern++, i++) {
		if (strcmp(*pattern, "**") == 0)
			return true; /* the reader has seen that it is the last one */
		if (i == words->n || !fits_word(*pattern, words->argv[i]))
			return false;
	}
	return i == words->n;
}

static const char *
refuse_command(const struct policy_profile *profile, const struct policy_request *request,
    struct policy_words *words)
{
	if (!profile->exec)
		return "Commands are not allowed for this login.";
	if (profile->exec_patterns == NULL)
		return NULL;
	if (!split_command(request->command, request->command_len, words))
		return "This command needs a shell, and this login has none: only plain words and "
		       "quotes are allowed.";
	for (const char *const *const *pattern = profile->exec_patterns; *pattern != NULL; pattern++) {
		if (fits_pattern(*pattern, words))
			return NULL;
	}
	return "This command is not among those that are allowed for this login.";
}

const char *
policy_refuse(const struct policy_profile *profile, const struct policy_request *request,
    struct policy_words *words)
{
	const char *why = NULL;

	words->n = 0;
	if (request->kind == POLICY_REQUEST_SHELL && !profile->shell)
		why = "Shells are not allowed for this login.";
	if (request->kind == POLICY_REQUEST_EXEC)
		why = refuse_command(profile, request, words);
	if (request->kind == POLICY_REQUEST_SUBSYSTEM &&
	    policy_find_subsystem(profile, request->command, request->command_len) == NULL)
		why = "This subsystem is not allowed for this login.";
	if (why == NULL && request->pty && !profile->pty)
		why = "Terminals are not allowed for this login.";
	if (why != NULL)
		words->n = 0;
	return why;
}

const char *const *
policy_program(const struct policy_profile *profile, const struct policy_request *request,
    const struct policy_words *words)
{
	static const char *const sftp[] = { GUEST_SFTP, NULL };
	static const char *const sftp_read_only[] = { GUEST_SFTP, "-R", NULL };
	const struct policy_subsystem *subsystem;

	if (words->n > 0)
		return words->argv;
	if (request->kind == POLICY_REQUEST_SHELL)
		return profile->shell_argv;
	if (request->kind == POLICY_REQUEST_EXEC)
		return profile->exec_argv;
	subsystem = policy_find_subsystem(profile, request->command, request->command_len);
	if (subsystem == NULL)
		return NULL;
	if (subsystem->argv != NULL)
		return subsystem->argv;
	return subsystem->read_only ? sftp_read_only : sftp;
}
