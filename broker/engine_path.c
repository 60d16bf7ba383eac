/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: the data path "engine". The container's first process is our guest, which only waits; an order is the
 * command line of another one in an exec, so that what is done is what was decided here, and the exec's stream,
 * over which nothing but that program's bytes can go, is the worker's. Nothing is ever read from it here.
 *
 * Hostile: the engine's answers. What comes on the stream is the worker's affair.
 */
#include "data_path.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "config.h"
#include "container_plan.h"
#include "engine.h"
#include "fd.h"
#include "guest_msg.h"
#include "log.h"
#include "stream_msg.h"

/* Base64 of an order in as many arguments as it takes. */
#define ORDER_CHARS  (4 * ((GUEST_ORDER_MAX + 2) / 3))
#define ORDER_PIECES (ORDER_CHARS / STREAM_ORDER_PIECE + 1)

struct data_path_order {
	LIST_ENTRY(data_path_order) link;
	struct data_path *path;
	struct data_path_waiter *waiter;
	struct engine_call *call;
};

struct data_path {
	struct broker *broker;
	struct data_path_events events;
	char id[ENGINE_ID_LEN + 1];
	char *directory; /* of one that is kept: see data_path.h; else NULL */
	char *workdir;   /* where the engine began it; NULL: not known yet */
	struct container_entrypoint entrypoint;
	LIST_HEAD(, data_path_order) orders;
};

static void
order_free(struct data_path_order *o)
{
	o->waiter->order = NULL;
	LIST_REMOVE(o, link);
	engine_cancel(o->call);
	free(o);
}

static void
path_forget(struct data_path_waiter *waiter)
{
	if (waiter->order != NULL)
		order_free(waiter->order);
}

static void
path_close(struct data_path *d)
{
	if (d == NULL)
		return;
	while (!LIST_EMPTY(&d->orders))
		order_free(LIST_FIRST(&d->orders));
	free(d->directory);
	free(d->workdir);
	free(d);
}

/* Nothing is ever in it. */
static int
keep_directory(struct data_path *d, const char *name, bool found)
{
	int r = data_path_directory(d->broker, name, &d->directory);

	if (r == 0 && !found)
		r = data_path_make_directory(d->directory, 0700);
	return r;
}

