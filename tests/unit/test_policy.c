/* SPDX-License-Identifier: Apache-2.0 */
/* What a loaded policy says: keys, rules, and profiles with everything resolved. */
#include "test.h"

#include "policy.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "golden.h"

#define EVERY_KEY SP_TEST_DATA "/policy/good/every-key.json"

static struct policy *
parse(const char *text)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	int r = policy_parse("p.json", text, strlen(text), &p, &diags);

	if (r != 0)
		diag_print(&diags, stderr);
	assert_int_equal(r, 0);
	diag_list_clear(&diags);
	return p;
}

static struct policy *
parse_every_key(void)
{
	size_t len;
	char *text = golden_read(EVERY_KEY, &len);
	struct policy *p = parse(text);

	free(text);
	return p;
}

static const struct policy_profile *
find_profile(const struct policy *p, const char *name)
{
	const struct policy_profile *profile;

	for (size_t i = 0; (profile = policy_profile_at(p, i)) != NULL; i++) {
		if (strcmp(profile->name, name) == 0)
			return profile;
	}
	fail_msg("no profile %s", name);
	return NULL;
}

static void
assert_list(const char *const *list, const char *wanted)
{
	char joined[512] = "";

	for (; *list != NULL; list++) {
		assert_true(strlen(joined) + strlen(*list) + 2 < sizeof(joined));
		(void)strcat(strcat(joined, *list), "|");
	}
	assert_string_equal(joined, wanted);
}

/* ---- profiles ---- */

static void
test_defaults(void **state)
{
	struct policy *p = parse("{ \"sallyport_policy\": 1, \"profiles\": { \"p\": { \"container\": "
				 "{ \"image\": \"debian:12\" } } }, \"rules\": [ { \"id\": \"r\", "
				 "\"use\": \"p\" } ] }");
	const struct policy_profile *profile = policy_profile_at(p, 0);

	(void)state;
	assert_string_equal(profile->name, "p");
	assert_string_equal(profile->image, "debian:12");
	assert_int_equal(profile->mode, POLICY_MODE_CONNECTION);
	assert_int_equal(profile->uid, 1000);
	assert_int_equal(profile->gid, 1000);
	assert_null(profile->workdir);
	assert_list(profile->shell_argv, "/bin/sh|");
	assert_true(profile->login_shell);
	assert_list(profile->exec_argv, "/bin/sh|-c|${command}|");
	assert_list(profile->env, "");
	assert_int_equal(profile->network, POLICY_NETWORK_NONE);
	assert_true(profile->read_only_root);
	assert_int_equal(profile->n_tmpfs, 1);
	assert_string_equal(profile->tmpfs[0].target, "/tmp");
	assert_int_equal(profile->tmpfs[0].size, 64 << 20);
	assert_int_equal(profile->n_volumes, 0);
	assert_int_equal(profile->memory, 512 << 20);
	assert_int_equal(profile->swap, 0);
	assert_int_equal(profile->nano_cpus, 1000000000);
	assert_int_equal(profile->pids, 256);
	assert_int_equal(profile->nofile, 1024);
	assert_int_equal(profile->stop_grace_ms, 10000);
	assert_true(profile->pty && profile->shell && profile->exec);
	assert_list(profile->accept_env, "LANG|LC_*|");
	assert_int_equal(profile->channels, 10);
	assert_int_equal(profile->n_subsystems, 0);
	assert_list(profile->forward_local, "");
	assert_int_equal(profile->n_targets, 0);
	assert_null(policy_profile_at(p, 1));
	assert_null(policy_unref(p));
}

