/* SPDX-License-Identifier: Apache-2.0 */
/* oom_count, container_oom: where the kernel counts whom it has killed in a container, and what is said of that. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attr.h"
#include "audit.h"
#include "broker.h"
#include "container_priv.h"
#include "oom_count.h"
#include "policy.h"
#include "test.h"

#define ID "5d2f7c0ab8b0c0e0d3dbb7f4e9e0f64a1c8f3b6f1f1f4dd0c2a9ab7d6f3e2b10"

/* Linux 6.1 with systemd: Docker, and Podman with crun, which has a cgroup of its own in it. */
static const char v2_docker[] = "0::/system.slice/docker-" ID ".scope\n";
static const char v2_podman[] = "0::/machine.slice/libpod-" ID ".scope/container\n";
/* Linux 6.18, version 1 beside an empty version 2. */
static const char v1[] = "17:hugetlb:/docker/" ID "\n"
			 "15:perf_event:/docker/" ID "\n"
			 "14:net_cls,net_prio:/docker/" ID "\n"
			 "9:name=systemd:/docker/" ID "\n"
			 "8:pids:/docker/" ID "\n"
			 "4:memory:/docker/" ID "\n"
			 "2:cpuacct:/docker/" ID "\n"
			 "1:cpu:/docker/" ID "\n"
			 "0::/docker/" ID "\n";

static const char v2_events[] = "low 0\nhigh 0\nmax 1093\noom 4\noom_kill 3\noom_group_kill 0\n";
static const char v1_events[] = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";

static void
place_is(const char *cgroup, const char *want)
{
	char path[OOM_COUNT_PATH_MAX];

	if (!oom_count_place(cgroup, ID, path))
		fail_msg("no place for \"%s\"", cgroup);
	assert_string_equal(path, want);
}

static void
the_file_is_found(void **state)
{
	(void)state;
	place_is(v2_docker, "/sys/fs/cgroup/system.slice/docker-" ID ".scope/memory.events");
	place_is(v2_podman,
	    "/sys/fs/cgroup/machine.slice/libpod-" ID ".scope/container/memory.events");
	place_is(v1, "/sys/fs/cgroup/memory/docker/" ID "/memory.oom_control");
	/* Colons and dots in names are just that. */
	place_is("0::/a:memory:/..b/.c/" ID "\n",
	    "/sys/fs/cgroup/a:memory:/..b/.c/" ID "/memory.events");
}

static void
no_other_path_is_followed(void **state)
{
	static const char *const bad[] = {
		"",
		"0::/\n",                           /* the whole machine's */
		"4:memory:/\n0::/docker/" ID "\n",  /* memory is not version 2's there */
		"0::/user.slice/session-1.scope\n", /* others are in it, too */
		"0::/../" ID "\n",
		"0::/docker/" ID "/..\n",
		"0::/docker/./" ID "\n",
		"0::/docker//" ID "\n",
		"0::/docker/" ID "/\n",
		"0::docker/" ID "\n",
		"0::/docker/" ID,                /* cut */
		"5:cpu,memory:/docker/" ID "\n", /* mounted elsewhere */
		"1:name=memory:/docker/" ID "\n",
	};
	char path[OOM_COUNT_PATH_MAX], longest[2 * OOM_COUNT_PATH_MAX];
	const int rest = (int)(sizeof("/sys/fs/cgroup") - 1 + sizeof("/" ID "/memory.events"));

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		if (oom_count_place(bad[i], ID, path))
			fail_msg("\"%s\" leads to %s", bad[i], path);
	}
	assert_false(oom_count_place(v2_docker, "", path));
	/* As long as it may be, and one byte more; and one that does not fit by itself. */
	for (int len = OOM_COUNT_PATH_MAX - rest; len < OOM_COUNT_PATH_MAX + 2; len++) {
		(void)snprintf(longest, sizeof(longest), "0::/%0*d/" ID "\n", len - 1, 0);
		assert_int_equal(oom_count_place(longest, ID, path),
		    len == OOM_COUNT_PATH_MAX - rest);
	}
}

static void
both_versions_are_read(void **state)
{
	struct oom_count count;

	(void)state;
	assert_true(oom_count_parse(v2_events, &count));
	assert_int_equal(count.killed, 3);
	assert_int_equal(count.at_limit, 4);
	assert_true(oom_count_parse(v1_events, &count));
	assert_int_equal(count.killed, 7);
	assert_int_equal(count.at_limit, 7);
}

