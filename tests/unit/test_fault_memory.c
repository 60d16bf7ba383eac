/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation of the broker's units fails once, libcrypto's, libevent's and libcurl's too: what
 * was asked for is done or refused with a reason, nothing leaks (the build with sanitizers looks), and
 * nobody gets in because something went wrong (the class of libssh's CVE-2023-2283). Afterwards, with
 * memory back, the same thing works.
 */
#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind_check.h"
#include "bind_source.h"
#include "config.h"
#include "engine.h"
#include "engine_fixture.h"
#include "engine_json_read.h"
#include "engine_json_write.h"
#include "fake_engine.h"
#include "fault.h"
#include "host_key.h"
#include "instance.h"
#include "ipc_msg.h"
#include "keys_fixture.h"
#include "policy.h"
#include "ssh_key.h"
#include "ssh_version.h"
#include "transcript.h"
#include "userauth.h"

#define RECOVERY_TRIES 50

static char *dir;
static struct host_key_set *keys;

static int
setup(void **state)
{
	char why[1024] = "";

	(void)state;
	dir = dir_make();
	const char *const paths[] = { dir_copy(dir, "ed25519", 0600),
		dir_copy(dir, "ecdsa256", 0600), dir_copy(dir, "rsa2048", 0600), NULL };

	return host_key_set_load(paths, false, &keys, why, sizeof(why));
}

static int
teardown(void **state)
{
	(void)state;
	host_key_set_free(keys);
	dir_remove(dir);
	return 0;
}

/* ---- files ---- */

static void
one_config(bool faulty)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct config *c = NULL;
	char path[128];
	int r;

	(void)snprintf(path, sizeof(path), "%s/broker.json", dir);
	r = config_load(path, &c, &diags);
	assert_true(r == 0 || (faulty && r == -ENOMEM));
	assert_int_equal(r == 0, c != NULL);
	/* Even with no room for a word of it, an error is counted. */
	assert_int_equal(r == 0, diags.n_errors == 0);
	config_free(c);
	diag_list_clear(&diags);
}

static void
test_config(void **state)
{
	static const char text[] =
	    "{ \"listen\": [\"127.0.0.1:2222\", \"[::1]:2222\"], \"host_keys\": [\"a\", \"b\"],"
	    "  \"policy\": \"p.json\", \"worker\": { \"user\": \"64222\", \"memory\": \"128M\" },"
	    "  \"engine\": { \"socket\": \"/run/x\", \"starts\": 3 },"
	    "  \"login\": { \"grace\": \"30s\", \"banner\": \"Hello\" } }";

	(void)state;
	(void)dir_put(dir, "broker.json", 0600, text, strlen(text));
	assert_true(fault_walk("config", one_config) > 20);
}

static const char *key_name;

static void
one_host_key(bool faulty)
{
	char path[128];
	const char *const list[] = { path, NULL };
	struct host_key_set *set = NULL;
	char why[1024] = "";
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, key_name);
	r = host_key_set_load(list, false, &set, why, sizeof(why));
	assert_true(r == 0 || (faulty && r < 0 && why[0] != '\0'));
	assert_int_equal(r == 0, set != NULL);
	if (r == 0)
		assert_int_equal(host_key_set_count(set), 1);
	host_key_set_free(set);
}

static void
one_new_host_key(bool faulty)
{
	char path[128];
	char public[160];
	char why[1024] = "";
	int r;

	(void)snprintf(path, sizeof(path), "%s/made", dir);
	(void)snprintf(public, sizeof(public), "%s.pub", path);
	r = host_key_generate(path, "ed25519", why, sizeof(why));
	assert_true(r == 0 || (faulty && r < 0 && why[0] != '\0'));
	/* Whole, or not there. */
	if (access(path, F_OK) == 0) {
		const char *const list[] = { path, NULL };
		struct host_key_set *set = NULL;

		fault_pause();
		assert_int_equal(host_key_set_load(list, false, &set, why, sizeof(why)), 0);
		host_key_set_free(set);
		fault_resume();
	}
	(void)unlink(path);
	(void)unlink(public);
}

static void
test_host_keys(void **state)
{
	static const char *const names[] = { "ed25519", "ecdsa256", "rsa2048" };
	unsigned files;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		key_name = names[i];
		assert_true(fault_stride(key_name, one_host_key) > 20);
	}
	files = dir_count(dir);
	assert_true(fault_stride("a new host key", one_new_host_key) > 10);
	assert_int_equal(dir_count(dir), files);
}

/* ---- logins ---- */

static struct transcript_state exchanged;
static struct signer *signer;
static uint8_t signature[FIXTURE_SIG_MAX];
static size_t signature_len;
static bool forged;

