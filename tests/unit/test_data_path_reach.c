/* SPDX-License-Identifier: Apache-2.0 */
/* data_path_reach: which engines the data path "direct" does not reach, by their own words. */
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

static void
reaches(const struct policy_profile *p, const struct engine_info *info)
{
	char why[768] = "";

	if (!data_path_reaches(&config, p, info, why, sizeof(why)))
		fail_msg("%s", why);
}

static void
does_not(const struct policy_profile *p, const struct engine_info *info, const char *words)
{
	char why[768] = "";

	assert_false(data_path_reaches(&config, p, info, why, sizeof(why)));
	if (strstr(why, words) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", why, words);
}

static const struct policy_profile direct = { .data_path = POLICY_DATA_PATH_DIRECT };
static const struct policy_profile by_engine = { .data_path = POLICY_DATA_PATH_ENGINE };

static void
another_machine(void **state)
{
	struct engine_info info = here();

	(void)state;
	reaches(&direct, &info);
	/* We may be in a container, with a name of its own. */
	(void)snprintf(info.name, sizeof(info.name), "far-away");
	reaches(&direct, &info);
	info.memory += 1 << 22;
	does_not(&direct, &info, "the engine runs on \"far-away\"");
	reaches(&by_engine, &info);
	info.memory = 0; /* it does not say */
	reaches(&direct, &info);
	(void)snprintf(info.kernel, sizeof(info.kernel), "2.6.32");
	does_not(&direct, &info, "the engine runs on \"far-away\"");
	/* Whoever says how the host sees our directories knows where it is. */
	config.engine.view_runtime_dir = "/host/run/s";
	reaches(&direct, &info);
	config.engine.view_runtime_dir = "/run/s";
	info = (struct engine_info){ 0 };
	reaches(&direct, &info);
}

static void
another_kernel(void **state)
{
	struct policy_profile with_runc = direct;
	struct engine_info info = here();

	(void)state;
	(void)snprintf(info.default_runtime, sizeof(info.default_runtime), "runsc");
	does_not(&direct, &info, "the engine's default runtime is \"runsc\"");
	reaches(&by_engine, &info);
	with_runc.runtime = "runc";
	reaches(&with_runc, &info);
	(void)snprintf(info.default_runtime, sizeof(info.default_runtime), "io.containerd.kata.v2");
	does_not(&direct, &info, "io.containerd.kata.v2");
	(void)snprintf(info.default_runtime, sizeof(info.default_runtime), "crun");
	reaches(&direct, &info);
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
