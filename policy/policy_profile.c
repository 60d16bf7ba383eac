/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles: inheritance, what a container and a session look like, and the guardrails that hold for
 * every container. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <string.h>

#include "guest_msg.h"
#include "ipc.h"
#include "names.h"
#include "suggest.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define TIB (MIB * MIB)

#define ARGV_MAX       64
#define ARGV_BYTES_MAX 16384
#define ENV_MAX        128
#define ENV_BYTES_MAX  32768
#define MOUNTS_MAX     32
#define ID_MAX         2147483647 /* engines take no larger uid */
#define MEMORY_MIN     (6 * MIB)  /* engines take no less */
#define PIDS_MIN       4          /* the guest, a shell and two for its pipeline */

/* One order to the guest holds all of this at its largest, and the client's part as well. */
_Static_assert(ARGV_BYTES_MAX + ENV_BYTES_MAX + IPC_COMMAND_MAX + IPC_ENV_BYTES_MAX +
	    4 * (ARGV_MAX + ENV_MAX + IPC_ENV_MAX) + 2 * NAMES_PATH_MAX <
	GUEST_ORDER_MAX,
    "an order that does not fit");
_Static_assert(ARGV_MAX <= GUEST_ARGV_MAX, "arguments that the guest refuses");
_Static_assert(ENV_MAX + IPC_ENV_MAX <= GUEST_ENV_MAX, "variables that the guest refuses");

static const char *const default_shell[] = { "/bin/sh", NULL };
static const char *const default_exec[] = { "/bin/sh", "-c", POLICY_COMMAND, NULL };
static const char *const default_env[] = { "LANG", "LC_*", NULL };
static const char *const no_env[] = { NULL };
static const struct policy_tmpfs default_tmpfs[] = { { "/tmp", 64 * MIB } };

static const struct policy_profile defaults = {
	.mode = POLICY_MODE_CONNECTION,
	.uid = 1000,
	.gid = 1000,
	.shell_argv = default_shell,
	.login_shell = true,
	.exec_argv = default_exec,
	.env = no_env,
	.network = POLICY_NETWORK_NONE,
	.read_only_root = true,
	.tmpfs = default_tmpfs,
	.n_tmpfs = SP_ARRAY_LEN(default_tmpfs),
	.memory = 512 * MIB,
	.nano_cpus = UINT64_C(1000000000),
	.pids = 256,
	.nofile = 1024,
	.stop_grace_ms = 10000,
	.pty = true,
	.shell = true,
	.exec = true,
	.accept_env = default_env,
	.channels = 10,
};

#define AT(member) .offset = offsetof(struct policy_profile, member)

static struct policy_draft *
draft_of(const struct json_reader *r)
{
	return r->context;
}

/* ---- container ---- */

/* What no container of ours ever has, however it is spelt. */
static void
read_guarded(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)target;
	json_read_error(r, value, JSON_AT_KEY, "remove it",
	    "\"%s\" is refused by the guardrails (" POLICY_GUARDRAILS ")", field->key);
}

static void
read_limit_outside(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)target;
	json_read_error(r, value, JSON_AT_KEY, NULL, "\"%s\" has its place in \"limits\": { ... }",
	    field->key);
}

static void
read_mount_outside(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)target;
	json_read_error(r, value, JSON_AT_KEY, NULL, "\"%s\" has its place in \"mounts\": [ ... ]",
	    field->key);
}

static void
read_mode(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *word = json_node_kind(value) == JSON_KIND_STRING ? json_node_string(value) : "";

	if (strcmp(word, "user") == 0 || strcmp(word, "per-user") == 0)
		json_read_error(r, value, JSON_AT_VALUE, NULL,
		    "mode \"%s\" is not available in this build", word);
	else
		json_read_choice(r, value, field, target);
}

static void
read_image(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *image = policy_find_image(draft_of(r), value);

	(void)field;
	if (image != NULL)
		*(const char **)target = image;
}

/* A decimal number without sign and leading zeros; the end of it in *ret_end. */
static bool
parse_id(const char *text, const char **ret_end, uint32_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && value <= ID_MAX; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	if (p == text || (text[0] == '0' && p != text + 1) || value > ID_MAX)
		return false;
	*ret_end = p;
	*ret = (uint32_t)value;
	return true;
}

