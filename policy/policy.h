/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: who may log in, and what container that gives. The only header of policy/ that other
 * folders include, besides diag.h and json_text.h (shared with the broker's configuration).
 *
 * Parsing and deciding are pure: no clock, no sockets, no logging. A policy is immutable once
 * loaded and counted, so that a session keeps the generation it started with.
 */
#ifndef SP_POLICY_H
#define SP_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"
#include "diag.h"

struct policy;

/* policy_decide(): no rule allows this login; decision->message has the sentence, if a rule has one. */
#define POLICY_E_REFUSED 1
/* policy_load(), policy_parse(): the file has errors; they are in the list. */
#define POLICY_E_INVALID 2

enum policy_mode {
	POLICY_MODE_SESSION,    /* each session channel has a container of its own */
	POLICY_MODE_CONNECTION, /* one container per connection (default) */
};

enum policy_network {
	POLICY_NETWORK_NONE,   /* default: only lo */
	POLICY_NETWORK_BRIDGE, /* the engine's default bridge */
	POLICY_NETWORK_NAMED,  /* a network that the administrator made */
};

struct policy_tmpfs {
	const char *target; /* absolute path in the container */
	uint64_t size;      /* bytes */
};

struct policy_volume {
	const char *volume; /* name of an engine volume */
	const char *target; /* absolute path in the container */
	bool read_only;
};

/*
 * A profile with everything resolved: extends and defaults applied, guardrails checked. Owned by the
 * policy. Lists of strings end with NULL.
 */
struct policy_profile {
	const char *name;

	/* container */
	enum policy_mode mode;
	const char *image; /* as the engine takes it, registry/name:tag or name@sha256:... */
	uid_t uid;
	gid_t gid;
	const char *workdir;           /* absolute, or NULL: the image's */
	const char *const *shell_argv; /* default: "/bin/sh"; argv[0] becomes "-sh" (login_shell) */
	bool login_shell; /* shell: argv[0] as "-basename", as sshd does. default true */
	const char *const *exec_argv; /* default: "/bin/sh" "-c" "${command}"; exactly one element is
	                                 * "${command}" and is replaced whole, never spliced */
	const char *const *env;       /* "NAME=value" set in every program */
	enum policy_network network;
	const char *network_name;         /* POLICY_NETWORK_NAMED only */
	bool read_only_root;              /* default true */
	const struct policy_tmpfs *tmpfs; /* default: /tmp with 64 MiB */
	size_t n_tmpfs;
	const struct policy_volume *volumes;
	size_t n_volumes;
	uint64_t memory;        /* bytes; default 512 MiB */
	uint64_t swap;          /* bytes beyond memory; default 0 */
	uint64_t nano_cpus;     /* 1e9 = one CPU; default one */
	uint32_t pids;          /* default 256 */
	uint32_t nofile;        /* default 1024 */
	uint32_t stop_grace_ms; /* default 10 s: hang-up to SIGKILL */

	/* session */
	bool pty;                      /* default true */
	bool shell;                    /* default true */
	bool exec;                     /* default true */
	const char *const *accept_env; /* patterns of names (* and ?); default LANG, LC_* */
	uint32_t channels;             /* session channels at a time, 1..64; default 10, as sshd */
};

/* What is known of a login once its key is proven. */
struct policy_login {
	const char *user;                      /* NUL-ended, passed policy_user_valid() */
	const struct sockaddr_storage *source; /* client's address */
};

struct policy_decision {
	const struct policy_profile *profile; /* NULL when refused */
	const char *rule;                     /* id of the rule that decided; NULL: none matched */
	const char *message; /* the rule's sentence for the person refused, or NULL */
	const char *file;    /* where the rule stands, for the log; NULL: none */
	unsigned line;
};

/*
 * Read and parse the file at path (a regular file, not writable by group or others, at most 4 MiB).
 * 0 with a policy that the caller owns one reference of; POLICY_E_INVALID with the errors in *diags;
 * -errno for anything else (also explained in *diags). Warnings may be added in each case.
 */
SP_MUST_CHECK int policy_load(const char *path, struct policy **ret, struct diag_list *diags);

/* The same over text[len]; name stands for the file in messages. */
SP_MUST_CHECK int policy_parse(const char *name, const char *text, size_t len, struct policy **ret,
    struct diag_list *diags);

struct policy *policy_ref(struct policy *p);
/* Drop one reference; NULL is fine. Always returns NULL. */
struct policy *policy_unref(struct policy *p);
/* For SP_CLEANUP. */
void policy_unrefp(struct policy **p);

/*
 * Login names are [a-z_][a-z0-9_.-]{0,63}, compared byte by byte. Anything else is an unknown user.
 */
bool policy_user_valid(const void *name, size_t len);

/*
 * Whether blob[len] is one of the configured public keys of the user. An unknown user takes the same
 * steps as a known one. *ret_fingerprint, when found, is "SHA256:..." as ssh-keygen prints it, owned
 * by the policy.
 */
bool policy_find_key(const struct policy *p, const void *user, size_t user_len, const void *blob,
    size_t len, const char **ret_fingerprint, bool *ret_verify_required);

/* First matching rule decides, none denies. 0 or POLICY_E_REFUSED; *ret is set in both cases. */
SP_MUST_CHECK int policy_decide(const struct policy *p, const struct policy_login *login,
    struct policy_decision *ret);

/* Whether a name from the client is one that the profile accepts. */
bool policy_accepts_env(const struct policy_profile *profile, const char *name);

/* Every profile, in file order, for checks at start (images, networks). i from 0; NULL at the end. */
const struct policy_profile *policy_profile_at(const struct policy *p, size_t i);

/* Hex SHA-256 of the text, 64 characters, for logs and audit. */
const char *policy_digest(const struct policy *p);

#endif
