/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy files. Whatever the text, a policy comes out or messages do. One that comes out has no
 * profile beyond the guardrails, and each of its profiles is a container that can be asked for.
 *
 * Covers: policy_parse policy_read_images policy_read_users policy_read_profiles policy_read_rules
 * Covers: policy_read_mounts policy_read_guarded policy_finish_profiles
 * Covers: policy_accepts_env public_key_parse json_read_object diag_print policy_grant_new policy_refuse
 * Covers: container_plan_make engine_spec_check
 * Floor: 30
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container_plan.h"
#include "fuzz.h"
#include "policy.h"

/* As the test data calls them. */
static const char *const users[] = { "alice", "bob", "carol", "root_", "x" };
static FILE *null;

void
fuzz_setup(void)
{
	null = fopen("/dev/null", "we");
	FUZZ_CHECK(null != NULL);
}

/* The container that the broker would ask for. */
static void
check_container(const struct policy_profile *p)
{
	static const struct container_names names = { .name = "sallyport-0123456789abcdef",
		.instance = "0123456789abcdef",
		.proof = "proof",
		.connection = "01234567",
		.user = "alice" };
	struct container_plan plan;
	char why[256] = "";

	container_plan_whole(&plan, p, &names, "/guest", "/rendezvous");
	if (engine_spec_check(&plan.spec, why, sizeof(why)) != 0)
		(void)fprintf(stderr, "%s: %s\n", p->name, why);
	FUZZ_CHECK(why[0] == '\0');
}

static void
check_profile(const struct policy_profile *p, bool root_allowed)
{
	FUZZ_CHECK(p->image != NULL && (root_allowed || p->uid != 0));
	FUZZ_CHECK(p->memory > 0 && p->pids > 0 && p->nofile > 0 && p->nano_cpus > 0);
	FUZZ_CHECK(p->shell_argv[0] != NULL && p->exec_argv[0] != NULL);
	FUZZ_CHECK(p->channels >= 1 && p->channels <= 64);
	(void)policy_accepts_env(p, "LC_ALL");
}

/* What somebody gets in the end, templates and all, can be asked for; and what they may run. */
static void
check_login(struct policy *p, const char *user, const char *target, bool root_allowed)
{
	struct policy_login login = { .user = user, .target = target, .time = 1800000000 };
	struct policy_request request = { .kind = POLICY_REQUEST_EXEC,
		.command = "git-upload-pack 'a b'",
		.command_len = 21 };
	static struct policy_words words;
	struct policy_grant *grant = NULL;
	struct policy_decision d;
	char why[256] = "";

	if (policy_decide(p, &login, &d) != 0)
		return;
	if (policy_grant_new(p, &login, &d, &grant, why, sizeof(why)) != 0) {
		FUZZ_CHECK(why[0] != '\0');
		return;
	}
	check_profile(policy_grant_profile(grant), root_allowed);
	check_container(policy_grant_profile(grant));
	(void)policy_refuse(policy_grant_profile(grant), &request, &words);
	FUZZ_CHECK(words.n <= POLICY_WORDS_MAX);
	policy_grant_unref(grant);
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	SP_CLEANUP(policy_unrefp) struct policy *p = NULL;
	struct diag_list diags = DIAG_LIST_INIT;
	const struct policy_profile *profile;
	const char *text = (const char *)data;
	int r = policy_parse("fuzz.json", text, len, &p, &diags);
	bool root_allowed;

	FUZZ_CHECK(r == 0 || r == POLICY_E_INVALID);
	FUZZ_CHECK((r == 0) == (p != NULL) && (r == 0) == (diags.n_errors == 0));
	diag_print(&diags, null);
	diag_list_clear(&diags);
	root_allowed = memmem(text, len, "root", 4) != NULL;
	for (size_t i = 0; r == 0 && (profile = policy_profile_at(p, i)) != NULL; i++)
		check_profile(profile, root_allowed);
	for (size_t i = 0; r == 0 && i < SP_ARRAY_LEN(users); i++) {
		check_login(p, users[i], NULL, root_allowed);
		check_login(p, users[i], "web", root_allowed);
	}
}

void
fuzz_seeds(void)
{
	fuzz_seed_files("policy/good", ".json", NULL, 0);
	fuzz_seed_files("policy/bad", ".json", NULL, 0);
}
