/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of the container of engine_fixture.h, made by Podman 4.3 with runc and cgroup v1. */
#ifndef SP_KERNEL_ACCOUNT_FIXTURE_H
#define SP_KERNEL_ACCOUNT_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "engine_fixture.h"
#include "kernel_account.h"

/* Without what nobody reads. */
static const char good_status[] =
    "Name:\tsallyport-guest\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t8657\n"
    "Pid:\t8657\nUid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\n"
    "FDSize:\t64\nGroups:\t100 \nNSpid:\t8657\t1\nThreads:\t1\n"
    "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
    "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
    "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    "Seccomp_filters:\t1\n";
static const char good_limits[] =
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max core file size        0                    0                    bytes     \n"
    "Max open files            1024                 1024                 files     \n"
    "Max realtime timeout      unlimited            unlimited            us        \n";
static const char good_uid_map[] = "         0          0 4294967295\n";
#define CGROUP "/libpod_parent/libpod-" ID
static const char good_mountinfo[] =
    "165 103 0:70 / / ro,relatime - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u,workdir=/w\n"
    "166 165 254:0 /srv/guest /.sallyport ro,relatime - ext4 /dev/vda rw,discard\n"
    "169 165 0:73 / /tmp rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=1024k\n"
    "150 165 254:0 /v/home/_data /home rw,nosuid,nodev,relatime - ext4 /dev/vda rw\n"
    "151 165 254:0 /v/tools/_data /opt ro,nosuid,nodev,relatime - ext4 /dev/vda rw\n"
    "152 165 254:1 /www/alice /www rw,relatime master:9 - ext4 /dev/vdb rw\n"
    "168 165 0:74 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
    "170 165 0:75 / /dev rw,nosuid,noexec - tmpfs tmpfs rw,size=65536k,mode=755\n"
    "171 165 0:76 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro\n"
    "172 170 0:77 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5,mode=620\n"
    "173 170 0:72 / /dev/mqueue rw,nosuid,nodev,noexec,relatime - mqueue mqueue rw\n"
    "174 165 254:0 /x/.containerenv /run/.containerenv ro,nosuid - ext4 /dev/vda rw\n"
    "175 165 254:0 /x/hostname /etc/hostname ro,nosuid,nodev,noexec - ext4 /dev/vda rw\n"
    "176 170 0:54 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=64000k\n"
    "177 171 0:78 / /sys/fs/cgroup rw,nosuid,nodev,noexec - tmpfs tmpfs rw,mode=755\n"
    "178 177 0:28 " CGROUP " /sys/fs/cgroup/cpu ro,nosuid,nodev,noexec - cgroup cgroup rw,cpu\n"
    "104 168 0:74 /bus /proc/bus ro,nosuid,nodev,noexec,relatime - proc proc rw\n"
    "105 168 0:74 /fs /proc/fs ro,nosuid,nodev,noexec,relatime - proc proc rw\n"
    "106 168 0:74 /irq /proc/irq ro,nosuid,nodev,noexec,relatime - proc proc rw\n"
    "107 168 0:74 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw\n"
    "108 168 0:81 / /proc/acpi ro,relatime - tmpfs tmpfs ro\n"
    "112 168 0:75 /null /proc/keys rw,nosuid,noexec - tmpfs tmpfs rw,size=65536k,mode=755\n"
    "113 168 0:6 /null /proc/timer_list rw,nosuid,noexec - devtmpfs devtmpfs rw\n"
    "114 171 0:82 / /sys/firmware ro,relatime - tmpfs tmpfs ro\n";

