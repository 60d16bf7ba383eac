/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of time, targets, templates, "set", commands without a shell, and files of a directory. */
#include "test.h"

#include "policy.h"
#include "times.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Monday, 2026-11-23 00:00:00 UTC. */
#define MONDAY INT64_C(1795392000)
#define HOUR   INT64_C(3600)
#define DAY    (24 * HOUR)

/* ---- time ---- */

static void
test_instants(void **state)
{
	static const struct {
		const char *text;
		int64_t when;
	} good[] = {
		{ "1970-01-01T00:00Z", 0 },
		{ "1970-01-01T00:00+01:00", -3600 },
		{ "2000-02-29T12:34:56Z", 951827696 },
		{ "2026-11-23T00:00Z", MONDAY },
		{ "2026-11-23T01:00+01:00", MONDAY },
		{ "2026-11-22T20:30-03:30", MONDAY },
		{ "2100-03-01T00:00Z", 4107542400 },
		{ "9999-12-31T23:59:59Z", 253402300799 },
	};
	static const char *const bad[] = { "", "2026-11-23", "2026-11-23T00:00", "2026-11-23 00:00Z",
		"2026-11-23T00:00z", "2026-13-01T00:00Z", "2026-00-01T00:00Z", "2026-11-31T00:00Z",
		"2026-11-00T00:00Z", "2100-02-29T00:00Z", "2026-11-23T24:00Z", "2026-11-23T00:60Z",
		"2026-11-23T00:00:60Z", "2026-11-23T00:00+15:00", "2026-11-23T00:00+1:00",
		"2026-11-23T00:00Z ", "1969-12-31T00:00Z", "26-11-23T00:00Z", "+026-11-23T00:00Z" };
	char text[TIMES_TEXT_MAX];
	int64_t when = 77;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		assert_int_equal(times_parse_instant(good[i].text, &when), 0);
		assert_true(when == good[i].when);
		/* What is written is what is read. */
		if (when >= 0) {
			int64_t again;

			assert_int_equal(times_parse_instant(times_format(when, text), &again), 0);
			assert_true(again == when);
		}
	}
	assert_string_equal(times_format(951827696, text), "2000-02-29T12:34:56Z");
	assert_string_equal(times_format(-1, text), "1969-12-31T23:59:59Z");
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_int_equal(times_parse_instant(bad[i], &when), TIMES_E_SYNTAX);
}

static bool
is_in(const char *window, int64_t when)
{
	struct time_window w;

	assert_int_equal(times_parse_window(window, &w), 0);
	return times_contains(&w, when);
}

static void
test_windows(void **state)
{
	(void)state;
	assert_true(is_in("2026-11-23T00:00Z/2026-11-24T00:00Z", MONDAY));
	assert_false(is_in("2026-11-23T00:00Z/2026-11-24T00:00Z", MONDAY + DAY));
	assert_false(is_in("2026-11-23T00:00Z/", MONDAY - 1));
	assert_true(is_in("2026-11-23T00:00Z/", MONDAY + 1000 * DAY));
	assert_true(is_in("/2026-11-23T00:00Z", MONDAY - 1));
	assert_false(is_in("/2026-11-23T00:00Z", MONDAY));
	assert_true(is_in("mon 08:00-18:00 Z", MONDAY + 8 * HOUR));
	assert_false(is_in("mon 08:00-18:00 Z", MONDAY + 18 * HOUR));
	assert_false(is_in("tue-sun 08:00-18:00 Z", MONDAY + 8 * HOUR));
	assert_true(is_in("sat-mon 08:00-18:00 Z", MONDAY + 8 * HOUR));
	assert_true(is_in("wed,mon Z", MONDAY));
	assert_false(is_in("wed,fri-sun Z", MONDAY));
	/* A zone in the east has its Monday earlier. */
	assert_true(is_in("mon Z", MONDAY));
	assert_true(is_in("mon +01:00", MONDAY - HOUR));
	assert_false(is_in("mon -01:00", MONDAY));
	/* The night of Sunday goes into Monday, the night of Monday does not begin on it early. */
	assert_true(is_in("sun 22:00-06:00 Z", MONDAY + 5 * HOUR));
	assert_false(is_in("sun 22:00-06:00 Z", MONDAY + 6 * HOUR));
	assert_false(is_in("mon 22:00-06:00 Z", MONDAY + 5 * HOUR));
	assert_true(is_in("mon 22:00-06:00 Z", MONDAY + 22 * HOUR));
	assert_true(is_in("mon 22:00-06:00 Z", MONDAY + DAY + 5 * HOUR));
	assert_true(is_in("sun 22:00-24:00 Z", MONDAY - 1));
	assert_true(is_in("08:00-18:00 Z", MONDAY + 3 * DAY + 9 * HOUR));
	assert_false(is_in("08:00-18:00 Z", MONDAY + 3 * DAY + 7 * HOUR));
}

