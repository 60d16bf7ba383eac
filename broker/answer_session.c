/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker's side of IPC_REQ_START and IPC_REQ_CLOSE, and what all channels have in common. The request is
 * hostile: the worker may be anybody's by now. What it can get is what the policy gives to the login
 * that was proven on this connection, whatever it asks for: the container, its user, the program
 * before the command and the environment's fixed part are the broker's own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "audit.h"
#include "claim.h"
#include "container.h"
#include "dispatch.h"
#include "fd.h"
#include "guest_msg.h"
#include "ipc_msg.h"
#include "log.h"
#include "peer.h"
#include "peer_input.h"
#include "pool.h"
#include "session.h"
#include "shadow.h"
#include "user_containers.h"

/* USER LOGNAME SHELL SSH_CLIENT SSH_CONNECTION TERM SSH_AUTH_SOCK DISPLAY XAUTHORITY, and room */
#define OWN_ENV_MAX 10

/* Text for one order: what the spans of struct guest_spawn point to. One loop, one order at a time. */
struct order_text {
	char client_env[IPC_ENV_BYTES_MAX + 2 * IPC_ENV_MAX];
	char own_env[OWN_ENV_MAX][256];
	char argv0[64];
	struct policy_words words;
};

_Static_assert(POLICY_WORDS_MAX <= GUEST_ARGV_MAX, "words that the guest refuses");

static struct wire_span
span_of(const char *s)
{
	struct wire_span span = { (const uint8_t *)s, strlen(s) };

	return span;
}

static bool
send_answer(struct peer *p, uint32_t channel, enum ipc_start_result result, bool pty,
    const char *text, const struct data_path_streams *streams)
{
	uint8_t buf[IPC_TEXT_MAX + 64];
	struct wire_span words = { (const uint8_t *)text, strnlen(text, IPC_TEXT_MAX) };
	struct ipc_ans_forward outcome = { channel, result, words };
	struct wire_writer w;

	if (result != IPC_START_OK)
		peer_charge_refusal(p);
	wire_writer_init(&w, buf, sizeof(buf));
	switch (p->channels[channel].kind) {
	case CHANNEL_FORWARD:
		ipc_put_ans_forward(&w, &outcome);
		break;
	case CHANNEL_LISTENER:
		ipc_put_ans_listen(&w, &outcome);
		break;
	case CHANNEL_ACCEPTED:
		ipc_put_ans_accepted(&w, &outcome);
		break;
	case CHANNEL_PROGRAM:
		ipc_put_ans_start(&w,
		    &(struct ipc_ans_start){ .channel = channel,
			.result = result,
			.pty = pty,
			.text = words });
		break;
	}
	return peer_send(p, &w, streams != NULL ? streams->fds : NULL,
	    streams != NULL ? streams->n : 0);
}

void
session_reply(struct peer *p, uint32_t channel, enum ipc_start_result result, const char *text)
{
	(void)send_answer(p, channel, result, false, text, NULL);
}

/* Whether it takes one of the profile's places. As under sshd a listener does not, but what connects to it does. */
static bool
takes_place(enum peer_channel_kind kind)
{
	return kind != CHANNEL_LISTENER;
}

static void
look_for_oom(const struct peer *p, struct container *c)
{
	struct audit_subject who = peer_audit_subject(p);

	container_look_for_oom(c, p->decision.profile, &who);
}

static void
free_channel(struct peer *p, struct peer_channel *channel)
{
	if (channel->state == CHANNEL_FREE)
		return;
	if (channel->waiter.order != NULL)
		container_forget_order(channel->container, &channel->waiter);
	if (channel->container != NULL && channel->state == CHANNEL_RUNNING &&
	    channel->kind == CHANNEL_PROGRAM)
		look_for_oom(p, channel->container);
	if (channel->container != NULL && channel->container != p->container)
		container_release(channel->container, p);
	free(channel->request);
	p->n_channels -= takes_place(channel->kind);
	p->n_listeners -= !takes_place(channel->kind);
	memset(channel, 0, sizeof(*channel));
}

void
session_refuse(struct peer *p, uint32_t channel, enum ipc_start_result result, const char *text)
{
	struct audit_subject who = peer_audit_subject(p);

	audit_note(p->broker->audit, "request.failed", &who, AUDIT_NUMBER("channel", channel),
	    AUDIT_TEXT("reason",
		text[0] != '\0' ? text : "the channel was closed before its program ran"));
	session_reply(p, channel, result, text);
	free_channel(p, &p->channels[channel]);
}

