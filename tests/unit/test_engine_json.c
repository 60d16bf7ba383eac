/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent to the engine to the byte, and how its answers and its containers are judged. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "engine_fixture.h"
#include "engine_json_read.h"
#include "engine_json_write.h"
#include "engine_spec.h"

static void
create_is_exactly_this(void **state)
{
	static const char want[] =
	    "{\"Image\":\"registry.example:5000/team/shell:1.2\",\"User\":\"1000:100\","
	    "\"Entrypoint\":[\"/.sallyport/sallyport-guest\",\"-x\"],\"Cmd\":[],\"Env\":[],"
	    "\"Labels\":{\"sallyport.instance\":\"0123456789abcdef\",\"sallyport.user\":\"al\\\"ice\"},"
	    "\"WorkingDir\":\"/home\",\"NetworkDisabled\":true,"
	    "\"AttachStdin\":false,\"AttachStdout\":false,\"AttachStderr\":false,\"OpenStdin\":false,"
	    "\"StdinOnce\":false,\"Tty\":false,\"Healthcheck\":{\"Test\":[\"NONE\"]},"
	    "\"StopSignal\":\"SIGKILL\",\"StopTimeout\":2,\"HostConfig\":{\"NetworkMode\":\"none\","
	    "\"Privileged\":false,\"CapAdd\":[],\"CapDrop\":[\"ALL\"],"
	    "\"SecurityOpt\":[\"no-new-privileges\"],\"ReadonlyRootfs\":true,\"Binds\":[],\"Mounts\":["
	    "{\"Type\":\"bind\",\"Source\":\"/srv/guest\",\"Target\":\"/.sallyport\","
	    "\"ReadOnly\":true,\"BindOptions\":{\"Propagation\":\"rprivate\",\"NonRecursive\":true}},"
	    "{\"Type\":\"tmpfs\",\"Target\":\"/tmp\",\"TmpfsOptions\":{\"SizeBytes\":1048576,"
	    "\"Mode\":1023}},{\"Type\":\"volume\",\"Source\":\"home\",\"Target\":\"/home\","
	    "\"ReadOnly\":false},{\"Type\":\"volume\",\"Source\":\"tools\",\"Target\":\"/opt\","
	    "\"ReadOnly\":true},{\"Type\":\"bind\",\"Source\":\"/srv/www/alice\",\"Target\":\"/www\","
	    "\"ReadOnly\":false,\"BindOptions\":{\"Propagation\":\"rprivate\",\"NonRecursive\":true}}],"
	    "\"Devices\":[],\"PortBindings\":{},\"PublishAllPorts\":false,"
	    "\"IpcMode\":\"private\",\"PidMode\":\"\",\"UTSMode\":\"\",\"UsernsMode\":\"\","
	    "\"CgroupnsMode\":\"private\",\"Memory\":536870912,\"MemorySwap\":536871936,"
	    "\"NanoCpus\":1500000000,\"PidsLimit\":256,\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1024,"
	    "\"Hard\":1024},{\"Name\":\"core\",\"Soft\":0,\"Hard\":0}],\"LogConfig\":{\"Type\":\"none\","
	    "\"Config\":{}},\"RestartPolicy\":{\"Name\":\"no\",\"MaximumRetryCount\":0},"
	    "\"AutoRemove\":false,\"Dns\":[\"192.0.2.53\",\"2001:db8::53\"]}}";
	char *text;

	(void)state;
	assert_int_equal(engine_json_create(&good, &text), 0);
	assert_string_equal(text, want);
	free(text);
}

static void
create_follows_the_network(void **state)
{
	struct engine_container_spec s = good;
	char *text;

	(void)state;
	s.network = ENGINE_NETWORK_BRIDGE;
	s.runtime = "runsc";
	s.workdir = NULL;
	assert_int_equal(engine_json_create(&s, &text), 0);
	assert_non_null(strstr(text, "\"NetworkDisabled\":false"));
	assert_non_null(strstr(text, "\"NetworkMode\":\"bridge\""));
	assert_non_null(strstr(text, "\"Runtime\":\"runsc\""));
	assert_null(strstr(text, "WorkingDir"));
	free(text);
	s.network = ENGINE_NETWORK_NAMED;
	s.network_name = "tenant-a";
	assert_int_equal(engine_json_create(&s, &text), 0);
	assert_non_null(strstr(text, "\"NetworkMode\":\"tenant-a\""));
	free(text);
	s.workdir = "/\xff";
	assert_int_equal(engine_json_create(&s, &text), -EINVAL);
}

static void
filter_is_escaped(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(engine_json_filter("sallyport.instance", "a\"b", &text), 0);
	assert_string_equal(text, "{\"label\":[\"sallyport.instance=a\\\"b\"]}");
	free(text);
	assert_int_equal(engine_json_filter("sallyport.instance", NULL, &text), 0);
	assert_string_equal(text, "{\"label\":[\"sallyport.instance\"]}");
	free(text);
	assert_int_equal(engine_json_filter("x", "\xc3", &text), -EINVAL);
}

/* --- specifications ---------------------------------------------------------------------------- */

#define REFUSED(field, value)                                                         \
	do {                                                                          \
		struct engine_container_spec s = good;                                \
		char said[160] = "";                                                  \
		s.field = (value);                                                    \
		assert_int_equal(engine_spec_check(&s, said, sizeof(said)), -EINVAL); \
		assert_string_not_equal(said, "");                                    \
	} while (0)

static void
bad_specs_are_refused(void **state)
{
	static const char *const relative[] = { "guest", NULL };
	static const char *const nothing[] = { NULL };
	struct engine_mount twice[] = { mounts[1], mounts[1] };
	char why[160];

	(void)state;
	assert_int_equal(engine_spec_check(&good, why, sizeof(why)), 0);
	REFUSED(name, "a/b");
	REFUSED(name, "x?force=1");
	REFUSED(name, NULL);
	REFUSED(image, "../../containers/x");
	REFUSED(image, "a/../b");
	REFUSED(image, "a b");
	REFUSED(image, "/etc");
	REFUSED(image, "");
	REFUSED(workdir, "relative");
	REFUSED(runtime, "../runc");
	REFUSED(network, ENGINE_NETWORK_NAMED);
	REFUSED(entrypoint, NULL);
	REFUSED(entrypoint, relative);
	REFUSED(entrypoint, nothing);
	REFUSED(memory, 0);
	REFUSED(memory, UINT64_MAX);
	REFUSED(swap, (uint64_t)INT64_MAX);
	REFUSED(nano_cpus, 0);
	REFUSED(pids, 0);
	REFUSED(nofile, 0);
	REFUSED(n_labels, ENGINE_LABELS_MAX + 1);
	REFUSED(n_mounts, ENGINE_MOUNTS_MAX + 1);
	REFUSED(mounts, twice);
}

