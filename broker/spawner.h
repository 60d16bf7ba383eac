/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spawner: a child of the broker that starts workers, and nothing else.
 *
 * Starting a worker takes privileges (namespaces, a root of its own, another uid) and execve. The
 * broker, which talks to the engine and judges hostile requests, gives all of that up; the spawner,
 * which keeps it, holds no host key, no engine socket and no policy, and parses nothing but the
 * broker's two-field requests. It also opens the one file that the broker may write and must not open
 * itself, the audit log, when that was moved away. It is forked before any of those exist in the broker's memory.
 */
#ifndef SP_SPAWNER_H
#define SP_SPAWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

struct spawner_options {
	const char *program; /* absolute path of sallyportd */
	/* n_uids not 0: each worker has a uid of its own, uid to uid + n_uids - 1, as uid and gid, and
	 * no two that live have the same. 0: all have uid and gid. */
	uid_t uid;
	gid_t gid;
	uint32_t n_uids;
	const char *audit_file; /* path, or NULL */
	uint64_t memory;        /* bytes, RLIMIT_AS of a worker; 0: unlimited (sanitizer builds) */
	bool best_effort;       /* go on where the kernel grants less; else fail */
};

/* What the spawner reports, in the order in which things happened. */
struct spawner_event {
	enum {
		SPAWNER_STARTED, /* pid, and fd: its pidfd (the caller owns it; -1: no room for it) */
		SPAWNER_FAILED, /* error: errno of the step that failed; EUSERS: no uid is free */
		SPAWNER_EXITED, /* status: as from waitpid() */
		SPAWNER_AUDIT_OPENED, /* fd (the caller owns it) */
		SPAWNER_AUDIT_FAILED, /* error; the reason is in the log */
	} kind;
	uint32_t token;
	pid_t pid;
	int fd; /* -1: none */
	int error;
	int status;
};

/*
 * Fork the spawner. Returns 0 in the broker, with the connection to it in *ret_fd (non-blocking,
 * owned by the caller) and its pid; or -errno. The child never returns from this call: it ends when
 * the connection does, and takes every worker with it.
 */
SP_MUST_CHECK int spawner_start(const struct spawner_options *options, int *ret_fd, pid_t *ret_pid);

/*
 * The other way: the service manager starts the spawner, with privileges of its own, when the broker
 * connects to a socket. The broker's side: connect to path; 0 with a connection as above, or -errno.
 */
SP_MUST_CHECK int spawner_connect(const char *path, int *ret_fd);
/* The spawner's side: serve the broker at the other end of own (taken). Ends with it. */
_Noreturn void spawner_serve(int own, const struct spawner_options *options);

/*
 * Ask for one worker with ipc_fd and log_fd (loans) as its descriptors. token comes back in the
 * events about it. 0 or -errno.
 */
SP_MUST_CHECK int spawner_request(int fd, uint32_t token, int ipc_fd, int log_fd);

/*
 * Workers begin with a low priority (worker_priority.h); this one is to have the spawner's own: its client has
 * logged in, or comes from where somebody has. One that is gone is nobody's concern. 0; -EAGAIN: not now,
 * nothing is lost; or -errno.
 */
SP_MUST_CHECK int spawner_raise(int fd, uint32_t token);

/* Ask for the audit log to be opened anew; the answer is an event. 0 or -errno. */
SP_MUST_CHECK int spawner_open_audit(int fd);

#define SPAWNER_E_AGAIN 1 /* nothing to report now */
#define SPAWNER_E_END   2 /* the spawner is gone: no further worker can be started */

/* Take the next event. 0, SPAWNER_E_AGAIN, SPAWNER_E_END or -errno. */
SP_MUST_CHECK int spawner_next_event(int fd, struct spawner_event *ret);

#endif
