/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container of a profile, and the guardrails that hold for each: whatever a policy file says, this
 * is where it ends. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <stdio.h>
#include <string.h>

#include "guest_msg.h"
#include "ipc.h"
#include "json_write.h"
#include "names.h"

#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

#define ARGV_MAX       64
#define ARGV_BYTES_MAX 16384
#define ENV_MAX        128
#define ID_MAX         2147483647 /* engines take no larger uid */
#define MEMORY_MIN     (6 * MIB)  /* engines take no less */
#define PIDS_MIN       4          /* the guest, a shell and two for its pipeline */

/* One order to the guest holds all of this at its largest, and the client's part as well. */
_Static_assert(ARGV_BYTES_MAX + POLICY_ENV_BYTES_MAX + IPC_COMMAND_MAX + IPC_ENV_BYTES_MAX +
	    4 * (ARGV_MAX + ENV_MAX + IPC_ENV_MAX) + 2 * NAMES_PATH_MAX <
	GUEST_ORDER_MAX,
    "an order that does not fit");
_Static_assert(ARGV_MAX <= GUEST_ARGV_MAX, "arguments that the guest refuses");
_Static_assert(ENV_MAX + IPC_ENV_MAX <= GUEST_ENV_MAX, "variables that the guest refuses");

/* A working directory there can lead back to descriptors of the runtime. */
const char *const policy_workdir_guarded[] = { "/proc", GUEST_BUNDLE_DIR, GUEST_RENDEZVOUS_DIR, NULL };

#define AT(member) .offset = offsetof(struct policy_profile, member)

#define TEXT  "{\"type\": \"string\", \"minLength\": 1}"
#define PATH  "{\"type\": \"string\", \"pattern\": \"^/\"}"
#define TEXTS "{\"type\": \"array\", \"minItems\": 1, \"items\": " TEXT "}"

void
policy_show_text(FILE *out, const void *target)
{
	const char *text = *(const char *const *)target;

	if (text != NULL)
		json_write_text(out, text);
	else
		(void)fputs("null", out);
}

void
policy_show_texts(FILE *out, const void *target)
{
	struct json_writer w = { .out = out };

	json_write_open(&w, NULL, '[');
	for (const char *const *e = *(const char *const *const *)target; *e != NULL; e++)
		json_write_string(&w, NULL, *e);
	json_write_close(&w, ']');
}

/* What no container of ours ever has, however it is spelt. */
void
policy_read_guarded(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)target;
	json_read_diag(r, DIAG_E_GUARDRAIL, value, JSON_AT_KEY, "remove it",
	    "\"%s\" is refused by the guardrails (" POLICY_GUARDRAILS ")", field->key);
}

static void
read_limit_outside(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)target;
	json_read_diag(r, DIAG_E_MISPLACED, value, JSON_AT_KEY, NULL,
	    "\"%s\" has its place in \"limits\": { ... }", field->key);
}

static void
read_mount_outside(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)target;
	json_read_diag(r, DIAG_E_MISPLACED, value, JSON_AT_KEY, NULL,
	    "\"%s\" has its place in \"mounts\": [ ... ]", field->key);
}

static void
read_image(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *image = policy_find_image(policy_draft_of(r), value);

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
		json_read_diag(r, DIAG_E_CONTAINER_USER, value, JSON_AT_VALUE,
		    "names are not looked up in the image, whose files anybody may have written",
		    "\"user\" must be numeric, \"uid\" or \"uid:gid\", each at most %d", ID_MAX);
		return;
	}
	if (uid == 0 && !policy_draft_of(r)->root_user) {
		json_read_diag(r, DIAG_E_GUARDRAIL, value, JSON_AT_VALUE,
		    "\"unsafe\": [\"root-user\"] at the top level allows it",
		    "uid 0 is refused by the guardrails (" POLICY_GUARDRAILS ")");
		return;
	}
	p->uid = uid;
	p->gid = gid;
}

const char *
policy_read_path(struct json_reader *r, const struct json_node *value, const char *const *guarded)
{
	const char *text = json_read_text(r, value, 1, NAMES_PATH_MAX);
	const char *path = text == NULL ? NULL : policy_template_example(r->arena, text);
	const char *fault = path == NULL ? NULL : names_path_fault(path);

	if (fault != NULL) {
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE, NULL, "%s %s",
		    json_read_name(r, value), fault);
		return NULL;
	}
	for (; path != NULL && *guarded != NULL; guarded++) {
		if (names_path_within(path, *guarded)) {
			json_read_diag(r, DIAG_E_GUARDRAIL, value, JSON_AT_VALUE, NULL,
			    "%s: paths under %s are refused by the guardrails (" POLICY_GUARDRAILS
			    ")",
			    json_read_name(r, value), *guarded);
			return NULL;
		}
	}
	return text;
}

