/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "container.h"
#include "data_path.h"
#include "dispatch.h"
#include "engine.h"
#include "fd.h"
#include "fuzz_check.h"
#include "guest_msg.h"
#include "host_key.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "log.h"
#include "peer.h"
#include "policy.h"
#include "ssh_version.h"
#include "worker_pool.h"

#define LAUNCHES_MAX     64
#define REFUSAL_LEAST_US 5000

/* As in spawner.c. */
#define REPORT_STARTED 2
#define REPORT_EXITED  4

const char *const scene_names[SCENE_USERS + 1] = { "alice", "bob", "carol", "nobody" };

static const char policy_form[] =
    "{ \"sallyport_policy\": 1, \"users\": {"
    "  \"alice\": { \"keys\": [\"%s\"] }, \"bob\": { \"keys\": [\"%s\"] },"
    "  \"carol\": { \"keys\": [\"%s\"] } },"
    "\"profiles\": {"
    "  \"shared\": { \"container\": { \"image\": \"shared-image\", \"user\": \"1001:1001\" },"
    "    \"session\": { \"channels\": 3 } },"
    "  \"single\": { \"container\": { \"image\": \"single-image\", \"user\": \"1002:1002\","
    "    \"mode\": \"session\", \"stop_grace\": \"2s\", \"env\": { \"FIXED\": \"yes\" } },"
    "    \"session\": { \"pty\": false, \"env\": [\"*\"], \"channels\": 5 } } },"
    "\"rules\": ["
    "  { \"id\": \"a\", \"if\": { \"user\": [\"alice\"] }, \"use\": \"shared\" },"
    "  { \"id\": \"b\", \"if\": { \"user\": [\"bob\"] }, \"use\": \"single\" },"
    "  { \"id\": \"c\", \"deny\": \"Not today.\" } ] }";

static const char config_text[] =
    "{ \"listen\": [\"127.0.0.1:1\"], \"host_keys\": [\"/nowhere\"], \"policy\": \"/nowhere\","
    "  \"worker\": { \"user\": \"64222\", \"prespawn\": 1 },"
    "  \"login\": { \"max_startups\": 6, \"penalties\": false }, \"limits\": { \"connections\": 8 } }";

static const char *const images[] = { "shared-image", "single-image" };
static const uid_t uids[] = { 1001, 1002 };

struct data_path {
	struct data_path_events events;
	struct scene_launch *launch;
	bool launched, ready, hung_up;
};

struct engine_call {
	struct scene_launch *launch;
};

struct scene_launch {
	bool used;
	struct engine_call call; /* handed out */
	char name[64];
	struct data_path *path;
	engine_done_fn *done; /* NULL: not asked for, answered or cancelled */
	void *arg;
	enum scene_user user;
	char id[ENGINE_ID_LEN + 1];
	int process; /* our end of what stands for its first process's pidfd; -1: none */
	bool exists; /* in the engine; false after engine_discard() */
};

static struct scene *scene;
static struct scene_launch launches[LAUNCHES_MAX];
static EVP_PKEY *user_keys[SCENE_USERS + 1];
static uint8_t user_blobs[SCENE_USERS + 1][51];
static struct config *config;
static struct host_key_set *host_keys;
static struct policy *policy;
static char *policy_text;
static int64_t now_us;
static int64_t date_jump;
static uint8_t record[IPC_RECORD_MAX];
static void (*around_broker)(bool broker);

static void
enter(bool broker)
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

/* ---- the engine ---- */

static struct scene_launch *
find_launch(const char *name)
{
	for (size_t i = 0; i < LAUNCHES_MAX; i++) {
		if (launches[i].used && strcmp(launches[i].name, name) == 0)
			return &launches[i];
	}
	return NULL;
}

static void
forget_launch(struct scene_launch *l)
{
	if (l->done != NULL || l->path != NULL || l->exists)
		return;
	fd_close(&l->process);
	l->used = false;
}

static const char *
label_of(const struct engine_container_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_labels; i++) {
		if (strcmp(spec->labels[i].name, name) == 0)
			return spec->labels[i].value;
	}
	return NULL;
}

