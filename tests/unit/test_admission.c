/* SPDX-License-Identifier: Apache-2.0 */
/* admission: who is let in, with a clock and dice of our own. No sleeping, no sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "admission.h"
#include "log_budget.h"
#include "test.h"
#include "worker_exit.h"

#define SECOND 1000

static struct admission_options options;
static struct admission *door;
static uint32_t dice; /* what the next throws show */
static int64_t now;

static uint32_t
throw_dice(uint32_t n)
{
	assert_true(dice < n);
	return dice;
}

static struct sockaddr_storage
address(const char *text)
{
	struct sockaddr_storage s = { 0 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memcpy(&s, &v4, sizeof(v4));
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
		memcpy(&s, &v6, sizeof(v6));
	}
	return s;
}

static struct sockaddr_storage
numbered(uint32_t n)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + n) };
	struct sockaddr_storage s = { 0 };

	memcpy(&s, &v4, sizeof(v4));
	return s;
}

/* The defaults of the configuration. */
static int
setup(void **state)
{
	(void)state;
	options = (struct admission_options){
		.startups_start = 10,
		.startups_rate = 30,
		.startups_full = 100,
		.connections = 1000,
		.v4_bits = 32,
		.v6_bits = 64,
		.penalty_ms = { 0, 90 * SECOND, 5 * SECOND, 10 * SECOND, 1 * SECOND, 10 * SECOND },
		.penalty_min_ms = 15 * SECOND,
		.penalty_max_ms = 600 * SECOND,
		.penalty_sources = 65536,
	};
	door = NULL;
	dice = 0;
	now = 5000000;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	admission_free(door);
	return 0;
}

static void
open_door(void)
{
	assert_int_equal(admission_new(&options, throw_dice, &door), 0);
}

static enum admission_verdict
knock(const char *from, struct admission_ticket **ret)
{
	struct sockaddr_storage source = address(from);
	void *victim;
	enum admission_verdict v = admission_enter(door, &source, now, ret, &victim);

	assert_null(victim);
	return v;
}

static struct admission_ticket *
let_in(const char *from)
{
	struct admission_ticket *t = NULL;

	assert_int_equal(knock(from, &t), ADMISSION_OK);
	admission_set_owner(t, t);
	admission_served(t, now);
	return t;
}

static void
refused(const char *from, enum admission_verdict why)
{
	struct admission_ticket *t;
	uint64_t before = admission_count(door, now).refused[why];

	assert_int_equal(knock(from, &t), why);
	assert_int_equal(admission_count(door, now).refused[why], before + 1);
}

/* A whole connection that ends like that. */
static uint32_t
visit(const char *from, enum admission_end end)
{
	return admission_leave(door, let_in(from), end, now);
}

static void
test_early_drop(void **state)
{
	/* startups, the least dice that lets in; as sshd's should_drop_connection() */
	static const struct {
		unsigned startups;
		uint32_t safe;
	} cases[] = { { 0, 0 }, { 9, 0 }, { 10, 30 }, { 11, 30 }, { 12, 31 }, { 55, 65 }, { 99, 99 } };
	struct admission_ticket *tickets[128];
	struct admission_ticket *one;
	unsigned n = 0;
	char from[32];

	(void)state;
	open_door();
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		for (; n < cases[i].startups; n++) {
			(void)snprintf(from, sizeof(from), "10.0.0.%u", n);
			dice = 99;
			assert_int_equal(knock(from, &tickets[n]), ADMISSION_OK);
		}
		dice = cases[i].safe;
		one = let_in("192.0.2.1");
		(void)admission_leave(door, one, ADMISSION_END_FINE, now);
		if (cases[i].safe > 0) {
			dice = cases[i].safe - 1;
			refused("192.0.2.1", ADMISSION_STARTUPS);
		}
	}
	dice = 99;
	assert_int_equal(knock("10.0.0.99", &tickets[n++]), ADMISSION_OK);
	refused("192.0.2.1", ADMISSION_STARTUPS);
	assert_int_equal(admission_count(door, now).startups, 100);
	/* Who has logged in makes room. */
	admission_logged_in(door, tickets[0], now);
	assert_int_equal(admission_count(door, now).startups, 99);
	one = let_in("192.0.2.1");
	while (n > 0)
		(void)admission_leave(door, tickets[--n], ADMISSION_END_FINE, now);
	(void)admission_leave(door, one, ADMISSION_END_FINE, now);
	assert_int_equal(admission_count(door, now).connections, 0);
}