static void
show_user(FILE *out, const void *target)
{
	const struct policy_profile *p = target;

	(void)fprintf(out, "\"%u:%u\"", (unsigned)p->uid, (unsigned)p->gid);
}

static void
read_workdir(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *path = policy_read_path(r, value, policy_workdir_guarded);

	(void)field;
	if (path != NULL)
		*(const char **)target = path;
}

const char *const *
policy_read_argv(struct json_reader *r, const struct json_node *value)
{
	const char *const *argv = json_read_texts(r, value, 1, ARGV_MAX);
	size_t bytes = 0;

	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
		bytes += strlen(argv[i]);
	if (bytes > ARGV_BYTES_MAX) {
		json_read_diag(r, DIAG_E_TOO_LONG, value, JSON_AT_VALUE, NULL,
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
	const char *const *argv = policy_read_argv(r, value);

	(void)field;
	if (argv != NULL)
		*(const char *const **)target = argv;
}

static void
read_exec_argv(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *const *argv = policy_read_argv(r, value);
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
		json_read_diag(r, DIAG_E_ARGV, value, JSON_AT_VALUE,
		    "for example [\"/bin/sh\", \"-c\", \"" POLICY_COMMAND "\"]",
		    "\"exec\" must hold \"" POLICY_COMMAND "\" exactly once, not %u times", n);
	else if (strcmp(argv[0], POLICY_COMMAND) == 0)
		json_read_diag(r, DIAG_E_ARGV, value, JSON_AT_VALUE,
		    "for example [\"/bin/sh\", \"-c\", \"" POLICY_COMMAND "\"]",
		    "the program itself cannot be \"" POLICY_COMMAND
		    "\": a command is a line of text");
	else
		*(const char *const **)target = argv;
}

static const struct json_field argv_fields[] = {
	{ .key = "shell",
	    .read = read_shell_argv,
	    AT(shell_argv),
	    .schema = TEXTS,
	    .show = policy_show_texts },
	{ .key = "exec", .read = read_exec_argv, AT(exec_argv), .schema = TEXTS, .show = policy_show_texts },
	{ .key = "sftp", .read = json_read_unavailable },
};

static const struct json_table argv_table = JSON_TABLE("\"argv\"", argv_fields);

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
		json_read_diag(r, DIAG_E_NAME, value, JSON_AT_KEY, NULL, "variable \"%s\" %s", name,
		    fault);
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
	if (n > ENV_MAX || bytes > POLICY_ENV_BYTES_MAX)
		json_read_diag(r, DIAG_E_TOO_MANY, value, JSON_AT_KEY, NULL,
		    "\"env\" has %zu variables and %zu bytes together; at most %d and %d are allowed",
		    n, bytes, ENV_MAX, POLICY_ENV_BYTES_MAX);
	*(const char *const **)target = env;
}

static void
show_env(FILE *out, const void *target)
{
	struct json_writer w = { .out = out };

	json_write_open(&w, NULL, '{');
	for (const char *const *e = *(const char *const *const *)target; *e != NULL; e++) {
		size_t len = strcspn(*e, "=");
		char name[NAMES_VARIABLE_MAX + 1];

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, *e);
		json_write_string(&w, name, *e + len + 1);
	}
	json_write_close(&w, '}');
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
		json_read_diag(r, DIAG_E_RANGE, value, JSON_AT_VALUE, NULL,
		    "\"cpus\" must be 0.01 to 1024, such as 1.5");
	else
		*(uint64_t *)target = (uint64_t)(cpus * 1e9 + 0.5);
}

static void
show_cpus(FILE *out, const void *target)
{
	(void)fprintf(out, "%.9g", (double)*(const uint64_t *)target / 1e9);
}

static const struct json_field limit_fields[] = {
	{ .key = "memory", .read = json_read_size, AT(memory), .min = MEMORY_MIN, .max = 64 * TIB },
	{ .key = "swap", .read = json_read_size, AT(swap), .max = 64 * TIB },
	{ .key = "cpus",
	    .read = read_cpus,
	    AT(nano_cpus),
	    .schema = "{\"type\": \"number\", \"minimum\": 0.01, \"maximum\": 1024}",
	    .show = show_cpus },
	{ .key = "pids", .read = json_read_u32, AT(pids), .min = PIDS_MIN, .max = 4194304 },
	{ .key = "nofile", .read = json_read_u32, AT(nofile), .min = 16, .max = 1048576 },
	{ .key = "storage", .read = json_read_unavailable },
	{ .key = "bandwidth", .read = json_read_unavailable },
};

