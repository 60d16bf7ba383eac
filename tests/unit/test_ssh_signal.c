/* SPDX-License-Identifier: Apache-2.0 */
/* Tests: signal names of RFC 4254 both ways, and the patterns of accepted variable names. */
#include "test.h"

#include <signal.h>
#include <string.h>

#include "attr.h"
#include "ssh_signal.h"
#include "wildcard.h"

static void
test_names_both_ways(void **state)
{
	static const struct {
		const char *name;
		int number;
	} all[] = { { "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "FPE", SIGFPE }, { "HUP", SIGHUP },
		{ "ILL", SIGILL }, { "INT", SIGINT }, { "KILL", SIGKILL }, { "PIPE", SIGPIPE },
		{ "QUIT", SIGQUIT }, { "SEGV", SIGSEGV }, { "TERM", SIGTERM }, { "USR1", SIGUSR1 },
		{ "USR2", SIGUSR2 } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(all); i++) {
		assert_int_equal(ssh_signal_number(all[i].name), all[i].number);
		assert_string_equal(ssh_signal_name((unsigned)all[i].number), all[i].name);
	}
}

static void
test_foreign_names(void **state)
{
	static const char *const bad[] = { "", "SIGTERM", "term", "TERM ", " TERM", "TERMX", "TER",
		"15", "STOP", "CONT", "WINCH", "TERM\n", "INT@openssh.com" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_int_equal(ssh_signal_number(bad[i]), 0);
}

static void
test_numbers_without_a_name(void **state)
{
	static const unsigned bad[] = { 0, SIGSTOP, SIGTSTP, SIGSYS, SIGBUS, 34, 64, 65, 4294967295U };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_string_equal(ssh_signal_name(bad[i]), "SIG@openssh.com");
}

static void
test_env_patterns(void **state)
{
	static const struct {
		const char *pattern;
		const char *name;
		bool match;
	} all[] = {
		{ "LANG", "LANG", true },
		{ "LANG", "LANGUAGE", false },
		{ "LANG", "LAN", false },
		{ "LANG", "lang", false },
		{ "LANG", "", false },
		{ "LC_*", "LC_ALL", true },
		{ "LC_*", "LC_", true },
		{ "LC_*", "LC", false },
		{ "LC_*", "XLC_ALL", false },
		{ "*", "", true },
		{ "*", "LD_PRELOAD", true },
		{ "", "", true },
		{ "", "A", false },
		{ "?", "A", true },
		{ "?", "", false },
		{ "?", "AB", false },
		{ "A?C", "ABC", true },
		{ "A?C", "AC", false },
		{ "*_X", "A_X_X", true },
		{ "*_X", "A_X_Y", false },
		{ "A*B*C", "AxxBxxBxxC", true },
		{ "A*B*C", "AxxCxxB", false },
		{ "**A**", "BAB", true },
		{ "**A**", "BBB", false },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(all); i++) {
		if (wildcard_matches(all[i].pattern, all[i].name) != all[i].match)
			fail_msg("pattern \"%s\" name \"%s\"", all[i].pattern, all[i].name);
	}
}

/* Stars that force a matcher to go back must not make it slow: a client chooses the name. */
static void
test_env_pattern_cost(void **state)
{
	char name[4097];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_false(wildcard_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_both_ways),
		cmocka_unit_test(test_foreign_names),
		cmocka_unit_test(test_numbers_without_a_name),
		cmocka_unit_test(test_env_patterns),
		cmocka_unit_test(test_env_pattern_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
