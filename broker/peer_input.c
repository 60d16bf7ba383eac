/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: see peer_input.h. Hostile input: every record on the pair and every byte on the log pipe. Neither can make
 * this process wait, grow or stop.
 */
#include "peer_input.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "clock.h"
#include "dispatch.h"
#include "ipc_chan.h"
#include "log.h"
#include "log_word.h"
#include "peer.h"
#include "worker_pool.h"
#include "write_budget.h"

#define RECORDS_PER_TURN 16   /* then the others have their turn */
#define LAST_TURNS       8    /* for what a worker that has exited left in its pair */
#define RECORDS_BURST    1000 /* at once; then one in a millisecond: an honest worker is far below */
#define REFUSAL_BYTES    4096 /* what a refusal counts for beside its lines: 16 in a second */
#define LOG_LINES        20   /* of one worker at once */
#define LOG_INTERVAL_MS  50   /* then one each */
#define REST_MS          20   /* for a worker that says more than that */

/*
 * A worker that floods is not ended, since a client can make an honest one busy, but it waits: what it
 * sends stays in its own buffers, and the broker's time is the others'.
 */
static void
let_rest(struct peer *p, struct event *source)
{
	struct timeval tv = { .tv_usec = REST_MS * 1000 };

	if (event_del(source) < 0 || event_add(p->rest, &tv) < 0)
		peer_end(p, "out of memory");
}

static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	if ((p->ipc_event != NULL && event_add(p->ipc_event, NULL) < 0) ||
	    (p->log_event != NULL && event_add(p->log_event, NULL) < 0))
		peer_end(p, "cannot listen to the worker");
}

/*
 * Whoever is logged in makes us write: each request is in the audit log and none may be missing there.
 * So it is not the line that is left out, but the next request that has to wait.
 */
static bool
record_allowed(struct peer *p)
{
	int64_t now = clock_now_ms();
	int64_t records = p->record_credit + (now - p->record_ms);

	p->record_credit = records < RECORDS_BURST ? (int)records : RECORDS_BURST;
	p->record_ms = now;
	return p->record_credit > 0 && (p->budget == NULL || write_budget_left(p->budget, now) > 0);
}

/* Bytes in both logs so far, whoever caused them. */
static uint64_t
written(const struct peer *p)
{
	return log_bytes() + audit_bytes(p->broker->audit);
}

static void
charge_written(struct peer *p, uint64_t before)
{
	if (p->budget != NULL)
		write_budget_spend(p->budget, (int64_t)(written(p) - before));
}

void
peer_charge_refusal(struct peer *p)
{
	if (p->budget != NULL)
		write_budget_spend(p->budget, REFUSAL_BYTES);
}

void
peer_charge(struct peer *p, int records)
{
	p->record_credit -= records;
}

/* Why its end of the pair is closed, for the logs: as it was told to, if it was. */
static const char *
why_closed(const struct peer *p)
{
	if (p->exited && WIFSIGNALED(p->facts.status))
		return "worker crashed";
	return p->dismissal != NULL ? p->dismissal : "connection closed";
}

static void
on_records(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t record[IPC_RECORD_MAX]; /* one loop, one record at a time */
	struct peer *p = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < RECORDS_PER_TURN && p->state != PEER_ENDED; i++) {
		const char *fault = "malformed message";
		size_t len;
		int r;

		/* Of a worker that has exited there are few, and nothing may be missing. */
		if (!record_allowed(p) && !p->exited) {
			let_rest(p, p->ipc_event);
			return;
		}
		r = ipc_chan_recv(p->ipc_fd, record, sizeof(record), &len, MSG_DONTWAIT);
		if (r == IPC_CHAN_E_AGAIN)
			return;
		if (r == IPC_CHAN_E_END) {
			peer_end(p, why_closed(p));
			return;
		}
		if (r == IPC_CHAN_E_VIOLATION) {
			peer_violation(p, "a record is too long, or carries descriptors");
			return;
		}
		if (r == 0) {
			uint64_t before = written(p);
			/* Not the login itself: who repeats it keeps nobody from working. */
			bool counts = p->budget != NULL;

			p->record_credit--;
			r = dispatch(p, record, len, &fault);
			if (counts)
				charge_written(p, before);
			p->record_ms = clock_now_ms(); /* nobody earns credit by what they cost */
			explicit_bzero(record, len);   /* a transcript holds the shared secret */
		}
		if (r > 0)
			peer_violation(p, fault);
		else if (r < 0)
			peer_end(p, strerror(-r));
	}
}

static bool
log_allowed(struct peer *p)
{
	bool stranger = p->ticket != NULL && !p->facts.logged_in;
	unsigned lost;

	if (!log_budget_take(&p->log_budget, clock_now_ms()) ||
	    (stranger && !worker_pool_may_log(p->broker->workers)))
		return false;
	lost = log_budget_lost(&p->log_budget);
	if (lost > 0)
		log_warn("connection=%s worker: %u lines were not logged", p->id, lost);
	return true;
}

static void
on_log(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	char text[1024];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	char *rest = text;
	bool said = false;
	uint64_t before;
	char *line;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		event_free(p->log_event);
		p->log_event = NULL;
		return;
	}
	text[n] = '\0';
	before = written(p);
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line == '\0')
			continue;
		said = true;
		if (!p->proven)
			worker_pool_not_ready(p->broker->workers, line);
		/* It has words of its client's, and is anybody's by now. */
		log_words(line);
		if (log_allowed(p))
			log_info("connection=%s worker: %s", p->id, line);
	}
	/* To read nothing but empty lines is as much work. */
	if (!said)
		(void)!log_budget_take(&p->log_budget, clock_now_ms());
	charge_written(p, before);
	if (p->log_budget.lost > 0)
		let_rest(p, p->log_event);
}

int
peer_input_begin(struct peer *p)
{
	struct event_base *base = p->broker->base;

	p->log_budget = (struct log_budget){ .burst = LOG_LINES, .interval_ms = LOG_INTERVAL_MS };
	p->ipc_event = event_new(base, p->ipc_fd, EV_READ | EV_PERSIST, on_records, p);
	p->log_event = event_new(base, p->log_fd, EV_READ | EV_PERSIST, on_log, p);
	p->rest = evtimer_new(base, on_rested, p);
	if (p->ipc_event == NULL || p->log_event == NULL || p->rest == NULL ||
	    event_add(p->ipc_event, NULL) < 0 || event_add(p->log_event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void
peer_input_finish(struct peer *p)
{
	/* What it said last, how much has passed for one, may not have been read yet. */
	for (int i = 0; i < LAST_TURNS && p->state != PEER_ENDED; i++)
		on_records(p->ipc_fd, EV_READ, p);
	if (p->state != PEER_ENDED)
		peer_end(p, why_closed(p));
	if (p->log_event != NULL)
		on_log(p->log_fd, EV_READ, p);
}
