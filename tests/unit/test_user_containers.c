/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers of mode "user" where something is missing: with the real engine client, which has no engine
 * to talk to, so that whatever is asked of it stays asked; where an answer matters, fake_engine.h gives it.
 */
#include "test.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "audit.h"
#include "bind_check.h"
#include "broker.h"
#include "ceilings.h"
#include "config.h"
#include "container.h"
#include "container_plan.h"
#include "diag.h"
#include "engine.h"
#include "engine_fixture.h"
#include "fake_engine.h"
#include "fd.h"
#include "keep_mark.h"
#include "made_of.h"
#include "policy.h"
#include "user_containers.h"

#define NAME "sallyport-0123456789abcdef"
#define KEY  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMcNXmfMghzQoN/u3Aq15PWg9acIe9mN8ibMaMXoUVqS a@l"

static char base[] = "/tmp/sallyport-kept-XXXXXX";
static char state_dir[64], runtime_dir[64], audit_file[64];
static const char *const no_keys[] = { NULL };
static struct config config;
static struct broker b = { .sees_others = true };
static struct fake *fake; /* of a test that needs one */
static char told[256];    /* the last sentence of a container that is down */
static const struct audit_subject who = { .connection = "c0ffee00", .user = "alice" };
static int owner;       /* its address */
static int64_t left_ms; /* of the last one that was counted */

static void
on_up(void *arg, struct container *c)
{
	(void)arg;
	(void)c;
}

/* As a peer: it keeps what it has until it ends. */
static void
on_down(void *arg, struct container *c, const char *text)
{
	(void)arg;
	(void)c;
	(void)snprintf(told, sizeof(told), "%s", text);
}

static const struct container_owner owns = { on_up, on_down, &owner };

/* One profile of mode "user": of this image, for this user alone. more: in the container; may be "". */
static struct policy *
policy_of(const char *user, const char *profile, const char *image, const char *more)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	char text[2048];

	(void)snprintf(text, sizeof(text),
	    "{ \"sallyport_policy\": 1, \"bind_roots\": { \"r\": \"/srv/sallyport-not-there\" },"
	    " \"users\": { \"%s\": { \"keys\": [\"" KEY "\"] } }, \"profiles\": { \"%s\": {"
	    " \"container\": { \"image\": \"%s\", \"mode\": \"user\", \"keep\": \"10m\" %s } } },"
	    " \"rules\": [ { \"id\": \"all\", \"use\": \"%s\" } ] }",
	    user, profile, image, more, profile);
	if (policy_parse("p.json", text, strlen(text), &p, &diags) != 0)
		diag_print(&diags, stderr);
	diag_list_clear(&diags);
	assert_non_null(p);
	return p;
}

static void
use_policy(struct policy *p)
{
	policy_unref(b.policy);
	b.policy = p;
}

/* alice's, by the policy in force. */
static struct policy_grant *
grant_of(void)
{
	struct policy_login login = { .user = "alice" };
	struct policy_decision decision;
	struct policy_grant *grant = NULL;
	char why[256];

	assert_int_equal(policy_decide(b.policy, &login, &decision), 0);
	assert_int_equal(policy_grant_new(b.policy, &login, &decision, &grant, why, sizeof(why)), 0);
	return grant;
}

static int
get(struct policy_grant *grant, struct container **ret)
{
	const struct user_containers_login login = { grant, &who, NULL, &owns };

	return user_containers_get(b.user_containers, &login, ret);
}

static bool
has(struct policy_grant *grant)
{
	const struct user_containers_login login = { grant, &who, NULL, &owns };

	return user_containers_has(b.user_containers, &login);
}

static void
count(const struct user_containers_view *view, void *arg)
{
	left_ms = view->left_ms;
	++*(unsigned *)arg;
}

static unsigned
kept(void)
{
	unsigned n = 0;

	user_containers_visit(b.user_containers, count, &n);
	return n;
}

