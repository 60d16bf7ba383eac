/* SPDX-License-Identifier: Apache-2.0 */
/* What a client wants programs to show to its X server (RFC 4254 section 6.3.1). Hostile. */
#ifndef SP_X11_AUTH_H
#define SP_X11_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

struct x11_auth {
	char name[IPC_X11_NAME_MAX + 1]; /* of the way to authenticate */
	uint8_t cookie[IPC_X11_COOKIE_MAX];
	size_t len;
};

/* Both texts as they came, or NULL. false: too long, or nothing that belongs there. */
bool x11_auth_read(const char *name, const char *hex, struct x11_auth *ret);

#endif
