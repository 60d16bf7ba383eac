/* SPDX-License-Identifier: Apache-2.0 */
/* worker_space: empty networks and roots, one for each living worker, and what happens to those that are given back. */
#include "worker_space.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "attr.h"
#include "fd.h"
#include "in_child.h"
#include "lockdown.h"

static struct worker_spaces spaces;

static ino_t
here(const char *kind)
{
	struct stat st;

	CHILD_CHECK(stat(kind, &st) == 0);
	return st.st_ino;
}

static ino_t
network(void)
{
	return here("/proc/self/ns/net");
}

static ino_t
root(void)
{
	return here("/proc/self/ns/mnt");
}

static ino_t
of(int fd)
{
	struct stat st;

	CHILD_CHECK(fstat(fd, &st) == 0);
	return st.st_ino;
}

/* The caller itself stays in the root that it has. */
static struct worker_space
enter(void)
{
	ino_t own = root();
	struct worker_space s;

	CHILD_CHECK(worker_space_enter(&spaces, &s) == 0);
	CHILD_CHECK(s.network >= 0 && fcntl(s.network, F_GETFD) == FD_CLOEXEC);
	CHILD_CHECK(s.root >= 0 && fcntl(s.root, F_GETFD) == FD_CLOEXEC);
	CHILD_CHECK(of(s.network) == network());
	CHILD_CHECK(of(s.root) != own && root() == own);
	return s;
}

/* Whether somebody listens at this abstract name of the network that this process is in; made if asked for. */
static bool
listens(const char *name, int *make)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	SP_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there;

	memcpy(addr.sun_path + 1, name, strlen(name));
	there = connect(fd, (const struct sockaddr *)&addr, len) == 0;
	if (make != NULL) {
		*make = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHILD_CHECK(bind(*make, (const struct sockaddr *)&addr, len) == 0);
		CHILD_CHECK(listen(*make, 1) == 0);
	}
	return there;
}

static unsigned
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	CHILD_CHECK(dir != NULL);
	while (readdir(dir) != NULL)
		n++;
	CHILD_CHECK(closedir(dir) == 0);
	return n;
}

static void
nobody_shares_one(void)
{
	ino_t host = network();
	struct if_nameindex *devices;
	int of_first = -1;
	struct worker_space first = enter();
	struct worker_space second;
	struct worker_space third;
	struct worker_space fourth;

	CHILD_CHECK(network() != host);
	devices = if_nameindex();
	CHILD_CHECK(devices != NULL && strcmp(devices[0].if_name, "lo") == 0);
	CHILD_CHECK(devices[1].if_index == 0);
	if_freenameindex(devices);
	CHILD_CHECK(!listens("name", &of_first));
	CHILD_CHECK(listens("name", NULL));

	second = enter();
	CHILD_CHECK(of(second.network) != of(first.network) && network() != host);
	CHILD_CHECK(of(second.root) != of(first.root));
	CHILD_CHECK(!listens("name", NULL));

	/* The worker of the first one ends, and its sockets with it. */
	fd_close(&of_first);
	worker_space_give_back(&spaces, &first);
	third = enter();
	CHILD_CHECK(third.network == first.network && third.root == first.root);
	CHILD_CHECK(!listens("name", NULL));
	fourth = enter();
	CHILD_CHECK(
	    of(fourth.network) != of(third.network) && of(fourth.network) != of(second.network));
	CHILD_CHECK(of(fourth.root) != of(third.root) && of(fourth.root) != of(second.root));
}

