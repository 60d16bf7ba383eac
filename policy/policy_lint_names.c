/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of volumes, networks and directories in which two users meet who were meant to be apart. Pure. Templates stand
 * for what a login brings: ${user} is one of the policy's, ${target} whatever the client says and the rule takes.
 */
#include "policy_private.h"

#include <string.h>

#include "names.h"

#define NAMES_MAX 256 /* of each kind, different ones: more of them are not compared */

#define APART "a capital letter between them, as in \"" POLICY_USER ".T." POLICY_TARGET "\""

/* Both halves of a name with one template in it. */
struct halves {
	const struct json_node *node;
	const char *text;
	size_t before; /* characters before the template */
	const char *behind;
};

struct name_list {
	struct halves list[NAMES_MAX];
	size_t n;
};

/* Of one kind of thing. */
struct names {
	struct name_list users;
	struct name_list targets;
};

/*
 * Whether a user's name and a target stand in one name so that another user with another target may have the same:
 * alice with "smith.web", alice.smith with "web". What no user's name has, between them, keeps them apart.
 */
static bool
run_together(const char *text)
{
	const char *last = NULL;
	bool apart = false;

	while (*text != '\0') {
		const char *template = policy_template_at(text);

		if (template != NULL) {
			if (last != NULL && !apart && strcmp(template, last) != 0)
				return true;
			last = template;
			apart = false;
			text += strlen(template);
			continue;
		}
		/* Other directories are other places, whatever they are called. */
		if (*text == '/')
			last = NULL;
		apart = apart || !names_login_valid((const char[]){ 'a', *text }, 2);
		text++;
	}
	return false;
}

/* The only template of the text, or NULL: there is none, or more than one. */
static const char *
only_template(const char *text, size_t *ret_before)
{
	const char *found = NULL;

	for (const char *at = text; *at != '\0'; at++) {
		const char *template = policy_template_at(at);

		if (template == NULL)
			continue;
		if (found != NULL)
			return NULL;
		found = template;
		*ret_before = (size_t)(at - text);
	}
	return found;
}

static void
remember(struct name_list *l, const struct halves *h)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->list[i].text, h->text) == 0)
			return;
	}
	if (l->n < NAMES_MAX)
		l->list[l->n++] = *h;
}

static void
take_name(struct json_reader *r, struct names *names, const struct json_node *node)
{
	struct halves h = { .node = node, .text = node != NULL ? json_node_string(node) : NULL };
	const char *template;

	if (h.text == NULL)
		return;
	if (run_together(h.text)) {
		json_read_diag(r, DIAG_W_JOINED_NAMES, node, JSON_AT_VALUE, APART,
		    "two users may have the same: a user \"a\" with the target \"b.c\", and \"a.b\" with \"c\"");
		return;
	}
	template = only_template(h.text, &h.before);
	if (template == NULL)
		return;
	h.behind = h.text + h.before + strlen(template);
	if (strcmp(template, POLICY_USER) == 0)
		remember(&names->users, &h);
	else if (strcmp(template, POLICY_TARGET) == 0)
		remember(&names->targets, &h);
}

/* Whether what the one has more than the other may come from a login's name. */
static bool
is_of_a_name(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!names_login_valid((const char[]){ 'a', text[i] }, 2))
			return false;
	}
	return true;
}

static bool
same_beginning(const struct halves *a, const struct halves *b)
{
	const struct halves *longer = a->before > b->before ? a : b;
	size_t n = longer == a ? b->before : a->before;

	return memcmp(a->text, b->text, n) == 0 && is_of_a_name(longer->text + n, longer->before - n);
}

static bool
same_end(const struct halves *a, const struct halves *b)
{
	size_t of_a = strlen(a->behind);
	size_t of_b = strlen(b->behind);
	size_t n = of_a < of_b ? of_a : of_b;
	const char *longer = of_a > of_b ? a->behind : b->behind;

	return memcmp(a->behind + of_a - n, b->behind + of_b - n, n) == 0 &&
	    is_of_a_name(longer, strlen(longer) - n);
}

/* bob's target "alice" would have what alice has. */
static void
compare(struct json_reader *r, const struct names *names)
{
	for (size_t i = 0; i < names->targets.n; i++) {
		const struct halves *target = &names->targets.list[i];

		for (size_t k = 0; k < names->users.n; k++) {
			const struct halves *user = &names->users.list[k];

			if (!same_beginning(target, user) || !same_end(target, user))
				continue;
			json_read_diag(r, DIAG_W_JOINED_NAMES, target->node, JSON_AT_VALUE,
			    "different words before the templates, one of them with a capital letter",
			    "a user who asks for the target \"a\" may have what user \"a\" has by \"%s\"",
			    user->text);
			break;
		}
	}
}

/* node: a profile, or the "set" of a rule. */
static void
take_mounts(struct json_reader *r, struct names *volumes, struct names *binds,
    const struct json_node *node)
{
	const struct json_node *mounts = policy_setting_in(node, "container.mounts");
	const struct json_node *m = mounts != NULL && json_node_kind(mounts) == JSON_KIND_ARRAY
	    ? json_node_first(mounts)
	    : NULL;

	for (; m != NULL; m = json_node_next(m)) {
		take_name(r, volumes, json_node_find(m, "volume"));
		take_name(r, binds, json_node_find(m, "bind"));
	}
}

void
policy_lint_names(struct policy_draft *d)
{
	struct names *kinds = arena_array(d->reader.arena, 3, sizeof(*kinds));

	if (kinds == NULL)
		return;
	for (size_t i = 0; i < d->n_draft_profiles; i++) {
		const struct json_node *node = d->draft_profiles[i].node;

		take_mounts(&d->reader, &kinds[0], &kinds[1], node);
		take_name(&d->reader, &kinds[2], policy_setting_in(node, "container.network"));
	}
	for (const struct policy_draft_profile *set = d->set_profiles; set != NULL; set = set->next) {
		take_mounts(&d->reader, &kinds[0], &kinds[1], set->node);
		take_name(&d->reader, &kinds[2], policy_setting_in(set->node, "container.network"));
	}
	for (size_t i = 0; i < 3; i++)
		compare(&d->reader, &kinds[i]);
}
