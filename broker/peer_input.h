/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: how a worker is listened to. Its records go to dispatch.c and its lines into the log, both no faster than an
 * honest worker speaks, and what they make us write is charged to the user whose worker it is.
 */
#ifndef SP_PEER_INPUT_H
#define SP_PEER_INPUT_H

#include "attr.h"

struct peer;

/*
 * Listen to its pair and its log pipe from now on. 0, or -ENOMEM with events in p that are peer.c's to free, as are
 * those of success.
 */
SP_MUST_CHECK int peer_input_begin(struct peer *p);

/* Its process is gone: read what is left of both, and end p if that has not. */
void peer_input_finish(struct peer *p);

/* What it asked for costs as much as so many records: it will wait the sooner, and longer. */
void peer_charge(struct peer *p, int records);

/* A request was refused, or failed: it costs as much as so many bytes of the logs. */
void peer_charge_refusal(struct peer *p);

#endif
