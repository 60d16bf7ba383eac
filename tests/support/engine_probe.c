/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's engine client by hand, against a real engine.
 *
 *   engine_probe SOCKET cycle [-n ROUNDS] [-p PARALLEL] [-b SOURCE:TARGET]... IMAGE PROGRAM [ARG]...
 *   engine_probe SOCKET launch [-b SOURCE:TARGET]... IMAGE PROGRAM [ARG]...
 *   engine_probe SOCKET image NAME | list LABEL [VALUE] | inspect ID | kill ID SIGNAL
 *   engine_probe SOCKET remove ID | discard ID | wait ID | health SECONDS
 *
 * cycle: launch, kill, wait and remove, ROUNDS times, with the time of each step. Exit status 0 when
 * every call succeeded.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "engine.h"

#define MOUNTS_MAX 8

struct probe {
	struct event_base *base;
	struct engine *engine;
	struct engine_mount mounts[MOUNTS_MAX + 1];
	size_t n_mounts;
	unsigned rounds, parallel, begun, ended, failed;
	const char *image;
	const char *const *argv;
};

struct round {
	struct probe *probe;
	char name[64];
	char id[ENGINE_ID_LEN + 1];
	struct timespec at;
	double launch_ms, kill_ms, wait_ms, remove_ms;
};

static void begin_round(struct probe *p);

static double
lap(struct round *r)
{
	struct timespec now;
	double ms;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (double)(now.tv_sec - r->at.tv_sec) * 1e3 + (double)(now.tv_nsec - r->at.tv_nsec) / 1e6;
	r->at = now;
	return ms;
}

static void
report(const char *what, const struct engine_result *result)
{
	(void)fprintf(stderr, "%s: %s: %s\n", what, engine_error_name(result->error),
	    result->sentence);
}

static void
end_round(struct round *r, bool good)
{
	struct probe *p = r->probe;

	if (!good)
		p->failed++;
	else
		(void)printf("%s launch %.1f kill %.1f wait %.1f remove %.1f ms\n", r->name,
		    r->launch_ms, r->kill_ms, r->wait_ms, r->remove_ms);
	p->ended++;
	free(r);
	if (p->begun < p->rounds)
		begin_round(p);
	else if (p->ended >= p->rounds)
		(void)event_base_loopexit(p->base, NULL);
}

/* The result's verdict, or the failure to start the next step. */
static bool
bad(struct round *r, const char *what, const struct engine_result *result)
{
	if (result->error == ENGINE_OK)
		return false;
	report(what, result);
	end_round(r, false);
	return true;
}

static void
stuck(struct round *r, const char *what, int error)
{
	if (error >= 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, strerror(-error));
	end_round(r, false);
}

static void
on_removed(void *arg, const struct engine_result *result)
{
	struct round *r = arg;

	r->remove_ms = lap(r);
	if (!bad(r, "remove", result))
		end_round(r, true);
}

static void
on_gone(void *arg, const struct engine_result *result)
{
	struct round *r = arg;

	r->wait_ms = lap(r);
	if (bad(r, "wait", result))
		return;
	if (result->exit_code != 137) {
		(void)fprintf(stderr, "exit code %lld\n", (long long)result->exit_code);
		end_round(r, false);
		return;
	}
	stuck(r, "remove", engine_remove(r->probe->engine, r->id, on_removed, r, NULL));
}

static void
on_killed(void *arg, const struct engine_result *result)
{
	struct round *r = arg;

	r->kill_ms = lap(r);
	if (!bad(r, "kill", result))
		stuck(r, "wait", engine_wait(r->probe->engine, r->id, 5000, on_gone, r, NULL));
}

static void
on_launched(void *arg, const struct engine_result *result)
{
	struct round *r = arg;

	r->launch_ms = lap(r);
	if (bad(r, "launch", result))
		return;
	if (result->warning[0] != '\0')
		(void)fprintf(stderr, "warning: %s\n", result->warning);
	(void)snprintf(r->id, sizeof(r->id), "%s", result->id);
	if (r->probe->rounds == 0) {
		(void)printf("%s pid %d started %s\n", r->id, (int)result->container->pid,
		    result->container->started_at);
		end_round(r, true);
		return;
	}
	stuck(r, "kill", engine_kill(r->probe->engine, r->id, 9, on_killed, r, NULL));
}

static void
begin_round(struct probe *p)
{
	struct round *r = calloc(1, sizeof(*r));
	const struct engine_label labels[] = { { "sallyport.probe", "1" } };
	const struct engine_container_spec spec = {
		.name = r != NULL ? r->name : "",
		.image = p->image,
		.uid = 1000,
		.gid = 1000,
		.entrypoint = p->argv,
		.labels = labels,
		.n_labels = SP_ARRAY_LEN(labels),
		.read_only_root = true,
		.mounts = p->mounts,
		.n_mounts = p->n_mounts,
		.memory = 256u << 20,
		.nano_cpus = 1000000000,
		.pids = 64,
		.nofile = 1024,
		.stop_timeout = 1,
	};

	if (r == NULL)
		exit(1);
	r->probe = p;
	(void)snprintf(r->name, sizeof(r->name), "probe-%d-%u", (int)getpid(), p->begun++);
	(void)clock_gettime(CLOCK_MONOTONIC, &r->at);
	stuck(r, "launch", engine_launch(p->engine, &spec, on_launched, r, NULL));
}

