/* SPDX-License-Identifier: Apache-2.0 */
/* Empty networks that go from one worker to the next. No input of anybody's. */
#include "worker_network.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "fd.h"

int
worker_network_enter(struct worker_networks *networks, int *ret)
{
	if (networks->n_spare == 0) {
		if (unshare(CLONE_NEWNET) < 0)
			return -errno;
		*ret = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		return 0;
	}
	if (setns(networks->spare[networks->n_spare - 1], CLONE_NEWNET) < 0)
		return -errno;
	*ret = networks->spare[--networks->n_spare];
	return 0;
}

void
worker_network_give_back(struct worker_networks *networks, int fd)
{
	if (fd >= 0 && networks->n_spare < WORKER_NETWORK_SPARE)
		networks->spare[networks->n_spare++] = fd;
	else
		fd_close(&fd);
}
