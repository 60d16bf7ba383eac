/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode "user": one container for each user, target, profile, and rule whose "set" changes the profile. All
 * connections of theirs are in it, and it stays for the profile's "keep" after the last of them: also when
 * this process ends, on purpose or not. The next run finds it by its labels, of which it has a proof, and
 * by its guest, which reports to the next run as it did to this one.
 *
 * A login never gets a container that its policy would not make by now: one that was made of something
 * else, or of an image that is another one by now (image_watch.h: seen within seconds), is left to those who
 * are in it and ends with the last of them. One that no login could get any more, by the policy in force, is
 * not kept: where from, when and with which key a login will be is not known, and taken to fit.
 */
#ifndef SP_USER_CONTAINERS_H
#define SP_USER_CONTAINERS_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

struct audit_subject;
struct broker;
struct container;
struct container_owner;
struct engine_list_item;
struct policy_grant;
struct user_containers;

/* 0 or -ENOMEM. */
SP_MUST_CHECK int user_containers_new(struct broker *b, struct user_containers **ret);
/* After the containers' set, which lets go of them without ending them. NULL is fine. */
void user_containers_free(struct user_containers *u);

/* target: what the name asked for behind "+", or NULL. */
struct user_containers_login {
	struct policy_grant *grant;
	const struct audit_subject *who; /* with connection and user */
	const char *target;
	const struct container_owner *owner;
};
/*
 * The container for this login, a new one or not; it may not be up yet. The audit log hears of it first.
 * It is given back by container_release(). 0 or -errno.
 */
SP_MUST_CHECK int user_containers_get(struct user_containers *u,
    const struct user_containers_login *login, struct container **ret);

/*
 * Whether there is one already that this login would join. One that is for the same but made of something
 * else ends with the last who is in it.
 */
bool user_containers_has(struct user_containers *u, const struct user_containers_login *login);

/*
 * What the engine has of ours, at the start: true when this one is to stay. Then it has all been listed, or
 * it could not be: until one of these, logins wait, because their container may be there already.
 */
bool user_containers_found(struct user_containers *u, const struct engine_list_item *item);
void user_containers_all_found(struct user_containers *u);
void user_containers_not_found(struct user_containers *u);

/* broker.policy is another one. */
void user_containers_policy_changed(struct user_containers *u);
/* The administrator ends what a user has: with the last connection that is in it. Returns how many. */
unsigned user_containers_end(struct user_containers *u, const char *user);

/* One that is there now, whether somebody is in it or not. */
struct user_containers_view {
	const char *user;
	const char *profile;
	const struct container *container;
	unsigned sessions;
	int64_t left_ms; /* until it ends; -1: somebody is in it */
	bool retired;    /* it ends with the last who is in it */
};
void user_containers_visit(const struct user_containers *u,
    void (*visit)(const struct user_containers_view *view, void *arg), void *arg);

/* Those that nobody is in and that will be there when this process has ended. u may be NULL. */
unsigned user_containers_staying(const struct user_containers *u);
/*
 * The service stops: what this run has begun and is not up by now would stay without anybody who knows whether it
 * came up. What was found again stays, whether it has come up or not.
 */
void user_containers_stop(struct user_containers *u);

#endif
