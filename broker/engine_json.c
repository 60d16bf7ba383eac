/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's JSON. Runs in the broker.
 *
 * Outwards every value comes from a typed field, so that nothing a policy or a worker wrote can become
 * a key. Inwards everything is hostile: nesting and number of values are bounded before the parser
 * sees the text, and a value of another type than the API's makes the whole answer broken.
 */
#include "engine_json.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* --- outwards ---------------------------------------------------------------------------------- */

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
	    (s->hostname != NULL && !set(o, "Hostname", json_string(s->hostname))) ||
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
	    (s->hostname != NULL && !set(o, "hostname", json_string(s->hostname))) ||
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
	return dump(json_pack("{s:o?, s:b, s:b, s:b, s:b, s:b}", "Cmd", strings(spec->argv),
			"AttachStdin", 1, "AttachStdout", 1, "AttachStderr", 1, "Tty", 0,
			"Privileged", 0),
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

/* --- inwards ----------------------------------------------------------------------------------- */

/*
 * A parse under way. Failure is sticky: after the first value of a wrong type every further get
 * returns a harmless one, and ended() reports it.
 */
struct parse {
	char *why;
	size_t cap;
	bool failed;
	bool no_memory;
};

static void SP_PRINTF(2, 3) fail(struct parse *p, const char *format, ...)
{
	va_list args;

	if (p->failed)
		return;
	p->failed = true;
	va_start(args, format);
	(void)vsnprintf(p->why, p->cap, format, args);
	va_end(args);
}

static int
ended(const struct parse *p)
{
	if (p->no_memory)
		return -ENOMEM;
	return p->failed ? ENGINE_JSON_E_BROKEN : 0;
}

/*
 * Before the real parser: how deep, and how many values. Strings are skipped as JSON ends them; on
 * text that is no JSON the count is meaningless and the real parser says so.
 */
static void
survey(struct parse *p, const char *text, size_t len)
{
	size_t depth = 0, nodes = 1;
	bool in_string = false;

	for (size_t i = 0; i < len && !p->failed; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"')
			in_string = true;
		else if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
		if (c == ',' || c == '[' || c == '{')
			nodes++;
		if (depth > ENGINE_JSON_DEPTH_MAX || nodes > ENGINE_JSON_NODES_MAX)
			fail(p, "the answer is JSON that is nested too deep or has too many values");
	}
}

/* The whole text as one value of the type, or NULL. */
static json_t *
load(struct parse *p, const char *text, size_t len, json_type type)
{
	json_error_t error;
	json_t *root;

	survey(p, text, len);
	if (p->failed)
		return NULL;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (root == NULL) {
		p->no_memory = json_error_code(&error) == json_error_out_of_memory;
		fail(p, "the answer is not JSON: %.96s", error.text);
		return NULL;
	}
	if (json_typeof(root) != type) {
		fail(p, "the answer is not a JSON %s", type == JSON_OBJECT ? "object" : "array");
		json_decref(root);
		return NULL;
	}
	return root;
}

static json_t *
get_object(struct parse *p, const json_t *o, const char *key)
{
	json_t *value = json_object_get(o, key);

	if (!json_is_object(value)) {
		fail(p, "\"%s\" is not an object", key);
		return NULL;
	}
	return value;
}

/* Absent and null are "". */
static const char *
get_text(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (value == NULL || json_is_null(value))
		return "";
	if (!json_is_string(value)) {
		fail(p, "\"%s\" is not a string", key);
		return "";
	}
	return json_string_value(value);
}

static const char *
need_text(struct parse *p, const json_t *o, const char *key)
{
	const char *text = get_text(p, o, key);

	if (text[0] == '\0')
		fail(p, "\"%s\" is missing or empty", key);
	return text;
}

/* Flags that decide something have to be there. */
static bool
need_flag(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (!json_is_boolean(value))
		fail(p, "\"%s\" is not true or false", key);
	return json_is_true(value);
}

static bool
get_flag(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (value == NULL || json_is_null(value))
		return false;
	return need_flag(p, o, key);
}

/* Absent and null are 0. */
static int64_t
get_number(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_integer(value)) {
		fail(p, "\"%s\" is not a whole number", key);
		return 0;
	}
	return json_integer_value(value);
}

static void
get_id(struct parse *p, const json_t *o, char out[ENGINE_ID_LEN + 1])
{
	const char *id = need_text(p, o, "Id");

	if (!engine_id_valid(id)) {
		fail(p, "\"Id\" is not 64 hex digits");
		return;
	}
	memcpy(out, id, ENGINE_ID_LEN + 1);
}

static void *
allocate(struct parse *p, size_t n, size_t size)
{
	void *block = calloc(n + 1, size);

	if (block == NULL) {
		p->no_memory = true;
		fail(p, "out of memory");
	}
	return block;
}

