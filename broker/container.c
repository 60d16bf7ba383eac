/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: containers. Hostile: everything that the engine says about them; engine_answer.c has checked its
 * form, engine_compare() what it means.
 */
#include "container_priv.h"

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
#include "bind_check.h"
#include "bind_source.h"
#include "broker.h"
#include "ceilings.h"
#include "clock.h"
#include "config.h"
#include "container_plan.h"
#include "engine.h"
#include "fd.h"
#include "instance.h"
#include "log.h"
#include "policy.h"

#define NOBODY "-" /* in the place of a connection's name */

#define WAIT_AGAIN_SECONDS 2
/*
 * So long, and up to twice as long, one wait lasts before it is asked anew, after a look: its answer can be lost without a
 * sign, with a connection that a host, a tunnel or a firewall on the way has forgotten. Who logs in meanwhile finds out at
 * once (engine_path.c), so this is for those to which nobody comes, and costs the engine two questions in that time.
 */
#define WAIT_MS (5 * 60 * 1000)

/* The log says why, with the same name. */
#define NOT_STARTED_TELL CONTAINER_NOT_STARTED " Tell the administrator \"connection %s\"."

/* What the engine will be asked for beside the profile, while the host's directories are looked at. */
struct launch_order {
	char user[IPC_USER_MAX + 1];
	char *kept_text; /* NULL: it is not kept */
	char kept_proof[INSTANCE_PROOF_LEN + 1];
	uint32_t keep_ms;
	size_t next_bind; /* of the profile's, to look at */
};

static void
launch_order_free(struct container *c)
{
	if (c->ordered != NULL)
		free(c->ordered->kept_text);
	free(c->ordered);
	c->ordered = NULL;
}

static struct audit_subject
subject_of(const struct container *c, const char *user)
{
	return (struct audit_subject){
		.connection = strcmp(c->connection, NOBODY) != 0 ? c->connection : NULL,
		.user = user,
	};
}

static void
drop_keeper(struct container *c, bool ended)
{
	struct container_keeper keeper = c->keeper;

	c->keeper = (struct container_keeper){ 0 };
	if (keeper.gone != NULL)
		keeper.gone(keeper.arg, ended);
}

void
container_forget(struct container *c)
{
	struct member *m;

	drop_keeper(c, false);
	while ((m = TAILQ_FIRST(&c->members)) != NULL) {
		TAILQ_REMOVE(&c->members, m, link);
		free(m);
	}
	launch_order_free(c);
	bind_check_cancel(c->check);
	engine_cancel(c->launch);
	engine_cancel(c->waiting);
	c->ops->close(c->path);
	if (c->ended != NULL)
		event_free(c->ended);
	if (c->grace != NULL)
		event_free(c->grace);
	if (c->emptied != NULL)
		event_free(c->emptied);
	fd_close(&c->empty_fd);
	fd_close(&c->pidfd);
	free(c->oom_file);
	policy_grant_unref(c->grant);
	ceilings_give(&c->place);
	if (c->set->next == c)
		c->set->next = TAILQ_NEXT(c, link);
	TAILQ_REMOVE(&c->set->list, c, link);
	free(c->image);
	free(c);
}

