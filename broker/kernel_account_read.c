/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's account of a container, read. Runs in the broker; trusts the kernel alone. Opens nothing of the
 * container's but files of /proc about it, so no file of a tenant's is ever looked up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fd.h"
#include "kernel_account.h"

#define STATUS_MAX (64U * 1024)
#define MOUNTS_MAX (1024U * 1024) /* a line of overlay's can have a page */

/* Where the kernel's account of the host is. */
#define HOST   "/proc/1"
#define QUEUES "/dev/mqueue"

static int SP_PRINTF(4, 5) cannot(char *why, size_t cap, int error, const char *format, ...)
{
	char what[64];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	(void)snprintf(why, cap, "cannot read %s: %s", what, strerror(-error));
	return error;
}

/* The whole file, ended with a NUL; the caller frees it. 0 or -errno. */
static int
read_whole(const char *path, size_t max, char **ret)
{
	SP_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	size_t len = 0;
	ssize_t n = fd >= 0 ? 1 : -1;

	if (fd < 0)
		return -errno;
	text = malloc(max + 1);
	if (text == NULL)
		return -ENOMEM;
	while (n > 0 && len < max) {
		n = read(fd, text + len, max - len);
		if (n > 0)
			len += (size_t)n;
	}
	/* Longer than it may be, or with a NUL that would hide the rest. */
	if (n != 0 || memchr(text, '\0', len) != NULL) {
		int r = n < 0 ? -errno : -EFBIG;

		free(text);
		return r;
	}
	text[len] = '\0';
	*ret = text;
	return 0;
}

static int
read_about(const char *process, const char *name, size_t max, char **ret, char *why, size_t cap)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", process, name);
	r = read_whole(path, max, ret);
	return r < 0 ? cannot(why, cap, r, "%s", path) : 0;
}

/*
 * Which network namespace. To read the link in ns/ takes a capability; the files in net/ are each there once for
 * each namespace.
 */
static int
read_net(const char *process, uint64_t *ret, char *why, size_t cap)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/net/dev", process);
	if (stat(path, &st) < 0)
		return cannot(why, cap, -errno, "%s", path);
	*ret = st.st_ino;
	return 0;
}

/*
 * There is one filesystem of them for each IPC namespace. Where it is not mounted this is another device, which is
 * none of theirs: only the engine's word is left then.
 */
static void
read_queues(struct kernel_account *a)
{
	struct stat st;

	if (stat(QUEUES, &st) == 0)
		(void)snprintf(a->host_queues, sizeof(a->host_queues), "%u:%u", major(st.st_dev),
		    minor(st.st_dev));
}

/* A process's account and the memory behind it. */
struct reading {
	struct kernel_account account;
	char process[32];
	char *status, *limits, *uid_map, *mountinfo;
};

static int
read_identity(struct reading *g, pid_t pid, char *why, size_t cap)
{
	int r;

	(void)snprintf(g->process, sizeof(g->process), "/proc/%ld", (long)pid);
	r = read_about(g->process, "status", STATUS_MAX, &g->status, why, cap);
	if (r == 0)
		r = read_about(g->process, "uid_map", STATUS_MAX, &g->uid_map, why, cap);
	g->account.status = g->status;
	g->account.uid_map = g->uid_map;
	return r;
}

static int
read_mounts(struct reading *g, char *why, size_t cap)
{
	int r = read_about(g->process, "mountinfo", MOUNTS_MAX, &g->mountinfo, why, cap);

	g->account.mountinfo = g->mountinfo;
	return r;
}

static int
read_rest(struct reading *g, char *why, size_t cap)
{
	struct kernel_account *a = &g->account;
	int r = read_about(g->process, "limits", STATUS_MAX, &g->limits, why, cap);

	if (r == 0)
		r = read_mounts(g, why, cap);
	if (r == 0)
		r = read_net(g->process, &a->net, why, cap);
	if (r == 0)
		r = read_net(HOST, &a->host_net, why, cap);
	a->limits = g->limits;
	read_queues(a);
	for (size_t i = 0; i < KERNEL_ACCOUNT_PATHS; i++)
		a->there[i] = access(kernel_account_paths[i], F_OK) == 0;
	return r;
}

static void
reading_clear(struct reading *g)
{
	free(g->status);
	free(g->limits);
	free(g->uid_map);
	free(g->mountinfo);
}

int
kernel_account_check(pid_t pid, const struct engine_container_spec *spec, char *why, size_t cap)
{
	struct reading g = { 0 };
	int r = read_identity(&g, pid, why, cap);

	if (r == 0)
		r = read_rest(&g, why, cap);
	if (r == 0)
		r = kernel_account_judge(&g.account, spec, why, cap);
	reading_clear(&g);
	return r;
}

int
kernel_account_check_docker(pid_t pid, const struct engine_container_spec *spec, char *why, size_t cap)
{
	struct reading g = { 0 };
	int r = read_identity(&g, pid, why, cap);

	if (r == 0 && spec != NULL)
		r = read_mounts(&g, why, cap);
	if (r == 0)
		r = kernel_account_judge_docker(&g.account, spec, why, cap);
	reading_clear(&g);
	return r;
}

/* The files of the first one are everybody's to read, unless it is hidden (hidepid=). */
bool
kernel_account_sees_others(void)
{
	return access(HOST "/status", R_OK) == 0;
}

int
kernel_account_available(char *why, size_t cap)
{
	uint64_t net;
	int r = read_net(HOST, &net, why, cap);

	/* With only a part of /proc nothing would seem to need hiding. */
	if (r == 0 && (access("/proc/sys", F_OK) < 0 || access("/sys/kernel", F_OK) < 0))
		r = cannot(why, cap, -ENOENT, "/proc/sys or /sys/kernel");
	return r;
}
