/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: clean-up at start and after the engine was away. The engine's list is hostile. */
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "container.h"
#include "engine.h"
#include "log.h"

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

int
sweep_rendezvous(const char *runtime_dir)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	if (snprintf(path, sizeof(path), "%s/rendezvous", runtime_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	/* Others of this host must not get at the containers' sockets below it. */
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = opendir(path);
	if (dir == NULL)
		return -errno;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_directory(dirfd(dir), entry->d_name);
	}
	(void)closedir(dir);
	return 0;
}

static const char *
label_of(const struct engine_list_item *item, const char *name)
{
	for (size_t i = 0; i < item->n_labels; i++) {
		if (strcmp(item->labels[i].name, name) == 0)
			return item->labels[i].value;
	}
	return NULL;
}

static void
on_listed(void *arg, const struct engine_result *result)
{
	struct broker *b = arg;
	unsigned removed = 0;

	if (result->error != ENGINE_OK) {
		log_warn("cannot look for containers of an earlier run: %s", result->sentence);
		return;
	}
	for (size_t i = 0; i < result->n_items; i++) {
		const struct engine_list_item *item = &result->items[i];

		if (container_set_has(b->containers, item->name))
			continue;
		if (!instance_owns(&b->instance, item->name, label_of(item, INSTANCE_LABEL),
			label_of(item, INSTANCE_LABEL_PROOF))) {
			log_warn("container %.12s carries our label without proof: left alone",
			    item->id);
			continue;
		}
		if (engine_discard(b->engine, item->id) == 0)
			removed++;
	}
	if (removed > 0)
		log_info("removing %u containers of an earlier run", removed);
}

void
sweep_containers(struct broker *b)
{
	int r = engine_list(b->engine, INSTANCE_LABEL, b->instance.id, on_listed, b, NULL);

	if (r < 0)
		log_warn("cannot look for containers of an earlier run: %s", strerror(-r));
}
