/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by container.c, container_oom.c, container_rest.c and container_set.c; nobody else includes it. */
#ifndef SP_CONTAINER_PRIV_H
#define SP_CONTAINER_PRIV_H

#include <sys/queue.h>

#include "container.h"
#include "engine_spec.h"
#include "instance.h"
#include "ipc.h"
#include "made_of.h"
#include "oom_count.h"

struct bind_check;
struct ceiling_hold;
struct engine_call;
struct event;
struct launch_order;

enum container_state {
	CONTAINER_RESERVED,  /* nothing is known but who wants it */
	CONTAINER_LAUNCHING, /* the engine makes and starts it */
	CONTAINER_REPORTING, /* it runs; its data path is not ready */
	CONTAINER_UP,
	CONTAINER_DOWN,    /* failed or ended; the owner has been told */
	CONTAINER_LEAVING, /* released; its processes have their grace time */
	CONTAINER_EMPTY,   /* they are gone; it is removed when there is time for that */
};

/* One of those who have it. */
struct member {
	TAILQ_ENTRY(member) link;
	struct container_owner owner;
};

TAILQ_HEAD(member_list, member);

struct container {
	TAILQ_ENTRY(container) link;
	struct container_set *set;
	struct broker *broker;
	struct policy_grant *grant; /* keeps the profile alive; NULL: an earlier run's */
	struct member_list members;
	struct container_keeper keeper; /* functions NULL: none */
	enum container_state state;
	uint32_t grace_ms;
	char *image; /* the reference; NULL: not known yet */
	char image_id[ENGINE_ID_LEN + 1];
	char made_of[MADE_OF_LEN + 1];
	char name[INSTANCE_NAME_LEN + 1];
	char proof[INSTANCE_PROOF_LEN + 1];
	char connection[16];
	char id[ENGINE_ID_LEN + 1]; /* "" until it exists */
	char down_text[IPC_TEXT_MAX];
	struct ceiling_hold *place;
	struct launch_order *ordered; /* until the engine is asked */
	struct bind_check *check;
	struct engine_call *launch; /* or the look at one that was found */
	const struct data_path_ops *ops;
	struct data_path *path;
	int pidfd;      /* -1: not known yet, or the engine alone knows when it ends */
	char *oom_file; /* oom_count.h; NULL: not known */
	struct oom_count oom_seen;
	struct event *ended; /* the container's first process is gone; or it is time to ask the engine again */
	struct engine_call *waiting; /* until the engine says that it has ended, or how it is */
	struct event *grace;
	int empty_fd; /* has a byte when its processes are gone; -1: that is not told */
	struct event *emptied;
	int64_t empty_since;
};

TAILQ_HEAD(container_list, container);

struct container_set {
	struct broker *broker;
	struct container_list list;
	struct container *next; /* for container_set_visit(): never one that is gone */
	int64_t login_at;       /* the last one that got a container which is not kept */
	struct event *rest;
};

/* Its processes are killed, the engine is told to remove it, and it is forgotten. */
void container_discard(struct container *c);
/* It is leaving, and its processes have been told to end: it is discarded after that, when there is time.
 * empty_fd as of data_path_ops.hang_up, or -1. */
void container_rest(struct container *c, int empty_fd);
/* For the set's event: look who has waited long enough. */
void container_rest_look(int fd, short what, void *arg);
/* Free it, and whatever it has; nobody is told but its keeper. */
void container_forget(struct container *c);
/* The member whose arg this is, or NULL. */
struct member *container_find_member(const struct container *c, const void *owner);

#endif
