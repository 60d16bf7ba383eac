/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's configuration: one table for each object of the file, with what each key holds and within
 * which bounds. The last is the file itself.
 */
#include <grp.h>
#include <string.h>

#include "config_priv.h"
#include "ipc.h"
#include "uid_range.h"

#define STARTUPS_MAX    10000
#define CONNECTIONS_MAX 100000
#define NETWORKS_MAX    64

#define AT(member) .offset = offsetof(struct config, member)
#define PENALTY(name, end)                                                                  \
	{                                                                                   \
		.key = (name), .read = json_read_duration, AT(admission.penalty_ms[(end)]), \
		.max = 24 * HOUR                                                            \
	}

static void
read_host_view(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "guest_dir",
		    .read = config_read_foreign_path,
		    .offset = offsetof(struct config_draft, view_guest_dir),
		    .required = true },
		{ .key = "runtime_dir",
		    .read = config_read_foreign_path,
		    .offset = offsetof(struct config_draft, view_runtime_dir),
		    .required = true },
	};

	(void)field;
	(void)target;
	json_read_object(r, value, "\"host_view\"", fields, SP_ARRAY_LEN(fields), config_draft_of(r));
}

static void
read_engine(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "socket",
		    .read = config_read_engine_socket,
		    AT(engine.socket),
		    .max = UNIX_PATH_MAX },
		{ .key = "call_timeout",
		    .read = json_read_duration,
		    AT(engine.call_timeout_ms),
		    .min = 100,
		    .max = 600 * SECOND },
		{ .key = "start_timeout",
		    .read = json_read_duration,
		    AT(engine.start_timeout_ms),
		    .min = SECOND,
		    .max = HOUR },
		{ .key = "probe_interval",
		    .read = json_read_duration,
		    AT(engine.probe_interval_ms),
		    .min = SECOND,
		    .max = HOUR },
		{ .key = "starts", .read = json_read_u32, AT(engine.starts), .min = 1, .max = 64 },
		{ .key = "guest_dir", .read = config_read_path, AT(engine.guest_dir) },
		{ .key = "host_view", .read = read_host_view },
	};

	(void)field;
	json_read_object(r, value, "\"engine\"", fields, SP_ARRAY_LEN(fields), target);
}

/* Kept for later: who it is depends on who we are. */
static void
read_worker_user(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)field;
	(void)target;
	if (json_node_kind(value) == JSON_KIND_INTEGER ||
	    json_read_expect(r, value, JSON_KIND_STRING, "the name or the uid of a user"))
		config_draft_of(r)->user = value;
}

static void
read_worker_uids(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	struct config_worker *worker = &config_draft_of(r)->config->worker;
	struct uid_range range = { 0, 0 };
	const char *text = json_read_text(r, value, 1, 64);
	const char *fault = text != NULL ? uid_range_parse(text, &range) : NULL;

	(void)field;
	(void)target;
	if (fault != NULL)
		json_read_diag(r, DIAG_E_WORKER_USER, value, JSON_AT_VALUE, NULL, "%s %s",
		    json_read_name(r, value), fault);
	if (text == NULL || fault != NULL)
		return;
	config_draft_of(r)->uids = value;
	worker->uid = range.first;
	worker->n_uids = range.count;
}

static void
read_sandbox(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	int choice = 0;

	json_read_choice(r, value, field, &choice);
	*(bool *)target = choice == 0;
}

static void
read_worker(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const char *const sandboxes[] = { "required", "best-effort", NULL };
	static const struct json_field fields[] = {
		{ .key = "program", .read = config_read_path, AT(worker.program) },
		{ .key = "user", .read = read_worker_user },
		{ .key = "uids", .read = read_worker_uids },
		{ .key = "sandbox",
		    .read = read_sandbox,
		    AT(worker.sandbox_required),
		    .choices = sandboxes },
		{ .key = "prespawn", .read = json_read_u32, AT(worker.prespawn), .max = 64 },
		{ .key = "memory",
		    .read = json_read_size,
		    AT(worker.memory),
		    .min = 32 * MIB,
		    .max = 65536 * MIB },
	};

	(void)field;
	json_read_object(r, value, "\"worker\"", fields, SP_ARRAY_LEN(fields), target);
}

/* What is counted in seconds: by the protocol, or by a deadline. */
static void
read_seconds(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	uint32_t ms = 0;

	json_read_duration(r, value, field, &ms);
	if (ms % SECOND != 0)
		json_read_diag(r, DIAG_E_RANGE, value, JSON_AT_VALUE, NULL,
		    "%s must be whole seconds", json_read_name(r, value));
	else
		*(uint32_t *)target = ms;
}

