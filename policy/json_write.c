/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to a stream. Runs in the admin tool. Text may be anybody's: nothing of it gets out of its quotes. */
#include "json_write.h"

#include <inttypes.h>
#include <string.h>

#include "utf8.h"

static void
write_character(FILE *out, const char *bytes, size_t n, uint32_t c)
{
	if (c == '"' || c == '\\')
		(void)fprintf(out, "\\%c", (char)c);
	else if (!utf8_printable(c) && c < 0x10000)
		(void)fprintf(out, "\\u%04" PRIx32, c);
	else
		(void)fwrite(bytes, 1, n, out);
}

void
json_write_text(FILE *out, const char *text)
{
	size_t len = strlen(text);

	(void)fputc('"', out);
	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t n = utf8_decode(text + i, len - i, &c);

		if (n == 0)
			(void)fputs("\\ufffd", out);
		else
			write_character(out, text + i, n, c);
		i += n == 0 ? 1 : n;
	}
	(void)fputc('"', out);
}

static void
begin(struct json_writer *w, const char *key)
{
	if (w->comma)
		(void)fputs(", ", w->out);
	w->comma = true;
	if (key == NULL)
		return;
	json_write_text(w->out, key);
	(void)fputs(": ", w->out);
}

void
json_write_open(struct json_writer *w, const char *key, char bracket)
{
	begin(w, key);
	(void)fputc(bracket, w->out);
	w->comma = false;
}

void
json_write_close(struct json_writer *w, char bracket)
{
	(void)fputc(bracket, w->out);
	w->comma = true;
}

void
json_write_string(struct json_writer *w, const char *key, const char *text)
{
	begin(w, key);
	if (text == NULL)
		(void)fputs("null", w->out);
	else
		json_write_text(w->out, text);
}

void
json_write_bool(struct json_writer *w, const char *key, bool value)
{
	json_write_raw(w, key, value ? "true" : "false");
}

void
json_write_number(struct json_writer *w, const char *key, uint64_t value)
{
	begin(w, key);
	(void)fprintf(w->out, "%" PRIu64, value);
}

void
json_write_raw(struct json_writer *w, const char *key, const char *json)
{
	begin(w, key);
	(void)fputs(json, w->out);
}