static void
one_login(bool faulty)
{
	struct ipc_req_auth m = { .user = { (const uint8_t *)"alice", 5 },
		.blob = { signer->blob, signer->blob_len },
		.signature = { signature, signature_len },
		.sk_flags = signer->flags,
		.sk_counter = signer->counter };
	const char *why;

	(void)snprintf(m.algorithm, sizeof(m.algorithm), "%s", signer_algorithm(signer));
	why = userauth_verify(&exchanged, &m, false);
	if (forged)
		assert_non_null(why);
	else if (!faulty)
		assert_null(why);
}

static void
test_logins(void **state)
{
	uint8_t data[8192];
	struct wire_writer w;

	(void)state;
	memset(exchanged.session_id, 0x5a, 32);
	exchanged.session_id_len = 32;
	exchanged.host_key = host_key_set_find(keys, "ssh-ed25519");
	for (size_t i = 0; i < SP_ARRAY_LEN(signer_types); i++) {
		struct signer s;

		signer_make(&s, signer_types[i]);
		signer = &s;
		wire_writer_init(&w, data, sizeof(data));
		wire_put_str(&w, exchanged.session_id, exchanged.session_id_len);
		wire_put_u8(&w, 50);
		wire_put_cstr(&w, "alice");
		wire_put_cstr(&w, "ssh-connection");
		wire_put_cstr(&w, "publickey");
		wire_put_u8(&w, 1);
		wire_put_cstr(&w, signer_algorithm(&s));
		wire_put_str(&w, s.blob, s.blob_len);
		signature_len = signer_sign(&s, signer_algorithm(&s), w.data, w.len, signature);
		forged = false;
		(void)fault_stride(s.type, one_login);
		forged = true;
		signature[signature_len - 1] ^= 1;
		(void)fault_stride("the same, forged", one_login);
		signature_len = 0;
		(void)fault_walk("the same, empty", one_login);
		signer_free(&s);
	}
}

static uint8_t transcript_text[4096];
static size_t transcript_len;
static bool foreign; /* the transcript is another connection's */

static void
one_exchange(bool faulty)
{
	static const uint8_t nonce[IPC_NONCE_LEN] = { 1, 2, 3 };
	struct transcript_state s;
	uint8_t hash[TRANSCRIPT_HASH_MAX];
	uint8_t own[EVP_MAX_MD_SIZE];
	uint8_t sig[HOST_KEY_SIG_MAX];
	const struct host_key *key;
	size_t len;
	size_t sig_len;
	const char *why;

	memset(&s, 0, sizeof(s));
	why = transcript_check(&s, keys, nonce, "ssh-ed25519",
	    (struct wire_span){ transcript_text, transcript_len }, &key, hash, &len);
	if (why != NULL) {
		assert_true(faulty || foreign);
		assert_int_equal(s.session_id_len, 0);
		return;
	}
	assert_false(foreign);
	fault_pause();
	assert_int_equal(EVP_Digest(transcript_text, transcript_len, own, NULL, EVP_sha256(), NULL),
	    1);
	fault_resume();
	assert_memory_equal(own, hash, 32);
	if (host_key_sign(key, "ssh-ed25519", hash, len, sig, &sig_len) == 0)
		assert_int_equal(sig_len, 64);
	else
		assert_true(faulty);
}

static void
test_exchanges(void **state)
{
	static const uint8_t nonces[2][IPC_NONCE_LEN] = { { 1, 2, 3 }, { 1, 2, 4 } };
	char version[SSH_VERSION_MAX + 16];
	struct exchange e = { .client_version = "SSH-2.0-OpenSSH_9.9",
		.server_version = version,
		.client_exchanges = "curve25519-sha256",
		.client_algorithms = "ssh-ed25519",
		.server_exchanges = "curve25519-sha256",
		.server_algorithms = "ssh-ed25519",
		.host_key = host_key_blob(host_key_set_find(keys, "ssh-ed25519")) };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		strcpy(version, "SSH-2.0-");
		ssh_version_format(nonces[i], version + strlen(version));
		transcript_len = exchange_put(&e, transcript_text, sizeof(transcript_text));
		foreign = i == 1;
		(void)fault_walk(foreign ? "a foreign exchange" : "an exchange", one_exchange);
	}
}

/* ---- whose container it is ---- */

static struct instance instance = { .lock_fd = -1 };
static char right_proof[INSTANCE_PROOF_LEN + 1];

