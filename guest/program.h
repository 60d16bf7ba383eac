/* SPDX-License-Identifier: Apache-2.0 */
/* One program that was ordered: from the order to its reaped process and its closed ctl. */
#ifndef SP_PROGRAM_H
#define SP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"
#include "guest_msg.h"
#include "terminal.h"

struct program {
	bool used;
	pid_t pid;     /* leader of its session; 0 once it is reaped */
	pid_t session; /* the same number, kept for the hang-up */
	int ctl;       /* -1: the channel is gone */
	int result;    /* reads the exec's outcome; -1 once it is known */
	int master;    /* until STARTED has carried it to the worker */
	bool exited;   /* wait status is known */
	int status;
	uint32_t grace_ms;
	int64_t kill_at; /* ms, CLOCK_MONOTONIC; 0: no hang-up under way */
};

/*
 * Carry out one order. fds (taken, all closed afterwards): ctl, and without a pty stdin, stdout,
 * stderr. A failure before the fork is reported on ctl at once; then p is unused again.
 */
void program_start(struct program *p, const struct guest_spawn *order, int *fds, unsigned n_fds);

/* The exec's outcome can be read: tell the worker STARTED or FAILED. */
void program_exec_known(struct program *p);

/* The process was reaped: tell the worker EXITED. */
void program_reaped(struct program *p, int status);

/* The worker wrote, or closed: signals and the channel's end. */
void program_ctl_readable(struct program *p, int64_t now_ms);

/* The channel is gone: hang up what is left of the session; SIGKILL at kill_at. */
void program_hang_up(struct program *p, int64_t now_ms);

/* kill_at is over. */
void program_kill(struct program *p);

/* Nothing is left to do for it: make the slot free. */
void program_tidy(struct program *p);

#endif