static void
modes_are_no_networks(void **state)
{
	static const char *const names[] = { "host", "container", "container:abc", "ns:/proc/1/ns",
		"", "a b" };
	struct engine_container_spec s = good;
	char why[160];

	(void)state;
	s.network = ENGINE_NETWORK_NAMED;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		s.network_name = names[i];
		assert_int_equal(engine_spec_check(&s, why, sizeof(why)), -EINVAL);
	}
	s.network_name = "tenant-a";
	assert_int_equal(engine_spec_check(&s, why, sizeof(why)), 0);
}

static void
bad_mounts_are_refused(void **state)
{
	static const struct engine_mount bad[] = {
		{ .kind = ENGINE_MOUNT_BIND, .source = "relative", .target = "/x" },
		{ .kind = ENGINE_MOUNT_BIND, .source = NULL, .target = "/x" },
		{ .kind = ENGINE_MOUNT_BIND, .source = "/x", .target = "x" },
		{ .kind = ENGINE_MOUNT_BIND, .source = "/x", .target = "/" },
		{ .kind = ENGINE_MOUNT_BIND, .source = "/x", .target = NULL },
		{ .kind = ENGINE_MOUNT_VOLUME, .source = "/etc", .target = "/x" },
		{ .kind = ENGINE_MOUNT_VOLUME, .source = "", .target = "/x" },
		{ .kind = ENGINE_MOUNT_TMPFS, .target = "/x", .size = 0 },
		{ .kind = ENGINE_MOUNT_TMPFS, .target = "/x", .size = UINT64_MAX },
	};
	struct engine_container_spec s = good;
	char why[160];

	(void)state;
	s.n_mounts = 1;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		s.mounts = &bad[i];
		assert_int_equal(engine_spec_check(&s, why, sizeof(why)), -EINVAL);
	}
}

static void
copy_is_deep(void **state)
{
	struct engine_container_spec *copy;
	char *first, *second;

	(void)state;
	assert_int_equal(engine_spec_copy(&good, &copy), 0);
	assert_ptr_not_equal(copy->name, good.name);
	assert_ptr_not_equal(copy->mounts[0].target, mounts[0].target);
	assert_int_equal(engine_json_create(&good, &first), 0);
	assert_int_equal(engine_json_create(copy, &second), 0);
	assert_string_equal(first, second);
	free(first);
	free(second);
	assert_null(engine_spec_free(copy));
}

/* --- read-back --------------------------------------------------------------------------------- */

/* The inspected document with one value replaced, or taken away when value is NULL. */
static char *
changed(const char *document, const char *path, const char *value)
{
	json_t *root = json_loads(document, 0, NULL);
	json_t *at = root, *new_value = NULL;
	char copy[128], *part, *next, *text, *rest = NULL;

	assert_non_null(root);
	if (value != NULL)
		assert_non_null(new_value = json_loads(value, JSON_DECODE_ANY, NULL));
	(void)snprintf(copy, sizeof(copy), "%s", path);
	part = strtok_r(copy, ".", &rest);
	while ((next = strtok_r(NULL, ".", &rest)) != NULL) {
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part))
				       : json_object_get(at, part);
		assert_non_null(at);
		part = next;
	}
	/* "/" stands for a dot inside a key. */
	for (char *c = part; *c != '\0'; c++)
		if (*c == '/')
			*c = '.';
	if (json_is_array(at)) {
		size_t i = (size_t)atoi(part);

		assert_int_equal(value == NULL     ? json_array_remove(at, i)
			: i == json_array_size(at) ? json_array_append_new(at, new_value)
						   : json_array_set_new(at, i, new_value),
		    0);
	} else {
		assert_int_equal(value == NULL ? json_object_del(at, part)
					       : json_object_set_new(at, part, new_value),
		    0);
	}
	text = json_dumps(root, JSON_COMPACT);
	assert_non_null(text);
	json_decref(root);
	return text;
}

static void
inspect_is_understood(void **state)
{
	struct engine_container *c;
	char why[256] = "";
	char *text = changed(inspected, "State",
	    "{\"Status\":\"exited\",\"Running\":false,\"OOMKilled\":true,\"Pid\":0,\"ExitCode\":137,"
	    "\"Error\":\"e\",\"StartedAt\":\"2026-01-01T00:00:00Z\"}");

	(void)state;
	assert_int_equal(engine_json_inspect(text, strlen(text), &c, why, sizeof(why)), 0);
	assert_string_equal(c->id, ID);
	assert_string_equal(c->name, "sallyport-0123456789abcdef");
	assert_string_equal(c->status, "exited");
	assert_int_equal(c->exit_code, 137);
	assert_string_equal(c->started_at, "2026-01-01T00:00:00Z");
	assert_string_equal(engine_container_label(c, "sallyport.user"), "al\"ice");
	assert_null(engine_container_label(c, "nothing"));
	assert_int_equal(engine_compare(&good, c, why, sizeof(why)), 0);
	engine_container_free(c);
	free(text);
}

struct difference {
	const char *path;
	const char *value; /* NULL: taken away */
	const char *says;  /* part of the sentence */
};

