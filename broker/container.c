/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: containers. Hostile: everything that the engine says about them; engine.c has checked its
 * form, engine_compare() what it means.
 */
#include "container.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "audit.h"
#include "bind_source.h"
#include "broker.h"
#include "ceilings.h"
#include "config.h"
#include "container_plan.h"
#include "engine.h"
#include "fd.h"
#include "instance.h"
#include "log.h"
#include "policy.h"

enum container_state {
	CONTAINER_LAUNCHING, /* the engine makes and starts it */
	CONTAINER_REPORTING, /* it runs; its data path is not ready */
	CONTAINER_UP,
	CONTAINER_DOWN,    /* failed or ended; the owner has been told */
	CONTAINER_LEAVING, /* released; its processes have their grace time */
};

struct container {
	TAILQ_ENTRY(container) link;
	struct container_set *set;
	struct broker *broker;
	struct policy_grant *grant; /* keeps the profile alive while the container leaves */
	const struct policy_profile *profile;
	struct container_owner owner;
	enum container_state state;
	char name[INSTANCE_NAME_LEN + 1];
	char proof[INSTANCE_PROOF_LEN + 1];
	char connection[16];
	char id[ENGINE_ID_LEN + 1]; /* "" until it exists */
	char down_text[IPC_TEXT_MAX];
	struct ceiling_hold *place;
	struct engine_call *launch;
	const struct data_path_ops *ops;
	struct data_path *path;
	int pidfd;
	struct event *ended; /* the container's first process is gone */
	struct event *grace;
};

TAILQ_HEAD(container_list, container);

struct container_set {
	struct broker *broker;
	struct container_list list;
};

int
container_set_new(struct broker *b, struct container_set **ret)
{
	struct container_set *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return -ENOMEM;
	set->broker = b;
	TAILQ_INIT(&set->list);
	*ret = set;
	return 0;
}

static void
forget(struct container *c)
{
	engine_cancel(c->launch);
	c->ops->close(c->path);
	if (c->ended != NULL)
		event_free(c->ended);
	if (c->grace != NULL)
		event_free(c->grace);
	fd_close(&c->pidfd);
	policy_grant_unref(c->grant);
	ceilings_give(&c->place);
	TAILQ_REMOVE(&c->set->list, c, link);
	free(c);
}

