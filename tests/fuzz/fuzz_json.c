/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our reading of JSON against jansson's. Both take a text or neither does (but for depth, which we
 * bound lower, and for a NUL at the end), and each value that the index places, read alone from where it stands, is the value
 * that jansson has there.
 *
 * Covers: json_index_build scan_value scan_members scan_string scan_unicode scan_number scan_word
 * Covers: json_text_parse join_children check_object_keys json_text_place report_jansson copy_line
 * Floor: 44
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json_index.h"

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

static FILE *null;

void
fuzz_setup(void)
{
	null = fopen("/dev/null", "we");
	FUZZ_CHECK(null != NULL);
}

/* Line and column, counted anew. */
static void
check_place(const struct json_text *t, const struct json_node *node)
{
	struct json_place place = json_text_place(t, node, JSON_AT_VALUE);
	size_t len;
	const char *bytes = json_text_bytes(t, &len);
	unsigned line = 1;
	unsigned column = 1;

	FUZZ_CHECK(node->len > 0 && node->at < len && node->len <= len - node->at);
	for (size_t i = 0; i < node->at; i++) {
		column = bytes[i] == '\n' ? 1 : column + 1;
		line += bytes[i] == '\n';
	}
	FUZZ_CHECK(place.line == line && place.column == column);
}

static void
check_node(const struct json_text *t, const struct json_node *node, const json_t *value)
{
	size_t len;
	const char *bytes = json_text_bytes(t, &len);
	json_t *alone = json_loadb(bytes + node->at, node->len, FLAGS, NULL);
	size_t i = 0;

	FUZZ_CHECK(value != NULL && alone != NULL && json_equal(alone, value));
	json_decref(alone);
	check_place(t, node);
	for (const struct json_node *child = node->first; child != NULL; child = child->next, i++) {
		if (node->kind == JSON_KIND_OBJECT) {
			json_t *key = json_loadb(bytes + child->key_at, child->key_len, FLAGS, NULL);

			FUZZ_CHECK(
			    json_is_string(key) && strcmp(json_string_value(key), child->key) == 0);
			json_decref(key);
			check_node(t, child, json_object_get(value, child->key));
		} else {
			check_node(t, child, json_array_get(value, i));
		}
	}
	FUZZ_CHECK(i == node->n);
}

static unsigned
depth_of(const json_t *value)
{
	unsigned most = 0;
	size_t i;
	const char *key;
	json_t *child;

	if (json_is_array(value)) {
		json_array_foreach(value, i, child)
		{
			unsigned d = depth_of(child);

			most = d > most ? d : most;
		}
	} else if (json_is_object(value)) {
		/* jansson's iteration takes no const, and changes nothing */
		json_t *object = json_incref((json_t *)(uintptr_t)value);

		json_object_foreach(object, key, child)
		{
			unsigned d = depth_of(child);

			most = d > most ? d : most;
		}
		json_decref(object);
	} else {
		return 0;
	}
	return most + 1;
}

static void
check_diags(const struct diag_list *diags, bool good)
{
	FUZZ_CHECK(good == (diags->n_errors == 0));
	/* By the code: a message may hold words of the text. */
	for (size_t i = 0; i < diags->n; i++)
		FUZZ_CHECK(diags->items[i].code != DIAG_E_BUG);
	diag_print(diags, null);
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	SP_CLEANUP(json_text_freep) struct json_text *t = NULL;
	struct diag_list diags = DIAG_LIST_INIT;
	const char *text = (const char *)data;
	json_t *value = json_loadb(text, len, FLAGS, NULL);
	int r = json_text_parse("fuzz.json", text, len, &t, &diags);

	FUZZ_CHECK(r == 0 || r == JSON_TEXT_E_INVALID);
	check_diags(&diags, r == 0);
	diag_list_clear(&diags);
	if (r == 0)
		check_node(t, json_text_root(t), value);
	else /* jansson takes a NUL behind the value for the end */
		FUZZ_CHECK(value == NULL || depth_of(value) > JSON_DEPTH_MAX ||
		    memchr(text, '\0', len) != NULL);
	json_decref(value);
}

void
fuzz_seeds(void)
{
	static const char *const seeds[] = {
		"[1, -0, 1.5e-3, 9223372036854775807, 9223372036854775808, 1e999]",
		"{\"a\": {\"b\": [true, false, null]}, \"a\\u00e9\": \"\\ud83d\\udc27 \\\"\\\\\\/\\n\"}",
		"{\"x\": 1, \"x\": 2}",
		"\n\n  [ [\n\"\xc3\xa9\" ], {} ]\r\n",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		"{'a': 1}",
		"[01]",
		"[1,]",
		"\xef\xbb\xbf{}",
		"[\"\\u0000\"]",
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(seeds); i++)
		fuzz_seed(seeds[i], strlen(seeds[i]));
	fuzz_seed_files("config/good", ".json", NULL, 0);
}
