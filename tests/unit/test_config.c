/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's configuration: every message word for word, every value, every default. */
#include "test.h"

#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "golden.h"
#include "json_text.h"
#include "listen_address.h"

static char directory[] = "/tmp/sp-test-config-XXXXXX";
static unsigned long seed;

static unsigned
roll(unsigned n)
{
	seed = seed * 1664525ul + 1013904223ul;
	return (unsigned)(seed >> 16 & 0xffff) % n;
}

/* Into a file that nobody else can write, whatever mode the source tree's files have. */
static void
write_file(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "wbe");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static struct config *
load_text(const char *text)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct config *c = NULL;
	int r;

	write_file("c.json", text, strlen(text));
	r = config_load("c.json", &c, &diags);
	if (r != 0)
		diag_print(&diags, stderr);
	assert_int_equal(r, 0);
	assert_int_equal(diags.n, 0);
	diag_list_clear(&diags);
	assert_int_equal(unlink("c.json"), 0);
	return c;
}

/* golden_walk() stands in the directory of the originals; the copy gets their names. */
static int
judge(const char *path, const char *text, size_t len, struct diag_list *diags)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;
	char *here = getcwd(NULL, 0);
	int r;

	assert_non_null(here);
	assert_int_equal(chdir(directory), 0);
	write_file(path, text, len);
	r = config_load(path, &c, diags);
	assert_int_equal(r == 0, c != NULL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chdir(here), 0);
	free(here);
	return r;
}

static void
test_bad(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* some of the messages are about what only root may choose */
	assert_true(golden_walk(SP_TEST_DATA "/config/bad", CONFIG_E_INVALID, judge) >= 50);
}

static void
test_good(void **state)
{
	(void)state;
	assert_true(golden_walk(SP_TEST_DATA "/config/good", 0, judge) >= 2);
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

static void
assert_below(const char *path, const char *rest)
{
	size_t len = strlen(directory);

	assert_memory_equal(path, directory, len);
	assert_int_equal(path[len], '/');
	assert_string_equal(path + len + 1, rest);
}

static void
assert_penalties(const struct admission_options *o, const char *wanted)
{
	char joined[128];

	(void)snprintf(joined, sizeof(joined), "%u %u %u %u %u", o->penalty_ms[ADMISSION_END_CRASH],
	    o->penalty_ms[ADMISSION_END_AUTH_FAILED], o->penalty_ms[ADMISSION_END_DENIED],
	    o->penalty_ms[ADMISSION_END_NO_AUTH], o->penalty_ms[ADMISSION_END_GRACE]);
	assert_string_equal(joined, wanted);
	assert_int_equal(o->penalty_ms[ADMISSION_END_FINE], 0);
}

static void
assert_networks(const struct cidr_list *list, const char *wanted)
{
	char joined[256] = "";
	char one[CIDR_TEXT_MAX];

	for (size_t i = 0; i < list->n; i++)
		(void)strcat(strcat(joined, cidr_format(&list->items[i], one)), "|");
	assert_string_equal(joined, wanted);
}

static void
test_defaults(void **state)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;

	(void)state;
	assert_int_equal(chdir(directory), 0);
	c = load_text("{ \"policy\": \"p.json\", \"worker\": { \"user\": 64222 } }");
	assert_list(c->listen, "0.0.0.0:22|[::]:22|");
	assert_list(c->host_keys, "/etc/sallyport/host_ed25519_key|/etc/sallyport/host_rsa_key|");
	assert_false(c->make_host_keys);
	assert_string_equal(c->engine.socket, "/var/run/docker.sock");
	assert_int_equal(c->engine.call_timeout_ms, 10000);
	assert_int_equal(c->engine.start_timeout_ms, 60000);
	assert_int_equal(c->engine.probe_interval_ms, 10000);
	assert_int_equal(c->engine.starts, 4);
	assert_int_equal(c->engine.guest_dir[0], '/');
	assert_string_equal(c->engine.view_guest_dir, c->engine.guest_dir);
	assert_string_equal(c->engine.view_runtime_dir, "/run/sallyport");
	assert_below(c->policy, "p.json");
	assert_int_equal(c->worker.program[0], '/');
	assert_int_equal(c->worker.uid, geteuid() == 0 ? 64222 : geteuid());
	assert_int_equal(c->worker.n_uids, 0);
	assert_true(c->worker.sandbox_required);
	assert_int_equal(c->worker.prespawn, 2);
	assert_int_equal(c->worker.memory, 256 << 20);
	assert_int_equal(c->login.grace_ms, 120000);
	assert_int_equal(c->login.tries, 6);
	assert_string_equal(c->login.banner, "");
	assert_int_equal(c->login.keepalive_ms, 0);
	assert_int_equal(c->login.keepalive_count, 3);
	assert_false(c->login.older_clients);
	assert_int_equal(c->login.idle_ms, 20000);
	assert_int_equal(c->admission.startups_start, 10);
	assert_int_equal(c->admission.startups_rate, 30);
	assert_int_equal(c->admission.startups_full, 100);
	assert_penalties(&c->admission, "90000 5000 10000 1000 10000");
	assert_int_equal(c->admission.penalty_min_ms, 15000);
	assert_int_equal(c->admission.penalty_max_ms, 600000);
	assert_int_equal(c->admission.penalty_sources, 65536);
	assert_false(c->admission.penalty_deny_all);
	assert_int_equal(c->admission.connections, 1000);
	assert_int_equal(c->admission.v4_bits, 32);
	assert_int_equal(c->admission.v6_bits, 64);
	assert_int_equal(c->admission.source_startups, 0);
	assert_int_equal(c->admission.source_connections, 0);
	assert_int_equal(c->admission.exempt.n, 0);
	assert_int_equal(c->proxy_protocol.n, 0);
	assert_int_equal(c->limits.drain_ms, 10000);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_null(c->audit.file);
	assert_string_equal(c->control.socket, "/run/sallyport/control.sock");
	assert_false(c->control.has_group);
	assert_true(c->audit.required);
	assert_string_equal(c->runtime_dir, "/run/sallyport");
	assert_string_equal(c->state_dir, "/var/lib/sallyport");
}

