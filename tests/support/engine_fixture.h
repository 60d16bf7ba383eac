/* SPDX-License-Identifier: Apache-2.0 */
/* One container: as asked for, and as Docker 20.10 describes it once it is made. */
#ifndef SP_ENGINE_FIXTURE_H
#define SP_ENGINE_FIXTURE_H

#include "engine_spec.h"

#define ID "18ed7bd0d6cc2664f4767a4753f711e8b69a36b597ab4b6b3d070438b904d29d"

static const char *const entrypoint[] = { "/.sallyport/sallyport-guest", "-x", NULL };
static const struct engine_label labels[] = {
	{ "sallyport.instance", "0123456789abcdef" },
	{ "sallyport.user", "al\"ice" },
};
static const struct engine_mount mounts[] = {
	{ .kind = ENGINE_MOUNT_BIND, .source = "/srv/guest", .target = "/.sallyport" },
	{ .kind = ENGINE_MOUNT_TMPFS, .target = "/tmp", .size = 1048576 },
	{ .kind = ENGINE_MOUNT_VOLUME, .source = "home", .target = "/home" },
	{ .kind = ENGINE_MOUNT_VOLUME, .source = "tools", .target = "/opt", .read_only = true },
	{ .kind = ENGINE_MOUNT_HOME, .source = "/srv/www/alice", .target = "/www" },
};
static const char *const name_servers[] = { "192.0.2.53", "2001:db8::53", NULL };
static const struct engine_container_spec good = {
	.name = "sallyport-0123456789abcdef",
	.image = "registry.example:5000/team/shell:1.2",
	.uid = 1000,
	.gid = 100,
	.workdir = "/home",
	.entrypoint = entrypoint,
	.labels = labels,
	.n_labels = SP_ARRAY_LEN(labels),
	.network = ENGINE_NETWORK_NONE,
	.read_only_root = true,
	.mounts = mounts,
	.n_mounts = SP_ARRAY_LEN(mounts),
	.dns = name_servers,
	.memory = 536870912,
	.swap = 1024,
	.nano_cpus = 1500000000,
	.pids = 256,
	.nofile = 1024,
	.stop_timeout = 2,
};

