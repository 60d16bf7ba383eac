/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest does first, whatever it has been started for. */
#ifndef SP_STARTUP_H
#define SP_STARTUP_H

#include <stdbool.h>

#include "attr.h"

/*
 * 0 to 2 are open from here on, so that no descriptor of ours can be one that a child replaces; and
 * what the runtime may have forgotten above them is closed, so that no program inherits it. 0 or -1.
 */
SP_MUST_CHECK int startup_clean_fds(void);

/* Close every descriptor from this one on, whoever has opened it. */
void startup_close_from(int first);

/* A descriptor that tells of children, and of those who want this process to end; -1: none can be had. */
SP_MUST_CHECK int startup_take_signals(void);

/* Take what that descriptor tells. True when somebody wants this process to end. */
bool startup_read_signals(int signal_fd);

#endif
