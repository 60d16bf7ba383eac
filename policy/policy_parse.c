/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a policy file to a policy: the top level, images and users. Runs in the broker and the admin
 * tool. All sections are read even after errors, so that one run shows them all.
 */
#include "policy_private.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "names.h"
#include "suggest.h"

#define IMAGES_MAX 16 /* references under one name */
#define GROUPS_MAX 64 /* of one user */

/* ---- sections ---- */

const struct json_node *
policy_section_first(const struct policy_section *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (json_node_first(s->nodes[i]) != NULL)
			return json_node_first(s->nodes[i]);
	}
	return NULL;
}

const struct json_node *
policy_section_next(const struct policy_section *s, const struct json_node *e)
{
	const struct json_node *section = json_node_parent(e);
	const struct json_node *next = json_node_next(e);
	size_t i = 0;

	if (next != NULL)
		return next;
	while (s->nodes[i] != section)
		i++;
	while (next == NULL && ++i < s->n)
		next = json_node_first(s->nodes[i]);
	return next;
}

size_t
policy_section_count(const struct policy_section *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += json_node_count(s->nodes[i]);
	return n;
}

struct member {
	const struct json_node *node;
	size_t order;
};

static int
compare_members(const void *a, const void *b)
{
	const struct member *x = a;
	const struct member *y = b;
	int order = strcmp(json_node_key(x->node), json_node_key(y->node));

	return order != 0 ? order : x->order < y->order ? -1 : 1;
}

/* "FILE:LINE" of a node, for messages. Owned by the arena. */
static const char *
place_text(struct json_reader *r, const struct json_node *node, enum json_at at)
{
	const struct json_text *t = json_node_text(node);
	const char *text =
	    arena_format(r->arena, "%s:%u", json_text_name(t), json_text_place(t, node, at).line);

	return text != NULL ? text : "";
}

static void
complain_of_two(struct json_reader *r, const struct json_node *first, const struct json_node *second)
{
	json_read_diag(r, DIAG_E_DUPLICATE_KEY, second, JSON_AT_KEY,
	    arena_format(r->arena, "the first one is at %s", place_text(r, first, JSON_AT_KEY)),
	    "duplicate key \"%s\"", json_node_key(second));
}

/* Within one file the parser has seen to it; here a name must not stand in two files. */
void
policy_check_twice(struct policy_draft *d, const struct policy_section *s)
{
	struct json_reader *r = &d->reader;
	const struct json_node *e = policy_section_first(s);
	struct member *all;
	size_t n = 0;

	if (s->n < 2 || e == NULL)
		return;
	all = arena_array(r->arena, policy_section_count(s), sizeof(*all));
	if (all == NULL)
		return;
	for (; e != NULL; e = policy_section_next(s, e), n++)
		all[n] = (struct member){ e, n };
	qsort(all, n, sizeof(*all), compare_members);
	for (size_t i = 1; i < n; i++) {
		const struct json_node *first = all[i - 1].node;

		if (strcmp(json_node_key(first), json_node_key(all[i].node)) == 0)
			complain_of_two(r, first, all[i].node);
	}
}

/* A key of the top level that is no section must not stand in two files. */
static void
check_once(struct policy_draft *d, const char *key)
{
	const struct json_node *first = NULL;

	for (size_t i = 0; i < d->n_texts; i++) {
		const struct json_node *root = json_text_root(d->texts[i]);
		const struct json_node *e =
		    json_node_kind(root) == JSON_KIND_OBJECT ? json_node_find(root, key) : NULL;

		if (e != NULL && first != NULL)
			complain_of_two(&d->reader, first, e);
		first = first != NULL ? first : e;
	}
}

const char *
policy_file_of(const struct policy_draft *d, const struct json_node *node)
{
	size_t i = 0;

	while (i + 1 < d->n_texts && d->texts[i] != json_node_text(node))
		i++;
	return d->file_names != NULL ? d->file_names[i] : NULL;
}

/* ---- top level ---- */

