/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to the service manager. Its environment variables are trusted as far as their form goes. */
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"

#define STATE_MAX 512

static int notify_fd = -1;

/* A decimal number that is the whole text; false otherwise. */
static bool
parse_number(const char *text, uint64_t *ret)
{
	char *end;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

/* The n-th of the names separated by colons, cut to fit. */
static void
copy_name(const char *names, int n, char out[NOTIFY_NAME_MAX + 1])
{
	size_t len;

	strcpy(out, "unknown");
	for (int i = 0; names != NULL && i < n; i++) {
		names = strchr(names, ':');
		if (names != NULL)
			names++;
	}
	if (names == NULL)
		return;
	len = strcspn(names, ":");
	if (len > NOTIFY_NAME_MAX)
		len = NOTIFY_NAME_MAX;
	memcpy(out, names, len);
	out[len] = '\0';
}

int
notify_take_sockets(struct notify_socket *ret)
{
	const char *names = getenv("LISTEN_FDNAMES");
	uint64_t pid = 0;
	uint64_t n = 0;

	if (!parse_number(getenv("LISTEN_PID"), &pid) || pid != (uint64_t)getpid())
		return 0;
	if (!parse_number(getenv("LISTEN_FDS"), &n) || n > NOTIFY_LISTEN_MAX)
		return -EINVAL;
	for (int i = 0; i < (int)n; i++) {
		int fd = NOTIFY_LISTEN_FDS_START + i;
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
			return -errno;
		ret[i].fd = fd;
		copy_name(names, i, ret[i].name);
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return (int)n;
}

int
notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len;

	if (path == NULL || *path == '\0')
		return 0;
	len = strlen(path);
	if ((*path != '/' && *path != '@') || len >= sizeof(addr.sun_path))
		return -EINVAL;
	memcpy(addr.sun_path, path, len);
	if (*path == '@') /* abstract */
		addr.sun_path[0] = '\0';
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify_fd < 0)
		return -errno;
	if (connect(notify_fd, (const struct sockaddr *)&addr,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		int r = -errno;

		fd_close(&notify_fd);
		return r;
	}
	return 0;
}

void
notify_send(const char *format, ...)
{
	char state[STATE_MAX];
	va_list args;
	int n;

	if (notify_fd < 0)
		return;
	va_start(args, format);
	n = vsnprintf(state, sizeof(state), format, args);
	va_end(args);
	/* A manager that does not read costs a message, not the service. */
	if (n > 0 && (size_t)n < sizeof(state))
		(void)send(notify_fd, state, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

uint64_t
notify_watchdog_usec(void)
{
	uint64_t usec = 0;
	uint64_t pid = 0;

	if (!parse_number(getenv("WATCHDOG_USEC"), &usec))
		return 0;
	if (getenv("WATCHDOG_PID") != NULL &&
	    (!parse_number(getenv("WATCHDOG_PID"), &pid) || pid != (uint64_t)getpid()))
		return 0;
	return usec;
}
