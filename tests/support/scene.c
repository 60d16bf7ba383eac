/* SPDX-License-Identifier: Apache-2.0 */
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ceilings.h"
#include "config.h"
#include "container.h"
#include "engine.h"
#include "fd.h"
#include "fuzz_check.h"
#include "host_key.h"
#include "ipc_chan.h"
#include "log.h"
#include "peer.h"
#include "policy.h"
#include "scene_private.h"
#include "worker_pool.h"
#include "write_budget.h"

/* As in spawner.c. */
#define REPORT_STARTED 2
#define REPORT_EXITED  4
#define REQUEST_RAISE  8

const char *const scene_names[SCENE_USERS + 1] = { "alice", "bob", "carol", "nobody" };

static const char policy_form[] =
    "{ \"sallyport_policy\": 1, \"users\": {"
    "  \"alice\": { \"keys\": [\"%s\"] }, \"bob\": { \"keys\": [\"%s\"] },"
    "  \"carol\": { \"keys\": [\"%s\"] } },"
    "\"profiles\": {"
    "  \"shared\": { \"container\": { \"image\": \"shared-image\", \"user\": \"1001:1001\" },"
    "    \"session\": { \"channels\": 3, \"forward\": { \"local\": [\"container:%d\"],"
    "      \"remote\": [\"container:0\"], \"agent\": true, \"x11\": true } } },"
    "  \"single\": { \"container\": { \"image\": \"single-image\", \"user\": \"1002:1002\","
    "    \"mode\": \"session\", \"stop_grace\": \"2s\", \"env\": { \"FIXED\": \"yes\" } },"
    "    \"session\": { \"pty\": false, \"env\": [\"*\"], \"channels\": 5 } } },"
    "\"ceilings\": { \"per_user\": { \"containers\": 4 } },"
    "\"rules\": ["
    "  { \"id\": \"a\", \"if\": { \"user\": [\"alice\"] }, \"use\": \"shared\" },"
    "  { \"id\": \"b\", \"if\": { \"user\": [\"bob\"] }, \"use\": \"single\" },"
    "  { \"id\": \"c\", \"deny\": \"Not today.\" } ] }";

static const char config_text[] =
    "{ \"listen\": [\"127.0.0.1:1\"], \"host_keys\": [\"/nowhere\"], \"policy\": \"/nowhere\","
    "  \"worker\": { \"user\": \"64222\", \"prespawn\": 1 },"
    "  \"login\": { \"max_startups\": 6, \"penalties\": false }, \"limits\": { \"connections\": 8 } }";

struct scene *scene_now;
static struct config *config;
static struct host_key_set *host_keys;
static struct policy *policy;
static char *policy_text;
static int64_t now_us;
static int64_t date_jump;
static void (*around_broker)(bool broker);

void
scene_enter(bool broker)
{
	if (around_broker != NULL)
		around_broker(broker);
}

/* ---- time ---- */

int scene_clock_gettime(clockid_t id, struct timespec *ret) __asm__("clock_gettime")
    __attribute__((visibility("default")));

/* Instead of libc's, for libevent too. */
int
scene_clock_gettime(clockid_t id, struct timespec *ret)
{
	if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME) {
		ret->tv_sec = now_us / 1000000;
		ret->tv_nsec = now_us % 1000000 * 1000;
		return 0;
	}
	if (syscall(SYS_clock_gettime, id, ret) < 0)
		return -1;
	ret->tv_sec += date_jump;
	return 0;
}

int64_t
scene_now_us(void)
{
	return now_us;
}

void
scene_set_date_jump(int64_t seconds)
{
	date_jump = seconds;
}

/* ---- the spawner and the workers ---- */

static void
report(struct scene *s, uint8_t kind, uint32_t token, uint32_t value, int pidfd)
{
	uint8_t buf[64];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, kind);
	wire_put_u32(&w, token);
	wire_put_u32(&w, value);
	FUZZ_CHECK(
	    ipc_chan_send(s->spawner, w.data, w.len, &pidfd, pidfd >= 0 ? 1 : 0, MSG_DONTWAIT) == 0);
}