static void
read_version(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)field;
	(void)target;
	if (!json_read_expect(r, value, JSON_KIND_INTEGER, "the number 1"))
		return;
	if (json_node_integer(value) != 1)
		json_read_diag(r, DIAG_E_VERSION, value, JSON_AT_VALUE, NULL,
		    "this build reads version 1 of the policy language, not %lld",
		    (long long)json_node_integer(value));
}

static void
read_guardrails(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)field;
	(void)target;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "\"" POLICY_GUARDRAILS "\""))
		return;
	if (strcmp(json_node_string(value), POLICY_GUARDRAILS) != 0)
		json_read_diag(r, DIAG_E_VERSION, value, JSON_AT_VALUE, NULL,
		    "unknown guardrails \"%s\"; this build has \"" POLICY_GUARDRAILS "\"",
		    json_node_string(value));
}

static void
read_unsafe(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_draft *d = target;
	const struct json_node *e;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_ARRAY, "a list"))
		return;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e)) {
		struct suggest near;

		if (!json_read_expect(r, e, JSON_KIND_STRING, "a string"))
			continue;
		suggest_init(&near, json_node_string(e));
		suggest_offer(&near, "root-user");
		if (strcmp(json_node_string(e), "root-user") == 0)
			d->root_user = e;
		else
			json_read_diag(r, DIAG_E_UNSAFE, e, JSON_AT_VALUE,
			    json_read_did_you_mean(r, near.best),
			    "no guardrail can be relaxed by \"%s\"; \"unsafe\" may hold "
			    "\"root-user\"",
			    json_node_string(e));
	}
}

/* Sections refer to each other, so they are read in an order of our own, later. */
static void
read_section(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_section *s = target;
	bool list = field->shape == JSON_SHAPE_LIST;

	if (!json_read_expect(r, value, list ? JSON_KIND_ARRAY : JSON_KIND_OBJECT,
		list ? "a list" : "an object"))
		return;
	if (s->nodes == NULL)
		s->nodes = arena_array(r->arena, policy_draft_of(r)->n_texts, sizeof(void *));
	if (s->nodes != NULL)
		s->nodes[s->n++] = value;
}

static const struct json_field message_fields[] = {
	{ .key = "refused",
	    .read = json_read_string,
	    .offset = offsetof(struct policy_draft, refused),
	    .min = 1,
	    .max = POLICY_MESSAGE_MAX },
	{ .key = "expired",
	    .read = json_read_string,
	    .offset = offsetof(struct policy_draft, expired),
	    .min = 1,
	    .max = POLICY_MESSAGE_MAX },
};

static const struct json_table message_table = JSON_TABLE("\"messages\"", message_fields);

#define SECTION(name) .read = read_section, .offset = offsetof(struct policy_draft, name)

static const struct json_field top_fields[] = {
	{ .key = "sallyport_policy", .read = read_version, .required = true, .schema = "{\"const\": 1}" },
	{ .key = "guardrails",
	    .read = read_guardrails,
	    .schema = "{\"const\": \"" POLICY_GUARDRAILS "\"}" },
	{ .key = "unsafe",
	    .read = read_unsafe,
	    .schema = "{\"type\": \"array\", \"items\": {\"enum\": [\"root-user\"]}}" },
	{ .key = "messages", .read = json_read_table, .table = &message_table },
	{ .key = "images",
	    SECTION(images),
	    .schema = "{\"type\": \"object\", \"patternProperties\": {\"^//\": {}}, "
		      "\"additionalProperties\": {\"anyOf\": [{\"type\": \"string\"}, {\"type\": "
		      "\"array\", \"minItems\": 1, \"items\": {\"type\": \"string\"}}]}}" },
	{ .key = "runtimes",
	    .read = policy_read_runtimes,
	    .offset = offsetof(struct policy_draft, runtimes),
	    .schema = "{\"type\": \"array\", \"minItems\": 1, \"maxItems\": 16, \"items\": "
		      "{\"type\": \"string\", \"minLength\": 2}}" },
	{ .key = "bind_roots",
	    SECTION(bind_roots),
	    .schema = "{\"type\": \"object\", \"patternProperties\": {\"^//\": {}}, "
		      "\"additionalProperties\": {\"type\": \"string\", \"pattern\": \"^/\"}}" },
	{ .key = "users", SECTION(users), .table = &policy_user_table, .shape = JSON_SHAPE_MAP },
	{ .key = "profiles", SECTION(profiles), .table = &policy_profile_table, .shape = JSON_SHAPE_MAP },
	{ .key = "rules", SECTION(rules), .table = &policy_rule_table, .shape = JSON_SHAPE_LIST },
	{ .key = "authorities", .read = json_read_unavailable },
	{ .key = "ceilings",
	    .read = json_read_table,
	    .offset = offsetof(struct policy_draft, ceilings),
	    .table = &policy_ceilings_table },
};