static void
test_every_key(void **state)
{
	struct policy *p = parse_every_key();
	const struct policy_profile *t = find_profile(p, "tenant");

	(void)state;
	assert_int_equal(t->mode, POLICY_MODE_SESSION);
	assert_int_equal(strncmp(t->image, "registry.example:5000/team/dev:1.2@sha256:", 42), 0);
	assert_int_equal(t->uid, 1234);
	assert_int_equal(t->gid, 5678);
	assert_string_equal(t->workdir, "/home/dev");
	assert_list(t->shell_argv, "/bin/bash|-l|");
	assert_list(t->exec_argv, "/bin/bash|-c|${command}|");
	assert_false(t->login_shell);
	assert_list(t->env, "EDITOR=vi|EMPTY=|");
	assert_int_equal(t->network, POLICY_NETWORK_NAMED);
	assert_string_equal(t->network_name, "tenants");
	assert_false(t->read_only_root);
	assert_int_equal(t->n_tmpfs, 2);
	assert_string_equal(t->tmpfs[1].target, "/run");
	assert_int_equal(t->tmpfs[1].size, 65536);
	assert_int_equal(t->n_volumes, 2);
	assert_string_equal(t->volumes[0].volume, "home");
	assert_false(t->volumes[0].read_only);
	assert_string_equal(t->volumes[1].target, "/data");
	assert_true(t->volumes[1].read_only);
	assert_list(t->dns, "192.0.2.53|2001:db8::53|");
	assert_string_equal(t->runtime, "runsc");
	assert_int_equal(t->data_path, POLICY_DATA_PATH_DIRECT);
	assert_int_equal(t->n_binds, 2);
	assert_string_equal(t->binds[0].given, "homes/${user}/www");
	assert_string_equal(t->binds[0].root, "/srv/homes");
	assert_string_equal(t->binds[0].source, "/srv/homes/${user}/www");
	assert_string_equal(t->binds[0].target, "/www");
	assert_false(t->binds[0].read_only);
	assert_string_equal(t->binds[1].source, "/srv/shared/docs");
	assert_true(t->binds[1].read_only);
	assert_int_equal(t->memory, 1 << 30);
	assert_int_equal(t->swap, 512 << 20);
	assert_int_equal(t->nano_cpus, 1500000000);
	assert_int_equal(t->pids, 100);
	assert_int_equal(t->nofile, 2048);
	assert_int_equal(t->stop_grace_ms, 2500);
	assert_false(t->pty);
	assert_list(t->accept_env, "TZ|APP_?*|");
	assert_int_equal(t->channels, 3);
	assert_list(t->forward_local,
	    "container:8080|10.0.0.0/8:3000-3010|[2001:db8::1]:443|fd00::/8:1|");
	assert_int_equal(t->n_subsystems, 2); /* neither the comment nor what is false */
	assert_string_equal(t->subsystems[0].name, "sftp");
	assert_null(t->subsystems[0].argv);
	assert_false(t->subsystems[0].read_only);
	assert_ptr_equal(policy_find_subsystem(t, "netconf", 7), &t->subsystems[1]);
	assert_list(t->subsystems[1].argv, "/usr/bin/netconf|-v|");
	assert_null(policy_find_subsystem(t, "netcon", 6));
	assert_null(policy_find_subsystem(t, "sftp\0", 5));
	assert_null(policy_find_subsystem(t, "gone", 4));
	policy_unref(p);
}

/* Objects merge, lists replace, and the parent stays as it was. */
static void
test_extends(void **state)
{
	struct policy *p = parse_every_key();
	const struct policy_profile *c = find_profile(p, "child");

	(void)state;
	assert_string_equal(c->image, "docker.io/library/debian:12");
	assert_int_equal(c->uid, 77);
	assert_int_equal(c->gid, 77); /* not the parent's: "user" is one value */
	assert_int_equal(c->mode, POLICY_MODE_SESSION);
	assert_string_equal(c->workdir, "/home/dev");
	assert_list(c->shell_argv, "/bin/sh|");
	assert_list(c->exec_argv, "/bin/bash|-c|${command}|");
	assert_list(c->env, "EDITOR=ed|EMPTY=|NEW=1=2|");
	assert_int_equal(c->network, POLICY_NETWORK_NONE);
	assert_null(c->network_name);
	assert_int_equal(c->n_tmpfs, 0);
	assert_int_equal(c->n_volumes, 0);
	assert_int_equal(c->n_binds, 0);
	assert_list(c->dns, "");
	assert_string_equal(c->runtime, "runsc");
	assert_int_equal(c->data_path, POLICY_DATA_PATH_ENGINE);
	assert_int_equal(c->pids, 50);
	assert_int_equal(c->memory, 1 << 30);
	assert_false(c->shell);
	assert_false(c->pty);
	assert_true(c->exec);
	assert_list(c->accept_env, "");
	assert_int_equal(c->n_subsystems, 1); /* replaced, not added to */
	assert_true(c->subsystems[0].read_only);
	assert_list(find_profile(p, "tenant")->env, "EDITOR=vi|EMPTY=|");
	assert_int_equal(find_profile(p, "root")->uid, 0);
	assert_int_equal(c->pool, 2);
	assert_int_equal(find_profile(p, "tenant")->pool, 0);
	assert_int_equal(find_profile(p, "root")->network, POLICY_NETWORK_BRIDGE);
	assert_int_equal(find_profile(p, "root")->mode, POLICY_MODE_USER);
	assert_int_equal(find_profile(p, "root")->keep_ms, 8 * 3600 * 1000);
	policy_unref(p);
}

/* A base without an image is no profile for anybody; order in the file does not matter. */
static void
test_base_without_image(void **state)
{
	struct policy *p = parse(
	    "{ \"sallyport_policy\": 1, \"profiles\": {"
	    "\"p\": { \"extends\": \"base\", \"container\": { \"image\": \"a\" } },"
	    "\"base\": { \"container\": { \"user\": \"5:6\" } } },"
	    "\"rules\": [ { \"id\": \"r\", \"use\": \"p\" } ] }");

	(void)state;
	assert_string_equal(policy_profile_at(p, 0)->name, "p");
	assert_int_equal(policy_profile_at(p, 0)->gid, 6);
	assert_null(policy_profile_at(p, 1));
	policy_unref(p);
}

