/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock-down's system call filter as a table of rules, and what libseccomp makes of one: a filter that
 * is in force, or a program for lockdown_filter(). Who is given the program needs no libseccomp.
 */
#ifndef SP_LOCKDOWN_SECCOMP_H
#define SP_LOCKDOWN_SECCOMP_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"

/*
 * What the filter does with one system call. Argument conditions of one rule must all hold; several
 * rules for one call are alternatives. A rule without conditions swallows all others for its call.
 */
enum lockdown_match {
	LOCKDOWN_ANY = 0,   /* no condition on this slot */
	LOCKDOWN_EQ,        /* argument == value */
	LOCKDOWN_NE,        /* argument != value */
	LOCKDOWN_MASKED_EQ, /* (argument & mask) == value */
};

struct lockdown_arg {
	unsigned index;
	enum lockdown_match match;
	uint64_t mask;
	uint64_t value;
};

struct lockdown_rule {
	int syscall; /* SCMP_SYS(name) */
	/* 0: allow.  else: fail with this errno instead of killing (probes that libraries make) */
	int error;
	struct lockdown_arg args[3];
};

/*
 * no_new_privs, then load the filter over rules[n]. A call that no rule names is SIGSYS for the whole
 * process. 0 or -errno.
 */
SP_MUST_CHECK int lockdown_seccomp(const struct lockdown_rule *rules, size_t n);

/*
 * Write to fd the program that lockdown_seccomp() would load, one struct sock_filter after the other.
 * 0 or -errno.
 */
SP_MUST_CHECK int lockdown_seccomp_export(const struct lockdown_rule *rules, size_t n, int fd);

#endif
