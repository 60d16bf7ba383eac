/* SPDX-License-Identifier: Apache-2.0 */
/* The one clock of deadlines, in every process. */
#include "clock.h"

#include <time.h>

static int64_t
read_us(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_now_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t
clock_spent_us(void)
{
	return read_us(CLOCK_THREAD_CPUTIME_ID);
}

int64_t
clock_now_ms(void)
{
	return clock_now_us() / 1000;
}

struct timeval
clock_timeval(int64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}
