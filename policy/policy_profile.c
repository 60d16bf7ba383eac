/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles: defaults, inheritance and sessions. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <string.h>

#include "ipc.h"
#include "names.h"
#include "suggest.h"

#define MIB (UINT64_C(1) << 20)

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

/* ---- session ---- */

static void
read_exec_allowed(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	if (json_node_kind(value) == JSON_KIND_ARRAY)
		json_read_diag(r, DIAG_E_UNAVAILABLE, value, JSON_AT_VALUE,
		    "\"exec\" is true or false",
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
			json_read_diag(r, DIAG_E_NAME, e, JSON_AT_VALUE, NULL, "pattern \"%s\" %s",
			    name, names_variable_fault(name, true));
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
	{ .key = "container", .read = policy_read_container },
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
	json_read_diag(&d->reader, DIAG_E_NO_SUCH_PROFILE, extends, JSON_AT_VALUE,
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
	json_read_diag(&d->reader, DIAG_E_EXTENDS, json_node_find(profile->node, "extends"),
	    JSON_AT_VALUE, NULL,
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
			json_read_diag(&d->reader, DIAG_E_NAME, e, JSON_AT_KEY, NULL,
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
	json_read_diag(&d->reader, DIAG_E_NO_IMAGE, profile->node, JSON_AT_KEY,
	    "\"container\": { \"image\": ... }", "profile \"%s\" has no image",
	    json_node_key(profile->node));
}

void
policy_finish_profiles(struct policy_draft *d)
{
	/* With an error anywhere, what is missing may just be what could not be read. */
	bool broken = d->reader.diags->n_errors != d->reader.errors_before;
	const struct policy_profile **list =
	    arena_array(d->reader.arena, d->n_draft_profiles, sizeof(void *));
	size_t n = 0;

	for (size_t i = 0; list != NULL && i < d->n_draft_profiles; i++) {
		struct policy_draft_profile *profile = &d->draft_profiles[i];

		check_image(d, profile, broken);
		if (!profile->used && !profile->extended && !broken)
			json_read_diag(&d->reader, DIAG_W_UNUSED_PROFILE, profile->node, JSON_AT_KEY,
			    NULL, "profile \"%s\" is used by no rule", json_node_key(profile->node));
		if (profile->profile.image != NULL)
			list[n++] = &profile->profile;
	}
	d->policy->profiles = list;
	d->policy->n_profiles = n;
}