static void
test_every_key(void **state)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;
	size_t len;
	char *text = golden_read(SP_TEST_DATA "/config/good/every-key.json", &len);

	(void)state;
	assert_int_equal(chdir(directory), 0);
	c = load_text(text);
	free(text);
	assert_list(c->listen, "127.0.0.1:2222|[::1]:2222|");
	assert_below(c->host_keys[0], "host_ed25519_key");
	assert_string_equal(c->host_keys[1], "/keys/host_rsa_key");
	assert_string_equal(c->host_keys[2], "credential:host_ecdsa-1.key");
	assert_null(c->host_keys[3]);
	assert_true(c->make_host_keys);
	assert_string_equal(c->engine.socket, "/run/docker.sock");
	assert_int_equal(c->engine.call_timeout_ms, 2000);
	assert_int_equal(c->engine.start_timeout_ms, 30000);
	assert_int_equal(c->engine.probe_interval_ms, 5000);
	assert_int_equal(c->engine.starts, 8);
	assert_below(c->engine.guest_dir, "guest");
	assert_string_equal(c->engine.view_guest_dir, "/host/guest");
	assert_string_equal(c->engine.view_runtime_dir, "/host/run");
	assert_string_equal(c->policy, "/tmp/policy.json");
	assert_string_equal(c->policy_shadow, "/tmp/shadow.json");
	assert_below(c->worker.program, "bin/sallyportd");
	assert_int_equal(c->worker.uid, geteuid() == 0 ? 1700000000 : geteuid());
	assert_int_equal(c->worker.gid, geteuid() == 0 ? 1700000000 : getegid());
	assert_int_equal(c->worker.n_uids, geteuid() == 0 ? 50 : 0);
	assert_false(c->worker.sandbox_required);
	assert_int_equal(c->worker.prespawn, 0);
	assert_int_equal(c->worker.memory, 128 << 20);
	assert_int_equal(c->login.grace_ms, 30000);
	assert_int_equal(c->login.tries, 3);
	assert_string_equal(c->login.banner, "Welcome.\n\tBehave.\n");
	assert_int_equal(c->login.keepalive_ms, 15000);
	assert_int_equal(c->login.keepalive_count, 2);
	assert_true(c->login.older_clients);
	assert_int_equal(c->login.idle_ms, 5000);
	assert_int_equal(c->admission.startups_start, 5);
	assert_int_equal(c->admission.startups_rate, 50);
	assert_int_equal(c->admission.startups_full, 7);
	assert_penalties(&c->admission, "60000 2000 3000 0 4000");
	assert_int_equal(c->admission.penalty_min_ms, 10000);
	assert_int_equal(c->admission.penalty_max_ms, 300000);
	assert_int_equal(c->admission.penalty_sources, 1000);
	assert_true(c->admission.penalty_deny_all);
	assert_int_equal(c->admission.connections, 50);
	assert_int_equal(c->admission.v4_bits, 24);
	assert_int_equal(c->admission.v6_bits, 56);
	assert_int_equal(c->admission.source_startups, 3);
	assert_int_equal(c->admission.source_connections, 9);
	assert_networks(&c->admission.exempt, "192.0.2.0/24|2001:db8::1/128|");
	assert_networks(&c->proxy_protocol, "10.0.0.1/32|");
	assert_int_equal(c->limits.drain_ms, 60000);
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_below(c->audit.file, "log/audit.log");
	assert_false(c->audit.required);
	assert_below(c->control.socket, "admin.sock");
	assert_true(c->control.has_group);
	assert_int_equal(c->control.group, 0);
	assert_below(c->runtime_dir, "run");
	assert_string_equal(c->state_dir, "/srv/state");
}

