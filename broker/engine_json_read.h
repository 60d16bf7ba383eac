/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's JSON, into typed fields. Pure functions: no sockets, no clock, no log. */
#ifndef SP_ENGINE_JSON_READ_H
#define SP_ENGINE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "attr.h"
#include "engine_spec.h"

/* A parser's outcome: not JSON, or not the JSON that this call answers with; why[] says what. */
#define ENGINE_JSON_E_BROKEN 1

#define ENGINE_JSON_DEPTH_MAX 32      /* nesting of arrays and objects */
#define ENGINE_JSON_NODES_MAX 1048576 /* values: bounds what a small text can make us allocate */

/*
 * Parsers. text[len] is hostile. 0, ENGINE_JSON_E_BROKEN with a sentence in why[cap], or -ENOMEM.
 */
struct engine_json_created {
	char id[ENGINE_ID_LEN + 1];
	char warning[256]; /* the first one, cut, as the engine wrote it; or "" */
};
SP_MUST_CHECK int engine_json_created(const char *text, size_t len, struct engine_json_created *ret,
    char *why, size_t cap);

/* The caller frees with engine_container_free(). */
SP_MUST_CHECK int engine_json_inspect(const char *text, size_t len, struct engine_container **ret,
    char *why, size_t cap);

/* The same of Podman's own account of a container. */
SP_MUST_CHECK int engine_json_inspect_podman(const char *text, size_t len,
    struct engine_container **ret, char *why, size_t cap);

struct engine_list {
	struct engine_list_item *items;
	size_t n;
	struct engine_label *labels; /* all of them; the items point into it */
	void *memory;
};
SP_MUST_CHECK int engine_json_list(const char *text, size_t len, struct engine_list *ret, char *why,
    size_t cap);
void engine_list_clear(struct engine_list *list);

/* An image's id, "sha256:" stripped. */
SP_MUST_CHECK int engine_json_image(const char *text, size_t len, char ret_id[ENGINE_ID_LEN + 1],
    char *why, size_t cap);
/* What an engine says of itself: each printable ASCII, cut where it is longer, "" where it is missing. */
struct engine_info {
	char name[256]; /* of its host */
	char kernel[128];
	char default_runtime[128];
	int64_t memory; /* of its host, in bytes; 0: it does not say */
};
/* Of an object that was parsed already; what is missing, or no text, is empty. */
void engine_json_take_info(const json_t *object, struct engine_info *ret);
SP_MUST_CHECK int engine_json_info(const char *text, size_t len, struct engine_info *ret, char *why,
    size_t cap);
/* The answer of a wait call. */
SP_MUST_CHECK int engine_json_wait(const char *text, size_t len, int64_t *ret_code, char *why,
    size_t cap);
/* Any array: what a live engine answers to the health probe. */
SP_MUST_CHECK int engine_json_array(const char *text, size_t len, char *why, size_t cap);

/* The "message" of an error answer, cut to cap; "" when there is none. Never fails. */
void engine_json_message(const char *text, size_t len, char *out, size_t cap);
/* Whether it is Podman's way to say that there is no such image. */
bool engine_json_is_no_image(const char *text, size_t len);

#endif
