/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport sessions, kill, status, reload: questions to the broker, and tables for people. */
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attr.h"
#include "commands.h"
#include "control_client.h"
#include "control_path.h"
#include "log.h"

#define WATCH_SECONDS 2

#define SOCKET_USAGE                                                \
	"  --config FILE  ask the broker with this configuration\n" \
	"  --socket PATH  ask the broker on this socket, default " SP_CONTROL_SOCKET "\n"

/* accepted: the short names of what this command takes. */
struct form {
	const char *accepted;
	const char *usage;
};

struct options {
	const char *socket;
	char config_socket[PATH_MAX]; /* the one that a configuration names */
	bool json;
	bool watch;
	const char *connection;
	const char *user;
	const char *rule;
	const char *message;
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "config", required_argument, NULL, 'f' },
	{ "socket", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "watch", no_argument, NULL, 'w' },
	{ "user", required_argument, NULL, 'u' },
	{ "rule", required_argument, NULL, 'r' },
	{ "message", required_argument, NULL, 'm' },
	{ NULL, 0, NULL, 0 },
};

/* -1: go on; else exit with that code. */
static int
parse(int argc, char **argv, const struct form *form, struct options *o)
{
	const char *config = NULL;
	int index = 0;
	int c;

	while ((c = getopt_long(argc, argv, "h", long_options, &index)) != -1) {
		if (strchr("hsf", c) == NULL && strchr(form->accepted, c) == NULL) {
			if (c != '?')
				(void)fprintf(stderr, "%s: --%s is an option of another command\n",
				    argv[0], long_options[index].name);
			return EXIT_USAGE;
		}
		switch (c) {
		case 'h':
			return fputs(form->usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
		case 'f':
			config = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'w':
			o->watch = true;
			break;
		case 'u':
			o->user = optarg;
			break;
		case 'r':
			o->rule = optarg;
			break;
		case 'm':
			o->message = optarg;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc && strchr(form->accepted, 'c') != NULL)
		o->connection = argv[optind++];
	if (optind < argc) {
		(void)fprintf(stderr, "%s: \"%s\" is one word too many\n", argv[0], argv[optind]);
		return EXIT_USAGE;
	}
	if (o->socket == NULL && config != NULL) {
		if (!control_socket_of(config, o->config_socket, sizeof(o->config_socket)))
			return EXIT_USAGE;
		o->socket = o->config_socket;
	}
	if (o->socket == NULL)
		o->socket = SP_CONTROL_SOCKET;
	return -1;
}

static int
print_json(const json_t *answer)
{
	bool done = json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0 &&
	    putchar('\n') != EOF && fflush(stdout) == 0;

	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A value for people, or "-". */
static const char *
text_of(const json_t *object, const char *key, char *out, size_t cap)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		return log_escape(out, cap, json_string_value(value), json_string_length(value));
	if (json_is_integer(value))
		(void)snprintf(out, cap, "%lld", (long long)json_integer_value(value));
	else
		(void)snprintf(out, cap, "-");
	return out;
}

/* "3d 04:05:06" */
static const char *
duration(long long s, char *out, size_t cap)
{
	if (s >= 86400)
		(void)snprintf(out, cap, "%lldd %02lld:%02lld:%02lld", s / 86400, s / 3600 % 24,
		    s / 60 % 60, s % 60);
	else
		(void)snprintf(out, cap, "%02lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	return out;
}

static const char *
age_of(const json_t *object, char *out, size_t cap)
{
	return duration(json_integer_value(json_object_get(object, "seconds")), out, cap);
}

/* The same of the seconds since anything passed; "-" before the login. */
static const char *
idle_of(const json_t *object, char *out, size_t cap)
{
	const json_t *value = json_object_get(object, "idle_seconds");

	return json_is_integer(value) ? duration(json_integer_value(value), out, cap) : "-";
}

/* "987", "1.2K", "34.5M": in units of 1024. */
static const char *
bytes_of(const json_t *object, const char *key, char *out, size_t cap)
{
	const json_t *value = json_object_get(object, key);
	double n = (double)json_integer_value(value);
	const char *unit = "KMGTPE";

	if (!json_is_integer(value))
		return "-";
	if (n < 1024) {
		(void)snprintf(out, cap, "%.0f", n);
		return out;
	}
	/* What would be rounded to 1024.0 is one of the next. */
	for (n /= 1024; n >= 1023.95 && unit[1] != '\0'; unit++)
		n /= 1024;
	(void)snprintf(out, cap, "%.1f%c", n, *unit);
	return out;
}

/* Names of the containers of a session's channels, each once. */
static void
list_containers(const json_t *session, char *out, size_t cap)
{
	size_t i;
	json_t *channel;

	out[0] = '\0';
	json_array_foreach(json_object_get(session, "channels"), i, channel)
	{
		const char *name = json_string_value(
		    json_object_get(json_object_get(channel, "container"), "name"));
		size_t len = strlen(out);

		if (name != NULL && strstr(out, name) == NULL)
			(void)snprintf(out + len, cap - len, "%s%s", len > 0 ? "," : "", name);
	}
	if (out[0] == '\0')
		(void)snprintf(out, cap, "-");
}

/* What the login's "channels" counts: a listener is none. */
static unsigned
count_channels(const json_t *session)
{
	size_t i;
	json_t *channel;
	unsigned n = 0;

	json_array_foreach(json_object_get(session, "channels"), i, channel)
	{
		const char *kind = json_string_value(json_object_get(channel, "kind"));

		n += kind == NULL || strcmp(kind, "listener") != 0;
	}
	return n;
}

#define SESSION_FORMAT "%-10s %-9s %-16s %-24s %-14s %-12s %-12s %7s %7s %8s %s\n"

static void
print_session(const json_t *session)
{
	char connection[16], state[16], user[80], from[80], rule[80], age[32], idle[32], in[16],
	    out[16];
	char channels[16];
	char containers[1024];

	list_containers(session, containers, sizeof(containers));
	(void)snprintf(channels, sizeof(channels), "%u", count_channels(session));
	printf(SESSION_FORMAT, text_of(session, "connection", connection, sizeof(connection)),
	    text_of(session, "state", state, sizeof(state)),
	    text_of(session, "user", user, sizeof(user)),
	    text_of(session, "from", from, sizeof(from)),
	    text_of(session, "rule", rule, sizeof(rule)), age_of(session, age, sizeof(age)),
	    idle_of(session, idle, sizeof(idle)), bytes_of(session, "bytes_in", in, sizeof(in)),
	    bytes_of(session, "bytes_out", out, sizeof(out)), channels, containers);
}

static void
print_sessions(const json_t *answer)
{
	size_t i;
	json_t *session;

	printf(SESSION_FORMAT, "CONNECTION", "STATE", "USER", "FROM", "RULE", "AGE", "IDLE", "IN",
	    "OUT", "CHANNELS", "CONTAINER");
	json_array_foreach(json_object_get(answer, "sessions"), i, session) print_session(session);
}

int
command_sessions(int argc, char **argv)
{
	static const struct form form = {
		"jw",
		"usage: sallyport sessions [--json] [--watch] [--config FILE | --socket PATH]\n"
		"  --json         print the broker's answer\n"
		"  --watch        again every two seconds\n" SOCKET_USAGE,
	};
	struct options o = { .json = false };
	int code = parse(argc, argv, &form, &o);

	if (code >= 0)
		return code;
	for (;;) {
		json_t *answer = control_ask(o.socket, json_pack("{s:s}", "do", "sessions"));
		int r = EXIT_SUCCESS;

		if (answer == NULL)
			return EXIT_FAILURE;
		if (o.watch && isatty(STDOUT_FILENO))
			printf("\033[H\033[2J");
		if (o.json)
			r = print_json(answer);
		else
			print_sessions(answer);
		json_decref(answer);
		if (!o.watch || r != EXIT_SUCCESS || fflush(stdout) != 0)
			return r;
		(void)sleep(WATCH_SECONDS);
	}
}

static int
print_killed(const json_t *answer, long long killed, long long containers, bool json)
{
	if (json)
		return print_json(answer);
	printf("%lld ended\n", killed);
	if (killed + containers == 0)
		(void)fprintf(stderr,
		    "sallyport kill: nobody matches all of this; sallyport sessions lists who is in\n");
	if (containers > 0)
		printf("%lld containers of mode user end\n", containers);
	return EXIT_SUCCESS;
}

/* False: it is no text to JSON. Without it the request would mean more people. */
static bool
add_text(json_t *request, const char *key, const char *text)
{
	return text == NULL || json_object_set_new(request, key, json_string(text)) == 0;
}

int
command_kill(int argc, char **argv)
{
	static const struct form form = {
		"curmj",
		"usage: sallyport kill [--json] [--user U] [--rule R] [--message TEXT] [CONNECTION]\n"
		"           [--config FILE | --socket PATH]\n"
		"  --json         print the broker's answer\n"
		"  --user U       only logins of this user\n"
		"  --rule R       only logins that this rule let in\n"
		"  --message TEXT what the users are told\n" SOCKET_USAGE,
	};
	struct options o = { .json = false };
	int code = parse(argc, argv, &form, &o);
	json_t *request;
	json_t *answer;
	long long killed;
	long long containers;
	int r;

	if (code >= 0)
		return code;
	if (o.connection == NULL && o.user == NULL && o.rule == NULL) {
		(void)fprintf(stderr, "sallyport kill: whom? Name a connection, --user or --rule\n");
		return EXIT_USAGE;
	}
	request = json_pack("{s:s}", "do", "kill");
	if (!add_text(request, "connection", o.connection) || !add_text(request, "user", o.user) ||
	    !add_text(request, "rule", o.rule) || !add_text(request, "message", o.message)) {
		json_decref(request);
		(void)fprintf(stderr, "sallyport kill: one of these words is not UTF-8\n");
		return EXIT_USAGE;
	}
	answer = control_ask(o.socket, request);
	if (answer == NULL)
		return EXIT_FAILURE;
	killed = json_integer_value(json_object_get(answer, "killed"));
	containers = json_integer_value(json_object_get(answer, "containers"));
	r = print_killed(answer, killed, containers, o.json);
	json_decref(answer);
	return killed + containers > 0 ? r : EXIT_FAILURE;
}

/* A container that outlives its connections. */
static void
print_kept(const json_t *one)
{
	const json_t *container = json_object_get(one, "container");
	char user[80], profile[160], name[64], text[64];

	printf("  %s  user %s, profile %s, ", text_of(container, "name", name, sizeof(name)),
	    text_of(one, "user", user, sizeof(user)),
	    text_of(one, "profile", profile, sizeof(profile)));
	if (json_is_integer(json_object_get(one, "seconds_left")))
		printf("ends in %s\n",
		    duration(json_integer_value(json_object_get(one, "seconds_left")), text,
			sizeof(text)));
	else
		printf("%s connections%s\n", text_of(one, "sessions", text, sizeof(text)),
		    json_is_true(json_object_get(one, "ends_with_them")) ? ", ends with them" : "");
}

static void
print_shadow(const json_t *shadow)
{
	bool failed = json_is_true(json_object_get(shadow, "failed"));
	char a[1024], b[1024];

	if (!json_is_object(shadow))
		return;
	printf("shadow       generation %s, %s%s;", text_of(shadow, "generation", a, sizeof(a)),
	    text_of(shadow, "file", b, sizeof(b)), failed ? " (has errors now, not used)" : "");
	printf(" %s differences\n", text_of(shadow, "differences", a, sizeof(a)));
}

static void
print_policy(const json_t *policy)
{
	char a[1024], b[1024];

	printf("policy       generation %s, %s", text_of(policy, "generation", a, sizeof(a)),
	    text_of(policy, "file", b, sizeof(b)));
	if (json_is_string(json_object_get(policy, "rejected_at")))
		printf("; the reload at %s was refused (see the log)",
		    text_of(policy, "rejected_at", a, sizeof(a)));
	(void)putchar('\n');
}

static void
print_audit(const json_t *audit)
{
	char a[1024], b[1024];

	if (!json_is_object(audit))
		return;
	if (!json_is_string(json_object_get(audit, "failing_since"))) {
		printf("audit        %s\n", text_of(audit, "file", a, sizeof(a)));
		return;
	}
	printf("audit        cannot be written since %s: %s;",
	    text_of(audit, "failing_since", a, sizeof(a)), text_of(audit, "reason", b, sizeof(b)));
	if (json_is_true(json_object_get(audit, "required")))
		printf(" nobody is let in\n");
	else
		printf(" %s events are missing\n", text_of(audit, "lost", a, sizeof(a)));
}

static void
print_ceilings(const json_t *ceilings)
{
	const json_t *held = json_object_get(ceilings, "held");
	long long refused = 0;
	const char *scope;
	const char *kind;
	json_t *kinds;
	json_t *n;
	char a[32], b[32], c[16];

	json_object_foreach(json_object_get(ceilings, "refused"), scope, kinds)
	{
		json_object_foreach(kinds, kind, n) refused += json_integer_value(n);
	}
	printf("ceilings     %s sessions, %s containers with %s of memory held; %lld refused\n",
	    text_of(held, "sessions", a, sizeof(a)), text_of(held, "containers", b, sizeof(b)),
	    bytes_of(held, "memory", c, sizeof(c)), refused);
}

static void
print_status(const json_t *s)
{
	const json_t *engine = json_object_get(s, "engine");
	const json_t *admission = json_object_get(s, "admission");
	const json_t *workers = json_object_get(s, "workers");
	const json_t *counters = json_object_get(s, "counters");
	const json_t *pool = json_object_get(s, "pool");
	const json_t *kept = json_object_get(s, "kept");
	const json_t *one;
	char a[1024], b[1024];
	size_t i;

	printf("sallyport-broker %s, process %s, up %s%s\n", text_of(s, "version", a, sizeof(a)),
	    text_of(s, "pid", b, sizeof(b)), age_of(s, (char[32]){ 0 }, 32),
	    json_is_true(json_object_get(s, "stopping")) ? ", stopping" : "");
	print_policy(json_object_get(s, "policy"));
	print_shadow(json_object_get(s, "shadow"));
	printf("listens on  ");
	json_array_foreach(json_object_get(s, "listen"), i, one) printf("%s %s", i > 0 ? "," : "",
	    log_escape(a, sizeof(a), json_string_value(one), json_string_length(one)));
	(void)putchar('\n');
	print_audit(json_object_get(s, "audit"));
	printf("engine       %s%s%s", text_of(engine, "state", a, sizeof(a)),
	    json_is_string(json_object_get(engine, "reason")) ? ": " : "",
	    json_is_string(json_object_get(engine, "reason"))
		? text_of(engine, "reason", b, sizeof(b))
		: "");
	if (json_is_string(json_object_get(engine, "podman")))
		printf(" (Podman %s: %s)", text_of(engine, "podman", a, sizeof(a)),
		    text_of(engine, "note", b, sizeof(b)));
	printf(", %s failures", text_of(engine, "failures", a, sizeof(a)));
	printf(", API %s, %s starting,", text_of(engine, "api", a, sizeof(a)),
	    text_of(engine, "starting", b, sizeof(b)));
	printf(" %s waiting, %s to be removed\n", text_of(engine, "queued", a, sizeof(a)),
	    text_of(engine, "removing", b, sizeof(b)));
	printf("connections  %s,", text_of(s, "connections", a, sizeof(a)));
	printf(" %s of them not logged in;", text_of(admission, "startups", a, sizeof(a)));
	printf(" %s refused since the start,", text_of(admission, "refused", a, sizeof(a)));
	printf(" %s sources are now\n", text_of(admission, "sources_refused", a, sizeof(a)));
	printf("workers      %s,", text_of(workers, "all", a, sizeof(a)));
	printf(" %s of them without a client", text_of(workers, "spare", a, sizeof(a)));
	if (json_is_string(json_object_get(workers, "reason")))
		printf("; the last one did not come up: %s",
		    text_of(workers, "reason", a, sizeof(a)));
	(void)putchar('\n');
	printf("containers   %s", text_of(s, "containers", a, sizeof(a)));
	printf("; %s of %s ready in the pool", text_of(pool, "ready", a, sizeof(a)),
	    text_of(pool, "wanted", b, sizeof(b)));
	printf("; %zu of mode user\n", json_array_size(kept));
	json_array_foreach(kept, i, one) print_kept(one);
	print_ceilings(json_object_get(s, "ceilings"));
	printf("since start  %s logins,", text_of(counters, "logins", a, sizeof(a)));
	printf(" %s refused,", text_of(counters, "logins_refused", a, sizeof(a)));
	printf(" %s keys refused;", text_of(counters, "keys_refused", a, sizeof(a)));
	printf(" %s containers,", text_of(counters, "containers", a, sizeof(a)));
	printf(" %s failed;", text_of(counters, "containers_failed", a, sizeof(a)));
	printf(" %s requests refused;", text_of(counters, "requests_refused", a, sizeof(a)));
	printf(" %s workers broke the protocol\n", text_of(counters, "violations", a, sizeof(a)));
}

int
command_status(int argc, char **argv)
{
	static const struct form form = {
		"j",
		"usage: sallyport status [--json] [--config FILE | --socket PATH]\n"
		"  --json         print the broker's answer\n" SOCKET_USAGE,
	};
	struct options o = { .json = false };
	int code = parse(argc, argv, &form, &o);
	json_t *answer;
	int r = EXIT_SUCCESS;

	if (code >= 0)
		return code;
	answer = control_ask(o.socket, json_pack("{s:s}", "do", "status"));
	if (answer == NULL)
		return EXIT_FAILURE;
	if (o.json)
		r = print_json(answer);
	else
		print_status(answer);
	json_decref(answer);
	return r;
}

/* The policy's own messages come with line ends; everything else in them is safe already. */
static void
print_messages(const json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "messages"));

	if (text != NULL)
		(void)fputs(text, stderr);
}

int
command_reload(int argc, char **argv)
{
	static const struct form form = {
		"j",
		"usage: sallyport reload [--json] [--config FILE | --socket PATH]\n"
		"  --json         print the broker's answer\n" SOCKET_USAGE,
	};
	struct options o = { .json = false };
	int code = parse(argc, argv, &form, &o);
	json_t *answer;
	bool done;
	char generation[32];

	if (code >= 0)
		return code;
	answer = control_ask(o.socket, json_pack("{s:s}", "do", "reload"));
	if (answer == NULL)
		return EXIT_FAILURE;
	done = json_is_true(json_object_get(answer, "reloaded"));
	(void)text_of(answer, "generation", generation, sizeof(generation));
	if (o.json) {
		(void)print_json(answer);
	} else {
		print_messages(answer);
		if (done)
			printf("policy generation %s is in force\n", generation);
		else
			(void)fprintf(stderr, "not reloaded: policy generation %s stays in force\n",
			    generation);
	}
	json_decref(answer);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
