/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: who gets which profile, in the order of the file. Runs in the broker and the admin tool. */
#include "policy_private.h"

#include <stdlib.h>
#include <string.h>

#include "ipc.h"
#include "names.h"
#include "suggest.h"

#define CONDITION_MAX 4096 /* elements of one list */
#define TIMES_MAX     64   /* windows of one condition */

_Static_assert(POLICY_MESSAGE_MAX <= IPC_TEXT_MAX, "a sentence that no message carries");

static void
read_id(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const char *fault;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return;
	fault = names_label_fault(json_node_string(value));
	if (fault != NULL)
		json_read_diag(r, DIAG_E_NAME, value, JSON_AT_VALUE, NULL,
		    "the id \"%s\" of a rule %s", json_node_string(value), fault);
	else
		*(const char **)target =
		    arena_copy(r->arena, json_node_string(value), strlen(json_node_string(value)));
}

/* Elements of a list of strings, for the second look at each. */
static const struct json_node *
first_string(const struct json_node *list)
{
	const struct json_node *e = json_node_kind(list) == JSON_KIND_ARRAY ? json_node_first(list)
									    : NULL;

	while (e != NULL && json_node_kind(e) != JSON_KIND_STRING)
		e = json_node_next(e);
	return e;
}

static const struct json_node *
next_string(const struct json_node *e)
{
	do
		e = json_node_next(e);
	while (e != NULL && json_node_kind(e) != JSON_KIND_STRING);
	return e;
}

static void
check_user(struct json_reader *r, const struct json_node *value)
{
	const struct policy *p = policy_draft_of(r)->policy;
	const char *name = json_node_string(value);
	struct suggest near;

	if (name[0] == '\0' || policy_find_user(p, name, strlen(name)) != NULL)
		return;
	suggest_init(&near, name);
	for (size_t i = 0; i < p->n_users; i++)
		suggest_offer(&near, p->users[i].name);
	json_read_diag(r, DIAG_E_NO_SUCH_USER, value, JSON_AT_VALUE,
	    json_read_did_you_mean(r, near.best), "\"users\" has no \"%s\"", name);
}