static void
test_limits_of_a_source(void **state)
{
	struct admission_ticket *t[8];

	(void)state;
	options.source_startups = 2;
	options.source_connections = 3;
	options.v4_bits = 24;
	open_door();
	t[0] = let_in("192.0.2.1");
	t[1] = let_in("192.0.2.2");
	refused("192.0.2.3", ADMISSION_SOURCE_STARTUPS);
	/* IPv4 in IPv6 is IPv4. */
	refused("::ffff:192.0.2.4", ADMISSION_SOURCE_STARTUPS);
	t[2] = let_in("192.0.3.1");
	admission_logged_in(door, t[0], now);
	t[3] = let_in("192.0.2.3");
	admission_logged_in(door, t[1], now);
	refused("192.0.2.9", ADMISSION_SOURCE_CONNECTIONS);
	(void)admission_leave(door, t[0], ADMISSION_END_FINE, now);
	t[0] = let_in("192.0.2.9");
	/* A /64 is one source. */
	t[4] = let_in("2001:db8::1");
	t[5] = let_in("2001:db8::ffff:1:2:3");
	refused("2001:db8::7", ADMISSION_SOURCE_STARTUPS);
	t[6] = let_in("2001:db8:0:1::7");
	for (unsigned i = 0; i < 7; i++)
		(void)admission_leave(door, t[i], ADMISSION_END_FINE, now);
	assert_int_equal(admission_count(door, now).connections, 0);
}

static void
test_limit_of_all(void **state)
{
	struct admission_ticket *t[3];

	(void)state;
	options.connections = 2;
	open_door();
	t[0] = let_in("192.0.2.1");
	t[1] = let_in("192.0.2.2");
	admission_logged_in(door, t[0], now);
	refused("192.0.2.3", ADMISSION_CONNECTIONS);
	(void)admission_leave(door, t[0], ADMISSION_END_FINE, now);
	t[0] = let_in("192.0.2.3");
	(void)admission_leave(door, t[0], ADMISSION_END_FINE, now);
	(void)admission_leave(door, t[1], ADMISSION_END_FINE, now);
}

static void
test_exempt(void **state)
{
	static struct cidr networks[2];
	struct admission_ticket *t[3];

	(void)state;
	assert_int_equal(cidr_parse("192.0.2.0/24", &networks[0]), 0);
	assert_int_equal(cidr_parse("2001:db8::/32", &networks[1]), 0);
	options.exempt = (struct cidr_list){ networks, 2 };
	options.source_startups = 1;
	options.penalty_deny_all = true;
	options.penalty_sources = 1;
	open_door();
	t[0] = let_in("192.0.2.1");
	t[1] = let_in("192.0.2.1");
	t[2] = let_in("2001:db8::1");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(admission_leave(door, t[i], ADMISSION_END_CRASH, now), 0);
	assert_int_equal(admission_count(door, now).penalties, 0);
	/* Not even when nobody else is let in. */
	assert_int_equal(visit("198.51.100.1", ADMISSION_END_CRASH), 90 * SECOND);
	refused("198.51.100.2", ADMISSION_PENALTIES_FULL);
	(void)visit("192.0.2.1", ADMISSION_END_FINE);
}

