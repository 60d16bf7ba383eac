/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of a SOCK_SEQPACKET pair, with or without descriptors. Used on the pair between worker
 * and broker, on the guest's order socket and on the ctl pairs.
 *
 * An empty record reads exactly like the peer's end, so nobody sends one and both mean "ended".
 */
#ifndef SP_IPC_CHAN_H
#define SP_IPC_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

#define IPC_CHAN_E_END       1 /* the peer closed, or sent an empty record */
#define IPC_CHAN_E_AGAIN     2 /* nothing to read, or no room to send, without blocking */
#define IPC_CHAN_E_VIOLATION 3 /* a record that is too long, or descriptors where none belong */

#define IPC_CHAN_FDS_MAX 9

/* Whether fd is a connected socket that keeps records apart. */
bool ipc_chan_is_pair(int fd);

/*
 * Send one record with n_fds descriptors (loans, at most IPC_CHAN_FDS_MAX).
 * flags: MSG_DONTWAIT or 0.  Returns 0, IPC_CHAN_E_AGAIN, IPC_CHAN_E_END (peer gone) or -errno.
 */
SP_MUST_CHECK int ipc_chan_send(int fd, const void *data, size_t len, const int *fds,
    unsigned n_fds, int flags);

/*
 * The same with plain send(2), for a process whose filter has no sendmsg.
 */
SP_MUST_CHECK int ipc_chan_send_plain(int fd, const void *data, size_t len, int flags);

/*
 * Receive one record of at most cap bytes and no descriptor: control data is not even offered room,
 * so descriptors that a hostile peer attaches are dropped by the kernel, which says so.
 * 0 with *ret_len > 0, IPC_CHAN_E_END, IPC_CHAN_E_AGAIN, IPC_CHAN_E_VIOLATION (longer than cap, or with
 * descriptors) or -errno.
 */
SP_MUST_CHECK int ipc_chan_recv(int fd, void *buf, size_t cap, size_t *ret_len, int flags);

/*
 * Receive one record with at most max_fds descriptors, close-on-exec, into fds[]; the caller owns
 * them and *ret_n_fds says how many came. More than max_fds: all are closed, IPC_CHAN_E_VIOLATION. The
 * same when our own table of descriptors is full; then buf and *ret_len hold the record all the same.
 */
SP_MUST_CHECK int ipc_chan_recv_fds(int fd, void *buf, size_t cap, size_t *ret_len, int *fds,
    unsigned max_fds, unsigned *ret_n_fds, int flags);

#endif
