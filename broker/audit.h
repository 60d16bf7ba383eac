/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: who was let in or refused, what they asked for, and what came of it. One JSON object
 * a line, in the order in which things happened; sallyport-audit(5) lists the events and their fields,
 * and those names are a promise.
 *
 * An event is written before its effect: when it cannot be written and the configuration requires it,
 * the effect does not happen. Whatever a stranger wrote is a JSON string in plain ASCII.
 */
#ifndef SP_AUDIT_H
#define SP_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "attr.h"

struct audit;

/* Whom an event concerns. NULL: not known, or nobody; left out of the line. */
struct audit_subject {
	const char *connection; /* the connection's id, as in the log */
	const char *from;       /* "address,port" of the client */
	const char *user;       /* proven by a signature, never merely claimed */
};

enum audit_kind {
	AUDIT_END, /* behind the last field */
	AUDIT_KIND_BYTES,
	AUDIT_KIND_NUMBER,
	AUDIT_KIND_BOOL,
};

struct audit_field {
	const char *name;
	enum audit_kind kind;
	const void *bytes; /* a loan; NULL: the field is left out */
	size_t len;
	uint64_t number; /* also of a bool */
};

/*
 * Text that ends with NUL. Bytes that are no UTF-8, or that hold NUL or DEL, are written as \xNN, under the
 * name "NAME_escaped".
 */
#define AUDIT_TEXT(name_, text_)                                             \
	{                                                                    \
		.name = (name_), .kind = AUDIT_KIND_BYTES, .bytes = (text_), \
		.len = audit_text_length(text_),                             \
	}
#define AUDIT_BYTES(name_, bytes_, len_)                                                    \
	{                                                                                   \
		.name = (name_), .kind = AUDIT_KIND_BYTES, .bytes = (bytes_), .len = (len_) \
	}
#define AUDIT_NUMBER(name_, number_)                                                      \
	{                                                                                 \
		.name = (name_), .kind = AUDIT_KIND_NUMBER, .number = (uint64_t)(number_) \
	}
#define AUDIT_BOOL(name_, value_)                                            \
	{                                                                    \
		.name = (name_), .kind = AUDIT_KIND_BOOL, .number = (value_) \
	}

/* Bytes of text, 0 for NULL. */
size_t audit_text_length(const char *text);

/*
 * Open path for appending; it is made when it is not there (0600). It must be a regular file that
 * nobody else can write, and no symbolic link. required: what audit_write() returns when it fails.
 * 0, or -errno with a sentence in why[cap].
 */
SP_MUST_CHECK int audit_open(const char *path, bool required, struct audit **ret, char *why,
    size_t cap);
/* The descriptor of path, opened and checked as above; owned by the caller. -errno with a sentence. */
SP_MUST_CHECK int audit_open_file(const char *path, char *why, size_t cap);

/* Why a file is no audit log of ours, half a sentence after its name, and what mends it. */
struct audit_fault {
	const char *what;
	const char *advice;
};
/* As audit_open_file() judges: st is what stands at the path, owner the broker's user. NULL: nothing is wrong. */
const struct audit_fault *audit_file_fault(const struct stat *st, uid_t owner);

/* Go on in another file (takes *fd): the old one has been moved away. */
void audit_reopened(struct audit *a, int *fd);
/* NULL is fine. */
void audit_free(struct audit *a);

/* Whether it can be written. */
struct audit_state {
	bool failing;
	bool required; /* then nobody is let in while it fails */
	int64_t since; /* of time(2): the first event that is missing */
	int error;     /* errno of the last attempt */
	uint64_t lost; /* events since then */
};

/* As it is now: where events are missing, it is tried once more. a must not be NULL. */
struct audit_state audit_state(struct audit *a);

/* Bytes that were written into it in this run; of NULL 0. */
uint64_t audit_bytes(const struct audit *a);

/*
 * Write one event. fields ends with an element of kind AUDIT_END; a may be NULL: no audit log is
 * configured, and everything is fine. false: the event is not in the log, and it has to be: the caller
 * does not do what it is about. What was lost is told by an event "audit.gap" as soon as that can be
 * written.
 */
SP_MUST_CHECK bool audit_write(struct audit *a, const char *event,
    const struct audit_subject *subject, const struct audit_field *fields);

/* The same with the fields in place. */
#define audit_event(a, event, subject, ...) \
	audit_write(a, event, subject,      \
	    (const struct audit_field[]){ __VA_ARGS__, { .kind = AUDIT_END } })

/* For what has happened already and cannot be undone: nothing depends on whether it was written. */
#define audit_note(a, event, subject, ...) ((void)!audit_event(a, event, subject, __VA_ARGS__))

#endif
