/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: who may log in, and what container that gives. README.md says which
 * other headers of this folder are for others, too.
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
#include "network.h"

struct policy;

/* policy_decide(): no rule allows this login; decision->message has the sentence, if a rule has one. */
#define POLICY_E_REFUSED 1
/* policy_load(), policy_parse(): the file has errors; they are in the list. */
#define POLICY_E_INVALID 2

enum policy_mode {
	POLICY_MODE_SESSION,    /* each session channel has a container of its own */
	POLICY_MODE_CONNECTION, /* one container per connection (default) */
	POLICY_MODE_USER, /* one container per user, target and what the rule gives; it outlives connections */
};

enum policy_network {
	POLICY_NETWORK_NONE,   /* default: only lo */
	POLICY_NETWORK_BRIDGE, /* the engine's default bridge */
	POLICY_NETWORK_NAMED,  /* a network that the administrator made */
};

/* How programs are started in a container, and how their bytes travel; broker/data_path.h */
enum policy_data_path {
	POLICY_DATA_PATH_AUTO,   /* default: the first of the others that reaches */
	POLICY_DATA_PATH_DIRECT, /* descriptors go to the guest in the container */
	POLICY_DATA_PATH_ENGINE, /* each program is an exec of the engine, with its stream */
};

/* What of the engine decides where POLICY_DATA_PATH_DIRECT reaches. */
struct policy_engine {
	bool elsewhere;   /* not on the broker's machine */
	bool own_kernels; /* its default runtime gives each container one */
	bool only_direct; /* it has no streams for the other path */
};

#define POLICY_MOUNTS_MAX   32   /* tmpfs, volumes and binds of one container */
#define POLICY_GREETING_MAX 1024 /* bytes, templates filled in */
#define POLICY_POOL_MAX     64

struct policy_tmpfs {
	const char *target; /* absolute path in the container */
	uint64_t size;      /* bytes */
};

struct policy_origin; /* where a setting comes from; policy_show.h */

/* A directory of the engine's host, below one that the policy names for this. */
struct policy_bind {
	const char *given;  /* "name/of/directory", as it was written */
	const char *root;   /* what the name stands for: absolute, one spelling */
	const char *source; /* absolute, below root, one spelling */
	const char *target; /* absolute path in the container */
	bool read_only;
};

struct policy_volume {
	const char *volume; /* name of an engine volume */
	const char *target; /* absolute path in the container */
	bool read_only;
};

/* What a client may ask for by name. */
struct policy_subsystem {
	const char *name;
	const char *const *argv; /* NULL: the guest's own SFTP server, which needs nothing of the image */
	bool read_only;          /* the guest's own only */
};

/* A network and its ports that forwards may go to; private to policy/. */
struct policy_target;

/*
 * A profile with everything resolved: extends, defaults and the rule's "set" applied, guardrails
 * checked. Owned by the policy, or by a grant, in which templates are expanded as well. Lists of
 * strings end with NULL.
 */
struct policy_profile {
	const char *name;
	const char *set_by; /* the rule whose "set" has changed it, or NULL */

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
	/* Whoever mounts them has to see to it that source is what it seems: broker/bind_source.h */
	const struct policy_bind *binds;
	size_t n_binds;
	const char *const *dns;           /* addresses; empty (default): those of the engine */
	const char *runtime;              /* one of "runtimes"; or NULL: the engine's default */
	enum policy_data_path data_path;  /* what the policy says */
	enum policy_data_path reached_by; /* a grant's: which one that is */
	uint64_t memory;                  /* bytes; default 512 MiB */
	uint64_t swap;                    /* bytes beyond memory; default 0 */
	uint64_t nano_cpus;               /* 1e9 = one CPU; default one */
	uint32_t pids;                    /* default 256 */
	uint32_t nofile;                  /* default 1024 */
	uint32_t stop_grace_ms;           /* default 10 s: hang-up to SIGKILL */
	/* POLICY_MODE_USER only: how long a container stays without any connection, 0..30 d. default 0:
	 * it goes with the last one */
	uint32_t keep_ms;
	/* Containers that are started ahead of need, 0..64; default 0. Then nothing that they are made of
	 * depends on who logs in, and the mode is another than POLICY_MODE_USER: the reader sees to it */
	uint32_t pool;