static void
test_accepts_env(void **state)
{
	static const struct {
		const char *pattern;
		const char *name;
		bool wanted;
	} cases[] = {
		{ "LC_*", "LC_ALL", true },
		{ "LC_*", "LC_", true },
		{ "LC_*", "LC", false },
		{ "LC_*", "XLC_ALL", false },
		{ "TZ", "TZ", true },
		{ "TZ", "tz", false },
		{ "TZ", "TZX", false },
		{ "A?", "AB", true },
		{ "A?", "A", false },
		{ "*A*B", "xAyAzB", true },
		{ "*A*B", "xAyAzBC", false },
		{ "*", "ANY_1", true },
		{ "*", "", false },
		{ "*", "A=B", false },
		{ "*", "A B", false },
		{ "*", "A\n", false },
		{ "*", "1A", false },
		{ "*", "A*", false },
		{ "**********************a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		const char *const patterns[] = { "nothing", cases[i].pattern, NULL };
		const struct policy_profile profile = { .accept_env = patterns };

		assert_int_equal(policy_accepts_env(&profile, cases[i].name), cases[i].wanted);
	}
}

/* ---- rules ---- */

static bool
make_address(const char *text, struct sockaddr_storage *ret)
{
	union {
		struct sockaddr_storage *any;
		struct sockaddr_in *v4;
		struct sockaddr_in6 *v6;
	} address = { .any = ret };

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	if (ret->ss_family == AF_INET)
		return inet_pton(AF_INET, text, &address.v4->sin_addr) == 1;
	return inet_pton(AF_INET6, text, &address.v6->sin6_addr) == 1;
}

static void
assert_decides(const struct policy *p, const char *user, const char *from, const char *rule,
    const char *profile)
{
	struct sockaddr_storage source;
	struct policy_login login = { .user = user, .source = &source };
	struct policy_decision decision;
	int r;

	memset(&decision, 0xaa, sizeof(decision));
	assert_true(make_address(from, &source));
	r = policy_decide(p, &login, &decision);
	assert_int_equal(r, profile != NULL ? 0 : POLICY_E_REFUSED);
	assert_int_equal(decision.rule == NULL, rule == NULL);
	assert_int_equal(decision.profile == NULL, profile == NULL);
	assert_int_equal(decision.file == NULL, rule == NULL);
	if (rule != NULL) {
		assert_string_equal(decision.rule, rule);
		assert_string_equal(decision.file, "p.json");
		assert_true(decision.line > 0);
	}
	if (profile != NULL)
		assert_string_equal(decision.profile->name, profile);
	assert_int_equal(decision.message != NULL, rule != NULL && profile == NULL);
}

static void
test_decisions(void **state)
{
	struct policy *p = parse_every_key();

	(void)state;
	assert_decides(p, "bob", "198.51.100.7", "freeze", NULL);
	assert_decides(p, "bob", "::ffff:198.51.100.7", "freeze", NULL);
	assert_decides(p, "bob", "10.20.255.1", "ci", "child");
	assert_decides(p, "bob", "10.21.0.1", "rest", NULL);
	assert_decides(p, "bob", "2001:db8:ffff::1", "ci", "child");
	assert_decides(p, "bob", "2001:db9::1", "rest", NULL);
	assert_decides(p, "bob", "192.0.2.255", "ci", "child"); /* the rule has it as IPv6 */
	assert_decides(p, "bob", "192.0.3.0", "rest", NULL);
	assert_decides(p, "alice", "198.51.100.7", "dev", "tenant");
	assert_decides(p, "root_", "127.0.0.1", "root", "root");
	assert_decides(p, "root_", "::1", "root", "root");
	assert_decides(p, "root_", "127.0.0.2", "rest", NULL);
	/* Not even a rule for everybody holds for somebody whom the policy does not know. */
	assert_decides(p, "mallory", "10.20.0.1", NULL, NULL);
	assert_decides(p, "", "10.20.0.1", NULL, NULL);
	policy_unref(p);
}

static void
test_decision_details(void **state)
{
	struct policy *p = parse(
	    "{ \"sallyport_policy\": 1,\n"
	    "\"users\": { \"a\": { \"keys\": [] }, \"b\": {} },\n"
	    "\"profiles\": { \"p\": { \"container\": { \"image\": \"debian:12\" } } },\n"
	    "\"rules\": [\n"
	    "{ \"id\": \"one\",\n \"if\": { \"user\": [\"a\"], \"from\": [\"::/0\"] },\n"
	    "  \"deny\": \"No.\" },\n"
	    "{ \"id\": \"two\", \"if\": { \"user\": [\"a\"] }, \"use\": \"p\" } ] }");
	struct sockaddr_storage v6;
	struct sockaddr_storage odd = { .ss_family = AF_UNIX };
	struct policy_login login = { .user = "a", .source = &v6 };
	struct policy_decision decision;

	(void)state;
	assert_true(make_address("fe80::1", &v6));
	assert_int_equal(policy_decide(p, &login, &decision), POLICY_E_REFUSED);
	assert_string_equal(decision.message, "No.");
	assert_int_equal(decision.line, 5);
	/* An address that is none, or of no network, is in no "from". */
	login.source = NULL;
	assert_int_equal(policy_decide(p, &login, &decision), 0);
	assert_string_equal(decision.rule, "two");
	login.source = &odd;
	assert_int_equal(policy_decide(p, &login, &decision), 0);
	/* "b" is known, and no rule is for it. */
	login.user = "b";
	assert_int_equal(policy_decide(p, &login, &decision), POLICY_E_REFUSED);
	assert_null(decision.rule);
	assert_null(decision.message);
	policy_unref(p);
}

static void
test_empty_denies(void **state)
{
	struct policy *p = parse("{ \"sallyport_policy\": 1 }");
	struct policy_login login = { .user = "a", .source = NULL };
	struct policy_decision decision;
	const char *fingerprint = NULL;
	bool verify = false;

	(void)state;
	assert_int_equal(policy_decide(p, &login, &decision), POLICY_E_REFUSED);
	assert_null(decision.rule);
	assert_false(policy_find_key(p, "a", 1, "x", 1, &fingerprint, &verify));
	assert_null(policy_profile_at(p, 0));
	policy_unref(p);
}

/* ---- keys ---- */

struct blob {
	unsigned char data[4096];
	size_t len;
};

/* With libcrypto's decoder, so that ours is not its own witness. */
static void
decode_line(const char *line, struct blob *ret)
{
	char base64[4096];
	size_t n;
	int len;

	line = strchr(line, ' ');
	assert_non_null(line);
	n = strcspn(line + 1, " ");
	assert_true(n < sizeof(base64));
	memcpy(base64, line + 1, n);
	len = EVP_DecodeBlock(ret->data, (const unsigned char *)base64, (int)n);
	assert_true(len > 0);
	ret->len = (size_t)len;
	while (n > 0 && base64[--n] == '=')
		ret->len--;
}

static void
load_blob(const char *user, size_t i, struct blob *ret)
{
	json_t *root = json_load_file(EVERY_KEY, 0, NULL);
	const json_t *keys =
	    json_object_get(json_object_get(json_object_get(root, "users"), user), "keys");

	assert_non_null(json_array_get(keys, i));
	decode_line(json_string_value(json_array_get(keys, i)), ret);
	json_decref(root);
}

static bool
finds(const struct policy *p, const char *user, const struct blob *blob, size_t len,
    const char *wanted, bool wanted_verify)
{
	const char *fingerprint = "untouched";
	bool verify = !wanted_verify;
	bool found = policy_find_key(p, user, strlen(user), blob->data, len, &fingerprint, &verify);

	if (!found) {
		assert_string_equal(fingerprint, "untouched");
		assert_int_equal(verify, !wanted_verify);
		return false;
	}
	assert_string_equal(fingerprint, wanted);
	assert_int_equal(verify, wanted_verify);
	return true;
}

static void
test_keys(void **state)
{
	/* As ssh-keygen -l prints them. */
	static const struct {
		const char *user;
		size_t i;
		const char *fingerprint;
	} cases[] = {
		{ "alice", 0, "SHA256:1ZcT+aUFjixXu/hWuJqfo7Xz9VAeuNcgjSpdMfppyM4" },
		{ "alice", 1, "SHA256:/p0CbeE3dk2SyW1OXXsThGc12ezDVD8eGw2/vtztDfk" },
		{ "bob", 0, "SHA256:eZSYsg9c5eiicl0UxlpDYk7tTAhn5M2CI15gNDFXtX4" },
		{ "bob", 1, "SHA256:YA3BOsB0P5z6fD6gSpVnrOVtM1Cd+LCCfzYvzvCBSJo" },
		{ "bob", 2, "SHA256:c05KY+7ymHoWGpx47b8YUElfgbBtKILTJ1c/v3QhocU" },
		{ "bob", 3, "SHA256:RUEN4fRlxYxyDIft2AWFuHrsOdtnXbjmW8IpSBeIc3E" },
		{ "bob", 4, "SHA256:sYLmLjMp0yVahOvEGq7XgeNylXEJHquoBcVaA85gUpU" },
	};
	static const char *const strangers[] = { "root_", "mallory", "", "alic", "alicee", "Alice",
		"zz", "../alice", "alice\n" };
	struct policy *p = parse_every_key();

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		bool alice = strcmp(cases[i].user, "alice") == 0;
		struct blob blob;

		load_blob(cases[i].user, cases[i].i, &blob);
		assert_true(finds(p, cases[i].user, &blob, blob.len, cases[i].fingerprint, alice));
		assert_false(finds(p, alice ? "bob" : "alice", &blob, blob.len, "", false));
		for (size_t k = 0; k < SP_ARRAY_LEN(strangers); k++)
			assert_false(finds(p, strangers[k], &blob, blob.len, "", false));
		/* Neither a part of it, nor more than it, nor one bit beside it. */
		assert_false(finds(p, cases[i].user, &blob, blob.len - 1, "", false));
		assert_false(finds(p, cases[i].user, &blob, blob.len + 1, "", false));
		assert_false(finds(p, cases[i].user, &blob, 0, "", false));
		for (size_t k = 0; k < blob.len; k++) {
			blob.data[k] ^= 1;
			assert_false(finds(p, cases[i].user, &blob, blob.len, "", false));
			blob.data[k] ^= 1;
		}
	}
	policy_unref(p);
}

