/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the broker's configuration, before any privilege goes. The file is the administrator's; nobody
 * else can have written it (read_file.h), and every value is checked all the same.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "host_key.h"
#include "ipc.h"
#include "json_read.h"
#include "lockdown.h"
#include "uid_range.h"

#ifndef SP_WORKER_PATH
#define SP_WORKER_PATH "/usr/libexec/sallyport/sallyportd"
#endif
#ifndef SP_GUEST_DIR
#define SP_GUEST_DIR "/usr/libexec/sallyport/guest"
#endif

#define MIB           (UINT64_C(1) << 20)
#define SECOND        1000u
#define HOUR          (3600 * SECOND)
#define PATH_LEN_MAX  4095
#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
#define WORKER_USER   "sallyport-net"
#define NOBODY        65534

/* Of each worker, where no other is named: far above what Debian and its tools hand out. */
static const struct uid_range default_uids = { 1900000000, 131072 };
#define STARTUPS_MAX    10000
#define CONNECTIONS_MAX 100000
#define NETWORKS_MAX    64

static const char *const default_listen[] = { "0.0.0.0:22", "[::]:22", NULL };
static const char *const default_host_keys[] = {
	"/etc/sallyport/host_ed25519_key",
	"/etc/sallyport/host_rsa_key",
	NULL,
};

/* A configuration together with its memory; config_free() finds one through the other. */
struct owned_config {
	struct config config; /* first */
	struct arena arena;
};

/* What the tables fill beyond struct config. */
struct draft {
	struct config *config;
	const char *directory;        /* of the file, absolute */
	const struct json_node *user; /* worker.user */
	const struct json_node *uids; /* worker.uids */
	const char *view_guest_dir;   /* engine.host_view */
	const char *view_runtime_dir;
};

static const struct config defaults = {
	.listen = default_listen,
	.host_keys = default_host_keys,
	.engine = {
		.socket = "/var/run/docker.sock",
		.call_timeout_ms = 10 * SECOND,
		.start_timeout_ms = 60 * SECOND,
		.probe_interval_ms = 10 * SECOND,
		.starts = 4,
		.guest_dir = SP_GUEST_DIR,
	},
	.worker = {
		.program = SP_WORKER_PATH,
		.sandbox_required = true,
		.prespawn = 2,
		.memory = 256 * MIB,
	},
	.login = {
		.grace_ms = 120 * SECOND,
		.idle_ms = 20 * SECOND,
		.tries = 6,
		.banner = "",
		.keepalive_count = 3,
	},
	.limits = {
		.drain_ms = 10 * SECOND,
	},
	.admission = {
		.startups_start = 10,
		.startups_rate = 30,
		.startups_full = 100,
		.connections = 1000,
		.v4_bits = 32,
		.v6_bits = 64,
		.penalty_ms = {
			[ADMISSION_END_CRASH] = 90 * SECOND,
			[ADMISSION_END_AUTH_FAILED] = 5 * SECOND,
			[ADMISSION_END_DENIED] = 10 * SECOND,
			[ADMISSION_END_NO_AUTH] = 1 * SECOND,
			[ADMISSION_END_GRACE] = 10 * SECOND,
		},
		.penalty_min_ms = 15 * SECOND,
		.penalty_max_ms = 600 * SECOND,
		.penalty_sources = 65536,
	},
	.log_level = LOG_LEVEL_INFO,
	.audit = { .required = true },
	.runtime_dir = "/run/sallyport",
	.state_dir = "/var/lib/sallyport",
};

#define AT(member) .offset = offsetof(struct config, member)
#define PENALTY(name, end)                                                                  \
	{                                                                                   \
		.key = (name), .read = json_read_duration, AT(admission.penalty_ms[(end)]), \
		.max = 24 * HOUR                                                            \
	}

static struct draft *
draft_of(const struct json_reader *r)
{
	return r->context;
}

/* ---- values ---- */

/*
 * Append the names of text to out[*len], an absolute path without a slash at its end. Engines make the same of the
 * paths that they get, and are held to them letter by letter. A ".." takes a name away at the beginning only, where
 * out has no links: behind a name of text's it may lead elsewhere. False: there is one.
 */
