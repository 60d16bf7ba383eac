/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of a SOCK_SEQPACKET pair. Used by every process, the guest included. What is received
 * here is hostile: the caller gets at most cap bytes and only the descriptors it asked for.
 */
#include "ipc_chan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fd.h"

/* Kernel's SCM_MAX_FD: room for all of them, so that a surplus is seen and closed, never leaked. */
#define CONTROL_FDS 253

bool
ipc_chan_is_pair(int fd)
{
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
	    getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0;
}

static int
send_outcome(ssize_t n, size_t len)
{
	if (n == (ssize_t)len)
		return 0;
	if (n >= 0)
		return -EMSGSIZE;
	if (errno == EAGAIN || errno == ENOBUFS)
		return IPC_CHAN_E_AGAIN;
	if (errno == EPIPE || errno == ECONNRESET)
		return IPC_CHAN_E_END;
	return -errno;
}

int
ipc_chan_send_plain(int fd, const void *data, size_t len, int flags)
{
	ssize_t n;

	do
		n = send(fd, data, len, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return send_outcome(n, len);
}

int
ipc_chan_send(int fd, const void *data, size_t len, const int *fds, unsigned n_fds, int flags)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * IPC_CHAN_FDS_MAX)];
		struct cmsghdr align;
	} control;
	/* sendmsg() does not write through the pointer; iovec just has no const. */
	union {
		const void *in;
		void *out;
	} payload = { .in = data };
	struct iovec iov = { payload.out, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (n_fds == 0)
		return ipc_chan_send_plain(fd, data, len, flags);
	if (n_fds > IPC_CHAN_FDS_MAX)
		return -EINVAL;
	memset(&control, 0, sizeof(control));
	msg.msg_control = control.space;
	msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	do
		n = sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return send_outcome(n, len);
}

/*
 * A peer that closes before it has read all that we sent leaves ECONNRESET, once, in front of what it
 * said last: an exit status, for instance. That is still there.
 */
static bool
receive_again(int error)
{
	return error == EINTR || error == ECONNRESET;
}

static int
recv_outcome(ssize_t n, int msg_flags, size_t *ret_len)
{
	if (n < 0) {
		if (errno == EAGAIN)
			return IPC_CHAN_E_AGAIN;
		return -errno;
	}
	if (n == 0)
		return IPC_CHAN_E_END;
	if ((msg_flags & MSG_TRUNC) != 0)
		return IPC_CHAN_E_VIOLATION;
	*ret_len = (size_t)n;
	/* There was control data, and no room for it. */
	return (msg_flags & MSG_CTRUNC) != 0 ? IPC_CHAN_E_VIOLATION : 0;
}

int
ipc_chan_recv(int fd, void *buf, size_t cap, size_t *ret_len, int flags)
{
	struct iovec iov = { buf, cap };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = recvmsg(fd, &msg, flags);
	while (n < 0 && receive_again(errno));
	return recv_outcome(n, msg.msg_flags, ret_len);
}

/* Take every descriptor out of the control data; false when there were more than max_fds. */
static bool
take_fds(struct msghdr *msg, int *fds, unsigned max_fds, unsigned *ret_n)
{
	unsigned n = 0;
	bool fits = (msg->msg_flags & MSG_CTRUNC) == 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < max_fds) {
				fds[n++] = fd;
			} else {
				fd_close(&fd);
				fits = false;
			}
		}
	}
	if (!fits) {
		fd_close_all(fds, n);
		n = 0;
	}
	*ret_n = n;
	return fits;
}

int
ipc_chan_recv_fds(int fd, void *buf, size_t cap, size_t *ret_len, int *fds, unsigned max_fds,
    unsigned *ret_n_fds, int flags)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * CONTROL_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, cap };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned n_fds = 0;
	bool fits;
	ssize_t n;
	int r;

	msg.msg_control = control.space;
	msg.msg_controllen = sizeof(control.space);
	do
		n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && receive_again(errno));
	fits = n < 0 || take_fds(&msg, fds, max_fds, &n_fds);
	r = recv_outcome(n, msg.msg_flags, ret_len);
	if (r == 0 && !fits)
		r = IPC_CHAN_E_VIOLATION;
	if (r != 0) {
		fd_close_all(fds, n_fds);
		return r;
	}
	*ret_n_fds = n_fds;
	return 0;
}