	/* session */
	bool pty;   /* default true */
	bool shell; /* default true */
	bool exec;  /* default true */
	/* The only commands that may run, as patterns of arguments; they run without a shell and
	 * without exec_argv. NULL: any command. */
	const char *const *const *exec_patterns;
	const char *const *accept_env; /* patterns of names (* and ?); default LANG, LC_* */
	const char *const *forward_local; /* where forwards may go, as it was written; default: nowhere */
	const struct policy_target *targets; /* the same, read */
	size_t n_targets;
	const char *const *forward_remote; /* where may be listened, as it was written; default: nowhere */
	const struct policy_target *listens; /* the same, read */
	size_t n_listens;
	bool forward_agent;                        /* default false */
	bool forward_x11;                          /* default false */
	const struct policy_subsystem *subsystems; /* default: none */
	size_t n_subsystems;
	uint32_t max_ms;   /* how long a login may last; 0: for ever (default) */
	uint32_t idle_ms;  /* how long no data may pass on its channels; 0: for ever (default) */
	uint32_t warn_ms;  /* a word so long before either end; 0: none. default 1 min */
	uint32_t channels; /* session channels at a time, 1..64; default 10, as sshd */

	/* Shown on each shell with a terminal, before its output; printable UTF-8, line ends and
	 * tabs, at most POLICY_GREETING_MAX bytes; or NULL */
	const char *greeting;

	const struct policy_origin *origins;
	size_t n_origins;
};

/* How somebody proved to be the user. */
enum policy_auth {
	POLICY_AUTH_KEY,    /* a key that a program can use by itself */
	POLICY_AUTH_SK_KEY, /* a key in a device that wants to be touched */
};

/* The words for them, in this order. NULL-ended. */
extern const char *const policy_auth_names[];

/* What is known of a login once its key is proven. */
struct policy_login {
	const char *user;                      /* NUL-ended, passed policy_user_valid() */
	const char *target;                    /* what the name asked for behind "+", or NULL */
	const struct sockaddr_storage *source; /* client's address; NULL: in no network */
	const char *fingerprint;               /* of the key that was used; NULL: none of ours */
	enum policy_auth auth;
	bool verified;             /* by a security key, which has asked for a PIN or fingerprint */
	int64_t time;              /* seconds since 1970 */
	const char *const *groups; /* beyond those of the policy, NULL-ended; or NULL */
};

/* How much there may be at a time. 0: no ceiling. */
struct policy_ceiling {
	uint32_t containers;         /* from the request for one until its processes have ended */
	uint32_t sessions;           /* logins: connections that have authenticated */
	uint32_t creates_per_minute; /* containers that are asked for within any 60 s */
	uint64_t memory; /* bytes, the sum of the containers' limits without swap; global only */
};

struct policy_ceilings {
	struct policy_ceiling global;
	struct policy_ceiling per_user; /* for each user by itself, targets together */
};

struct policy_decision {
	const struct policy_profile *profile; /* NULL when refused; templates are not expanded */
	const char *rule;                     /* id of the rule that decided; NULL: none matched */
	const char *message;                  /* the sentence for the person refused, or NULL */
	const struct policy_ceiling *ceiling; /* for all whom the rule lets in; NULL when refused */
	const char *file;                     /* where the rule stands, for the log; NULL: none */
	unsigned line;
	unsigned column;
	bool expired; /* refused whatever the rules say: the user's "expires" has come */
};

/*
 * Read and parse the file at path (a regular file, not writable by group or others, at most 4 MiB), or
 * all files *.json of the directory at path, in the order of the bytes of their names, as one policy.
 * 0 with a policy that the caller owns one reference of; POLICY_E_INVALID with the errors in *diags;
 * -errno for anything else (also explained in *diags). Warnings may be added in each case.
 */
SP_MUST_CHECK int policy_load(const char *path, struct policy **ret, struct diag_list *diags);

/* The same over text[len]; name stands for the file in messages. */
SP_MUST_CHECK int policy_parse(const char *name, const char *text, size_t len, struct policy **ret,
    struct diag_list *diags);

