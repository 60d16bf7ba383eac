/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-back: is the container that the engine made the one that was asked for? Runs in the broker,
 * between create and start. Hostile: all of struct engine_container, within the bounds of its parser.
 *
 * Images decide more than one would think (labels, volumes, health checks, commands), engines accept
 * unknown keys and drop known ones with a warning at most. So the question is put to the result.
 */
#include "engine_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "difference.h"
#include "names.h"

static bool
same_text(const struct difference *r, const char *what, const char *want, const char *got)
{
	if (strcmp(want, got) == 0)
		return true;
	return differ(r, "%s is \"%.128s\" instead of \"%.128s\"", what, got, want);
}

static bool
same_number(const struct difference *r, const char *what, uint64_t want, int64_t got)
{
	if (got >= 0 && (uint64_t)got == want)
		return true;
	return differ(r, "%s is %lld instead of %llu", what, (long long)got,
	    (unsigned long long)want);
}

static bool
same_flag(const struct difference *r, const char *what, bool want, bool got)
{
	if (want == got)
		return true;
	return differ(r, "%s is %s instead of %s", what, got ? "true" : "false",
	    want ? "true" : "false");
}

/* A list of exactly one string. */
static bool
same_single(const struct difference *r, const char *what, const char *want, const char *const *got,
    size_t n)
{
	if (n != 1)
		return differ(r, "%s has %zu entries instead of \"%s\"", what, n, want);
	return same_text(r, what, want, got[0]);
}

/*
 * Podman writes an image's whole name: with the registry, or its own word for "none", and a tag. Which registry
 * that is its configuration decides; a policy that wants it one way only has the whole name itself.
 */
static bool
same_image(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	static const char *const before[] = { "", "localhost/", "docker.io/", "docker.io/library/" };
	char full[ENGINE_IMAGE_MAX + 64];

	for (size_t i = 0; c->podman && i < SP_ARRAY_LEN(before); i++) {
		for (int tag = 0; tag < 2; tag++) {
			(void)snprintf(full, sizeof(full), "%s%s%s", before[i], s->image,
			    tag != 0 ? ":latest" : "");
			if (strcmp(full, c->image) == 0)
				return true;
		}
	}
	return same_text(r, "Image", s->image, c->image);
}

/*
 * The image's own, where the policy names none: the engine goes there as root, and makes what is missing. So it is not
 * where a tenant, or descriptors of the runtime, say what is on the way.
 */
static bool
is_safe_workdir(const struct difference *r, const struct engine_container_spec *s, const char *dir)
{
	if (dir == NULL || dir[0] == '\0')
		return true;
	if (names_path_fault(dir) != NULL || names_path_within(dir, "/proc"))
		return differ(r, "the image's WORKDIR is \"%.128s\": name container.workdir", dir);
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct engine_mount *m = &s->mounts[i];
		bool is_itself = strcmp(dir, m->target) == 0;

		if (m->kind != ENGINE_MOUNT_TMPFS && names_path_within(dir, m->target) &&
		    (!is_itself || m->kind == ENGINE_MOUNT_BIND))
			return differ(r,
			    "the image's WORKDIR \"%.128s\" is in \"%.128s\", whose links can lead elsewhere: "
			    "name container.workdir",
			    dir, m->target);
	}
	return true;
}

static bool
same_identity(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	char user[64];

	(void)snprintf(user, sizeof(user), "%lu:%lu", (unsigned long)s->uid, (unsigned long)s->gid);
	return same_text(r, "Name", s->name, c->name) && same_image(r, s, c) &&
	    same_text(r, "User", user, c->user) &&
	    (s->workdir == NULL ? is_safe_workdir(r, s, c->workdir)
				: same_text(r, "WorkingDir", s->workdir, c->workdir));
}

static bool
same_words(const struct difference *r, const char *what, const char *const *want, size_t n,
    const char *const *got, size_t n_got)
{
	if (n != n_got)
		return differ(r, "%s has %zu words instead of %zu", what, n_got, n);
	for (size_t i = 0; i < n; i++)
		if (!same_text(r, what, want[i], got[i]))
			return false;
	return true;
}

