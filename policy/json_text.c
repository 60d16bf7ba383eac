/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON files, read twice: by jansson for the values and by json_index.c for their places. Both trees
 * are walked side by side before anybody sees a value; where they differ, the file is refused. Runs in
 * the broker and the admin tool. The only file of policy/ that knows jansson.
 */
#include "json_text.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_index.h"
#include "read_file.h"

#define WHY_MAX 512

struct json_text {
	char *name;
	char *bytes;
	size_t len;
	uint32_t *lines; /* offset of each line's first byte */
	size_t n_lines;
	struct json_index index;
	json_t *values;
};

void
json_text_free(struct json_text *t)
{
	if (t == NULL)
		return;
	free(t->name);
	read_file_free(t->bytes, t->len);
	free(t->lines);
	json_index_clear(&t->index);
	json_decref(t->values);
	free(t);
}

void
json_text_freep(struct json_text **t)
{
	json_text_free(*t);
	*t = NULL;
}

static int
find_lines(struct json_text *t)
{
	size_t n = 1;

	for (size_t i = 0; i < t->len; i++)
		n += t->bytes[i] == '\n';
	t->lines = calloc(n, sizeof(*t->lines));
	if (t->lines == NULL)
		return -ENOMEM;
	t->n_lines = 1;
	for (size_t i = 0; i < t->len; i++) {
		if (t->bytes[i] == '\n')
			t->lines[t->n_lines++] = (uint32_t)i + 1;
	}
	return 0;
}

