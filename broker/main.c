/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-broker: the service's main process. Holds host keys, policy and the engine's socket;
 * accepts connections and never reads from them; starts a worker for each and judges what it asks.
 *
 * Start-up is one visible sequence in start(): open what needs privileges, fork the spawner before a
 * secret is in memory, load the secrets, lock down, serve.
 */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "broker.h"
#include "ceilings.h"
#include "clock.h"
#include "config.h"
#include "container.h"
#include "container_plan.h"
#include "control.h"
#include "diag.h"
#include "doctor.h"
#include "engine.h"
#include "fd.h"
#include "host_key.h"
#include "image_watch.h"
#include "ipc_chan.h"
#include "keep_mark.h"
#include "kernel_account.h"
#include "listener.h"
#include "log.h"
#include "notify.h"
#include "policy.h"
#include "pool.h"
#include "read_file.h"
#include "sandbox.h"
#include "shadow.h"
#include "spawner.h"
#include "start_check.h"
#include "sweep.h"
#include "user_containers.h"
#include "worker_pool.h"

#define DEFAULT_CONFIG "/etc/sallyport/broker.json"
#define WHY_MAX        1024

#define TICK_MS        50    /* while stopping */
#define LAST_WORD_MS   2000  /* from "disconnect now" to the end of a worker that does not */
#define HURRY_MS       12000 /* after that no container gets more grace */
#define GIVE_UP_MS     30000 /* an engine that does not remove: the next start will */
#define STATUS_SECONDS 10

struct options {
	const char *config;
	const char *spawner; /* socket of one that the service manager starts */
	bool be_spawner;
	bool check_only;
	bool doctor;
	bool verbose;
};

/* Everything that main() owns. */
struct service {
	struct options options;
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
	int exit_code;
};

/* Load the policy and say what is wrong with it. NULL: it has errors. */
static struct policy *
load_policy(const char *path)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *policy = NULL;
	int r = policy_load(path, &policy, &diags);

	diag_print(&diags, stderr);
	diag_list_clear(&diags);
	return r == 0 ? policy : NULL;
}

static struct config *
load_config(const char *path)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct config *config = NULL;
	int r = config_load(path, &config, &diags);

	diag_print(&diags, stderr);
	diag_list_clear(&diags);
	return r == 0 ? config : NULL;
}

static int
load_host_keys(struct service *s)
{
	char why[WHY_MAX] = "";
	int r = host_key_set_load(s->config->host_keys, s->config->make_host_keys,
	    &s->broker.host_keys, why, sizeof(why));

	if (r != 0)
		log_error("%s", why);
	return r;
}

/* A shadow with errors is no error: it decides nothing. */
static void
check_shadow(const struct config *c)
{
	struct policy *policy = c->policy_shadow != NULL ? load_policy(c->policy_shadow) : NULL;

	if (c->policy_shadow != NULL && policy == NULL)
		fprintf(stderr, "%s: the shadow policy has errors: it would not be used\n",
		    c->policy_shadow);
	policy_unref(policy);
}

/* -t: what sshd -t and nginx -t do. */
static int
check_only(struct service *s)
{
	struct policy *policy = load_policy(s->config->policy);

	if (policy == NULL) {
		fprintf(stderr, "%s: the policy has errors\n", s->config->policy);
		return 1;
	}
	policy_unref(policy);
	check_shadow(s->config);
	if (!start_check(s->config, s->options.spawner == NULL))
		return 1;
	fprintf(stderr,
	    "%s: configuration, host keys and policy are fine, and what a start opens is there; sallyport "
	    "doctor examines the rest: engine, images, programs, and who may change them\n",
	    s->options.config);
	return 0;
}

static void
audit_policy(const struct service *s)
{
	audit_note(s->broker.audit, "policy.loaded", NULL,
	    AUDIT_NUMBER("generation", s->broker.generation),
	    AUDIT_TEXT("sha256", policy_digest(s->broker.policy)));
}