static void
read_user(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_profile *p = target;
	const char *end = NULL;
	uint32_t uid = 0;
	uint32_t gid = 0;
	bool ok;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string, \"uid\" or \"uid:gid\""))
		return;
	ok = parse_id(json_node_string(value), &end, &uid);
	gid = uid;
	if (ok && *end == ':')
		ok = parse_id(end + 1, &end, &gid);
	if (!ok || *end != '\0') {
		json_read_error(r, value, JSON_AT_VALUE,
		    "names are not looked up in the image, whose files anybody may have written",
		    "\"user\" must be numeric, \"uid\" or \"uid:gid\", each at most %d", ID_MAX);
		return;
	}
	if (uid == 0 && !draft_of(r)->root_user) {
		json_read_error(r, value, JSON_AT_VALUE,
		    "\"unsafe\": [\"root-user\"] at the top level allows it",
		    "uid 0 is refused by the guardrails (" POLICY_GUARDRAILS ")");
		return;
	}
	p->uid = uid;
	p->gid = gid;
}

/* An absolute path that is in none of these directories; NULL after saying what is wrong. */
static const char *
read_path(struct json_reader *r, const struct json_node *value, const char *const *guarded)
{
	const char *path = json_read_text(r, value, 1, NAMES_PATH_MAX);
	const char *fault = path == NULL ? NULL : names_path_fault(path);

	if (fault != NULL) {
		json_read_error(r, value, JSON_AT_VALUE, NULL, "%s %s", json_read_name(r, value),
		    fault);
		return NULL;
	}
	for (; path != NULL && *guarded != NULL; guarded++) {
		if (names_path_within(path, *guarded)) {
			json_read_error(r, value, JSON_AT_VALUE, NULL,
			    "%s: paths under %s are refused by the guardrails (" POLICY_GUARDRAILS
			    ")",
			    json_read_name(r, value), *guarded);
			return NULL;
		}
	}
	return path;
}

static void
read_workdir(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	/* A working directory there can lead back to descriptors of the runtime. */
	static const char *const guarded[] = { "/proc", "/.sallyport", NULL };
	const char *path = read_path(r, value, guarded);

	(void)field;
	if (path != NULL)
		*(const char **)target = path;
}

static const char *const *
read_argv(struct json_reader *r, const struct json_node *value)
{
	const char *const *argv = json_read_texts(r, value, 1, ARGV_MAX);
	size_t bytes = 0;

	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
		bytes += strlen(argv[i]);
	if (bytes > ARGV_BYTES_MAX) {
		json_read_error(r, value, JSON_AT_VALUE, NULL,
		    "the arguments have %zu bytes together, at most %d are allowed", bytes,
		    ARGV_BYTES_MAX);
		return NULL;
	}
	return argv;
}

static void
read_shell_argv(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *argv = read_argv(r, value);

	(void)field;
	if (argv != NULL)
		*(const char *const **)target = argv;
}

static void
read_exec_argv(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *const *argv = read_argv(r, value);
	unsigned n = 0;

	(void)field;
	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++) {
		bool whole = strcmp(argv[i], POLICY_COMMAND) == 0;

		n += whole;
		if (!whole && strstr(argv[i], POLICY_COMMAND) != NULL)
			return; /* the search for templates says so at the element */
	}
	if (argv == NULL)
		return;
	if (n != 1)
		json_read_error(r, value, JSON_AT_VALUE,
		    "for example [\"/bin/sh\", \"-c\", \"" POLICY_COMMAND "\"]",
		    "\"exec\" must hold \"" POLICY_COMMAND "\" exactly once, not %u times", n);
	else if (strcmp(argv[0], POLICY_COMMAND) == 0)
		json_read_error(r, value, JSON_AT_VALUE,
		    "for example [\"/bin/sh\", \"-c\", \"" POLICY_COMMAND "\"]",
		    "the program itself cannot be \"" POLICY_COMMAND
		    "\": a command is a line of text");
	else
		*(const char *const **)target = argv;
}

