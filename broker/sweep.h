/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leftovers of a broker that was killed: containers that are provably ours and belong to nobody who
 * is alive, and their rendezvous directories.
 */
#ifndef SP_SWEEP_H
#define SP_SWEEP_H

struct broker;

/*
 * Ask the engine for our containers: those that this process does not know, and that are not to be kept,
 * are removed, and whatever else belonged to them. For half a minute it is asked again: it may still have been
 * making one.
 */
void sweep_containers(struct broker *b);

#endif