/* How many ends of a kind until the source is refused, and for how long then. */
static void
test_penalties(void **state)
{
	static const struct {
		enum admission_end end;
		unsigned times;
		unsigned seconds;
	} cases[] = {
		{ ADMISSION_END_CRASH, 1, 90 },
		{ ADMISSION_END_AUTH_FAILED, 3, 15 },
		{ ADMISSION_END_DENIED, 2, 20 },
		{ ADMISSION_END_NO_AUTH, 15, 15 },
		{ ADMISSION_END_GRACE, 2, 20 },
	};

	(void)state;
	open_door();
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		for (unsigned n = 1; n < cases[i].times; n++)
			assert_int_equal(visit("192.0.2.1", cases[i].end), 0);
		assert_int_equal(visit("192.0.2.1", cases[i].end), cases[i].seconds * SECOND);
		refused("192.0.2.1", ADMISSION_PENALISED);
		assert_int_equal(admission_count(door, now).penalised, 1);
		(void)visit("192.0.2.2", ADMISSION_END_FINE);
		now += cases[i].seconds * SECOND - 1;
		refused("192.0.2.1", ADMISSION_PENALISED);
		now++;
		(void)visit("192.0.2.1", ADMISSION_END_FINE);
		assert_int_equal(admission_count(door, now).penalised, 0);
		assert_int_equal(admission_count(door, now).penalties, 0);
	}
}

static void
test_penalties_pass_and_have_a_ceiling(void **state)
{
	struct admission_ticket *t[20];

	(void)state;
	open_door();
	/* Now and then a failure is nothing. */
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(visit("192.0.2.1", ADMISSION_END_AUTH_FAILED), 0);
		now += 6 * SECOND;
	}
	/* Connections that were let in before add up. */
	dice = 99;
	for (unsigned i = 0; i < 20; i++)
		t[i] = let_in("192.0.2.1");
	assert_int_equal(admission_leave(door, t[0], ADMISSION_END_CRASH, now), 90 * SECOND);
	for (unsigned i = 1; i < 20; i++)
		assert_int_equal(admission_leave(door, t[i], ADMISSION_END_CRASH, now), 0);
	now += 600 * SECOND - 1;
	refused("192.0.2.1", ADMISSION_PENALISED);
	now++;
	(void)visit("192.0.2.1", ADMISSION_END_FINE);
	/* What was decided stays so to its end, also below the minimum. */
	(void)visit("192.0.2.1", ADMISSION_END_CRASH);
	now += 89 * SECOND;
	refused("192.0.2.1", ADMISSION_PENALISED);
}

static void
test_no_penalties(void **state)
{
	(void)state;
	memset(options.penalty_ms, 0, sizeof(options.penalty_ms));
	open_door();
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(visit("192.0.2.1", ADMISSION_END_CRASH), 0);
	assert_int_equal(admission_count(door, now).penalties, 0);
}

static void
penalise_many(uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		struct sockaddr_storage source = numbered(i);
		struct admission_ticket *t = NULL;
		void *victim;

		assert_int_equal(admission_enter(door, &source, now, &t, &victim), ADMISSION_OK);
		(void)admission_leave(door, t, ADMISSION_END_CRASH, now);
	}
}

static size_t
heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* Attack row A10: more sources than the table has room for. */
static void
test_70000_sources_permissive(void **state)
{
	size_t at_65536;

	(void)state;
	open_door();
	penalise_many(0, 65536);
	assert_int_equal(admission_count(door, now).penalised, 65536);
	refused("10.0.0.0", ADMISSION_PENALISED);
	at_65536 = heap_bytes();
	now += SECOND;
	penalise_many(65536, 70000 - 65536);
	assert_int_equal(admission_count(door, now).penalised, 65536);
	/* The oldest gave way, the newest count, and no memory was taken but what malloc() caches. */
	assert_true(heap_bytes() <= at_65536 + (64 << 10));
	(void)visit("10.0.0.0", ADMISSION_END_FINE);
	refused("10.1.17.111", ADMISSION_PENALISED); /* number 69999 */
	/* Of another family there is room. */
	(void)visit("2001:db8::1", ADMISSION_END_CRASH);
	assert_int_equal(admission_count(door, now).penalised, 65537);
	now += 90 * SECOND;
	assert_int_equal(admission_count(door, now).penalties, 0);
	if (at_65536 > 0) /* a sanitizer's malloc() does not tell */
		assert_true(heap_bytes() + (4 << 20) < at_65536);
}