/* A name with a NUL in it is not the name before the NUL. */
static void
test_key_of_name_with_nul(void **state)
{
	struct policy *p = parse_every_key();
	struct blob blob;
	const char *fingerprint;
	bool verify;

	(void)state;
	load_blob("alice", 0, &blob);
	assert_true(policy_find_key(p, "alice", 5, blob.data, blob.len, &fingerprint, &verify));
	assert_false(policy_find_key(p, "alice\0x", 7, blob.data, blob.len, &fingerprint, &verify));
	assert_false(policy_find_key(p, "alice", 6, blob.data, blob.len, &fingerprint, &verify));
	policy_unref(p);
}

static void
test_user_valid(void **state)
{
	char name[66];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(policy_user_valid(name, 64));
	assert_false(policy_user_valid(name, 65));
	assert_false(policy_user_valid(name, 0));
	assert_true(policy_user_valid("_a-b.c9", 7));
	for (unsigned c = 0; c < 256; c++) {
		char text[2] = { (char)c, (char)c };
		bool letter = c >= 'a' && c <= 'z';
		bool later = letter || (c >= '0' && c <= '9') || c == '.' || c == '-';

		assert_int_equal(policy_user_valid(text, 1), letter || c == '_');
		text[0] = 'a';
		assert_int_equal(policy_user_valid(text, 2), later || c == '_');
	}
}

