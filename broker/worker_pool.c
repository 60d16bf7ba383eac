/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: the set of workers, and the connection to the spawner. */
#include "worker_pool.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "audit.h"
#include "broker.h"
#include "config.h"
#include "fd.h"
#include "log.h"
#include "peer.h"
#include "spawner.h"

#define RETRY_SECONDS 1 /* after a worker that could not be started: no spinning */

TAILQ_HEAD(peer_list, peer);

struct worker_pool {
	struct broker *broker;
	struct worker_pool_events events;
	struct peer_list peers;
	int spawner_fd;
	struct event *spawner_event;
	struct event *retry;
	uint32_t next_token;
	bool proven; /* at least one worker has become ready */
	bool draining;
};

static unsigned
count(const struct worker_pool *pool, unsigned states)
{
	const struct peer *p;
	unsigned n = 0;

	TAILQ_FOREACH(p, &pool->peers, link)
	{
		if (((unsigned)p->state & states) != 0)
			n++;
	}
	return n;
}

/* Workers that have, or will have, no client. */
static unsigned
count_spare(const struct worker_pool *pool)
{
	const struct peer *p;
	unsigned n = 0;

	TAILQ_FOREACH(p, &pool->peers, link)
	{
		if ((p->state == PEER_STARTING || p->state == PEER_IDLE) && p->client_fd < 0)
			n++;
	}
	return n;
}

static struct peer *
start_worker(struct worker_pool *pool)
{
	struct peer *p;
	int ipc = -1;
	int log = -1;
	int r = peer_new(pool->broker, pool->next_token, &p, &ipc, &log);

	if (r == 0) {
		r = spawner_request(pool->spawner_fd, pool->next_token, ipc, log);
		fd_close(&ipc);
		fd_close(&log);
		TAILQ_INSERT_TAIL(&pool->peers, p, link);
		pool->next_token++;
		if (r < 0) {
			peer_not_started(p, -r);
			return NULL;
		}
		return p;
	}
	log_error("cannot start a worker: %s", strerror(-r));
	return NULL;
}

static void
retry_later(struct worker_pool *pool)
{
	struct timeval tv = { .tv_sec = RETRY_SECONDS };

	if (!pool->draining && event_add(pool->retry, &tv) < 0)
		log_error("cannot arm a timer");
}

static void
refill(struct worker_pool *pool)
{
	unsigned wanted = pool->broker->config->worker.prespawn;

	if (!pool->proven && wanted == 0)
		wanted = 1; /* the lock-down is proven before anybody is served */
	while (!pool->draining && count_spare(pool) < wanted) {
		if (start_worker(pool) == NULL) {
			retry_later(pool);
			return;
		}
	}
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	refill(arg);
}

static struct peer *
find(struct worker_pool *pool, uint32_t token)
{
	struct peer *p;

	TAILQ_FOREACH(p, &pool->peers, link)
	{
		if (p->token == token)
			return p;
	}
	return NULL;
}

static void
on_spawner_event(struct worker_pool *pool, struct spawner_event *e)
{
	struct peer *p = find(pool, e->token);

	if (e->kind == SPAWNER_AUDIT_OPENED)
		audit_reopened(pool->broker->audit, &e->fd);
	else if (e->kind == SPAWNER_AUDIT_FAILED)
		log_error("the audit log is still written to the old file");
	else if (p == NULL)
		log_error("spawner reported a worker that is not known");
	else if (e->kind == SPAWNER_STARTED)
		peer_started(p, e->pid, &e->fd);
	else if (e->kind == SPAWNER_FAILED)
		peer_not_started(p, e->error);
	else
		peer_exited(p, e->status);
}

static void
on_spawner(evutil_socket_t fd, short what, void *arg)
{
	struct worker_pool *pool = arg;
	struct spawner_event e;
	int r;

	(void)what;
	while ((r = spawner_next_event(fd, &e)) == 0) {
		on_spawner_event(pool, &e);
		fd_close(&e.fd);
	}
	if (r != SPAWNER_E_AGAIN) {
		(void)event_del(pool->spawner_event);
		pool->events.broken(pool->events.arg, "the spawner process is gone");
	}
}

int
worker_pool_new(struct broker *b, int spawner_fd, const struct worker_pool_events *events,
    struct worker_pool **ret)
{
	struct worker_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return -ENOMEM;
	TAILQ_INIT(&pool->peers);
	pool->broker = b;
	pool->events = *events;
	pool->spawner_fd = spawner_fd;
	pool->spawner_event = event_new(b->base, spawner_fd, EV_READ | EV_PERSIST, on_spawner, pool);
	pool->retry = evtimer_new(b->base, on_retry, pool);
	b->workers = pool;
	if (pool->spawner_event == NULL || pool->retry == NULL ||
	    event_add(pool->spawner_event, NULL) < 0) {
		worker_pool_free(pool);
		b->workers = NULL;
		return -ENOMEM;
	}
	*ret = pool;
	refill(pool);
	return 0;
}

