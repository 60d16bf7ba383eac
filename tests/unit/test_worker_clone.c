/* SPDX-License-Identifier: Apache-2.0 */
/* worker_clone: a worker's namespaces and uid with CAP_SYS_ADMIN, with CAP_SETUID and CAP_SETGID
 * only, and with nothing at all; and the end of a worker that has another uid than its spawner. */
#include "worker_clone.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include "attr.h"
#include "in_child.h"
#include "lockdown.h"

#define SPAWNER_ID 64221
#define WORKER_ID  64222

static const char *const unshared[] = { "net", "mnt", "ipc", "uts", "pid" };

/* From root to a user without groups that has the capabilities in keep[n] and no way to more. */
static void
be_spawner(const int *keep, size_t n)
{
	CHILD_CHECK(setgroups(0, NULL) == 0);
	CHILD_CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
	CHILD_CHECK(setresgid(SPAWNER_ID, SPAWNER_ID, SPAWNER_ID) == 0);
	CHILD_CHECK(setresuid(SPAWNER_ID, SPAWNER_ID, SPAWNER_ID) == 0);
	CHILD_CHECK(lockdown_pass_caps(keep, n) == 0);
	CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHILD_CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
}

static void
read_namespaces(char links[][64])
{
	for (size_t i = 0; i < SP_ARRAY_LEN(unshared); i++) {
		char path[64];
		ssize_t n;

		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", unshared[i]);
		n = readlink(path, links[i], 63);
		CHILD_CHECK(n > 0);
		links[i][n] = '\0';
	}
}

struct lock_down {
	uid_t id;
	char before[SP_ARRAY_LEN(unshared)][64];
};

/* What sallyportd does with what it was given: leave the tree, give the rest up, prove it. */
static int
lock_down(void *arg)
{
	const struct lock_down *job = arg;
	uid_t id = job->id;
	struct lockdown_expect expect = { .no_capabilities = true,
		.check_ids = true,
		.uid = id,
		.gid = id };
	int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char after[SP_ARRAY_LEN(unshared)][64];
	char why[128] = "";

	read_namespaces(after);
	for (size_t i = 0; i < SP_ARRAY_LEN(unshared); i++)
		CHILD_CHECK(strcmp(job->before[i], after[i]) != 0);
	CHILD_CHECK(getpid() == 1);
	CHILD_CHECK(lockdown_empty_root() == 0);
	CHILD_CHECK(access("/etc", F_OK) < 0 && errno == ENOENT);
	CHILD_CHECK(lockdown_drop_ids(id, id) == 0);
	if (lockdown_verify(status, &expect, why, sizeof(why)) != 0) {
		fprintf(stderr, "verify: %s\n", why);
		_exit(1);
	}
	CHILD_CHECK(setresuid(SPAWNER_ID + 5, SPAWNER_ID + 5, SPAWNER_ID + 5) < 0);
	return 42;
}

/* Clone one worker and wait for it; then the parent is who it was. */
static void
clone_and_lock_down(uid_t id)
{
	struct lock_down job = { .id = id };
	uid_t own = geteuid();
	int pidfd = -1;
	int status = -1;
	pid_t pid;

	read_namespaces(job.before);
	pid = worker_clone(id, id, WORKER_CLONE_ALL, lock_down, &job, &pidfd);
	CHILD_CHECK(pid >= 0);
	CHILD_CHECK(pidfd >= 0 && fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
	CHILD_CHECK(waitpid(pid, &status, 0) == pid);
	CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	CHILD_CHECK(geteuid() == own && getegid() == own);
}

static void
as_root(void)
{
	clone_and_lock_down(WORKER_ID);
}

static void
with_setuid(void)
{
	static const int keep[] = { CAP_SETUID, CAP_SETGID };

	be_spawner(keep, SP_ARRAY_LEN(keep));
	clone_and_lock_down(WORKER_ID);
}

static void
with_nothing(void)
{
	be_spawner(NULL, 0);
	clone_and_lock_down(SPAWNER_ID);
}

/* arg: where to say that it is there */
static int
wait_for_end(void *arg)
{
	const int *ready = arg;

	CHILD_CHECK(write(*ready, "", 1) == 1);
	return pause();
}

/* Without CAP_SETUID there is no other uid to be had, and that is an error and not our own uid. */
static void
other_uid_without_setuid(void)
{
	int pidfd = -1;

	be_spawner(NULL, 0);
	CHILD_CHECK(
	    worker_clone(WORKER_ID, WORKER_ID, WORKER_CLONE_ALL, wait_for_end, NULL, &pidfd) == -1);
	CHILD_CHECK(errno == EPERM && pidfd == -1);
	CHILD_CHECK(geteuid() == SPAWNER_ID && getegid() == SPAWNER_ID);
}

static void
kill_of_another_uid(void)
{
	static const int keep[] = { CAP_SETUID, CAP_SETGID };
	int ready[2];
	int pidfd = -1;
	int status;
	char byte;
	pid_t pid;

	be_spawner(keep, SP_ARRAY_LEN(keep));
	CHILD_CHECK(pipe2(ready, O_CLOEXEC) == 0);
	pid = worker_clone(WORKER_ID, WORKER_ID, WORKER_CLONE_ALL, wait_for_end, &ready[1], &pidfd);
	CHILD_CHECK(pid >= 0);
	CHILD_CHECK(read(ready[0], &byte, 1) == 1);
	CHILD_CHECK(kill(pid, SIGKILL) < 0 && errno == EPERM);
	worker_kill(pid, WORKER_ID);
	CHILD_CHECK(waitpid(pid, &status, 0) == pid);
	CHILD_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHILD_CHECK(geteuid() == SPAWNER_ID);
}

int
main(void)
{
#ifdef SP_SANITIZE
	/* Their runtime reads /proc at the end of a process, which has none here. The release build,
	 * which is what runs, is tested. */
	return 77;
#endif
	static void (*cases[])(void) = { as_root, with_setuid, with_nothing,
		other_uid_without_setuid, kill_of_another_uid };
	const struct CMUnitTest tests[] = {
		{ "as root", in_child_as_root, NULL, NULL, &cases[0] },
		{ "with CAP_SETUID and CAP_SETGID", in_child_as_root, NULL, NULL, &cases[1] },
		{ "with nothing", in_child_as_root, NULL, NULL, &cases[2] },
		{ "another uid without CAP_SETUID", in_child_as_root, NULL, NULL, &cases[3] },
		{ "kill of another uid", in_child_as_root, NULL, NULL, &cases[4] },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