/* ---- life and files ---- */

static void
test_references(void **state)
{
	struct policy *p = parse("{ \"sallyport_policy\": 1 }");

	(void)state;
	assert_ptr_equal(policy_ref(p), p);
	assert_null(policy_unref(p));
	assert_int_equal(strlen(policy_digest(p)), 64); /* still there */
	assert_null(policy_unref(p));
	assert_null(policy_unref(NULL));
}

static void
test_digest(void **state)
{
	/* sha256sum of the same bytes. */
	struct policy *p = parse("{\"sallyport_policy\":1}\n");

	(void)state;
	assert_string_equal(policy_digest(p),
	    "f83f8c69d0bdb32e4eb101568ac28640c5f0fd2b015afb93f807ac41c8dffd01");
	policy_unref(p);
}

static int
load(const char *path, struct diag_list *diags)
{
	struct policy *p = NULL;
	int r = policy_load(path, &p, diags);

	assert_int_equal(r == 0, p != NULL);
	policy_unref(p);
	return r;
}

static void
test_load(void **state)
{
	char directory[] = "/tmp/sp-test-policy-XXXXXX";
	char path[64];
	char link[64];
	struct diag_list diags = DIAG_LIST_INIT;
	unsigned fds = count_fds();
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/p.json", directory);
	(void)snprintf(link, sizeof(link), "%s/link.json", directory);
	assert_true(load(path, &diags) < 0); /* not there */
	f = fopen(path, "wbe");
	assert_non_null(f);
	assert_true(fputs("{ \"sallyport_policy\": 1 }", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(load(path, &diags), 0);
	assert_int_equal(diags.n_errors, 1);
	assert_int_equal(chmod(path, 0664), 0);
	assert_true(load(path, &diags) < 0);
	assert_int_equal(chmod(path, 0646), 0);
	assert_true(load(path, &diags) < 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_true(load(link, &diags) < 0);
	assert_true(load(directory, &diags) < 0);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(mkfifo(link, 0600), 0);
	assert_true(load(link, &diags) < 0); /* and does not hang */
	assert_int_equal(diags.n_errors, 6);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(count_fds(), fds);
	diag_list_clear(&diags);
}

/* Addresses as a client may write them, and where that leads: the first two that are allowed. */
static void
addresses_text(const struct policy_destination *to, char text[2 * INET6_ADDRSTRLEN + 4])
{
	text[0] = '\0';
	for (size_t n = 0; n < to->n; n++) {
		size_t used = strlen(text);

		assert_non_null(inet_ntop(to->list[n].family, to->list[n].bytes, text + used,
		    (socklen_t)(2 * INET6_ADDRSTRLEN + 4 - used)));
		strcat(text, "|");
	}
}

/* Where may be listened: what sshd does with an address, where the list lets it. */
static void
test_listen(void **state)
{
	static const struct {
		const char *host;
		uint32_t port;
		const char *at; /* NULL: refused */
	} cases[] = {
		{ "localhost", 80, "::1|127.0.0.1|" },
		{ "localhost", 0, "::1|127.0.0.1|" },
		{ "localhost", 90, NULL },
		{ "127.0.0.1", 89, "127.0.0.1|" },
		{ "::1", 80, "::1|" },
		/* All addresses are the loopback's, where not more is allowed. */
		{ "", 80, "::1|127.0.0.1|" },
		{ "*", 80, "::1|127.0.0.1|" },
		{ "0.0.0.0", 80, "::1|127.0.0.1|" },
		{ "::", 80, "::1|127.0.0.1|" },
		{ "", 0, "::1|127.0.0.1|" },
		{ "", 90, NULL },
		{ "", 9000, "0.0.0.0|" },
		{ "*", 9000, "0.0.0.0|" },
		{ "0.0.0.0", 9000, "0.0.0.0|" },
		{ "10.9.8.7", 9000, "10.9.8.7|" },
		{ "localhost", 9000, "127.0.0.1|" },
		{ "::", 9000, "127.0.0.1|" },
		{ "10.9.8.7", 80, NULL },
		{ "10.1.2.3", 443, "10.1.2.3|" },
		{ "10.1.2.3", 0, NULL },
		{ "10.1.2.4", 443, NULL },
		{ "", 443, NULL },
		{ "0.0.0.0", 7, NULL },
		{ "::ffff:0.0.0.0", 80, NULL },
		{ "::ffff:127.0.0.1", 80, "127.0.0.1|" },
		{ "0", 80, NULL },
		{ "0.0.0.0/0", 9000, NULL },
		{ "**", 80, NULL },
		{ "127.1", 80, NULL },
		{ "Localhost", 80, NULL },
		{ "localhost.", 80, NULL },
		{ "[::1]", 80, NULL },
		{ "::1%lo", 80, NULL },
		{ "example.org", 80, NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 80, NULL },
	};
	struct policy *p = parse(
	    "{ \"sallyport_policy\": 1, \"users\": {}, \"profiles\": { \"p\": { \"container\": "
	    "{ \"image\": \"debian:12\" }, \"session\": { \"forward\": { \"remote\": [ \"container:80-89\", "
	    "\"container:0\", \"10.1.2.3:443\", \"0.0.0.0:9000\", \"0.0.0.0/8:8\" ], \"agent\": true, \"x11\": true } } } }, "
	    "\"rules\": [ { \"id\": \"r\", \"use\": \"p\" } ] }");
	struct policy_profile profile = *find_profile(p, "p");
	char text[2 * INET6_ADDRSTRLEN + 4];
	struct policy_destination at;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		const char *why = policy_refuse_listen(&profile, cases[i].host,
		    strlen(cases[i].host), cases[i].port, &at);

		addresses_text(&at, text);
		assert_string_equal(text, cases[i].at != NULL ? cases[i].at : "");
		assert_int_equal(why == NULL, cases[i].at != NULL);
	}
	/* To listen somewhere is not to go there. */
	assert_non_null(policy_refuse_forward(&profile, "127.0.0.1", 9, 80, &at));
	assert_null(policy_refuse_agent(&profile));
	assert_null(policy_refuse_x11(&profile));
	profile.mode = POLICY_MODE_SESSION;
	assert_non_null(policy_refuse_listen(&profile, "::1", 3, 80, &at));
	assert_non_null(policy_refuse_agent(&profile));
	assert_non_null(policy_refuse_x11(&profile));
	profile.mode = POLICY_MODE_CONNECTION;
	profile.n_listens = 0;
	profile.forward_agent = false;
	profile.forward_x11 = false;
	assert_non_null(policy_refuse_listen(&profile, "::1", 3, 80, &at));
	assert_non_null(policy_refuse_agent(&profile));
	assert_non_null(policy_refuse_x11(&profile));
	policy_unref(p);
}

/* The list is the whole of "remote". */
static struct policy *
parse_remote(const char *list)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
	    "{ \"sallyport_policy\": 1, \"users\": {}, \"profiles\": { \"p\": { \"container\": "
	    "{ \"image\": \"debian:12\" }, \"session\": { \"forward\": { \"remote\": [ %s ] } } } }, "
	    "\"rules\": [ { \"id\": \"r\", \"use\": \"p\" } ] }",
	    list);
	return parse(text);
}