static void
test_70000_sources_deny_all(void **state)
{
	(void)state;
	options.penalty_deny_all = true;
	open_door();
	penalise_many(0, 65536);
	refused("10.1.17.111", ADMISSION_PENALTIES_FULL);
	(void)visit("2001:db8::1", ADMISSION_END_FINE);
	now += 90 * SECOND;
	(void)visit("10.1.17.111", ADMISSION_END_FINE);
}

static struct admission_ticket *
let_in_for(const char *from, const struct admission_ticket *victim)
{
	struct sockaddr_storage source = address(from);
	struct admission_ticket *t = NULL;
	void *chosen;

	assert_int_equal(admission_enter(door, &source, now, &t, &chosen), ADMISSION_OK);
	assert_ptr_equal(chosen, victim);
	admission_set_owner(t, t);
	admission_served(t, now);
	return t;
}

/* Full of one source: its newest gives way to others, until it has as few as they. */
static void
test_the_heaviest_gives_way(void **state)
{
	struct admission_ticket *heavy[4];
	struct admission_ticket *other[3];

	(void)state;
	options.startups_start = options.startups_full = 4;
	open_door();
	for (unsigned i = 0; i < 4; i++)
		heavy[i] = let_in("192.0.2.1");
	refused("192.0.2.1", ADMISSION_STARTUPS);
	other[0] = let_in_for("192.0.2.2", heavy[3]);
	assert_int_equal(admission_count(door, now).evicted, 1);
	assert_int_equal(admission_count(door, now).startups, 4);
	/* Two against two would only turn the tables. */
	admission_exchanged(heavy[2]);
	other[1] = let_in_for("192.0.2.3", heavy[1]);
	refused("192.0.2.2", ADMISSION_STARTUPS);
	/* Who has exchanged keys stays. */
	admission_exchanged(heavy[0]);
	refused("192.0.2.4", ADMISSION_STARTUPS);
	/* It was let go early: no penalty, whatever it looks like. */
	assert_int_equal(admission_leave(door, heavy[3], ADMISSION_END_GRACE, now), 0);
	assert_int_equal(admission_count(door, now).penalties, 0);
	for (unsigned i = 0; i < 3; i++)
		(void)admission_leave(door, heavy[i], ADMISSION_END_FINE, now);
	for (unsigned i = 0; i < 2; i++)
		(void)admission_leave(door, other[i], ADMISSION_END_FINE, now);
	assert_int_equal(admission_count(door, now).connections, 0);
}

/* Full of many sources with one each: who has sat there for some seconds gives way. */
static void
test_the_stale_give_way(void **state)
{
	struct admission_ticket *t[4];
	struct admission_ticket *next;
	struct sockaddr_storage waiting = address("192.0.2.9");
	void *victim;

	(void)state;
	options.startups_start = options.startups_full = 4;
	open_door();
	t[0] = let_in("192.0.2.1");
	admission_exchanged(t[0]);
	/* No worker yet: that is our fault. */
	assert_int_equal(admission_enter(door, &waiting, now, &t[1], &victim), ADMISSION_OK);
	t[2] = let_in("192.0.2.2");
	t[3] = let_in("192.0.2.3");
	now += 2999;
	refused("192.0.2.4", ADMISSION_STARTUPS);
	now++;
	next = let_in_for("192.0.2.4", t[2]);
	/* Not for one that has as many itself. */
	refused("192.0.2.3", ADMISSION_STARTUPS);
	(void)admission_leave(door, t[2], ADMISSION_END_NO_AUTH, now);
	/* That one was late: it counts as such. */
	assert_int_equal(admission_count(door, now).penalties, 1);
	(void)admission_leave(door, t[0], ADMISSION_END_FINE, now);
	(void)admission_leave(door, t[1], ADMISSION_END_FINE, now);
	(void)admission_leave(door, t[3], ADMISSION_END_FINE, now);
	(void)admission_leave(door, next, ADMISSION_END_FINE, now);
	assert_int_equal(admission_leave(door, NULL, ADMISSION_END_CRASH, now), 0);
}

