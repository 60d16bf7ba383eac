/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every part of the running broker shares: one struct, made in main.c, passed by pointer.
 * Nothing of it is in a global.
 */
#ifndef SP_BROKER_H
#define SP_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "instance.h"

struct audit;
struct bind_checker;
struct ceilings;
struct config;
struct container_set;
struct engine;
struct event_base;
struct host_key_set;
struct image_watch;
struct listener;
struct policy;
struct pool;
struct shadow;
struct user_containers;
struct worker_pool;

/* Since the start, for the administrator. */
struct broker_counters {
	uint64_t logins;
	uint64_t logins_refused; /* also of strangers */
	uint64_t keys_refused;   /* that were offered, before any signature */
	uint64_t requests_refused;
	uint64_t violations;
	uint64_t containers;        /* that were asked of the engine */
	uint64_t containers_failed; /* of these: did not come up */
};

struct broker {
	struct event_base *base;
	const struct config *config;
	struct host_key_set *host_keys;
	struct policy *policy; /* current generation; sessions hold their own reference */
	unsigned generation;   /* counts successful loads, from 1 */
	int64_t rejected_at;   /* of time(2): the last load since had errors; 0: it had none */
	struct shadow *shadow; /* NULL: none is configured */
	struct instance instance;
	struct audit *audit; /* NULL: none is configured */
	struct write_budgets *write_budgets;
	struct engine *engine;
	bool sees_others;          /* other users' processes, in /proc */
	struct ceilings *ceilings; /* what is held of them */
	struct bind_checker *binds;
	struct container_set *containers;
	struct image_watch *images;
	struct pool *pool;
	struct user_containers *user_containers;
	struct worker_pool *workers;
	const struct listener *listener; /* NULL: nobody is accepted yet */
	struct broker_counters counters;
	unsigned late_looks; /* sweep.c: for containers of an earlier run, still to be made */
	bool look_is_due;    /* and a timer runs for the next of them */
	bool draining;       /* told to stop: nothing new */
};

#endif
