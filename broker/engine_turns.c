/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see engine_turns.h. */
#include "engine_turns.h"

#include <string.h>

void
engine_turns_init(struct engine_turns *turns, unsigned share)
{
	TAILQ_INIT(&turns->list);
	TAILQ_INIT(&turns->slow);
	turns->share = share;
}

/*
 * The next round: who had a turn in this one and comes again at once would otherwise always be before those who wait
 * for the next.
 */
void
engine_turns_add(struct engine_turns *turns, struct engine_turn *turn, const char *who, void *call)
{
	struct engine_turn *other;
	uint64_t round = turns->round + 1;

	TAILQ_FOREACH(other, &turns->list, link)
	{
		if (other->round >= round && strcmp(other->who, who) == 0)
			round = other->round + 1;
	}
	*turn = (struct engine_turn){ .who = who,
		.call = call,
		.round = round,
		.state = ENGINE_TURN_WAITS };
	TAILQ_FOREACH(other, &turns->list, link)
	{
		if (other->round > round)
			break;
	}
	if (other != NULL)
		TAILQ_INSERT_BEFORE(other, turn, link);
	else
		TAILQ_INSERT_TAIL(&turns->list, turn, link);
	turns->n++;
}

void
engine_turns_linger(struct engine_turns *turns, struct engine_turn *turn, const char *who)
{
	engine_turns_leave(turns, turn);
	*turn = (struct engine_turn){ .who = who, .state = ENGINE_TURN_SLOW };
	TAILQ_INSERT_TAIL(&turns->slow, turn, link);
	turns->n_slow++;
}

void
engine_turns_leave(struct engine_turns *turns, struct engine_turn *turn)
{
	if (turn->state == ENGINE_TURN_WAITS) {
		if (turn == TAILQ_FIRST(&turns->list))
			turns->round = turn->round;
		TAILQ_REMOVE(&turns->list, turn, link);
		turns->n--;
	} else if (turn->state == ENGINE_TURN_SLOW) {
		TAILQ_REMOVE(&turns->slow, turn, link);
		turns->n_slow--;
	}
	turn->state = ENGINE_TURN_NONE;
}

bool
engine_turns_may(const struct engine_turns *turns, const char *who)
{
	const struct engine_turn *other;
	unsigned n = 0;

	if (turns->n_slow < turns->share)
		return true;
	TAILQ_FOREACH(other, &turns->slow, link)
	n += strcmp(other->who, who) == 0;
	return n < turns->share;
}

void *
engine_turns_next(const struct engine_turns *turns)
{
	const struct engine_turn *turn;
	const char *full = NULL;

	TAILQ_FOREACH(turn, &turns->list, link)
	{
		/* Most of a long queue is one user's: what they have is counted once. */
		if (full != NULL && strcmp(turn->who, full) == 0)
			continue;
		if (engine_turns_may(turns, turn->who))
			return turn->call;
		full = turn->who;
	}
	return NULL;
}

void *
engine_turns_first(const struct engine_turns *turns)
{
	const struct engine_turn *first = TAILQ_FIRST(&turns->list);

	return first != NULL ? first->call : NULL;
}

void *
engine_turns_last(const struct engine_turns *turns)
{
	const struct engine_turn *last = TAILQ_LAST(&turns->list, engine_turn_list);

	return last != NULL ? last->call : NULL;
}
