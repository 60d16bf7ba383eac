/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON with places: the index and jansson agree on every text, places are those of the bytes, and
 * nothing crashes on cut or mangled ones. Random texts print their seed; SP_TEST_SEED sets it.
 */
#include "test.h"

#include "json_text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json_index.h"

static unsigned long seed;

static unsigned
roll(unsigned n)
{
	/* Numerical Recipes' generator: the same numbers everywhere for one seed. */
	seed = seed * 1664525ul + 1013904223ul;
	return (unsigned)(seed >> 16 & 0xffff) % n;
}

static int
parse(const char *text, size_t len, struct json_text **ret)
{
	struct diag_list diags = DIAG_LIST_INIT;
	int r = json_text_parse("t", text, len, ret, &diags);

	assert_int_equal(r == 0, diags.n_errors == 0);
	diag_list_clear(&diags);
	return r;
}

/* ---- agreement with jansson ---- */

static void assert_same(const struct json_node *node, const json_t *value, unsigned *n);

static void
assert_same_members(const struct json_node *node, const json_t *value, unsigned *n)
{
	const struct json_node *child;
	size_t i = 0;

	for (child = node->first; child != NULL; child = child->next, i++) {
		assert_ptr_equal(child->parent, node);
		if (json_is_object(value)) {
			assert_non_null(child->key);
			assert_same(child, json_object_get(value, child->key), n);
		} else {
			assert_null(child->key);
			assert_same(child, json_array_get(value, i), n);
		}
	}
	assert_int_equal(i, json_is_object(value) ? json_object_size(value) : json_array_size(value));
}

/* The same pointers lead to the same values, on both sides. */
static void
assert_same(const struct json_node *node, const json_t *value, unsigned *n)
{
	static const json_type types[] = {
		[JSON_KIND_NULL] = JSON_NULL,
		[JSON_KIND_INTEGER] = JSON_INTEGER,
		[JSON_KIND_REAL] = JSON_REAL,
		[JSON_KIND_STRING] = JSON_STRING,
		[JSON_KIND_ARRAY] = JSON_ARRAY,
		[JSON_KIND_OBJECT] = JSON_OBJECT,
	};

	(*n)++;
	assert_non_null(value);
	if (json_is_boolean(value))
		assert_int_equal(node->kind, JSON_KIND_BOOLEAN);
	else
		assert_int_equal(types[node->kind], json_typeof(value));
	if (json_is_string(value))
		assert_string_equal(json_node_string(node), json_string_value(value));
	if (json_is_object(value) || json_is_array(value))
		assert_same_members(node, value, n);
}

static unsigned
assert_agree(const char *text, size_t len)
{
	SP_CLEANUP(json_text_freep) struct json_text *t = NULL;
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	unsigned n = 0;
	int r = parse(text, len, &t);

	/* Whatever we take, jansson takes as well, with the same values. */
	assert_int_equal(r == 0, t != NULL);
	if (t != NULL)
		assert_same(json_text_root(t), value, &n);
	json_decref(value);
	return n;
}

static void
write_blanks(FILE *out)
{
	for (unsigned n = roll(3); n > 0; n--)
		(void)fputc(" \t\n\r"[roll(4)], out);
}

static void
write_string(FILE *out)
{
	static const char *const pieces[] = { "a", "b", "z", "/", "\\\"", "\\\\", "\\n", "\\u00e4",
		"\\ud83d\\udd11", "\xc3\xa4", "\xf0\x9f\x94\x91", "}", "]", ",", ":", "\\/" };

	(void)fputc('"', out);
	for (unsigned n = roll(6); n > 0; n--)
		(void)fputs(pieces[roll(SP_ARRAY_LEN(pieces))], out);
	(void)fputc('"', out);
}