void
session_ordered(struct peer *p, uint32_t number, bool pty, const char *text,
    struct data_path_streams *streams)
{
	struct peer_channel *channel = &p->channels[number];

	channel->state = CHANNEL_RUNNING;
	if (channel->container != NULL && channel->container == p->container)
		p->container_used = true;
	(void)send_answer(p, number, IPC_START_OK, pty, text, streams);
	fd_close_all(streams->fds, streams->n);
	/* What the request's spans point to, when it was kept. */
	free(channel->request);
	channel->request = NULL;
}

static void
add_env(struct guest_spawn *order, struct wire_span entry)
{
	if (order->n_env < GUEST_ENV_MAX)
		order->env[order->n_env++] = entry;
}

static void
add_own_env(struct guest_spawn *order, struct order_text *text, unsigned *n, const char *name,
    const char *value)
{
	char *entry = text->own_env[(*n)++];

	(void)snprintf(entry, sizeof(text->own_env[0]), "%s=%s", name, value);
	add_env(order, span_of(entry));
}

/* The client's variables that the profile accepts; the others are dropped, as sshd drops them. */
static void
add_client_env(struct guest_spawn *order, struct order_text *text,
    const struct policy_profile *profile, const struct ipc_req_start *m)
{
	size_t used = 0;

	for (uint32_t i = 0; i < m->n_env; i++) {
		const struct ipc_env *e = &m->env[i];
		char *entry = text->client_env + used;
		int n = snprintf(entry, sizeof(text->client_env) - used, "%.*s", (int)e->name.len,
		    (const char *)e->name.data);

		if (!policy_accepts_env(profile, entry))
			continue;
		n += snprintf(entry + n, sizeof(text->client_env) - used - (size_t)n, "=%.*s",
		    (int)e->value.len, (const char *)e->value.data);
		add_env(order, (struct wire_span){ (const uint8_t *)entry, (size_t)n });
		used += (size_t)n + 1;
	}
}

/* What was listened for before: where that is. */
static void
add_listeners(struct guest_spawn *order, struct order_text *text, unsigned *n, const struct peer *p,
    const struct ipc_req_start *m)
{
	const struct peer_channel *agent = forward_agent(p);
	const struct peer_channel *x11 = m->want_display ? forward_display(p, m->display.listener)
							 : NULL;
	char value[GUEST_PATH_MAX + 1];

	if (agent != NULL) {
		forward_path(agent, value);
		add_own_env(order, text, n, "SSH_AUTH_SOCK", value);
	}
	if (x11 != NULL) {
		forward_path(x11, value);
		add_own_env(order, text, n, "XAUTHORITY", value);
		(void)snprintf(value, sizeof(value), "localhost:%u.%u", m->display.number,
		    m->display.screen);
		add_own_env(order, text, n, "DISPLAY", value);
	}
}

/* Later entries win in the guest: the client's first, then sshd's set, then the profile's. */
static void
fill_env(struct guest_spawn *order, struct order_text *text, const struct peer *p,
    const struct ipc_req_start *m)
{
	const struct policy_profile *profile = p->decision.profile;
	char source[96];
	char local[96];
	char value[256];
	unsigned n = 0;

	add_client_env(order, text, profile, m);
	(void)peer_address_text(&p->client.source, source, sizeof(source));
	(void)peer_address_text(&p->client.local, local, sizeof(local));
	add_own_env(order, text, &n, "USER", p->user);
	add_own_env(order, text, &n, "LOGNAME", p->user);
	add_own_env(order, text, &n, "SHELL", profile->shell_argv[0]);
	(void)snprintf(value, sizeof(value), "%s %s", source, strchr(local, ' ') + 1);
	add_own_env(order, text, &n, "SSH_CLIENT", value);
	(void)snprintf(value, sizeof(value), "%s %s", source, local);
	add_own_env(order, text, &n, "SSH_CONNECTION", value);
	if (m->want_pty && m->pty.term[0] != '\0')
		add_own_env(order, text, &n, "TERM", m->pty.term);
	add_listeners(order, text, &n, p, m);
	for (const char *const *e = profile->env; e != NULL && *e != NULL; e++)
		add_env(order, span_of(*e));
}