/* Strangers who exchange keys and then sit there keep nobody out who belongs here; and those keep each other's places. */
static void
test_who_is_known_comes_before_who_has_exchanged(void **state)
{
	struct admission_ticket *t[3];
	struct admission_ticket *known[3];

	(void)state;
	options.startups_start = options.startups_full = 3;
	open_door();
	known[0] = let_in("192.0.2.100");
	admission_logged_in(door, known[0], now);
	for (size_t i = 0; i < SP_ARRAY_LEN(t); i++) {
		char from[32];

		(void)snprintf(from, sizeof(from), "192.0.2.%zu", i + 1);
		t[i] = let_in(from);
		admission_exchanged(t[i]);
	}
	refused("192.0.2.50", ADMISSION_STARTUPS);
	known[1] = let_in_for("192.0.2.100", t[2]);
	known[2] = let_in_for("192.0.2.100", t[1]);
	admission_exchanged(known[1]);
	refused("192.0.2.50", ADMISSION_STARTUPS);
	for (size_t i = 0; i < SP_ARRAY_LEN(t); i++) {
		(void)admission_leave(door, t[i], ADMISSION_END_NO_AUTH, now);
		(void)admission_leave(door, known[i], ADMISSION_END_FINE, now);
	}
}

/* Under pressure each stranger costs a process: after a burst they come in at 16 a second, whoever gives way. */
static void
test_strangers_have_a_pace(void **state)
{
	char from[32];
	unsigned n = 0;

	(void)state;
	options.startups_start = 1;
	options.startups_full = 20;
	open_door();
	/* Without pressure there is no pace. */
	for (unsigned i = 0; i < 100; i++)
		(void)visit("203.0.113.1", ADMISSION_END_FINE);
	struct admission_ticket *sits = let_in("198.51.100.1");
	for (; n < 40; n++) {
		struct admission_ticket *t;

		dice = 99;
		(void)snprintf(from, sizeof(from), "192.0.2.%u", n);
		if (knock(from, &t) != ADMISSION_OK)
			break;
		(void)admission_leave(door, t, ADMISSION_END_FINE, now);
	}
	assert_int_equal(n, 20);
	refused("192.0.2.100", ADMISSION_STARTUPS);
	now += INT64_C(16) * 62;
	for (n = 0; n < 16; n++)
		(void)visit("192.0.2.101", ADMISSION_END_FINE);
	refused("192.0.2.101", ADMISSION_STARTUPS);
	/* It is none of theirs who are known. */
	admission_logged_in(door, sits, now);
	(void)admission_leave(door, sits, ADMISSION_END_FINE, now);
	sits = let_in("198.51.100.2");
	(void)visit("198.51.100.1", ADMISSION_END_FINE);
	refused("192.0.2.101", ADMISSION_STARTUPS);
	(void)admission_leave(door, sits, ADMISSION_END_FINE, now);
}

