/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: how long a login may last, and how long unused; each has its clock. */
#include "session_time.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

#include "clock.h"
#include "peer.h"
#include "units.h"

/* What a worker tells of what passes without a pause is up to two seconds old (common/PROTOCOL.md). */
#define IDLE_SLACK_MS 3000

#define SENTENCE_MAX 160

/* What the two have of their own. Words stand before and behind a time. */
struct kind {
	uint32_t (*limit)(const struct policy_profile *profile); /* ms; 0: none */
	int64_t (*end)(const struct peer *p); /* ms of clock_now_ms(), as far as is known now */
	const char *warning[2];
	const char *goodbye[2];
	const char *reason; /* for the logs */
};

static uint32_t
longest_limit(const struct policy_profile *profile)
{
	return profile->max_ms;
}

static int64_t
longest_end(const struct peer *p)
{
	return p->logged_in_at + p->decision.profile->max_ms;
}

static uint32_t
idle_limit(const struct policy_profile *profile)
{
	return profile->idle_ms;
}

static int64_t
idle_end(const struct peer *p)
{
	return p->activity.last_ms + p->decision.profile->idle_ms + IDLE_SLACK_MS;
}

static const struct kind kinds[PEER_CLOCKS] = {
	[PEER_CLOCK_LONGEST] = { longest_limit, longest_end, { "This session ends in ", "." },
	    { "This session has lasted its longest time, ", "." }, "its longest time is over" },
	[PEER_CLOCK_IDLE] = { idle_limit, idle_end,
	    { "This session is not being used. It ends in ", " if nothing passes through it." },
	    { "This session has not been used for ", " and is over." }, "it was idle for too long" },
};

static const struct kind *
kind_of(const struct peer_clock *k)
{
	return &kinds[k - k->peer->clocks];
}

/* How long before the end a word is said; 0: none. */
static uint32_t
warning_of(const struct peer_clock *k)
{
	const struct policy_profile *profile = k->peer->decision.profile;

	return profile->warn_ms < kind_of(k)->limit(profile) ? profile->warn_ms : 0;
}

static const char *
sentence(char out[SENTENCE_MAX], const char *const words[2], uint32_t ms)
{
	char time[UNITS_TEXT_MAX];

	(void)snprintf(out, SENTENCE_MAX, "%s%s%s", words[0], units_format_duration(ms, time),
	    words[1]);
	return out;
}

/* Until the next thing that there is to do, were nothing to change. */
static void
arm_next(struct peer_clock *k)
{
	int64_t left = kind_of(k)->end(k->peer) - clock_now_ms();
	int64_t ms = k->stage == PEER_TIME_WARN ? left - warning_of(k) : left;
	struct timeval tv = clock_timeval(ms > 0 ? ms : 0);

	/* A notice may have ended the peer: then there is no timer any more. */
	if (k->timer != NULL && event_add(k->timer, &tv) < 0)
		peer_end(k->peer, "its time cannot be kept: out of memory");
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct peer_clock *k = arg;
	const struct kind *kind = kind_of(k);
	struct peer *p = k->peer;
	int64_t left = kind->end(p) - clock_now_ms();
	uint32_t warning = warning_of(k);
	char text[SENTENCE_MAX];

	(void)fd;
	(void)what;
	if (left <= 0) {
		k->stage = PEER_TIME_OVER;
		peer_dismiss(p, sentence(text, kind->goodbye, kind->limit(p->decision.profile)),
		    kind->reason);
		return;
	}
	if (k->stage == PEER_TIME_WARN && left <= warning) {
		k->stage = PEER_TIME_END;
		peer_notice(p, IPC_NOTICE_TEXT, sentence(text, kind->warning, warning));
	}
	arm_next(k);
}

int
session_time_begin(struct peer *p)
{
	for (size_t i = 0; i < PEER_CLOCKS; i++) {
		struct peer_clock *k = &p->clocks[i];

		if (kinds[i].limit(p->decision.profile) == 0)
			continue;
		k->peer = p;
		k->timer = evtimer_new(p->broker->base, on_time, k);
		if (k->timer == NULL)
			return -ENOMEM;
		k->stage = warning_of(k) > 0 ? PEER_TIME_WARN : PEER_TIME_END;
		arm_next(k);
	}
	return 0;
}

void
session_time_activity(struct peer *p)
{
	struct peer_clock *k = &p->clocks[PEER_CLOCK_IDLE];

	/* Before that the timer finds out by itself. */
	if (k->timer == NULL || k->stage != PEER_TIME_END || warning_of(k) == 0)
		return;
	k->stage = PEER_TIME_WARN;
	arm_next(k);
}

void
session_time_end(struct peer *p)
{
	for (size_t i = 0; i < PEER_CLOCKS; i++) {
		if (p->clocks[i].timer != NULL)
			event_free(p->clocks[i].timer);
		p->clocks[i].timer = NULL;
	}
}
