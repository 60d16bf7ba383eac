/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport policy explain: what a login gets, and why, without anybody logging in. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "container_plan.h"
#include "control_path.h"
#include "engine_json_write.h"
#include "policy_commands.h"
#include "policy_show.h"
#include "units.h"

static const char usage[] =
    "usage: sallyport policy explain [--json] FILE --user NAME[+TARGET] [--group GROUP]...\n"
    "           [--from ADDRESS] [--key FINGERPRINT | --auth key|sk-key] [--verified] [--at TIME]\n"
    "           [--request shell|exec|subsystem|forward|listen|agent|x11]\n"
    "           [--command COMMAND] [--pty] [--to HOST:PORT]\n";

/* What only a running broker has. */
#define GUEST_DIR  "/usr/libexec/sallyport/guest"
#define RENDEZVOUS SP_RUNTIME_DIR "/rendezvous/" CONTAINER
#define CONTAINER  "sallyport-0000000000000000"

#define OF_THE_BROKER "(of this broker)"

/* The body of the engine request, from malloc; NULL after saying why not. */
static char *
make_request(const struct verdict *v, const struct facts *f)
{
	const struct policy_profile *profile = policy_grant_profile(v->grant);
	bool shared = profile->mode == POLICY_MODE_USER;
	struct container_names names = {
		.name = CONTAINER,
		.instance = "0000000000000000",
		.proof = OF_THE_BROKER,
		.connection = "00000000",
		.user = f->login.user,
		.kept = shared ? OF_THE_BROKER : NULL,
		.kept_proof = shared ? OF_THE_BROKER : NULL,
	};
	struct container_plan plan;
	char why[256] = "out of memory";
	char *body = NULL;

	container_plan_whole(&plan, profile, &names, GUEST_DIR, RENDEZVOUS);
	if (engine_spec_check(&plan.spec, why, sizeof(why)) < 0 ||
	    engine_json_create(&plan.spec, &body) < 0) {
		(void)fprintf(stderr, "sallyport: the broker would not send this: %s\n", why);
		return NULL;
	}
	return body;
}

/* ---- whose container it would be ---- */

static void
write_handout(struct json_writer *w, const struct policy_profile *profile)
{
	bool shared = profile->mode == POLICY_MODE_USER;
	char keep[UNITS_TEXT_MAX];

	json_write_open(w, "handout", '{');
	json_write_string(w, "source", shared ? "user" : profile->pool > 0 ? "pool" : "new");
	if (shared)
		json_write_string(w, "keep", units_format_duration(profile->keep_ms, keep));
	json_write_close(w, '}');
}

static void
print_shared(const struct policy_profile *profile, const struct facts *f)
{
	char keep[UNITS_TEXT_MAX];

	printf("would enter the container of %s", f->login.user);
	if (f->login.target != NULL)
		printf(" for target %s", f->login.target);
	(void)fputs(", a new one if there is none; ", stdout);
	if (profile->keep_ms > 0)
		printf("it stays for %s when its last connection has ended\n",
		    units_format_duration(profile->keep_ms, keep));
	else
		(void)puts("it goes with its last connection");
}

/* Of a container of one's own, as ever, nothing is said. */
static void
print_handout(const struct policy_profile *profile, const struct facts *f)
{
	if (profile->mode == POLICY_MODE_USER)
		print_shared(profile, f);
	else if (profile->pool > 0)
		printf("would get one of the pool of %u that are started ahead, or a new one when none "
		       "is ready\n",
		    profile->pool);
}

static const char *const *
program(const struct verdict *v, const struct facts *f)
{
	return policy_program(policy_grant_profile(v->grant), &f->request, &v->words);
}

/* What stands for "${command}", which has a meaning in commands only. */
static const char *
argument(const struct facts *f, const char *text)
{
	return f->request.kind == POLICY_REQUEST_EXEC && strcmp(text, "${command}") == 0
	    ? f->request.command
	    : text;
}

static void
write_program(struct json_writer *w, const struct verdict *v, const struct facts *f)
{
	json_write_open(w, "argv", '[');
	for (const char *const *a = program(v, f); *a != NULL; a++)
		json_write_string(w, NULL, argument(f, *a));
	json_write_close(w, ']');
}

static const char *
address_text(const struct policy_address *a, char out[INET6_ADDRSTRLEN])
{
	return inet_ntop(a->family, a->bytes, out, INET6_ADDRSTRLEN) != NULL ? out : "?";
}

static void
write_destination(struct json_writer *w, const char *key, const struct verdict *v)
{
	char text[INET6_ADDRSTRLEN];

	json_write_open(w, key, '[');
	for (size_t i = 0; i < v->destination.n; i++)
		json_write_string(w, NULL, address_text(&v->destination.list[i], text));
	json_write_close(w, ']');
}