static const struct difference differences[] = {
	{ "Name", "\"/other\"", "Name is" },
	{ "Path", "\"/bin/sh\"", "Path is" },
	{ "Args", "[\"-y\"]", "Args is" },
	{ "Args", "[]", "Args has 0" },
	{ "AppArmorProfile", "\"unconfined\"", "AppArmorProfile" },
	{ "Config.User", "\"\"", "User is" },
	{ "Config.User", "\"0:0\"", "User is" },
	{ "Config.User", NULL, "User is" },
	{ "Config.Image", "\"evil\"", "Image is" },
	{ "Config.WorkingDir", "\"/\"", "WorkingDir is" },
	{ "Config.Entrypoint", "[\"/bin/sh\",\"-x\"]", "Entrypoint is" },
	{ "Config.Entrypoint", "null", "Entrypoint has 0" },
	{ "Config.Cmd", "[\"x\"]", "Cmd has 1" },
	{ "Config.Tty", "true", "terminal" },
	{ "Config.OpenStdin", "true", "terminal" },
	{ "Config.AttachStdout", "true", "terminal" },
	{ "Config.Healthcheck", "null", "Healthcheck" },
	{ "Config.Healthcheck.Test", "[\"CMD\",\"/x\"]", "Healthcheck" },
	{ "Config.NetworkDisabled", "false", "NetworkDisabled" },
	{ "Config.NetworkDisabled", NULL, "NetworkDisabled" },
	{ "Config.Labels", "null", "is missing" },
	{ "Config.Labels.sallyport/user", "\"bob\"", "sallyport.user is" },
	{ "Config.Labels.sallyport/proof", "\"x\"", "of its own" },
	{ "HostConfig.Privileged", "true", "Privileged is true" },
	{ "HostConfig.ReadonlyRootfs", "false", "ReadonlyRootfs is false" },
	{ "HostConfig.AutoRemove", "true", "AutoRemove" },
	{ "HostConfig.PublishAllPorts", "true", "PublishAllPorts" },
	{ "HostConfig.NetworkMode", "\"host\"", "NetworkMode is \"host\"" },
	{ "HostConfig.NetworkMode", "\"container:x\"", "NetworkMode" },
	{ "HostConfig.IpcMode", "\"host\"", "IpcMode" },
	{ "HostConfig.IpcMode", "\"shareable\"", "IpcMode" },
	{ "HostConfig.CgroupnsMode", "\"host\"", "CgroupnsMode" },
	{ "HostConfig.CgroupnsMode", NULL, "CgroupnsMode" },
	{ "HostConfig.LogConfig.Type", "\"json-file\"", "LogConfig" },
	{ "HostConfig.RestartPolicy.Name", "\"always\"", "RestartPolicy" },
	{ "HostConfig.CapDrop", "[]", "CapDrop" },
	{ "HostConfig.CapDrop", "null", "CapDrop" },
	{ "HostConfig.CapDrop", "[\"NET_RAW\"]", "CapDrop" },
	{ "HostConfig.CapDrop.1", "\"X\"", "CapDrop" },
	{ "HostConfig.SecurityOpt", "null", "SecurityOpt" },
	{ "HostConfig.SecurityOpt", "[\"no-new-privileges=false\"]", "SecurityOpt" },
	{ "HostConfig.SecurityOpt.1", "\"seccomp=unconfined\"", "SecurityOpt" },
	{ "HostConfig.MaskedPaths", "[]", "MaskedPaths" },
	{ "HostConfig.MaskedPaths", "null", "MaskedPaths" },
	{ "HostConfig.MaskedPaths.1", NULL, "MaskedPaths" },
	{ "HostConfig.ReadonlyPaths", "[]", "ReadonlyPaths" },
	{ "HostConfig.ReadonlyPaths", NULL, "ReadonlyPaths" },
	{ "HostConfig.Memory", "0", "Memory is 0" },
	{ "HostConfig.Memory", "-1", "Memory is -1" },
	{ "HostConfig.MemorySwap", "-1", "MemorySwap is -1: the engine's host does not limit swap" },
	{ "HostConfig.MemorySwap", NULL, "MemorySwap is 0" },
	{ "HostConfig.NanoCpus", "0", "NanoCpus" },
	{ "HostConfig.PidsLimit", "null", "PidsLimit is 0" },
	{ "HostConfig.PidsLimit", "-1", "PidsLimit" },
	{ "HostConfig.Ulimits", "null", "Ulimits is 0" },
	{ "HostConfig.Ulimits.0.Hard", "1048576", "hard nofile" },
	{ "HostConfig.Ulimits.0.Soft", "1", "nofile limit" },
	{ "HostConfig.Ulimits.1.Hard", "-1", "hard core" },
	{ "HostConfig.Ulimits.1.Soft", "-1", "core limit" },
	{ "HostConfig.Ulimits.2", "{\"Name\":\"memlock\",\"Hard\":-1,\"Soft\":-1}", "Ulimits is 3" },
	{ "HostConfig.Ulimits.1.Name", "\"memlock\"", "core limit" },
	{ "HostConfig.Mounts.0", NULL, "has 4 entries" },
	{ "HostConfig.Mounts.5", "{\"Type\":\"bind\",\"Source\":\"/\",\"Target\":\"/host\"}",
	    "has 6 entries" },
	{ "HostConfig.Mounts.0.ReadOnly", "false", "writable" },
	{ "HostConfig.Mounts.0.Source", "\"/\"", "something else" },
	{ "HostConfig.Mounts.0.Type", "\"volume\"", "something else" },
	{ "HostConfig.Mounts.0.Target", "\"/x\"", "has nothing at" },
	{ "HostConfig.Mounts.0.BindOptions", NULL, "recursive" },
	{ "HostConfig.Mounts.1.TmpfsOptions.SizeBytes", "0", "tmpfs size" },
	{ "HostConfig.Mounts.2.ReadOnly", "true", "read-only" },
	{ "HostConfig.Mounts.2.Source", "\"other\"", "something else" },
	{ "HostConfig.Mounts.3.ReadOnly", NULL, "writable" },
	{ "HostConfig.Mounts.4.Source", "\"/srv/www/bob\"", "something else" },
	{ "HostConfig.Mounts.4.ReadOnly", "true", "read-only" },
	{ "HostConfig.Mounts.4.BindOptions.NonRecursive", "false", "recursive" },
	{ "HostConfig.Dns", "null", "Dns has 0 entries instead of 2" },
	{ "HostConfig.Dns.2", "\"192.0.2.54\"", "Dns has 3 entries" },
	{ "HostConfig.Dns.1", "\"192.0.2.54\"", "Dns is \"192.0.2.54\"" },
	{ "HostConfig.DnsSearch", "[\"example\"]", "DnsSearch is set" },
	{ "HostConfig.DnsOptions", "[\"rotate\"]", "DnsOptions is set" },
	{ "Mounts.0", NULL, "has nothing at" },
	{ "Mounts.4.Source", "\"/srv/www\"", "something else" },
	{ "Mounts.4.RW", "false", "read-only" },
	{ "Mounts.4.Type", "\"volume\"", "something else" },
	{ "Mounts.0.RW", "true", "writable" },
	{ "Mounts.0.Source", "\"/\"", "something else" },
	{ "Mounts.1.Type", "\"bind\"", "something else" },
	{ "Mounts.2.Name", "\"other\"", "something else" },
	{ "Mounts.3.RW", "true", "writable" },
	{ "Mounts.5", "{\"Type\":\"bind\",\"Source\":\"/\",\"Destination\":\"/host\",\"RW\":true}",
	    "nobody asked for" },
	{ "Mounts.5", "{\"Type\":\"volume\",\"Name\":\"x\",\"Destination\":\"/v\",\"RW\":true}",
	    "nobody asked for" },
	{ "Mounts.5", "{\"Type\":\"volume\",\"Name\":\"" ID "\",\"Destination\":\"/v\",\"RW\":true}",
	    "image declares a volume at /v" },
	{ "Mounts.5", "{\"Type\":\"tmpfs\",\"Destination\":\"/tmp\",\"RW\":true}", "twice" },
};

