/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for the engine, in rounds: in each of them everybody who waits has one turn, in the order in which they
 * came. Whoever comes with a hundred wishes is overtaken by who comes with one. What goes on for long after its turn has
 * begun holds up nobody else, but who has many of these waits for them.
 */
#ifndef SP_ENGINE_TURNS_H
#define SP_ENGINE_TURNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum engine_turn_state {
	ENGINE_TURN_NONE,
	ENGINE_TURN_WAITS,
	ENGINE_TURN_SLOW, /* it has begun, and the next one may */
};

/* A place in the queue, or among what is slow; part of the call. Zero: neither. */
struct engine_turn {
	TAILQ_ENTRY(engine_turn) link;
	const char *who;
	void *call;
	uint64_t round;
	enum engine_turn_state state;
};

struct engine_turns {
	TAILQ_HEAD(engine_turn_list, engine_turn) list; /* that wait, by round */
	struct engine_turn_list slow;
	uint64_t round; /* of whoever was first and left last */
	unsigned n;     /* that wait */
	unsigned n_slow;
	unsigned share; /* of what is slow: who has as many waits for them */
};

void engine_turns_init(struct engine_turns *turns, unsigned share);

/* who is borrowed until the turn leaves; all with the same text share their turns. */
void engine_turns_add(struct engine_turns *turns, struct engine_turn *turn, const char *who,
    void *call);

/* It has begun, and takes longer than a turn. who: as for engine_turns_add(). */
void engine_turns_linger(struct engine_turns *turns, struct engine_turn *turn, const char *who);

/* Begun, ended, or given up. It need not be anywhere. */
void engine_turns_leave(struct engine_turns *turns, struct engine_turn *turn);

/* Whether this one may have a turn, beside what they have that is slow. */
bool engine_turns_may(const struct engine_turns *turns, const char *who);

/* The call whose turn it is, which goes on waiting; NULL: nobody waits who may. */
void *engine_turns_next(const struct engine_turns *turns);

/* The first one, whether it may or not; NULL: nobody waits. */
void *engine_turns_first(const struct engine_turns *turns);

/* The last one, of whoever has the most, and there came last; NULL: nobody waits. */
void *engine_turns_last(const struct engine_turns *turns);

#endif
