/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's counter of who was killed for want of memory: where it is, and what it says. Pure. The texts are the
 * kernel's own, but the names of cgroups are the engine's.
 */
#include "oom_count.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUPS "/sys/fs/cgroup"

/* What comes behind the number of a hierarchy, up to the path; where it is mounted; the file. */
static const struct version {
	const char *head;
	const char *mount;
	const char *file;
} versions[] = {
	/* Where memory is version 1's, version 2 is there as well, without it. */
	{ ":memory:", CGROUPS "/memory", "memory.oom_control" },
	{ "::", CGROUPS, "memory.events" },
};

/* Whether looking it up leads to that very cgroup below the mount point. */
static bool
is_plain(const char *path)
{
	for (const char *at = path; *at != '\0';) {
		size_t len;

		if (*at++ != '/')
			return false;
		len = strcspn(at, "/");
		if (len == 0 || (len == 1 && at[0] == '.') || (len == 2 && strncmp(at, "..", 2) == 0))
			return false;
		at += len;
	}
	return true;
}

/* The path behind the line's head: "4:memory:/docker/…", "0::/docker/…". False: there is no such line. */
static bool
path_of(const char *cgroup, const char *head, char *out, size_t cap)
{
	/* One without its end has been cut. */
	for (const char *line = cgroup, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		const char *path = line + strspn(line, "0123456789");
		size_t len;

		if (strncmp(path, head, strlen(head)) != 0)
			continue;
		path += strlen(head);
		len = (size_t)(end - path);
		if (len >= cap)
			return false;
		memcpy(out, path, len);
		out[len] = '\0';
		return true;
	}
	return false;
}

bool
oom_count_place(const char *cgroup, const char *id, char path[OOM_COUNT_PATH_MAX])
{
	char own[OOM_COUNT_PATH_MAX];

	for (size_t i = 0; i < SP_ARRAY_LEN(versions); i++) {
		const struct version *v = &versions[i];
		int n;

		if (!path_of(cgroup, v->head, own, sizeof(own)))
			continue;
		n = snprintf(path, OOM_COUNT_PATH_MAX, "%s%s/%s", v->mount, own, v->file);
		return is_plain(own) && id[0] != '\0' && strstr(own, id) != NULL && n > 0 &&
		    n < OOM_COUNT_PATH_MAX;
	}
	return false;
}

/* The number in the line "KEY NUMBER". False: there is no such line. */
static bool
number_of(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);

	for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		const char *digits = line + len + 1;
		char *stop;

		if (strncmp(line, key, len) != 0 || line[len] != ' ' || *digits < '0' || *digits > '9')
			continue;
		*ret = strtoull(digits, &stop, 10);
		return stop == end;
	}
	return false;
}

bool
oom_count_parse(const char *text, struct oom_count *ret)
{
	if (!number_of(text, "oom_kill", &ret->killed))
		return false;
	if (!number_of(text, "oom", &ret->at_limit))
		ret->at_limit = ret->killed;
	return true;
}
