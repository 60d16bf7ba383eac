/* SPDX-License-Identifier: Apache-2.0 */
/* instance: what we made is known as ours across restarts; nothing that others can write is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "instance.h"
#include "test.h"

static char directory[64];
static char file[128];
static char copy[128];

static int
setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/sallyport-instance-XXXXXX");
	assert_non_null(mkdtemp(directory));
	(void)snprintf(file, sizeof(file), "%s/instance.key", directory);
	(void)snprintf(copy, sizeof(copy), "%s/instance.copy", directory);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(file);
	(void)unlink(copy);
	return rmdir(directory);
}

static void
test_proof_survives_a_restart(void **state)
{
	char name[INSTANCE_NAME_LEN + 1];
	char proof[INSTANCE_PROOF_LEN + 1];
	struct instance first;
	struct instance second;
	char why[256];

	(void)state;
	assert_int_equal(instance_open(&first, directory, why, sizeof(why)), 0);
	assert_int_equal(instance_new_name(name), 0);
	assert_int_equal(strlen(name), INSTANCE_NAME_LEN);
	assert_int_equal(instance_proof(&first, name, proof), 0);
	fd_close(&first.lock_fd);
	assert_int_equal(instance_open(&second, directory, why, sizeof(why)), 0);
	assert_string_equal(first.id, second.id);
	assert_true(instance_owns(&second, name, second.id, proof));
	fd_close(&second.lock_fd);
}

static void
test_what_is_not_ours(void **state)
{
	char name[INSTANCE_NAME_LEN + 1];
	char other[INSTANCE_NAME_LEN + 1];
	char proof[INSTANCE_PROOF_LEN + 1];
	struct instance i;
	char why[256];

	(void)state;
	assert_int_equal(instance_open(&i, directory, why, sizeof(why)), 0);
	assert_int_equal(instance_new_name(name), 0);
	assert_int_equal(instance_new_name(other), 0);
	assert_int_equal(instance_proof(&i, name, proof), 0);
	assert_false(instance_owns(&i, other, i.id, proof)); /* a copied label */
	assert_false(instance_owns(&i, name, "0123456789abcdef", proof));
	assert_false(instance_owns(&i, name, i.id, NULL));
	assert_false(instance_owns(&i, NULL, i.id, proof));
	assert_false(instance_owns(&i, "web", i.id, proof));
	proof[10] = proof[10] == 'a' ? 'b' : 'a';
	assert_false(instance_owns(&i, name, i.id, proof));
	proof[10] = '\0';
	assert_false(instance_owns(&i, name, i.id, proof));
	fd_close(&i.lock_fd);
}

static void
test_second_broker_is_refused(void **state)
{
	struct instance first;
	struct instance second;
	char why[256] = "";

	(void)state;
	assert_int_equal(instance_open(&first, directory, why, sizeof(why)), 0);
	assert_true(instance_open(&second, directory, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "another broker"));
	fd_close(&first.lock_fd);
}

static void
test_file_that_others_can_read(void **state)
{
	struct instance i;
	char why[256] = "";
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	close(fd);
	assert_true(instance_open(&i, directory, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "0600"));
}

/* What may have become of a file: NULL is gone. */
static void
put(const char *path, const uint8_t *text, size_t n)
{
	int fd;

	(void)unlink(path);
	if (text == NULL)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static size_t
get(const char *path, uint8_t *text, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, text, cap);
	assert_true(n >= 0);
	close(fd);
	return (size_t)n;
}

static void
open_and_close(struct instance *i)
{
	char why[256] = "";

	assert_int_equal(instance_open(i, directory, why, sizeof(why)), 0);
	fd_close(&i->lock_fd);
}

#define FILE_LEN (INSTANCE_SECRET_LEN + 32)

