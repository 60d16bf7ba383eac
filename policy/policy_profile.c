/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles: defaults, inheritance and sessions. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <stdio.h>
#include <string.h>

#include "ipc.h"
#include "json_write.h"
#include "names.h"
#include "suggest.h"

#define MIB               (UINT64_C(1) << 20)
#define PATTERNS_MAX      256 /* commands of one profile */
#define PATTERN_WORDS_MAX 64

static const char *const default_shell[] = { "/bin/sh", NULL };
static const char *const default_exec[] = { "/bin/sh", "-c", POLICY_COMMAND, NULL };
static const char *const default_env[] = { "LANG", "LC_*", NULL };
static const char *const nothing[] = { NULL };
static const struct policy_tmpfs default_tmpfs[] = { { "/tmp", 64 * MIB } };

static const struct policy_profile defaults = {
	.mode = POLICY_MODE_CONNECTION,
	.uid = 1000,
	.gid = 1000,
	.shell_argv = default_shell,
	.login_shell = true,
	.exec_argv = default_exec,
	.env = nothing,
	.network = POLICY_NETWORK_NONE,
	.data_path = POLICY_DATA_PATH_AUTO,
	.dns = nothing,
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
	.warn_ms = 60000,
	.forward_local = nothing,
	.forward_remote = nothing,
	.channels = 10,
};

#define AT(member) .offset = offsetof(struct policy_profile, member)

/* ---- session ---- */

/* One command as arguments: its program, and what may follow. */
static const char *const *
read_pattern(struct json_reader *r, const struct json_node *value)
{
	const char *const *words = json_read_texts(r, value, 1, PATTERN_WORDS_MAX);
	const char *why = NULL;

	if (words == NULL)
		return NULL;
	if (words[0][strcspn(words[0], "*?")] != '\0')
		why = "the program itself must be a plain word";
	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], "**") == 0 && words[i + 1] != NULL)
			why = "\"**\" stands for all further arguments and must be the last one";
	}
	if (why != NULL)
		json_read_diag(r, DIAG_E_ARGV, value, JSON_AT_VALUE,
		    "for example [\"git-upload-pack\", \"*\"]", "%s", why);
	return why == NULL ? words : NULL;
}

static void
read_exec_allowed(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	struct policy_profile *p = target;
	const char *const **patterns;
	const struct json_node *e;
	size_t n = 0;

	(void)field;
	if (json_node_kind(value) != JSON_KIND_ARRAY) {
		if (!json_read_expect(r, value, JSON_KIND_BOOLEAN,
			"true, false or a list of commands"))
			return;
		p->exec = json_node_boolean(value);
		p->exec_patterns = NULL;
		return;
	}
	if (json_node_count(value) > PATTERNS_MAX) {
		json_read_diag(r, DIAG_E_TOO_MANY, value, JSON_AT_VALUE, NULL,
		    "\"exec\" has %zu elements, at most %d are allowed", json_node_count(value),
		    PATTERNS_MAX);
		return;
	}
	patterns = arena_array(r->arena, json_node_count(value) + 1, sizeof(*patterns));
	for (e = json_node_first(value); patterns != NULL && e != NULL; e = json_node_next(e)) {
		patterns[n] = read_pattern(r, e);
		n += patterns[n] != NULL;
	}
	p->exec = n > 0;
	p->exec_patterns = patterns;
}

