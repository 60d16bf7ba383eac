/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Until when a container is kept that nobody is in, for the broker's next run. A mark is an empty
 * directory whose name says it all, in the state directory: it is there or it is not, so there is nothing
 * that could be cut or half written. Without a mark a container is kept from the start of the run that
 * finds it. Times are seconds since the machine started: they do not jump, and no container outlives that.
 */
#ifndef SP_KEEP_MARK_H
#define SP_KEEP_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

/* In place of a time: it was to end with the last who was in it, and nobody comes back from an earlier run. */
#define KEEP_MARK_ENDED 1

/* In the state directory, made by who starts the service. */
#define KEEP_MARK_DIRECTORY "kept"

/* Seconds since the machine started, sleep included. */
int64_t keep_mark_now(void);

/* 0 or -errno. */
SP_MUST_CHECK int keep_mark_set(const char *state_dir, const char *name, int64_t until);
void keep_mark_clear(const char *state_dir, const char *name, int64_t until);
/* The mark of this container, or 0: it has none. Of several (there should not be) the latest. */
int64_t keep_mark_find(const char *state_dir, const char *name);
/* Remove the marks of all containers that has() does not know. */
void keep_mark_sweep(const char *state_dir, bool (*has)(void *arg, const char *name), void *arg);

#endif
