/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal in the container's own devpts, as sshd would make it. */
#ifndef SP_TERMINAL_H
#define SP_TERMINAL_H

#include <stdint.h>

#include "attr.h"
#include "wire.h"

#define TERMINAL_NAME_MAX 32 /* "/dev/pts/N" */

struct terminal_size {
	uint32_t columns, rows, width_px, height_px;
};

/*
 * Make a pair: both descriptors close-on-exec, owned by the caller; name is the slave's path. modes: a list as in
 * tty_modes.h; of what is not in it a new terminal's own stay, and what this system does not have is passed over.
 * 0 or -errno.
 */
SP_MUST_CHECK int terminal_open(const struct terminal_size *size, struct wire_span modes,
    int *ret_master, int *ret_slave, char name[TERMINAL_NAME_MAX]);

/* Sizes that no terminal has are cut. 0 or -errno. */
int terminal_resize(int fd, const struct terminal_size *size);

#endif