/* Where somebody has logged in from, it goes on: for some connections, for a day. */
static void
test_the_known_come_in(void **state)
{
	struct admission_ticket *flood[8];
	struct admission_ticket *known[16];
	char from[32];

	(void)state;
	options.startups_start = options.startups_full = 8;
	open_door();
	known[0] = let_in("198.51.100.1");
	assert_false(admission_is_known(known[0]));
	admission_logged_in(door, known[0], now);
	(void)admission_leave(door, known[0], ADMISSION_END_FINE, now);
	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(from, sizeof(from), "192.0.2.%u", i);
		flood[i] = let_in(from);
		assert_false(admission_is_known(flood[i]));
	}
	refused("198.51.100.2", ADMISSION_STARTUPS);
	/* The newest of the unknown makes room, without a penalty: it had no time. */
	for (unsigned i = 0; i < 8; i++) {
		known[i] = let_in_for("198.51.100.1", flood[7 - i]);
		assert_true(admission_is_known(known[i]));
		assert_int_equal(admission_leave(door, flood[7 - i], ADMISSION_END_NO_AUTH, now), 0);
	}
	assert_int_equal(admission_count(door, now).penalties, 0);
	/* They are safe from the unknown, also when they take their time... */
	now += 3 * SECOND;
	refused("192.0.2.1", ADMISSION_STARTUPS);
	/* ...but among each other all are equal. */
	refused("198.51.100.1", ADMISSION_STARTUPS);
	for (unsigned i = 0; i < 8; i++)
		(void)admission_leave(door, known[i], ADMISSION_END_FINE, now);
	/* After a day they are strangers. */
	now += 24 * 3600 * SECOND;
	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(from, sizeof(from), "192.0.2.%u", i);
		flood[i] = let_in(from);
	}
	refused("198.51.100.1", ADMISSION_STARTUPS);
	for (unsigned i = 0; i < 8; i++)
		(void)admission_leave(door, flood[i], ADMISSION_END_FINE, now);
}

/* Beyond some connections at a time being known is no privilege. */
static void
test_the_known_do_not_take_over(void **state)
{
	struct admission_ticket *known[10];
	struct admission_ticket *t;

	(void)state;
	options.startups_start = options.startups_full = 10;
	open_door();
	t = let_in("198.51.100.1");
	admission_logged_in(door, t, now);
	(void)admission_leave(door, t, ADMISSION_END_FINE, now);
	for (unsigned i = 0; i < 10; i++)
		known[i] = let_in("198.51.100.1");
	t = let_in_for("192.0.2.1", known[9]);
	(void)admission_leave(door, t, ADMISSION_END_FINE, now);
	for (unsigned i = 0; i < 10; i++)
		(void)admission_leave(door, known[i], ADMISSION_END_FINE, now);
}

/* 10,000 sources that log in are remembered only so far. */
static void
test_the_known_are_bounded(void **state)
{
	size_t at_4096 = 0;

	(void)state;
	open_door();
	for (uint32_t i = 0; i < 10000; i++) {
		struct sockaddr_storage source = numbered(i);
		struct admission_ticket *t = NULL;
		void *victim;

		assert_int_equal(admission_enter(door, &source, now, &t, &victim), ADMISSION_OK);
		admission_logged_in(door, t, now++);
		(void)admission_leave(door, t, ADMISSION_END_FINE, now);
		if (i == 4096)
			at_4096 = heap_bytes();
	}
	assert_true(heap_bytes() <= at_4096 + (64 << 10));
}

/* A Unix socket of the service manager has no source: only the limits of all count. */
static void
test_no_source(void **state)
{
	struct sockaddr_storage unknown = { .ss_family = AF_UNIX };
	struct admission_ticket *t;
	char text[CIDR_TEXT_MAX];
	void *victim;

	(void)state;
	options.source_connections = 1;
	open_door();
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(admission_enter(door, &unknown, now, &t, &victim), ADMISSION_OK);
		assert_int_equal(admission_leave(door, t, ADMISSION_END_CRASH, now), 0);
	}
	assert_string_equal(admission_source_text(door, &unknown, text), "-");
}