/* Whoever enters has nothing left of where it was, and leaves nothing for who comes next. */
static void
root_is_empty(void)
{
	struct worker_space s = enter();
	int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	DIR *dir;

	CHILD_CHECK(own >= 0);
	for (int turn = 0; turn < 2; turn++) {
		CHILD_CHECK(lockdown_enter_root(s.root) == 0);
		dir = opendir("/");
		CHILD_CHECK(dir != NULL && strcmp(readdir(dir)->d_name, ".") == 0);
		CHILD_CHECK(strcmp(readdir(dir)->d_name, "..") == 0 && readdir(dir) == NULL);
		CHILD_CHECK(closedir(dir) == 0);
		CHILD_CHECK(access("/proc", F_OK) < 0 && errno == ENOENT);
		CHILD_CHECK(access("../..", F_OK) == 0 && access("proc", F_OK) < 0);
		CHILD_CHECK(mkdir("/x", 0700) < 0 && errno == EROFS);
		CHILD_CHECK(setns(own, CLONE_NEWNS) == 0 && access("/proc/self", F_OK) == 0);
	}
	/* One that somebody has spoilt is not entered as if it was empty: what is in it, */
	CHILD_CHECK(setns(s.root, CLONE_NEWNS) == 0);
	CHILD_CHECK(mount(NULL, "/", NULL, MS_REMOUNT, "nr_inodes=3") == 0);
	CHILD_CHECK(mkdir("/x", 0700) == 0);
	CHILD_CHECK(mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	CHILD_CHECK(setns(own, CLONE_NEWNS) == 0);
	CHILD_CHECK(lockdown_enter_root(s.root) == -ENOTEMPTY);
	/* that it can be written to, */
	CHILD_CHECK(mount(NULL, "/", NULL, MS_REMOUNT, NULL) == 0);
	CHILD_CHECK(rmdir("/x") == 0 && setns(own, CLONE_NEWNS) == 0);
	CHILD_CHECK(lockdown_enter_root(s.root) == -ENOTEMPTY);
	CHILD_CHECK(setns(own, CLONE_NEWNS) == 0);
	/* or that it is none. */
	CHILD_CHECK(lockdown_enter_root(own) == -ENOTEMPTY);
	CHILD_CHECK(lockdown_enter_root(s.network) == -EINVAL);
}

static void
not_all_are_kept(void)
{
	struct worker_space s[WORKER_SPACE_SPARE + 3];
	unsigned before = open_descriptors();

	for (size_t i = 0; i < SP_ARRAY_LEN(s); i++)
		s[i] = enter();
	for (size_t i = 0; i < SP_ARRAY_LEN(s); i++)
		worker_space_give_back(&spaces, &s[i]);
	CHILD_CHECK(spaces.n_spare == WORKER_SPACE_SPARE);
	CHILD_CHECK(open_descriptors() == before + 2 * WORKER_SPACE_SPARE);
	worker_space_give_back(&spaces, &WORKER_SPACE_NONE);
	CHILD_CHECK(spaces.n_spare == WORKER_SPACE_SPARE);
}

/* Without descriptors for them the worker still has what nobody else has, and that ends with it. */
static void
without_descriptors(void)
{
	struct rlimit limit;
	ino_t host = network();
	ino_t own = root();
	struct worker_space s;
	ino_t first;

	CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 0;
	CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHILD_CHECK(worker_space_enter(&spaces, &s) == 0 && s.network == -1 && s.root == -1);
	first = network();
	CHILD_CHECK(first != host && root() == own);
	worker_space_give_back(&spaces, &s);
	CHILD_CHECK(worker_space_enter(&spaces, &s) == 0 && s.network == -1 && s.root == -1);
	CHILD_CHECK(network() != first && network() != host && root() == own);
}

static void
without_the_right(void)
{
	static const int keep[] = { CAP_SYS_ADMIN };
	ino_t host = network();
	ino_t own_root = root();
	struct worker_space s = enter();
	struct worker_space other;
	ino_t own = network();

	worker_space_give_back(&spaces, &s);
	/* Who may not go back to its own root does not leave it. */
	spaces.n_spare = 0;
	CHILD_CHECK(lockdown_keep_caps(keep, SP_ARRAY_LEN(keep)) == 0);
	CHILD_CHECK(
	    worker_space_enter(&spaces, &other) == 0 && other.network >= 0 && other.root == -1);
	CHILD_CHECK(network() != own && root() == own_root);
	own = network();
	worker_space_give_back(&spaces, &other);
	CHILD_CHECK(lockdown_keep_caps(NULL, 0) == 0);
	CHILD_CHECK(worker_space_enter(&spaces, &other) == -EPERM && other.network == -1 &&
	    other.root == -1);
	spaces.n_spare = 0;
	CHILD_CHECK(worker_space_enter(&spaces, &other) == -EPERM && other.network == -1 &&
	    other.root == -1);
	CHILD_CHECK(network() == own && own != host && root() == own_root);
}

/* Who was put into a directory with chroot(2) stays there, where its programs are. */
static void
in_a_chroot(void)
{
	struct worker_space s;

	CHILD_CHECK(unshare(CLONE_NEWNS) == 0);
	CHILD_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHILD_CHECK(mount("of its own", "/tmp", "tmpfs", 0, NULL) == 0);
	CHILD_CHECK(mkdir("/tmp/proc", 0700) == 0 &&
	    mount("/proc", "/tmp/proc", NULL, MS_BIND | MS_REC, NULL) == 0);
	CHILD_CHECK(chroot("/tmp") == 0 && chdir("/") == 0);
	CHILD_CHECK(worker_space_enter(&spaces, &s) == 0 && s.network >= 0 && s.root == -1);
	CHILD_CHECK(access("/proc/self", F_OK) == 0 && access("proc/self", F_OK) == 0);
	CHILD_CHECK(access("/tmp", F_OK) < 0 && errno == ENOENT);
}

int
main(void)
{
	static void (*cases[])(void) = { nobody_shares_one, root_is_empty, not_all_are_kept,
		without_descriptors, without_the_right, in_a_chroot };
	const struct CMUnitTest tests[] = {
		{ "nobody shares one", in_child_as_root, NULL, NULL, &cases[0] },
		{ "the root is empty", in_child_as_root, NULL, NULL, &cases[1] },
		{ "not all are kept", in_child_as_root, NULL, NULL, &cases[2] },
		{ "without descriptors", in_child_as_root, NULL, NULL, &cases[3] },
		{ "without the right", in_child_as_root, NULL, NULL, &cases[4] },
		{ "in a chroot", in_child_as_root, NULL, NULL, &cases[5] },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