/* What Podman's own account has to say, in as far as it is another one. */
static const struct difference podman_differences[] = {
	{ "Name", "\"sallyport-f\"", "Name is" },
	{ "Config.Image", "\"quay.io/team/shell:1.2\"", "Image is" },
	{ "Config.User", "\"0:0\"", "User is" },
	{ "Config.Entrypoint", "\"/.sallyport/sallyport-guest -y\"", "Entrypoint is" },
	{ "Config.Entrypoint", "null", "Entrypoint has 0" },
	{ "Config.Cmd", "[\"x\"]", "Cmd has 1" },
	{ "Args", "[\"-x\",\"-y\"]", "Args has 2" },
	{ "Path", "\"/bin/sh\"", "Path is" },
	{ "Config.Healthcheck", "null", "Healthcheck" },
	{ "Config.Labels.sallyport/x", "\"1\"", "brings a label" },
	{ "AppArmorProfile", "\"unconfined\"", "AppArmorProfile" },
	{ "HostConfig.Privileged", "true", "Privileged" },
	{ "HostConfig.ReadonlyRootfs", "false", "ReadonlyRootfs" },
	{ "HostConfig.CapAdd", "[\"CAP_SYS_ADMIN\"]", "CapAdd is set" },
	{ "HostConfig.SecurityOpt", "[]", "SecurityOpt" },
	{ "HostConfig.NetworkMode", "\"host\"", "NetworkMode is" },
	{ "NetworkSettings.Networks", "{\"podman\":{}}", "it is in 1 networks" },
	{ "HostConfig.IpcMode", "\"host\"", "IpcMode is" },
	{ "HostConfig.CgroupMode", "\"host\"", "CgroupMode is" },
	{ "HostConfig.CgroupMode", NULL, "CgroupMode is" },
	{ "HostConfig.Cgroups", "\"disabled\"", "Cgroups is set" },
	{ "HostConfig.Cgroups", NULL, "Cgroups is set" },
	{ "HostConfig.PidMode", "\"host\"", "PidMode is set" },
	{ "HostConfig.UTSMode", "\"host\"", "UTSMode is set" },
	{ "HostConfig.UsernsMode", "\"private\"", "UsernsMode is set" },
	{ "HostConfig.Devices", "[{}]", "Devices is set" },
	{ "HostConfig.Dns", "[\"192.0.2.53\"]", "Dns is 1" },
	{ "HostConfig.Memory", "0", "Memory is 0" },
	{ "HostConfig.MemorySwap", "-1", "swapaccount" },
	{ "HostConfig.NanoCpus", "0", "NanoCpus is 0" },
	{ "HostConfig.NanoCpus", "1500000001", "NanoCpus is" },
	{ "HostConfig.NanoCpus", "1499000000", "NanoCpus is" },
	{ "HostConfig.PidsLimit", "0", "PidsLimit is" },
	{ "HostConfig.LogConfig.Type", "\"journald\"", "LogConfig" },
	{ "HostConfig.RestartPolicy.Name", "\"always\"", "RestartPolicy" },
	{ "Pod", "\"" ID "\"", "Pod is set" },
	{ "Dependencies", "[\"" ID "\"]", "Dependencies is set" },
	{ "BoundingCaps", "[\"CAP_CHOWN\"]", "BoundingCaps is set" },
	{ "EffectiveCaps", "[\"CAP_CHOWN\"]", "EffectiveCaps is set" },
	{ "Rootfs", "\"/\"", "Rootfs is set" },
	{ "Mounts.0", NULL, "has nothing at" },
	{ "Mounts.0.RW", "true", "writable" },
	{ "Mounts.1.Name", "\"other\"", "something else" },
	{ "Mounts.3.Source", "\"/srv/www\"", "something else" },
	{ "Mounts.4", "{\"Type\":\"bind\",\"Source\":\"/\",\"Destination\":\"/host\",\"RW\":true}",
	    "nobody asked for" },
	{ "Mounts.4", "{\"Type\":\"volume\",\"Name\":\"" ID "\",\"Destination\":\"/v\",\"RW\":true}",
	    "image declares a volume at /v" },
};

/* Where the policy names none it is the image's, and not where who writes in a mount says what is on the way. */
static void
working_directories_of_images(void **state)
{
	static const struct {
		const char *workdir;
		bool good;
	} cases[] = { { "", true }, { "/", true }, { "/srv/app", true }, { "/tmp/app", true },
		{ "/home", true }, { "/homes/app", true }, { "/home/app", false },
		{ "/home/a/b", false }, { "/opt/x", false }, { "/www/x", false }, { "/www", true },
		{ "/.sallyport", false }, { "/.sallyport/x", false }, { "/proc/self/fd/8", false },
		{ "/proc", false }, { "/srv/../proc/self/fd/8", false }, { "//proc", false },
		{ "app", false } };
	struct engine_container_spec s = good;

	(void)state;
	s.workdir = NULL;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct engine_container *c = NULL;
		char value[64], why[512] = "";
		char *text;

		(void)snprintf(value, sizeof(value), "\"%s\"", cases[i].workdir);
		text = changed(inspected, "Config.WorkingDir", value);
		assert_int_equal(engine_json_inspect(text, strlen(text), &c, why, sizeof(why)), 0);
		if ((engine_compare(&s, c, why, sizeof(why)) == 0) != cases[i].good)
			fail_msg("%s: \"%s\"", cases[i].workdir, why);
		assert_true(cases[i].good || strstr(why, "container.workdir") != NULL);
		engine_container_free(c);
		free(text);
	}
}

static void
every_difference_of_podman_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(podman_differences); i++) {
		const struct difference *d = &podman_differences[i];
		struct engine_container *c = NULL;
		char *text = changed(inspected_podman, d->path, d->value);
		char why[512] = "";

		if (engine_json_inspect_podman(text, strlen(text), &c, why, sizeof(why)) != 0)
			fail_msg("%s = %s: %s", d->path, d->value, why);
		if (engine_compare(&good, c, why, sizeof(why)) != ENGINE_COMPARE_E_DIFFERS ||
		    strstr(why, d->says) == NULL)
			fail_msg("%s = %s: \"%s\"", d->path, d->value, why);
		engine_container_free(c);
		free(text);
	}
}

