/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_account: every way in which the kernel can say that a container is not what was asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel_account_fixture.h"
#include "test.h"

static const char **
text_of(struct kernel_account *a, enum account_text text)
{
	const char **const texts[] = { &a->status, &a->limits, &a->uid_map, &a->mountinfo };

	return texts[text];
}

static char *
changed(const char *text, const char *old, const char *new)
{
	char *out = account_changed(text, old, new);

	if (out == NULL)
		fail_msg("\"%s\" is not there once", old);
	return out;
}

static void
what_was_asked_for_is_right(void **state)
{
	struct kernel_account a = good_account();
	struct engine_container_spec s = good;
	char why[256] = "";
	char *text;

	(void)state;
	if (kernel_account_judge(&a, &good, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	/* One of an earlier broker's. */
	assert_int_equal(kernel_account_judge(&a, NULL, why, sizeof(why)), 0);
	assert_int_equal(kernel_account_judge_docker(&a, NULL, why, sizeof(why)), 0);
	/* Without supplementary groups. */
	a.status = text = changed(good_status, "Groups:\t100 ", "Groups:\t");
	assert_int_equal(kernel_account_judge(&a, &good, why, sizeof(why)), 0);
	free(text);
	/* With a network there are name servers. */
	a = good_account();
	s.network = ENGINE_NETWORK_BRIDGE;
	a.mountinfo = text = changed(good_mountinfo, "/etc/hostname", "/etc/resolv.conf");
	assert_int_equal(kernel_account_judge(&a, &s, why, sizeof(why)), 0);
	free(text);
	/* cgroup v2. */
	a.mountinfo = text = changed(good_mountinfo,
	    "/sys/fs/cgroup rw,nosuid,nodev,noexec - tmpfs tmpfs rw,mode=755",
	    "/sys/fs/cgroup ro - cgroup2 cgroup rw");
	assert_int_equal(kernel_account_judge(&a, &good, why, sizeof(why)), 0);
	free(text);
	/* A root that can be written, for who asks for one; and its files, which are the engine's own. */
	s = good;
	s.read_only_root = false;
	a.mountinfo = text = changed(good_mountinfo, " / / ro,", " / / rw,");
	assert_int_equal(kernel_account_judge(&a, &s, why, sizeof(why)), 0);
	free(text);
	a.mountinfo = text = changed(good_mountinfo, "/etc/hostname ro,", "/etc/hostname rw,");
	assert_int_equal(kernel_account_judge(&a, &s, why, sizeof(why)), 0);
	assert_int_equal(kernel_account_judge(&a, &good, why, sizeof(why)), KERNEL_ACCOUNT_E_DIFFERS);
	free(text);
	/* Blanks in a name are written as digits. */
	s = good;
	s.mounts = (const struct engine_mount[]){ mounts[0], mounts[1], mounts[2], mounts[3],
		{ .kind = ENGINE_MOUNT_HOME, .source = "/w", .target = "/w w\\w" } };
	a.mountinfo = text = changed(good_mountinfo, " /www rw", " /w\\040w\\134w rw");
	assert_int_equal(kernel_account_judge(&a, &s, why, sizeof(why)), 0);
	free(text);
}

static void
every_difference_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(account_differences); i++) {
		const struct account_difference *d = &account_differences[i];
		struct kernel_account a = good_account();
		const char **text = text_of(&a, d->text);
		char *hostile = changed(*text, d->old, d->new);
		char why[256] = "";

		*text = hostile;
		if (kernel_account_judge(&a, &good, why, sizeof(why)) != KERNEL_ACCOUNT_E_DIFFERS ||
		    strstr(why, d->says) == NULL)
			fail_msg("%zu: \"%s\": \"%s\"", i, d->new, why);
		free(hostile);
	}
}

static void
the_rest_is_looked_at(void **state)
{
	struct kernel_account a = good_account();
	char why[256] = "";

	(void)state;
	a.host_net = a.net;
	assert_int_equal(kernel_account_judge(&a, &good, why, sizeof(why)), KERNEL_ACCOUNT_E_DIFFERS);
	assert_non_null(strstr(why, "the host's network"));
	for (size_t i = 0; i < KERNEL_ACCOUNT_PATHS; i++) {
		a = good_account();
		if (a.there[i])
			continue;
		a.there[i] = true;
		assert_int_equal(kernel_account_judge(&a, &good, why, sizeof(why)),
		    KERNEL_ACCOUNT_E_DIFFERS);
		assert_non_null(strstr(why, kernel_account_paths[i]));
	}
}

/* What must be so for a container of any profile is looked for also when its profile is not known. */
static void
a_found_one_is_looked_at(void **state)
{
	static const char *const says[] = { "CapBnd:", "NoNewPrivs: is", "Seccomp: is 0",
		"rootless", "process ids", "not hidden", "not read-only", "/sys can be written",
		"message queues", "without a limit", "cut short" };
	unsigned found = 0;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(account_differences); i++) {
		const struct account_difference *d = &account_differences[i];
		struct kernel_account a = good_account();
		const char **text = text_of(&a, d->text);
		char *hostile = changed(*text, d->old, d->new);
		char why[256] = "";

		*text = hostile;
		for (size_t k = 0; k < SP_ARRAY_LEN(says); k++) {
			if (strstr(d->says, says[k]) == NULL)
				continue;
			found++;
			if (kernel_account_judge(&a, NULL, why, sizeof(why)) == 0)
				fail_msg("%zu: \"%s\"", i, d->new);
		}
		free(hostile);
	}
	assert_true(found >= SP_ARRAY_LEN(says));
}