static void
write_value(FILE *out, unsigned depth)
{
	static const char *const words[] = { "true", "false", "null", "0", "-1", "12345", "1.5",
		"-0.25e2", "1E+3", "[]", "{}", "[ ]", "{\n}" };
	unsigned kind = roll(depth == 0 ? 2 : 4);
	unsigned n = roll(5);

	write_blanks(out);
	if (kind == 0)
		(void)fputs(words[roll(SP_ARRAY_LEN(words))], out);
	else if (kind == 1)
		write_string(out);
	else
		(void)fputc(kind == 2 ? '[' : '{', out);
	for (unsigned i = 0; kind >= 2 && i < n; i++) {
		if (i > 0)
			(void)fputc(',', out);
		write_blanks(out);
		if (kind == 3)
			(void)fprintf(out, "\"%u\\u00%02x%s\" :", i, 0x20 + roll(0x5f),
			    roll(2) ? "/" : "");
		write_value(out, depth - 1);
	}
	if (kind >= 2)
		(void)fputc(kind == 2 ? ']' : '}', out);
	write_blanks(out);
}

static char *
write_random(size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	assert_non_null(out);
	write_value(out, 1 + roll(8));
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
test_random_texts_agree(void **state)
{
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		size_t len;
		char *text = write_random(&len);

		n += assert_agree(text, len);
		free(text);
	}
	assert_true(n > 10000); /* they were not all refused */
}

/* One byte away from JSON, both readers are most likely to differ. */
static void
test_mangled_texts_agree(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		size_t len;
		char *text = write_random(&len);

		for (unsigned k = 0; k < 4; k++) {
			text[roll((unsigned)len)] = roll(2) ? (char)roll(256)
							    : "{}[]\",:\\0"[roll(9)];
			(void)assert_agree(text, len);
		}
		free(text);
	}
}

/* ---- places ---- */

static void
assert_place(const struct json_text *t, const struct json_node *node, enum json_at at,
    unsigned line, unsigned column, unsigned width)
{
	struct json_place place = json_text_place(t, node, at);

	assert_int_equal(place.line, line);
	assert_int_equal(place.column, column);
	assert_int_equal(place.width, width);
}

static void
test_places(void **state)
{
	static const char text[] = "{\n"
				   "\t\"\xc3\xa4\": [ 1,\r\n"
				   "  true ], \"//\": 5, \"\\u0062\" :\n"
				   "\n"
				   "{ \"c\": \"x\\ty\" } }";
	SP_CLEANUP(json_text_freep) struct json_text *t = NULL;
	const struct json_node *root;
	const struct json_node *list;
	const struct json_node *b;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &t), 0);
	root = json_text_root(t);
	assert_place(t, root, JSON_AT_KEY, 1, 1, 1); /* no key: the value */
	list = json_node_find(root, "\xc3\xa4");
	assert_non_null(list);
	assert_place(t, list, JSON_AT_KEY, 2, 2, 4);
	assert_place(t, list, JSON_AT_VALUE, 2, 8, 1);
	assert_place(t, json_node_first(list), JSON_AT_VALUE, 2, 10, 1);
	assert_place(t, json_node_next(json_node_first(list)), JSON_AT_VALUE, 3, 3, 4);
	b = json_node_find(root, "b");
	assert_non_null(b);
	assert_place(t, b, JSON_AT_KEY, 3, 20, 8);
	assert_place(t, b, JSON_AT_VALUE, 5, 1, 1);
	assert_place(t, json_node_first(b), JSON_AT_VALUE, 5, 8, 6);
	assert_string_equal(json_node_string(json_node_first(b)), "x\ty");
}

static void
test_comments_are_not_seen(void **state)
{
	static const char text[] = "{\"//\": 1, \"a\": 2, \"// x\": 3, \"b\": [\"//\"], \"//y\": {}}";
	SP_CLEANUP(json_text_freep) struct json_text *t = NULL;
	const struct json_node *root;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &t), 0);
	root = json_text_root(t);
	assert_int_equal(json_node_count(root), 2);
	assert_string_equal(json_node_key(json_node_first(root)), "a");
	assert_null(json_node_find(root, "//"));
	/* An element is no key. */
	assert_int_equal(json_node_count(json_node_find(root, "b")), 1);
}

