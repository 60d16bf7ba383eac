/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the examination, and how a finding is written. */
#include "doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker_user.h"
#include "config.h"
#include "diag.h"
#include "policy.h"

#define TEXT_MAX 1024

static const char *const level_names[DOCTOR_LEVELS] = { "ok", "note", "warning", "error" };

void
doctor_say(struct doctor *d, enum doctor_level level, const char *check, const char *advice,
    const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->counts[level]++;
	json_write_open(&d->out, NULL, '{');
	json_write_string(&d->out, "level", level_names[level]);
	json_write_string(&d->out, "check", check);
	json_write_string(&d->out, "text", text);
	json_write_string(&d->out, "advice", advice);
	json_write_close(&d->out, '}');
}

void
doctor_say_either(struct doctor *d, bool is_good, const struct doctor_pair *pair)
{
	doctor_say(d, is_good ? DOCTOR_OK : pair->level, pair->check, is_good ? NULL : pair->advice,
	    "%s", is_good ? pair->good : pair->bad);
}

/* What to do: in words to write, where the reader's own help is for who knows the language. */
static const char *
advice_of(const struct diag *one)
{
	if (one->code == DIAG_W_DEFAULT_LIMITS)
		return "write into the profile what suits it; these are the defaults: \"container\": { "
		       "\"limits\": { \"memory\": \"512M\", \"cpus\": 1, \"pids\": 256 } }";
	if (one->help != NULL)
		return one->help;
	return one->line != 0
	    ? "change it there; sallyport(1) explains the code"
	    : "let the file be there, for this user to read and for nobody but root or "
	      "the broker's user to write; or name another";
}

bool
doctor_is_template(const char *name)
{
	return strstr(name, "${") != NULL;
}

/* What the reader of a file has to say, each with its place, if it has one. */
static void
say_diags(struct doctor *d, const char *check, const struct diag_list *diags)
{
	for (size_t i = 0; i < diags->n; i++) {
		const struct diag *one = &diags->items[i];
		enum doctor_level level = diag_is_error(one->code) ? DOCTOR_ERROR : DOCTOR_WARNING;

		if (one->line != 0)
			doctor_say(d, level, check, advice_of(one), "%s:%u:%u: %s [%s]", one->file,
			    one->line, one->column, one->message, diag_code_name(one->code));
		else
			doctor_say(d, level, check, advice_of(one), "%s: %s [%s]", one->file,
			    one->message, diag_code_name(one->code));
	}
}

static struct config *
examine_config(struct doctor *d, const char *path)
{
	struct diag_list diags = DIAG_LIST_INIT;
	struct diag_list theirs = DIAG_LIST_INIT;
	struct config *c = NULL;

	if (config_load(path, &c, &diags) != 0)
		c = NULL;
	else if (broker_users_can_load(c, path, &theirs))
		doctor_say(d, DOCTOR_OK, "configuration", NULL, "%s can be used", path);
	if (c != NULL && broker_user_is_other(c))
		doctor_say(d, DOCTOR_WARNING, "configuration", "ask as root",
		    "uid %u, neither root nor the broker's user %s, may see less than the broker: not all that is "
		    "said here holds for it",
		    (unsigned)geteuid(), broker_user_name(c));
	say_diags(d, "configuration", &theirs);
	say_diags(d, "configuration", &diags);
	diag_list_clear(&theirs);
	diag_list_clear(&diags);
	return c;
}

/* Who is logged in is never turned out for others. */
static void
examine_ceilings(struct doctor *d)
{
	if (policy_ceilings(d->policy)->per_user.sessions == 0)
		doctor_say(d, DOCTOR_NOTE, "policy.ceilings",
		    "\"ceilings\": { \"per_user\": { \"sessions\": 10 } } in the policy, for example",
		    "one user may hold all %u connections of \"limits.connections\", and then nobody else "
		    "gets in",
		    d->config->admission.connections);
	else
		doctor_say(d, DOCTOR_OK, "policy.ceilings", NULL, "a user has at most %u connections",
		    policy_ceilings(d->policy)->per_user.sessions);
}

static void
examine_policy(struct doctor *d)
{
	struct diag_list diags = DIAG_LIST_INIT;
	const char *path = d->config->policy;

	if (policy_check(path, time(NULL), &d->policy, &diags) == 0)
		doctor_say(d, DOCTOR_OK, "policy", NULL, "%s can be used", path);
	else
		d->policy = NULL;
	say_diags(d, "policy", &diags);
	if (d->policy != NULL)
		examine_ceilings(d);
	diag_list_clear(&diags);
}

/* Silence must not be taken for good news. */
static void
say_left_out(struct doctor *d)
{
	if (d->config == NULL)
		doctor_say(d, DOCTOR_NOTE, "configuration", "mend the configuration, and ask again",
		    "policy, files, audit log and engine are not examined: it is the configuration that names "
		    "them");
	else if (d->policy == NULL)
		doctor_say(d, DOCTOR_NOTE, "policy", "mend the policy, and ask again",
		    "what its profiles need (images, networks, volumes, runtimes, directories) is not examined");
}

int
doctor_run(const char *path)
{
	struct doctor d = { .out = { .out = stdout } };
	struct config *c;

	json_write_open(&d.out, NULL, '{');
	json_write_open(&d.out, "findings", '[');
	c = examine_config(&d, path);
	d.config = c;
	if (c != NULL) {
		bool other = broker_user_become(c);

		examine_policy(&d);
		if (other)
			broker_user_leave();
	}
	say_left_out(&d);
	doctor_kernel(&d);
	if (c != NULL) {
		doctor_files(&d);
		doctor_audit(&d);
		doctor_binds(&d);
		doctor_engine(&d);
	}
	json_write_close(&d.out, ']');
	json_write_string(&d.out, "control_socket", c != NULL ? c->control.socket : NULL);
	json_write_close(&d.out, '}');
	(void)fputc('\n', stdout);
	policy_unref(d.policy);
	config_free(c);
	if (fflush(stdout) != 0 || ferror(stdout) != 0)
		return EXIT_FAILURE;
	return d.counts[DOCTOR_ERROR] > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
