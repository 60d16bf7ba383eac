/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: what programs show to an X server, in a file as Xlib and xcb look for it ($XAUTHORITY, xauth(1)). */
#ifndef SP_AUTHORITY_H
#define SP_AUTHORITY_H

#include "wire.h"

/*
 * Make the file at path, which nobody but this user can read, with one entry: for this display, on whatever
 * host. 0 or -errno.
 */
SP_MUST_CHECK int authority_write(const char *path, uint32_t display, struct wire_span name,
    struct wire_span cookie);

#endif
