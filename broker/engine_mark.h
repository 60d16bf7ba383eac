/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine was when it last said so, for a run to which it does not: containers that an earlier one kept are
 * found by the data path that they were made for. Each fact is an empty directory in the state directory, as
 * keep_mark.h has them. Without any, the engine is one that is here.
 */
#ifndef SP_ENGINE_MARK_H
#define SP_ENGINE_MARK_H

struct policy_engine;

/* What cannot be written down is logged. */
void engine_mark_set(const char *state_dir, const struct policy_engine *engine);
void engine_mark_get(const char *state_dir, struct policy_engine *ret);

#endif