void
worker_pool_free(struct worker_pool *pool)
{
	if (pool == NULL)
		return;
	if (pool->spawner_event != NULL)
		event_free(pool->spawner_event);
	if (pool->retry != NULL)
		event_free(pool->retry);
	fd_close(&pool->spawner_fd);
	free(pool);
}

void
worker_pool_reopen_audit(struct worker_pool *pool)
{
	int r = pool->broker->audit != NULL ? spawner_open_audit(pool->spawner_fd) : 0;

	if (r < 0)
		log_error("the audit log cannot be opened anew: %s", strerror(-r));
}

bool
worker_pool_is_empty(const struct worker_pool *pool)
{
	return TAILQ_EMPTY(&pool->peers);
}

unsigned
worker_pool_connections(const struct worker_pool *pool)
{
	return count(pool, PEER_EXCHANGE | PEER_LOGIN | PEER_LOGGED_IN);
}

/* A connection that is not served hears why: silent drops cost its owner days. */
static void
refuse(int *client_fd, const char *why)
{
	static const char line[] = "sallyport: too many connections, try again later\r\n";

	log_warn("connection refused: %s", why);
	(void)send(*client_fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	fd_close(client_fd);
}

/* A worker without a client: one that is ready, else one that will be. */
static struct peer *
take_spare(struct worker_pool *pool)
{
	struct peer *starting = NULL;
	struct peer *p;

	TAILQ_FOREACH(p, &pool->peers, link)
	{
		if (p->client_fd >= 0)
			continue;
		if (p->state == PEER_IDLE)
			return p;
		if (p->state == PEER_STARTING && starting == NULL)
			starting = p;
	}
	return starting != NULL ? starting : start_worker(pool);
}

void
worker_pool_serve(struct worker_pool *pool, int *client_fd, const struct sockaddr_storage *source)
{
	const struct config *c = pool->broker->config;
	unsigned waiting = count(pool, PEER_STARTING | PEER_IDLE) - count_spare(pool);
	unsigned unauthenticated = count(pool, PEER_EXCHANGE | PEER_LOGIN);
	struct peer *p;

	if (unauthenticated + waiting >= c->login.max_startups) {
		refuse(client_fd, "login.max_startups is reached");
		return;
	}
	if (worker_pool_connections(pool) + waiting >= c->limits.connections) {
		refuse(client_fd, "limits.connections is reached");
		return;
	}
	p = take_spare(pool);
	if (p == NULL) {
		refuse(client_fd, "no worker could be started");
		return;
	}
	peer_serve(p, client_fd, source);
	refill(pool);
}

void
worker_pool_peer_ready(struct worker_pool *pool, struct peer *p)
{
	(void)p;
	if (!pool->proven) {
		pool->proven = true;
		pool->events.ready(pool->events.arg);
	}
}

void
worker_pool_peer_gone(struct worker_pool *pool, struct peer *p, bool was_ready)
{
	TAILQ_REMOVE(&pool->peers, p, link);
	if (pool->draining)
		return;
	if (!was_ready && !pool->proven)
		pool->events.broken(pool->events.arg, "no worker could be started and locked down");
	else if (!was_ready)
		retry_later(pool);
	else
		refill(pool);
}

void
worker_pool_visit(struct worker_pool *pool, worker_pool_visit_fn *visit, void *arg)
{
	struct peer *p;
	struct peer *next;

	for (p = TAILQ_FIRST(&pool->peers); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->state == PEER_EXCHANGE || p->state == PEER_LOGIN || p->state == PEER_LOGGED_IN)
			visit(p, arg);
	}
}

void
worker_pool_drain(struct worker_pool *pool, const char *text, bool end)
{
	struct peer *p;
	struct peer *next;

	pool->draining = true;
	for (p = TAILQ_FIRST(&pool->peers); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->state == PEER_LOGGED_IN)
			peer_notice(p, end ? IPC_NOTICE_END : IPC_NOTICE_TEXT, text);
		else if (p->state != PEER_ENDED)
			peer_end(p, "service is stopping");
	}
}

void
worker_pool_end_all(struct worker_pool *pool, const char *reason)
{
	struct peer *p;
	struct peer *next;

	pool->draining = true;
	for (p = TAILQ_FIRST(&pool->peers); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		peer_end(p, reason);
	}
}
