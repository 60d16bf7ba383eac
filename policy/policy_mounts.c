/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted into a container: volumes by name, tmpfs with a size, and of the host nothing but
 * directories below the roots that the policy names. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <string.h>

#include "guest_msg.h"
#include "json_write.h"
#include "names.h"
#include "units.h"

#define KIB UINT64_C(1024)
#define TIB (UINT64_C(1) << 40)

const char *const policy_mount_guarded[] = { "/proc", "/sys", "/dev", GUEST_BUNDLE_DIR,
	GUEST_RENDEZVOUS_DIR, NULL };

struct draft_mount {
	struct policy_bind bind; /* first: its reader takes it from here */
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
	const char *example;
	const char *fault;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return;
	example = policy_template_example(r->arena, json_node_string(value));
	fault = example == NULL ? NULL : names_engine_fault(example);
	if (fault != NULL)
		json_read_diag(r, DIAG_E_NAME, value, JSON_AT_VALUE,
		    strchr(json_node_string(value), '/') == NULL
			? NULL
			: "a volume is named; directories of the host go below \"bind_roots\"",
		    "the name \"%s\" of a volume %s", json_node_string(value), fault);
	else
		*(const char **)target =
		    arena_copy(r->arena, json_node_string(value), strlen(json_node_string(value)));
}

static void
read_target(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *path = policy_read_path(r, value, policy_mount_guarded);

	(void)field;
	if (path != NULL && strcmp(path, "/") == 0)
		json_read_diag(r, DIAG_E_GUARDRAIL, value, JSON_AT_VALUE, NULL,
		    "%s: \"/\" itself is refused by the guardrails (" POLICY_GUARDRAILS ")",
		    json_read_name(r, value));
	else if (path != NULL)
		*(const char **)target = path;
}

#define PATH             "{\"type\": \"string\", \"pattern\": \"^/\"}"
#define MOUNT_AT(member) .offset = offsetof(struct draft_mount, member)

static const struct json_field mount_fields[] = {
	{ .key = "volume",
	    .read = read_volume,
	    MOUNT_AT(volume),
	    .schema = "{\"type\": \"string\", \"minLength\": 1}" },
	{ .key = "to", .read = read_target, MOUNT_AT(to), .schema = PATH },
	{ .key = "read_only", .read = json_read_bool, MOUNT_AT(read_only) },
	{ .key = "tmpfs", .read = read_target, MOUNT_AT(tmpfs), .schema = PATH },
	{ .key = "size", .read = json_read_size, MOUNT_AT(size), .min = 4 * KIB, .max = TIB },
	{ .key = "bind",
	    .read = policy_read_bind,
	    MOUNT_AT(bind),
	    .schema = "{\"type\": \"string\", \"pattern\": \"^[a-zA-Z0-9][^/]*/.\"}" },
	{ .key = "source", .read = policy_read_guarded, .hidden = true },
	{ .key = "options", .read = policy_read_guarded },
};

const struct json_table policy_mount_table = JSON_TABLE("a mount", mount_fields);

/* Whether the keys of one mount fit together. Their values were judged already. */
static bool
check_mount(struct json_reader *r, const struct json_node *node)
{
	bool volume = json_node_find(node, "volume") != NULL;
	bool bind = json_node_find(node, "bind") != NULL;
	bool tmpfs = json_node_find(node, "tmpfs") != NULL;
	const char *why = NULL;

	if (volume + bind + tmpfs != 1)
		why = "a mount has one of \"volume\", \"bind\" and \"tmpfs\"";
	else if (!tmpfs && json_node_find(node, "to") == NULL)
		why = volume ? "a volume needs \"to\", the path in the container"
			     : "a bind needs \"to\", the path in the container";
	else if (!tmpfs && json_node_find(node, "size") != NULL)
		why = "\"size\" goes with \"tmpfs\" only";
	else if (tmpfs && json_node_find(node, "size") == NULL)
		why = "a tmpfs needs \"size\": without one it may fill the host's memory";
	else if (tmpfs && json_node_find(node, "to") != NULL)
		why = "\"to\" goes with the others only; \"tmpfs\" names the path itself";
	else if (tmpfs && json_node_find(node, "read_only") != NULL)
		why = "\"read_only\" goes with \"volume\" and \"bind\" only";
	if (why != NULL)
		json_read_diag(r, DIAG_E_MOUNT, node, JSON_AT_VALUE, NULL, "%s", why);
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
	for (size_t i = 0; i < p->n_binds; i++) {
		if (strcmp(p->binds[i].target, path) == 0)
			return true;
	}
	return false;
}

const char *
policy_mount_around(const struct policy_profile *p, const char *path)
{
	for (size_t i = 0; i < p->n_volumes; i++) {
		const char *outer = p->volumes[i].target;

		if (names_path_within(path, outer) && strcmp(path, outer) != 0)
			return outer;
	}
	for (size_t i = 0; i < p->n_binds; i++) {
		const char *outer = p->binds[i].target;

		if (names_path_within(path, outer) && strcmp(path, outer) != 0)
			return outer;
	}
	return NULL;
}