/* The request as policy knows it. */
static struct policy_request
request_of(const struct ipc_req_start *m)
{
	static const enum policy_request_kind kinds[] = { [IPC_START_SHELL] = POLICY_REQUEST_SHELL,
		[IPC_START_EXEC] = POLICY_REQUEST_EXEC,
		[IPC_START_SUBSYSTEM] = POLICY_REQUEST_SUBSYSTEM };

	return (struct policy_request){
		.kind = kinds[m->kind],
		.pty = m->want_pty,
		.command = m->command.data,
		.command_len = m->command.len,
	};
}

/* What policy says of the request; words as policy_refuse() has it. */
static const char *
refuse_by_policy(const struct peer *p, const struct ipc_req_start *m, struct policy_words *words)
{
	struct policy_request request = request_of(m);

	return policy_refuse(p->decision.profile, &request, words);
}

static const char *
kind_name(enum ipc_start_kind kind)
{
	static const char *const
	    names[] = { [IPC_START_SHELL] = "shell", [IPC_START_EXEC] = "exec", [IPC_START_SUBSYSTEM] = "subsystem" };

	return names[kind];
}

static const char *const *
program_of(const struct policy_profile *profile, const struct ipc_req_start *m,
    const struct policy_words *words)
{
	struct policy_request request = request_of(m);

	return policy_program(profile, &request, words);
}

/*
 * The command is one argument of a program that the profile names; nothing here splits or joins. As
 * under sshd, argv[0] is the shell's name without its path, with a "-" before it for a login shell. Or
 * it is the words that were judged, without a shell.
 */
static void
fill_argv(struct guest_spawn *order, struct order_text *text, const struct policy_profile *profile,
    const struct ipc_req_start *m)
{
	bool login = m->kind == IPC_START_SHELL && profile->login_shell;
	const char *const *argv = program_of(profile, m, &text->words);
	const char *base = strrchr(argv[0], '/');

	if (text->words.n > 0) {
		for (; order->n_argv < text->words.n; order->n_argv++)
			order->argv[order->n_argv] = span_of(text->words.argv[order->n_argv]);
		return;
	}
	(void)snprintf(text->argv0, sizeof(text->argv0), "%s%s", login ? "-" : "",
	    base != NULL ? base + 1 : argv[0]);
	order->argv0 = span_of(text->argv0);
	for (; *argv != NULL && order->n_argv < GUEST_ARGV_MAX; argv++)
		order->argv[order->n_argv++] =
		    m->kind == IPC_START_EXEC && strcmp(*argv, "${command}") == 0 ? m->command
										  : span_of(*argv);
}

static void
fill_order(struct guest_spawn *order, struct order_text *text, const struct peer *p,
    const struct ipc_req_start *m)
{
	memset(order, 0, sizeof(*order));
	order->want_pty = m->want_pty;
	order->columns = m->pty.columns;
	order->rows = m->pty.rows;
	order->width_px = m->pty.width_px;
	order->height_px = m->pty.height_px;
	order->modes = m->modes;
	order->hangup_grace_ms = p->decision.profile->stop_grace_ms;
	if (p->decision.profile->workdir != NULL)
		order->workdir = span_of(p->decision.profile->workdir);
	fill_argv(order, text, p->decision.profile, m);
	fill_env(order, text, p, m);
}

/* What came of an order to start a program: hand the streams to the worker. r: as of the order. */
static void
conclude(struct peer *p, uint32_t number, const struct ipc_req_start *m, int r,
    struct data_path_streams *streams)
{
	static struct policy_words words;

	if (r == DATA_PATH_E_LATER)
		return;
	if (r != 0) {
		log_error("connection=%s channel=%u cannot start a program: %s", p->id, number,
		    data_path_error_text(r));
		session_refuse(p, number, IPC_START_FAILED,
		    container_refusal_text(r,
			"The container does not start any more programs. Log in again for a new one."));
		return;
	}
	log_info("connection=%s user=%s channel=%u started: %s%s", p->id, p->user, number,
	    kind_name(m->kind), m->want_pty ? " with pty" : "");
	/* It was allowed: this is for the words, of which the worker names the first. */
	(void)!refuse_by_policy(p, m, &words);
	session_ordered(p, number, m->want_pty, program_of(p->decision.profile, m, &words)[0],
	    streams);
}

/* The container is up: send the order. */
static void
run(struct peer *p, uint32_t number, const struct ipc_req_start *m)
{
	static struct order_text text;
	static struct guest_spawn order;
	struct data_path_streams streams;
	int r;

	/* It was allowed when it came, by the same profile; this is for the words. */
	if (refuse_by_policy(p, m, &text.words) != NULL) {
		session_refuse(p, number, IPC_START_REFUSED, "This request is not allowed.");
		return;
	}
	fill_order(&order, &text, p, m);
	r = container_start(p->channels[number].container, &order, session_waiter(p, number),
	    &streams);
	conclude(p, number, m, r, &streams);
}

