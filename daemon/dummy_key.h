/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libssh is given as a host key: the true public half and a worthless private one, in OpenSSH's
 * file format, which it imports without checking that they belong together.
 */
#ifndef SP_DUMMY_KEY_H
#define SP_DUMMY_KEY_H

#include "attr.h"
#include "wire.h"

#define DUMMY_KEY_TEXT_MAX 8192

/*
 * Write the key file for a public blob into out. An Ed25519 seed is told to hooks.h.
 * 0, or -EINVAL when the blob is of no type that can be used.
 */
SP_MUST_CHECK int dummy_key_format(struct wire_span blob, char out[DUMMY_KEY_TEXT_MAX]);

#endif
