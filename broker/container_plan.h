/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a profile to the container that the engine is asked for. Pure, and a library of its own with
 * engine_spec.h and engine_json_write.h: the admin tool shows with the same code what the broker would send.
 */
#ifndef SP_CONTAINER_PLAN_H
#define SP_CONTAINER_PLAN_H

#include <stdbool.h>

#include "engine_spec.h"
#include "policy.h"

#define CONTAINER_LABEL_KEPT       "sallyport.kept"
#define CONTAINER_LABEL_KEPT_PROOF "sallyport.kept-proof"
#define CONTAINER_LABEL_USER       "sallyport.user"

#define CONTAINER_PLAN_OWN_MOUNTS 2 /* those of a data path, before the profile's, at most */
#define CONTAINER_PLAN_LABELS     6

/*
 * Whose container it is; for its name and labels. A profile with a pool has containers that name nobody,
 * whoever gets them, so that one from the pool is what a new one would be.
 */
struct container_names {
	const char *name;
	const char *instance;
	const char *proof;
	const char *connection;
	const char *user;
	/* Mode "user": what is to be known about it after a restart, and the proof of it; else NULL. */
	const char *kept;
	const char *kept_proof;
};

/* Room for an entrypoint with one number: program, option, number. */
struct container_entrypoint {
	const char *argv[4];
	char number[16];
};

/* A specification and room for what it points to; the profile and the names have to outlive it. */
struct container_plan {
	const struct policy_profile *profile;
	struct engine_container_spec spec;
	struct engine_label labels[CONTAINER_PLAN_LABELS];
	struct engine_mount mounts[ENGINE_MOUNTS_MAX];
	struct container_entrypoint entrypoint;
};

/*
 * Everything but the entrypoint and the mounts of the profile's data path, which are the first ones: two
 * for the direct one, one for the engine's.
 */
void container_plan_make(struct container_plan *ret, const struct policy_profile *profile,
    const struct container_names *names);

/*
 * What the direct data path adds: the guest as entrypoint, and the two directories, as paths of the
 * engine's host, in which it lies and reports.
 */
void container_plan_direct(struct engine_container_spec *spec,
    struct engine_mount mounts[CONTAINER_PLAN_OWN_MOUNTS], const char *guest_dir,
    const char *rendezvous_dir);

/*
 * What the data path "engine" adds: the guest as entrypoint, which does nothing but wait for its end and give
 * all others grace_ms then, and the one directory, as a path of the engine's host, in which it lies.
 */
void container_plan_engine(struct engine_container_spec *spec, struct engine_mount mounts[1],
    const char *guest_dir, uint32_t grace_ms, struct container_entrypoint *room);

/*
 * What mode "user" adds, last: the guest looks for a new broker, keep_ms long, instead of ending with the
 * old one. On the data path "engine" it waits for none: nothing.
 */
void container_plan_keep(struct container_plan *plan, uint32_t keep_ms);

/* Whether Podman can have its containers: what cannot be seen of a container there is seen on the direct data path. */
bool container_plan_suits_podman(enum policy_data_path path);

/*
 * All of the above, as the profile says: what the broker would send for it, with these directories. On the data
 * path "engine" there is no rendezvous_dir.
 */
void container_plan_whole(struct container_plan *ret, const struct policy_profile *profile,
    const struct container_names *names, const char *guest_dir, const char *rendezvous_dir);

#endif