static void
test_bad_windows(void **state)
{
	static const char *const bad[] = { "", "Z", "+01:00", "/", "mon", "mon 08:00-18:00",
		"mon  Z", "monday Z", "Mon Z", "mon- Z", "mon, Z", ",mon Z", "08:00 Z",
		"8:00-18:00 Z", "24:00-25:00 Z", "08:00-24:01 Z", "08:00-18:00Z", "08:00-18:00 CET",
		"mon-fri Z x", "2026-11-23T00:00Z", "2026-11-23T00:00Z/P1D", "a/b" };
	struct time_window w;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_int_equal(times_parse_window(bad[i], &w), TIMES_E_SYNTAX);
	assert_int_equal(times_parse_window("08:00-08:00 Z", &w), TIMES_E_EMPTY);
	assert_int_equal(times_parse_window("2026-11-23T00:00Z/2026-11-23T00:00Z", &w),
	    TIMES_E_EMPTY);
}

/* ---- rules and profiles ---- */

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMcNXmfMghzQoN/u3Aq15PWg9acIe9mN8ibMaMXoUVqS"
#define SK_KEY                                                                             \
	"sk-ssh-ed25519@openssh.com "                                                      \
	"AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZ" \
	"GhscHR4fAAAABHNzaDo="
#define FINGERPRINT "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define OF_KEY      "SHA256:1ZcT+aUFjixXu/hWuJqfo7Xz9VAeuNcgjSpdMfppyM4"

static struct policy *
parse_with(const char *users, const char *profiles, const char *rules)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	char text[8192];
	int r;

	(void)snprintf(text, sizeof(text),
	    "{ \"sallyport_policy\": 1,\n\"users\": { %s },\n"
	    "\"profiles\": { %s },\n\"rules\": [ %s ] }",
	    users, profiles, rules);
	r = policy_parse("p.json", text, strlen(text), &p, &diags);
	if (r != 0)
		diag_print(&diags, stderr);
	assert_int_equal(r, 0);
	diag_list_clear(&diags);
	return p;
}

static struct policy *
parse(const char *profiles, const char *rules)
{
	return parse_with("\"a\": { \"keys\": [\"" KEY "\"] }, \"b\": { \"keys\": [\"" KEY "\"], "
			  "\"groups\": [\"ops\"], \"expires\": \"2026-11-23T00:00Z\" }",
	    profiles, rules);
}

#define PLAIN "\"p\": { \"container\": { \"image\": \"debian:12\" } }"

/* The id of the rule that decides, or "" when none does. */
static const char *
decide(const struct policy *p, const struct policy_login *login)
{
	struct policy_decision d;
	int r = policy_decide(p, login, &d);

	assert_int_equal(r == 0, d.profile != NULL);
	return d.rule != NULL ? d.rule : "";
}

static void
test_conditions(void **state)
{
	struct policy *p = parse(PLAIN,
	    "{ \"id\": \"key\", \"if\": { \"key\": [\"" FINGERPRINT "\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"sk\", \"if\": { \"auth\": { \"any\": [\"sk-key\"] } }, \"use\": \"p\" },"
	    "{ \"id\": \"time\", \"if\": { \"time\": [\"mon 08:00-09:00 Z\", \"tue Z\"], "
	    "\"not\": { \"user\": [\"b\"], \"group\": [\"more\"] } }, \"use\": \"p\" },"
	    "{ \"id\": \"more\", \"if\": { \"group\": [\"more\"] }, \"use\": \"p\" }");
	static const char *const more[] = { "other", "more", NULL };
	struct policy_login login = { .user = "a", .time = MONDAY };

	(void)state;
	assert_string_equal(decide(p, &login), "");
	login.fingerprint = "SHA256:B";
	assert_string_equal(decide(p, &login), "");
	login.auth = POLICY_AUTH_SK_KEY;
	assert_string_equal(decide(p, &login), "sk");
	login.fingerprint = FINGERPRINT;
	assert_string_equal(decide(p, &login), "key");
	login = (struct policy_login){ .user = "a", .time = MONDAY + 8 * HOUR };
	assert_string_equal(decide(p, &login), "time");
	login.time = MONDAY + 30 * HOUR;
	assert_string_equal(decide(p, &login), "time");
	/* "not" needs both of its conditions. */
	login.groups = more;
	assert_string_equal(decide(p, &login), "time");
	login.time = MONDAY;
	assert_string_equal(decide(p, &login), "more");
	policy_unref(p);
}

