/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call here is one that would help somebody who has taken a worker over: towards files, the
 * network, other processes, more rights, or a way around the filter. They are made in earnest.
 */
#include "evil_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attr.h"
#include "ipc.h"

#define FDS_MAX 1024
#define PID_MAX 70000 /* more than this machine has ever started in a test run */

static char scratch[4096];

/* ---- more than one raw call ---- */

static long
connect_inet(long port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&to, sizeof(to));
}

/* With data on its SYN: a connection that needs no connect(2), of a socket that one has. */
static long
connect_with_data(int fd)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(22),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return sendto(fd, scratch, 1, MSG_FASTOPEN, (const struct sockaddr *)&to, sizeof(to));
}

/* path "@name": the abstract socket of that name. */
static socklen_t
unix_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
	if (path[0] == '@')
		ret->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
}

static long
connect_unix(const char *path)
{
	struct sockaddr_un to;
	socklen_t len = unix_address(path, &to);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&to, len);
}

/* What a neighbour may offer to others: all of it must stay its own. */
static long
listen_unix(const char *path)
{
	struct sockaddr_un at;
	socklen_t len = unix_address(path, &at);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || bind(fd, (const struct sockaddr *)&at, len) < 0 ? -1 : listen(fd, 1);
}

/* Any process but this one that can be named at all: its number. */
static long
find_process(void)
{
	for (long pid = 2; pid < PID_MAX; pid++) {
		if (syscall(SYS_kill, pid, 0) == 0 || errno != ESRCH)
			return pid;
	}
	errno = ESRCH;
	return -1;
}

static long
read_memory(long pid)
{
	struct iovec here = { scratch, 16 };
	struct iovec there = { scratch, 16 };

	return syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0);
}

static long
write_memory(long pid)
{
	struct iovec here = { scratch, 16 };
	struct iovec there = { scratch, 16 };

	return syscall(SYS_process_vm_writev, pid, &here, 1, &there, 1, 0);
}

static long
open_proc(long pid, const char *file)
{
	(void)snprintf(scratch, sizeof(scratch), "/proc/%ld/%s", pid, file);
	return open(scratch, O_RDONLY | O_CLOEXEC);
}

static long
steal_descriptor(long pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

static long
pass_descriptor(int client)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { scratch, 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &client, sizeof(int));
	return sendmsg(IPC_FD, &msg, 0);
}

static long
raise_limit(int resource)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	return syscall(SYS_prlimit64, 0, resource, &limit, NULL);
}

/* A number of i386's table, or of x32's. */
static long
foreign_abi(bool i386)
{
#ifdef __x86_64__
	if (i386) {
		long r = 20; /* getpid */

		__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
		return r;
	}
	return syscall(0x40000000 | SYS_getpid);
#else
	(void)i386;
	raise(SIGSYS); /* no such door on this machine */
	return 0;
#endif
}

static long
gain_capabilities(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { ~0U, ~0U, ~0U }, { ~0U, ~0U, ~0U } };

	return syscall(SYS_capset, &head, data);
}

/* ---- reports ---- */

/* Every number below FDS_MAX that is open. */
static void
list_descriptors(char *out, size_t cap)
{
	size_t len = 0;

	out[0] = '\0';
	for (int fd = 0; fd < FDS_MAX && len + 8 < cap; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			len += (size_t)snprintf(out + len, cap - len, "%s%d", len > 0 ? " " : "", fd);
	}
}

static void
crash(void)
{
	volatile char *nowhere = NULL;

	*nowhere = 1;
}

/* ---- the names ---- */

struct call {
	const char *name;
	long number;
	long args[6];
};

static long
raw(const struct call *c)
{
	return syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4],
	    c->args[5]);
}

