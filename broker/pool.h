/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that are started before anybody asks for them, so many for each profile as its "pool" says.
 * Each is handed out once, and is then what a new one would be; a profile or an image that changes
 * empties its part of the pool. What waits takes its place among those that the ceilings allow everybody, and
 * gives way when a login needs that.
 */
#ifndef SP_POOL_H
#define SP_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

struct audit_subject;
struct broker;
struct container;
struct container_owner;
struct policy_grant;
struct pool;

/* It fills itself from broker.policy once the engine answers. 0 or -ENOMEM. */
SP_MUST_CHECK int pool_new(struct broker *b, struct pool **ret);
/* After the containers' set. NULL is fine. */
void pool_free(struct pool *p);

/* broker.policy is another one: what it does not want ends, what it wants comes. */
void pool_policy_changed(struct pool *p);
/* The engine is back, or a place for a container has become free. */
void pool_kick(struct pool *p);
/* What waits holds so many places, and so much memory. p may be NULL. */
void pool_waiting(const struct pool *p, uint64_t *ret_containers, uint64_t *ret_memory);
/* Somebody has taken a place: as long as everybody's ceilings are exceeded, what waits ends. p may be NULL. */
void pool_give_way(struct pool *p);
/* Nothing is started any more, and all of them end. */
void pool_stop(struct pool *p);

#define POOL_E_EMPTY 1 /* there is none that fits */

/*
 * A container for this grant, from now on its owner's (container_release()). It may not be up yet. The
 * audit log hears of it first. It still has the place that it
 * waited in: container_set_place() is to follow. p may be NULL. 0, POOL_E_EMPTY, or -errno.
 */
SP_MUST_CHECK int pool_take(struct pool *p, struct policy_grant *grant,
    const struct audit_subject *who, const struct container_owner *owner, struct container **ret);
/* Whether pool_take() would find one. */
bool pool_has(const struct pool *p, const struct policy_grant *grant);

struct pool_counts {
	unsigned wanted;
	unsigned ready;
	unsigned starting;
};
/* p may be NULL. */
struct pool_counts pool_counts(const struct pool *p);

#endif