/* What Podman cannot do, before somebody logs in. */
static void
say_podman(const struct service *s)
{
	const struct policy_profile *p;

	if (engine_podman(s->broker.engine) == NULL)
		return;
	for (size_t i = 0; (p = policy_profile_at(s->broker.policy, i)) != NULL; i++) {
		if (p->image != NULL && !container_plan_suits_podman(p))
			log_error("profile \"%s\": " CONTAINER_NOT_WITH_PODMAN, p->name);
	}
}

/* A policy with errors, which are in *diags then, leaves the old one in force. */
static int
reload(void *arg, struct diag_list *diags)
{
	struct service *s = arg;
	struct policy *policy = NULL;
	int r;

	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now_ms() * 1000);
	worker_pool_reopen_audit(s->broker.workers);
	r = policy_load(s->config->policy, &policy, diags);
	s->broker.rejected_at = r != 0 ? time(NULL) : 0;
	if (r != 0) {
		log_error("policy not reloaded: generation %u (sha256 %.12s) stays in force",
		    s->broker.generation, policy_digest(s->broker.policy));
		audit_note(s->broker.audit, "policy.rejected", NULL,
		    AUDIT_NUMBER("generation", s->broker.generation),
		    AUDIT_TEXT("sha256", policy_digest(s->broker.policy)));
	} else {
		policy_unref(s->broker.policy);
		s->broker.policy = policy;
		s->broker.generation++;
		log_info("policy generation %u (sha256 %.12s) is in force", s->broker.generation,
		    policy_digest(policy));
		audit_policy(s);
		say_podman(s);
		pool_policy_changed(s->broker.pool);
		user_containers_policy_changed(s->broker.user_containers);
	}
	shadow_load(s->broker.shadow, s->broker.audit, diags);
	/* Whoever asked for it: the log has what is wrong. */
	diag_print(diags, stderr);
	notify_send("READY=1");
	return r;
}

static void
send_status(struct service *s)
{
	struct admission_counts counts = worker_pool_counts(s->broker.workers);

	notify_send("STATUS=%u connections (%u have not logged in), %u sources refused, "
		    "%u containers, policy generation %u, engine %s",
	    counts.connections, counts.startups, counts.penalised,
	    container_set_count(s->broker.containers), s->broker.generation,
	    engine_health(s->broker.engine) == ENGINE_UNHEALTHY ? "not responding" : "ok");
}

/* One step of stopping, see the constants above for its timetable. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;
	int64_t over = clock_now_ms() - s->stop_since - (int64_t)s->config->limits.drain_ms;
	struct engine_counts counts = engine_counts(s->broker.engine);
	unsigned left = container_set_count(s->broker.containers) -
	    user_containers_staying(s->broker.user_containers);

	(void)fd;
	(void)what;
	if (over >= 0 && !s->told_to_end) {
		s->told_to_end = true;
		worker_pool_drain(s->broker.workers, "The service is stopping.", true);
	}
	if (over >= LAST_WORD_MS)
		worker_pool_end_all(s->broker.workers, "service stopped");
	if (over >= HURRY_MS)
		container_set_hurry(s->broker.containers);
	if (over >= GIVE_UP_MS) {
		log_warn("%u containers were not removed in time; the next start will",
		    counts.discarding + left);
		(void)event_base_loopbreak(s->broker.base);
	}
	/* A container that is not there yet, and may never be, is not waited for: should it come, the
	 * next start finds it. */
	if (worker_pool_is_empty(s->broker.workers) && left == 0 &&
	    counts.discarding == counts.absent && counts.calls == 0)
		(void)event_base_loopbreak(s->broker.base);
}

