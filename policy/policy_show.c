/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and settings in words. Runs in the admin tool. */
#include "policy_show.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "json_write.h"
#include "policy_private.h"
#include "units.h"

/* ---- rules ---- */

/* Text into a buffer that may be too small: it is cut. */
struct words {
	char *out;
	size_t cap;
};

static void SP_PRINTF(2, 3) say(struct words *w, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(w->out, w->cap, format, args);
	va_end(args);
	if (n < 0 || w->cap == 0)
		return;
	if ((size_t)n >= w->cap)
		n = (int)w->cap - 1;
	w->out += n;
	w->cap -= (size_t)n;
}

static void
say_list(struct words *w, const char *const *list)
{
	if (*list == NULL)
		say(w, "nothing");
	for (const char *const *e = list; *e != NULL; e++)
		say(w, "%s%s", e == list ? "" : ", ", *e);
}

static void
say_networks(struct words *w, const struct policy_conditions *c)
{
	char text[CIDR_TEXT_MAX];

	for (size_t i = 0; i < c->from.n; i++)
		say(w, "%s%s", i == 0 ? "" : ", ", cidr_format(&c->from.items[i], text));
}

static void
say_auth(struct words *w, unsigned auth)
{
	const char *before = "";

	for (unsigned i = 0; policy_auth_names[i] != NULL; i++) {
		if ((auth & 1U << i) == 0)
			continue;
		say(w, "%s%s", before, policy_auth_names[i]);
		before = ", ";
	}
}

const char *
policy_source_text(const struct sockaddr_storage *source, char out[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)source;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)source;
	const void *address = source->ss_family == AF_INET ? (const void *)&in4->sin_addr
							   : (const void *)&in6->sin6_addr;

	return inet_ntop(source->ss_family, address, out, INET6_ADDRSTRLEN) != NULL ? out : "?";
}

static void
say_failing(struct words *w, enum policy_condition failing, const struct policy_conditions *c,
    const struct policy_user *user, const struct policy_login *login)
{
	char address[INET6_ADDRSTRLEN];
	char when[TIMES_TEXT_MAX];

	switch (failing) {
	case POLICY_CONDITION_NONE:
		break;
	case POLICY_CONDITION_USER:
		say(w, "user: %s is none of ", user->name);
		say_list(w, c->users);
		break;
	case POLICY_CONDITION_GROUP:
		say(w, "group: %s is in ", user->name);
		say_list(w, user->groups);
		say(w, "; asked for ");
		say_list(w, c->groups);
		break;
	case POLICY_CONDITION_KEY:
		if (login->fingerprint == NULL)
			say(w, "key: no key is known");
		else
			say(w, "key: %s is not listed", login->fingerprint);
		break;
	case POLICY_CONDITION_AUTH:
		say(w, "auth: by %s; asked for ", policy_auth_names[login->auth]);
		say_auth(w, c->auth);
		break;
	case POLICY_CONDITION_FROM:
		if (login->source == NULL)
			say(w, "from: no address is known; asked for ");
		else
			say(w, "from: %s is in none of ", policy_source_text(login->source, address));
		say_networks(w, c);
		break;
	case POLICY_CONDITION_TIME:
		say(w, "time: %s is outside of ", times_format(login->time, when));
		say_list(w, c->time_texts);
		break;
	case POLICY_CONDITION_TARGET:
		say(w,
		    login->target == NULL ? "target: none was asked for; asked for "
					  : "target: it fits none of ");
		say_list(w, c->targets);
		break;
	case POLICY_CONDITION_NO_TARGET:
		say(w, "target: \"%s\" was asked for, and this rule gives no targets", login->target);
		break;
	case POLICY_CONDITION_EXCEPT:
		say(w, "not: all of its conditions hold");
		break;
	}
}

