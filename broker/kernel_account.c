/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's account of a container, judged. Pure. The texts are the kernel's own, but paths in them are
 * the image's and the engine's; what is cut short or not understood counts against the container.
 */
#include "kernel_account.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "difference.h"
#include "engine_spec.h"

#define FIELDS_MAX  24                   /* of a line of mountinfo; it has some eleven */
#define TMPFS_SLACK (64U * 1024)         /* the kernel rounds a size up to whole pages */
#define PODMAN_MARK "/run/.containerenv" /* an empty file by which programs see where they are */

const char *const kernel_account_paths[KERNEL_ACCOUNT_PATHS] = { "/proc/acpi", "/proc/kcore",
	"/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
	"/proc/timer_stats", "/sys/firmware", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq",
	"/proc/sys", "/proc/sysrq-trigger" };

/* One line of mountinfo. */
struct seen {
	const char *device; /* "0:57" */
	const char *root;   /* which part of its filesystem is mounted */
	char *point;
	const char *options;
	const char *type;
	const char *super; /* options of the filesystem */
};

/* ---- status, limits ---- */

/* What comes behind "KEY" at the beginning of a line, without blanks around it. False: there is no such line. */
static bool
line_of(const char *text, const char *key, char *out, size_t cap)
{
	size_t len = strlen(key);

	for (const char *line = text; *line != '\0';) {
		const char *end = strchr(line, '\n');

		/* One without its end has been cut. */
		if (end == NULL)
			return false;
		if (strncmp(line, key, len) == 0) {
			const char *value = line + len + strspn(line + len, " \t");
			size_t n = value < end ? (size_t)(end - value) : 0;

			while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
				n--;
			if (n >= cap)
				return false;
			memcpy(out, value, n);
			out[n] = '\0';
			return true;
		}
		line = end + 1;
	}
	return false;
}

/* Whether the line has so many numbers, and all are this one. */
static bool
only_number(const struct difference *r, const char *text, const char *key, unsigned min,
    unsigned max, unsigned long want)
{
	char value[256], expected[32];
	char *rest = value;
	char *word;
	unsigned n = 0;

	(void)snprintf(expected, sizeof(expected), "%lu", want);
	if (!line_of(text, key, value, sizeof(value)))
		return differ(r, "the kernel does not say \"%s\"", key);
	while (value[0] != '\0' && (word = strsep(&rest, " \t")) != NULL) {
		if (strcmp(word, expected) != 0)
			return differ(r, "%s is %.64s instead of %lu", key, word, want);
		n++;
	}
	return n >= min && n <= max ? true : differ(r, "%s has %u numbers", key, n);
}

static bool
no_capabilities(const struct difference *r, const char *status)
{
	static const char *const sets[] = { "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:" };
	char value[64];

	for (size_t i = 0; i < SP_ARRAY_LEN(sets); i++) {
		if (!line_of(status, sets[i], value, sizeof(value)) || value[0] == '\0')
			return differ(r, "the kernel does not say \"%s\"", sets[i]);
		if (value[strspn(value, "0")] != '\0')
			return differ(r, "it has capabilities: %s %s", sets[i], value);
	}
	return true;
}

static bool
is_powerless(const struct difference *r, const char *status)
{
	return no_capabilities(r, status) && only_number(r, status, "NoNewPrivs:", 1, 1, 1);
}

/* The first one of a process id namespace below ours. */
static bool
own_processes(const struct difference *r, const char *status)
{
	char value[256];
	const char *last;

	if (!line_of(status, "NSpid:", value, sizeof(value)))
		return differ(r, "the kernel does not say \"NSpid:\"");
	last = strrchr(value, '\t');
	if (last == NULL || strcmp(last + 1, "1") != 0)
		return differ(r, "it has no process ids of its own");
	return true;
}

static bool
same_limit(const struct difference *r, const char *limits, const char *name, uint32_t want)
{
	char value[128], expected[32], soft[32], hard[32];

	(void)snprintf(expected, sizeof(expected), "%" PRIu32, want);
	if (!line_of(limits, name, value, sizeof(value)) ||
	    sscanf(value, "%31s %31s", soft, hard) != 2)
		return differ(r, "the kernel does not say \"%s\"", name);
	if (strcmp(soft, expected) != 0 || strcmp(hard, expected) != 0)
		return differ(r, "\"%s\" is %s and %s instead of %s", name, soft, hard, expected);
	return true;
}

