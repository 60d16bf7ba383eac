/* SPDX-License-Identifier: Apache-2.0 */
/* Time for deadlines: it never jumps, whatever is done to the date. */
#ifndef SP_CLOCK_H
#define SP_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* Microseconds of CLOCK_MONOTONIC. */
int64_t clock_now_us(void);
/* The same in milliseconds. */
int64_t clock_now_ms(void);
/* Microseconds of processor time that this thread has had. */
int64_t clock_spent_us(void);
/* So many milliseconds, 0 or more, as timers want them. */
struct timeval clock_timeval(int64_t ms);

#endif