static int
path_open(struct broker *b, const char *name, enum data_path_life life,
    const struct data_path_events *events, struct data_path **ret)
{
	struct data_path *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return -ENOMEM;
	d->broker = b;
	d->events = *events;
	LIST_INIT(&d->orders);
	r = life != DATA_PATH_ONCE ? keep_directory(d, name, life == DATA_PATH_FOUND) : 0;
	if (r < 0) {
		path_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

static void
path_describe(struct data_path *d, struct engine_container_spec *spec, struct engine_mount *mounts,
    uint32_t grace_ms)
{
	container_plan_engine(spec, mounts, d->broker->config->engine.view_guest_dir, grace_ms,
	    &d->entrypoint);
}

static void
path_launched(struct data_path *d, const struct engine_container *seen)
{
	int none = -1;

	memcpy(d->id, seen->id, sizeof(d->id));
	free(d->workdir);
	d->workdir = strdup(seen->workdir != NULL ? seen->workdir : "");
	/* What Podman does not say of it the kernel is asked about, on the direct path. */
	if (d->workdir == NULL)
		d->events.failed(d->events.arg, "out of memory");
	else if (seen->podman)
		d->events.failed(d->events.arg, "the data path \"engine\" does not work with Podman");
	else if (seen->running)
		d->events.ready(d->events.arg, &none, NULL);
	else
		d->events.failed(d->events.arg, "the container ended as soon as it was started");
}

/* ---- orders ---- */

/* The stream, and pipes whose both ends are the worker's: fds as PROTOCOL.md has them. */
static int
make_streams(int *stream, struct data_path_streams *ret)
{
	int *ends = ret->fds + IPC_START_FDS; /* the stream, then the other ends */
	int r = data_path_make_streams(false, ends + 1, ret->fds);

	ends[0] = fd_steal(stream);
	ret->n = IPC_STREAM_FDS;
	if (r < 0)
		fd_close_all(ret->fds, IPC_STREAM_FDS);
	return r;
}

static void
conclude(struct data_path_order *o, int result, struct data_path_streams *streams)
{
	struct data_path_waiter waiter = *o->waiter;

	o->call = NULL;
	order_free(o);
	waiter.ordered(waiter.arg, result, streams);
}

static int
failed(const struct data_path_order *o, const char *what, const struct engine_result *result)
{
	log_error("container id=%.12s %s failed: %s: %s", o->path->id, what,
	    engine_error_name(result->error), result->sentence);
	if (result->error == ENGINE_E_BUSY)
		return DATA_PATH_E_QUEUE;
	if (engine_is_away(result->error))
		return DATA_PATH_E_AWAY;
	return result->error == ENGINE_E_NO_MEMORY ? -ENOMEM : -EIO;
}

static void
on_looked(void *arg, const struct engine_result *result)
{
	struct data_path_order *o = arg;
	struct data_path_events events = o->path->events;

	o->call = NULL;
	if (result->error == ENGINE_E_NOT_FOUND ||
	    (result->error == ENGINE_OK && !result->container->running))
		events.ended(events.arg);
	else
		conclude(o, result->error != ENGINE_OK ? failed(o, "an inspect", result) : -EIO,
		    NULL);
}

/*
 * An exec is refused like this in a container that has ended or is gone, of which nobody has told us: the answer that
 * says so can be lost on its way without a sign. It is refused in the same words in one that is paused, so the engine
 * is asked which it is, and the order waits for that.
 */
static void
refused(struct data_path_order *o, const struct engine_result *result)
{
	int r = failed(o, "an exec", result);

	if ((result->error != ENGINE_E_CONFLICT && result->error != ENGINE_E_NOT_FOUND) ||
	    engine_inspect(o->path->broker->engine, o->path->id, on_looked, o, &o->call) < 0)
		conclude(o, r, NULL);
}

static void
on_stream(void *arg, const struct engine_result *result)
{
	struct data_path_streams streams;
	struct data_path_order *o = arg;
	int r;

	o->call = NULL;
	if (result->error != ENGINE_OK || result->stream == NULL) {
		refused(o, result);
		return;
	}
	r = make_streams(result->stream, &streams);
	conclude(o, r, &streams);
}

static void
on_made(void *arg, const struct engine_result *result)
{
	struct data_path_order *o = arg;
	int r;

	o->call = NULL;
	if (result->error != ENGINE_OK) {
		refused(o, result);
		return;
	}
	r = engine_exec_start(o->path->broker->engine, result->id, o->waiter->owner, on_stream, o,
	    &o->call);
	if (r < 0)
		conclude(o, r == -EBUSY ? DATA_PATH_E_QUEUE : r, NULL);
}

/* The order as the guest's command line. */
static int
exec_guest(struct data_path_order *o, const struct wire_writer *w)
{
	static char text[ORDER_CHARS + ORDER_PIECES]; /* one loop, one order at a time */
	const char *argv[ORDER_PIECES + 3] = { GUEST_PROGRAM, GUEST_STREAM_OPTION };
	const struct engine_exec_spec spec = { .argv = argv, .owner = o->waiter->owner };
	const size_t bytes = STREAM_ORDER_PIECE / 4 * 3;
	size_t used = 0;
	size_t n = 2;

	for (size_t at = 0; at < w->len; at += bytes) {
		size_t len = w->len - at < bytes ? w->len - at : bytes;

		argv[n++] = text + used;
		used += stream_base64_put(text + used, w->data + at, len);
		text[used++] = '\0';
	}
	return engine_exec_create(o->path->broker->engine, o->path->id, &spec, on_made, o, &o->call);
}

static int
give_order(struct data_path *d, const struct wire_writer *w, struct data_path_waiter *waiter)
{
	struct data_path_order *o;
	int r;

	if (w->failed)
		return -E2BIG;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	o->path = d;
	o->waiter = waiter;
	waiter->order = o;
	LIST_INSERT_HEAD(&d->orders, o, link);
	r = exec_guest(o, w);
	if (r < 0) {
		order_free(o);
		return r == -EBUSY ? DATA_PATH_E_QUEUE : r;
	}
	return DATA_PATH_E_LATER;
}

static int
path_start(struct data_path *d, const struct guest_spawn *order, struct data_path_waiter *waiter,
    struct data_path_streams *ret)
{
	static uint8_t record[GUEST_ORDER_MAX];
	struct guest_spawn here = *order;
	struct wire_writer w;

	(void)ret;
	/* An exec begins at the root, and not where process 1 is. */
	if (here.workdir.len == 0 && d->workdir != NULL && strcmp(d->workdir, "/") != 0)
		here.workdir = (struct wire_span){ (const uint8_t *)d->workdir, strlen(d->workdir) };
	wire_writer_init(&w, record, sizeof(record));
	guest_put_spawn(&w, &here);
	return give_order(d, &w, waiter);
}

static int
path_connect(struct data_path *d, const struct guest_connect *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret)
{
	uint8_t record[GUEST_CONNECT_MAX];
	struct wire_writer w;

	(void)ret;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_connect(&w, order);
	return give_order(d, &w, waiter);
}

/* What is accepted comes by the same stream. */
static int
path_listen(struct data_path *d, const struct guest_listen *order, struct data_path_waiter *waiter,
    struct data_path_streams *ret)
{
	uint8_t record[GUEST_LISTEN_RECORD_MAX];
	struct wire_writer w;

	(void)ret;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_listen(&w, order);
	return give_order(d, &w, waiter);
}

static int
path_accept(struct data_path_streams *ret)
{
	ret->n = IPC_PIPE_FDS;
	return data_path_make_pipes(ret->fds);
}

/* The first process ends the others and itself; who does not listen is killed later. */
static int
path_hang_up(struct data_path *d)
{
	if (d->directory != NULL)
		(void)rmdir(d->directory);
	while (!LIST_EMPTY(&d->orders))
		order_free(LIST_FIRST(&d->orders));
	if (d->id[0] != '\0' && engine_kill(d->broker->engine, d->id, SIGTERM, NULL, NULL, NULL) < 0)
		log_debug("container id=%.12s cannot be told to end", d->id);
	return -1;
}

const struct data_path_ops data_path_engine = {
	.open = path_open,
	.describe = path_describe,
	.launched = path_launched,
	.start = path_start,
	.connect = path_connect,
	.listen = path_listen,
	.accept = path_accept,
	.forget = path_forget,
	.hang_up = path_hang_up,
	.close = path_close,
};