static bool
append_names(char *out, size_t *len, const char *text)
{
	bool named = false;

	for (const char *p = text + strspn(text, "/"); *p != '\0'; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (n == 2 && strncmp(p, "..", n) == 0) {
			if (named)
				return false;
			while (*len > 0 && out[--*len] != '/')
				;
		} else if (n != 1 || *p != '.') {
			out[(*len)++] = '/';
			memmove(out + *len, p, n);
			*len += n;
			named = true;
		}
		p += n;
	}
	return true;
}

/* The one spelling of a path, absolute; NULL after saying what is wrong. directory: of relative ones. */
static const char *
clean(struct json_reader *r, const struct json_node *value, const char *directory, const char *text)
{
	const char *start = text[0] == '/' || strcmp(directory, "/") == 0 ? "" : directory;
	size_t len = strlen(start);
	char *path = arena_format(r->arena, "%s/%s", start, text);

	if (path == NULL)
		return NULL;
	if (!append_names(path, &len, text)) {
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE, "write the path without it",
		    "%s has a \"..\" behind a name, which leads elsewhere when that is a link",
		    json_read_name(r, value));
		return NULL;
	}
	if (len == 0)
		path[len++] = '/';
	path[len] = '\0';
	return path;
}

/* A path made absolute; NULL after saying what is wrong. */
static const char *
absolute(struct json_reader *r, const struct json_node *value, size_t max)
{
	const char *text = json_read_text(r, value, 1, max);
	const char *path = text != NULL ? clean(r, value, draft_of(r)->directory, text) : NULL;

	if (path == NULL || strlen(path) <= max)
		return path;
	json_read_diag(r, DIAG_E_TOO_LONG, value, JSON_AT_VALUE, NULL,
	    "%s is too long together with the directory of this file: at most %zu bytes",
	    json_read_name(r, value), max);
	return NULL;
}

static void
read_path(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *path = absolute(r, value, field->max != 0 ? field->max : PATH_LEN_MAX);

	if (path != NULL)
		*(const char **)target = path;
}

/* Docker's own tools name a socket by a URL. */
static void
read_engine_socket(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *text = json_node_kind(value) == JSON_KIND_STRING ? json_node_string(value) : "";

	if (strstr(text, "://") != NULL)
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE,
		    strncmp(text, "unix://", 7) == 0 ? "leave \"unix://\" out" : NULL,
		    "%s must be the path of a Unix socket, and no URL", json_read_name(r, value));
	else
		read_path(r, value, field, target);
}

/* A path on another host, the engine's: ours say nothing about it. */
static void
read_foreign_path(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *text = json_read_text(r, value, 1, PATH_LEN_MAX);
	const char *path = NULL;

	(void)field;
	if (text != NULL && text[0] != '/')
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE, NULL,
		    "%s must be an absolute path", json_read_name(r, value));
	else if (text != NULL)
		path = clean(r, value, "/", text);
	if (path != NULL)
		*(const char **)target = path;
}

/* systemd takes more for a name; these are enough, and are one file in one directory. */
static bool
is_credential_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 255 && name[0] != '.' &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

/* A path made absolute, or a credential as it stands: where that is found out when it is read. */
static const char *
host_key_source(struct json_reader *r, const struct json_node *value)
{
	const char *text = json_read_text(r, value, 1, PATH_LEN_MAX);
	const char *name = text != NULL ? host_key_credential(text) : NULL;

	if (name == NULL)
		return absolute(r, value, PATH_LEN_MAX);
	if (is_credential_name(name))
		return text;
	json_read_diag(r, DIAG_E_NAME, value, JSON_AT_VALUE, NULL,
	    "\"%s\" names no credential: letters, digits, \"_\", \".\" and \"-\"", text);
	return NULL;
}

static void
read_host_keys(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *const *given = json_read_texts(r, value, field->min, field->max);
	const struct json_node *e;
	const char **paths;
	size_t n = 0;

	if (given == NULL)
		return;
	paths = arena_array(r->arena, json_node_count(value) + 1, sizeof(*paths));
	if (paths == NULL)
		return;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e)) {
		paths[n] = host_key_source(r, e);
		if (paths[n] == NULL)
			return;
		for (size_t i = 0; i < n; i++) {
			if (strcmp(paths[i], paths[n]) == 0)
				json_read_diag(r, DIAG_E_TWICE, e, JSON_AT_VALUE, NULL,
				    "\"%s\" is listed twice", json_node_string(e));
		}
		n++;
	}
	*(const char *const **)target = paths;
}

