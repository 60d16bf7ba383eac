/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: ${user} and ${target} in the places that the language names, and nowhere else. A policy is
 * read with an example in their place; what a login really gets is judged again, as a whole, with the
 * login's own values in it. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

/* ---- while the file is read ---- */

/* Whether this is a section of a file. */
static bool
is_section(const struct json_node *node, const char *key)
{
	return json_node_key(node) != NULL && strcmp(json_node_key(node), key) == 0 &&
	    json_node_parent(json_node_parent(node)) == NULL;
}

/* Whether settings are made in this object: a profile, or the "set" of a rule. */
static bool
has_settings(const struct json_node *node)
{
	const char *key = json_node_key(node);
	const struct json_node *parent = json_node_parent(node);

	if (key == NULL)
		return false;
	if (strcmp(key, "set") == 0 && json_node_parent(parent) != NULL &&
	    is_section(json_node_parent(parent), "rules"))
		return true;
	return is_section(parent, "profiles");
}

/* Whether this is the value of the setting that way leads to; the keys of a "set" may be pieces of a way. */
static bool
is_setting(const struct json_node *node, const char *way)
{
	size_t len = strlen(way);

	for (;;) {
		const char *key = json_node_key(node);
		size_t n = key == NULL ? 0 : strlen(key);

		if (n == 0 || n > len || memcmp(way + len - n, key, n) != 0)
			return false;
		len -= n;
		node = json_node_parent(node);
		if (len == 0)
			return has_settings(node);
		if (way[--len] != '.')
			return false;
	}
}

static bool
is_exec_argument(const struct json_node *node)
{
	return json_node_key(node) == NULL && json_node_parent(node) != NULL &&
	    is_setting(json_node_parent(node), "container.argv.exec");
}

/* Whether this is a value of a mount that templates may stand in. */
static bool
is_place_of_mount(const struct json_node *node)
{
	static const char *const keys[] = { "volume", "bind", "to", "tmpfs", NULL };
	const struct json_node *list = json_node_parent(json_node_parent(node));
	const char *const *key = keys;

	while (*key != NULL && strcmp(*key, json_node_key(node)) != 0)
		key++;
	return *key != NULL && list != NULL && is_setting(list, "container.mounts");
}

/* Whether templates of a login may stand here: where expand_profile() fills them in. */
static bool
is_place(const struct json_node *node)
{
	if (json_node_key(node) == NULL)
		return false;
	return is_setting(node, "container.network") || is_setting(node, "container.workdir") ||
	    is_setting(node, "session.greeting") ||
	    is_setting(json_node_parent(node), "container.env") || is_place_of_mount(node);
}

const char *
policy_template_at(const char *text)
{
	static const char *const templates[] = { POLICY_USER, POLICY_TARGET, NULL };

	for (const char *const *t = templates; *t != NULL; t++) {
		if (strncmp(text, *t, strlen(*t)) == 0)
			return *t;
	}
	return NULL;
}

static bool
only_known(const char *text)
{
	while ((text = strstr(text, "${")) != NULL) {
		if (policy_template_at(text) == NULL)
			return false;
		text += 2;
	}
	return true;
}

static void
check_template(struct json_reader *r, const struct json_node *node)
{
	const char *text = json_node_string(node);

	if (strstr(text, "${") == NULL || (is_place(node) && only_known(text)))
		return;
	if (is_exec_argument(node) && strcmp(text, POLICY_COMMAND) == 0)
		return;
	if (is_exec_argument(node) && strstr(text, POLICY_COMMAND) != NULL)
		json_read_diag(r, DIAG_E_TEMPLATE, node, JSON_AT_VALUE,
		    "for example [\"/bin/sh\", \"-c\", \"" POLICY_COMMAND "\"]",
		    "\"" POLICY_COMMAND
		    "\" must be an argument of its own; it is never spliced into text");
	else if (strstr(text, POLICY_COMMAND) != NULL)
		json_read_diag(r, DIAG_E_TEMPLATE, node, JSON_AT_VALUE, NULL,
		    "\"" POLICY_COMMAND "\" has a meaning in \"argv\": { \"exec\": [...] } only");
	else if (!only_known(text))
		json_read_diag(r, DIAG_E_TEMPLATE, node, JSON_AT_VALUE, NULL,
		    "this build has no other templates than \"" POLICY_USER
		    "\" and \"" POLICY_TARGET "\"");
	else
		json_read_diag(r, DIAG_E_TEMPLATE, node, JSON_AT_VALUE,
		    "they stand in \"network\", \"workdir\", \"greeting\", values of \"env\", and the "
		    "\"volume\", \"bind\", \"to\" and \"tmpfs\" of \"mounts\"",
		    "templates have no meaning here");
}

/* Depth has its ceiling. */
void
policy_check_templates(struct json_reader *r, const struct json_node *node)
{
	if (json_node_kind(node) == JSON_KIND_STRING)
		check_template(r, node);
	for (node = json_node_first(node); node != NULL; node = json_node_next(node))
		policy_check_templates(r, node);
}

/* ---- filling in ---- */