/* A user namespace that changes no number is the host's: ids are what they seem. */
static bool
has_host_users(const struct kernel_account *a)
{
	unsigned long inside, outside, n;

	/* NOLINTNEXTLINE(cert-err34-c): what is no such number is none of these either */
	return sscanf(a->uid_map, "%lu %lu %lu", &inside, &outside, &n) == 3 && inside == 0 &&
	    outside == 0 && n == UINT32_MAX;
}

static bool
same_process(const struct difference *r, const struct kernel_account *a,
    const struct engine_container_spec *s)
{
	if (!is_powerless(r, a->status) || !only_number(r, a->status, "Seccomp:", 1, 1, 2) ||
	    !own_processes(r, a->status))
		return false;
	if (!has_host_users(a))
		return differ(r,
		    "its user ids are not the host's: the engine is rootless, or maps them");
	if (a->net == a->host_net)
		return differ(r, "it is in the host's network");
	return s == NULL ||
	    (only_number(r, a->status, "Uid:", 4, 4, s->uid) &&
		only_number(r, a->status, "Gid:", 4, 4, s->gid) &&
		only_number(r, a->status, "Groups:", 0, 1, s->gid) &&
		same_limit(r, a->limits, "Max open files", s->nofile) &&
		same_limit(r, a->limits, "Max core file size", 0));
}

/* ---- mounts ---- */

/* Blanks and the like are written as three octal digits. */
static void
unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in != '\0';) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
		    in[3] >= '0' && in[3] <= '7') {
			*out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
			in += 4;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
}

/* Takes the line apart in its place. "36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/x rw" */
static bool
parse_mount(char *line, struct seen *ret)
{
	char *field[FIELDS_MAX];
	size_t n = 0, dash = 6;
	char *word;

	while (n < FIELDS_MAX && (word = strsep(&line, " ")) != NULL)
		field[n++] = word;
	while (dash < n && strcmp(field[dash], "-") != 0)
		dash++;
	if (line != NULL || dash + 4 != n)
		return false;
	unescape(field[4]);
	*ret = (struct seen){ .device = field[2],
		.root = field[3],
		.point = field[4],
		.options = field[5],
		.type = field[dash + 1],
		.super = field[dash + 3] };
	return true;
}

/* Of a list with commas. */
static bool
has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = options; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

/* Bytes of a memory filesystem; 0: no limit. */
static uint64_t
size_of(const struct seen *m)
{
	for (const char *at = m->super; at != NULL; at = strchr(at, ',')) {
		char *end;
		unsigned long long kib;

		at += *at == ',';
		if (strncmp(at, "size=", 5) != 0)
			continue;
		kib = strtoull(at + 5, &end, 10);
		return *end == 'k' && kib <= UINT64_MAX / 1024 ? kib * 1024 : 0;
	}
	return 0;
}

static bool
is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return strncmp(path, directory, len) == 0 && path[len] == '/';
}

static bool
is_asked(const struct difference *r, const struct engine_mount *want, const struct seen *got)
{
	if (want->kind == ENGINE_MOUNT_TMPFS) {
		uint64_t size = size_of(got);

		if (strcmp(got->type, "tmpfs") != 0)
			return differ(r, "%.128s is no memory filesystem", got->point);
		if (size < want->size || size - want->size >= TMPFS_SLACK)
			return differ(r, "%.128s has a size of %" PRIu64 " instead of %" PRIu64,
			    got->point, size, want->size);
		return has_option(got->options, "nosuid") && has_option(got->options, "nodev")
		    ? true
		    : differ(r, "%.128s may have devices or programs of other users", got->point);
	}
	if ((want->kind == ENGINE_MOUNT_BIND || want->read_only) && !has_option(got->options, "ro"))
		return differ(r, "%.128s can be written", got->point);
	return true;
}

/* What every container has. */
enum need {
	NEED_NOTHING,
	NEED_READ_ONLY,
	NEED_SIZE,
};