/* Index of the line that holds the byte at this offset. */
static size_t
line_of(const struct json_text *t, size_t at)
{
	size_t low = 0;
	size_t high = t->n_lines;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (t->lines[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static struct json_place
place_of(const struct json_text *t, size_t at, size_t width)
{
	size_t line = line_of(t, at);

	return (struct json_place){
		.line = (unsigned)line + 1,
		.column = (unsigned)(at - t->lines[line]) + 1,
		.width = (unsigned)width,
	};
}

/* A copy of the line of this place without its end, NULs made visible; NULL: out of memory. */
static char *
copy_line(const struct json_text *t, unsigned line)
{
	size_t from = t->lines[line - 1];
	size_t end = line < t->n_lines ? t->lines[line] - 1u : t->len;
	char *copy;

	if (end > from && t->bytes[end - 1] == '\r')
		end--;
	copy = malloc(end - from + 1);
	if (copy == NULL)
		return NULL;
	for (size_t i = from; i < end; i++)
		copy[i - from] = t->bytes[i] == '\0' ? '?' : t->bytes[i];
	copy[end - from] = '\0';
	return copy;
}

static void
add_diag(const struct json_text *t, struct diag_list *diags, enum diag_code code,
    struct json_place place, bool secret, const char *help, const char *message)
{
	char *line = secret ? NULL : copy_line(t, place.line);

	diag_add(diags, code, t->name, place.line, place.column, place.width, line, help, "%s",
	    message);
	free(line);
}

struct json_place
json_text_place(const struct json_text *t, const struct json_node *node, enum json_at at)
{
	bool container = node->kind == JSON_KIND_OBJECT || node->kind == JSON_KIND_ARRAY;

	if (at == JSON_AT_KEY && node->key != NULL)
		return place_of(t, node->key_at, node->key_len);
	return place_of(t, node->at, container ? 1 : node->len);
}

void
json_text_diag(const struct json_text *t, struct diag_list *diags, enum diag_code code,
    const struct json_node *node, enum json_at at, const char *help, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_text_vdiag(t, diags, code, node, at, help, format, args);
	va_end(args);
}

void
json_text_vdiag(const struct json_text *t, struct diag_list *diags, enum diag_code code,
    const struct json_node *node, enum json_at at, const char *help, const char *format, va_list args)
{
	char *message = NULL;

	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	add_diag(t, diags, code, json_text_place(t, node, at), at == JSON_AT_SECRET, help,
	    message != NULL ? message : "out of memory");
	free(message);
}

/* By key, and by place among equal ones. */
static int
compare_keys(const void *a, const void *b)
{
	const struct json_node *const *x = a;
	const struct json_node *const *y = b;
	int order = strcmp((*x)->key, (*y)->key);

	return order != 0 ? order : (*x)->at < (*y)->at ? -1 : (*x)->at > (*y)->at;
}

static void
report_duplicate(const struct json_text *t, struct diag_list *diags, const struct json_node *first,
    const struct json_node *again)
{
	struct json_place place = json_text_place(t, first, JSON_AT_KEY);
	char help[96];

	(void)snprintf(help, sizeof(help), "the first one is at line %u, column %u", place.line,
	    place.column);
	json_text_diag(t, diags, DIAG_E_DUPLICATE_KEY, again, JSON_AT_KEY, help,
	    "duplicate key \"%s\"", again->key);
}

static int
check_object_keys(const struct json_text *t, struct diag_list *diags, const struct json_node *object)
{
	const struct json_node **members = calloc(object->n, sizeof(void *));
	const struct json_node *first = NULL;
	size_t n = 0;

	if (members == NULL)
		return -ENOMEM;
	for (const struct json_node *m = object->first; m != NULL; m = m->next)
		members[n++] = m;
	qsort(members, n, sizeof(void *), compare_keys);
	for (size_t i = 0; i < n; i++) {
		if (first != NULL && strcmp(first->key, members[i]->key) == 0)
			report_duplicate(t, diags, first, members[i]);
		else
			first = members[i];
	}
	free(members);
	return 0;
}

static int
check_duplicates(const struct json_text *t, struct diag_list *diags)
{
	size_t errors = diags->n_errors;

	for (size_t i = 0; i < t->index.n; i++) {
		const struct json_node *node = &t->index.nodes[i];

		if (node->kind == JSON_KIND_OBJECT && node->n > 1) {
			int r = check_object_keys(t, diags, node);

			if (r < 0)
				return r;
		}
	}
	return diags->n_errors != errors ? JSON_TEXT_E_INVALID : 0;
}

static bool
same_kind(const struct json_node *node, const json_t *value)
{
	switch (node->kind) {
	case JSON_KIND_NULL:
		return json_is_null(value);
	case JSON_KIND_BOOLEAN:
		return json_is_boolean(value);
	case JSON_KIND_INTEGER:
		return json_is_integer(value);
	case JSON_KIND_REAL:
		return json_is_real(value);
	case JSON_KIND_STRING:
		return json_is_string(value);
	case JSON_KIND_ARRAY:
		return json_is_array(value) && json_array_size(value) == node->n;
	case JSON_KIND_OBJECT:
		return json_is_object(value) && json_object_size(value) == node->n;
	}
	return false;
}

/* Give each child its value; false where the two readings differ. */
static bool
join_children(const struct json_node *node)
{
	struct json_node *child = node->first;

	for (size_t i = 0; child != NULL; child = child->next, i++) {
		child->value = node->kind == JSON_KIND_ARRAY
		    ? json_array_get(node->value, i)
		    : json_object_get(node->value, child->key);
		if (child->value == NULL || !same_kind(child, child->value))
			return false;
	}
	return true;
}

static int
join(struct json_text *t, struct diag_list *diags)
{
	t->index.nodes[0].value = t->values;
	for (size_t i = 0; i < t->index.n; i++) {
		struct json_node *node = &t->index.nodes[i];

		node->text = t;
		if (!same_kind(node, node->value) || !join_children(node)) {
			json_text_diag(t, diags, DIAG_E_BUG, node, JSON_AT_VALUE,
			    "this is a bug in sallyport; please report it with the file",
			    "two readings of this value differ");
			return JSON_TEXT_E_INVALID;
		}
	}
	return 0;
}

/* What jansson refuses although the grammar is right: numbers out of range, in the first place. */
static int
report_jansson(const struct json_text *t, struct diag_list *diags, const json_error_t *error)
{
	size_t at = error->position > 0 ? (size_t)error->position - 1 : 0;
	struct json_place place = place_of(t, at < t->len ? at : t->len, 1);

	if (json_error_code(error) == json_error_out_of_memory)
		return -ENOMEM;
	for (size_t i = 0; i < t->index.n; i++) {
		const struct json_node *node = &t->index.nodes[i];

		if (node->n == 0 && node->at <= at && at < (size_t)node->at + node->len)
			place = json_text_place(t, node, JSON_AT_VALUE);
	}
	add_diag(t, diags, DIAG_E_SYNTAX, place, false, NULL, error->text);
	return JSON_TEXT_E_INVALID;
}

static int
parse(struct json_text *t, struct diag_list *diags)
{
	struct json_index_error place = { 0 };
	json_error_t error;
	int r = find_lines(t);

	if (r == 0)
		r = json_index_build(t->bytes, t->len, &t->index, &place);
	if (r == JSON_INDEX_E_SYNTAX) {
		add_diag(t, diags, DIAG_E_SYNTAX, place_of(t, place.at, place.width), false,
		    place.help, place.message);
		return JSON_TEXT_E_INVALID;
	}
	if (r == 0)
		r = check_duplicates(t, diags);
	if (r != 0)
		return r;
	t->values = json_loadb(t->bytes, t->len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (t->values == NULL)
		return report_jansson(t, diags, &error);
	return join(t, diags);
}

/* Takes the bytes, from malloc, in each case. */
static int
parse_take(const char *name, char *bytes, size_t len, struct json_text **ret, struct diag_list *diags)
{
	struct json_text *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (t == NULL) {
		read_file_free(bytes, len);
	} else {
		t->bytes = bytes;
		t->len = len;
		t->name = strdup(name);
		r = t->name == NULL ? -ENOMEM : parse(t, diags);
	}
	if (r < 0)
		diag_add(diags, DIAG_E_MEMORY, name, 0, 0, 0, NULL, NULL, "%s", strerror(-r));
	if (r != 0) {
		json_text_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

/* What to do about a file that was not read with this error; NULL: its reason says enough. */
static const char *
advice_on(int error, const char *if_large)
{
	if (error == EACCES)
		return "let that user read it, by chgrp and chmod 640 or by chmod 644, and enter its "
		       "directories";
	return error == EFBIG ? if_large : NULL;
}

int
json_text_load(const char *path, const char *if_large, struct json_text **ret, struct diag_list *diags)
{
	char why[WHY_MAX] = "";
	char *bytes = NULL;
	size_t len = 0;
	int r =
	    read_trusted_file(path, READ_FILE_PUBLIC, JSON_TEXT_MAX, &bytes, &len, why, sizeof(why));

	if (r < 0) {
		size_t n = strlen(path);
		bool named = strncmp(why, path, n) == 0 && strncmp(why + n, ": ", 2) == 0;

		diag_add(diags, DIAG_E_FILE, path, 0, 0, 0, NULL, advice_on(-r, if_large), "%s",
		    named ? why + n + 2 : why);
		return r;
	}
	return parse_take(path, bytes, len, ret, diags);
}

int
json_text_parse(const char *name, const char *bytes, size_t len, struct json_text **ret,
    struct diag_list *diags)
{
	char *copy;

	if (len > JSON_TEXT_MAX) {
		diag_add(diags, DIAG_E_FILE, name, 0, 0, 0, NULL, NULL, "is too large");
		return JSON_TEXT_E_INVALID;
	}
	copy = malloc(len + 1);
	if (copy == NULL) {
		diag_add(diags, DIAG_E_MEMORY, name, 0, 0, 0, NULL, NULL, "out of memory");
		return -ENOMEM;
	}
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return parse_take(name, copy, len, ret, diags);
}

const char *
json_text_name(const struct json_text *t)
{
	return t->name;
}

const char *
json_text_bytes(const struct json_text *t, size_t *ret_len)
{
	*ret_len = t->len;
	return t->bytes;
}

const struct json_node *
json_text_root(const struct json_text *t)
{
	return &t->index.nodes[0];
}

enum json_kind
json_node_kind(const struct json_node *node)
{
	return node->kind;
}

const char *
json_node_kind_name(const struct json_node *node)
{
	static const char *const names[] = {
		[JSON_KIND_NULL] = "null",
		[JSON_KIND_BOOLEAN] = "true or false",
		[JSON_KIND_INTEGER] = "a number",
		[JSON_KIND_REAL] = "a fraction",
		[JSON_KIND_STRING] = "a string",
		[JSON_KIND_ARRAY] = "a list",
		[JSON_KIND_OBJECT] = "an object",
	};

	return names[node->kind];
}

const struct json_text *
json_node_text(const struct json_node *node)
{
	return node->text;
}

const char *
json_node_key(const struct json_node *node)
{
	return node->key;
}

const struct json_node *
json_node_parent(const struct json_node *node)
{
	return node->parent;
}

static const struct json_node *
skip_comments(const struct json_node *node)
{
	while (node != NULL && node->key != NULL && strncmp(node->key, "//", 2) == 0)
		node = node->next;
	return node;
}

const struct json_node *
json_node_first(const struct json_node *node)
{
	return skip_comments(node->first);
}

const struct json_node *
json_node_next(const struct json_node *node)
{
	return skip_comments(node->next);
}

size_t
json_node_count(const struct json_node *node)
{
	size_t n = 0;

	for (node = json_node_first(node); node != NULL; node = json_node_next(node))
		n++;
	return n;
}

const struct json_node *
json_node_find(const struct json_node *node, const char *key)
{
	for (node = json_node_first(node); node != NULL; node = json_node_next(node)) {
		if (node->key != NULL && strcmp(node->key, key) == 0)
			return node;
	}
	return NULL;
}

const char *
json_node_string(const struct json_node *node)
{
	return json_string_value(node->value);
}

bool
json_node_boolean(const struct json_node *node)
{
	return json_is_true(node->value);
}

int64_t
json_node_integer(const struct json_node *node)
{
	return json_integer_value(node->value);
}

double
json_node_real(const struct json_node *node)
{
	return json_number_value(node->value);
}