static void
check_podman(const struct engine_container_spec *s, const char *path, const char *value, bool same)
{
	struct engine_container *c = NULL;
	char *text = changed(inspected_podman, path, value);
	char why[512] = "";

	assert_int_equal(engine_json_inspect_podman(text, strlen(text), &c, why, sizeof(why)), 0);
	if ((engine_compare(s, c, why, sizeof(why)) == 0) != same)
		fail_msg("%s = %s: \"%s\"", path, value, why);
	engine_container_free(c);
	free(text);
}

/* And the other way round: what it writes in its own way is what was asked for. */
static void
podman_has_words_of_its_own(void **state)
{
	static const char *const alone[] = { "/.sallyport/sallyport-guest", NULL };
	struct engine_container_spec s = good;

	(void)state;
	check_podman(&good, "Name", "\"sallyport-0123456789abcdef\"", true);
	check_podman(&good, "Config.Entrypoint", "[\"/.sallyport/sallyport-guest\",\"-x\"]", true);
	check_podman(&good, "HostConfig.IpcMode", "\"private\"", true);
	check_podman(&good, "HostConfig.NanoCpus", "1499990000", true);
	s.entrypoint = alone;
	check_podman(&s, "Config.Entrypoint", "\"/.sallyport/sallyport-guest\"", false);
	s = good;
	s.image = "shell";
	check_podman(&s, "Config.Image", "\"localhost/shell:latest\"", true);
	check_podman(&s, "Config.Image", "\"docker.io/library/shell:latest\"", true);
	check_podman(&s, "Config.Image", "\"evil.example/shell:latest\"", false);
	check_podman(&s, "Config.Image", "\"localhost/shell:1\"", false);
	s = good;
	s.runtime = "crun";
	check_podman(&s, "OCIRuntime", "\"crun\"", true);
	check_podman(&s, "OCIRuntime", "\"runc\"", false);
	/* Docker has no such words. */
	check_podman(&good, "Name", "\"/sallyport-0123456789abcdef\"", true);
}

/* Docker takes the beginning of an id for a name that is not there: the mode is as asked, the network another one. */
static void
networks_of_docker_are_compared(void **state)
{
	static const struct {
		const char *networks, *says;
	} cases[] = {
		{ "{\"tenant-b\":{}}", "the network is \"tenant-b\" instead of \"cafe\"" },
		{ "{\"cafe\":{},\"tenant-b\":{}}", "the network has 2 entries" },
		{ "{}", "the network has 0 entries" },
		{ "null", "the network has 0 entries" },
		{ "{\"cafe\":{}}", NULL },
	};
	struct engine_container_spec s = good;
	char *a = changed(inspected, "HostConfig.NetworkMode", "\"cafe\"");
	char *b = changed(a, "Config.NetworkDisabled", "false");

	(void)state;
	s.network = ENGINE_NETWORK_NAMED;
	s.network_name = "cafe";
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		char *text = changed(b, "NetworkSettings.Networks", cases[i].networks);
		struct engine_container *c = NULL;
		char why[512] = "";
		int r;

		assert_int_equal(engine_json_inspect(text, strlen(text), &c, why, sizeof(why)), 0);
		r = engine_compare(&s, c, why, sizeof(why));
		if ((r == 0) != (cases[i].says == NULL) ||
		    (r != 0 && strstr(why, cases[i].says) == NULL))
			fail_msg("%s: \"%s\"", cases[i].networks, why);
		engine_container_free(c);
		free(text);
	}
	free(a);
	free(b);
}

static void
podman_networks_are_compared(void **state)
{
	struct engine_container_spec s = good;
	struct engine_container *c = NULL;
	char *a, *b, why[512];

	(void)state;
	s.network = ENGINE_NETWORK_NAMED;
	s.network_name = "tenant-a";
	s.dns = NULL;
	a = changed(inspected_podman, "HostConfig.NetworkMode", "\"bridge\"");
	b = changed(a, "NetworkSettings.Networks", "{\"tenant-a\":{}}");
	assert_int_equal(engine_json_inspect_podman(b, strlen(b), &c, why, sizeof(why)), 0);
	assert_int_equal(engine_compare(&s, c, why, sizeof(why)), 0);
	s.network_name = "tenant-b";
	assert_int_equal(engine_compare(&s, c, why, sizeof(why)), ENGINE_COMPARE_E_DIFFERS);
	assert_non_null(strstr(why, "the network is \"tenant-a\""));
	s.network = ENGINE_NETWORK_BRIDGE;
	assert_int_equal(engine_compare(&s, c, why, sizeof(why)), 0);
	engine_container_free(c);
	free(a);
	free(b);
}

/* In Podman's own words everything is said: nothing is left to what it would do by itself. */
static void
podman_is_asked_for_all_of_it(void **state)
{
	static const char *const said[] = { "\"image\":\"registry.example:5000/team/shell:1.2\"",
		"\"user\":\"1000:100\"", "\"cap_drop\":[\"all\"]", "\"cap_add\":[]",
		"\"no_new_privileges\":true", "\"read_only_filesystem\":true",
		"\"privileged\":false", "\"netns\":{\"nsmode\":\"none\"}",
		"\"ipcns\":{\"nsmode\":\"private\"}", "\"cgroupns\":{\"nsmode\":\"private\"}",
		"\"pidns\":{\"nsmode\":\"private\"}", "\"utsns\":{\"nsmode\":\"private\"}",
		"\"use_image_hosts\":true", "\"use_image_resolve_conf\":true", "\"env_host\":false",
		"\"httpproxy\":false", "\"systemd\":\"false\"", "\"manage_password\":false",
		"\"memory\":{\"limit\":536870912,\"swap\":536871936}",
		"\"cpu\":{\"quota\":150000,\"period\":100000}", "\"pids\":{\"limit\":256}",
		"{\"type\":\"NOFILE\",\"soft\":1024,\"hard\":1024}",
		"{\"type\":\"CORE\",\"soft\":0,\"hard\":0}",
		"{\"type\":\"bind\",\"source\":\"/srv/guest\",\"destination\":\"/.sallyport\","
		"\"options\":[\"ro\",\"rprivate\",\"bind\"]}",
		"\"destination\":\"/tmp\",\"options\":[\"size=1048576\",\"mode=1777\",\"nosuid\","
		"\"nodev\",\"noexec\",\"notmpcopyup\"]",
		"{\"Name\":\"home\",\"Dest\":\"/home\",\"Options\":[\"rw\"]}",
		"{\"Name\":\"tools\",\"Dest\":\"/opt\",\"Options\":[\"ro\"]}",
		"\"destination\":\"/www\",\"options\":[\"rw\"", "\"driver\":\"none\"",
		"\"restart_policy\":\"no\"", "\"remove\":false", "\"Test\":[\"NONE\"]" };
	struct engine_container_spec s = good;
	char *text;

	(void)state;
	assert_int_equal(engine_json_create_podman(&good, &text), 0);
	for (size_t i = 0; i < SP_ARRAY_LEN(said); i++)
		if (strstr(text, said[i]) == NULL)
			fail_msg("%s is not in %s", said[i], text);
	/* Without a network there are no servers of names. */
	assert_null(strstr(text, "dns_server"));
	assert_null(strstr(text, "\"networks\""));
	free(text);
	s.network = ENGINE_NETWORK_NAMED;
	s.network_name = "tenant-a";
	assert_int_equal(engine_json_create_podman(&s, &text), 0);
	assert_non_null(strstr(text, "\"netns\":{\"nsmode\":\"bridge\"}"));
	assert_non_null(strstr(text, "\"networks\":{\"tenant-a\":{}}"));
	assert_non_null(strstr(text, "\"use_image_resolve_conf\":false"));
	assert_non_null(strstr(text, "\"dns_server\":[\"192.0.2.53\",\"2001:db8::53\"]"));
	free(text);
	s.workdir = "/\xff";
	assert_int_equal(engine_json_create_podman(&s, &text), -EINVAL);
	assert_int_equal(engine_json_check(&s), -EINVAL);
	assert_int_equal(engine_json_check(&good), 0);
}

