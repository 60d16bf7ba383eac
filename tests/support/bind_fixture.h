/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a broker that looks at directories of the host: what of its own it mounts for nobody. */
#ifndef SP_BIND_FIXTURE_H
#define SP_BIND_FIXTURE_H

#include <stddef.h>

#include "config.h"

static inline struct config
bind_config(void)
{
	static const char *const no_keys[] = { NULL };

	return (struct config){
		.engine = { .socket = "/var/run/docker.sock",
		    .guest_dir = "/usr/libexec/guest",
		    .view_runtime_dir = "/run/sallyport" },
		.runtime_dir = "/run/sallyport",
		.state_dir = "/var/lib/sallyport",
		.policy = "/etc/sallyport/policy.json",
		.control = { .socket = "/run/sallyport/control.sock" },
		.worker = { .program = "/usr/libexec/sallyportd", .sandbox_required = true },
		.host_keys = no_keys,
	};
}

#endif
