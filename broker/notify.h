/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's two small protocols, without its library: inherited sockets
 * (sd_listen_fds(3)) and state notification (sd_notify(3)).
 */
#ifndef SP_NOTIFY_H
#define SP_NOTIFY_H

#include <stdint.h>

#include "attr.h"

#define NOTIFY_LISTEN_FDS_START 3
#define NOTIFY_LISTEN_MAX       32
#define NOTIFY_NAME_MAX         64

struct notify_socket {
	int fd;                         /* close-on-exec is set */
	char name[NOTIFY_NAME_MAX + 1]; /* FileDescriptorName=, or "unknown" */
};

/*
 * The sockets that were handed to this very process (LISTEN_PID), at most NOTIFY_LISTEN_MAX.
 * Having taken them it removes the variables, so that no child believes they are its own. Returns how many, or -errno
 * when the variables are there but make no sense.
 */
SP_MUST_CHECK int notify_take_sockets(struct notify_socket *ret);

/* Connect to $NOTIFY_SOCKET, once, before the lock-down. 0 also when there is none; or -errno. */
SP_MUST_CHECK int notify_open(void);

/* Send one state, such as "READY=1" or "STATUS=...\nWATCHDOG=1". Never blocks, never fails loudly. */
void notify_send(const char *format, ...) SP_PRINTF(1, 2);

/* Microseconds between two WATCHDOG=1 that the manager expects of us, or 0. */
uint64_t notify_watchdog_usec(void);

#endif
