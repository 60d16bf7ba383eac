/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many lines strangers may cause in the log: so many at once, then one in each interval. What is
 * left out is counted, so that a later line can say it.
 */
#ifndef SP_LOG_BUDGET_H
#define SP_LOG_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"

struct log_budget {
	unsigned burst;
	unsigned interval_ms; /* one more line each */
	unsigned spent;       /* starts as 0, like all below */
	unsigned lost;        /* not logged since the last log_budget_lost() */
	int64_t since_ms;     /* up to then lines have been given back */
};

/* Whether a line may be logged now; if not, it counts as lost. */
SP_MUST_CHECK bool log_budget_take(struct log_budget *b, int64_t now_ms);

/* Lines lost since the last call. */
unsigned log_budget_lost(struct log_budget *b);

#endif
