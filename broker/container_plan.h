/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a profile to the container that the engine is asked for. Pure, and a library of its own with
 * engine_spec.h and engine_json.h: the admin tool shows with the same code what the broker would send.
 */
#ifndef SP_CONTAINER_PLAN_H
#define SP_CONTAINER_PLAN_H

#include "engine_spec.h"

struct policy_profile;

#define CONTAINER_PLAN_OWN_MOUNTS 2 /* those of the data path, before the profile's */
#define CONTAINER_PLAN_LABELS     4

/* Whose container it is; for its name and labels. */
struct container_names {
	const char *name;
	const char *instance;
	const char *proof;
	const char *connection;
	const char *user;
};

/* A specification and room for what it points to; the profile and the names have to outlive it. */
struct container_plan {
	struct engine_container_spec spec;
	struct engine_label labels[CONTAINER_PLAN_LABELS];
	struct engine_mount mounts[ENGINE_MOUNTS_MAX];
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

#endif
