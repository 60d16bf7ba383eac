/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the data path "direct" reaches into an engine's containers, by what that says of itself: before somebody
 * logs in, in the log and in what doctor says, and for the profiles that leave it to us.
 */
#ifndef SP_DATA_PATH_REACH_H
#define SP_DATA_PATH_REACH_H

#include <stdbool.h>
#include <stddef.h>

#include "attr.h"
#include "policy.h"

struct config;
struct engine_info;

#define DATA_PATH_REACH_ADVICE \
	"take \"data_path\" out of the profile's \"container\", or set it to \"engine\""

/*
 * False: logins into a container of this runtime, or NULL for the engine's default, by this path will fail, and
 * why[cap] is the half of a sentence. Another machine is one of another name with another kernel or memory; where
 * the configuration says how the engine's host sees our directories, it is not asked.
 */
SP_MUST_CHECK bool data_path_reaches(const struct config *config, enum policy_data_path path,
    const char *runtime, const struct engine_info *info, char *why, size_t cap);

/* For policy_set_engine(). podman: it is Podman. why[cap]: what "auto" is the path "engine" for, or "". */
void data_path_detect(const struct config *config, const struct engine_info *info, bool podman,
    struct policy_engine *ret, char *why, size_t cap);

#endif
