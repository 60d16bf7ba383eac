/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: images that change under containers that exist. Hostile: the engine's answers, already typed. */
#include "image_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "container.h"
#include "engine.h"
#include "log.h"

#define LOOK_SECONDS 2
#define IMAGES_MAX   64 /* of one round */

struct look {
	struct image_watch *watch;
	char image[ENGINE_IMAGE_MAX + 1]; /* "": this place is free */
	struct engine_call *call;
	const char *id; /* while its answer is given out */
};

struct image_watch {
	struct broker *broker;
	struct event *timer;
	struct look looks[IMAGES_MAX];
	unsigned n;
	unsigned passed; /* containers of this round */
	unsigned begin;  /* so many have been asked about in earlier rounds */
};

static bool
is_asked(const struct image_watch *w, const char *image)
{
	for (unsigned i = 0; i < w->n; i++) {
		if (strcmp(w->looks[i].image, image) == 0)
			return true;
	}
	return false;
}

static void
compare(struct container *c, void *arg)
{
	const struct look *look = arg;

	if (!container_is_kept(c) || strcmp(container_image(c), look->image) != 0 ||
	    container_image_id(c)[0] == '\0' || strcmp(container_image_id(c), look->id) == 0)
		return;
	log_info("container=%s is of another image than %s is now", container_name(c), look->image);
	container_is_stale(c);
}

static void
on_looked(void *arg, const struct engine_result *result)
{
	struct look *look = arg;

	look->call = NULL;
	/* An image that is gone: a new container could not be made either, but is no other one. */
	if (result->error != ENGINE_OK || !engine_id_valid(result->id))
		return;
	look->id = result->id;
	container_set_visit(look->watch->broker->containers, compare, look);
	look->id = NULL;
}

static void
ask(struct container *c, void *arg)
{
	struct image_watch *w = arg;
	struct look *look = &w->looks[w->n];

	if (w->passed++ < w->begin || w->n >= IMAGES_MAX)
		return;
	if (w->n == IMAGES_MAX - 1)
		w->begin = w->passed; /* the next round goes on from here */
	if (!container_is_kept(c) || container_image_id(c)[0] == '\0' ||
	    is_asked(w, container_image(c)))
		return;
	*look = (struct look){ .watch = w };
	(void)snprintf(look->image, sizeof(look->image), "%s", container_image(c));
	if (engine_image_inspect(w->broker->engine, look->image, on_looked, look, &look->call) == 0)
		w->n++;
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct image_watch *w = arg;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < w->n; i++) {
		if (w->looks[i].call != NULL)
			return; /* the engine is slow: no second question before the first answer */
	}
	w->n = w->passed = 0;
	if (engine_health(w->broker->engine) != ENGINE_HEALTHY)
		return;
	container_set_visit(w->broker->containers, ask, w);
	if (w->n < IMAGES_MAX)
		w->begin = 0;
}

int
image_watch_new(struct broker *b, struct image_watch **ret)
{
	struct image_watch *w = calloc(1, sizeof(*w));
	struct timeval tv = { .tv_sec = LOOK_SECONDS };

	if (w == NULL)
		return -ENOMEM;
	w->broker = b;
	w->timer = event_new(b->base, -1, EV_PERSIST, on_time, w);
	if (w->timer == NULL || event_add(w->timer, &tv) < 0) {
		image_watch_free(w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}

void
image_watch_free(struct image_watch *w)
{
	if (w == NULL)
		return;
	for (unsigned i = 0; i < w->n; i++)
		engine_cancel(w->looks[i].call);
	if (w->timer != NULL)
		event_free(w->timer);
	free(w);
}