static bool
has_login(enum scene_user user)
{
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++) {
		const struct scene_worker *w = &scene->workers[i];

		if (w->used && w->ipc >= 0 && w->proven == user)
			return true;
	}
	return false;
}

/* Who has earned this container: somebody whose login is proven, and who is still there. */
static enum scene_user
owner_of(const struct engine_container_spec *spec)
{
	const char *name = label_of(spec, "sallyport.user");
	unsigned user = 0;

	FUZZ_CHECK(name != NULL);
	while (user < SCENE_USERS && strcmp(scene_names[user], name) != 0)
		user++;
	FUZZ_CHECK(user < SP_ARRAY_LEN(images) && has_login((enum scene_user)user));
	FUZZ_CHECK(strcmp(spec->image, images[user]) == 0 && spec->uid == uids[user]);
	return (enum scene_user)user;
}

int
engine_launch(struct engine *e, const struct engine_container_spec *spec, engine_done_fn *done,
    void *arg, struct engine_call **ret_call)
{
	struct scene_launch *l = find_launch(spec->name);
	char why[256] = "";

	(void)e;
	FUZZ_CHECK(l != NULL && l->path != NULL && l->done == NULL);
	FUZZ_CHECK(engine_spec_check(spec, why, sizeof(why)) == 0);
	l->user = owner_of(spec);
	l->done = done;
	l->arg = arg;
	l->call.launch = l;
	*ret_call = &l->call;
	scene->launches++;
	return 0;
}

/* The real one removes what a cancelled launch has made or may still make. */
void
engine_cancel(struct engine_call *call)
{
	if (call == NULL)
		return;
	FUZZ_CHECK(call->launch->done != NULL);
	call->launch->done = NULL;
	forget_launch(call->launch);
}

int
engine_discard(struct engine *e, const char *id)
{
	(void)e;
	for (size_t i = 0; i < LAUNCHES_MAX; i++) {
		struct scene_launch *l = &launches[i];

		if (!l->used || !l->exists || strcmp(l->id, id) != 0)
			continue;
		l->exists = false;
		scene->discards++;
		forget_launch(l);
		return 0;
	}
	fuzz_broken(__FILE__, __LINE__, "a container is removed that does not exist");
}

const char *
engine_error_name(enum engine_error error)
{
	return error == ENGINE_OK ? "ok" : "error";
}

/* ---- the data path ---- */

static int
path_open(struct broker *b, const char *name, const struct data_path_events *events,
    struct data_path **ret)
{
	struct data_path *d = calloc(1, sizeof(*d));
	struct scene_launch *l = NULL;

	(void)b;
	if (d == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < LAUNCHES_MAX && l == NULL; i++) {
		if (!launches[i].used)
			l = &launches[i];
	}
	if (l == NULL) {
		free(d);
		return -EMFILE;
	}
	memset(l, 0, sizeof(*l));
	l->used = true;
	l->process = -1;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	(void)snprintf(l->id, sizeof(l->id), "%064zx", (size_t)(l - launches) + 1);
	d->events = *events;
	d->launch = l;
	l->path = d;
	*ret = d;
	return 0;
}

static void
path_describe(struct data_path *d, struct engine_container_spec *spec, struct engine_mount *mounts)
{
	static const char *const entrypoint[] = { GUEST_PROGRAM, NULL };

	(void)d;
	spec->entrypoint = entrypoint;
	mounts[0] = (struct engine_mount){ .kind = ENGINE_MOUNT_BIND,
		.source = "/guest",
		.target = GUEST_BUNDLE_DIR,
		.read_only = true };
	mounts[1] = (struct engine_mount){ .kind = ENGINE_MOUNT_BIND,
		.source = "/rendezvous",
		.target = GUEST_RENDEZVOUS_DIR,
		.read_only = true };
}

static void
path_launched(struct data_path *d, const struct engine_container *seen)
{
	FUZZ_CHECK(seen != NULL && !d->launched);
	d->launched = true;
}

