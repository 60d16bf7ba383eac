/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much those who are logged in may make the broker write into its logs: so many bytes at once, then so many in a
 * second. It goes by user and key, over all their connections: who disconnects and comes again has what was left. What is
 * beyond it is not left out but waits, which is the caller's part.
 */
#ifndef SP_WRITE_BUDGET_H
#define SP_WRITE_BUDGET_H

#include <stdint.h>

#include "attr.h"

#define WRITE_BUDGET_BURST  (1 << 20) /* bytes at once */
#define WRITE_BUDGET_PER_MS 64        /* then so many: 64 KiB in a second */

struct write_budgets;
struct write_budget;

/* 0 or -ENOMEM. */
SP_MUST_CHECK int write_budgets_new(struct write_budgets **ret);
/* Those that are still held go as well. NULL is fine. */
void write_budgets_free(struct write_budgets *all);

/*
 * The budget of this user with this key ("SHA256:..."), full at first; each is to be given back. now_ms of clock.h.
 * NULL: out of memory.
 */
struct write_budget *write_budget_take(struct write_budgets *all, const char *user, const char *key,
    int64_t now_ms);
/* It is remembered until it would be full again. NULL is fine. */
void write_budget_give(struct write_budgets *all, struct write_budget *b, int64_t now_ms);

/* Bytes that may be written now; 0 or less: none for a while. */
int64_t write_budget_left(struct write_budget *b, int64_t now_ms);
/* The debt has an end: after so much time in which nothing is written there is something left again. */
void write_budget_spend(struct write_budget *b, int64_t bytes);

#endif
