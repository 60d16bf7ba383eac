/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: started ahead of need, one for each connection, watched until the kernel says that they
 * are gone.
 */
#ifndef SP_WORKER_POOL_H
#define SP_WORKER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "admission.h"
#include "attr.h"
#include "ipc.h"

struct broker;
struct peer;
struct peer_client;
struct worker_pool;

/*
 * ready: called once, when the first worker has proven its lock-down. broken: the spawner is gone or
 * no worker ever became ready; the service cannot go on, why says so.
 */
struct worker_pool_events {
	void (*ready)(void *arg);
	void (*broken)(void *arg, const char *why);
	void *arg;
};

/*
 * spawner_fd: who starts workers. opener_fd: who opens the audit log anew; -1: the same. Both are
 * owned by the pool, once this has returned 0. Or -errno: then the process ends, and they with it.
 */
SP_MUST_CHECK int worker_pool_new(struct broker *b, int spawner_fd, int opener_fd,
    const struct worker_pool_events *events, struct worker_pool **ret);
void worker_pool_free(struct worker_pool *pool);

/* Serve this connection (takes *client_fd), or refuse it where a limit is reached. */
void worker_pool_serve(struct worker_pool *pool, int *client_fd, const struct peer_client *client);

/* Refuse it (takes *client_fd): why for the log, answer for the client. */
void worker_pool_refuse(struct worker_pool *pool, int *client_fd, const struct peer_client *client,
    const char *why, const char *answer);

/* Whether a line that a stranger causes may be logged now. What is left out is in the next summary. */
bool worker_pool_may_log(struct worker_pool *pool);
/* The same for an event in the audit log. */
bool worker_pool_may_audit(struct worker_pool *pool);
/* Log who was refused, and what was not logged, since the last summary; nothing: no line. */
void worker_pool_log_summary(struct worker_pool *pool);

/* Call visit for each connection that has a client. It may end the peer that it is given. */
typedef void worker_pool_visit_fn(struct peer *p, void *arg);
void worker_pool_visit(struct worker_pool *pool, worker_pool_visit_fn *visit, void *arg);

/* Begin to stop: who is not logged in goes; sessions hear text, and are ended when end is set. */
void worker_pool_drain(struct worker_pool *pool, const char *text, bool end);
/* End every worker now. */
void worker_pool_end_all(struct worker_pool *pool, const char *reason);

/* Have the audit log opened anew: it was moved away. */
void worker_pool_reopen_audit(struct worker_pool *pool);

/* Draining, and the last worker is gone. */
bool worker_pool_is_empty(const struct worker_pool *pool);
/* The spawner answers: for the watchdog. */
bool worker_pool_is_well(const struct worker_pool *pool);
/* Workers that live: all of them, and those that wait for a client. */
struct worker_pool_workers {
	unsigned all;
	unsigned spare;
	const char *reason; /* why the last one did not come up, until one does; NULL: it did. The pool's */
};
struct worker_pool_workers worker_pool_workers(const struct worker_pool *pool);
/* Connections that have a client, and what became of others, for the status line. */
struct admission_counts worker_pool_counts(const struct worker_pool *pool);

/*
 * For peer.c: the worker of p has proven its lock-down; its client has logged in; p is gone and frees
 * itself after this.
 */
void worker_pool_peer_ready(struct worker_pool *pool, struct peer *p);
void worker_pool_peer_logged_in(struct worker_pool *pool, struct peer *p);
void worker_pool_peer_gone(struct worker_pool *pool, struct peer *p, bool was_ready);
/* A worker that is not ready has said this, or has ended so: what is said when it is gone, unless another is ready. */
void worker_pool_not_ready(struct worker_pool *pool, const char *text);
void worker_pool_exited_unready(struct worker_pool *pool, int status);

#endif
