/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each value of a JSON text stands. Private to json_text.c: our own strict reading of the bytes,
 * held against jansson's, so that a message never points at one value while another one is in force.
 */
#ifndef SP_JSON_INDEX_H
#define SP_JSON_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "json_text.h"

struct json_t;

struct json_node {
	enum json_kind kind;
	struct json_node *parent;
	struct json_node *first;
	struct json_node *last;
	struct json_node *next;
	size_t n;        /* children */
	const char *key; /* decoded; NULL: not a member of an object */
	uint32_t key_at; /* offset of the key with its quotes */
	uint32_t key_len;
	uint32_t at; /* offset of the value */
	uint32_t len;
	/* set by json_text.c */
	struct json_t *value; /* jansson's, borrowed */
	const struct json_text *text;
};

struct json_index {
	struct json_node *nodes; /* the first one is the root; parents come before children */
	size_t n;
	size_t cap;
	char *strings; /* the decoded keys, each ended with NUL */
	size_t n_strings;
};

struct json_index_error {
	size_t at;
	size_t width;
	const char *message; /* static */
	const char *help;    /* static, or NULL */
};

/* The text is no JSON, or has something that we refuse in it: *error says what and where. */
#define JSON_INDEX_E_SYNTAX 1

/* text[len] stays with the caller; len is at most JSON_TEXT_MAX. 0, JSON_INDEX_E_SYNTAX or -ENOMEM. */
SP_MUST_CHECK int json_index_build(const char *text, size_t len, struct json_index *ret,
    struct json_index_error *error);
void json_index_clear(struct json_index *index);

#endif
