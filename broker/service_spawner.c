/* SPDX-License-Identifier: Apache-2.0 */
/* Who starts the workers: a child of this process, or one that the service manager starts, which is -W. */
#include "service.h"

#include <string.h>

#include "config.h"
#include "ipc_chan.h"
#include "log.h"
#include "notify.h"
#include "spawner.h"

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

int
service_start_spawner(const struct service *s, int *ret_fd, int *ret_opener_fd)
{
	struct spawner_options options = spawner_options(s->config);
	pid_t pid;
	int r;

	if (s->options.spawner != NULL) {
		r = spawner_connect(s->options.spawner, ret_fd);
		if (r < 0)
			log_error("cannot reach the spawner at %s: %s; with the packaged units "
				  "sallyport-spawner.socket listens there, by hand leave -w out",
			    s->options.spawner, strerror(-r));
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

int
service_be_spawner(const struct service *s)
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
