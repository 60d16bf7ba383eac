/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: one worker and its connection, from its start to its end. What it says is read in peer_input.c. */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answer.h"
#include "audit.h"
#include "ceilings.h"
#include "clock.h"
#include "config.h"
#include "dispatch.h"
#include "fd.h"
#include "hex.h"
#include "host_key.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "log.h"
#include "login_refused.h"
#include "peer_input.h"
#include "session_time.h"
#include "worker_exit.h"
#include "worker_pool.h"
#include "write_budget.h"

#define START_MS 15000 /* for the spawner to begin with it */
#define LOCK_DOWN_MS \
	45000 /* from then to a proven lock-down, with what the others leave of the processor */
#define EXIT_MS       3000 /* from the end of the pair to SIGKILL: time for a last word to the client */
#define DISMISS_MS    2000  /* from "disconnect now" to the end of a worker that does not */
#define UNREAD_LOGIN  24576 /* of the kernel's memory, for what is said once */
#define UNREAD_ANSWER 2304  /* the same for an answer with the longest text */

const char *
peer_state_name(enum peer_state state)
{
	switch (state) {
	case PEER_STARTING:
		return "starting";
	case PEER_IDLE:
		return "idle";
	case PEER_EXCHANGE:
		return "exchange";
	case PEER_LOGIN:
		return "login";
	case PEER_LOGGED_IN:
		return "logged-in";
	case PEER_ENDED:
		return "ended";
	}
	return "?";
}

/* The edges of the state machine, as drawn in common/PROTOCOL.md. */
static bool
edge_exists(enum peer_state from, enum peer_state to)
{
	if (to == PEER_ENDED)
		return from != PEER_ENDED;
	return (from == PEER_STARTING && to == PEER_IDLE) ||
	    (from == PEER_IDLE && to == PEER_EXCHANGE) ||
	    (from == PEER_EXCHANGE && to == PEER_LOGIN) ||
	    (from == PEER_LOGIN && to == PEER_LOGGED_IN);
}

void
peer_enter(struct peer *p, enum peer_state next)
{
	if (!edge_exists(p->state, next)) {
		/* The program is wrong, not the peer: going on would be guessing. */
		log_error("connection=%s bug: no edge from %s to %s", p->id,
		    peer_state_name(p->state), peer_state_name(next));
		abort();
	}
	log_debug("connection=%s state=%s was=%s", p->id, peer_state_name(next),
	    peer_state_name(p->state));
	p->state = next;
}

/* 0: none. False: no memory for it, and what needs one must not go on without. */
static bool
set_deadline(struct peer *p, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	if (ms <= 0)
		return event_del(p->deadline) == 0;
	if (event_add(p->deadline, &tv) == 0)
		return true;
	log_error("connection=%s cannot arm a deadline: out of memory", p->id);
	return false;
}

static void
kill_process(struct peer *p)
{
	p->facts.killed = true;
	if (p->pidfd >= 0 && !p->exited)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
}

static void
free_event(struct event **e)
{
	if (*e != NULL)
		event_free(*e);
	*e = NULL;
}

static void
free_peer(struct peer *p)
{
	bool was_ready = p->proven;

	free_event(&p->ipc_event);
	free_event(&p->log_event);
	free_event(&p->deadline);
	free_event(&p->answer);
	session_time_end(p);
	free_event(&p->rest);
	fd_close(&p->ipc_fd);
	fd_close(&p->log_fd);
	fd_close(&p->client_fd);
	fd_close(&p->place_fd);
	fd_close(&p->pidfd);
	p->grant = policy_grant_unref(p->grant);
	shadow_forget(&p->shadow);
	write_budget_give(p->broker->write_budgets, p->budget, clock_now_ms());
	worker_pool_peer_gone(p->broker->workers, p, was_ready);
	free(p);
}

/*
 * Let go of everything the connection holds. The process may still be saying goodbye to its client;
 * it can ask for nothing any more.
 */
static void
close_pair(struct peer *p, bool kill_now)
{
	peer_enter(p, PEER_ENDED);
	free_event(&p->ipc_event);
	free_event(&p->answer);
	session_time_end(p);
	fd_close(&p->ipc_fd);
	fd_close(&p->client_fd);
	session_end(p);
	ceilings_give(&p->place);
	if (!set_deadline(p, EXIT_MS) || kill_now)
		kill_process(p);
}

