/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process in namespaces of its own: no network device, no view of other processes, no System V IPC
 * or host name shared with anybody, mounts that it can leave. For the spawner.
 *
 * With CAP_SYS_ADMIN the kernel makes them at once. Without it they belong to a user namespace made
 * for this process alone, in which one uid and one gid exist: its own. To give it another uid than
 * the spawner's takes CAP_SETUID and CAP_SETGID then, and no other right.
 */
#ifndef SP_WORKER_CLONE_H
#define SP_WORKER_CLONE_H

#include <sched.h>
#include <sys/types.h>

#include "attr.h"

/* Mounts are its own so that it can leave the tree. */
#define WORKER_CLONE_ALL \
	((unsigned long)(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID))

/*
 * Run run(arg) in a new process, whose exit status is what it returns; the caller owns the pidfd. uid and gid:
 * whom the process will run as; in a user namespace it already does when run() begins, and holds until its exec
 * is through just what leaving the root takes. namespaces: those that it has new, of WORKER_CLONE_ALL, all of them
 * unless the caller has CAP_SYS_ADMIN; 0: none at all.
 *
 * Outside of a user namespace this is like vfork(2): the caller waits until the process executes a program or
 * ends, which has the caller's memory until then. A copy of that memory that is thrown away at once would be a
 * good part of what a worker costs.
 *
 * The pid, or -1 with errno.
 */
SP_MUST_CHECK pid_t worker_clone(uid_t uid, gid_t gid, unsigned long namespaces,
    int (*run)(void *arg), void *arg, int *ret_pidfd);

/* SIGKILL for a child that runs as uid. Errors do not matter: it is gone already. */
void worker_kill(pid_t pid, uid_t uid);

#endif
