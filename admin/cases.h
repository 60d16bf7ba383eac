/* SPDX-License-Identifier: Apache-2.0 */
/* A file of cases: facts, and what a policy is expected to say to them. */
#ifndef SP_CASES_H
#define SP_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "attr.h"
#include "diag.h"
#include "json_text.h"

/* What a case says; NULL where it says nothing. */
struct test_case {
	const char *name;
	const char *user;
	const char *const *groups; /* NULL-ended */
	const char *from;
	const char *key;
	const char *auth;
	bool verified;
	const char *time;
	const char *request;
	const char *command;
	const char *to;
	bool pty;
	bool allow;                       /* expected */
	const char *rule;                 /* "": none decides */
	const char *profile;              /* "": none */
	const char *message;              /* "": none */
	const char *const *argv;          /* that run without a shell */
	const struct json_node *settings; /* an object of names and values */
	const struct json_node *node;
};

struct case_file {
	struct arena arena; /* owns what the cases point to */
	struct json_text *text;
	struct test_case *items;
	size_t n;
};

/* 0, 1 when the file has errors, or -errno; explained in *diags. Cleared with case_file_clear(). */
SP_MUST_CHECK int case_file_load(const char *path, struct case_file *ret, struct diag_list *diags);
void case_file_clear(struct case_file *f);

#endif