static bool
is_port(const char *text)
{
	unsigned long port = 0;
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (unsigned long)(text[i] - '0');
		if (port > 65535)
			return false;
	}
	return len >= 1 && len <= 5 && port != 0;
}

/* Why this is no "address:port", or NULL. Numeric only: names may change under a running service. */
static const char *
address_fault(const char *text)
{
	const char *colon = strrchr(text, ':');
	char address[INET6_ADDRSTRLEN] = "";
	struct in6_addr binary;
	size_t len;
	bool v6 = text[0] == '[';

	if (colon == NULL)
		return "has no port: \"0.0.0.0:22\", \"[::]:22\"";
	len = (size_t)(colon - text);
	if (v6 && (len < 2 || text[len - 1] != ']'))
		return "has no \"]\" before its port";
	if (v6) {
		text++;
		len -= 2;
	}
	if (len >= sizeof(address))
		return "has no valid address";
	memcpy(address, text, len);
	if (!v6 && strchr(address, ':') != NULL)
		return "is IPv6 without brackets: \"[::]:22\"";
	if (inet_pton(v6 ? AF_INET6 : AF_INET, address, &binary) != 1)
		return "has no valid numeric address: \"0.0.0.0:22\", \"[::]:22\"";
	return is_port(colon + 1) ? NULL : "has no valid port; ports are 1 to 65535";
}

static void
read_listen(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *const *addresses = json_read_texts(r, value, field->min, field->max);
	const struct json_node *e;
	size_t n = 0;

	if (addresses == NULL)
		return;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e), n++) {
		const char *fault = address_fault(addresses[n]);

		for (size_t i = 0; fault == NULL && i < n; i++)
			fault = strcmp(addresses[i], addresses[n]) == 0 ? "is listed twice" : NULL;
		if (fault != NULL)
			json_read_diag(r, DIAG_E_ADDRESS, e, JSON_AT_VALUE, NULL, "\"%s\" %s",
			    addresses[n], fault);
	}
	*(const char *const **)target = addresses;
}

/* ---- sections ---- */

static void
read_host_view(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "guest_dir",
		    .read = read_foreign_path,
		    .offset = offsetof(struct draft, view_guest_dir),
		    .required = true },
		{ .key = "runtime_dir",
		    .read = read_foreign_path,
		    .offset = offsetof(struct draft, view_runtime_dir),
		    .required = true },
	};

	(void)field;
	(void)target;
	json_read_object(r, value, "\"host_view\"", fields, SP_ARRAY_LEN(fields), draft_of(r));
}

static void
read_engine(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const struct json_field fields[] = {
		{ .key = "socket", .read = read_engine_socket, AT(engine.socket), .max = UNIX_PATH_MAX },
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
		{ .key = "guest_dir", .read = read_path, AT(engine.guest_dir) },
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
		draft_of(r)->user = value;
}

static void
read_worker_uids(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	struct config_worker *worker = &draft_of(r)->config->worker;
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
	draft_of(r)->uids = value;
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
		{ .key = "program", .read = read_path, AT(worker.program) },
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
		{ .key = "file", .read = read_path, AT(audit.file), .required = true },
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
		{ .key = "socket", .read = read_path, AT(control.socket), .max = UNIX_PATH_MAX },
		{ .key = "group", .read = read_group, AT(control) },
	};

	(void)field;
	json_read_object(r, value, "\"control\"", fields, SP_ARRAY_LEN(fields), target);
}

static const struct json_field top_fields[] = {
	{ .key = "listen", .read = read_listen, AT(listen), .max = CONFIG_LISTEN_MAX },
	{ .key = "host_keys", .read = read_host_keys, AT(host_keys), .min = 1, .max = IPC_HOST_KEYS_MAX },
	{ .key = "make_host_keys", .read = json_read_bool, AT(make_host_keys) },
	{ .key = "engine", .read = read_engine },
	{ .key = "policy", .read = read_path, AT(policy), .required = true },
	{ .key = "policy_shadow", .read = read_path, AT(policy_shadow) },
	{ .key = "worker", .read = read_worker },
	{ .key = "login", .read = read_login },
	{ .key = "limits", .read = read_limits },
	{ .key = "proxy_protocol", .read = json_read_networks, AT(proxy_protocol), .max = NETWORKS_MAX },
	{ .key = "log", .read = read_log },
	{ .key = "runtime_dir", .read = read_path, AT(runtime_dir) },
	{ .key = "state_dir", .read = read_path, AT(state_dir) },
	{ .key = "audit", .read = read_audit },
	{ .key = "recordings", .read = json_read_unavailable },
	{ .key = "control", .read = read_control },
	{ .key = "metrics", .read = json_read_unavailable },
};