/* As policy_load(), with warnings that matter to who edits the file. now: seconds since 1970. */
SP_MUST_CHECK int policy_check(const char *path, int64_t now, struct policy **ret,
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
 * The user in a name as clients give it: all of it, or what comes before "+"; then what follows is the
 * target, [a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}. Returns the length of the user, or 0 when name[len] is no
 * such name; *ret_target is where the target begins, or len.
 */
size_t policy_split_name(const void *name, size_t len, size_t *ret_target);

/*
 * Why a login is refused, for logs: policy_find_key() does not know it; it is not verified although its user has
 * to be; policy_grant_new() refuses. What policy_decide() refuses has policy_why_refused().
 */
#define POLICY_UNKNOWN_KEY   "unknown user or key"
#define POLICY_NOT_VERIFIED  "the security key did not verify its user"
#define POLICY_NOT_FILLED_IN "a template cannot be filled in"

struct policy_user;

/* The user of this name[len], which has no target behind it, or NULL. */
const struct policy_user *policy_find_user(const struct policy *p, const char *name, size_t len);

/* How a login with this public key is proven. */
enum policy_auth policy_auth_of_key(const void *blob, size_t len);

/*
 * Whether blob[len] is one of the configured public keys of the user. An unknown user takes the same
 * steps as a known one. user may have a target behind it. *ret_fingerprint, when found, is "SHA256:..." as ssh-keygen
 * prints it, owned by the policy.
 */
bool policy_find_key(const struct policy *p, const void *user, size_t user_len, const void *blob,
    size_t len, const char **ret_fingerprint, bool *ret_verify_required);

/* First matching rule decides, none denies. 0 or POLICY_E_REFUSED; *ret is set in both cases. */
SP_MUST_CHECK int policy_decide(const struct policy *p, const struct policy_login *login,
    struct policy_decision *ret);
/* Why a decision is a refusal, for logs. Static. */
const char *policy_why_refused(const struct policy_decision *d);

/*
 * Whether user (NUL-ended), with this target or NULL, could log in at now or later and get what is_it(arg, d)
 * says yes to. It is shown each decision that lets such a login in, until then. In doubt a condition
 * holds: from where, when, and with which of the keys is known only of a login.
 */
bool policy_may_get(const struct policy *p, const char *user, const char *target, int64_t now,
    bool (*is_it)(void *arg, const struct policy_decision *d), void *arg);

/*
 * What one login gets: the profile of its decision with the templates filled in. Counted; keeps the
 * policy.
 */
struct policy_grant;

/*
 * d is what policy_decide() said to login, not a refusal. 0 with a grant that the caller owns one
 * reference of; POLICY_E_REFUSED: with this user or target a value is none that the language allows,
 * why[cap] says which; or -ENOMEM.
 */
SP_MUST_CHECK int policy_grant_new(struct policy *p, const struct policy_login *login,
    const struct policy_decision *d, struct policy_grant **ret, char *why, size_t cap);
struct policy_grant *policy_grant_ref(struct policy_grant *g);
/* Drop one reference; NULL is fine. Always returns NULL. */
struct policy_grant *policy_grant_unref(struct policy_grant *g);
const struct policy_profile *policy_grant_profile(const struct policy_grant *g);

/*
 * The volume or directory of the host that a profile's container has path in, or NULL. What is in it stays, and the
 * engine follows its links: whoever writes there would choose what path is to the next container's engine.
 */
const char *policy_mount_around(const struct policy_profile *p, const char *path);

enum policy_request_kind {
	POLICY_REQUEST_SHELL,
	POLICY_REQUEST_EXEC,
	POLICY_REQUEST_SUBSYSTEM,
};

/* A program that somebody who is logged in asks for. Hostile. */
struct policy_request {
	enum policy_request_kind kind;
	bool pty;
	const void *command; /* POLICY_REQUEST_EXEC, or the subsystem's name; no NUL in it */
	size_t command_len;
};

#define POLICY_WORDS_MAX         128
#define POLICY_WORDS_COMMAND_MAX 49152 /* bytes of a command; IPC_COMMAND_MAX */

/* A command as a list of arguments. */
struct policy_words {
	size_t n; /* 0: there is none */
	const char *argv[POLICY_WORDS_MAX + 1];
	char text[POLICY_WORDS_COMMAND_MAX + POLICY_WORDS_MAX];
};

/*
 * Why the profile does not allow the request, a sentence for the person who asked; NULL: it does. Then
 * words, if it has any, is what must run, without a shell and without exec_argv.
 */
const char *policy_refuse(const struct policy_profile *profile,
    const struct policy_request *request, struct policy_words *words);

/*
 * The program and arguments that run for a request which policy_refuse() has let through with these
 * words; "${command}" stands for the command. NULL: there is none, which cannot be then.
 */
const char *const *policy_program(const struct policy_profile *profile,
    const struct policy_request *request, const struct policy_words *words);

#define POLICY_ADDRESSES_MAX 2

struct policy_address {
	int family;        /* AF_INET or AF_INET6 */
	uint8_t bytes[16]; /* network order; IPv4: the first four */
};

/* As many as a list of targets can have: 64, of which each may be the container with both its loopbacks. */
#define POLICY_NETWORKS_MAX 128

/* Where a forward goes, or what is listened at. */
struct policy_destination {
	size_t n; /* 0: what the host's name stands for in the container, as far as it is in the networks */
	struct policy_address list[POLICY_ADDRESSES_MAX]; /* most wanted first */
	size_t n_networks;                                /* only of a name, and then at least 1 */
	struct network networks[POLICY_NETWORKS_MAX];
};

/*
 * Why the profile does not allow a forward to host[len] (hostile, no NUL) and port, a sentence; NULL: it
 * does, and *ret says where it goes. "0.0.0.0" and "::" go to the loopback, as does "localhost", whatever a
 * container says of it. Every other name is one to be looked up in the container, where the port is one of the
 * profile's at all: whoever answers for it there decides which of the addresses that are allowed it is, and no more.
 */
const char *policy_refuse_forward(const struct policy_profile *profile, const void *host,
    size_t len, uint32_t port, struct policy_destination *ret);

/*
 * Why the profile does not allow to listen in the container at host[len] (hostile, no NUL, may be empty) and
 * port (0: the kernel's choice), for connections to the client; NULL: it does, and *ret says at which
 * addresses. As under sshd, "localhost" is both loopback addresses, "" and "*" are all addresses, and all
 * addresses are the loopback's where nothing else is allowed; so is every other host where nothing beyond the
 * loopback is allowed at any port.
 */
const char *policy_refuse_listen(const struct policy_profile *profile, const void *host, size_t len,
    uint32_t port, struct policy_destination *ret);

/* Why the profile does not allow to forward the client's agent, a sentence; NULL: it does. */
const char *policy_refuse_agent(const struct policy_profile *profile);

/* The same of the client's X display. */
const char *policy_refuse_x11(const struct policy_profile *profile);

/* Whether a name from the client is one that the profile accepts. */
bool policy_accepts_env(const struct policy_profile *profile, const char *name);

/* The subsystem of this name[len], or NULL. */
const struct policy_subsystem *policy_find_subsystem(const struct policy_profile *profile,
    const void *name, size_t len);

/* What is so of the engine, for the grants that are made from now on; before, nothing is. Copied. */
void policy_set_engine(struct policy *p, const struct policy_engine *engine);

/* What the profile says, or which one POLICY_DATA_PATH_AUTO is with this engine: what its grants are reached by. */
enum policy_data_path policy_data_path(const struct policy *p, const struct policy_profile *profile);

/* Whether a runtime of this name is known to give containers a kernel of their own, as "runsc" and "io.containerd.kata.v2". */
bool policy_runtime_has_own_kernel(const char *runtime);

/* Those that hold whatever rule decides. */
const struct policy_ceilings *policy_ceilings(const struct policy *p);

/*
 * Every profile that a login can get: those of the file that have an image, in its order, and then one for each rule
 * that sets something. For pools and checks (images, networks). i from 0; NULL at the end.
 */
const struct policy_profile *policy_profile_at(const struct policy *p, size_t i);

/* Hex SHA-256 of the text (of a directory: of names and texts), 64 characters, for logs and audit. */
const char *policy_digest(const struct policy *p);

#endif
