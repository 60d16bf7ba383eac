/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest says to a worker. */
#ifndef SP_CTL_H
#define SP_CTL_H

#include "guest_msg.h"

/* Say m with n_fds descriptors (loans). As ipc_chan_send(); never waits. */
SP_MUST_CHECK int ctl_send(int ctl, const struct guest_ctl *m, const int *fds, unsigned n_fds);

/* Say that it failed. If nobody listens, the end of ctl says the same. */
void ctl_send_failed(int ctl, enum guest_fail_stage stage, int error);

#endif
