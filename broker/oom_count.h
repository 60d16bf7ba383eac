/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many processes of a container the kernel has killed for want of memory, by the counter that it keeps of the
 * container's cgroup, of version 2 or 1.
 *
 * oom_count.c only judges texts; oom_count_read.c gets them. Needs no capability, only a /proc in which other users'
 * processes are seen, and /sys/fs/cgroup as the host has it. Where there is no such counter nothing is known, which is
 * no error.
 */
#ifndef SP_OOM_COUNT_H
#define SP_OOM_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

#define OOM_COUNT_PATH_MAX 1024

/* Since the container's begin; neither ever falls. */
struct oom_count {
	uint64_t killed; /* processes, whatever had no memory left: the container, what it is a part of, or the host */
	/* How often the container's own limit was the reason. Version 1 does not count that: as killed. */
	uint64_t at_limit;
};

/*
 * The file that has the counter, by the text of /proc/PID/cgroup of a process in the container whose id this is. The
 * cgroup must be one of this container's own, with its id in the name. false: there is none, or its path is none that
 * is followed.
 */
SP_MUST_CHECK bool oom_count_place(const char *cgroup, const char *id, char path[OOM_COUNT_PATH_MAX]);

/* What such a file says: memory.events, or memory.oom_control. false: nothing of this. */
SP_MUST_CHECK bool oom_count_parse(const char *text, struct oom_count *ret);

/* The file of this process's container, owned by the caller. NULL: there is none, or no memory for its name. */
SP_MUST_CHECK char *oom_count_find(pid_t pid, const char *id);

/* Read it. false: it cannot be, as when the container is gone. */
SP_MUST_CHECK bool oom_count_read(const char *path, struct oom_count *ret);

#endif
