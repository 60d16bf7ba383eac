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

#include "names.h"
#include "suggest.h"

#define IMAGES_MAX 16 /* references under one name */
#define GROUPS_MAX 64 /* of one user */

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
			d->root_user = true;
		else
			json_read_diag(r, DIAG_E_UNSAFE, e, JSON_AT_VALUE,
			    json_read_did_you_mean(r, near.best),
			    "no guardrail can be relaxed by \"%s\"; \"unsafe\" may hold \"root-user\"",
			    json_node_string(e));
	}
}

/* Sections refer to each other, so they are read in an order of our own, later. */
static void
read_section(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	bool list = strcmp(field->key, "rules") == 0;

	if (json_read_expect(r, value, list ? JSON_KIND_ARRAY : JSON_KIND_OBJECT,
		list ? "a list" : "an object"))
		*(const struct json_node **)target = value;
}

static const struct json_field top_fields[] = {
	{ .key = "sallyport_policy", .read = read_version, .required = true },
	{ .key = "guardrails", .read = read_guardrails },
	{ .key = "unsafe", .read = read_unsafe },
	{ .key = "images", .read = read_section, .offset = offsetof(struct policy_draft, images) },
	{ .key = "users", .read = read_section, .offset = offsetof(struct policy_draft, users) },
	{ .key = "profiles", .read = read_section, .offset = offsetof(struct policy_draft, profiles) },
	{ .key = "rules", .read = read_section, .offset = offsetof(struct policy_draft, rules) },
	{ .key = "authorities", .read = json_read_unavailable },
	{ .key = "ceilings", .read = json_read_unavailable },
};

/* ---- templates ---- */

static bool
is_exec_argument(const struct json_node *node)
{
	const struct json_node *list = json_node_parent(node);
	const struct json_node *argv = list == NULL ? NULL : json_node_parent(list);

	return argv != NULL && json_node_key(list) != NULL && json_node_key(argv) != NULL &&
	    strcmp(json_node_key(list), "exec") == 0 && strcmp(json_node_key(argv), "argv") == 0;
}

static void
check_template(struct json_reader *r, const struct json_node *node)
{
	const char *text = json_node_string(node);

	if (strstr(text, "${") == NULL)
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
	else
		json_read_diag(r, DIAG_E_UNAVAILABLE, node, JSON_AT_VALUE, NULL,
		    "templates (\"${...}\") are not available in this build");
}

/* Nothing that looks like a template may silently be taken literally. Depth has its ceiling. */
static void
check_templates(struct json_reader *r, const struct json_node *node)
{
	if (json_node_kind(node) == JSON_KIND_STRING)
		check_template(r, node);
	for (node = json_node_first(node); node != NULL; node = json_node_next(node))
		check_templates(r, node);
}

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
	const struct json_node *e = d->images == NULL ? NULL : json_node_first(d->images);

	for (; e != NULL; e = json_node_next(e))
		read_image_entry(&d->reader, e);
}

static const char *
refuse_image(struct policy_draft *d, const struct json_node *value, const char *name)
{
	struct suggest near;
	const struct json_node *e = d->images == NULL ? NULL : json_node_first(d->images);

	suggest_init(&near, name);
	for (; e != NULL; e = json_node_next(e))
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
	if (d->images != NULL)
		entry = json_node_find(d->images, text + 1);
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

static const struct json_field user_fields[] = {
	{ .key = "keys", .read = read_keys },
	{ .key = "groups",
	    .read = read_groups,
	    .offset = offsetof(struct policy_user, groups),
	    .max = GROUPS_MAX },
	{ .key = "verify_required",
	    .read = json_read_bool,
	    .offset = offsetof(struct policy_user, verify_required) },
	{ .key = "authorized_keys", .read = json_read_unavailable },
	{ .key = "password", .read = json_read_unavailable },
	{ .key = "totp", .read = json_read_unavailable },
	{ .key = "principals", .read = json_read_unavailable },
	{ .key = "expires", .read = json_read_unavailable },
};

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

void
policy_read_users(struct policy_draft *d)
{
	struct policy *p = d->policy;
	size_t n = d->users == NULL ? 0 : json_node_count(d->users);
	const struct json_node *e = d->users == NULL ? NULL : json_node_first(d->users);
	struct policy_user *users = arena_array(d->reader.arena, n, sizeof(*users));

	if (users == NULL)
		return;
	for (size_t i = 0; e != NULL; e = json_node_next(e), i++)
		read_user(d, e, &users[i]);
	if (d->reader.arena->failed)
		return; /* names may be missing */
	if (n > 1)
		qsort(users, n, sizeof(*users), compare_users);
	p->users = users;
	p->n_users = n;
}

/* ---- the whole ---- */

static int
set_digest(struct policy *p, const char *bytes, size_t len)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(bytes, len, hash, &n, EVP_sha256(), NULL) != 1 || 2 * n != POLICY_DIGEST_LEN)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		p->digest[2 * i] = "0123456789abcdef"[hash[i] >> 4];
		p->digest[2 * i + 1] = "0123456789abcdef"[hash[i] & 0xf];
	}
	memcpy(&p->decoy, hash, sizeof(p->decoy));
	return 0;
}

static int
read_document(const struct json_text *text, struct policy *p, struct diag_list *diags)
{
	struct policy_draft d = { .policy = p, .root = json_text_root(text) };
	struct json_reader *r = &d.reader;

	json_read_init(r, diags, &p->arena, &d);
	json_read_object(r, json_text_root(text), "the policy", top_fields,
	    SP_ARRAY_LEN(top_fields), policy_draft_of(r));
	check_templates(r, json_text_root(text));
	policy_read_images(&d);
	policy_read_users(&d);
	policy_read_profiles(&d);
	policy_read_rules(&d);
	policy_finish_profiles(&d);
	return json_read_finish(r);
}

/* Takes text. */
static int
build(struct json_text *text, struct policy **ret, struct diag_list *diags)
{
	SP_CLEANUP(json_text_freep) struct json_text *owned = text;
	SP_CLEANUP(policy_unrefp) struct policy *p = calloc(1, sizeof(*p));
	const char *name = json_text_name(owned);
	size_t len;
	const char *bytes = json_text_bytes(owned, &len);
	int r = -ENOMEM;

	if (p != NULL) {
		p->refs = 1;
		p->file = arena_copy(&p->arena, name, strlen(name));
		r = set_digest(p, bytes, len);
	}
	if (r == 0)
		r = read_document(owned, p, diags);
	if (r < 0)
		diag_add(diags, DIAG_E_MEMORY, name, 0, 0, 0, NULL, NULL, "%s", strerror(-r));
	if (r != 0)
		return r < 0 ? r : POLICY_E_INVALID;
	*ret = p;
	p = NULL;
	return 0;
}

int
policy_load(const char *path, struct policy **ret, struct diag_list *diags)
{
	struct json_text *text = NULL;
	int r = json_text_load(path, &text, diags);

	if (r != 0)
		return r < 0 ? r : POLICY_E_INVALID;
	return build(text, ret, diags);
}

int
policy_parse(const char *name, const char *text, size_t len, struct policy **ret,
    struct diag_list *diags)
{
	struct json_text *parsed = NULL;
	int r = json_text_parse(name, text, len, &parsed, diags);

	if (r != 0)
		return r < 0 ? r : POLICY_E_INVALID;
	return build(parsed, ret, diags);
}
