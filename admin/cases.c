/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <string.h>

#include "json_read.h"
#include "policy.h"

#define NAME_MAX_BYTES 256
#define GROUPS_MAX     16

#define AT(member) .offset = offsetof(struct test_case, member)

/* What a client sends, and what comes of it, may be any text. */
static void
read_any(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)field;
	if (json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		*(const char **)target = json_node_string(value);
}

static void
read_words(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const struct json_node *e;
	const char **words;
	size_t n = 0;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_ARRAY, "a list of strings"))
		return;
	words = arena_array(r->arena, json_node_count(value) + 1, sizeof(*words));
	for (e = json_node_first(value); words != NULL && e != NULL; e = json_node_next(e)) {
		if (json_read_expect(r, e, JSON_KIND_STRING, "a string"))
			words[n++] = json_node_string(e);
	}
	*(const char *const **)target = words;
}

static void
read_settings(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	const struct json_node *m;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_OBJECT, "an object of settings and values"))
		return;
	for (m = json_node_first(value); m != NULL; m = json_node_next(m)) {
		enum json_kind kind = json_node_kind(m);

		if (kind == JSON_KIND_OBJECT || kind == JSON_KIND_ARRAY)
			json_read_diag(r, DIAG_E_TYPE, m, JSON_AT_VALUE, NULL,
			    "%s must be a single value here", json_read_name(r, m));
	}
	*(const struct json_node **)target = value;
}

static const struct json_field expect_fields[] = {
	{ .key = "allow", .read = json_read_bool, AT(allow), .required = true },
	{ .key = "rule", .read = json_read_string, AT(rule), .max = NAME_MAX_BYTES },
	{ .key = "profile", .read = json_read_string, AT(profile), .max = NAME_MAX_BYTES },
	{ .key = "message", .read = json_read_string, AT(message), .max = JSON_READ_STRING_MAX },
	{ .key = "argv", .read = read_words, AT(argv) },
	{ .key = "settings", .read = read_settings, AT(settings) },
};

static const struct json_table expect_table = JSON_TABLE("\"expect\"", expect_fields);

static const struct json_field case_fields[] = {
	{ .key = "name", .read = json_read_string, AT(name), .min = 1, .max = NAME_MAX_BYTES },
	{ .key = "user", .read = json_read_string, AT(user), .max = NAME_MAX_BYTES, .required = true },
	{ .key = "groups", .read = json_read_strings, AT(groups), .max = GROUPS_MAX },
	{ .key = "from", .read = json_read_string, AT(from), .max = NAME_MAX_BYTES },
	{ .key = "key", .read = json_read_string, AT(key), .max = NAME_MAX_BYTES },
	{ .key = "auth", .read = json_read_string, AT(auth), .max = NAME_MAX_BYTES },
	{ .key = "verified", .read = json_read_bool, AT(verified) },
	{ .key = "time", .read = json_read_string, AT(time), .max = NAME_MAX_BYTES },
	{ .key = "request", .read = json_read_string, AT(request), .max = NAME_MAX_BYTES },
	{ .key = "command", .read = read_any, AT(command) },
	{ .key = "to", .read = json_read_string, AT(to), .max = NAME_MAX_BYTES },
	{ .key = "pty", .read = json_read_bool, AT(pty) },
	{ .key = "expect", .read = json_read_table, .table = &expect_table, .required = true },
};

static void
read_version(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)field;
	(void)target;
	if (json_read_expect(r, value, JSON_KIND_INTEGER, "the number 1") &&
	    json_node_integer(value) != 1)
		json_read_diag(r, DIAG_E_VERSION, value, JSON_AT_VALUE, NULL,
		    "this build reads version 1 of case files");
}

static void
read_cases(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct case_file *f = target;
	const struct json_node *e;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_ARRAY, "a list of cases"))
		return;
	f->items = arena_array(r->arena, json_node_count(value), sizeof(*f->items));
	for (e = json_node_first(value); f->items != NULL && e != NULL; e = json_node_next(e)) {
		struct test_case *c = &f->items[f->n++];

		c->node = e;
		json_read_object(r, e, "a case", case_fields, SP_ARRAY_LEN(case_fields), c);
	}
}

static const struct json_field file_fields[] = {
	{ .key = "sallyport_cases", .read = read_version, .required = true },
	{ .key = "cases", .read = read_cases, .required = true },
};

int
case_file_load(const char *path, struct case_file *ret, struct diag_list *diags)
{
	struct json_reader r;
	int outcome;

	*ret = (struct case_file){ 0 };
	outcome = json_text_load(path, "cases may be in several files, each behind a --cases",
	    &ret->text, diags);
	if (outcome != 0)
		return outcome;
	json_read_init(&r, diags, &ret->arena, NULL);
	json_read_object(&r, json_text_root(ret->text), "the file", file_fields,
	    SP_ARRAY_LEN(file_fields), ret);
	return json_read_finish(&r);
}

void
case_file_clear(struct case_file *f)
{
	arena_clear(&f->arena);
	json_text_free(f->text);
	*f = (struct case_file){ 0 };
}
