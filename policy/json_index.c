/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict JSON reader (RFC 8259) that keeps positions and no values. Runs in the broker and the admin
 * tool over files that an administrator wrote; every byte is checked all the same. Depth and number of
 * values have ceilings, so that neither the stack nor the memory depends on the file.
 */
#include "json_index.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "utf8.h"

struct scanner {
	const char *text;
	size_t len;
	size_t at;
	unsigned depth;
	struct json_index *index;
	struct json_index_error *error;
};

static int scan_value(struct scanner *s, struct json_node *node);

static int
refuse(struct scanner *s, size_t at, size_t width, const char *message, const char *help)
{
	s->error->at = at;
	s->error->width = width == 0 ? 1 : width;
	s->error->message = message;
	s->error->help = help;
	return JSON_INDEX_E_SYNTAX;
}

/* The byte at the cursor; -1 at the end. */
static int
peek(const struct scanner *s)
{
	return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void
skip_blanks(struct scanner *s)
{
	while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r')
		s->at++;
}

/* What stands where something else was expected. */
static int
refuse_here(struct scanner *s, const char *message)
{
	int c = peek(s);

	if (c == '/' || c == '#')
		return refuse(s, s->at, 1, "comments are not part of JSON",
		    "a key that starts with \"//\" is a comment: \"// why\": \"...\"");
	if (c == '\'')
		return refuse(s, s->at, 1, "strings stand in double quotes", NULL);
	if (c < 0)
		return refuse(s, s->len, 1, "the text ends too early", message);
	return refuse(s, s->at, 1, message, NULL);
}

static bool
scan_hex4(const struct scanner *s, size_t at, uint32_t *ret)
{
	uint32_t value = 0;

	if (s->len - at < 4)
		return false;
	for (size_t i = 0; i < 4; i++) {
		int digit = hex_digit(s->text[at + i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*ret = value;
	return true;
}

/* After "\u"; the escape began at start. A pair of surrogates is one character. */
static int
scan_unicode(struct scanner *s, size_t start, uint32_t *ret)
{
	uint32_t high = 0;
	uint32_t low = 0;

	if (!scan_hex4(s, s->at, &high))
		return refuse(s, start, 2, "\\u takes four hexadecimal digits", NULL);
	s->at += 4;
	if (high == 0)
		return refuse(s, start, 6, "\\u0000 is not allowed in a string", NULL);
	if (high < 0xd800 || high > 0xdfff) {
		*ret = high;
		return 0;
	}
	if (high > 0xdbff || s->len - s->at < 6 || s->text[s->at] != '\\' ||
	    s->text[s->at + 1] != 'u' || !scan_hex4(s, s->at + 2, &low) || low < 0xdc00 ||
	    low > 0xdfff)
		return refuse(s, start, 6, "half of a surrogate pair", NULL);
	s->at += 6;
	*ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	return 0;
}

static int
scan_escape(struct scanner *s, uint32_t *ret)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	size_t start = s->at++;
	int c = peek(s);
	const char *letter = c <= 0 ? NULL : strchr(letters, c);

	if (c < 0)
		return refuse(s, start, 1, "the text ends within a string", NULL);
	s->at++;
	if (c == 'u')
		return scan_unicode(s, start, ret);
	if (letter == NULL)
		return refuse(s, start, 2, "JSON has no such escape",
		    "a backslash itself is written as two");
	*ret = (unsigned char)values[letter - letters];
	return 0;
}

static int
scan_character(struct scanner *s, uint32_t *ret)
{
	size_t n;

	if (s->text[s->at] == '\\')
		return scan_escape(s, ret);
	n = utf8_decode(s->text + s->at, s->len - s->at, ret);
	if (n == 0)
		return refuse(s, s->at, 1, "this is not UTF-8", NULL);
	if (*ret < 0x20)
		return refuse(s, s->at, 1,
		    "control characters and line ends must be escaped in a string",
		    *ret == '\n' ? "is the closing quote missing?" : NULL);
	s->at += n;
	return 0;
}

/* At the opening quote. out: where the decoded string goes (it never gets longer), or NULL. */
static int
scan_string(struct scanner *s, char *out, size_t *ret_len)
{
	size_t start = s->at++;
	size_t n = 0;

	for (;;) {
		char bytes[4];
		uint32_t c = 0;
		size_t width;
		int r;

		if (peek(s) < 0)
			return refuse(s, start, 1, "this string never ends", NULL);
		if (peek(s) == '"')
			break;
		r = scan_character(s, &c);
		if (r != 0)
			return r;
		width = utf8_encode(c, bytes);
		if (out != NULL)
			memcpy(out + n, bytes, width);
		n += width;
	}
	s->at++;
	*ret_len = n;
	return 0;
}

static size_t
scan_digits(struct scanner *s)
{
	size_t n = 0;

	for (; peek(s) >= '0' && peek(s) <= '9'; n++)
		s->at++;
	return n;
}

static int
scan_number(struct scanner *s, struct json_node *node)
{
	size_t start = s->at;
	bool zero;
	size_t n;

	node->kind = JSON_KIND_INTEGER;
	if (peek(s) == '-')
		s->at++;
	zero = peek(s) == '0';
	n = scan_digits(s);
	if (n == 0 || (zero && n > 1))
		return refuse(s, start, s->at - start,
		    n == 0 ? "a number needs digits here" : "a number does not start with 0", NULL);
	if (peek(s) == '.') {
		node->kind = JSON_KIND_REAL;
		s->at++;
		if (scan_digits(s) == 0)
			return refuse(s, start, s->at - start,
			    "a number needs digits after its point", NULL);
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		node->kind = JSON_KIND_REAL;
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (scan_digits(s) == 0)
			return refuse(s, start, s->at - start, "a number needs digits after its e",
			    NULL);
	}
	return 0;
}

static int
scan_word(struct scanner *s, struct json_node *node)
{
	static const struct {
		const char *word;
		enum json_kind kind;
	} words[] = {
		{ "true", JSON_KIND_BOOLEAN },
		{ "false", JSON_KIND_BOOLEAN },
		{ "null", JSON_KIND_NULL },
	};
	size_t n = 0;

	while (s->at + n < s->len && n < 64 &&
	    ((s->text[s->at + n] | 0x20) >= 'a' && (s->text[s->at + n] | 0x20) <= 'z'))
		n++;
	for (size_t i = 0; i < SP_ARRAY_LEN(words); i++) {
		if (n == strlen(words[i].word) && memcmp(s->text + s->at, words[i].word, n) == 0) {
			node->kind = words[i].kind;
			s->at += n;
			return 0;
		}
	}
	if (n != 0)
		return refuse(s, s->at, n, "this word means nothing in JSON",
		    "strings stand in double quotes; the words are true, false and null, in lower case");
	return refuse_here(s, "expected a value");
}

static int
add_node(struct scanner *s, struct json_node *parent, struct json_node **ret)
{
	struct json_node *node;

	if (s->index->n == s->index->cap)
		return refuse(s, s->at, 1, "more values than any such file needs", NULL);
	node = &s->index->nodes[s->index->n++];
	node->parent = parent;
	if (parent != NULL) {
		if (parent->last == NULL)
			parent->first = node;
		else
			parent->last->next = node;
		parent->last = node;
		parent->n++;
	}
	*ret = node;
	return 0;
}

static int
scan_key(struct scanner *s, struct json_node *node)
{
	char *key = s->index->strings + s->index->n_strings;
	size_t n = 0;
	int r;

	if (peek(s) == '}')
		return refuse_here(s,
		    "expected another key after \",\"; the last one has no comma behind it");
	if (peek(s) != '"')
		return refuse_here(s, "expected a key in double quotes");
	node->key_at = (uint32_t)s->at;
	r = scan_string(s, key, &n);
	if (r != 0)
		return r;
	key[n] = '\0';
	s->index->n_strings += n + 1;
	node->key = key;
	node->key_len = (uint32_t)s->at - node->key_at;
	skip_blanks(s);
	if (peek(s) != ':')
		return refuse_here(s, "expected \":\" after the key");
	s->at++;
	skip_blanks(s);
	return 0;
}

static int
scan_member(struct scanner *s, struct json_node *parent)
{
	struct json_node *node = NULL;
	int r = add_node(s, parent, &node);

	if (r != 0)
		return r;
	if (parent->kind == JSON_KIND_OBJECT)
		r = scan_key(s, node);
	else if (peek(s) == ']')
		r = refuse_here(s,
		    "expected another value after \",\"; the last one has no comma behind it");
	if (r != 0)
		return r;
	return scan_value(s, node);
}

/* An object or an array, from its opening bracket to its closing one. */
static int
scan_members(struct scanner *s, struct json_node *node)
{
	bool object = peek(s) == '{';
	int close = object ? '}' : ']';

	node->kind = object ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
	if (++s->depth > JSON_DEPTH_MAX)
		return refuse(s, s->at, 1, "nested too deeply", NULL);
	s->at++;
	skip_blanks(s);
	while (node->n != 0 || peek(s) != close) {
		int r = scan_member(s, node);

		if (r != 0)
			return r;
		skip_blanks(s);
		if (peek(s) == close)
			break;
		if (peek(s) != ',')
			return refuse_here(s,
			    object ? "expected \",\" or \"}\"" : "expected \",\" or \"]\"");
		s->at++;
		skip_blanks(s);
	}
	s->at++;
	s->depth--;
	return 0;
}

static int
scan_value(struct scanner *s, struct json_node *node)
{
	int c = peek(s);
	size_t ignored;
	int r;

	node->at = (uint32_t)s->at;
	if (c == '{' || c == '[') {
		r = scan_members(s, node);
	} else if (c == '"') {
		node->kind = JSON_KIND_STRING;
		r = scan_string(s, NULL, &ignored);
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		r = scan_number(s, node);
	} else {
		r = scan_word(s, node);
	}
	if (r == 0)
		node->len = (uint32_t)s->at - node->at;
	return r;
}

static int
scan_text(struct scanner *s)
{
	struct json_node *root = NULL;
	const char *nul = memchr(s->text, '\0', s->len);
	int r;

	if (nul != NULL)
		return refuse(s, (size_t)(nul - s->text), 1, "a NUL byte: this is not a text file",
		    NULL);
	if (s->len >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0)
		return refuse(s, 0, 3, "the file starts with a byte order mark",
		    "save it as plain UTF-8");
	skip_blanks(s);
	if (peek(s) < 0)
		return refuse(s, 0, 1, "the file is empty", NULL);
	r = add_node(s, NULL, &root);
	if (r == 0)
		r = scan_value(s, root);
	if (r != 0)
		return r;
	skip_blanks(s);
	if (peek(s) >= 0)
		return refuse_here(s, "nothing may follow the end of the value");
	return 0;
}

/* Each value but the first follows one of these bytes: no more nodes than that. */
static size_t
count_values(const char *text, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len && n < JSON_VALUES_MAX; i++)
		n += text[i] == '{' || text[i] == '[' || text[i] == ',';
	return n;
}

int
json_index_build(const char *text, size_t len, struct json_index *ret, struct json_index_error *error)
{
	struct json_index index = { .cap = count_values(text, len) };
	struct scanner s = { .text = text, .len = len, .index = &index, .error = error };
	int r = -ENOMEM;

	index.nodes = calloc(index.cap, sizeof(*index.nodes));
	index.strings = malloc(len + 1);
	if (index.nodes != NULL && index.strings != NULL)
		r = scan_text(&s);
	if (r != 0) {
		json_index_clear(&index);
		return r;
	}
	*ret = index;
	return 0;
}

void
json_index_clear(struct json_index *index)
{
	free(index->nodes);
	free(index->strings);
	*index = (struct json_index){ 0 };
}