static void
heals(const char *path, const uint8_t *text, size_t n, const struct instance *first)
{
	uint8_t whole[FILE_LEN];
	uint8_t now[2][FILE_LEN + 8];
	struct instance again;

	assert_int_equal(get(path, whole, sizeof(whole)), FILE_LEN);
	put(path, text, n);
	open_and_close(&again);
	assert_memory_equal(again.secret, first->secret, sizeof(again.secret));
	assert_string_equal(again.id, first->id);
	assert_int_equal(get(file, now[0], sizeof(now[0])), FILE_LEN);
	assert_int_equal(get(copy, now[1], sizeof(now[1])), FILE_LEN);
	assert_memory_equal(now[0], whole, FILE_LEN);
	assert_memory_equal(now[1], whole, FILE_LEN);
}

/* Cut at any byte, changed at any byte, longer, lost, garbage: the other file has it. */
static void
test_one_damaged_file_heals(void **state)
{
	const char *const paths[] = { file, copy };
	uint8_t whole[FILE_LEN + 4] = { 0 };
	struct instance first;

	(void)state;
	open_and_close(&first);
	assert_int_equal(get(file, whole, sizeof(whole)), FILE_LEN);
	for (size_t p = 0; p < SP_ARRAY_LEN(paths); p++) {
		uint8_t garbage[FILE_LEN];

		for (size_t n = 0; n < FILE_LEN; n++)
			heals(paths[p], whole, n, &first);
		for (size_t n = 0; n < FILE_LEN; n++) {
			memcpy(garbage, whole, sizeof(garbage));
			garbage[n] ^= 0x40;
			heals(paths[p], garbage, sizeof(garbage), &first);
		}
		memset(garbage, 'x', sizeof(garbage));
		heals(paths[p], garbage, sizeof(garbage), &first);
		heals(paths[p], whole, sizeof(whole), &first); /* longer */
		heals(paths[p], NULL, 0, &first);
	}
}

/* Of two that are whole and differ, the first counts. */
static void
test_two_secrets(void **state)
{
	uint8_t whole[FILE_LEN];
	struct instance first;
	struct instance other;

	(void)state;
	open_and_close(&first);
	assert_int_equal(get(file, whole, sizeof(whole)), FILE_LEN);
	put(file, NULL, 0);
	put(copy, NULL, 0);
	open_and_close(&other);
	assert_memory_not_equal(other.secret, first.secret, sizeof(other.secret));
	put(file, whole, sizeof(whole));
	open_and_close(&other);
	assert_memory_equal(other.secret, first.secret, sizeof(other.secret));
	put(file, NULL, 0);
	open_and_close(&other);
	assert_memory_equal(other.secret, first.secret, sizeof(other.secret));
}

/* Neither is whole, wherever each was cut: another one, and no start that fails. */
static void
test_two_damaged_files(void **state)
{
	uint8_t whole[FILE_LEN];
	struct instance first;
	struct instance other;
	struct instance again;

	(void)state;
	open_and_close(&first);
	for (size_t n = 0; n < FILE_LEN; n++) {
		assert_int_equal(get(file, whole, sizeof(whole)), FILE_LEN);
		put(file, whole, n);
		put(copy, whole, FILE_LEN - 1 - n);
		open_and_close(&other);
		assert_memory_not_equal(other.secret, first.secret, sizeof(other.secret));
		open_and_close(&again);
		assert_memory_equal(other.secret, again.secret, sizeof(other.secret));
		first = other;
	}
}

/* A disk that is full keeps nobody out who has a whole secret; a first start needs both files. */
static void
test_full_disk(void **state)
{
	struct rlimit before;
	struct rlimit none;
	struct instance first;
	struct instance second;
	char why[256];

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(instance_open(&first, directory, why, sizeof(why)), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	open_and_close(&first);
	assert_int_equal(unlink(copy), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	open_and_close(&second);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_string_equal(first.id, second.id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_proof_survives_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_broker_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_that_others_can_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_damaged_file_heals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_damaged_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
