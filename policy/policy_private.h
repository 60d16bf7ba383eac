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
#include "times.h"

#define POLICY_GUARDRAILS    "restricted-2026.1"
#define POLICY_EXTENDS_MAX   8 /* profiles above one */
#define POLICY_COMMAND       "${command}"
#define POLICY_DIGEST_LEN    64
#define POLICY_KEYS_MAX      64 /* of one user */
#define POLICY_MESSAGE_MAX   1024
#define POLICY_ENV_BYTES_MAX 32768
#define POLICY_TIME_MAX      (30u * 24 * 3600 * 1000) /* 30 d in ms: the longest duration */
#define POLICY_USER          "${user}"
#define POLICY_TARGET        "${target}"

struct policy_user {
	const char *name;
	size_t name_len;
	const struct public_key *keys;
	size_t n_keys;
	const char *const *groups; /* NULL-ended */
	bool verify_required;
	int64_t expires;              /* INT64_MAX: never */
	const struct json_node *node; /* only while the file is read */
};

/* Conditions that are not there are NULL or empty; those that are must all hold. */
struct policy_conditions {
	const char *const *users;
	const char *const *groups;
	const char *const *keys; /* fingerprints */
	const char *const *targets;
	struct cidr_list from;
	const struct time_window *times;
	size_t n_times;
	const char *const *time_texts; /* as they were written, NULL-ended */
	unsigned auth;                 /* bit for each enum policy_auth; 0: no condition */
};

/* Of settings that are no profile's. */
struct policy_origins {
	const struct policy_origin *all;
	size_t n;
};

struct policy_rule {
	const char *id;
	struct policy_conditions conditions;
	const struct policy_conditions *except; /* "not"; or NULL */
	struct policy_ceiling ceiling;
	struct policy_origins ceiling_origins;
	const char *deny; /* the sentence; NULL: use the profile */
	const struct policy_profile *profile;
	const char *file;
	unsigned line;
	unsigned column;
};

struct policy {
	unsigned refs;
	struct arena arena;  /* owns everything below */
	const char *refused; /* what is said to whom no rule lets in, or NULL */
	const char *expired; /* to whose time is over */
	char digest[POLICY_DIGEST_LEN + 1];
	uint64_t decoy;                  /* picks the user that an unknown one is compared with */
	const struct policy_user *users; /* sorted by name */
	size_t n_users;
	const struct policy_rule *rules;
	size_t n_rules;
	const struct policy_profile *const *profiles; /* those with an image */
	size_t n_profiles;
	struct policy_ceilings ceilings;
	struct policy_origins ceiling_origins;
	struct policy_engine engine; /* the only thing that is set after it was read */
};

/* Where a setting was made. */
struct policy_origin {
	const struct json_field *field;
	const char *file;
	unsigned line;
	unsigned column;
	const char *profile; /* that said so; NULL: a rule, or the policy as such */
	const char *rule;    /* that said so, a profile's in its "set"; or NULL */
};

/* The same section of each file. */
struct policy_section {
	const struct json_node **nodes;
	size_t n;
};

/* A profile while the file is read. */
struct policy_draft_profile {
	struct policy_profile profile; /* first: the tables' offsets count from here */
	const struct json_node *node;
	struct policy_draft_profile *parent; /* extends */
	struct policy_draft_profile *next;   /* of those that a rule's "set" has made */
	bool resolved;
	bool extended; /* by another one */
	bool used;     /* by a rule */
};

/* The whole file while it is read. */
struct policy_draft {
	struct policy *policy;
	struct json_reader reader;
	struct json_text *const *texts; /* the files */
	const char **file_names;        /* of each */
	size_t n_texts;
	const struct json_node *root_user; /* "unsafe": ["root-user"] */
	const char *refused;               /* messages */
	const char *expired;
	struct policy_ceilings ceilings;
	const char *const *runtimes; /* or NULL */
	struct policy_section bind_roots;
	struct policy_section images;
	struct policy_section users;
	struct policy_section profiles;
	struct policy_section rules;
	struct policy_draft_profile *draft_profiles;
	size_t n_draft_profiles;
	struct policy_draft_profile *set_profiles; /* last one first */
	const char *const *group_names;            /* of all users, sorted */
	size_t n_group_names;
};

/* The files of one policy, read. */
struct policy_files {
	struct json_text **texts;
	size_t n;
	bool directory;
};

static inline struct policy_draft *
policy_draft_of(const struct json_reader *r)
{
	return r->context;
}

/*
 * The tables of the language. An offset counts from struct policy_draft, policy_user,
 * policy_profile, policy_rule and policy_conditions.
 */
extern const struct json_table policy_table;
extern const struct json_table policy_user_table;
extern const struct json_table policy_profile_table;
extern const struct json_table policy_container_table;
extern const struct json_table policy_mount_table;
extern const struct json_table policy_rule_table;
extern const struct json_table policy_ceilings_table;
extern const struct json_table policy_rule_ceiling_table;

/* The one at path, or all of the directory. 0, POLICY_E_INVALID or -errno, explained in *diags. */
SP_MUST_CHECK int policy_files_load(const char *path, struct policy_files *ret,
    struct diag_list *diags);
void policy_files_clear(struct policy_files *files);

/* Members or elements of a section, over all files. */
const struct json_node *policy_section_first(const struct policy_section *s);
const struct json_node *policy_section_next(const struct policy_section *s,
    const struct json_node *e);
size_t policy_section_count(const struct policy_section *s);
/* A name must not stand in two files. */
void policy_check_twice(struct policy_draft *d, const struct policy_section *s);
/* The name of its file, as long as the policy. */
const char *policy_file_of(const struct policy_draft *d, const struct json_node *node);

