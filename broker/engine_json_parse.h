/* SPDX-License-Identifier: Apache-2.0 */
/* A parse of the engine's JSON under way. Shared by engine_json_inspect.c and engine_json_read.c; nobody else includes
 * it. */
#ifndef SP_ENGINE_JSON_PARSE_H
#define SP_ENGINE_JSON_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "attr.h"
#include "engine_spec.h"

/*
 * Failure is sticky: after the first value of a wrong type every further get returns a harmless one, and
 * parse_ended() reports it.
 */
struct parse {
	char *why;
	size_t cap;
	bool failed;
	bool no_memory;
};

/* Only the first sentence stays. */
void SP_PRINTF(2, 3) parse_fail(struct parse *p, const char *format, ...);
/* How it went: 0, ENGINE_JSON_E_BROKEN or -ENOMEM. */
int parse_ended(const struct parse *p);

/* The whole text as one value of the type, or NULL. */
json_t *parse_load(struct parse *p, const char *text, size_t len, json_type type);
/* n of the size and one more, as zeroes, or NULL. */
void *parse_allocate(struct parse *p, size_t n, size_t size);

/* A member of o: get allows that it is absent or null, which is "", false, 0 or no list; need does not. */
json_t *parse_need_object(struct parse *p, const json_t *o, const char *key);
const char *parse_get_text(struct parse *p, const json_t *o, const char *key);
const char *parse_need_text(struct parse *p, const json_t *o, const char *key);
bool parse_get_flag(struct parse *p, const json_t *o, const char *key);
/* For flags that decide something. */
bool parse_need_flag(struct parse *p, const json_t *o, const char *key);
int64_t parse_get_number(struct parse *p, const json_t *o, const char *key);
/* An array of strings. The strings stay the document's; the caller frees the list. */
const char **parse_get_list(struct parse *p, const json_t *o, const char *key, size_t *ret_n);
/* o's "Id", which has to be there. */
void parse_get_id(struct parse *p, const json_t *o, char out[ENGINE_ID_LEN + 1]);

/*
 * Labels whose name starts with prefix, into out[]; returns how many. out may be NULL: only count.
 * After a failure nothing is written: the count that sized out[] may have stopped early.
 */
size_t parse_fill_labels(struct parse *p, json_t *object, const char *prefix,
    struct engine_label *out);

/* A container's name without what the engine puts before it. */
static inline const char *
parse_strip_slash(const char *name)
{
	return name[0] == '/' ? name + 1 : name;
}

#endif
