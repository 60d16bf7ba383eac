/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container as the guest meets it, made of namespaces only: process 1 of a pid namespace, an
 * unprivileged user, a root of its own with /proc, /dev and a devpts instance, the guest and the
 * rendezvous mounted where the engine would mount them. The test plays the broker and the worker.
 */
#ifndef SP_GUEST_HARNESS_H
#define SP_GUEST_HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"
#include "guest_msg.h"

/* Descriptors of an idle guest: 0 to 2, signals, orders. */
#define HARNESS_IDLE_FDS 5
#define HARNESS_WAIT_MS  60000 /* for whatever must happen: a failed test, not a slow machine */
#define HARNESS_UID      1000
#define HARNESS_LEFT_MS \
	5000 /* what guest/CMakeLists.txt gives the checked guest for STREAM_LEFT_MS */

enum harness_root {
	HARNESS_ROOT_HOST, /* the programs of this machine, read-only */
	HARNESS_ROOT_BARE, /* nothing but one static busybox in /bin */
	/* The programs of this machine, an /etc that is the user's to write, and a network that is only a loopback. */
	HARNESS_ROOT_NAMES,
};

struct harness {
	char dir[64];
	pid_t runner; /* our child; waits for process 1 and ends as it does */
	pid_t guest;  /* process 1, as this namespace numbers it */
	int listener;
	int order; /* -1: the broker has let go */
};

/* Which executable the containers start. Loan, for good. */
void harness_set_guest(const char *path);

/* Limit of descriptors in the containers that are started from now on; 0: this machine's. */
void harness_set_max_fds(unsigned n);

/* Can this process make namespaces at all? */
bool harness_is_possible(void);
/*
 * Make them: the next child of this process is the first process of one. Root is enough; without it a
 * user namespace may be. False: neither.
 */
bool harness_enter_namespaces(void);
/* Is this an executable that needs no loader, so that it runs in a bare root? */
bool harness_is_static(const char *path);

/* Start a container and wait for its guest's report; fails the running test when it does not come. */
void harness_start(struct harness *h, enum harness_root root);

/* Let go of the order socket and wait: exit status of process 1, as wait(2) has it. */
int harness_stop(struct harness *h);

/* Wait for process 1, which has a reason to end. */
int harness_wait(struct harness *h);

/* Descriptors that the guest has open. */
unsigned harness_guest_fds(const struct harness *h);

/* Wait until the guest has exactly n descriptors open; fails the test when it does not come to that. */
void harness_expect_fds(const struct harness *h, unsigned n);

/*
 * Wait until no process in the container has pattern (grep's) in its /proc/PID/file; "[x]" for an "x"
 * keeps the pattern from finding itself.
 */
void harness_expect_gone(const struct harness *h, const char *file, const char *pattern);

/* What the worker holds of one program. -1: none, or closed. */
struct program_ends {
	int ctl;
	int in, out, err; /* without a pty */
	int master;       /* with one, once harness_expect_started() has seen it */
};

/* Send one order; unset fields are empty. Returns with all of the program's own ends closed. */
void harness_order(const struct harness *h, const struct guest_spawn *order,
    struct program_ends *ret);

/* The usual ones: argv of "/bin/sh" "-c" script. */
void harness_sh(const struct harness *h, const char *script, struct program_ends *ret);
void harness_sh_pty(const struct harness *h, const char *script, struct program_ends *ret);

/* Send any record with any descriptors on the order socket. */
void harness_send_raw(const struct harness *h, const void *data, size_t len, const int *fds,
    unsigned n_fds);

void program_ends_close(struct program_ends *e);

struct wire_span harness_span(const char *s);
/* Set order->argv from a list that ends with NULL. */
void harness_set_argv(struct guest_spawn *order, const char *const *argv);

/* The next message on ctl. Descriptors that come with it: *ret_fd, -1 for none. */
void harness_recv(int ctl, struct guest_ctl *ret, int *ret_fd);
void harness_expect_started(struct program_ends *e);
void harness_expect_failed(struct program_ends *e, enum guest_fail_stage stage, int error);
void harness_expect_exit(struct program_ends *e, unsigned code);
void harness_expect_signaled(struct program_ends *e, int number);
/* Nothing but the end comes. */
void harness_expect_end(int ctl);

void harness_signal(const struct program_ends *e, int number);

/* Read until the end into text[cap], ended with NUL; a terminal's EIO is its end. */
void harness_read_all(int fd, char *text, size_t cap);
/* Read until the text read so far contains what. */
void harness_read_until(int fd, char *text, size_t cap, const char *what);
/* True when the descriptor comes to its end within ms; what it says before is dropped. */
bool harness_ends_within(int fd, int ms);

/* Listen at a port of this machine's loopback: the harness gives the container no network of its own. */
int harness_listen_here(uint32_t *ret_port);

int64_t harness_now_ms(void);

#endif
