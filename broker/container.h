/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container from the decision to have it until the engine has removed it, and the set of all of
 * them. Its owners (peers, or the pool) hear when programs can be started or why not; when the last one
 * has released it, it ends by itself: its processes get a hang-up, then after the profile's grace time
 * SIGKILL, then the engine removes it.
 *
 * One that has a keeper does not end with its last owner but when the keeper says so: containers of mode
 * "user" (user_containers.c).
 */
#ifndef SP_CONTAINER_H
#define SP_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"
#include "data_path.h"
#include "policy.h"

struct audit_subject;
struct broker;
struct ceiling_hold;
struct container;
struct container_set;
struct guest_connect;
struct guest_listen;
struct guest_spawn;
struct policy_grant;
struct policy_profile;

struct container_owner {
	void (*up)(void *arg, struct container *c);
	/* It will not come up, or it has ended. text: a sentence for the user. The owner still has to
	 * release it. */
	void (*down)(void *arg, struct container *c, const char *text);
	void *arg; /* who it is: one owner has a container once */
};

struct container_keeper {
	/* The last owner has gone. NULL: it ends then. */
	void (*idle)(void *arg, struct container *c);
	/* Its image has another content by now. The callee may end this container, and no other. */
	void (*stale)(void *arg, struct container *c);
	/* It ends now; or, not ended, this process lets go of it. Nothing comes after this. */
	void (*gone)(void *arg, bool ended);
	void *arg;
};

/* For a container of mode "user": what a later run has to know of it, and the proof of that. */
struct container_kept {
	const char *text;
	const char *proof;
	uint32_t keep_ms;
};

/* What is asked for. Everything is copied or counted. */
struct container_request {
	struct policy_grant *grant;
	const char *connection;            /* for labels and logs; NULL: nobody's yet */
	const char *user;                  /* the same */
	const char *name;                  /* from instance_new_name(); NULL: a new one */
	const char *made_of;               /* see made_of.h; "" where it does not matter */
	const struct container_kept *kept; /* or NULL */
};

/* 0 or -errno. */
SP_MUST_CHECK int container_set_new(struct broker *b, struct container_set **ret);
void container_set_free(struct container_set *set);
/* Containers that exist, whoever they are for, including those that are on their way out. */
unsigned container_set_count(const struct container_set *set);
/* Whether one of them has this name. */
bool container_set_has(const struct container_set *set, const char *name);
/* Do not wait for any grace time any more. */
void container_set_hurry(struct container_set *set);
/* Those in which nobody is left do not wait until logins leave time to remove them: their places are needed. */
void container_set_give_way(struct container_set *set);

typedef void container_visit_fn(struct container *c, void *arg);
/* Each of them once; fn may release the one that it is given, and have others give way; but not visit them. */
void container_set_visit(struct container_set *set, container_visit_fn *fn, void *arg);

/* Begin to make a container. 0 or -errno. */
SP_MUST_CHECK int container_new(struct broker *b, const struct container_request *request,
    const struct container_owner *owner, struct container **ret);

/*
 * The same in two steps, for what is wanted before it is known whether it has to be made: a container
 * without owners, and then one of the two below. connection: for logs, or NULL. NULL: out of memory.
 */
struct container *container_reserve(struct broker *b, const char *connection);
/* Make it. 0, or -errno: it has come to nothing, and container_fail() or container_end() is to follow. */
SP_MUST_CHECK int container_launch(struct container *c, const struct container_request *request);
/*
 * Go on with one that an earlier run has made and that runs: the caller has proven that it is ours.
 * grace_ms: what its programs get at its end. As container_launch().
 */
SP_MUST_CHECK int container_take_over(struct container *c, const char *name, const char *id,
    const char *made_of, enum policy_data_path data_path, uint32_t grace_ms);
/* Its image is not what it was: its keeper decides. */
void container_is_stale(struct container *c);
/* It will not come up: its owners are told text; without owners it ends. But when the service stops, what can stay
 * is left to the next run. */