/* node: a mount that was read. */
static void
check_around(struct json_reader *r, const struct json_node *node, const struct policy_profile *p)
{
	const struct json_node *tmpfs = json_node_find(node, "tmpfs");
	const struct json_node *to = tmpfs != NULL ? tmpfs : json_node_find(node, "to");
	const char *outer = policy_mount_around(p, json_node_string(to));

	if (outer != NULL)
		json_read_diag(r, DIAG_E_GUARDRAIL, to, JSON_AT_VALUE, "mount it beside that one",
		    "%s: paths in \"%s\" " POLICY_MOUNT_LED " are refused by the guardrails "
		    "(" POLICY_GUARDRAILS ")",
		    json_read_name(r, to), outer);
}

struct mount_lists {
	struct policy_tmpfs *tmpfs;
	struct policy_volume *volumes;
	struct policy_bind *binds;
};

static void
add_mount(struct json_reader *r, const struct json_node *node, struct policy_profile *p,
    const struct mount_lists *lists)
{
	struct draft_mount m = { 0 };
	size_t errors = r->diags->n_errors;
	const char *path;

	json_read_object(r, node, "a mount", mount_fields, SP_ARRAY_LEN(mount_fields), &m);
	if (r->diags->n_errors != errors || !check_mount(r, node) || r->arena->failed)
		return;
	path = m.tmpfs != NULL ? m.tmpfs : m.to;
	if (is_target_taken(p, path))
		json_read_diag(r, DIAG_E_MOUNT, node, JSON_AT_VALUE, NULL,
		    "\"%s\" is mounted over twice", path);
	else if (m.tmpfs != NULL)
		lists->tmpfs[p->n_tmpfs++] = (struct policy_tmpfs){ path, m.size };
	else if (m.volume != NULL)
		lists->volumes[p->n_volumes++] =
		    (struct policy_volume){ m.volume, path, m.read_only };
	else
		lists->binds[p->n_binds++] = (struct policy_bind){ m.bind.given, m.bind.root,
			m.bind.source, path, m.read_only };
}

void
policy_read_mounts(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	struct policy_profile *p = target;
	size_t errors = r->diags->n_errors;
	struct mount_lists lists;
	const struct json_node *e;
	size_t n;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_ARRAY, "a list of mounts"))
		return;
	n = json_node_count(value);
	if (n > POLICY_MOUNTS_MAX) {
		json_read_diag(r, DIAG_E_TOO_MANY, value, JSON_AT_VALUE, NULL,
		    "\"mounts\" has %zu elements, at most %d are allowed", n, POLICY_MOUNTS_MAX);
		return;
	}
	lists.tmpfs = arena_array(r->arena, n, sizeof(*lists.tmpfs));
	lists.volumes = arena_array(r->arena, n, sizeof(*lists.volumes));
	lists.binds = arena_array(r->arena, n, sizeof(*lists.binds));
	if (r->arena->failed)
		return;
	/* Lists replace: neither the default nor inherited mounts stay. */
	p->tmpfs = lists.tmpfs;
	p->volumes = lists.volumes;
	p->binds = lists.binds;
	p->n_tmpfs = 0;
	p->n_volumes = 0;
	p->n_binds = 0;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e))
		add_mount(r, e, p, &lists);
	e = r->diags->n_errors == errors && !r->arena->failed ? json_node_first(value) : NULL;
	for (; e != NULL; e = json_node_next(e))
		check_around(r, e, p);
}

void
policy_show_mounts(FILE *out, const void *target)
{
	const struct policy_profile *p = target;
	struct json_writer w = { .out = out };
	char size[UNITS_TEXT_MAX];

	json_write_open(&w, NULL, '[');
	for (size_t i = 0; i < p->n_tmpfs; i++) {
		json_write_open(&w, NULL, '{');
		json_write_string(&w, "tmpfs", p->tmpfs[i].target);
		json_write_string(&w, "size", units_format_size(p->tmpfs[i].size, size));
		json_write_close(&w, '}');
	}
	for (size_t i = 0; i < p->n_volumes; i++) {
		json_write_open(&w, NULL, '{');
		json_write_string(&w, "volume", p->volumes[i].volume);
		json_write_string(&w, "to", p->volumes[i].target);
		json_write_bool(&w, "read_only", p->volumes[i].read_only);
		json_write_close(&w, '}');
	}
	for (size_t i = 0; i < p->n_binds; i++) {
		json_write_open(&w, NULL, '{');
		json_write_string(&w, "bind", p->binds[i].given);
		json_write_string(&w, "to", p->binds[i].target);
		json_write_bool(&w, "read_only", p->binds[i].read_only);
		json_write_close(&w, '}');
	}
	json_write_close(&w, ']');
}