static void
test_expires(void **state)
{
	struct policy *p = parse(PLAIN, "{ \"id\": \"r\", \"use\": \"p\" }");
	struct policy_login login = { .user = "b", .time = MONDAY - 1 };
	struct policy_decision d;

	(void)state;
	assert_int_equal(policy_decide(p, &login, &d), 0);
	assert_false(d.expired);
	login.time = MONDAY;
	assert_int_equal(policy_decide(p, &login, &d), POLICY_E_REFUSED);
	assert_true(d.expired && d.rule == NULL && d.profile == NULL);
	assert_string_equal(d.message, "This account has expired.");
	policy_unref(p);
}

/* Writes down each rule, and wants another. */
static bool
note_rule(void *arg, const struct policy_decision *d)
{
	char *seen = arg;

	assert_true(strlen(seen) + strlen(d->rule) + 2 < 128);
	strcat(strcat(seen, d->rule), " ");
	return false;
}

static void
check_may_get(const struct policy *p, const char *user, const char *target, int64_t now,
    const char *rules)
{
	char seen[128] = "";

	assert_false(policy_may_get(p, user, target, now, note_rule, seen));
	assert_string_equal(seen, rules);
}

static void
test_logins_that_may_come(void **state)
{
	struct policy *p = parse(PLAIN,
	    "{ \"id\": \"sk\", \"if\": { \"auth\": { \"any\": [\"sk-key\"] } }, \"use\": \"p\" },"
	    "{ \"id\": \"past\", \"if\": { \"time\": \"/2026-11-22T00:00Z\" }, \"use\": \"p\" },"
	    "{ \"id\": \"now\", \"if\": { \"time\": [\"mon 08:00-09:00 Z\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"net\", \"if\": { \"from\": [\"10.0.0.0/8\"], \"not\": { \"user\": [\"a\"] } },"
	    " \"use\": \"p\" },"
	    "{ \"id\": \"no-net\", \"if\": { \"not\": { \"from\": [\"10.0.0.0/8\"] } }, \"use\": \"p\" },"
	    "{ \"id\": \"web\", \"if\": { \"target\": [\"web*\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"deny\", \"if\": { \"target\": [\"d?\"] }, \"deny\": \"No.\" },"
	    "{ \"id\": \"any\", \"if\": { \"target\": [\"*\"], \"group\": [\"ops\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"other\", \"if\": { \"key\": [\"" FINGERPRINT "\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"key\", \"if\": { \"key\": [\"" OF_KEY "\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"behind\", \"use\": \"p\" }");

	(void)state;
	check_may_get(p, "a", NULL, MONDAY, "now no-net key ");
	check_may_get(p, "a", NULL, MONDAY - 2 * DAY, "past now no-net key ");
	check_may_get(p, "a", "web-1", MONDAY, "web ");
	check_may_get(p, "a", "x", MONDAY, "");
	check_may_get(p, "b", NULL, MONDAY - 1, "now net no-net key ");
	/* What always denies ends it as well. */
	check_may_get(p, "b", "db", MONDAY - 1, "");
	check_may_get(p, "b", "dbx", MONDAY - 1, "any ");
	check_may_get(p, "b", NULL, MONDAY, "");
	check_may_get(p, "c", NULL, MONDAY, "");
	policy_unref(p);
}

/* A key that is no security key lets nobody in who has to be verified, so no rule is for it. */
static void
test_logins_that_may_come_verified(void **state)
{
	struct policy *p = parse_with("\"a\": { \"keys\": [\"" KEY "\", \"" SK_KEY "\"] },"
				      "\"b\": { \"keys\": [\"" KEY "\", \"" SK_KEY
				      "\"], \"verify_required\": true },"
				      "\"c\": { \"keys\": [\"" KEY "\"], \"verify_required\": true }",
	    PLAIN,
	    "{ \"id\": \"plain\", \"if\": { \"auth\": { \"any\": [\"key\"] } }, \"use\": \"p\" },"
	    "{ \"id\": \"sk\", \"if\": { \"auth\": { \"any\": [\"sk-key\"] } }, \"use\": \"p\" },"
	    "{ \"id\": \"behind\", \"use\": \"p\" }");

	(void)state;
	check_may_get(p, "a", NULL, MONDAY, "plain sk behind ");
	check_may_get(p, "b", NULL, MONDAY, "sk ");
	check_may_get(p, "c", NULL, MONDAY, "");
	policy_unref(p);
}

