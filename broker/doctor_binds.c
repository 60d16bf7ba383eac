/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor: whether the host's directories that profiles name can be mounted, as far as that does not depend on who logs in. */
#include "doctor.h"

#include <event2/event.h>
#include <string.h>

#include "bind_check.h"
#include "config.h"
#include "fd.h"
#include "policy.h"

struct look {
	struct doctor *d;
	struct event_base *base;
	struct bind_checker *checker;
	const struct policy_profile *profile;
	struct policy_bind bind;
	bool gone; /* the checker is */
};

static void
on_answer(void *arg, int outcome, const char *why)
{
	struct look *l = arg;

	if (outcome == 0)
		doctor_say(l->d, DOCTOR_OK, "policy.bind", NULL,
		    "profile \"%s\": %s can be mounted", l->profile->name, l->bind.source);
	else if (outcome == BIND_CHECK_E_HANGS)
		doctor_say(l->d, DOCTOR_ERROR, "policy.bind",
		    "look into the server of its file system, and the way to it",
		    "profile \"%s\": %s: %s: its logins fail", l->profile->name, l->bind.source, why);
	else
		doctor_say(l->d, DOCTOR_ERROR, "policy.bind",
		    "make it, as root's and nobody else's to write, or name another in \"bind_roots\"",
		    "profile \"%s\": %s: its logins fail", l->profile->name, why);
	(void)event_base_loopbreak(l->base);
}

static void
on_gone(void *arg)
{
	struct look *l = arg;

	l->gone = true;
	(void)event_base_loopbreak(l->base);
}

static bool
look(struct look *l, const struct policy_bind *bind)
{
	struct bind_check *check;

	l->bind = *bind;
	if (doctor_is_template(bind->source)) {
		l->bind.source = bind->root;
		l->bind.root = "/";
	}
	return bind_check(l->checker, &l->bind, on_answer, l, &check) == 0 &&
	    event_base_dispatch(l->base) == 0 && !l->gone;
}

static bool
look_at_all(struct look *l)
{
	for (size_t i = 0; (l->profile = policy_profile_at(l->d->policy, i)) != NULL; i++) {
		for (size_t j = 0; j < l->profile->n_binds; j++) {
			if (!look(l, &l->profile->binds[j]))
				return false;
		}
	}
	return true;
}

void
doctor_binds(struct doctor *d)
{
	struct look l = { .d = d };
	SP_CLEANUP_FD int fd = -1;
	pid_t pid;

	if (d->policy == NULL)
		return;
	l.base = event_base_new();
	if (l.base == NULL || bind_checker_start(d->config, &fd, &pid) < 0 ||
	    bind_checker_new(l.base, fd_steal(&fd), d->config->engine.call_timeout_ms, on_gone, &l,
		&l.checker) < 0 ||
	    !look_at_all(&l))
		doctor_say(d, DOCTOR_ERROR, "policy.bind", NULL,
		    "the host's directories cannot be looked at: no memory, or no process for it");
	bind_checker_free(l.checker);
	if (l.base != NULL)
		event_base_free(l.base);
}
