/* SPDX-License-Identifier: Apache-2.0 */
/* Typed reading of files that an administrator wrote. Runs in the broker and the admin tool. */
#include "json_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "suggest.h"
#include "units.h"
#include "utf8.h"

_Static_assert(sizeof(enum json_kind) == sizeof(int), "json_read_choice() stores enums as int");

void
json_read_init(struct json_reader *r, struct diag_list *diags, struct arena *arena, void *context)
{
	*r = (struct json_reader){
		.diags = diags,
		.arena = arena,
		.errors_before = diags->n_errors,
		.context = context,
	};
}

int
json_read_finish(const struct json_reader *r)
{
	if (r->arena->failed || r->diags->out_of_memory)
		return -ENOMEM;
	return r->diags->n_errors != r->errors_before ? JSON_READ_E_INVALID : 0;
}

void
json_read_diag(struct json_reader *r, enum diag_code code, const struct json_node *node,
    enum json_at at, const char *help, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_text_vdiag(json_node_text(node), r->diags, code, node, at, help, format, args);
	va_end(args);
}

const char *
json_read_did_you_mean(struct json_reader *r, const char *near)
{
	return near == NULL ? NULL : arena_format(r->arena, "did you mean \"%s\"?", near);
}

const char *
json_read_name(struct json_reader *r, const struct json_node *node)
{
	const struct json_node *parent = json_node_parent(node);
	const char *name;

	if (json_node_key(node) != NULL)
		name = arena_format(r->arena, "\"%s\"", json_node_key(node));
	else if (parent != NULL && json_node_key(parent) != NULL)
		name = arena_format(r->arena, "an element of \"%s\"", json_node_key(parent));
	else
		name = parent != NULL ? "an element" : "the file";
	return name != NULL ? name : "";
}

bool
json_read_expect(struct json_reader *r, const struct json_node *value, enum json_kind kind,
    const char *expected)
{
	if (json_node_kind(value) == kind)
		return true;
	json_read_diag(r, DIAG_E_TYPE, value, JSON_AT_VALUE, NULL, "%s must be %s, not %s",
	    json_read_name(r, value), expected, json_node_kind_name(value));
	return false;
}

bool
json_field_is_later(const struct json_field *field)
{
	return field->later || field->read == json_read_unavailable;
}

void
json_read_field(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	if (json_field_is_later(field))
		json_read_unavailable(r, value, field, target);
	else
		field->read(r, value, field, target);
}

static const struct json_field *
find_field(const struct json_field *fields, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(fields[i].key, key) == 0)
			return &fields[i];
	}
	return NULL;
}

static void
report_unknown(struct json_reader *r, const struct json_node *member, const char *what,
    const struct json_field *fields, size_t n)
{
	struct suggest near;

	suggest_init(&near, json_node_key(member));
	for (size_t i = 0; i < n; i++) {
		if (!json_field_is_later(&fields[i]) && !fields[i].hidden)
			suggest_offer(&near, fields[i].key);
	}
	json_read_diag(r, DIAG_E_UNKNOWN_KEY, member, JSON_AT_KEY,
	    json_read_did_you_mean(r, near.best), "unknown key \"%s\" in %s", json_node_key(member),
	    what);
}

void
json_read_object(struct json_reader *r, const struct json_node *node, const char *what,
    const struct json_field *fields, size_t n, void *out)
{
	const struct json_node *m;

	if (!json_read_expect(r, node, JSON_KIND_OBJECT, "an object"))
		return;
	for (m = json_node_first(node); m != NULL; m = json_node_next(m)) {
		const struct json_field *field = find_field(fields, n, json_node_key(m));

		if (field == NULL)
			report_unknown(r, m, what, fields, n);
		else
			json_read_field(r, m, field, (char *)out + field->offset);
	}
	for (size_t i = 0; i < n; i++) {
		if (fields[i].required && json_node_find(node, fields[i].key) == NULL)
			json_read_diag(r, DIAG_E_MISSING_KEY, node, JSON_AT_KEY, NULL,
			    "%s needs \"%s\"", what, fields[i].key);
	}
}

static const char *
read_text(struct json_reader *r, const struct json_node *value, uint64_t min, uint64_t max, bool lines)
{
	const char *text;
	const char *fault;
	size_t len;

	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return NULL;
	text = json_node_string(value);
	len = strlen(text);
	fault = utf8_text_fault(text, len, lines);
	if (len < min)
		json_read_diag(r, DIAG_E_EMPTY, value, JSON_AT_VALUE, NULL, "%s must not be empty",
		    json_read_name(r, value));
	else if (len > max)
		json_read_diag(r, DIAG_E_TOO_LONG, value, JSON_AT_VALUE, NULL,
		    "%s is too long: %zu bytes, at most %" PRIu64, json_read_name(r, value), len,
		    max);
	else if (fault != NULL)
		json_read_diag(r, DIAG_E_TEXT, value, JSON_AT_VALUE, NULL, "%s %s",
		    json_read_name(r, value), fault);
	else
		return arena_copy(r->arena, text, len);
	return NULL;
}