/* What became of a container of some connection. reason: NULL: none. */
static void
audit_container(const struct container *c, const char *event, const char *reason)
{
	struct audit_subject who = subject_of(c, NULL);

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

/* Before the engine removes it, and the counter with it. */
static void
look_at_its_end(struct container *c)
{
	struct audit_subject who = subject_of(c, NULL);

	container_look_for_oom(c, c->grant != NULL ? policy_grant_profile(c->grant) : NULL, &who);
}

void
container_discard(struct container *c)
{
	look_at_its_end(c);
	kill_first_process(c);
	if (c->name[0] != '\0')
		audit_container(c, "container.remove", NULL);
	if (c->id[0] != '\0' && engine_discard(c->broker->engine, c->id) < 0)
		log_error("connection=%s container=%s cannot be removed now; the next start removes it",
		    c->connection, c->name);
	container_forget(c);
}

/* Whatever is wrong with it may be right in the next run, which has to look at it anyway. */
static bool
is_left_to_next_run(const struct container *c)
{
	return c->broker->draining && container_can_stay(c);
}

void
container_fail(struct container *c, const char *text)
{
	if (c->state >= CONTAINER_DOWN)
		return;
	c->state = CONTAINER_DOWN;
	(void)snprintf(c->down_text, sizeof(c->down_text), "%s", text);
	audit_container(c, "container.down", text);
	container_tell_down(c);
}

void
container_tell_down(struct container *c)
{
	if (TAILQ_EMPTY(&c->members)) {
		if (!is_left_to_next_run(c))
			container_end(c);
		return;
	}
	/* Each may release it meanwhile: itself only, so that the next one is there as long as it is asked. */
	for (struct member *m = TAILQ_FIRST(&c->members), *next; m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		m->owner.down(m->owner.arg, c, c->down_text);
	}
}

/* What the user is told; the log has the engine's own words. */
static void
describe_failure(const struct container *c, const struct engine_result *result, char *out, size_t cap)
{
	if (result->error == ENGINE_E_BUSY)
		(void)snprintf(out, cap, CONTAINER_ENGINE_BUSY);
	else if (engine_is_away(result->error))
		(void)snprintf(out, cap, CONTAINER_ENGINE_AWAY);
	else if (result->error == ENGINE_E_NO_IMAGE)
		(void)snprintf(out, cap,
		    "The container image \"%s\" is not on this host. Ask the administrator.",
		    container_image(c));
	else
		(void)snprintf(out, cap, NOT_STARTED_TELL, c->connection);
}

/* The engine says that it runs. What went down meanwhile stays down: it only waits to be released. */
static void
begin_reporting(struct container *c, const struct engine_container *seen)
{
	if (c->state == CONTAINER_DOWN)
		return;
	c->state = CONTAINER_REPORTING;
	c->ops->launched(c->path, seen);
}

static void
on_launched(void *arg, const struct engine_result *result)
{
	struct container *c = arg;

	c->launch = NULL;
	if (result->error != ENGINE_OK) {
		char text[IPC_TEXT_MAX];

		c->broker->counters.containers_failed++;
		log_error("connection=%s container=%s image=%s failed to start: %s: %s%s",
		    c->connection, c->name, container_image(c), engine_error_name(result->error),
		    result->sentence,
		    result->error == ENGINE_E_NO_IMAGE
			? "; images are never pulled: pull or load it on the engine's host"
			: "");
		describe_failure(c, result, text, sizeof(text));
		container_fail(c, text);
		return;
	}
	(void)snprintf(c->id, sizeof(c->id), "%s", result->id);
	memcpy(c->image_id, result->container->image_id, sizeof(c->image_id));
	if (result->warning[0] != '\0')
		log_warn("connection=%s container=%s engine warns: %s", c->connection, c->name,
		    result->warning);
	begin_reporting(c, result->container);
}

static void
out_of_memory(struct container *c, const char *text)
{
	log_error("connection=%s container=%s is given up: out of memory", c->connection, c->name);
	container_fail(c, text);
}

static bool
is_in_pool(const struct container *c)
{
	return strcmp(c->connection, NOBODY) == 0 && c->grant != NULL &&
	    policy_grant_profile(c->grant)->pool > 0;
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)what;
	if (c->state >= CONTAINER_LEAVING) {
		container_discard(c);
		return;
	}
	look_at_its_end(c);
	log_warn("connection=%s container=%s ended while it %s", c->connection, c->name,
	    is_in_pool(c) ? "waited in the pool" : "was in use");
	container_fail(c, CONTAINER_HAS_ENDED);
}

/* The data path has heard of it before the wait has, or instead. */
static void
on_path_ended(void *arg)
{
	struct container *c = arg;

	engine_cancel(c->waiting);
	c->waiting = NULL;
	(void)event_del(c->ended);
	on_ended(-1, 0, c);
}

static int wait_for_end(struct container *c);

