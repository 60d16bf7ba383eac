/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine says of one container or one image, into typed fields. Runs in the broker. Hostile: all of it, and
 * engine_json_parse.c has no more than its form; engine_compare.c says whether it is what was asked for.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine_json_parse.h"
#include "engine_json_read.h"

/* A list; one string is a list of one. */
static const char **
get_words(struct parse *p, const json_t *o, const char *key, size_t *ret_n)
{
	const json_t *value = json_object_get(o, key);
	const char **list;

	if (!json_is_string(value))
		return parse_get_list(p, o, key, ret_n);
	list = parse_allocate(p, 1, sizeof(*list));
	*ret_n = list != NULL ? 1 : 0;
	if (list != NULL)
		list[0] = json_string_value(value);
	return list;
}

static void
read_state(struct parse *p, const json_t *root, struct engine_container *c)
{
	const json_t *state = parse_need_object(p, root, "State");
	int64_t pid;

	c->status = parse_need_text(p, state, "Status");
	c->running = parse_need_flag(p, state, "Running");
	c->exit_code = parse_get_number(p, state, "ExitCode");
	c->error = parse_get_text(p, state, "Error");
	c->started_at = parse_get_text(p, state, "StartedAt");
	pid = parse_get_number(p, state, "Pid");
	/* A pid is going to be opened and signalled: 1 is never a container's. */
	if (pid < 0 || pid > INT_MAX || pid == 1)
		parse_fail(p, "\"Pid\" is not a process id");
	else
		c->pid = (pid_t)pid;
}

/* An image's id without what some engines put before it. */
static const char *
bare_id(const char *id)
{
	static const char prefix[] = "sha256:";

	return strncmp(id, prefix, sizeof(prefix) - 1) == 0 ? id + sizeof(prefix) - 1 : id;
}

/* Not needed to run it, so whatever is no id is none. */
static void
read_image_id(const json_t *root, struct engine_container *c)
{
	const char *id = json_string_value(json_object_get(root, "Image"));

	if (id != NULL && engine_id_valid(bare_id(id)))
		memcpy(c->image_id, bare_id(id), sizeof(c->image_id));
}

static void
read_config(struct parse *p, const json_t *root, struct engine_container *c)
{
	const json_t *o = parse_need_object(p, root, "Config");
	const json_t *check = json_object_get(o, "Healthcheck");
	json_t *labels = json_object_get(o, "Labels");
	struct engine_label *list;

	c->entrypoint = c->podman ? get_words(p, o, "Entrypoint", &c->n_entrypoint)
				  : parse_get_list(p, o, "Entrypoint", &c->n_entrypoint);
	c->cmd = parse_get_list(p, o, "Cmd", &c->n_cmd);
	c->user = parse_get_text(p, o, "User");
	c->workdir = parse_get_text(p, o, "WorkingDir");
	c->image = parse_get_text(p, o, "Image");
	c->network_disabled = parse_get_flag(p, o, "NetworkDisabled");
	c->stdio = parse_get_flag(p, o, "AttachStdin") || parse_get_flag(p, o, "AttachStdout") ||
	    parse_get_flag(p, o, "AttachStderr") || parse_get_flag(p, o, "Tty") ||
	    parse_get_flag(p, o, "OpenStdin");
	c->healthcheck = parse_get_list(p, check, "Test", &c->n_healthcheck);
	list = parse_allocate(p, parse_fill_labels(p, labels, "", NULL), sizeof(*list));
	if (list != NULL)
		c->n_labels = parse_fill_labels(p, labels, "", list);
	c->labels = list;
}

/* Keys that widen a container and that we never set to anything. */
static const char *const must_be_empty[] = { "Annotations", "Binds", "CapAdd", "Capabilities",
	"Cgroup", "CgroupParent", "ContainerIDFile", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod",
	"CpuRealtimeRuntime", "DeviceCgroupRules", "DeviceRequests", "Devices", "DnsOptions",
	"DnsSearch", "ExtraHosts", "GroupAdd", "Init", "Links", "OomKillDisable", "OomScoreAdj",
	"PidMode", "PortBindings", "StorageOpt", "Sysctls", "Tmpfs", "UTSMode", "UsernsMode",
	"VolumeDriver", "VolumesFrom" };

/* Podman puts into these what was asked for in another way, which is compared. */
static const char *const podman_fills[] = { "Binds", "CpuPeriod", "CpuQuota", "Tmpfs" };
/* And says of these that they are the container's own, where another engine says nothing. */
static const char *const podman_private_modes[] = { "PidMode", "UTSMode" };
/* Keys of Podman's, beside HostConfig: whose namespaces it shares, and what it can do. */
static const char *const podman_must_be_empty[] = { "BoundingCaps", "Dependencies", "EffectiveCaps",
	"Pod", "Rootfs" };