/* One call each, with arguments that would do it. false: no such name. */
static bool
simple_call(const char *name, int client, long *ret)
{
	const struct call calls[] = {
		/* clang-format off */
		/* files */
		{ "open-shadow", SYS_openat, { AT_FDCWD, (long)"/etc/shadow", O_RDONLY } },
		{ "open-write", SYS_openat, { AT_FDCWD, (long)"/x", O_WRONLY | O_CREAT, 0600 } },
		{ "open-root", SYS_openat, { AT_FDCWD, (long)"/", O_RDONLY | O_DIRECTORY } },
		{ "open-proc", SYS_openat, { AT_FDCWD, (long)"/proc/self/maps", O_RDONLY } },
		{ "open-old", SYS_open, { (long)"/etc/passwd", O_RDONLY } },
		{ "openat2", SYS_openat2, { AT_FDCWD, (long)"/", (long)scratch, 24 } },
		{ "stat", SYS_newfstatat, { AT_FDCWD, (long)"/etc", (long)scratch, 0 } },
		{ "readlink", SYS_readlinkat, { AT_FDCWD, (long)"/proc/self/exe", (long)scratch, 64 } },
		{ "unlink", SYS_unlinkat, { AT_FDCWD, (long)"/x", 0 } },
		{ "mkdir", SYS_mkdirat, { AT_FDCWD, (long)"/x", 0700 } },
		{ "mknod", SYS_mknodat, { AT_FDCWD, (long)"/x", 020600, 0x103 } },
		{ "chroot", SYS_chroot, { (long)"/" } },
		{ "mount", SYS_mount, { (long)"proc", (long)"/", (long)"proc", 0, 0 } },
		{ "open-by-handle", SYS_open_by_handle_at, { AT_FDCWD, (long)scratch, O_RDONLY } },
		/* the network, and other sockets */
		{ "socket-inet", SYS_socket, { AF_INET, SOCK_STREAM, 0 } },
		{ "socket-unix", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 } },
		{ "socket-netlink", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 } },
		{ "socket-packet", SYS_socket, { AF_PACKET, SOCK_RAW, 0 } },
		{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, (long)scratch } },
		{ "connect", SYS_connect, { client, (long)scratch, 16 } },
		{ "bind", SYS_bind, { client, (long)scratch, 16 } },
		{ "listen", SYS_listen, { client, 1 } },
		{ "accept", SYS_accept4, { client, 0, 0, 0 } },
		{ "sendmmsg", SYS_sendmmsg, { IPC_FD, (long)scratch, 1, 0 } },
		{ "setsockopt", SYS_setsockopt, { client, SOL_SOCKET, SO_MARK, (long)scratch, 4 } },
		/* processes */
		{ "fork", SYS_clone, { SIGCHLD, 0, 0, 0, 0 } },
		{ "vfork", SYS_vfork, { 0 } },
		{ "clone-thread", SYS_clone, { CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0 } },
		{ "clone3", SYS_clone3, { (long)scratch, 64 } },
		{ "execve", SYS_execve, { (long)"/bin/sh", 0, 0 } },
		{ "execveat", SYS_execveat, { client, (long)"", 0, 0, AT_EMPTY_PATH } },
		{ "kill-all", SYS_kill, { -1, SIGKILL } },
		{ "kill-init", SYS_kill, { 1, SIGKILL } },
		{ "tgkill", SYS_tgkill, { 1, 1, SIGKILL } },
		{ "ptrace-me", SYS_ptrace, { PTRACE_TRACEME, 0, 0, 0 } },
		{ "pidfd-open", SYS_pidfd_open, { 1, 0 } },
		{ "setpriority", SYS_setpriority, { PRIO_USER, 0, -20 } },
		/* code of one's own */
		{ "memfd", SYS_memfd_create, { (long)"x", 0 } },
		{ "mmap-exec", SYS_mmap, { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
		{ "mmap-write-exec", SYS_mmap, { 0, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
		{ "mmap-file", SYS_mmap, { 0, 4096, PROT_READ, MAP_SHARED, client, 0 } },
		{ "mprotect-exec", SYS_mprotect, { 0, 0, PROT_READ | PROT_EXEC } },
		{ "pkey-mprotect", SYS_pkey_mprotect, { 0, 0, PROT_EXEC, -1 } },
		/* more rights, and the kernel's less trodden paths */
		{ "setuid", SYS_setuid, { 0 } },
		{ "setresuid", SYS_setresuid, { 0, 0, 0 } },
		{ "setgroups", SYS_setgroups, { 0, 0 } },
		{ "unshare-user", SYS_unshare, { CLONE_NEWUSER } },
		{ "unshare-net", SYS_unshare, { CLONE_NEWNET } },
		{ "setns", SYS_setns, { client, 0 } },
		{ "prctl-dumpable", SYS_prctl, { PR_SET_DUMPABLE, 1, 0, 0, 0 } },
		{ "prctl-name", SYS_prctl, { PR_SET_NAME, (long)scratch, 0, 0, 0 } },
		{ "seccomp", SYS_seccomp, { 0, 0, 0 } },
		{ "personality", SYS_personality, { 0x0040000 } },
		{ "bpf", SYS_bpf, { 0, (long)scratch, 64 } },
		{ "io-uring", SYS_io_uring_setup, { 8, (long)scratch } },
		{ "userfaultfd", SYS_userfaultfd, { 1 } },
		{ "perf", SYS_perf_event_open, { (long)scratch, 0, -1, -1, 0 } },
		{ "keyctl", SYS_keyctl, { KEYCTL_GET_KEYRING_ID, -3, 0 } },
		{ "add-key", SYS_add_key, { (long)"user", (long)"x", (long)scratch, 1, -3 } },
		{ "shmget", SYS_shmget, { IPC_PRIVATE, 4096, IPC_CREAT | 0666 } },
		{ "msgget", SYS_msgget, { IPC_PRIVATE, IPC_CREAT | 0666 } },
		{ "semget", SYS_semget, { IPC_PRIVATE, 1, IPC_CREAT | 0666 } },
		{ "inotify", SYS_inotify_init1, { 0 } },
		{ "eventfd", SYS_eventfd2, { 0, 0 } },
		{ "timer", SYS_timer_create, { 0, 0, (long)scratch } },
		/* descriptors */
		{ "dup", SYS_dup, { client } },
		{ "dup-fcntl", SYS_fcntl, { client, F_DUPFD, 10 } },
		{ "set-owner", SYS_fcntl, { client, F_SETOWN, 1 } },
		{ "pipe", SYS_pipe2, { (long)scratch, 0 } },
		{ "splice", SYS_splice, { client, 0, client, 0, 1, 0 } },
		{ "type-into-terminal", SYS_ioctl, { 0, TIOCSTI, (long)scratch } },
		{ "steal-terminal", SYS_ioctl, { 0, TIOCSCTTY, 1 } },
		{ "ioctl-other", SYS_ioctl, { client, FIONREAD, (long)scratch } },
		/* clang-format on */
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(calls); i++) {
		if (strcmp(calls[i].name, name) == 0) {
			*ret = raw(&calls[i]);
			return true;
		}
	}
	return false;
}

/* Calls with a number or a name that the test chooses. false: no such name. */
static bool
call_with_argument(const char *name, const char *argument, int client, long *ret)
{
	long number = strtol(argument, NULL, 0);

	if (strcmp(name, "open") == 0)
		*ret = open(argument, O_RDONLY | O_CLOEXEC);
	else if (strcmp(name, "connect-inet") == 0)
		*ret = connect_inet(number);
	else if (strcmp(name, "connect-unix") == 0)
		*ret = connect_unix(argument);
	else if (strcmp(name, "listen-unix") == 0)
		*ret = listen_unix(argument);
	else if (strcmp(name, "shared-memory") == 0)
		*ret = shmget((key_t)number, 4096, 0);
	else if (strcmp(name, "make-shared-memory") == 0)
		*ret = shmget((key_t)number, 4096, IPC_CREAT | 0666);
	else if (strcmp(name, "find-process") == 0)
		*ret = find_process();
	else if (strcmp(name, "kill") == 0)
		*ret = syscall(SYS_kill, number, SIGKILL);
	else if (strcmp(name, "ptrace") == 0)
		*ret = syscall(SYS_ptrace, PTRACE_ATTACH, number, 0, 0);
	else if (strcmp(name, "read-memory") == 0)
		*ret = read_memory(number);
	else if (strcmp(name, "write-memory") == 0)
		*ret = write_memory(number);
	else if (strcmp(name, "open-memory") == 0)
		*ret = open_proc(number, "mem");
	else if (strcmp(name, "open-root-of") == 0)
		*ret = open_proc(number, "root/etc/passwd");
	else if (strcmp(name, "pidfd") == 0)
		*ret = syscall(SYS_pidfd_open, number, 0);
	else if (strcmp(name, "pidfd-getfd") == 0)
		*ret = steal_descriptor(number);
	else if (strcmp(name, "limits-of") == 0)
		*ret = syscall(SYS_prlimit64, number, RLIMIT_NOFILE, NULL, scratch);
	else if (strcmp(name, "become") == 0)
		*ret = syscall(SYS_setresuid, number, number, number);
	else if (strcmp(name, "pass-descriptor") == 0)
		*ret = pass_descriptor(client);
	else
		return false;
	return true;
}

static bool
other_call(const char *name, int client, long *ret)
{
	if (strcmp(name, "i386") == 0)
		*ret = foreign_abi(true);
	else if (strcmp(name, "x32") == 0)
		*ret = foreign_abi(false);
	else if (strcmp(name, "raise-files") == 0)
		*ret = raise_limit(RLIMIT_NOFILE);
	else if (strcmp(name, "raise-core") == 0)
		*ret = raise_limit(RLIMIT_CORE);
	else if (strcmp(name, "raise-processes") == 0)
		*ret = raise_limit(RLIMIT_NPROC);
	else if (strcmp(name, "connect-with-data") == 0)
		*ret = connect_with_data(client);
	else if (strcmp(name, "capset") == 0)
		*ret = gain_capabilities();
	else
		return false;
	return true;
}

void
evil_call(const char *name, const char *argument, int client, char *out, size_t cap)
{
	long r = 0;

	errno = 0;
	if (strcmp(name, "descriptors") == 0) {
		list_descriptors(out, cap);
	} else if (strcmp(name, "crash") == 0) {
		crash();
	} else if (strcmp(name, "spin") == 0) {
		for (;;)
			(void)getpid();
	} else if (simple_call(name, client, &r) ||
	    call_with_argument(name, argument, client, &r) || other_call(name, client, &r)) {
		if (r < 0)
			(void)snprintf(out, cap, "%s", strerrorname_np(errno));
		else
			(void)snprintf(out, cap, "0 %ld", r);
	} else {
		(void)snprintf(out, cap, "no such call");
	}
}