static void
stop(struct service *s)
{
	struct timeval tv = { .tv_usec = TICK_MS * 1000 };
	char text[128];

	if (s->broker.draining) {
		/* Asked twice: no more waiting for people, still for containers. */
		s->stop_since = clock_now_ms() - (int64_t)s->config->limits.drain_ms;
		return;
	}
	s->broker.draining = true;
	s->stop_since = clock_now_ms();
	log_info("stopping: no new connections, %u are open",
	    worker_pool_counts(s->broker.workers).connections);
	audit_note(s->broker.audit, "service.stop", NULL,
	    AUDIT_NUMBER("connections", worker_pool_counts(s->broker.workers).connections));
	/* The manager's own patience does not know limits.drain. */
	notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64,
	    ((uint64_t)s->config->limits.drain_ms + GIVE_UP_MS + LAST_WORD_MS) * 1000);
	listener_free(s->listener);
	s->listener = NULL;
	(void)snprintf(text, sizeof(text),
	    "The service is stopping. This session ends in %u seconds.",
	    (unsigned)(s->config->limits.drain_ms / 1000));
	worker_pool_drain(s->broker.workers, text, false);
	pool_stop(s->broker.pool);
	user_containers_stop(s->broker.user_containers);
	if (event_add(s->tick, &tv) < 0)
		(void)event_base_loopbreak(s->broker.base);
}

static void
reload_by_signal(struct service *s)
{
	struct diag_list diags = DIAG_LIST_INIT;

	(void)reload(s, &diags);
	diag_list_clear(&diags);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct service *s = arg;

	(void)what;
	if (number == SIGHUP)
		reload_by_signal(s);
	else if (number == SIGTERM || number == SIGINT)
		stop(s);
}

static void
on_status(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;

	(void)fd;
	(void)what;
	send_status(s);
	worker_pool_log_summary(s->broker.workers);
}

/*
 * From the loop itself: a loop that hangs does not say that it is alive. Nor does one that could not
 * do its work any more, for that a new start is the cure.
 */
static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	const struct service *s = arg;

	(void)fd;
	(void)what;
	if (!worker_pool_is_well(s->broker.workers))
		log_error("the spawner does not answer: the service manager should start us again");
	else if (s->listener != NULL && !listener_is_well(s->listener))
		log_error("a listening socket is lost: the service manager should start us again");
	else
		notify_send("WATCHDOG=1");
}

static void
on_engine_health(void *arg, enum engine_health health, const char *reason)
{
	struct service *s = arg;

	if (health == ENGINE_UNHEALTHY)
		log_error("container engine is not responding: %s; new containers fail until it does",
		    reason);
	if (health == ENGINE_UNHEALTHY)
		user_containers_not_found(s->broker.user_containers);
	if (health == ENGINE_HEALTHY) {
		log_info("container engine is healthy");
		if (engine_podman(s->broker.engine) != NULL && !s->podman_said)
			log_warn("the engine is Podman %s: " ENGINE_PODMAN_SENTENCE,
			    engine_podman(s->broker.engine));
		if (!s->podman_said)
			say_podman(s);
		s->podman_said = engine_podman(s->broker.engine) != NULL;
		/* What an earlier run, or the engine's own absence, left behind. */
		sweep_containers(&s->broker);
		pool_kick(s->broker.pool);
	}
}

static void
on_workers_ready(void *arg)
{
	struct service *s = arg;
	int r = listener_run(s->listener, &s->broker);

	if (r < 0) {
		log_error("cannot accept connections: %s", strerror(-r));
		s->exit_code = 1;
		(void)event_base_loopbreak(s->broker.base);
		return;
	}
	r = control_run(s->control, &s->broker, &(struct control_events){ reload, s });
	if (r < 0)
		log_error("no answers on the control socket: %s", strerror(-r));
	log_info("ready: policy generation %u (sha256 %.12s)", s->broker.generation,
	    policy_digest(s->broker.policy));
	notify_send("READY=1");
	send_status(s);
}

static void
on_workers_broken(void *arg, const char *why)
{
	struct service *s = arg;

	log_error("cannot go on: %s", why);
	s->exit_code = 1;
	(void)event_base_loopbreak(s->broker.base);
}