static void
read_argvs(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "shell", .read = read_shell_argv, AT(shell_argv) },
		{ .key = "exec", .read = read_exec_argv, AT(exec_argv) },
		{ .key = "sftp", .read = json_read_unavailable },
	};

	(void)field;
	json_read_object(r, value, "\"argv\"", fields, SP_ARRAY_LEN(fields), target);
}

/* The index of the variable in a list of "NAME=value", or of its end. */
static size_t
find_variable(const char *const *env, const char *name)
{
	size_t len = strlen(name);
	size_t i = 0;

	while (env[i] != NULL && (strncmp(env[i], name, len) != 0 || env[i][len] != '='))
		i++;
	return i;
}

static void
read_variable(struct json_reader *r, const struct json_node *value, const char **env)
{
	const char *name = json_node_key(value);
	const char *fault = names_variable_fault(name, false);

	if (fault != NULL) {
		json_read_error(r, value, JSON_AT_KEY, NULL, "variable \"%s\" %s", name, fault);
		return;
	}
	/* Any byte may be in a value; the parser lets no NUL in. */
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return;
	env[find_variable(env, name)] =
	    arena_format(r->arena, "%s=%s", name, json_node_string(value));
}

static void
read_env(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *const *inherited = *(const char *const **)target;
	const struct json_node *e;
	const char **env;
	size_t bytes = 0;
	size_t n = 0;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_OBJECT, "an object of names and values"))
		return;
	while (inherited[n] != NULL)
		n++;
	env = arena_array(r->arena, n + json_node_count(value) + 1, sizeof(*env));
	if (env == NULL)
		return;
	memcpy(env, inherited, n * sizeof(*env));
	for (e = json_node_first(value); e != NULL && !r->arena->failed; e = json_node_next(e))
		read_variable(r, e, env);
	for (n = 0; env[n] != NULL; n++)
		bytes += strlen(env[n]) + 1;
	if (n > ENV_MAX || bytes > ENV_BYTES_MAX)
		json_read_error(r, value, JSON_AT_KEY, NULL,
		    "\"env\" has %zu variables and %zu bytes together; at most %d and %d are allowed",
		    n, bytes, ENV_MAX, ENV_BYTES_MAX);
	*(const char *const **)target = env;
}

static void
read_network(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_profile *p = target;
	const char *name;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return;
	name = json_node_string(value);
	p->network_name = NULL;
	if (strcmp(name, "none") == 0) {
		p->network = POLICY_NETWORK_NONE;
	} else if (strcmp(name, "bridge") == 0) {
		p->network = POLICY_NETWORK_BRIDGE;
	} else if (strcmp(name, "host") == 0 || strcmp(name, "default") == 0 ||
	    strncmp(name, "container:", 10) == 0) {
		json_read_error(r, value, JSON_AT_VALUE,
		    "\"none\", \"bridge\", or the name of a network made for this",
		    "network \"%s\" is refused by the guardrails (" POLICY_GUARDRAILS ")", name);
	} else if (names_label_fault(name) != NULL) {
		json_read_error(r, value, JSON_AT_VALUE, NULL, "the name \"%s\" of a network %s",
		    name, names_label_fault(name));
	} else {
		p->network = POLICY_NETWORK_NAMED;
		p->network_name = arena_copy(r->arena, name, strlen(name));
	}
}

/* ---- mounts ---- */

struct draft_mount {
	const char *volume;
	const char *to;
	const char *tmpfs;
	uint64_t size;
	bool read_only;
};

static void
read_volume(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *fault;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return;
	fault = names_label_fault(json_node_string(value));
	if (fault != NULL)
		json_read_error(r, value, JSON_AT_VALUE,
		    strchr(json_node_string(value), '/') == NULL
			? NULL
			: "a volume is named; directories of the host are refused by the guardrails",
		    "the name \"%s\" of a volume %s", json_node_string(value), fault);
	else
		*(const char **)target =
		    arena_copy(r->arena, json_node_string(value), strlen(json_node_string(value)));
}

static void
read_target(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const char *const guarded[] = { "/proc", "/sys", "/dev", "/.sallyport", NULL };
	const char *path = read_path(r, value, guarded);

	(void)field;
	if (path != NULL && strcmp(path, "/") == 0)
		json_read_error(r, value, JSON_AT_VALUE, NULL,
		    "%s: \"/\" itself is refused by the guardrails (" POLICY_GUARDRAILS ")",
		    json_read_name(r, value));
	else if (path != NULL)
		*(const char **)target = path;
}