static void
say_matching(struct words *w, const struct policy_rule *rule)
{
	const struct policy_conditions *c = &rule->conditions;
	const char *const names[] = {
		c->users != NULL ? "user" : NULL,
		c->groups != NULL ? "group" : NULL,
		c->keys != NULL ? "key" : NULL,
		c->auth != 0 ? "auth" : NULL,
		c->from.n > 0 ? "from" : NULL,
		c->times != NULL ? "time" : NULL,
		c->targets != NULL ? "target" : NULL,
		rule->except != NULL ? "not" : NULL,
	};
	size_t n = 0;

	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		if (names[i] != NULL)
			say(w, "%s%s", n++ == 0 ? "" : ", ", names[i]);
	}
	if (n == 0)
		say(w, "no conditions");
}

size_t
policy_rule_count(const struct policy *p)
{
	return p->n_rules;
}

void
policy_view_rule(const struct policy *p, size_t i, const struct policy_login *login,
    struct policy_rule_view *ret)
{
	const struct policy_user *user = policy_find_user(p, login->user, strlen(login->user));
	const struct policy_rule *rule = &p->rules[i];
	struct words w = { ret->why, sizeof(ret->why) };
	enum policy_condition failing;

	*ret = (struct policy_rule_view){
		.id = rule->id,
		.file = rule->file,
		.line = rule->line,
		.column = rule->column,
		.profile = rule->profile,
	};
	if (user == NULL) {
		say(&w, "there is no user \"%s\"", login->user);
		return;
	}
	failing = policy_judge_rule(rule, user, login);
	ret->matches = failing == POLICY_CONDITION_NONE;
	if (ret->matches)
		say_matching(&w, rule);
	else
		say_failing(&w, failing, &rule->conditions, user, login);
}

int64_t
policy_user_expires(const struct policy *p, const char *user)
{
	const struct policy_user *u = policy_find_user(p, user, strlen(user));

	return u != NULL ? u->expires : INT64_MAX;
}

const char *
policy_user_key_at(const struct policy *p, const char *user, size_t i, enum policy_auth *ret)
{
	const struct policy_user *u = policy_find_user(p, user, strlen(user));

	if (u == NULL || i >= u->n_keys)
		return NULL;
	*ret = policy_auth_of_key(u->keys[i].blob, u->keys[i].len);
	return u->keys[i].fingerprint;
}

bool
policy_user_has_key(const struct policy *p, const char *user, const char *fingerprint,
    enum policy_auth *ret)
{
	enum policy_auth auth;
	const char *key;

	for (size_t i = 0; (key = policy_user_key_at(p, user, i, &auth)) != NULL; i++) {
		if (strcmp(key, fingerprint) == 0) {
			*ret = auth;
			return true;
		}
	}
	return false;
}

bool
policy_is_verified(const struct policy *p, const struct policy_login *login)
{
	const struct policy_user *user = policy_find_user(p, login->user, strlen(login->user));

	return user == NULL || !user->verify_required ||
	    (login->auth == POLICY_AUTH_SK_KEY && login->verified);
}

/* ---- settings ---- */

struct listing {
	struct arena *arena;
	struct policy_origins origins;
	bool unset; /* what has no origin has no value */
	struct policy_setting *items;
	size_t n;
};

/* The readers that come with json_read.h have no handler of their own for this. */
static void
show_ready_made(FILE *out, const struct json_field *field, const void *target)
{
	char text[UNITS_TEXT_MAX];

	if (field->read == json_read_bool)
		(void)fputs(*(const bool *)target ? "true" : "false", out);
	else if (field->read == json_read_u32)
		(void)fprintf(out, "%" PRIu32, *(const uint32_t *)target);
	else if (field->read == json_read_size)
		json_write_text(out, units_format_size(*(const uint64_t *)target, text));
	else if (field->read == json_read_duration)
		json_write_text(out, units_format_duration(*(const uint32_t *)target, text));
	else if (field->read == json_read_choice)
		json_write_text(out, field->choices[*(const unsigned *)target]);
}

static const char *
value_text(struct arena *a, const struct json_field *field, const void *target)
{
	char *text = NULL;
	const char *copy = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	if (field->show != NULL)
		field->show(out, target);
	else
		show_ready_made(out, field, target);
	if (fclose(out) == 0)
		copy = arena_copy(a, text, len);
	free(text);
	return copy;
}

