/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we ask the engine to make, what it says it made, and the comparison of the two.
 *
 * Typed fields only: no byte of JSON from a worker, a policy file or an engine passes through here.
 */
#ifndef SP_ENGINE_SPEC_H
#define SP_ENGINE_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

#define ENGINE_ID_LEN       64   /* container ids: exactly so many lower-case hex digits */
#define ENGINE_NAME_MAX     128  /* container and volume names, bytes without the end */
#define ENGINE_IMAGE_MAX    512  /* image references */
#define ENGINE_PATH_MAX     4096 /* paths on the engine's host and in the container */
#define ENGINE_LABEL_MAX    1024 /* one label name or value */
#define ENGINE_LABELS_MAX   64
#define ENGINE_MOUNTS_MAX   128
#define ENGINE_ARGV_MAX     64
#define ENGINE_DNS_MAX      8
#define ENGINE_LABEL_PREFIX "sallyport." /* labels that are ours and nobody else's */

enum engine_network {
	ENGINE_NETWORK_NONE, /* a network namespace of its own with lo, made without libnetwork */
	ENGINE_NETWORK_BRIDGE,
	ENGINE_NETWORK_NAMED,
};

enum engine_mount_kind {
	ENGINE_MOUNT_BIND, /* always read-only and without what is mounted below the source */
	ENGINE_MOUNT_HOME, /* a bind of the policy's: the same, but read-only only where it says so */
	ENGINE_MOUNT_VOLUME,
	ENGINE_MOUNT_TMPFS,
};

struct engine_mount {
	enum engine_mount_kind kind;
	const char *source; /* bind: absolute path on the engine's host; volume: its name; else NULL */
	const char *target; /* absolute path in the container */
	bool read_only;     /* volumes, homes; a bind is read-only whatever this says */
	uint64_t size;      /* tmpfs: bytes, at least 1 */
};

struct engine_label {
	const char *name;
	const char *value;
};

/*
 * One container. Everything that is not here is the same for all of them: no capabilities, no new
 * privileges, not privileged, no health check, no log, no restart, not removed by the engine itself,
 * private IPC and cgroup namespaces, no core files, no stdio, no ports, no devices.
 */
struct engine_container_spec {
	const char *name;
	const char *image;
	uid_t uid;
	gid_t gid;
	const char *workdir;           /* absolute, or NULL: the image's */
	const char *const *entrypoint; /* NULL-ended, at least the program; replaces the image's */
	const struct engine_label *labels;
	size_t n_labels;
	enum engine_network network;
	const char *network_name; /* ENGINE_NETWORK_NAMED only */
	bool read_only_root;
	const struct engine_mount *mounts;
	size_t n_mounts;
	uint64_t memory;    /* bytes; no limit may be 0 */
	uint64_t swap;      /* bytes beyond memory */
	uint64_t nano_cpus; /* 1e9 = one CPU */
	uint32_t pids;
	uint32_t nofile;
	uint32_t stop_timeout;  /* seconds the engine itself waits when it shuts down */
	const char *runtime;    /* or NULL: the engine's default */
	const char *const *dns; /* addresses, NULL-ended; or NULL: the engine's choice */
	const char *owner; /* whose turn to start one it is; the engine is not told. NULL: nobody's */
};

/* One more process in a container: its user and confinement are the container's. */
struct engine_exec_spec {
	const char *const *argv; /* NULL-ended, at least the program */
	const char *owner; /* whose turn to begin one it is; the engine is not told. NULL: nobody's */
};

/*
 * Whether the spec can be sent: names, paths and lists within bounds, every limit set. Returns 0, or
 * -EINVAL with the reason in why[cap].
 */
SP_MUST_CHECK int engine_spec_check(const struct engine_container_spec *spec, char *why, size_t cap);

/* A deep copy, freed with engine_spec_free(). 0 or -ENOMEM. */
SP_MUST_CHECK int engine_spec_copy(const struct engine_container_spec *spec,
    struct engine_container_spec **ret);
/* NULL is fine. Always returns NULL. */
struct engine_container_spec *engine_spec_free(struct engine_container_spec *spec);

/* How much less than asked for Podman may give: its unit is 10 us in each 100 ms, and it counts in fractions. */
#define ENGINE_PODMAN_CPU_UNIT 100000u

/* HostConfig.NetworkMode for the spec: what is asked for is what is compared with. */
const char *engine_spec_network_mode(const struct engine_container_spec *spec);