/* Zero in any type. What one engine writes as null another writes as [] or "". */
static bool
is_empty(const json_t *value)
{
	if (value == NULL || json_is_null(value) || json_is_false(value))
		return true;
	if (json_is_string(value))
		return json_string_length(value) == 0;
	if (json_is_integer(value))
		return json_integer_value(value) == 0;
	if (json_is_array(value))
		return json_array_size(value) == 0;
	return json_is_object(value) && json_object_size(value) == 0;
}

static bool
is_one_of(const char *key, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, list[i]) == 0)
			return true;
	return false;
}

static bool
is_podmans_own(const char *key, const json_t *value)
{
	if (is_one_of(key, podman_fills, SP_ARRAY_LEN(podman_fills)))
		return true;
	return is_one_of(key, podman_private_modes, SP_ARRAY_LEN(podman_private_modes)) &&
	    json_is_string(value) && strcmp(json_string_value(value), "private") == 0;
}

static const char *
find_surplus(const json_t *o, bool podman)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(must_be_empty); i++) {
		const json_t *value = json_object_get(o, must_be_empty[i]);

		if (!is_empty(value) && !(podman && is_podmans_own(must_be_empty[i], value)))
			return must_be_empty[i];
	}
	return "";
}

static void
read_ulimits(struct parse *p, const json_t *o, struct engine_container *c)
{
	const json_t *array = json_object_get(o, "Ulimits");
	const json_t *value;
	size_t i;

	c->nofile_soft = c->nofile_hard = c->core_soft = c->core_hard = -1;
	c->n_ulimits = json_array_size(array);
	if (array != NULL && !json_is_null(array) && !json_is_array(array))
		parse_fail(p, "\"Ulimits\" is not an array");
	json_array_foreach(array, i, value)
	{
		const char *name = parse_need_text(p, value, "Name");

		if (strcmp(name, "nofile") == 0) {
			c->nofile_soft = parse_get_number(p, value, "Soft");
			c->nofile_hard = parse_get_number(p, value, "Hard");
		} else if (strcmp(name, "core") == 0) {
			c->core_soft = parse_get_number(p, value, "Soft");
			c->core_hard = parse_get_number(p, value, "Hard");
		}
	}
}

/* HostConfig.Mounts: as asked for. */
static void
read_asked(struct parse *p, const json_t *o, struct engine_container *c)
{
	const json_t *array = json_object_get(o, "Mounts");
	const json_t *value;
	struct engine_seen_mount *m;
	size_t i;

	if (array != NULL && !json_is_null(array) && !json_is_array(array))
		parse_fail(p, "\"Mounts\" is not an array");
	c->asked = parse_allocate(p, json_array_size(array), sizeof(*c->asked));
	if (c->asked == NULL)
		return;
	json_array_foreach(array, i, value)
	{
		m = &c->asked[c->n_asked++];
		m->kind = parse_need_text(p, value, "Type");
		m->source = parse_get_text(p, value, "Source");
		m->target = parse_need_text(p, value, "Target");
		m->read_only = parse_get_flag(p, value, "ReadOnly");
		m->non_recursive =
		    parse_get_flag(p, json_object_get(value, "BindOptions"), "NonRecursive");
		m->size = parse_get_number(p, json_object_get(value, "TmpfsOptions"), "SizeBytes");
	}
}

/* Mounts at the top: as made. */
static void
read_made(struct parse *p, const json_t *root, struct engine_container *c)
{
	const json_t *array = json_object_get(root, "Mounts");
	const json_t *value;
	struct engine_seen_mount *m;
	size_t i;

	if (!json_is_array(array))
		parse_fail(p, "\"Mounts\" is not an array");
	c->made = parse_allocate(p, json_array_size(array), sizeof(*c->made));
	if (c->made == NULL)
		return;
	json_array_foreach(array, i, value)
	{
		m = &c->made[c->n_made++];
		m->kind = parse_need_text(p, value, "Type");
		m->source =
		    parse_get_text(p, value, strcmp(m->kind, "volume") == 0 ? "Name" : "Source");
		m->target = parse_need_text(p, value, "Destination");
		m->read_only = !parse_need_flag(p, value, "RW");
	}
}

