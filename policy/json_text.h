/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON file that a person wrote, as a tree of values that know their places. Shared by the policy
 * and the broker's configuration; json_read.h has the typed layer on top.
 *
 * Strict JSON: no comments, no duplicate keys, no NUL. Members whose key starts with "//" are comments
 * and never seen through this header.
 */
#ifndef SP_JSON_TEXT_H
#define SP_JSON_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "diag.h"

#define JSON_TEXT_MAX   (4u << 20) /* bytes of a file */
#define JSON_DEPTH_MAX  32
#define JSON_VALUES_MAX (256u << 10)

/* The text has errors; they are in the list. */
#define JSON_TEXT_E_INVALID 1

enum json_kind {
	JSON_KIND_NULL,
	JSON_KIND_BOOLEAN,
	JSON_KIND_INTEGER,
	JSON_KIND_REAL,
	JSON_KIND_STRING,
	JSON_KIND_ARRAY,
	JSON_KIND_OBJECT,
};

struct json_text;
struct json_node; /* lives as long as its text */

/*
 * Read the file at path, which nobody but its owner may write (read_file.h), and parse it. if_large: the help where it has
 * more than JSON_TEXT_MAX bytes.
 * 0, JSON_TEXT_E_INVALID or -errno; anything but 0 is also explained in *diags.
 */
SP_MUST_CHECK int json_text_load(const char *path, const char *if_large, struct json_text **ret,
    struct diag_list *diags);
/* The same over bytes[len], which are copied; name stands for the file in messages. */
SP_MUST_CHECK int json_text_parse(const char *name, const char *bytes, size_t len,
    struct json_text **ret, struct diag_list *diags);
/* NULL is fine. */
void json_text_free(struct json_text *t);
/* For SP_CLEANUP. */
void json_text_freep(struct json_text **t);

const char *json_text_name(const struct json_text *t);
const char *json_text_bytes(const struct json_text *t, size_t *ret_len);
const struct json_node *json_text_root(const struct json_text *t);

enum json_kind json_node_kind(const struct json_node *node);
/* "a string", "a number", for messages. */
const char *json_node_kind_name(const struct json_node *node);
/* The key in the enclosing object; NULL for elements of a list and the root. */
const char *json_node_key(const struct json_node *node);
const struct json_node *json_node_parent(const struct json_node *node);
/* Members or elements in the order of the file; NULL: no more. */
const struct json_node *json_node_first(const struct json_node *node);
const struct json_node *json_node_next(const struct json_node *node);
/* How many of them there are. */
size_t json_node_count(const struct json_node *node);
/* The member of this key, or NULL. */
const struct json_node *json_node_find(const struct json_node *node, const char *key);

/* The value, of a node of the right kind. Strings are UTF-8, ended with NUL, and hold none. */
const char *json_node_string(const struct json_node *node);
bool json_node_boolean(const struct json_node *node);
int64_t json_node_integer(const struct json_node *node);
/* Also of an integer. */
double json_node_real(const struct json_node *node);

enum json_at {
	JSON_AT_KEY,    /* the key; the value where there is none */
	JSON_AT_VALUE,  /* an object or a list counts as its opening bracket */
	JSON_AT_SECRET, /* the value, without showing the line that holds it */
};

struct json_place {
	unsigned line;   /* from 1 */
	unsigned column; /* from 1, in bytes */
	unsigned width;  /* bytes */
};

struct json_place json_text_place(const struct json_text *t, const struct json_node *node,
    enum json_at at);
/* The text that a node is of. */
const struct json_text *json_node_text(const struct json_node *node);
/* Add a message about node. help may be NULL. */
void json_text_diag(const struct json_text *t, struct diag_list *diags, enum diag_code code,
    const struct json_node *node, enum json_at at, const char *help, const char *format, ...)
    SP_PRINTF(7, 8);
void json_text_vdiag(const struct json_text *t, struct diag_list *diags, enum diag_code code,
    const struct json_node *node, enum json_at at, const char *help, const char *format,
    va_list args) SP_PRINTF(7, 0);

#endif
