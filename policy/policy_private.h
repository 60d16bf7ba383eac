/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy is made of, and how its parts are read. For the files policy*.c only. */
#ifndef SP_POLICY_PRIVATE_H
#define SP_POLICY_PRIVATE_H

#include <stdint.h>

#include "arena.h"
#include "cidr.h"
#include "json_read.h"
#include "policy.h"
#include "public_key.h"

#define POLICY_GUARDRAILS  "restricted-2026.1"
#define POLICY_EXTENDS_MAX 8 /* profiles above one */
#define POLICY_COMMAND     "${command}"
#define POLICY_DIGEST_LEN  64
#define POLICY_KEYS_MAX    64 /* of one user */
#define POLICY_MESSAGE_MAX 1024

struct policy_user {
	const char *name;
	size_t name_len;
	const struct public_key *keys;
	size_t n_keys;
	const char *const *groups; /* NULL-ended */
	bool verify_required;
};

/* Conditions that a rule does not have are NULL; those that it has must all hold. */
struct policy_rule {
	const char *id;
	const char *const *users;
	const char *const *groups;
	const struct cidr *from;
	size_t n_from;
	const char *deny; /* the sentence; NULL: use the profile */
	const struct policy_profile *profile;
	unsigned line;
};

struct policy {
	unsigned refs;
	struct arena arena; /* owns everything below */
	const char *file;
	char digest[POLICY_DIGEST_LEN + 1];
	uint64_t decoy;                  /* picks the user that an unknown one is compared with */
	const struct policy_user *users; /* sorted by name */
	size_t n_users;
	const struct policy_rule *rules;
	size_t n_rules;
	const struct policy_profile *const *profiles; /* those with an image */
	size_t n_profiles;
};

/* A profile while the file is read. */
struct policy_draft_profile {
	struct policy_profile profile; /* first: the tables' offsets count from here */
	const struct json_node *node;
	struct policy_draft_profile *parent; /* extends */
	bool resolved;
	bool extended; /* by another one */
	bool used;     /* by a rule */
};

/* The whole file while it is read. */
struct policy_draft {
	struct policy *policy;
	struct json_reader reader;
	const struct json_node *root;
	bool root_user; /* "unsafe": ["root-user"] */
	/* sections, NULL when they are missing */
	const struct json_node *images;
	const struct json_node *users;
	const struct json_node *profiles;
	const struct json_node *rules;
	struct policy_draft_profile *draft_profiles;
	size_t n_draft_profiles;
	bool anyone_before; /* a rule without conditions came already */
	const char *anyone_id;
	unsigned anyone_line;
};

static inline struct policy_draft *
policy_draft_of(const struct json_reader *r)
{
	return r->context;
}

/* "container" of a profile, into a struct policy_profile; and its "mounts". */
json_read_fn policy_read_container;
json_read_fn policy_read_mounts;
/* A key that no container of ours ever has, however it is spelt: always an error. */
json_read_fn policy_read_guarded;
/* An absolute path in none of these directories (NULL-ended); NULL after saying what is wrong. */
const char *policy_read_path(struct json_reader *r, const struct json_node *value,
    const char *const *guarded);

/* Each reads one section; errors go to the reader. The order of these calls matters. */
void policy_read_images(struct policy_draft *d);
void policy_read_users(struct policy_draft *d);
void policy_read_profiles(struct policy_draft *d);
void policy_read_rules(struct policy_draft *d);
/* After the rules: which profiles nobody uses, and the list of those that can be used. */
void policy_finish_profiles(struct policy_draft *d);

/* The reference that an "image" stands for, or NULL after saying what is wrong. */
const char *policy_find_image(struct policy_draft *d, const struct json_node *value);
struct policy_draft_profile *policy_find_profile(struct policy_draft *d, const char *name);
const struct policy_user *policy_find_user(const struct policy *p, const char *name, size_t len);

#endif