/* An id is as good as one: not all of them ask in the same moment. */
static unsigned long
dice(const struct container *c)
{
	return strtoul(c->id + ENGINE_ID_LEN - 5, NULL, 16);
}

/* Not at once: an engine that has just gone away is not back yet. */
static void
wait_again(struct container *c)
{
	struct timeval tv = { .tv_sec = WAIT_AGAIN_SECONDS,
		.tv_usec = (suseconds_t)(dice(c) % 1000000) };

	if (event_add(c->ended, &tv) < 0)
		out_of_memory(c, "The container cannot be watched: out of memory.");
}

static void
on_looked(void *arg, const struct engine_result *result)
{
	struct container *c = arg;

	c->waiting = NULL;
	if (result->error == ENGINE_E_NOT_FOUND ||
	    (result->error == ENGINE_OK && !result->container->running))
		on_ended(-1, 0, c);
	else if (result->error != ENGINE_OK || wait_for_end(c) < 0)
		wait_again(c);
}

static void
look_again(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)what;
	if (engine_health(c->broker->engine) == ENGINE_UNHEALTHY ||
	    engine_inspect(c->broker->engine, c->id, on_looked, c, &c->waiting) < 0)
		wait_again(c);
}

/* Lost with its connection, or without an answer for so long, it says nothing: the engine may be restarted, and the
 * container go on. */
static void
on_waited(void *arg, const struct engine_result *result)
{
	struct container *c = arg;

	c->waiting = NULL;
	if (result->error == ENGINE_OK || result->error == ENGINE_E_NOT_FOUND)
		on_ended(-1, 0, c);
	else
		wait_again(c);
}

static int
wait_for_end(struct container *c)
{
	return engine_wait(c->broker->engine, c->id, (uint32_t)(WAIT_MS + dice(c) % WAIT_MS),
	    on_waited, c, &c->waiting);
}

/* By the kernel's word where the process can be had, else by the engine's. */
static int
watch_end(struct container *c)
{
	bool local = c->pidfd >= 0;

	c->ended = local ? event_new(c->broker->base, c->pidfd, EV_READ, on_ended, c)
			 : evtimer_new(c->broker->base, look_again, c);
	if (c->ended == NULL || (local && event_add(c->ended, NULL) < 0))
		return -ENOMEM;
	return local ? 0 : wait_for_end(c);
}

static void
on_ready(void *arg, int *pidfd, char *oom_file)
{
	struct container *c = arg;

	c->pidfd = fd_steal(pidfd);
	c->oom_file = oom_file;
	/* What was before is an earlier run's. */
	if (c->grant == NULL && oom_file != NULL)
		(void)!oom_count_read(oom_file, &c->oom_seen);
	if (watch_end(c) < 0) {
		out_of_memory(c, "The container could not be started: out of memory.");
		return;
	}
	c->state = CONTAINER_UP;
	audit_container(c, "container.up", NULL);
	log_info("connection=%s container=%s id=%.12s image=%s up", c->connection, c->name, c->id,
	    container_image(c));
	for (struct member *m = TAILQ_FIRST(&c->members), *next; m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		m->owner.up(m->owner.arg, c);
	}
}

static void
on_path_failed(void *arg, const char *why)
{
	struct container *c = arg;
	char text[IPC_TEXT_MAX];

	c->broker->counters.containers_failed++;
	log_error("connection=%s container=%s %s", c->connection, c->name, why);
	/* It was there when the engine was asked for what there is, and has ended since. */
	if (c->grant == NULL) {
		container_fail(c, CONTAINER_NOT_FOUND_AGAIN);
		return;
	}
	(void)snprintf(text, sizeof(text), NOT_STARTED_TELL, c->connection);
	container_fail(c, text);
}

/*
 * One that cannot be with this engine is down from its begin: who asks for a program in it is told why.
 */
