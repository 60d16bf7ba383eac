/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages about a file that a person wrote. Runs in the broker and the admin tool. The quoted bytes
 * are hostile to a terminal: whatever is not plainly printable is shown as \xNN.
 */
#include "diag.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* How much of a line is kept. A file may well be one line of megabytes. */
#define SOURCE_MAX    160
#define SOURCE_BEFORE 60

const char *
diag_code_name(enum diag_code code)
{
	static const char *const names[] = {
#define X(code, name) [code] = (name),
		DIAG_CODES(X)
#undef X
	};

	return names[code];
}

bool
diag_is_error(enum diag_code code)
{
	return code < DIAG_W_NO_WORKER_USER;
}

static void
free_item(struct diag *d)
{
	free(d->file);
	free(d->source);
	free(d->message);
	free(d->help);
}

void
diag_list_clear(struct diag_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free_item(&list->items[i]);
	free(list->items);
	*list = (struct diag_list)DIAG_LIST_INIT;
}

/* Keep the place and some bytes around it; never begin within a UTF-8 sequence. */
static char *
cut_source(struct diag *d, const char *source)
{
	size_t len = strlen(source);
	size_t at = d->column == 0 ? 0 : d->column - 1;
	size_t from = 0;

	if (len > SOURCE_MAX && at > SOURCE_BEFORE)
		from = (at < len ? at : len) - SOURCE_BEFORE;
	while (from > 0 && from < len && ((unsigned char)source[from] & 0xc0) == 0x80)
		from--;
	d->skipped = (unsigned)from;
	return strndup(source + from, SOURCE_MAX);
}

static bool fill_item(struct diag *d, const char *file, const char *source, const char *help,
    const char *format, va_list args) SP_PRINTF(5, 0);

static bool
fill_item(struct diag *d, const char *file, const char *source, const char *help,
    const char *format, va_list args)
{
	if (d->width == 0)
		d->width = 1;
	if (vasprintf(&d->message, format, args) < 0) {
		d->message = NULL;
		return false;
	}
	d->file = strdup(file);
	d->help = help == NULL ? NULL : strdup(help);
	d->source = source == NULL ? NULL : cut_source(d, source);
	return d->file != NULL && (help == NULL) == (d->help == NULL) &&
	    (source == NULL) == (d->source == NULL);
}

static bool
push_item(struct diag_list *list, const struct diag *d)
{
	struct diag *items = reallocarray(list->items, list->n + 1, sizeof(*items));

	if (items == NULL)
		return false;
	items[list->n] = *d;
	list->items = items;
	list->n++;
	return true;
}

void
diag_add(struct diag_list *list, enum diag_code code, const char *file, unsigned line,
    unsigned column, unsigned width, const char *source, const char *help, const char *format, ...)
{
	struct diag d = { .code = code, .line = line, .column = column, .width = width };
	va_list args;
	bool ok;

	/* Counted first: an error without room for its words is still an error. */
	if (diag_is_error(code))
		list->n_errors++;
	if (list->n >= DIAG_MAX) {
		list->n_left_out++;
		return;
	}
	va_start(args, format);
	ok = fill_item(&d, file, source, help, format, args);
	va_end(args);
	if (!ok || !push_item(list, &d)) {
		list->out_of_memory = true;
		free_item(&d);
	}
}

/* Show one character or byte; returns the bytes it took. */
static size_t
print_one(FILE *out, const char *text, size_t len, bool keep_tabs, bool blank)
{
	uint32_t c = 0;
	size_t n = utf8_decode(text, len, &c);

	if (n != 0 && (utf8_printable(c) || (keep_tabs && c == '\t'))) {
		if (blank)
			(void)fputc(c == '\t' ? '\t' : ' ', out);
		else
			(void)fwrite(text, 1, n, out);
		return n;
	}
	if (n == 0)
		n = 1;
	for (size_t i = 0; i < n; i++) {
		if (blank)
			(void)fputs("    ", out);
		else
			(void)fprintf(out, "\\x%02x", (unsigned)(unsigned char)text[i]);
	}
	return n;
}

static void
print_text(FILE *out, const char *text, bool keep_tabs)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len;)
		i += print_one(out, text + i, len - i, keep_tabs, false);
}

/* Carets stand below the place also when tabs, wide escapes or UTF-8 come before it. */
static void
print_caret(FILE *out, const struct diag *d)
{
	size_t len = strlen(d->source);
	size_t at = d->column - 1 - d->skipped;
	size_t end = at + d->width;
	size_t i = 0;

	(void)fprintf(out, "      | %s", d->skipped != 0 ? "   " : "");
	while (i < at && i < len)
		i += print_one(out, d->source + i, len - i, true, true);
	do {
		uint32_t c = 0;
		size_t n = i < len ? utf8_decode(d->source + i, len - i, &c) : 1;
		size_t marks = i >= len || (n != 0 && utf8_printable(c)) ? 1 : n == 0 ? 4 : 4 * n;

		while (marks-- > 0)
			(void)fputc('^', out);
		i += n == 0 ? 1 : n;
	} while (i < end && i < len);
	(void)fputc('\n', out);
}

static void
print_item(FILE *out, const struct diag *d)
{
	print_text(out, d->file, false);
	if (d->line != 0)
		(void)fprintf(out, ":%u:%u", d->line, d->column);
	(void)fprintf(out, ": %s: ", diag_is_error(d->code) ? "error" : "warning");
	print_text(out, d->message, false);
	(void)fprintf(out, " [%s]\n", diag_code_name(d->code));
	if (d->source != NULL && d->line != 0 && d->column > d->skipped) {
		(void)fprintf(out, "%5u | %s", d->line, d->skipped != 0 ? "..." : "");
		print_text(out, d->source, true);
		(void)fputc('\n', out);
		print_caret(out, d);
	}
	if (d->help != NULL) {
		(void)fputs("   help: ", out);
		print_text(out, d->help, false);
		(void)fputc('\n', out);
	}
}

static int
compare_places(const void *a, const void *b)
{
	const struct diag *x = *(const struct diag *const *)a;
	const struct diag *y = *(const struct diag *const *)b;
	int order = strcmp(x->file, y->file);

	if (order != 0)
		return order;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x < y ? -1 : x > y; /* one array: the order in which they were added */
}

void
diag_print(const struct diag_list *list, FILE *out)
{
	const struct diag **sorted = calloc(list->n + 1, sizeof(const struct diag *));

	for (size_t i = 0; sorted != NULL && i < list->n; i++)
		sorted[i] = &list->items[i];
	if (sorted != NULL)
		qsort(sorted, list->n, sizeof(const struct diag *), compare_places);
	/* Without memory to sort: better in the wrong order than not at all. */
	for (size_t i = 0; i < list->n; i++)
		print_item(out, sorted != NULL ? sorted[i] : &list->items[i]);
	free(sorted);
	if (list->n_left_out != 0)
		(void)fprintf(out, "%zu further messages are not shown\n", list->n_left_out);
	if (list->out_of_memory)
		(void)fputs("out of memory: some messages are missing\n", out);
}