/* Podman writes the words of an entrypoint with blanks between them, and a program without arguments as its own. */
static bool
same_program_podman(const struct difference *r, const char *const *want, size_t n,
    const struct engine_container *c)
{
	char joined[ENGINE_PATH_MAX] = "";
	const char *const text[] = { joined };
	size_t used = 0;

	if (c->n_entrypoint == n && !same_words(r, "Entrypoint", want, n, c->entrypoint, n))
		return false;
	for (size_t i = 0; i < n && used < sizeof(joined); i++)
		used += (size_t)snprintf(joined + used, sizeof(joined) - used, "%s%s",
		    i > 0 ? " " : "", want[i]);
	if (c->n_entrypoint != n &&
	    !same_words(r, "Entrypoint", text, 1, c->entrypoint, c->n_entrypoint))
		return false;
	return n == 1 && c->n_args == 1 ? same_words(r, "Args", want, 1, c->args, 1)
					: same_words(r, "Args", want + 1, n - 1, c->args, c->n_args);
}

/* The program twice: as configured, and as what the engine says it is going to run. */
static bool
same_program(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	const char *const *want = s->entrypoint;
	size_t n = 0;

	while (want[n] != NULL)
		n++;
	if (n == 0)
		return differ(r, "no program was asked for");
	if (c->n_cmd != 0)
		return differ(r, "Cmd has %zu arguments instead of none", c->n_cmd);
	if (!same_text(r, "Path", want[0], c->path))
		return false;
	if (c->podman) {
		if (!same_program_podman(r, want, n, c))
			return false;
	} else if (!same_words(r, "Entrypoint", want, n, c->entrypoint, c->n_entrypoint) ||
	    !same_words(r, "Args", want + 1, n - 1, c->args, c->n_args)) {
		return false;
	}
	if (c->stdio)
		return differ(r, "a terminal or standard stream is open");
	return same_single(r, "Healthcheck", "NONE", c->healthcheck, c->n_healthcheck);
}

/* Every label of ours as given, and none under our prefix that an image brought along. */
static bool
same_labels(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	for (size_t i = 0; i < s->n_labels; i++) {
		const char *got = engine_container_label(c, s->labels[i].name);

		if (got == NULL)
			return differ(r, "label \"%s\" is missing", s->labels[i].name);
		if (!same_text(r, s->labels[i].name, s->labels[i].value, got))
			return false;
	}
	for (size_t i = 0; i < c->n_labels; i++) {
		bool ours = false;

		if (strncmp(c->labels[i].name, ENGINE_LABEL_PREFIX,
			sizeof(ENGINE_LABEL_PREFIX) - 1) != 0)
			continue;
		for (size_t j = 0; j < s->n_labels; j++)
			ours = ours || strcmp(c->labels[i].name, s->labels[j].name) == 0;
		if (!ours)
			return differ(r, "the image brings a label \"%.128s\" of its own",
			    c->labels[i].name);
	}
	return true;
}

/* -1 is no limit; without accounting for swap the kernel has none, whatever the engine is asked for. */
static bool
same_swap(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	if (c->memory_swap == -1)
		return differ(r,
		    "MemorySwap is -1: the engine's host does not limit swap; boot it with swapaccount=1");
	return same_number(r, "MemorySwap", s->memory + s->swap, c->memory_swap);
}

static bool
same_cpus(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	if (c->podman && c->nano_cpus > 0 && (uint64_t)c->nano_cpus <= s->nano_cpus &&
	    s->nano_cpus - (uint64_t)c->nano_cpus <= ENGINE_PODMAN_CPU_UNIT)
		return true;
	return same_number(r, "NanoCpus", s->nano_cpus, c->nano_cpus);
}

static bool
same_ulimits(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	return same_number(r, "Ulimits", 2, (int64_t)c->n_ulimits) &&
	    same_number(r, "the nofile limit", s->nofile, c->nofile_soft) &&
	    same_number(r, "the hard nofile limit", s->nofile, c->nofile_hard) &&
	    same_number(r, "the core limit", 0, c->core_soft) &&
	    same_number(r, "the hard core limit", 0, c->core_hard);
}

static bool
same_limits(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	return same_number(r, "Memory", s->memory, c->memory) && same_swap(r, s, c) &&
	    same_cpus(r, s, c) && same_number(r, "PidsLimit", s->pids, c->pids) &&
	    (c->podman || same_ulimits(r, s, c));
}

static bool
same_no_new_privileges(const struct difference *r, const struct engine_container *c)
{
	static const char *const spellings[] = { "no-new-privileges", "no-new-privileges:true",
		"no-new-privileges=true" };

	if (c->n_security_opt == 1)
		for (size_t i = 0; i < SP_ARRAY_LEN(spellings); i++)
			if (strcmp(c->security_opt[0], spellings[i]) == 0)
				return true;
	return differ(r, "SecurityOpt is not exactly \"no-new-privileges\"");
}

