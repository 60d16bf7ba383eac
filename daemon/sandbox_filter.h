/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: its system call filter, as the kernel takes it. sandbox_filter.c is made by compile_filter from
 * sandbox_rules.c when this is built: the table is the same for every worker, and libseccomp would take a
 * good part of the time in which one starts, and stay in its memory.
 */
#ifndef SP_SANDBOX_FILTER_H
#define SP_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <stddef.h>

extern const struct sock_filter sandbox_filter[];
extern const size_t sandbox_filter_len; /* instructions */

#endif
