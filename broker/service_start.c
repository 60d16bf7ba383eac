/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up is one visible sequence in service_start(), at the end, and its steps are above it in that order: open
 * what needs privileges, fork the side processes before a secret is in memory, load the secrets, lock down, serve.
 */
#include "service.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "audit.h"
#include "bind_check.h"
#include "ceilings.h"
#include "config.h"
#include "container.h"
#include "control.h"
#include "diag.h"
#include "engine_mark.h"
#include "fd.h"
#include "host_key.h"
#include "image_watch.h"
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
#include "user_containers.h"
#include "worker_pool.h"
#include "write_budget.h"

#define WHY_MAX 1024

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
		log_error("cannot make %s: %s%s", path, strerror(-r),
		    r == -EROFS ? "; the packaged unit needs its directory in ReadWritePaths=" : "");
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
		log_error("the service manager's LISTEN_FDS is not a number of sockets that can be taken: %s",
		    strerror(-n));
		return n;
	}
	if (n == 0 && s->config->listen[0] == NULL) {
		log_error(
		    "no socket to listen on: \"listen\" is empty, and the service manager has passed none");
		return -EINVAL;
	}
	if (n > 0 && config_names_listen(s->config))
		log_warn("\"listen\" of %s is ignored: the service manager passes its own sockets, and is "
			 "told where in a unit (systemctl edit sallyport.socket)",
		    s->options.config);
	if (n > 0)
		r = listener_inherit(inherited, n, &s->listener, why, sizeof(why));
	else
		r = listener_open(s->config->listen, !config_names_listen(s->config), &s->listener,
		    why, sizeof(why));
	if (r < 0)
		log_error("%s", why);
	return r;
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

struct policy *
service_load_policy(const char *path)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *policy = NULL;
	int r = policy_load(path, &policy, &diags);

	diag_print(&diags, stderr);
	diag_list_clear(&diags);
	return r == 0 ? policy : NULL;
}

/* Who waits to hear that the service is up would end one that never says it. */
static int
open_manager(void)
{
	int r = notify_open();

	if (r != 0)
		log_error("the service manager cannot be told anything at NOTIFY_SOCKET: %s; start without it, or "
			  "mend the unit",
		    strerror(-r));
	return r;
}

/* Its first event shows that it can be written; a log that has to be and cannot is no start. */
static int
open_audit(struct service *s)
{
	const struct config_audit *c = &s->config->audit;
	char why[WHY_MAX] = "";
	int r;

	if (c->file == NULL) {
		log_info("there is no audit log: \"audit\" in the configuration names its file");
		return 0;
	}
	r = audit_open(c->file, c->required, &s->broker.audit, why, sizeof(why));
	if (r < 0) {
		log_error("%s", why);
		return r;
	}
	if (!audit_event(s->broker.audit, "service.start", NULL, AUDIT_TEXT("version", SP_VERSION)))
		return -EIO;
	service_audit_policy(s);
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

static int
start_bind_checker(const struct service *s, int *ret_fd)
{
	pid_t pid;
	int r = bind_checker_start(s->config, ret_fd, &pid);

	if (r < 0)
		log_error("cannot start the process that looks at the host's directories: %s",
		    strerror(-r));
	return r;
}

/* Secrets and state, after the side processes have gone their own way. */
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
	s->broker.policy = service_load_policy(s->config->policy);
	if (s->broker.policy == NULL) {
		log_error("%s: the policy has errors: not started", s->config->policy);
		return -EINVAL;
	}
	engine_mark_get(s->config->state_dir, &s->engine);
	policy_set_engine(s->broker.policy, &s->engine);
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
make_engine(struct service *s)
{
	char why[WHY_MAX], no_podman[WHY_MAX + 192];
	struct engine_options options = {
		.socket = s->config->engine.socket,
		.call_timeout_ms = s->config->engine.call_timeout_ms,
		.start_timeout_ms = s->config->engine.start_timeout_ms,
		.probe_interval_ms = s->config->engine.probe_interval_ms,
		.max_starts = s->config->engine.starts,
		.on_health = service_on_engine_health,
		.on_health_arg = s,
	};

	s->broker.sees_others = kernel_account_sees_others();
	if (!s->broker.sees_others)
		log_warn(
		    "other users' processes are hidden from the broker in /proc: what the engine says of a container "
		    "cannot be compared with what the kernel says; ProtectProc=default shows them to a service");
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

/* The process at fd, which is taken. */
static int
make_binds(struct service *s, int *fd)
{
	return bind_checker_new(s->broker.base, fd_steal(fd), s->config->engine.call_timeout_ms,
	    service_on_binds_broken, s, &s->broker.binds);
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

int
service_start(struct service *s)
{
	struct worker_pool_events events = { service_on_workers_ready, service_on_workers_broken, s };
	SP_CLEANUP_FD int spawner_fd = -1;
	SP_CLEANUP_FD int opener_fd = -1;
	SP_CLEANUP_FD int binds_fd = -1;
	char why[WHY_MAX] = "";
	int r;

	s->broker.config = s->config;
	r = make_directories(s->config);
	if (r == 0)
		r = open_listeners(s);
	if (r == 0)
		r = service_start_spawner(s, &spawner_fd, &opener_fd);
	if (r == 0)
		r = start_bind_checker(s, &binds_fd);
	if (r == 0)
		r = open_manager();
	if (r == 0)
		r = open_secrets(s);
	if (r != 0)
		return r;
	s->broker.base = make_base();
	if (s->broker.base == NULL)
		return -ENOMEM;
	r = service_make_events(s);
	if (r == 0)
		r = make_engine(s);
	if (r == 0)
		r = ceilings_new(&s->broker.ceilings);
	if (r == 0)
		r = write_budgets_new(&s->broker.write_budgets);
	if (r == 0)
		r = make_binds(s, &binds_fd);
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

void
service_free(struct service *s)
{
	listener_free(s->listener);
	control_free(s->control);
	worker_pool_free(s->broker.workers);
	image_watch_free(s->broker.images);
	container_set_free(s->broker.containers);
	pool_free(s->broker.pool);
	user_containers_free(s->broker.user_containers);
	bind_checker_free(s->broker.binds);
	ceilings_free(s->broker.ceilings);
	write_budgets_free(s->broker.write_budgets);
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