/* As Docker 20.10 answers for the spec above, without what nobody reads. */
static const char inspected[] =
    "{\"Id\":\"" ID "\",\"Name\":\"/sallyport-0123456789abcdef\","
    "\"Path\":\"/.sallyport/sallyport-guest\",\"Args\":[\"-x\"],\"AppArmorProfile\":\"\","
    "\"State\":{\"Status\":\"created\",\"Running\":false,\"Paused\":false,\"OOMKilled\":false,"
    "\"Pid\":0,\"ExitCode\":0,\"Error\":\"\",\"StartedAt\":\"0001-01-01T00:00:00Z\"},"
    "\"HostConfig\":{\"Binds\":[],\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"none\","
    "\"Config\":{}},\"NetworkMode\":\"none\",\"PortBindings\":{},\"RestartPolicy\":{\"Name\":\"no\","
    "\"MaximumRetryCount\":0},\"AutoRemove\":false,\"VolumeDriver\":\"\",\"VolumesFrom\":null,"
    "\"CapAdd\":[],\"CapDrop\":[\"ALL\"],\"CgroupnsMode\":\"private\",\"Dns\":[\"192.0.2.53\",\"2001:db8::53\"],\"DnsOptions\":[],\"DnsSearch\":[],"
    "\"ExtraHosts\":null,"
    "\"GroupAdd\":null,\"IpcMode\":\"private\",\"Cgroup\":\"\",\"Links\":null,\"OomScoreAdj\":0,"
    "\"PidMode\":\"\",\"Privileged\":false,\"PublishAllPorts\":false,\"ReadonlyRootfs\":true,"
    "\"SecurityOpt\":[\"no-new-privileges\"],\"UTSMode\":\"\",\"UsernsMode\":\"\",\"ShmSize\":67108864,"
    "\"Runtime\":\"runc\",\"ConsoleSize\":[0,0],\"Isolation\":\"\",\"Memory\":536870912,"
    "\"NanoCpus\":1500000000,\"CgroupParent\":\"\",\"CpuPeriod\":0,\"CpuQuota\":0,\"Devices\":[],"
    "\"DeviceCgroupRules\":null,\"DeviceRequests\":null,\"MemorySwap\":536871936,"
    "\"OomKillDisable\":false,\"PidsLimit\":256,\"Ulimits\":[{\"Name\":\"nofile\",\"Hard\":1024,"
    "\"Soft\":1024},{\"Name\":\"core\",\"Hard\":0,\"Soft\":0}],\"Mounts\":["
    "{\"Type\":\"bind\",\"Source\":\"/srv/guest\",\"Target\":\"/.sallyport\",\"ReadOnly\":true,"
    "\"BindOptions\":{\"Propagation\":\"rprivate\",\"NonRecursive\":true}},"
    "{\"Type\":\"tmpfs\",\"Target\":\"/tmp\",\"TmpfsOptions\":{\"SizeBytes\":1048576,\"Mode\":1023}},"
    "{\"Type\":\"volume\",\"Source\":\"home\",\"Target\":\"/home\"},"
    "{\"Type\":\"volume\",\"Source\":\"tools\",\"Target\":\"/opt\",\"ReadOnly\":true},"
    "{\"Type\":\"bind\",\"Source\":\"/srv/www/alice\",\"Target\":\"/www\","
    "\"BindOptions\":{\"Propagation\":\"rprivate\",\"NonRecursive\":true}}],"
    "\"MaskedPaths\":[\"/proc/asound\",\"/proc/kcore\"],\"ReadonlyPaths\":[\"/proc/bus\",\"/proc/sys\"]},"
    "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/srv/guest\",\"Destination\":\"/.sallyport\","
    "\"Mode\":\"\",\"RW\":false,\"Propagation\":\"rprivate\"},"
    "{\"Type\":\"tmpfs\",\"Source\":\"\",\"Destination\":\"/tmp\",\"Mode\":\"\",\"RW\":true},"
    "{\"Type\":\"volume\",\"Name\":\"home\",\"Source\":\"/var/lib/docker/volumes/home/_data\","
    "\"Destination\":\"/home\",\"Driver\":\"local\",\"Mode\":\"z\",\"RW\":true},"
    "{\"Type\":\"volume\",\"Name\":\"tools\",\"Source\":\"/var/lib/docker/volumes/tools/_data\","
    "\"Destination\":\"/opt\",\"Driver\":\"local\",\"Mode\":\"z\",\"RW\":false},"
    "{\"Type\":\"bind\",\"Source\":\"/srv/www/alice\",\"Destination\":\"/www\",\"Mode\":\"\","
    "\"RW\":true,\"Propagation\":\"rprivate\"}],"
    "\"NetworkSettings\":{\"Networks\":{\"none\":{\"NetworkID\":\"\"}}},"
    "\"Config\":{\"Hostname\":\"shell\",\"User\":\"1000:100\",\"AttachStdin\":false,"
    "\"AttachStdout\":false,\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":false,"
    "\"StdinOnce\":false,\"Env\":null,\"Cmd\":[],\"Healthcheck\":{\"Test\":[\"NONE\"]},"
    "\"Image\":\"registry.example:5000/team/shell:1.2\",\"Volumes\":null,\"WorkingDir\":\"/home\","
    "\"Entrypoint\":[\"/.sallyport/sallyport-guest\",\"-x\"],\"NetworkDisabled\":true,"
    "\"Labels\":{\"maintainer\":\"somebody\",\"sallyport.instance\":\"0123456789abcdef\","
    "\"sallyport.user\":\"al\\\"ice\"},\"StopSignal\":\"SIGKILL\",\"StopTimeout\":2}}";

