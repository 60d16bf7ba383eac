/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to a stream: what our own programs print. Commas and escapes are seen to here. */
#ifndef SP_JSON_WRITE_H
#define SP_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_writer {
	FILE *out;
	bool comma; /* something stands before in the same object or list */
};

/* text in quotes. What is not UTF-8 becomes U+FFFD, so that the result is always JSON. */
void json_write_text(FILE *out, const char *text);

/* In all of these key is NULL for an element of a list and for the whole. */
void json_write_open(struct json_writer *w, const char *key, char bracket);
void json_write_close(struct json_writer *w, char bracket);
void json_write_string(struct json_writer *w, const char *key, const char *text); /* NULL: null */
void json_write_bool(struct json_writer *w, const char *key, bool value);
void json_write_number(struct json_writer *w, const char *key, uint64_t value);
/* json: a value that is JSON already. */
void json_write_raw(struct json_writer *w, const char *key, const char *json);

#endif