/* "mounts" of a container, into a struct policy_profile. */
json_read_fn policy_read_mounts;
json_show_fn policy_show_mounts;
/* "network" of a container, into a struct policy_profile. */
json_read_fn policy_read_network;
json_show_fn policy_show_network;
/* "dns": const char *const *; "runtimes" of the top level: the same; "runtime": const char *. */
json_read_fn policy_read_dns;
json_read_fn policy_read_runtimes;
json_read_fn policy_read_runtime;
/* "bind" of a mount, into a struct policy_bind, all but target and read_only. */
json_read_fn policy_read_bind;
/* Of a const char *: the string, or null. */
json_show_fn policy_show_text;
/* Of a const char *const *: the list of strings. */
json_show_fn policy_show_texts;
/* "forward" of a session, into a struct policy_profile. */
extern const struct json_table policy_forward_table;
/* "subsystems" of a session, into a struct policy_profile. */
json_read_fn policy_read_subsystems;
json_show_fn policy_show_subsystems;
/* What a program is started with: not empty, and bounded; NULL after saying what is wrong. */
const char *const *policy_read_argv(struct json_reader *r, const struct json_node *value);
/* A key that no container of ours ever has, however it is spelt: always an error. */
json_read_fn policy_read_guarded;
#define POLICY_MOUNT_LED "can be led elsewhere by who writes there, and"
/* Directories that nothing is mounted below, and that no working directory is in. NULL-ended. */
extern const char *const policy_mount_guarded[];
extern const char *const policy_workdir_guarded[];
/* An absolute path in none of these directories (NULL-ended), templates not expanded; NULL after
 * saying what is wrong. */
const char *policy_read_path(struct json_reader *r, const struct json_node *value,
    const char *const *guarded);
/* Why this is no network that a container may be in, or NULL; *ret_guarded: the guardrails say so. */
const char *policy_network_fault(const char *name, bool *ret_guarded);

/* Each reads one section; errors go to the reader. The order of these calls matters. */
void policy_read_images(struct policy_draft *d);
void policy_read_bind_roots(struct policy_draft *d);
void policy_read_users(struct policy_draft *d);
void policy_read_profiles(struct policy_draft *d);
void policy_read_rules(struct policy_draft *d);
/* After the rules: which profiles nobody uses, and the list of those that can be used. */
void policy_finish_profiles(struct policy_draft *d);
/* What is no error but hardly meant. now: seconds since 1970. Only for a file without errors. */
void policy_lint(struct policy_draft *d, int64_t now);
/* A part of it: names of volumes, networks and directories in which users meet who were meant to be apart. */
void policy_lint_names(struct policy_draft *d);

/* Nothing that looks like a template may silently be taken literally: complain about all of node's. */
void policy_check_templates(struct json_reader *r, const struct json_node *node);
/* The template of a login that stands at text, or NULL. */
const char *policy_template_at(const char *text);
/* text with an example in the place of each template, for a first look. NULL: out of memory. */
const char *policy_template_example(struct arena *a, const char *text);
/* Whether anything that its container is made of depends on who logs in. */
bool policy_profile_is_personal(const struct policy_profile *profile);
/* Whether any value of the profile has this template in it. */
bool policy_profile_has(const struct policy_profile *profile, const char *template);

/* Add what node, an object by table, says to the origins of the profile. rule: as in the origin. */
void policy_add_origins(struct policy_draft *d, struct policy_profile *profile,
    const struct json_node *node, const struct json_table *table, const char *rule);
/* Where node, an object by table that is no profile's, makes its settings. rule: whose it is, or NULL. */
void policy_find_origins(struct policy_draft *d, const struct json_node *node,
    const struct json_table *table, const char *rule, struct policy_origins *ret);
/* A profile with what a rule's "set" says on top; NULL after saying what is wrong. */
const struct policy_profile *policy_set(struct policy_draft *d, const struct policy_profile *base,
    const struct json_node *set, const char *rule);

/* The reference that an "image" stands for, or NULL after saying what is wrong. */
const char *policy_find_image(struct policy_draft *d, const struct json_node *value);
struct policy_draft_profile *policy_find_profile(struct policy_draft *d, const char *name);
/*
 * The member that a way of keys and dots leads to, in a profile or in a "set", whose keys may be ways; the last
 * one, which is in force; or NULL.
 */
const struct json_node *policy_setting_in(const struct json_node *node, const char *way);
/*
 * The member of the first of these ways ("container.runtime", NULL-ended) that the profile, or the "set" that
 * made it, goes itself; or all of it, when it inherits them.
 */
const struct json_node *policy_find_setting(const struct policy_draft_profile *profile,
    const char *const *ways);
#define POLICY_WAYS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* What kept a rule from matching. */
enum policy_condition {
	POLICY_CONDITION_NONE, /* nothing: it matches */
	POLICY_CONDITION_USER,
	POLICY_CONDITION_GROUP,
	POLICY_CONDITION_KEY,
	POLICY_CONDITION_AUTH,
	POLICY_CONDITION_FROM,
	POLICY_CONDITION_TIME,
	POLICY_CONDITION_TARGET,
	POLICY_CONDITION_NO_TARGET, /* the login has a target, the rule gives none */
	POLICY_CONDITION_EXCEPT,    /* "not" holds */
};

/* The one place that says whether a rule matches. */
enum policy_condition policy_judge_rule(const struct policy_rule *rule,
    const struct policy_user *user, const struct policy_login *login);

/* After the rules: warn of those that no login can reach. */
void policy_check_reached(struct policy_draft *d);

#endif
