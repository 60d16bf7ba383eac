/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces with nothing in them, for workers: an empty network and an empty root, each one living worker's
 * alone. To make a network and to remove it again costs a millisecond of a processor, and waits for other
 * namespaces of the host. To make a root means to copy all that is mounted and to throw the copy away, which is
 * a third of that on a host with nothing but itself, and five on one with 500 containers. So the next worker gets
 * what a worker that is gone has had. It finds nothing there: all that can be had in a network namespace without a
 * capability are sockets, which end with who has them, and no worker makes any; and in a root that is read-only
 * nothing can be had at all. (System V IPC is not handed on: its objects stay.) For the spawner, with
 * CAP_SYS_ADMIN.
 */
#ifndef SP_WORKER_SPACE_H
#define SP_WORKER_SPACE_H

#include "attr.h"

/* So many wait for a worker at most: those of a burst that come when it is over are removed. */
#define WORKER_SPACE_SPARE 32

/* Descriptors of namespaces, or -1: the worker has one that ends with it. */
struct worker_space {
	int network;
	int root;
};

#define WORKER_SPACE_NONE ((struct worker_space){ .network = -1, .root = -1 })

struct worker_spaces {
	struct worker_space spare[WORKER_SPACE_SPARE];
	unsigned n_spare;
};

/*
 * Move the calling process, and with it whom it makes from now on, into an empty network that no worker has.
 * 0 and what of *ret goes on to others: the caller gives that back when its worker is gone. The root of it, if
 * there is one, is for the worker to enter, which needs files until then (lockdown_enter_root()); without one it
 * makes its own. Or -errno, *ret is WORKER_SPACE_NONE, and the process is where it was.
 */
SP_MUST_CHECK int worker_space_enter(struct worker_spaces *spaces, struct worker_space *ret);

/* Whoever was in there was reaped, and nobody else was put there. Takes what it holds. */
void worker_space_give_back(struct worker_spaces *spaces, const struct worker_space *space);

#endif