void
container_set_free(struct container_set *set)
{
	struct container *c;

	if (set == NULL)
		return;
	while ((c = TAILQ_FIRST(&set->list)) != NULL)
		forget(c);
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

/* What became of a container of some connection. reason: NULL: none. */
static void
audit_container(const struct container *c, const char *event, const char *reason)
{
	struct audit_subject who = { .connection = c->connection };

	audit_note(c->broker->audit, event, &who, AUDIT_TEXT("container", c->name),
	    AUDIT_TEXT("id", c->id[0] != '\0' ? c->id : NULL), AUDIT_TEXT("reason", reason));
}

static void
kill_first_process(struct container *c)
{
	/* The container's whole pid namespace goes with it, also when the engine is wedged. */
	if (c->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
}

/* Nothing of ours holds on to it any more: the engine removes what is left. */
static void
discard(struct container *c)
{
	kill_first_process(c);
	audit_container(c, "container.remove", NULL);
	if (c->id[0] != '\0' && engine_discard(c->broker->engine, c->id) < 0)
		log_error("connection=%s container=%s cannot be removed now; the next start will",
		    c->connection, c->name);
	forget(c);
}

static void
go_down(struct container *c, const char *text)
{
	if (c->state == CONTAINER_DOWN || c->state == CONTAINER_LEAVING)
		return;
	c->state = CONTAINER_DOWN;
	(void)snprintf(c->down_text, sizeof(c->down_text), "%s", text);
	audit_container(c, "container.down", text);
	c->owner.down(c->owner.arg, c, c->down_text);
}

/* What the user is told; the log has the engine's own words. */
static void
describe_failure(const struct container *c, const struct engine_result *result, char *out, size_t cap)
{
	switch (result->error) {
	case ENGINE_E_UNREACHABLE:
	case ENGINE_E_TIMEOUT:
	case ENGINE_E_UNHEALTHY:
	case ENGINE_E_BUSY:
		(void)snprintf(out, cap, "The container engine is not responding. Try again later.");
		break;
	case ENGINE_E_NO_IMAGE:
		(void)snprintf(out, cap,
		    "The container image \"%s\" is not on this host. Ask the administrator.",
		    c->profile->image);
		break;
	case ENGINE_OK:
	case ENGINE_E_VERSION:
	case ENGINE_E_NOT_FOUND:
	case ENGINE_E_CONFLICT:
	case ENGINE_E_REFUSED:
	case ENGINE_E_FAILED:
	case ENGINE_E_BROKEN:
	case ENGINE_E_DIFFERENT:
	case ENGINE_E_NO_MEMORY:
		(void)snprintf(out, cap,
		    "The container could not be started. Tell the administrator \"connection %s\".",
		    c->connection);
		break;
	}
}

static void
on_launched(void *arg, const struct engine_result *result)
{
	struct container *c = arg;

	c->launch = NULL;
	if (result->error != ENGINE_OK) {
		char text[IPC_TEXT_MAX];

		c->broker->counters.containers_failed++;
		log_error("connection=%s container=%s image=%s failed to start: %s: %s",
		    c->connection, c->name, c->profile->image, engine_error_name(result->error),
		    result->sentence);
		describe_failure(c, result, text, sizeof(text));
		go_down(c, text);
		return;
	}
	(void)snprintf(c->id, sizeof(c->id), "%s", result->id);
	if (result->warning[0] != '\0')
		log_warn("connection=%s container=%s engine warns: %s", c->connection, c->name,
		    result->warning);
	c->state = CONTAINER_REPORTING;
	c->ops->launched(c->path, result->container);
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)what;
	if (c->state == CONTAINER_LEAVING) {
		discard(c);
		return;
	}
	log_warn("connection=%s container=%s ended while it was in use", c->connection, c->name);
	go_down(c, "The container has ended. Log in again for a new one.");
}

static void
on_ready(void *arg, int *pidfd)
{
	struct container *c = arg;

	c->pidfd = fd_steal(pidfd);
	c->ended = event_new(c->broker->base, c->pidfd, EV_READ, on_ended, c);
	if (c->ended == NULL || event_add(c->ended, NULL) < 0) {
		go_down(c, "The container could not be started: out of memory.");
		return;
	}
	c->state = CONTAINER_UP;
	audit_container(c, "container.up", NULL);
	log_info("connection=%s container=%s id=%.12s image=%s up", c->connection, c->name, c->id,
	    c->profile->image);
	c->owner.up(c->owner.arg, c);
}

static void
on_path_failed(void *arg, const char *why)
{
	struct container *c = arg;
	char text[IPC_TEXT_MAX];

	c->broker->counters.containers_failed++;
	log_error("connection=%s container=%s %s", c->connection, c->name, why);
	(void)snprintf(text, sizeof(text),
	    "The container could not be started. Tell the administrator \"connection %s\".",
	    c->connection);
	go_down(c, text);
}

/*
 * The host's directories, as late as we can. A container that cannot have its own is down from its
 * begin: who asks for a program in it is told why.
 */
static bool
check_binds(struct container *c)
{
	char why[PATH_MAX + 128];

	for (size_t i = 0; i < c->profile->n_binds; i++) {
		const struct policy_bind *bind = &c->profile->binds[i];
		int r = bind_source_check(c->broker->config, bind, why, sizeof(why));

		if (r == 0)
			continue;
		log_error("connection=%s container=%s the bind \"%s\" cannot be mounted: %s",
		    c->connection, c->name, bind->given, why);
		(void)snprintf(c->down_text, sizeof(c->down_text),
		    "The directory for %.512s %s. Tell the administrator \"connection %s\".",
		    bind->target,
		    r == BIND_SOURCE_E_MISSING ? "does not exist on this host"
					       : "cannot be given to a container",
		    c->connection);
		c->state = CONTAINER_DOWN;
		audit_container(c, "container.down", c->down_text);
		return false;
	}
	return true;
}

static int
launch(struct container *c, const char *user)
{
	struct container_names names = {
		.name = c->name,
		.instance = c->broker->instance.id,
		.proof = c->proof,
		.connection = c->connection,
		.user = user,
	};
	struct container_plan plan;

	if (!check_binds(c))
		return 0;
	container_plan_make(&plan, c->profile, &names);
	c->ops->describe(c->path, &plan.spec, plan.mounts);
	return engine_launch(c->broker->engine, &plan.spec, on_launched, c, &c->launch);
}

/* Before the engine hears of it. */
static bool
audit_create(const struct container *c, const char *user)
{
	struct audit_subject who = { .connection = c->connection, .user = user };

	return audit_event(c->broker->audit, "container.create", &who,
	    AUDIT_TEXT("container", c->name), AUDIT_TEXT("profile", c->profile->name),
	    AUDIT_TEXT("image", c->profile->image), AUDIT_NUMBER("uid", c->profile->uid),
	    AUDIT_NUMBER("gid", c->profile->gid));
}

int
container_new(struct broker *b, struct policy_grant *grant, const char *connection,
    const char *user, const struct container_owner *owner, struct container **ret)
{
	struct container *c = calloc(1, sizeof(*c));
	struct data_path_events events = { on_ready, on_path_failed, c };
	int r;

	if (c == NULL)
		return -ENOMEM;
	c->set = b->containers;
	c->broker = b;
	c->grant = policy_grant_ref(grant);
	c->profile = policy_grant_profile(grant);
	c->owner = *owner;
	c->pidfd = -1;
	c->ops = &data_path_direct;
	(void)snprintf(c->connection, sizeof(c->connection), "%s", connection);
	TAILQ_INSERT_TAIL(&c->set->list, c, link);
	r = instance_new_name(c->name);
	if (r == 0)
		r = instance_proof(&b->instance, c->name, c->proof);
	if (r == 0)
		r = c->ops->open(b, c->name, &events, &c->path);
	if (r == 0 && !audit_create(c, user))
		r = -EIO;
	if (r == 0)
		r = launch(c, user);
	if (r == 0)
		b->counters.containers++;
	if (r < 0) {
		forget(c);
		return r;
	}
	*ret = c;
	return 0;
}

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
	case CONTAINER_LAUNCHING:
	case CONTAINER_REPORTING:
		return "starting";
	case CONTAINER_UP:
		return "up";
	case CONTAINER_DOWN:
		return "down";
	case CONTAINER_LEAVING:
		break;
	}
	return "leaving";
}