static inline struct kernel_account
good_account(void)
{
	static const char *const there[] = { "/proc/acpi", "/proc/keys", "/proc/timer_list",
		"/sys/firmware", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys" };
	struct kernel_account a = { .status = good_status,
		.limits = good_limits,
		.uid_map = good_uid_map,
		.mountinfo = good_mountinfo,
		.net = 4026532481,
		.host_net = 4026531873,
		.host_queues = "0:21" };

	for (size_t i = 0; i < KERNEL_ACCOUNT_PATHS; i++)
		for (size_t k = 0; k < SP_ARRAY_LEN(there); k++)
			if (strcmp(kernel_account_paths[i], there[k]) == 0)
				a.there[i] = true;
	return a;
}

/* text with the one place that says old saying new; the caller frees it. NULL: it is not there once. */
static inline char *
account_changed(const char *text, const char *old, const char *new)
{
	const char *at = strstr(text, old);
	char *out = NULL;

	if (at == NULL || strstr(at + 1, old) != NULL ||
	    asprintf(&out, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) < 0)
		return NULL;
	return out;
}

/* In which of the texts. */
enum account_text {
	ACCOUNT_STATUS,
	ACCOUNT_LIMITS,
	ACCOUNT_UID_MAP,
	ACCOUNT_MOUNTS,
};

#define LINE(point, rest) "\n900 165 0:99 / " point " " rest "\n"
#define LAST              "\n114 171 0:82 / /sys/firmware ro,relatime - tmpfs tmpfs ro\n"

/* Every way in which it can be wrong. */
static const struct account_difference {
	enum account_text text;
	const char *old, *new;
	const char *says;
} account_differences[] = {
	{ ACCOUNT_STATUS, "CapEff:\t0000000000000000", "CapEff:\t0000000000000001",
	    "CapEff: 0000000000000001" },
	{ ACCOUNT_STATUS, "CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb", "CapBnd:" },
	{ ACCOUNT_STATUS, "CapInh:\t0000000000000000", "CapInh:\t8000000000000000", "CapInh:" },
	{ ACCOUNT_STATUS, "CapPrm:\t0000000000000000", "CapPrm:\t", "CapPrm:" },
	{ ACCOUNT_STATUS, "CapAmb:\t0000000000000000\n", "", "CapAmb:" },
	{ ACCOUNT_STATUS, "NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs: is 0 instead of 1" },
	{ ACCOUNT_STATUS, "NoNewPrivs:\t1\n", "", "NoNewPrivs" },
	{ ACCOUNT_STATUS, "Seccomp:\t2", "Seccomp:\t0", "Seccomp: is 0 instead of 2" },
	{ ACCOUNT_STATUS, "Uid:\t1000\t1000\t1000\t1000", "Uid:\t1000\t1000\t0\t1000", "Uid: is 0" },
	{ ACCOUNT_STATUS, "Uid:\t1000\t1000\t1000\t1000", "Uid:\t1000", "Uid: has 1 numbers" },
	{ ACCOUNT_STATUS, "Gid:\t100\t100\t100\t100", "Gid:\t100\t100\t100\t0", "Gid: is 0" },
	{ ACCOUNT_STATUS, "Groups:\t100 ", "Groups:\t100 27 ", "Groups: is 27" },
	{ ACCOUNT_STATUS, "NSpid:\t8657\t1", "NSpid:\t8657", "process ids" },
	{ ACCOUNT_STATUS, "NSpid:\t8657\t1", "NSpid:\t8657\t7", "process ids" },
	{ ACCOUNT_LIMITS, "Max open files            1024                 1024 ",
	    "Max open files            1024                 4096 ", "Max open files" },
	{ ACCOUNT_LIMITS, "Max core file size        0 ", "Max core file size        unlimited ",
	    "Max core" },
	{ ACCOUNT_LIMITS,
	    "Max open files            1024                 1024                 files     \n", "",
	    "Max open files" },
	{ ACCOUNT_UID_MAP, "0          0 4294967295", "0     100000      65536", "rootless" },
	{ ACCOUNT_UID_MAP, "         0          0 4294967295\n", "", "rootless" },
	{ ACCOUNT_MOUNTS, " / / ro,relatime", " / / rw,relatime", "its root can be written" },
	{ ACCOUNT_MOUNTS, " / / ro,relatime", " / /root ro,relatime", "nobody asked for" },
	{ ACCOUNT_MOUNTS, LAST, LAST "900 165 0:99 / / ro - ext4 /dev/vda rw\n", "not mounted once" },
	{ ACCOUNT_MOUNTS, "/.sallyport ro,", "/.sallyport rw,", "/.sallyport can be written" },
	{ ACCOUNT_MOUNTS, "/opt ro,", "/opt rw,", "/opt can be written" },
	{ ACCOUNT_MOUNTS, "/opt ro,", "/opt/ ro,", "nobody asked for" },
	{ ACCOUNT_MOUNTS, "size=1024k", "size=2048k",
	    "/tmp has a size of 2097152 instead of 1048576" },
	{ ACCOUNT_MOUNTS, "size=1024k", "size=512k", "/tmp has a size" },
	{ ACCOUNT_MOUNTS, "rw,size=1024k", "rw", "/tmp has a size of 0" },
	{ ACCOUNT_MOUNTS, "size=1024k", "size=99999999999999999999k", "/tmp has a size" },
	{ ACCOUNT_MOUNTS, "- tmpfs tmpfs rw,size=1024k", "- ext4 /dev/vda rw",
	    "no memory filesystem" },
	{ ACCOUNT_MOUNTS, "/tmp rw,nosuid,nodev,", "/tmp rw,nosuid,nodevice,",
	    "/tmp may have devices" },
	{ ACCOUNT_MOUNTS, "/home rw,", "/home2 rw,", "/home2 that nobody asked for" },
	{ ACCOUNT_MOUNTS, LAST,
	    "\n900 165 0:99 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k" LAST,
	    "two things are mounted at /tmp" },
	/* What Podman adds by itself when nobody stops it. */
	{ ACCOUNT_MOUNTS, LAST, LINE("/a\\040b\\134", "ro - ext4 /dev/vda rw"), "/a b\\ that nobody" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/run", "rw,nosuid,nodev - tmpfs tmpfs rw"), "/run that nobody" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/etc/hosts", "ro - ext4 /dev/vda rw"),
	    "/etc/hosts that nobody" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/etc/resolv.conf", "ro - ext4 /dev/vda rw"),
	    "/etc/resolv.conf that nobody" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/run/secrets", "ro - tmpfs tmpfs rw,size=1k"),
	    "/run/secrets that nobody" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/www/below", "rw - ext4 /dev/vdc rw"),
	    "/www/below that nobody" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/dev/fuse", "rw - devtmpfs devtmpfs rw"),
	    "/dev/fuse that nobody" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/host\\012x", "rw - ext4 /dev/vda rw"), "nobody asked for" },
	{ ACCOUNT_MOUNTS, "/dev rw,nosuid,noexec - tmpfs tmpfs rw,size=65536k,",
	    "/dev rw - tmpfs tmpfs rw,", "/dev is memory without a limit" },
	{ ACCOUNT_MOUNTS, "rw,size=64000k", "rw", "/dev/shm is memory without a limit" },
	{ ACCOUNT_MOUNTS, " /sys ro,", " /sys rw,", "/sys can be written" },
	{ ACCOUNT_MOUNTS, "/sys/fs/cgroup/cpu ro,", "/sys/fs/cgroup/cpu rw,",
	    "/sys/fs/cgroup/cpu that nobody" },
	{ ACCOUNT_MOUNTS, "/sys/fs/cgroup rw,nosuid,nodev,noexec - tmpfs tmpfs rw,mode=755",
	    "/sys/fs/cgroup rw - cgroup2 cgroup rw", "/sys/fs/cgroup can be written" },
	{ ACCOUNT_MOUNTS, "0:72 / /dev/mqueue", "0:21 / /dev/mqueue", "the host's message queues" },
	{ ACCOUNT_MOUNTS, "168 165 0:74 / /proc rw", "168 165 0:74 /1 /proc rw",
	    "/proc is not mounted" },
	{ ACCOUNT_MOUNTS, LAST, LINE("/proc", "rw - proc proc rw"),
	    "two things are mounted at /proc" },
	{ ACCOUNT_MOUNTS, "/proc/sys ro,", "/proc/sys rw,", "/proc/sys that nobody asked for" },
	{ ACCOUNT_MOUNTS,
	    "107 168 0:74 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw\n", "",
	    "/proc/sys is not read-only" },
	{ ACCOUNT_MOUNTS, "108 168 0:81 / /proc/acpi ro,relatime - tmpfs tmpfs ro\n", "",
	    "/proc/acpi is not hidden" },
	/* Read-only is not hidden. */
	{ ACCOUNT_MOUNTS, "0:81 / /proc/acpi ro,relatime - tmpfs tmpfs ro",
	    "0:74 /acpi /proc/acpi ro - proc proc rw", "/proc/acpi is not hidden" },
	{ ACCOUNT_MOUNTS, "0:82 / /sys/firmware ro,relatime - tmpfs tmpfs ro",
	    "0:76 /firmware /sys/firmware ro - sysfs sysfs ro", "/sys/firmware is not hidden" },
	{ ACCOUNT_MOUNTS, "0:75 /null /proc/keys", "0:75 /keys /proc/keys",
	    "/proc/keys that nobody asked for" },
	{ ACCOUNT_MOUNTS, "- devtmpfs devtmpfs rw\n", "- proc proc rw\n",
	    "/proc/timer_list that nobody asked for" },
	{ ACCOUNT_MOUNTS, LAST, "\n", "/sys/firmware is not hidden" },
	{ ACCOUNT_MOUNTS, LAST, "\n114 171 0:82 / /sys/firmware ro,relatime - tmpfs tmpfs ro",
	    "cut short" },
	{ ACCOUNT_MOUNTS, LAST, LAST "\n", "not understood" },
	{ ACCOUNT_MOUNTS, "master:9 - ext4", "master:9 ext4", "not understood" },
	{ ACCOUNT_MOUNTS, "- sysfs sysfs ro", "- sysfs", "not understood" },
	{ ACCOUNT_MOUNTS, "master:9", "a a a a a a a a a a a a a a a a a", "not understood" },
};

#endif
