/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that the broker forks beside itself before it has secrets: for what it must not do (spawner.h), or may not
 * wait for (bind_check.h). It knows the broker's configuration and one connection, and ends with that.
 */
#ifndef SP_SIDE_PROCESS_H
#define SP_SIDE_PROCESS_H

#include <sys/types.h>

#include "attr.h"

#define SIDE_PROCESS_FD 3 /* its end of the pair, for which side_process_settle() sees */

/*
 * What serve(own, arg) runs in does not return. 0 in the caller, with the connection to it in *ret_fd (non-blocking,
 * SOCK_SEQPACKET, owned by the caller) and its pid; or -errno.
 */
SP_MUST_CHECK int side_process_start(void (*serve)(int own, const void *arg), const void *arg,
    int *ret_fd, pid_t *ret_pid);

/*
 * In it, at first: descriptors 0 and 1 are /dev/null, 2 is the log as it was, 3 is own, which is taken, and there are
 * no others; signals are blocked, as they are for the broker; no_new_privs. Exits if it cannot.
 */
void side_process_settle(int own, const char *name);

#endif
