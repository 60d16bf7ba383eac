/* SPDX-License-Identifier: Apache-2.0 */
/* Messages about files. The files may hold anything: what is printed is escaped. */
#include "diag.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_MAX 160 /* columns of the line that are shown */

void
diag_list_clear(struct diag_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].file);
		free(list->items[i].source);
		free(list->items[i].message);
		free(list->items[i].help);
	}
	free(list->items);
	memset(list, 0, sizeof(*list));
}

static char *
copy(const char *s)
{
	return s != NULL ? strdup(s) : NULL;
}

void
diag_add(struct diag_list *list, enum diag_severity severity, const char *file, unsigned line,
    unsigned column, unsigned width, const char *source, const char *help, const char *format, ...)
{
	struct diag *items = realloc(list->items, (list->n + 1) * sizeof(*items));
	struct diag *d;
	va_list args;

	if (severity == DIAG_ERROR)
		list->n_errors++;
	if (items == NULL) {
		list->out_of_memory = true;
		return;
	}
	list->items = items;
	d = &items[list->n];
	memset(d, 0, sizeof(*d));
	d->severity = severity;
	d->line = line;
	d->column = column;
	d->width = width;
	va_start(args, format);
	if (vasprintf(&d->message, format, args) < 0)
		d->message = NULL;
	va_end(args);
	d->file = copy(file);
	d->source = copy(source);
	d->help = copy(help);
	if (d->message == NULL || d->file == NULL)
		list->out_of_memory = true;
	list->n++;
}

/* A tab stays a tab, so that the caret below stands where it should. */
static void
print_safe(const char *s, size_t max, FILE *out)
{
	for (size_t i = 0; s[i] != '\0' && i < max; i++) {
		uint8_t c = (uint8_t)s[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
}

static void
print_source(const struct diag *d, FILE *out)
{
	unsigned width = d->width;

	if (d->source == NULL || d->column == 0 || d->column > SOURCE_MAX)
		return;
	fprintf(out, "%5u | ", d->line);
	print_safe(d->source, SOURCE_MAX, out);
	fputs("\n      | ", out);
	for (unsigned i = 0; i + 1 < d->column; i++)
		fputc(d->source[i] == '\t' ? '\t' : ' ', out);
	if (width > SOURCE_MAX - d->column)
		width = SOURCE_MAX - d->column;
	do
		fputc('^', out);
	while (width-- > 1);
	fputc('\n', out);
}

static void
print_one(const struct diag *d, FILE *out)
{
	print_safe(d->file != NULL ? d->file : "?", SIZE_MAX, out);
	if (d->line > 0)
		fprintf(out, ":%u:%u", d->line, d->column);
	fputs(d->severity == DIAG_ERROR ? ": error: " : ": warning: ", out);
	print_safe(d->message != NULL ? d->message : "out of memory", SIZE_MAX, out);
	fputc('\n', out);
	print_source(d, out);
	if (d->help != NULL) {
		fputs("      help: ", out);
		print_safe(d->help, SIZE_MAX, out);
		fputc('\n', out);
	}
}

static int
by_place(const void *a, const void *b)
{
	const struct diag *x = *(const struct diag *const *)a;
	const struct diag *y = *(const struct diag *const *)b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x < y ? -1 : x > y;
}

void
diag_print(const struct diag_list *list, FILE *out)
{
	const struct diag **sorted = calloc(list->n + 1, sizeof(const struct diag *));

	for (size_t i = 0; sorted != NULL && i < list->n; i++)
		sorted[i] = &list->items[i];
	if (sorted != NULL)
		qsort(sorted, list->n, sizeof(const struct diag *), by_place);
	for (size_t i = 0; i < list->n; i++)
		print_one(sorted != NULL ? sorted[i] : &list->items[i], out);
	if (list->out_of_memory)
		fputs("out of memory: some messages are missing\n", out);
	free(sorted);
}
