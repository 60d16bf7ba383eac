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

bool
data_path_reaches(const struct config *config, const struct policy_profile *profile,
    const struct engine_info *info, char *why, size_t cap)
{
	struct utsname here;

	if (profile->data_path != POLICY_DATA_PATH_DIRECT)
		return true;
	if (profile->runtime == NULL && policy_runtime_has_own_kernel(info->default_runtime)) {
		(void)snprintf(why, cap,
		    "the engine's default runtime is \"%s\", into whose containers the data path \"direct\" does "
		    "not reach: its logins fail",
		    info->default_runtime);
		return false;
	}
	if (uname(&here) == 0 && is_elsewhere(config, info, &here)) {
		(void)snprintf(why, cap,
		    "the engine runs on \"%s\" and not here, on \"%s\": the data path \"direct\" does not reach its "
		    "containers, and its logins fail",
		    info->name, here.nodename);
		return false;
	}
	return true;
}
