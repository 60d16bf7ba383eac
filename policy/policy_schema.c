/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON Schema of a policy file, out of the tables that files are read by. Runs in the admin tool.
 * It says what an editor can check: the reader still has the last word.
 */
#include "policy_show.h"

#include <inttypes.h>
#include <string.h>

#include "json_write.h"
#include "policy_private.h"

static void write_table(struct json_writer *w, const char *key, const struct json_table *t);

static void
write_choices(struct json_writer *w, const struct json_field *f)
{
	json_write_open(w, "enum", '[');
	for (const char *const *choice = f->choices; *choice != NULL; choice++) {
		const char *const *later = f->later_choices;

		while (later != NULL && *later != NULL && strcmp(*later, *choice) != 0)
			later++;
		if (later == NULL || *later == NULL)
			json_write_string(w, NULL, *choice);
	}
	json_write_close(w, ']');
}

static void
write_size(struct json_writer *w)
{
	json_write_raw(w, "anyOf",
	    "[{\"type\": \"integer\", \"minimum\": 0}, {\"type\": \"string\", \"pattern\": "
	    "\"^[0-9]+[KMGT]?$\"}]");
}

/* The readers of json_read.h. false: it is none of them. */
static bool
write_ready_made(struct json_writer *w, const struct json_field *f)
{
	if (f->read == json_read_bool) {
		json_write_string(w, "type", "boolean");
	} else if (f->read == json_read_u32) {
		json_write_string(w, "type", "integer");
		json_write_number(w, "minimum", f->min);
		json_write_number(w, "maximum", f->max);
	} else if (f->read == json_read_size) {
		write_size(w);
	} else if (f->read == json_read_duration) {
		json_write_string(w, "type", "string");
		json_write_string(w, "pattern", "^(0|[0-9]+(ms|s|m|h|d))$");
	} else if (f->read == json_read_choice || f->read == json_read_word) {
		write_choices(w, f);
	} else if (f->read == json_read_string || f->read == json_read_lines) {
		json_write_string(w, "type", "string");
		json_write_number(w, "minLength", f->min);
		json_write_number(w, "maxLength", f->max);
	} else {
		return false;
	}
	return true;
}

static void
write_with_table(struct json_writer *w, const struct json_field *f)
{
	if (f->shape == JSON_SHAPE_OBJECT) {
		write_table(w, f->key, f->table);
		return;
	}
	json_write_open(w, f->key, '{');
	if (f->shape == JSON_SHAPE_MAP) {
		json_write_string(w, "type", "object");
		json_write_raw(w, "patternProperties", "{\"^//\": {}}");
		write_table(w, "additionalProperties", f->table);
	} else {
		json_write_string(w, "type", "array");
		write_table(w, "items", f->table);
	}
	json_write_close(w, '}');
}

static void
write_field(struct json_writer *w, const struct json_field *f)
{
	if (json_field_is_later(f) || f->read == policy_read_guarded || f->hidden) {
		json_write_bool(w, f->key, false);
	} else if (f->table != NULL) {
		write_with_table(w, f);
	} else if (f->schema != NULL) {
		json_write_raw(w, f->key, f->schema);
	} else {
		json_write_open(w, f->key, '{');
		(void)write_ready_made(w, f);
		json_write_close(w, '}');
	}
}

static void
write_members(struct json_writer *w, const struct json_table *t)
{
	json_write_string(w, "type", "object");
	json_write_open(w, "properties", '{');
	for (size_t i = 0; i < t->n; i++)
		write_field(w, &t->fields[i]);
	json_write_close(w, '}');
	json_write_open(w, "required", '[');
	for (size_t i = 0; i < t->n; i++) {
		if (t->fields[i].required)
			json_write_string(w, NULL, t->fields[i].key);
	}
	json_write_close(w, ']');
	json_write_raw(w, "patternProperties", "{\"^//\": {}}");
	json_write_bool(w, "additionalProperties", false);
}

static void
write_table(struct json_writer *w, const char *key, const struct json_table *t)
{
	json_write_open(w, key, '{');
	write_members(w, t);
	json_write_close(w, '}');
}

void
policy_write_schema(FILE *out)
{
	struct json_writer w = { .out = out };

	json_write_open(&w, NULL, '{');
	json_write_string(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
	json_write_string(&w, "title", "sallyport policy, version 1");
	write_members(&w, &policy_table);
	json_write_close(&w, '}');
	(void)fputc('\n', out);
}
