/* SPDX-License-Identifier: Apache-2.0 */
/* Signal names of RFC 4254 section 6.10 (without "SIG") and Linux signal numbers. */
#ifndef SP_SSH_SIGNAL_H
#define SP_SSH_SIGNAL_H

/* The number, or 0 for a name that sshd does not know either. */
int ssh_signal_number(const char *name);

/* The name; "SIG@openssh.com", as sshd has it, for a signal that the RFC does not name. */
const char *ssh_signal_name(unsigned number);

#endif
