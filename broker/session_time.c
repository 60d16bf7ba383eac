/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: the longest time of a login. The peer frees the timer. */
#include "session_time.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

#include "log.h"
#include "peer.h"
#include "units.h"

#define LAST_WORD_MS 2000 /* from "disconnect now" to the end of a worker that does not */

static int
arm(struct peer *p, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	return event_add(p->time_over, &tv) < 0 ? -ENOMEM : 0;
}

static void
warn(struct peer *p, uint32_t ms)
{
	char left[UNITS_TEXT_MAX];
	char text[128];

	(void)snprintf(text, sizeof(text), "This session ends in %s.",
	    units_format_duration(ms, left));
	peer_notice(p, IPC_NOTICE_TEXT, text);
}

static void
end(struct peer *p)
{
	char longest[UNITS_TEXT_MAX];
	char text[128];

	(void)snprintf(text, sizeof(text), "This session has lasted its longest time, %s.",
	    units_format_duration(p->decision.profile->max_ms, longest));
	peer_notice(p, IPC_NOTICE_END, text);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	uint32_t next = LAST_WORD_MS;

	(void)fd;
	(void)what;
	switch (p->time_stage) {
	case PEER_TIME_WARN:
		p->time_stage = PEER_TIME_END;
		next = p->decision.profile->warn_ms;
		warn(p, next);
		break;
	case PEER_TIME_END:
		p->time_stage = PEER_TIME_LAST_WORD;
		end(p);
		break;
	case PEER_TIME_LAST_WORD:
		peer_end(p, "its longest time is over");
		return;
	}
	/* A notice may have ended it: then there is no timer any more. */
	if (p->time_over != NULL && arm(p, next) < 0)
		peer_end(p, "its longest time cannot be kept: out of memory");
}

int
session_time_begin(struct peer *p)
{
	const struct policy_profile *profile = p->decision.profile;
	bool warns = profile->warn_ms > 0 && profile->warn_ms < profile->max_ms;

	if (profile->max_ms == 0)
		return 0;
	p->time_over = evtimer_new(p->broker->base, on_time, p);
	if (p->time_over == NULL)
		return -ENOMEM;
	p->time_stage = warns ? PEER_TIME_WARN : PEER_TIME_END;
	return arm(p, profile->max_ms - (warns ? profile->warn_ms : 0));
}
