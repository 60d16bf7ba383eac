/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a table of rules to the filter: the only place that calls libseccomp. The broker's processes do it
 * when they start; the worker's table is compiled when this is built.
 */
#include "lockdown_seccomp.h"

#include <errno.h>
#include <seccomp.h>

static int
add_rule(scmp_filter_ctx filter, const struct lockdown_rule *rule)
{
	uint32_t action = rule->error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t)rule->error);
	struct scmp_arg_cmp compare[SP_ARRAY_LEN(rule->args)];
	unsigned n = 0;

	for (size_t i = 0; i < SP_ARRAY_LEN(rule->args); i++) {
		const struct lockdown_arg *arg = &rule->args[i];

		compare[n] = (struct scmp_arg_cmp){ .arg = arg->index, .datum_a = arg->value };
		switch (arg->match) {
		case LOCKDOWN_ANY:
			continue;
		case LOCKDOWN_EQ:
			compare[n].op = SCMP_CMP_EQ;
			break;
		case LOCKDOWN_NE:
			compare[n].op = SCMP_CMP_NE;
			break;
		case LOCKDOWN_MASKED_EQ:
			compare[n].op = SCMP_CMP_MASKED_EQ;
			compare[n].datum_a = arg->mask;
			compare[n].datum_b = arg->value;
			break;
		}
		n++;
	}
	return seccomp_rule_add_array(filter, action, rule->syscall, n, compare);
}

/* The caller releases *ret, also after a failure. */
static int
make_filter(const struct lockdown_rule *rules, size_t n, scmp_filter_ctx *ret)
{
	scmp_filter_ctx filter = *ret = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (filter == NULL)
		return -ENOMEM;
	/* A foreign ABI (i386, x32) is another door to the same kernel: always closed. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1);
	/* A table looked up in order of frequency is not needed: a binary tree is. */
	if (r == 0)
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_rule(filter, &rules[i]);
	return r;
}

int
lockdown_seccomp(const struct lockdown_rule *rules, size_t n)
{
	scmp_filter_ctx filter;
	int r = make_filter(rules, n, &filter);

	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int
lockdown_seccomp_export(const struct lockdown_rule *rules, size_t n, int fd)
{
	scmp_filter_ctx filter;
	int r = make_filter(rules, n, &filter);

	if (r == 0)
		r = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	return r;
}