void container_fail(struct container *c, const char *text);
/* The second half of that, for one that is down since container_launch() and has told nobody. */
void container_tell_down(struct container *c);

/* From now on somebody decides over its end. The keeper is the container's until gone(). */
void container_set_keeper(struct container *c, const struct container_keeper *keeper);

/* One more owner, who hears of an up or down that is still to come. 0 or -ENOMEM. */
SP_MUST_CHECK int container_join(struct container *c, const struct container_owner *owner);

/*
 * A container that from (the arg of its only owner) has had ready becomes somebody's: that login's grant,
 * name in logs, and owner. It has no keeper any more. The caller has written that down.
 */
void container_hand_out(struct container *c, const void *from, struct policy_grant *grant,
    const char *connection, const struct container_owner *owner);

/* For people: its name; its id, "" until the engine has made it; "starting", "up", "down", "leaving". */
const char *container_name(const struct container *c);
const char *container_id(const struct container *c);
const char *container_state_name(const struct container *c);

bool container_is_up(const struct container *c);
/*
 * Whether a later run can have it when this one lets go of it without ending it: it is up; or an earlier run has
 * made it, and in this one it has not come up so far, whether that is still to come or has failed.
 */
bool container_can_stay(const struct container *c);
/* Whether it is down after it was up: it has not failed to start, it has ended. */
bool container_has_ended(const struct container *c);
/* Why it is down, or NULL. */
const char *container_down_text(const struct container *c);

/* For the administrator, behind the name of a profile. */
#define CONTAINER_NOT_WITH_PODMAN \
	"the data path \"engine\" does not work with Podman: its logins fail"

/* For who waits for something of an engine that is away. */
#define CONTAINER_ENGINE_AWAY "The container engine is not responding. Try again later."
#define CONTAINER_ENGINE_BUSY "Too many wait for the container engine. Try again later."
#define CONTAINER_HAS_ENDED   "The container has ended. Log in again for a new one."
#define CONTAINER_NOT_STARTED "The container could not be started."
#define CONTAINER_NOT_FOUND_AGAIN \
	"The container could not be found again. Log in again for a new one."

/* For who gave an order that was refused with r: of the engine, of its end, or else the sentence about the container. */
const char *container_refusal_text(int r, const char *of_container);

/* Start a program in a container that is up. As data_path_ops.start. */
SP_MUST_CHECK int container_start(struct container *c, const struct guest_spawn *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret);

/* Make a connection in its network. As data_path_ops.connect. */
SP_MUST_CHECK int container_connect(struct container *c, const struct guest_connect *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret);

/* Give up an order to it that may be waited for. */
void container_forget_order(struct container *c, struct data_path_waiter *waiter);

/* What goes to the worker with the answer that it may have a connection. As data_path_ops.accept. */
SP_MUST_CHECK int container_accept(struct container *c, struct data_path_streams *ret);

/* Listen in its network, or in its file system. As data_path_ops.listen. */
SP_MUST_CHECK int container_listen(struct container *c, const struct guest_listen *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret);

/* It holds this place (takes *place) until its processes are gone and the engine is told to remove it. */
void container_set_place(struct container *c, struct ceiling_hold **place);

/* The image it was made of: a reference, and an id or "". */
const char *container_image(const struct container *c);
const char *container_image_id(const struct container *c);
unsigned container_owners(const struct container *c);
/* Whether it has a keeper. */
bool container_is_kept(const struct container *c);

/*
 * A program has ended in it, or it ends itself: the logs hear of processes in it that the kernel has killed for want of
 * memory since this was asked last. who: whose program, or whose container. profile: NULL: not known any more.
 */
void container_look_for_oom(struct container *c, const struct policy_profile *profile,
    const struct audit_subject *who);

/* This owner (its arg) has no more use for it. */
void container_release(struct container *c, const void *owner);

/* As container_release() by its only owner, when nothing of anybody's runs in it: without any grace, so that
 * what it held is free at once. */
void container_scrap(struct container *c, const void *owner);

/* Nobody has it, and nobody will: it ends. Not for a container that has owners. */
void container_end(struct container *c);

#endif