static bool
check_engine(struct container *c)
{
	const struct policy_profile *profile = policy_grant_profile(c->grant);

	if (engine_podman(c->broker->engine) == NULL ||
	    container_plan_suits_podman(profile->reached_by))
		return true;
	log_error("connection=%s container=%s profile \"%s\": " CONTAINER_NOT_WITH_PODMAN,
	    c->connection, c->name, profile->name);
	(void)snprintf(c->down_text, sizeof(c->down_text),
	    "The profile \"%.128s\" does not work with this host's container engine. Tell the administrator "
	    "\"connection %s\".",
	    profile->name, c->connection);
	c->state = CONTAINER_DOWN;
	audit_container(c, "container.down", c->down_text);
	return false;
}

static int
ask_engine(struct container *c)
{
	const struct launch_order *o = c->ordered;
	struct container_names names = {
		.name = c->name,
		.instance = c->broker->instance.id,
		.proof = c->proof,
		.connection = c->connection,
		.user = o->user,
		.kept = o->kept_text,
		.kept_proof = o->kept_text != NULL ? o->kept_proof : NULL,
	};
	struct container_plan plan;
	int r;

	container_plan_make(&plan, policy_grant_profile(c->grant), &names);
	c->ops->describe(c->path, &plan.spec, plan.mounts, c->grace_ms);
	if (o->kept_text != NULL)
		container_plan_keep(&plan, o->keep_ms);
	r = engine_launch(c->broker->engine, &plan.spec, on_launched, c, &c->launch);
	launch_order_free(c);
	return r;
}

static void on_bind_checked(void *arg, int outcome, const char *why);

/* The host's directories, one after the other and as late as we can; then it is the engine's. 0 or -errno. */
static int
go_on_launching(struct container *c)
{
	const struct policy_profile *profile = policy_grant_profile(c->grant);

	if (c->ordered->next_bind == profile->n_binds)
		return ask_engine(c);
	return bind_check(c->broker->binds, &profile->binds[c->ordered->next_bind], on_bind_checked,
	    c, &c->check);
}

static void
refuse_bind(struct container *c, const struct policy_bind *bind, int outcome, const char *why)
{
	char text[IPC_TEXT_MAX];

	c->broker->counters.containers_failed++;
	log_error("connection=%s container=%s the bind \"%s\" cannot be mounted: %s", c->connection,
	    c->name, bind->given, why);
	(void)snprintf(text, sizeof(text),
	    "The directory for %.512s %s. Tell the administrator \"connection %s\".", bind->target,
	    outcome == BIND_SOURCE_E_MISSING    ? "does not exist on this host"
		: outcome == BIND_CHECK_E_HANGS ? "does not answer"
						: "cannot be given to a container",
	    c->connection);
	container_fail(c, text);
}

static void
on_bind_checked(void *arg, int outcome, const char *why)
{
	struct container *c = arg;
	const struct policy_profile *profile = policy_grant_profile(c->grant);
	int r;

	c->check = NULL;
	/* What went down meanwhile only waits to be released. */
	if (c->state != CONTAINER_LAUNCHING)
		return;
	if (outcome != 0) {
		refuse_bind(c, &profile->binds[c->ordered->next_bind], outcome, why);
		return;
	}
	c->ordered->next_bind++;
	r = go_on_launching(c);
	if (r < 0) {
		log_error("connection=%s container=%s cannot be made: %s", c->connection, c->name,
		    strerror(-r));
		container_fail(c, CONTAINER_NOT_STARTED);
	}
}

static int
take_order(struct container *c, const struct container_request *request)
{
	struct launch_order *o = calloc(1, sizeof(*o));

	c->ordered = o;
	if (o == NULL)
		return -ENOMEM;
	(void)snprintf(o->user, sizeof(o->user), "%s", request->user != NULL ? request->user : "");
	if (request->kept == NULL)
		return 0;
	(void)snprintf(o->kept_proof, sizeof(o->kept_proof), "%s", request->kept->proof);
	o->keep_ms = request->kept->keep_ms;
	o->kept_text = strdup(request->kept->text);
	return o->kept_text != NULL ? 0 : -ENOMEM;
}

static int
launch(struct container *c, const struct container_request *request)
{
	int r;

	if (!check_engine(c))
		return 0;
	r = take_order(c, request);
	return r == 0 ? go_on_launching(c) : r;
}

