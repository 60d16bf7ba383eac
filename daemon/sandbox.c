/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: what this process may still ask of the kernel. It reads what strangers send; whoever takes
 * it over finds a process without files, network, children, neighbours or rights.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "exec_stream.h"
#include "fd.h"
#include "ipc.h"
#include "lockdown.h"
#include "sandbox_filter.h"

/* client, pair, log, and per channel what it is given at most; streams that are being flushed; a few in flight */
#define DESCRIPTORS_MAX (8 + (IPC_STREAM_FDS + EXEC_STREAM_FDS) * IPC_CHANNEL_MAX + 16)

/* One step failed. In best effort, lack of privilege is passed over, with a line in the log. */
static bool
tolerable(const struct sandbox_options *o, int r, const char *what)
{
	if (!o->best_effort || (r != -EPERM && r != -EACCES && r != -EINVAL && r != -ENOSYS))
		return false;
	dprintf(STDERR_FILENO, "not locked down as it should be: %s: %s\n", what, strerror(-r));
	return true;
}

static int
set_limits(void)
{
	int r = lockdown_rlimit(RLIMIT_CORE, 0);

#ifndef SP_SANITIZE
	if (r == 0)
		r = lockdown_rlimit(RLIMIT_FSIZE, 0); /* the log is a pipe */
	if (r == 0)
		r = lockdown_rlimit(RLIMIT_NPROC, 0);
#endif
	return r;
}

/* What is made takes a namespace of its own. The descriptor of what is entered is needed for nothing else. */
static int
enter_empty_root(const struct sandbox_options *o)
{
	int fd = IPC_ROOT_FD;
	int r;

	if (!o->has_root)
		return lockdown_empty_root();
	r = lockdown_enter_root(fd);
	fd_close(&fd);
	return r;
}

static int
verify(const struct sandbox_options *o, int status, bool privileged, char *why, size_t cap)
{
	struct lockdown_expect expect = { .seccomp = true,
		.no_new_privs = true,
		.no_capabilities = privileged,
		.check_ids = privileged,
		.uid = o->uid,
		.gid = o->gid };

	return lockdown_verify(status, &expect, why, cap);
}

int
sandbox_worker(const struct sandbox_options *o, char *why, size_t cap)
{
	SP_CLEANUP_FD int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	bool privileged = geteuid() == 0;
	char descriptors[64];
	const char *what = descriptors;
	int r;

	if (status < 0) {
		(void)snprintf(why, cap, "cannot open /proc/self/status: %s", strerror(errno));
		return -1;
	}
	/* The only one that an administrator may have set too low. */
	(void)snprintf(descriptors, sizeof(descriptors), "RLIMIT_NOFILE has to be at least %d",
	    DESCRIPTORS_MAX);
	r = lockdown_rlimit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
	if (r == 0) {
		what = "limits";
		r = set_limits();
	}
	if (r == 0) {
		what = "empty root";
		r = enter_empty_root(o);
		if (r < 0 && tolerable(o, r, what))
			r = 0;
	}
	if (r == 0) {
		what = "user and capabilities";
		r = lockdown_drop_ids(o->uid, o->gid);
		if (r < 0 && !privileged && tolerable(o, r, what))
			r = 0;
	}
	if (r == 0) {
		/* Whatever has taken this process over: it ends when the spawner does. */
		what = "end with the spawner";
		r = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
	}
	if (r == 0) {
		what = "system call filter";
		r = lockdown_filter(sandbox_filter, sandbox_filter_len);
	}
	if (r < 0) {
		(void)snprintf(why, cap, "cannot lock the worker down (%s): %s", what, strerror(-r));
		return r;
	}
	return verify(o, status, privileged || !o->best_effort, why, cap);
}