/* Whoever could put another directory in its place could have our sockets and our secret. */
static int
check_place(const char *directory)
{
	char inside[PATH_MAX];
	char why[WHY_MAX] = "";
	int r = -ENAMETOOLONG;

	if (snprintf(inside, sizeof(inside), "%s/", directory) < (int)sizeof(inside))
		r = trusted_place(inside, why, sizeof(why));
	if (r < 0)
		log_error("%s", why[0] != '\0' ? why : strerror(-r));
	return r;
}

/* parent/name, or parent when name is NULL. */
static int
make_directory(const char *parent, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s%s", parent, name != NULL ? "/" : "",
	    name != NULL ? name : "");
	int r = n < (int)sizeof(path) ? mkdir(path, 0700) : -1;

	if (n >= (int)sizeof(path))
		errno = ENAMETOOLONG;
	/* Whatever the umask. */
	if (r == 0)
		r = chmod(path, mode);
	if (r < 0 && errno != EEXIST) {
		r = -errno;
		log_error("cannot make %s: %s", path, strerror(-r));
		return r;
	}
	return check_place(path);
}

static int
make_directories(const struct config *c)
{
	/* The control socket's group gets at it; what else is in there is closed by itself. */
	int r = make_directory(c->runtime_dir, NULL, 0755);

	if (r == 0)
		r = make_directory(c->state_dir, NULL, 0700);
	/* Others of this host must not get at the containers' sockets below it. */
	if (r == 0)
		r = make_directory(c->runtime_dir, "rendezvous", 0700);
	return r == 0 ? make_directory(c->state_dir, KEEP_MARK_DIRECTORY, 0700) : r;
}

static int
open_listeners(struct service *s)
{
	struct notify_socket inherited[NOTIFY_LISTEN_MAX];
	char why[WHY_MAX] = "out of memory";
	int n = notify_take_sockets(inherited);
	int r;

	if (n < 0) {
		log_error("LISTEN_FDS does not make sense: %s", strerror(-n));
		return n;
	}
	if (n == 0 && s->config->listen[0] == NULL) {
		log_error(
		    "no socket to listen on: \"listen\" is empty, and the service manager has passed none");
		return -EINVAL;
	}
	if (n > 0)
		r = listener_inherit(inherited, n, &s->listener, why, sizeof(why));
	else
		r = listener_open(s->config->listen, &s->listener, why, sizeof(why));
	if (r < 0)
		log_error("%s", why);
	return r;
}

static int
make_events(struct service *s)
{
	static const int numbers[] = { SIGHUP, SIGTERM, SIGINT };
	_Static_assert(SP_ARRAY_LEN(numbers) == SP_ARRAY_LEN(s->signals), "a place for each signal");
	struct timeval status = { .tv_sec = STATUS_SECONDS };
	uint64_t watchdog = notify_watchdog_usec() / 2;
	struct timeval half = { .tv_sec = (time_t)(watchdog / 1000000),
		.tv_usec = (suseconds_t)(watchdog % 1000000) };

	for (size_t i = 0; i < SP_ARRAY_LEN(numbers); i++) {
		s->signals[i] = evsignal_new(s->broker.base, numbers[i], on_signal, s);
		if (s->signals[i] == NULL || event_add(s->signals[i], NULL) < 0)
			return -ENOMEM;
	}
	s->tick = event_new(s->broker.base, -1, EV_PERSIST, on_tick, s);
	s->status = event_new(s->broker.base, -1, EV_PERSIST, on_status, s);
	s->watchdog = event_new(s->broker.base, -1, EV_PERSIST, on_watchdog, s);
	if (s->tick == NULL || s->status == NULL || s->watchdog == NULL ||
	    event_add(s->status, &status) < 0 || (watchdog != 0 && event_add(s->watchdog, &half) < 0))
		return -ENOMEM;
	return 0;
}

