/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How programs are started in one running container, and how their bytes reach the worker. The profile
 * says which of the two ways it is, or leaves it to what reaches (data_path_reach.h).
 *
 * "direct" (direct_path.c): our guest is the container's first process and takes orders with
 * descriptors; neither the broker nor the engine carries a byte. Needs the engine on this host.
 *
 * "engine" (engine_path.c): an order is carried out by our guest in an exec of the engine, and the exec's
 * stream goes to the worker. For engines and runtimes that the direct one cannot reach. A container does not notice
 * that its broker is gone: the next one ends it.
 */
#ifndef SP_DATA_PATH_H
#define SP_DATA_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"
#include "ipc.h"

struct broker;
struct data_path;
struct data_path_order;
struct engine_container;
struct engine_container_spec;
struct engine_mount;
struct guest_connect;
struct guest_listen;
struct guest_spawn;

#define DATA_PATH_E_BUSY  1 /* an order: the container does not take it; it is not waited for */
#define DATA_PATH_E_LATER 2 /* an order: it is on its way, and the waiter hears what comes of it */
#define DATA_PATH_E_AWAY  3 /* an order: the engine does not answer */
#define DATA_PATH_E_QUEUE 4 /* an order: too many wait for their turns at the engine */
#define DATA_PATH_E_ENDED 5 /* an order: the container has, and the news of it is near */

enum data_path_life {
	DATA_PATH_ONCE, /* direct: the container ends with this path, also when the broker is killed */
	DATA_PATH_KEPT,  /* it only ends with hang_up(): after close() another broker can find it */
	DATA_PATH_FOUND, /* the same, and an earlier broker has made it */
};

struct data_path_events {
	/* Programs can be started. *pidfd: the container's first process, taken by the callee; -1: it cannot be
	 * had, and only the engine knows when it ends. oom_file: as oom_count_find() has it; taken as well. */
	void (*ready)(void *arg, int *pidfd, char *oom_file);
	/* It will not become ready, and no event comes after this; why is for the log. */
	void (*failed)(void *arg, const char *why);
	/* It was ready, and the engine says that it has ended, or is gone. Who waits for an order lets go of it, or
	 * of the path: no outcome comes. */
	void (*ended)(void *arg);
	void *arg;
};

/* Descriptors that go to the worker, as PROTOCOL.md has them for the answer to what was ordered. */
struct data_path_streams {
	int fds[IPC_STREAM_FDS];
	unsigned n;
};

/* Who hears later of an order: a place in what is ordered for. Zero: does not wait. */
struct data_path_waiter {
	/* Once, and not after forget(). result: 0, or as of the order, but not LATER. */
	void (*ordered)(void *arg, int result, struct data_path_streams *streams);
	void *arg;
	const char *owner; /* the user: whose turn it is when orders have to wait for it */
	struct data_path_order *order; /* the path's; NULL: does not wait */
};

struct data_path_ops {
	/* Before the container is made, or found. name: the container's. 0 or -errno. */
	int (*open)(struct broker *b, const char *name, enum data_path_life life,
	    const struct data_path_events *events, struct data_path **ret);
	/* Put what this path needs into the spec: mounts (room for CONTAINER_PLAN_OWN_MOUNTS), entrypoint. What
	 * it points to lives as long as the path. grace_ms: from hang_up() to the end. */
	void (*describe)(struct data_path *d, struct engine_container_spec *spec,
	    struct engine_mount *mounts, uint32_t grace_ms);
	/* The container runs, as the engine describes it. */
	void (*launched)(struct data_path *d, const struct engine_container *seen);
	/* Start a program. 0, DATA_PATH_E_BUSY, _AWAY, _QUEUE, _ENDED, _LATER or -errno. */
	int (*start)(struct data_path *d, const struct guest_spawn *order,
	    struct data_path_waiter *waiter, struct data_path_streams *ret);
	/* Make a connection in the container's network. As start. */
	int (*connect)(struct data_path *d, const struct guest_connect *order,
	    struct data_path_waiter *waiter, struct data_path_streams *ret);
	/* Listen in the container. As start. */
	int (*listen)(struct data_path *d, const struct guest_listen *order,
	    struct data_path_waiter *waiter, struct data_path_streams *ret);
	/* What the worker needs for a connection that was accepted for it. 0 or -errno. */
	int (*accept)(struct data_path_streams *ret);
	/* Give up an order that is waited for. */
	void (*forget)(struct data_path_waiter *waiter);
	/* No more programs; those that run are to end. A descriptor that gets one byte when nobody is left in the container
	 * but its first process, which then waits for a while to be killed; or -1: it ends by itself. */
	int (*hang_up)(struct data_path *d);
	/* Free. NULL is fine. No event after this. */
	void (*close)(struct data_path *d);
};

extern const struct data_path_ops data_path_direct;
extern const struct data_path_ops data_path_engine;

/*
 * Where the container of this name has a directory of its own on this host: on the direct path for as long as
 * its guest may report there, and if it is kept, on both, until hang_up(). That takes it away first of all, so
 * that who dies in the middle of it leaves no container that the next run goes on with. 0 or -ENOMEM.
 */
SP_MUST_CHECK int data_path_directory(const struct broker *b, const char *name, char **ret);
/* For the paths themselves: make that one. 0, or -errno, which is logged with its place. */
SP_MUST_CHECK int data_path_make_directory(const char *path, mode_t mode);
/* Whether one that is kept has not been told to end. */
bool data_path_may_be_found(const struct broker *b, const char *name);

/* The words for the outcome of an order that is not 0: for the log. */
const char *data_path_error_text(int r);

/* The pipes of an accepted connection, as IPC_ANS_ACCEPTED has them. 0 or -errno: there are none. */
SP_MUST_CHECK int data_path_make_pipes(int fds[IPC_PIPE_FDS]);

/* One program's ends and the worker's, both in the order of IPC_ANS_START. ctl_alone: the others are -1. 0 or
 * -errno: what was made is in them, to be closed. */
SP_MUST_CHECK int data_path_make_streams(bool ctl_alone, int child[IPC_START_FDS],
    int worker[IPC_START_FDS]);

#endif
