/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: what the administrator's socket answers. The request is bounded, and its sender may ask. */
#include "control_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "broker.h"
#include "ceilings.h"
#include "clock.h"
#include "config.h"
#include "container.h"
#include "containers_json.h"
#include "diag.h"
#include "engine.h"
#include "listener.h"
#include "peer.h"
#include "policy.h"
#include "shadow.h"
#include "user_containers.h"
#include "utf8.h"
#include "worker_pool.h"

json_t *
control_error(const char *sentence)
{
	return json_pack("{s:s}", "error", sentence);
}

/* The string of a key; NULL when it is not there or is none. */
static const char *
text_of(const json_t *request, const char *key)
{
	return json_string_value(json_object_get(request, key));
}

static json_t *
text_or_null(const char *text)
{
	json_t *said = text != NULL && text[0] != '\0' ? json_string(text) : NULL;

	return said != NULL ? said : json_null(); /* also of what is no UTF-8 */
}

static json_t *
number_or_null(bool known, uint64_t n)
{
	return known ? json_integer((json_int_t)n) : json_null();
}

static json_t *
utc_at(time_t then)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&then, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}

static json_t *
utc(int64_t ms_ago)
{
	return utc_at(time(NULL) - (time_t)(ms_ago / 1000));
}

static const char *
channel_kind_name(enum peer_channel_kind kind)
{
	static const char *const names[] = { [CHANNEL_PROGRAM] = "program",
		[CHANNEL_FORWARD] = "forward",
		[CHANNEL_LISTENER] = "listener",
		[CHANNEL_ACCEPTED] = "accepted" };

	return names[kind];
}

static json_t *
channels_json(const struct peer *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < IPC_CHANNEL_MAX; i++) {
		const struct peer_channel *ch = &p->channels[i];

		if (ch->state == CHANNEL_FREE)
			continue;
		(void)json_array_append_new(list,
		    json_pack("{s:i, s:s, s:s, s:o}", "channel", (int)i, "kind",
			channel_kind_name(ch->kind), "state",
			ch->state == CHANNEL_RUNNING ? "running" : "waiting", "container",
			containers_json_one(ch->container)));
	}
	return list;
}

static json_t *
session_json(const struct peer *p)
{
	int64_t now = clock_now_ms();
	int64_t age = now - p->connected_at;
	bool in = p->state == PEER_LOGGED_IN;

	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o}",
	    "connection", p->id, "state", peer_state_name(p->state), "from", p->source_text, "user",
	    text_or_null(p->user), "key", text_or_null(p->fingerprint), "rule",
	    text_or_null(in ? p->decision.rule : NULL), "profile",
	    text_or_null(in ? p->decision.profile->name : NULL), "generation",
	    in ? json_integer(p->generation) : json_null(), "since", utc(age), "seconds",
	    (json_int_t)(age / 1000), "idle_seconds",
	    number_or_null(in, (uint64_t)activity_idle_seconds(&p->activity, now)), "bytes_in",
	    number_or_null(in, p->activity.in), "bytes_out", number_or_null(in, p->activity.out),
	    "channels", channels_json(p));
}

static void
add_session(struct peer *p, void *arg)
{
	(void)json_array_append_new(arg, session_json(p));
}

static json_t *
answer_sessions(const struct control_context *x, uid_t uid, const json_t *request)
{
	json_t *list = json_array();

	(void)uid;
	(void)request;
	worker_pool_visit(x->broker->workers, add_session, list);
	return json_pack("{s:o}", "sessions", list);
}

/* Whom "kill" means: each that is given has to match. */
struct selection {
	const char *connection;
	const char *user;
	const char *rule;
	const char *message;
	unsigned n;
};

static bool
matches(const char *wanted, const char *is)
{
	return wanted == NULL || (is != NULL && strcmp(wanted, is) == 0);
}

static void
end_selected(struct peer *p, void *arg)
{
	struct selection *s = arg;
	const char *rule = p->state == PEER_LOGGED_IN ? p->decision.rule : NULL;

	if (!matches(s->connection, p->id) || !matches(s->user, p->user) || !matches(s->rule, rule))
		return;
	s->n++;
	peer_dismiss(p, s->message, "ended by the administrator");
}