const struct json_table policy_table = JSON_TABLE("the policy", top_fields);

/* ---- images ---- */

static bool
check_image(struct json_reader *r, const struct json_node *value)
{
	const char *fault;

	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return false;
	fault = names_image_fault(json_node_string(value));
	if (fault != NULL)
		json_read_diag(r, DIAG_E_IMAGE, value, JSON_AT_VALUE, NULL, "image \"%s\" %s",
		    json_node_string(value), fault);
	return fault == NULL;
}

static void
read_image_entry(struct json_reader *r, const struct json_node *entry)
{
	const char *fault = names_label_fault(json_node_key(entry));
	const struct json_node *e;

	if (fault != NULL)
		json_read_diag(r, DIAG_E_NAME, entry, JSON_AT_KEY, NULL,
		    "the name \"%s\" of an image %s", json_node_key(entry), fault);
	if (json_node_kind(entry) == JSON_KIND_STRING) {
		(void)check_image(r, entry);
		return;
	}
	if (!json_read_expect(r, entry, JSON_KIND_ARRAY, "an image or a list of images"))
		return;
	if (json_node_count(entry) == 0 || json_node_count(entry) > IMAGES_MAX)
		json_read_diag(r, DIAG_E_TOO_MANY, entry, JSON_AT_VALUE, NULL,
		    "%s must list 1 to %d images", json_read_name(r, entry), IMAGES_MAX);
	for (e = json_node_first(entry); e != NULL; e = json_node_next(e))
		(void)check_image(r, e);
}

void
policy_read_images(struct policy_draft *d)
{
	const struct json_node *e = policy_section_first(&d->images);

	for (; e != NULL; e = policy_section_next(&d->images, e))
		read_image_entry(&d->reader, e);
	policy_check_twice(d, &d->images);
}

static const char *
refuse_image(struct policy_draft *d, const struct json_node *value, const char *name)
{
	struct suggest near;
	const struct json_node *e = policy_section_first(&d->images);

	suggest_init(&near, name);
	for (; e != NULL; e = policy_section_next(&d->images, e))
		suggest_offer(&near, json_node_key(e));
	json_read_diag(&d->reader, DIAG_E_NO_SUCH_IMAGE, value, JSON_AT_VALUE,
	    near.best == NULL ? NULL
			      : arena_format(d->reader.arena, "did you mean \"@%s\"?", near.best),
	    "\"images\" has no \"%s\"", name);
	return NULL;
}

const char *
policy_find_image(struct policy_draft *d, const struct json_node *value)
{
	const struct json_node *entry = NULL;
	const char *text;

	if (!json_read_expect(&d->reader, value, JSON_KIND_STRING, "an image or \"@name\""))
		return NULL;
	text = json_node_string(value);
	if (text[0] != '@')
		return check_image(&d->reader, value)
		    ? arena_copy(d->reader.arena, text, strlen(text))
		    : NULL;
	for (size_t i = 0; entry == NULL && i < d->images.n; i++)
		entry = json_node_find(d->images.nodes[i], text + 1);
	if (entry == NULL)
		return refuse_image(d, value, text + 1);
	if (json_node_kind(entry) == JSON_KIND_ARRAY)
		entry = json_node_first(entry);
	/* Whatever is wrong with the entry was said where it stands. */
	if (entry == NULL || json_node_kind(entry) != JSON_KIND_STRING)
		return NULL;
	text = json_node_string(entry);
	return arena_copy(d->reader.arena, text, strlen(text));
}

/* ---- users ---- */

