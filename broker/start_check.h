/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-broker -t: whether a start would find what it opens. Nothing is made, and no right is needed that the
 * broker itself does not have: what this user cannot see is no fault.
 */
#ifndef SP_START_CHECK_H
#define SP_START_CHECK_H

#include <stdbool.h>

#include "attr.h"

struct config;

/*
 * Each fault is logged. own_spawner: workers are started from here. False: a start would fail. Else *ret_all_keys is
 * whether every host key was looked at, or will be made: by hand there is no way to the service manager's.
 */
SP_MUST_CHECK bool start_check(const struct config *c, bool own_spawner, bool *ret_all_keys);

#endif
