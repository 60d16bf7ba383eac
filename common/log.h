/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event on standard error: level, the connection it belongs to, key=value fields.
 * Under systemd each line starts with the "<N>" priority of sd-daemon(3).
 *
 * Everything a stranger wrote (user names, banners, engine errors, worker output) is escaped here,
 * not at the call sites: control characters, backslash and bytes above 0x7e become \xNN. Quotes stay as they are.
 */
#ifndef SP_LOG_H
#define SP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/*
 * program: the first word of each line, borrowed for good.  priorities: write "<N>" prefixes.
 */
void log_setup(const char *program, enum log_level max, bool priorities);
void log_set_max(enum log_level max);

/* Write one line; the whole formatted text is escaped, so a format may carry hostile strings. */
void log_msg(enum log_level level, const char *format, ...) SP_PRINTF(2, 3);

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Bytes of all lines that this process has written. */
uint64_t log_bytes(void);

/*
 * Copy src[n] into out[cap] in escaped form, ended with NUL, cut when it does not fit.
 * Returns out.
 */
char *log_escape(char *out, size_t cap, const char *src, size_t n);

#endif
