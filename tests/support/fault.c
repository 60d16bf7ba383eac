/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "attr.h"

#define WALK_MAX 100000

static _Thread_local struct {
	bool paused, hit;
	unsigned long allocation; /* counts down; 0: none fails */
	enum fault_call call;
	unsigned long n, more;
	int error;
	void (*deed)(void); /* instead of a failure */
} armed;

void
fault_allocation(unsigned long n)
{
	armed.allocation = n;
	armed.hit = armed.paused = false;
}

void
fault_system(enum fault_call call, unsigned long n, int error, unsigned long more)
{
	armed.call = call;
	armed.n = n;
	armed.more = more;
	armed.error = error;
	armed.hit = armed.paused = false;
}

void
fault_before(enum fault_call call, void (*deed)(void))
{
	fault_system(call, 1, 0, 0);
	armed.deed = deed;
}

bool
fault_end(void)
{
	armed.deed = NULL;
	armed.allocation = 0;
	armed.call = FAULT_NONE;
	return armed.hit;
}

void
fault_pause(void)
{
	armed.paused = true;
}

void
fault_resume(void)
{
	armed.paused = false;
}

static unsigned long
walk(const char *name, void (*one)(bool faulty), unsigned long slope)
{
	unsigned long tried = 0;
	unsigned long n = 0;
	bool hit;

	do {
		n += 1 + (slope > 0 ? n / slope : 0);
		if (n > WALK_MAX)
			abort(); /* a loop without an end */
		tried++;
		fault_allocation(n);
		one(true);
		hit = fault_end();
	} while (hit);
	one(false);
	(void)printf("%s: %lu of fewer than %lu allocations\n", name, tried - 1, n + 1);
	return tried - 1;
}

unsigned long
fault_walk(const char *name, void (*one)(bool faulty))
{
	return walk(name, one, 0);
}

unsigned long
fault_stride(const char *name, void (*one)(bool faulty))
{
	return walk(name, one, 30);
}

static bool
no_memory(void)
{
	if (armed.paused || armed.allocation == 0 || --armed.allocation != 0)
		return false;
	armed.hit = true;
	errno = ENOMEM;
	return true;
}

/* 0: the call goes through; FAULT_SHORT; or -errno, with errno set. */
static int
fault(enum fault_call call)
{
	if (armed.paused || armed.call != call || armed.n == 0)
		return 0;
	if (armed.n > 1) {
		armed.n--;
		return 0;
	}
	if (armed.more > 0)
		armed.more--;
	else
		armed.n = 0;
	armed.hit = true;
	if (armed.deed != NULL) {
		armed.paused = true;
		armed.deed();
		armed.paused = false;
		return 0;
	}
	if (armed.error != FAULT_SHORT)
		errno = armed.error;
	return armed.error == FAULT_SHORT ? 1 : -1;
}

static size_t
shorter(size_t n)
{
	return n > 1 ? n - 1 : n;
}

/* clang-format off */
#define WRAP(result, name, args) result __real_##name args; result __wrap_##name args; \
	result __wrap_##name args
/* clang-format on */

WRAP(void *, malloc, (size_t n))
{
	return no_memory() ? NULL : __real_malloc(n);
}

WRAP(void *, calloc, (size_t n, size_t size))
{
	return no_memory() ? NULL : __real_calloc(n, size);
}

WRAP(void *, realloc, (void *old, size_t n))
{
	return no_memory() ? NULL : __real_realloc(old, n);
}

WRAP(void *, reallocarray, (void *old, size_t n, size_t size))
{
	return no_memory() ? NULL : __real_reallocarray(old, n, size);
}

WRAP(char *, strdup, (const char *text))
{
	return no_memory() ? NULL : __real_strdup(text);
}

WRAP(char *, strndup, (const char *text, size_t n))
{
	return no_memory() ? NULL : __real_strndup(text, n);
}

int __real_vasprintf(char **ret, const char *format, va_list args) SP_PRINTF(2, 0);
int __wrap_vasprintf(char **ret, const char *format, va_list args) SP_PRINTF(2, 0);
int __wrap_asprintf(char **ret, const char *format, ...) SP_PRINTF(2, 3);
int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list args) SP_PRINTF(3, 0);
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...) SP_PRINTF(3, 4);

