/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport doctor: what is right and wrong with this host. The examination is the broker's own program's, which
 * knows the engine, the configuration and the keys; here it is run, a running broker is asked whether it is well,
 * and the findings are printed. Words of the engine's may be in them: they are escaped.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attr.h"
#include "commands.h"
#include "control_client.h"
#include "control_path.h"
#include "fd.h"
#include "log.h"

#define FINDINGS_MAX (4U << 20) /* bytes: some thousand profiles with what is said of each */

static const char usage[] =
    "usage: sallyport doctor [--json] [--config FILE] [--broker PROGRAM] [--socket PATH]\n";

struct options {
	bool help;
	bool json;
	const char *config; /* NULL: the broker's default */
	const char *broker; /* program */
	const char *socket; /* NULL: the configuration's */
};

static bool
parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'c' },
		{ "broker", required_argument, NULL, 'b' },
		{ "socket", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .help = false };
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			o->help = true;
		else if (c == 'j')
			o->json = true;
		else if (c == 'c')
			o->config = optarg;
		else if (c == 'b')
			o->broker = optarg;
		else if (c == 's')
			o->socket = optarg;
		else
			return false;
	}
	if (o->broker == NULL)
		o->broker = SP_BROKER_PATH;
	if (optind < argc)
		(void)fprintf(stderr, "sallyport doctor: \"%s\" is one word too many\n",
		    argv[optind]);
	return optind == argc;
}

static _Noreturn void
become_broker(const struct options *o, int out)
{
	if (dup2(out, STDOUT_FILENO) >= 0) {
		if (o->config != NULL)
			(void)execl(o->broker, "sallyport-broker", "-D", "-c", o->config,
			    (char *)NULL);
		else
			(void)execl(o->broker, "sallyport-broker", "-D", (char *)NULL);
	}
	(void)fprintf(stderr, "sallyport doctor: cannot run %s: %s\n", o->broker, strerror(errno));
	_exit(EXIT_USAGE);
}

