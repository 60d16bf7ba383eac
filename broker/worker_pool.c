/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: the set of workers, and the connection to the spawner. */
#include "worker_pool.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "audit.h"
#include "broker.h"
#include "clock.h"
#include "config.h"
#include "fd.h"
#include "log.h"
#include "log_budget.h"
#include "peer.h"
#include "spawner.h"

#define RETRY_SECONDS 1     /* after a worker that could not be started: no spinning */
#define DOWN_LOG_MS   60000 /* between two lines that say that no worker comes up */

/* Lines that strangers cause: 200 at once, then ten a second, whatever they do. */
#define LOG_LINES       200
#define LOG_INTERVAL_MS 100
/* And events in the audit log, where they stay for longer: 10000 at once, then twenty a second, a gigabyte in a day. */
#define AUDIT_EVENTS      10000
#define AUDIT_INTERVAL_MS 50

TAILQ_HEAD(peer_list, peer);

struct worker_pool {
	struct broker *broker;
	struct worker_pool_events events;
	struct peer_list peers;
	int spawner_fd;
	int opener_fd; /* of the audit log; -1: the spawner does it */
	struct event *spawner_event;
	struct event *opener_event;
	struct event *retry;
	struct admission *admission;
	struct admission_counts reported; /* what the last summary said */
	struct log_budget strangers;
	struct log_budget stranger_events;
	uint32_t next_token;
	struct log_budget downs;
	bool proven;   /* at least one worker has become ready */
	char why[512]; /* what the last one that did not has said, until one does; empty: nothing */
	bool draining;
};

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
	if (worker_pool_may_log(pool))
		log_error("cannot start a worker: %s", strerror(-r));
	worker_pool_not_ready(pool, strerror(-r));
	return NULL;
}

static void
retry_later(struct worker_pool *pool)
{
	struct timeval tv = { .tv_sec = RETRY_SECONDS };

	if (!pool->draining && event_add(pool->retry, &tv) < 0)
		log_error("no new workers are started: out of memory");
}