static bool
has(const char *const *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}

/* One well-known member each tells the defaults from an emptied list. */
static bool
same_masks(const struct difference *r, const struct engine_container *c)
{
	if (!has(c->masked_paths, c->n_masked_paths, "/proc/kcore"))
		return differ(r, "MaskedPaths does not hide /proc/kcore");
	if (!has(c->readonly_paths, c->n_readonly_paths, "/proc/sys"))
		return differ(r, "ReadonlyPaths does not protect /proc/sys");
	return true;
}

/* Whom it asks for names: exactly those, in this order. */
static bool
same_dns(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	size_t n = 0;

	while (s->dns != NULL && s->dns[n] != NULL)
		n++;
	if (c->n_dns != n)
		return differ(r, "Dns has %zu entries instead of %zu", c->n_dns, n);
	for (size_t i = 0; i < n; i++)
		if (!same_text(r, "Dns", s->dns[i], c->dns[i]))
			return false;
	return true;
}

/* An engine takes the beginning of an id as well; the one that it found is here by its name. */
static bool
same_network(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	return s->network != ENGINE_NETWORK_NAMED ||
	    same_single(r, "the network", s->network_name, c->networks, c->n_networks);
}

/* In its own words: "shareable" is a namespace of its own that others could be let into. */
static bool
same_namespaces_podman(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	bool none = s->network == ENGINE_NETWORK_NONE;
	/* Podman 5 has an entry for none. */
	bool has_none = c->n_networks == 1 && strcmp(c->networks[0], "none") == 0;

	if (c->n_networks != (none ? 0U : 1U) && !(none && has_none))
		return differ(r, "it is in %zu networks", c->n_networks);
	return same_text(r, "NetworkMode", none ? "none" : "bridge", c->network_mode) &&
	    same_network(r, s, c) &&
	    (strcmp(c->ipc_mode, "private") == 0 ||
		same_text(r, "IpcMode", "shareable", c->ipc_mode)) &&
	    same_text(r, "CgroupMode", "private", c->cgroupns_mode) &&
	    (none ? same_number(r, "Dns", 0, (int64_t)c->n_dns) : same_dns(r, s, c));
}

static bool
same_namespaces(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	return same_flag(r, "NetworkDisabled", s->network == ENGINE_NETWORK_NONE,
		   c->network_disabled) &&
	    same_text(r, "NetworkMode", engine_spec_network_mode(s), c->network_mode) &&
	    same_network(r, s, c) && same_text(r, "IpcMode", "private", c->ipc_mode) &&
	    same_text(r, "CgroupnsMode", "private", c->cgroupns_mode) && same_dns(r, s, c);
}

static bool
same_confinement(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	if (c->surplus[0] != '\0')
		return differ(r, "%s is set and should not be", c->surplus);
	if (strcmp(c->apparmor, "unconfined") == 0)
		return differ(r, "AppArmorProfile is \"unconfined\"");
	return same_flag(r, "Privileged", false, c->privileged) &&
	    same_flag(r, "ReadonlyRootfs", s->read_only_root, c->read_only_root) &&
	    same_flag(r, "AutoRemove", false, c->auto_remove) &&
	    same_flag(r, "PublishAllPorts", false, c->publish_all_ports) &&
	    same_text(r, "LogConfig", "none", c->log_driver) &&
	    same_text(r, "RestartPolicy", "no", c->restart_policy) &&
	    (s->runtime == NULL || same_text(r, "Runtime", s->runtime, c->runtime)) &&
	    same_no_new_privileges(r, c) &&
	    (c->podman ? same_namespaces_podman(r, s, c)
		       : same_namespaces(r, s, c) &&
			same_single(r, "CapDrop", "ALL", c->cap_drop, c->n_cap_drop) &&
			same_masks(r, c));
}

static const char *
kind_name(enum engine_mount_kind kind)
{
	switch (kind) {
	case ENGINE_MOUNT_BIND:
	case ENGINE_MOUNT_HOME:
		return "bind";
	case ENGINE_MOUNT_VOLUME:
		return "volume";
	case ENGINE_MOUNT_TMPFS:
		return "tmpfs";
	}
	return "";
}

static const struct engine_seen_mount *
find_mount(const struct engine_seen_mount *list, size_t n, const char *target)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].target, target) == 0)
			return &list[i];
	return NULL;
}