static void
make(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static void
use_engine(const char *socket, uint32_t max_starts, uint32_t max_queued)
{
	struct engine_options options = { .socket = socket,
		.call_timeout_ms = 10000,
		.start_timeout_ms = 10000,
		.probe_interval_ms = 5000,
		.probe_timeout_ms = 2000,
		.max_starts = max_starts,
		.max_queued = max_queued,
		.max_calls = 64 };

	b.engine = engine_free(b.engine);
	assert_int_equal(engine_new(b.base, &options, &b.engine), 0);
}

static int
setup(void **state)
{
	static char socket[64], rendezvous[128], kept[128];
	char why[256];
	int binds_fd;
	pid_t pid;

	(void)state;
	(void)strcpy(base + strlen(base) - 6, "XXXXXX");
	assert_non_null(mkdtemp(base));
	(void)snprintf(state_dir, sizeof(state_dir), "%s/state", base);
	(void)snprintf(runtime_dir, sizeof(runtime_dir), "%s/run", base);
	(void)snprintf(audit_file, sizeof(audit_file), "%s/audit", base);
	(void)snprintf(rendezvous, sizeof(rendezvous), "%s/run/rendezvous", base);
	(void)snprintf(kept, sizeof(kept), "%s/" KEEP_MARK_DIRECTORY, state_dir);
	(void)snprintf(socket, sizeof(socket), "%s/engine.sock", base);
	make(state_dir);
	make(runtime_dir);
	make(rendezvous);
	make(kept);
	config = (struct config){ .state_dir = state_dir, .runtime_dir = runtime_dir };
	config.engine.socket = socket;
	config.engine.guest_dir = config.engine.view_guest_dir = "/usr/libexec/guest";
	config.engine.view_runtime_dir = runtime_dir;
	config.policy = "/etc/sallyport/policy.json";
	config.worker.program = "/usr/libexec/sallyportd";
	config.host_keys = no_keys;
	assert_int_equal(bind_checker_start(&config, &binds_fd, &pid), 0);
	b = (struct broker){ .base = event_base_new(), .config = &config };
	b.instance.lock_fd = -1;
	(void)snprintf(b.instance.id, sizeof(b.instance.id), "0123456789abcdef");
	assert_non_null(b.base);
	assert_int_equal(bind_checker_new(b.base, binds_fd, 10000, NULL, NULL, &b.binds), 0);
	use_engine(socket, 4, 16);
	assert_int_equal(audit_open(audit_file, true, &b.audit, why, sizeof(why)), 0);
	assert_int_equal(container_set_new(&b, &b.containers), 0);
	assert_int_equal(user_containers_new(&b, &b.user_containers), 0);
	assert_int_equal(ceilings_new(&b.ceilings), 0);
	use_policy(policy_of("alice", "p", "one", ""));
	told[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	char command[64];

	(void)state;
	container_set_free(b.containers);
	user_containers_free(b.user_containers);
	ceilings_free(b.ceilings);
	bind_checker_free(b.binds);
	b.engine = engine_free(b.engine);
	if (fake != NULL)
		fake_free(fake);
	fake = NULL;
	audit_free(b.audit);
	policy_unref(b.policy);
	event_base_free(b.base);
	(void)snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

/* Who asked has nothing then, and not what was let go of again. */
static void
test_failure_leaves_nothing(void **state)
{
	struct container *c = NULL;
	struct policy_grant *grant = grant_of();
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/rendezvous", runtime_dir);
	assert_int_equal(rmdir(path), 0);
	user_containers_all_found(b.user_containers);
	assert_int_equal(get(grant, &c), -ENOENT);
	assert_null(c);
	assert_int_equal(kept(), 0);
	assert_int_equal(container_set_count(b.containers), 0);
	policy_grant_unref(grant);
}

/* The host's directory is looked for when it is known that the container has to be made. */
static void
test_who_waits_hears_of_a_missing_directory(void **state)
{
	struct container *c = NULL;
	struct policy_grant *grant;

	(void)state;
	use_policy(policy_of("alice", "p", "one",
	    ", \"mounts\": [ { \"bind\": \"r/${user}\", \"to\": \"/home\" } ]"));
	grant = grant_of();
	assert_int_equal(get(grant, &c), 0);
	assert_null(container_down_text(c));
	user_containers_all_found(b.user_containers);
	while (container_down_text(c) == NULL)
		assert_int_equal(event_base_loop(b.base, EVLOOP_ONCE), 0);
	assert_non_null(strstr(told, "The directory for /home does not exist on this host."));
	container_release(c, &owner);
	assert_int_equal(kept(), 0);
	policy_grant_unref(grant);
}

/* One is being started and one may wait: nothing is wrong with the engine. */
static void
test_who_finds_the_queue_full_is_told(void **state)
{
	static const char *const profiles[] = { "p", "q", "r" };
	struct container *c[SP_ARRAY_LEN(profiles)] = { NULL };

	(void)state;
	use_engine(config.engine.socket, 1, 1);
	user_containers_all_found(b.user_containers);
	for (size_t i = 0; i < SP_ARRAY_LEN(profiles); i++) {
		struct policy_grant *grant;

		use_policy(policy_of("alice", profiles[i], "one", ""));
		grant = grant_of();
		assert_int_equal(get(grant, &c[i]), 0);
		policy_grant_unref(grant);
	}
	while (container_down_text(c[2]) == NULL)
		assert_int_equal(event_base_loop(b.base, EVLOOP_ONCE), 0);
	assert_string_equal(container_down_text(c[2]), CONTAINER_ENGINE_BUSY);
	for (size_t i = 0; i < SP_ARRAY_LEN(profiles); i++)
		container_release(c[i], &owner);
}

/* Else its place among those of the ceilings keeps its own user out. (The reload was not heard of.) */
static void
test_old_one_ends_before_a_new_one_needs_its_place(void **state)
{
	struct policy_grant *grant = grant_of();
	struct container *c = NULL;

	(void)state;
	user_containers_all_found(b.user_containers);
	assert_int_equal(get(grant, &c), 0);
	container_release(c, &owner);
	assert_true(has(grant));
	assert_int_equal(kept(), 1);
	policy_grant_unref(grant);
	use_policy(policy_of("alice", "p", "two", ""));
	grant = grant_of();
	assert_false(has(grant));
	assert_int_equal(kept(), 0);
	policy_grant_unref(grant);
}

static void
check_not_kept(struct policy *next)
{
	struct policy_grant *grant = grant_of();
	struct container *c = NULL;

	user_containers_all_found(b.user_containers);
	/* Nobody is in it when the policy changes. */
	assert_int_equal(get(grant, &c), 0);
	container_release(c, &owner);
	assert_int_equal(kept(), 1);
	use_policy(next);
	user_containers_policy_changed(b.user_containers);
	assert_int_equal(kept(), 0);
	/* A login by the earlier policy, which is there still, begins one after that. */
	c = NULL;
	assert_int_equal(get(grant, &c), 0);
	assert_int_equal(kept(), 1);
	container_release(c, &owner);
	assert_int_equal(kept(), 0);
	policy_grant_unref(grant);
}

static void
test_not_kept_without_its_profile(void **state)
{
	(void)state;
	check_not_kept(policy_of("alice", "q", "one", ""));
}

static void
test_not_kept_without_its_user(void **state)
{
	(void)state;
	check_not_kept(policy_of("bob", "p", "one", ""));
}

static void
test_not_kept_when_made_of_something_else(void **state)
{
	(void)state;
	check_not_kept(policy_of("alice", "p", "two", ""));
}

/* ---- of an earlier run ---- */

struct found {
	char text[512];
	char proof[INSTANCE_PROOF_LEN + 1];
	struct engine_label labels[3];
	struct engine_list_item item;
};

/* As the engine lists it: alice's, of the policy in force, when she logs in without a target. */
static void
find(struct found *f)
{
	static const char of[] = "alice\np\n\n";
	struct policy_grant *grant = grant_of();
	char key[MADE_OF_LEN + 1], like[MADE_OF_LEN + 1], all[1024], path[128];

	assert_int_equal(made_of_hash(of, sizeof(of) - 1, key), 0);
	assert_int_equal(made_of(&b, policy_grant_profile(grant), like), 0);
	(void)snprintf(f->text, sizeof(f->text), "%s %s %s 600000 1000 p -", SP_VERSION, key, like);
	(void)snprintf(all, sizeof(all), "kept\n%s\nalice\n%s", NAME, f->text);
	assert_int_equal(instance_proof(&b.instance, all, f->proof), 0);
	f->labels[0] = (struct engine_label){ CONTAINER_LABEL_KEPT, f->text };
	f->labels[1] = (struct engine_label){ CONTAINER_LABEL_KEPT_PROOF, f->proof };
	f->labels[2] = (struct engine_label){ CONTAINER_LABEL_USER, "alice" };
	f->item = (struct engine_list_item){ .name = NAME,
		.state = "running",
		.labels = f->labels,
		.n_labels = 3 };
	memcpy(f->item.id, ID, ENGINE_ID_LEN);
	(void)snprintf(path, sizeof(path), "%s/rendezvous/%s", runtime_dir, NAME);
	make(path);
	policy_grant_unref(grant);
}

static void
test_found_one_takes_its_place(void **state)
{
	struct policy_grant *grant = grant_of();
	struct found f;

	(void)state;
	find(&f);
	assert_true(user_containers_found(b.user_containers, &f.item));
	user_containers_all_found(b.user_containers);
	assert_true(has(grant));
	assert_int_equal(ceilings_held(b.ceilings, CEILING_CONTAINERS), 1);
	assert_int_equal(ceilings_held(b.ceilings, CEILING_MEMORY),
	    policy_grant_profile(grant)->memory);
	assert_int_equal(user_containers_end(b.user_containers, "alice"), 1);
	assert_int_equal(ceilings_held(b.ceilings, CEILING_CONTAINERS), 0);
	policy_grant_unref(grant);
}

/* A mark is a name in a directory, and any number can be in it. */
static void
test_mark_is_any_number(void **state)
{
	char path[128];
	struct found f;

	(void)state;
	find(&f);
	(void)snprintf(path, sizeof(path), "%s/kept/%s.%lld", state_dir, NAME, (long long)INT64_MAX);
	make(path);
	assert_true(user_containers_found(b.user_containers, &f.item));
	assert_int_equal(kept(), 1);
	assert_true(left_ms > 590000 && left_ms <= 600000);
}

static bool
has_none(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return false;
}

/* Its name is all of it: what is left of that is no mark, or one of an earlier second, and is swept away. */
static void
test_mark_is_cut_at_any_byte(void **state)
{
	static const char mark[] = NAME ".86400";
	char path[128], cut[sizeof(mark)];

	(void)state;
	for (size_t n = 1; n < sizeof(mark); n++) {
		int64_t until;

		(void)snprintf(cut, sizeof(cut), "%.*s", (int)n, mark);
		(void)snprintf(path, sizeof(path), "%s/kept/%s", state_dir, cut);
		make(path);
		until = n > sizeof(NAME) ? strtoll(cut + sizeof(NAME), NULL, 10) : 0;
		assert_int_equal(keep_mark_find(state_dir, NAME), until);
		keep_mark_sweep(state_dir, has_none, NULL);
		assert_int_equal(access(path, F_OK), -1);
	}
}

/* Its directory goes before it is told to end, and the broker died right after that. */
static void
test_found_one_was_told_to_end(void **state)
{
	char path[128];
	struct found f;

	(void)state;
	find(&f);
	(void)snprintf(path, sizeof(path), "%s/rendezvous/%s", runtime_dir, NAME);
	assert_int_equal(rmdir(path), 0);
	assert_false(user_containers_found(b.user_containers, &f.item));
	assert_int_equal(kept(), 0);
}

static void
test_found_one_is_somebody_elses_by_a_changed_label(void **state)
{
	struct found f;

	(void)state;
	use_policy(policy_of("alice", "p", "one", ""));
	find(&f);
	f.labels[2].value = "bob";
	assert_false(user_containers_found(b.user_containers, &f.item));
	f.labels[2].value = "alice";
	f.item.name = "sallyport-0123456789abcdee";
	assert_false(user_containers_found(b.user_containers, &f.item));
	f.item.name = NAME;
	use_policy(policy_of("bob", "p", "one", ""));
	assert_false(user_containers_found(b.user_containers, &f.item));
	assert_int_equal(kept(), 0);
}

static void
test_who_waited_for_it_is_written_down(void **state)
{
	struct policy_grant *grant = grant_of();
	struct container *c = NULL;
	char line[1024] = "";
	SP_CLEANUP_FD int fd = -1;
	struct found f;

	(void)state;
	find(&f);
	assert_int_equal(get(grant, &c), 0);
	assert_true(user_containers_found(b.user_containers, &f.item));
	assert_string_equal(container_name(c), NAME);
	assert_int_equal(kept(), 1);
	fd = open(audit_file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
	assert_non_null(strstr(line, "\"container.handout\""));
	assert_non_null(strstr(line, "\"c0ffee00\""));
	assert_non_null(strstr(line, "\"alice\""));
	assert_non_null(strstr(line, NAME));
	container_release(c, &owner);
	policy_grant_unref(grant);
}

/* What the engine says when it looks at it: it runs, and this process is its first. */
static const char *
seen_running(void)
{
	static const char stopped[] = "\"Running\":false", no_pid[] = "\"Pid\":0";
	static char text[sizeof(inspected) + 16];
	const char *state = strstr(inspected, stopped);
	const char *pid = strstr(inspected, no_pid);
	int n;

	assert_true(state != NULL && pid != NULL && state < pid);
	state += strlen(stopped);
	n = snprintf(text, sizeof(text), "%.*s\"Running\":true%.*s\"Pid\":%d%s",
	    (int)(state - strlen(stopped) - inspected), inspected, (int)(pid - state), state,
	    (int)getpid(), pid + strlen(no_pid));
	assert_true(n > 0 && n < (int)sizeof(text));
	return text;
}

/* As its guest does. */
static int
report(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/rendezvous/%s/socket",
			runtime_dir, NAME) < (int)sizeof(addr.sun_path));
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Until the engine has answered all that it was asked. */
static void
let_it_answer(void)
{
	do
		assert_int_equal(event_base_loop(b.base, EVLOOP_ONCE), 0);
	while (engine_counts(b.engine).calls > 0);
}

static void
use_engine_that_sees_it(void)
{
	const struct fake_rule rules[] = {
		{ .path = "/_ping", .status = 200, .body = "OK" },
		{ .path = "/networks", .status = 200, .body = "[]" },
		{ .method = "GET", .path = "*/json", .status = 200, .body = seen_running() },
		{ .method = "DELETE", .path = "/containers/", .status = 204, .body = "" },
	};

	fake = fake_new(rules, SP_ARRAY_LEN(rules));
	use_engine(fake_path(fake), 4, 16);
}

/* The guest is this process, and what it may do has nothing to do with it: test_kernel_account.c. */
int __wrap_kernel_account_check_docker(pid_t pid, const struct engine_container_spec *spec,
    char *why, size_t cap);

int
__wrap_kernel_account_check_docker(pid_t pid, const struct engine_container_spec *spec, char *why,
    size_t cap)
{
	assert_null(spec); /* of one that was found nothing is known any more */
	assert_int_equal(pid, getpid());
	assert_non_null(why);
	assert_true(cap > 0);
	return 0;
}

static void
test_found_one_comes_up(void **state)
{
	struct policy_grant *grant = grant_of();
	SP_CLEANUP_FD int guest = -1;
	struct container *c = NULL;
	struct found f;

	(void)state;
	use_engine_that_sees_it();
	find(&f);
	assert_true(user_containers_found(b.user_containers, &f.item));
	user_containers_all_found(b.user_containers);
	guest = report();
	let_it_answer();
	assert_int_equal(get(grant, &c), 0);
	assert_true(container_is_up(c));
	assert_string_equal(container_name(c), NAME);
	policy_grant_unref(grant);
}

/* The same, and at the moment when it is found nothing can be written down. */
static void
test_found_one_that_is_down_stays_down(void **state)
{
	struct policy_grant *grant = grant_of();
	struct container *waiting = NULL;
	struct container *other = NULL;
	SP_CLEANUP_FD int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	SP_CLEANUP_FD int log = open(audit_file, O_WRONLY | O_APPEND | O_CLOEXEC);
	SP_CLEANUP_FD int guest = -1;
	struct found f;

	(void)state;
	assert_true(full >= 0 && log >= 0);
	use_engine_that_sees_it();
	find(&f);
	assert_int_equal(get(grant, &waiting), 0);
	audit_reopened(b.audit, &full);
	assert_true(user_containers_found(b.user_containers, &f.item));
	assert_non_null(container_down_text(waiting));
	guest = report();
	audit_reopened(b.audit, &log);
	let_it_answer();
	assert_int_equal(fake_seen(fake, "GET", "/json"), 1);
	assert_non_null(container_down_text(waiting));
	/* Who comes now has another one, and this one goes with who has waited for it. */
	user_containers_all_found(b.user_containers);
	assert_int_equal(get(grant, &other), 0);
	assert_ptr_not_equal(other, waiting);
	container_release(waiting, &owner);
	let_it_answer();
	while (engine_counts(b.engine).discarding > engine_counts(b.engine).absent)
		assert_int_equal(event_base_loop(b.base, EVLOOP_ONCE), 0);
	assert_int_equal(fake_seen(fake, "DELETE", f.item.id), 1);
	policy_grant_unref(grant);
}

/* ---- the service stops ---- */

static void
stop_service(void)
{
	b.draining = true;
	user_containers_stop(b.user_containers);
}

static void
test_begun_one_does_not_stay(void **state)
{
	struct policy_grant *grant = grant_of();
	struct container *c = NULL;

	(void)state;
	user_containers_all_found(b.user_containers);
	assert_int_equal(get(grant, &c), 0);
	container_release(c, &owner);
	assert_int_equal(kept(), 1);
	assert_int_equal(user_containers_staying(b.user_containers), 0);
	stop_service();
	assert_int_equal(kept(), 0);
	policy_grant_unref(grant);
}

/* Nobody is in it; or somebody waits for it, and goes. */
static void
test_found_one_stays(void **state)
{
	struct policy_grant *grant = grant_of();
	struct container *c = NULL;
	struct found f;

	(void)state;
	find(&f);
	assert_true(user_containers_found(b.user_containers, &f.item));
	user_containers_all_found(b.user_containers);
	stop_service();
	assert_int_equal(user_containers_staying(b.user_containers), 1);
	assert_int_equal(get(grant, &c), 0);
	assert_string_equal(container_name(c), NAME);
	assert_int_equal(user_containers_staying(b.user_containers), 0);
	container_release(c, &owner);
	assert_int_equal(user_containers_staying(b.user_containers), 1);
	assert_int_equal(kept(), 1);
	assert_true(left_ms > 590000);
	policy_grant_unref(grant);
}

/* The engine does not answer in time, or at all: that is not for this run to judge any more. */
static void
check_failed_one_stays(bool waited_for)
{
	struct policy_grant *grant = grant_of();
	struct container *c = NULL;
	struct found f;

	find(&f);
	assert_true(user_containers_found(b.user_containers, &f.item));
	user_containers_all_found(b.user_containers);
	if (waited_for)
		assert_int_equal(get(grant, &c), 0);
	stop_service();
	let_it_answer();
	if (waited_for) {
		assert_non_null(strstr(told, "could not be found again"));
		container_release(c, &owner);
	}
	assert_int_equal(user_containers_staying(b.user_containers), 1);
	assert_int_equal(kept(), 1);
	assert_true(left_ms > 0);
	assert_int_equal(engine_counts(b.engine).discarding, 0);
	policy_grant_unref(grant);
}

static void
test_found_one_that_fails_stays(void **state)
{
	(void)state;
	check_failed_one_stays(false);
}

static void
test_found_one_that_fails_under_somebody_stays(void **state)
{
	(void)state;
	check_failed_one_stays(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_failure_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_waits_hears_of_a_missing_directory, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_who_finds_the_queue_full_is_told, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_old_one_ends_before_a_new_one_needs_its_place,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_kept_without_its_profile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_kept_without_its_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_kept_when_made_of_something_else, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_found_one_takes_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mark_is_any_number, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mark_is_cut_at_any_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_one_was_told_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_one_is_somebody_elses_by_a_changed_label,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_waited_for_it_is_written_down, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_found_one_comes_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_one_that_is_down_stays_down, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_begun_one_does_not_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_one_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_one_that_fails_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_one_that_fails_under_somebody_stays,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
