/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces with nothing in them, for workers: each is one living worker's alone. To make one and to
 * remove it again costs a millisecond of a processor, and both wait for other namespaces of the host; so the next
 * worker gets the one of a worker that is gone. It finds nothing there: all that can be had in a network namespace
 * without a capability are sockets, which end with who has them, and no worker makes any. (System V IPC is not
 * handed on: its objects stay.) For the spawner, with CAP_SYS_ADMIN.
 */
#ifndef SP_WORKER_NETWORK_H
#define SP_WORKER_NETWORK_H

#include "attr.h"

/* So many wait for a worker at most: those of a burst that come when it is over are removed. */
#define WORKER_NETWORK_SPARE 32

struct worker_networks {
	int spare[WORKER_NETWORK_SPARE];
	unsigned n_spare;
};

/*
 * Move the calling process, and with it whom it makes from now on, into an empty network that no worker has.
 * 0 and its descriptor, which the caller gives back when its worker is gone (-1: none was to be had, so that this
 * network ends with its worker); or -errno, and the process is where it was.
 */
SP_MUST_CHECK int worker_network_enter(struct worker_networks *networks, int *ret);

/* Whoever was in this network was reaped, and nobody else was put there. Takes fd, or -1. */
void worker_network_give_back(struct worker_networks *networks, int fd);

#endif