static void
tell_broken(struct worker_pool *pool)
{
	char text[sizeof(pool->why) + 96];

	(void)snprintf(text, sizeof(text),
	    "no worker came up: %s; sallyport doctor says what is wrong with this host",
	    pool->why[0] != '\0' ? pool->why : "it was ended");
	pool->draining = true; /* the others that fail have no other end to tell */
	pool->events.broken(pool->events.arg, text);
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

/* A start that has failed twice is over: nobody would hear of a service that never becomes ready. */
static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct worker_pool *pool = arg;

	(void)fd;
	(void)what;
	refill(pool);
	if (!pool->proven && TAILQ_EMPTY(&pool->peers))
		tell_broken(pool);
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

/*
 * A report may bring a descriptor, and one that finds no room is lost for good, with the hold on that
 * process. So each worker that is not reported yet keeps a place, and one of them is free while a report
 * is read.
 */
static int
next_report(struct worker_pool *pool, int fd, struct spawner_event *ret)
{
	struct peer *p;

	TAILQ_FOREACH(p, &pool->peers, link)
	{
		if (peer_lend_place(p))
			break;
	}
	return spawner_next_event(fd, ret);
}

static void
keep_places(struct worker_pool *pool)
{
	struct peer *p;

	TAILQ_FOREACH(p, &pool->peers, link)
	{
		peer_keep_place(p);
	}
}

static void
on_spawner_event(struct worker_pool *pool, struct spawner_event *e)
{
	struct peer *p = find(pool, e->token);

	if (e->kind == SPAWNER_AUDIT_OPENED)
		audit_reopened(pool->broker->audit, &e->fd);
	else if (e->kind == SPAWNER_AUDIT_FAILED)
		log_error("the audit log cannot be opened anew (%s): the old file is still written to; "
			  "send SIGHUP again when that is mended",
		    strerror(e->error));
	else if (p == NULL)
		log_error("spawner reported a worker that is not known");
	else if (e->kind == SPAWNER_STARTED)
		peer_started(p, e->pid, &e->fd);
	else if (e->kind == SPAWNER_FAILED)
		peer_not_started(p, e->error);
	else
		peer_exited(p, e->status);
}

/* No stranger's worker (any more). A spawner that has its hands full is asked again when it has spoken. */
static void
raise_worker(struct worker_pool *pool, struct peer *p)
{
	int r = spawner_raise(pool->spawner_fd, p->token);

	p->owed_priority = r == -EAGAIN;
	if (r < 0 && r != -EAGAIN)
		log_error("connection=%s its worker keeps the priority of strangers: %s", p->id,
		    strerror(-r));
}

static void
raise_owed(struct worker_pool *pool)
{
	struct peer *p;

	TAILQ_FOREACH(p, &pool->peers, link)
	{
		if (p->owed_priority)
			raise_worker(pool, p);
	}
}

static void
on_spawner(evutil_socket_t fd, short what, void *arg)
{
	struct worker_pool *pool = arg;
	struct spawner_event e;
	int r;

	(void)what;
	while ((r = next_report(pool, fd, &e)) == 0) {
		on_spawner_event(pool, &e);
		fd_close(&e.fd);
		keep_places(pool);
	}
	keep_places(pool);
	raise_owed(pool);
	if (r != SPAWNER_E_AGAIN) {
		bool opener = fd == pool->opener_fd;

		(void)event_del(opener ? pool->opener_event : pool->spawner_event);
		pool->events.broken(pool->events.arg,
		    opener ? "the process that opens the audit log is gone"
			   : "the spawner process is gone");
	}
}

int
worker_pool_new(struct broker *b, int spawner_fd, int opener_fd,
    const struct worker_pool_events *events, struct worker_pool **ret)
{
	struct worker_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return -ENOMEM;
	TAILQ_INIT(&pool->peers);
	pool->broker = b;
	pool->events = *events;
	pool->spawner_fd = spawner_fd;
	pool->opener_fd = opener_fd;
	pool->strangers = (struct log_budget){ .burst = LOG_LINES, .interval_ms = LOG_INTERVAL_MS };
	pool->downs = (struct log_budget){ .burst = 1, .interval_ms = DOWN_LOG_MS };
	pool->stranger_events =
	    (struct log_budget){ .burst = AUDIT_EVENTS, .interval_ms = AUDIT_INTERVAL_MS };
	pool->spawner_event = event_new(b->base, spawner_fd, EV_READ | EV_PERSIST, on_spawner, pool);
	pool->retry = evtimer_new(b->base, on_retry, pool);
	b->workers = pool;
	if (opener_fd >= 0)
		pool->opener_event =
		    event_new(b->base, opener_fd, EV_READ | EV_PERSIST, on_spawner, pool);
	if (pool->spawner_event == NULL || pool->retry == NULL ||
	    admission_new(&b->config->admission, arc4random_uniform, &pool->admission) < 0 ||
	    event_add(pool->spawner_event, NULL) < 0 ||
	    (opener_fd >= 0 &&
		(pool->opener_event == NULL || event_add(pool->opener_event, NULL) < 0))) {
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
	if (pool->opener_event != NULL)
		event_free(pool->opener_event);
	fd_close(&pool->spawner_fd);
	fd_close(&pool->opener_fd);
	admission_free(pool->admission);
	free(pool);
}

void
worker_pool_reopen_audit(struct worker_pool *pool)
{
	int fd = pool->opener_fd >= 0 ? pool->opener_fd : pool->spawner_fd;
	int r = pool->broker->audit != NULL ? spawner_open_audit(fd) : 0;

	if (r < 0)
		log_error("the audit log cannot be opened anew: %s", strerror(-r));
}

bool
worker_pool_is_empty(const struct worker_pool *pool)
{
	return TAILQ_EMPTY(&pool->peers);
}

bool
worker_pool_is_well(const struct worker_pool *pool)
{
	const struct peer *p;

	/* Its time to start is over, and the spawner has not even said that it began. */
	TAILQ_FOREACH(p, &pool->peers, link)
	{
		if (p->state == PEER_ENDED && p->pid == 0 && !pool->draining)
			return false;
	}
	return true;
}

struct worker_pool_workers
worker_pool_workers(const struct worker_pool *pool)
{
	struct worker_pool_workers n = { .spare = count_spare(pool),
		.reason = pool->why[0] != '\0' ? pool->why : NULL };
	const struct peer *p;

	TAILQ_FOREACH(p, &pool->peers, link)
	n.all++;
	return n;
}

struct admission_counts
worker_pool_counts(const struct worker_pool *pool)
{
	return admission_count(pool->admission, clock_now_ms());
}

bool
worker_pool_may_log(struct worker_pool *pool)
{
	return log_budget_take(&pool->strangers, clock_now_ms());
}

bool
worker_pool_may_audit(struct worker_pool *pool)
{
	return log_budget_take(&pool->stranger_events, clock_now_ms());
}

static void
audit_left_out(struct worker_pool *pool)
{
	unsigned lost = log_budget_lost(&pool->stranger_events);

	if (lost > 0)
		audit_note(pool->broker->audit, "strangers", NULL, AUDIT_NUMBER("left_out", lost));
}

void
worker_pool_log_summary(struct worker_pool *pool)
{
	struct admission_counts now = worker_pool_counts(pool);
	unsigned lost = log_budget_lost(&pool->strangers);
	uint64_t evicted = now.evicted - pool->reported.evicted;
	uint64_t refused = 0;
	char reasons[512] = "";
	size_t len = 0;

	audit_left_out(pool);
	for (int v = 0; v < ADMISSION_VERDICT_COUNT; v++) {
		uint64_t n = now.refused[v] - pool->reported.refused[v];

		refused += n;
		if (n > 0 && len < sizeof(reasons))
			len += (size_t)snprintf(reasons + len, sizeof(reasons) - len,
			    "%s%s %" PRIu64, len > 0 ? ", " : ": ",
			    admission_verdict_text((enum admission_verdict)v), n);
	}
	pool->reported = now;
	if (refused > 0 || evicted > 0 || lost > 0)
		log_warn("summary: %" PRIu64 " connections refused%s; %" PRIu64 " made room; "
			 "%u have not logged in, %u sources are refused; %u lines were not logged",
		    refused, reasons, evicted, now.startups, now.penalised, lost);
}

void
worker_pool_refuse(struct worker_pool *pool, int *client_fd, const struct peer_client *client,
    const char *why, const char *answer)
{
	char from[64];
	char line[128];
	int n = snprintf(line, sizeof(line), "sallyport: %s\r\n", answer);

	if (worker_pool_may_log(pool))
		log_warn("from=%s connection refused: %s",
		    peer_log_address(&client->source, from, sizeof(from)), why);
	(void)send(*client_fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
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
worker_pool_serve(struct worker_pool *pool, int *client_fd, const struct peer_client *client)
{
	int64_t now = clock_now_ms();
	struct admission_ticket *ticket = NULL;
	void *victim = NULL;
	enum admission_verdict v =
	    admission_enter(pool->admission, &client->source, now, &ticket, &victim);
	struct peer *p;

	if (v != ADMISSION_OK) {
		worker_pool_refuse(pool, client_fd, client, admission_verdict_text(v),
		    admission_verdict_answer(v));
		return;
	}
	if (victim != NULL)
		peer_evict(victim);
	p = take_spare(pool);
	if (p == NULL) {
		(void)admission_leave(pool->admission, ticket, ADMISSION_END_FINE, now);
		worker_pool_refuse(pool, client_fd, client, "no worker could be started",
		    "too many connections, try again later");
		return;
	}
	p->ticket = ticket;
	admission_set_owner(ticket, p);
	if (admission_is_known(ticket))
		raise_worker(pool, p);
	peer_serve(p, client_fd, client);
	refill(pool);
}

/* How it ended is held against where it came from. */
static void
settle(struct worker_pool *pool, struct peer *p)
{
	enum admission_end end = admission_judge(&p->facts);
	uint32_t ms = admission_leave(pool->admission, p->ticket, end, clock_now_ms());
	struct audit_subject who = peer_audit_subject(p);
	char source[CIDR_TEXT_MAX];

	p->ticket = NULL;
	if (ms == 0)
		return;
	(void)admission_source_text(pool->admission, &p->client.source, source);
	audit_note(pool->broker->audit, "penalty", &who, AUDIT_TEXT("source", source),
	    AUDIT_NUMBER("milliseconds", ms), AUDIT_TEXT("reason", admission_end_text(end)));
	if (end == ADMISSION_END_CRASH || worker_pool_may_log(pool))
		log_warn("connection=%s source %s is refused for %u s: %s", p->id, source,
		    ms / 1000, admission_end_text(end));
}

void
worker_pool_peer_ready(struct worker_pool *pool, struct peer *p)
{
	(void)p;
	pool->why[0] = '\0';
	if (!pool->proven) {
		pool->proven = true;
		pool->events.ready(pool->events.arg);
	}
}

void
worker_pool_peer_logged_in(struct worker_pool *pool, struct peer *p)
{
	admission_logged_in(pool->admission, p->ticket, clock_now_ms());
	raise_worker(pool, p);
}

void
worker_pool_not_ready(struct worker_pool *pool, const char *text)
{
	(void)snprintf(pool->why, sizeof(pool->why), "%s", text);
}

/* What it said tells more. */
void
worker_pool_exited_unready(struct worker_pool *pool, int status)
{
	char text[128];

	if (pool->why[0] != '\0')
		return;
	if (WIFSIGNALED(status))
		(void)snprintf(text, sizeof(text),
		    "it was killed by signal %d%s before it was locked down", WTERMSIG(status),
		    WTERMSIG(status) == SIGSYS ? " (forbidden system call)" : "");
	else
		(void)snprintf(text, sizeof(text), "it exited with %d before it was locked down",
		    WEXITSTATUS(status));
	worker_pool_not_ready(pool, text);
}

/* It worked before. Programs may have been replaced, or rights taken away, under a service that runs. */
static void
tell_down(struct worker_pool *pool)
{
	if (pool->why[0] != '\0' && log_budget_take(&pool->downs, clock_now_ms()))
		log_error("no worker comes up any more: %s: who connects is let down until that is mended; "
			  "after an upgrade, restart the service",
		    pool->why);
}

void
worker_pool_peer_gone(struct worker_pool *pool, struct peer *p, bool was_ready)
{
	TAILQ_REMOVE(&pool->peers, p, link);
	settle(pool, p);
	if (pool->draining)
		return;
	if (!was_ready && !pool->proven) {
		tell_broken(pool);
	} else if (!was_ready) {
		tell_down(pool);
		retry_later(pool);
	} else {
		refill(pool);
	}
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
		if (p->state == PEER_LOGGED_IN && end)
			peer_dismiss(p, text, "service stopped");
		else if (p->state == PEER_LOGGED_IN)
			peer_notice(p, IPC_NOTICE_TEXT, text);
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
