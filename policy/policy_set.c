/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings by their names, "container.limits.memory": what a rule's "set" puts on top of a profile, and
 * where each setting of a profile was made. Both walk the tables that profiles are read by. Runs in the
 * broker and the admin tool.
 */
#include "policy_private.h"

#include <string.h>

#include "suggest.h"

/* ---- origins ---- */

static size_t
count_leaves(const struct json_node *node)
{
	size_t n = 1;

	if (json_node_kind(node) != JSON_KIND_OBJECT)
		return n;
	for (node = json_node_first(node); node != NULL; node = json_node_next(node))
		n += count_leaves(node);
	return n;
}

static const struct json_field *
find_field(const struct json_table *t, const char *key, size_t len)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strncmp(t->fields[i].key, key, len) == 0 && t->fields[i].key[len] == '\0')
			return &t->fields[i];
	}
	return NULL;
}

static bool
is_object(const struct json_field *field)
{
	return field->read == json_read_table;
}

struct origins {
	struct policy_origin *all;
	size_t n;
	const struct policy_draft *draft;
	const char *profile;
	const char *rule;
};

static void
put(struct origins *o, const struct json_field *field, const struct json_node *node)
{
	struct json_place place = json_text_place(json_node_text(node), node, JSON_AT_VALUE);
	size_t i = 0;

	while (i < o->n && o->all[i].field != field)
		i++;
	o->all[i] = (struct policy_origin){
		.field = field,
		.file = policy_file_of(o->draft, node),
		.line = place.line,
		.column = place.column,
		.profile = o->profile,
		.rule = o->rule,
	};
	o->n += i == o->n;
}

static void
walk(struct origins *o, const struct json_table *t, const struct json_node *object)
{
	const struct json_node *m =
	    json_node_kind(object) == JSON_KIND_OBJECT ? json_node_first(object) : NULL;

	for (; m != NULL; m = json_node_next(m)) {
		const struct json_field *field =
		    find_field(t, json_node_key(m), strlen(json_node_key(m)));

		if (field != NULL && is_object(field))
			walk(o, field->table, m);
		else if (field != NULL)
			put(o, field, m);
	}
}

/* Room for what is there and what node may add. */
static bool
begin(struct origins *o, struct policy_draft *d, const struct policy_profile *profile,
    const struct json_node *node, const char *rule)
{
	*o = (struct origins){
		.all = arena_array(d->reader.arena, profile->n_origins + count_leaves(node),
		    sizeof(*o->all)),
		.n = profile->n_origins,
		.draft = d,
		.profile = profile->name,
		.rule = rule,
	};
	if (o->all != NULL && o->n > 0)
		memcpy(o->all, profile->origins, o->n * sizeof(*o->all));
	return o->all != NULL;
}

void
policy_add_origins(struct policy_draft *d, struct policy_profile *profile,
    const struct json_node *node, const struct json_table *table, const char *rule)
{
	struct origins o;

	if (!begin(&o, d, profile, node, rule))
		return;
	walk(&o, table, node);
	profile->origins = o.all;
	profile->n_origins = o.n;
}

void
policy_find_origins(struct policy_draft *d, const struct json_node *node,
    const struct json_table *table, const char *rule, struct policy_origins *ret)
{
	struct policy_profile none = { .name = NULL };

	policy_add_origins(d, &none, node, table, rule);
	*ret = (struct policy_origins){ none.origins, none.n_origins };
}

/* ---- set ---- */

/* The field that a way of keys and dots leads to, or NULL. */
static const struct json_field *
find_way(const char *way)
{
	const struct json_table *t = &policy_profile_table;

	for (;;) {
		size_t len = strcspn(way, ".");
		const struct json_field *field = find_field(t, way, len);

		/* "extends" is no setting. */
		if (field == NULL || (t == &policy_profile_table && !is_object(field)))
			return NULL;
		if (way[len] == '\0')
			return field;
		if (!is_object(field))
			return NULL;
		t = field->table;
		way += len + 1;
	}
}

static void
offer_ways(struct json_reader *r, struct suggest *near, const struct json_table *t, const char *before)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct json_field *field = &t->fields[i];
		const char *way = arena_format(r->arena, "%s%s", before, field->key);

		if (way == NULL || field->hidden || json_field_is_later(field) ||
		    (t == &policy_profile_table && !is_object(field)))
			continue;
		if (!is_object(field)) {
			suggest_offer(near, way);
			continue;
		}
		way = arena_format(r->arena, "%s.", way);
		if (way != NULL)
			offer_ways(r, near, field->table, way);
	}
}

static void
refuse_way(struct json_reader *r, const struct json_node *m)
{
	struct suggest near;

	suggest_init(&near, json_node_key(m));
	offer_ways(r, &near, &policy_profile_table, "");
	json_read_diag(r, DIAG_E_UNKNOWN_KEY, m, JSON_AT_KEY, json_read_did_you_mean(r, near.best),
	    "there is no setting \"%s\"; they are named as in \"container.limits.memory\"",
	    json_node_key(m));
}

/* The settings lie beside each other in one struct, so that the way does not matter for the place. */
static void
read_setting(struct policy_draft *d, struct policy_profile *profile, const struct json_node *m,
    struct origins *o)
{
	const struct json_field *field = find_way(json_node_key(m));

	if (field == NULL) {
		refuse_way(&d->reader, m);
		return;
	}
	json_read_field(&d->reader, m, field, (char *)profile + field->offset);
	if (is_object(field))
		walk(o, field->table, m);
	else
		put(o, field, m);
}

const struct policy_profile *
policy_set(struct policy_draft *d, const struct policy_profile *base, const struct json_node *set,
    const char *rule)
{
	struct policy_draft_profile *made = arena_array(d->reader.arena, 1, sizeof(*made));
	const struct json_node *m;
	struct origins o;

	if (made == NULL || !begin(&o, d, base, set, rule))
		return NULL;
	made->profile = *base;
	for (m = json_node_first(set); m != NULL; m = json_node_next(m))
		read_setting(d, &made->profile, m, &o);
	made->node = set;
	made->profile.set_by = rule;
	made->profile.origins = o.all;
	made->profile.n_origins = o.n;
	made->next = d->set_profiles;
	d->set_profiles = made;
	return &made->profile;
}