static bool
same_mount(const struct difference *r, const char *where, const struct engine_mount *want,
    const struct engine_seen_mount *got)
{
	bool read_only = want->kind == ENGINE_MOUNT_BIND ||
	    (want->kind != ENGINE_MOUNT_TMPFS && want->read_only);

	if (got == NULL)
		return differ(r, "%s has nothing at %.128s", where, want->target);
	if (strcmp(got->kind, kind_name(want->kind)) != 0 ||
	    (want->kind != ENGINE_MOUNT_TMPFS && strcmp(got->source, want->source) != 0))
		return differ(r,
		    "%s has something else at %.128s: %.16s \"%.128s\" instead of %s \"%.128s\"",
		    where, want->target, got->kind, got->source, kind_name(want->kind),
		    want->kind != ENGINE_MOUNT_TMPFS ? want->source : "");
	if (got->read_only != read_only)
		return differ(r, "%s has %.128s %s", where, want->target,
		    got->read_only ? "read-only" : "writable");
	return true;
}

/* Its list has what has a source. The kernel is asked about the others. */
static bool
same_mounts_podman(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct engine_mount *want = &s->mounts[i];

		if (want->kind != ENGINE_MOUNT_TMPFS &&
		    !same_mount(r, "Mounts", want, find_mount(c->made, c->n_made, want->target)))
			return false;
	}
	return true;
}

static bool
same_mounts(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	if (c->podman)
		return same_mounts_podman(r, s, c);
	if (c->n_asked != s->n_mounts)
		return differ(r, "HostConfig.Mounts has %zu entries instead of %zu", c->n_asked,
		    s->n_mounts);
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct engine_mount *want = &s->mounts[i];
		const struct engine_seen_mount *asked =
		    find_mount(c->asked, c->n_asked, want->target);
		const struct engine_seen_mount *made = find_mount(c->made, c->n_made, want->target);

		if (!same_mount(r, "HostConfig.Mounts", want, asked) ||
		    !same_mount(r, "Mounts", want, made))
			return false;
		if (strcmp(kind_name(want->kind), "bind") == 0 && !asked->non_recursive)
			return differ(r, "the bind at %.128s is recursive", want->target);
		if (want->kind == ENGINE_MOUNT_TMPFS &&
		    !same_number(r, "the tmpfs size", want->size, asked->size))
			return false;
	}
	return true;
}

/* Nothing is mounted that was not asked for, a volume that the image declares least of all. */
static bool
no_other_mounts(const struct difference *r, const struct engine_container_spec *s,
    const struct engine_container *c)
{
	for (size_t i = 0; i < c->n_made; i++) {
		const struct engine_seen_mount *got = &c->made[i];
		bool ours = false;

		for (size_t j = 0; j < s->n_mounts; j++)
			ours = ours || strcmp(got->target, s->mounts[j].target) == 0;
		if (ours)
			continue;
		if (strcmp(got->kind, "volume") != 0 || !engine_id_valid(got->source))
			return differ(r, "Mounts has a %.16s at %.128s that nobody asked for",
			    got->kind, got->target);
		/* A writable place without a limit. */
		return differ(r,
		    "the image declares a volume at %.128s; mount a tmpfs or a volume there",
		    got->target);
	}
	/* Fewer targets than entries would mean two mounts at one place, of which we saw the first. */
	for (size_t i = 0; i < c->n_made; i++)
		if (find_mount(c->made, i, c->made[i].target) != NULL)
			return differ(r, "Mounts has %.128s twice", c->made[i].target);
	return true;
}

int
engine_compare(const struct engine_container_spec *spec, const struct engine_container *seen,
    char *why, size_t cap)
{
	const struct difference r = { why, cap };

	if (same_identity(&r, spec, seen) && same_program(&r, spec, seen) &&
	    same_labels(&r, spec, seen) && same_confinement(&r, spec, seen) &&
	    same_limits(&r, spec, seen) && same_mounts(&r, spec, seen) &&
	    no_other_mounts(&r, spec, seen))
		return 0;
	return ENGINE_COMPARE_E_DIFFERS;
}

static const char *
find_label(const struct engine_label *labels, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(labels[i].name, name) == 0)
			return labels[i].value;
	}
	return NULL;
}

const char *
engine_container_label(const struct engine_container *c, const char *name)
{
	return find_label(c->labels, c->n_labels, name);
}

const char *
engine_list_label(const struct engine_list_item *item, const char *name)
{
	return find_label(item->labels, item->n_labels, name);
}