static void
podman_has_a_word_for_no_image(void **state)
{
	(void)state;
	assert_true(engine_json_is_no_image("{\"cause\":\"image not known\"}", 27));
	assert_false(engine_json_is_no_image("{\"cause\":\"image\"}", 17));
	assert_false(engine_json_is_no_image("<", 1));
}

static void
every_difference_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(differences); i++) {
		const struct difference *d = &differences[i];
		struct engine_container *c = NULL;
		char *text = changed(inspected, d->path, d->value);
		char why[512] = "";

		if (engine_json_inspect(text, strlen(text), &c, why, sizeof(why)) != 0)
			fail_msg("%s = %s: %s", d->path, d->value, why);
		if (engine_compare(&good, c, why, sizeof(why)) != ENGINE_COMPARE_E_DIFFERS ||
		    strstr(why, d->says) == NULL)
			fail_msg("%s = %s: \"%s\"", d->path, d->value, why);
		engine_container_free(c);
		free(text);
	}
}

/* Keys that must stay empty, each with values of several shapes. */
static void
every_surplus_is_found(void **state)
{
	static const char *const keys[] = { "Binds", "CapAdd", "Cgroup", "CgroupParent", "Devices",
		"DeviceCgroupRules", "DeviceRequests", "ExtraHosts", "GroupAdd", "Init", "Links",
		"OomKillDisable", "OomScoreAdj", "PidMode", "PortBindings", "Sysctls", "Tmpfs",
		"UTSMode", "UsernsMode", "VolumesFrom", "CpuQuota", "StorageOpt" };
	static const char *const full[] = { "\"host\"", "[\"x\"]", "{\"a\":\"b\"}", "-1", "true",
		"1.5" };
	static const char *const empty[] = { "\"\"", "[]", "{}", "0", "false", "null", NULL };
	char why[512], path[64];

	(void)state;
	for (size_t k = 0; k < SP_ARRAY_LEN(keys); k++) {
		(void)snprintf(path, sizeof(path), "HostConfig.%s", keys[k]);
		for (size_t i = 0; i < SP_ARRAY_LEN(full) + SP_ARRAY_LEN(empty) - 1; i++) {
			bool is_full = i < SP_ARRAY_LEN(full);
			char *text = changed(inspected, path,
			    is_full ? full[i] : empty[i - SP_ARRAY_LEN(full)]);
			struct engine_container *c = NULL;

			assert_int_equal(engine_json_inspect(text, strlen(text), &c, why, sizeof(why)),
			    0);
			assert_int_equal(engine_compare(&good, c, why, sizeof(why)),
			    is_full ? ENGINE_COMPARE_E_DIFFERS : 0);
			if (is_full)
				assert_non_null(strstr(why, keys[k]));
			engine_container_free(c);
			free(text);
		}
	}
}

static void
another_runtime_is_found(void **state)
{
	struct engine_container_spec s = good;
	struct engine_container *c;
	char why[512];

	(void)state;
	assert_int_equal(engine_json_inspect(inspected, strlen(inspected), &c, why, sizeof(why)), 0);
	s.runtime = "runsc";
	assert_int_equal(engine_compare(&s, c, why, sizeof(why)), ENGINE_COMPARE_E_DIFFERS);
	assert_non_null(strstr(why, "Runtime"));
	engine_container_free(c);
}

