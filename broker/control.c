/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: the administrator's socket. Whoever is heard here may end sessions and see who is in, nothing
 * more; requests are bounded, and a client that neither asks nor reads is dropped.
 */
#include "control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"
#include "clock.h"
#include "config.h"
#include "container.h"
#include "diag.h"
#include "engine.h"
#include "fd.h"
#include "log.h"
#include "peer.h"
#include "policy.h"
#include "worker_pool.h"

#define BACKLOG        16
#define CLIENTS_MAX    16 /* at a time */
#define REQUEST_MAX    4096
#define CLIENT_SECONDS 10 /* to ask, and to read the answer */
#define GROUPS_MAX     256

struct client {
	TAILQ_ENTRY(client) link;
	struct control *control;
	struct bufferevent *stream;
	bool may_ask;
	bool answered;
};

TAILQ_HEAD(client_list, client);

struct control {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int fd;
	bool has_group;
	gid_t group;
	struct broker *broker;
	struct control_events events;
	struct event *listening;
	struct client_list clients;
	unsigned n_clients;
	int64_t started_at; /* ms of clock_now_ms() */
};

/* ---- the socket ---- */

/* A socket that nobody listens on is an earlier run's. */
static int
remove_old(const char *path, const struct sockaddr_un *address, char *why, size_t cap)
{
	SP_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		(void)snprintf(why, cap, "%s is there already and is no socket", path);
		return -EEXIST;
	}
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN) {
		(void)snprintf(why, cap, "another broker answers on %s", path);
		return -EADDRINUSE;
	}
	return unlink(path) < 0 ? -errno : 0;
}

static int
bind_socket(struct control *control, char *why, size_t cap)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	memcpy(address.sun_path, control->path, sizeof(address.sun_path));
	r = remove_old(control->path, &address, why, cap);
	if (r < 0)
		return r;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The umask makes it this user's alone until its group is set. */
	if (control->fd < 0 ||
	    bind(control->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if ((control->has_group && chown(control->path, (uid_t)-1, control->group) < 0) ||
	    chmod(control->path, control->has_group ? 0660 : 0600) < 0)
		return -errno;
	return listen(control->fd, BACKLOG) < 0 ? -errno : 0;
}

int
control_open(const struct config *c, struct control **ret, char *why, size_t cap)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (control == NULL)
		return -ENOMEM;
	TAILQ_INIT(&control->clients);
	control->fd = -1;
	control->has_group = c->control.has_group;
	control->group = c->control.group;
	(void)snprintf(control->path, sizeof(control->path), "%s", c->control.socket);
	why[0] = '\0';
	r = bind_socket(control, why, cap);
	if (r < 0) {
		if (why[0] == '\0')
			(void)snprintf(why, cap, "cannot listen on %s: %s", control->path,
			    strerror(-r));
		fd_close(&control->fd);
		free(control);
		return r;
	}
	*ret = control;
	return 0;
}

/* ---- answers ---- */

static json_t *
error_answer(const char *sentence)
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
	return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *
number_or_null(bool known, uint64_t n)
{
	return known ? json_integer((json_int_t)n) : json_null();
}