/* What stands for a template, by its name. */
static const char *
value_of(const char *template, const struct policy_login *login)
{
	const char *value = strcmp(template, POLICY_USER) == 0 ? login->user : login->target;

	return value != NULL ? value : "";
}

static char *
expand(struct arena *a, const char *text, const struct policy_login *login)
{
	size_t longest = strlen(value_of(POLICY_USER, login));
	size_t n = strlen(text) + 1;
	char *out;
	char *p;

	if (strlen(value_of(POLICY_TARGET, login)) > longest)
		longest = strlen(value_of(POLICY_TARGET, login));
	for (const char *at = text; (at = strstr(at, "${")) != NULL; at += 2)
		n += longest;
	p = out = arena_array(a, n, 1);
	while (out != NULL && *text != '\0') {
		const char *template = policy_template_at(text);

		if (template == NULL) {
			*p++ = *text++;
			continue;
		}
		p = stpcpy(p, value_of(template, login));
		text += strlen(template);
	}
	return out;
}

const char *
policy_template_example(struct arena *a, const char *text)
{
	static const struct policy_login example = { .user = "user", .target = "target" };

	return expand(a, text, &example);
}

static bool
has(const char *text, const char *template)
{
	return text != NULL && strstr(text, template) != NULL;
}

/* What the engine is asked for. */
static bool
container_has(const struct policy_profile *p, const char *template)
{
	if (has(p->workdir, template) ||
	    (p->network == POLICY_NETWORK_NAMED && has(p->network_name, template)))
		return true;
	for (size_t i = 0; i < p->n_tmpfs; i++) {
		if (has(p->tmpfs[i].target, template))
			return true;
	}
	for (size_t i = 0; i < p->n_volumes; i++) {
		if (has(p->volumes[i].volume, template) || has(p->volumes[i].target, template))
			return true;
	}
	for (size_t i = 0; i < p->n_binds; i++) {
		if (has(p->binds[i].source, template) || has(p->binds[i].target, template))
			return true;
	}
	return false;
}

bool
policy_profile_is_personal(const struct policy_profile *p)
{
	return container_has(p, "${");
}

bool
policy_profile_has(const struct policy_profile *p, const char *template)
{
	if (container_has(p, template) || has(p->greeting, template))
		return true;
	for (const char *const *e = p->env; *e != NULL; e++) {
		if (has(*e, template))
			return true;
	}
	return false;
}

/* ---- grants ---- */

struct policy_grant {
	unsigned refs;
	struct policy *policy;
	struct policy_profile profile;
	struct arena arena;
};

static bool SP_PRINTF(3, 4) complain(char *why, size_t cap, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, cap, format, args);
	va_end(args);
	return false;
}

static const char *const no_paths[] = { NULL };

static bool
check_path(const char *what, const char *path, const char *const *guarded, char *why, size_t cap)
{
	if (names_path_fault(path) != NULL)
		return complain(why, cap, "%s \"%s\" %s", what, path, names_path_fault(path));
	for (; *guarded != NULL; guarded++) {
		if (names_path_within(path, *guarded))
			return complain(why, cap,
			    "%s \"%s\": paths under %s are refused by the guardrails", what, path,
			    *guarded);
	}
	return true;
}

/* The place of the n-th mount, over tmpfs, then volumes, then binds; NULL behind them. */
static const char *
mount_target(const struct policy_profile *p, size_t n)
{
	if (n < p->n_tmpfs)
		return p->tmpfs[n].target;
	n -= p->n_tmpfs;
	if (n < p->n_volumes)
		return p->volumes[n].target;
	n -= p->n_volumes;
	return n < p->n_binds ? p->binds[n].target : NULL;
}

/* The index of the mount at path; so many as there are: none. */
static size_t
mount_at(const struct policy_profile *p, const char *path)
{
	size_t i = 0;

	while (mount_target(p, i) != NULL && strcmp(mount_target(p, i), path) != 0)
		i++;
	return i;
}

static bool
check_mount_target(const struct policy_profile *p, size_t i, const char *path, char *why, size_t cap)
{
	if (strcmp(path, "/") == 0 || mount_at(p, path) != i)
		return complain(why, cap, "\"%s\" is mounted over%s", path,
		    strcmp(path, "/") == 0 ? "" : " twice");
	if (policy_mount_around(p, path) != NULL)
		return complain(why, cap,
		    "the mount \"%s\": paths in \"%s\" " POLICY_MOUNT_LED
		    " are refused by the guardrails",
		    path, policy_mount_around(p, path));
	return check_path("the mount", path, policy_mount_guarded, why, cap);
}

/* "none" and "bridge" are words of the language: a login must not make them out of a name. */
static bool
check_network(const char *name, char *why, size_t cap)
{
	bool guarded;
	const char *fault = policy_network_fault(name, &guarded);

	if (fault == NULL && (strcmp(name, "none") == 0 || strcmp(name, "bridge") == 0))
		fault = "is no name of a network";
	return fault == NULL || complain(why, cap, "network \"%s\" %s", name, fault);
}

