/* SPDX-License-Identifier: Apache-2.0 */
/* Messages about files: their form, their order, and what a hostile line does to a terminal. */
#include "test.h"

#include "diag.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag_log.h"
#include "log.h"
#include "suggest.h"
#include "utf8.h"

static void
assert_prints(struct diag_list *list, const char *wanted)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	diag_print(list, out);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, wanted);
	free(text);
	diag_list_clear(list);
	assert_int_equal(list->n, 0);
}

static void
test_form(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;

	(void)state;
	diag_add(&list, DIAG_E_SYNTAX, "policy.json", 19, 9, 12, "        \"privledged\": true,",
	    "did you mean \"privileged\"?", "unknown key \"%s\" in \"%s\"", "privledged",
	    "container");
	assert_int_equal(list.n_errors, 1);
	assert_prints(&list,
	    "policy.json:19:9: error: unknown key \"privledged\" in \"container\" [E-syntax]\n"
	    "   19 |         \"privledged\": true,\n"
	    "      |         ^^^^^^^^^^^^\n"
	    "   help: did you mean \"privileged\"?\n");
}

static void
test_without_place(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;

	(void)state;
	diag_add(&list, DIAG_W_NO_RULES, "a.json", 0, 0, 0, NULL, NULL, "is old");
	assert_int_equal(list.n_errors, 0);
	assert_prints(&list, "a.json: warning: is old [W-no-rules]\n");
}

static void
test_order(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;

	(void)state;
	diag_add(&list, DIAG_E_SYNTAX, "a", 10, 1, 1, NULL, NULL, "fourth");
	diag_add(&list, DIAG_E_SYNTAX, "a", 2, 9, 1, NULL, NULL, "third");
	diag_add(&list, DIAG_E_SYNTAX, "a", 2, 3, 1, NULL, NULL, "first");
	diag_add(&list, DIAG_W_NO_RULES, "a", 2, 3, 1, NULL, NULL, "second");
	assert_prints(&list,
	    "a:2:3: error: first [E-syntax]\n"
	    "a:2:3: warning: second [W-no-rules]\n"
	    "a:2:9: error: third [E-syntax]\n"
	    "a:10:1: error: fourth [E-syntax]\n");
}

static void
test_escapes(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;

	(void)state;
	/* A control character, an invalid byte, C1, a change of direction; plain UTF-8 stays. */
	diag_add(&list, DIAG_E_SYNTAX, "a\nb", 1, 1, 1,
	    "\x1b]0;x\x07 \xff \xc2\x9b \xe2\x80\xae \xc3\xa4", "\x7f", "bell \x07");
	assert_prints(&list,
	    "a\\x0ab:1:1: error: bell \\x07 [E-syntax]\n"
	    "    1 | \\x1b]0;x\\x07 \\xff \\xc2\\x9b \\xe2\\x80\\xae \xc3\xa4\n"
	    "      | ^^^^\n"
	    "   help: \\x7f\n");
}

static void
test_caret(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;

	(void)state;
	/* Column 7: after a tab, a two-byte letter and three bytes that are shown as \xNN. */
	diag_add(&list, DIAG_E_SYNTAX, "a", 1, 7, 3, "\t\xc3\xa4\x01\x02\x03-\xc3\xb6", NULL, "x");
	assert_prints(&list,
	    "a:1:7: error: x [E-syntax]\n"
	    "    1 | \t\xc3\xa4\\x01\\x02\\x03-\xc3\xb6\n"
	    "      | \t             ^^\n");
}

static void
test_caret_beyond_the_line(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;

	(void)state;
	diag_add(&list, DIAG_E_SYNTAX, "a", 1, 4, 9, "abc", NULL, "x");
	diag_add(&list, DIAG_E_SYNTAX, "a", 2, 4000000000u, 4000000000u, "abc", NULL, "x");
	diag_add(&list, DIAG_E_SYNTAX, "a", 3, 1, 0, "", NULL, "x");
	assert_prints(&list,
	    "a:1:4: error: x [E-syntax]\n    1 | abc\n      |    ^\n"
	    "a:2:4000000000: error: x [E-syntax]\n    2 | abc\n      |    ^\n"
	    "a:3:1: error: x [E-syntax]\n    3 | \n      | ^\n");
}

/* A file may be one line of megabytes: neither kept nor shown. */
static void
test_long_line(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;
	size_t len = 4u << 20;
	char *line = malloc(len + 1);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', len);
	line[len] = '\0';
	diag_add(&list, DIAG_E_SYNTAX, "a", 1, 1, 1, line, NULL, "x");
	diag_add(&list, DIAG_E_SYNTAX, "a", 1, 2000000, 10, line, NULL, "x");
	diag_add(&list, DIAG_E_SYNTAX, "a", 1, (unsigned)len + 1, 10, line, NULL, "x");
	free(line);
	for (size_t i = 0; i < list.n; i++)
		assert_in_range(strlen(list.items[i].source), 1, 160);
	assert_int_equal(list.items[0].skipped, 0);
	assert_int_equal(list.items[1].skipped, 2000000 - 1 - 60);
	diag_list_clear(&list);
}