/* Anything in any order, against plain counting. */
static void
test_random_walk(void **state)
{
	enum { SOURCES = 40, TICKETS = 200 };
	struct admission_ticket *tickets[TICKETS] = { 0 };
	struct admission_counts c;
	unsigned n = 0;

	(void)state;
	options.connections = TICKETS / 2;
	options.penalty_sources = 8;
	options.source_startups = 6;
	open_door();
	srandom(7);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned at = (unsigned)random() % TICKETS;
		struct sockaddr_storage source = numbered((uint32_t)random() % SOURCES);
		void *victim;

		dice = (uint32_t)random() % 100;
		now += random() % 400;
		if (tickets[at] == NULL) {
			if (admission_enter(door, &source, now, &tickets[at], &victim) ==
			    ADMISSION_OK) {
				admission_set_owner(tickets[at], &tickets[at]);
				n++;
			}
		} else if (random() % 4 == 0) {
			admission_served(tickets[at], now);
		} else if (random() % 4 == 0) {
			admission_exchanged(tickets[at]);
		} else if (random() % 4 == 0) {
			admission_logged_in(door, tickets[at], now);
		} else {
			(void)admission_leave(door, tickets[at],
			    (enum admission_end)(random() % ADMISSION_END_COUNT), now);
			tickets[at] = NULL;
			n--;
		}
		c = admission_count(door, now);
		assert_int_equal(c.connections, n);
		assert_true(c.startups <= c.connections && c.connections <= options.connections);
		assert_true(c.penalised <= c.penalties && c.penalties <= 8);
	}
	for (unsigned i = 0; i < TICKETS; i++)
		(void)admission_leave(door, tickets[i], ADMISSION_END_FINE, now);
	now += 3600 * SECOND;
	c = admission_count(door, now);
	assert_int_equal(c.connections + c.startups + c.penalties + c.penalised, 0);
	assert_true(c.evicted > 0 && c.refused[ADMISSION_STARTUPS] > 0 &&
	    c.refused[ADMISSION_PENALISED] > 0);
}

static void
test_judge(void **state)
{
#define EXIT(code) ((code) << 8)
#define KILL(sig)  (sig)
#define DUMP(sig)  ((sig) | 0x80)
	static const struct {
		const char *what;
		struct admission_facts facts;
		enum admission_end end;
	} cases[] = {
		{ "never had a client", { .status = KILL(SIGSEGV) }, ADMISSION_END_FINE },
		{ "logged in and left",
		    { .served = true, .logged_in = true, .status = EXIT(WORKER_EXIT_CLEAN) },
		    ADMISSION_END_FINE },
		{ "over-window after login",
		    { .served = true, .logged_in = true, .status = EXIT(WORKER_EXIT_PROTOCOL) },
		    ADMISSION_END_FINE },
		{ "failed first, then logged in",
		    { .served = true, .logged_in = true, .refusals = 3 }, ADMISSION_END_FINE },
		{ "the audit log was full", { .served = true, .our_fault = true, .refusals = 2 },
		    ADMISSION_END_FINE },
		{ "the audit log was full, and it left too late",
		    { .served = true, .our_fault = true, .overdue = true, .killed = true },
		    ADMISSION_END_FINE },
		{ "the audit log was full, and its worker crashed",
		    { .served = true, .our_fault = true, .status = DUMP(SIGSEGV) },
		    ADMISSION_END_CRASH },
		{ "crash", { .served = true, .status = DUMP(SIGSEGV) }, ADMISSION_END_CRASH },
		{ "forbidden call", { .served = true, .status = KILL(SIGSYS) }, ADMISSION_END_CRASH },
		{ "crash after login", { .served = true, .logged_in = true, .status = KILL(SIGABRT) },
		    ADMISSION_END_CRASH },
		{ "killed by somebody else", { .served = true, .status = KILL(SIGKILL) },
		    ADMISSION_END_CRASH },
		{ "crashed while it was being ended",
		    { .served = true, .killed = true, .status = KILL(SIGSEGV) }, ADMISSION_END_CRASH },
		{ "violation",
		    { .served = true, .violation = true, .killed = true, .status = KILL(SIGKILL) },
		    ADMISSION_END_CRASH },
		{ "violation, then a calm exit",
		    { .served = true, .violation = true, .status = EXIT(WORKER_EXIT_CLEAN) },
		    ADMISSION_END_CRASH },
		{ "out of memory", { .served = true, .status = EXIT(WORKER_EXIT_INTERNAL) },
		    ADMISSION_END_CRASH },
		{ "too late",
		    { .served = true, .overdue = true, .killed = true, .status = KILL(SIGKILL) },
		    ADMISSION_END_GRACE },
		{ "too late, after failures",
		    { .served = true,
			.overdue = true,
			.refusals = 2,
			.killed = true,
			.status = KILL(SIGKILL) },
		    ADMISSION_END_GRACE },
		{ "too many tries", { .served = true, .status = EXIT(WORKER_EXIT_AUTH_FAILED) },
		    ADMISSION_END_AUTH_FAILED },
		{ "one refused key",
		    { .served = true, .refusals = 1, .status = EXIT(WORKER_EXIT_NO_LOGIN) },
		    ADMISSION_END_AUTH_FAILED },
		{ "a worker that denies it",
		    { .served = true, .refusals = 1, .status = EXIT(WORKER_EXIT_CLEAN) },
		    ADMISSION_END_AUTH_FAILED },
		{ "denied by policy",
		    { .served = true, .refusals = 1, .denied = true, .status = EXIT(WORKER_EXIT_NO_LOGIN) },
		    ADMISSION_END_DENIED },
		{ "port scan", { .served = true, .status = EXIT(WORKER_EXIT_NO_LOGIN) },
		    ADMISSION_END_NO_AUTH },
		{ "garbage", { .served = true, .status = EXIT(WORKER_EXIT_PROTOCOL) },
		    ADMISSION_END_NO_AUTH },
		{ "no login, whatever the worker says",
		    { .served = true, .status = EXIT(WORKER_EXIT_CLEAN) }, ADMISSION_END_NO_AUTH },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		enum admission_end end = admission_judge(&cases[i].facts);

		if (end != cases[i].end)
			fail_msg("%s: %s", cases[i].what, admission_end_text(end));
	}
}

