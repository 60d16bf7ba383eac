/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's short answers, into typed fields: what was created, the list of containers, how one ended, and what
 * went wrong. Runs in the broker. Hostile: all of it, as engine_json_parse.c takes it apart.
 */
#include "engine_json_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_json_parse.h"
#include "engine_priv.h"

int
engine_json_created(const char *text, size_t len, struct engine_json_created *ret, char *why,
    size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	json_t *root = parse_load(&p, text, len, JSON_OBJECT);
	struct engine_json_created created = { .id = "" };
	const char **warnings;
	size_t n;

	if (root == NULL)
		return parse_ended(&p);
	parse_get_id(&p, root, created.id);
	warnings = parse_get_list(&p, root, "Warnings", &n);
	if (n > 0)
		(void)snprintf(created.warning, sizeof(created.warning), "%s", warnings[0]);
	free(warnings);
	json_decref(root);
	if (p.failed)
		return parse_ended(&p);
	*ret = created;
	return 0;
}

static void
read_item(struct parse *p, json_t *value, struct engine_list *list)
{
	struct engine_list_item *item = &list->items[list->n++];
	const char **names;
	size_t n;

	if (!json_is_object(value)) {
		parse_fail(p, "the list holds something else than objects");
		return;
	}
	parse_get_id(p, value, item->id);
	item->state = parse_get_text(p, value, "State");
	names = parse_get_list(p, value, "Names", &n);
	item->name = n > 0 ? parse_strip_slash(names[0]) : "";
	free(names);
	item->n_labels = parse_fill_labels(p, json_object_get(value, "Labels"), ENGINE_LABEL_PREFIX,
	    item->labels);
}

/* Count the labels of all containers, so that one block holds them. */
static size_t
count_labels(struct parse *p, const json_t *root)
{
	size_t n = 0, i;
	json_t *value;

	json_array_foreach(root, i, value)
	    n += parse_fill_labels(p, json_object_get(value, "Labels"), ENGINE_LABEL_PREFIX, NULL);
	return n;
}

int
engine_json_list(const char *text, size_t len, struct engine_list *ret, char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	struct engine_list list = { .memory = parse_load(&p, text, len, JSON_ARRAY) };
	struct engine_label *next;
	json_t *value;
	size_t i;

	if (list.memory == NULL)
		return parse_ended(&p);
	list.items = parse_allocate(&p, json_array_size(list.memory), sizeof(*list.items));
	list.labels = next = parse_allocate(&p, count_labels(&p, list.memory), sizeof(*list.labels));
	json_array_foreach((json_t *)list.memory, i, value)
	{
		if (p.failed)
			break;
		list.items[i].labels = next;
		read_item(&p, value, &list);
		next += list.items[i].n_labels;
	}
	if (p.failed) {
		engine_list_clear(&list);
		return parse_ended(&p);
	}
	*ret = list;
	return 0;
}

void
engine_list_clear(struct engine_list *list)
{
	free(list->items);
	free(list->labels);
	json_decref(list->memory);
	*list = (struct engine_list){ 0 };
}

static void
take_text(const json_t *object, const char *key, char *out, size_t cap)
{
	const char *text = json_string_value(json_object_get(object, key));

	engine_sanitize(out, cap, text != NULL ? text : "");
}

void
engine_json_take_info(const json_t *object, struct engine_info *ret)
{
	memset(ret, 0, sizeof(*ret));
	take_text(object, "Name", ret->name, sizeof(ret->name));
	take_text(object, "KernelVersion", ret->kernel, sizeof(ret->kernel));
	take_text(object, "DefaultRuntime", ret->default_runtime, sizeof(ret->default_runtime));
	ret->memory = json_integer_value(json_object_get(object, "MemTotal"));
}

int
engine_json_info(const char *text, size_t len, struct engine_info *ret, char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	json_t *root = parse_load(&p, text, len, JSON_OBJECT);

	if (root == NULL)
		return parse_ended(&p);
	engine_json_take_info(root, ret);
	json_decref(root);
	return 0;
}

int
engine_json_wait(const char *text, size_t len, int64_t *ret_code, char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };
	json_t *root = parse_load(&p, text, len, JSON_OBJECT);
	const json_t *error;
	int64_t code;

	if (root == NULL)
		return parse_ended(&p);
	if (!json_is_integer(json_object_get(root, "StatusCode")))
		parse_fail(&p, "\"StatusCode\" is not a whole number");
	code = parse_get_number(&p, root, "StatusCode");
	error = json_object_get(root, "Error");
	if (error != NULL && !json_is_null(error))
		parse_fail(&p, "the wait itself failed");
	json_decref(root);
	if (p.failed)
		return parse_ended(&p);
	*ret_code = code;
	return 0;
}

int
engine_json_array(const char *text, size_t len, char *why, size_t cap)
{
	struct parse p = { .why = why, .cap = cap };

	json_decref(parse_load(&p, text, len, JSON_ARRAY));
	return parse_ended(&p);
}

static void
copy_text(const char *text, size_t len, const char *key, char *out, size_t cap)
{
	char why[64];
	struct parse p = { .why = why, .cap = sizeof(why) };
	json_t *root = parse_load(&p, text, len, JSON_OBJECT);
	const char *value = json_string_value(json_object_get(root, key));

	(void)snprintf(out, cap, "%s", value != NULL ? value : "");
	json_decref(root);
}

void
engine_json_message(const char *text, size_t len, char *out, size_t cap)
{
	copy_text(text, len, "message", out, cap);
}

bool
engine_json_is_no_image(const char *text, size_t len)
{
	char cause[32];

	copy_text(text, len, "cause", cause, sizeof(cause));
	return strcmp(cause, "image not known") == 0;
}