static void
one_claim(bool faulty)
{
	static const char zeros[] =
	    "0000000000000000000000000000000000000000000000000000000000000000";
	char proof[INSTANCE_PROOF_LEN + 1];

	/* Neither a proof of nothing nor somebody else's becomes one of ours. */
	assert_false(instance_owns(&instance, "sallyport-0123456789abcdef", instance.id, zeros));
	assert_false(
	    instance_owns(&instance, "sallyport-0123456789abcdee", instance.id, right_proof));
	if (!instance_owns(&instance, "sallyport-0123456789abcdef", instance.id, right_proof))
		assert_true(faulty);
	/* And no container is labelled with one that is not its own. */
	if (instance_proof(&instance, "sallyport-0123456789abcdef", proof) == 0)
		assert_string_equal(proof, right_proof);
	else
		assert_true(faulty);
}

static void
one_instance(bool faulty)
{
	struct instance i = { .lock_fd = -1 };
	char why[1024] = "";
	int r = instance_open(&i, dir, why, sizeof(why));

	assert_true(r == 0 || (faulty && r < 0 && why[0] != '\0'));
	if (r == 0) {
		assert_memory_equal(i.secret, instance.secret, sizeof(i.secret));
		assert_string_equal(i.id, instance.id);
		assert_int_equal(close(i.lock_fd), 0);
	}
}

static void
test_instance(void **state)
{
	char why[1024] = "";

	(void)state;
	assert_int_equal(instance_open(&instance, dir, why, sizeof(why)), 0);
	assert_int_equal(close(instance.lock_fd), 0);
	assert_int_equal(instance_proof(&instance, "sallyport-0123456789abcdef", right_proof), 0);
	(void)fault_walk("the instance", one_instance);
	(void)fault_walk("claims", one_claim);
}

/* ---- the engine ---- */

static void
one_document(bool faulty)
{
	struct engine_container *c = NULL;
	struct engine_json_created created;
	struct engine_list list = { 0 };
	const char *text;
	char *made = NULL;
	char why[160] = "";
	int r = engine_json_create(&good, &made);

	assert_true(r == 0 || (faulty && r == -ENOMEM));
	free(made);
	r = engine_json_inspect(inspected, strlen(inspected), &c, why, sizeof(why));
	assert_true(r == 0 || (faulty && r == -ENOMEM));
	if (r == 0)
		assert_int_equal(engine_compare(&good, c, why, sizeof(why)), 0);
	engine_container_free(c);
	text = "[{\"Id\":\"" ID "\",\"Names\":[\"/x\"],\"State\":\"running\",\"Labels\":{}}]";
	r = engine_json_list(text, strlen(text), &list, why, sizeof(why));
	assert_true(r == 0 || (faulty && r == -ENOMEM));
	engine_list_clear(&list);
	text = "{\"Id\":\"" ID "\",\"Warnings\":[\"w\"]}";
	r = engine_json_created(text, strlen(text), &created, why, sizeof(why));
	assert_true(r == 0 || (faulty && r == -ENOMEM));
}

static void
test_documents(void **state)
{
	(void)state;
	assert_true(fault_walk("the engine's JSON", one_document) > 5);
}

static struct fake *fake;
static unsigned answers;
static enum engine_error last_error;

static void
on_answer(void *arg, const struct engine_result *result)
{
	(void)arg;
	answers++;
	last_error = result->error;
}

/* One call, until its callback has come. -errno when it could not be started. */
static int
call(struct event_base *base, struct engine *e)
{
	unsigned before = answers;
	int r = engine_image_inspect(e, "busybox", on_answer, NULL, NULL);

	for (unsigned i = 0; r == 0 && answers == before; i++) {
		assert_true(i < 1000);
		assert_true(event_base_loop(base, EVLOOP_ONCE) == 0);
	}
	assert_int_equal(answers, before + (r == 0));
	return r;
}

static void
one_call(bool faulty)
{
	struct engine_options options = { .socket = fake_path(fake),
		.call_timeout_ms = 200, /* some of the faults cost a deadline */
		.probe_timeout_ms = 200,
		.start_timeout_ms = 30000,
		.probe_interval_ms = 60000,
		.max_starts = 4 };
	struct event_base *base;
	struct engine *e = NULL;
	int r;

	fault_pause();
	base = event_base_new();
	assert_non_null(base);
	fault_resume();
	r = engine_new(base, &options, &e);
	assert_true(r == 0 || (faulty && r < 0));
	if (r == 0) {
		r = call(base, e);
		assert_true(faulty || r == 0);
		/* Memory is back: whatever it has cost, calls are as good as ever (the first ones may
		 * come too late on a busy machine). */
		fault_pause();
		for (unsigned i = 0; i < RECOVERY_TRIES && (i == 0 || last_error != ENGINE_OK); i++)
			assert_int_equal(call(base, e), 0);
		assert_int_equal(last_error, ENGINE_OK);
		engine_free(e);
		fault_resume();
	}
	fault_pause();
	event_base_free(base);
	fault_resume();
}

