/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the data path "direct" reaches into the containers of an engine, by what that says of itself: the guest
 * reports on a socket of this host, which another machine does not have, nor a container with a kernel of its own.
 */
#ifndef SP_DATA_PATH_REACH_H
#define SP_DATA_PATH_REACH_H

#include <stdbool.h>
#include <stddef.h>

#include "attr.h"

struct config;
struct engine_info;
struct policy_profile;

#define DATA_PATH_REACH_ADVICE "\"data_path\": \"engine\" in the profile's \"container\""

/*
 * False: logins with this profile will fail, and why[cap] is the sentence. Another machine is one of another name with
 * another kernel or memory; where the configuration says how the engine's host sees our directories, it is not asked.
 */
SP_MUST_CHECK bool data_path_reaches(const struct config *config,
    const struct policy_profile *profile, const struct engine_info *info, char *why, size_t cap);

#endif
