/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: hold. Nothing is said to it but by signals, whose senders are in the container or the engine. */
#include "hold.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include "clock.h"
#include "ending.h"
#include "startup.h"

#define GRACE_MAX_MS  86400000L
#define LOOK_AGAIN_MS 20 /* no signal tells that a process of somebody else's has gone */

/* -1: not a number that could be meant. */
static int64_t
parse_grace(const char *text)
{
	char *end = NULL;
	long ms = strtol(text, &end, 10);

	return end == text || *end != '\0' || ms < 0 || ms > GRACE_MAX_MS ? -1 : ms;
}

void
hold_run(const char *grace)
{
	int64_t grace_ms = parse_grace(grace);
	struct pollfd wait = { .fd = startup_take_signals(), .events = POLLIN };
	int64_t end_at = 0;
	bool ending = false;

	while (wait.fd >= 0 && grace_ms >= 0) {
		if (poll(&wait, 1, ending ? LOOK_AGAIN_MS : -1) < 0 && errno != EINTR &&
		    errno != EAGAIN && errno != ENOMEM)
			return;
		if (startup_read_signals(wait.fd) && !ending) {
			ending = true;
			end_at = clock_now_ms() + grace_ms;
			ending_ask();
		}
		ending_reap();
		if (ending && (ending_is_alone() || clock_now_ms() >= end_at))
			ending_finish();
	}
}
