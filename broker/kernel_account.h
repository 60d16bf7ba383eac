/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of a container, by its first process's files in /proc, compared with what was asked
 * for. An engine can say what it likes of what it made; the kernel says what is.
 *
 * kernel_account.c only judges texts; kernel_account_read.c gets them. Needs no capability, only a /proc in
 * which other users' processes are seen.
 */
#ifndef SP_KERNEL_ACCOUNT_H
#define SP_KERNEL_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

struct engine_container_spec;

#define KERNEL_ACCOUNT_E_DIFFERS 1 /* the container is not what was asked for */

/* Paths of the kernel that no container may read (the first ones), or write. */
#define KERNEL_ACCOUNT_HIDDEN 9
#define KERNEL_ACCOUNT_PATHS  15
extern const char *const kernel_account_paths[KERNEL_ACCOUNT_PATHS];

/* Each text is a whole file and ends with a NUL. */
struct kernel_account {
	const char *status;
	const char *limits;
	const char *uid_map;
	const char *mountinfo;
	uint64_t net, host_net; /* numbers that stand for a network namespace */
	char host_queues[32]; /* the device of this host's message queues, "0:57"; "": not known */
	bool there[KERNEL_ACCOUNT_PATHS]; /* whether this kernel has such a path */
};

/*
 * Whether the container is confined as spec asks: user, system call filter, namespaces, limits on files, and
 * that exactly those mounts are there that were asked for, or that every container has. spec NULL: it is
 * not known any more; what a container of any profile must have is looked for. As above. What it cannot see:
 * namespaces of names and of cgroups, and other limits.
 */
SP_MUST_CHECK int kernel_account_judge(const struct kernel_account *a,
    const struct engine_container_spec *spec, char *why, size_t cap);

/*
 * The part of this that is asked of an engine whose own account was compared already: that it can gain nothing (no
 * capability, in no set, and none to be had by a program that it starts; true also when its user namespace is
 * another one, in which capabilities are not the host's), and that each mount of spec is where it was asked for,
 * once: an engine follows an image's symbolic links, and does not say where they led. spec NULL: not known any
 * more. Looks at status, uid_map and, with a spec, mountinfo. As above.
 */
SP_MUST_CHECK int kernel_account_judge_docker(const struct kernel_account *a,
    const struct engine_container_spec *spec, char *why, size_t cap);

/*
 * Read the account of a process and judge it. The caller makes sure afterwards that pid still is the process
 * that is meant. 0, KERNEL_ACCOUNT_E_DIFFERS, or -errno: it cannot be read; why says what.
 */
SP_MUST_CHECK int kernel_account_check(pid_t pid, const struct engine_container_spec *spec,
    char *why, size_t cap);

/* The same with kernel_account_judge_docker(). */
SP_MUST_CHECK int kernel_account_check_docker(pid_t pid, const struct engine_container_spec *spec,
    char *why, size_t cap);

/* Whether this process sees in /proc what kernel_account_check_docker() needs: the processes of other users. */
bool kernel_account_sees_others(void);

/* Whether this process sees in /proc what kernel_account_check() needs. 0, or -errno with a sentence. */
SP_MUST_CHECK int kernel_account_available(char *why, size_t cap);

#endif