/* An array of strings; absent and null are empty. The strings stay the document's. */
static const char **
get_list(struct parse *p, const json_t *o, const char *key, size_t *ret_n)
{
	const json_t *array = json_object_get(o, key);
	const char **list;
	size_t n = json_array_size(array);

	*ret_n = 0;
	if (array == NULL || json_is_null(array) || p->failed)
		return NULL;
	if (!json_is_array(array)) {
		fail(p, "\"%s\" is not an array", key);
		return NULL;
	}
	list = allocate(p, n, sizeof(*list));
	for (size_t i = 0; list != NULL && i < n; i++) {
		list[i] = json_string_value(json_array_get(array, i));
		if (list[i] == NULL) {
			fail(p, "\"%s\" holds something else than strings", key);
			list[i] = "";
		}
	}
	*ret_n = list != NULL ? n : 0;
	return list;
}

/* The same; one string is a list of one. */
static const char **
get_words(struct parse *p, const json_t *o, const char *key, size_t *ret_n)
{
	const json_t *value = json_object_get(o, key);
	const char **list;

	if (!json_is_string(value))
		return get_list(p, o, key, ret_n);
	list = allocate(p, 1, sizeof(*list));
	*ret_n = list != NULL ? 1 : 0;
	if (list != NULL)
		list[0] = json_string_value(value);
	return list;
}

/*
 * Labels whose name starts with prefix, into out[]; returns how many. out may be NULL: only count.
 * After a failure nothing is written: the count that sized out[] may have stopped early.
 */