static void
on_done(void *arg, const struct engine_result *result)
{
	struct probe *p = arg;

	if (result->error != ENGINE_OK) {
		report("call", result);
		p->failed++;
	}
	if (result->container != NULL)
		(void)printf("%s %s %s pid %d exit %lld\n", result->id, result->container->name,
		    result->container->status, (int)result->container->pid,
		    (long long)result->container->exit_code);
	else if (result->id[0] != '\0')
		(void)printf("%s\n", result->id);
	for (size_t i = 0; i < result->n_items; i++) {
		(void)printf("%s %s %s", result->items[i].id, result->items[i].name,
		    result->items[i].state);
		for (size_t j = 0; j < result->items[i].n_labels; j++)
			(void)printf(" %s=%s", result->items[i].labels[j].name,
			    result->items[i].labels[j].value);
		(void)printf("\n");
	}
	(void)event_base_loopexit(p->base, NULL);
}

static void
on_health(void *arg, enum engine_health health, const char *reason)
{
	(void)arg;
	(void)fprintf(stderr, "health: %s%s%s\n", health == ENGINE_HEALTHY ? "healthy" : "unhealthy",
	    reason[0] != '\0' ? ": " : "", reason);
}

/* "SOURCE:TARGET" */
static void
add_bind(struct probe *p, char *text)
{
	char *target = strchr(text, ':');

	if (target == NULL || p->n_mounts == MOUNTS_MAX) {
		(void)fprintf(stderr, "-b SOURCE:TARGET, at most %d times\n", MOUNTS_MAX);
		exit(2);
	}
	*target++ = '\0';
	p->mounts[p->n_mounts++] =
	    (struct engine_mount){ .kind = ENGINE_MOUNT_BIND, .source = text, .target = target };
}

static int
run_containers(struct probe *p, int argc, char **argv, bool once)
{
	int c;

	p->rounds = p->parallel = 1;
	while ((c = getopt(argc, argv, "+n:p:b:")) != -1) {
		if (c == 'n')
			p->rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'p')
			p->parallel = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'b')
			add_bind(p, optarg);
		else
			return -EINVAL;
	}
	if (argc - optind < 2 || p->rounds == 0)
		return -EINVAL;
	p->image = argv[optind];
	p->argv = (const char *const *)&argv[optind + 1];
	p->mounts[p->n_mounts++] =
	    (struct engine_mount){ .kind = ENGINE_MOUNT_TMPFS, .target = "/tmp", .size = 1u << 20 };
	if (once) {
		p->rounds = 0; /* leaves it running */
		begin_round(p);
		return 0;
	}
	for (unsigned i = 0; i < p->parallel && p->begun < p->rounds; i++)
		begin_round(p);
	return 0;
}

static int
run_command(struct probe *p, int argc, char **argv)
{
	const char *command = argv[0];
	const char *first = argc > 1 ? argv[1] : "";
	struct engine *e = p->engine;

	if (strcmp(command, "cycle") == 0 || strcmp(command, "launch") == 0)
		return run_containers(p, argc, argv, command[0] == 'l');
	if (strcmp(command, "image") == 0)
		return engine_image_inspect(e, first, on_done, p, NULL);
	if (strcmp(command, "list") == 0)
		return engine_list(e, first, argc > 2 ? argv[2] : NULL, on_done, p, NULL);
	if (strcmp(command, "inspect") == 0)
		return engine_inspect(e, first, on_done, p, NULL);
	if (strcmp(command, "kill") == 0 && argc > 2)
		return engine_kill(e, first, atoi(argv[2]), on_done, p, NULL);
	if (strcmp(command, "remove") == 0)
		return engine_remove(e, first, on_done, p, NULL);
	if (strcmp(command, "wait") == 0)
		return engine_wait(e, first, 0, on_done, p, NULL);
	if (strcmp(command, "discard") == 0)
		return engine_discard(e, first);
	return strcmp(command, "health") == 0 ? 0 : -EINVAL;
}

int
main(int argc, char **argv)
{
	struct probe p = { .base = event_base_new() };
	struct engine_options options = { .socket = argc > 1 ? argv[1] : "",
		.call_timeout_ms = 10000,
		.start_timeout_ms = 60000,
		.probe_interval_ms = 10000,
		.max_starts = 4,
		.on_health = on_health };
	struct timeval tv = { .tv_sec = 3 };
	struct engine_counts counts;
	int r;

	if (argc < 3) {
		(void)fprintf(stderr, "usage: engine_probe SOCKET COMMAND ...\n");
		return 2;
	}
	r = p.base == NULL ? -ENOMEM : engine_new(p.base, &options, &p.engine);
	if (r == 0)
		r = run_command(&p, argc - 2, argv + 2);
	if (r < 0) {
		(void)fprintf(stderr, "engine_probe: %s\n", strerror(-r));
		engine_free(p.engine);
		if (p.base != NULL)
			event_base_free(p.base);
		return 2;
	}
	if (strcmp(argv[2], "health") == 0 && argc > 3)
		tv.tv_sec = atoi(argv[3]);
	if (strcmp(argv[2], "health") == 0 || strcmp(argv[2], "discard") == 0)
		(void)event_base_loopexit(p.base, &tv);
	(void)event_base_dispatch(p.base);
	/* What failed is being removed. */
	counts = engine_counts(p.engine);
	for (int i = 0; i < 100 && counts.discarding > 0; i++) {
		tv = (struct timeval){ .tv_usec = 50000 };
		(void)event_base_loopexit(p.base, &tv);
		(void)event_base_dispatch(p.base);
		counts = engine_counts(p.engine);
	}
	(void)fprintf(stderr, "requests %llu connections %llu api 1.%u failed %u\n",
	    (unsigned long long)counts.requests, (unsigned long long)counts.connections,
	    counts.api_minor, p.failed);
	engine_free(p.engine);
	event_base_free(p.base);
	return p.failed == 0 ? 0 : 1;
}