#define MOUNT_AT(member) .offset = offsetof(struct draft_mount, member)

static const struct json_field mount_fields[] = {
	{ .key = "volume", .read = read_volume, MOUNT_AT(volume) },
	{ .key = "to", .read = read_target, MOUNT_AT(to) },
	{ .key = "read_only", .read = json_read_bool, MOUNT_AT(read_only) },
	{ .key = "tmpfs", .read = read_target, MOUNT_AT(tmpfs) },
	{ .key = "size", .read = json_read_size, MOUNT_AT(size), .min = 4 * KIB, .max = TIB },
	{ .key = "bind", .read = read_guarded },
	{ .key = "options", .read = read_guarded },
};

/* Whether the keys of one mount fit together. Their values were judged already. */
static bool
check_mount(struct json_reader *r, const struct json_node *node)
{
	bool volume = json_node_find(node, "volume") != NULL;
	bool tmpfs = json_node_find(node, "tmpfs") != NULL;
	const char *why = NULL;

	if (volume == tmpfs)
		why = "a mount has either \"volume\" or \"tmpfs\"";
	else if (volume && json_node_find(node, "to") == NULL)
		why = "a volume needs \"to\", the path in the container";
	else if (volume && json_node_find(node, "size") != NULL)
		why = "\"size\" goes with \"tmpfs\" only";
	else if (tmpfs && json_node_find(node, "size") == NULL)
		why = "a tmpfs needs \"size\": without one it may fill the host's memory";
	else if (tmpfs && json_node_find(node, "to") != NULL)
		why = "\"to\" goes with \"volume\" only; \"tmpfs\" names the path itself";
	else if (tmpfs && json_node_find(node, "read_only") != NULL)
		why = "\"read_only\" goes with \"volume\" only";
	if (why != NULL)
		json_read_error(r, node, JSON_AT_VALUE, NULL, "%s", why);
	return why == NULL;
}

static bool
is_target_taken(const struct policy_profile *p, const char *path)
{
	for (size_t i = 0; i < p->n_tmpfs; i++) {
		if (strcmp(p->tmpfs[i].target, path) == 0)
			return true;
	}
	for (size_t i = 0; i < p->n_volumes; i++) {
		if (strcmp(p->volumes[i].target, path) == 0)
			return true;
	}
	return false;
}

static void
add_mount(struct json_reader *r, const struct json_node *node, struct policy_profile *p,
    struct policy_tmpfs *tmpfs, struct policy_volume *volumes)
{
	struct draft_mount m = { 0 };
	size_t errors = r->diags->n_errors;
	const char *path;

	json_read_object(r, node, "a mount", mount_fields, SP_ARRAY_LEN(mount_fields), &m);
	if (r->diags->n_errors != errors || !check_mount(r, node) || r->arena->failed)
		return;
	path = m.tmpfs != NULL ? m.tmpfs : m.to;
	if (is_target_taken(p, path))
		json_read_error(r, node, JSON_AT_VALUE, NULL, "\"%s\" is mounted over twice", path);
	else if (m.tmpfs != NULL)
		tmpfs[p->n_tmpfs++] = (struct policy_tmpfs){ path, m.size };
	else
		volumes[p->n_volumes++] = (struct policy_volume){ m.volume, path, m.read_only };
}

static void
read_mounts(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_profile *p = target;
	struct policy_tmpfs *tmpfs;
	struct policy_volume *volumes;
	const struct json_node *e;
	size_t n;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_ARRAY, "a list of mounts"))
		return;
	n = json_node_count(value);
	if (n > MOUNTS_MAX) {
		json_read_error(r, value, JSON_AT_VALUE, NULL,
		    "\"mounts\" has %zu elements, at most %d are allowed", n, MOUNTS_MAX);
		return;
	}
	tmpfs = arena_array(r->arena, n, sizeof(*tmpfs));
	volumes = arena_array(r->arena, n, sizeof(*volumes));
	if (tmpfs == NULL || volumes == NULL)
		return;
	/* Lists replace: neither the default nor inherited mounts stay. */
	p->tmpfs = tmpfs;
	p->volumes = volumes;
	p->n_tmpfs = 0;
	p->n_volumes = 0;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e))
		add_mount(r, e, p, tmpfs, volumes);
}

