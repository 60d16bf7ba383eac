/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: the set of containers, who has them, and what can be asked about one. Nothing here calls the engine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "broker.h"
#include "clock.h"
#include "container_priv.h"
#include "policy.h"

int
container_set_new(struct broker *b, struct container_set **ret)
{
	struct container_set *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return -ENOMEM;
	set->broker = b;
	TAILQ_INIT(&set->list);
	set->rest = evtimer_new(b->base, container_rest_look, set);
	if (set->rest == NULL) {
		free(set);
		return -ENOMEM;
	}
	*ret = set;
	return 0;
}

void
container_set_free(struct container_set *set)
{
	struct container *c;

	if (set == NULL)
		return;
	while ((c = TAILQ_FIRST(&set->list)) != NULL)
		container_forget(c);
	event_free(set->rest);
	free(set);
}

unsigned
container_set_count(const struct container_set *set)
{
	const struct container *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &set->list, link)
	n++;
	return n;
}

void
container_set_visit(struct container_set *set, container_visit_fn *fn, void *arg)
{
	struct container *c;

	for (c = TAILQ_FIRST(&set->list); c != NULL; c = set->next) {
		set->next = TAILQ_NEXT(c, link);
		fn(c, arg);
	}
}

bool
container_set_has(const struct container_set *set, const char *name)
{
	const struct container *c;

	TAILQ_FOREACH(c, &set->list, link)
	{
		if (strcmp(c->name, name) == 0)
			return true;
	}
	return false;
}

/* ---- whose it is ---- */

void
container_set_keeper(struct container *c, const struct container_keeper *keeper)
{
	c->keeper = *keeper;
}

int
container_join(struct container *c, const struct container_owner *owner)
{
	struct member *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->owner = *owner;
	TAILQ_INSERT_TAIL(&c->members, m, link);
	return 0;
}

struct member *
container_find_member(const struct container *c, const void *owner)
{
	struct member *m;

	TAILQ_FOREACH(m, &c->members, link)
	{
		if (m->owner.arg == owner)
			return m;
	}
	return NULL;
}

void
container_hand_out(struct container *c, const void *from, struct policy_grant *grant,
    const char *connection, const struct container_owner *owner)
{
	struct member *m = container_find_member(c, from);

	if (m != NULL)
		m->owner = *owner;
	policy_grant_unref(c->grant);
	c->grant = policy_grant_ref(grant);
	c->grace_ms = policy_grant_profile(grant)->stop_grace_ms;
	(void)snprintf(c->connection, sizeof(c->connection), "%s", connection);
	c->keeper = (struct container_keeper){ 0 };
	c->set->login_at = clock_now_ms();
}

void
container_is_stale(struct container *c)
{
	if (c->keeper.stale != NULL)
		c->keeper.stale(c->keeper.arg, c);
}

bool
container_is_kept(const struct container *c)
{
	return c->keeper.stale != NULL;
}

/* ---- one of them ---- */

const char *
container_name(const struct container *c)
{
	return c->name;
}

const char *
container_id(const struct container *c)
{
	return c->id;
}

const char *
container_state_name(const struct container *c)
{
	switch (c->state) {
	case CONTAINER_RESERVED:
	case CONTAINER_LAUNCHING:
	case CONTAINER_REPORTING:
		return "starting";
	case CONTAINER_UP:
		return "up";
	case CONTAINER_DOWN:
		return "down";
	case CONTAINER_LEAVING:
	case CONTAINER_EMPTY:
		break;
	}
	return "leaving";
}

const char *
container_image(const struct container *c)
{
	return c->image != NULL ? c->image : "";
}

const char *
container_image_id(const struct container *c)
{
	return c->image_id;
}

unsigned
container_owners(const struct container *c)
{
	const struct member *m;
	unsigned n = 0;

	TAILQ_FOREACH(m, &c->members, link)
	n++;
	return n;
}

bool
container_is_up(const struct container *c)
{
	return c->state == CONTAINER_UP;
}

bool
container_can_stay(const struct container *c)
{
	bool found = c->grant == NULL && c->id[0] != '\0';

	return c->state == CONTAINER_UP || (found && c->ended == NULL);
}

/* Its end has been waited for since it was up. */
bool
container_has_ended(const struct container *c)
{
	return c->state == CONTAINER_DOWN && c->ended != NULL;
}

const char *
container_down_text(const struct container *c)
{
	return c->state == CONTAINER_DOWN ? c->down_text : NULL;
}
