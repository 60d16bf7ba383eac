/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ceilings: how much there may be at a time of what logins cost, for everybody together, for one user,
 * and for those whom one rule lets in. Read here, kept by the broker. Runs in the broker and the admin
 * tool.
 */
#include "policy_private.h"

#include <string.h>

#define COUNT_MAX 1000000
#define TIB       (UINT64_C(1) << 40)

#define COUNT(word)                                                                          \
	{                                                                                    \
		.key = #word, .read = json_read_u32,                                         \
		.offset = offsetof(struct policy_ceiling, word), .min = 1, .max = COUNT_MAX, \
	}

static const struct json_field global_fields[] = {
	COUNT(containers),
	COUNT(sessions),
	COUNT(creates_per_minute),
	{ .key = "memory",
	    .read = json_read_size,
	    .offset = offsetof(struct policy_ceiling, memory),
	    .min = 1,
	    .max = 1024 * TIB },
};

static const struct json_field group_fields[] = {
	COUNT(containers),
	COUNT(sessions),
	COUNT(creates_per_minute),
};

static const struct json_table global_table = JSON_TABLE("\"global\"", global_fields);
static const struct json_table per_user_table = JSON_TABLE("\"per_user\"", group_fields);
const struct json_table policy_rule_ceiling_table = JSON_TABLE("\"ceilings\"", group_fields);

static const struct json_field ceilings_fields[] = {
	{ .key = "global",
	    .read = json_read_table,
	    .offset = offsetof(struct policy_ceilings, global),
	    .table = &global_table },
	{ .key = "per_user",
	    .read = json_read_table,
	    .offset = offsetof(struct policy_ceilings, per_user),
	    .table = &per_user_table },
};

const struct json_table policy_ceilings_table = JSON_TABLE("\"ceilings\"", ceilings_fields);

const struct policy_ceilings *
policy_ceilings(const struct policy *p)
{
	return &p->ceilings;
}
