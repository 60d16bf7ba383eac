/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: the audit log. Fields hold what strangers wrote; jansson, told to keep to ASCII, makes
 * strings of it that are safe on any terminal and in any log reader.
 */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

struct audit {
	int fd;
	bool required;
	bool torn;      /* the file ends in the middle of a line */
	uint64_t lost;  /* events since the last one that could be written */
	time_t since;   /* of the first of them */
	int error;      /* of the last attempt */
	uint64_t bytes; /* written in this run */
	uint64_t count; /* events of this run, the lost ones too: a reader sees what is missing */
};

size_t
audit_text_length(const char *text)
{
	return text != NULL ? strlen(text) : 0;
}

const struct audit_fault *
audit_file_fault(const struct stat *st, uid_t owner)
{
	static const struct audit_fault no_file = { "is not a regular file", "move it away" };
	static const struct audit_fault not_ours = { "belongs to another user",
		"it must belong to the user that the broker runs as: chown it" };
	static const struct audit_fault open_to_others = { "can be written by group or others",
		"remove that with chmod go-w" };
	static const struct audit_fault two_names = { "has another name (a hard link)",
		"remove that one, or move the file away" };

	if (!S_ISREG(st->st_mode))
		return &no_file;
	if (st->st_uid != owner)
		return &not_ours;
	if ((st->st_mode & 022) != 0)
		return &open_to_others;
	return st->st_nlink != 1 ? &two_names : NULL;
}

int
audit_open_file(const char *path, char *why, size_t cap)
{
	SP_CLEANUP_FD int fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
	const struct audit_fault *fault;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		(void)snprintf(why, cap, "cannot open the audit log %s: %s%s", path, strerror(-r),
		    r == -EROFS ? "; the packaged unit needs its directory in ReadWritePaths=" : "");
		return r;
	}
	fault = audit_file_fault(&st, geteuid());
	if (fault == NULL)
		return fd_steal(&fd);
	(void)snprintf(why, cap, "the audit log %s %s; %s", path, fault->what, fault->advice);
	return -EPERM;
}

int
audit_open(const char *path, bool required, struct audit **ret, char *why, size_t cap)
{
	struct audit *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		(void)snprintf(why, cap, "out of memory");
		return -ENOMEM;
	}
	a->required = required;
	a->fd = audit_open_file(path, why, cap);
	if (a->fd < 0) {
		int r = a->fd;

		free(a);
		return r;
	}
	*ret = a;
	return 0;
}

void
audit_reopened(struct audit *a, int *fd)
{
	fd_close(&a->fd);
	a->fd = fd_steal(fd);
	a->torn = false;
}

void
audit_free(struct audit *a)
{
	if (a == NULL)
		return;
	fd_close(&a->fd);
	free(a);
}

/* ---- one line ---- */

/* false: out of memory. */
static bool
set(json_t *line, const char *name, json_t *value)
{
	return json_object_set_new(line, name, value) == 0;
}

/* Bytes that are not text keep every bit, but under another name: nobody takes them for the text. */
static bool
set_escaped(json_t *line, const char *name, const char *bytes, size_t len)
{
	size_t cap = 4 * len + 1;
	char *text = malloc(cap);
	char other[64];
	bool done;

	if (text == NULL)
		return false;
	(void)snprintf(other, sizeof(other), "%s_escaped", name);
	done = set(line, other, json_string(log_escape(text, cap, bytes, len)));
	free(text);
	return done;
}

static bool
set_bytes(json_t *line, const char *name, const char *bytes, size_t len)
{
	json_t *text = NULL;

	if (bytes == NULL)
		return true;
	/* jansson would write DEL as it is, and not every reader takes a NUL in a string. */
	if (memchr(bytes, 0x7f, len) == NULL && memchr(bytes, '\0', len) == NULL)
		text = json_stringn(bytes, len); /* NULL when it is no UTF-8 */
	return text != NULL ? set(line, name, text) : set_escaped(line, name, bytes, len);
}

static bool
set_text(json_t *line, const char *name, const char *text)
{
	return set_bytes(line, name, text, audit_text_length(text));
}