/* A number is a limit without early drop; false switches penalties off. */
static void
test_short_forms(void **state)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;

	(void)state;
	assert_int_equal(chdir(directory), 0);
	c = load_text("{ \"policy\": \"p\", \"worker\": { \"user\": 64222 },"
		      " \"login\": { \"max_startups\": 8, \"penalties\": false } }");
	assert_int_equal(c->admission.startups_start, 8);
	assert_int_equal(c->admission.startups_rate, 100);
	assert_int_equal(c->admission.startups_full, 8);
	assert_penalties(&c->admission, "0 0 0 0 0");
}

static void
test_inherited_sockets_only(void **state)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;

	(void)state;
	assert_int_equal(chdir(directory), 0);
	c = load_text("{ \"policy\": \"p\", \"listen\": [], \"worker\": { \"user\": 64222 } }");
	assert_null(c->listen[0]);
}

static void
test_worker_user(void **state)
{
	SP_CLEANUP(config_freep) struct config *by_name = NULL;
	SP_CLEANUP(config_freep) struct config *by_uid = NULL;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chdir(directory), 0);
	by_name = load_text("{ \"policy\": \"p\", \"worker\": { \"user\": \"nobody\" } }");
	assert_int_equal(by_name->worker.uid, 65534);
	assert_true(by_name->worker.gid != 0);
	by_uid = load_text("{ \"policy\": \"p\", \"worker\": { \"user\": 64333 } }");
	assert_int_equal(by_uid->worker.uid, 64333);
	assert_int_equal(by_uid->worker.gid, 64333); /* nobody has it: its own group */
}

/* Root's workers have a uid each, unless the file says otherwise; anybody else's are anybody's own. */
static void
test_worker_uids(void **state)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;

	(void)state;
	assert_int_equal(chdir(directory), 0);
	c = load_text("{ \"policy\": \"p\" }");
	assert_int_equal(c->worker.uid, geteuid() == 0 ? 1900000000 : geteuid());
	assert_int_equal(c->worker.gid, geteuid() == 0 ? 1900000000 : getegid());
	assert_int_equal(c->worker.n_uids, geteuid() == 0 ? 131072 : 0);
}

/* Whoever writes a path writes it in many ways; the engine is held to one. */
static void
test_spellings(void **state)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;
	char parent[sizeof(directory)];

	(void)state;
	assert_int_equal(chdir(directory), 0);
	c = load_text("{ \"policy\": \".//p/./q.json\", \"worker\": { \"user\": 64222 },"
		      " \"runtime_dir\": \"//run//./sally/.\", \"state_dir\": \"state///\","
		      " \"audit\": { \"file\": \"../../../a..b/..c\" },"
		      " \"host_keys\": [ \"/\", \"./\", \"..\", \"/../k/\" ],"
		      " \"engine\": { \"guest_dir\": \"../guest/\", \"host_view\": {"
		      " \"guest_dir\": \"/host//guest/\", \"runtime_dir\": \"/./\" } } }");
	assert_below(c->policy, "p/q.json");
	assert_string_equal(c->runtime_dir, "/run/sally");
	assert_string_equal(c->control.socket, "/run/sally/control.sock");
	assert_below(c->state_dir, "state");
	assert_string_equal(c->audit.file, "/a..b/..c");
	memcpy(parent, directory, sizeof(parent));
	*strrchr(parent, '/') = '\0';
	assert_string_equal(c->host_keys[0], "/");
	assert_string_equal(c->host_keys[1], directory);
	assert_string_equal(c->host_keys[2], parent);
	assert_string_equal(c->host_keys[3], "/k");
	assert_memory_equal(c->engine.guest_dir, parent, strlen(parent));
	assert_string_equal(c->engine.guest_dir + strlen(parent), "/guest");
	assert_string_equal(c->engine.view_guest_dir, "/host/guest");
	assert_string_equal(c->engine.view_runtime_dir, "/");
}

/* Paths are relative to the file, wherever we stand. */
static void
test_directories(void **state)
{
	static const char text[] = "{ \"policy\": \"p.json\", \"worker\": { \"user\": 64222 } }";
	struct diag_list diags = DIAG_LIST_INIT;
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/c.json", directory);
	write_file(path, text, strlen(text));
	for (unsigned i = 0; i < 3; i++) {
		SP_CLEANUP(config_freep) struct config *c = NULL;
		static const char *const from[] = { "/", "/tmp", directory };
		const char *const names[] = { path, path + strlen("/tmp/"), "./c.json" };

		assert_int_equal(chdir(from[i]), 0);
		assert_int_equal(config_load(names[i], &c, &diags), 0);
		assert_below(c->policy, "p.json");
	}
	assert_int_equal(unlink(path), 0);
	diag_list_clear(&diags);
}

