/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines for people, from any of our processes. What strangers wrote is escaped here. */
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hex.h"

#define LINE_MAX_BYTES 2048

static const char *log_program = "sallyport";
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_priorities;
static uint64_t log_total;
static unsigned log_lost; /* lines, since the last one that was written */

void
log_setup(const char *program, enum log_level max, bool priorities)
{
	log_program = program;
	log_max = max;
	log_priorities = priorities;
}

void
log_set_max(enum log_level max)
{
	log_max = max;
}

char *
log_escape(char *out, size_t cap, const char *src, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)src[i];

		if (c >= 0x20 && c < 0x7f && c != '\\') {
			if (len + 1 >= cap)
				break;
			out[len++] = (char)c;
		} else {
			if (len + 4 >= cap)
				break;
			out[len++] = '\\';
			out[len++] = 'x';
			hex_format(&c, 1, out + len);
			len += 2;
		}
	}
	if (cap > 0)
		out[len] = '\0';
	return out;
}

/* Whether a line can be written without waiting for whoever reads the log. */
static bool
has_room(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) != 0;
}

/* One write, so that lines of several processes do not mix. */
static void
write_line(enum log_level level, const char *text)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	static const int priorities[] = { 3, 4, 6, 7 };
	char line[LINE_MAX_BYTES + 128];
	int n;

	if (log_priorities)
		n = snprintf(line, sizeof(line), "<%d>%s: %s\n", priorities[level], log_program,
		    text);
	else
		n = snprintf(line, sizeof(line), "%s: %s: %s\n", log_program, names[level], text);
	_Static_assert(sizeof(line) <= PIPE_BUF, "a pipe with room may have none for this line");
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) > 0)
		log_total += (uint64_t)n;
}

/* A full log loses lines rather than stopping the service, and says so as soon as it is not. */
static bool
may_write(void)
{
	char text[128];

	if (!has_room()) {
		log_lost++;
		return false;
	}
	if (log_lost == 0)
		return true;
	(void)snprintf(text, sizeof(text), "%u lines are lost: who reads this log was too slow",
	    log_lost);
	log_lost = 0;
	write_line(LOG_LEVEL_WARN, text);
	return may_write();
}

void
log_msg(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	char safe[LINE_MAX_BYTES];
	va_list args;
	int n;

	if (level > log_max)
		return;
	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || !may_write())
		return;
	write_line(level, log_escape(safe, sizeof(safe), text, strlen(text)));
}

uint64_t
log_bytes(void)
{
	return log_total;
}