const char *
json_read_text(struct json_reader *r, const struct json_node *value, uint64_t min, uint64_t max)
{
	return read_text(r, value, min, max, false);
}

static bool
count_fits(struct json_reader *r, const struct json_node *list, uint64_t min, uint64_t max)
{
	size_t n = json_node_count(list);

	if (n >= min && n <= max)
		return true;
	if (n < min)
		json_read_diag(r, DIAG_E_EMPTY, list, JSON_AT_VALUE, NULL, "%s must not be empty",
		    json_read_name(r, list));
	else
		json_read_diag(r, DIAG_E_TOO_MANY, list, JSON_AT_VALUE, NULL,
		    "%s has %zu elements, at most %" PRIu64 " are allowed", json_read_name(r, list),
		    n, max);
	return false;
}

const char *const *
json_read_texts(struct json_reader *r, const struct json_node *value, uint64_t min, uint64_t max)
{
	const struct json_node *element;
	const char **texts;
	size_t n = 0;
	bool ok = true;

	if (!json_read_expect(r, value, JSON_KIND_ARRAY, "a list of strings") ||
	    !count_fits(r, value, min, max))
		return NULL;
	texts = arena_array(r->arena, json_node_count(value) + 1, sizeof(*texts));
	if (texts == NULL)
		return NULL;
	for (element = json_node_first(value); element != NULL; element = json_node_next(element)) {
		texts[n] = json_read_text(r, element, 1, JSON_READ_STRING_MAX);
		ok = texts[n++] != NULL && ok;
	}
	return ok ? texts : NULL;
}

void
json_read_string(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *text = read_text(r, value, field->min, field->max, false);

	if (text != NULL)
		*(const char **)target = text;
}

void
json_read_lines(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *text = read_text(r, value, field->min, field->max, true);

	if (text != NULL)
		*(const char **)target = text;
}

void
json_read_strings(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *texts = json_read_texts(r, value, field->min, field->max);

	if (texts != NULL)
		*(const char *const **)target = texts;
}

static bool
read_network(struct json_reader *r, const struct json_node *value, struct cidr *ret)
{
	char network[CIDR_TEXT_MAX];
	int outcome = cidr_parse(json_node_string(value), ret);

	if (outcome == CIDR_E_HOST_BITS)
		json_read_diag(r, DIAG_E_NETWORK, value, JSON_AT_VALUE,
		    json_read_did_you_mean(r, cidr_format(ret, network)),
		    "\"%s\" has bits set beyond its prefix", json_node_string(value));
	else if (outcome != 0)
		json_read_diag(r, DIAG_E_NETWORK, value, JSON_AT_VALUE, NULL,
		    "\"%s\" is no network: \"192.0.2.0/24\", \"2001:db8::/32\" or one address",
		    json_node_string(value));
	return outcome == 0;
}

void
json_read_networks(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *texts = json_read_texts(r, value, field->min, field->max);
	struct cidr_list list = { 0 };
	const struct json_node *e;
	struct cidr *networks;

	if (texts == NULL)
		return;
	networks = arena_array(r->arena, json_node_count(value), sizeof(*networks));
	if (networks == NULL)
		return;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e)) {
		if (read_network(r, e, &networks[list.n]))
			list.n++;
	}
	list.items = networks;
	*(struct cidr_list *)target = list;
}

void
json_read_bool(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)field;
	if (json_read_expect(r, value, JSON_KIND_BOOLEAN, "true or false"))
		*(bool *)target = json_node_boolean(value);
}

void
json_read_u32(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	int64_t number;

	if (!json_read_expect(r, value, JSON_KIND_INTEGER, "a whole number"))
		return;
	number = json_node_integer(value);
	if (number < 0 || (uint64_t)number < field->min || (uint64_t)number > field->max) {
		json_read_diag(r, DIAG_E_RANGE, value, JSON_AT_VALUE, NULL,
		    "%s is %" PRId64 "; it must be %" PRIu64 " to %" PRIu64,
		    json_read_name(r, value), number, field->min, field->max);
		return;
	}
	*(uint32_t *)target = (uint32_t)number;
}