static const struct system_mount {
	const char *point;
	const char *type;
	enum need need;
} system_mounts[] = {
	/* clang-format off */
	{ "/proc",          "proc",    NEED_NOTHING },
	{ "/dev",           "tmpfs",   NEED_SIZE },
	{ "/dev/pts",       "devpts",  NEED_NOTHING },
	{ "/dev/mqueue",    "mqueue",  NEED_NOTHING },
	{ "/dev/shm",       "tmpfs",   NEED_SIZE },
	{ "/sys",           "sysfs",   NEED_READ_ONLY },
	/* With cgroup v1 a directory of root's, for the links and mount points in it. */
	{ "/sys/fs/cgroup", "tmpfs",   NEED_NOTHING },
	{ "/sys/fs/cgroup", "cgroup2", NEED_READ_ONLY },
	/* clang-format on */
};

static const struct system_mount *
find_system(const struct seen *m)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(system_mounts); i++) {
		if (strcmp(system_mounts[i].point, m->point) == 0 &&
		    strcmp(system_mounts[i].type, m->type) == 0)
			return &system_mounts[i];
	}
	return NULL;
}

/* A device that holds nothing, in the place of a file. */
static bool
is_null(const struct seen *m)
{
	return strcmp(m->root, "/null") == 0 &&
	    (strcmp(m->type, "tmpfs") == 0 || strcmp(m->type, "devtmpfs") == 0);
}

/* Files of the engine's own that tell nothing of the host. /etc/hosts is not one: Podman copies the host's. */
static bool
is_own_file(const struct seen *m, const struct engine_container_spec *s)
{
	if (strcmp(m->point, "/etc/resolv.conf") == 0)
		return s == NULL || s->network != ENGINE_NETWORK_NONE;
	return strcmp(m->point, "/etc/hostname") == 0 || strcmp(m->point, PODMAN_MARK) == 0;
}

static bool
is_system(const struct difference *r, const struct engine_container_spec *s, const struct seen *m)
{
	const struct system_mount *system = find_system(m);
	bool read_only = has_option(m->options, "ro");

	if (system != NULL) {
		if (system->need == NEED_READ_ONLY && !read_only)
			return differ(r, "%s can be written", m->point);
		if (system->need == NEED_SIZE && size_of(m) == 0)
			return differ(r, "%s is memory without a limit", m->point);
		return true;
	}
	/* There it only takes something away. */
	if ((is_below(m->point, "/proc") || is_below(m->point, "/sys")) && (read_only || is_null(m)))
		return true;
	if (is_own_file(m, s) && (read_only || s == NULL || !s->read_only_root))
		return true;
	/* An earlier broker has asked for it, and seen that it was right. */
	if (s == NULL && !is_below(m->point, "/proc") && !is_below(m->point, "/sys"))
		return true;
	return differ(r, "a %.32s is mounted at %.128s that nobody asked for", m->type, m->point);
}

/* Whether the path of the kernel's is hidden or, where it need not be, can only be read. */
static bool
covers(const struct seen *m, size_t path)
{
	bool kernel = strcmp(m->type, "proc") == 0 || strcmp(m->type, "sysfs") == 0;

	if (strcmp(m->point, kernel_account_paths[path]) != 0)
		return false;
	return !kernel || (path >= KERNEL_ACCOUNT_HIDDEN && has_option(m->options, "ro"));
}

/* What has been found in the whole of a container's mountinfo. */
struct tally {
	bool asked_alone; /* what nobody asked for is not looked at */
	unsigned roots;
	bool proc;
	bool covered[KERNEL_ACCOUNT_PATHS];
	bool asked[ENGINE_MOUNTS_MAX];
	bool system[SP_ARRAY_LEN(system_mounts)];
};

static bool
take_asked(const struct difference *r, struct tally *t, const struct engine_container_spec *s,
    const struct seen *m, bool *ret_taken)
{
	*ret_taken = false;
	for (size_t i = 0; s != NULL && i < s->n_mounts && i < ENGINE_MOUNTS_MAX; i++) {
		if (strcmp(s->mounts[i].target, m->point) != 0)
			continue;
		*ret_taken = true;
		/* Of two at one place only the last is seen, and a line does not tell which that is. */
		if (t->asked[i])
			return differ(r, "two things are mounted at %.128s", m->point);
		t->asked[i] = true;
		return is_asked(r, &s->mounts[i], m);
	}
	return true;
}