static const struct json_table limits_table = JSON_TABLE("\"limits\"", limit_fields);

static const char *const modes[] = {
	[POLICY_MODE_SESSION] = "session",
	[POLICY_MODE_CONNECTION] = "connection",
	[POLICY_MODE_USER] = "user",
	NULL,
};

static const char *const data_paths[] = {
	[POLICY_DATA_PATH_AUTO] = "auto",
	[POLICY_DATA_PATH_DIRECT] = "direct",
	[POLICY_DATA_PATH_ENGINE] = "engine",
	NULL,
};

static const char *const pulls[] = { "never", NULL };
static const char *const later_pulls[] = { "if-missing", "always", NULL };

static const struct json_field fields[] = {
	{ .key = "mode", .read = json_read_choice, AT(mode), .choices = modes },
	{ .key = "image", .read = read_image, AT(image), .schema = TEXT, .show = policy_show_text },
	{ .key = "user",
	    .read = read_user,
	    .schema = "{\"type\": \"string\", \"pattern\": \"^[0-9]+(:[0-9]+)?$\"}",
	    .show = show_user },
	{ .key = "workdir", .read = read_workdir, AT(workdir), .schema = PATH, .show = policy_show_text },
	{ .key = "argv", .read = json_read_table, .table = &argv_table },
	{ .key = "login_shell", .read = json_read_bool, AT(login_shell) },
	{ .key = "env",
	    .read = read_env,
	    AT(env),
	    .schema = "{\"type\": \"object\", \"patternProperties\": {\"^//\": {}}, "
		      "\"additionalProperties\": {\"type\": \"string\"}}",
	    .show = show_env },
	{ .key = "network", .read = policy_read_network, .schema = TEXT, .show = policy_show_network },
	{ .key = "read_only_root", .read = json_read_bool, AT(read_only_root) },
	{ .key = "mounts",
	    .read = policy_read_mounts,
	    .table = &policy_mount_table,
	    .shape = JSON_SHAPE_LIST,
	    .show = policy_show_mounts },
	{ .key = "limits", .read = json_read_table, .table = &limits_table },
	{ .key = "stop_grace",
	    .read = json_read_duration,
	    AT(stop_grace_ms),
	    .min = 100,
	    .max = 10 * 60 * 1000 },
	{ .key = "pull", .read = json_read_word, .choices = pulls, .later_choices = later_pulls },
	{ .key = "runtime",
	    .read = policy_read_runtime,
	    AT(runtime),
	    .schema = TEXT,
	    .show = policy_show_text },
	{ .key = "data_path", .read = json_read_choice, AT(data_path), .choices = data_paths },
	{ .key = "dns",
	    .read = policy_read_dns,
	    AT(dns),
	    .schema = "{\"type\": \"array\", \"maxItems\": 3, \"items\": " TEXT "}",
	    .show = policy_show_texts },
	{ .key = "keep", .read = json_read_duration, AT(keep_ms), .max = POLICY_TIME_MAX },
	{ .key = "pool", .read = json_read_u32, AT(pool), .max = POLICY_POOL_MAX },
	{ .key = "platform", .read = json_read_unavailable },
	{ .key = "hostname", .read = json_read_unavailable },
	{ .key = "attach", .read = json_read_unavailable },
	{ .key = "privileged", .read = policy_read_guarded },
	{ .key = "capabilities", .read = policy_read_guarded, .hidden = true },
	{ .key = "cap_add", .read = policy_read_guarded, .hidden = true },
	{ .key = "devices", .read = policy_read_guarded, .hidden = true },
	{ .key = "security_opt", .read = policy_read_guarded, .hidden = true },
	{ .key = "sysctls", .read = policy_read_guarded, .hidden = true },
	{ .key = "pid", .read = policy_read_guarded, .hidden = true },
	{ .key = "ipc", .read = policy_read_guarded, .hidden = true },
	{ .key = "userns", .read = policy_read_guarded, .hidden = true },
	{ .key = "ports", .read = policy_read_guarded, .hidden = true },
	{ .key = "memory", .read = read_limit_outside, .hidden = true },
	{ .key = "swap", .read = read_limit_outside, .hidden = true },
	{ .key = "cpus", .read = read_limit_outside, .hidden = true },
	{ .key = "pids", .read = read_limit_outside, .hidden = true },
	{ .key = "nofile", .read = read_limit_outside, .hidden = true },
	{ .key = "tmpfs", .read = read_mount_outside, .hidden = true },
	{ .key = "volumes", .read = read_mount_outside, .hidden = true },
};

const struct json_table policy_container_table = JSON_TABLE("\"container\"", fields);