/* Before the engine hears of it. */
static bool
audit_create(const struct container *c, const char *user)
{
	const struct policy_profile *profile = policy_grant_profile(c->grant);
	struct audit_subject who = subject_of(c, user);

	return audit_event(c->broker->audit, "container.create", &who,
	    AUDIT_TEXT("container", c->name), AUDIT_TEXT("profile", profile->name),
	    AUDIT_TEXT("image", profile->image), AUDIT_NUMBER("uid", profile->uid),
	    AUDIT_NUMBER("gid", profile->gid));
}

struct container *
container_reserve(struct broker *b, const char *connection)
{
	struct container *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->set = b->containers;
	c->broker = b;
	c->pidfd = c->empty_fd = -1;
	c->ops = &data_path_direct;
	TAILQ_INIT(&c->members);
	(void)snprintf(c->connection, sizeof(c->connection), "%s",
	    connection != NULL ? connection : NOBODY);
	TAILQ_INSERT_TAIL(&c->set->list, c, link);
	return c;
}

static const struct data_path_ops *
ops_of(enum policy_data_path data_path)
{
	return data_path == POLICY_DATA_PATH_ENGINE ? &data_path_engine : &data_path_direct;
}

static int
take_grant(struct container *c, struct policy_grant *grant)
{
	const struct policy_profile *profile = policy_grant_profile(grant);
	char *image = strdup(profile->image);

	if (image == NULL)
		return -ENOMEM;
	free(c->image);
	c->image = image;
	c->ops = ops_of(profile->reached_by);
	c->grant = policy_grant_ref(grant);
	c->grace_ms = profile->stop_grace_ms;
	return 0;
}

static int
take_name(struct container *c, const char *name)
{
	int r = 0;

	if (name == NULL)
		r = instance_new_name(c->name);
	else
		(void)snprintf(c->name, sizeof(c->name), "%s", name);
	return r == 0 ? instance_proof(&c->broker->instance, c->name, c->proof) : r;
}

static int
open_path(struct container *c, enum data_path_life life)
{
	struct data_path_events events = { on_ready, on_path_failed, on_path_ended, c };

	return c->ops->open(c->broker, c->name, life, &events, &c->path);
}

int
container_launch(struct container *c, const struct container_request *request)
{
	int r = take_grant(c, request->grant);

	c->state = CONTAINER_LAUNCHING;
	(void)snprintf(c->made_of, sizeof(c->made_of), "%s", request->made_of);
	if (r == 0)
		r = take_name(c, request->name);
	if (r == 0)
		r = open_path(c, request->kept != NULL ? DATA_PATH_KEPT : DATA_PATH_ONCE);
	if (r == 0 && !audit_create(c, request->user))
		r = -EIO;
	if (r == 0)
		r = launch(c, request);
	if (r == 0)
		c->broker->counters.containers++;
	return r;
}

int
container_new(struct broker *b, const struct container_request *request,
    const struct container_owner *owner, struct container **ret)
{
	struct container *c = container_reserve(b, request->connection);
	int r;

	if (c == NULL)
		return -ENOMEM;
	r = container_join(c, owner);
	if (r == 0)
		r = container_launch(c, request);
	if (r < 0) {
		container_forget(c);
		return r;
	}
	if (request->connection != NULL)
		c->set->login_at = clock_now_ms();
	*ret = c;
	return 0;
}

static void
on_found(void *arg, const struct engine_result *result)
{
	struct container *c = arg;
	const struct engine_container *seen = result->container;

	c->launch = NULL;
	if (result->error != ENGINE_OK || seen == NULL || strcmp(seen->id, c->id) != 0 ||
	    strcmp(seen->name, c->name) != 0) {
		log_error("container=%s cannot be inspected: %s", c->name,
		    result->error != ENGINE_OK ? result->sentence
					       : "the engine described another container");
		container_fail(c, CONTAINER_NOT_FOUND_AGAIN);
		return;
	}
	free(c->image);
	c->image = strdup(seen->image);
	memcpy(c->image_id, seen->image_id, sizeof(c->image_id));
	begin_reporting(c, seen);
}