#define NETWORK_TEXT_MAX (INET6_ADDRSTRLEN + 4)

/* As the policy has it: one address without a prefix. */
static const char *
network_text(const struct network *n, char out[NETWORK_TEXT_MAX])
{
	size_t len;

	if (inet_ntop(n->v6 ? AF_INET6 : AF_INET, n->bytes, out, INET6_ADDRSTRLEN) == NULL)
		return "?";
	len = strlen(out);
	if (n->bits < (n->v6 ? 128 : 32))
		(void)snprintf(out + len, NETWORK_TEXT_MAX - len, "/%u", n->bits);
	return out;
}

/* What a name may stand for. */
static void
write_lookup(struct json_writer *w, const struct policy_destination *to)
{
	char text[NETWORK_TEXT_MAX];

	json_write_open(w, "lookup", '[');
	for (size_t i = 0; i < to->n_networks; i++)
		json_write_string(w, NULL, network_text(&to->networks[i], text));
	json_write_close(w, ']');
}

static void
print_lookup(const struct policy_destination *to, const struct facts *f)
{
	char text[NETWORK_TEXT_MAX];

	printf("would look up %.*s in the container and connect, in its network, to port %u of what is in",
	    (int)f->host_len, f->host, f->port);
	for (size_t i = 0; i < to->n_networks; i++)
		printf("%s %s", i == 0 ? "" : " or", network_text(&to->networks[i], text));
	(void)putchar('\n');
}

static void
print_destination(const struct verdict *v, const struct facts *f)
{
	char text[INET6_ADDRSTRLEN];
	bool listen = f->ask == ASK_LISTEN;

	if (v->destination.n_networks > 0) {
		print_lookup(&v->destination, f);
		return;
	}
	printf("would %s, in the container's network, ", listen ? "listen" : "connect");
	if (listen && f->port == 0)
		(void)fputs("at any port of", stdout);
	else
		printf("%s port %u of", listen ? "at" : "to", f->port);
	for (size_t i = 0; i < v->destination.n; i++)
		printf("%s %s",
		    i == 0       ? ""
			: listen ? " and"
				 : ", else",
		    address_text(&v->destination.list[i], text));
	(void)putchar('\n');
}

static void
write_rules(struct json_writer *w, const struct policy *p, const struct facts *f)
{
	json_write_open(w, "rules", '[');
	for (size_t i = 0; i < policy_rule_count(p); i++) {
		struct policy_rule_view view;

		policy_view_rule(p, i, &f->login, &view);
		json_write_open(w, NULL, '{');
		json_write_string(w, "id", view.id);
		json_write_bool(w, "matches", view.matches);
		json_write_string(w, "why", view.why);
		write_place(w, view.file, view.line, view.column);
		json_write_close(w, '}');
	}
	json_write_close(w, ']');
}

/* What would be done about a request that is allowed. */
static void
write_outcome(struct json_writer *w, const struct verdict *v, const struct facts *f)
{
	if (f->ask == ASK_FORWARD && v->destination.n_networks > 0)
		write_lookup(w, &v->destination);
	else if (f->ask == ASK_FORWARD)
		write_destination(w, "connect", v);
	else if (f->ask == ASK_LISTEN)
		write_destination(w, "listen", v);
	else if (f->ask == ASK_PROGRAM)
		write_program(w, v, f);
}

static int
write_json(struct policy *p, const struct facts *f, const struct verdict *v, const char *body)
{
	struct json_writer w = { .out = stdout };
	int code = EXIT_FINE;

	json_write_open(&w, NULL, '{');
	json_write_bool(&w, "allowed", v->allowed);
	json_write_bool(&w, "login", v->login_allowed);
	json_write_string(&w, "why", v->why[0] != '\0' ? v->why : NULL);
	json_write_string(&w, "rule", v->decision.rule);
	if (v->decision.file != NULL)
		write_place(&w, v->decision.file, v->decision.line, v->decision.column);
	json_write_string(&w, "profile", v->profile);
	json_write_string(&w, "message", v->decision.message);
	json_write_string(&w, "digest", policy_digest(p));
	write_rules(&w, p, f);
	if (v->grant != NULL)
		code = write_settings(&w, policy_grant_profile(v->grant));
	if (v->grant != NULL && code == EXIT_FINE)
		code = write_ceilings(&w, p, v->decision.rule, v->decision.profile);
	if (v->grant != NULL && v->allowed)
		write_outcome(&w, v, f);
	if (v->grant != NULL)
		write_handout(&w, policy_grant_profile(v->grant));
	if (body != NULL)
		json_write_raw(&w, "create", body);
	json_write_close(&w, '}');
	(void)putchar('\n');
	return code;
}