static void
what_is_no_counter_says_nothing(void **state)
{
	static const char *const bad[] = {
		"", "oom_kill_disable 0\nunder_oom 0\n", /* before Linux 4.13 */
		"oom 1\noom_group_kill 1\n", "oom_kill\n", "oom_kill \n", "oom_kill -1\n",
		"oom_kill 1x\n", "oom_kill 1", /* cut */
	};
	struct oom_count count;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		if (oom_count_parse(bad[i], &count))
			fail_msg("\"%s\" says %llu", bad[i], (unsigned long long)count.killed);
	}
	assert_false(oom_count_read("/nonexistent/memory.events", &count));
	/* This process is in no container of this id. */
	assert_null(oom_count_find(getpid(), ID));
}

/* ---- what is said ---- */

struct fixture {
	char dir[64];
	char counter[96], log[96];
	struct broker broker;
	struct container container;
};

static void
set_up(struct fixture *f)
{
	char why[256];

	*f = (struct fixture){ .dir = "/tmp/sp-oom-XXXXXX" };
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->counter, sizeof(f->counter), "%s/memory.events", f->dir);
	(void)snprintf(f->log, sizeof(f->log), "%s/audit.log", f->dir);
	assert_int_equal(audit_open(f->log, false, &f->broker.audit, why, sizeof(why)), 0);
	f->container = (struct container){ .broker = &f->broker,
		.name = "sp-1",
		.id = ID,
		.connection = "-",
		.oom_file = f->counter };
}

static void
tear_down(struct fixture *f)
{
	audit_free(f->broker.audit);
	(void)unlink(f->counter);
	(void)unlink(f->log);
	assert_int_equal(rmdir(f->dir), 0);
}

/* The counter says this, and is looked at. */
static void
look(struct fixture *f, const char *text)
{
	const struct policy_profile profile = { .name = "p", .memory = 512U << 20 };
	const struct audit_subject who = { .connection = "0123abcd", .user = "alice" };
	FILE *file = fopen(f->counter, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	container_look_for_oom(&f->container, &profile, &who);
}

/* The events so far are n, and the last one says this; cause NULL: nothing is looked at but n. */
static void
events_are(const struct fixture *f, unsigned n, unsigned killed, const char *cause)
{
	char line[1024], last[1024] = "{}";
	FILE *file = fopen(f->log, "re");
	unsigned seen = 0;
	json_t *event;

	assert_non_null(file);
	for (; fgets(line, sizeof(line), file) != NULL; seen++)
		(void)snprintf(last, sizeof(last), "%s", line);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(seen, n);
	event = json_loads(last, 0, NULL);
	assert_non_null(event);
	if (cause != NULL) {
		assert_string_equal(json_string_value(json_object_get(event, "event")),
		    "container.oom");
		assert_string_equal(json_string_value(json_object_get(event, "cause")), cause);
		assert_string_equal(json_string_value(json_object_get(event, "user")), "alice");
		assert_int_equal(json_integer_value(json_object_get(event, "killed")), killed);
	}
	json_decref(event);
}

static void
only_what_is_new_is_said(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	look(&f, "max 0\noom 0\noom_kill 0\n");
	events_are(&f, 0, 0, NULL);
	look(&f, "max 9\noom 1\noom_kill 1\n");
	events_are(&f, 1, 1, "limit");
	look(&f, "max 9\noom 1\noom_kill 1\n");
	/* The limit was reached, and nobody killed for it. */
	look(&f, "max 12\noom 2\noom_kill 1\n");
	events_are(&f, 1, 1, "limit");
	/* A thousand are one line. */
	look(&f, "max 9999\noom 1100\noom_kill 1001\n");
	events_are(&f, 2, 1000, "limit");
	/* Not for its own limit. */
	look(&f, "max 9999\noom 1100\noom_kill 1003\n");
	events_are(&f, 3, 2, "host");
	look(&f, "max 9999\noom 1101\noom_kill 1004\n");
	events_are(&f, 4, 1, "limit");
	/* One that cannot be read, and one that has no place, are no reason for anything. */
	look(&f, "");
	assert_int_equal(unlink(f.counter), 0);
	container_look_for_oom(&f.container, NULL, &(struct audit_subject){ 0 });
	f.container.oom_file = NULL;
	look(&f, "max 9999\noom 2000\noom_kill 2000\n");
	events_are(&f, 4, 1, "limit");
	tear_down(&f);
}

static void
version_1_does_not_tell_why(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	look(&f, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
	events_are(&f, 0, 0, NULL);
	look(&f, "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n");
	events_are(&f, 1, 2, "limit");
	tear_down(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_is_found),
		cmocka_unit_test(no_other_path_is_followed),
		cmocka_unit_test(both_versions_are_read),
		cmocka_unit_test(what_is_no_counter_says_nothing),
		cmocka_unit_test(only_what_is_new_is_said),
		cmocka_unit_test(version_1_does_not_tell_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