static const char kept_is_broken[] = "bug: a request that was kept does not decode";

/* An order that was on its way. */
static void
on_ordered(void *arg, int result, struct data_path_streams *streams)
{
	struct peer_channel *channel = arg;
	struct peer *p = channel->peer;
	uint32_t number = (uint32_t)(channel - p->channels);
	struct ipc_req_start m;
	struct wire_reader r;

	if (channel->kind != CHANNEL_PROGRAM) {
		forward_conclude(p, number, result, streams);
		return;
	}
	wire_reader_init(&r, channel->request, channel->request_len);
	if (ipc_get_req_start(&r, &m) == 0) {
		conclude(p, number, &m, result, streams);
		return;
	}
	if (streams != NULL)
		fd_close_all(streams->fds, streams->n);
	peer_end(p, kept_is_broken);
}

struct data_path_waiter *
session_waiter(struct peer *p, uint32_t number)
{
	struct peer_channel *channel = &p->channels[number];

	channel->peer = p;
	channel->waiter =
	    (struct data_path_waiter){ .ordered = on_ordered, .arg = channel, .owner = p->user };
	return &channel->waiter;
}

/* What was kept in CHANNEL_WAITING was decoded once before: it decodes again. */
static void
run_waiting(struct peer *p, uint32_t number)
{
	const struct peer_channel *channel = &p->channels[number];
	struct ipc_req_start program;
	struct wire_reader r;
	bool known = false;

	wire_reader_init(&r, channel->request, channel->request_len);
	switch (channel->kind) {
	case CHANNEL_PROGRAM:
		known = ipc_get_req_start(&r, &program) == 0;
		if (known)
			run(p, number, &program);
		break;
	case CHANNEL_FORWARD:
		known = forward_run(p, number, &r);
		break;
	case CHANNEL_LISTENER:
		known = forward_run_listener(p, number, &r);
		break;
	case CHANNEL_ACCEPTED: /* never waits */
		break;
	}
	if (!known)
		peer_end(p, kept_is_broken);
}

static void
run_all_waiting(struct peer *p, const struct container *c, bool listeners)
{
	for (uint32_t i = 0; i < IPC_CHANNEL_MAX && p->state == PEER_LOGGED_IN; i++) {
		const struct peer_channel *channel = &p->channels[i];

		if (channel->state == CHANNEL_WAITING && channel->container == c &&
		    (channel->kind == CHANNEL_LISTENER) == listeners)
			run_waiting(p, i);
	}
}

/* Listeners first: a program finds the agent that was asked for before it. */
static void
on_up(void *arg, struct container *c)
{
	run_all_waiting(arg, c, true);
	run_all_waiting(arg, c, false);
}

static void
refuse_all_waiting(struct peer *p, const struct container *c, const char *text)
{
	for (uint32_t i = 0; i < IPC_CHANNEL_MAX && p->state == PEER_LOGGED_IN; i++) {
		if (p->channels[i].state == CHANNEL_WAITING && p->channels[i].container == c)
			session_refuse(p, i, IPC_START_FAILED, text);
	}
}

/*
 * Whether something waits for it, and nothing of this connection has begun in it: who logs in gets a container that was
 * there before, and can have ended before. Once, or one that always ends would be made for ever.
 */
static bool
may_begin_again(const struct peer *p, const struct container *c)
{
	bool waited = false;

	if (c == p->container && p->container_used)
		return false;
	for (uint32_t i = 0; i < IPC_CHANNEL_MAX; i++) {
		const struct peer_channel *channel = &p->channels[i];

		if (channel->container != c)
			continue;
		if (channel->state != CHANNEL_WAITING || channel->again)
			return false;
		waited = true;
	}
	return waited && container_has_ended(c);
}

static void begin_again(struct peer *p, struct container *c);

static void
on_down(void *arg, struct container *c, const char *text)
{
	char copy[IPC_TEXT_MAX];
	struct peer *p = arg;

	if (may_begin_again(p, c)) {
		begin_again(p, c);
		return;
	}
	/* Refusing a channel of its own may release c and, with it, text. */
	(void)snprintf(copy, sizeof(copy), "%s", text);
	refuse_all_waiting(p, c, copy);
}

