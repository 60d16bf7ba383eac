/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's configuration, /etc/sallyport/broker.json, as typed values. Every value is checked and
 * every path is absolute. sallyport-broker.json(5) describes the file.
 */
#ifndef SP_CONFIG_H
#define SP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "admission.h"
#include "attr.h"
#include "cidr.h"
#include "diag.h"
#include "log.h"

/* The file has errors; they are in the list. */
#define CONFIG_E_INVALID 1

#define CONFIG_LISTEN_MAX 16 /* addresses */

struct config_engine {
	const char *socket;         /* Unix socket; default /var/run/docker.sock */
	uint32_t call_timeout_ms;   /* one call; default 10 s */
	uint32_t start_timeout_ms;  /* the wait for a turn, and then the start; default 60 s */
	uint32_t probe_interval_ms; /* default 10 s */
	uint32_t starts;            /* starts in flight at most, 1..64; default 4 */
	const char *guest_dir;      /* the guest bundle on this host; default in libexec */
	/* The same directories as the engine's host sees them, which differs when the broker itself
	 * runs in a container. Never NULL: without engine.host_view they equal our own. */
	const char *view_guest_dir;
	const char *view_runtime_dir;
};

struct config_worker {
	const char *program; /* sallyportd; default in libexec */
	/* A range of n_uids from uid on, worker.uids: each worker has a uid and a gid of its own, both
	 * the same number. Or n_uids is 0 and all workers have uid and gid: those of worker.user, or
	 * ours when we are not root. Never 0. */
	uid_t uid;
	gid_t gid;
	uint32_t n_uids;
	bool sandbox_required; /* worker.sandbox is "required" (default), not "best-effort" */
	uint32_t prespawn;     /* workers started ahead of need, 0..64; default 2 */
	uint64_t memory;       /* bytes, RLIMIT_AS of each; default 256 MiB */
};

struct config_login {
	uint32_t grace_ms;        /* whole seconds; default 120 s */
	uint32_t idle_ms;         /* whole seconds, for the first key exchange; default 20 s */
	uint32_t tries;           /* default 6 */
	const char *banner;       /* shown before login; "": none */
	uint32_t keepalive_ms;    /* whole seconds; 0 (default): none */
	uint32_t keepalive_count; /* unanswered ones before disconnect; default 3 */
	bool older_clients;       /* offer what only they need, too; default false */
};

struct config_limits {
	uint32_t drain_ms; /* for sessions to end after SIGTERM; default 10 s */
};

struct config_audit {
	const char *file; /* path; NULL (default): no audit log */
	bool required;    /* what cannot be written does not happen; default true */
};

struct config_control {
	const char *socket; /* path; default control.sock in runtime_dir */
	bool has_group;     /* its members may ask, besides root and ourselves; default none */
	gid_t group;
};

struct config {
	const char *const *listen; /* "address:port", NULL-ended; empty: inherited sockets only */
	const char *const *host_keys; /* paths and credentials, NULL-ended */
	bool make_host_keys;          /* make the missing ones; default false */
	struct config_engine engine;
	const char *policy;        /* path */
	const char *policy_shadow; /* path; NULL (default): none */
	struct config_worker worker;
	struct config_login login;
	struct config_limits limits;
	/* login.max_startups, login.penalties, limits.connections, limits.per_source */
	struct admission_options admission;
	struct cidr_list proxy_protocol; /* balancers that announce their clients; default none */
	enum log_level log_level;        /* default info */
	struct config_audit audit;
	struct config_control control;
	const char *runtime_dir; /* default /run/sallyport */
	const char *state_dir;   /* default /var/lib/sallyport */
};

/*
 * Read the file at path. Relative paths in it are relative to its directory. 0 with a configuration
 * for config_free(), CONFIG_E_INVALID with the errors in *diags, or -errno, also explained there.
 */
SP_MUST_CHECK int config_load(const char *path, struct config **ret, struct diag_list *diags);

/* Whether the file has "listen", and with an address in it. */
bool config_names_listen(const struct config *c);

/* NULL is fine. */
void config_free(struct config *c);
/* For SP_CLEANUP. */
void config_freep(struct config **c);

#endif
