/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service as a whole: what main() owns, from the start (service_start.c) to the end (service_run.c).
 */
#ifndef SP_SERVICE_H
#define SP_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"
#include "broker.h"
#include "engine.h"
#include "engine_json_read.h"
#include "policy.h"

struct control;
struct event;

struct service_options {
	const char *config;
	const char *spawner; /* socket of one that the service manager starts */
	bool be_spawner;
	bool check_only;
	bool doctor;
	bool verbose;
};

/* Everything that main() owns. */
struct service {
	struct service_options options;
	struct config *config;
	struct listener *listener;
	struct control *control;
	struct broker broker;
	struct event *signals[3];
	struct event *status;
	struct event *watchdog;
	struct event *tick;
	int64_t stop_since; /* ms */
	bool told_to_end;
	bool podman_said; /* what is different with it */
	bool workers_ready;
	bool engine_heard; /* it has said what it is, or not in time */
	struct policy_engine engine; /* what of it decides the data path: what was so in an earlier run, at first */
	struct engine_info engine_info; /* what the engine said last; empty before */
	bool info_of_podman;
	bool info_known;
	bool info_failed;           /* and is asked for again */
	struct engine_call *asking; /* for it */
	bool back;                  /* the engine is: its answer is what the containers wait for */
	int exit_code;
};

/* ---- service_start.c ---- */

/* Everything until workers are there, the lock-down included. 0, or an error, which is logged. */
SP_MUST_CHECK int service_start(struct service *s);
void service_free(struct service *s);

/* Load the policy and say on stderr what is wrong with it. NULL: it has errors. */
struct policy *service_load_policy(const char *path);

/* ---- service_spawner.c ---- */

/*
 * Who starts workers, and who opens the audit log anew: one child of ours, or a process of the service
 * manager's that has other rights than we, and a child that has the same. -1: the first does both.
 */
SP_MUST_CHECK int service_start_spawner(const struct service *s, int *ret_fd, int *ret_opener_fd);

/*
 * -W: started by the service manager for one connection of the broker, with the privileges that the
 * broker's own unit does not have. Returns, with an exit code, only when there is nobody to serve.
 */
int service_be_spawner(const struct service *s);

/* ---- service_run.c ---- */

/* Signals and clocks. 0 or -errno. */
SP_MUST_CHECK int service_make_events(struct service *s);

/* Of the engine, of the workers, and of who looks at binds; arg: the service. */
void service_on_engine_health(void *arg, enum engine_health health, const char *reason);
void service_on_workers_ready(void *arg);
void service_on_workers_broken(void *arg, const char *why);
void service_on_binds_broken(void *arg);

/* Which policy is in force: into the audit log. */
void service_audit_policy(const struct service *s);

#endif
