/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that decide: everything that somebody else could do to one, or to its place, is refused with the
 * file and the reason; what the system does to a read (short, interrupted, failing) changes nothing
 * about what is read.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "read_file.h"

#define TEXT     "what is decided\n"
#define MAX      4096
#define STRANGER 64300 /* a uid that nobody has */

static char top[] = "/tmp/sp-test-read-XXXXXX";
static char why[512];

static void
put(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, TEXT, strlen(TEXT)), strlen(TEXT));
	assert_int_equal(close(fd), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* Each test in a directory of its own, as the working one. */
static int
setup(void **state)
{
	(void)state;
	strcpy(top, "/tmp/sp-test-read-XXXXXX");
	assert_non_null(mkdtemp(top));
	assert_int_equal(chdir(top), 0);
	put("file", 0600);
	return 0;
}

static int
teardown(void **state)
{
	char command[64];

	(void)state;
	assert_int_equal(chdir("/"), 0);
	(void)snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

static int
read_it(const char *path, bool secret)
{
	char *text = NULL;
	size_t len = 0;
	unsigned fds = count_fds();
	int r;

	why[0] = '\0';
	r = read_trusted_file(path, secret ? READ_FILE_SECRET : READ_FILE_PUBLIC, MAX, &text, &len,
	    why, sizeof(why));
	fault_pause();
	assert_int_equal(count_fds(), fds);
	if (r == 0) {
		assert_int_equal(len, strlen(TEXT));
		assert_string_equal(text, TEXT);
	}
	read_file_free(text, len);
	fault_resume();
	return r;
}

/* For this reason, and the file is named. */
static void
refused(const char *path, bool secret, int error, const char *reason)
{
	assert_int_equal(read_it(path, secret), -error);
	if (strstr(why, reason) == NULL || strncmp(why, path, strlen(path)) != 0)
		fail_msg("\"%s\" is not about %s and \"%s\"", why, path, reason);
}

static void
test_good(void **state)
{
	char absolute[128];

	(void)state;
	(void)snprintf(absolute, sizeof(absolute), "%s/file", top);
	assert_int_equal(read_it("file", true), 0);
	assert_int_equal(read_it(absolute, true), 0);
	assert_int_equal(read_it(".//./file", true), 0);
	assert_int_equal(chmod("file", 0444), 0);
	assert_int_equal(read_it("file", false), 0);
	/* A second name in a place of ours is no danger: backups and deduplication make them. */
	assert_int_equal(link("file", "second"), 0);
	assert_int_equal(read_it("second", false), 0);
}

static void
test_modes(void **state)
{
	static const struct {
		mode_t mode;
		bool secret;
		const char *reason;
	} cases[] = {
		{ 0620, false, "can be written by group or others" },
		{ 0602, false, "can be written by group or others" },
		{ 0666, true, "can be written by group or others" },
		{ 0640, true, "can be read by group or others" },
		{ 0604, true, "can be read by group or others" },
		{ 0610, true, "can be read by group or others" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		assert_int_equal(chmod("file", cases[i].mode), 0);
		refused("file", cases[i].secret, EPERM, cases[i].reason);
	}
}

static void
test_kinds(void **state)
{
	(void)state;
	refused("nothing", false, ENOENT, "No such file");
	assert_int_equal(symlink("file", "link"), 0);
	refused("link", false, ELOOP, "is a symbolic link");
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	refused("dangling", false, ELOOP, "is a symbolic link");
	assert_int_equal(mkdir("directory", 0700), 0);
	refused("directory", false, EINVAL, "is not a regular file");
	assert_int_equal(mkfifo("fifo", 0600), 0);
	refused("fifo", false, EINVAL, "is not a regular file"); /* and nobody waits for a writer */
	refused("/dev/zero", false, EINVAL, "is not a regular file");
}

static void
test_sizes(void **state)
{
	int fd = open("sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)4 << 30), 0);
	assert_int_equal(close(fd), 0);
	refused("sparse", false, EFBIG, "is too large: 4294967296 bytes, at most 4096 are read");
	assert_int_equal(truncate("sparse", MAX + 1), 0);
	refused("sparse", false, EFBIG, "is too large: 4097 bytes, at most 4096 are read");
}

/* What another user could do. */
static void
test_owners(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown("file", STRANGER, 0), 0);
	refused("file", false, EPERM, "belongs to another user");
	/* A hard link from a good place to a stranger's file is a stranger's file. */
	assert_int_equal(link("file", "second"), 0);
	refused("second", false, EPERM, "belongs to another user");
	assert_int_equal(chown("file", 0, 0), 0);
	/* A hard link of ours in a stranger's place: they can put another file there. */
	assert_int_equal(mkdir("theirs", 0755), 0);
	assert_int_equal(link("file", "theirs/file"), 0);
	assert_int_equal(chown("theirs", STRANGER, 0), 0);
	refused("theirs/file", false, EPERM, "its directory theirs belongs to another user");
	/* The same further up, and through a link that we made ourselves. */
	assert_int_equal(mkdir("theirs/deep", 0755), 0);
	assert_int_equal(link("file", "theirs/deep/file"), 0);
	refused("theirs/deep/file", false, EPERM, "its directory theirs belongs to another user");
	assert_int_equal(symlink("theirs/deep", "ours"), 0);
	refused("ours/file", false, EPERM, "/theirs belongs to another user");
	/* A link of theirs to a place of ours: they can make it point elsewhere. */
	assert_int_equal(mkdir("good", 0755), 0);
	assert_int_equal(link("file", "good/file"), 0);
	assert_int_equal(symlink("../good", "theirs/link"), 0);
	refused("theirs/link/file", false, EPERM, "its directory theirs belongs to another user");
}

static void
test_directories(void **state)
{
	(void)state;
	assert_int_equal(mkdir("a", 0700), 0);
	assert_int_equal(mkdir("a/b", 0700), 0);
	assert_int_equal(link("file", "a/b/file"), 0);
	assert_int_equal(read_it("a/b/file", true), 0);
	for (mode_t mode = 0720; mode != 0; mode = mode == 0720 ? 0702 : 0) {
		assert_int_equal(chmod("a", mode), 0);
		refused("a/b/file", false, EPERM,
		    "its directory a can be written by group or others");
		assert_int_equal(chmod("a", 0700), 0);
		assert_int_equal(chmod("a/b", mode), 0);
		refused("a/b/file", false, EPERM, "its directory a/b can be written");
		assert_int_equal(chmod("a/b", 0700), 0);
	}
	/* Sticky, as /tmp is: what is ours in there stays ours. */
	assert_int_equal(chmod("a", 01777), 0);
	assert_int_equal(read_it("a/b/file", true), 0);
	/* Directories on the way may be links, as in a Kubernetes volume. */
	assert_int_equal(symlink("a/b", "..data"), 0);
	assert_int_equal(read_it("..data/file", true), 0);
	refused("file/x", false, ENOTDIR, "is not a directory");
	refused("nowhere/x", false, ENOENT, "No such file");
}

static void
test_long_names(void **state)
{
	static char path[6000];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	assert_int_equal(read_it(path, false), -ENAMETOOLONG);
	for (size_t i = 1; i < sizeof(path) - 1; i += 2)
		path[i] = '/';
	path[0] = '.';
	for (size_t i = 2; i < sizeof(path) - 1; i += 2)
		path[i] = '.';
	assert_int_equal(read_it(path, false), -ENAMETOOLONG);
}

/* ---- while it is read ---- */

static void
grow(void)
{
	assert_int_equal(truncate("file", 100), 0);
}

static void
shrink(void)
{
	assert_int_equal(truncate("file", 3), 0);
}

static void
rewrite(void)
{
	int fd = open("file", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0 && write(fd, "W", 1) == 1);
	assert_int_equal(close(fd), 0);
}

static void
give_away(void)
{
	assert_int_equal(chmod("file", 0666), 0);
}

static void
test_changes(void **state)
{
	static void (*const changes[])(void) = { grow, shrink, rewrite, give_away };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(changes); i++) {
		put("file", 0600);
		fault_before(FAULT_READ, changes[i]);
		assert_int_equal(read_it("file", false), -EAGAIN);
		assert_true(fault_end());
		assert_non_null(strstr(why, "changed while it was read"));
	}
	put("file", 0600);
	assert_int_equal(read_it("file", false), 0);
}

static void
test_system(void **state)
{
	static const struct {
		enum fault_call call;
		int error;
		unsigned long more;
		int result;
	} cases[] = {
		{ FAULT_READ, EINTR, 3, 0 },
		{ FAULT_READ, FAULT_SHORT, 100, 0 },
		{ FAULT_READ, EIO, 0, -EIO },
		{ FAULT_OPEN, EMFILE, 0, -EMFILE },
		{ FAULT_OPEN, ENFILE, 0, -ENFILE },
		{ FAULT_FSTAT, EIO, 0, -EIO },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		fault_system(cases[i].call, 1, cases[i].error, cases[i].more);
		assert_int_equal(read_it("file", true), cases[i].result);
		assert_true(fault_end());
		assert_int_equal(why[0] == '\0', cases[i].result == 0);
	}
	for (unsigned long n = 1; n < 3; n++) {
		fault_allocation(n);
		(void)read_it("file", true);
		(void)fault_end();
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directories, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_system, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