enum occasion {
	AT_LOGIN,   /* nobody has asked for it yet */
	ON_REQUEST, /* somebody has */
	AFTER_END, /* the one that there was has ended, and those that wait in the pool may have, too */
};

/* As claim_container(), or -errno: then there is no sentence. */
static int
make_container(struct peer *p, enum occasion occasion, struct container **ret,
    char text[CEILING_TEXT_MAX])
{
	struct container_owner owner = { on_up, on_down, p };
	struct audit_subject who = peer_audit_subject(p);
	struct container_request request = { .grant = p->grant,
		.connection = p->id,
		.user = p->user,
		.made_of = "" };
	struct user_containers_login login = { p->grant, &who, p->target, &owner };
	bool shared = p->decision.profile->mode == POLICY_MODE_USER;
	struct ceiling_hold *place = NULL;
	bool made = !shared && occasion != AFTER_END && pool_has(p->broker->pool, p->grant);
	int r = POOL_E_EMPTY;

	/* Who joins a container that is there takes no place. */
	if (!shared || !user_containers_has(p->broker->user_containers, &login)) {
		int full = claim_container(p, made, occasion == AT_LOGIN, &place, text);

		if (full != 0)
			return full;
	}
	if (shared)
		r = user_containers_get(p->broker->user_containers, &login, ret);
	else if (made)
		r = pool_take(p->broker->pool, p->grant, &who, &owner, ret);
	if (r == POOL_E_EMPTY)
		r = container_new(p->broker, &request, &owner, ret);
	if (r == 0 && place != NULL)
		container_set_place(*ret, &place);
	pool_give_way(p->broker->pool);
	ceilings_give(&place);
	if (r < 0)
		log_error("connection=%s user=%s cannot make a container: %s", p->id, p->user,
		    strerror(-r));
	return r;
}

void
session_begin(struct peer *p)
{
	char text[CEILING_TEXT_MAX];

	/* Should it fail, the first channel tries again, and its client is there to hear why. */
	(void)!make_container(p, AT_LOGIN, &p->container, text);
}

void
session_end(struct peer *p)
{
	struct container *shared = p->container;

	for (uint32_t i = 0; i < IPC_CHANNEL_MAX; i++)
		free_channel(p, &p->channels[i]);
	p->container = NULL;
	if (shared != NULL)
		container_release(shared, p);
}

/*
 * The container for a new channel: the shared one, or in mode "session" one of its own, for which the
 * one that was begun at login is taken first. NULL: none could be made, text says why.
 */
static struct container *
container_for_channel(struct peer *p, enum occasion occasion, char text[CEILING_TEXT_MAX])
{
	struct container *c = p->container;

	(void)snprintf(text, CEILING_TEXT_MAX, CONTAINER_NOT_STARTED);
	if (c == NULL && make_container(p, occasion, &c, text) != 0)
		return NULL;
	p->container = p->decision.profile->mode == POLICY_MODE_SESSION ? NULL : c;
	return c;
}

/* What waits for c, which has ended, waits for another one. */
static void
begin_again(struct peer *p, struct container *c)
{
	char text[CEILING_TEXT_MAX];
	struct container *other;

	log_info("connection=%s user=%s container=%s had ended: its login gets another one", p->id,
	    p->user, container_name(c));
	for (uint32_t i = 0; i < IPC_CHANNEL_MAX; i++) {
		struct peer_channel *channel = &p->channels[i];

		if (channel->container != c)
			continue;
		if (channel->waiter.order != NULL)
			container_forget_order(c, &channel->waiter);
		channel->container = NULL;
		channel->again = true;
	}
	if (p->container == c)
		p->container = NULL;
	container_release(c, p);
	other = container_for_channel(p, AFTER_END, text);
	for (uint32_t i = 0; i < IPC_CHANNEL_MAX; i++) {
		if (p->channels[i].state == CHANNEL_WAITING && p->channels[i].container == NULL)
			p->channels[i].container = other;
	}
	if (other == NULL)
		refuse_all_waiting(p, NULL, text);
	else if (container_down_text(other) != NULL)
		on_down(p, other, container_down_text(other));
	else if (container_is_up(other))
		on_up(p, other);
}

static int
keep_request(struct peer_channel *channel, const struct wire_reader *body)
{
	channel->request = malloc(body->left);
	if (channel->request == NULL)
		return -ENOMEM;
	memcpy(channel->request, body->next, body->left);
	channel->request_len = body->left;
	return 0;
}

