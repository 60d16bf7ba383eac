/* SPDX-License-Identifier: Apache-2.0 */
/* What each data path adds to the container of a profile, and that the profile's own mounts come after it. */
#include "test.h"

#include <string.h>

#include "container_plan.h"
#include "policy.h"

static const struct policy_tmpfs tmpfs[] = { { "/tmp", 1 << 20 } };

static const struct container_names names = {
	.name = "sallyport-0123456789abcdef",
	.instance = "0123456789abcdef",
	.proof = "proof",
	.connection = "01234567",
	.user = "alice",
};

static struct policy_profile
profile_of(enum policy_data_path path, enum policy_mode mode)
{
	return (struct policy_profile){ .name = "p",
		.mode = mode,
		.image = "debian:12",
		.uid = 1000,
		.gid = 1000,
		.tmpfs = tmpfs,
		.n_tmpfs = 1,
		.reached_by = path,
		.memory = 1 << 26,
		.nano_cpus = 1000000000,
		.pids = 16,
		.nofile = 64,
		.stop_grace_ms = 2500,
		.keep_ms = 60000 };
}

/* entrypoint: its words; mounts: their targets; each followed by a blank. */
static void
assert_plan(const struct container_plan *plan, const char *entrypoint, const char *mounts)
{
	char words[256] = "";
	char targets[256] = "";
	char why[256] = "";

	assert_int_equal(engine_spec_check(&plan->spec, why, sizeof(why)), 0);
	for (const char *const *word = plan->spec.entrypoint; *word != NULL; word++)
		(void)strcat(strcat(words, *word), " ");
	for (size_t i = 0; i < plan->spec.n_mounts; i++)
		(void)strcat(strcat(targets, plan->spec.mounts[i].target), " ");
	assert_string_equal(words, entrypoint);
	assert_string_equal(targets, mounts);
	/* Who may write a directory could move what is in it, mounted or not, with the directory. */
	for (size_t i = 0;
	     i < plan->spec.n_mounts && plan->spec.mounts[i].kind == ENGINE_MOUNT_BIND; i++)
		assert_null(strchr(plan->spec.mounts[i].target + 1, '/'));
}

#define GUEST "/.sallyport/sallyport-guest "

static void
test_direct(void **state)
{
	struct policy_profile p = profile_of(POLICY_DATA_PATH_DIRECT, POLICY_MODE_CONNECTION);
	struct container_plan plan;

	(void)state;
	container_plan_whole(&plan, &p, &names, "/srv/guest", "/run/here");
	assert_plan(&plan, GUEST, "/.sallyport /.sallyport-rendezvous /tmp ");
	assert_string_equal(plan.spec.mounts[0].source, "/srv/guest");
	assert_string_equal(plan.spec.mounts[1].source, "/run/here");
	p.mode = POLICY_MODE_USER;
	container_plan_whole(&plan, &p, &names, "/srv/guest", "/run/here");
	assert_plan(&plan, GUEST "--keep 61 ", "/.sallyport /.sallyport-rendezvous /tmp ");
}

/* No rendezvous, and a guest that waits for no broker, whoever asks for that. */
static void
test_engine(void **state)
{
	static const enum policy_mode modes[] = { POLICY_MODE_SESSION, POLICY_MODE_CONNECTION,
		POLICY_MODE_USER };
	struct container_plan plan;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(modes); i++) {
		struct policy_profile p = profile_of(POLICY_DATA_PATH_ENGINE, modes[i]);

		container_plan_whole(&plan, &p, &names, "/srv/guest", "/run/here");
		assert_plan(&plan, GUEST "--hold 2500 ", "/.sallyport /tmp ");
		assert_string_equal(plan.spec.mounts[0].source, "/srv/guest");
		assert_int_equal(plan.spec.mounts[0].kind, ENGINE_MOUNT_BIND);
		assert_true(plan.spec.mounts[0].read_only);
	}
}

/* As the broker does it: in steps, with room that belongs to the path. */
static void
test_in_steps(void **state)
{
	struct policy_profile p = profile_of(POLICY_DATA_PATH_ENGINE, POLICY_MODE_USER);
	struct container_entrypoint room;
	struct container_plan plan;

	(void)state;
	container_plan_make(&plan, &p, &names);
	container_plan_engine(&plan.spec, plan.mounts, "/srv/guest", UINT32_MAX, &room);
	container_plan_keep(&plan, p.keep_ms);
	assert_ptr_equal(plan.spec.entrypoint, room.argv);
	assert_plan(&plan, GUEST "--hold 4294967295 ", "/.sallyport /tmp ");
}

/* Users have turns, and so have pools. */
static void
test_whose_turn_it_is(void **state)
{
	struct policy_profile p = profile_of(POLICY_DATA_PATH_DIRECT, POLICY_MODE_CONNECTION);
	struct container_names of_pool = names;
	struct container_plan plan;

	(void)state;
	p.name = "shell";
	container_plan_make(&plan, &p, &names);
	assert_string_equal(plan.spec.owner, names.user);
	of_pool.user = "";
	container_plan_make(&plan, &p, &of_pool);
	assert_string_equal(plan.spec.owner, "shell");
}

/* Not on a way that tenants can change; what is mounted itself stays where it is. */
static void
test_working_directory(void **state)
{
	static const struct policy_volume volumes[] = { { "data", "/data", false } };
	static const struct policy_bind binds[] = { { .source = "/srv/homes/a",
	    .target = "/home/a" } };
	static const struct {
		const char *workdir, *engine_s;
	} cases[] = { { NULL, NULL }, { "/", "/" }, { "/srv", "/srv" }, { "/tmp/x", "/tmp/x" },
		{ "/data", "/data" }, { "/data/x", "/" }, { "/database", "/database" },
		{ "/home/a", "/home/a" }, { "/home/a/b/c", "/" }, { "/home/b", "/home/b" } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct policy_profile p = profile_of(POLICY_DATA_PATH_DIRECT, POLICY_MODE_CONNECTION);
		struct container_plan plan;

		p.volumes = volumes;
		p.n_volumes = 1;
		p.binds = binds;
		p.n_binds = 1;
		p.workdir = cases[i].workdir;
		container_plan_whole(&plan, &p, &names, "/srv/guest", "/run/here");
		if (cases[i].engine_s == NULL)
			assert_null(plan.spec.workdir);
		else
			assert_string_equal(plan.spec.workdir, cases[i].engine_s);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_engine),
		cmocka_unit_test(test_in_steps),
		cmocka_unit_test(test_whose_turn_it_is),
		cmocka_unit_test(test_working_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
