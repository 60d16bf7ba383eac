/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A range of uids that belong to nobody, from which each worker gets one of its own: what the kernel
 * keeps apart by uid is then apart for any two workers.
 */
#ifndef SP_UID_RANGE_H
#define SP_UID_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

#define UID_RANGE_MAX 1048576 /* uids in a range */

struct uid_range {
	uid_t first;
	uint32_t count;
};

/* Where ids may be taken. A file that is not there takes none. */
struct uid_range_files {
	const char *passwd;
	const char *group;
	const char *subuid;
	const char *subgid;
	const char *uid_map; /* of our user namespace: what it has not, no process can have */
	const char *gid_map;
};

extern const struct uid_range_files uid_range_system_files;

/* Read "FIRST-LAST". NULL, or what is wrong with it: the rest of a sentence about it. */
SP_MUST_CHECK const char *uid_range_parse(const char *text, struct uid_range *ret);

/*
 * Whether somebody of this host has one of these numbers as uid or gid. 0, or 1 with the rest of a
 * sentence about the range in why[cap].
 */
SP_MUST_CHECK int uid_range_taken(const struct uid_range *range,
    const struct uid_range_files *files, char *why, size_t cap);

/* The same for what this user namespace does not have. */
SP_MUST_CHECK int uid_range_unmapped(const struct uid_range *range,
    const struct uid_range_files *files, char *why, size_t cap);

#endif