static json_t *
answer_kill(const struct control_context *x, uid_t uid, const json_t *request)
{
	struct selection s = {
		.connection = text_of(request, "connection"),
		.user = text_of(request, "user"),
		.rule = text_of(request, "rule"),
		.message = text_of(request, "message"),
	};
	unsigned kept = 0;

	if (s.connection == NULL && s.user == NULL && s.rule == NULL)
		return control_error("kill whom? Name a connection, a user or a rule");
	if (s.message == NULL)
		s.message = "This session was ended by the administrator.";
	if (strlen(s.message) > IPC_TEXT_MAX)
		return control_error("the message is too long: at most 1024 bytes");
	if (utf8_text_fault(s.message, strlen(s.message), true) != NULL)
		return control_error(
		    "the message holds a control character, which a terminal might obey");
	audit_note(x->broker->audit, "control", NULL, AUDIT_TEXT("command", "kill"),
	    AUDIT_NUMBER("uid", uid), AUDIT_TEXT("wanted_connection", s.connection),
	    AUDIT_TEXT("wanted_user", s.user), AUDIT_TEXT("wanted_rule", s.rule));
	worker_pool_visit(x->broker->workers, end_selected, &s);
	/* "Everything of this user" is more than a user's sessions of one rule. */
	if (s.user != NULL && s.connection == NULL && s.rule == NULL)
		kept = user_containers_end(x->broker->user_containers, s.user);
	return json_pack("{s:i, s:i}", "killed", (int)s.n, "containers", (int)kept);
}

static const char *
health_name(enum engine_health health)
{
	switch (health) {
	case ENGINE_HEALTHY:
		return "ok";
	case ENGINE_UNHEALTHY:
		return "not responding";
	case ENGINE_HEALTH_UNKNOWN:
		break;
	}
	return "not asked yet";
}

static json_t *
engine_json(const struct engine *e)
{
	struct engine_counts n = engine_counts(e);
	char api[16] = "";

	if (n.api_minor > 0)
		(void)snprintf(api, sizeof(api), "1.%u", n.api_minor);
	return json_pack("{s:s, s:o, s:o, s:s?, s:s?, s:i, s:i, s:i, s:I, s:I}", "state",
	    health_name(engine_health(e)), "reason", text_or_null(engine_health_reason(e)), "api",
	    text_or_null(api), "podman", engine_podman(e), "note",
	    engine_podman(e) != NULL ? ENGINE_PODMAN_SENTENCE : NULL, "starting", (int)n.starting,
	    "queued", (int)n.queued, "removing", (int)n.discarding, "requests",
	    (json_int_t)n.requests, "failures", (json_int_t)n.failures);
}

/* Who is let in, and who was not since the start. */
static json_t *
admission_json(const struct admission_counts *c)
{
	json_int_t refused = 0;

	for (int v = 0; v < ADMISSION_VERDICT_COUNT; v++)
		refused += (json_int_t)c->refused[v];
	return json_pack("{s:i, s:i, s:I, s:I}", "startups", (int)c->startups, "sources_refused",
	    (int)c->penalised, "refused", refused, "made_room", (json_int_t)c->evicted);
}

static json_t *
refused_json(const struct ceilings *c, enum ceiling_scope scope)
{
	json_t *object = json_object();

	for (unsigned kind = 0; kind < CEILING_KINDS; kind++)
		(void)json_object_set_new(object, ceiling_kind_name(kind),
		    json_integer((json_int_t)ceilings_refused(c, scope, kind)));
	return object;
}

/* What is held of the policy's ceilings now, and how often there was no place. */
static json_t *
ceilings_json(const struct ceilings *c)
{
	json_t *refused = json_object();

	for (unsigned scope = 0; scope < CEILING_SCOPES; scope++)
		(void)json_object_set_new(refused, ceiling_scope_name(scope), refused_json(c, scope));
	return json_pack("{s:{s:I, s:I, s:I}, s:o}", "held", "sessions",
	    (json_int_t)ceilings_held(c, CEILING_SESSIONS), "containers",
	    (json_int_t)ceilings_held(c, CEILING_CONTAINERS), "memory",
	    (json_int_t)ceilings_held(c, CEILING_MEMORY), "refused", refused);
}

static json_t *
counters_json(const struct broker_counters *n)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "containers",
	    (json_int_t)n->containers, "containers_failed", (json_int_t)n->containers_failed,
	    "logins", (json_int_t)n->logins, "logins_refused", (json_int_t)n->logins_refused,
	    "keys_refused", (json_int_t)n->keys_refused, "requests_refused",
	    (json_int_t)n->requests_refused, "violations", (json_int_t)n->violations);
}

static json_t *
shadow_json(const struct broker *b)
{
	struct shadow_state s;

	if (b->shadow == NULL)
		return json_null();
	s = shadow_state(b->shadow);
	return json_pack("{s:s, s:i, s:o, s:b, s:I}", "file", b->config->policy_shadow,
	    "generation", (int)s.generation, "sha256", text_or_null(s.sha256), "failed",
	    (int)s.failed, "differences", (json_int_t)s.differences);
}

/* rejected_at: when the last reload left this one in force, because of errors. */
static json_t *
policy_json(const struct broker *b)
{
	return json_pack("{s:i, s:s, s:s, s:o}", "generation", (int)b->generation, "sha256",
	    policy_digest(b->policy), "file", b->config->policy, "rejected_at",
	    b->rejected_at != 0 ? utc_at((time_t)b->rejected_at) : json_null());
}