static void
test_every_word(void **state)
{
	(void)state;
	for (int v = 0; v < ADMISSION_VERDICT_COUNT; v++) {
		assert_non_null(admission_verdict_text((enum admission_verdict)v));
		assert_non_null(
		    strstr(admission_verdict_answer((enum admission_verdict)v), "too many"));
	}
	for (int e = 0; e < ADMISSION_END_COUNT; e++)
		assert_non_null(admission_end_text((enum admission_end)e));
}

static void
test_log_budget(void **state)
{
	struct log_budget b = { .burst = 3, .interval_ms = 100 };
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_true(log_budget_take(&b, now));
	assert_false(log_budget_take(&b, now + 99));
	assert_true(log_budget_take(&b, now + 100));
	assert_false(log_budget_take(&b, now + 199));
	assert_int_equal(log_budget_lost(&b), 2);
	assert_int_equal(log_budget_lost(&b), 0);
	/* A long rest gives the burst back, and no more. */
	now += 100000;
	for (unsigned i = 0; i < 3; i++)
		assert_true(log_budget_take(&b, now));
	assert_false(log_budget_take(&b, now));
	/* Attack row B18: a million failed logins in a hundred seconds. */
	(void)log_budget_lost(&b);
	now += 100000;
	for (unsigned i = 0; i < 1000000; i++)
		lines += log_budget_take(&b, now + i / 10);
	assert_in_range(lines, 1000, 1003);
	assert_int_equal(lines + log_budget_lost(&b), 1000000);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_early_drop),
		TEST(test_limits_of_a_source),
		TEST(test_limit_of_all),
		TEST(test_exempt),
		TEST(test_penalties),
		TEST(test_penalties_pass_and_have_a_ceiling),
		TEST(test_no_penalties),
		TEST(test_70000_sources_permissive),
		TEST(test_70000_sources_deny_all),
		TEST(test_the_heaviest_gives_way),
		TEST(test_the_stale_give_way),
		TEST(test_who_is_known_comes_before_who_has_exchanged),
		TEST(test_strangers_have_a_pace),
		TEST(test_the_known_come_in),
		TEST(test_the_known_do_not_take_over),
		TEST(test_the_known_are_bounded),
		TEST(test_no_source),
		TEST(test_random_walk),
		TEST(test_judge),
		TEST(test_every_word),
		TEST(test_log_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