/* The same of Podman 4.3, which made it by its own API. */
static const char inspected_podman[] =
    "{\"Id\":\"" ID "\",\"Name\":\"sallyport-0123456789abcdef\","
    "\"Path\":\"/.sallyport/sallyport-guest\",\"Args\":[\"-x\"],\"AppArmorProfile\":\"\","
    "\"State\":{\"Status\":\"created\",\"Running\":false,\"Paused\":false,\"OOMKilled\":false,"
    "\"Pid\":0,\"ConmonPid\":14292,\"ExitCode\":0,\"Error\":\"\","
    "\"StartedAt\":\"0001-01-01T00:00:00Z\"},\"Image\":\"" ID "\","
    "\"ImageName\":\"registry.example:5000/team/shell:1.2\",\"Rootfs\":\"\",\"Pod\":\"\","
    "\"OCIRuntime\":\"crun\",\"EffectiveCaps\":null,\"BoundingCaps\":null,\"ExecIDs\":[],"
    "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/srv/guest\","
    "\"Destination\":\"/.sallyport\",\"Driver\":\"\",\"Mode\":\"\",\"Options\":[\"bind\"],"
    "\"RW\":false,\"Propagation\":\"rprivate\"},{\"Type\":\"volume\",\"Name\":\"home\","
    "\"Source\":\"/var/lib/containers/storage/volumes/home/_data\",\"Destination\":\"/home\","
    "\"Driver\":\"local\",\"Mode\":\"\",\"Options\":[\"nosuid\",\"nodev\",\"rbind\"],\"RW\":true,"
    "\"Propagation\":\"rprivate\"},{\"Type\":\"volume\",\"Name\":\"tools\","
    "\"Source\":\"/var/lib/containers/storage/volumes/tools/_data\",\"Destination\":\"/opt\","
    "\"Driver\":\"local\",\"Mode\":\"\",\"Options\":[\"nosuid\",\"nodev\",\"rbind\"],\"RW\":false,"
    "\"Propagation\":\"rprivate\"},{\"Type\":\"bind\",\"Source\":\"/srv/www/alice\","
    "\"Destination\":\"/www\",\"Driver\":\"\",\"Mode\":\"\",\"Options\":[\"bind\"],\"RW\":true,"
    "\"Propagation\":\"rprivate\"}],\"Dependencies\":[],\"NetworkSettings\":{\"Ports\":{}},"
    "\"Config\":{\"Hostname\":\"shell\",\"User\":\"1000:100\",\"AttachStdin\":false,"
    "\"AttachStdout\":false,\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":false,"
    "\"StdinOnce\":false,\"Env\":[\"container=podman\"],\"Cmd\":null,"
    "\"Image\":\"registry.example:5000/team/shell:1.2\",\"Volumes\":null,\"WorkingDir\":\"/home\","
    "\"Entrypoint\":\"/.sallyport/sallyport-guest -x\",\"OnBuild\":null,"
    "\"Labels\":{\"sallyport.instance\":\"0123456789abcdef\",\"sallyport.user\":\"al\\\"ice\"},"
    "\"StopSignal\":9,\"Healthcheck\":{\"Test\":[\"NONE\"]}},"
    "\"HostConfig\":{\"Binds\":[\"/srv/guest:/.sallyport:ro,rprivate,bind\"],"
    "\"CgroupManager\":\"systemd\",\"CgroupMode\":\"private\",\"ContainerIDFile\":\"\","
    "\"LogConfig\":{\"Type\":\"none\",\"Config\":null},\"NetworkMode\":\"none\","
    "\"PortBindings\":{},\"RestartPolicy\":{\"Name\":\"no\",\"MaximumRetryCount\":0},"
    "\"AutoRemove\":false,\"VolumeDriver\":\"\",\"VolumesFrom\":null,\"CapAdd\":[],"
    "\"CapDrop\":[\"CAP_CHOWN\",\"CAP_KILL\"],\"Dns\":[],\"DnsOptions\":[],\"DnsSearch\":[],"
    "\"ExtraHosts\":[],\"GroupAdd\":[],\"IpcMode\":\"shareable\",\"Cgroup\":\"\","
    "\"Cgroups\":\"default\",\"Links\":null,\"OomScoreAdj\":0,\"PidMode\":\"private\","
    "\"Privileged\":false,\"PublishAllPorts\":false,\"ReadonlyRootfs\":true,"
    "\"SecurityOpt\":[\"no-new-privileges\"],\"Tmpfs\":{\"/tmp\":\"size=1048576,mode=1777,rw\"},"
    "\"UTSMode\":\"private\",\"UsernsMode\":\"\",\"ShmSize\":65536000,\"Runtime\":\"oci\","
    "\"Memory\":536870912,\"NanoCpus\":1500000000,\"CgroupParent\":\"\",\"CpuPeriod\":100000,"
    "\"CpuQuota\":150000,\"Devices\":[],\"MemorySwap\":536871936,\"OomKillDisable\":false,"
    "\"PidsLimit\":256,\"Ulimits\":[{\"Name\":\"RLIMIT_NOFILE\",\"Soft\":1024,\"Hard\":1024}],"
    "\"CgroupConf\":null}}";

#endif