/* Take one request to the spawner. False: there is none. */
static bool
take_request(struct scene *s)
{
	struct scene_worker *w = NULL;
	struct wire_reader r;
	int fds[2] = { -1, -1 };
	unsigned n_fds;
	uint8_t buf[64];
	uint32_t token;
	uint8_t kind;
	size_t len;
	int null;

	if (ipc_chan_recv_fds(s->spawner, buf, sizeof(buf), &len, fds, 2, &n_fds, MSG_DONTWAIT) != 0)
		return false;
	wire_reader_init(&r, buf, len);
	kind = wire_get_u8(&r);
	token = wire_get_u32(&r);
	/* No worker is worth more than a stranger's before anybody has proven to be somebody. */
	if (kind == REQUEST_RAISE) {
		FUZZ_CHECK(n_fds == 0 && s->somebody);
		return true;
	}
	FUZZ_CHECK(n_fds == 2);
	for (size_t i = 0; i < SCENE_WORKERS_MAX && w == NULL; i++) {
		if (!s->workers[i].used)
			w = &s->workers[i];
	}
	FUZZ_CHECK(w != NULL);
	memset(w, 0, sizeof(*w));
	w->used = true;
	w->token = token;
	w->ipc = fds[0];
	w->log = fds[1];
	w->stage = SCENE_STARTING;
	w->proven = w->user = SCENE_NOBODY;
	w->asked_us = -1;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	FUZZ_CHECK(null >= 0);
	report(s, REPORT_STARTED, w->token, 12345, null);
	fd_close(&null);
	w->started = true;
	return true;
}

void
scene_report_exit(struct scene *s, struct scene_worker *w, int status)
{
	if (!w->used || w->exited)
		return;
	w->exited = true;
	fd_close(&w->ipc);
	fd_close(&w->log);
	report(s, REPORT_EXITED, w->token, (uint32_t)status, -1);
	scene_turn(s);
	w->used = false;
}

void
scene_close(struct scene *s, struct scene_worker *w)
{
	fd_close(&w->ipc);
	scene_turn(s);
}

void
scene_turn(struct scene *s)
{
	bool again = true;

	while (again) {
		scene_enter(true);
		for (unsigned i = 0; i < 3; i++)
			FUZZ_CHECK(event_base_loop(s->broker.base, EVLOOP_NONBLOCK) >= 0);
		scene_enter(false);
		again = false;
		while (take_request(s))
			again = true;
	}
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++) {
		if (s->workers[i].used)
			scene_hear(&s->workers[i]);
	}
}

void
scene_pass(struct scene *s, int64_t us)
{
	now_us += us;
	scene_turn(s);
}

struct scene_worker *
scene_pick(struct scene *s, unsigned i)
{
	unsigned n = 0;

	for (size_t k = 0; k < SCENE_WORKERS_MAX; k++)
		n += s->workers[k].used && s->workers[k].ipc >= 0;
	if (n == 0)
		return NULL;
	i %= n;
	for (size_t k = 0; k < SCENE_WORKERS_MAX; k++) {
		if (s->workers[k].used && s->workers[k].ipc >= 0 && i-- == 0)
			return &s->workers[k];
	}
	return NULL;
}

void
scene_client(struct scene *s, uint8_t net)
{
	struct peer_client client = { .source.ss_family = AF_INET };
	struct sockaddr_in *in4 = (struct sockaddr_in *)&client.source;
	int pair[2];

	in4->sin_addr.s_addr = htonl(0x0a000000U | net);
	in4->sin_port = htons(4000);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	scene_enter(true);
	worker_pool_serve(s->broker.workers, &pair[0], &client);
	scene_enter(false);
	FUZZ_CHECK(pair[0] == -1);
	fd_close(&pair[1]);
	scene_turn(s);
}