static bool
check_sources(const struct policy_profile *p, char *why, size_t cap)
{
	for (size_t i = 0; i < p->n_volumes; i++) {
		const struct policy_volume *v = &p->volumes[i];

		if (names_engine_fault(v->volume) != NULL)
			return complain(why, cap, "volume \"%s\" %s", v->volume,
			    names_engine_fault(v->volume));
	}
	for (size_t i = 0; i < p->n_binds; i++) {
		const struct policy_bind *b = &p->binds[i];

		if (!check_path("the directory", b->source, no_paths, why, cap))
			return false;
		if (strcmp(b->source, b->root) == 0 || !names_path_within(b->source, b->root))
			return complain(why, cap, "the directory \"%s\" is not below its root",
			    b->source);
	}
	return true;
}

/* Everything that a template may have been in, as the reader judges it where there is none. */
static bool
check_values(const struct policy_profile *p, char *why, size_t cap)
{
	size_t bytes = 0;

	if (p->workdir != NULL &&
	    !check_path("the working directory", p->workdir, policy_workdir_guarded, why, cap))
		return false;
	if (p->network == POLICY_NETWORK_NAMED && !check_network(p->network_name, why, cap))
		return false;
	for (const char *const *e = p->env; *e != NULL; e++)
		bytes += strlen(*e) + 1;
	if (bytes > POLICY_ENV_BYTES_MAX)
		return complain(why, cap,
		    "the variables have %zu bytes together, at most %d are allowed", bytes,
		    POLICY_ENV_BYTES_MAX);
	if (p->greeting != NULL && strlen(p->greeting) > POLICY_GREETING_MAX)
		return complain(why, cap, "the greeting has %zu bytes, at most %d are allowed",
		    strlen(p->greeting), POLICY_GREETING_MAX);
	for (size_t i = 0; mount_target(p, i) != NULL; i++) {
		if (!check_mount_target(p, i, mount_target(p, i), why, cap))
			return false;
	}
	return check_sources(p, why, cap);
}

/* All of the places in which policy_profile_has() looks. Failure shows in the arena. */
static void
expand_profile(struct policy_profile *p, struct arena *a, const struct policy_login *login)
{
	struct policy_tmpfs *tmpfs = arena_array(a, p->n_tmpfs, sizeof(*tmpfs));
	struct policy_volume *volumes = arena_array(a, p->n_volumes, sizeof(*volumes));
	struct policy_bind *binds = arena_array(a, p->n_binds, sizeof(*binds));
	const char **env;
	size_t n = 0;

	while (p->env[n] != NULL)
		n++;
	env = arena_array(a, n + 1, sizeof(*env));
	if (a->failed)
		return;
	if (p->workdir != NULL)
		p->workdir = expand(a, p->workdir, login);
	if (p->network == POLICY_NETWORK_NAMED)
		p->network_name = expand(a, p->network_name, login);
	if (p->greeting != NULL)
		p->greeting = expand(a, p->greeting, login);
	for (size_t i = 0; i < n; i++)
		env[i] = expand(a, p->env[i], login);
	for (size_t i = 0; i < p->n_tmpfs; i++)
		tmpfs[i] =
		    (struct policy_tmpfs){ expand(a, p->tmpfs[i].target, login), p->tmpfs[i].size };
	for (size_t i = 0; i < p->n_volumes; i++)
		volumes[i] = (struct policy_volume){ expand(a, p->volumes[i].volume, login),
			expand(a, p->volumes[i].target, login), p->volumes[i].read_only };
	for (size_t i = 0; i < p->n_binds; i++)
		binds[i] = (struct policy_bind){ expand(a, p->binds[i].given, login),
			p->binds[i].root, expand(a, p->binds[i].source, login),
			expand(a, p->binds[i].target, login), p->binds[i].read_only };
	p->env = env;
	p->tmpfs = tmpfs;
	p->volumes = volumes;
	p->binds = binds;
}

int
policy_grant_new(struct policy *p, const struct policy_login *login,
    const struct policy_decision *d, struct policy_grant **ret, char *why, size_t cap)
{
	struct policy_grant *g = calloc(1, sizeof(*g));
	int r = 0;

	if (g == NULL)
		return -ENOMEM;
	g->refs = 1;
	g->policy = policy_ref(p);
	g->profile = *d->profile;
	g->profile.reached_by = policy_data_path(p, d->profile);
	if (policy_profile_has(&g->profile, "${"))
		expand_profile(&g->profile, &g->arena, login);
	if (g->arena.failed)
		r = -ENOMEM;
	else if (!check_values(&g->profile, why, cap))
		r = POLICY_E_REFUSED;
	if (r != 0) {
		policy_grant_unref(g);
		return r;
	}
	*ret = g;
	return 0;
}

struct policy_grant *
policy_grant_ref(struct policy_grant *g)
{
	g->refs++;
	return g;
}

struct policy_grant *
policy_grant_unref(struct policy_grant *g)
{
	if (g == NULL || --g->refs > 0)
		return NULL;
	arena_clear(&g->arena);
	policy_unref(g->policy);
	free(g);
	return NULL;
}

const struct policy_profile *
policy_grant_profile(const struct policy_grant *g)
{
	return &g->profile;
}