static int
make_engine(struct service *s)
{
	char why[WHY_MAX], no_podman[WHY_MAX + 192];
	struct engine_options options = {
		.socket = s->config->engine.socket,
		.call_timeout_ms = s->config->engine.call_timeout_ms,
		.start_timeout_ms = s->config->engine.start_timeout_ms,
		.probe_interval_ms = s->config->engine.probe_interval_ms,
		.max_starts = s->config->engine.starts,
		.on_health = on_engine_health,
		.on_health_arg = s,
	};

	if (kernel_account_available(why, sizeof(why)) < 0) {
		(void)snprintf(no_podman, sizeof(no_podman), ENGINE_PODMAN_UNSEEN ": %s", why);
		options.no_podman = no_podman;
	}
	return engine_new(s->broker.base, &options, &s->broker.engine);
}

static int
make_container_sets(struct service *s)
{
	int r = container_set_new(&s->broker, &s->broker.containers);

	if (r == 0)
		r = image_watch_new(&s->broker, &s->broker.images);

	if (r == 0)
		r = pool_new(&s->broker, &s->broker.pool);
	if (r == 0)
		r = user_containers_new(&s->broker, &s->broker.user_containers);
	if (r == 0)
		pool_policy_changed(s->broker.pool);
	return r;
}

static int
make_control(struct service *s)
{
	char why[WHY_MAX] = "out of memory";
	int r = control_open(s->config, &s->control, why, sizeof(why));

	if (r < 0)
		log_error("%s", why);
	return r;
}

static struct spawner_options
spawner_options(const struct config *c)
{
	struct spawner_options options = {
		.program = c->worker.program,
		.uid = c->worker.uid,
		.gid = c->worker.gid,
		.n_uids = c->worker.n_uids,
		.memory = c->worker.memory,
		.audit_file = c->audit.file,
		.best_effort = !c->worker.sandbox_required,
	};

#ifdef SP_SANITIZE
	options.memory = 0; /* the sanitizer's shadow memory is terabytes of address space */
#endif
	return options;
}

static void
say_uids(const struct spawner_options *options)
{
	if (options->n_uids != 0)
		log_info("each worker gets a uid of its own: %u to %u", (unsigned)options->uid,
		    (unsigned)(options->uid + options->n_uids - 1));
	else
		log_info("workers share uid %u", (unsigned)options->uid);
}

/*
 * Who starts workers, and who opens the audit log anew: one child of ours, or a process of the service
 * manager's that has other rights than we, and a child that has the same. -1: the first does both.
 */
static int
start_spawner(const struct service *s, int *ret_fd, int *ret_opener_fd)
{
	struct spawner_options options = spawner_options(s->config);
	pid_t pid;
	int r;

	if (s->options.spawner != NULL) {
		r = spawner_connect(s->options.spawner, ret_fd);
		if (r < 0)
			log_error("cannot reach the spawner at %s: %s", s->options.spawner,
			    strerror(-r));
		if (r < 0 || s->config->audit.file == NULL)
			return r;
		ret_fd = ret_opener_fd;
	}
	r = spawner_start(&options, ret_fd, &pid);
	if (r < 0)
		log_error("cannot start the spawner: %s", strerror(-r));
	else if (s->options.spawner == NULL)
		say_uids(&options);
	return r;
}

/* Its first event shows that it can be written; a log that has to be and cannot is no start. */
static int
open_audit(struct service *s)
{
	const struct config_audit *c = &s->config->audit;
	char why[WHY_MAX] = "";
	int r;

	if (c->file == NULL)
		return 0;
	r = audit_open(c->file, c->required, &s->broker.audit, why, sizeof(why));
	if (r < 0) {
		log_error("%s", why);
		return r;
	}
	if (!audit_event(s->broker.audit, "service.start", NULL, AUDIT_TEXT("version", SP_VERSION)))
		return -EIO;
	audit_policy(s);
	return 0;
}