/* ---- limits ---- */

static void
read_cpus(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	double cpus;

	(void)field;
	if (json_node_kind(value) != JSON_KIND_REAL &&
	    !json_read_expect(r, value, JSON_KIND_INTEGER, "a number"))
		return;
	cpus = json_node_real(value);
	if (!(cpus >= 0.01 && cpus <= 1024))
		json_read_error(r, value, JSON_AT_VALUE, NULL,
		    "\"cpus\" must be 0.01 to 1024, such as 1.5");
	else
		*(uint64_t *)target = (uint64_t)(cpus * 1e9 + 0.5);
}

static void
read_limits(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "memory", .read = json_read_size, AT(memory), .min = MEMORY_MIN, .max = 64 * TIB },
		{ .key = "swap", .read = json_read_size, AT(swap), .max = 64 * TIB },
		{ .key = "cpus", .read = read_cpus, AT(nano_cpus) },
		{ .key = "pids", .read = json_read_u32, AT(pids), .min = PIDS_MIN, .max = 4194304 },
		{ .key = "nofile", .read = json_read_u32, AT(nofile), .min = 16, .max = 1048576 },
		{ .key = "storage", .read = json_read_unavailable },
		{ .key = "bandwidth", .read = json_read_unavailable },
	};

	(void)field;
	json_read_object(r, value, "\"limits\"", fields, SP_ARRAY_LEN(fields), target);
}

static void
read_container(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const char *const modes[] = {
		[POLICY_MODE_SESSION] = "session",
		[POLICY_MODE_CONNECTION] = "connection",
		NULL,
	};
	static const struct json_field fields[] = {
		{ .key = "mode", .read = read_mode, AT(mode), .choices = modes },
		{ .key = "image", .read = read_image, AT(image) },
		{ .key = "user", .read = read_user },
		{ .key = "workdir", .read = read_workdir, AT(workdir) },
		{ .key = "argv", .read = read_argvs },
		{ .key = "login_shell", .read = json_read_bool, AT(login_shell) },
		{ .key = "env", .read = read_env, AT(env) },
		{ .key = "network", .read = read_network },
		{ .key = "read_only_root", .read = json_read_bool, AT(read_only_root) },
		{ .key = "mounts", .read = read_mounts },
		{ .key = "limits", .read = read_limits },
		{ .key = "stop_grace",
		    .read = json_read_duration,
		    AT(stop_grace_ms),
		    .min = 100,
		    .max = 10 * 60 * 1000 },
		{ .key = "pull", .read = json_read_unavailable },
		{ .key = "runtime", .read = json_read_unavailable },
		{ .key = "dns", .read = json_read_unavailable },
		{ .key = "keep", .read = json_read_unavailable },
		{ .key = "pool", .read = json_read_unavailable },
		{ .key = "platform", .read = json_read_unavailable },
		{ .key = "hostname", .read = json_read_unavailable },
		{ .key = "attach", .read = json_read_unavailable },
		{ .key = "privileged", .read = read_guarded },
		{ .key = "capabilities", .read = read_guarded, .hidden = true },
		{ .key = "cap_add", .read = read_guarded, .hidden = true },
		{ .key = "devices", .read = read_guarded, .hidden = true },
		{ .key = "security_opt", .read = read_guarded, .hidden = true },
		{ .key = "sysctls", .read = read_guarded, .hidden = true },
		{ .key = "pid", .read = read_guarded, .hidden = true },
		{ .key = "ipc", .read = read_guarded, .hidden = true },
		{ .key = "userns", .read = read_guarded, .hidden = true },
		{ .key = "ports", .read = read_guarded, .hidden = true },
		{ .key = "memory", .read = read_limit_outside, .hidden = true },
		{ .key = "swap", .read = read_limit_outside, .hidden = true },
		{ .key = "cpus", .read = read_limit_outside, .hidden = true },
		{ .key = "pids", .read = read_limit_outside, .hidden = true },
		{ .key = "nofile", .read = read_limit_outside, .hidden = true },
		{ .key = "tmpfs", .read = read_mount_outside, .hidden = true },
		{ .key = "volumes", .read = read_mount_outside, .hidden = true },
	};

	(void)field;
	json_read_object(r, value, "\"container\"", fields, SP_ARRAY_LEN(fields), target);
}