static void
test_files(void **state)
{
	static const char text[] = "{ \"policy\": \"p.json\", \"worker\": { \"user\": 64222 } }";
	struct diag_list diags = DIAG_LIST_INIT;
	SP_CLEANUP(config_freep) struct config *c = NULL;

	(void)state;
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(config_load("none.json", &c, &diags), -ENOENT);
	write_file("c.json", text, strlen(text));
	assert_int_equal(chmod("c.json", 0662), 0);
	assert_int_equal(config_load("c.json", &c, &diags), -EPERM);
	assert_int_equal(symlink("c.json", "l.json"), 0);
	assert_int_equal(chmod("c.json", 0600), 0);
	assert_int_equal(config_load("l.json", &c, &diags), -ELOOP);
	assert_int_equal(truncate("c.json", JSON_TEXT_MAX + 1), 0);
	assert_int_equal(config_load("c.json", &c, &diags), -EFBIG);
	assert_null(c);
	assert_int_equal(diags.n_errors, 4);
	/* Unlike a policy it is no directory of files. */
	assert_string_equal(diags.items[3].help,
	    "a configuration is far smaller: look whether this is one");
	diag_list_clear(&diags);
	assert_int_equal(unlink("l.json"), 0);
	assert_int_equal(unlink("c.json"), 0);
	config_free(NULL);
}

static void
test_mangled(void **state)
{
	size_t len;
	char *good = golden_read(SP_TEST_DATA "/config/good/every-key.json", &len);
	char *text = malloc(len);

	(void)state;
	assert_non_null(text);
	assert_int_equal(chdir(directory), 0);
	for (unsigned i = 0; i < 1500 + len; i++) {
		struct diag_list diags = DIAG_LIST_INIT;
		SP_CLEANUP(config_freep) struct config *c = NULL;
		size_t n = i < len - 2 ? i : len;
		int r;

		memcpy(text, good, len);
		if (n == len)
			text[roll((unsigned)len)] = (char)roll(256);
		write_file("m.json", text, n);
		r = config_load("m.json", &c, &diags);
		assert_true(r == CONFIG_E_INVALID || (r == 0 && n == len));
		assert_int_equal(r == 0, diags.n_errors == 0);
		assert_int_equal(r == 0, c != NULL);
		if (r != 0)
			assert_true(diags.items[0].line > 0);
		diag_list_clear(&diags);
	}
	assert_int_equal(unlink("m.json"), 0);
	free(text);
	free(good);
}

static int
make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL;
}

static int
remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static void
test_addresses_to_listen_on(void **state)
{
	static const struct {
		const char *text;
		const char *address;
		int family;
		uint16_t port;
	} cases[] = {
		{ "0.0.0.0:22", "0.0.0.0", AF_INET, 22 },
		{ "192.0.2.1:65535", "192.0.2.1", AF_INET, 65535 },
		{ "[::]:1", "::", AF_INET6, 1 },
		{ "[2001:db8::1]:02222", "2001:db8::1", AF_INET6, 2222 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct sockaddr_storage address;
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
		bool v6 = cases[i].family == AF_INET6;
		char text[INET6_ADDRSTRLEN];
		socklen_t len = 0;

		memset(&address, 0xff, sizeof(address));
		assert_null(listen_address_parse(cases[i].text, &address, &len));
		assert_int_equal(address.ss_family, cases[i].family);
		assert_int_equal(len, v6 ? sizeof(*in6) : sizeof(*in4));
		assert_int_equal(ntohs(v6 ? in6->sin6_port : in4->sin_port), cases[i].port);
		assert_non_null(inet_ntop(cases[i].family,
		    v6 ? (const void *)&in6->sin6_addr : (const void *)&in4->sin_addr, text,
		    sizeof(text)));
		assert_string_equal(text, cases[i].address);
		assert_true(!v6 || (in6->sin6_scope_id == 0 && in6->sin6_flowinfo == 0));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_short_forms),
		cmocka_unit_test(test_inherited_sockets_only),
		cmocka_unit_test(test_worker_user),
		cmocka_unit_test(test_worker_uids),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_mangled),
		cmocka_unit_test(test_addresses_to_listen_on),
	};
	const char *given = getenv("SP_TEST_SEED");

	seed = given != NULL ? strtoul(given, NULL, 10) : (unsigned long)time(NULL);
	print_message("SP_TEST_SEED=%lu\n", seed);
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
