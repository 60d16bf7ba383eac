/* SPDX-License-Identifier: Apache-2.0 */
/* A closed grammar, and arithmetic of its own: no locale, no zone of the machine, no tables. */
#include "times.h"

#include <stdio.h>
#include <string.h>

#define DAY  INT64_C(86400)
#define WEEK (7 * DAY)

/* A cursor over the text; failure is sticky. */
struct scan {
	const char *p;
	bool failed;
};

/* Exactly n digits, at most max. */
static unsigned
digits(struct scan *s, int n, unsigned max)
{
	unsigned value = 0;

	for (int i = 0; i < n && !s->failed; i++) {
		if (*s->p < '0' || *s->p > '9')
			s->failed = true;
		else
			value = value * 10 + (unsigned)(*s->p++ - '0');
	}
	s->failed = s->failed || value > max;
	return value;
}

static void
expect(struct scan *s, char c)
{
	if (s->failed || *s->p != c)
		s->failed = true;
	else
		s->p++;
}

static bool
accept(struct scan *s, char c)
{
	if (s->failed || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* "Z", "+01:00" or "-03:30"; in seconds. */
static int32_t
scan_zone(struct scan *s)
{
	int32_t sign = *s->p == '-' ? -1 : 1;
	int32_t seconds;

	if (accept(s, 'Z'))
		return 0;
	if (!accept(s, '+'))
		expect(s, '-');
	seconds = (int32_t)digits(s, 2, 14) * 3600;
	expect(s, ':');
	return sign * (seconds + (int32_t)digits(s, 2, 59) * 60);
}

static bool
is_leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned
days_of_month(unsigned year, unsigned month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

/* Days from 1970-01-01 to the first of January. */
static int64_t
days_to_year(unsigned year)
{
	int64_t y = (int64_t)year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

static int64_t
scan_instant(struct scan *s)
{
	unsigned year = digits(s, 4, 9999);
	unsigned month;
	unsigned day;
	int64_t when;

	expect(s, '-');
	month = digits(s, 2, 12);
	expect(s, '-');
	day = digits(s, 2, 31);
	expect(s, 'T');
	when = (int64_t)digits(s, 2, 23) * 3600;
	expect(s, ':');
	when += (int64_t)digits(s, 2, 59) * 60;
	if (accept(s, ':'))
		when += digits(s, 2, 59);
	when -= scan_zone(s);
	s->failed = s->failed || year < 1970 || month == 0 || day == 0 ||
	    day > days_of_month(year, month);
	if (s->failed)
		return 0;
	for (unsigned m = 1; m < month; m++)
		when += days_of_month(year, m) * DAY;
	return when + (days_to_year(year) + (int64_t)day - 1) * DAY;
}

int
times_parse_instant(const char *text, int64_t *ret)
{
	struct scan s = { .p = text };
	int64_t when = scan_instant(&s);

	if (s.failed || *s.p != '\0')
		return TIMES_E_SYNTAX;
	*ret = when;
	return 0;
}

static int
parse_interval(const char *text, struct time_window *ret)
{
	struct scan s = { .p = text };

	*ret = (struct time_window){ .from = INT64_MIN, .to = INT64_MAX };
	if (*s.p != '/')
		ret->from = scan_instant(&s);
	expect(&s, '/');
	if (*s.p != '\0')
		ret->to = scan_instant(&s);
	if (s.failed || *s.p != '\0' || strcmp(text, "/") == 0)
		return TIMES_E_SYNTAX;
	return ret->from < ret->to ? 0 : TIMES_E_EMPTY;
}

/* 0 is Monday. */
static unsigned
scan_day(struct scan *s)
{
	static const char names[][4] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

	for (unsigned i = 0; i < SP_ARRAY_LEN(names); i++) {
		if (strncmp(s->p, names[i], 3) == 0) {
			s->p += 3;
			return i;
		}
	}
	s->failed = true;
	return 0;
}

/* "mon", "mon-fri", "sat,mon-wed". A range may go over the end of the week. */
static uint8_t
scan_days(struct scan *s)
{
	unsigned days = 0;

	do {
		unsigned first = scan_day(s);
		unsigned last = accept(s, '-') ? scan_day(s) : first;

		for (unsigned day = first;; day = (day + 1) % 7) {
			days |= 1U << day;
			if (day == last || s->failed)
				break;
		}
	} while (accept(s, ','));
	return (uint8_t)days;
}

static uint32_t
scan_hour(struct scan *s, bool end)
{
	uint32_t seconds = digits(s, 2, end ? 24 : 23) * 3600;

	expect(s, ':');
	seconds += digits(s, 2, 59) * 60;
	s->failed = s->failed || seconds > DAY;
	return seconds;
}

static int
parse_weekly(const char *text, struct time_window *ret)
{
	struct scan s = { .p = text };

	*ret = (struct time_window){ .weekly = true, .days = 0x7f, .end = (uint32_t)DAY };
	if (*s.p >= 'a' && *s.p <= 'z') {
		ret->days = scan_days(&s);
		expect(&s, ' ');
	}
	if (*s.p >= '0' && *s.p <= '9') {
		ret->begin = scan_hour(&s, false);
		expect(&s, '-');
		ret->end = scan_hour(&s, true);
		expect(&s, ' ');
		if (!s.failed && ret->begin == ret->end)
			return TIMES_E_EMPTY;
	}
	ret->zone = scan_zone(&s);
	return s.failed || *s.p != '\0' ? TIMES_E_SYNTAX : 0;
}

int
times_parse_window(const char *text, struct time_window *ret)
{
	if (strchr(text, '/') != NULL)
		return parse_interval(text, ret);
	/* Nothing but a zone would be all of the time. */
	if (strchr("Z+-", text[0]) != NULL)
		return TIMES_E_SYNTAX;
	return parse_weekly(text, ret);
}

bool
times_contains(const struct time_window *w, int64_t now)
{
	int64_t local;
	int64_t second;
	unsigned day;
	unsigned before;

	if (!w->weekly)
		return now >= w->from && now < w->to;
	/* 1970-01-01 was a Thursday; weeks begin on Monday. */
	local = (now + w->zone + 3 * DAY) % WEEK;
	local += local < 0 ? WEEK : 0;
	day = (unsigned)(local / DAY);
	before = (day + 6) % 7;
	second = local % DAY;
	if (w->begin < w->end)
		return (w->days & 1U << day) != 0 && second >= w->begin && second < w->end;
	return ((w->days & 1U << day) != 0 && second >= w->begin) ||
	    ((w->days & 1U << before) != 0 && second < w->end);
}

bool
times_is_past(const struct time_window *w, int64_t now)
{
	return !w->weekly && w->to <= now;
}

char *
times_format(int64_t when, char out[TIMES_TEXT_MAX])
{
	int64_t days = when / DAY - (when % DAY < 0);
	int64_t second = when - days * DAY;
	unsigned year = days < 0 ? 1969 : 1970; /* a zone may reach a little behind the beginning */
	unsigned month = 1;

	/* A year has at most 366 days, so this begins at or before the right one. */
	if (days > 0)
		year += (unsigned)(days / 366);
	while (days_to_year(year + 1) <= days)
		year++;
	days -= days_to_year(year);
	while (days >= days_of_month(year, month))
		days -= days_of_month(year, month++);
	(void)snprintf(out, TIMES_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02uZ", year % 10000, month,
	    (unsigned)days + 1, (unsigned)(second / 3600), (unsigned)(second / 60 % 60),
	    (unsigned)(second % 60));
	return out;
}
