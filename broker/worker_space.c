/* SPDX-License-Identifier: Apache-2.0 */
/* Empty networks and roots that go from one worker to the next. No input of anybody's. */
#include "worker_space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "lockdown.h"

/* Whether the process's root is that directory, and not another mount of it. */
static bool
is_root(int directory)
{
	struct statx here;
	struct statx there;

	return statx(AT_FDCWD, "/", 0, STATX_INO | STATX_MNT_ID, &here) == 0 &&
	    statx(directory, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &there) == 0 &&
	    here.stx_mnt_id == there.stx_mnt_id && here.stx_ino == there.stx_ino;
}

/*
 * The process goes there and back. Who may not come back does not go: to enter a mount namespace takes a right
 * more than to make one, and a filter may forbid one call and not the other. Nor does who is in a chroot(2): the
 * way back leads to the root of the namespace. -1: none is to be had.
 */
static int
make_root(void)
{
	SP_CLEANUP_FD int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	SP_CLEANUP_FD int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	SP_CLEANUP_FD int all_own = open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int root = -1;

	if (old < 0 || own < 0 || all_own < 0 || setns(own, CLONE_NEWNS) < 0)
		return -1;
	if (!is_root(old)) {
		if (fchdir(old) < 0 || chroot(".") < 0)
			_exit(1);
		return -1;
	}
	if (unshare(CLONE_NEWNS) < 0)
		return -1;
	if (lockdown_empty_root() == 0)
		root = openat(all_own, "mnt", O_RDONLY | O_CLOEXEC);
	if (setns(own, CLONE_NEWNS) < 0)
		_exit(1);
	return root;
}

int
worker_space_enter(struct worker_spaces *spaces, struct worker_space *ret)
{
	*ret = WORKER_SPACE_NONE;
	if (spaces->n_spare == 0) {
		if (unshare(CLONE_NEWNET) < 0)
			return -errno;
		ret->network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		ret->root = make_root();
		return 0;
	}
	if (setns(spaces->spare[spaces->n_spare - 1].network, CLONE_NEWNET) < 0)
		return -errno;
	*ret = spaces->spare[--spaces->n_spare];
	return 0;
}

void
worker_space_give_back(struct worker_spaces *spaces, const struct worker_space *space)
{
	int fds[] = { space->network, space->root };

	if (space->network >= 0 && spaces->n_spare < WORKER_SPACE_SPARE)
		spaces->spare[spaces->n_spare++] = *space;
	else
		fd_close_all(fds, SP_ARRAY_LEN(fds));
}
