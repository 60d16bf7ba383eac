/* SPDX-License-Identifier: Apache-2.0 */
/* Which container a profile asks for. Runs in the broker and the admin tool; no side effects. */
#include "container_plan.h"

#include <stdio.h>

#include "guest_msg.h"
#include "instance.h"
#include "policy.h"
#include "stream_msg.h"

/* stop_grace is ours to keep; the engine's own patience when it shuts down is short. */
#define ENGINE_STOP_SECONDS 2

static enum engine_network
network_of(const struct policy_profile *p)
{
	switch (p->network) {
	case POLICY_NETWORK_BRIDGE:
		return ENGINE_NETWORK_BRIDGE;
	case POLICY_NETWORK_NAMED:
		return ENGINE_NETWORK_NAMED;
	case POLICY_NETWORK_NONE:
		break;
	}
	return ENGINE_NETWORK_NONE;
}

/*
 * Where the guest begins. Each order has it go to the profile's own, as the user; the engine would go there, and make
 * what is missing, as root, and start no container when it cannot: not where a tenant says what is on the way.
 */
static const char *
workdir_of(const struct policy_profile *p)
{
	return p->workdir != NULL && policy_mount_around(p, p->workdir) != NULL ? "/" : p->workdir;
}

/* Returns how many. */
static size_t
add_profile_mounts(const struct policy_profile *p, struct engine_mount *mounts)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_tmpfs; i++)
		mounts[n++] = (struct engine_mount){ .kind = ENGINE_MOUNT_TMPFS,
			.target = p->tmpfs[i].target,
			.size = p->tmpfs[i].size };
	for (size_t i = 0; i < p->n_volumes; i++)
		mounts[n++] = (struct engine_mount){ .kind = ENGINE_MOUNT_VOLUME,
			.source = p->volumes[i].volume,
			.target = p->volumes[i].target,
			.read_only = p->volumes[i].read_only };
	for (size_t i = 0; i < p->n_binds; i++)
		mounts[n++] = (struct engine_mount){ .kind = ENGINE_MOUNT_HOME,
			.source = p->binds[i].source,
			.target = p->binds[i].target,
			.read_only = p->binds[i].read_only };
	return n;
}

/* Those that container_plan_direct() and container_plan_engine() put before the profile's. */
static size_t
count_own_mounts(const struct policy_profile *p)
{
	return p->reached_by == POLICY_DATA_PATH_ENGINE ? 1 : CONTAINER_PLAN_OWN_MOUNTS;
}

_Static_assert(CONTAINER_PLAN_OWN_MOUNTS + POLICY_MOUNTS_MAX <= ENGINE_MOUNTS_MAX,
    "mounts without room");

void
container_plan_make(struct container_plan *ret, const struct policy_profile *p,
    const struct container_names *names)
{
	const struct engine_label labels[CONTAINER_PLAN_LABELS] = {
		{ INSTANCE_LABEL, names->instance },
		{ INSTANCE_LABEL_PROOF, names->proof },
		{ CONTAINER_LABEL_USER, names->user },
		{ "sallyport.connection", names->connection },
		{ CONTAINER_LABEL_KEPT, names->kept },
		{ CONTAINER_LABEL_KEPT_PROOF, names->kept_proof },
	};
	size_t n_own = count_own_mounts(p);
	size_t n_labels = p->pool > 0 ? 2 : names->kept == NULL ? 4 : CONTAINER_PLAN_LABELS;

	*ret = (struct container_plan){
		.profile = p,
		.spec = {
			.name = names->name,
			.image = p->image,
			.uid = p->uid,
			.gid = p->gid,
			.workdir = workdir_of(p),
			.labels = ret->labels,
			.n_labels = n_labels,
			.network = network_of(p),
			.network_name = p->network_name,
			.dns = p->dns,
			.runtime = p->runtime,
			.read_only_root = p->read_only_root,
			.mounts = ret->mounts,
			.memory = p->memory,
			.swap = p->swap,
			.nano_cpus = p->nano_cpus,
			.pids = p->pids,
			.nofile = p->nofile,
			.stop_timeout = ENGINE_STOP_SECONDS,
			/* Each pool has turns of its own. */
			.owner = names->user[0] != '\0' ? names->user : p->name,
		},
	};
	for (size_t i = 0; i < n_labels; i++)
		ret->labels[i] = labels[i];
	ret->spec.n_mounts = n_own + add_profile_mounts(p, ret->mounts + n_own);
}

static struct engine_mount
guest_mount(const char *guest_dir)
{
	return (struct engine_mount){ .kind = ENGINE_MOUNT_BIND,
		.source = guest_dir,
		.target = GUEST_BUNDLE_DIR,
		.read_only = true };
}

static void
put_entrypoint(struct engine_container_spec *spec, struct container_entrypoint *room,
    const char *option, uint32_t number)
{
	(void)snprintf(room->number, sizeof(room->number), "%u", number);
	room->argv[0] = GUEST_PROGRAM;
	room->argv[1] = option;
	room->argv[2] = room->number;
	room->argv[3] = NULL;
	spec->entrypoint = room->argv;
}

void
container_plan_direct(struct engine_container_spec *spec,
    struct engine_mount mounts[CONTAINER_PLAN_OWN_MOUNTS], const char *guest_dir,
    const char *rendezvous_dir)
{
	static const char *const entrypoint[] = { GUEST_PROGRAM, NULL };

	spec->entrypoint = entrypoint;
	mounts[0] = guest_mount(guest_dir);
	mounts[1] = (struct engine_mount){ .kind = ENGINE_MOUNT_BIND,
		.source = rendezvous_dir,
		.target = GUEST_RENDEZVOUS_DIR,
		.read_only = true };
}

void
container_plan_engine(struct engine_container_spec *spec, struct engine_mount mounts[1],
    const char *guest_dir, uint32_t grace_ms, struct container_entrypoint *room)
{
	put_entrypoint(spec, room, GUEST_HOLD_OPTION, grace_ms);
	mounts[0] = guest_mount(guest_dir);
}

void
container_plan_keep(struct container_plan *plan, uint32_t keep_ms)
{
	if (plan->profile->reached_by == POLICY_DATA_PATH_ENGINE)
		return;
	/* No less than what was asked for, and no zero. */
	put_entrypoint(&plan->spec, &plan->entrypoint, GUEST_KEEP_OPTION, keep_ms / 1000 + 1);
}

bool
container_plan_suits_podman(enum policy_data_path path)
{
	return path != POLICY_DATA_PATH_ENGINE;
}

void
container_plan_whole(struct container_plan *ret, const struct policy_profile *p,
    const struct container_names *names, const char *guest_dir, const char *rendezvous_dir)
{
	container_plan_make(ret, p, names);
	if (p->reached_by == POLICY_DATA_PATH_ENGINE)
		container_plan_engine(&ret->spec, ret->mounts, guest_dir, p->stop_grace_ms,
		    &ret->entrypoint);
	else
		container_plan_direct(&ret->spec, ret->mounts, guest_dir, rendezvous_dir);
	if (p->mode == POLICY_MODE_USER)
		container_plan_keep(ret, p->keep_ms);
}
