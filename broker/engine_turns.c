/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see engine_turns.h. */
#include "engine_turns.h"

#include <string.h>

void
engine_turns_init(struct engine_turns *turns)
{
	TAILQ_INIT(&turns->list);
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
	*turn = (struct engine_turn){ .who = who, .call = call, .round = round, .waits = true };
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
engine_turns_leave(struct engine_turns *turns, struct engine_turn *turn)
{
	if (!turn->waits)
		return;
	if (turn == TAILQ_FIRST(&turns->list))
		turns->round = turn->round;
	TAILQ_REMOVE(&turns->list, turn, link);
	turns->n--;
	turn->waits = false;
}

void *
engine_turns_next(const struct engine_turns *turns)
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