static void
test_names_with_target(void **state)
{
	static const struct {
		const char *name;
		size_t user;
		size_t target;
	} cases[] = {
		{ "alice", 5, 5 },
		{ "alice+web", 5, 6 },
		{ "a+W.1-_", 1, 2 },
		{ "a+0", 1, 2 },
		{ "alice+", 0, 6 },
		{ "+web", 0, 1 },
		{ "alice+web+db", 0, 6 },
		{ "alice+-web", 0, 6 },
		{ "alice+.", 0, 6 },
		{ "alice+a/b", 0, 6 },
		{ "Alice+web", 0, 6 },
		{ "", 0, 0 },
	};
	size_t target;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		assert_int_equal(policy_split_name(cases[i].name, strlen(cases[i].name), &target),
		    cases[i].user);
		assert_int_equal(target, cases[i].target);
	}
	assert_int_equal(policy_split_name("a\0+b", 4, &target), 0);
}

static void
test_targets(void **state)
{
	struct policy *p = parse(PLAIN,
	    "{ \"id\": \"web\", \"if\": { \"target\": [\"web-*\", \"db\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"any\", \"use\": \"p\" }");
	struct policy_login login = { .user = "a" };

	(void)state;
	assert_string_equal(decide(p, &login), "any");
	login.target = "web-1";
	assert_string_equal(decide(p, &login), "web");
	login.target = "db";
	assert_string_equal(decide(p, &login), "web");
	/* Never what others get without a target. */
	login.target = "dbx";
	assert_string_equal(decide(p, &login), "");
	policy_unref(p);
}

/* What is refused is refused with every target, but one that the rule leaves out. */
static void
test_targets_of_refusals(void **state)
{
	struct policy *p = parse(PLAIN,
	    "{ \"id\": \"no\", \"if\": { \"user\": [\"a\"], \"not\": { \"target\": [\"way-in\"] } }, "
	    "\"deny\": \"No.\" },"
	    "{ \"id\": \"any\", \"if\": { \"target\": [\"*\"] }, \"use\": \"p\" },"
	    "{ \"id\": \"all\", \"use\": \"p\" }");
	struct policy_login a = { .user = "a" };
	struct policy_login b = { .user = "b", .target = "web" };

	(void)state;
	assert_string_equal(decide(p, &a), "no");
	a.target = "web";
	assert_string_equal(decide(p, &a), "no");
	a.target = "way-in";
	assert_string_equal(decide(p, &a), "any");
	assert_string_equal(decide(p, &b), "any");
	/* And what is kept for them has no reason to stay. */
	check_may_get(p, "a", "web", MONDAY, "");
	check_may_get(p, "a", "way-in", MONDAY, "any ");
	check_may_get(p, "b", "web", MONDAY - 1, "any ");
	policy_unref(p);
}

static void
test_set(void **state)
{
	struct policy *p = parse(PLAIN,
	    "{ \"id\": \"one\", \"if\": { \"user\": [\"a\"] }, \"use\": \"p\", \"set\": { "
	    "\"container.limits.memory\": \"1G\", \"container.env\": { \"A\": \"b\" }, "
	    "\"session\": { \"pty\": false } } },"
	    "{ \"id\": \"two\", \"use\": \"p\" }");
	struct policy_login login = { .user = "a" };
	struct policy_decision d;

	(void)state;
	assert_int_equal(policy_decide(p, &login, &d), 0);
	assert_string_equal(d.profile->name, "p");
	assert_int_equal(d.profile->memory, 1 << 30);
	assert_int_equal(d.profile->pids, 256);
	assert_string_equal(d.profile->env[0], "A=b");
	assert_false(d.profile->pty);
	/* The profile itself stays as it was. */
	login.user = "b";
	assert_int_equal(policy_decide(p, &login, &d), 0);
	assert_int_equal(d.profile->memory, 512 << 20);
	assert_true(d.profile->pty && d.profile->env[0] == NULL);
	/* Both are there for the checks of images and networks at the start. */
	assert_non_null(policy_profile_at(p, 1));
	assert_null(policy_profile_at(p, 2));
	policy_unref(p);
}

/* ---- the data path ---- */

