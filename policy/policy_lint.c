/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is no error but hardly meant. Runs in the broker (rules that nobody reaches) and the admin tool
 * (the rest).
 */
#include "policy_private.h"

#include <string.h>

#include "units.h"

#define COMPARISONS_MAX 65536 /* of two lists; longer ones are not compared */

/* ---- rules that never match ---- */

static bool
has(const char *const *list, const char *word)
{
	for (; *list != NULL; list++) {
		if (strcmp(*list, word) == 0)
			return true;
	}
	return false;
}

static size_t
count(const char *const *list)
{
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

/* Whether each of small is in large. A condition that is not there is NULL and holds for all. */
static bool
lists_cover(const char *const *large, const char *const *small)
{
	if (large == NULL)
		return true;
	if (small == NULL || count(large) * count(small) > COMPARISONS_MAX)
		return false;
	for (; *small != NULL; small++) {
		if (!has(large, *small))
			return false;
	}
	return true;
}

static bool
is_in_groups(const struct policy *p, const char *name, const char *const *groups)
{
	const struct policy_user *user = policy_find_user(p, name, strlen(name));

	for (const char *const *group = user->groups; *group != NULL; group++) {
		if (has(groups, *group))
			return true;
	}
	return false;
}

static bool
groups_cover(const struct policy *p, const struct policy_conditions *a,
    const struct policy_conditions *b)
{
	if (lists_cover(a->groups, b->groups))
		return true;
	if (b->users == NULL || count(a->groups) * count(b->users) > COMPARISONS_MAX)
		return false;
	for (const char *const *user = b->users; *user != NULL; user++) {
		if (!is_in_groups(p, *user, a->groups))
			return false;
	}
	return true;
}

static bool
networks_cover(const struct policy_conditions *a, const struct policy_conditions *b)
{
	if (a->from.n == 0)
		return true;
	if (b->from.n == 0 || a->from.n * b->from.n > COMPARISONS_MAX)
		return false;
	for (size_t i = 0; i < b->from.n; i++) {
		size_t k = 0;

		while (k < a->from.n && !cidr_covers(&a->from.items[k], &b->from.items[i]))
			k++;
		if (k == a->from.n)
			return false;
	}
	return true;
}

static bool
same_window(const struct time_window *a, const struct time_window *b)
{
	return a->weekly == b->weekly && a->from == b->from && a->to == b->to &&
	    a->days == b->days && a->begin == b->begin && a->end == b->end && a->zone == b->zone;
}

static bool
times_cover(const struct policy_conditions *a, const struct policy_conditions *b)
{
	if (a->times == NULL)
		return true;
	if (b->times == NULL)
		return false;
	for (size_t i = 0; i < b->n_times; i++) {
		size_t k = 0;

		while (k < a->n_times && !same_window(&a->times[k], &b->times[i]))
			k++;
		if (k == a->n_times)
			return false;
	}
	return true;
}

/* Whether anybody who asks for a target is let in. */
static bool
gives_targets(const struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].profile != NULL && p->rules[i].conditions.targets != NULL)
			return true;
	}
	return false;
}

/*
 * By the target alone, which a rule with "use" has to name and one with "deny" has not. given: there are logins with
 * one that are let in.
 */
static bool
targets_cover(const struct policy_rule *a, const struct policy_rule *b, bool given)
{
	const char *const *x = a->conditions.targets;
	const char *const *y = b->conditions.targets;

	if (x == NULL)
		return a->profile == NULL || (y == NULL && (b->profile != NULL || !given));
	return y != NULL && (has(x, "*") || lists_cover(x, y));
}

/* Whether every login that b matches is one that a matches. In doubt: no. */
static bool
covers(const struct policy *p, const struct policy_rule *a, const struct policy_rule *b, bool given)
{
	const struct policy_conditions *x = &a->conditions;
	const struct policy_conditions *y = &b->conditions;

	if (a->except != NULL)
		return false;
	return (x->auth == 0 || (y->auth != 0 && (y->auth & ~x->auth) == 0)) &&
	    lists_cover(x->users, y->users) && groups_cover(p, x, y) &&
	    lists_cover(x->keys, y->keys) && networks_cover(x, y) && times_cover(x, y) &&
	    targets_cover(a, b, given);
}

