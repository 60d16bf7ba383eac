/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON that the engine sent, taken apart. Runs in the broker. Everything is hostile: nesting and number of values
 * are bounded before the parser sees the text, and a value of another type than the API's makes the whole answer
 * broken.
 */
#include "engine_json_parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_json_read.h"

void
parse_fail(struct parse *p, const char *format, ...)
{
	va_list args;

	if (p->failed)
		return;
	p->failed = true;
	va_start(args, format);
	(void)vsnprintf(p->why, p->cap, format, args);
	va_end(args);
}

int
parse_ended(const struct parse *p)
{
	if (p->no_memory)
		return -ENOMEM;
	return p->failed ? ENGINE_JSON_E_BROKEN : 0;
}

/*
 * Before the real parser: how deep, and how many values. Strings are skipped as JSON ends them; on
 * text that is no JSON the count is meaningless and the real parser says so.
 */
static void
survey(struct parse *p, const char *text, size_t len)
{
	size_t depth = 0, nodes = 1;
	bool in_string = false;

	for (size_t i = 0; i < len && !p->failed; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"')
			in_string = true;
		else if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
		if (c == ',' || c == '[' || c == '{')
			nodes++;
		if (depth > ENGINE_JSON_DEPTH_MAX || nodes > ENGINE_JSON_NODES_MAX)
			parse_fail(p,
			    "the answer is JSON that is nested too deep or has too many values");
	}
}

json_t *
parse_load(struct parse *p, const char *text, size_t len, json_type type)
{
	json_error_t error;
	json_t *root;

	survey(p, text, len);
	if (p->failed)
		return NULL;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (root == NULL) {
		p->no_memory = json_error_code(&error) == json_error_out_of_memory;
		parse_fail(p, "the answer is not JSON: %.96s", error.text);
		return NULL;
	}
	if (json_typeof(root) != type) {
		parse_fail(p, "the answer is not a JSON %s",
		    type == JSON_OBJECT ? "object" : "array");
		json_decref(root);
		return NULL;
	}
	return root;
}

json_t *
parse_need_object(struct parse *p, const json_t *o, const char *key)
{
	json_t *value = json_object_get(o, key);

	if (!json_is_object(value)) {
		parse_fail(p, "\"%s\" is not an object", key);
		return NULL;
	}
	return value;
}

const char *
parse_get_text(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (value == NULL || json_is_null(value))
		return "";
	if (!json_is_string(value)) {
		parse_fail(p, "\"%s\" is not a string", key);
		return "";
	}
	return json_string_value(value);
}

const char *
parse_need_text(struct parse *p, const json_t *o, const char *key)
{
	const char *text = parse_get_text(p, o, key);

	if (text[0] == '\0')
		parse_fail(p, "\"%s\" is missing or empty", key);
	return text;
}

bool
parse_need_flag(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (!json_is_boolean(value))
		parse_fail(p, "\"%s\" is not true or false", key);
	return json_is_true(value);
}

bool
parse_get_flag(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (value == NULL || json_is_null(value))
		return false;
	return parse_need_flag(p, o, key);
}

int64_t
parse_get_number(struct parse *p, const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_integer(value)) {
		parse_fail(p, "\"%s\" is not a whole number", key);
		return 0;
	}
	return json_integer_value(value);
}

void
parse_get_id(struct parse *p, const json_t *o, char out[ENGINE_ID_LEN + 1])
{
	const char *id = parse_need_text(p, o, "Id");

	if (!engine_id_valid(id)) {
		parse_fail(p, "\"Id\" is not 64 hex digits");
		return;
	}
	memcpy(out, id, ENGINE_ID_LEN + 1);
}

void *
parse_allocate(struct parse *p, size_t n, size_t size)
{
	void *block = calloc(n + 1, size);

	if (block == NULL) {
		p->no_memory = true;
		parse_fail(p, "out of memory");
	}
	return block;
}

const char **
parse_get_list(struct parse *p, const json_t *o, const char *key, size_t *ret_n)
{
	const json_t *array = json_object_get(o, key);
	const char **list;
	size_t n = json_array_size(array);

	*ret_n = 0;
	if (array == NULL || json_is_null(array) || p->failed)
		return NULL;
	if (!json_is_array(array)) {
		parse_fail(p, "\"%s\" is not an array", key);
		return NULL;
	}
	list = parse_allocate(p, n, sizeof(*list));
	for (size_t i = 0; list != NULL && i < n; i++) {
		list[i] = json_string_value(json_array_get(array, i));
		if (list[i] == NULL) {
			parse_fail(p, "\"%s\" holds something else than strings", key);
			list[i] = "";
		}
	}
	*ret_n = list != NULL ? n : 0;
	return list;
}

size_t
parse_fill_labels(struct parse *p, json_t *object, const char *prefix, struct engine_label *out)
{
	const char *name;
	json_t *value;
	size_t n = 0;

	if (object == NULL || json_is_null(object) || p->failed)
		return 0;
	if (!json_is_object(object)) {
		parse_fail(p, "\"Labels\" is not an object");
		return 0;
	}
	json_object_foreach(object, name, value)
	{
		if (!json_is_string(value)) {
			parse_fail(p, "a label is not a string");
			return 0;
		}
		if (strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		if (out != NULL)
			out[n] = (struct engine_label){ name, json_string_value(value) };
		n++;
	}
	return n;
}
