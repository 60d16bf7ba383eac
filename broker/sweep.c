/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: clean-up at start and after the engine was away. The engine's list is hostile. */
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "config.h"
#include "container.h"
#include "engine.h"
#include "log.h"
#include "user_containers.h"

#define AGAIN_SECONDS 2 /* after a list that failed */
/* A create that a killed run had asked for may still be carried out: look for its container this often. */
#define LATE_LOOKS   6
#define LATE_SECONDS 5

static void
remove_directory(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0) {
		(void)unlinkat(fd, "socket", 0);
		(void)close(fd);
	}
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0)
		log_warn("cannot remove the old rendezvous directory %s: %s", name, strerror(errno));
}

static int
path_of_rendezvous(const char *runtime_dir, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/rendezvous", runtime_dir) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Directories of containers that are no more. */
static void
sweep_rendezvous(const struct broker *b)
{
	char path[PATH_MAX];
	DIR *dir = path_of_rendezvous(b->config->runtime_dir, path) == 0 ? opendir(path) : NULL;
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' && !container_set_has(b->containers, entry->d_name))
			remove_directory(dirfd(dir), entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static void look(struct broker *b);

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;

	(void)fd;
	(void)what;
	b->look_is_due = false;
	/* Else its recovery is when the next look is due. */
	if (engine_health(b->engine) == ENGINE_HEALTHY)
		look(b);
}

static void
look_in(struct broker *b, time_t seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	if (b->look_is_due)
		return;
	b->look_is_due = event_base_once(b->base, -1, EV_TIMEOUT, on_time, b, &tv) == 0;
	if (!b->look_is_due)
		log_error("containers of an earlier run stay until the next start: out of memory");
}

static void
on_listed(void *arg, const struct engine_result *result)
{
	struct broker *b = arg;
	unsigned removed = 0;

	if (result->error != ENGINE_OK) {
		log_warn("cannot look for containers of an earlier run: %s", result->sentence);
		user_containers_not_found(b->user_containers);
		look_in(b, AGAIN_SECONDS);
		return;
	}
	for (size_t i = 0; i < result->n_items; i++) {
		const struct engine_list_item *item = &result->items[i];

		if (container_set_has(b->containers, item->name) ||
		    engine_discards(b->engine, item->id) || engine_discards(b->engine, item->name))
			continue;
		if (!instance_owns(&b->instance, item->name, engine_list_label(item, INSTANCE_LABEL),
			engine_list_label(item, INSTANCE_LABEL_PROOF))) {
			if (b->late_looks == LATE_LOOKS)
				log_warn("container %.12s carries our label without proof: it is left "
					 "alone; remove it by hand if nobody wants it",
				    item->id);
			continue;
		}
		if (!user_containers_found(b->user_containers, item) &&
		    engine_discard(b->engine, item->id) == 0)
			removed++;
	}
	user_containers_all_found(b->user_containers);
	sweep_rendezvous(b);
	if (removed > 0)
		log_info("removing %u containers of an earlier run", removed);
	if (b->late_looks > 0) {
		b->late_looks--;
		look_in(b, LATE_SECONDS);
	}
}

static void
look(struct broker *b)
{
	int r = engine_list(b->engine, INSTANCE_LABEL, b->instance.id, on_listed, b, NULL);

	if (r < 0)
		log_warn("cannot look for containers of an earlier run: %s", strerror(-r));
	if (r < 0)
		look_in(b, AGAIN_SECONDS);
}

void
sweep_containers(struct broker *b)
{
	b->late_looks = LATE_LOOKS;
	look(b);
}