static bool
order_has(const struct guest_spawn *order, const char *entry)
{
	for (uint32_t i = 0; i < order->n_env; i++) {
		if (wire_span_is(order->env[i], entry))
			return true;
	}
	return false;
}

/* What is fixed by the policy and the login is in the order, whatever the request said. */
static void
check_order(const struct scene_launch *l, const struct guest_spawn *order)
{
	char user[80];

	FUZZ_CHECK(has_login(l->user));
	FUZZ_CHECK(order->n_argv >= 1 && wire_span_is(order->argv[0], "/bin/sh"));
	FUZZ_CHECK(order->n_argv == 1 || (order->n_argv == 3 && wire_span_is(order->argv[1], "-c")));
	FUZZ_CHECK(!order->want_pty || l->user == SCENE_ALICE);
	(void)snprintf(user, sizeof(user), "USER=%s", scene_names[l->user]);
	FUZZ_CHECK(order_has(order, user));
	if (l->user == SCENE_BOB)
		FUZZ_CHECK(wire_span_is(order->env[order->n_env - 1], "FIXED=yes"));
}

static int
path_start(struct data_path *d, const struct guest_spawn *order, struct data_path_streams *ret)
{
	unsigned n = order->want_pty ? 1 : IPC_START_FDS;

	FUZZ_CHECK(d->ready && !d->hung_up);
	check_order(d->launch, order);
	if (scene->start_result != 0)
		return scene->start_result;
	for (ret->n = 0; ret->n < n; ret->n++) {
		ret->fds[ret->n] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (ret->fds[ret->n] < 0) {
			int r = -errno;

			fd_close_all(ret->fds, ret->n);
			return r;
		}
	}
	return 0;
}

static void
path_hang_up(struct data_path *d)
{
	d->hung_up = true;
}

static void
path_close(struct data_path *d)
{
	if (d == NULL)
		return;
	d->launch->path = NULL;
	forget_launch(d->launch);
	free(d);
}

const struct data_path_ops data_path_direct = {
	.name = "scene",
	.open = path_open,
	.describe = path_describe,
	.launched = path_launched,
	.start = path_start,
	.hang_up = path_hang_up,
	.close = path_close,
};

enum wanted {
	WANT_ANSWER,
	WANT_REPORT,
	WANT_PROCESS,
};

static bool
fits(const struct scene_launch *l, enum wanted wanted)
{
	if (!l->used)
		return false;
	if (wanted == WANT_ANSWER)
		return l->done != NULL;
	if (wanted == WANT_REPORT)
		return l->path != NULL && l->path->launched && !l->path->ready && !l->path->hung_up;
	return l->process >= 0;
}

static struct scene_launch *
pick_launch(unsigned i, enum wanted wanted)
{
	unsigned n = 0;

	for (size_t k = 0; k < LAUNCHES_MAX; k++)
		n += fits(&launches[k], wanted);
	if (n == 0)
		return NULL;
	i %= n;
	for (size_t k = 0; k < LAUNCHES_MAX; k++) {
		if (fits(&launches[k], wanted) && i-- == 0)
			return &launches[k];
	}
	return NULL;
}

bool
scene_launched(struct scene *s, unsigned i, unsigned error)
{
	struct scene_launch *l = pick_launch(i, WANT_ANSWER);
	struct engine_container seen = { .running = true, .pid = 1, .started_at = "now" };
	struct engine_result result = { .error = (enum engine_error)(error % (ENGINE_E_NO_MEMORY + 1)),
		.sentence = "the engine's own words \x1b[31m",
		.id = "",
		.warning = "" };
	engine_done_fn *done;

	if (l == NULL)
		return false;
	done = l->done;
	l->done = NULL;
	if (result.error == ENGINE_OK) {
		result.id = l->id;
		result.container = &seen;
		memcpy(seen.id, l->id, sizeof(seen.id));
		l->exists = true;
	}
	enter(true);
	done(l->arg, &result);
	enter(false);
	scene_turn(s);
	return true;
}

