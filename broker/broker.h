/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every part of the running broker shares: one struct, made in main.c, passed by pointer.
 * There are no globals.
 */
#ifndef SP_BROKER_H
#define SP_BROKER_H

#include <stdbool.h>

#include "instance.h"

struct audit;
struct config;
struct container_set;
struct engine;
struct event_base;
struct host_key_set;
struct policy;
struct worker_pool;

struct broker {
	struct event_base *base;
	const struct config *config;
	struct host_key_set *host_keys;
	struct policy *policy; /* current generation; sessions hold their own reference */
	unsigned generation;   /* counts successful loads, from 1 */
	struct instance instance;
	struct audit *audit; /* NULL: none is configured */
	struct engine *engine;
	struct container_set *containers;
	struct worker_pool *workers;
	bool draining; /* told to stop: nothing new */
};

#endif