struct scene_worker *
scene_log_in(struct scene *s, enum scene_user user)
{
	uint8_t buf[8192];
	struct scene_worker *w = scene_pick(s, 0);

	for (unsigned i = 0; i < SCENE_WORKERS_MAX && w != NULL && w->stage != SCENE_STARTING; i++)
		w = scene_pick(s, i);
	if (w == NULL || w->stage != SCENE_STARTING)
		return NULL;
	scene_send(s, w, buf, scene_put_ready(buf, sizeof(buf)));
	scene_client(s, 1);
	scene_send(s, w, buf, scene_put_sign(w, false, buf, sizeof(buf)));
	scene_send(s, w, buf, scene_put_query(user, user, buf, sizeof(buf)));
	scene_send(s, w, buf, scene_put_auth(w, user, buf, sizeof(buf)));
	return w->ipc >= 0 && w->stage == SCENE_LOGGED_IN ? w : NULL;
}

/* ---- the whole of it ---- */

static struct policy *
load_policy(void)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;

	FUZZ_CHECK(policy_parse("scene", policy_text, strlen(policy_text), &p, &diags) == 0);
	diag_list_clear(&diags);
	return p;
}

static void
make_policy(void)
{
	char lines[SCENE_USERS][SCENE_KEY_LINE];

	for (unsigned i = 0; i < SCENE_USERS; i++)
		scene_key_line((enum scene_user)i, lines[i]);
	FUZZ_CHECK(asprintf(&policy_text, policy_form, lines[0], lines[1], lines[2], SCENE_PORT) > 0);
	policy = load_policy();
}

static void
put_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	(void)close(fd);
}

static void
load_files(void)
{
	char directory[] = "/tmp/sp-scene-XXXXXX";
	struct diag_list diags = DIAG_LIST_INIT;
	char why[1024] = "";
	char path[64];
	size_t len;
	char *key = fuzz_read_data("keys/ed25519", &len);
	const char *const paths[] = { path, NULL };

	FUZZ_CHECK(mkdtemp(directory) != NULL);
	(void)snprintf(path, sizeof(path), "%s/file", directory);
	put_file(path, key, len);
	FUZZ_CHECK(host_key_set_load(paths, false, &host_keys, why, sizeof(why)) == 0);
	put_file(path, config_text, strlen(config_text));
	FUZZ_CHECK(config_load(path, &config, &diags) == 0);
	diag_list_clear(&diags);
	(void)unlink(path);
	(void)rmdir(directory);
	free(key);
}

void
scene_setup(void)
{
	scene_make_users();
	make_policy();
	load_files();
	(void)signal(SIGPIPE, SIG_IGN); /* as the broker has it */
	/* Every line is made, escaped and written: wherever descriptor 2 goes. */
	log_setup("scene", LOG_LEVEL_DEBUG, false);
}

int
scene_group_setup(void **state)
{
	(void)state;
	scene_setup();
	return 0;
}

static void
on_ready(void *arg)
{
	struct scene *s = arg;

	s->ready = true;
}

static void
on_broken(void *arg, const char *why)
{
	struct scene *s = arg;

	(void)why;
	s->broken = true;
}

static int first_fd;

void
scene_begin(struct scene *s)
{
	scene_begin_around(s, NULL);
}