static const struct policy_origin *
find_origin(const struct policy_origins *origins, const struct json_field *field)
{
	for (size_t i = 0; i < origins->n; i++) {
		if (origins->all[i].field == field)
			return &origins->all[i];
	}
	return NULL;
}

/* Fields that have no value to show are those that this build does not have, or refuses. */
static bool
is_shown(const struct json_field *field)
{
	return field->show != NULL || field->read == json_read_bool ||
	    field->read == json_read_u32 || field->read == json_read_size ||
	    field->read == json_read_duration || field->read == json_read_choice;
}

static void
add_setting(struct listing *l, const char *name, const struct json_field *field, const void *target)
{
	const struct policy_origin *origin = find_origin(&l->origins, field);
	struct policy_setting *s = &l->items[l->n++];

	s->name = name;
	s->value = origin == NULL && l->unset ? "null" : value_text(l->arena, field, target);
	if (s->value == NULL)
		l->arena->failed = true;
	if (origin == NULL)
		return;
	s->file = origin->file;
	s->line = origin->line;
	s->column = origin->column;
	s->profile = origin->profile;
	s->rule = origin->rule;
}

static size_t
count_settings(const struct json_table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->fields[i].read == json_read_table ? count_settings(t->fields[i].table)
							  : (size_t)is_shown(&t->fields[i]);
	return n;
}

static void
list_settings(struct listing *l, const struct json_table *t, const void *base, const char *before)
{
	for (size_t i = 0; i < t->n && !l->arena->failed; i++) {
		const struct json_field *field = &t->fields[i];
		bool object = field->read == json_read_table;
		const void *target = (const char *)base + field->offset;
		const char *name = object || is_shown(field)
		    ? arena_format(l->arena, "%s%s%s", before, field->key, object ? "." : "")
		    : NULL;

		if (name != NULL && object)
			list_settings(l, field->table, target, name);
		else if (name != NULL)
			add_setting(l, name, field, target);
	}
}

const struct policy_setting *
policy_settings(struct arena *a, const struct policy_profile *p, size_t *ret_n)
{
	struct listing l = { .arena = a, .origins = { p->origins, p->n_origins } };

	l.items = arena_array(a, count_settings(&policy_profile_table), sizeof(*l.items));
	if (l.items != NULL)
		list_settings(&l, &policy_profile_table, p, "");
	*ret_n = l.n;
	return a->failed ? NULL : l.items;
}

const struct policy_setting *
policy_ceiling_settings(struct arena *a, const struct policy *p, size_t *ret_n)
{
	struct listing l = { .arena = a, .origins = p->ceiling_origins, .unset = true };

	l.items = arena_array(a, count_settings(&policy_ceilings_table), sizeof(*l.items));
	if (l.items != NULL)
		list_settings(&l, &policy_ceilings_table, &p->ceilings, "ceilings.");
	*ret_n = l.n;
	return a->failed ? NULL : l.items;
}

static bool
has_ceilings_for(const struct policy_rule *r, const char *rule, const struct policy_profile *profile)
{
	if (rule != NULL)
		return strcmp(r->id, rule) == 0;
	return r->profile == profile && r->ceiling_origins.n > 0;
}

const struct policy_setting *
policy_rule_ceiling_settings(struct arena *a, const struct policy *p, const char *rule,
    const struct policy_profile *profile, size_t *ret_n)
{
	size_t each = count_settings(&policy_rule_ceiling_table);
	struct listing l = { .arena = a, .unset = true };

	l.items = arena_array(a, each * (p->n_rules + 1), sizeof(*l.items));
	for (size_t i = 0; l.items != NULL && i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		l.origins = r->ceiling_origins;
		if (has_ceilings_for(r, rule, profile))
			list_settings(&l, &policy_rule_ceiling_table, &r->ceiling,
			    "ceilings.per_rule.");
	}
	*ret_n = l.n;
	return a->failed ? NULL : l.items;
}
