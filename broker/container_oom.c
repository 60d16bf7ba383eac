/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: processes of a container that the kernel has killed for want of memory. Their users see "Killed" or the code
 * 137; why, only the kernel's counter tells. It is asked when a program or the container ends, so that whoever has a
 * thousand killed in a second costs no more than the lines of the programs that they have asked for.
 */
#include <inttypes.h>

#include "audit.h"
#include "broker.h"
#include "container_priv.h"
#include "log.h"
#include "policy.h"
#include "units.h"

/* What it says, for the logs. */
struct oom {
	const struct policy_profile *profile;
	uint64_t killed;
	bool at_limit;
};

static void
audit_oom(const struct container *c, const struct oom *o, const struct audit_subject *who)
{
	const struct policy_profile *p = o->profile;

	audit_note(c->broker->audit, "container.oom", who, AUDIT_TEXT("container", c->name),
	    AUDIT_TEXT("id", c->id), AUDIT_TEXT("profile", p != NULL ? p->name : NULL),
	    AUDIT_NUMBER("killed", o->killed), AUDIT_TEXT("cause", o->at_limit ? "limit" : "host"));
}

static void
log_oom(const struct container *c, const struct oom *o, const struct audit_subject *who)
{
	const char *connection = who->connection != NULL ? who->connection : c->connection;
	const char *user = who->user != NULL ? who->user : "-";
	const char *profile = o->profile != NULL ? o->profile->name : "-";
	char limit[UNITS_TEXT_MAX] = "its profile";

	if (o->profile != NULL)
		(void)units_format_size(o->profile->memory, limit);
	if (o->at_limit)
		log_warn("connection=%s user=%s container=%s profile=%s the memory limit of %s was reached, and "
			 "the kernel killed %" PRIu64 " of its processes; if they need more, raise "
			 "\"container.limits.memory\" of the profile",
		    connection, user, c->name, profile, limit, o->killed);
	else
		log_warn("connection=%s user=%s container=%s profile=%s the kernel killed %" PRIu64
			 " of its processes below the memory limit of %s: the host, or what holds its "
			 "containers, has too little memory",
		    connection, user, c->name, profile, o->killed, limit);
}

void
container_look_for_oom(struct container *c, const struct policy_profile *profile,
    const struct audit_subject *who)
{
	struct oom oom = { .profile = profile };
	struct oom_count now;

	if (c->oom_file == NULL || !oom_count_read(c->oom_file, &now) ||
	    now.killed <= c->oom_seen.killed)
		return;
	oom.killed = now.killed - c->oom_seen.killed;
	oom.at_limit = now.at_limit > c->oom_seen.at_limit;
	c->oom_seen = now;
	audit_oom(c, &oom, who);
	log_oom(c, &oom, who);
}
