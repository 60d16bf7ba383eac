/* SPDX-License-Identifier: Apache-2.0 */
/* audit: each event is one line of ASCII JSON, whatever is in it, and what is lost is told. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attr.h"
#include "audit.h"
#include "fd.h"
#include "test.h"

struct fixture {
	char dir[64];
	char path[96];
	struct audit *audit;
};

static struct fixture
set_up(bool required)
{
	struct fixture f = { .dir = "/tmp/sp-audit-XXXXXX" };
	char why[256] = "";

	assert_non_null(mkdtemp(f.dir));
	(void)snprintf(f.path, sizeof(f.path), "%s/audit.log", f.dir);
	assert_int_equal(audit_open(f.path, required, &f.audit, why, sizeof(why)), 0);
	return f;
}

static void
tear_down(struct fixture *f)
{
	audit_free(f->audit);
	(void)unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
}

/* The whole file, from malloc. */
static char *
content(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, 1 << 20);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, file) < (1 << 20) - 1);
	assert_int_equal(fclose(file), 0);
	return text;
}

/* Line number n (from 0) of the file as JSON, or NULL when it is none. */
static json_t *
line_at(const char *path, unsigned n)
{
	char *text = content(path);
	char *rest = text;
	char *line = NULL;
	json_t *value;

	for (unsigned i = 0; i <= n; i++)
		line = strsep(&rest, "\n");
	assert_non_null(line);
	value = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	return value;
}

static void
assert_text(const json_t *line, const char *name, const char *want)
{
	const char *text = json_string_value(json_object_get(line, name));

	assert_non_null(text);
	assert_string_equal(text, want);
}

static void
an_event_is_a_line(void **state)
{
	struct fixture f = set_up(true);
	struct audit_subject who = { .connection = "0123abcd",
		.from = "192.0.2.1,2222",
		.user = "alice" };
	json_t *line;

	(void)state;
	assert_true(audit_event(f.audit, "login", &who, AUDIT_TEXT("outcome", "accepted"),
	    AUDIT_NUMBER("channel", 7), AUDIT_BOOL("pty", true), AUDIT_TEXT("rule", NULL)));
	assert_true(audit_event(f.audit, "service.stop", NULL, AUDIT_TEXT("reason", "test")));
	line = line_at(f.path, 0);
	assert_text(line, "event", "login");
	assert_text(line, "connection", "0123abcd");
	assert_text(line, "from", "192.0.2.1,2222");
	assert_text(line, "user", "alice");
	assert_text(line, "outcome", "accepted");
	assert_int_equal(json_integer_value(json_object_get(line, "number")), 0);
	assert_int_equal(json_integer_value(json_object_get(line, "channel")), 7);
	assert_true(json_is_true(json_object_get(line, "pty")));
	assert_null(json_object_get(line, "rule"));
	assert_int_equal(strlen(json_string_value(json_object_get(line, "time"))),
	    strlen("2026-01-02T03:04:05.678901Z"));
	json_decref(line);
	line = line_at(f.path, 1);
	assert_int_equal(json_integer_value(json_object_get(line, "number")), 1);
	assert_null(json_object_get(line, "connection"));
	json_decref(line);
	tear_down(&f);
}

static void
no_audit_log_is_fine(void **state)
{
	(void)state;
	assert_true(audit_event(NULL, "login", NULL, AUDIT_TEXT("outcome", "accepted")));
	audit_free(NULL);
}

/* Every byte value, as text and not: the file holds printable ASCII and ends of lines only. */
static void
strangers_write_no_raw_byte(void **state)
{
	struct fixture f = set_up(true);
	char all[256];
	const char *escaped;
	json_t *line;
	char *text;

	(void)state;
	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	assert_true(audit_event(f.audit, "x", NULL, AUDIT_BYTES("command", all, sizeof(all))));
	assert_true(audit_event(f.audit, "x", NULL, AUDIT_BYTES("command", all + 1, 126)));
	assert_true(audit_event(f.audit, "x", NULL,
	    AUDIT_TEXT("command", "\x1b]0;title\a\r\n{\"event\":\"login\"} \xe2\x80\xae \xc3\xa9")));
	text = content(f.path);
	for (const char *c = text; *c != '\0'; c++)
		assert_true(*c == '\n' || (*c >= 0x20 && *c < 0x7f));
	free(text);
	line = line_at(f.path, 0);
	assert_null(json_object_get(line, "command"));
	escaped = json_string_value(json_object_get(line, "command_escaped"));
	assert_non_null(escaped);
	assert_memory_equal(escaped, "\\x00\\x01", 8);
	assert_string_equal(escaped + strlen(escaped) - 8, "\\xfe\\xff");
	json_decref(line);
	for (unsigned n = 1; n < 3; n++) {
		line = line_at(f.path, n);
		assert_non_null(line);
		assert_text(line, "event", "x");
		assert_non_null(json_object_get(line, "command"));
		json_decref(line);
	}
	tear_down(&f);
}

