/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes of sallyportd: how the connection ended, as far as an honest worker can tell. */
#ifndef SP_WORKER_EXIT_H
#define SP_WORKER_EXIT_H

enum worker_exit {
	WORKER_EXIT_CLEAN = 0,        /* the client said goodbye, or closed, after its login */
	WORKER_EXIT_BY_HAND = 2,      /* started by hand */
	WORKER_EXIT_LOCKDOWN = 3,     /* could not lock itself down */
	WORKER_EXIT_INTERNAL = 4,     /* out of memory, or a call failed that must not */
	WORKER_EXIT_BROKER_GONE = 5,  /* the pair ended */
	WORKER_EXIT_NO_LOGIN = 10,    /* the client left, and had not tried to log in */
	WORKER_EXIT_AUTH_FAILED = 11, /* refused attempts, and no login */
	WORKER_EXIT_PROTOCOL = 12,    /* the client broke the protocol or a limit */
	WORKER_EXIT_TIMEOUT = 13,     /* keepalives went unanswered */
	WORKER_EXIT_ENDLESS = 14,     /* one step of its work took more than WORKER_TURN_SECONDS */
};

#define WORKER_TURN_SECONDS 3 /* of processor time */

#endif
