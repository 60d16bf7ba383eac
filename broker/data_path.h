/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How programs are started in one running container, and how their bytes reach the worker.
 *
 * "direct" (direct_path.c): our guest is the container's first process and takes orders with
 * descriptors; neither the broker nor the engine carries a byte. Needs the engine on this host.
 * The engine's own attach and exec streams are the other way; they will be a second table of these
 * functions, for engines and runtimes that the direct one cannot reach.
 */
#ifndef SP_DATA_PATH_H
#define SP_DATA_PATH_H

#include <stdint.h>
#include <sys/types.h>

#include "attr.h"
#include "ipc.h"

struct broker;
struct data_path;
struct engine_container;
struct engine_container_spec;
struct engine_mount;
struct guest_connect;
struct guest_listen;
struct guest_spawn;

#define DATA_PATH_E_BUSY 1 /* start: the container does not take its orders; it is not waited for */

enum data_path_life {
	DATA_PATH_ONCE,  /* the container ends with this path, also when the broker is killed */
	DATA_PATH_KEPT,  /* it only ends with hang_up(): after close() another broker can find it */
	DATA_PATH_FOUND, /* the same, and an earlier broker has made it */
};

struct data_path_events {
	/* Programs can be started. *pidfd: the container's first process; taken by the callee. */
	void (*ready)(void *arg, int *pidfd);
	/* It will not become ready, and no event comes after this; why is for the log. */
	void (*failed)(void *arg, const char *why);
	void *arg;
};

/* Streams of a started program that go to the worker, in the order of IPC_ANS_START. */
struct data_path_streams {
	int fds[IPC_START_FDS];
	unsigned n;
};

struct data_path_ops {
	const char *name;
	/* Before the container is made, or found. name: the container's. 0 or -errno. */
	int (*open)(struct broker *b, const char *name, enum data_path_life life,
	    const struct data_path_events *events, struct data_path **ret);
	/* Put what this path needs into the spec: mounts (room for CONTAINER_PLAN_OWN_MOUNTS), entrypoint. What
	 * it points to lives as long as the path. */
	void (*describe)(struct data_path *d, struct engine_container_spec *spec,
	    struct engine_mount *mounts);
	/* The container runs, as the engine describes it. */
	void (*launched)(struct data_path *d, const struct engine_container *seen);
	/* Start a program. 0, DATA_PATH_E_BUSY or -errno. */
	int (*start)(struct data_path *d, const struct guest_spawn *order,
	    struct data_path_streams *ret);
	/* Make a connection in the container's network. The one stream is its control pair. As start. */
	int (*connect)(struct data_path *d, const struct guest_connect *order,
	    struct data_path_streams *ret);
	/* Listen in the container. The one stream is its control pair. As start. */
	int (*listen)(struct data_path *d, const struct guest_listen *order,
	    struct data_path_streams *ret);
	/* No more programs; those that run are to end. */
	void (*hang_up)(struct data_path *d);
	/* Free. NULL is fine. No event after this. */
	void (*close)(struct data_path *d);
};

extern const struct data_path_ops data_path_direct;

#endif