static void
show_exec(FILE *out, const void *target)
{
	const struct policy_profile *p = target;
	struct json_writer w = { .out = out };

	if (p->exec_patterns == NULL) {
		(void)fputs(p->exec ? "true" : "false", out);
		return;
	}
	json_write_open(&w, NULL, '[');
	for (const char *const *const *pattern = p->exec_patterns; *pattern != NULL; pattern++) {
		json_write_open(&w, NULL, '[');
		for (const char *const *word = *pattern; *word != NULL; word++)
			json_write_string(&w, NULL, *word);
		json_write_close(&w, ']');
	}
	json_write_close(&w, ']');
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

static const char *const records[] = { "off", NULL };
static const char *const later_records[] = { "strict", "best-effort", NULL };

static const struct json_field session_fields[] = {
	{ .key = "pty", .read = json_read_bool, AT(pty) },
	{ .key = "shell", .read = json_read_bool, AT(shell) },
	{ .key = "exec",
	    .read = read_exec_allowed,
	    .schema = "{\"anyOf\": [{\"type\": \"boolean\"}, {\"type\": \"array\", \"items\": "
		      "{\"type\": \"array\", \"minItems\": 1, \"items\": {\"type\": \"string\"}}}]}",
	    .show = show_exec },
	{ .key = "env",
	    .read = read_accept_env,
	    AT(accept_env),
	    .max = IPC_ENV_MAX,
	    .schema = "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}",
	    .show = policy_show_texts },
	{ .key = "channels", .read = json_read_u32, AT(channels), .min = 1, .max = IPC_CHANNEL_MAX },
	{ .key = "subsystems",
	    .read = policy_read_subsystems,
	    .schema = "{\"type\": \"object\", \"patternProperties\": {\"^//\": {}}, \"additionalProperties\": {\"anyOf\": ["
		      "{\"type\": \"boolean\"}, {\"const\": \"read-only\"}, {\"type\": \"array\", "
		      "\"minItems\": 1, \"items\": {\"type\": \"string\"}}]}}",
	    .show = policy_show_subsystems },
	{ .key = "forward", .read = json_read_table, .table = &policy_forward_table },
	{ .key = "idle", .read = json_read_duration, AT(idle_ms), .max = POLICY_TIME_MAX },
	{ .key = "max", .read = json_read_duration, AT(max_ms), .max = POLICY_TIME_MAX },
	{ .key = "warn", .read = json_read_duration, AT(warn_ms), .max = POLICY_TIME_MAX },
	{ .key = "greeting",
	    .read = json_read_lines,
	    AT(greeting),
	    .min = 1,
	    .max = POLICY_GREETING_MAX,
	    .show = policy_show_text },
	{ .key = "record", .read = json_read_word, .choices = records, .later_choices = later_records },
	{ .key = "detach", .read = json_read_unavailable },
	{ .key = "signals", .read = json_read_unavailable },
};

static const struct json_table session_table = JSON_TABLE("\"session\"", session_fields);

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
	{ .key = "extends", .read = read_nothing, .schema = "{\"type\": \"string\"}" },
	{ .key = "container", .read = json_read_table, .table = &policy_container_table },
	{ .key = "session", .read = json_read_table, .table = &session_table },
};

const struct json_table policy_profile_table = JSON_TABLE("a profile", profile_fields);

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
	policy_add_origins(d, &profile->profile, profile->node, &policy_profile_table, NULL);
}

