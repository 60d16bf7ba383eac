/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: what a configured balancer says about its client. Believed, but bounded in bytes and time. */
#include "balancer.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "clock.h"
#include "config.h"
#include "fd.h"
#include "log.h"
#include "peer.h"
#include "proxy_header.h"
#include "worker_pool.h"

#define HEADER_MS 5000 /* a balancer sends it first and at once */

struct waiting {
	TAILQ_ENTRY(waiting) link;
	struct balancer_set *set;
	struct peer_client client; /* the balancer, until the header is there */
	int fd;
	struct event *event;
	int64_t until_ms;
	size_t len;
	uint8_t header[PROXY_HEADER_MAX];
};

TAILQ_HEAD(waiting_list, waiting);

struct balancer_set {
	struct broker *broker;
	struct waiting_list waiting;
	unsigned n;
};

static void
forget(struct waiting *w)
{
	TAILQ_REMOVE(&w->set->waiting, w, link);
	w->set->n--;
	if (w->event != NULL)
		event_free(w->event);
	fd_close(&w->fd);
	free(w);
}

static void
refuse(struct waiting *w, const char *why)
{
	worker_pool_refuse(w->set->broker->workers, &w->fd, &w->client, why,
	    "the load balancer did not say whose connection this is");
	forget(w);
}

static void
serve(struct waiting *w)
{
	struct proxy_header header;

	if (proxy_header_parse(w->header, w->len, &header) != 0) {
		refuse(w, "the PROXY header of this balancer is malformed");
		return;
	}
	/* Otherwise the balancer speaks for itself, or does not know. */
	if (header.source.ss_family != AF_UNSPEC) {
		w->client.via = w->client.source;
		w->client.source = header.source;
		w->client.local = header.destination;
	}
	worker_pool_serve(w->set->broker->workers, &w->fd, &w->client);
	forget(w);
}

static void
wait_for_more(struct waiting *w)
{
	int64_t left = w->until_ms - clock_now_ms();
	struct timeval tv = clock_timeval(left);

	if (left <= 0)
		refuse(w, "no PROXY header of this balancer in time");
	else if (event_add(w->event, &tv) < 0)
		refuse(w, "out of memory");
}

/* Byte for byte what is certainly header: the client's first byte stays where it is, for the worker. */
static void
on_header(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;
	int missing;

	(void)what;
	while ((missing = proxy_header_missing(w->header, w->len)) > 0) {
		ssize_t n = recv(fd, w->header + w->len, (size_t)missing, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			wait_for_more(w);
			return;
		}
		if (n <= 0) {
			forget(w); /* a probe of the balancer, that only connects */
			return;
		}
		w->len += (size_t)n;
	}
	if (missing < 0)
		refuse(w, "this balancer is in proxy_protocol, and sent no PROXY header");
	else
		serve(w);
}

void
balancer_take(struct balancer_set *set, int *fd, const struct peer_client *client)
{
	struct waiting *w = NULL;

	if (set->n < set->broker->config->admission.startups_full)
		w = calloc(1, sizeof(*w));
	if (w == NULL) {
		worker_pool_refuse(set->broker->workers, fd, client,
		    "too many connections wait for their PROXY header",
		    "too many connections, try again later");
		return;
	}
	w->set = set;
	w->client = *client;
	w->fd = fd_steal(fd);
	w->until_ms = clock_now_ms() + HEADER_MS;
	w->event = event_new(set->broker->base, w->fd, EV_READ, on_header, w);
	TAILQ_INSERT_TAIL(&set->waiting, w, link);
	set->n++;
	if (w->event == NULL)
		refuse(w, "out of memory");
	else
		wait_for_more(w);
}

int
balancer_set_new(struct broker *b, struct balancer_set **ret)
{
	struct balancer_set *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return -ENOMEM;
	set->broker = b;
	TAILQ_INIT(&set->waiting);
	*ret = set;
	return 0;
}

void
balancer_set_free(struct balancer_set *set)
{
	struct waiting *w;

	if (set == NULL)
		return;
	while ((w = TAILQ_FIRST(&set->waiting)) != NULL)
		forget(w);
	free(set);
}