static void
test_calls(void **state)
{
	static const struct fake_rule rules[] = {
		{ .path = "/_ping", .status = 200, .body = "OK" },
		{ .path = "/networks", .status = 200, .body = "[]" },
		{ .path = "/images", .status = 200, .body = "{\"Id\":\"sha256:" ID "\"}" },
	};

	(void)state;
	fake = fake_new(rules, SP_ARRAY_LEN(rules));
	assert_true(fault_walk("an engine and a call", one_call) > 50);
	fake_free(fake);
}

static unsigned lost;

static struct engine *
healthy_engine(struct event_base *base)
{
	struct engine_options options = { .socket = fake_path(fake),
		.call_timeout_ms = 200,
		.start_timeout_ms = 30000,
		.probe_interval_ms = 60000,
		.max_starts = 4 };
	struct engine *e = NULL;

	assert_int_equal(engine_new(base, &options, &e), 0);
	while (engine_health(e) != ENGINE_HEALTHY)
		assert_true(event_base_loop(base, EVLOOP_ONCE) == 0);
	return e;
}

/* What it makes has ended as soon as it is started. */
static void
one_launch(bool faulty)
{
	static const struct fake_rule rules[] = {
		{ .path = "/_ping", .status = 200, .body = "OK" },
		{ .path = "/networks", .status = 200, .body = "[]" },
		{ .path = "/containers/create", .status = 201, .body = "{\"Id\":\"" ID "\"}" },
		{ .path = "*/json", .status = 200, .body = inspected },
		{ .path = "*/start", .status = 204 },
		{ .method = "DELETE", .path = "/containers/", .status = 204 },
	};
	struct event_base *base;
	unsigned before;
	struct engine *e;
	bool made;
	bool removed;
	int r;

	fault_pause();
	fake = fake_new(rules, SP_ARRAY_LEN(rules));
	base = event_base_new();
	assert_non_null(base);
	e = healthy_engine(base);
	before = answers;
	fault_resume();
	r = engine_launch(e, &good, on_answer, NULL, NULL);
	fault_pause();
	assert_true(r == 0 || (faulty && r < 0));
	fault_resume();
	while (r == 0 && answers == before)
		assert_true(event_base_loop(base, EVLOOP_ONCE) == 0);
	fault_pause();
	while (engine_counts(e).calls + engine_counts(e).discarding > 0)
		assert_true(event_base_loop(base, EVLOOP_ONCE) == 0);
	made = fake_seen(fake, "POST", "/containers/create") > 0;
	removed = fake_seen(fake, "DELETE", good.name) > 0;
	assert_true(faulty || (made && removed));
	lost += made && !removed;
	engine_free(e);
	event_base_free(base);
	fake_free(fake);
	fault_resume();
}

/* Whatever was made is removed, but when there is no memory to note that: the next start finds that one. */
static void
test_launches(void **state)
{
	(void)state;
	lost = 0;
	assert_true(fault_walk("a launch", one_launch) > 50);
	/* Once, or twice when the machine is so busy that the second time is not quite like the first. */
	assert_true(lost <= 2);
}

static void
on_bind_checked(void *arg, int outcome, const char *why)
{
	bool *told = arg;

	assert_false(*told);
	assert_int_equal(outcome, BIND_SOURCE_E_UNSAFE);
	assert_non_null(strstr(why, "is not below"));
	*told = true;
}

static void
one_bind_check(bool faulty)
{
	static const struct policy_bind bind = { .root = "/srv", .source = "/etc" };
	static const char run[] = "/run/sallyport";
	static const struct config config = { .runtime_dir = run, .engine.view_runtime_dir = run };
	struct bind_checker *checker = NULL;
	struct bind_check *check = NULL;
	struct event_base *base;
	bool told = false;
	pid_t pid;
	int fd;
	int r;

	fault_pause();
	base = event_base_new();
	assert_non_null(base);
	assert_int_equal(bind_checker_start(&config, &fd, &pid), 0);
	fault_resume();
	r = bind_checker_new(base, fd, 10000, NULL, NULL, &checker);
	if (r == 0)
		r = bind_check(checker, &bind, on_bind_checked, &told, &check);
	while (r == 0 && !told)
		assert_true(event_base_loop(base, EVLOOP_ONCE) == 0);
	fault_pause();
	assert_true(faulty ? r == 0 || r == -ENOMEM : told);
	bind_checker_free(checker);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	event_base_free(base);
	fault_resume();
}

static void
test_bind_checks(void **state)
{
	(void)state;
	assert_true(fault_walk("a bind check", one_bind_check) >= 8);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_host_keys),
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_instance),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_launches),
		cmocka_unit_test(test_bind_checks),
	};

	fault_install_libraries();
	return cmocka_run_group_tests(tests, setup, teardown);
}
