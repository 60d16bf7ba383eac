/* SPDX-License-Identifier: Apache-2.0 */
/* The scene's engine and its data path: what is made, started and connected there has been earned. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "data_path.h"
#include "engine.h"
#include "fd.h"
#include "fuzz_check.h"
#include "guest_msg.h"
#include "scene_private.h"

#define LAUNCHES_MAX 64
#define ORDERS_MAX   256

static const char *const images[] = { "shared-image", "single-image" };
static const uid_t uids[] = { 1001, 1002 };

struct data_path {
	struct data_path_events events;
	struct scene_launch *launch;
	bool launched, ready, failed, hung_up;
};

/* A handle. */
struct engine_call {
	struct scene_launch *launch;
	engine_done_fn *done; /* NULL: not asked for, answered or cancelled */
	void *arg;
};

struct scene_launch {
	bool used;
	struct engine_call call;
	struct engine_call question; /* how it is, or a wait for its end */
	char name[64];
	struct data_path *path;
	enum scene_user user;
	char id[ENGINE_ID_LEN + 1];
	int process; /* our end of what stands for its first process's pidfd; -1: none */
	int held;    /* by that process, until nobody is left; -1: nothing */
	bool exists; /* in the engine; false after engine_discard() */
};

/* One that is on its way; NULL: a free place. */
struct data_path_order {
	struct data_path_waiter *waiter;
	struct data_path *path;
	enum scene_effect effect;
};

static struct scene_launch launches[LAUNCHES_MAX];
static struct data_path_order orders[ORDERS_MAX];

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
	if (l->call.done != NULL || l->path != NULL || l->exists)
		return;
	FUZZ_CHECK(l->question.done == NULL);
	fd_close(&l->process);
	fd_close(&l->held);
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
		const struct scene_worker *w = &scene_now->workers[i];

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

	/* The pool's: whoever is first to give it an order has got it. */
	if (name == NULL && scene_now->broker.pool != NULL)
		return SCENE_NOBODY;
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
	FUZZ_CHECK(l != NULL && l->path != NULL && l->call.done == NULL);
	FUZZ_CHECK(engine_spec_check(spec, why, sizeof(why)) == 0);
	l->user = owner_of(spec);
	l->call = (struct engine_call){ l, done, arg };
	*ret_call = &l->call;
	scene_now->launches++;
	return 0;
}

/* The real one removes what a cancelled launch has made or may still make. */
void
engine_cancel(struct engine_call *call)
{
	if (call == NULL)
		return;
	FUZZ_CHECK(call->done != NULL);
	call->done = NULL;
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
		scene_now->discards++;
		forget_launch(l);
		return 0;
	}
	fuzz_broken(__FILE__, __LINE__, "a container is removed that does not exist");
}

/* It removes at once, whatever it says. */
struct engine_counts
engine_counts(const struct engine *e)
{
	(void)e;
	return (struct engine_counts){ .discarding = scene_now->removing };
}

enum engine_health
engine_health(const struct engine *e)
{
	(void)e;
	return ENGINE_HEALTHY;
}

/* Of one whose process cannot be had: nobody of mode "user" is in this play, and no container of an earlier run. */
static int
ask_about(const char *id, engine_done_fn *done, void *arg, struct engine_call **ret_call)
{
	for (size_t i = 0; i < LAUNCHES_MAX; i++) {
		struct scene_launch *l = &launches[i];

		if (!l->used || !l->exists || strcmp(l->id, id) != 0)
			continue;
		FUZZ_CHECK(l->process < 0 && l->path->ready && l->question.done == NULL);
		l->question = (struct engine_call){ l, done, arg };
		*ret_call = &l->question;
		return 0;
	}
	fuzz_broken(__FILE__, __LINE__, "the engine is asked about a container that does not exist");
}

int
engine_inspect(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	(void)e;
	scene_now->wait_ms = 0;
	return ask_about(id, done, arg, ret_call);
}

int
engine_wait(struct engine *e, const char *id, uint32_t timeout_ms, engine_done_fn *done, void *arg,
    struct engine_call **ret_call)
{
	(void)e;
	FUZZ_CHECK(timeout_ms > 0);
	scene_now->wait_ms = timeout_ms;
	return ask_about(id, done, arg, ret_call);
}

const char *
engine_error_name(enum engine_error error)
{
	return error == ENGINE_OK ? "ok" : "error";
}

const char *
engine_podman(const struct engine *e)
{
	(void)e;
	return NULL;
}

/* ---- the data path ---- */

