/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: what the data paths have in common. Nobody else's words come here. */
#include "data_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "config.h"
#include "fd.h"
#include "log.h"

#define PIPE_BYTES \
	(1024 * 1024) /* /proc/sys/fs/pipe-max-size's default; measured: 1.3x of 64 KiB */

/*
 * One pipe. A program that opens /dev/stdout again must be allowed to, whoever it runs as; who may
 * try is decided before that, by whose /proc files one can reach. A pipe that stays small works too.
 */
static int
make_pipe(int pipe_fds[2])
{
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	(void)fcntl(pipe_fds[0], F_SETPIPE_SZ, PIPE_BYTES);
	if (fchmod(pipe_fds[0], 0666) < 0)
		log_debug("cannot open a pipe's mode: %s", strerror(errno));
	return 0;
}

int
data_path_directory(const struct broker *b, const char *name, char **ret)
{
	return asprintf(ret, "%s/rendezvous/%s", b->config->runtime_dir, name) < 0 ? -ENOMEM : 0;
}

int
data_path_make_directory(const char *path, mode_t mode)
{
	int r = mkdir(path, mode) < 0 ? -errno : 0;

	/* The disk that is full, for instance, is this one, and not the engine's. */
	if (r < 0)
		log_error("cannot make %s: %s", path, strerror(-r));
	return r;
}

bool
data_path_may_be_found(const struct broker *b, const char *name)
{
	char *directory = NULL;
	bool there;

	/* Without the memory to look: what is wrong with it shows when it is opened. */
	if (data_path_directory(b, name, &directory) < 0)
		return true;
	there = access(directory, F_OK) == 0;
	free(directory);
	return there;
}

const char *
data_path_error_text(int r)
{
	if (r == DATA_PATH_E_BUSY)
		return "the container does not take orders";
	if (r == DATA_PATH_E_AWAY)
		return "the engine does not answer";
	if (r == DATA_PATH_E_QUEUE)
		return "too many wait for the engine";
	if (r == DATA_PATH_E_ENDED)
		return "the container has ended";
	return strerror(-r);
}

int
data_path_make_pipes(int fds[IPC_PIPE_FDS])
{
	int in[2] = { -1, -1 };
	int out[2] = { -1, -1 };
	int r = make_pipe(in);

	if (r == 0)
		r = make_pipe(out);
	if (r < 0) {
		fd_close_all(in, 2);
		return r;
	}
	fds[0] = in[1];
	fds[1] = out[0];
	fds[2] = in[0];
	fds[3] = out[1];
	return 0;
}

int
data_path_make_streams(bool ctl_alone, int child[IPC_START_FDS], int worker[IPC_START_FDS])
{
	int pair[2];

	for (unsigned i = 0; i < IPC_START_FDS; i++)
		child[i] = worker[i] = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	child[0] = pair[0];
	worker[0] = pair[1];
	for (unsigned i = 1; !ctl_alone && i < IPC_START_FDS; i++) {
		bool input = i == 1; /* stdin: the program reads */
		int r = make_pipe(pair);

		if (r < 0)
			return r;
		child[i] = pair[input ? 0 : 1];
		worker[i] = pair[input ? 1 : 0];
	}
	return 0;
}