/* Exactly 64 lower-case hex digits. */
bool engine_id_valid(const char *id);
/* [a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}, which is also what an id looks like. */
bool engine_name_valid(const char *name);
/* Bytes of an image reference: letters, digits and "./_:@+-", not starting with one of "/.:@", and without ".." or "//". */
bool engine_image_valid(const char *image);

/* One entry of the inspected container's HostConfig.Mounts (asked) or Mounts (made). */
struct engine_seen_mount {
	const char *kind;   /* "bind", "volume", "tmpfs", or whatever it said */
	const char *source; /* asked: as we wrote it.  made: a bind's path or a volume's name */
	const char *target;
	bool read_only;
	bool non_recursive; /* asked binds */
	int64_t size;       /* asked tmpfs */
};

/*
 * A container as the engine describes it. Strings are never NULL once it has been parsed, lists may be
 * empty. What the engine says about itself is evidence, never proof: it catches an engine that
 * dropped or changed a field, not one that stores it and does something else.
 */
struct engine_container {
	/* By Podman's own account, which has other words for some things and none for others: the kernel is
	 * asked about those (kernel_account.h). */
	bool podman;
	char id[ENGINE_ID_LEN + 1];
	const char *name; /* without the leading '/' */

	/* state */
	const char *status; /* "created", "running", "exited", ... */
	bool running;
	pid_t pid; /* on the engine's host; 0 when it does not run */
	int64_t exit_code;
	const char *error;      /* what its last start failed with */
	const char *started_at; /* as the engine writes it; equal strings are the same start */

	/* what runs */
	const char *path;
	const char **args;
	size_t n_args;
	const char **entrypoint;
	size_t n_entrypoint;
	const char **cmd;
	size_t n_cmd;
	const char *user;
	const char *workdir;
	const char *image;                /* as asked for */
	char image_id[ENGINE_ID_LEN + 1]; /* what it is made of; "" when the engine does not say */
	struct engine_label *labels;
	size_t n_labels;
	bool stdio; /* a tty, an open stdin or an attached stream */
	bool network_disabled;
	const char **healthcheck;
	size_t n_healthcheck;

	/* confinement */
	bool privileged;
	bool read_only_root;
	bool auto_remove;
	bool publish_all_ports;
	const char *network_mode;
	const char *ipc_mode;
	const char *cgroupns_mode;
	const char *log_driver;
	const char *restart_policy;
	const char *runtime;
	const char *apparmor;
	const char **cap_drop;
	size_t n_cap_drop;
	const char **dns;
	size_t n_dns;
	const char **security_opt;
	size_t n_security_opt;
	const char **masked_paths;
	size_t n_masked_paths;
	const char **readonly_paths;
	size_t n_readonly_paths;
	int64_t memory;
	int64_t memory_swap;
	int64_t nano_cpus;
	int64_t pids;
	int64_t nofile_soft, nofile_hard; /* -1: not set */
	int64_t core_soft, core_hard;
	size_t n_ulimits;
	const char **networks; /* their names */
	size_t n_networks;
	struct engine_seen_mount *asked;
	size_t n_asked;
	struct engine_seen_mount *made;
	size_t n_made;
	/* First key of HostConfig that widens a container and is not empty ("Devices"), or "". */
	const char *surplus;

	void *memory_tree; /* engine_json_inspect.c: what the pointers above point into */
};

/* One container of a list. */
struct engine_list_item {
	char id[ENGINE_ID_LEN + 1];
	const char *name;            /* without the leading '/' */
	const char *state;           /* "created", "running", "exited", ... */
	struct engine_label *labels; /* those that start with ENGINE_LABEL_PREFIX */
	size_t n_labels;
};

/* NULL is fine. Always returns NULL. */
struct engine_container *engine_container_free(struct engine_container *c);
void engine_container_freep(struct engine_container **c);
/* The label's value, or NULL. */
const char *engine_list_label(const struct engine_list_item *item, const char *name);
const char *engine_container_label(const struct engine_container *c, const char *name);

/* engine_compare(): the container is not what was asked for. */
#define ENGINE_COMPARE_E_DIFFERS 1

/*
 * Whether the engine made what spec asks for, in everything that confines it. Writes the first
 * difference as a sentence into why[cap]. 0 or ENGINE_COMPARE_E_DIFFERS. Engine text in the sentence
 * is bounded but not escaped.
 */
SP_MUST_CHECK int engine_compare(const struct engine_container_spec *spec,
    const struct engine_container *seen, char *why, size_t cap);

#endif
