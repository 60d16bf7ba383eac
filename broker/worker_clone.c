/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces for a worker, with and without CAP_SYS_ADMIN. No input of anybody's. */
#include "worker_clone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fd.h"
#include "lockdown.h"

#define STACK_SIZE 65536 /* of one process at a time: the caller waits, or has given it a copy */

static const unsigned long shared_memory = CLONE_VM | CLONE_VFORK;

/* What a worker needs in its own user namespace: to mount its empty root, and to give the rest up. */
static const int own_capabilities[] = { CAP_SYS_ADMIN, CAP_SETPCAP };

struct job {
	int (*run)(void *arg);
	void *arg;
	uid_t uid;
	gid_t gid;
};

static int
write_once(const char *path, const char *text)
{
	SP_CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		return -errno;
	return 0;
}

/* Fill the new user namespace with the one user that it was made for, and become that. */
static int
become(uid_t uid, gid_t gid)
{
	char uids[48];
	char gids[48];
	int r;

	(void)snprintf(uids, sizeof(uids), "%u %u 1", (unsigned)uid, (unsigned)uid);
	(void)snprintf(gids, sizeof(gids), "%u %u 1", (unsigned)gid, (unsigned)gid);
	/* Only a dumpable process owns its files in /proc. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return -errno;
	r = write_once("/proc/self/setgroups", "deny");
	if (r == 0)
		r = write_once("/proc/self/uid_map", uids);
	if (r == 0)
		r = write_once("/proc/self/gid_map", gids);
	if (r < 0)
		return r;
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return lockdown_pass_caps(own_capabilities, SP_ARRAY_LEN(own_capabilities));
}

static int
run_as_itself(void *arg)
{
	const struct job *job = arg;
	int r = become(job->uid, job->gid);

	if (r == 0)
		return job->run(job->arg);
	dprintf(STDERR_FILENO, "cannot set up a worker's user namespace: %s\n", strerror(-r));
	return 125;
}

/*
 * clone(2), not clone3(2): a service manager's filter that allows some namespaces and not others can
 * read these flags, and refuses the call whose flags it cannot read.
 */
static pid_t
clone_with_pidfd(unsigned long flags, int (*run)(void *arg), void *arg, int *ret_pidfd)
{
	static uint8_t stack[STACK_SIZE] __attribute__((__aligned__(16)));

#ifdef SP_SANITIZE
	flags &= ~shared_memory; /* their notes on a stack are not undone by an exec */
#endif
	return clone(run, stack + sizeof(stack), (int)(flags | CLONE_PIDFD | SIGCHLD), arg,
	    ret_pidfd);
}

/*
 * The kernel lets the creator of a user namespace write its own effective ids into it, without any
 * capability: so the spawner has the worker's for the moment of the clone. Memory of its own, because
 * become() makes the process dumpable, and that is said of the memory.
 */
static pid_t
clone_in_user_namespace(struct job *job, int *ret_pidfd)
{
	uid_t own_uid = geteuid();
	gid_t own_gid = getegid();
	pid_t pid = -1;
	int error;

	if (setegid(job->gid) == 0 && seteuid(job->uid) == 0)
		pid = clone_with_pidfd(CLONE_NEWUSER | WORKER_CLONE_ALL, run_as_itself, job,
		    ret_pidfd);
	error = errno;
	if (seteuid(own_uid) < 0 || setegid(own_gid) < 0)
		_exit(1);
	errno = error;
	return pid;
}

pid_t
worker_clone(uid_t uid, gid_t gid, unsigned long namespaces, int (*run)(void *arg), void *arg,
    int *ret_pidfd)
{
	struct job job = { .run = run, .arg = arg, .uid = uid, .gid = gid };

	if (namespaces == 0 || lockdown_has_cap(CAP_SYS_ADMIN))
		return clone_with_pidfd(shared_memory | namespaces, run, arg, ret_pidfd);
	return clone_in_user_namespace(&job, ret_pidfd);
}

void
worker_kill(pid_t pid, uid_t uid)
{
	uid_t own = geteuid();

	if (kill(pid, SIGKILL) == 0 || errno != EPERM || seteuid(uid) < 0)
		return;
	(void)kill(pid, SIGKILL);
	if (seteuid(own) < 0)
		_exit(1);
}