void
policy_check_reached(struct policy_draft *d)
{
	const struct policy *p = d->policy;
	const struct json_node *e = policy_section_first(&d->rules);
	bool given = gives_targets(p);

	/* What could not be read is missing, and a rule would seem wider than it is meant. */
	if (d->reader.diags->n_errors != d->reader.errors_before || d->reader.arena->failed)
		return;
	for (size_t i = 0; i < p->n_rules; i++, e = policy_section_next(&d->rules, e)) {
		size_t k = 0;

		while (k < i && !covers(p, &p->rules[k], &p->rules[i], given))
			k++;
		if (k < i)
			json_read_diag(&d->reader, DIAG_W_SHADOWED_RULE, e, JSON_AT_VALUE, NULL,
			    "rule \"%s\" can never match: rule \"%s\" (%s:%u) comes first and covers "
			    "it",
			    p->rules[i].id, p->rules[k].id, p->rules[k].file, p->rules[k].line);
	}
}

/* ---- for who edits the file ---- */

/* The base name of a program that runs whatever it is given. */
static bool
is_interpreter(const char *program)
{
	static const char *const names[] = { "sh", "bash", "dash", "ash", "ksh", "zsh", "fish",
		"csh", "tcsh", "busybox", "env", "xargs", "find", "nohup", "nice", "timeout",
		"setsid", "sudo", "su", "perl", "python", "python3", "ruby", "node", "lua", "awk",
		"gawk", "sed", "vi", "vim", "less", "more", "man", "ssh", NULL };
	const char *slash = strrchr(program, '/');

	return has(names, slash != NULL ? slash + 1 : program);
}

static bool
is_pinned(const struct json_node *image)
{
	return strstr(json_node_string(image), "@sha256:") != NULL;
}

static void
warn_of_tag(struct json_reader *r, const struct json_node *image)
{
	if (json_node_string(image)[0] != '@' && !is_pinned(image))
		json_read_diag(r, DIAG_W_IMAGE_TAG, image, JSON_AT_VALUE,
		    "write \"NAME@sha256:DIGEST\" as the image: docker image inspect --format "
		    "'{{.RepoDigests}}' NAME shows it, once the image was pulled from a registry or "
		    "pushed to one; an image that was only built or loaded on the engine has none",
		    "image \"%s\" has no digest: whoever may tag images on the engine decides what "
		    "runs",
		    json_node_string(image));
}

static bool
uses_image(const struct policy_draft_profile *profile, const char *name)
{
	const struct json_node *image = policy_setting_in(profile->node, "container.image");

	return image != NULL && json_node_string(image)[0] == '@' &&
	    strcmp(json_node_string(image) + 1, name) == 0;
}

/* Whether any profile, or the "set" of any rule, uses the image of this name. */
static bool
is_image_used(const struct policy_draft *d, const char *name)
{
	for (size_t i = 0; i < d->n_draft_profiles; i++) {
		if (uses_image(&d->draft_profiles[i], name))
			return true;
	}
	for (const struct policy_draft_profile *set = d->set_profiles; set != NULL; set = set->next) {
		if (uses_image(set, name))
			return true;
	}
	return false;
}

static void
lint_images(struct policy_draft *d)
{
	struct json_reader *r = &d->reader;
	const struct json_node *e = policy_section_first(&d->images);

	for (; e != NULL; e = policy_section_next(&d->images, e)) {
		const struct json_node *image = e;

		if (!is_image_used(d, json_node_key(e)))
			json_read_diag(r, DIAG_W_UNUSED_IMAGE, e, JSON_AT_KEY, NULL,
			    "image \"%s\" is used by no profile", json_node_key(e));
		if (json_node_kind(e) == JSON_KIND_ARRAY)
			image = json_node_first(e);
		warn_of_tag(r, image);
	}
}

static const struct json_node *
find(const struct json_node *object, const char *key)
{
	return object == NULL ? NULL : json_node_find(object, key);
}