static void
read_host_config(struct parse *p, const json_t *root, struct engine_container *c)
{
	const json_t *o = parse_need_object(p, root, "HostConfig");

	c->privileged = parse_need_flag(p, o, "Privileged");
	c->read_only_root = parse_need_flag(p, o, "ReadonlyRootfs");
	c->auto_remove = parse_need_flag(p, o, "AutoRemove");
	c->publish_all_ports = parse_need_flag(p, o, "PublishAllPorts");
	c->network_mode = parse_get_text(p, o, "NetworkMode");
	c->ipc_mode = parse_get_text(p, o, "IpcMode");
	c->cgroupns_mode = parse_get_text(p, o, "CgroupnsMode");
	c->runtime = parse_get_text(p, o, "Runtime");
	c->log_driver = parse_get_text(p, parse_need_object(p, o, "LogConfig"), "Type");
	c->restart_policy = parse_get_text(p, parse_need_object(p, o, "RestartPolicy"), "Name");
	c->cap_drop = parse_get_list(p, o, "CapDrop", &c->n_cap_drop);
	c->security_opt = parse_get_list(p, o, "SecurityOpt", &c->n_security_opt);
	c->dns = parse_get_list(p, o, "Dns", &c->n_dns);
	c->masked_paths = parse_get_list(p, o, "MaskedPaths", &c->n_masked_paths);
	c->readonly_paths = parse_get_list(p, o, "ReadonlyPaths", &c->n_readonly_paths);
	c->memory = parse_get_number(p, o, "Memory");
	c->memory_swap = parse_get_number(p, o, "MemorySwap");
	c->nano_cpus = parse_get_number(p, o, "NanoCpus");
	c->pids = parse_get_number(p, o, "PidsLimit");
	c->surplus = find_surplus(o, c->podman);
	if (c->podman)
		return;
	read_ulimits(p, o, c);
	read_asked(p, o, c);
}

static void
read_networks(struct parse *p, const json_t *root, struct engine_container *c)
{
	json_t *networks = json_object_get(parse_need_object(p, root, "NetworkSettings"), "Networks");
	const char *name;
	json_t *value;

	c->networks = parse_allocate(p, json_object_size(networks), sizeof(*c->networks));
	if (c->networks == NULL)
		return;
	json_object_foreach(networks, name, value) c->networks[c->n_networks++] = name;
}

static void
read_podman(struct parse *p, const json_t *root, struct engine_container *c)
{
	const json_t *o = parse_need_object(p, root, "HostConfig");

	c->runtime = parse_get_text(p, root, "OCIRuntime");
	c->cgroupns_mode = parse_get_text(p, o, "CgroupMode");
	/* Without these the limits would be of no cgroup. */
	if (strcmp(parse_get_text(p, o, "Cgroups"), "default") != 0)
		c->surplus = "Cgroups";
	for (size_t i = 0; i < SP_ARRAY_LEN(podman_must_be_empty); i++)
		if (!is_empty(json_object_get(root, podman_must_be_empty[i])))
			c->surplus = podman_must_be_empty[i];
}

static int
inspect(const char *text, size_t len, bool podman, struct engine_container **ret, char *why,
    size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	SP_CLEANUP(engine_container_freep) struct engine_container *c = NULL;
	json_t *root = parse_load(&p, text, len, JSON_OBJECT);

	if (root == NULL)
		return parse_ended(&p);
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		json_decref(root);
		return -ENOMEM;
	}
	c->memory_tree = root;
	c->podman = podman;
	parse_get_id(&p, root, c->id);
	c->name = parse_strip_slash(parse_need_text(&p, root, "Name"));
	c->path = parse_get_text(&p, root, "Path");
	c->args = parse_get_list(&p, root, "Args", &c->n_args);
	c->apparmor = parse_get_text(&p, root, "AppArmorProfile");
	read_state(&p, root, c);
	read_config(&p, root, c);
	read_image_id(root, c);
	read_host_config(&p, root, c);
	read_made(&p, root, c);
	read_networks(&p, root, c);
	if (podman)
		read_podman(&p, root, c);
	if (p.failed)
		return parse_ended(&p);
	*ret = c;
	c = NULL;
	return 0;
}

int
engine_json_inspect(const char *text, size_t len, struct engine_container **ret, char *why, size_t cap)
{
	return inspect(text, len, false, ret, why, cap);
}

int
engine_json_inspect_podman(const char *text, size_t len, struct engine_container **ret, char *why,
    size_t cap)
{
	return inspect(text, len, true, ret, why, cap);
}

struct engine_container *
engine_container_free(struct engine_container *c)
{
	if (c == NULL)
		return NULL;
	free(c->args);
	free(c->entrypoint);
	free(c->cmd);
	free(c->labels);
	free(c->healthcheck);
	free(c->cap_drop);
	free(c->dns);
	free(c->security_opt);
	free(c->masked_paths);
	free(c->readonly_paths);
	free(c->networks);
	free(c->asked);
	free(c->made);
	json_decref(c->memory_tree);
	free(c);
	return NULL;
}

void
engine_container_freep(struct engine_container **c)
{
	*c = engine_container_free(*c);
}

int
engine_json_image(const char *text, size_t len, char ret_id[ENGINE_ID_LEN + 1], char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	json_t *root = parse_load(&p, text, len, JSON_OBJECT);
	const char *id;

	if (root == NULL)
		return parse_ended(&p);
	id = bare_id(parse_need_text(&p, root, "Id"));
	if (!engine_id_valid(id))
		parse_fail(&p, "\"Id\" is not 64 hex digits");
	if (!p.failed)
		memcpy(ret_id, id, ENGINE_ID_LEN + 1);
	json_decref(root);
	return parse_ended(&p);
}