struct audit_subject
peer_audit_subject(const struct peer *p)
{
	return (struct audit_subject){
		.connection = p->id,
		.from = p->source_text[0] != '\0' ? p->source_text : NULL,
		.user = p->user[0] != '\0' ? p->user : NULL,
	};
}

/* The end of a connection that has begun; a worker of the pool without a client is nobody's. */
static void
audit_end(struct peer *p, const char *event, const char *reason)
{
	struct audit_subject who = peer_audit_subject(p);
	int64_t ms = clock_now_ms() - p->connected_at;

	refusals_end(p);
	login_refused_end(p);
	if (p->facts.logged_in)
		audit_note(p->broker->audit, event, &who, AUDIT_TEXT("reason", reason),
		    AUDIT_NUMBER("milliseconds", ms), AUDIT_NUMBER("bytes_in", p->activity.in),
		    AUDIT_NUMBER("bytes_out", p->activity.out));
	else if (p->connected_at != 0 && worker_pool_may_audit(p->broker->workers))
		audit_note(p->broker->audit, event, &who, AUDIT_TEXT("reason", reason),
		    AUDIT_NUMBER("milliseconds", ms));
}

void
peer_end(struct peer *p, const char *reason)
{
	if (p->state == PEER_ENDED)
		return;
	audit_end(p, "disconnect", reason);
	if (p->source_text[0] == '\0')
		log_debug("connection=%s worker ended: %s", p->id, reason);
	else if (p->facts.logged_in || worker_pool_may_log(p->broker->workers))
		log_info("connection=%s from=%s user=%s ended: %s", p->id, p->source_text,
		    p->user[0] != '\0' ? p->user : "-", reason);
	close_pair(p, false);
}

void
peer_dismiss(struct peer *p, const char *text, const char *reason)
{
	if (p->state != PEER_LOGGED_IN) {
		peer_end(p, reason);
		return;
	}
	/* From the first time it is told: who is told again and again does not stay for it. */
	if (p->dismissal == NULL && !set_deadline(p, DISMISS_MS)) {
		peer_end(p, reason);
		return;
	}
	p->dismissal = reason;
	peer_notice(p, IPC_NOTICE_END, text);
}

void
peer_evict(struct peer *p)
{
	peer_end(p, "to make room: it had not finished its key exchange");
	kill_process(p);
}

void
peer_violation(struct peer *p, const char *what)
{
	if (p->state == PEER_ENDED)
		return;
	log_warn("connection=%s from=%s user=%s violation: the worker broke the protocol (%s) and was "
		 "killed",
	    p->id, p->source_text[0] != '\0' ? p->source_text : "-",
	    p->user[0] != '\0' ? p->user : "-", what);
	if (!p->proven)
		worker_pool_not_ready(p->broker->workers, what);
	audit_end(p, "violation", what);
	p->facts.violation = true;
	p->broker->counters.violations++;
	close_pair(p, true);
}

bool
peer_send(struct peer *p, const struct wire_writer *w, const int *fds, unsigned n_fds)
{
	int r;

	if (p->state == PEER_ENDED)
		return false;
	if (w->failed) {
		peer_end(p, "an answer did not fit into a record");
		return false;
	}
	r = ipc_chan_send(p->ipc_fd, w->data, w->len, fds, n_fds, MSG_DONTWAIT);
	if (r == 0)
		return true;
	if (r == IPC_CHAN_E_AGAIN)
		peer_violation(p, "it does not read its answers");
	else if (r == IPC_CHAN_E_END)
		peer_end(p, "worker closed its pair");
	else
		peer_end(p,
		    r == -ETOOMANYREFS
			? "too many descriptors are on their way: the broker's RLIMIT_NOFILE is too low"
			: strerror(-r));
	return false;
}

void
peer_notice(struct peer *p, enum ipc_notice_kind kind, const char *text)
{
	uint8_t buf[IPC_TEXT_MAX + 64];
	struct wire_writer w;
	struct ipc_notice m = { .kind = kind, .text = { (const uint8_t *)text, strlen(text) } };

	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_notice(&w, &m);
	(void)peer_send(p, &w, NULL, 0);
}