/* ---- ceilings ---- */

static void
assert_message(const char *text, size_t len, const char *message, unsigned line, unsigned column)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct json_text *t = NULL;

	assert_int_equal(json_text_parse("t", text, len, &t, &diags), JSON_TEXT_E_INVALID);
	assert_null(t);
	assert_int_equal(diags.n, 1);
	assert_string_equal(diags.items[0].message, message);
	assert_int_equal(diags.items[0].line, line);
	assert_int_equal(diags.items[0].column, column);
	diag_list_clear(&diags);
}

static void
test_depth(void **state)
{
	char text[2 * (JSON_DEPTH_MAX + 1)];
	SP_CLEANUP(json_text_freep) struct json_text *t = NULL;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_int_equal(parse(text, 2 * JSON_DEPTH_MAX, &t), 0);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_message(text, sizeof(text), "nested too deeply", 1, JSON_DEPTH_MAX + 1);
}

static void
test_sizes(void **state)
{
	size_t cap = JSON_TEXT_MAX + 1;
	char *text = malloc(cap);
	SP_CLEANUP(json_text_freep) struct json_text *t = NULL;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', cap);
	text[JSON_TEXT_MAX - 1] = '1';
	assert_int_equal(parse(text, JSON_TEXT_MAX, &t), 0);
	assert_message(text, cap, "is too large", 0, 0);
	/* As many values as fit: there is a ceiling for those, too. */
	text[0] = '[';
	for (size_t i = 1; i < JSON_TEXT_MAX; i++)
		text[i] = i % 2 == 1 ? '1' : ',';
	text[JSON_TEXT_MAX - 1] = ']';
	assert_message(text, JSON_TEXT_MAX, "more values than any such file needs", 1,
	    2 * JSON_VALUES_MAX);
	free(text);
}