static json_t *
utc(int64_t ms_ago)
{
	time_t then = time(NULL) - (time_t)(ms_ago / 1000);
	char text[32];
	struct tm tm;

	if (gmtime_r(&then, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}

static json_t *
container_json(const struct container *c)
{
	if (c == NULL)
		return json_null();
	return json_pack("{s:s, s:o, s:s}", "name", container_name(c), "id",
	    text_or_null(container_id(c)), "state", container_state_name(c));
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
		    json_pack("{s:i, s:s, s:o}", "channel", (int)i, "state",
			ch->state == CHANNEL_RUNNING ? "running" : "waiting", "container",
			container_json(ch->container)));
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
answer_sessions(struct control *control, const json_t *request)
{
	json_t *list = json_array();

	(void)request;
	worker_pool_visit(control->broker->workers, add_session, list);
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
answer_kill(struct control *control, const json_t *request)
{
	struct selection s = {
		.connection = text_of(request, "connection"),
		.user = text_of(request, "user"),
		.rule = text_of(request, "rule"),
		.message = text_of(request, "message"),
	};

	if (s.connection == NULL && s.user == NULL && s.rule == NULL)
		return error_answer("kill whom? Name a connection, a user or a rule");
	if (s.message == NULL)
		s.message = "This session was ended by the administrator.";
	if (strlen(s.message) > IPC_TEXT_MAX)
		return error_answer("the message is too long: at most 1024 bytes");
	worker_pool_visit(control->broker->workers, end_selected, &s);
	return json_pack("{s:i}", "killed", (int)s.n);
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
	return json_pack("{s:s, s:o, s:o, s:i, s:i, s:i, s:I}", "state",
	    health_name(engine_health(e)), "reason", text_or_null(engine_health_reason(e)), "api",
	    text_or_null(api), "starting", (int)n.starting, "queued", (int)n.queued, "removing",
	    (int)n.discarding, "requests", (json_int_t)n.requests);
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
answer_status(struct control *control, const json_t *request)
{
	const struct broker *b = control->broker;
	struct admission_counts counts = worker_pool_counts(b->workers);
	int64_t age = clock_now_ms() - control->started_at;

	(void)request;
	return json_pack("{s:s, s:i, s:o, s:I, s:b, s:{s:i, s:s, s:s}, s:o, s:i, s:o, s:i}",
	    "version", SP_VERSION, "pid", (int)getpid(), "since", utc(age), "seconds",
	    (json_int_t)(age / 1000), "stopping", (int)b->draining, "policy", "generation",
	    (int)b->generation, "sha256", policy_digest(b->policy), "file", b->config->policy,
	    "engine", engine_json(b->engine), "connections", (int)counts.connections, "admission",
	    admission_json(&counts), "containers", (int)container_set_count(b->containers));
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
answer_reload(struct control *control, const json_t *request)
{
	const struct broker *b = control->broker;
	struct diag_list diags = DIAG_LIST_INIT;
	bool done = control->events.reload(control->events.arg, &diags) == 0;
	json_t *answer;

	(void)request;
	answer = json_pack("{s:b, s:i, s:s, s:o}", "reloaded", (int)done, "generation",
	    (int)b->generation, "sha256", policy_digest(b->policy), "messages", diags_json(&diags));
	diag_list_clear(&diags);
	return answer;
}

/* All that can be asked, and with which further keys. */
static const struct command {
	const char *name;
	const char *keys[4]; /* strings */
	json_t *(*answer)(struct control *control, const json_t *request);
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

static json_t *
answer(struct control *control, const char *line, size_t len)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *name = text_of(request, "do");
	json_t *result = NULL;

	for (size_t i = 0; name != NULL && result == NULL && i < SP_ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		result = keys_are_known(&commands[i], request)
		    ? commands[i].answer(control, request)
		    : error_answer("the request has keys that it cannot have");
		if (result == NULL)
			result = error_answer("out of memory");
	}
	json_decref(request);
	return result != NULL
	    ? result
	    : error_answer("a request is one line: {\"do\": \"sessions\", \"kill\", "
			   "\"status\" or \"reload\"}");
}

/* ---- clients ---- */

static void
drop(struct client *c)
{
	TAILQ_REMOVE(&c->control->clients, c, link);
	c->control->n_clients--;
	bufferevent_free(c->stream);
	free(c);
}

static void
send_answer(struct client *c, json_t *answer)
{
	char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(answer);
	c->answered = true;
	if (text == NULL || bufferevent_write(c->stream, text, strlen(text)) < 0 ||
	    bufferevent_write(c->stream, "\n", 1) < 0 || bufferevent_disable(c->stream, EV_READ) < 0)
		drop(c);
	free(text);
}

static void
on_request(struct bufferevent *stream, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct client *c = arg;
	size_t len = 0;
	char *line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF);

	/* It is told after it has asked: an answer before the question is lost with the connection. */
	if (line != NULL && !c->may_ask)
		send_answer(c, error_answer("only root and the configured group may ask"));
	else if (line != NULL)
		send_answer(c, answer(c->control, line, len));
	else if (evbuffer_get_length(input) >= REQUEST_MAX)
		send_answer(c, error_answer("the request is too long"));
	free(line);
}

/* All of the answer has left. */
static void
on_written(struct bufferevent *stream, void *arg)
{
	struct client *c = arg;

	(void)stream;
	if (c->answered)
		drop(c);
}

static void
on_end(struct bufferevent *stream, short what, void *arg)
{
	(void)stream;
	(void)what;
	drop(arg);
}

/* Root, ourselves, or a member of the group: the kernel's word, taken when it connected. */
static bool
may_ask(const struct control *control, int fd)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);
	struct ucred who;
	socklen_t who_len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) < 0)
		return false;
	if (who.uid == 0 || who.uid == geteuid())
		return true;
	if (!control->has_group)
		return false;
	if (who.gid == control->group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++) {
		if (groups[i] == control->group)
			return true;
	}
	return false;
}

static void
add_client(struct control *control, int *fd)
{
	struct timeval patience = { .tv_sec = CLIENT_SECONDS };
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return;
	c->control = control;
	c->stream = bufferevent_socket_new(control->broker->base, *fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->stream == NULL) {
		free(c);
		return;
	}
	*fd = -1;
	TAILQ_INSERT_TAIL(&control->clients, c, link);
	control->n_clients++;
	bufferevent_setcb(c->stream, on_request, on_written, on_end, c);
	bufferevent_setwatermark(c->stream, EV_READ, 0, REQUEST_MAX);
	c->may_ask = may_ask(control, bufferevent_getfd(c->stream));
	if (bufferevent_set_timeouts(c->stream, &patience, &patience) < 0 ||
	    bufferevent_enable(c->stream, EV_READ | EV_WRITE) < 0)
		drop(c);
}

static void
on_connection(evutil_socket_t listening, short what, void *arg)
{
	struct control *control = arg;
	SP_CLEANUP_FD int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (control->n_clients < CLIENTS_MAX)
		add_client(control, &fd);
}

int
control_run(struct control *control, struct broker *b, const struct control_events *events)
{
	control->broker = b;
	control->events = *events;
	control->started_at = clock_now_ms();
	control->listening =
	    event_new(b->base, control->fd, EV_READ | EV_PERSIST, on_connection, control);
	if (control->listening == NULL || event_add(control->listening, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void
control_free(struct control *control)
{
	struct client *c;

	if (control == NULL)
		return;
	while ((c = TAILQ_FIRST(&control->clients)) != NULL)
		drop(c);
	if (control->listening != NULL)
		event_free(control->listening);
	if (control->fd >= 0 && unlink(control->path) < 0)
		log_warn("cannot remove %s: %s", control->path, strerror(errno));
	fd_close(&control->fd);
	free(control);
}
