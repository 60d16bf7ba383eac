/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: the messages that leave it. */
#include "ctl.h"

#include <sys/socket.h>

#include "ipc_chan.h"

int
ctl_send(int ctl, const struct guest_ctl *m, const int *fds, unsigned n_fds)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, m);
	return ipc_chan_send(ctl, w.data, w.len, fds, n_fds, MSG_DONTWAIT);
}

void
ctl_send_failed(int ctl, enum guest_fail_stage stage, int error)
{
	struct guest_ctl m = { .id = GUEST_CTL_FAILED };

	m.failed.stage = stage;
	m.failed.error = (uint32_t)error;
	if (ctl_send(ctl, &m, NULL, 0) != 0)
		return;
}
