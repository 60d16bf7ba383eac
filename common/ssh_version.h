/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our SSH identification string (RFC 4253 section 4.2). Broker and worker build it alike: the
 * connection's nonce in it becomes part of the exchange hash, which is how the broker knows that a
 * transcript belongs to this connection.
 */
#ifndef SP_SSH_VERSION_H
#define SP_SSH_VERSION_H

#include <stdint.h>

#include "ipc.h"

#define SSH_VERSION_MAX 128

/*
 * What follows "SSH-2.0-", ended with NUL. It begins with "OpenSSH" because OpenSSH's client sends
 * eow@openssh.com only to servers that do, and without it "ssh host yes | head -1" never ends. No
 * version of OpenSSH that a client keeps workarounds for is claimed; the comment says who we are.
 */
void ssh_version_format(const uint8_t nonce[IPC_NONCE_LEN], char out[SSH_VERSION_MAX]);

#endif
