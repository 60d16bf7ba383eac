/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-broker -D: what is right and wrong with this host, as findings for sallyport(1) doctor. It looks
 * with the broker's own code at what the broker would use, and changes nothing. It runs beside a broker that
 * serves, or in place of one that does not start; what the engine answers is hostile here too.
 */
#ifndef SP_DOCTOR_H
#define SP_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "attr.h"
#include "json_write.h"

struct audit_fault;
struct config;
struct policy;

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE,    /* good to know; nothing has to be done */
	DOCTOR_WARNING, /* it works, and less well or less safely than it could */
	DOCTOR_ERROR,   /* it does not work, or is not safe */
	DOCTOR_LEVELS
};

struct doctor {
	struct json_writer out;
	const struct config *config; /* NULL: it has errors, and what depends on it is not looked at */
	struct policy *policy;       /* the same */
	unsigned counts[DOCTOR_LEVELS];
};

/*
 * One finding. check: its name, which never changes its meaning, for scripts. advice: what to do, or NULL. The
 * text says what is so, and why it matters; it may have words of the engine's in it.
 */
void SP_PRINTF(5, 6) doctor_say(struct doctor *d, enum doctor_level level, const char *check,
    const char *advice, const char *format, ...);

/* One of two findings under one name: that it is good, or at level that it is bad. */
struct doctor_pair {
	const char *check;
	const char *good;
	enum doctor_level level;
	const char *advice;
	const char *bad;
};
void doctor_say_either(struct doctor *d, bool is_good, const struct doctor_pair *pair);

/*
 * Whether nobody but root and the broker can put something into the directory at path, or another one in its
 * place; else why[cap] says why not. st: what it is.
 */
SP_MUST_CHECK bool doctor_is_guarded(const char *path, const struct stat *st, char *why, size_t cap);

/* The parts. */
void doctor_kernel(struct doctor *d);
void doctor_files(struct doctor *d);
void doctor_audit(struct doctor *d);
void doctor_binds(struct doctor *d);
void doctor_engine(struct doctor *d);

/* Whether the name depends on who logs in, and is known only then. */
bool doctor_is_template(const char *name);

/* What else than "it is good" can be so of a host key. */
enum doctor_key {
	DOCTOR_KEY_NOT_YET = 1, /* a start makes it */
	DOCTOR_KEY_UNKNOWN,     /* it cannot be tried by hand */
};

/*
 * A host key as at a start, but nothing is made: 0, or enum doctor_key with a sentence in why[cap]; or -errno with
 * one. And all that can be tried together, which must be of different types: 0, or -errno.
 */
SP_MUST_CHECK int doctor_try_host_key(const struct config *c, const char *path, char *why,
    size_t cap);
SP_MUST_CHECK int doctor_try_host_keys(const struct config *c, char *why, size_t cap);
/* What to do about a key that is not taken, by that -errno. */
const char *doctor_host_key_advice(int error);

/* Why the broker would not take the file st at c->audit.file for its log, or NULL. */
const struct audit_fault *doctor_audit_fault(const struct config *c, const struct stat *st);

/* All of it, for the configuration at path, on standard output. The exit code: 0, or 1 with errors. */
int doctor_run(const char *path);

#endif
