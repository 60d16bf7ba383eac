/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: a log is not a place to flood. */
#include "log_budget.h"

static void
give_back(struct log_budget *b, int64_t now_ms)
{
	int64_t n = (now_ms - b->since_ms) / b->interval_ms;

	if (b->spent == 0 || n >= b->spent) {
		b->spent = 0;
		b->since_ms = now_ms;
	} else if (n > 0) {
		b->spent -= (unsigned)n;
		b->since_ms += n * b->interval_ms;
	}
}

bool
log_budget_take(struct log_budget *b, int64_t now_ms)
{
	give_back(b, now_ms);
	if (b->spent >= b->burst) {
		b->lost++;
		return false;
	}
	b->spent++;
	return true;
}

unsigned
log_budget_lost(struct log_budget *b)
{
	unsigned lost = b->lost;

	b->lost = 0;
	return lost;
}
