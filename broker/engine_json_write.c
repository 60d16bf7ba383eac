/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's JSON, as it is asked: a specification becomes the body of a request. Runs in the broker, and in the
 * admin tool. The words are the policy's and the broker's own, and every value comes from a typed field, so that
 * nothing a policy or a worker wrote can become a key.
 */
#include "engine_json_write.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

/* --- a container by Docker's API -------------------------------------------------------------- */

/* Takes value; a NULL on either side makes the failure that the caller sees at the end. */
static bool
set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static bool
add(json_t *array, json_t *value)
{
	return json_array_append_new(array, value) == 0;
}

static json_t *
number(uint64_t value)
{
	return value <= INT64_MAX ? json_integer((json_int_t)value) : NULL;
}

static json_t *
strings(const char *const *list)
{
	json_t *array = json_array();

	for (; array != NULL && *list != NULL; list++) {
		if (!add(array, json_string(*list))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *
single(const char *text)
{
	const char *const list[] = { text, NULL };

	return strings(list);
}

static json_t *
labels_object(const struct engine_container_spec *s)
{
	json_t *object = json_object();

	for (size_t i = 0; object != NULL && i < s->n_labels; i++) {
		if (!set(object, s->labels[i].name, json_string(s->labels[i].value))) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_t *
ulimit(const char *name, uint32_t value)
{
	return json_pack("{s:s, s:I, s:I}", "Name", name, "Soft", (json_int_t)value, "Hard",
	    (json_int_t)value);
}

static json_t *
ulimits(const struct engine_container_spec *s)
{
	json_t *array = json_array();

	if (array == NULL || !add(array, ulimit("nofile", s->nofile)) ||
	    !add(array, ulimit("core", 0))) {
		json_decref(array);
		return NULL;
	}
	return array;
}

static json_t *
mount_object(const struct engine_mount *m)
{
	switch (m->kind) {
	case ENGINE_MOUNT_BIND:
		return json_pack("{s:s, s:s, s:s, s:b, s:{s:s, s:b}}", "Type", "bind", "Source",
		    m->source, "Target", m->target, "ReadOnly", 1, "BindOptions", "Propagation",
		    "rprivate", "NonRecursive", 1);
	case ENGINE_MOUNT_HOME:
		return json_pack("{s:s, s:s, s:s, s:b, s:{s:s, s:b}}", "Type", "bind", "Source",
		    m->source, "Target", m->target, "ReadOnly", m->read_only ? 1 : 0, "BindOptions",
		    "Propagation", "rprivate", "NonRecursive", 1);
	case ENGINE_MOUNT_VOLUME:
		return json_pack("{s:s, s:s, s:s, s:b}", "Type", "volume", "Source", m->source,
		    "Target", m->target, "ReadOnly", m->read_only ? 1 : 0);
	case ENGINE_MOUNT_TMPFS:
		return json_pack("{s:s, s:s, s:{s:I, s:i}}", "Type", "tmpfs", "Target", m->target,
		    "TmpfsOptions", "SizeBytes", (json_int_t)m->size, "Mode", 01777);
	}
	return NULL;
}

static json_t *
mounts_array(const struct engine_container_spec *s)
{
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < s->n_mounts; i++) {
		if (!add(array, mount_object(&s->mounts[i]))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* The part that confines. Init is absent: the entrypoint is a PID 1 that reaps. */
static json_t *
host_config(const struct engine_container_spec *s)
{
	json_t *o = json_object();
	const char *network = engine_spec_network_mode(s);

	if (o == NULL || network == NULL || !set(o, "NetworkMode", json_string(network)) ||
	    !set(o, "Privileged", json_false()) || !set(o, "CapAdd", json_array()) ||
	    !set(o, "CapDrop", single("ALL")) || !set(o, "SecurityOpt", single("no-new-privileges")) ||
	    !set(o, "ReadonlyRootfs", json_boolean(s->read_only_root)) ||
	    !set(o, "Binds", json_array()) || !set(o, "Mounts", mounts_array(s)) ||
	    !set(o, "Devices", json_array()) || !set(o, "PortBindings", json_object()) ||
	    !set(o, "PublishAllPorts", json_false()) ||
	    !set(o, "IpcMode", json_string("private")) || !set(o, "PidMode", json_string("")) ||
	    !set(o, "UTSMode", json_string("")) || !set(o, "UsernsMode", json_string("")) ||
	    !set(o, "CgroupnsMode", json_string("private")) || !set(o, "Memory", number(s->memory)) ||
	    !set(o, "MemorySwap", number(s->memory + s->swap)) ||
	    !set(o, "NanoCpus", number(s->nano_cpus)) || !set(o, "PidsLimit", number(s->pids)) ||
	    !set(o, "Ulimits", ulimits(s)) ||
	    !set(o, "LogConfig", json_pack("{s:s, s:{}}", "Type", "none", "Config")) ||
	    !set(o, "RestartPolicy", json_pack("{s:s, s:i}", "Name", "no", "MaximumRetryCount", 0)) ||
	    !set(o, "AutoRemove", json_false()) ||
	    (s->dns != NULL && s->dns[0] != NULL && !set(o, "Dns", strings(s->dns))) ||
	    (s->runtime != NULL && !set(o, "Runtime", json_string(s->runtime)))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *
config(const struct engine_container_spec *s)
{
	json_t *o = json_object();
	char user[64];

	(void)snprintf(user, sizeof(user), "%lu:%lu", (unsigned long)s->uid, (unsigned long)s->gid);
	if (o == NULL || !set(o, "Image", json_string(s->image)) ||
	    !set(o, "User", json_string(user)) || !set(o, "Entrypoint", strings(s->entrypoint)) ||
	    !set(o, "Cmd", json_array()) || !set(o, "Env", json_array()) ||
	    !set(o, "Labels", labels_object(s)) ||
	    (s->workdir != NULL && !set(o, "WorkingDir", json_string(s->workdir))) ||
	    !set(o, "NetworkDisabled", json_boolean(s->network == ENGINE_NETWORK_NONE)) ||
	    !set(o, "AttachStdin", json_false()) || !set(o, "AttachStdout", json_false()) ||
	    !set(o, "AttachStderr", json_false()) || !set(o, "OpenStdin", json_false()) ||
	    !set(o, "StdinOnce", json_false()) || !set(o, "Tty", json_false()) ||
	    !set(o, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE")) ||
	    !set(o, "StopSignal", json_string("SIGKILL")) ||
	    !set(o, "StopTimeout", number(s->stop_timeout)) || !set(o, "HostConfig", host_config(s))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* --- the same for Podman's own API, whose requests say what the other leaves to chance --------------------- */

static json_t *
podman_bind(const struct engine_mount *m)
{
	bool read_only = m->kind == ENGINE_MOUNT_BIND || m->read_only;

	/* "bind": without what is mounted below it. */
	return json_pack("{s:s, s:s, s:s, s:[s, s, s]}", "type", "bind", "source", m->source,
	    "destination", m->target, "options", read_only ? "ro" : "rw", "rprivate", "bind");
}

static json_t *
podman_tmpfs(const struct engine_mount *m)
{
	char size[32];

	(void)snprintf(size, sizeof(size), "size=%llu", (unsigned long long)m->size);
	return json_pack("{s:s, s:s, s:s, s:[s, s, s, s, s, s]}", "type", "tmpfs", "source",
	    "tmpfs", "destination", m->target, "options", size, "mode=1777", "nosuid", "nodev",
	    "noexec", "notmpcopyup");
}

static json_t *
podman_mounts(const struct engine_container_spec *s)
{
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < s->n_mounts; i++) {
		const struct engine_mount *m = &s->mounts[i];

		if (m->kind == ENGINE_MOUNT_VOLUME)
			continue;
		if (!add(array, m->kind == ENGINE_MOUNT_TMPFS ? podman_tmpfs(m) : podman_bind(m))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *
podman_volumes(const struct engine_container_spec *s)
{
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < s->n_mounts; i++) {
		const struct engine_mount *m = &s->mounts[i];

		if (m->kind == ENGINE_MOUNT_VOLUME &&
		    !add(array,
			json_pack("{s:s, s:s, s:[s]}", "Name", m->source, "Dest", m->target,
			    "Options", m->read_only ? "ro" : "rw"))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *
podman_ulimit(const char *name, uint32_t value)
{
	return json_pack("{s:s, s:I, s:I}", "type", name, "soft", (json_int_t)value, "hard",
	    (json_int_t)value);
}

static json_t *
podman_limits(const struct engine_container_spec *s)
{
	return json_pack("{s:{s:o?, s:o?}, s:{s:o?, s:i}, s:{s:o?}}", "memory", "limit",
	    number(s->memory), "swap", number(s->memory + s->swap), "cpu", "quota",
	    number(s->nano_cpus / (1000000000 / ENGINE_PODMAN_CPU_UNIT)), "period",
	    ENGINE_PODMAN_CPU_UNIT, "pids", "limit", number(s->pids));
}

/* What is of the host does not get in: not its names, and not its servers of names without a network. */
static bool
set_podman_network(json_t *o, const struct engine_container_spec *s)
{
	bool none = s->network == ENGINE_NETWORK_NONE;

	return set(o, "netns", json_pack("{s:s}", "nsmode", none ? "none" : "bridge")) &&
	    (s->network != ENGINE_NETWORK_NAMED ||
		set(o, "networks", json_pack("{s:{}}", s->network_name))) &&
	    set(o, "use_image_hosts", json_true()) &&
	    set(o, "use_image_resolve_conf", json_boolean(none)) &&
	    (none || s->dns == NULL || s->dns[0] == NULL || set(o, "dns_server", strings(s->dns)));
}

static json_t *
podman_private(const char *kind)
{
	return json_pack("{s:s}", "nsmode", kind);
}

static bool
set_podman_confinement(json_t *o, const struct engine_container_spec *s)
{
	return set(o, "privileged", json_false()) && set(o, "cap_add", json_array()) &&
	    set(o, "cap_drop", single("all")) && set(o, "no_new_privileges", json_true()) &&
	    set(o, "read_only_filesystem", json_boolean(s->read_only_root)) &&
	    set(o, "pidns", podman_private("private")) &&
	    set(o, "utsns", podman_private("private")) &&
	    set(o, "ipcns", podman_private("private")) &&
	    set(o, "cgroupns", podman_private("private")) &&
	    set(o, "userns", podman_private("host")) && set(o, "env_host", json_false()) &&
	    set(o, "httpproxy", json_false()) && set(o, "systemd", json_string("false")) &&
	    set(o, "manage_password", json_false()) && set(o, "resource_limits", podman_limits(s)) &&
	    set(o, "r_limits",
		json_pack("[o?, o?]", podman_ulimit("NOFILE", s->nofile), podman_ulimit("CORE", 0))) &&
	    set(o, "mounts", podman_mounts(s)) && set(o, "volumes", podman_volumes(s));
}

static json_t *
podman_config(const struct engine_container_spec *s)
{
	json_t *o = json_object();
	char user[64];

	(void)snprintf(user, sizeof(user), "%lu:%lu", (unsigned long)s->uid, (unsigned long)s->gid);
	if (o == NULL || !set(o, "name", json_string(s->name)) ||
	    !set(o, "image", json_string(s->image)) || !set(o, "user", json_string(user)) ||
	    !set(o, "entrypoint", strings(s->entrypoint)) || !set(o, "command", json_array()) ||
	    !set(o, "labels", labels_object(s)) ||
	    (s->workdir != NULL && !set(o, "work_dir", json_string(s->workdir))) ||
	    (s->runtime != NULL && !set(o, "oci_runtime", json_string(s->runtime))) ||
	    !set(o, "terminal", json_false()) || !set(o, "stdin", json_false()) ||
	    !set(o, "remove", json_false()) ||
	    !set(o, "log_configuration", json_pack("{s:s}", "driver", "none")) ||
	    !set(o, "restart_policy", json_string("no")) ||
	    !set(o, "healthconfig", json_pack("{s:[s]}", "Test", "NONE")) ||
	    !set(o, "stop_signal", json_integer(SIGKILL)) ||
	    !set(o, "stop_timeout", number(s->stop_timeout)) || !set_podman_network(o, s) ||
	    !set_podman_confinement(o, s)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* --- the requests ----------------------------------------------------------------------------- */

/* jansson refuses text that is not UTF-8 and says the same as without memory. */
static bool
is_utf8(const char *text)
{
	json_t *s = text != NULL ? json_string(text) : json_null();

	json_decref(s);
	return s != NULL;
}

static bool
all_utf8(const struct engine_container_spec *s)
{
	bool good = is_utf8(s->workdir);

	for (size_t i = 0; s->entrypoint[i] != NULL; i++)
		good = good && is_utf8(s->entrypoint[i]);
	for (size_t i = 0; i < s->n_labels; i++)
		good = good && is_utf8(s->labels[i].value);
	for (size_t i = 0; i < s->n_mounts; i++)
		good = good && is_utf8(s->mounts[i].source) && is_utf8(s->mounts[i].target);
	return good;
}

static int
dump(json_t *value, char **ret)
{
	char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;

	json_decref(value);
	if (text == NULL)
		return -ENOMEM;
	*ret = text;
	return 0;
}

int
engine_json_check(const struct engine_container_spec *spec)
{
	return all_utf8(spec) ? 0 : -EINVAL;
}

int
engine_json_create(const struct engine_container_spec *spec, char **ret)
{
	if (!all_utf8(spec))
		return -EINVAL;
	return dump(config(spec), ret);
}

int
engine_json_create_podman(const struct engine_container_spec *spec, char **ret)
{
	if (!all_utf8(spec))
		return -EINVAL;
	return dump(podman_config(spec), ret);
}

int
engine_json_exec(const struct engine_exec_spec *spec, char **ret)
{
	for (const char *const *arg = spec->argv; *arg != NULL; arg++) {
		if (!is_utf8(*arg))
			return -EINVAL;
	}
	/* The container's own directory its programs can have taken away, or made a link; the order has it. */
	return dump(json_pack("{s:o?, s:s, s:b, s:b, s:b, s:b, s:b}", "Cmd", strings(spec->argv),
			"WorkingDir", "/", "AttachStdin", 1, "AttachStdout", 1, "AttachStderr", 1,
			"Tty", 0, "Privileged", 0),
	    ret);
}

int
engine_json_filter(const char *label, const char *value, char **ret)
{
	char *pair = NULL;
	int n;

	n = value != NULL ? asprintf(&pair, "%s=%s", label, value) : asprintf(&pair, "%s", label);
	if (n < 0)
		return -ENOMEM;
	if (!is_utf8(pair)) {
		free(pair);
		return -EINVAL;
	}
	n = dump(json_pack("{s:[s]}", "label", pair), ret);
	free(pair);
	return n;
}
