/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose worker gets the processor when there is too little of it: those whose clients have logged in. A
 * stranger makes a worker compute as soon as it has one, so workers begin with what the others leave, and
 * are raised when a login was proven. For the spawner, which has the right to raise them.
 */
#ifndef SP_WORKER_PRIORITY_H
#define SP_WORKER_PRIORITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "attr.h"

/*
 * Whether this process may give a child its own priority back: tried out, as the right is CAP_SYS_NICE in
 * the first user namespace, which no capability set shows. Without it nobody should be lowered.
 */
bool worker_priority_can_be_raised(void);

/* For the calling process, a worker to be: what nobody else wants. It takes no right. */
void worker_priority_lower(void);

/* Give a child the priority of this process, which is the administrator's choice. 0 or -errno. */
SP_MUST_CHECK int worker_priority_raise(pid_t pid);

#endif