bool
container_is_up(const struct container *c)
{
	return c->state == CONTAINER_UP;
}

const char *
container_down_text(const struct container *c)
{
	return c->state == CONTAINER_DOWN ? c->down_text : NULL;
}

int
container_start(struct container *c, const struct guest_spawn *order, struct data_path_streams *ret)
{
	return c->ops->start(c->path, order, ret);
}

int
container_connect(struct container *c, const struct guest_connect *order,
    struct data_path_streams *ret)
{
	return c->ops->connect(c->path, order, ret);
}

int
container_listen(struct container *c, const struct guest_listen *order, struct data_path_streams *ret)
{
	return c->ops->listen(c->path, order, ret);
}

void
container_set_place(struct container *c, struct ceiling_hold **place)
{
	ceilings_give(&c->place);
	c->place = *place;
	*place = NULL;
}

static void
on_grace_over(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)what;
	log_info("connection=%s container=%s did not end in its grace time and is killed",
	    c->connection, c->name);
	discard(c);
}

void
container_release(struct container *c)
{
	struct timeval tv = { .tv_sec = c->profile->stop_grace_ms / 1000,
		.tv_usec = (suseconds_t)(c->profile->stop_grace_ms % 1000) * 1000 };
	bool running = c->state == CONTAINER_UP;

	c->state = CONTAINER_LEAVING;
	c->ops->hang_up(c->path);
	if (!running) {
		discard(c);
		return;
	}
	c->grace = evtimer_new(c->broker->base, on_grace_over, c);
	if (c->grace == NULL || event_add(c->grace, &tv) < 0)
		discard(c);
}

void
container_set_hurry(struct container_set *set)
{
	struct container *c;
	struct container *next;

	for (c = TAILQ_FIRST(&set->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->state == CONTAINER_LEAVING)
			discard(c);
	}
}
