/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of the container of engine_fixture.h, made by Podman 4.3 with runc and cgroup v1. */
#ifndef SP_KERNEL_ACCOUNT_FIXTURE_H
#define SP_KERNEL_ACCOUNT_FIXTURE_H

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
    "166 165 254:0 /srv/guest /.sallyport/guest ro,relatime - ext4 /dev/vda rw,discard\n"
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

#endif