/* ---- the user of the workers ---- */

static bool
find_uid(int64_t number, struct config_worker *worker)
{
	const struct passwd *entry;

	if (number < 0 || number > 2147483647)
		return false;
	entry = getpwuid((uid_t)number);
	worker->uid = (uid_t)number;
	worker->gid = entry != NULL ? entry->pw_gid : (gid_t)number;
	return true;
}

/* A name, or a uid in digits, which needs no entry in the password file. */
static bool
find_name(const char *name, struct config_worker *worker)
{
	const struct passwd *entry = getpwnam(name);
	size_t len = strlen(name);

	if (entry == NULL && len > 0 && len <= 10 && strspn(name, "0123456789") == len)
		return find_uid(strtoll(name, NULL, 10), worker);
	if (entry == NULL)
		return false;
	worker->uid = entry->pw_uid;
	worker->gid = entry->pw_gid;
	return true;
}

/*
 * No range is to be had: this is a user namespace that does not have the numbers. All workers share a
 * user then; without the one that the package makes nobody's uid will do, and is said aloud.
 */
static void
use_default_user(struct json_reader *r, const struct json_node *root)
{
	struct config_worker *worker = &draft_of(r)->config->worker;

	if (find_name(WORKER_USER, worker))
		return;
	worker->uid = NOBODY;
	worker->gid = NOBODY;
	/* After an error the user may just be what could not be read. */
	if (r->diags->n_errors != r->errors_before)
		return;
	json_read_diag(r, DIAG_W_NO_WORKER_USER, root, JSON_AT_VALUE,
	    "make that user, or name another: \"worker\": { \"user\": ... }",
	    "there is no user \"" WORKER_USER "\": workers run as nobody (%d)", NOBODY);
}

static void
use_named_user(struct json_reader *r, const struct json_node *node)
{
	struct config_worker *worker = &draft_of(r)->config->worker;
	bool number = json_node_kind(node) == JSON_KIND_INTEGER;
	bool found = number ? find_uid(json_node_integer(node), worker)
			    : find_name(json_node_string(node), worker);

	if (!found && number)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "this is no uid: 1 to 2147483647");
	else if (!found)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "there is no user \"%s\"", json_node_string(node));
	else if (worker->uid == 0 || worker->gid == 0)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "workers face the network and must not run as root");
}

/* Is the range good for this host and for as many workers as there may be? */
static void
check_uids(struct json_reader *r, const struct json_node *node)
{
	const struct config *c = draft_of(r)->config;
	const struct uid_range range = { c->worker.uid, c->worker.n_uids };
	uint32_t workers = c->admission.connections + c->worker.prespawn;
	char why[512];

	if (range.count < workers)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "\"uids\" has %u uids for up to %u workers: \"limits.connections\" is %u and "
		    "\"worker.prespawn\" is %u",
		    range.count, workers, c->admission.connections, c->worker.prespawn);
	else if (uid_range_taken(&range, &uid_range_system_files, why, sizeof(why)) != 0)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE,
		    "name a range that nobody uses",
		    "\"uids\" %s: no other user may have a worker's uid", why);
	else if (uid_range_unmapped(&range, &uid_range_system_files, why, sizeof(why)) != 0)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL, "\"uids\" %s", why);
}

static void
use_default_uids(struct json_reader *r, const struct json_node *root)
{
	struct config_worker *worker = &draft_of(r)->config->worker;
	char why[512];

	if (uid_range_unmapped(&default_uids, &uid_range_system_files, why, sizeof(why)) != 0) {
		use_default_user(r, root);
		return;
	}
	worker->uid = default_uids.first;
	worker->n_uids = default_uids.count;
	if (uid_range_taken(&default_uids, &uid_range_system_files, why, sizeof(why)) != 0)
		json_read_diag(r, DIAG_E_WORKER_USER, root, JSON_AT_VALUE,
		    "name another: \"worker\": { \"uids\": \"FIRST-LAST\" }",
		    "the default range of the workers' uids %s", why);
}

