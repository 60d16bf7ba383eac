/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is let in: counts of connections, in all and for each source, and the penalties of sources whose
 * connections ended badly. Decides and remembers, nothing else: no descriptors, no clock, no log.
 *
 * A source is an address cut to a prefix. Memory is bounded: one record for each source that has a
 * connection or a penalty, or that somebody has logged in from lately, and each of these has a ceiling.
 */
#ifndef SP_ADMISSION_H
#define SP_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "attr.h"
#include "cidr.h"

struct admission;
struct admission_ticket; /* a connection that was let in */

/* How a connection ended, as far as its source is held to it. */
enum admission_end {
	ADMISSION_END_FINE,
	ADMISSION_END_CRASH,       /* the worker crashed, or broke its protocol with the broker */
	ADMISSION_END_AUTH_FAILED, /* a key or user was refused; no difference between the two */
	ADMISSION_END_DENIED,      /* a proven user, whom the policy does not let in */
	ADMISSION_END_NO_AUTH,     /* left without an attempt */
	ADMISSION_END_GRACE,       /* a time limit passed */
	ADMISSION_END_COUNT
};

enum admission_verdict {
	ADMISSION_OK,
	ADMISSION_PENALISED,      /* this source has a penalty */
	ADMISSION_PENALTIES_FULL, /* no room for another penalty, and the overflow is "deny-all" */
	ADMISSION_CONNECTIONS,    /* too many in all */
	ADMISSION_SOURCE_CONNECTIONS, /* too many of this source */
	ADMISSION_SOURCE_STARTUPS,    /* too many of this source have not logged in */
	ADMISSION_STARTUPS,           /* early drop, or too many have not logged in */
	ADMISSION_VERDICT_COUNT
};

struct admission_options {
	/* Connections that have not logged in. From start on, a newcomer is dropped with rate percent
	 * probability, which grows linearly to 100 at full. */
	uint32_t startups_start;
	uint32_t startups_rate;
	uint32_t startups_full;
	uint32_t connections; /* at a time, in all */
	/* A source is so many bits of an address. */
	uint32_t v4_bits;
	uint32_t v6_bits;
	uint32_t source_startups;    /* of one source, not logged in; 0: no limit */
	uint32_t source_connections; /* of one source; 0: no limit */
	struct cidr_list exempt;     /* no limits and no penalties for each of these as a source */
	/* Penalties add up, are kept to penalty_max_ms, and count from penalty_min_ms on. */
	uint32_t penalty_ms[ADMISSION_END_COUNT]; /* 0: none */
	uint32_t penalty_min_ms;
	uint32_t penalty_max_ms;
	uint32_t penalty_sources; /* that have penalties, of each address family */
	/* When there are more: refuse everybody until one has passed; else forget the next to pass. */
	bool penalty_deny_all;
};

struct admission_counts {
	unsigned connections;
	unsigned startups;                         /* of these, not logged in */
	unsigned penalties;                        /* sources that have one */
	unsigned penalised;                        /* of these, sources that are refused */
	uint64_t refused[ADMISSION_VERDICT_COUNT]; /* since the start, by reason */
	uint64_t evicted;                          /* since the start: made room */
};

/* Below n, evenly. Made to be replaced in tests. */
typedef uint32_t admission_random_fn(uint32_t n);

/* options: a loan for good. 0 or -errno. */
SP_MUST_CHECK int admission_new(const struct admission_options *options,
    admission_random_fn *random, struct admission **ret);
/* Every ticket has left. NULL is fine. */
void admission_free(struct admission *a);

/*
 * A connection from source asks to be let in. ADMISSION_OK: *ret is its ticket until admission_leave(),
 * and when *ret_victim is not NULL, the connection of that owner has to be ended in its place.
 *
 * The victim: an early drop takes, before it takes a newcomer, a connection that has not finished its
 * key exchange: the newest of the source that has most, when the newcomer's own has clearly fewer; else
 * the oldest that has sat there for some seconds; else, for a source that somebody has logged in from
 * within a day, the newest of those that are not so known, and if they have all exchanged their keys, the
 * newest even so. Who is known does not give way to who is not.
 * A flood of half-open connections so displaces itself, and not the people who work here. It does so in
 * measure: from startups_start on, strangers are let in at 16 a second after a burst of startups_full.
 */
enum admission_verdict admission_enter(struct admission *a, const struct sockaddr_storage *source,
    int64_t now_ms, struct admission_ticket **ret, void **ret_victim);

/*
 * Whether it comes from where somebody has logged in within a day: worth the processor's time before those
 * of whom nothing is known. Also for a source that is exempt.
 */
bool admission_is_known(const struct admission_ticket *t);

/* Whose it is, for ret_victim. */
void admission_set_owner(struct admission_ticket *t, void *owner);
/* A worker has got the connection: its time runs. */
void admission_served(struct admission_ticket *t, int64_t now_ms);
/* The key exchange is done: the last to go. */
void admission_exchanged(struct admission_ticket *t);
void admission_logged_in(struct admission *a, struct admission_ticket *t, int64_t now_ms);

/*
 * The connection is gone, and its process too. Frees the ticket; NULL is fine. Returns for how many
 * milliseconds from now on its source is refused, when that begins with this; else 0.
 */
uint32_t admission_leave(struct admission *a, struct admission_ticket *t, enum admission_end end,
    int64_t now_ms);

struct admission_counts admission_count(struct admission *a, int64_t now_ms);

/* The network that is one source together with this address, for people. Returns out. */
char *admission_source_text(const struct admission *a, const struct sockaddr_storage *source,
    char out[CIDR_TEXT_MAX]);

/* Words for the log, and for the client: why it is refused. */
const char *admission_verdict_text(enum admission_verdict v);
const char *admission_verdict_answer(enum admission_verdict v);
const char *admission_end_text(enum admission_end e);

/*
 * What the broker knows about the end of a connection: from the kernel and from its own decisions. The
 * worker's word counts only where it accuses its client or itself.
 */
struct admission_facts {
	int status;     /* wait status of the worker */
	bool served;    /* it had got its client */
	bool killed;    /* by the broker */
	bool violation; /* it broke the protocol with the broker */
	bool overdue;   /* a time limit passed */
	bool logged_in;
	bool denied;    /* a proven user was refused by policy */
	bool full;      /* a proven user was refused for want of a place */
	bool our_fault; /* the same, for what is wrong with the service: audit log, memory, profile */
	unsigned refusals; /* keys that were refused */
};

enum admission_end admission_judge(const struct admission_facts *f);

#endif
