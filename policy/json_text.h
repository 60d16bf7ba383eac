/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON text with the place of everything in it. jansson parses and holds the values; it keeps no
 * places, so a second pass over the same bytes notes them. A cursor is one value with its place.
 *
 * A key that starts with two slashes is a comment, together with its value.
 */
#ifndef SP_JSON_TEXT_H
#define SP_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "attr.h"
#include "diag.h"

#define JSON_TEXT_MAX   (4 * 1024 * 1024)
#define JSON_TEXT_DEPTH 32

struct json_text;

struct json_at {
	const struct json_text *text;
	size_t node;
	json_t *value; /* borrowed from text */
};

/*
 * Parse text[len], which must outlive the result; name stands for the file in messages.
 * 0, or 1 with errors in *diags, or -ENOMEM.
 */
SP_MUST_CHECK int json_text_parse(const char *name, const char *text, size_t len,
    struct json_text **ret, struct diag_list *diags);
void json_text_free(struct json_text *t);
void json_text_freep(struct json_text **t);

struct json_at json_text_root(const struct json_text *t);
/* Number of nodes, for the test that both parsers agree. */
size_t json_text_count(const struct json_text *t);

/* Children in the order of the file, comments left out: i from 0; false at the end. */
bool json_at_child(struct json_at parent, size_t i, struct json_at *ret);
/* The member called key; false: none. */
bool json_at_member(struct json_at parent, const char *key, struct json_at *ret);
/* The value's own key, or NULL (array element, root). */
const char *json_at_key(struct json_at at);
unsigned json_at_line(struct json_at at);
unsigned json_at_column(struct json_at at);
const char *json_at_file(struct json_at at);

/* Messages at the value, or at its key. help may be NULL. */
void json_at_error(struct json_at at, struct diag_list *diags, const char *help, const char *format,
    ...) SP_PRINTF(4, 5);
void json_at_warning(struct json_at at, struct diag_list *diags, const char *help,
    const char *format, ...) SP_PRINTF(4, 5);
void json_at_key_error(struct json_at at, struct diag_list *diags, const char *help,
    const char *format, ...) SP_PRINTF(4, 5);

#endif