/* A plain number is a limit without early drop. */
static void
read_startups(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "start",
		    .read = json_read_u32,
		    AT(admission.startups_start),
		    .min = 1,
		    .max = STARTUPS_MAX,
		    .required = true },
		{ .key = "rate",
		    .read = json_read_u32,
		    AT(admission.startups_rate),
		    .min = 1,
		    .max = 100,
		    .required = true },
		{ .key = "full",
		    .read = json_read_u32,
		    AT(admission.startups_full),
		    .min = 1,
		    .max = STARTUPS_MAX,
		    .required = true },
	};
	struct config *c = target;
	struct admission_options *o = &c->admission;

	if (json_node_kind(value) == JSON_KIND_INTEGER) {
		json_read_u32(r, value, field, &o->startups_full);
		o->startups_start = o->startups_full;
		o->startups_rate = 100;
	} else if (json_read_expect(r, value, JSON_KIND_OBJECT,
		       "a whole number, or an object of \"start\", \"rate\" and \"full\"")) {
		json_read_object(r, value, "\"max_startups\"", fields, SP_ARRAY_LEN(fields), target);
		if (o->startups_start > o->startups_full)
			json_read_diag(r, DIAG_E_RANGE, value, JSON_AT_VALUE, NULL,
			    "\"start\" is %u, more than \"full\", which is %u", o->startups_start,
			    o->startups_full);
	}
}

static void
read_overflow(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	int choice = 0;

	json_read_choice(r, value, field, &choice);
	*(bool *)target = choice == 1;
}

/* false: none; true: the defaults. */
static void
read_penalties(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const char *const overflows[] = { "permissive", "deny-all", NULL };
	static const struct json_field fields[] = {
		PENALTY("crash", ADMISSION_END_CRASH),
		PENALTY("auth_failed", ADMISSION_END_AUTH_FAILED),
		PENALTY("denied", ADMISSION_END_DENIED),
		PENALTY("no_auth", ADMISSION_END_NO_AUTH),
		PENALTY("grace", ADMISSION_END_GRACE),
		{ .key = "min",
		    .read = json_read_duration,
		    AT(admission.penalty_min_ms),
		    .max = 24 * HOUR },
		{ .key = "max",
		    .read = json_read_duration,
		    AT(admission.penalty_max_ms),
		    .min = SECOND,
		    .max = 24 * HOUR },
		{ .key = "sources",
		    .read = json_read_u32,
		    AT(admission.penalty_sources),
		    .min = 1,
		    .max = 1 << 20 },
		{ .key = "overflow",
		    .read = read_overflow,
		    AT(admission.penalty_deny_all),
		    .choices = overflows },
	};
	struct config *c = target;
	struct admission_options *o = &c->admission;

	(void)field;
	if (json_node_kind(value) == JSON_KIND_BOOLEAN) {
		if (!json_node_boolean(value))
			memset(o->penalty_ms, 0, sizeof(o->penalty_ms));
	} else if (json_read_expect(r, value, JSON_KIND_OBJECT, "an object, true or false")) {
		json_read_object(r, value, "\"penalties\"", fields, SP_ARRAY_LEN(fields), target);
		if (o->penalty_min_ms > o->penalty_max_ms)
			json_read_diag(r, DIAG_E_RANGE, value, JSON_AT_VALUE, NULL,
			    "\"min\" is longer than \"max\": no penalty would ever count");
	}
}

static void
read_login(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "grace", .read = read_seconds, AT(login.grace_ms), .min = SECOND, .max = HOUR },
		{ .key = "idle", .read = read_seconds, AT(login.idle_ms), .min = SECOND, .max = HOUR },
		{ .key = "tries", .read = json_read_u32, AT(login.tries), .min = 1, .max = 100 },
		{ .key = "banner", .read = json_read_lines, AT(login.banner), .max = IPC_TEXT_MAX },
		{ .key = "keepalive", .read = read_seconds, AT(login.keepalive_ms), .max = 24 * HOUR },
		{ .key = "keepalive_count",
		    .read = json_read_u32,
		    AT(login.keepalive_count),
		    .min = 1,
		    .max = 100 },
		{ .key = "older_clients", .read = json_read_bool, AT(login.older_clients) },
		{ .key = "max_startups", .read = read_startups, .min = 1, .max = STARTUPS_MAX },
		{ .key = "penalties", .read = read_penalties },
	};

	(void)field;
	json_read_object(r, value, "\"login\"", fields, SP_ARRAY_LEN(fields), target);
}

