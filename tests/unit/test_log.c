/* SPDX-License-Identifier: Apache-2.0 */
/* log: nothing that a stranger wrote reaches the log raw, and no line can be forged. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "test.h"

static void
test_escape(void **state)
{
	char out[64];

	(void)state;
	assert_string_equal(log_escape(out, sizeof(out), "a\nb", 3), "a\\x0ab");
	assert_string_equal(log_escape(out, sizeof(out), "\x1b]0;t\a", 6), "\\x1b]0;t\\x07");
	assert_string_equal(log_escape(out, sizeof(out), "\xe2\x80\xae", 3), "\\xe2\\x80\\xae");
	assert_string_equal(log_escape(out, sizeof(out), "a\\x0a", 5), "a\\x5cx0a");
	assert_string_equal(log_escape(out, 5, "ab\n", 3), "ab");
	assert_string_equal(log_escape(out, 1, "ab", 2), "");
}

static void
test_one_line_per_message(void **state)
{
	char text[8192];
	int pipe_fds[2];
	int saved = dup(STDERR_FILENO);
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
	log_setup("prog", LOG_LEVEL_INFO, true);
	log_info("user=%s", "x\n<0>prog: forged");
	log_debug("not shown");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	n = read(pipe_fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "<6>prog: user=x\\x0a<0>prog: forged\n");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(saved);
}

/* Nobody reads: the service goes on, and says afterwards what is missing. */
static void
test_a_full_log_stops_nobody(void **state)
{
	static char text[1 << 17];
	int pipe_fds[2];
	int saved = dup(STDERR_FILENO);
	unsigned written = 0;
	uint64_t before = log_bytes();
	const char *line;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
	log_setup("prog", LOG_LEVEL_INFO, false);
	for (int i = 0; i < 2000; i++)
		log_info("line %d of a flood of them that would fill any pipe", i);
	n = read(pipe_fds[0], text, sizeof(text) - 1);
	log_error("and then");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	assert_true(n > 0);
	text[n] = '\0';
	for (line = text; (line = strchr(line, '\n')) != NULL; line++)
		written++;
	assert_in_range(written, 100, 1999);
	n = read(pipe_fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	{
		char expected[256];

		(void)snprintf(expected, sizeof(expected),
		    "prog: warning: %u lines are lost: who reads this log was too slow\nprog: error: and then\n",
		    2000 - written);
		assert_string_equal(text, expected);
	}
	assert_true(log_bytes() - before > 100 * 20);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(saved);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_one_line_per_message),
		cmocka_unit_test(test_a_full_log_stops_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