static bool
take_system(const struct difference *r, const struct kernel_account *a, struct tally *t,
    const struct engine_container_spec *s, const struct seen *m)
{
	const struct system_mount *system = find_system(m);

	if (!is_system(r, s, m))
		return false;
	if (system != NULL) {
		if (t->system[system - system_mounts])
			return differ(r, "two things are mounted at %s", m->point);
		t->system[system - system_mounts] = true;
		/* A part of another one would show other processes. */
		if (strcmp(m->type, "proc") == 0 && strcmp(m->root, "/") == 0)
			t->proc = true;
	}
	if (strcmp(m->type, "mqueue") == 0 && strcmp(m->device, a->host_queues) == 0)
		return differ(r, "it has the host's message queues");
	for (size_t i = 0; i < KERNEL_ACCOUNT_PATHS; i++)
		t->covered[i] = t->covered[i] || covers(m, i);
	return true;
}

static bool
take_mount(const struct difference *r, const struct kernel_account *a, struct tally *t,
    const struct engine_container_spec *s, const struct seen *m)
{
	bool taken;

	if (t->asked_alone)
		return take_asked(r, t, s, m, &taken);
	if (strcmp(m->point, "/") == 0) {
		t->roots++;
		return s == NULL || !s->read_only_root || has_option(m->options, "ro")
		    ? true
		    : differ(r, "its root can be written");
	}
	if (!take_asked(r, t, s, m, &taken))
		return false;
	return taken || take_system(r, a, t, s, m);
}

static bool
has_all_asked(const struct difference *r, const struct tally *t,
    const struct engine_container_spec *s)
{
	for (size_t i = 0; s != NULL && i < s->n_mounts; i++) {
		if (i >= ENGINE_MOUNTS_MAX || !t->asked[i])
			return differ(r, "nothing is mounted at %.128s", s->mounts[i].target);
	}
	return true;
}

static bool
is_complete(const struct difference *r, const struct kernel_account *a, const struct tally *t,
    const struct engine_container_spec *s)
{
	if (t->asked_alone)
		return has_all_asked(r, t, s);
	if (t->roots != 1 || !t->proc)
		return differ(r, "its root or /proc is not mounted once");
	for (size_t i = 0; i < KERNEL_ACCOUNT_PATHS; i++) {
		if (a->there[i] && !t->covered[i])
			return differ(r, "%s is not %s", kernel_account_paths[i],
			    i < KERNEL_ACCOUNT_HIDDEN ? "hidden" : "read-only");
	}
	return has_all_asked(r, t, s);
}

static bool
same_mounts(const struct difference *r, const struct kernel_account *a,
    const struct engine_container_spec *s, bool asked_alone)
{
	size_t len = strlen(a->mountinfo);
	struct tally t = { .asked_alone = asked_alone };
	char *copy, *rest, *line;
	struct seen m;
	bool good = true;

	if (len == 0 || a->mountinfo[len - 1] != '\n')
		return differ(r, "what the kernel says of its mounts is cut short");
	copy = rest = strdup(a->mountinfo);
	if (copy == NULL)
		return differ(r, "out of memory");
	while (good && (line = strsep(&rest, "\n")) != NULL) {
		if (line[0] == '\0' && rest == NULL)
			break;
		if (parse_mount(line, &m))
			good = take_mount(r, a, &t, s, &m);
		else
			good = differ(r, "what the kernel says of its mounts is not understood");
	}
	free(copy);
	return good && is_complete(r, a, &t, s);
}

int
kernel_account_judge(const struct kernel_account *a, const struct engine_container_spec *spec,
    char *why, size_t cap)
{
	const struct difference r = { why, cap };

	if (same_process(&r, a, spec) && same_mounts(&r, a, spec, false))
		return 0;
	return KERNEL_ACCOUNT_E_DIFFERS;
}

int
kernel_account_judge_docker(const struct kernel_account *a,
    const struct engine_container_spec *spec, char *why, size_t cap)
{
	const struct difference r = { why, cap };

	if (has_host_users(a) && !is_powerless(&r, a->status))
		return KERNEL_ACCOUNT_E_DIFFERS;
	return spec == NULL || same_mounts(&r, a, spec, true) ? 0 : KERNEL_ACCOUNT_E_DIFFERS;
}
