/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for the engine, in rounds: in each of them everybody who waits has one turn, in the order in which they
 * came. Whoever comes with a hundred wishes is overtaken by who comes with one.
 */
#ifndef SP_ENGINE_TURNS_H
#define SP_ENGINE_TURNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* A place in the queue, part of what waits. Zero: it does not. */
struct engine_turn {
	TAILQ_ENTRY(engine_turn) link;
	const char *who;
	void *call; /* what waits */
	uint64_t round;
	bool waits;
};

struct engine_turns {
	TAILQ_HEAD(engine_turn_list, engine_turn) list; /* by round */
	uint64_t round;                                 /* of whoever was first and left last */
	unsigned n;
};

void engine_turns_init(struct engine_turns *turns);

/* who is borrowed until the turn leaves; all with the same text share their turns. */
void engine_turns_add(struct engine_turns *turns, struct engine_turn *turn, const char *who,
    void *call);

/* Begun, or given up. It need not wait. */
void engine_turns_leave(struct engine_turns *turns, struct engine_turn *turn);

/* The call whose turn it is, which goes on waiting; NULL: nobody does. */
void *engine_turns_next(const struct engine_turns *turns);

/* The last one, of whoever has the most, and there came last; NULL: nobody waits. */
void *engine_turns_last(const struct engine_turns *turns);

#endif
