/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a policy takes to load and to decide. usage: policy_bench POLICY USER... prints, as JSON,
 * the median of some loads in milliseconds and the mean of many decisions in microseconds, both of
 * processor time: the machine may have other work.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy.h"

#define LOADS     9
#define DECISIONS 20000

static double
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct policy *
load(const char *path, double *ret_ms)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct policy *p = NULL;
	double start = now_us();
	int r = policy_load(path, &p, &diags);

	*ret_ms = (now_us() - start) / 1e3;
	if (r != 0)
		diag_print(&diags, stderr);
	diag_list_clear(&diags);
	return p;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Mean time of one decision, over the users in turn. */
static double
decide(const struct policy *p, char *const *users, int n_users)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_storage source = { 0 };
	struct policy_decision d;
	unsigned allowed = 0;
	double start;

	(void)inet_pton(AF_INET, "10.1.2.3", &from.sin_addr);
	memcpy(&source, &from, sizeof(from));
	start = now_us();
	for (int i = 0; i < DECISIONS; i++) {
		struct policy_login login = { .user = users[i % n_users], .source = &source };

		allowed += policy_decide(p, &login, &d) == 0;
	}
	fprintf(stderr, "%u of %d allowed\n", allowed, DECISIONS);
	return (now_us() - start) / DECISIONS;
}

int
main(int argc, char **argv)
{
	double ms[LOADS];
	double us = 0;

	if (argc < 3)
		return 2;
	for (int i = 0; i < LOADS; i++) {
		struct policy *p = load(argv[1], &ms[i]);

		if (p == NULL)
			return 1;
		if (i + 1 == LOADS)
			us = decide(p, argv + 2, argc - 2);
		policy_unref(p);
	}
	qsort(ms, LOADS, sizeof(ms[0]), compare);
	printf("{\"load_ms\": %.1f, \"decide_us\": %.2f}\n", ms[LOADS / 2], us);
	return 0;
}