/* It may have errors: they are said, and nothing else. */
static int
open_shadow(struct service *s)
{
	struct diag_list diags = DIAG_LIST_INIT;
	int r = s->config->policy_shadow != NULL
	    ? shadow_new(s->config->policy_shadow, &s->broker.shadow)
	    : 0;

	shadow_load(s->broker.shadow, s->broker.audit, &diags);
	diag_print(&diags, stderr);
	diag_list_clear(&diags);
	return r;
}

/* Secrets and state, after the spawner has gone its own way. */
static int
open_secrets(struct service *s)
{
	char why[WHY_MAX] = "";
	int r = instance_open(&s->broker.instance, s->config->state_dir, why, sizeof(why));

	if (r < 0) {
		log_error("%s", why);
		return r;
	}
	r = load_host_keys(s);
	if (r != 0)
		return r;
	s->broker.policy = load_policy(s->config->policy);
	if (s->broker.policy == NULL) {
		log_error("%s: the policy has errors: not started", s->config->policy);
		return -EINVAL;
	}
	s->broker.generation = 1;
	r = open_audit(s);
	return r == 0 ? open_shadow(s) : r;
}

/*
 * With exact timers: what epoll counts in whole milliseconds, rounded up from when it is asked, would let
 * a refusal's time show how long the decision took (answer_login.c). NULL: no memory.
 */