static bool
set_field(json_t *line, const struct audit_field *f)
{
	switch (f->kind) {
	case AUDIT_KIND_BYTES:
		return set_bytes(line, f->name, f->bytes, f->len);
	case AUDIT_KIND_NUMBER:
		return set(line, f->name, json_integer((json_int_t)f->number));
	case AUDIT_KIND_BOOL:
		return set(line, f->name, json_boolean(f->number != 0));
	case AUDIT_END:
		break;
	}
	return true;
}

static bool
set_time(json_t *line)
{
	char text[64];
	struct timespec now;
	struct tm tm;
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &tm) == NULL)
		return false;
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(text + n, sizeof(text) - n, ".%06ldZ", now.tv_nsec / 1000);
	return set(line, "time", json_string(text));
}

/* The event as JSON, or NULL. */
static char *
format(const struct audit *a, const char *event, const struct audit_subject *subject,
    const struct audit_field *fields)
{
	json_t *line = json_object();
	bool ok = line != NULL && set_time(line) &&
	    set(line, "number", json_integer((json_int_t)a->count)) &&
	    set_text(line, "event", event);
	char *text = NULL;

	if (ok && subject != NULL)
		ok = set_text(line, "connection", subject->connection) &&
		    set_text(line, "from", subject->from) && set_text(line, "user", subject->user);
	for (; ok && fields->kind != AUDIT_END; fields++)
		ok = set_field(line, fields);
	if (ok)
		text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(line);
	return text;
}

/* ---- the file ---- */

/*
 * A line that is cut short by a full disk is ended by the next one's beginning, so that it spoils
 * nothing but itself.
 */
static int
append(struct audit *a, const char *text)
{
	size_t len = strlen(text);
	size_t total = len + 1 + (a->torn ? 1 : 0);
	char *line = malloc(total);
	char *at = line;
	ssize_t n;

	if (line == NULL)
		return -ENOMEM;
	if (a->torn)
		*at++ = '\n';
	memcpy(at, text, len);
	at[len] = '\n';
	do
		n = write(a->fd, line, total);
	while (n < 0 && errno == EINTR);
	free(line);
	if (n < 0)
		return -errno;
	a->bytes += (uint64_t)n;
	/* An end of line that came through has mended what was torn. */
	if (n > 0)
		a->torn = (size_t)n < total;
	return (size_t)n == total ? 0 : -ENOSPC;
}

static int
write_event(struct audit *a, const char *event, const struct audit_subject *subject,
    const struct audit_field *fields)
{
	char *text = format(a, event, subject, fields);
	int r = text != NULL ? append(a, text) : -ENOMEM;

	free(text);
	return r;
}

/* What is missing is said before anything else is. */
static int
tell_gap(struct audit *a)
{
	const struct audit_field fields[] = { AUDIT_NUMBER("lost", a->lost), { .kind = AUDIT_END } };
	int r = write_event(a, "audit.gap", NULL, fields);

	if (r == 0) {
		log_warn("the audit log is written again; %llu events are missing from it",
		    (unsigned long long)a->lost);
		a->lost = 0;
		a->count++;
	}
	return r;
}

struct audit_state
audit_state(struct audit *a)
{
	int r = a->lost > 0 ? tell_gap(a) : 0;

	if (r < 0)
		a->error = -r;
	return (struct audit_state){
		.failing = a->lost > 0,
		.required = a->required,
		.since = a->since,
		.error = a->error,
		.lost = a->lost,
	};
}

uint64_t
audit_bytes(const struct audit *a)
{
	return a != NULL ? a->bytes : 0;
}

bool
audit_write(struct audit *a, const char *event, const struct audit_subject *subject,
    const struct audit_field *fields)
{
	int r = 0;

	if (a == NULL)
		return true;
	if (a->lost > 0)
		r = tell_gap(a);
	if (r == 0)
		r = write_event(a, event, subject, fields);
	a->count++;
	if (r == 0)
		return true;
	a->error = -r;
	if (a->lost == 0)
		a->since = time(NULL);
	if (a->lost++ == 0)
		log_error("the audit log cannot be written: %s%s", strerror(-r),
		    a->required ? "; nobody is let in until it can" : "");
	return !a->required;
}
