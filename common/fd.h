/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors as owned values: -1 is "none", 0 is valid. */
#ifndef SP_FD_H
#define SP_FD_H

#include <stdbool.h>

#include "attr.h"

/* Close *fd when it is open and leave -1. Keeps errno. */
void fd_close(int *fd);

/* For SP_CLEANUP: the same as fd_close(). */
#define SP_CLEANUP_FD SP_CLEANUP(fd_close)

/* Move out: returns *fd and leaves -1, so that the cleanup does nothing. */
SP_MUST_CHECK int fd_steal(int *fd);

/* Whether this errno of accept4() says that there is nothing to make a descriptor of: the connection waits on. */
bool fd_is_exhausted(int error);

/* Switch O_NONBLOCK on (a shared file description: every holder sees it). 0 or -errno. */
SP_MUST_CHECK int fd_set_nonblock(int fd);

/* Close all of fds[0..n) and leave each -1. */
void fd_close_all(int *fds, unsigned n);

#endif