static void
print_decision(const struct verdict *v)
{
	const struct policy_decision *d = &v->decision;

	(void)fputs(v->allowed ? "ALLOW" : "DENY", stdout);
	if (d->rule != NULL) {
		printf("  rule \"%s\" (", d->rule);
		print_plain(stdout, d->file);
		printf(":%u:%u)", d->line, d->column);
	}
	if (v->profile != NULL)
		printf("%s profile \"%s\"", d->rule != NULL ? "," : " ", v->profile);
	if (v->why[0] != '\0') {
		(void)fputs(d->rule != NULL ? ": " : "  ", stdout);
		print_plain(stdout, v->why);
	}
	(void)putchar('\n');
	if (d->message != NULL) {
		(void)fputs("  the person is told: ", stdout);
		print_plain(stdout, d->message);
		(void)putchar('\n');
	}
}

/* Rules behind the one that decides are not looked at. */
static void
print_rules(const struct policy *p, const struct facts *f)
{
	bool decided = false;

	for (size_t i = 0; i < policy_rule_count(p); i++) {
		struct policy_rule_view view;

		policy_view_rule(p, i, &f->login, &view);
		printf("  %3zu %-20s %-4s ", i + 1, view.id,
		    view.matches && !decided ? "YES"
			: view.matches       ? "yes"
					     : "no");
		print_plain(stdout, view.why);
		(void)fputs(view.matches && decided ? " (too late)\n" : "\n", stdout);
		decided = decided || view.matches;
	}
}

static void
print_program(const struct verdict *v, const struct facts *f)
{
	(void)fputs("would run:", stdout);
	for (const char *const *a = program(v, f); *a != NULL; a++) {
		(void)putchar(' ');
		json_write_text(stdout, argument(f, *a));
	}
	(void)puts(v->words.n > 0 ? " (without a shell)" : "");
}

static int
print_all(struct policy *p, const struct facts *f, const struct verdict *v, const char *body)
{
	int code = EXIT_FINE;

	print_decision(v);
	print_rules(p, f);
	if (v->grant != NULL)
		code = print_settings(stdout, policy_grant_profile(v->grant), true);
	if (v->grant != NULL && code == EXIT_FINE)
		code = print_ceilings(stdout, p, v->decision.rule, v->decision.profile, true);
	if (v->allowed && (f->ask == ASK_FORWARD || f->ask == ASK_LISTEN))
		print_destination(v, f);
	else if (v->allowed && f->ask == ASK_AGENT)
		(void)puts("would listen in the container for the client's agent");
	else if (v->allowed && f->ask == ASK_X11)
		(void)puts("would listen in the container for the client's X display");
	else if (v->allowed && f->ask == ASK_PROGRAM)
		print_program(v, f);
	if (v->grant != NULL)
		print_handout(policy_grant_profile(v->grant), f);
	if (body != NULL)
		printf("would send: POST /containers/create?name=%s %s\n", CONTAINER, body);
	return code;
}

static int
explain(const char *path, struct facts *f, bool json)
{
	static struct verdict v;
	struct policy *p = command_load(path);
	char *body = NULL;
	int code = EXIT_UNABLE;

	if (p == NULL)
		return EXIT_UNABLE;
	if (judge(p, f, &v) == 0) {
		body = v.grant != NULL ? make_request(&v, f) : NULL;
		code = json ? write_json(p, f, &v, body) : print_all(p, f, &v, body);
		if (code == EXIT_FINE && v.grant != NULL && body == NULL)
			code = EXIT_UNABLE;
		if (code == EXIT_FINE)
			code = v.allowed ? EXIT_FINE : EXIT_NO;
	}
	verdict_clear(&v);
	free(body);
	policy_unref(p);
	return code;
}

int
command_explain(int argc, char **argv)
{
	static const struct option options[] = {
		FACT_OPTIONS,
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static struct facts f;
	const char *fault;
	bool json = false;
	int option;

	facts_init(&f, time(NULL));
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return command_help(usage);
		if (option == 'j')
			json = true;
		else if (!command_take_fact(&f, option, optarg))
			return EXIT_UNABLE;
	}
	if (!command_names(argc, argv, 1, usage))
		return EXIT_UNABLE;
	fault = facts_check(&f);
	if (fault != NULL) {
		(void)fprintf(stderr, "sallyport: %s\n%s", fault, usage);
		return EXIT_UNABLE;
	}
	return explain(argv[optind], &f, json);
}