/* A limit on the size of files stands for a full disk: it cuts one line short, then refuses all. */
static void
set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
check_full_disk(bool required, bool asked)
{
	struct fixture f = set_up(required);
	int64_t before = time(NULL);
	struct audit_state s;
	struct stat st;
	json_t *line;

	assert_true(audit_event(f.audit, "first", NULL, AUDIT_NUMBER("n", 1)));
	assert_int_equal(stat(f.path, &st), 0);
	set_file_limit((rlim_t)st.st_size + 20);
	for (int i = 0; i < 3; i++)
		assert_int_equal(audit_event(f.audit, "lost", NULL, AUDIT_NUMBER("n", 2)), !required);
	s = audit_state(f.audit);
	assert_true(s.failing && s.required == required && s.lost == 3);
	assert_int_equal(s.error, EFBIG);
	assert_in_range(s.since, before, time(NULL));
	set_file_limit(RLIM_INFINITY);
	/* To be asked is enough to try again. */
	if (asked) {
		s = audit_state(f.audit);
		assert_true(!s.failing && s.lost == 0);
	}
	assert_true(audit_event(f.audit, "next", NULL, AUDIT_NUMBER("n", 3)));
	assert_false(audit_state(f.audit).failing);
	line = line_at(f.path, 0);
	assert_text(line, "event", "first");
	json_decref(line);
	assert_null(line_at(f.path, 1)); /* the beginning of a line, ended */
	line = line_at(f.path, 2);
	assert_text(line, "event", "audit.gap");
	assert_int_equal(json_integer_value(json_object_get(line, "lost")), 3);
	json_decref(line);
	line = line_at(f.path, 3);
	assert_text(line, "event", "next");
	assert_int_equal(json_integer_value(json_object_get(line, "number")), 5);
	json_decref(line);
	tear_down(&f);
}

static void
a_full_disk_loses_nothing_quietly(void **state)
{
	(void)state;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	check_full_disk(true, false);
	check_full_disk(true, true);
	check_full_disk(false, true);
}

static void
assert_not_opened(const char *path, const char *word)
{
	char why[256] = "";
	int fd = audit_open_file(path, why, sizeof(why));

	assert_true(fd < 0);
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, word));
}

static void
other_peoples_files_are_refused(void **state)
{
	struct fixture f = set_up(true);
	char other[128];

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", f.dir);
	assert_int_equal(symlink(f.path, other), 0);
	assert_not_opened(other, "Too many levels");
	assert_int_equal(unlink(other), 0);
	assert_int_equal(link(f.path, other), 0);
	assert_not_opened(other, "has another name");
	assert_int_equal(unlink(other), 0);
	assert_int_equal(chmod(f.path, 0620), 0);
	assert_not_opened(f.path, "remove that with chmod go-w");
	assert_not_opened(f.dir, "Is a directory");
	assert_int_equal(mkfifo(other, 0600), 0);
	assert_not_opened(other, "No such device");
	assert_int_equal(unlink(other), 0);
	(void)snprintf(other, sizeof(other), "%s/no/audit.log", f.dir);
	assert_not_opened(other, "No such file");
	tear_down(&f);
}

static void
a_moved_log_is_left_alone(void **state)
{
	struct fixture f = set_up(true);
	char why[256] = "";
	char old[128];
	json_t *line;
	int fd;

	(void)state;
	assert_true(audit_event(f.audit, "one", NULL, AUDIT_NUMBER("n", 1)));
	(void)snprintf(old, sizeof(old), "%s/audit.log.1", f.dir);
	assert_int_equal(rename(f.path, old), 0);
	fd = audit_open_file(f.path, why, sizeof(why));
	assert_true(fd >= 0);
	audit_reopened(f.audit, &fd);
	assert_int_equal(fd, -1);
	assert_true(audit_event(f.audit, "two", NULL, AUDIT_NUMBER("n", 1)));
	line = line_at(old, 0);
	assert_text(line, "event", "one");
	json_decref(line);
	line = line_at(f.path, 0);
	assert_text(line, "event", "two");
	json_decref(line);
	assert_int_equal(unlink(old), 0);
	tear_down(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_a_line),
		cmocka_unit_test(no_audit_log_is_fine),
		cmocka_unit_test(strangers_write_no_raw_byte),
		cmocka_unit_test(a_full_disk_loses_nothing_quietly),
		cmocka_unit_test(other_peoples_files_are_refused),
		cmocka_unit_test(a_moved_log_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