/* Whether login.idle is what counts, and not login.grace. */
static bool
waits_for_exchange(const struct peer *p)
{
	const struct config_login *login = &p->broker->config->login;

	return p->state == PEER_EXCHANGE && login->idle_ms < login->grace_ms;
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	switch (p->state) {
	case PEER_STARTING:
		worker_pool_not_ready(p->broker->workers, "it was not locked down in time");
		peer_end(p, "its worker was not locked down in time");
		kill_process(p);
		break;
	case PEER_EXCHANGE:
	case PEER_LOGIN:
		p->facts.overdue = true;
		peer_end(p,
		    waits_for_exchange(p) ? "no key exchange within login.idle"
					  : "login grace time is over");
		kill_process(p);
		break;
	case PEER_ENDED:
		kill_process(p);
		if (p->pid == 0)
			(void)set_deadline(p, EXIT_MS); /* the spawner still owes its report */
		break;
	case PEER_LOGGED_IN:
		peer_end(p, p->dismissal);
		break;
	case PEER_IDLE:
		break;
	}
}

static int
send_hello(struct peer *p)
{
	const struct config *c = p->broker->config;
	static uint8_t buf[IPC_RECORD_MAX];
	struct ipc_hello m = {
		.version = IPC_VERSION,
		.login_tries = c->login.tries,
		.keepalive_seconds = c->login.keepalive_ms / 1000,
		.keepalive_count = c->login.keepalive_count,
		.older_clients = c->login.older_clients,
		.banner = { (const uint8_t *)c->login.banner, strlen(c->login.banner) },
	};
	struct wire_writer w;
	size_t n = host_key_set_count(p->broker->host_keys);

	memcpy(m.nonce, p->nonce, sizeof(m.nonce));
	for (size_t i = 0; i < n && i < IPC_HOST_KEYS_MAX; i++)
		m.host_keys[m.n_host_keys++] = host_key_set_blob(p->broker->host_keys, i);
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_hello(&w, &m);
	if (w.failed)
		return -EMSGSIZE;
	return ipc_chan_send(p->ipc_fd, w.data, w.len, NULL, 0, MSG_DONTWAIT) == 0 ? 0 : -EIO;
}

static int
make_names(struct peer *p)
{
	uint8_t id[4];

	if (RAND_bytes(p->nonce, sizeof(p->nonce)) != 1 || RAND_bytes(id, sizeof(id)) != 1)
		return -EIO;
	hex_format(id, sizeof(id), p->id);
	return 0;
}

static int
begin_deadline(struct peer *p)
{
	p->deadline = evtimer_new(p->broker->base, on_deadline, p);
	return p->deadline != NULL && set_deadline(p, START_MS) ? 0 : -ENOMEM;
}

static bool
keep_place(struct peer *p)
{
	if (p->place_fd < 0)
		p->place_fd = fcntl(p->log_fd, F_DUPFD_CLOEXEC, 0);
	return p->place_fd >= 0;
}

bool
peer_lend_place(struct peer *p)
{
	bool has_one = p->place_fd >= 0;

	fd_close(&p->place_fd);
	return has_one;
}

void
peer_keep_place(struct peer *p)
{
	if (p->pid == 0 && !keep_place(p))
		log_error("connection=%s cannot keep a descriptor for its worker", p->id);
}

static void
discard(struct peer *p)
{
	free_event(&p->ipc_event);
	free_event(&p->log_event);
	free_event(&p->deadline);
	free_event(&p->rest);
	fd_close(&p->place_fd);
	fd_close(&p->ipc_fd);
	fd_close(&p->log_fd);
	free(p);
}