static void
read_per_source(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	static const struct json_field fields[] = {
		{ .key = "v4_bits", .read = json_read_u32, AT(admission.v4_bits), .min = 1, .max = 32 },
		{ .key = "v6_bits", .read = json_read_u32, AT(admission.v6_bits), .min = 1, .max = 128 },
		{ .key = "startups",
		    .read = json_read_u32,
		    AT(admission.source_startups),
		    .max = STARTUPS_MAX },
		{ .key = "connections",
		    .read = json_read_u32,
		    AT(admission.source_connections),
		    .max = CONNECTIONS_MAX },
		{ .key = "exempt", .read = json_read_networks, AT(admission.exempt), .max = NETWORKS_MAX },
	};

	(void)field;
	json_read_object(r, value, "\"per_source\"", fields, SP_ARRAY_LEN(fields), target);
}

static void
read_limits(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "connections",
		    .read = json_read_u32,
		    AT(admission.connections),
		    .min = 1,
		    .max = CONNECTIONS_MAX },
		{ .key = "per_source", .read = read_per_source },
		{ .key = "drain", .read = json_read_duration, AT(limits.drain_ms), .max = 24 * HOUR },
	};

	(void)field;
	json_read_object(r, value, "\"limits\"", fields, SP_ARRAY_LEN(fields), target);
}

static void
read_log(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const char *const levels[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARN] = "warn",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
		NULL,
	};
	static const struct json_field fields[] = {
		{ .key = "level", .read = json_read_choice, AT(log_level), .choices = levels },
	};

	(void)field;
	json_read_object(r, value, "\"log\"", fields, SP_ARRAY_LEN(fields), target);
}

static void
read_audit(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "file", .read = config_read_path, AT(audit.file), .required = true },
		{ .key = "required", .read = json_read_bool, AT(audit.required) },
	};

	(void)field;
	json_read_object(r, value, "\"audit\"", fields, SP_ARRAY_LEN(fields), target);
}

static void
read_group(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *name = json_read_text(r, value, 1, 64);
	const struct group *entry = name != NULL ? getgrnam(name) : NULL;
	struct config_control *control = target;

	(void)field;
	if (entry != NULL) {
		control->has_group = true;
		control->group = entry->gr_gid;
	} else if (name != NULL) {
		json_read_diag(r, DIAG_E_NAME, value, JSON_AT_VALUE, NULL,
		    "there is no group \"%s\"", name);
	}
}

static void
read_control(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "socket", .read = config_read_path, AT(control.socket), .max = UNIX_PATH_MAX },
		{ .key = "group", .read = read_group, AT(control) },
	};

	(void)field;
	json_read_object(r, value, "\"control\"", fields, SP_ARRAY_LEN(fields), target);
}

static const struct json_field top_fields[] = {
	{ .key = "listen", .read = config_read_listen, AT(listen), .max = CONFIG_LISTEN_MAX },
	{ .key = "host_keys",
	    .read = config_read_host_keys,
	    AT(host_keys),
	    .min = 1,
	    .max = IPC_HOST_KEYS_MAX },
	{ .key = "make_host_keys", .read = json_read_bool, AT(make_host_keys) },
	{ .key = "engine", .read = read_engine },
	{ .key = "policy", .read = config_read_path, AT(policy), .required = true },
	{ .key = "policy_shadow", .read = config_read_path, AT(policy_shadow) },
	{ .key = "worker", .read = read_worker },
	{ .key = "login", .read = read_login },
	{ .key = "limits", .read = read_limits },
	{ .key = "proxy_protocol", .read = json_read_networks, AT(proxy_protocol), .max = NETWORKS_MAX },
	{ .key = "log", .read = read_log },
	{ .key = "runtime_dir", .read = config_read_path, AT(runtime_dir) },
	{ .key = "state_dir", .read = config_read_path, AT(state_dir) },
	{ .key = "audit", .read = read_audit },
	{ .key = "recordings", .read = json_read_unavailable },
	{ .key = "control", .read = read_control },
	{ .key = "metrics", .read = json_read_unavailable },
};

void
config_read_keys(struct json_reader *r, const struct json_node *root)
{
	json_read_object(r, root, "the configuration", top_fields, SP_ARRAY_LEN(top_fields),
	    config_draft_of(r)->config);
}