static void
check_listen(const struct policy *p, const char *host, uint32_t port, const char *at)
{
	char text[2 * INET6_ADDRSTRLEN + 4];
	struct policy_destination to;
	const char *why = policy_refuse_listen(find_profile(p, "p"), host, strlen(host), port, &to);

	addresses_text(&to, text);
	assert_string_equal(text, at != NULL ? at : "");
	assert_int_equal(why == NULL, at != NULL);
}

/* Whatever else the client names is the loopback, as with sshd's "GatewayPorts no". */
static void
test_listen_at_the_loopback_alone(void **state)
{
	static const char *const elsewhere[] = { "", "*", "0.0.0.0", "::", "localhost", "Localhost",
		"localhost.", "example.org", "container", "10.9.8.7", "2001:db8::1",
		"::ffff:10.9.8.7", "::ffff:0.0.0.0", "::127.0.0.1", "0", "127.1", "[::1]", "::1%lo",
		"fe80::1", "0.0.0.0/0", "127.0.0.1/32", "**", " ", "127.0.0.1 ",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"0000:0000:0000:0000:0000:0000:0000:00010000:0000:0000:0000:0000:0000:0000:0001" };
	static const char *const alone[] = { "\"container:80\"",
		"\"container:80\", \"127.0.0.0/9:9\"",
		"\"container:80\", \"[::ffff:127.0.0.1]:9\", \"127.255.255.255:9\"",
		"\"[::1]:80\", \"127.0.0.1:80\", \"container:0\"" };
	static const char *const wider[] = { "10.1.2.3:443", "0.0.0.0:9", "[::]:9", "0.0.0.0/0:9",
		"126.0.0.0/7:9", "[::/127]:9", "[::2]:9", "[::ffff:10.0.0.1]:9", "0.0.0.0:0" };
	char list[128];
	struct policy *p;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(alone); i++) {
		p = parse_remote(alone[i]);
		for (size_t k = 0; k < SP_ARRAY_LEN(elsewhere); k++) {
			check_listen(p, elsewhere[k], 80, "::1|127.0.0.1|");
			check_listen(p, elsewhere[k], 81, NULL);
			check_listen(p, elsewhere[k], 0, i == 3 ? "::1|127.0.0.1|" : NULL);
		}
		policy_unref(p);
	}
	/* The loopback's own addresses are what they are. */
	p = parse_remote("\"127.0.0.1:80\", \"container:90\"");
	check_listen(p, "example.org", 80, "127.0.0.1|");
	check_listen(p, "127.0.0.1", 80, "127.0.0.1|");
	check_listen(p, "127.9.9.9", 80, NULL);
	check_listen(p, "::1", 80, NULL);
	check_listen(p, "127.9.9.9", 90, "127.9.9.9|");
	check_listen(p, "::1", 90, "::1|");
	policy_unref(p);
	for (size_t i = 0; i < SP_ARRAY_LEN(wider); i++) {
		(void)snprintf(list, sizeof(list), "\"container:80\", \"%s\"", wider[i]);
		p = parse_remote(list);
		check_listen(p, "example.org", 80, NULL);
		check_listen(p, "192.0.2.1", 80, NULL);
		check_listen(p, "LOCALHOST", 80, NULL);
		check_listen(p, "", 80, "::1|127.0.0.1|");
		policy_unref(p);
	}
}

