/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: see activity.h. */
#include "activity.h"

#include "ask.h"
#include "clock.h"

void
activity_note(struct activity *a, uint64_t in, uint64_t out)
{
	int64_t now = clock_now_ms();

	if (in == 0 && out == 0)
		return;
	/* The first after a pause is told at once: the broker may be about to send an idle login away. */
	if (a->due == 0)
		a->due = now - a->last > ACTIVITY_EVERY_MS ? now : now + ACTIVITY_EVERY_MS;
	a->in += in;
	a->out += out;
	a->last = now;
}

void
activity_begin(struct activity *a)
{
	a->last = clock_now_ms();
}

int64_t
activity_wait(const struct activity *a)
{
	int64_t left = a->due - clock_now_ms();

	if (a->due == 0)
		return -1;
	return left > 0 ? left : 0;
}

int
activity_tell(struct activity *a, struct ask *ask, bool last)
{
	int64_t now = clock_now_ms();
	struct ipc_activity m = { .bytes_in = a->in, .bytes_out = a->out };

	if (a->due == 0 || (now < a->due && !last))
		return 0;
	m.idle_seconds = (uint32_t)((now - a->last) / 1000);
	a->due = 0;
	return ask_activity(ask, &m);
}