static struct event_base *
make_base(void)
{
	struct event_config *c = event_config_new();
	struct event_base *base = NULL;

	if (c != NULL && event_config_set_flag(c, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
		base = event_base_new_with_config(c);
	if (c != NULL)
		event_config_free(c);
	return base;
}

static int
start(struct service *s)
{
	struct worker_pool_events events = { on_workers_ready, on_workers_broken, s };
	SP_CLEANUP_FD int spawner_fd = -1;
	SP_CLEANUP_FD int opener_fd = -1;
	char why[WHY_MAX] = "";
	int r;

	s->broker.config = s->config;
	r = make_directories(s->config);
	if (r == 0)
		r = open_listeners(s);
	if (r == 0)
		r = start_spawner(s, &spawner_fd, &opener_fd);
	if (r == 0)
		r = notify_open();
	if (r == 0)
		r = open_secrets(s);
	if (r != 0)
		return r;
	s->broker.base = make_base();
	if (s->broker.base == NULL)
		return -ENOMEM;
	r = make_events(s);
	if (r == 0)
		r = make_engine(s);
	if (r == 0)
		r = ceilings_new(&s->broker.ceilings);
	if (r == 0)
		r = make_container_sets(s);
	if (r == 0)
		r = make_control(s);
	if (r < 0)
		return r;
	r = sandbox_broker(why, sizeof(why));
	if (r != 0 && s->config->worker.sandbox_required) {
		log_error("%s", why);
		return r < 0 ? r : -EPERM;
	}
	if (r != 0)
		log_warn("%s; going on, as worker.sandbox is \"best-effort\"", why);
	return worker_pool_new(&s->broker, fd_steal(&spawner_fd), fd_steal(&opener_fd), &events,
	    &s->broker.workers);
}

static void
free_service(struct service *s)
{
	listener_free(s->listener);
	control_free(s->control);
	worker_pool_free(s->broker.workers);
	image_watch_free(s->broker.images);
	container_set_free(s->broker.containers);
	pool_free(s->broker.pool);
	user_containers_free(s->broker.user_containers);
	ceilings_free(s->broker.ceilings);
	engine_free(s->broker.engine);
	for (size_t i = 0; i < SP_ARRAY_LEN(s->signals); i++) {
		if (s->signals[i] != NULL)
			event_free(s->signals[i]);
	}
	if (s->tick != NULL)
		event_free(s->tick);
	if (s->status != NULL)
		event_free(s->status);
	if (s->watchdog != NULL)
		event_free(s->watchdog);
	if (s->broker.base != NULL)
		event_base_free(s->broker.base);
	policy_unref(s->broker.policy);
	shadow_free(s->broker.shadow);
	host_key_set_free(s->broker.host_keys);
	audit_free(s->broker.audit);
	OPENSSL_cleanse(s->broker.instance.secret, sizeof(s->broker.instance.secret));
	config_free(s->config);
}

/*
 * -W: started by the service manager for one connection of the broker, with the privileges that the
 * broker's own unit does not have. Returns only when there is nobody to serve.
 */
static int
be_spawner(const struct service *s)
{
	struct spawner_options options = spawner_options(s->config);
	struct notify_socket sockets[NOTIFY_LISTEN_MAX];

	if (notify_take_sockets(sockets) != 1 || !ipc_chan_is_pair(sockets[0].fd)) {
		log_error("-W is for service managers, which pass one connection of the broker");
		return 1;
	}
	say_uids(&options);
	spawner_serve(sockets[0].fd, &options);
}

static int
usage(FILE *out)
{
	fprintf(out,
	    "usage: sallyport-broker [-D | -t] [-v] [-c FILE] [-w SOCKET | -W]\n"
	    "       sallyport-broker -h | -V\n"
	    "  -c FILE  configuration, default " DEFAULT_CONFIG "\n"
	    "  -h       print this; --help does as well\n"
	    "  -D       examine this host and the engine, print findings as JSON; sallyport doctor does\n"
	    "  -t       check configuration and policy, then exit 0 or 1\n"
	    "  -v       log debug messages\n"
	    "  -V       print the version\n"
	    "  -w SOCKET  have workers started by the spawner that listens there\n"
	    "  -W       be that spawner; for service managers\n");
	return out == stdout ? 0 : 2;
}

/* -1: go on; else exit with that code. */
static int
parse_options(int argc, char **argv, struct options *ret)
{
	static const struct option long_options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	ret->config = DEFAULT_CONFIG;
	while ((c = getopt_long(argc, argv, "c:DtvVhw:W", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			ret->config = optarg;
			break;
		case 'D':
			ret->doctor = true;
			break;
		case 't':
			ret->check_only = true;
			break;
		case 'v':
			ret->verbose = true;
			break;
		case 'w':
			ret->spawner = optarg;
			break;
		case 'W':
			ret->be_spawner = true;
			break;
		case 'V':
			puts("sallyport-broker " SP_VERSION);
			return 0;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (optind < argc)
		fprintf(stderr, "sallyport-broker: \"%s\" is one word too many\n", argv[optind]);
	else if (ret->be_spawner && ret->spawner != NULL)
		fprintf(stderr,
		    "sallyport-broker: -w and -W exclude each other: one is the other's spawner\n");
	else
		return -1;
	return usage(stderr);
}

/* Each connection takes ten, and those on their way to workers are counted as well: as many as we may. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	struct service s = { .broker.instance.lock_fd = -1 };
	int r = parse_options(argc, argv, &s.options);

	if (r >= 0)
		return r;
	(void)umask(077);
	(void)signal(SIGPIPE, SIG_IGN);
	log_setup("sallyport-broker", LOG_LEVEL_INFO, getenv("JOURNAL_STREAM") != NULL);
	if (s.options.doctor)
		return doctor_run(s.options.config);
	s.config = load_config(s.options.config);
	if (s.config == NULL)
		return 1;
	log_set_max(s.options.verbose ? LOG_LEVEL_DEBUG : s.config->log_level);
	if (s.options.check_only) {
		r = check_only(&s);
		free_service(&s);
		return r;
	}
	if (s.options.be_spawner) {
		r = be_spawner(&s);
		free_service(&s);
		return r;
	}
	raise_descriptor_limit();
	r = start(&s);
	if (r == 0)
		r = event_base_dispatch(s.broker.base);
	else
		log_error("not started");
	free_service(&s);
	return r == 0 && s.exit_code == 0 ? 0 : 1;
}