/*
 * What was asked for and what is done about it, before it is done. outcome is "allowed" or "refused";
 * with a reason when refused. false: it may not happen.
 */
static bool
audit_request(const struct peer *p, const struct ipc_req_start *m, const char *outcome,
    const char *reason)
{
	struct audit_subject who = peer_audit_subject(p);
	bool shell = m->kind == IPC_START_SHELL;

	return audit_event(p->broker->audit, "request", &who, AUDIT_NUMBER("channel", m->channel),
	    AUDIT_TEXT("kind", kind_name(m->kind)),
	    AUDIT_BYTES("command", shell ? NULL : m->command.data, m->command.len),
	    AUDIT_BOOL("pty", m->want_pty), AUDIT_TEXT("outcome", outcome),
	    AUDIT_TEXT("reason", reason));
}

bool
session_claim(struct peer *p, uint32_t number, enum peer_channel_kind kind, const char **ret_fault)
{
	struct peer_channel *channel = &p->channels[number];

	*ret_fault = "a second program on one channel, or more channels than allowed";
	if (channel->state != CHANNEL_FREE ||
	    (takes_place(kind) ? p->n_channels >= p->decision.profile->channels
			       : p->n_listeners >= IPC_LISTENERS_MAX))
		return false;
	channel->kind = kind;
	return true;
}

void
session_request(struct peer *p, uint32_t number, const struct wire_reader *request)
{
	struct peer_channel *channel = &p->channels[number];
	char text[CEILING_TEXT_MAX];
	const char *why;

	channel->state = CHANNEL_WAITING;
	p->n_channels += takes_place(channel->kind);
	p->n_listeners += !takes_place(channel->kind);
	channel->container = container_for_channel(p, ON_REQUEST, text);
	if (channel->container == NULL || keep_request(channel, request) < 0) {
		session_refuse(p, number, IPC_START_FAILED, text);
		return;
	}
	why = container_down_text(channel->container);
	if (why != NULL)
		session_refuse(p, number, IPC_START_FAILED, why);
	else if (container_is_up(channel->container))
		run_waiting(p, number);
}

const char session_audit_lost[] =
    "The audit log cannot be written, so nothing is started. Tell the administrator.";

int
answer_start(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	static struct policy_words words;
	struct wire_reader raw = *body;
	struct policy_request request;
	struct ipc_req_start m;
	const char *why;

	if (ipc_get_req_start(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	*ret_fault = "a display that there is not";
	if (m.want_display && forward_display(p, m.display.listener) == NULL)
		return ANSWER_E_PEER_FAULT;
	if (!session_claim(p, m.channel, CHANNEL_PROGRAM, ret_fault))
		return ANSWER_E_PEER_FAULT;
	why = refuse_by_policy(p, &m, &words);
	request = request_of(&m);
	shadow_judge_request(p, m.channel, kind_name(m.kind), &request, why == NULL);
	p->broker->counters.requests_refused += why != NULL;
	if (why != NULL) {
		log_info("connection=%s user=%s channel=%u refused: %s", p->id, p->user, m.channel,
		    why);
		(void)audit_request(p, &m, "refused", why);
		session_reply(p, m.channel, IPC_START_REFUSED, why);
	} else if (!audit_request(p, &m, "allowed", NULL)) {
		session_reply(p, m.channel, IPC_START_FAILED, session_audit_lost);
	} else {
		session_request(p, m.channel, &raw);
	}
	return 0;
}

static void
end_channel(struct peer *p, const struct ipc_req_close *m)
{
	struct audit_subject who = peer_audit_subject(p);

	if (p->channels[m->channel].state == CHANNEL_RUNNING)
		audit_note(p->broker->audit, "channel.closed", &who,
		    AUDIT_NUMBER("channel", m->channel), AUDIT_NUMBER("bytes_in", m->bytes_in),
		    AUDIT_NUMBER("bytes_out", m->bytes_out));
	free_channel(p, &p->channels[m->channel]);
}

int
answer_close(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct ipc_req_close m;

	if (ipc_get_req_close(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	*ret_fault = "a channel that has no program is closed";
	if (p->channels[m.channel].state == CHANNEL_FREE)
		return ANSWER_E_PEER_FAULT;
	/* Every request gets its one answer, also one that nobody waits for any more: the worker keeps
	 * the number until then. */
	if (p->channels[m.channel].state == CHANNEL_WAITING)
		session_refuse(p, m.channel, IPC_START_FAILED, "");
	else
		end_channel(p, &m);
	return 0;
}
