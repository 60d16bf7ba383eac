/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see write_budget.h. Users and keys have proven themselves. */
#include "write_budget.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct write_budget {
	TAILQ_ENTRY(write_budget) link; /* of those that nobody holds, the longest one first */
	int64_t left;
	int64_t at_ms; /* when it was that */
	unsigned holders;
	bool is_idle; /* on the list */
	char name[];  /* user, NUL, key: names have none */
};

TAILQ_HEAD(write_budget_list, write_budget);

struct write_budgets {
	void *tree; /* by name */
	struct write_budget_list idle;
};

static int
compare(const void *a, const void *b)
{
	const struct write_budget *x = a;
	const struct write_budget *y = b;

	int r = strcmp(x->name, y->name);

	return r != 0 ? r : strcmp(x->name + strlen(x->name) + 1, y->name + strlen(y->name) + 1);
}

int
write_budgets_new(struct write_budgets **ret)
{
	struct write_budgets *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return -ENOMEM;
	TAILQ_INIT(&all->idle);
	*ret = all;
	return 0;
}

void
write_budgets_free(struct write_budgets *all)
{
	if (all == NULL)
		return;
	tdestroy(all->tree, free);
	free(all);
}

int64_t
write_budget_left(struct write_budget *b, int64_t now_ms)
{
	b->left += (now_ms - b->at_ms) * WRITE_BUDGET_PER_MS;
	b->at_ms = now_ms;
	if (b->left > WRITE_BUDGET_BURST)
		b->left = WRITE_BUDGET_BURST;
	return b->left;
}

void
write_budget_spend(struct write_budget *b, int64_t bytes)
{
	b->left -= bytes;
	if (b->left < -WRITE_BUDGET_BURST)
		b->left = -WRITE_BUDGET_BURST;
}

static void
forget(struct write_budgets *all, struct write_budget *b)
{
	(void)tdelete(b, &all->tree, compare);
	free(b);
}

/* From the one that has been idle for the longest time on, as far as they are full. */
static void
forget_full(struct write_budgets *all, int64_t now_ms)
{
	struct write_budget *b;

	while ((b = TAILQ_FIRST(&all->idle)) != NULL &&
	    write_budget_left(b, now_ms) == WRITE_BUDGET_BURST) {
		TAILQ_REMOVE(&all->idle, b, link);
		forget(all, b);
	}
}

struct write_budget *
write_budget_take(struct write_budgets *all, const char *user, const char *key, int64_t now_ms)
{
	size_t user_size = strlen(user) + 1;
	size_t key_size = strlen(key) + 1;
	struct write_budget *b = malloc(sizeof(*b) + user_size + key_size);
	struct write_budget **place;

	if (b == NULL)
		return NULL;
	forget_full(all, now_ms);
	*b = (struct write_budget){ .left = WRITE_BUDGET_BURST, .at_ms = now_ms };
	memcpy(b->name, user, user_size);
	memcpy(b->name + user_size, key, key_size);
	place = tsearch(b, &all->tree, compare);
	if (place == NULL || *place != b)
		free(b);
	if (place == NULL)
		return NULL;
	b = *place;
	if (b->is_idle)
		TAILQ_REMOVE(&all->idle, b, link);
	b->is_idle = false;
	b->holders++;
	return b;
}

void
write_budget_give(struct write_budgets *all, struct write_budget *b, int64_t now_ms)
{
	if (b == NULL || --b->holders > 0)
		return;
	if (write_budget_left(b, now_ms) == WRITE_BUDGET_BURST) {
		forget(all, b);
		return;
	}
	TAILQ_INSERT_TAIL(&all->idle, b, link);
	b->is_idle = true;
}