/* Cut anywhere but at the end of a line it is refused, and never read beyond. */
static void
no_text_is_read_beyond_its_end(void **state)
{
	(void)state;
	for (enum account_text text = ACCOUNT_STATUS; text <= ACCOUNT_MOUNTS; text++) {
		struct kernel_account whole = good_account();
		const char *from = *text_of(&whole, text);

		for (size_t n = 0; n < strlen(from); n++) {
			struct kernel_account a = good_account();
			char *cut = strndup(from, n);
			char why[256] = "";

			assert_non_null(cut);
			*text_of(&a, text) = cut;
			if (kernel_account_judge(&a, &good, why, sizeof(why)) == 0) {
				assert_true(text == ACCOUNT_UID_MAP || n == 0 ||
				    from[n - 1] == '\n' || strstr(from + n, "Seccomp:") == NULL);
				/* Only what nobody reads may be gone. */
				assert_null(strstr(from + n, "NoNewPrivs"));
				assert_null(strstr(from + n, "/sys/firmware"));
				assert_null(strstr(from + n, "Max open files"));
			} else {
				assert_string_not_equal(why, "");
			}
			free(cut);
		}
	}
}

/* For Docker: whether it can gain anything, and nothing in a user namespace of its own. */
static void
power_is_asked_of_docker(void **state)
{
	struct kernel_account a = good_account();
	char why[256] = "";
	char *text;

	(void)state;
	a.mountinfo = a.limits = "";
	a.status = text = changed(good_status, "Seccomp:\t2", "Seccomp:\t0");
	assert_int_equal(kernel_account_judge_docker(&a, NULL, why, sizeof(why)), 0);
	free(text);
	a.status = text =
	    changed(good_status, "CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb");
	assert_int_equal(kernel_account_judge_docker(&a, NULL, why, sizeof(why)),
	    KERNEL_ACCOUNT_E_DIFFERS);
	assert_non_null(strstr(why, "it has capabilities: CapBnd: 00000000a80425fb"));
	a.uid_map = "         0     100000      65536\n";
	assert_int_equal(kernel_account_judge_docker(&a, NULL, why, sizeof(why)), 0);
	free(text);
	a.uid_map = good_uid_map;
	a.status = "";
	assert_int_equal(kernel_account_judge_docker(&a, NULL, why, sizeof(why)),
	    KERNEL_ACCOUNT_E_DIFFERS);
}

/* Of an image's link: the engine says the target, the kernel where it led. What nobody asked for is Docker's to say. */
static void
mounts_of_docker_are_where_they_were_asked_for(void **state)
{
	static const struct {
		const char *old, *new, *says;
	} cases[] = {
		{ "/home rw,", "/etc rw,", "nothing is mounted at /home" },
		{ "/.sallyport ro,", "/usr/bin ro,", "nothing is mounted at /.sallyport" },
		{ "/opt ro,", "/home ro,", "two things are mounted at /home" },
		{ "/opt ro,", "/opt rw,", "/opt can be written" },
		{ "/tmp rw,nosuid,nodev,", "/tmp rw,nosuid,nodevice,", "/tmp may have devices" },
		{ "- sysfs sysfs ro", "- sysfs", "not understood" },
		{ LAST, "\n114 171", "cut short" },
	};
	struct kernel_account a = good_account();
	char why[256] = "";
	char *text;

	(void)state;
	assert_int_equal(kernel_account_judge_docker(&a, &good, why, sizeof(why)), 0);
	a.mountinfo = text = changed(good_mountinfo, LAST,
	    LAST "115 165 254:0 /c/hosts /etc/hosts rw,relatime - ext4 /dev/vda rw\n");
	assert_int_equal(kernel_account_judge_docker(&a, &good, why, sizeof(why)), 0);
	free(text);
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		a.mountinfo = text = changed(good_mountinfo, cases[i].old, cases[i].new);
		if (kernel_account_judge_docker(&a, &good, why, sizeof(why)) !=
			KERNEL_ACCOUNT_E_DIFFERS ||
		    strstr(why, cases[i].says) == NULL)
			fail_msg("\"%s\" instead of \"%s\"", why, cases[i].says);
		free(text);
	}
}

/* This process is in no container, and one that is gone has no account. */
static void
the_real_one_is_read(void **state)
{
	unsigned before = count_fds();
	char why[256] = "";
	pid_t pid;

	(void)state;
	if (kernel_account_available(why, sizeof(why)) != 0)
		skip();
	assert_int_equal(kernel_account_check(getpid(), &good, why, sizeof(why)),
	    KERNEL_ACCOUNT_E_DIFFERS);
	assert_string_not_equal(why, "");
	pid = fork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(kernel_account_check(pid, &good, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "cannot read /proc/"));
	assert_true(kernel_account_check_docker(pid, &good, why, sizeof(why)) < 0);
	assert_int_equal(count_fds(), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_asked_for_is_right),
		cmocka_unit_test(every_difference_is_found),
		cmocka_unit_test(the_rest_is_looked_at),
		cmocka_unit_test(a_found_one_is_looked_at),
		cmocka_unit_test(no_text_is_read_beyond_its_end),
		cmocka_unit_test(power_is_asked_of_docker),
		cmocka_unit_test(mounts_of_docker_are_where_they_were_asked_for),
		cmocka_unit_test(the_real_one_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
