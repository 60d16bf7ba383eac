/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: rendezvous. The socket's directory is mounted read-only and only the broker's user gets at it
 * from the host's side, so whoever listens there is a broker of this container. It proves by its own means
 * who connects; nothing is said to it.
 */
#include "rendezvous.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "guest_msg.h"

#define KEEP_MAX_SECONDS (366L * 86400)

bool
rendezvous_parse(struct rendezvous *r, int argc, char *const *argv)
{
	char *end = NULL;
	long seconds;

	if (argc <= 1)
		return true;
	if (argc != 3 || strcmp(argv[1], GUEST_KEEP_OPTION) != 0)
		return false;
	seconds = strtol(argv[2], &end, 10);
	if (end == argv[2] || *end != '\0' || seconds < 1 || seconds > KEEP_MAX_SECONDS)
		return false;
	r->keep_ms = (int64_t)seconds * 1000;
	return true;
}

bool
rendezvous_lost(struct rendezvous *r, int64_t now_ms)
{
	if (r->keep_ms == 0)
		return false;
	r->until = now_ms + r->keep_ms;
	return true;
}

int
rendezvous_look(struct rendezvous *r, int64_t now_ms, bool *ret_over)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = GUEST_SOCKET };
	SP_CLEANUP_FD int fd = -1;

	*ret_over = now_ms >= r->until;
	if (*ret_over)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	r->until = 0;
	return fd_steal(&fd);
}
