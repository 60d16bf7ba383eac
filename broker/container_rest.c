/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: containers in which nobody is left. The end of one costs the engine as much of the machine as several
 * logins do, and nobody waits for it; so those who come have the machine first. Hostile: a guest that says
 * that nobody is left although somebody is gains nothing: the grace time goes on, and whatever is there then is killed.
 */
#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "broker.h"
#include "clock.h"
#include "config.h"
#include "container_priv.h"
#include "engine.h"
#include "fd.h"
#include "log.h"

#define LOOK_MS  50
#define QUIET_MS 300  /* after a login */
#define REST_MS  2000 /* not longer, whoever comes, if the engine has time */
#define MOST_MS \
	5000 /* not longer at all; an honest guest does not stay longer either (ENDING_REST_MS) */

static void
look_again(struct container_set *set)
{
	struct timeval tv = { .tv_usec = LOOK_MS * 1000 };

	if (event_add(set->rest, &tv) < 0) {
		log_error("containers are removed at once: out of memory");
		container_set_give_way(set);
	}
}

/* How many more the engine may be asked to remove now: as many as it is asked to start at a time. */
static unsigned
engine_has_time_for(const struct container_set *set)
{
	struct engine_counts counts = engine_counts(set->broker->engine);
	unsigned starts = set->broker->config->engine.starts;
	unsigned busy = counts.discarding - counts.retried;

	return busy < starts ? starts - busy : 0;
}

/* An engine that is away does not give whoever is in there after all any more time. */
static bool
is_due(const struct container *c, unsigned room)
{
	int64_t now = clock_now_ms();
	int64_t rested = now - c->empty_since;

	if (c->broker->draining || rested >= MOST_MS)
		return true;
	return room > 0 && (rested >= REST_MS || now - c->set->login_at >= QUIET_MS);
}

void
container_rest_look(int fd, short what, void *arg)
{
	struct container_set *set = arg;
	struct container *c;
	struct container *next;
	unsigned room = engine_has_time_for(set);
	bool some = false;

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&set->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->state != CONTAINER_EMPTY)
			continue;
		if (!is_due(c, room)) {
			some = true;
			continue;
		}
		container_discard(c);
		room -= room > 0;
	}
	if (some)
		look_again(set);
}

void
container_set_give_way(struct container_set *set)
{
	struct container *c;
	struct container *next;

	for (c = TAILQ_FIRST(&set->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->state == CONTAINER_EMPTY)
			container_discard(c);
	}
}

/* That one byte comes is all that is taken of it. An end without one is what is left of a descriptor that its guest
 * never had: without room for it, or because it was ending already. */
static void
on_empty(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;
	char byte;
	ssize_t n = read(fd, &byte, 1);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)event_del(c->emptied);
	fd_close(&c->empty_fd);
	if (n != 1)
		return;
	c->state = CONTAINER_EMPTY;
	c->empty_since = clock_now_ms();
	container_rest_look(-1, 0, c->set);
}

void
container_rest(struct container *c, int empty_fd)
{
	c->empty_fd = empty_fd;
	if (empty_fd < 0)
		return;
	c->emptied = event_new(c->broker->base, empty_fd, EV_READ | EV_PERSIST, on_empty, c);
	if (c->emptied == NULL || event_add(c->emptied, NULL) < 0)
		fd_close(&c->empty_fd);
}
