/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing JSON with places. The text is an administrator's; it is read as if it were not. */
#include "json_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
	size_t parent;
	char *key;                 /* decoded; NULL for elements and the root */
	size_t key_start, key_end; /* bytes of the text, quotes included */
	size_t start, end;         /* of the value */
	size_t index;              /* among its parent's children, comments included */
	bool comment;
};

struct json_text {
	const char *name;
	const char *text;
	size_t len;
	json_t *root;
	struct node *nodes; /* document order: a parent before its children */
	size_t n;
	size_t cap;
};

struct scanner {
	struct json_text *t;
	struct diag_list *diags;
	size_t at;
	unsigned depth;
	int error; /* -ENOMEM, or 1: too deep or a key twice */
};

static void
place_of(const struct json_text *t, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
	unsigned line = 1;
	size_t start = 0;

	for (size_t i = 0; i < offset && i < t->len; i++) {
		if (t->text[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	*ret_line = line;
	*ret_column = (unsigned)(offset - start) + 1;
}

static char *
line_at(const struct json_text *t, size_t offset)
{
	size_t start = offset < t->len ? offset : t->len;
	size_t end = start;

	while (start > 0 && t->text[start - 1] != '\n')
		start--;
	while (end < t->len && t->text[end] != '\n' && t->text[end] != '\r')
		end++;
	return strndup(t->text + start, end - start);
}

static void
report(const struct json_text *t, struct diag_list *diags, enum diag_severity severity,
    size_t start, size_t end, const char *help, const char *message)
{
	char *source = line_at(t, start);
	size_t stop = start;
	unsigned line;
	unsigned column;

	place_of(t, start, &line, &column);
	while (stop < end && stop < t->len && t->text[stop] != '\n') /* underline one line only */
		stop++;
	diag_add(diags, severity, t->name, line, column, (unsigned)(stop - start), source, help,
	    "%s", message);
	free(source);
}

/* ---- the second pass; the text is valid JSON already ---- */

static void
skip_space(struct scanner *s)
{
	while (s->at < s->t->len && strchr(" \t\r\n", s->t->text[s->at]) != NULL)
		s->at++;
}

static size_t
add_node(struct scanner *s, size_t parent, size_t index)
{
	struct json_text *t = s->t;

	if (t->n == t->cap) {
		size_t cap = t->cap == 0 ? 64 : 2 * t->cap;
		struct node *nodes = realloc(t->nodes, cap * sizeof(*nodes));

		if (nodes == NULL) {
			s->error = -ENOMEM;
			return 0;
		}
		t->nodes = nodes;
		t->cap = cap;
	}
	memset(&t->nodes[t->n], 0, sizeof(t->nodes[0]));
	t->nodes[t->n].parent = parent;
	t->nodes[t->n].index = index;
	return t->n++;
}

static void
skip_string(struct scanner *s)
{
	for (s->at++; s->at < s->t->len && s->t->text[s->at] != '"'; s->at++) {
		if (s->t->text[s->at] == '\\')
			s->at++;
	}
	s->at++;
}

/* Escapes in a key are decoded by the library that decodes them in the values. */
static char *
decode_key(const struct scanner *s, size_t start, size_t end)
{
	json_t *key = json_loadb(s->t->text + start, end - start, JSON_DECODE_ANY, NULL);
	char *copy = json_is_string(key) ? strdup(json_string_value(key)) : NULL;

	json_decref(key);
	return copy;
}

static void
refuse_second(struct scanner *s, size_t node)
{
	const struct json_text *t = s->t;
	const struct node *n = &t->nodes[node];

	for (size_t i = n->parent + 1; i < node; i++) {
		const struct node *other = &t->nodes[i];
		char message[256];
		char help[96];
		unsigned line;
		unsigned column;

		if (other->parent != n->parent || strcmp(other->key, n->key) != 0 || n->comment)
			continue;
		place_of(t, other->key_start, &line, &column);
		(void)snprintf(message, sizeof(message), "key \"%.100s\" is there twice", n->key);
		(void)snprintf(help, sizeof(help), "the first one is in line %u", line);
		report(t, s->diags, DIAG_ERROR, n->key_start, n->key_end, help, message);
		s->error = s->error != 0 ? s->error : 1;
		return;
	}
}

static void scan_value(struct scanner *s, size_t node);

static void
scan_members(struct scanner *s, size_t parent)
{
	for (size_t i = 0; s->error >= 0; i++) {
		size_t node;

		skip_space(s);
		if (s->at >= s->t->len || s->t->text[s->at] == '}')
			break;
		node = add_node(s, parent, i);
		if (s->error < 0)
			return;
		s->t->nodes[node].key_start = s->at;
		skip_string(s);
		s->t->nodes[node].key_end = s->at;
		s->t->nodes[node].key = decode_key(s, s->t->nodes[node].key_start, s->at);
		if (s->t->nodes[node].key == NULL) {
			s->error = -ENOMEM;
			return;
		}
		s->t->nodes[node].comment = strncmp(s->t->nodes[node].key, "//", 2) == 0;
		refuse_second(s, node);
		skip_space(s);
		s->at++; /* ':' */
		scan_value(s, node);
		skip_space(s);
		if (s->at < s->t->len && s->t->text[s->at] == ',')
			s->at++;
	}
	s->at++;
}

static void
scan_elements(struct scanner *s, size_t parent)
{
	for (size_t i = 0; s->error >= 0; i++) {
		size_t node;

		skip_space(s);
		if (s->at >= s->t->len || s->t->text[s->at] == ']')
			break;
		node = add_node(s, parent, i);
		if (s->error < 0)
			return;
		scan_value(s, node);
		skip_space(s);
		if (s->at < s->t->len && s->t->text[s->at] == ',')
			s->at++;
	}
	s->at++;
}

static void
scan_value(struct scanner *s, size_t node)
{
	char first;

	skip_space(s);
	if (s->at >= s->t->len || s->error < 0)
		return;
	s->t->nodes[node].start = s->at;
	first = s->t->text[s->at];
	if (++s->depth > JSON_TEXT_DEPTH) {
		report(s->t, s->diags, DIAG_ERROR, s->at, s->at + 1, NULL, "nested too deeply");
		s->error = -E2BIG;
		return;
	}
	if (first == '{') {
		s->at++;
		scan_members(s, node);
	} else if (first == '[') {
		s->at++;
		scan_elements(s, node);
	} else if (first == '"') {
		skip_string(s);
	} else {
		while (s->at < s->t->len && strchr(",]} \t\r\n", s->t->text[s->at]) == NULL)
			s->at++;
	}
	s->t->nodes[node].end = s->at;
	s->depth--;
}

/* ---- the public side ---- */

void
json_text_free(struct json_text *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->nodes[i].key);
	free(t->nodes);
	json_decref(t->root);
	free(t);
}

void
json_text_freep(struct json_text **t)
{
	json_text_free(*t);
	*t = NULL;
}

static void
report_syntax(const struct json_text *t, const json_error_t *e, struct diag_list *diags)
{
	size_t at = e->position > 0 ? (size_t)e->position - 1 : 0;

	if (at > t->len)
		at = t->len;
	report(t, diags, DIAG_ERROR, at, at + 1, NULL, e->text);
}

int
json_text_parse(const char *name, const char *text, size_t len, struct json_text **ret,
    struct diag_list *diags)
{
	SP_CLEANUP(json_text_freep) struct json_text *t = calloc(1, sizeof(*t));
	struct scanner s = { .t = t, .diags = diags };
	json_error_t error;

	if (t == NULL)
		return -ENOMEM;
	t->name = name;
	t->text = text;
	t->len = len;
	if (len > JSON_TEXT_MAX) {
		diag_add(diags, DIAG_ERROR, name, 0, 0, 1, NULL, NULL, "file is larger than 4 MiB");
		return 1;
	}
	/* Without the duplicate check first: jansson does not say where they are, the scanner does. */
	t->root = json_loadb(text, len, 0, &error);
	if (t->root == NULL) {
		report_syntax(t, &error, diags);
		return 1;
	}
	(void)add_node(&s, 0, 0);
	if (s.error == 0)
		scan_value(&s, 0);
	if (s.error != 0)
		return s.error == -ENOMEM ? -ENOMEM : 1;
	/* And with it, so that no value was ever chosen among two. */
	json_decref(t->root);
	t->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (t->root == NULL) {
		report_syntax(t, &error, diags);
		return 1;
	}
	*ret = t;
	t = NULL;
	return 0;
}

struct json_at
json_text_root(const struct json_text *t)
{
	struct json_at at = { t, 0, t->root };

	return at;
}

size_t
json_text_count(const struct json_text *t)
{
	return t->n;
}

/* Each value of the text is in the library's tree too: same key, same index. */
static json_t *
value_of(struct json_at parent, const struct node *n)
{
	return n->key != NULL ? json_object_get(parent.value, n->key)
			      : json_array_get(parent.value, n->index);
}

bool
json_at_child(struct json_at parent, size_t i, struct json_at *ret)
{
	const struct json_text *t = parent.text;
	size_t seen = 0;

	for (size_t node = parent.node + 1; node < t->n; node++) {
		if (t->nodes[node].parent < parent.node)
			break; /* beyond the parent's subtree */
		if (t->nodes[node].parent != parent.node || t->nodes[node].comment)
			continue;
		if (seen++ == i) {
			*ret = (struct json_at){ t, node, value_of(parent, &t->nodes[node]) };
			return ret->value != NULL;
		}
	}
	return false;
}

bool
json_at_member(struct json_at parent, const char *key, struct json_at *ret)
{
	struct json_at child;

	for (size_t i = 0; json_at_child(parent, i, &child); i++) {
		if (strcmp(json_at_key(child), key) == 0) {
			*ret = child;
			return true;
		}
	}
	return false;
}

const char *
json_at_key(struct json_at at)
{
	return at.text->nodes[at.node].key;
}

unsigned
json_at_line(struct json_at at)
{
	unsigned line;
	unsigned column;

	place_of(at.text, at.text->nodes[at.node].start, &line, &column);
	return line;
}

unsigned
json_at_column(struct json_at at)
{
	unsigned line;
	unsigned column;

	place_of(at.text, at.text->nodes[at.node].start, &line, &column);
	return column;
}

const char *
json_at_file(struct json_at at)
{
	return at.text->name;
}

static void
message_at(struct json_at at, struct diag_list *diags, enum diag_severity severity, bool key,
    const char *help, const char *format, va_list args)
{
	const struct node *n = &at.text->nodes[at.node];
	char message[1024];

	(void)vsnprintf(message, sizeof(message), format, args);
	if (key && n->key != NULL)
		report(at.text, diags, severity, n->key_start, n->key_end, help, message);
	else
		report(at.text, diags, severity, n->start, n->end, help, message);
}

void
json_at_error(struct json_at at, struct diag_list *diags, const char *help, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message_at(at, diags, DIAG_ERROR, false, help, format, args);
	va_end(args);
}

void
json_at_warning(struct json_at at, struct diag_list *diags, const char *help, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message_at(at, diags, DIAG_WARNING, true, help, format, args);
	va_end(args);
}

void
json_at_key_error(struct json_at at, struct diag_list *diags, const char *help, const char *format,
    ...)
{
	va_list args;

	va_start(args, format);
	message_at(at, diags, DIAG_ERROR, true, help, format, args);
	va_end(args);
}