int
peer_new(struct broker *b, uint32_t token, struct peer **ret, int *ret_worker_ipc, int *ret_worker_log)
{
	struct peer *p = calloc(1, sizeof(*p));
	int pair[2] = { -1, -1 };
	int log[2] = { -1, -1 };
	int r = 0;

	if (p == NULL)
		return -ENOMEM;
	p->broker = b;
	p->state = PEER_STARTING;
	p->token = token;
	p->pidfd = p->place_fd = p->ipc_fd = p->log_fd = p->client_fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    pipe2(log, O_CLOEXEC) < 0)
		r = -errno;
	p->ipc_fd = pair[0];
	p->log_fd = log[0];
	if (r == 0 && !keep_place(p))
		r = -EMFILE;
	if (r == 0)
		r = fd_set_nonblock(p->log_fd);
	if (r == 0)
		r = make_names(p);
	if (r == 0)
		r = peer_input_begin(p);
	if (r == 0)
		r = begin_deadline(p);
	if (r == 0)
		r = send_hello(p);
	if (r < 0) {
		fd_close(&pair[1]);
		fd_close(&log[1]);
		discard(p);
		return r;
	}
	*ret = p;
	*ret_worker_ipc = pair[1];
	*ret_worker_log = log[1];
	return 0;
}

char *
peer_address_text(const struct sockaddr_storage *address, char *out, size_t cap)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	char text[INET6_ADDRSTRLEN] = "UNKNOWN";
	unsigned port = 65535; /* what sshd says when it does not know */

	if (address->ss_family == AF_INET) {
		(void)inet_ntop(AF_INET, &in4->sin_addr, text, sizeof(text));
		port = ntohs(in4->sin_port);
	} else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		(void)inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof(text));
		port = ntohs(in6->sin6_port);
	} else if (address->ss_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		port = ntohs(in6->sin6_port);
	}
	(void)snprintf(out, cap, "%s %u", text, port);
	return out;
}

char *
peer_log_address(const struct sockaddr_storage *address, char *out, size_t cap)
{
	(void)peer_address_text(address, out, cap);
	for (char *c = out; *c != '\0'; c++) {
		if (*c == ' ')
			*c = ',';
	}
	return out;
}

static void
announce(struct peer *p)
{
	struct audit_subject who = peer_audit_subject(p);
	bool behind = p->client.via.ss_family != AF_UNSPEC;
	char local[64];
	char via[64];

	(void)peer_log_address(&p->client.local, local, sizeof(local));
	(void)peer_log_address(&p->client.via, via, sizeof(via));
	if (worker_pool_may_audit(p->broker->workers))
		audit_note(p->broker->audit, "connect", &who, AUDIT_TEXT("to", local),
		    AUDIT_TEXT("via", behind ? via : NULL));
	if (worker_pool_may_log(p->broker->workers))
		log_info("connection=%s from=%s%s%s accepted", p->id, p->source_text,
		    behind ? " via=" : "", behind ? via : "");
}

/*
 * Hand the connection over: from here on the broker does not hold it any more. It sees no byte of it
 * either; that the client does nothing shows in the key exchange that does not come to its end.
 */
static void
hand_over(struct peer *p)
{
	const struct config_login *login = &p->broker->config->login;
	int64_t now = clock_now_ms();
	uint8_t buf[16];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_connection(&w);
	peer_enter(p, PEER_EXCHANGE);
	p->facts.served = true;
	p->connected_at = now;
	announce(p);
	admission_served(p->ticket, now);
	if (!set_deadline(p, waits_for_exchange(p) ? login->idle_ms : login->grace_ms))
		peer_end(p, "out of memory");
	if (peer_send(p, &w, &p->client_fd, 1))
		fd_close(&p->client_fd);
}

void
peer_serve(struct peer *p, int *client_fd, const struct peer_client *client)
{
	p->client_fd = fd_steal(client_fd);
	p->client = *client;
	(void)peer_log_address(&p->client.source, p->source_text, sizeof(p->source_text));
	if (p->state == PEER_IDLE)
		hand_over(p);
}

void
peer_exchanged(struct peer *p)
{
	int64_t left = p->connected_at + p->broker->config->login.grace_ms - clock_now_ms();

	peer_enter(p, PEER_LOGIN);
	admission_exchanged(p->ticket);
	if (!set_deadline(p, left > 0 ? left : 1))
		peer_end(p, "out of memory");
}

/*
 * Answers carry descriptors, which lie in the pair until they are read, and the kernel counts those that are on
 * their way for all of this user's processes together (RLIMIT_NOFILE in getrlimit(2)): who reads none would use up
 * everybody's. An honest worker has at most one answer for each of its channels to read, one for a listener, as it asks for
 * one at a time, and a notice.
 */
