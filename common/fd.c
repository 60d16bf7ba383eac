/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors as owned values. Used by every process, the guest included: POSIX only. */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

bool
fd_is_exhausted(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

int
fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

int
fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

void
fd_close_all(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fd_close(&fds[i]);
}
