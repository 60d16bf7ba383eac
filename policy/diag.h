/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages about a file that a person wrote, in the form
 *
 *   policy.json:19:9: error: unknown key "privledged" in "container"
 *      19 |         "privledged": true,
 *         |         ^^^^^^^^^^^^
 *      help: did you mean "privileged"?
 */
#ifndef SP_DIAG_H
#define SP_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "attr.h"

enum diag_severity {
	DIAG_ERROR,
	DIAG_WARNING,
};

struct diag {
	enum diag_severity severity;
	char *file;
	unsigned line;    /* from 1; 0: no place in the file */
	unsigned column;  /* from 1, in bytes */
	unsigned width;   /* bytes to underline, at least 1 */
	char *source;     /* the line, or the part of a long one around the place, or NULL */
	unsigned skipped; /* bytes of the line before source */
	char *message;
	char *help; /* or NULL */
};

/* Messages that one list keeps: nobody reads more, and a hostile file must not make millions. */
#define DIAG_MAX 200

struct diag_list {
	struct diag *items;
	size_t n;
	size_t n_errors;    /* also those beyond DIAG_MAX, and those that memory was missing for */
	size_t n_left_out;  /* beyond DIAG_MAX */
	bool out_of_memory; /* some messages are missing */
};

#define DIAG_LIST_INIT \
	{              \
		0      \
	}

void diag_list_clear(struct diag_list *list);
/* Add one message. help may be NULL. Strings are copied. Bytes that are no printable ASCII or valid
 * UTF-8 are escaped when printed. */
void diag_add(struct diag_list *list, enum diag_severity severity, const char *file, unsigned line,
    unsigned column, unsigned width, const char *source, const char *help, const char *format, ...)
    SP_PRINTF(9, 10);
/* Print all of them, in the order of their places, in the form above. */
void diag_print(const struct diag_list *list, FILE *out);

#endif