static void
read_users(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const struct json_node *e;

	json_read_strings(r, value, field, target);
	for (e = first_string(value); e != NULL; e = next_string(e))
		check_user(r, e);
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

/* Whether any user is in the group; if not, near has what the name may have meant. */
static bool
find_group(const struct policy_draft *d, const char *name, struct suggest *near)
{
	if (d->n_group_names > 0 &&
	    bsearch(name, d->group_names, d->n_group_names, sizeof(name), compare_texts) != NULL)
		return true;
	suggest_init(near, name);
	for (size_t i = 0; i < d->n_group_names; i++)
		suggest_offer(near, d->group_names[i]);
	return false;
}

static void
read_groups(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const struct json_node *e;

	json_read_strings(r, value, field, target);
	for (e = first_string(value); e != NULL; e = next_string(e)) {
		struct suggest near;

		if (json_node_string(e)[0] != '\0' &&
		    !find_group(policy_draft_of(r), json_node_string(e), &near))
			json_read_diag(r, DIAG_W_GROUP_OF_NOBODY, e, JSON_AT_VALUE,
			    json_read_did_you_mean(r, near.best), "no user is in group \"%s\"",
			    json_node_string(e));
	}
}

static void
read_keys(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const struct json_node *e;

	json_read_strings(r, value, field, target);
	for (e = first_string(value); e != NULL; e = next_string(e)) {
		if (!public_key_fingerprint_valid(json_node_string(e)))
			json_read_diag(r, DIAG_E_KEY, e, JSON_AT_VALUE,
			    "ssh-keygen -l -f KEY.pub prints it",
			    "\"%s\" is no fingerprint: \"SHA256:\" and 43 characters of base64",
			    json_node_string(e));
	}
}

static void
read_target(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-*?";
	const struct json_node *e;

	json_read_strings(r, value, field, target);
	for (e = first_string(value); e != NULL; e = next_string(e)) {
		const char *text = json_node_string(e);

		if (text[strspn(text, allowed)] != '\0')
			json_read_diag(r, DIAG_E_NAME, e, JSON_AT_VALUE, NULL,
			    "target \"%s\" may hold letters, digits, \"_\", \".\", \"-\", \"*\" and "
			    "\"?\" only",
			    text);
	}
}

static bool
read_window(struct json_reader *r, const struct json_node *value, struct time_window *ret)
{
	int outcome = times_parse_window(json_node_string(value), ret);

	if (outcome == TIMES_E_EMPTY)
		json_read_diag(r, DIAG_E_TIME, value, JSON_AT_VALUE, NULL,
		    "\"%s\" ends when it begins, or before", json_node_string(value));
	else if (outcome != 0)
		json_read_diag(r, DIAG_E_TIME, value, JSON_AT_VALUE,
		    "\"mon-fri 08:00-18:00 +01:00\", \"sat,sun Z\", "
		    "\"2026-12-20T00:00Z/2027-01-02T00:00Z\", \"/2027-06-30T22:00Z\"",
		    "\"%s\" is no window of time; each needs its zone", json_node_string(value));
	return outcome == 0;
}

static void
read_time(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_conditions *c = target;
	struct time_window *times;
	const struct json_node *e;

	bool one = json_node_kind(value) == JSON_KIND_STRING;
	const char **texts = one ? arena_array(r->arena, 2, sizeof(*texts)) : NULL;

	if (one && texts != NULL)
		texts[0] = json_read_text(r, value, 1, JSON_READ_STRING_MAX);
	c->time_texts = one ? texts : json_read_texts(r, value, field->min, field->max);
	times = arena_array(r->arena, json_node_count(value) + 1, sizeof(*times));
	if (c->time_texts == NULL || times == NULL)
		return;
	c->times = times;
	if (one) {
		c->n_times += read_window(r, value, times);
		return;
	}
	for (e = first_string(value); e != NULL; e = next_string(e)) {
		if (read_window(r, e, &times[c->n_times]))
			c->n_times++;
	}
}

/* Ways to prove who one is that later releases have. */
static bool
is_later(const char *word)
{
	return strcmp(word, "cert") == 0 || strcmp(word, "password") == 0 ||
	    strcmp(word, "totp") == 0 || strchr(word, '+') != NULL;
}

static void
read_auth_word(struct json_reader *r, const struct json_node *value, unsigned *ret)
{
	const char *word = json_node_string(value);
	struct suggest near;

	for (unsigned i = 0; policy_auth_names[i] != NULL; i++) {
		if (strcmp(policy_auth_names[i], word) == 0) {
			*ret |= 1U << i;
			return;
		}
	}
	if (is_later(word)) {
		json_read_diag(r, DIAG_E_UNAVAILABLE, value, JSON_AT_VALUE, NULL,
		    "\"%s\" is not available in this build", word);
		return;
	}
	suggest_init(&near, word);
	for (unsigned i = 0; policy_auth_names[i] != NULL; i++)
		suggest_offer(&near, policy_auth_names[i]);
	json_read_diag(r, DIAG_E_CHOICE, value, JSON_AT_VALUE, json_read_did_you_mean(r, near.best),
	    "\"%s\" is no way to log in; \"key\" and \"sk-key\" are", word);
}

static void
read_any_auth(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const struct json_node *e;

	if (json_read_texts(r, value, field->min, field->max) == NULL)
		return;
	for (e = first_string(value); e != NULL; e = next_string(e))
		read_auth_word(r, e, target);
}

static const struct json_field auth_fields[] = {
	{ .key = "any",
	    .read = read_any_auth,
	    .offset = offsetof(struct policy_conditions, auth),
	    .min = 1,
	    .max = 16,
	    .required = true,
	    .schema = "{\"type\": \"array\", \"minItems\": 1, \"items\": {\"enum\": [\"key\", "
		      "\"sk-key\"]}}" },
};

static const struct json_table auth_table = JSON_TABLE("\"auth\"", auth_fields);

#define TEXT "{\"type\": \"string\", \"minLength\": 1}"
#define LIST "{\"type\": \"array\", \"minItems\": 1, \"items\": " TEXT "}"

#define CONDITIONS                                                                    \
	{ .key = "user",                                                              \
		.read = read_users,                                                   \
		.offset = offsetof(struct policy_conditions, users),                  \
		.min = 1,                                                             \
		.max = CONDITION_MAX,                                                 \
		.schema = LIST },                                                     \
	    { .key = "group",                                                         \
		    .read = read_groups,                                              \
		    .offset = offsetof(struct policy_conditions, groups),             \
		    .min = 1,                                                         \
		    .max = CONDITION_MAX,                                             \
		    .schema = LIST },                                                 \
	    { .key = "key",                                                           \
		    .read = read_keys,                                                \
		    .offset = offsetof(struct policy_conditions, keys),               \
		    .min = 1,                                                         \
		    .max = CONDITION_MAX,                                             \
		    .schema = "{\"type\": \"array\", \"minItems\": 1, \"items\": "    \
			      "{\"type\": \"string\", \"pattern\": \"^SHA256:\"}}" }, \
	    { .key = "auth", .read = json_read_table, .table = &auth_table },         \
	    { .key = "from",                                                          \
		    .read = json_read_networks,                                       \
		    .offset = offsetof(struct policy_conditions, from),               \
		    .min = 1,                                                         \
		    .max = CONDITION_MAX,                                             \
		    .schema = LIST },                                                 \
	    { .key = "time",                                                          \
		    .read = read_time,                                                \
		    .min = 1,                                                         \
		    .max = TIMES_MAX,                                                 \
		    .schema = "{\"anyOf\": [" TEXT ", " LIST "]}" },                  \
	    { .key = "target",                                                        \
		    .read = read_target,                                              \
		    .offset = offsetof(struct policy_conditions, targets),            \
		    .min = 1,                                                         \
		    .max = CONDITION_MAX,                                             \
		    .schema = LIST },                                                 \
	    { .key = "cert", .read = json_read_unavailable },                         \
	    { .key = "any", .read = json_read_unavailable },                          \
	{                                                                             \
		.key = "request", .read = json_read_unavailable                       \
	}

static const struct json_field except_fields[] = { CONDITIONS };

static const struct json_table except_table = JSON_TABLE("\"not\"", except_fields);

static void
read_except(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_conditions *c = arena_array(r->arena, 1, sizeof(*c));

	if (c == NULL || !json_read_expect(r, value, JSON_KIND_OBJECT, "an object"))
		return;
	if (json_node_count(value) == 0)
		json_read_diag(r, DIAG_E_EMPTY, value, JSON_AT_VALUE, NULL,
		    "\"not\" without conditions would never let the rule match");
	json_read_table(r, value, field, c);
	*(const struct policy_conditions **)target = c;
}

/* "not" lies beside the conditions in a rule. */
#define EXCEPT_AT (offsetof(struct policy_rule, except) - offsetof(struct policy_rule, conditions))

static const struct json_field condition_fields[] = {
	CONDITIONS,
	{ .key = "not", .read = read_except, .offset = EXCEPT_AT, .table = &except_table },
};

_Static_assert(offsetof(struct policy_rule, except) > offsetof(struct policy_rule, conditions),
    "an offset that is negative");

static const struct json_table condition_table = JSON_TABLE("\"if\"", condition_fields);

static void
read_use(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_draft *d = policy_draft_of(r);
	struct policy_draft_profile *profile;
	struct suggest near;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "the name of a profile"))
		return;
	profile = policy_find_profile(d, json_node_string(value));
	if (profile != NULL) {
		profile->used = true;
		*(const struct policy_profile **)target = &profile->profile;
		return;
	}
	suggest_init(&near, json_node_string(value));
	for (size_t i = 0; i < d->n_draft_profiles; i++)
		suggest_offer(&near, json_node_key(d->draft_profiles[i].node));
	json_read_diag(r, DIAG_E_NO_SUCH_PROFILE, value, JSON_AT_VALUE,
	    json_read_did_you_mean(r, near.best), "there is no profile \"%s\"",
	    json_node_string(value));
}