static enum policy_data_path
data_path_of(struct policy *p, bool elsewhere, bool own_kernels, bool only_direct)
{
	struct policy_engine engine = { elsewhere, own_kernels, only_direct };
	struct policy_login login = { .user = "a" };
	enum policy_data_path path;
	struct policy_decision d;
	struct policy_grant *g;
	char why[256];

	policy_set_engine(p, &engine);
	assert_int_equal(policy_decide(p, &login, &d), 0);
	assert_int_equal(policy_grant_new(p, &login, &d, &g, why, sizeof(why)), 0);
	path = policy_grant_profile(g)->reached_by;
	policy_grant_unref(g);
	assert_int_equal(policy_data_path(p, d.profile), path);
	return path;
}

/* What the policy leaves open is decided by the engine, and what it says is not. */
static void
test_data_path(void **state)
{
	static const struct {
		const char *container;
		/* With an engine that is here; elsewhere; with kernels of their own by default; with both; with Podman. */
		const char *paths;
	} cases[] = {
		{ "", "deeed" },
		{ ", \"data_path\": \"auto\"", "deeed" },
		{ ", \"data_path\": \"direct\"", "ddddd" },
		{ ", \"data_path\": \"engine\"", "eeeee" },
		{ ", \"runtime\": \"runc\"", "deded" },
		{ ", \"runtime\": \"runsc\"", "eeeed" },
		{ ", \"runtime\": \"runsc\", \"data_path\": \"direct\"", "ddddd" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		char profile[256];
		struct policy *p;

		(void)snprintf(profile, sizeof(profile),
		    "\"p\": { \"container\": { \"image\": \"debian:12\"%s } } }, "
		    "\"runtimes\": [\"runc\", \"runsc\"], \"//\": {",
		    cases[i].container);
		p = parse(profile, "{ \"id\": \"r\", \"use\": \"p\" }");
		for (unsigned n = 0; n < 5; n++) {
			enum policy_data_path path =
			    data_path_of(p, n == 1 || n == 3, n == 2 || n == 3, n == 4);

			assert_int_equal(path == POLICY_DATA_PATH_ENGINE ? 'e' : 'd',
			    cases[i].paths[n]);
			assert_int_not_equal(path, POLICY_DATA_PATH_AUTO);
		}
		policy_unref(p);
	}
}

/* ---- templates ---- */

#define TEMPLATES                                                                                 \
	"\"p\": { \"container\": { \"image\": \"debian:12\", \"network\": \"net-${user}\", "      \
	"\"workdir\": \"/w${user}\", \"env\": { \"W\": \"${user}${target}$\" }, \"mounts\": [ { " \
	"\"volume\": \"v-${user}.${target}\", \"to\": \"/home/${user}\" }, { \"tmpfs\": "         \
	"\"/${target}\", \"size\": \"1M\" } ] } }"

static int
grant(struct policy *p, const char *user, const char *target, struct policy_grant **ret,
    char why[256])
{
	struct policy_login login = { .user = user, .target = target };
	struct policy_decision d;

	*ret = NULL;
	assert_int_equal(policy_decide(p, &login, &d), 0);
	return policy_grant_new(p, &login, &d, ret, why, 256);
}

static void
test_templates(void **state)
{
	struct policy *p =
	    parse(TEMPLATES, "{ \"id\": \"r\", \"if\": { \"target\": [\"*\"] }, \"use\": \"p\" }");
	const struct policy_profile *got;
	struct policy_grant *g;
	char why[256];

	(void)state;
	assert_int_equal(grant(p, "a", "web", &g, why), 0);
	got = policy_grant_profile(g);
	assert_string_equal(got->network_name, "net-a");
	assert_string_equal(got->workdir, "/wa");
	assert_string_equal(got->env[0], "W=aweb$");
	assert_null(got->env[1]);
	assert_string_equal(got->volumes[0].volume, "v-a.web");
	assert_string_equal(got->volumes[0].target, "/home/a");
	assert_string_equal(got->tmpfs[0].target, "/web");
	assert_int_equal(got->tmpfs[0].size, 1 << 20);
	/* The grant outlives the policy that it is of. */
	policy_unref(p);
	assert_ptr_equal(policy_grant_ref(g), g);
	assert_null(policy_grant_unref(g));
	assert_string_equal(got->image, "debian:12");
	assert_null(policy_grant_unref(g));
	assert_null(policy_grant_unref(NULL));
}

static void
test_templates_are_judged_again(void **state)
{
	struct policy *p =
	    parse(TEMPLATES, "{ \"id\": \"r\", \"if\": { \"target\": [\"*\"] }, \"use\": \"p\" }");
	struct policy_grant *g;
	char why[256];

	(void)state;
	/* Below a guarded directory, over another mount, too long for a volume. */
	assert_int_equal(grant(p, "a", "proc", &g, why), POLICY_E_REFUSED);
	assert_non_null(strstr(why, "/proc"));
	assert_int_equal(grant(p, "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			     &g, why),
	    POLICY_E_REFUSED);
	assert_non_null(strstr(why, "longer"));
	policy_unref(p);
	p = parse("\"p\": { \"container\": { \"image\": \"debian:12\", \"mounts\": [ { \"tmpfs\": "
		  "\"/${target}\", \"size\": \"1M\" }, { \"volume\": \"vol\", \"to\": \"/data\" } ] } }",
	    "{ \"id\": \"r\", \"if\": { \"target\": [\"*\"] }, \"use\": \"p\" }");
	assert_int_equal(grant(p, "a", "data", &g, why), POLICY_E_REFUSED);
	assert_non_null(strstr(why, "twice"));
	assert_int_equal(grant(p, "a", "date", &g, why), 0);
	policy_grant_unref(g);
	policy_unref(p);
	/* A volume's own links would say where it is: a mount in it, but not one around it. */
	p = parse("\"p\": { \"container\": { \"image\": \"debian:12\", \"mounts\": [ { \"tmpfs\": "
		  "\"/${target}/a/b\", \"size\": \"1M\" }, { \"tmpfs\": \"/out\", \"size\": \"1M\" }, "
		  "{ \"volume\": \"vol\", \"to\": \"/out/data\" }, { \"volume\": \"vol\", \"to\": \"/in\" } ] } }",
	    "{ \"id\": \"r\", \"if\": { \"target\": [\"*\"] }, \"use\": \"p\" }");
	assert_int_equal(grant(p, "a", "in", &g, why), POLICY_E_REFUSED);
	assert_non_null(strstr(why, "\"/in/a/b\""));
	assert_int_equal(grant(p, "a", "inn", &g, why), 0);
	policy_grant_unref(g);
	assert_int_equal(grant(p, "a", "out", &g, why), 0);
	policy_grant_unref(g);
	policy_unref(p);
	p = parse("\"p\": { \"container\": { \"image\": \"debian:12\", \"network\": \"${target}\" } }",
	    "{ \"id\": \"r\", \"if\": { \"target\": [\"*\"] }, \"use\": \"p\" }");
	/* No login turns a network into a mode. */
	assert_int_equal(grant(p, "a", "host", &g, why), POLICY_E_REFUSED);
	assert_int_equal(grant(p, "a", "default", &g, why), POLICY_E_REFUSED);
	assert_int_equal(grant(p, "a", "none", &g, why), POLICY_E_REFUSED);
	assert_int_equal(grant(p, "a", "bridge", &g, why), POLICY_E_REFUSED);
	policy_unref(p);
}

/* ---- commands ---- */

/* The words joined with "|", or the start of the refusal. */
static const char *
ask(const struct policy_profile *profile, const char *command)
{
	static struct policy_words words;
	static char out[512];
	struct policy_request request = {
		.kind = POLICY_REQUEST_EXEC,
		.command = command,
		.command_len = strlen(command),
	};
	const char *why = policy_refuse(profile, &request, &words);

	if (why != NULL) {
		assert_int_equal(words.n, 0);
		return strncmp(why, "This command needs", 18) == 0 ? "SHELL" : "NO";
	}
	out[0] = '\0';
	for (size_t i = 0; i < words.n; i++)
		(void)strcat(strcat(out, words.argv[i]), "|");
	assert_null(words.argv[words.n]);
	return out;
}

static void
test_split(void **state)
{
	static const char *const any[] = { "p", "-**", "**", NULL };
	static const char *const rest[] = { "p", "**", NULL };
	static const char *const *const patterns[] = { any, rest, NULL };
	struct policy_profile profile = { .exec = true, .exec_patterns = patterns };
	static const char *const cases[][2] = {
		{ "p", "p|" },
		{ "  p \t a  b ", "p|a|b|" },
		{ "p 'a b' \"c d\" e\\ f", "p|a b|c d|e f|" },
		{ "p '' \"\"", "p|||" },
		{ "p a'b'\"c\"\\d", "p|abcd|" },
		{ "p '$x;`|&<>*?[~#'", "p|$x;`|&<>*?[~#|" },
		{ "p \"a;b|c*\\$\\`\\\"\\\\\\n'\"", "p|a;b|c*$`\"\\\\n'|" },
		{ "p \\$x \\;", "p|$x|;|" },
		{ "p a=b a~ a#b a!", "p|a=b|a~|a#b|a!|" },
		{ "p '\n'", "p|\n|" },
		{ "p \xff\xfe", "p|\xff\xfe|" },
		{ "'p' a", "p|a|" },
		/* What a shell would find something in. */
		{ "p;q", "SHELL" },
		{ "p|q", "SHELL" },
		{ "p&", "SHELL" },
		{ "p && q", "SHELL" },
		{ "p >x", "SHELL" },
		{ "p <x", "SHELL" },
		{ "p $x", "SHELL" },
		{ "p \"$x\"", "SHELL" },
		{ "p `q`", "SHELL" },
		{ "p \"`q`\"", "SHELL" },
		{ "p *", "SHELL" },
		{ "p a?", "SHELL" },
		{ "p [a]", "SHELL" },
		{ "p {a,b}", "SHELL" },
		{ "p ~", "SHELL" },
		{ "p ~root", "SHELL" },
		{ "p #x", "SHELL" },
		{ "p (q)", "SHELL" },
		{ "p\nq", "SHELL" },
		{ "p\rq", "SHELL" },
		{ "! p", "SHELL" },
		{ "p 'a", "SHELL" },
		{ "p \"a", "SHELL" },
		{ "p a\\", "SHELL" },
		{ "p a\\\nb", "SHELL" },
		{ "p \"a\\\nb\"", "SHELL" },
		{ "A=b p", "SHELL" },
		{ "", "SHELL" },
		{ "   ", "SHELL" },
		{ "''", "SHELL" },
		/* Not the program. */
		{ "q", "NO" },
		{ "pp", "NO" },
		{ "/bin/p", "NO" },
		{ "'p '", "NO" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++)
		assert_string_equal(ask(&profile, cases[i][0]), cases[i][1]);
}

static void
test_patterns(void **state)
{
	static const char *const pack[] = { "git-upload-pack", "*", NULL };
	static const char *const sync[] = { "rsync", "--server", "-?*", "**", NULL };
	static const char *const fixed[] = { "true", NULL };
	static const char *const *const patterns[] = { pack, sync, fixed, NULL };
	struct policy_profile profile = { .exec = true, .exec_patterns = patterns };
	static struct policy_words words;
	struct policy_request request = { .kind = POLICY_REQUEST_EXEC,
		.command = "true",
		.command_len = 4 };
	char many[2 * 200 + 16] = "rsync --server -x";

	(void)state;
	assert_string_equal(ask(&profile, "git-upload-pack '/x y.git'"), "git-upload-pack|/x y.git|");
	assert_string_equal(ask(&profile, "git-upload-pack"), "NO");
	assert_string_equal(ask(&profile, "git-upload-pack a b"), "NO");
	/* A star brings in no option. */
	assert_string_equal(ask(&profile, "git-upload-pack --strict"), "NO");
	assert_string_equal(ask(&profile, "git-upload-pack '-x'"), "NO");
	assert_string_equal(ask(&profile, "rsync --server -vlogDtpr . a -b"),
	    "rsync|--server|-vlogDtpr|.|a|-b|");
	assert_string_equal(ask(&profile, "rsync --server ."), "NO");
	assert_string_equal(ask(&profile, "true"), "true|");
	assert_string_equal(ask(&profile, "true x"), "NO");
	for (size_t i = 0; i < 125; i++)
		(void)strcat(many, " a");
	assert_int_not_equal(ask(&profile, many)[0], 'S');
	(void)strcat(many, " a");
	assert_string_equal(ask(&profile, many), "SHELL");
	/* Length and NUL of what no decoder lets through. */
	request.command = "true\0x";
	request.command_len = 6;
	assert_non_null(policy_refuse(&profile, &request, &words));
	/* The other permissions. */
	request.command_len = 4;
	request.pty = true;
	assert_string_equal(policy_refuse(&profile, &request, &words),
	    "Terminals are not allowed for this login.");
	profile.pty = true;
	assert_null(policy_refuse(&profile, &request, &words));
	assert_int_equal(words.n, 1);
	request.kind = POLICY_REQUEST_SHELL;
	assert_string_equal(policy_refuse(&profile, &request, &words),
	    "Shells are not allowed for this login.");
	profile.shell = true;
	assert_null(policy_refuse(&profile, &request, &words));
	assert_int_equal(words.n, 0);
	profile.exec_patterns = NULL;
	request.kind = POLICY_REQUEST_EXEC;
	assert_null(policy_refuse(&profile, &request, &words));
	assert_int_equal(words.n, 0);
	profile.exec = false;
	assert_string_equal(policy_refuse(&profile, &request, &words),
	    "Commands are not allowed for this login.");
}

/* ---- directories ---- */

static void
write_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0644), 0);
}

