/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: what is remembered of the engine. */
#include "engine_mark.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attr.h"
#include "log.h"
#include "policy.h"

static const struct {
	const char *name;
	size_t offset; /* of a bool in struct policy_engine */
} marks[] = {
	{ "engine.elsewhere", offsetof(struct policy_engine, elsewhere) },
	{ "engine.own_kernels", offsetof(struct policy_engine, own_kernels) },
	{ "engine.only_direct", offsetof(struct policy_engine, only_direct) },
};

static int
path_of(const char *state_dir, size_t i, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s/%s", state_dir, marks[i].name);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int
set(const char *path, bool fact)
{
	if (fact)
		return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

void
engine_mark_set(const char *state_dir, const struct policy_engine *engine)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(marks); i++) {
		char path[PATH_MAX] = "";
		int r = path_of(state_dir, i, path);

		if (r == 0)
			r = set(path, *(const bool *)((const char *)engine + marks[i].offset));
		if (r < 0)
			log_warn("what the engine is will not be known to a start at which it does not say it: %s: %s",
			    path, strerror(-r));
	}
}

void
engine_mark_get(const char *state_dir, struct policy_engine *ret)
{
	*ret = (struct policy_engine){ .elsewhere = false };
	for (size_t i = 0; i < SP_ARRAY_LEN(marks); i++) {
		char path[PATH_MAX];
		struct stat st;

		*(bool *)((char *)ret + marks[i].offset) = path_of(state_dir, i, path) == 0 &&
		    lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
	}
}