static int
path_open(struct broker *b, const char *name, enum data_path_life life,
    const struct data_path_events *events, struct data_path **ret)
{
	struct data_path *d = calloc(1, sizeof(*d));
	struct scene_launch *l = NULL;

	(void)b;
	FUZZ_CHECK(life == DATA_PATH_ONCE);
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
	l->process = l->held = -1;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	(void)snprintf(l->id, sizeof(l->id), "%064zx", (size_t)(l - launches) + 1);
	d->events = *events;
	d->launch = l;
	l->path = d;
	*ret = d;
	return 0;
}

static void
path_describe(struct data_path *d, struct engine_container_spec *spec, struct engine_mount *mounts,
    uint32_t grace_ms)
{
	static const char *const entrypoint[] = { GUEST_PROGRAM, NULL };

	(void)d;
	(void)grace_ms;
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
	FUZZ_CHECK(seen != NULL && !d->launched && !d->failed);
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

/* How many variables it has of this name. */
static unsigned
order_count(const struct guest_spawn *order, const char *name)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < order->n_env; i++)
		n += strncmp((const char *)order->env[i].data, name, strlen(name)) == 0;
	return n;
}

static bool
order_is_of(const struct guest_spawn *order, enum scene_user user)
{
	char entry[80];

	(void)snprintf(entry, sizeof(entry), "USER=%s", scene_names[user]);
	return order_has(order, entry);
}

/* What is fixed by the policy and the login is in the order, whatever the request said. */
static void
check_order(struct scene_launch *l, const struct guest_spawn *order)
{
	for (unsigned i = 0; i < SP_ARRAY_LEN(images) && l->user == SCENE_NOBODY; i++) {
		if (order_is_of(order, (enum scene_user)i))
			l->user = (enum scene_user)i;
	}
	FUZZ_CHECK(has_login(l->user));
	FUZZ_CHECK(order->n_argv >= 1 && wire_span_is(order->argv[0], "/bin/sh"));
	FUZZ_CHECK(order->n_argv == 1 || (order->n_argv == 3 && wire_span_is(order->argv[1], "-c")));
	FUZZ_CHECK(!order->want_pty || l->user == SCENE_ALICE);
	FUZZ_CHECK(order_is_of(order, l->user));
	/* A display has its file, and only who may have one has both. */
	FUZZ_CHECK(order_count(order, "DISPLAY=localhost:10.0") ==
	    order_count(order, "XAUTHORITY=/dev/shm/ssh-"));
	FUZZ_CHECK(order_count(order, "DISPLAY=") <= (l->user == SCENE_ALICE));
	if (l->user == SCENE_BOB)
		FUZZ_CHECK(wire_span_is(order->env[order->n_env - 1], "FIXED=yes"));
}