static bool
read_key(struct json_reader *r, const struct json_node *value, struct public_key *ret)
{
	const char *why = NULL;
	const char *help = NULL;

	/* Not json_read_text(): a private key has line ends, and gets a better message than those. */
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return false;
	if (public_key_parse(r->arena, json_node_string(value), ret, &why, &help) == 0)
		return true;
	/* A pasted line may be anything, a private key for one: logs and screens keep what they saw. */
	if (why != NULL)
		json_read_diag(r, DIAG_E_KEY, value, JSON_AT_SECRET, help, "%s", why);
	return false;
}

static void
warn_double_key(struct json_reader *r, const struct json_node *value, const struct public_key *keys,
    size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (keys[i].len == keys[n].len &&
		    memcmp(keys[i].blob, keys[n].blob, keys[n].len) == 0) {
			json_read_diag(r, DIAG_W_KEY_TWICE, value, JSON_AT_VALUE, NULL,
			    "this key is listed twice");
			return;
		}
	}
}

static void
read_keys(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_user *user = target;
	struct public_key *keys;
	const struct json_node *e;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_ARRAY, "a list of public keys"))
		return;
	if (json_node_count(value) > POLICY_KEYS_MAX) {
		json_read_diag(r, DIAG_E_TOO_MANY, value, JSON_AT_VALUE, NULL,
		    "\"keys\" has %zu elements, at most %d are allowed", json_node_count(value),
		    POLICY_KEYS_MAX);
		return;
	}
	keys = arena_array(r->arena, json_node_count(value), sizeof(*keys));
	user->keys = keys;
	for (e = json_node_first(value); keys != NULL && e != NULL; e = json_node_next(e)) {
		if (!read_key(r, e, &keys[user->n_keys]))
			continue;
		warn_double_key(r, e, keys, user->n_keys);
		user->n_keys++;
	}
}

static void
read_groups(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const struct json_node *e = NULL;

	json_read_strings(r, value, field, target);
	if (json_node_kind(value) == JSON_KIND_ARRAY)
		e = json_node_first(value);
	for (; e != NULL; e = json_node_next(e)) {
		const char *name = json_node_kind(e) == JSON_KIND_STRING ? json_node_string(e) : NULL;

		if (name != NULL && name[0] != '\0' && !names_login_valid(name, strlen(name)))
			json_read_diag(r, DIAG_E_NAME, e, JSON_AT_VALUE, NULL,
			    "\"%s\" is no group name: [a-z_][a-z0-9_.-]*, at most 64 characters",
			    name);
	}
}

static void
read_expires(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)field;
	if (json_read_expect(r, value, JSON_KIND_STRING, "a point in time") &&
	    times_parse_instant(json_node_string(value), target) != 0)
		json_read_diag(r, DIAG_E_TIME, value, JSON_AT_VALUE, NULL,
		    "\"%s\" is no point in time such as \"2027-01-31T18:00Z\" or "
		    "\"2027-01-31T18:00+01:00\"",
		    json_node_string(value));
}

static const struct json_field user_fields[] = {
	{ .key = "keys",
	    .read = read_keys,
	    .schema = "{\"type\": \"array\", \"maxItems\": 64, \"items\": {\"type\": \"string\"}}" },
	{ .key = "groups",
	    .read = read_groups,
	    .offset = offsetof(struct policy_user, groups),
	    .max = GROUPS_MAX,
	    .schema = "{\"type\": \"array\", \"maxItems\": 64, \"items\": {\"type\": \"string\", "
		      "\"pattern\": \"^[a-z_][a-z0-9_.-]*$\"}}" },
	{ .key = "verify_required",
	    .read = json_read_bool,
	    .offset = offsetof(struct policy_user, verify_required) },
	{ .key = "authorized_keys", .read = json_read_unavailable },
	{ .key = "password", .read = json_read_unavailable },
	{ .key = "totp", .read = json_read_unavailable },
	{ .key = "principals", .read = json_read_unavailable },
	{ .key = "expires",
	    .read = read_expires,
	    .offset = offsetof(struct policy_user, expires),
	    .schema = "{\"type\": \"string\"}" },
};

const struct json_table policy_user_table = JSON_TABLE("a user", user_fields);