/* Handled when the profile is known; here it is just a known word. */
static void
read_set(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)field;
	(void)target;
	(void)json_read_expect(r, value, JSON_KIND_OBJECT, "an object of settings and values");
}

static const struct json_field rule_fields[] = {
	{ .key = "id",
	    .read = read_id,
	    .offset = offsetof(struct policy_rule, id),
	    .required = true,
	    .schema = "{\"type\": \"string\", \"pattern\": \"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$\"}" },
	{ .key = "if",
	    .read = json_read_table,
	    .offset = offsetof(struct policy_rule, conditions),
	    .table = &condition_table },
	{ .key = "use",
	    .read = read_use,
	    .offset = offsetof(struct policy_rule, profile),
	    .schema = TEXT },
	{ .key = "deny",
	    .read = json_read_string,
	    .offset = offsetof(struct policy_rule, deny),
	    .min = 1,
	    .max = POLICY_MESSAGE_MAX },
	{ .key = "set", .read = read_set, .schema = "{\"type\": \"object\"}" },
	{ .key = "ceilings",
	    .read = json_read_table,
	    .offset = offsetof(struct policy_rule, ceiling),
	    .table = &policy_rule_ceiling_table },
	{ .key = "record", .read = json_read_unavailable },
	{ .key = "require", .read = json_read_unavailable },
};

const struct json_table policy_rule_table = JSON_TABLE("a rule", rule_fields);

static const struct json_node *
condition(const struct json_node *node, const char *key)
{
	const struct json_node *conditions = json_node_find(node, "if");

	return conditions == NULL ? NULL : json_node_find(conditions, key);
}

