/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: looking up a name. Hostile: the name server, the container's files, and therefore what the process says that
 * has read them. It has the container user's rights like all others, cannot be traced by them (it is not dumpable,
 * as its parent), and is killed as soon as it has answered, or is not wanted any more.
 */
#include "lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "address.h"
#include "fd.h"
#include "startup.h"

/* ---- in the process ---- */

static uint32_t
error_of(int result)
{
	switch (result) {
	case EAI_AGAIN:
	case EAI_FAIL:
		return EAGAIN;
	case EAI_MEMORY:
		return ENOMEM;
	case EAI_SYSTEM:
		return errno > 0 ? (uint32_t)errno : EIO;
	default:
		return ENOENT; /* there is no such name, or it has no address */
	}
}

/* In this order. What does not fit is none of the first ones. */
static void
collect(const struct addrinfo *list, struct guest_found *found)
{
	uint32_t port;

	for (const struct addrinfo *a = list; a != NULL && found->n < GUEST_FOUND_ADDRESSES_MAX;
	     a = a->ai_next) {
		struct sockaddr_storage copy = { 0 };

		if (a->ai_addrlen > sizeof(copy))
			continue;
		memcpy(&copy, a->ai_addr, a->ai_addrlen);
		if (address_read(&copy, &found->addresses[found->n], &port))
			found->n++;
	}
}

static void
look_up(const char *name, struct guest_found *found)
{
	const struct addrinfo wanted = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int result = getaddrinfo(name, NULL, &wanted, &list);

	if (result != 0) {
		found->error = error_of(result);
		return;
	}
	collect(list, found);
	freeaddrinfo(list);
	if (found->n == 0)
		found->error = ENOENT;
}

/*
 * Whose end is not seen: it dies with its parent, and by the signals that end a container. Nothing of the guest's is
 * kept open, neither a channel nor, as stdout, a stream.
 */
static bool
is_alone(int answer_fd, pid_t parent)
{
	sigset_t none;

	if (dup2(answer_fd, STDIN_FILENO) < 0)
		return false;
	startup_close_from(STDIN_FILENO + 1);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

static _Noreturn void
run(const char *name, int answer_fd, pid_t parent)
{
	struct guest_found found = { 0 };
	uint8_t record[GUEST_FOUND_MAX];
	struct wire_writer w;
	ssize_t n = 0;

	if (is_alone(answer_fd, parent)) {
		look_up(name, &found);
		wire_writer_init(&w, record, sizeof(record));
		guest_put_found(&w, &found);
		n = write(STDIN_FILENO, w.data, w.len); /* at once: a pipe takes this much as one */
	}
	_exit(n > 0 ? 0 : 1);
}

/* ---- in the guest ---- */

int
lookup_start(struct lookup *l, const char *name)
{
	pid_t parent = getpid();
	int ends[2];
	int r = 0;

	*l = (struct lookup){ .fd = -1 };
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	l->pid = fork();
	if (l->pid == 0)
		run(name, ends[1], parent);
	if (l->pid < 0) {
		r = -errno;
		l->pid = 0;
	} else {
		l->fd = fd_steal(&ends[0]);
	}
	fd_close_all(ends, 2);
	return r;
}

bool
lookup_read(struct lookup *l, struct guest_found *ret)
{
	uint8_t record[GUEST_FOUND_MAX + 1];
	struct wire_reader r;
	ssize_t n = read(l->fd, record, sizeof(record));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	wire_reader_init(&r, record, n > 0 ? (size_t)n : 0);
	/* Nothing, when somebody has killed it: any program of the same user can. */
	if (guest_get_found(&r, ret) != 0)
		*ret = (struct guest_found){ .error = EIO };
	lookup_drop(l);
	return true;
}

void
lookup_drop(struct lookup *l)
{
	fd_close(&l->fd);
	/* Not reaped, so the number is still its own. */
	if (l->pid > 0)
		(void)kill(l->pid, SIGKILL);
	l->pid = 0;
}
