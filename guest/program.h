/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One program that was ordered: from the order until its process is reaped, the worker has closed
 * ctl, and nothing is left of its session.
 */
#ifndef SP_PROGRAM_H
#define SP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest_msg.h"

struct program {
	bool used;
	pid_t pid;     /* the program's own process, leader of its session; 0 once it is reaped */
	pid_t session; /* 0: empty, nothing to hang up any more */
	int ctl;       /* -1: the channel is gone */
	int result;    /* reads the way to exec; -1 once its end is known */
	int master;    /* the terminal's, until STARTED has carried it to the worker; else -1 */
	/* At most these two are ever said, in this order. A full ctl makes them wait here. */
	bool owes_first, owes_exit;
	struct guest_ctl first; /* STARTED or FAILED */
	struct guest_ctl exit;  /* EXITED */
	uint32_t grace_ms;
	int64_t kill_at; /* ms, CLOCK_MONOTONIC; 0: no hang-up under way */
	unsigned kill_rounds;
};

/* What poll() should wait for on ctl. */
short program_ctl_events(const struct program *p);

/*
 * Carry out one order in the unused slot p. fds (taken, all closed afterwards): ctl, and without a
 * pty stdin, stdout, stderr: as many as the order needs. Whatever fails is told on ctl.
 */
void program_start(struct program *p, const struct guest_spawn *order, int *fds, unsigned n_fds);

/* The way to exec has ended, or p->result woke up without reason. */
void program_exec_known(struct program *p, int64_t now_ms);

/* The program's own process was reaped. */
void program_reaped(struct program *p, int status, int64_t now_ms);

/* ctl can be read or written, or its other end is closed. */
void program_ctl_ready(struct program *p, int64_t now_ms);

/* kill_at is over: SIGKILL what is left of the session, again and again for a while. */
void program_kill(struct program *p, int64_t now_ms);

/* Make the slot free when nothing is left to do for it. */
void program_tidy(struct program *p);

#endif