static void
check_id(struct policy_draft *d, const struct json_node *node, const struct policy_rule *rules,
    size_t n)
{
	for (size_t i = 0; rules[n].id != NULL && i < n; i++) {
		if (rules[i].id == NULL || strcmp(rules[i].id, rules[n].id) != 0)
			continue;
		json_read_diag(&d->reader, DIAG_E_TWICE, json_node_find(node, "id"), JSON_AT_VALUE,
		    NULL, "the rule at %s:%u has the id \"%s\" already",
		    rules[i].file != NULL ? rules[i].file : "", rules[i].line, rules[n].id);
		return;
	}
}

static void
check_outcome(struct json_reader *r, const struct json_node *node)
{
	static const char *const with_use[] = { "set", "ceilings" };
	bool use = json_node_find(node, "use") != NULL;
	bool deny = json_node_find(node, "deny") != NULL;

	if (use == deny)
		json_read_diag(r, DIAG_E_RULE, node, JSON_AT_VALUE, NULL,
		    use ? "a rule has \"use\" or \"deny\", not both"
			: "a rule needs \"use\", a profile, or \"deny\", a sentence");
	for (size_t i = 0; deny && !use && i < SP_ARRAY_LEN(with_use); i++) {
		const struct json_node *e = json_node_find(node, with_use[i]);

		if (e != NULL)
			json_read_diag(r, DIAG_E_RULE, e, JSON_AT_KEY, NULL,
			    "\"%s\" goes with \"use\" only", with_use[i]);
	}
}

/* Without a target there is nothing to fill in. */
static void
check_target(struct json_reader *r, const struct json_node *node, const struct policy_rule *rule)
{
	if (rule->profile != NULL && condition(node, "target") == NULL &&
	    policy_profile_has(rule->profile, POLICY_TARGET))
		json_read_diag(r, DIAG_E_TEMPLATE, node, JSON_AT_VALUE,
		    "\"if\": { \"target\": [\"*\"] }",
		    "the profile \"%s\" has \"" POLICY_TARGET
		    "\" in it; a rule that uses it needs the condition \"target\"",
		    rule->profile->name);
}

static void
read_rule(struct policy_draft *d, const struct json_node *node, struct policy_rule *rules, size_t n)
{
	struct json_reader *r = &d->reader;
	struct policy_rule *rule = &rules[n];
	struct json_place place = json_text_place(json_node_text(node), node, JSON_AT_VALUE);
	const struct json_table *t = &policy_rule_table;
	const struct json_node *ceilings;
	const struct json_node *set;

	rule->file = policy_file_of(d, node);
	rule->line = place.line;
	rule->column = place.column;
	json_read_object(r, node, t->what, t->fields, t->n, rule);
	if (json_node_kind(node) != JSON_KIND_OBJECT)
		return;
	check_outcome(r, node);
	check_id(d, node, rules, n);
	/* Without memory a profile may be without its defaults. */
	if (r->arena->failed)
		return;
	ceilings = json_node_find(node, "ceilings");
	if (ceilings != NULL)
		policy_find_origins(d, ceilings, &policy_rule_ceiling_table, rule->id,
		    &rule->ceiling_origins);
	set = json_node_find(node, "set");
	if (set != NULL && json_node_kind(set) == JSON_KIND_OBJECT && rule->profile != NULL)
		rule->profile = policy_set(d, rule->profile, set, rule->id);
	check_target(r, node, rule);
}

void
policy_read_rules(struct policy_draft *d)
{
	size_t n = policy_section_count(&d->rules);
	const struct json_node *e = policy_section_first(&d->rules);
	struct policy_rule *rules = arena_array(d->reader.arena, n, sizeof(*rules));

	if (rules == NULL)
		return;
	if (n == 0 && d->reader.diags->n_errors == d->reader.errors_before)
		json_read_diag(&d->reader, DIAG_W_NO_RULES,
		    d->rules.n > 0 ? d->rules.nodes[0] : json_text_root(d->texts[0]), JSON_AT_KEY,
		    NULL, "without rules nobody can log in");
	else if (d->policy->n_users == 0 && d->reader.diags->n_errors == d->reader.errors_before)
		json_read_diag(&d->reader, DIAG_W_NO_USERS,
		    d->users.n > 0 ? d->users.nodes[0] : json_text_root(d->texts[0]), JSON_AT_KEY,
		    NULL, "without users nobody can log in");
	for (size_t i = 0; e != NULL; e = policy_section_next(&d->rules, e), i++)
		read_rule(d, e, rules, i);
	d->policy->rules = rules;
	d->policy->n_rules = n;
	policy_check_reached(d);
}