void
policy_read_profiles(struct policy_draft *d)
{
	const struct json_node *e = policy_section_first(&d->profiles);
	size_t n = policy_section_count(&d->profiles);
	size_t errors;

	d->draft_profiles = arena_array(d->reader.arena, n, sizeof(*d->draft_profiles));
	if (d->draft_profiles == NULL)
		return;
	for (; e != NULL; e = policy_section_next(&d->profiles, e)) {
		const char *fault = names_label_fault(json_node_key(e));

		d->draft_profiles[d->n_draft_profiles++].node = e;
		if (fault != NULL)
			json_read_diag(&d->reader, DIAG_E_NAME, e, JSON_AT_KEY, NULL,
			    "the name \"%s\" of a profile %s", json_node_key(e), fault);
	}
	policy_check_twice(d, &d->profiles);
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

const struct json_node *
policy_setting_in(const struct json_node *node, const char *way)
{
	const struct json_node *found = NULL;
	const struct json_node *m = json_node_kind(node) == JSON_KIND_OBJECT ? json_node_first(node)
									     : NULL;

	for (; m != NULL; m = json_node_next(m)) {
		const struct json_node *inner = NULL;
		size_t len = strlen(json_node_key(m));

		if (strncmp(json_node_key(m), way, len) != 0)
			continue;
		if (way[len] == '\0')
			inner = m;
		else if (way[len] == '.')
			inner = policy_setting_in(m, way + len + 1);
		if (inner != NULL)
			found = inner;
	}
	return found;
}

const struct json_node *
policy_find_setting(const struct policy_draft_profile *profile, const char *const *ways)
{
	const struct json_node *found = NULL;

	for (; found == NULL && *ways != NULL; ways++)
		found = policy_setting_in(profile->node, *ways);
	return found != NULL ? found : profile->node;
}

static void
complain(struct policy_draft *d, const struct policy_draft_profile *profile,
    const char *const *ways, const char *help, const char *what)
{
	const char *name = profile->profile.name;

	json_read_diag(&d->reader, DIAG_E_CONFLICT, policy_find_setting(profile, ways), JSON_AT_KEY,
	    help, "profile \"%s\": %s", name != NULL ? name : "", what);
}

/* Whether the settings of a profile that somebody gets fit together; each was judged by itself. */
static void
check_together(struct policy_draft *d, const struct policy_draft_profile *draft)
{
	const struct policy_profile *p = &draft->profile;
	uint64_t ceiling = d->policy->ceilings.global.memory;

	if (p->keep_ms > 0 && p->mode != POLICY_MODE_USER)
		complain(d, draft, POLICY_WAYS("container.keep"),
		    "\"mode\": \"user\", or \"keep\": \"0\"",
		    "\"keep\" goes with the mode \"user\" only");
	if (p->pool > 0 && p->mode == POLICY_MODE_USER)
		complain(d, draft, POLICY_WAYS("container.pool"), "\"pool\": 0",
		    "the containers of the mode \"user\" cannot be made before it is known for whom");
	else if (p->pool > 0 && policy_profile_is_personal(p))
		complain(d, draft, POLICY_WAYS("container.pool"),
		    "\"pool\": 0, or no templates in its container",
		    "\"pool\" makes containers before it is known for whom, and \"${\" stands in its "
		    "\"network\", \"workdir\" or \"mounts\"");
	if (p->dns[0] != NULL && p->network == POLICY_NETWORK_NONE)
		complain(d, draft, POLICY_WAYS("container.dns"),
		    "\"network\": \"bridge\", or the name of one",
		    "\"dns\" names servers that a container without a network does not reach");
	if (ceiling > 0 && p->memory > ceiling)
		complain(d, draft, POLICY_WAYS("container.limits"),
		    "a smaller \"memory\", or a greater ceiling",
		    "one container may have more memory than \"ceilings\" allow for all together");
}

void
policy_finish_profiles(struct policy_draft *d)
{
	/* With an error anywhere, or without memory, what is missing may just be what was not read. */
	bool broken = d->reader.diags->n_errors != d->reader.errors_before || d->reader.arena->failed;
	size_t n = 0;
	size_t n_all = d->n_draft_profiles;
	const struct policy_profile **list;

	for (const struct policy_draft_profile *set = d->set_profiles; set != NULL; set = set->next)
		n_all++;
	list = arena_array(d->reader.arena, n_all, sizeof(void *));
	for (size_t i = 0; list != NULL && i < d->n_draft_profiles; i++) {
		struct policy_draft_profile *profile = &d->draft_profiles[i];

		check_image(d, profile, broken);
		if (!profile->used && !profile->extended && !broken)
			json_read_diag(&d->reader, DIAG_W_UNUSED_PROFILE, profile->node, JSON_AT_KEY,
			    NULL, "profile \"%s\" is used by no rule", json_node_key(profile->node));
		if (!broken && (profile->used || !profile->extended))
			check_together(d, profile);
		if (profile->profile.image != NULL)
			list[n++] = &profile->profile;
	}
	for (const struct policy_draft_profile *set = d->set_profiles; list != NULL && set != NULL;
	     set = set->next) {
		if (!broken)
			check_together(d, set);
		if (set->profile.image != NULL)
			list[n++] = &set->profile;
	}
	d->policy->profiles = list;
	d->policy->n_profiles = n;
}
