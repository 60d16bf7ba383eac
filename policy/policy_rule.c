/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: who gets which profile, in the order of the file. Runs in the broker and the admin tool. */
#include "policy_private.h"

#include <string.h>

#include "ipc.h"
#include "names.h"
#include "suggest.h"

#define CONDITION_MAX 4096 /* elements of one list */

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

/* Whether any user is in the group; if not, near has what the name may have meant. */
static bool
find_group(const struct policy *p, const char *name, struct suggest *near)
{
	suggest_init(near, name);
	for (size_t i = 0; i < p->n_users; i++) {
		for (const char *const *group = p->users[i].groups; *group != NULL; group++) {
			if (strcmp(*group, name) == 0)
				return true;
			suggest_offer(near, *group);
		}
	}
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
		    !find_group(policy_draft_of(r)->policy, json_node_string(e), &near))
			json_read_diag(r, DIAG_W_GROUP_OF_NOBODY, e, JSON_AT_VALUE,
			    json_read_did_you_mean(r, near.best), "no user is in group \"%s\"",
			    json_node_string(e));
	}
}

static bool
read_network(struct json_reader *r, const struct json_node *value, struct cidr *ret)
{
	char network[CIDR_TEXT_MAX];
	int outcome = cidr_parse(json_node_string(value), ret);

	if (outcome == CIDR_E_HOST_BITS)
		json_read_diag(r, DIAG_E_NETWORK, value, JSON_AT_VALUE,
		    json_read_did_you_mean(r, cidr_format(ret, network)),
		    "\"%s\" has bits set beyond its prefix", json_node_string(value));
	else if (outcome != 0)
		json_read_diag(r, DIAG_E_NETWORK, value, JSON_AT_VALUE, NULL,
		    "\"%s\" is no network: \"192.0.2.0/24\", \"2001:db8::/32\" or one address",
		    json_node_string(value));
	return outcome == 0;
}

static void
read_from(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_rule *rule = target;
	const char *const *texts = json_read_texts(r, value, field->min, field->max);
	const struct json_node *e;
	struct cidr *from;

	if (texts == NULL)
		return;
	from = arena_array(r->arena, json_node_count(value), sizeof(*from));
	if (from == NULL)
		return;
	rule->from = from;
	for (e = first_string(value); e != NULL; e = next_string(e)) {
		if (read_network(r, e, &from[rule->n_from]))
			rule->n_from++;
	}
}

static void
read_conditions(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	static const struct json_field fields[] = {
		{ .key = "user",
		    .read = read_users,
		    .offset = offsetof(struct policy_rule, users),
		    .min = 1,
		    .max = CONDITION_MAX },
		{ .key = "group",
		    .read = read_groups,
		    .offset = offsetof(struct policy_rule, groups),
		    .min = 1,
		    .max = CONDITION_MAX },
		{ .key = "from", .read = read_from, .min = 1, .max = CONDITION_MAX },
		{ .key = "time", .read = json_read_unavailable },
		{ .key = "cert", .read = json_read_unavailable },
		{ .key = "auth", .read = json_read_unavailable },
		{ .key = "key", .read = json_read_unavailable },
		{ .key = "not", .read = json_read_unavailable },
		{ .key = "any", .read = json_read_unavailable },
		{ .key = "target", .read = json_read_unavailable },
		{ .key = "request", .read = json_read_unavailable },
	};

	(void)field;
	json_read_object(r, value, "\"if\"", fields, SP_ARRAY_LEN(fields), target);
}

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

static const struct json_field rule_fields[] = {
	{ .key = "id", .read = read_id, .offset = offsetof(struct policy_rule, id), .required = true },
	{ .key = "if", .read = read_conditions },
	{ .key = "use", .read = read_use, .offset = offsetof(struct policy_rule, profile) },
	{ .key = "deny",
	    .read = json_read_string,
	    .offset = offsetof(struct policy_rule, deny),
	    .min = 1,
	    .max = POLICY_MESSAGE_MAX },
	{ .key = "set", .read = json_read_unavailable },
	{ .key = "record", .read = json_read_unavailable },
	{ .key = "require", .read = json_read_unavailable },
};

static void
check_id(struct policy_draft *d, const struct json_node *node, const struct policy_rule *rules,
    size_t n)
{
	for (size_t i = 0; rules[n].id != NULL && i < n; i++) {
		if (rules[i].id == NULL || strcmp(rules[i].id, rules[n].id) != 0)
			continue;
		json_read_diag(&d->reader, DIAG_E_TWICE, json_node_find(node, "id"), JSON_AT_VALUE,
		    NULL, "the rule of line %u has the id \"%s\" already", rules[i].line,
		    rules[n].id);
		return;
	}
}

/* A rule without conditions decides for everybody: what comes later is dead. */
static void
check_reached(struct policy_draft *d, const struct json_node *node, const struct policy_rule *rule)
{
	const struct json_node *conditions = json_node_find(node, "if");
	bool anyone = conditions == NULL ||
	    (json_node_kind(conditions) == JSON_KIND_OBJECT && json_node_count(conditions) == 0);

	if (d->anyone_before)
		json_read_diag(&d->reader, DIAG_W_SHADOWED_RULE, node, JSON_AT_VALUE, NULL,
		    "rule \"%s\" can never match: rule \"%s\" (line %u) has no conditions and comes "
		    "first",
		    rule->id != NULL ? rule->id : "", d->anyone_id, d->anyone_line);
	if (!anyone || d->anyone_before)
		return;
	d->anyone_before = true;
	d->anyone_id = rule->id != NULL ? rule->id : "";
	d->anyone_line = rule->line;
}

static void
read_rule(struct policy_draft *d, const struct json_node *node, struct policy_rule *rules, size_t n)
{
	struct json_reader *r = &d->reader;
	struct policy_rule *rule = &rules[n];
	bool use;
	bool deny;

	rule->line = json_text_place(json_node_text(node), node, JSON_AT_VALUE).line;
	json_read_object(r, node, "a rule", rule_fields, SP_ARRAY_LEN(rule_fields), rule);
	if (json_node_kind(node) != JSON_KIND_OBJECT)
		return;
	use = json_node_find(node, "use") != NULL;
	deny = json_node_find(node, "deny") != NULL;
	if (use == deny)
		json_read_diag(r, DIAG_E_RULE, node, JSON_AT_VALUE, NULL,
		    use ? "a rule has \"use\" or \"deny\", not both"
			: "a rule needs \"use\", a profile, or \"deny\", a sentence");
	check_id(d, node, rules, n);
	check_reached(d, node, rule);
}

void
policy_read_rules(struct policy_draft *d)
{
	size_t n = d->rules == NULL ? 0 : json_node_count(d->rules);
	const struct json_node *e = d->rules == NULL ? NULL : json_node_first(d->rules);
	struct policy_rule *rules = arena_array(d->reader.arena, n, sizeof(*rules));

	if (rules == NULL)
		return;
	if (n == 0 && d->reader.diags->n_errors == d->reader.errors_before)
		json_read_diag(&d->reader, DIAG_W_NO_RULES, d->rules != NULL ? d->rules : d->root,
		    JSON_AT_KEY, NULL, "without rules nobody can log in");
	for (size_t i = 0; e != NULL; e = json_node_next(e), i++)
		read_rule(d, e, rules, i);
	d->policy->rules = rules;
	d->policy->n_rules = n;
}
