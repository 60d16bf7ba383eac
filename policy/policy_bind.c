/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of the engine's host: the roots below which they lie, and where in them. Here it is about
 * words only; what is at such a path is looked at by whoever has it mounted. Runs in the broker and the
 * admin tool.
 */
#include "policy_private.h"

#include <string.h>

#include "names.h"
#include "suggest.h"

/*
 * What rules the host, or is another's: neither these nor anything below or above them is ever mounted
 * into a container. The broker's own directories and its engine's socket come on top of them where they
 * are known, in the broker.
 */
static const char *const guarded[] = { "/proc", "/sys", "/dev", "/etc", "/run", "/var/run", "/boot",
	"/root", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var/lib/docker",
	"/var/lib/containerd", "/var/lib/sallyport", "/var/log", NULL };

/* The one of them that the path is in or above, or NULL. */
static const char *
find_guarded(const char *path)
{
	const char *const *g = guarded;

	/* "/" itself is above all of them, and names_path_within() is asked for what is below. */
	if (strcmp(path, "/") == 0)
		return guarded[0];
	while (*g != NULL && !names_path_within(path, *g) && !names_path_within(*g, path))
		g++;
	return *g;
}

static void
read_root(struct json_reader *r, const struct json_node *entry)
{
	const char *fault = names_label_fault(json_node_key(entry));
	const char *path;

	if (fault != NULL)
		json_read_diag(r, DIAG_E_NAME, entry, JSON_AT_KEY, NULL,
		    "the name \"%s\" of a root %s", json_node_key(entry), fault);
	path = json_read_text(r, entry, 1, NAMES_PATH_MAX / 2);
	if (path == NULL)
		return;
	fault = names_path_fault(path);
	if (fault != NULL)
		json_read_diag(r, DIAG_E_PATH, entry, JSON_AT_VALUE, NULL, "%s %s",
		    json_read_name(r, entry), fault);
	else if (find_guarded(path) != NULL)
		json_read_diag(r, DIAG_E_GUARDRAIL, entry, JSON_AT_VALUE,
		    "a directory that holds nothing but what containers get, such as \"/srv/homes\"",
		    "%s: directories of the host in or above %s are refused by the guardrails "
		    "(" POLICY_GUARDRAILS ")",
		    json_read_name(r, entry), find_guarded(path));
}

void
policy_read_bind_roots(struct policy_draft *d)
{
	const struct json_node *e = policy_section_first(&d->bind_roots);

	for (; e != NULL; e = policy_section_next(&d->bind_roots, e))
		read_root(&d->reader, e);
	policy_check_twice(d, &d->bind_roots);
}

/* The directory that the name[len] stands for, or NULL after saying that there is none. */
static const char *
find_root(struct json_reader *r, const struct json_node *value, const char *name, size_t len)
{
	const struct policy_section *roots = &policy_draft_of(r)->bind_roots;
	const struct json_node *e = policy_section_first(roots);
	const char *wanted = arena_copy(r->arena, name, len);
	struct suggest near;

	if (wanted == NULL)
		return NULL;
	suggest_init(&near, wanted);
	for (; e != NULL; e = policy_section_next(roots, e)) {
		if (strcmp(json_node_key(e), wanted) == 0)
			/* What is wrong with it was said where it stands. */
			return json_node_kind(e) == JSON_KIND_STRING ? json_node_string(e) : NULL;
		suggest_offer(&near, json_node_key(e));
	}
	json_read_diag(r, DIAG_E_NO_SUCH_ROOT, value, JSON_AT_VALUE,
	    near.best != NULL ? json_read_did_you_mean(r, near.best)
			      : "\"bind_roots\" at the top level names the directories for this",
	    "\"bind_roots\" has no \"%s\"", wanted);
	return NULL;
}

void
policy_read_bind(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	struct policy_bind *bind = target;
	const char *given = json_read_text(r, value, 1, NAMES_PATH_MAX / 2);
	const char *slash = given == NULL ? NULL : strchr(given, '/');
	const char *example = slash == NULL ? NULL : policy_template_example(r->arena, slash);
	const char *root;

	(void)field;
	if (given == NULL || (slash != NULL && example == NULL))
		return;
	if (slash == NULL || slash == given || names_path_fault(example) != NULL ||
	    strcmp(example, "/") == 0) {
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE,
		    "for example \"homes/" POLICY_USER "\", where \"bind_roots\" has \"homes\"",
		    "\"%s\" is not the name of a root and a path below it", given);
		return;
	}
	root = find_root(r, value, given, (size_t)(slash - given));
	if (root == NULL)
		return;
	bind->given = given;
	bind->root = arena_copy(r->arena, root, strlen(root));
	bind->source = arena_format(r->arena, "%s%s", root, slash);
}