int
__wrap_vasprintf(char **ret, const char *format, va_list args)
{
	return no_memory() ? -1 : __real_vasprintf(ret, format, args);
}

int
__wrap_asprintf(char **ret, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = __wrap_vasprintf(ret, format, args);
	va_end(args);
	return n;
}

int
__wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list args)
{
	(void)flag;
	return __wrap_vasprintf(ret, format, args);
}

int
__wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
{
	va_list args;
	int n;

	(void)flag;
	va_start(args, format);
	n = __wrap_vasprintf(ret, format, args);
	va_end(args);
	return n;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int
__wrap_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return fault(FAULT_OPEN) != 0 ? -1 : __real_open(path, flags, mode);
}

/* One byte less, or a failure; else as it is. */
#define SOME(call, n, normal)           \
	do {                            \
		int f = fault(call);    \
                                        \
		if (f < 0)              \
			return -1;      \
		if (f > 0)              \
			n = shorter(n); \
		return normal;          \
	} while (0)

WRAP(ssize_t, read, (int fd, void *buf, size_t n))
{
	SOME(FAULT_READ, n, __real_read(fd, buf, n));
}

ssize_t __wrap___read_chk(int fd, void *buf, size_t n, size_t room);

ssize_t
__wrap___read_chk(int fd, void *buf, size_t n, size_t room)
{
	(void)room;
	return __wrap_read(fd, buf, n);
}

WRAP(ssize_t, pread, (int fd, void *buf, size_t n, off_t at))
{
	SOME(FAULT_READ, n, __real_pread(fd, buf, n, at));
}

ssize_t __wrap___pread_chk(int fd, void *buf, size_t n, off_t at, size_t room);

ssize_t
__wrap___pread_chk(int fd, void *buf, size_t n, off_t at, size_t room)
{
	(void)room;
	return __wrap_pread(fd, buf, n, at);
}

WRAP(ssize_t, write, (int fd, const void *buf, size_t n))
{
	SOME(FAULT_WRITE, n, __real_write(fd, buf, n));
}

WRAP(ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t at))
{
	SOME(FAULT_WRITE, n, __real_pwrite(fd, buf, n, at));
}

WRAP(ssize_t, send, (int fd, const void *buf, size_t n, int flags))
{
	SOME(FAULT_SEND, n, __real_send(fd, buf, n, flags));
}

WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags))
{
	return fault(FAULT_SEND) != 0 ? -1 : __real_sendmsg(fd, msg, flags);
}

WRAP(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags))
{
	return fault(FAULT_RECEIVE) != 0 ? -1 : __real_recvmsg(fd, msg, flags);
}

WRAP(int, fstat, (int fd, struct stat *st))
{
	return fault(FAULT_FSTAT) != 0 ? -1 : __real_fstat(fd, st);
}

WRAP(int, fsync, (int fd))
{
	return fault(FAULT_FSYNC) != 0 ? -1 : __real_fsync(fd);
}

WRAP(int, link, (const char *from, const char *to))
{
	return fault(FAULT_LINK) != 0 ? -1 : __real_link(from, to);
}

WRAP(int, rename, (const char *from, const char *to))
{
	return fault(FAULT_RENAME) != 0 ? -1 : __real_rename(from, to);
}

WRAP(int, socket, (int family, int type, int protocol))
{
	return fault(FAULT_SOCKET) != 0 ? -1 : __real_socket(family, type, protocol);
}

WRAP(int, connect, (int fd, const struct sockaddr *to, socklen_t len))
{
	return fault(FAULT_CONNECT) != 0 ? -1 : __real_connect(fd, to, len);
}

WRAP(int, socketpair, (int family, int type, int protocol, int pair[2]))
{
	return fault(FAULT_SOCKETPAIR) != 0 ? -1 : __real_socketpair(family, type, protocol, pair);
}

WRAP(int, pipe2, (int pair[2], int flags))
{
	return fault(FAULT_PIPE2) != 0 ? -1 : __real_pipe2(pair, flags);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);

int
__wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	long value;

	va_start(args, command);
	value = va_arg(args, long);
	va_end(args);
	return fault(FAULT_FCNTL) != 0 ? -1 : __real_fcntl(fd, command, value);
}
