/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces from which each process builds its lock-down, in the order in which they are used:
 * rlimits, namespaces and root, ids, capabilities, no_new_privs, seccomp, and then the kernel's own
 * word that it took. Every step fails loudly; no caller goes on after a failure.
 */
#ifndef SP_LOCKDOWN_H
#define SP_LOCKDOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

struct sock_filter;

/*
 * no_new_privs, then the compiled program[n] (lockdown_seccomp.h) as system call filter, for good.
 * 0 or -errno.
 */
SP_MUST_CHECK int lockdown_filter(const struct sock_filter *program, size_t n);

/* Close every descriptor from first upwards. 0 or -errno. */
SP_MUST_CHECK int lockdown_close_from(unsigned first);

/* Set soft and hard limit of one resource to the same value. 0 or -errno. */
SP_MUST_CHECK int lockdown_rlimit(int resource, uint64_t value);

/*
 * Put the calling process, which is alone in a mount namespace of its own, into an empty read-only
 * root: nothing of the old tree stays reachable. 0 or -errno.
 */
SP_MUST_CHECK int lockdown_empty_root(void);

/*
 * The same, in the mount namespace root_fd in which lockdown_empty_root() was done, of any process. It must be as
 * it was then: -ENOTEMPTY if not. 0 or -errno.
 */
SP_MUST_CHECK int lockdown_enter_root(int root_fd);

/*
 * Give up groups, gid and uid for good, then every capability, bounding set included. 0 or -errno;
 * capabilities are gone also when the ids could not be changed.
 */
SP_MUST_CHECK int lockdown_drop_ids(uid_t uid, gid_t gid);

/* Whether this process holds the capability (CAP_*), effective, in its user namespace. */
bool lockdown_has_cap(int cap);

/*
 * Keep of the capabilities that this process has just those in keep[n] (CAP_*), permitted and
 * effective, and bounding as far as it may change that. 0 or -errno.
 */
SP_MUST_CHECK int lockdown_keep_caps(const int *keep, size_t n);

/*
 * Hold just the capabilities in pass[n] (CAP_*), all of which this process has, in such a way that
 * the next program has them too, although its user is not root. 0 or -errno.
 */
SP_MUST_CHECK int lockdown_pass_caps(const int *pass, size_t n);

/* What a locked-down process must look like, read back from /proc/self/status. */
struct lockdown_expect {
	bool seccomp;         /* Seccomp: 2 */
	bool no_new_privs;    /* NoNewPrivs: 1 */
	bool no_capabilities; /* CapInh, CapPrm, CapEff, CapBnd, CapAmb: all 0 */
	bool check_ids;
	uid_t uid; /* all four of Uid: */
	gid_t gid; /* all four of Gid:, and Groups: empty */
};

/*
 * Compare status_fd, opened on /proc/self/status before the root went away, with *expect.
 * Writes the first difference as a sentence into why[cap].  0, 1 (differs) or -errno.
 */
SP_MUST_CHECK int lockdown_verify(int status_fd, const struct lockdown_expect *expect, char *why,
    size_t cap);

#endif