/* ---- session ---- */

static void
read_exec_allowed(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	if (json_node_kind(value) == JSON_KIND_ARRAY)
		json_read_error(r, value, JSON_AT_VALUE, "\"exec\" is true or false",
		    "a list of allowed commands is not available in this build");
	else
		json_read_bool(r, value, field, target);
}

static void
read_accept_env(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const struct json_node *e = NULL;

	json_read_strings(r, value, field, target);
	if (json_node_kind(value) == JSON_KIND_ARRAY)
		e = json_node_first(value);
	for (; e != NULL; e = json_node_next(e)) {
		const char *name = json_node_kind(e) == JSON_KIND_STRING ? json_node_string(e) : NULL;

		if (name != NULL && name[0] != '\0' && names_variable_fault(name, true) != NULL)
			json_read_error(r, e, JSON_AT_VALUE, NULL, "pattern \"%s\" %s", name,
			    names_variable_fault(name, true));
	}
}

static void
read_session(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "pty", .read = json_read_bool, AT(pty) },
		{ .key = "shell", .read = json_read_bool, AT(shell) },
		{ .key = "exec", .read = read_exec_allowed, AT(exec) },
		{ .key = "env", .read = read_accept_env, AT(accept_env), .max = IPC_ENV_MAX },
		{ .key = "channels", .read = json_read_u32, AT(channels), .min = 1, .max = IPC_CHANNEL_MAX },
		{ .key = "subsystems", .read = json_read_unavailable },
		{ .key = "forward", .read = json_read_unavailable },
		{ .key = "idle", .read = json_read_unavailable },
		{ .key = "max", .read = json_read_unavailable },
		{ .key = "warn", .read = json_read_unavailable },
		{ .key = "record", .read = json_read_unavailable },
		{ .key = "detach", .read = json_read_unavailable },
		{ .key = "signals", .read = json_read_unavailable },
		{ .key = "x11", .read = json_read_unavailable },
		{ .key = "agent", .read = json_read_unavailable },
	};

	(void)field;
	json_read_object(r, value, "\"session\"", fields, SP_ARRAY_LEN(fields), target);
}

/* ---- the profiles and their parents ---- */

/* "extends" is handled before; here it is just a known word. */
static void
read_nothing(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)r;
	(void)value;
	(void)field;
	(void)target;
}

static const struct json_field profile_fields[] = {
	{ .key = "extends", .read = read_nothing },
	{ .key = "container", .read = read_container },
	{ .key = "session", .read = read_session },
};

struct policy_draft_profile *
policy_find_profile(struct policy_draft *d, const char *name)
{
	for (size_t i = 0; i < d->n_draft_profiles; i++) {
		if (strcmp(json_node_key(d->draft_profiles[i].node), name) == 0)
			return &d->draft_profiles[i];
	}
	return NULL;
}

static void
link_parent(struct policy_draft *d, struct policy_draft_profile *profile)
{
	const struct json_node *extends = NULL;
	struct suggest near;

	if (json_node_kind(profile->node) == JSON_KIND_OBJECT)
		extends = json_node_find(profile->node, "extends");
	if (extends == NULL ||
	    !json_read_expect(&d->reader, extends, JSON_KIND_STRING, "the name of a profile"))
		return;
	profile->parent = policy_find_profile(d, json_node_string(extends));
	if (profile->parent != NULL) {
		profile->parent->extended = true;
		return;
	}
	suggest_init(&near, json_node_string(extends));
	for (size_t i = 0; i < d->n_draft_profiles; i++)
		suggest_offer(&near, json_node_key(d->draft_profiles[i].node));
	json_read_error(&d->reader, extends, JSON_AT_VALUE,
	    json_read_did_you_mean(&d->reader, near.best), "there is no profile \"%s\"",
	    json_node_string(extends));
}