void
scene_begin_around(struct scene *s, void (*around)(bool broker))
{
	struct worker_pool_events events = { on_ready, on_broken, s };
	int pair[2];

	memset(s, 0, sizeof(*s));
	scene_engine_begin();
	s->faulty = around != NULL;
	scene_now = s;
	around_broker = around;
	now_us = 1000000000;
	first_fd = fuzz_next_fd();
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	FUZZ_CHECK(fd_set_nonblock(pair[0]) == 0);
	s->spawner = pair[1];
	s->broker.config = config;
	s->broker.host_keys = host_keys;
	s->broker.policy = policy_ref(policy);
	s->broker.generation = 1;
	s->broker.instance.lock_fd = -1;
	memset(s->broker.instance.secret, 7, sizeof(s->broker.instance.secret));
	s->broker.audit = scene_audit_begin();
	s->broker.base = event_base_new();
	FUZZ_CHECK(s->broker.base != NULL);
	FUZZ_CHECK(container_set_new(&s->broker, &s->broker.containers) == 0);
	FUZZ_CHECK(ceilings_new(&s->broker.ceilings) == 0);
	FUZZ_CHECK(write_budgets_new(&s->broker.write_budgets) == 0);
	FUZZ_CHECK(worker_pool_new(&s->broker, pair[0], -1, &events, &s->broker.workers) == 0);
	scene_turn(s);
}

void
scene_reload(struct scene *s)
{
	policy_unref(s->broker.policy);
	s->broker.policy = load_policy();
	s->broker.generation++;
}

void
scene_set_policy(struct scene *s, const char *rest)
{
	struct diag_list diags = DIAG_LIST_INIT;
	char lines[SCENE_USERS][SCENE_KEY_LINE];
	char *text = NULL;

	for (unsigned i = 0; i < SCENE_USERS; i++)
		scene_key_line((enum scene_user)i, lines[i]);
	FUZZ_CHECK(asprintf(&text,
		       "{ \"sallyport_policy\": 1, \"users\": { \"alice\": { \"keys\": [\"%s\"] },"
		       "\"bob\": { \"keys\": [\"%s\"] }, \"carol\": { \"keys\": [\"%s\"] } }, %s }",
		       lines[0], lines[1], lines[2], rest) > 0);
	policy_unref(s->broker.policy);
	FUZZ_CHECK(policy_parse("scene", text, strlen(text), &s->broker.policy, &diags) == 0);
	diag_list_clear(&diags);
	free(text);
}

/* Every request of a worker that is still there has its answer, now that nothing is under way. */
static void
check_answered(struct scene *s)
{
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++) {
		const struct scene_worker *w = &s->workers[i];

		if (!w->used || w->ipc < 0 || w->deaf || w->muddled)
			continue;
		for (unsigned c = 0; c < IPC_CHANNEL_MAX; c++)
			FUZZ_CHECK(w->channels[c].starts == 0 && w->channels[c].forwards == 0 &&
			    w->channels[c].listens == 0 && w->channels[c].accepts == 0);
		FUZZ_CHECK(w->asked_us < 0);
	}
}

void
scene_end(struct scene *s)
{
	s->start_result = 0;
	scene_pass(s, 20000);
	while (scene_launched(s, 0, ENGINE_E_TIMEOUT) || scene_path_failed(s, 0) ||
	    scene_ordered(s, 0))
		continue;
	check_answered(s);
	worker_pool_end_all(s->broker.workers, "the scene ends");
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++)
		scene_report_exit(s, &s->workers[i], 0);
	FUZZ_CHECK(worker_pool_is_empty(s->broker.workers));
	scene_pass(s, 20000000); /* every grace time */
	FUZZ_CHECK(container_set_count(s->broker.containers) == 0);
	FUZZ_CHECK(scene_engine_is_empty());
	worker_pool_free(s->broker.workers);
	container_set_free(s->broker.containers);
	/* Whatever way it ended, its place is free. */
	for (unsigned kind = 0; kind < CEILING_KINDS; kind++)
		FUZZ_CHECK(ceilings_held(s->broker.ceilings, kind) == 0);
	ceilings_free(s->broker.ceilings);
	write_budgets_free(s->broker.write_budgets);
	event_base_free(s->broker.base);
	policy_unref(s->broker.policy);
	scene_audit_end(s);
	fd_close(&s->spawner);
	FUZZ_CHECK(fuzz_next_fd() == first_fd);
}