static void
lint_exec(struct json_reader *r, const struct json_node *exec)
{
	const struct json_node *e =
	    exec != NULL && json_node_kind(exec) == JSON_KIND_ARRAY ? json_node_first(exec) : NULL;

	for (; e != NULL; e = json_node_next(e)) {
		const struct json_node *program = json_node_first(e);

		if (is_interpreter(json_node_string(program)) && json_node_next(program) != NULL)
			json_read_diag(r, DIAG_W_ALLOW_LIST_SHELL, program, JSON_AT_VALUE, NULL,
			    "\"%s\" runs whatever its arguments say: this list does not limit what runs",
			    json_node_string(program));
	}
}

/* Limits that nobody in the line of profiles has thought of. */
static void
lint_limits(struct policy_draft *d, const struct policy_draft_profile *profile)
{
	static const char *const keys[] = { "memory", "cpus", "pids", NULL };
	const char *missing = NULL;

	for (const char *const *key = keys; *key != NULL; key++) {
		const struct policy_draft_profile *p = profile;

		while (p != NULL && find(find(find(p->node, "container"), "limits"), *key) == NULL)
			p = p->parent;
		if (p == NULL)
			missing = missing == NULL
			    ? *key
			    : arena_format(d->reader.arena, "%s, %s", missing, *key);
	}
	if (missing != NULL)
		json_read_diag(&d->reader, DIAG_W_DEFAULT_LIMITS, profile->node, JSON_AT_KEY, NULL,
		    "profile \"%s\" leaves limits at their defaults: %s",
		    json_node_key(profile->node), missing);
}

/* A directory of the host that everybody who gets this writes together. */
static void
lint_mounts(struct json_reader *r, const struct json_node *mounts)
{
	const struct json_node *m = mounts != NULL && json_node_kind(mounts) == JSON_KIND_ARRAY
	    ? json_node_first(mounts)
	    : NULL;

	for (; m != NULL; m = json_node_next(m)) {
		const struct json_node *bind = find(m, "bind");
		const struct json_node *read_only = find(m, "read_only");

		if (bind != NULL && strstr(json_node_string(bind), POLICY_USER) == NULL &&
		    (read_only == NULL || !json_node_boolean(read_only)))
			json_read_diag(r, DIAG_W_SHARED_BIND, bind, JSON_AT_VALUE,
			    "\"" POLICY_USER "\" in it, or \"read_only\": true",
			    "everybody who gets this profile may write the host's \"%s\"",
			    json_node_string(bind));
	}
}

/* profile: one that somebody gets. */
static void
lint_data_path(struct json_reader *r, const struct policy_draft_profile *profile)
{
	const struct policy_profile *p = &profile->profile;

	if (p->data_path == POLICY_DATA_PATH_DIRECT && p->runtime != NULL &&
	    policy_runtime_has_own_kernel(p->runtime))
		json_read_diag(r, DIAG_W_DATA_PATH,
		    policy_find_setting(profile,
			POLICY_WAYS("container.runtime", "container.data_path")),
		    JSON_AT_KEY, "\"data_path\": \"engine\"",
		    "profile \"%s\": the data path \"direct\" does not reach into a container of \"%s\", "
		    "which has a kernel of its own: logins fail",
		    p->name, p->runtime);
}

/* policy_forward.c says why none of it is ever allowed. */
static void
lint_forward(struct json_reader *r, const struct policy_draft_profile *profile)
{
	const struct policy_profile *p = &profile->profile;

	if (p->mode == POLICY_MODE_SESSION &&
	    (p->n_targets > 0 || p->n_listens > 0 || p->forward_agent || p->forward_x11))
		json_read_diag(r, DIAG_W_FORWARD,
		    policy_find_setting(profile, POLICY_WAYS("container.mode", "session.forward")),
		    JSON_AT_KEY, "\"mode\": \"connection\"",
		    "profile \"%s\": nothing is forwarded in mode \"session\", where each channel has a "
		    "container of its own",
		    p->name);
}

