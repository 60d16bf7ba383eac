/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a profile to the container that the engine is asked for. Pure, and a library of its own with
 * engine_spec.h and engine_json.h: the admin tool shows with the same code what the broker would send.
 */
#ifndef SP_CONTAINER_PLAN_H
#define SP_CONTAINER_PLAN_H

#include "engine_spec.h"

struct policy_profile;

#define CONTAINER_LABEL_KEPT       "sallyport.kept"
#define CONTAINER_LABEL_KEPT_PROOF "sallyport.kept-proof"
#define CONTAINER_LABEL_USER       "sallyport.user"

#define CONTAINER_PLAN_OWN_MOUNTS 2 /* those of the data path, before the profile's */
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

/* A specification and room for what it points to; the profile and the names have to outlive it. */
struct container_plan {
	struct engine_container_spec spec;
	struct engine_label labels[CONTAINER_PLAN_LABELS];
	struct engine_mount mounts[ENGINE_MOUNTS_MAX];
	const char *entrypoint[4];
	char keep[16];
};

/* Everything but the entrypoint and the data path's mounts, which are the first ones. */
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
 * What mode "user" adds, last: the guest looks for a new broker, keep_ms long, instead of ending with the
 * old one.
 */
void container_plan_keep(struct container_plan *plan, uint32_t keep_ms);

#endif