static void
test_too_many(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;

	(void)state;
	for (unsigned i = 0; i < DIAG_MAX + 50; i++)
		diag_add(&list, DIAG_E_SYNTAX, "a", i + 1, 1, 1, NULL, NULL, "x");
	assert_int_equal(list.n, DIAG_MAX);
	assert_int_equal(list.n_errors, DIAG_MAX + 50);
	assert_int_equal(list.n_left_out, 50);
	diag_list_clear(&list);
	assert_int_equal(list.n_errors, 0);
}

static const char *
nearest(const char *word, const char *const *candidates)
{
	struct suggest s;

	suggest_init(&s, word);
	for (; *candidates != NULL; candidates++)
		suggest_offer(&s, *candidates);
	return s.best == NULL ? "" : s.best;
}

/* What stderr gets of the list's messages, from a log that has room for all of them or for none. */
static size_t
logged(struct diag_list *list, bool full, char *ret, size_t cap)
{
	static const char ballast[4096];
	int saved = dup(STDERR_FILENO);
	int pipe_fds[2];
	size_t filled = 0;
	ssize_t n;

	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	while (full && (n = write(pipe_fds[1], ballast, sizeof(ballast))) > 0)
		filled += (size_t)n;
	assert_int_equal(fcntl(pipe_fds[1], F_SETFL, 0), 0); /* a write that does not fit would wait */
	assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
	log_setup("prog", LOG_LEVEL_INFO, false);
	diag_log(list);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	for (; filled > 0; filled -= (size_t)n) {
		n = read(pipe_fds[0], ret, filled < cap ? filled : cap);
		assert_true(n > 0);
	}
	n = read(pipe_fds[0], ret, cap - 1);
	ret[n > 0 ? n : 0] = '\0';
	close(saved);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	diag_list_clear(list);
	return strlen(ret);
}

static void
test_log(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;
	char text[1024];

	(void)state;
	diag_add(&list, DIAG_E_SYNTAX, "policy.json", 19, 9, 12, "        \"privledged\": true,",
	    "did you mean \"privileged\"?", "unknown key \"%s\"", "privledged\n");
	diag_add(&list, DIAG_W_NO_RULES, "policy.json", 0, 0, 0, NULL, NULL, "no rules");
	list.n_left_out = 198; /* as if they had not fitted */
	(void)logged(&list, false, text, sizeof(text));
	assert_string_equal(text,
	    "prog: error: policy.json:19:9: unknown key \"privledged\\x0a\" [E-syntax]; help: did you mean "
	    "\"privileged\"?\n"
	    "prog: warning: policy.json: no rules [W-no-rules]\n"
	    "prog: warning: 198 further messages are not shown\n");
}

/* As test_a_full_log_stops_nobody of test_log.c: lines are lost, and nobody waits. */
static void
test_log_that_nobody_reads(void **state)
{
	struct diag_list list = DIAG_LIST_INIT;
	char text[1024];

	(void)state;
	for (unsigned i = 0; i < DIAG_MAX + 1; i++)
		diag_add(&list, DIAG_E_SYNTAX, "policy.json", 1, 1, 1, NULL, NULL, "message %u", i);
	assert_int_equal(logged(&list, true, text, sizeof(text)), 0);
}

static void
test_suggest(void **state)
{
	static const char *const keys[] = { "memory", "swap", "cpus", "pids", "nofile", "if", NULL };
	char long_word[200] = "";

	(void)state;
	assert_string_equal(nearest("memroy", keys), "memory"); /* a swap is one slip */
	assert_string_equal(nearest("memori", keys), "memory");
	assert_string_equal(nearest("pid", keys), "pids");
	assert_string_equal(nearest("fi", keys), "if");
	assert_string_equal(nearest("nofiles", keys), "nofile");
	assert_string_equal(nearest("bandwidth", keys), "");
	assert_string_equal(nearest("", keys), "");
	memset(long_word, 'm', sizeof(long_word) - 1);
	assert_string_equal(nearest(long_word, keys), "");
}

static void
test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t width;
		uint32_t c;
	} cases[] = {
		{ "a", 1, 'a' },
		{ "\xc3\xa4", 2, 0xe4 },
		{ "\xe2\x82\xac", 3, 0x20ac },
		{ "\xf0\x9f\x94\x91", 4, 0x1f511 },
		{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
		{ "\x80", 0, 0 },
		{ "\xc0\x80", 0, 0 },         /* overlong NUL */
		{ "\xc1\xbf", 0, 0 },         /* overlong */
		{ "\xe0\x80\xaf", 0, 0 },     /* overlong */
		{ "\xf0\x80\x80\xaf", 0, 0 }, /* overlong */
		{ "\xed\xa0\x80", 0, 0 },     /* surrogate */
		{ "\xf4\x90\x80\x80", 0, 0 }, /* beyond the last */
		{ "\xf8\x88\x80\x80", 0, 0 },
		{ "\xff", 0, 0 },
		{ "\xc3\x28", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		uint32_t c = 0;
		char back[4];
		size_t n = utf8_decode(cases[i].text, strlen(cases[i].text), &c);

		assert_int_equal(n, cases[i].width);
		if (n == 0)
			continue;
		assert_int_equal(c, cases[i].c);
		assert_int_equal(utf8_encode(c, back), n);
		assert_memory_equal(back, cases[i].text, n);
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(utf8_decode(cases[i].text, cut, &c), 0);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_without_place),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_caret),
		cmocka_unit_test(test_caret_beyond_the_line),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_log_that_nobody_reads),
		cmocka_unit_test(test_suggest),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