/* All that comes, as JSON; NULL: it is none, or too much. Words of an engine's are in it. */
static json_t *
read_findings(int fd)
{
	char *text = malloc(FINDINGS_MAX);
	json_t *found = NULL;
	size_t len = 0;
	ssize_t n = 1;

	while (text != NULL && len < FINDINGS_MAX && n != 0) {
		n = read(fd, text + len, FINDINGS_MAX - len);
		if (n < 0 && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	if (text != NULL && n == 0)
		found = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	return found;
}

/* What it finds, or NULL. Each of its questions has an end. */
static json_t *
run_broker(const struct options *o)
{
	json_t *found = NULL;
	int pipe_fds[2];
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return NULL;
	pid = fork();
	if (pid == 0)
		become_broker(o, pipe_fds[1]);
	fd_close(&pipe_fds[1]);
	if (pid > 0)
		found = read_findings(pipe_fds[0]);
	/* Who has more to say is ended by it. */
	fd_close(&pipe_fds[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	if (!json_is_array(json_object_get(found, "findings"))) {
		json_decref(found);
		return NULL;
	}
	return found;
}

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static void
add(json_t *findings, const char *level, const char *check, const char *text, const char *advice)
{
	(void)json_array_append_new(findings,
	    json_pack("{s:s, s:s, s:s, s:s?}", "level", level, "check", check, "text", text,
		"advice", advice));
}

/* What the broker says of itself that somebody has to see to. */
static void
judge_running(json_t *findings, const json_t *status)
{
	const json_t *audit = json_object_get(status, "audit");
	const json_t *policy = json_object_get(status, "policy");
	bool required = json_is_true(json_object_get(audit, "required"));
	char text[1024];

	if (json_is_string(json_object_get(audit, "failing_since"))) {
		(void)snprintf(text, sizeof(text), "the audit log cannot be written since %s: %s%s",
		    text_of(audit, "failing_since"), text_of(audit, "reason"),
		    required ? "; nobody is let in" : "");
		add(findings, required ? "error" : "warning", "broker.running", text,
		    "see to it that it can be: the broker tries again with each event, and when it is asked "
		    "for its status");
	}
	if (json_is_string(json_object_get(policy, "rejected_at"))) {
		(void)snprintf(text, sizeof(text),
		    "the reload at %s was refused: policy generation %lld stays in force",
		    text_of(policy, "rejected_at"),
		    (long long)json_integer_value(json_object_get(policy, "generation")));
		add(findings, "warning", "broker.running", text,
		    "sallyport policy check says what is wrong with the file; reload when it is mended");
	}
}

static void
ask_running(json_t *findings, const char *socket)
{
	json_t *status = control_try(socket, json_pack("{s:s}", "do", "status"));
	const json_t *engine = json_object_get(status, "engine");
	char text[1024];

	/* Who may not ask learns neither that one runs nor that none does. */
	if (status == NULL && errno == EACCES) {
		(void)snprintf(text, sizeof(text),
		    "the broker on %s cannot be asked: root and the members of control.group may; whether "
		    "one runs is not known",
		    socket);
		add(findings, "note", "broker.running", text, NULL);
		return;
	}
	if (status == NULL) {
		(void)snprintf(text, sizeof(text),
		    "no broker answers on %s (%s): nobody can log in", socket, strerror(errno));
		add(findings, "warning", "broker.running", text,
		    "start it, when the errors here are gone");
		return;
	}
	(void)snprintf(text, sizeof(text),
	    "broker %s answers: policy generation %lld, engine %s%s%s", text_of(status, "version"),
	    (long long)json_integer_value(
		json_object_get(json_object_get(status, "policy"), "generation")),
	    text_of(engine, "state"), text_of(engine, "reason")[0] != '\0' ? ": " : "",
	    text_of(engine, "reason"));
	if (json_is_string(json_object_get(engine, "reason")))
		add(findings, "error", "broker.running", text,
		    "the broker tries again by itself; where the engine's findings here are good, its user may do less "
		    "than who asks here");
	else
		add(findings, "ok", "broker.running", text, NULL);
	judge_running(findings, status);
	json_decref(status);
}

static size_t
count(const json_t *findings, const char *level)
{
	size_t i;
	size_t n = 0;
	const json_t *one;

	json_array_foreach(findings, i, one) n += strcmp(text_of(one, "level"), level) == 0;
	return n;
}

static void
print_escaped(const char *text)
{
	char safe[2048];

	(void)fputs(log_escape(safe, sizeof(safe), text, strlen(text)), stdout);
}

static void
print_count(const json_t *findings, const char *level, const char *end)
{
	size_t n = count(findings, level);

	printf("%zu %s%s%s", n, level, n == 1 ? "" : "s", end);
}

static void
print_findings(const json_t *findings)
{
	size_t i;
	const json_t *one;

	json_array_foreach(findings, i, one)
	{
		const char *advice = text_of(one, "advice");

		printf("%-8s %-22s ", text_of(one, "level"), text_of(one, "check"));
		print_escaped(text_of(one, "text"));
		if (advice[0] != '\0') {
			(void)fputs(". To do: ", stdout);
			print_escaped(advice);
		}
		(void)fputc('\n', stdout);
	}
	print_count(findings, "error", ", ");
	print_count(findings, "warning", ", ");
	print_count(findings, "note", "\n");
}

int
command_doctor(int argc, char **argv)
{
	struct options o;
	json_t *found;
	json_t *findings;
	const char *socket;
	bool errors;

	if (!parse(argc, argv, &o))
		return EXIT_USAGE;
	if (o.help)
		return fputs(usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	found = run_broker(&o);
	if (found == NULL) {
		(void)fprintf(stderr,
		    "sallyport doctor: this host was not examined: what \"%s -D\" prints cannot be "
		    "read; run that by hand to see why, or name another program with --broker\n",
		    o.broker);
		return EXIT_USAGE;
	}
	findings = json_object_get(found, "findings");
	socket = o.socket != NULL ? o.socket : text_of(found, "control_socket");
	ask_running(findings, socket[0] != '\0' ? socket : SP_CONTROL_SOCKET);
	errors = count(findings, "error") > 0;
	if (o.json)
		errors |= json_dumpf(findings, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) < 0 ||
		    putchar('\n') == EOF;
	else
		print_findings(findings);
	json_decref(found);
	if (fflush(stdout) != 0)
		errors = true;
	return errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