static json_t *
audit_json(const struct broker *b)
{
	struct audit_state s;

	if (b->audit == NULL)
		return json_null();
	s = audit_state(b->audit);
	return json_pack("{s:s, s:b, s:o, s:o, s:I}", "file", b->config->audit.file, "required",
	    (int)s.required, "failing_since", s.failing ? utc_at((time_t)s.since) : json_null(),
	    "reason", text_or_null(s.failing ? strerror(s.error) : NULL), "lost", (json_int_t)s.lost);
}

static json_t *
listen_json(const struct broker *b)
{
	char address[LISTENER_ADDRESS_MAX];
	json_t *list = json_array();

	for (unsigned i = 0; b->listener != NULL &&
	     listener_address(b->listener, i, address, sizeof(address)) != NULL;
	     i++)
		(void)json_array_append_new(list, json_string(address));
	return list;
}

static json_t *
answer_status(const struct control_context *x, uid_t uid, const json_t *request)
{
	const struct broker *b = x->broker;
	struct admission_counts counts = worker_pool_counts(b->workers);
	struct worker_pool_workers workers = worker_pool_workers(b->workers);
	int64_t age = clock_now_ms() - x->started_at;

	(void)uid;
	(void)request;
	return json_pack("{s:s, s:i, s:o, s:I, s:b, s:o, s:o, s:o, s:o, s:i, s:o, s:i, s:o, s:o, s:{s:i, s:i, s:o}, s:o, s:o, s:o}",
	    "version", SP_VERSION, "pid", (int)getpid(), "since", utc(age), "seconds",
	    (json_int_t)(age / 1000), "stopping", (int)b->draining, "policy", policy_json(b),
	    "shadow", shadow_json(b), "audit", audit_json(b), "engine", engine_json(b->engine),
	    "connections", (int)counts.connections, "admission", admission_json(&counts),
	    "containers", (int)container_set_count(b->containers), "pool", containers_json_pool(b),
	    "kept", containers_json_kept(b), "workers", "all", (int)workers.all, "spare",
	    (int)workers.spare, "reason", text_or_null(workers.reason), "counters",
	    counters_json(&b->counters), "ceilings", ceilings_json(b->ceilings), "listen",
	    listen_json(b));
}

/* What the policy's reader has to say, as it would print it. */
static json_t *
diags_json(const struct diag_list *diags)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	json_t *value;

	if (out == NULL)
		return json_null();
	diag_print(diags, out);
	value = fclose(out) == 0 ? json_stringn(text, len) : NULL;
	free(text);
	return value != NULL ? value : json_null();
}

static json_t *
answer_reload(const struct control_context *x, uid_t uid, const json_t *request)
{
	const struct broker *b = x->broker;
	struct diag_list diags = DIAG_LIST_INIT;
	json_t *answer;
	bool done;

	(void)request;
	audit_note(b->audit, "control", NULL, AUDIT_TEXT("command", "reload"),
	    AUDIT_NUMBER("uid", uid));
	done = x->events.reload(x->events.arg, &diags) == 0;
	answer = json_pack("{s:b, s:i, s:s, s:o}", "reloaded", (int)done, "generation",
	    (int)b->generation, "sha256", policy_digest(b->policy), "messages", diags_json(&diags));
	diag_list_clear(&diags);
	return answer;
}

/* All that can be asked, and with which further keys. */
static const struct command {
	const char *name;
	const char *keys[4]; /* strings */
	json_t *(*answer)(const struct control_context *x, uid_t uid, const json_t *request);
} commands[] = {
	{ "sessions", { NULL }, answer_sessions },
	{ "kill", { "connection", "user", "rule", "message" }, answer_kill },
	{ "status", { NULL }, answer_status },
	{ "reload", { NULL }, answer_reload },
};

static bool
has_key(const struct command *command, const char *key)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(command->keys); i++) {
		if (command->keys[i] != NULL && strcmp(command->keys[i], key) == 0)
			return true;
	}
	return false;
}

/* A word that is misspelt must not widen what is asked for. */
static bool
keys_are_known(const struct command *command, json_t *request)
{
	const char *key;
	json_t *value;

	json_object_foreach(request, key, value)
	{
		if (strcmp(key, "do") != 0 && !has_key(command, key))
			return false;
		if (!json_is_string(value))
			return false;
	}
	return true;
}

json_t *
control_answer(const struct control_context *x, uid_t uid, const char *line, size_t len)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *name = text_of(request, "do");
	json_t *result = NULL;

	for (size_t i = 0; name != NULL && result == NULL && i < SP_ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		result = keys_are_known(&commands[i], request)
		    ? commands[i].answer(x, uid, request)
		    : control_error("the request has keys that it cannot have");
		if (result == NULL)
			result = control_error("out of memory");
	}
	json_decref(request);
	return result != NULL
	    ? result
	    : control_error("a request is one line: {\"do\": \"sessions\", \"kill\", "
			    "\"status\" or \"reload\"}");
}