/* Many keys in one object take no quadratic time. */
static void
test_many_keys(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	SP_CLEANUP(json_text_freep) struct json_text *t = NULL;

	(void)state;
	assert_non_null(out);
	for (unsigned i = 0; i < 200000; i++)
		(void)fprintf(out, "%c\"%u\":0", i == 0 ? '{' : ',', i);
	(void)fputc('}', out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(parse(text, len, &t), 0);
	free(text);
}

static void
test_duplicates(void **state)
{
	static const char text[] =
	    "{\"a\": {\"x\": 1, \"y\": 2, \"x\": 3, \"\\u0078\": 4},\n \"a\": 0}";
	struct diag_list diags = DIAG_LIST_INIT;
	struct json_text *t = NULL;

	(void)state;
	assert_int_equal(json_text_parse("t", text, strlen(text), &t, &diags), JSON_TEXT_E_INVALID);
	assert_int_equal(diags.n, 3);
	for (size_t i = 0; i < diags.n; i++) {
		const struct diag *d = &diags.items[i];

		if (d->line == 2) {
			assert_string_equal(d->message, "duplicate key \"a\"");
			assert_string_equal(d->help, "the first one is at line 1, column 2");
			assert_int_equal(d->column, 2);
		} else {
			assert_string_equal(d->message, "duplicate key \"x\"");
			assert_string_equal(d->help, "the first one is at line 1, column 8");
			assert_true(d->column == 24 || d->column == 32);
		}
	}
	diag_list_clear(&diags);
}

/* Every beginning of a good text is refused, with a place, but for complete ones. */
/* The form with a number of n digits in place of each '#'. From malloc. */
static char *
write_digits(const char *form, unsigned n, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	assert_non_null(out);
	for (; *form != '\0'; form++) {
		for (unsigned i = 0; i < (*form == '#' ? n : 1); i++)
			(void)fputc(*form == '#' ? '7' : *form, out);
	}
	assert_int_equal(fclose(out), 0);
	return text;
}

/* Numbers longer than any that fits, under keys that repeat or read like one of our own messages. */
static void
test_long_numbers(void **state)
{
	static const struct {
		const char *form;
		bool good;
		enum diag_code code; /* of the one thing that is wrong */
	} cases[] = {
		{ "{\"a\": #.5, \"two readings\": {\"a\": -#.25e-9}}", true, 0 },
		{ "[[#.0], 1, {\"two readings of this value differ\": #.0}]", true, 0 },
		{ "{\"two readings\": #.5, \"two readings\": #}", false, DIAG_E_DUPLICATE_KEY },
		{ "{\"x\": 7, \"y\": #, \"z\": #}", false, DIAG_E_SYNTAX },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		for (unsigned n = 20; n <= 300; n += 40) {
			struct diag_list diags = DIAG_LIST_INIT;
			struct json_text *t = NULL;
			size_t len;
			char *text = write_digits(cases[i].form, n, &len);

			assert_int_equal(json_text_parse("t", text, len, &t, &diags),
			    cases[i].good ? 0 : JSON_TEXT_E_INVALID);
			assert_int_equal(diags.n, cases[i].good ? 0 : 1);
			if (!cases[i].good)
				assert_int_equal(diags.items[0].code, cases[i].code);
			assert_int_equal(assert_agree(text, len) > 0, cases[i].good);
			json_text_free(t);
			diag_list_clear(&diags);
			free(text);
		}
	}
}

static void
test_truncations(void **state)
{
	static const char text[] =
	    "{\"a\": [1, -2.5e+3, true, null, \"\\u00e4\\ud83d\\udd11\\n\xc3\xa4\"], \"b\": {}}";

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		struct diag_list diags = DIAG_LIST_INIT;
		struct json_text *t = NULL;
		/* Right behind the end sits memory that must not be touched. */
		char *exact = malloc(len == 0 ? 1 : len);

		assert_non_null(exact);
		memcpy(exact, text, len);
		assert_int_equal(json_text_parse("t", exact, len, &t, &diags), JSON_TEXT_E_INVALID);
		assert_int_equal(diags.n, 1);
		assert_int_equal(diags.items[0].line, 1);
		assert_in_range(diags.items[0].column, 1, len + 1);
		diag_list_clear(&diags);
		free(exact);
	}
}

/* The index itself reads no byte beyond its end; json_text_parse() hides that with its copy. */
static void
test_index_stays_inside(void **state)
{
	static const char text[] = "{\"a\\ud83d\\udd11\":[1.5e5,\"\\u00e4\",true]}";

	(void)state;
	for (size_t len = 0; len <= strlen(text); len++) {
		struct json_index index = { 0 };
		struct json_index_error error = { 0 };
		char *exact = malloc(len == 0 ? 1 : len);
		int r;

		assert_non_null(exact);
		memcpy(exact, text, len);
		r = json_index_build(exact, len, &index, &error);
		assert_int_equal(r, len == strlen(text) ? 0 : JSON_INDEX_E_SYNTAX);
		if (r != 0)
			assert_in_range(error.at, 0, len);
		json_index_clear(&index);
		free(exact);
	}
}

static void
test_load_refuses(void **state)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct json_text *t = NULL;

	(void)state;
	assert_true(json_text_load("/nonexistent/x.json", NULL, &t, &diags) < 0);
	assert_true(json_text_load("/dev/null", NULL, &t, &diags) < 0);
	assert_null(t);
	assert_int_equal(diags.n_errors, 2);
	assert_string_equal(diags.items[0].file, "/nonexistent/x.json");
	assert_string_equal(diags.items[0].message, "No such file or directory");
	diag_list_clear(&diags);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_texts_agree),
		cmocka_unit_test(test_mangled_texts_agree),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_comments_are_not_seen),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_long_numbers),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_index_stays_inside),
		cmocka_unit_test(test_load_refuses),
	};
	const char *given = getenv("SP_TEST_SEED");

	seed = given != NULL ? strtoul(given, NULL, 10) : (unsigned long)time(NULL);
	print_message("SP_TEST_SEED=%lu\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
