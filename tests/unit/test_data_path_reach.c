/* SPDX-License-Identifier: Apache-2.0 */
/* data_path_reach: which containers the data path "direct" does not reach, by the engine's own words. */
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "config.h"
#include "data_path_reach.h"
#include "engine_json_read.h"
#include "policy.h"
#include "test.h"

static struct engine_info
here(void)
{
	struct engine_info info = { .default_runtime = "runc" };
	struct utsname name;
	struct sysinfo memory;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sysinfo(&memory), 0);
	(void)snprintf(info.name, sizeof(info.name), "%s", name.nodename);
	(void)snprintf(info.kernel, sizeof(info.kernel), "%s", name.release);
	info.memory = (int64_t)memory.totalram * memory.mem_unit;
	return info;
}

static struct config config = { .runtime_dir = "/run/s", .engine = { .view_runtime_dir = "/run/s" } };

/* The data path "direct" does, into a container of this runtime. */
static void
reaches(const char *runtime, const struct engine_info *info)
{
	char why[768] = "";

	if (!data_path_reaches(&config, POLICY_DATA_PATH_DIRECT, runtime, info, why, sizeof(why)))
		fail_msg("%s", why);
}

static void
does_not(const char *runtime, const struct engine_info *info, const char *words)
{
	char why[768] = "";

	assert_true(
	    data_path_reaches(&config, POLICY_DATA_PATH_ENGINE, runtime, info, why, sizeof(why)));
	assert_string_equal(why, "");
	assert_false(
	    data_path_reaches(&config, POLICY_DATA_PATH_DIRECT, runtime, info, why, sizeof(why)));
	if (strstr(why, words) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", why, words);
}

static void
detects(const struct engine_info *info, bool elsewhere, bool own_kernels, const char *words)
{
	struct policy_engine engine;
	char why[768] = "stale";

	data_path_detect(&config, info, false, &engine, why, sizeof(why));
	assert_int_equal(engine.elsewhere, elsewhere);
	assert_int_equal(engine.own_kernels, own_kernels);
	assert_false(engine.only_direct);
	assert_int_equal(why[0] != '\0', words != NULL);
	if (words != NULL && strstr(why, words) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", why, words);
	/* Podman has the one path only, wherever it is. */
	data_path_detect(&config, info, true, &engine, why, sizeof(why));
	assert_true(engine.only_direct && !engine.elsewhere && !engine.own_kernels);
	assert_string_equal(why, "");
}

static void
another_machine(void **state)
{
	struct engine_info info = here();

	(void)state;
	reaches(NULL, &info);
	detects(&info, false, false, NULL);
	/* We may be in a container, with a name of its own. */
	(void)snprintf(info.name, sizeof(info.name), "far-away");
	reaches(NULL, &info);
	info.memory += 1 << 22;
	does_not(NULL, &info, "the engine runs on \"far-away\"");
	does_not("runc", &info, "the engine runs on \"far-away\"");
	detects(&info, true, false, "the engine runs on \"far-away\"");
	info.memory = 0; /* it does not say */
	reaches(NULL, &info);
	(void)snprintf(info.kernel, sizeof(info.kernel), "2.6.32");
	does_not(NULL, &info, "the engine runs on \"far-away\"");
	/* Whoever says how the host sees our directories knows where it is. */
	config.engine.view_runtime_dir = "/host/run/s";
	reaches(NULL, &info);
	detects(&info, false, false, NULL);
	config.engine.view_runtime_dir = "/run/s";
	info = (struct engine_info){ 0 };
	reaches(NULL, &info);
	detects(&info, false, false, NULL);
}

static void
another_kernel(void **state)
{
	struct engine_info info = here();

	(void)state;
	does_not("runsc", &info, "the runtime is \"runsc\"");
	(void)snprintf(info.default_runtime, sizeof(info.default_runtime), "runsc");
	does_not(NULL, &info, "the engine's default runtime is \"runsc\"");
	detects(&info, false, true, "the engine's default runtime is \"runsc\"");
	reaches("runc", &info);
	(void)snprintf(info.default_runtime, sizeof(info.default_runtime), "io.containerd.kata.v2");
	does_not(NULL, &info, "io.containerd.kata.v2");
	(void)snprintf(info.default_runtime, sizeof(info.default_runtime), "crun");
	reaches(NULL, &info);
	detects(&info, false, false, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_machine),
		cmocka_unit_test(another_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