static bool
size_of(const struct json_node *value, uint64_t *ret)
{
	if (json_node_kind(value) == JSON_KIND_STRING)
		return units_parse_size(json_node_string(value), ret) == 0;
	if (json_node_kind(value) != JSON_KIND_INTEGER || json_node_integer(value) < 0)
		return false;
	*ret = (uint64_t)json_node_integer(value);
	return true;
}

void
json_read_size(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	char least[UNITS_TEXT_MAX];
	char most[UNITS_TEXT_MAX];
	uint64_t size = 0;

	if (!size_of(value, &size)) {
		json_read_diag(r, DIAG_E_SIZE, value, JSON_AT_VALUE, NULL,
		    "%s must be a size, such as \"256M\" or \"1G\", or a number of bytes",
		    json_read_name(r, value));
		return;
	}
	if (size < field->min || size > field->max) {
		json_read_diag(r, DIAG_E_RANGE, value, JSON_AT_VALUE, NULL, "%s must be %s to %s",
		    json_read_name(r, value), units_format_size(field->min, least),
		    units_format_size(field->max, most));
		return;
	}
	*(uint64_t *)target = size;
}

void
json_read_duration(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	char least[UNITS_TEXT_MAX];
	char most[UNITS_TEXT_MAX];
	uint64_t ms = 0;

	if (json_node_kind(value) != JSON_KIND_STRING ||
	    units_parse_duration(json_node_string(value), &ms) != 0) {
		json_read_diag(r, DIAG_E_DURATION, value, JSON_AT_VALUE, NULL,
		    "%s must be a duration, such as \"500ms\", \"10s\", \"20m\" or \"8h\"",
		    json_read_name(r, value));
		return;
	}
	if (ms < field->min || ms > field->max) {
		json_read_diag(r, DIAG_E_RANGE, value, JSON_AT_VALUE, NULL, "%s must be %s to %s",
		    json_read_name(r, value), units_format_duration(field->min, least),
		    units_format_duration(field->max, most));
		return;
	}
	*(uint32_t *)target = (uint32_t)ms;
}

static bool
is_among(const char *const *words, const char *word)
{
	while (words != NULL && *words != NULL && strcmp(*words, word) != 0)
		words++;
	return words != NULL && *words != NULL;
}

/* Those that this build has, from one of them on; NULL: none. */
static const char *const *
next_choice(const struct json_field *field, const char *const *choice)
{
	while (*choice != NULL && is_among(field->later_choices, *choice))
		choice++;
	return *choice != NULL ? choice : NULL;
}

/* "a", "b" or "c" */
static const char *
list_choices(struct json_reader *r, const struct json_field *field)
{
	const char *const *choice = next_choice(field, field->choices);
	const char *before = "";
	const char *text = "";

	while (choice != NULL && text != NULL) {
		const char *const *next = next_choice(field, choice + 1);

		text = arena_format(r->arena, "%s%s\"%s\"", text, before, *choice);
		before = next == NULL || next_choice(field, next + 1) != NULL ? ", " : " or ";
		choice = next;
	}
	return text != NULL ? text : "";
}

/* The index of the word in choices, or -1 after saying what is wrong. */
static int
find_choice(struct json_reader *r, const struct json_node *value, const struct json_field *field)
{
	struct suggest near;
	const char *word;

	if (!json_read_expect(r, value, JSON_KIND_STRING, list_choices(r, field)))
		return -1;
	word = json_node_string(value);
	if (is_among(field->later_choices, word)) {
		json_read_diag(r, DIAG_E_UNAVAILABLE, value, JSON_AT_VALUE, NULL,
		    "%s \"%s\" is not available in this build", field->key, word);
		return -1;
	}
	suggest_init(&near, word);
	for (int i = 0; field->choices[i] != NULL; i++) {
		if (strcmp(field->choices[i], word) == 0)
			return i;
		if (!is_among(field->later_choices, field->choices[i]))
			suggest_offer(&near, field->choices[i]);
	}
	json_read_diag(r, DIAG_E_CHOICE, value, JSON_AT_VALUE, json_read_did_you_mean(r, near.best),
	    "%s is \"%s\"; it must be %s", json_read_name(r, value), word, list_choices(r, field));
	return -1;
}

void
json_read_choice(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	int i = find_choice(r, value, field);

	if (i >= 0)
		memcpy(target, &i, sizeof(i));
}

void
json_read_word(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	(void)target;
	(void)find_choice(r, value, field);
}

void
json_read_table(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const struct json_table *t = field->table;

	json_read_object(r, value, t->what, t->fields, t->n, target);
}

void
json_read_unavailable(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	(void)target;
	json_read_diag(r, DIAG_E_UNAVAILABLE, value, JSON_AT_KEY, NULL,
	    "\"%s\" is not available in this build", field->key);
}