static size_t
fill_labels(struct parse *p, json_t *object, const char *prefix, struct engine_label *out)
{
	const char *name;
	json_t *value;
	size_t n = 0;

	if (object == NULL || json_is_null(object) || p->failed)
		return 0;
	if (!json_is_object(object)) {
		fail(p, "\"Labels\" is not an object");
		return 0;
	}
	json_object_foreach(object, name, value)
	{
		if (!json_is_string(value)) {
			fail(p, "a label is not a string");
			return 0;
		}
		if (strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		if (out != NULL)
			out[n] = (struct engine_label){ name, json_string_value(value) };
		n++;
	}
	return n;
}

static const char *
strip_slash(const char *name)
{
	return name[0] == '/' ? name + 1 : name;
}

static void
read_state(struct parse *p, const json_t *root, struct engine_container *c)
{
	const json_t *state = get_object(p, root, "State");
	int64_t pid;

	c->status = need_text(p, state, "Status");
	c->running = need_flag(p, state, "Running");
	c->exit_code = get_number(p, state, "ExitCode");
	c->error = get_text(p, state, "Error");
	c->started_at = get_text(p, state, "StartedAt");
	pid = get_number(p, state, "Pid");
	/* A pid is going to be opened and signalled: 1 is never a container's. */
	if (pid < 0 || pid > INT_MAX || pid == 1)
		fail(p, "\"Pid\" is not a process id");
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
	const json_t *o = get_object(p, root, "Config");
	const json_t *check = json_object_get(o, "Healthcheck");
	json_t *labels = json_object_get(o, "Labels");
	struct engine_label *list;

	c->entrypoint = c->podman ? get_words(p, o, "Entrypoint", &c->n_entrypoint)
				  : get_list(p, o, "Entrypoint", &c->n_entrypoint);
	c->cmd = get_list(p, o, "Cmd", &c->n_cmd);
	c->user = get_text(p, o, "User");
	c->workdir = get_text(p, o, "WorkingDir");
	c->hostname = get_text(p, o, "Hostname");
	c->image = get_text(p, o, "Image");
	c->network_disabled = get_flag(p, o, "NetworkDisabled");
	c->stdio = get_flag(p, o, "AttachStdin") || get_flag(p, o, "AttachStdout") ||
	    get_flag(p, o, "AttachStderr") || get_flag(p, o, "Tty") || get_flag(p, o, "OpenStdin");
	c->healthcheck = get_list(p, check, "Test", &c->n_healthcheck);
	list = allocate(p, fill_labels(p, labels, "", NULL), sizeof(*list));
	if (list != NULL)
		c->n_labels = fill_labels(p, labels, "", list);
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
		fail(p, "\"Ulimits\" is not an array");
	json_array_foreach(array, i, value)
	{
		const char *name = need_text(p, value, "Name");

		if (strcmp(name, "nofile") == 0) {
			c->nofile_soft = get_number(p, value, "Soft");
			c->nofile_hard = get_number(p, value, "Hard");
		} else if (strcmp(name, "core") == 0) {
			c->core_soft = get_number(p, value, "Soft");
			c->core_hard = get_number(p, value, "Hard");
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
		fail(p, "\"Mounts\" is not an array");
	c->asked = allocate(p, json_array_size(array), sizeof(*c->asked));
	if (c->asked == NULL)
		return;
	json_array_foreach(array, i, value)
	{
		m = &c->asked[c->n_asked++];
		m->kind = need_text(p, value, "Type");
		m->source = get_text(p, value, "Source");
		m->target = need_text(p, value, "Target");
		m->read_only = get_flag(p, value, "ReadOnly");
		m->non_recursive = get_flag(p, json_object_get(value, "BindOptions"), "NonRecursive");
		m->size = get_number(p, json_object_get(value, "TmpfsOptions"), "SizeBytes");
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
		fail(p, "\"Mounts\" is not an array");
	c->made = allocate(p, json_array_size(array), sizeof(*c->made));
	if (c->made == NULL)
		return;
	json_array_foreach(array, i, value)
	{
		m = &c->made[c->n_made++];
		m->kind = need_text(p, value, "Type");
		m->source = get_text(p, value, strcmp(m->kind, "volume") == 0 ? "Name" : "Source");
		m->target = need_text(p, value, "Destination");
		m->read_only = !need_flag(p, value, "RW");
	}
}

static void
read_host_config(struct parse *p, const json_t *root, struct engine_container *c)
{
	const json_t *o = get_object(p, root, "HostConfig");

	c->privileged = need_flag(p, o, "Privileged");
	c->read_only_root = need_flag(p, o, "ReadonlyRootfs");
	c->auto_remove = need_flag(p, o, "AutoRemove");
	c->publish_all_ports = need_flag(p, o, "PublishAllPorts");
	c->network_mode = get_text(p, o, "NetworkMode");
	c->ipc_mode = get_text(p, o, "IpcMode");
	c->cgroupns_mode = get_text(p, o, "CgroupnsMode");
	c->runtime = get_text(p, o, "Runtime");
	c->log_driver = get_text(p, get_object(p, o, "LogConfig"), "Type");
	c->restart_policy = get_text(p, get_object(p, o, "RestartPolicy"), "Name");
	c->cap_drop = get_list(p, o, "CapDrop", &c->n_cap_drop);
	c->security_opt = get_list(p, o, "SecurityOpt", &c->n_security_opt);
	c->dns = get_list(p, o, "Dns", &c->n_dns);
	c->masked_paths = get_list(p, o, "MaskedPaths", &c->n_masked_paths);
	c->readonly_paths = get_list(p, o, "ReadonlyPaths", &c->n_readonly_paths);
	c->memory = get_number(p, o, "Memory");
	c->memory_swap = get_number(p, o, "MemorySwap");
	c->nano_cpus = get_number(p, o, "NanoCpus");
	c->pids = get_number(p, o, "PidsLimit");
	c->surplus = find_surplus(o, c->podman);
	if (c->podman)
		return;
	read_ulimits(p, o, c);
	read_asked(p, o, c);
}

static void
read_podman(struct parse *p, const json_t *root, struct engine_container *c)
{
	json_t *networks = json_object_get(get_object(p, root, "NetworkSettings"), "Networks");
	const json_t *o = get_object(p, root, "HostConfig");
	const char *name;
	json_t *value;

	c->runtime = get_text(p, root, "OCIRuntime");
	c->cgroupns_mode = get_text(p, o, "CgroupMode");
	/* Without these the limits would be of no cgroup. */
	if (strcmp(get_text(p, o, "Cgroups"), "default") != 0)
		c->surplus = "Cgroups";
	for (size_t i = 0; i < SP_ARRAY_LEN(podman_must_be_empty); i++)
		if (!is_empty(json_object_get(root, podman_must_be_empty[i])))
			c->surplus = podman_must_be_empty[i];
	c->networks = allocate(p, json_object_size(networks), sizeof(*c->networks));
	if (c->networks == NULL)
		return;
	json_object_foreach(networks, name, value) c->networks[c->n_networks++] = name;
}

static int
inspect(const char *text, size_t len, bool podman, struct engine_container **ret, char *why,
    size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	SP_CLEANUP(engine_container_freep) struct engine_container *c = NULL;
	json_t *root = load(&p, text, len, JSON_OBJECT);

	if (root == NULL)
		return ended(&p);
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		json_decref(root);
		return -ENOMEM;
	}
	c->memory_tree = root;
	c->podman = podman;
	get_id(&p, root, c->id);
	c->name = strip_slash(need_text(&p, root, "Name"));
	c->path = get_text(&p, root, "Path");
	c->args = get_list(&p, root, "Args", &c->n_args);
	c->apparmor = get_text(&p, root, "AppArmorProfile");
	read_state(&p, root, c);
	read_config(&p, root, c);
	read_image_id(root, c);
	read_host_config(&p, root, c);
	read_made(&p, root, c);
	if (podman)
		read_podman(&p, root, c);
	if (p.failed)
		return ended(&p);
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
engine_json_created(const char *text, size_t len, struct engine_json_created *ret, char *why,
    size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	json_t *root = load(&p, text, len, JSON_OBJECT);
	struct engine_json_created created = { .id = "" };
	const char **warnings;
	size_t n;

	if (root == NULL)
		return ended(&p);
	get_id(&p, root, created.id);
	warnings = get_list(&p, root, "Warnings", &n);
	if (n > 0)
		(void)snprintf(created.warning, sizeof(created.warning), "%s", warnings[0]);
	free(warnings);
	json_decref(root);
	if (p.failed)
		return ended(&p);
	*ret = created;
	return 0;
}

static void
read_item(struct parse *p, json_t *value, struct engine_list *list)
{
	struct engine_list_item *item = &list->items[list->n++];
	const char **names;
	size_t n;

	if (!json_is_object(value)) {
		fail(p, "the list holds something else than objects");
		return;
	}
	get_id(p, value, item->id);
	item->state = get_text(p, value, "State");
	names = get_list(p, value, "Names", &n);
	item->name = n > 0 ? strip_slash(names[0]) : "";
	free(names);
	item->n_labels =
	    fill_labels(p, json_object_get(value, "Labels"), ENGINE_LABEL_PREFIX, item->labels);
}

/* Count the labels of all containers, so that one block holds them. */
static size_t
count_labels(struct parse *p, const json_t *root)
{
	size_t n = 0, i;
	json_t *value;

	json_array_foreach(root, i, value)
	    n += fill_labels(p, json_object_get(value, "Labels"), ENGINE_LABEL_PREFIX, NULL);
	return n;
}

int
engine_json_list(const char *text, size_t len, struct engine_list *ret, char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	struct engine_list list = { .memory = load(&p, text, len, JSON_ARRAY) };
	struct engine_label *next;
	json_t *value;
	size_t i;

	if (list.memory == NULL)
		return ended(&p);
	list.items = allocate(&p, json_array_size(list.memory), sizeof(*list.items));
	list.labels = next = allocate(&p, count_labels(&p, list.memory), sizeof(*list.labels));
	json_array_foreach((json_t *)list.memory, i, value)
	{
		if (p.failed)
			break;
		list.items[i].labels = next;
		read_item(&p, value, &list);
		next += list.items[i].n_labels;
	}
	if (p.failed) {
		engine_list_clear(&list);
		return ended(&p);
	}
	*ret = list;
	return 0;
}

void
engine_list_clear(struct engine_list *list)
{
	free(list->items);
	free(list->labels);
	json_decref(list->memory);
	*list = (struct engine_list){ 0 };
}

int
engine_json_image(const char *text, size_t len, char ret_id[ENGINE_ID_LEN + 1], char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	json_t *root = load(&p, text, len, JSON_OBJECT);
	const char *id;

	if (root == NULL)
		return ended(&p);
	id = bare_id(need_text(&p, root, "Id"));
	if (!engine_id_valid(id))
		fail(&p, "\"Id\" is not 64 hex digits");
	if (!p.failed)
		memcpy(ret_id, id, ENGINE_ID_LEN + 1);
	json_decref(root);
	return ended(&p);
}

int
engine_json_wait(const char *text, size_t len, int64_t *ret_code, char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	json_t *root = load(&p, text, len, JSON_OBJECT);
	const json_t *error;
	int64_t code;

	if (root == NULL)
		return ended(&p);
	if (!json_is_integer(json_object_get(root, "StatusCode")))
		fail(&p, "\"StatusCode\" is not a whole number");
	code = get_number(&p, root, "StatusCode");
	error = json_object_get(root, "Error");
	if (error != NULL && !json_is_null(error))
		fail(&p, "the wait itself failed");
	json_decref(root);
	if (p.failed)
		return ended(&p);
	*ret_code = code;
	return 0;
}

int
engine_json_array(const char *text, size_t len, char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };

	json_decref(load(&p, text, len, JSON_ARRAY));
	return ended(&p);
}

static void
copy_text(const char *text, size_t len, const char *key, char *out, size_t cap)
{
	char why[64];
	struct parse p = { .why = why, .cap = sizeof(why) };
	json_t *root = load(&p, text, len, JSON_OBJECT);
	const char *value = json_string_value(json_object_get(root, key));

	(void)snprintf(out, cap, "%s", value != NULL ? value : "");
	json_decref(root);
}

void
engine_json_message(const char *text, size_t len, char *out, size_t cap)
{
	copy_text(text, len, "message", out, cap);
}

bool
engine_json_is_no_image(const char *text, size_t len)
{
	char cause[32];

	copy_text(text, len, "cause", cause, sizeof(cause));
	return strcmp(cause, "image not known") == 0;
}