static int
load(const char *path, struct policy **ret, char *message, size_t cap)
{
	struct diag_list diags = DIAG_LIST_INIT;
	int r = policy_load(path, ret, &diags);

	message[0] = '\0';
	for (size_t i = 0; i < diags.n; i++) {
		size_t len = strlen(message);

		(void)snprintf(message + len, cap - len, "%s:%u %s\n", diags.items[i].file,
		    diags.items[i].line, diags.items[i].message);
	}
	diag_list_clear(&diags);
	return r;
}

static void
test_directory(void **state)
{
	char directory[] = "/tmp/sp-policy.XXXXXX";
	struct policy_login login = { .user = "a" };
	struct policy_decision d;
	struct policy *p = NULL;
	char message[2048];
	char digest[65];
	char command[64];

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(load(directory, &p, message, sizeof(message)), -ENOENT);
	assert_non_null(strstr(message, "has no file *.json"));
	/* "B" is before "a", and both are before neither of the names that do not count. */
	write_file(directory, "a.json",
	    "{ \"sallyport_policy\": 1, \"rules\": [ { \"id\": \"second\", \"use\": \"p\" } ] }");
	write_file(directory, "B.json",
	    "{ \"sallyport_policy\": 1, \"users\": { \"a\": { \"keys\": [\"" KEY "\"] } },\n"
	    "\"rules\": [ { \"id\": \"first\", \"if\": { \"target\": [\"*\"] }, \"use\": \"p\" } ] }");
	write_file(directory, "c.json", "{ \"sallyport_policy\": 1, \"profiles\": { " PLAIN " } }");
	write_file(directory, ".hidden.json", "no JSON");
	write_file(directory, "README", "no JSON");
	assert_int_equal(load(directory, &p, message, sizeof(message)), 0);
	assert_string_equal(message, "");
	assert_int_equal(policy_decide(p, &login, &d), 0);
	assert_string_equal(d.rule, "second");
	assert_non_null(strstr(d.file, "/a.json"));
	login.target = "t";
	assert_int_equal(policy_decide(p, &login, &d), 0);
	assert_string_equal(d.rule, "first");
	assert_non_null(strstr(d.file, "/B.json"));
	assert_int_equal(d.line, 2);
	(void)snprintf(digest, sizeof(digest), "%s", policy_digest(p));
	p = policy_unref(p);
	/* A name in two files, a rule's id in two files, a version in each. */
	write_file(directory, "d.json",
	    "{\n\"users\": {\n\"a\": { \"keys\": [\"" KEY
	    "\"] } },\n\"rules\": [\n{ \"id\": \"first\", "
	    "\"deny\": \"x\" } ] }");
	assert_int_equal(load(directory, &p, message, sizeof(message)), POLICY_E_INVALID);
	assert_non_null(strstr(message, "/d.json:3 duplicate key \"a\""));
	assert_non_null(strstr(message, "/d.json:1 the policy needs \"sallyport_policy\""));
	assert_non_null(strstr(message, "/B.json:2 has the id \"first\" already"));
	/* A comment changes the digest, and so does another name. */
	write_file(directory, "d.json", "{ \"sallyport_policy\": 1 }");
	assert_int_equal(load(directory, &p, message, sizeof(message)), 0);
	assert_string_not_equal(policy_digest(p), digest);
	p = policy_unref(p);
	/* Who may put files there may write the policy. */
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(load(directory, &p, message, sizeof(message)), -EPERM);
	assert_non_null(strstr(message, "chmod go-w"));
	assert_int_equal(chmod(directory, 0755), 0);
	(void)snprintf(command, sizeof(command), "%s/d.json", directory);
	assert_int_equal(chmod(command, 0666), 0);
	assert_true(load(directory, &p, message, sizeof(message)) < 0);
	assert_non_null(strstr(message, "d.json"));
	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instants),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_bad_windows),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_expires),
		cmocka_unit_test(test_names_with_target),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_targets_of_refusals),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_data_path),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_templates_are_judged_again),
		cmocka_unit_test(test_logins_that_may_come),
		cmocka_unit_test(test_logins_that_may_come_verified),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