/* Whether the line of parents ends within its limit; so recursion below it has one too. */
static bool
has_end(const struct policy_draft_profile *profile, bool *ret_circle)
{
	const struct policy_draft_profile *p = profile->parent;

	*ret_circle = false;
	for (unsigned n = 0; p != NULL; p = p->parent) {
		*ret_circle = *ret_circle || p == profile;
		if (n++ == POLICY_EXTENDS_MAX || *ret_circle)
			return false;
	}
	return true;
}

static void
check_line(struct policy_draft *d, struct policy_draft_profile *profile)
{
	bool circle;

	if (has_end(profile, &circle))
		return;
	json_read_error(&d->reader, json_node_find(profile->node, "extends"), JSON_AT_VALUE, NULL,
	    circle ? "profile \"%s\" extends itself in a circle"
		   : "profile \"%s\" extends more than 8 others, or a circle of them",
	    json_node_key(profile->node));
}

static void
resolve(struct policy_draft *d, struct policy_draft_profile *profile)
{
	struct json_reader *r = &d->reader;
	const char *name = json_node_key(profile->node);
	const char *what = arena_format(r->arena, "profile \"%s\"", name);

	if (profile->resolved || what == NULL)
		return;
	profile->resolved = true;
	profile->profile = defaults;
	if (profile->parent != NULL) {
		resolve(d, profile->parent);
		profile->profile = profile->parent->profile;
	}
	profile->profile.name = arena_copy(r->arena, name, strlen(name));
	json_read_object(r, profile->node, what, profile_fields, SP_ARRAY_LEN(profile_fields),
	    &profile->profile);
}

void
policy_read_profiles(struct policy_draft *d)
{
	const struct json_node *e = d->profiles == NULL ? NULL : json_node_first(d->profiles);
	size_t n = d->profiles == NULL ? 0 : json_node_count(d->profiles);
	size_t errors;

	d->draft_profiles = arena_array(d->reader.arena, n, sizeof(*d->draft_profiles));
	if (d->draft_profiles == NULL)
		return;
	for (; e != NULL; e = json_node_next(e)) {
		const char *fault = names_label_fault(json_node_key(e));

		d->draft_profiles[d->n_draft_profiles++].node = e;
		if (fault != NULL)
			json_read_error(&d->reader, e, JSON_AT_KEY, NULL,
			    "the name \"%s\" of a profile %s", json_node_key(e), fault);
	}
	for (size_t i = 0; i < n; i++)
		link_parent(d, &d->draft_profiles[i]);
	errors = d->reader.diags->n_errors;
	for (size_t i = 0; i < n; i++)
		check_line(d, &d->draft_profiles[i]);
	/* In a circle nobody is first: read each for its own errors, without parents. */
	for (size_t i = 0; d->reader.diags->n_errors != errors && i < n; i++)
		d->draft_profiles[i].parent = NULL;
	for (size_t i = 0; i < n; i++)
		resolve(d, &d->draft_profiles[i]);
}

/* A base for others needs no image; everything else does. */
static void
check_image(struct policy_draft *d, const struct policy_draft_profile *profile, bool broken)
{
	if (profile->profile.image != NULL || (profile->extended && !profile->used) || broken)
		return;
	json_read_error(&d->reader, profile->node, JSON_AT_KEY, "\"container\": { \"image\": ... }",
	    "profile \"%s\" has no image", json_node_key(profile->node));
}

void
policy_finish_profiles(struct policy_draft *d)
{
	/* With an error anywhere, what is missing may just be what could not be read. */
	bool broken = d->reader.diags->n_errors != d->reader.errors_before;
	const struct policy_profile **list =
	    arena_array(d->reader.arena, d->n_draft_profiles, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; list != NULL && i < d->n_draft_profiles; i++) {
		struct policy_draft_profile *profile = &d->draft_profiles[i];

		check_image(d, profile, broken);
		if (!profile->used && !profile->extended && !broken)
			json_read_warning(&d->reader, profile->node, JSON_AT_KEY, NULL,
			    "profile \"%s\" is used by no rule", json_node_key(profile->node));
		if (profile->profile.image != NULL)
			list[n++] = &profile->profile;
	}
	d->policy->profiles = list;
	d->policy->n_profiles = n;
}
