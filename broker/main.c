/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-broker: the service's main process. Holds host keys, policy and the engine's socket;
 * accepts connections and never reads from them; starts a worker for each and judges what it asks.
 *
 * Here is what the command line chooses between. The service's start is in service_start.c, and what it does
 * from then on in service_run.c.
 */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker_user.h"
#include "config.h"
#include "diag.h"
#include "doctor.h"
#include "log.h"
#include "policy.h"
#include "service.h"
#include "start_check.h"

#define DEFAULT_CONFIG "/etc/sallyport/broker.json"

static struct config *
load_config(const char *path)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct config *config = NULL;
	int r = config_load(path, &config, &diags);

	diag_print(&diags, stderr);
	diag_list_clear(&diags);
	if (r == -ENOENT)
		(void)fprintf(stderr,
		    "-c FILE names another configuration; sallyport-broker.json(5) says what is in one\n");
	return r == 0 ? config : NULL;
}

/* A shadow with errors is no error: it decides nothing. */
static void
check_shadow(const struct config *c)
{
	struct policy *policy = c->policy_shadow != NULL ? service_load_policy(c->policy_shadow)
							 : NULL;

	if (c->policy_shadow != NULL && policy == NULL)
		(void)fprintf(stderr, "%s: the shadow policy has errors: it would not be used\n",
		    c->policy_shadow);
	policy_unref(policy);
}

/* The files of a broker that is not root are for its user to read: what root sees of them says nothing. */
static bool
look_as_broker_user(const struct service *s)
{
	struct diag_list diags = DIAG_LIST_INIT;
	bool good = broker_users_can_load(s->config, s->options.config, &diags);

	if (!good)
		diag_print(&diags, stderr);
	diag_list_clear(&diags);
	if (broker_user_is_other(s->config))
		log_warn("uid %u, neither root nor the broker's user %s, may see less than the broker: ask as root",
		    (unsigned)geteuid(), broker_user_name(s->config));
	if (good && broker_user_become(s->config))
		log_info("checked as user %s, the owner of state_dir %s: the broker runs as that user",
		    broker_user_name(s->config), s->config->state_dir);
	return good;
}

/* -t: what sshd -t and nginx -t do. */
static int
check_only(struct service *s)
{
	struct policy *policy;
	bool all_keys;

	if (!look_as_broker_user(s))
		return 1;
	policy = service_load_policy(s->config->policy);
	if (policy == NULL) {
		(void)fprintf(stderr, "%s: the policy has errors\n", s->config->policy);
		return 1;
	}
	policy_unref(policy);
	check_shadow(s->config);
	if (!start_check(s->config, s->options.spawner == NULL, &all_keys))
		return 1;
	(void)fprintf(stderr,
	    "%s: configuration%s policy are fine, and what a start opens is there%s; sallyport "
	    "doctor examines the rest: engine, images, programs, and who may change them\n",
	    s->options.config, all_keys ? ", host keys and" : " and",
	    all_keys ? "" : ", but not all host keys were checked");
	return 0;
}

static int
usage(FILE *out)
{
	(void)fprintf(out,
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
parse_options(int argc, char **argv, struct service_options *ret)
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
		(void)fprintf(stderr, "sallyport-broker: \"%s\" is one word too many\n",
		    argv[optind]);
	else if (ret->be_spawner && ret->spawner != NULL)
		(void)fprintf(stderr,
		    "sallyport-broker: -w and -W exclude each other: one is the other's spawner\n");
	else
		return -1;
	return usage(stderr);
}

#define CONNECTION_FDS 10 /* about; those on their way to workers are counted as well */

/* As many as we may. A spawner has some for each worker, and workers get the limit from it. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void
warn_of_descriptors(const struct config *c)
{
	rlim_t wanted = (rlim_t)c->admission.connections * CONNECTION_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted)
		log_warn("limits.connections of %u may take %llu descriptors, and RLIMIT_NOFILE is %llu: when "
			 "there are no more, nobody else gets in",
		    c->admission.connections, (unsigned long long)wanted,
		    (unsigned long long)limit.rlim_cur);
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
	broker_user_name_reader();
	if (s.options.doctor)
		return doctor_run(s.options.config);
	s.config = load_config(s.options.config);
	if (s.config == NULL)
		return 1;
	log_set_max(s.options.verbose ? LOG_LEVEL_DEBUG : s.config->log_level);
	if (s.options.check_only) {
		r = check_only(&s);
		service_free(&s);
		return r;
	}
	raise_descriptor_limit();
	if (s.options.be_spawner) {
		r = service_be_spawner(&s);
		service_free(&s);
		return r;
	}
	warn_of_descriptors(s.config);
	r = service_start(&s);
	if (r == 0)
		r = event_base_dispatch(s.broker.base);
	else
		/* Of the rest there are words above. */
		log_error("not started%s", r == -ENOMEM ? ": out of memory" : "");
	service_free(&s);
	return r == 0 && s.exit_code == 0 ? 0 : 1;
}