/* Values of a type that the API does not have there. */
static void
wrong_types_are_broken(void **state)
{
	static const struct difference wrong[] = {
		{ "Id", "\"18ed\"", "Id" },
		{ "Id", "7", "Id" },
		{ "Id", NULL, "Id" },
		{ "Id", "\"" ID "0\"", "Id" },
		{ "Name", "[]", "Name" },
		{ "Name", NULL, "Name" },
		{ "Args", "{}", "Args" },
		{ "Args", "[1]", "Args" },
		{ "Path", "1", "Path" },
		{ "State", "null", "State" },
		{ "State", "[]", "State" },
		{ "State.Running", "\"true\"", "Running" },
		{ "State.Running", NULL, "Running" },
		{ "State.Running", "1", "Running" },
		{ "State.Pid", "\"1\"", "Pid" },
		{ "State.Pid", "-5", "Pid" },
		{ "State.Pid", "1", "Pid" },
		{ "State.Pid", "4294967297", "Pid" },
		{ "State.Pid", "2.5", "Pid" },
		{ "State.ExitCode", "\"0\"", "ExitCode" },
		{ "State.Status", "null", "Status" },
		{ "Config", "null", "Config" },
		{ "Config.User", "0", "User" },
		{ "Config.Labels", "[]", "Labels" },
		{ "Config.Labels.x", "1", "label" },
		{ "Config.Entrypoint", "\"/x\"", "Entrypoint" },
		{ "Config.Tty", "\"false\"", "Tty" },
		{ "HostConfig", NULL, "HostConfig" },
		{ "HostConfig.Privileged", "\"false\"", "Privileged" },
		{ "HostConfig.Privileged", NULL, "Privileged" },
		{ "HostConfig.Privileged", "0", "Privileged" },
		{ "HostConfig.ReadonlyRootfs", "null", "ReadonlyRootfs" },
		{ "HostConfig.CapDrop", "\"ALL\"", "CapDrop" },
		{ "HostConfig.CapDrop", "[[\"ALL\"]]", "CapDrop" },
		{ "HostConfig.SecurityOpt", "{\"0\":\"no-new-privileges\"}", "SecurityOpt" },
		{ "HostConfig.Memory", "\"536870912\"", "Memory" },
		{ "HostConfig.Memory", "536870912.0", "Memory" },
		{ "HostConfig.Ulimits", "{}", "Ulimits" },
		{ "HostConfig.Ulimits", "[1]", "Name" },
		{ "HostConfig.Mounts", "{}", "Mounts" },
		{ "HostConfig.Mounts", "[\"x\"]", "Type" },
		{ "HostConfig.LogConfig", "\"none\"", "LogConfig" },
		{ "HostConfig.RestartPolicy", "null", "RestartPolicy" },
		{ "Mounts", "null", "Mounts" },
		{ "Mounts", "{}", "Mounts" },
		{ "Mounts.0.RW", "\"false\"", "RW" },
		{ "Mounts.0.RW", NULL, "RW" },
		{ "Mounts.0.Destination", NULL, "Destination" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(wrong); i++) {
		struct engine_container *c = NULL;
		char *text = changed(inspected, wrong[i].path, wrong[i].value);
		char why[512] = "";
		int r = engine_json_inspect(text, strlen(text), &c, why, sizeof(why));

		if (r != ENGINE_JSON_E_BROKEN || strstr(why, wrong[i].says) == NULL)
			fail_msg("%s = %s: %d \"%s\"", wrong[i].path, wrong[i].value, r, why);
		assert_null(c);
		free(text);
	}
}

/* --- hostile text ------------------------------------------------------------------------------ */

/* Copies of exact size, so that a read behind the end is one that the sanitizer sees. */
static int
parse_exact(const char *text, size_t len, int which)
{
	char *copy = malloc(len != 0 ? len : 1);
	char why[160] = "", id[ENGINE_ID_LEN + 1];
	struct engine_json_created created;
	struct engine_container *c = NULL;
	struct engine_list list;
	struct engine_info info;
	int64_t code;
	int r = -1;

	assert_non_null(copy);
	memcpy(copy, text, len);
	switch (which) {
	case 0:
		r = engine_json_inspect(copy, len, &c, why, sizeof(why));
		engine_container_free(r == 0 ? c : NULL);
		break;
	case 1:
		r = engine_json_created(copy, len, &created, why, sizeof(why));
		break;
	case 2:
		r = engine_json_list(copy, len, &list, why, sizeof(why));
		if (r == 0)
			engine_list_clear(&list);
		break;
	case 3:
		r = engine_json_image(copy, len, id, why, sizeof(why));
		break;
	case 4:
		r = engine_json_wait(copy, len, &code, why, sizeof(why));
		break;
	case 5:
		r = engine_json_array(copy, len, why, sizeof(why));
		break;
	case 6:
		r = engine_json_info(copy, len, &info, why, sizeof(why));
		break;
	default:
		break;
	}
	free(copy);
	if (r != 0)
		assert_string_not_equal(why, "");
	return r;
}

static const char *const answers[] = {
	inspected,
	"{\"Id\":\"" ID "\",\"Warnings\":[\"first\",\"second\"]}",
	"[{\"Id\":\"" ID
	"\",\"Names\":[\"/a\",\"/b\"],\"State\":\"running\",\"Labels\":{\"sallyport.x\":"
	"\"1\",\"other\":\"2\",\"sallyport.y\":\"3\"}},{\"Id\":\"" ID
	"\",\"Names\":null,\"Labels\":null}]",
	"{\"Id\":\"sha256:" ID "\"}",
	"{\"StatusCode\":137,\"Error\":null}",
	"[{\"Name\":\"none\"}]",
	"{\"Name\":\"a\\u0007b\",\"KernelVersion\":7,\"MemTotal\":1024}",
};

static void
truncations_and_trailing_bytes(void **state)
{
	(void)state;
	for (int which = 0; which < (int)SP_ARRAY_LEN(answers); which++) {
		const char *text = answers[which];
		size_t len = strlen(text);
		char longer[sizeof(inspected) + 1];

		assert_int_equal(parse_exact(text, len, which), 0);
		for (size_t n = 0; n < len; n++)
			assert_int_equal(parse_exact(text, n, which), ENGINE_JSON_E_BROKEN);
		memcpy(longer, text, len);
		for (int c = 0; c < 256; c++) {
			bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';

			longer[len] = (char)c;
			assert_int_equal(parse_exact(longer, len + 1, which),
			    space ? 0 : ENGINE_JSON_E_BROKEN);
		}
	}
}

/* Every byte replaced by a few that matter: no crash, and no answer that is neither yes nor no. */
static void
flipped_bytes(void **state)
{
	static const char with[] = { '"', '{', ']', ',', '0', '\\', '\0', '\xff' };
	char text[sizeof(inspected)];

	(void)state;
	for (int which = 0; which < (int)SP_ARRAY_LEN(answers); which++) {
		size_t len = strlen(answers[which]);

		for (size_t i = 0; i < len; i++) {
			for (size_t w = 0; w < sizeof(with); w++) {
				int r;

				memcpy(text, answers[which], len);
				text[i] = with[w];
				r = parse_exact(text, len, which);
				assert_true(r == 0 || r == ENGINE_JSON_E_BROKEN);
			}
		}
	}
}

static void
other_documents_are_broken(void **state)
{
	static const char *const texts[] = { "", " ", "null", "true", "1", "\"x\"", "{}x", "{]",
		"nul", "\xff\xfe", "{\"Id\":\"" ID "\",\"Id\":\"" ID "\"}", "{\"Id\":\"\\u0000\"}",
		"<html>502</html>" };

	(void)state;
	for (int which = 0; which < (int)SP_ARRAY_LEN(answers); which++)
		for (size_t i = 0; i < SP_ARRAY_LEN(texts); i++)
			assert_int_equal(parse_exact(texts[i], strlen(texts[i]), which),
			    ENGINE_JSON_E_BROKEN);
	/* arrays where objects belong, and the reverse */
	assert_int_equal(parse_exact("[]", 2, 0), ENGINE_JSON_E_BROKEN);
	assert_int_equal(parse_exact("[]", 2, 1), ENGINE_JSON_E_BROKEN);
	assert_int_equal(parse_exact("[]", 2, 4), ENGINE_JSON_E_BROKEN);
	assert_int_equal(parse_exact("{}", 2, 2), ENGINE_JSON_E_BROKEN);
	assert_int_equal(parse_exact("{}", 2, 5), ENGINE_JSON_E_BROKEN);
	assert_int_equal(parse_exact("[]", 2, 5), 0);
	assert_int_equal(parse_exact("[]", 2, 2), 0);
}

static void
nesting_and_number_of_values_are_bounded(void **state)
{
	size_t n = 2 * (ENGINE_JSON_NODES_MAX + 2);
	char *text = malloc(n + 2);
	char deep[2 * ENGINE_JSON_DEPTH_MAX + 4] = "";
	const char quoted[] = "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[\"]";

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i <= ENGINE_JSON_DEPTH_MAX; i++) {
		deep[i] = '[';
		deep[2 * ENGINE_JSON_DEPTH_MAX + 1 - i] = ']';
	}
	assert_int_equal(parse_exact(deep, strlen(deep), 5), ENGINE_JSON_E_BROKEN);
	assert_int_equal(parse_exact(deep + 1, strlen(deep) - 2, 5), 0);
	/* brackets inside strings do not nest */
	assert_int_equal(parse_exact(quoted, strlen(quoted), 5), 0);

	for (size_t i = 0; i + 1 < n; i += 2) {
		text[i] = i == 0 ? '[' : ',';
		text[i + 1] = '0';
	}
	text[n] = ']';
	assert_int_equal(parse_exact(text, n + 1, 5), ENGINE_JSON_E_BROKEN);
	free(text);
}