/* Whether every program gets the variable from the profile, whatever the client says. */
static bool
sets_env(const struct policy_profile *p, const char *name)
{
	size_t len = strlen(name);

	for (const char *const *e = p->env; e != NULL && *e != NULL; e++) {
		if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
			return true;
	}
	return false;
}

/* Of a profile that lists commands, and lets the client choose what their names mean or what is loaded into them. */
static void
lint_client_env(struct json_reader *r, const struct policy_draft_profile *profile)
{
	static const char *const names[] = { "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT" };
	const struct policy_profile *p = &profile->profile;

	for (size_t i = 0; p->exec_patterns != NULL && i < SP_ARRAY_LEN(names); i++) {
		if (!policy_accepts_env(p, names[i]) || sets_env(p, names[i]))
			continue;
		json_read_diag(r, DIAG_W_CLIENT_ENV,
		    policy_find_setting(profile, POLICY_WAYS("session.env", "session.exec")),
		    JSON_AT_KEY, "patterns without it, or the variable in \"container.env\"",
		    "profile \"%s\": a client may set %s, and with it decides what the commands of "
		    "\"exec\" run",
		    p->name, names[i]);
		return;
	}
}

/* What somebody gets who gets this profile, whatever it takes from another. */
static void
lint_whole(struct json_reader *r, const struct policy_draft_profile *profile)
{
	lint_data_path(r, profile);
	lint_forward(r, profile);
	lint_client_env(r, profile);
}

/* What a profile sets itself, or what the "set" of a rule sets on top of one. */
static void
lint_settings(struct json_reader *r, const struct policy_draft_profile *profile)
{
	const struct json_node *image = policy_setting_in(profile->node, "container.image");
	const struct json_node *user = policy_setting_in(profile->node, "container.user");

	if (image != NULL)
		warn_of_tag(r, image);
	if (user != NULL && profile->profile.uid == 0)
		json_read_diag(r, DIAG_W_ROOT_USER, user, JSON_AT_VALUE, NULL,
		    "profile \"%s\" runs as root in its container", profile->profile.name);
	lint_exec(r, policy_setting_in(profile->node, "session.exec"));
	lint_mounts(r, policy_setting_in(profile->node, "container.mounts"));
}

static void
lint_profile(struct policy_draft *d, const struct policy_draft_profile *profile)
{
	lint_settings(&d->reader, profile);
	if (profile->used)
		lint_limits(d, profile);
	if (profile->used || !profile->extended)
		lint_whole(&d->reader, profile);
}

/* Each target has a container of its own, and whoever logs in may think of any that fits. */
static void
lint_kept(struct policy_draft *d, const struct json_node *node, const struct policy_rule *rule)
{
	const char *const *target = rule->conditions.targets;
	const struct policy_profile *profile = rule->profile;
	char keep[UNITS_TEXT_MAX];

	if (profile == NULL || profile->mode != POLICY_MODE_USER || profile->keep_ms == 0 ||
	    d->policy->ceilings.per_user.containers != 0 || rule->ceiling.containers != 0)
		return;
	while (target != NULL && *target != NULL && strpbrk(*target, "*?") == NULL)
		target++;
	if (target != NULL && *target != NULL)
		json_read_diag(&d->reader, DIAG_W_UNLIMITED_KEEP, find(find(node, "if"), "target"),
		    JSON_AT_VALUE,
		    "\"ceilings\": { \"per_user\": { \"containers\": 8 } } in the policy, or the rule's own",
		    "a user can leave a container behind for each target like \"%s\", every one kept for "
		    "%s: no ceiling says how many",
		    *target, units_format_duration(profile->keep_ms, keep));
}

static void
lint_rule(struct policy_draft *d, const struct json_node *node, const struct policy_rule *rule,
    int64_t now)
{
	struct json_reader *r = &d->reader;
	size_t past = 0;

	for (size_t i = 0; i < rule->conditions.n_times; i++)
		past += times_is_past(&rule->conditions.times[i], now);
	if (past > 0 && past == rule->conditions.n_times)
		json_read_diag(r, DIAG_W_TIME_PAST, find(find(node, "if"), "time"), JSON_AT_VALUE,
		    NULL, "rule \"%s\" will not match any more: its time is over", rule->id);
	lint_kept(d, node, rule);
}