int
container_take_over(struct container *c, const char *name, const char *id, const char *made_of,
    enum policy_data_path data_path, uint32_t grace_ms)
{
	int r = take_name(c, name);

	c->state = CONTAINER_LAUNCHING;
	c->grace_ms = grace_ms;
	c->ops = ops_of(data_path);
	(void)snprintf(c->id, sizeof(c->id), "%s", id);
	(void)snprintf(c->made_of, sizeof(c->made_of), "%s", made_of);
	if (r == 0)
		r = open_path(c, DATA_PATH_FOUND);
	return r == 0 ? engine_inspect(c->broker->engine, c->id, on_found, c, &c->launch) : r;
}

const char *
container_refusal_text(int r, const char *of_container)
{
	if (r == DATA_PATH_E_AWAY)
		return CONTAINER_ENGINE_AWAY;
	if (r == DATA_PATH_E_ENDED)
		return CONTAINER_HAS_ENDED;
	return r == DATA_PATH_E_QUEUE ? CONTAINER_ENGINE_BUSY : of_container;
}

int
container_start(struct container *c, const struct guest_spawn *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret)
{
	return c->ops->start(c->path, order, waiter, ret);
}

int
container_connect(struct container *c, const struct guest_connect *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret)
{
	return c->ops->connect(c->path, order, waiter, ret);
}

void
container_forget_order(struct container *c, struct data_path_waiter *waiter)
{
	c->ops->forget(waiter);
}

int
container_listen(struct container *c, const struct guest_listen *order,
    struct data_path_waiter *waiter, struct data_path_streams *ret)
{
	return c->ops->listen(c->path, order, waiter, ret);
}

int
container_accept(struct container *c, struct data_path_streams *ret)
{
	return c->ops->accept(ret);
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
	if (c->state != CONTAINER_EMPTY)
		log_info("connection=%s container=%s did not end in its grace time and is killed",
		    c->connection, c->name);
	container_discard(c);
}

/* What every end begins with. As data_path_ops.hang_up. */
static int
leave(struct container *c)
{
	int empty_fd = -1;

	c->state = CONTAINER_LEAVING;
	/* In this order: who dies in between has not forgotten since when a container is kept that goes on. */
	if (c->path != NULL)
		empty_fd = c->ops->hang_up(c->path);
	drop_keeper(c, true);
	return empty_fd;
}

void
container_end(struct container *c)
{
	struct timeval tv = clock_timeval(c->grace_ms);
	bool running = c->state == CONTAINER_UP;
	SP_CLEANUP_FD int empty_fd = -1;

	if (c->state >= CONTAINER_LEAVING)
		return;
	empty_fd = leave(c);
	if (!running) {
		container_discard(c);
		return;
	}
	c->grace = evtimer_new(c->broker->base, on_grace_over, c);
	if (c->grace == NULL || event_add(c->grace, &tv) < 0)
		container_discard(c);
	else
		container_rest(c, fd_steal(&empty_fd));
}

static void
drop_member(struct container *c, const void *owner)
{
	struct member *m = container_find_member(c, owner);

	if (m == NULL)
		return;
	TAILQ_REMOVE(&c->members, m, link);
	free(m);
}

void
container_scrap(struct container *c, const void *owner)
{
	int empty_fd;

	drop_member(c, owner);
	empty_fd = leave(c);
	fd_close(&empty_fd);
	container_discard(c);
}

void
container_release(struct container *c, const void *owner)
{
	drop_member(c, owner);
	if (!TAILQ_EMPTY(&c->members))
		return;
	if (c->keeper.idle != NULL && (c->state != CONTAINER_DOWN || is_left_to_next_run(c)))
		c->keeper.idle(c->keeper.arg, c);
	else
		container_end(c);
}

void
container_set_hurry(struct container_set *set)
{
	struct container *c;
	struct container *next;

	for (c = TAILQ_FIRST(&set->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->state >= CONTAINER_LEAVING)
			container_discard(c);
	}
}
