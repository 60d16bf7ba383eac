/* SPDX-License-Identifier: Apache-2.0 */
/* worker_network: empty networks, one for each living worker, and what happens to those that are given back. */
#include "worker_network.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "attr.h"
#include "fd.h"
#include "in_child.h"
#include "lockdown.h"

static struct worker_networks networks;

static ino_t
here(void)
{
	struct stat st;

	CHILD_CHECK(stat("/proc/self/ns/net", &st) == 0);
	return st.st_ino;
}

static ino_t
network_of(int fd)
{
	struct stat st;

	CHILD_CHECK(fstat(fd, &st) == 0);
	return st.st_ino;
}

static int
enter(void)
{
	int fd = -1;

	CHILD_CHECK(worker_network_enter(&networks, &fd) == 0);
	CHILD_CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHILD_CHECK(network_of(fd) == here());
	return fd;
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
	ino_t host = here();
	struct if_nameindex *devices;
	int of_first = -1;
	int first = enter();
	int second;
	int third;

	CHILD_CHECK(here() != host);
	devices = if_nameindex();
	CHILD_CHECK(devices != NULL && strcmp(devices[0].if_name, "lo") == 0);
	CHILD_CHECK(devices[1].if_index == 0);
	if_freenameindex(devices);
	CHILD_CHECK(!listens("name", &of_first));
	CHILD_CHECK(listens("name", NULL));

	second = enter();
	CHILD_CHECK(network_of(second) != network_of(first) && here() != host);
	CHILD_CHECK(!listens("name", NULL));

	/* The worker of the first one ends, and its sockets with it. */
	fd_close(&of_first);
	worker_network_give_back(&networks, first);
	third = enter();
	CHILD_CHECK(third == first && network_of(third) != network_of(second));
	CHILD_CHECK(!listens("name", NULL));
	CHILD_CHECK(network_of(enter()) != network_of(third));
}

static void
not_all_are_kept(void)
{
	int fds[WORKER_NETWORK_SPARE + 3];
	unsigned before = open_descriptors();

	for (size_t i = 0; i < SP_ARRAY_LEN(fds); i++)
		fds[i] = enter();
	for (size_t i = 0; i < SP_ARRAY_LEN(fds); i++)
		worker_network_give_back(&networks, fds[i]);
	CHILD_CHECK(networks.n_spare == WORKER_NETWORK_SPARE);
	CHILD_CHECK(open_descriptors() == before + WORKER_NETWORK_SPARE);
	worker_network_give_back(&networks, -1);
	CHILD_CHECK(networks.n_spare == WORKER_NETWORK_SPARE);
}

/* Without a descriptor for it the worker still has one that nobody else has, and that ends with it. */
static void
without_descriptors(void)
{
	struct rlimit limit;
	ino_t host = here();
	ino_t first;
	int fd = 77;

	CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 0;
	CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHILD_CHECK(worker_network_enter(&networks, &fd) == 0 && fd == -1);
	first = here();
	CHILD_CHECK(first != host);
	worker_network_give_back(&networks, fd);
	CHILD_CHECK(worker_network_enter(&networks, &fd) == 0 && fd == -1);
	CHILD_CHECK(here() != first && here() != host);
}

static void
without_the_right(void)
{
	ino_t host = here();
	int fd = enter();
	int other = -1;
	ino_t own = here();

	worker_network_give_back(&networks, fd);
	CHILD_CHECK(lockdown_keep_caps(NULL, 0) == 0);
	CHILD_CHECK(worker_network_enter(&networks, &other) == -EPERM && other == -1);
	networks.n_spare = 0;
	CHILD_CHECK(worker_network_enter(&networks, &other) == -EPERM && other == -1);
	CHILD_CHECK(here() == own && own != host);
}

int
main(void)
{
	static void (*cases[])(
	    void) = { nobody_shares_one, not_all_are_kept, without_descriptors, without_the_right };
	const struct CMUnitTest tests[] = {
		{ "nobody shares one", in_child_as_root, NULL, NULL, &cases[0] },
		{ "not all are kept", in_child_as_root, NULL, NULL, &cases[1] },
		{ "without descriptors", in_child_as_root, NULL, NULL, &cases[2] },
		{ "without the right", in_child_as_root, NULL, NULL, &cases[3] },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