/* The same; of a name, after a '?', the networks. */
static void
destination_text(const struct policy_destination *to, char *text, size_t cap)
{
	if (to->n_networks == 0) {
		addresses_text(to, text);
		return;
	}
	assert_int_equal(to->n, 0);
	strcpy(text, "?");
	for (size_t i = 0; i < to->n_networks; i++) {
		const struct network *n = &to->networks[i];
		size_t used = strlen(text);
		char address[INET6_ADDRSTRLEN];

		assert_true(network_is_valid(n));
		assert_non_null(
		    inet_ntop(n->v6 ? AF_INET6 : AF_INET, n->bytes, address, sizeof(address)));
		(void)snprintf(text + used, cap - used, "%s/%u|", address, n->bits);
	}
}

static void
test_forward(void **state)
{
	static const struct {
		const char *host;
		uint32_t port;
		const char *to; /* NULL: refused; "?": looked up, and in these networks */
	} cases[] = {
		{ "localhost", 80, "::1|127.0.0.1|" },
		{ "localhost", 89, "::1|127.0.0.1|" },
		{ "localhost", 79, NULL },
		{ "localhost", 90, NULL },
		{ "127.0.0.1", 80, "127.0.0.1|" },
		{ "127.255.255.255", 80, "127.255.255.255|" },
		{ "126.255.255.255", 80, NULL },
		{ "128.0.0.0", 80, NULL },
		{ "::1", 80, "::1|" },
		{ "::2", 80, NULL },
		/* Where a socket that is connected to no address ends, and nothing else. */
		{ "::", 80, "::1|" },
		{ "::0.0.0.0", 80, "::1|" },
		{ "0:0:0:0:0:0:0:0", 89, "::1|" },
		{ "::", 79, NULL },
		{ "0.0.0.0", 80, "127.0.0.1|" },
		{ "::ffff:0.0.0.0", 80, "127.0.0.1|" },
		{ "0.0.0.0", 90, NULL },
		{ "0.0.0.0", 443, NULL },
		{ "0.0.0.1", 80, NULL },
		{ "0.0.0.0/0", 80, NULL },
		{ "0.0.0", 80, NULL },
		{ "0", 80, NULL },
		{ "::ffff:127.0.0.1", 80, "127.0.0.1|" },
		{ "::ffff:7f00:1", 80, "127.0.0.1|" },
		{ "::ffff:10.1.2.3", 80, NULL },
		{ "::ffff:10.1.2.3", 443, "10.1.2.3|" },
		{ "::127.0.0.1", 80, NULL },
		{ "10.1.2.3", 443, "10.1.2.3|" },
		{ "10.1.2.4", 443, NULL },
		{ "2001:db8:0:0::9", 1, "2001:db8::9|" },
		{ "2001:db8:0:0::9", 65535, "2001:db8::9|" },
		{ "2001:db9::9", 1, NULL },
		{ "10.1.2.3/32", 443, NULL },
		{ "010.1.2.3", 443, NULL },
		{ "10.1.2.03", 443, NULL },
		{ "10.1.515", 443, NULL },
		{ "0xa.1.2.3", 443, NULL },
		{ "167838211", 443, NULL },
		{ "10.1.2.3 ", 443, NULL },
		{ " 10.1.2.3", 443, NULL },
		{ "[::1]", 80, NULL },
		{ "::1%lo", 80, NULL },
		{ "Localhost", 80, "::1|127.0.0.1|" },
		{ "LOCALHOST", 89, "::1|127.0.0.1|" },
		{ "LOCALHOST", 90, NULL },
		{ "LOCALHOST.", 80, "?127.0.0.0/8|::1/128|2001:db8::/32|" },
		{ "localhost.", 80, "?127.0.0.0/8|::1/128|2001:db8::/32|" },
		{ "localhost.", 90, "?2001:db8::/32|" },
		{ "container", 80, "?127.0.0.0/8|::1/128|2001:db8::/32|" },
		{ "example.org", 80, "?127.0.0.0/8|::1/128|2001:db8::/32|" },
		{ "example.org", 443, "?10.1.2.3/32|2001:db8::/32|" },
		{ "example.org.", 1, "?2001:db8::/32|" },
		{ "web_1", 9, "?2001:db8::/32|0.0.0.0/0|" },
		{ "web_1", 7, "?2001:db8::/32|0.0.0.0/32|::/128|" },
		{ "example.org", 0, NULL },
		{ "example.org", 65536, NULL },
		{ "example.org:80", 80, NULL },
		{ "example.org/32", 80, NULL },
		{ "exa mple.org", 80, NULL },
		{ "ex%61mple.org", 80, NULL },
		{ "example..org", 80, NULL },
		{ ".", 80, NULL },
		{ "*", 80, NULL },
		{ "m\xc3\xbcller.de", 80, NULL },
		/* Who looks up names would take them for addresses. */
		{ "127.1", 80, NULL },
		{ "127.0.0.1.", 80, NULL },
		{ "0x7f.1", 80, NULL },
		{ "0x7f000001", 80, NULL },
		{ "2130706433", 80, NULL },
		{ "017700000001", 80, NULL },
		{ "1.2.3.4.5", 80, NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 80, NULL },
		/* As long as an address that is cut, and longer. */
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 443,
		    "?10.1.2.3/32|2001:db8::/32|" },
		{ "a.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 443,
		    "?10.1.2.3/32|2001:db8::/32|" },
		{ "localhost.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 443,
		    "?10.1.2.3/32|2001:db8::/32|" },
		{ "", 80, NULL },
		/* Also where the list has no address itself. */
		{ "0.0.0.0", 7, "127.0.0.1|" },
		{ "::", 7, "::1|" },
		{ "127.0.0.1", 7, NULL },
		{ "localhost", 7, NULL },
		{ "0.0.0.0", 9, "127.0.0.1|" },
		{ "::", 9, NULL },
		{ "localhost", 9, "127.0.0.1|" },
	};
	struct policy *p = parse(
	    "{ \"sallyport_policy\": 1, \"users\": {}, \"profiles\": { \"p\": { \"container\": "
	    "{ \"image\": \"debian:12\" }, \"session\": { \"forward\": { \"local\": [ \"container:80-89\", "
	    "\"10.1.2.3:443\", \"[2001:db8::/32]:1-65535\", \"0.0.0.0:7\", \"[::]:7\", \"0.0.0.0/0:9\" ] } } } }, "
	    "\"rules\": [ { \"id\": \"r\", \"use\": \"p\" } ] }");
	struct policy_profile profile = *find_profile(p, "p");
	struct policy_destination to;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		const char *why = policy_refuse_forward(&profile, cases[i].host,
		    strlen(cases[i].host), cases[i].port, &to);
		char text[512];

		destination_text(&to, text, sizeof(text));
		if (strcmp(text, cases[i].to != NULL ? cases[i].to : "") != 0)
			fail_msg("%s port %u leads to \"%s\"", cases[i].host, cases[i].port, text);
		assert_int_equal(why == NULL, cases[i].to != NULL);
	}
	profile.mode = POLICY_MODE_SESSION;
	assert_non_null(policy_refuse_forward(&profile, "::1", 3, 80, &to));
	profile.mode = POLICY_MODE_CONNECTION;
	profile.n_targets = 0;
	assert_non_null(policy_refuse_forward(&profile, "::1", 3, 80, &to));
	policy_unref(p);
}

