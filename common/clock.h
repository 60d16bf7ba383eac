/* SPDX-License-Identifier: Apache-2.0 */
/* Time for deadlines: it never jumps, whatever is done to the date. */
#ifndef SP_CLOCK_H
#define SP_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t clock_now_ms(void);

#endif
