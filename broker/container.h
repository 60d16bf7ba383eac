/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container from the decision to have it until the engine has removed it, and the set of all of
 * them. Its owner (a peer) hears when programs can be started or why not; after container_release()
 * it hears nothing more and the container ends by itself: its processes get a hang-up, then after
 * the profile's grace time SIGKILL, then the engine removes it.
 */
#ifndef SP_CONTAINER_H
#define SP_CONTAINER_H

#include <stdbool.h>

#include "attr.h"
#include "data_path.h"

struct broker;
struct ceiling_hold;
struct container;
struct container_set;
struct guest_connect;
struct guest_listen;
struct guest_spawn;
struct policy_grant;

struct container_owner {
	void (*up)(void *arg, struct container *c);
	/* It will not come up, or it has ended. text: a sentence for the user. The owner still has to
	 * release it. */
	void (*down)(void *arg, struct container *c, const char *text);
	void *arg;
};

/* 0 or -errno. */
SP_MUST_CHECK int container_set_new(struct broker *b, struct container_set **ret);
void container_set_free(struct container_set *set);
/* Containers that exist, including those that are on their way out. */
unsigned container_set_count(const struct container_set *set);
/* Whether one of them has this name. */
bool container_set_has(const struct container_set *set, const char *name);
/* Do not wait for any grace time any more. */
void container_set_hurry(struct container_set *set);

/*
 * Begin to make a container for the grant (a reference is taken).
 * connection and user are for labels and logs. 0 or -errno.
 */
SP_MUST_CHECK int container_new(struct broker *b, struct policy_grant *grant, const char *connection,
    const char *user, const struct container_owner *owner, struct container **ret);

/* For people: its name; its id, "" until the engine has made it; "starting", "up", "down", "leaving". */
const char *container_name(const struct container *c);
const char *container_id(const struct container *c);
const char *container_state_name(const struct container *c);

bool container_is_up(const struct container *c);
/* Why it is down, or NULL. */
const char *container_down_text(const struct container *c);

/* Start a program in a container that is up. As data_path_ops.start. */
SP_MUST_CHECK int container_start(struct container *c, const struct guest_spawn *order,
    struct data_path_streams *ret);

/* Make a connection in its network. As data_path_ops.connect. */
SP_MUST_CHECK int container_connect(struct container *c, const struct guest_connect *order,
    struct data_path_streams *ret);

/* Listen in its network, or in its file system. As data_path_ops.listen. */
SP_MUST_CHECK int container_listen(struct container *c, const struct guest_listen *order,
    struct data_path_streams *ret);

/* It holds this place (takes *place) until its processes are gone and the engine is told to remove it. */
void container_set_place(struct container *c, struct ceiling_hold **place);

/* The owner has no more use for it. */
void container_release(struct container *c);

#endif
