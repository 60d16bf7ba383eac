/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: does the data path "direct" reach? The engine's words are hostile; they only make a sentence longer. */
#include "data_path_reach.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "config.h"
#include "engine_json_read.h"
#include "policy.h"

#define MEMORY_SLACK (1 << 20)

static bool
is_other_memory(int64_t bytes)
{
	struct sysinfo here;
	int64_t own;

	if (bytes <= 0 || sysinfo(&here) < 0)
		return false;
	own = (int64_t)here.totalram * here.mem_unit;
	return bytes > own + MEMORY_SLACK || bytes < own - MEMORY_SLACK;
}

static bool
is_elsewhere(const struct config *config, const struct engine_info *info, const struct utsname *here)
{
	if (strcmp(config->engine.view_runtime_dir, config->runtime_dir) != 0 ||
	    info->name[0] == '\0' || strcmp(info->name, here->nodename) == 0)
		return false;
	return (info->kernel[0] != '\0' && strcmp(info->kernel, here->release) != 0) ||
	    is_other_memory(info->memory);
}

static bool
runtime_is_apart(const char *runtime, const struct engine_info *info, char *why, size_t cap)
{
	const char *name = runtime != NULL ? runtime : info->default_runtime;

	if (!policy_runtime_has_own_kernel(name))
		return false;
	(void)snprintf(why, cap,
	    "the %s is \"%s\", into whose containers the data path \"direct\" does not reach",
	    runtime != NULL ? "runtime" : "engine's default runtime", name);
	return true;
}

static bool
engine_is_apart(const struct config *config, const struct engine_info *info, char *why, size_t cap)
{
	struct utsname here;

	if (uname(&here) < 0 || !is_elsewhere(config, info, &here))
		return false;
	(void)snprintf(why, cap,
	    "the engine runs on \"%s\" and not here, on \"%s\": the data path \"direct\" does not reach its "
	    "containers",
	    info->name, here.nodename);
	return true;
}

bool
data_path_reaches(const struct config *config, enum policy_data_path path, const char *runtime,
    const struct engine_info *info, char *why, size_t cap)
{
	return path != POLICY_DATA_PATH_DIRECT ||
	    !(runtime_is_apart(runtime, info, why, cap) || engine_is_apart(config, info, why, cap));
}

void
data_path_detect(const struct config *config, const struct engine_info *info, bool podman,
    struct policy_engine *ret, char *why, size_t cap)
{
	why[0] = '\0';
	*ret = (struct policy_engine){ .only_direct = podman };
	if (podman)
		return;
	ret->own_kernels = runtime_is_apart(NULL, info, why, cap);
	ret->elsewhere = engine_is_apart(config, info, why, cap);
}