static void
list_keeps_only_our_labels(void **state)
{
	struct engine_list list;
	char why[160];

	(void)state;
	assert_int_equal(engine_json_list(answers[2], strlen(answers[2]), &list, why, sizeof(why)),
	    0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.items[0].id, ID);
	assert_string_equal(list.items[0].name, "a");
	assert_string_equal(list.items[0].state, "running");
	assert_int_equal(list.items[0].n_labels, 2);
	assert_string_equal(list.items[0].labels[0].name, "sallyport.x");
	assert_string_equal(list.items[0].labels[1].value, "3");
	assert_string_equal(list.items[1].name, "");
	assert_int_equal(list.items[1].n_labels, 0);
	engine_list_clear(&list);
	assert_int_equal(list.n, 0);
}

static void
list_with_one_bad_item_is_broken(void **state)
{
	static const char *const texts[] = { "[1]", "[{\"Id\":\"x\"}]", "[{}]",
		"[{\"Id\":\"" ID "\",\"Labels\":[]}]",
		"[{\"Id\":\"" ID "\",\"Labels\":{\"sallyport.a\":1}}]",
		"[{\"Id\":\"" ID "\",\"Names\":\"x\"}]", "[{\"Id\":\"" ID "\",\"Names\":[1]}]",
		"[{\"Id\":\"" ID "\"},{\"Id\":\"" ID "\",\"State\":1}]" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(texts); i++)
		assert_int_equal(parse_exact(texts[i], strlen(texts[i]), 2), ENGINE_JSON_E_BROKEN);
}

static void
small_answers(void **state)
{
	static const char *const bad_created[] = { "{\"Id\":null}",
		"{\"Id\":\"" ID "\",\"Warnings\":1}", "{\"Id\":\"" ID "\",\"Warnings\":[{}]}",
		"{\"Id\":\"../../" ID "\"}" };
	static const char *const bad_wait[] = { "{}", "{\"StatusCode\":\"0\"}",
		"{\"StatusCode\":1.5}", "{\"StatusCode\":0,\"Error\":{\"Message\":\"x\"}}" };
	struct engine_json_created created;
	struct engine_info info;
	char why[160], message[16];
	int64_t code = 0;

	(void)state;
	assert_int_equal(engine_json_created(answers[1], strlen(answers[1]), &created, why,
			     sizeof(why)),
	    0);
	assert_string_equal(created.id, ID);
	assert_string_equal(created.warning, "first");
	for (size_t i = 0; i < SP_ARRAY_LEN(bad_created); i++)
		assert_int_equal(parse_exact(bad_created[i], strlen(bad_created[i]), 1),
		    ENGINE_JSON_E_BROKEN);
	assert_int_equal(engine_json_wait(answers[4], strlen(answers[4]), &code, why, sizeof(why)),
	    0);
	assert_int_equal(code, 137);
	for (size_t i = 0; i < SP_ARRAY_LEN(bad_wait); i++)
		assert_int_equal(parse_exact(bad_wait[i], strlen(bad_wait[i]), 4),
		    ENGINE_JSON_E_BROKEN);
	assert_int_equal(engine_json_info(answers[6], strlen(answers[6]), &info, why, sizeof(why)),
	    0);
	assert_string_equal(info.name, "a?b");
	assert_string_equal(info.kernel, "");
	assert_string_equal(info.default_runtime, "");
	assert_int_equal(info.memory, 1024);
	engine_json_message("{\"message\":\"a long sentence of its own\"}", 40, message,
	    sizeof(message));
	assert_string_equal(message, "a long sentence");
	engine_json_message("{\"message\":7}", 13, message, sizeof(message));
	assert_string_equal(message, "");
	engine_json_message("<html>", 6, message, sizeof(message));
	assert_string_equal(message, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_is_exactly_this),
		cmocka_unit_test(create_follows_the_network),
		cmocka_unit_test(filter_is_escaped),
		cmocka_unit_test(bad_specs_are_refused),
		cmocka_unit_test(modes_are_no_networks),
		cmocka_unit_test(bad_mounts_are_refused),
		cmocka_unit_test(copy_is_deep),
		cmocka_unit_test(inspect_is_understood),
		cmocka_unit_test(every_difference_is_found),
		cmocka_unit_test(working_directories_of_images),
		cmocka_unit_test(every_difference_of_podman_is_found),
		cmocka_unit_test(podman_has_words_of_its_own),
		cmocka_unit_test(networks_of_docker_are_compared),
		cmocka_unit_test(podman_networks_are_compared),
		cmocka_unit_test(podman_is_asked_for_all_of_it),
		cmocka_unit_test(podman_has_a_word_for_no_image),
		cmocka_unit_test(every_surplus_is_found),
		cmocka_unit_test(another_runtime_is_found),
		cmocka_unit_test(wrong_types_are_broken),
		cmocka_unit_test(truncations_and_trailing_bytes),
		cmocka_unit_test(flipped_bytes),
		cmocka_unit_test(other_documents_are_broken),
		cmocka_unit_test(nesting_and_number_of_values_are_bounded),
		cmocka_unit_test(list_keeps_only_our_labels),
		cmocka_unit_test(list_with_one_bad_item_is_broken),
		cmocka_unit_test(small_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