static void
find_worker_user(struct json_reader *r, const struct json_node *root)
{
	const struct draft *d = draft_of(r);
	struct config_worker *worker = &d->config->worker;

	/* Who may not change its uid starts workers as whoever it is. */
	if (!lockdown_has_cap(CAP_SETUID) || !lockdown_has_cap(CAP_SETGID)) {
		worker->uid = geteuid();
		worker->gid = getegid();
		worker->n_uids = 0;
	} else if (d->user != NULL && d->uids != NULL) {
		json_read_diag(r, DIAG_E_WORKER_USER, d->user, JSON_AT_KEY, "leave \"user\" out",
		    "\"user\" and \"uids\" exclude each other: one user for all workers, or a uid for "
		    "each");
	} else if (d->user != NULL) {
		use_named_user(r, d->user);
	} else if (d->uids != NULL) {
		check_uids(r, d->uids);
	} else {
		use_default_uids(r, root);
	}
	if (worker->n_uids != 0)
		worker->gid = (gid_t)worker->uid;
}

/* ---- the whole ---- */

static void
use_default_control(struct json_reader *r, const struct json_node *root)
{
	struct config *c = draft_of(r)->config;

	c->control.socket = arena_format(r->arena, "%s/control.sock", c->runtime_dir);
	if (c->control.socket != NULL && strlen(c->control.socket) > UNIX_PATH_MAX)
		json_read_diag(r, DIAG_E_TOO_LONG, root, JSON_AT_VALUE,
		    "name another: \"control\": { \"socket\": ... }",
		    "\"runtime_dir\" is too long for the control socket in it: at most %zu bytes",
		    UNIX_PATH_MAX - sizeof("/control.sock") + 1);
}

static int
read_document(const struct json_text *text, const char *directory, struct owned_config *owned,
    struct diag_list *diags)
{
	struct draft d = { .config = &owned->config, .directory = directory };
	struct json_reader r;

	owned->config = defaults;
	json_read_init(&r, diags, &owned->arena, &d);
	json_read_object(&r, json_text_root(text), "the configuration", top_fields,
	    SP_ARRAY_LEN(top_fields), &owned->config);
	find_worker_user(&r, json_text_root(text));
	owned->config.engine.view_guest_dir =
	    d.view_guest_dir != NULL ? d.view_guest_dir : owned->config.engine.guest_dir;
	owned->config.engine.view_runtime_dir =
	    d.view_runtime_dir != NULL ? d.view_runtime_dir : owned->config.runtime_dir;
	if (owned->config.control.socket == NULL)
		use_default_control(&r, json_text_root(text));
	return json_read_finish(&r);
}

/* The directory of a file, absolute, from malloc; NULL with errno. */
static char *
directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash == NULL ? strdup(".")
	    : slash == path             ? strdup("/")
					: strndup(path, (size_t)(slash - path));
	char *absolute_path = directory == NULL ? NULL : realpath(directory, NULL);

	free(directory);
	return absolute_path;
}

int
config_load(const char *path, struct config **ret, struct diag_list *diags)
{
	SP_CLEANUP(json_text_freep) struct json_text *text = NULL;
	struct owned_config *owned;
	char *directory;
	int r = json_text_load(path, &text, diags);

	if (r != 0)
		return r < 0 ? r : CONFIG_E_INVALID;
	directory = directory_of(path);
	owned = calloc(1, sizeof(*owned));
	if (directory == NULL || owned == NULL)
		r = errno != 0 ? -errno : -ENOMEM;
	else
		r = read_document(text, directory, owned, diags);
	free(directory);
	if (r < 0)
		diag_add(diags, DIAG_E_FILE, path, 0, 0, 0, NULL, NULL, "%s", strerror(-r));
	if (r != 0) {
		if (owned != NULL)
			config_free(&owned->config);
		return r < 0 ? r : CONFIG_E_INVALID;
	}
	*ret = &owned->config;
	return 0;
}

void
config_free(struct config *c)
{
	struct owned_config *owned;

	if (c == NULL)
		return;
	owned = (struct owned_config *)c;
	arena_clear(&owned->arena);
	free(owned);
}

void
config_freep(struct config **c)
{
	config_free(*c);
	*c = NULL;
}