static void
read_user(struct policy_draft *d, const struct json_node *node, struct policy_user *user)
{
	static const char *const no_groups[] = { NULL };
	struct json_reader *r = &d->reader;
	size_t errors = r->diags->n_errors;
	const char *name = json_node_key(node);
	const char *what = arena_format(r->arena, "user \"%s\"", name);

	user->name_len = strlen(name);
	user->name = arena_copy(r->arena, name, user->name_len);
	user->groups = no_groups;
	user->expires = INT64_MAX;
	user->node = node;
	if (!names_login_valid(name, user->name_len))
		json_read_diag(r, DIAG_E_NAME, node, JSON_AT_KEY, NULL,
		    "\"%s\" is no user name: [a-z_][a-z0-9_.-]*, at most 64 characters", name);
	if (what != NULL)
		json_read_object(r, node, what, user_fields, SP_ARRAY_LEN(user_fields), user);
	if (user->n_keys == 0 && r->diags->n_errors == errors)
		json_read_diag(r, DIAG_W_USER_WITHOUT_KEYS, node, JSON_AT_KEY, NULL,
		    "user \"%s\" has no keys and can never log in", name);
}

static int
compare_users(const void *a, const void *b)
{
	const struct policy_user *x = a;
	const struct policy_user *y = b;

	return strcmp(x->name, y->name);
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of all groups that somebody is in, sorted, each once. */
static void
collect_groups(struct policy_draft *d)
{
	const struct policy *p = d->policy;
	const char **names;
	size_t n = 0;

	for (size_t i = 0; i < p->n_users; i++) {
		for (const char *const *group = p->users[i].groups; *group != NULL; group++)
			n++;
	}
	names = arena_array(d->reader.arena, n, sizeof(*names));
	if (names == NULL)
		return;
	n = 0;
	for (size_t i = 0; i < p->n_users; i++) {
		for (const char *const *group = p->users[i].groups; *group != NULL; group++)
			names[n++] = *group;
	}
	if (n > 1)
		qsort(names, n, sizeof(*names), compare_texts);
	for (size_t i = 0; i < n; i++) {
		if (d->n_group_names == 0 || strcmp(names[d->n_group_names - 1], names[i]) != 0)
			names[d->n_group_names++] = names[i];
	}
	d->group_names = names;
}

void
policy_read_users(struct policy_draft *d)
{
	struct policy *p = d->policy;
	size_t n = policy_section_count(&d->users);
	const struct json_node *e = policy_section_first(&d->users);
	struct policy_user *users = arena_array(d->reader.arena, n, sizeof(*users));

	if (users == NULL)
		return;
	for (size_t i = 0; e != NULL; e = policy_section_next(&d->users, e), i++)
		read_user(d, e, &users[i]);
	policy_check_twice(d, &d->users);
	if (d->reader.arena->failed)
		return; /* names may be missing */
	if (n > 1)
		qsort(users, n, sizeof(*users), compare_users);
	p->users = users;
	p->n_users = n;
	collect_groups(d);
}

/* ---- the whole ---- */

/* Over the text of one file; or over the names and texts of those of a directory. */
static int
set_digest(struct policy *p, struct json_text *const *texts, size_t n_texts, bool directory)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	unsigned n = 0;

	for (size_t i = 0; ok && i < n_texts; i++) {
		const char *name = strrchr(json_text_name(texts[i]), '/');
		size_t len;
		const char *bytes = json_text_bytes(texts[i], &len);

		if (directory && name != NULL)
			ok = EVP_DigestUpdate(context, name, strlen(name) + 1) == 1;
		ok = ok && EVP_DigestUpdate(context, bytes, len) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(context, hash, &n) == 1 && 2 * n == POLICY_DIGEST_LEN;
	EVP_MD_CTX_free(context);
	if (!ok)
		return -ENOMEM;
	hex_format(hash, n, p->digest);
	memcpy(&p->decoy, hash, sizeof(p->decoy));
	return 0;
}

/* No more than one of the files has them. */
static void
find_ceilings(struct policy_draft *d, const struct json_node *root)
{
	const struct json_node *e =
	    json_node_kind(root) == JSON_KIND_OBJECT ? json_node_find(root, "ceilings") : NULL;

	if (e != NULL)
		policy_find_origins(d, e, &policy_ceilings_table, NULL, &d->policy->ceiling_origins);
}

/* The two lie side by side, and are given to commands in one line. */
static bool
is_file_of_cases(struct json_reader *r, const struct json_node *root)
{
	const struct json_node *m = json_node_kind(root) == JSON_KIND_OBJECT
	    ? json_node_find(root, "sallyport_cases")
	    : NULL;

	if (m != NULL)
		json_read_diag(r, DIAG_E_UNKNOWN_KEY, m, JSON_AT_KEY,
		    "`sallyport policy test POLICY --cases FILE` tries a policy with it",
		    "this is a file of cases and no policy");
	return m != NULL;
}

static int
read_documents(struct policy_draft *d, struct diag_list *diags, const int64_t *lint)
{
	struct json_reader *r = &d->reader;

	json_read_init(r, diags, &d->policy->arena, d);
	d->file_names = arena_array(r->arena, d->n_texts, sizeof(*d->file_names));
	for (size_t i = 0; d->file_names != NULL && i < d->n_texts; i++) {
		const char *name = json_text_name(d->texts[i]);

		d->file_names[i] = arena_copy(r->arena, name, strlen(name));
	}
	for (size_t i = 0; i < d->n_texts; i++) {
		const struct json_node *root = json_text_root(d->texts[i]);

		if (is_file_of_cases(r, root))
			continue;
		json_read_object(r, root, policy_table.what, policy_table.fields, policy_table.n, d);
		policy_check_templates(r, root);
		find_ceilings(d, root);
	}
	d->policy->refused = d->refused;
	d->policy->expired = d->expired;
	d->policy->ceilings = d->ceilings;
	check_once(d, "messages");
	check_once(d, "ceilings");
	check_once(d, "runtimes");
	policy_read_bind_roots(d);
	policy_read_images(d);
	policy_read_users(d);
	policy_read_profiles(d);
	policy_read_rules(d);
	policy_finish_profiles(d);
	if (lint != NULL && diags->n_errors == r->errors_before && !r->arena->failed)
		policy_lint(d, *lint);
	return json_read_finish(r);
}

/* lint: the time for warnings that only an editor wants, or NULL. The texts stay the caller's. */
static int
build(const char *name, struct json_text *const *texts, size_t n_texts, bool directory,
    const int64_t *lint, struct policy **ret, struct diag_list *diags)
{
	SP_CLEANUP(policy_unrefp) struct policy *p = calloc(1, sizeof(*p));
	struct policy_draft d = {
		.policy = p,
		.texts = texts,
		.n_texts = n_texts,
		.expired = "This account has expired.",
	};
	int r = -ENOMEM;

	if (p != NULL) {
		p->refs = 1;
		r = set_digest(p, texts, n_texts, directory);
	}
	if (r == 0)
		r = read_documents(&d, diags, lint);
	if (r < 0)
		diag_add(diags, DIAG_E_MEMORY, name, 0, 0, 0, NULL, NULL, "%s", strerror(-r));
	if (r != 0)
		return r < 0 ? r : POLICY_E_INVALID;
	*ret = p;
	p = NULL;
	return 0;
}

static int
load(const char *path, const int64_t *lint, struct policy **ret, struct diag_list *diags)
{
	struct policy_files files;
	int r = policy_files_load(path, &files, diags);

	if (r == 0)
		r = build(path, files.texts, files.n, files.directory, lint, ret, diags);
	policy_files_clear(&files);
	return r;
}

int
policy_load(const char *path, struct policy **ret, struct diag_list *diags)
{
	return load(path, NULL, ret, diags);
}

int
policy_check(const char *path, int64_t now, struct policy **ret, struct diag_list *diags)
{
	return load(path, &now, ret, diags);
}

int
policy_parse(const char *name, const char *text, size_t len, struct policy **ret,
    struct diag_list *diags)
{
	SP_CLEANUP(json_text_freep) struct json_text *parsed = NULL;
	int r = json_text_parse(name, text, len, &parsed, diags);

	if (r != 0)
		return r < 0 ? r : POLICY_E_INVALID;
	return build(name, &parsed, 1, false, NULL, ret, diags);
}
