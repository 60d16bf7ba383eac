/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of the lock-down. Runs in the worker before it has read a byte of the network, in the
 * broker and in the spawner before they serve anybody. Everything fails loudly.
 */
#include "lockdown.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS_MAX 8192
#define CAP_BITS   64 /* the kernel says EINVAL at the first one that it does not know */

int
lockdown_filter(const struct sock_filter *program, size_t n)
{
	/* The kernel only reads it. */
	const struct sock_fprog whole = { .len = (unsigned short)n,
		.filter = (struct sock_filter *)(uintptr_t)program };

	if (n > BPF_MAXINSNS)
		return -EINVAL;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole) < 0)
		return -errno;
	return 0;
}

int
lockdown_close_from(unsigned first)
{
	if (syscall(SYS_close_range, first, ~0U, 0) < 0)
		return -errno;
	return 0;
}

int
lockdown_rlimit(int resource, uint64_t value)
{
	struct rlimit limit = { value, value };

	if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return -errno;
	return 0;
}

int
lockdown_empty_root(void)
{
	const unsigned long quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	/* Nothing that is mounted here may travel back to the host's namespace. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	/* /proc is there (the caller has opened its status file); what it shows goes away with the
	 * old root. */
	if (mount("sallyport", "/proc", "tmpfs", quiet, "size=4k,nr_inodes=2,mode=0555") < 0)
		return -errno;
	if (chdir("/proc") < 0)
		return -errno;
	/* pivot_root(2): with the same path twice the old root is stacked on top of the new one. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return -errno;
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | quiet, NULL) < 0)
		return -errno;
	return 0;
}

int
lockdown_enter_root(int root_fd)
{
	struct statvfs root;

	if (setns(root_fd, CLONE_NEWNS) < 0 || statvfs("/", &root) < 0)
		return -errno;
	/* One inode is that of the root itself. */
	if ((root.f_flag & ST_RDONLY) == 0 || root.f_files - root.f_ffree != 1)
		return -ENOTEMPTY;
	return 0;
}

static int
set_caps(uint64_t mask, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)mask, (uint32_t)mask, (uint32_t)inheritable },
		{ (uint32_t)(mask >> 32), (uint32_t)(mask >> 32), (uint32_t)(inheritable >> 32) },
	};

	if (syscall(SYS_capset, &head, data) < 0)
		return -errno;
	return 0;
}

static int
get_caps(uint64_t *ret_effective, uint64_t *ret_permitted)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	*ret_permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	return 0;
}

bool
lockdown_has_cap(int cap)
{
	uint64_t effective = 0;
	uint64_t permitted = 0;

	return get_caps(&effective, &permitted) == 0 && (effective >> cap & 1) != 0;
}

static uint64_t
mask_of(const int *caps, size_t n)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < n; i++)
		mask |= UINT64_C(1) << caps[i];
	return mask;
}

static int
drop_bounding(uint64_t keep)
{
	for (unsigned long cap = 0; cap < CAP_BITS; cap++) {
		if ((keep >> cap & 1) != 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				return 0;
			return -errno;
		}
	}
	return 0;
}

static int
set_ids(uid_t uid, gid_t gid)
{
	/* In a user namespace of one's own there is no setgroups(2); who started us has done it. */
	if (getgroups(0, NULL) != 0 && setgroups(0, NULL) < 0)
		return -errno;
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

int
lockdown_drop_ids(uid_t uid, gid_t gid)
{
	int r = drop_bounding(0);
	int caps;

	if (r == 0)
		r = set_ids(uid, gid);
	/* Also after a failure: whoever goes on without another uid goes on without capabilities. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	caps = set_caps(0, 0);
	/* Not even a process of the same uid may attach or read the memory. */
	if (caps == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return r < 0 ? r : caps;
}

int
lockdown_keep_caps(const int *keep, size_t n)
{
	uint64_t effective = 0;
	uint64_t permitted = 0;
	uint64_t mask = mask_of(keep, n);
	int r = get_caps(&effective, &permitted);

	/* Without CAP_SETPCAP the bounding set stays; it gives nothing to a process that executes
	 * nothing. */
	if (r == 0 && (effective >> CAP_SETPCAP & 1) != 0)
		r = drop_bounding(mask);
	if (r < 0)
		return r;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	/* Nothing to give up, nothing to ask for: the manager of a unit that has no more than this may
	 * forbid capset(2). */
	return (permitted & ~mask) != 0 ? set_caps(mask & permitted, 0) : 0;
}

int
lockdown_pass_caps(const int *pass, size_t n)
{
	uint64_t mask = mask_of(pass, n);
	int r = set_caps(mask, mask);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)pass[i], 0, 0) < 0)
			r = -errno;
	}
	return r;
}

/* The text after "name:\t" in status, or NULL. */
static const char *
status_field(const char *status, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = status; line != NULL; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, "\t ");
	}
	return NULL;
}

static bool
field_is_number(const char *status, const char *name, int base, uint64_t value)
{
	const char *text = status_field(status, name);
	char *end;

	if (text == NULL)
		return false;
	return strtoull(text, &end, base) == value && end != text && *end == '\n';
}

/* "Uid:" and "Gid:" hold real, effective, saved and filesystem id: all four must be the same. */
static bool
field_is_id(const char *status, const char *name, uint64_t id)
{
	const char *text = status_field(status, name);

	if (text == NULL)
		return false;
	for (int i = 0; i < 4; i++) {
		char *end;

		if (strtoull(text, &end, 10) != id || end == text)
			return false;
		text = end;
	}
	return *text == '\n';
}

static bool
groups_empty(const char *status)
{
	const char *text = status_field(status, "Groups");

	return text != NULL && (*text == '\n' || *text == '\0');
}

/* The first thing that is not as expected, or NULL. */
static const char *
first_difference(const char *status, const struct lockdown_expect *expect)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };

	if (expect->seccomp && !field_is_number(status, "Seccomp", 10, 2))
		return "no system call filter is in force (Seccomp is not 2)";
	if (expect->no_new_privs && !field_is_number(status, "NoNewPrivs", 10, 1))
		return "no_new_privs is not set";
	for (size_t i = 0; expect->no_capabilities && i < SP_ARRAY_LEN(sets); i++) {
		if (!field_is_number(status, sets[i], 16, 0))
			return "capabilities are left";
	}
	if (expect->check_ids && !field_is_id(status, "Uid", expect->uid))
		return "the user id was not given up";
	if (expect->check_ids && !field_is_id(status, "Gid", expect->gid))
		return "the group id was not given up";
	if (expect->check_ids && !groups_empty(status))
		return "supplementary groups are left";
	return NULL;
}

int
lockdown_verify(int status_fd, const struct lockdown_expect *expect, char *why, size_t cap)
{
	char status[STATUS_MAX];
	const char *difference;
	size_t len = 0;
	ssize_t n;

	while ((n = read(status_fd, status + len, sizeof(status) - 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return -errno;
	status[len] = '\0';
	difference = first_difference(status, expect);
	if (difference == NULL)
		return 0;
	(void)snprintf(why, cap, "%s", difference);
	return 1;
}