static int
open_nulls(unsigned n, struct data_path_streams *ret)
{
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

static int
open_streams(unsigned n, struct data_path_streams *ret)
{
	return scene_now->start_result != 0 ? scene_now->start_result : open_nulls(n, ret);
}

/* Now or later, as the script has it. */
static int
carry_out(struct data_path *d, enum scene_effect effect, struct data_path_waiter *waiter,
    unsigned n, struct data_path_streams *ret)
{
	scene_audit_took_effect(effect);
	if (scene_now->start_result != DATA_PATH_E_LATER)
		return open_streams(n, ret);
	FUZZ_CHECK(waiter->order == NULL);
	for (size_t i = 0; i < ORDERS_MAX; i++) {
		if (orders[i].waiter != NULL)
			continue;
		orders[i] = (struct data_path_order){ waiter, d, effect };
		waiter->order = &orders[i];
		return DATA_PATH_E_LATER;
	}
	return DATA_PATH_E_BUSY;
}

static void
path_forget(struct data_path_waiter *waiter)
{
	FUZZ_CHECK(waiter->order != NULL && waiter->order->waiter == waiter);
	waiter->order->waiter = NULL;
	waiter->order = NULL;
}

static int
path_start(struct data_path *d, const struct guest_spawn *order, struct data_path_waiter *waiter,
    struct data_path_streams *ret)
{
	FUZZ_CHECK(d->ready && !d->hung_up);
	check_order(d->launch, order);
	return carry_out(d, SCENE_PROGRAM, waiter, order->want_pty ? 1 : IPC_START_FDS, ret);
}

/* Only to the container itself, and only where the policy lets go who has logged in. */
static int
path_connect(struct data_path *d, const struct guest_connect *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret)
{
	static const uint8_t v6[16] = { [15] = 1 };

	FUZZ_CHECK(d->ready && !d->hung_up);
	FUZZ_CHECK(d->launch->user == SCENE_ALICE && has_login(SCENE_ALICE));
	FUZZ_CHECK(order->n <= GUEST_ADDRESSES_MAX && order->port == SCENE_PORT);
	FUZZ_CHECK((order->n > 0) == (order->n_networks == 0));
	FUZZ_CHECK(order->n > 0 || network_is_name(order->name, strlen(order->name)));
	for (uint32_t i = 0; i < order->n_networks; i++) {
		const struct network *n = &order->networks[i];

		FUZZ_CHECK(n->v6 ? n->bits == 128 && memcmp(n->bytes, v6, 16) == 0
				 : n->bits == 8 && n->bytes[0] == 127);
	}
	for (uint32_t i = 0; i < order->n; i++) {
		const struct guest_address *a = &order->addresses[i];

		FUZZ_CHECK(a->v6 ? memcmp(a->bytes, v6, 16) == 0 : a->bytes[0] == 127);
	}
	return carry_out(d, SCENE_FORWARD, waiter, 1, ret);
}

/*
 * Only at the loopback, at a port of the kernel's choice or from the first display on; or for the agent, where the
 * broker says.
 */
static int
path_listen(struct data_path *d, const struct guest_listen *order, struct data_path_waiter *waiter,
    struct data_path_streams *ret)
{
	static const uint8_t v6[16] = { [15] = 1 };

	FUZZ_CHECK(d->ready && !d->hung_up);
	FUZZ_CHECK(d->launch->user == SCENE_ALICE && has_login(SCENE_ALICE));
	FUZZ_CHECK(order->kind == GUEST_LISTEN_UNIX || order->n >= 1);
	FUZZ_CHECK(order->kind == GUEST_LISTEN_TCP || strncmp(order->path, "/dev/shm/ssh-", 13) == 0);
	FUZZ_CHECK(order->port == (order->kind == GUEST_LISTEN_X11 ? 6010 : 0));
	for (uint32_t i = 0; i < order->n; i++) {
		const struct guest_address *a = &order->addresses[i];

		FUZZ_CHECK(a->v6 ? memcmp(a->bytes, v6, 16) == 0 : a->bytes[0] == 127);
	}
	return carry_out(d, SCENE_LISTENER, waiter, 1, ret);
}

/* Descriptors where orders are carried out later. */
static int
path_accept(struct data_path_streams *ret)
{
	return open_nulls(scene_now->start_result == DATA_PATH_E_LATER ? IPC_PIPE_FDS : 0, ret);
}

static int
path_hang_up(struct data_path *d)
{
	int fds[2];

	d->hung_up = true;
	if (!d->ready || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	d->launch->held = fds[1];
	return fds[0];
}

static void
path_close(struct data_path *d)
{
	if (d == NULL)
		return;
	/* Whoever waits has let go before. */
	for (size_t i = 0; i < ORDERS_MAX; i++)
		FUZZ_CHECK(orders[i].waiter == NULL || orders[i].path != d);
	d->launch->path = NULL;
	forget_launch(d->launch);
	free(d);
}

#define SCENE_PATH                                                                       \
	{                                                                                \
		.open = path_open, .describe = path_describe, .launched = path_launched, \
		.start = path_start, .connect = path_connect, .listen = path_listen,     \
		.accept = path_accept, .forget = path_forget, .hang_up = path_hang_up,   \
		.close = path_close                                                      \
	}

const struct data_path_ops data_path_direct = SCENE_PATH;
const struct data_path_ops data_path_engine = SCENE_PATH;

enum wanted {
	WANT_LAUNCH,
	WANT_ANSWER,
	WANT_REPORT,
	WANT_FAILURE,
	WANT_PROCESS,
	WANT_HELD,
};

/* Whether there is a report still to come. One can fail that comes before the engine's answer. */
static bool
is_open(const struct data_path *d)
{
	return d != NULL && !d->ready && !d->failed && !d->hung_up;
}

static bool
fits(const struct scene_launch *l, enum wanted wanted)
{
	if (!l->used)
		return false;
	if (wanted == WANT_LAUNCH)
		return l->call.done != NULL;
	if (wanted == WANT_ANSWER)
		return l->question.done != NULL;
	if (wanted == WANT_REPORT)
		return is_open(l->path) && l->path->launched;
	if (wanted == WANT_FAILURE)
		return is_open(l->path);
	return (wanted == WANT_PROCESS ? l->process : l->held) >= 0;
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
	struct scene_launch *l = pick_launch(i, WANT_LAUNCH);
	struct engine_container seen = { .running = true, .pid = 1, .started_at = "now" };
	struct engine_result result = { .error = (enum engine_error)(error % (ENGINE_E_NO_MEMORY + 1)),
		.sentence = "the engine's own words \x1b[31m",
		.id = "",
		.warning = "" };
	struct engine_call call;

	if (l == NULL)
		return false;
	call = l->call;
	l->call.done = NULL;
	if (result.error == ENGINE_OK) {
		result.id = l->id;
		result.container = &seen;
		memcpy(seen.id, l->id, sizeof(seen.id));
		l->exists = true;
	}
	scene_enter(true);
	call.done(call.arg, &result);
	scene_enter(false);
	scene_turn(s);
	return true;
}

bool
scene_path_ready_afar(struct scene *s, unsigned i)
{
	struct scene_launch *l = pick_launch(i, WANT_REPORT);
	int none = -1;

	if (l == NULL)
		return false;
	l->path->ready = true;
	scene_enter(true);
	l->path->events.ready(l->path->events.arg, &none, NULL);
	scene_enter(false);
	scene_turn(s);
	return true;
}

bool
scene_answered(struct scene *s, unsigned i, unsigned error, bool running)
{
	struct scene_launch *l = pick_launch(i, WANT_ANSWER);
	struct engine_container seen = { .running = running };
	struct engine_result result = { .error = (enum engine_error)error,
		.sentence = "the engine's own words",
		.id = "",
		.warning = "",
		.container = &seen };
	struct engine_call call;

	if (l == NULL)
		return false;
	call = l->question;
	l->question.done = NULL;
	scene_enter(true);
	call.done(call.arg, &result);
	scene_enter(false);
	scene_turn(s);
	return true;
}

/* What is still to come there has had no effect. */
static void
orders_end(const struct data_path *d)
{
	for (size_t i = 0; i < ORDERS_MAX; i++) {
		if (orders[i].waiter != NULL && orders[i].path == d)
			scene_audit_had_none(orders[i].effect);
	}
}

bool
scene_path_ended(struct scene *s, unsigned i)
{
	struct scene_launch *l = pick_launch(i, WANT_ANSWER);

	if (l == NULL)
		return false;
	orders_end(l->path);
	scene_enter(true);
	l->path->events.ended(l->path->events.arg);
	scene_enter(false);
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
	scene_enter(true);
	l->path->events.ready(l->path->events.arg, &fds[0], NULL);
	scene_enter(false);
	FUZZ_CHECK(fds[0] == -1);
	scene_turn(s);
	return true;
}

bool
scene_path_failed(struct scene *s, unsigned i)
{
	struct scene_launch *l = pick_launch(i, WANT_FAILURE);

	if (l == NULL)
		return false;
	l->path->failed = true;
	scene_enter(true);
	l->path->events.failed(l->path->events.arg, "the guest did not report in time");
	scene_enter(false);
	scene_turn(s);
	return true;
}

bool
scene_container_ended(struct scene *s, unsigned i)
{
	struct scene_launch *l = pick_launch(i, WANT_PROCESS);

	if (l == NULL)
		return false;
	if (l->path != NULL)
		orders_end(l->path);
	fd_close(&l->process);
	scene_turn(s);
	return true;
}

bool
scene_emptied(struct scene *s, unsigned i, bool lost)
{
	struct scene_launch *l = pick_launch(i, WANT_HELD);

	if (l == NULL)
		return false;
	if (!lost)
		FUZZ_CHECK(write(l->held, "", 1) == 1 || errno == EPIPE);
	fd_close(&l->held);
	scene_turn(s);
	return true;
}

bool
scene_ordered(struct scene *s, unsigned i)
{
	struct data_path_streams streams;
	struct data_path_waiter waiter = { 0 };
	unsigned n = 0;
	int r;

	for (size_t k = 0; k < ORDERS_MAX; k++)
		n += orders[k].waiter != NULL;
	if (n == 0)
		return false;
	i %= n;
	for (size_t k = 0; k < ORDERS_MAX; k++) {
		if (orders[k].waiter == NULL || i-- > 0)
			continue;
		waiter = *orders[k].waiter;
		path_forget(orders[k].waiter);
		break;
	}
	r = s->start_result == DATA_PATH_E_LATER ? 0 : s->start_result;
	if (r == 0) {
		s->start_result = 0;
		r = open_streams(IPC_STREAM_FDS, &streams);
		s->start_result = DATA_PATH_E_LATER;
	}
	scene_enter(true);
	waiter.ordered(waiter.arg, r, &streams);
	scene_enter(false);
	scene_turn(s);
	return true;
}

void
scene_engine_begin(void)
{
	memset(launches, 0, sizeof(launches));
	memset(orders, 0, sizeof(orders));
}

bool
scene_engine_is_empty(void)
{
	for (size_t i = 0; i < LAUNCHES_MAX; i++) {
		if (launches[i].used)
			return false;
	}
	for (size_t i = 0; i < ORDERS_MAX; i++) {
		if (orders[i].waiter != NULL)
			return false;
	}
	return true;
}
