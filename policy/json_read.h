/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed values out of a JSON text: tables that say which keys an object has, what each holds and
 * within which bounds. Every deviation becomes a message with its place; reading goes on after it, so
 * that one run shows all errors. Whether there were any is asked once, at the end.
 */
#ifndef SP_JSON_READ_H
#define SP_JSON_READ_H

#include <stdio.h>

#include "arena.h"
#include "attr.h"
#include "cidr.h"
#include "diag.h"
#include "json_text.h"

/* json_read_finish(): there were errors; they are in the list. */
#define JSON_READ_E_INVALID 1

struct json_reader {
	struct diag_list *diags;
	struct arena *arena;  /* owns what is read */
	size_t errors_before; /* of the list, when reading began */
	void *context;        /* the user's, for handlers */
};

struct json_field;

/* The keys that an object has. Tables are data: they are read by, shown by, and made a schema of. */
struct json_table {
	const char *what; /* names the object in messages, with its own quotes: "\"container\"" */
	const struct json_field *fields;
	size_t n;
};

#define JSON_TABLE(what, fields)                       \
	{                                              \
		(what), (fields), SP_ARRAY_LEN(fields) \
	}

enum json_shape {
	JSON_SHAPE_OBJECT, /* the value is an object of the table */
	JSON_SHAPE_MAP,    /* an object of names, each with an object of the table */
	JSON_SHAPE_LIST,   /* a list of objects of the table */
};

/* Write what was read, as JSON. target: as in json_read_fn. */
typedef void json_show_fn(FILE *out, const void *target);

/* Read value into target, which is the table's struct plus field->offset. */
typedef void json_read_fn(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target);

struct json_field {
	const char *key;
	json_read_fn *read;
	size_t offset;
	/* Numbers, sizes and durations: least and greatest. Strings: bytes. Lists: elements; a
	 * string of a list has 1 to JSON_READ_STRING_MAX bytes. */
	uint64_t min;
	uint64_t max;
	const char *const *choices; /* json_read_choice(): NULL-ended */
	/* Words of choices, or beside them, that this build refuses as such; NULL-ended, or NULL. */
	const char *const *later_choices;
	const struct json_table *table; /* or NULL; shape says how it applies */
	enum json_shape shape;
	/* Of a handler that is not ready-made and has no table: the value's JSON Schema. None: no value
	 * is right. */
	const char *schema;
	json_show_fn *show; /* of a handler that is not ready-made, where its value is shown */
	bool required;
	bool hidden; /* never suggested */
	/* Read as it will be once something acts on it; until then refused, as json_read_unavailable(). */
	bool later;
};

/* Whether a value is refused because this build does not have the key. */
bool json_field_is_later(const struct json_field *field);
/* Read value as the field says, or refuse what this build does not have. */
void json_read_field(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target);

#define JSON_READ_STRING_MAX 4096

void json_read_init(struct json_reader *r, struct diag_list *diags, struct arena *arena,
    void *context);
/* 0, JSON_READ_E_INVALID or -ENOMEM. */
SP_MUST_CHECK int json_read_finish(const struct json_reader *r);

/*
 * Read node, which must be an object, into out by a table. what names the object in messages and comes
 * with its own quotes: "\"container\"", "rule \"ci\"".
 */
void json_read_object(struct json_reader *r, const struct json_node *node, const char *what,
    const struct json_field *fields, size_t n, void *out);

/* Whether value has this kind; if not, says so and what was expected instead. */
bool json_read_expect(struct json_reader *r, const struct json_node *value, enum json_kind kind,
    const char *expected);
/* The name of a node in messages: "\"memory\"", "an element of \"keys\"". Owned by the arena. */
const char *json_read_name(struct json_reader *r, const struct json_node *node);

/* Add a message. help may be NULL. */
void json_read_diag(struct json_reader *r, enum diag_code code, const struct json_node *node,
    enum json_at at, const char *help, const char *format, ...) SP_PRINTF(6, 7);
/* help for a misspelt name: "did you mean \"x\"?", or NULL when near is NULL. */
const char *json_read_did_you_mean(struct json_reader *r, const char *near);

/* A string of printable UTF-8 of min to max bytes; NULL after saying what is wrong. */
const char *json_read_text(struct json_reader *r, const struct json_node *value, uint64_t min,
    uint64_t max);
/* A list of such strings, NULL-ended; NULL after saying what is wrong. */
const char *const *json_read_texts(struct json_reader *r, const struct json_node *value,
    uint64_t min, uint64_t max);

/* Ready-made readers, with the type that they store. */
json_read_fn json_read_string;      /* const char *, printable */
json_read_fn json_read_lines;       /* const char *, line ends and tabs as well */
json_read_fn json_read_strings;     /* const char *const *, NULL-ended */
json_read_fn json_read_networks;    /* struct cidr_list: "192.0.2.0/24", or one address */
json_read_fn json_read_bool;        /* bool */
json_read_fn json_read_u32;         /* uint32_t */
json_read_fn json_read_size;        /* uint64_t bytes: "256M", or an integer */
json_read_fn json_read_duration;    /* uint32_t milliseconds: "10s" */
json_read_fn json_read_choice;      /* int: the index in choices */
json_read_fn json_read_word;        /* nothing: one of choices, of which only one is to be had */
json_read_fn json_read_table;       /* an object, by the field's table, into the target itself */
json_read_fn json_read_unavailable; /* nothing: a word of a later release, refused as such */

#endif