bool
scene_path_ready(struct scene *s, unsigned i)
{
	struct scene_launch *l = pick_launch(i, WANT_REPORT);
	int fds[2];

	if (l == NULL)
		return false;
	/* It becomes readable when the process ends, as a pidfd does. */
	FUZZ_CHECK(pipe2(fds, O_CLOEXEC) == 0);
	l->path->ready = true;
	l->process = fds[1];
	enter(true);
	l->path->events.ready(l->path->events.arg, &fds[0]);
	enter(false);
	FUZZ_CHECK(fds[0] == -1);
	scene_turn(s);
	return true;
}

bool
scene_path_failed(struct scene *s, unsigned i)
{
	struct scene_launch *l = pick_launch(i, WANT_REPORT);

	if (l == NULL)
		return false;
	l->path->launched = false; /* once */
	enter(true);
	l->path->events.failed(l->path->events.arg, "the guest did not report in time");
	enter(false);
	scene_turn(s);
	return true;
}

bool
scene_container_ended(struct scene *s, unsigned i)
{
	struct scene_launch *l = pick_launch(i, WANT_PROCESS);

	if (l == NULL)
		return false;
	fd_close(&l->process);
	scene_turn(s);
	return true;
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

/* Take one request for a worker. False: there is none. */
static bool
take_request(struct scene *s)
{
	struct scene_worker *w = NULL;
	struct wire_reader r;
	int fds[2] = { -1, -1 };
	unsigned n_fds;
	uint8_t buf[64];
	size_t len;
	int null;

	if (ipc_chan_recv_fds(s->spawner, buf, sizeof(buf), &len, fds, 2, &n_fds, MSG_DONTWAIT) != 0)
		return false;
	FUZZ_CHECK(n_fds == 2);
	for (size_t i = 0; i < SCENE_WORKERS_MAX && w == NULL; i++) {
		if (!s->workers[i].used)
			w = &s->workers[i];
	}
	FUZZ_CHECK(w != NULL);
	memset(w, 0, sizeof(*w));
	wire_reader_init(&r, buf, len);
	(void)wire_get_u8(&r);
	w->used = true;
	w->token = wire_get_u32(&r);
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

static void
got_hello(struct scene_worker *w, struct wire_reader *r)
{
	struct ipc_hello m;

	FUZZ_CHECK(ipc_get_hello(r, &m) == 0 && m.n_host_keys > 0);
	memcpy(w->nonce, m.nonce, sizeof(w->nonce));
	FUZZ_CHECK(m.host_keys[0].len <= sizeof(w->host_key));
	memcpy(w->host_key, m.host_keys[0].data, m.host_keys[0].len);
	w->host_key_len = m.host_keys[0].len;
}

static void
got_signature(struct scene_worker *w, struct wire_reader *r)
{
	struct ipc_ans_sign m;

	FUZZ_CHECK(ipc_get_ans_sign(r, &m) == 0 && m.signature.len > 0);
	FUZZ_CHECK(w->muddled ||
	    (w->signing && (w->stage == SCENE_EXCHANGE || w->stage == SCENE_LOGGED_IN)));
	w->signing = false;
	w->signatures++;
	if (w->stage == SCENE_EXCHANGE)
		w->stage = SCENE_LOGIN;
}

static void
got_verdict(struct scene_worker *w, bool auth, bool good)
{
	FUZZ_CHECK(
	    w->muddled || (w->stage == SCENE_LOGIN && w->asked_us >= 0 && w->asked_auth == auth));
	/* Not at once: how long the work took is not to be seen. */
	FUZZ_CHECK(good || w->muddled || now_us - w->asked_us >= REFUSAL_LEAST_US);
	w->refusals += !good;
	w->asked_us = -1;
}

static void
got_auth(struct scene_worker *w, struct wire_reader *r)
{
	struct ipc_ans_auth m;

	FUZZ_CHECK(ipc_get_ans_auth(r, &m) == 0);
	got_verdict(w, true, m.accepted);
	if (!m.accepted) {
		/* The rule's sentence is for whom it is about. */
		FUZZ_CHECK(w->muddled || m.text.len == 0 || w->proven == SCENE_CAROL);
		return;
	}
	FUZZ_CHECK(w->muddled || w->proven == SCENE_ALICE || w->proven == SCENE_BOB);
	FUZZ_CHECK(m.shell && m.exec && (w->muddled || m.pty == (w->proven == SCENE_ALICE)));
	w->user = w->proven;
	w->stage = SCENE_LOGGED_IN;
}

static void
got_start(struct scene_worker *w, struct wire_reader *r, unsigned n_fds)
{
	struct ipc_ans_start m;

	FUZZ_CHECK(ipc_get_ans_start(r, &m) == 0);
	FUZZ_CHECK(w->stage == SCENE_LOGGED_IN && (w->muddled || w->waiting[m.channel] == 1));
	w->waiting[m.channel] = 0;
	if (m.result != IPC_START_OK) {
		FUZZ_CHECK(n_fds == 0);
		return;
	}
	FUZZ_CHECK(n_fds == (m.pty ? 1 : IPC_START_FDS) && (w->muddled || !w->running[m.channel]));
	FUZZ_CHECK(!m.pty || w->user == SCENE_ALICE);
	w->running[m.channel] = true;
	w->started_programs++;
}

static void
got_record(struct scene_worker *w, const uint8_t *data, size_t len, unsigned n_fds)
{
	struct ipc_ans_query query;
	struct ipc_notice notice;
	struct wire_reader r;
	uint8_t id;

	wire_reader_init(&r, data, len);
	id = wire_get_u8(&r);
	FUZZ_CHECK(n_fds == 0 || id == IPC_CONNECTION || id == IPC_ANS_START);
	switch (id) {
	case IPC_HELLO:
		got_hello(w, &r);
		break;
	case IPC_CONNECTION:
		FUZZ_CHECK(ipc_get_connection(&r) == 0 && n_fds == 1 && w->stage == SCENE_IDLE);
		w->stage = SCENE_EXCHANGE;
		break;
	case IPC_ANS_SIGN:
		got_signature(w, &r);
		break;
	case IPC_ANS_QUERY:
		FUZZ_CHECK(ipc_get_ans_query(&r, &query) == 0);
		got_verdict(w, false, query.acceptable);
		break;
	case IPC_ANS_AUTH:
		got_auth(w, &r);
		break;
	case IPC_ANS_START:
		got_start(w, &r, n_fds);
		break;
	case IPC_NOTICE:
		FUZZ_CHECK(ipc_get_notice(&r, &notice) == 0);
		w->notices++;
		break;
	default:
		fuzz_broken(__FILE__, __LINE__, "the broker sent a message that is none");
	}
}

static void
hear(struct scene_worker *w)
{
	int fds[IPC_CHAN_FDS_MAX];
	unsigned n_fds;
	size_t len;
	int r;

	while (w->ipc >= 0 && !w->deaf) {
		r = ipc_chan_recv_fds(w->ipc, record, sizeof(record), &len, fds, IPC_CHAN_FDS_MAX,
		    &n_fds, MSG_DONTWAIT);
		if (r == IPC_CHAN_E_AGAIN)
			return;
		if (r != 0) {
			fd_close(&w->ipc);
			return;
		}
		fd_close_all(fds, n_fds);
		got_record(w, record, len, n_fds);
	}
}

void
scene_turn(struct scene *s)
{
	bool again = true;

	while (again) {
		enter(true);
		for (unsigned i = 0; i < 3; i++)
			FUZZ_CHECK(event_base_loop(s->broker.base, EVLOOP_NONBLOCK) >= 0);
		enter(false);
		again = false;
		while (take_request(s))
			again = true;
	}
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++) {
		if (s->workers[i].used)
			hear(&s->workers[i]);
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
	enter(true);
	worker_pool_serve(s->broker.workers, &pair[0], &client);
	enter(false);
	FUZZ_CHECK(pair[0] == -1);
	fd_close(&pair[1]);
	scene_turn(s);
}

/* ---- what is sent, and what has to come of it ---- */

/* The record's claim on the books; whether it is well formed and allowed now. */
static bool
enter_in_books(struct scene_worker *w, const uint8_t *data, size_t len)
{
	struct ipc_activity activity;
	struct ipc_req_start start;
	struct ipc_req_query query;
	struct ipc_req_auth auth;
	struct ipc_req_close done;
	struct ipc_req_sign sign;
	struct ipc_ready ready;
	struct wire_reader r;
	uint8_t id;

	wire_reader_init(&r, data, len);
	id = wire_get_u8(&r);
	if ((dispatch_states(id) & (unsigned)w->stage) == 0)
		return false;
	/* Held back: nothing else may be asked meanwhile. */
	if (w->asked_us >= 0)
		return false;
	switch (id) {
	case IPC_READY:
		if (ipc_get_ready(&r, &ready) != 0 || ready.version != IPC_VERSION)
			return false;
		w->stage = SCENE_IDLE;
		return true;
	case IPC_REQ_SIGN:
		w->signing = true;
		return ipc_get_req_sign(&r, &sign) == 0;
	case IPC_REQ_QUERY:
		if (ipc_get_req_query(&r, &query) != 0)
			return false;
		w->asked_us = now_us;
		w->asked_auth = false;
		return true;
	case IPC_REQ_AUTH:
		if (ipc_get_req_auth(&r, &auth) != 0)
			return false;
		w->asked_us = now_us;
		w->asked_auth = true;
		return true;
	case IPC_REQ_START:
		if (ipc_get_req_start(&r, &start) != 0 || w->waiting[start.channel] != 0 ||
		    w->running[start.channel])
			return false;
		w->waiting[start.channel] = 1;
		return true;
	case IPC_REQ_CLOSE:
		if (ipc_get_req_close(&r, &done) != 0 ||
		    (!w->running[done.channel] && w->waiting[done.channel] == 0))
			return false;
		w->running[done.channel] = false;
		return true;
	case IPC_ACTIVITY:
		if (ipc_get_activity(&r, &activity) != 0 || activity.bytes_in < w->bytes_in ||
		    activity.bytes_out < w->bytes_out)
			return false;
		w->bytes_in = activity.bytes_in;
		w->bytes_out = activity.bytes_out;
		return true;
	default:
		return false;
	}
}

/* Whose signature over this very connection this is: compared with the genuine one. */
static enum scene_user
proves(const struct scene_worker *w, const uint8_t *data, size_t len)
{
	static uint8_t genuine[4096];

	for (unsigned u = 0; u < SCENE_USERS; u++) {
		size_t n = scene_put_auth(w, (enum scene_user)u, genuine, sizeof(genuine));

		if (n == len && memcmp(genuine, data, n) == 0)
			return (enum scene_user)u;
	}
	return SCENE_NOBODY;
}

void
scene_send(struct scene *s, struct scene_worker *w, const uint8_t *data, size_t len)
{
	enum scene_user proven = SCENE_NOBODY;
	bool good;

	if (w->ipc < 0 || len == 0 || len > IPC_RECORD_MAX)
		return;
	w->muddled |= w->deaf;
	/* The login is earned before the broker can have said anything. */
	if (data[0] == IPC_REQ_AUTH)
		proven = proves(w, data, len);
	if (proven != SCENE_NOBODY ||
	    (w->stage == SCENE_LOGIN && data[0] == IPC_REQ_AUTH && !w->muddled))
		w->proven = proven;
	good = enter_in_books(w, data, len);
	if (ipc_chan_send(w->ipc, data, len, NULL, 0, MSG_DONTWAIT) != 0)
		return;
	scene_turn(s);
	/* What is not allowed, or malformed, ends the worker, there and then. */
	if (!good && !w->muddled)
		FUZZ_CHECK(w->ipc < 0);
}

size_t
scene_put_ready(uint8_t *out, size_t cap)
{
	struct wire_writer w;

	wire_writer_init(&w, out, cap);
	ipc_put_ready(&w, &(struct ipc_ready){ .version = IPC_VERSION });
	return w.failed ? 0 : w.len;
}

static void
put_kexinit(struct wire_writer *w, bool rekey)
{
	uint8_t buf[512];
	struct wire_writer k;

	wire_writer_init(&k, buf, sizeof(buf));
	wire_put_u8(&k, 20);
	wire_put_bytes(&k, "0123456789abcdef", 16);
	wire_put_cstr(&k, rekey ? "curve25519-sha256" : "curve25519-sha256,ext-info-c");
	wire_put_cstr(&k, "ssh-ed25519");
	for (unsigned i = 0; i < 8; i++)
		wire_put_cstr(&k, "none");
	wire_put_u8(&k, 0);
	wire_put_u32(&k, 0);
	wire_put_str(w, k.data, k.len);
}

static size_t
put_transcript(const struct scene_worker *w, bool rekey, uint8_t *out, size_t cap)
{
	char version[SSH_VERSION_MAX + 16] = "SSH-2.0-";
	uint8_t opaque[100] = { 0, 0, 0, 32, 1 };
	struct wire_writer t;

	wire_writer_init(&t, out, cap);
	ssh_version_format(w->nonce, version + strlen(version));
	wire_put_cstr(&t, "SSH-2.0-OpenSSH_9.9");
	wire_put_cstr(&t, version);
	put_kexinit(&t, rekey);
	put_kexinit(&t, false);
	wire_put_str(&t, w->host_key, w->host_key_len);
	wire_put_bytes(&t, opaque, sizeof(opaque));
	return t.failed ? 0 : t.len;
}

size_t
scene_put_sign(const struct scene_worker *w, bool rekey, uint8_t *out, size_t cap)
{
	uint8_t transcript[4096];
	size_t n = put_transcript(w, rekey, transcript, sizeof(transcript));
	struct ipc_req_sign m = { .algorithm = "ssh-ed25519", .transcript = { transcript, n } };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_sign(&r, &m);
	return r.failed ? 0 : r.len;
}

static struct wire_span
span(const char *text)
{
	return (struct wire_span){ (const uint8_t *)text, strlen(text) };
}

size_t
scene_put_query(enum scene_user user, enum scene_user key, uint8_t *out, size_t cap)
{
	struct ipc_req_query m = { .user = span(scene_names[user]),
		.blob = { user_blobs[key], sizeof(user_blobs[key]) } };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_query(&r, &m);
	return r.failed ? 0 : r.len;
}

/* RFC 4252 section 7, over the session id of the genuine first exchange. */
size_t
scene_put_auth(const struct scene_worker *w, enum scene_user user, uint8_t *out, size_t cap)
{
	uint8_t transcript[4096];
	uint8_t session[SHA256_DIGEST_LENGTH];
	uint8_t data[1024];
	uint8_t sig[64];
	size_t sig_len = sizeof(sig);
	struct wire_writer d;
	struct wire_writer r;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct ipc_req_auth m = { .user = span(scene_names[user]),
		.algorithm = "ssh-ed25519",
		.blob = { user_blobs[user], sizeof(user_blobs[user]) } };

	(void)SHA256(transcript, put_transcript(w, false, transcript, sizeof(transcript)), session);
	wire_writer_init(&d, data, sizeof(data));
	wire_put_str(&d, session, sizeof(session));
	wire_put_u8(&d, 50);
	wire_put_cstr(&d, scene_names[user]);
	wire_put_cstr(&d, "ssh-connection");
	wire_put_cstr(&d, "publickey");
	wire_put_u8(&d, 1);
	wire_put_cstr(&d, "ssh-ed25519");
	wire_put_str(&d, m.blob.data, m.blob.len);
	FUZZ_CHECK(ctx != NULL && !d.failed);
	FUZZ_CHECK(EVP_DigestSignInit(ctx, NULL, NULL, NULL, user_keys[user]) == 1);
	FUZZ_CHECK(EVP_DigestSign(ctx, sig, &sig_len, d.data, d.len) == 1);
	EVP_MD_CTX_free(ctx);
	m.signature = (struct wire_span){ sig, sig_len };
	wire_writer_init(&r, out, cap);
	ipc_put_req_auth(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_start(uint32_t channel, bool shell, bool pty, const char *command, uint8_t *out, size_t cap)
{
	struct ipc_req_start m = { .channel = channel,
		.kind = shell ? IPC_START_SHELL : IPC_START_EXEC,
		.command = span(shell ? "" : command),
		.want_pty = pty,
		.pty = { .term = "xterm", .columns = 80, .rows = 24 },
		.n_env = 2,
		.env = { { span("LANG"), span("C.UTF-8") }, { span("USER"), span("root") } } };
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_start(&r, &m);
	return r.failed ? 0 : r.len;
}

size_t
scene_put_close(uint32_t channel, uint8_t *out, size_t cap)
{
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_req_close(&r, &(struct ipc_req_close){ channel, 1, 2 });
	return r.failed ? 0 : r.len;
}

size_t
scene_put_activity(uint64_t in, uint32_t idle_seconds, uint8_t *out, size_t cap)
{
	struct wire_writer r;

	wire_writer_init(&r, out, cap);
	ipc_put_activity(&r, &(struct ipc_activity){ in, in / 2, idle_seconds });
	return r.failed ? 0 : r.len;
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

static void
make_users(void)
{
	static const uint8_t head[] = "\0\0\0\x0bssh-ed25519\0\0\0\x20";

	for (unsigned i = 0; i <= SCENE_USERS; i++) {
		uint8_t seed[32];
		size_t len = 32;

		memset(seed, (int)i + 1, sizeof(seed));
		user_keys[i] = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
		memcpy(user_blobs[i], head, 19);
		FUZZ_CHECK(user_keys[i] != NULL &&
		    EVP_PKEY_get_raw_public_key(user_keys[i], user_blobs[i] + 19, &len) == 1);
	}
}

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
	char lines[SCENE_USERS][128];

	for (unsigned i = 0; i < SCENE_USERS; i++) {
		strcpy(lines[i], "ssh-ed25519 ");
		(void)EVP_EncodeBlock((uint8_t *)lines[i] + 12, user_blobs[i], sizeof(user_blobs[i]));
	}
	FUZZ_CHECK(asprintf(&policy_text, policy_form, lines[0], lines[1], lines[2]) > 0);
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
	make_users();
	make_policy();
	load_files();
	/* Every line is made, escaped and written: wherever descriptor 2 goes. */
	log_setup("scene", LOG_LEVEL_DEBUG, false);
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
	memset(launches, 0, sizeof(launches));
	scene = s;
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
	s->broker.base = event_base_new();
	FUZZ_CHECK(s->broker.base != NULL);
	FUZZ_CHECK(container_set_new(&s->broker, &s->broker.containers) == 0);
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

/* Every request of a worker that is still there has its answer, now that nothing is under way. */
static void
check_answered(struct scene *s)
{
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++) {
		const struct scene_worker *w = &s->workers[i];

		if (!w->used || w->ipc < 0 || w->deaf || w->muddled)
			continue;
		for (unsigned c = 0; c < IPC_CHANNEL_MAX; c++)
			FUZZ_CHECK(w->waiting[c] == 0);
		FUZZ_CHECK(w->asked_us < 0);
	}
}

void
scene_end(struct scene *s)
{
	s->start_result = 0;
	scene_pass(s, 20000);
	while (scene_launched(s, 0, ENGINE_E_TIMEOUT) || scene_path_failed(s, 0))
		continue;
	check_answered(s);
	worker_pool_end_all(s->broker.workers, "the scene ends");
	for (size_t i = 0; i < SCENE_WORKERS_MAX; i++)
		scene_report_exit(s, &s->workers[i], 0);
	FUZZ_CHECK(worker_pool_is_empty(s->broker.workers));
	scene_pass(s, 20000000); /* every grace time */
	FUZZ_CHECK(container_set_count(s->broker.containers) == 0);
	for (size_t i = 0; i < LAUNCHES_MAX; i++)
		FUZZ_CHECK(!launches[i].used);
	worker_pool_free(s->broker.workers);
	container_set_free(s->broker.containers);
	event_base_free(s->broker.base);
	policy_unref(s->broker.policy);
	fd_close(&s->spawner);
	FUZZ_CHECK(fuzz_next_fd() == first_fd);
}