static void
bound_unread(struct peer *p)
{
	int most = UNREAD_LOGIN + ((int)p->decision.profile->channels + 2) * UNREAD_ANSWER;

	most /= 2; /* the kernel doubles it */
	(void)setsockopt(p->ipc_fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
}

void
peer_logged_in(struct peer *p)
{
	peer_enter(p, PEER_LOGGED_IN);
	p->facts.logged_in = true;
	p->logged_in_at = p->activity.last_ms = clock_now_ms();
	worker_pool_peer_logged_in(p->broker->workers, p);
	p->budget =
	    write_budget_take(p->broker->write_budgets, p->user, p->fingerprint, p->logged_in_at);
	if (p->budget == NULL) {
		peer_end(p, "out of memory");
		return;
	}
	bound_unread(p);
	(void)set_deadline(p, 0);
}

/*
 * The worker says that it is locked down. It is believed here because no client has spoken to it
 * yet: up to the next message it runs nothing but our own code.
 */
int
answer_ready(struct peer *p, struct wire_reader *body, const char **ret_fault)
{
	struct ipc_ready m;

	if (ipc_get_ready(body, &m) != 0)
		return ANSWER_E_PEER_FAULT;
	if (m.version != IPC_VERSION) {
		*ret_fault = "sallyportd is of another release than sallyport-broker";
		return ANSWER_E_PEER_FAULT;
	}
	peer_enter(p, PEER_IDLE);
	p->proven = true;
	(void)set_deadline(p, 0);
	worker_pool_peer_ready(p->broker->workers, p);
	if (p->client_fd >= 0)
		hand_over(p);
	return 0;
}

void
peer_started(struct peer *p, pid_t pid, int *pidfd)
{
	p->pid = pid;
	fd_close(&p->place_fd);
	fd_close(&p->pidfd);
	p->pidfd = fd_steal(pidfd);
	log_debug("connection=%s worker pid=%d", p->id, (int)pid);
	if (p->state == PEER_STARTING && !set_deadline(p, LOCK_DOWN_MS))
		peer_end(p, "out of memory");
	if (p->state == PEER_ENDED)
		kill_process(p);
	else if (p->pidfd < 0)
		peer_end(p, "no descriptor is left for its process");
}

static void
log_exit(const struct peer *p, int status)
{
	if (WIFSIGNALED(status)) {
		bool ours = WTERMSIG(status) == SIGKILL && p->state == PEER_ENDED;

		if (!ours)
			log_warn("connection=%s from=%s worker pid=%d was killed by signal %d%s",
			    p->id, p->source_text[0] != '\0' ? p->source_text : "-", (int)p->pid,
			    WTERMSIG(status),
			    WTERMSIG(status) == SIGSYS ? " (forbidden system call)" : "");
	} else if (WEXITSTATUS(status) == WORKER_EXIT_ENDLESS) {
		log_warn("connection=%s from=%s worker pid=%d gave up: one step of its work took more "
			 "than %d s of processor time",
		    p->id, p->source_text[0] != '\0' ? p->source_text : "-", (int)p->pid,
		    WORKER_TURN_SECONDS);
	} else if (WEXITSTATUS(status) != 0) {
		log_debug("connection=%s worker pid=%d exit=%d", p->id, (int)p->pid,
		    WEXITSTATUS(status));
	}
}

void
peer_exited(struct peer *p, int status)
{
	p->exited = true;
	p->facts.status = status;
	log_exit(p, status);
	peer_input_finish(p);
	if (!p->proven && !p->facts.killed)
		worker_pool_exited_unready(p->broker->workers, status);
	free_peer(p);
}

void
peer_not_started(struct peer *p, int error)
{
	const char *why = error == EUSERS ? "every uid of worker.uids has a worker that lives"
					  : strerror(error);

	if (worker_pool_may_log(p->broker->workers))
		log_error("connection=%s cannot start a worker: %s", p->id, why);
	worker_pool_not_ready(p->broker->workers, why);
	p->exited = true;
	if (p->state != PEER_ENDED)
		peer_end(p, "no worker");
	free_peer(p);
}