/* Nearly every target is the container, with the port: nearly twice as many networks as there are targets. */
static void
test_forward_to_most_networks(void **state)
{
	static char text[4096];
	struct policy_destination to;
	struct policy *p;
	size_t used;

	(void)state;
	used = (size_t)snprintf(text, sizeof(text),
	    "{ \"sallyport_policy\": 1, \"users\": {}, \"profiles\": { \"p\": { \"container\": "
	    "{ \"image\": \"debian:12\" }, \"session\": { \"forward\": { \"local\": [ ");
	for (int i = 0; i < 64; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\"%s:1-%d\"",
		    i > 0 ? ", " : "", i == 62 ? "192.0.2.0/24" : "container", 100 + i);
	(void)snprintf(text + used, sizeof(text) - used,
	    " ] } } } }, \"rules\": [ { \"id\": \"r\", \"use\": \"p\" } ] }");
	p = parse(text);
	assert_null(policy_refuse_forward(find_profile(p, "p"), "example.org", 11, 100, &to));
	assert_int_equal(to.n, 0);
	assert_int_equal(to.n_networks, POLICY_NETWORKS_MAX - 1);
	assert_null(policy_refuse_forward(find_profile(p, "p"), "example.org", 11, 162, &to));
	assert_int_equal(to.n_networks, 3);
	/* The container's own loopback alone is no reason to ask anybody. */
	assert_non_null(policy_refuse_forward(find_profile(p, "p"), "example.org", 11, 163, &to));
	assert_int_equal(to.n_networks, 0);
	assert_non_null(policy_refuse_forward(find_profile(p, "p"), "example.org", 11, 164, &to));
	assert_int_equal(to.n_networks, 0);
	assert_null(policy_refuse_forward(find_profile(p, "p"), "localhost", 9, 100, &to));
	assert_int_equal(to.n, 2);
	assert_int_equal(to.n_networks, 0);
	policy_unref(p);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_extends),
		cmocka_unit_test(test_base_without_image),
		cmocka_unit_test(test_accepts_env),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_forward_to_most_networks),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_listen_at_the_loopback_alone),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_decision_details),
		cmocka_unit_test(test_empty_denies),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_key_of_name_with_nul),
		cmocka_unit_test(test_user_valid),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