/* Whether any rule could let this user in. */
static bool
is_user_reached(const struct policy *p, const struct policy_user *user)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_conditions *c = &p->rules[i].conditions;
		bool in_group = c->groups == NULL;

		for (const char *const *g = user->groups; !in_group && *g != NULL; g++)
			in_group = has(c->groups, *g);
		if (p->rules[i].profile != NULL && in_group &&
		    (c->users == NULL || has(c->users, user->name)))
			return true;
	}
	return false;
}

static bool
is_group_used(const struct policy *p, const char *group)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];

		if ((rule->conditions.groups != NULL && has(rule->conditions.groups, group)) ||
		    (rule->except != NULL && rule->except->groups != NULL &&
			has(rule->except->groups, group)))
			return true;
	}
	return false;
}

/* Keys by which nobody can log in, as only a security key verifies its user. */
static void
lint_keys(struct json_reader *r, const struct policy_user *user)
{
	size_t n = 0;

	for (size_t i = 0; i < user->n_keys; i++)
		n += policy_auth_of_key(user->keys[i].blob, user->keys[i].len) != POLICY_AUTH_SK_KEY;
	if (!user->verify_required || n == 0)
		return;
	if (n == user->n_keys)
		json_read_diag(r, DIAG_W_PLAIN_KEY, find(user->node, "verify_required"),
		    JSON_AT_KEY, NULL,
		    "user \"%s\" can never log in: only a security key verifies its user, and none of the "
		    "keys is one",
		    user->name);
	else
		json_read_diag(r, DIAG_W_PLAIN_KEY, find(user->node, "verify_required"),
		    JSON_AT_KEY, NULL,
		    "user \"%s\" can never log in with %zu of %zu keys: only a security key verifies its "
		    "user",
		    user->name, n, user->n_keys);
}

static void
lint_user(struct policy_draft *d, const struct policy_user *user, int64_t now)
{
	struct json_reader *r = &d->reader;
	const struct json_node *groups = find(user->node, "groups");
	const struct json_node *e = groups == NULL ? NULL : json_node_first(groups);

	if (user->expires <= now)
		json_read_diag(r, DIAG_W_TIME_PAST, find(user->node, "expires"), JSON_AT_VALUE,
		    NULL, "user \"%s\" has expired", user->name);
	lint_keys(r, user);
	if (!is_user_reached(d->policy, user))
		json_read_diag(r, DIAG_W_UNUSED_USER, user->node, JSON_AT_KEY, NULL,
		    "no rule lets user \"%s\" in", user->name);
	for (; e != NULL; e = json_node_next(e)) {
		if (!is_group_used(d->policy, json_node_string(e)))
			json_read_diag(r, DIAG_W_UNUSED_GROUP, e, JSON_AT_VALUE, NULL,
			    "group \"%s\" is in no rule", json_node_string(e));
	}
}

void
policy_lint(struct policy_draft *d, int64_t now)
{
	const struct policy *p = d->policy;
	const struct json_node *e = policy_section_first(&d->rules);

	if (d->root_user != NULL)
		json_read_diag(&d->reader, DIAG_W_UNSAFE, d->root_user, JSON_AT_VALUE, NULL,
		    "a guardrail is relaxed: containers may run as root");
	lint_images(d);
	for (size_t i = 0; i < d->n_draft_profiles; i++)
		lint_profile(d, &d->draft_profiles[i]);
	for (const struct policy_draft_profile *set = d->set_profiles; set != NULL; set = set->next) {
		lint_settings(&d->reader, set);
		lint_whole(&d->reader, set);
	}
	policy_lint_names(d);
	for (size_t i = 0; i < p->n_rules; i++, e = policy_section_next(&d->rules, e))
		lint_rule(d, e, &p->rules[i], now);
	for (size_t i = 0; i < p->n_users; i++)
		lint_user(d, &p->users[i], now);
}
