/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages about a file that a person wrote, in the form
 *
 *   policy.json:19:9: error: unknown key "privledged" in "container" [E-unknown-key]
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

/*
 * What a message is about, for scripts: a name never changes its meaning. Errors first, then warnings.
 * sallyport(1) explains each.
 */
#define DIAG_CODES(X)                                      \
	/* the file, and its JSON */                       \
	X(DIAG_E_FILE, "E-file")                           \
	X(DIAG_E_MEMORY, "E-memory")                       \
	X(DIAG_E_BUG, "E-bug")                             \
	X(DIAG_E_SYNTAX, "E-syntax")                       \
	X(DIAG_E_DUPLICATE_KEY, "E-duplicate-key")         \
	/* keys and values in general */                   \
	X(DIAG_E_UNKNOWN_KEY, "E-unknown-key")             \
	X(DIAG_E_MISSING_KEY, "E-missing-key")             \
	X(DIAG_E_MISPLACED, "E-misplaced")                 \
	X(DIAG_E_UNAVAILABLE, "E-unavailable")             \
	X(DIAG_E_TYPE, "E-type")                           \
	X(DIAG_E_RANGE, "E-range")                         \
	X(DIAG_E_CHOICE, "E-choice")                       \
	X(DIAG_E_EMPTY, "E-empty")                         \
	X(DIAG_E_TEXT, "E-text")                           \
	X(DIAG_E_TOO_LONG, "E-too-long")                   \
	X(DIAG_E_TOO_MANY, "E-too-many")                   \
	X(DIAG_E_TWICE, "E-twice")                         \
	X(DIAG_E_NAME, "E-name")                           \
	X(DIAG_E_PATH, "E-path")                           \
	X(DIAG_E_SIZE, "E-size")                           \
	X(DIAG_E_DURATION, "E-duration")                   \
	X(DIAG_E_NETWORK, "E-network")                     \
	X(DIAG_E_TIME, "E-time")                           \
	/* the policy */                                   \
	X(DIAG_E_VERSION, "E-version")                     \
	X(DIAG_E_UNSAFE, "E-unsafe")                       \
	X(DIAG_E_GUARDRAIL, "E-guardrail")                 \
	X(DIAG_E_TEMPLATE, "E-template")                   \
	X(DIAG_E_KEY, "E-key")                             \
	X(DIAG_E_IMAGE, "E-image")                         \
	X(DIAG_E_NO_IMAGE, "E-no-image")                   \
	X(DIAG_E_NO_SUCH_IMAGE, "E-no-such-image")         \
	X(DIAG_E_NO_SUCH_PROFILE, "E-no-such-profile")     \
	X(DIAG_E_NO_SUCH_USER, "E-no-such-user")           \
	X(DIAG_E_NO_SUCH_ROOT, "E-no-such-root")           \
	X(DIAG_E_EXTENDS, "E-extends")                     \
	X(DIAG_E_RULE, "E-rule")                           \
	X(DIAG_E_CONTAINER_USER, "E-container-user")       \
	X(DIAG_E_ARGV, "E-argv")                           \
	X(DIAG_E_MOUNT, "E-mount")                         \
	X(DIAG_E_CONFLICT, "E-conflict")                   \
	/* the broker's configuration */                   \
	X(DIAG_E_ADDRESS, "E-address")                     \
	X(DIAG_E_WORKER_USER, "E-worker-user")             \
	/* warnings */                                     \
	X(DIAG_W_NO_WORKER_USER, "W-no-worker-user")       \
	X(DIAG_W_NO_RULES, "W-no-rules")                   \
	X(DIAG_W_NO_USERS, "W-no-users")                   \
	X(DIAG_W_SHADOWED_RULE, "W-shadowed-rule")         \
	X(DIAG_W_UNUSED_PROFILE, "W-unused-profile")       \
	X(DIAG_W_USER_WITHOUT_KEYS, "W-user-without-keys") \
	X(DIAG_W_PLAIN_KEY, "W-plain-key")                 \
	X(DIAG_W_GROUP_OF_NOBODY, "W-group-of-nobody")     \
	X(DIAG_W_IMAGE_TAG, "W-image-tag")                 \
	X(DIAG_W_UNUSED_IMAGE, "W-unused-image")           \
	X(DIAG_W_UNUSED_USER, "W-unused-user")             \
	X(DIAG_W_UNUSED_GROUP, "W-unused-group")           \
	X(DIAG_W_ALLOW_LIST_SHELL, "W-allow-list-shell")   \
	X(DIAG_W_CLIENT_ENV, "W-client-env")               \
	X(DIAG_W_SHARED_BIND, "W-shared-bind")             \
	X(DIAG_W_JOINED_NAMES, "W-joined-names")           \
	X(DIAG_W_DATA_PATH, "W-data-path")                 \
	X(DIAG_W_FORWARD, "W-forward")                     \
	X(DIAG_W_DEFAULT_LIMITS, "W-default-limits")       \
	X(DIAG_W_UNLIMITED_KEEP, "W-unlimited-keep")       \
	X(DIAG_W_ROOT_USER, "W-root-user")                 \
	X(DIAG_W_UNSAFE, "W-unsafe")                       \
	X(DIAG_W_TIME_PAST, "W-time-past")                 \
	X(DIAG_W_KEY_TWICE, "W-key-twice")

enum diag_code {
#define X(code, name) code,
	DIAG_CODES(X)
#undef X
	    DIAG_N_CODES
};

struct diag {
	enum diag_code code;
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
/* The code as it is printed, "E-syntax". */
const char *diag_code_name(enum diag_code code);
bool diag_is_error(enum diag_code code);

/* Add one message. help may be NULL. Strings are copied. Bytes that are no printable ASCII or valid
 * UTF-8 are escaped when printed. */
void diag_add(struct diag_list *list, enum diag_code code, const char *file, unsigned line,
    unsigned column, unsigned width, const char *source, const char *help, const char *format, ...)
    SP_PRINTF(9, 10);
/* Print all of them, in the order of their places, in the form above. */
void diag_print(const struct diag_list *list, FILE *out);

#endif
