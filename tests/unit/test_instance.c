/* SPDX-License-Identifier: Apache-2.0 */
/* instance: what we made is known as ours across restarts; nothing that others can write is. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "instance.h"
#include "test.h"

static char directory[64];
static char file[128];

static int
setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/sallyport-instance-XXXXXX");
	assert_non_null(mkdtemp(directory));
	(void)snprintf(file, sizeof(file), "%s/instance.key", directory);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(file);
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

static void
test_torn_secret_is_made_anew(void **state)
{
	struct instance i;
	char why[256] = "";
	struct stat st;
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	assert_int_equal(instance_open(&i, directory, why, sizeof(why)), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, INSTANCE_SECRET_LEN);
	fd_close(&i.lock_fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_proof_survives_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_broker_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_that_others_can_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_secret_is_made_anew, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
