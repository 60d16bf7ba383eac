/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker as the broker sees it, from its start to its end: the pair, the log pipe, the process,
 * the client's connection, the login, the channels. The pair is the identity: whatever arrives on
 * it concerns this connection and no other, so that no message carries an id of any of these.
 *
 * Everything that a worker says is hostile. A violation ends this peer and nothing else.
 */
#ifndef SP_PEER_H
#define SP_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "activity.h"
#include "admission.h"
#include "broker.h"
#include "data_path.h"
#include "ipc_msg.h"
#include "log_budget.h"
#include "policy.h"
#include "public_key.h"
#include "shadow.h"
#include "transcript.h"
#include "wire.h"

struct audit_subject;
struct ceiling_hold;
struct container;
struct event;

/* One bit each, so that the dispatch table can name sets of them. common/PROTOCOL.md draws it. */
enum peer_state {
	PEER_STARTING = 1,   /* asked for; not locked down yet */
	PEER_IDLE = 2,       /* locked down, waiting for a client */
	PEER_EXCHANGE = 4,   /* has a client; the first key exchange is not signed yet */
	PEER_LOGIN = 8,      /* session id known; nobody is logged in */
	PEER_LOGGED_IN = 16, /* a user's signature was verified */
	PEER_ENDED = 32,     /* pair closed; waiting for the process to be reaped */
};

/* What comes next for a login that may not last for ever. */
enum peer_time {
	PEER_TIME_WARN,
	PEER_TIME_END,
	PEER_TIME_OVER, /* it has been told */
};

/* Of session_time.c. */
enum peer_clock_kind {
	PEER_CLOCK_LONGEST, /* since the login */
	PEER_CLOCK_IDLE,    /* since the last data */
	PEER_CLOCKS,
};

struct peer_clock {
	struct peer *peer;
	struct event *timer; /* NULL: it does not run */
	enum peer_time stage;
};

enum peer_channel_state {
	CHANNEL_FREE,
	CHANNEL_WAITING, /* asked for; its container is not up yet */
	CHANNEL_RUNNING,
};

enum peer_channel_kind {
	CHANNEL_PROGRAM,
	CHANNEL_FORWARD,  /* a connection into the container */
	CHANNEL_LISTENER, /* no channel of the client's: it has a number, and is not counted */
	CHANNEL_ACCEPTED, /* a connection out of it, by a listener */
};

struct peer_channel {
	enum peer_channel_state state;
	enum peer_channel_kind kind;
	enum ipc_listen_kind listens; /* CHANNEL_LISTENER that was taken: for what; else 0 */
	uint64_t directory; /* of what it has in the container: the random part of its name */
	uint8_t *request;   /* CHANNEL_WAITING: the record of the request, without its id */
	size_t request_len;
	struct data_path_waiter waiter; /* CHANNEL_WAITING: its order may be on its way */
	struct peer *peer;              /* of the waiter */
	struct container *container; /* the peer's own one in mode "session", else the shared one */
	bool again;                  /* which is the second one that it has */
};

/* Whose connection it is. Behind a balancer: as the balancer says. */
struct peer_client {
	struct sockaddr_storage source;
	struct sockaddr_storage local; /* the address that the client connected to */
	struct sockaddr_storage via;   /* the balancer; AF_UNSPEC: none */
};

struct peer {
	TAILQ_ENTRY(peer) link;
	struct broker *broker;
	enum peer_state state;
	uint32_t token; /* names the worker towards the spawner */
	char id[9];     /* names the connection in logs and towards the administrator */
	uint8_t nonce[IPC_NONCE_LEN];

	pid_t pid; /* 0 until the spawner has reported it */
	int pidfd;
	int place_fd; /* until pidfd is there, see peer_lend_place() */
	int ipc_fd;
	int log_fd;
	int client_fd; /* a connection that waits for the worker to be ready */
	struct event *ipc_event;
	struct event *log_event;
	struct event *deadline; /* start, key exchange, login grace, or end of the process */
	struct event *answer;   /* a refusal that is held back, see answer_login.c */
	struct event *rest;     /* until it is listened to again: it said too much */
	int record_credit;      /* records that may come at once; below 0 after what cost more */
	int64_t record_ms;      /* when the credit was counted last */
	struct write_budget *budget; /* of its user and key, for what we write because of it; NULL before its login */
	bool proven; /* it has said that it is locked down */
	bool exited;
	bool owed_priority; /* it is to be raised, and the spawner could not be asked yet */

	int64_t connected_at; /* ms of clock_now_ms(); 0: no client yet */
	struct peer_client client;
	char source_text[64]; /* "address,port", for logs */
	struct admission_ticket *ticket;
	struct admission_facts facts; /* how it ends */
	uint32_t used;                /* ids of once-only messages that were used: bit id */

	struct transcript_state transcript;
	unsigned attempts; /* queries and logins; those refused are in facts */
	unsigned signatures;
	struct policy_grant *grant;      /* keeps the generation of this login */
	unsigned generation;             /* its number */
	struct policy_decision decision; /* its profile is the grant's */
	struct shadow_login shadow;      /* what the shadow policy would have given */
	char user[IPC_USER_MAX + 1];
	const char *target; /* what the name asked for behind "+", in the same array; or NULL */
	char fingerprint[PUBLIC_KEY_FINGERPRINT_LEN + 1]; /* of the key of its login */
	char refusal[IPC_TEXT_MAX + 1]; /* the sentence of a refusal that is held back */

	int64_t logged_in_at; /* ms of clock_now_ms() */
	struct peer_clock clocks[PEER_CLOCKS];
	struct ceiling_hold *place; /* of this login among those that the ceilings allow */
	struct activity activity;   /* by the worker's own word */
	struct container *container; /* mode "connection": shared; mode "session": the next channel's */
	bool container_used; /* something has begun in it: another one would not be the same */
	struct peer_channel channels[IPC_CHANNEL_MAX];
	unsigned n_channels;  /* that are not free, without listeners */
	unsigned n_listeners; /* the others: IPC_LISTENERS_MAX at most */
	unsigned refused;     /* IPC_REFUSED so far */
	unsigned strangers;   /* logins refused so far of who has proven nothing */

	const char *dismissal; /* why it has been told to go, static text; NULL: it was not */
	struct log_budget log_budget; /* of the worker's own lines */
};

/*
 * A worker that the pool asked for: makes pair and pipe, sends HELLO, and starts to listen.
 * ret_worker_ipc and ret_worker_log are the worker's ends, for the spawner; owned by the caller.
 * 0 or -errno.
 */
SP_MUST_CHECK int peer_new(struct broker *b, uint32_t token, struct peer **ret, int *ret_worker_ipc,
    int *ret_worker_log);

/* Give it this client (takes *client_fd) now or as soon as it is ready. */
void peer_serve(struct peer *p, int *client_fd, const struct peer_client *client);

/* "address port" of one end, as in SSH_CLIENT. Returns out. */
char *peer_address_text(const struct sockaddr_storage *address, char *out, size_t cap);
/* The same as "address,port", for logs. */
char *peer_log_address(const struct sockaddr_storage *address, char *out, size_t cap);

/* The session id is known: from now on the login grace time counts alone. */
void peer_exchanged(struct peer *p);
/* A verified signature, and policy agrees. */
void peer_logged_in(struct peer *p);

/*
 * Until the process is reported, a placeholder keeps a descriptor's number free for its pidfd: lend it
 * (false: it has none), and keep it again.
 */
bool peer_lend_place(struct peer *p);
void peer_keep_place(struct peer *p);

/* The process exists (takes *pidfd), or has ended with this wait status. */
void peer_started(struct peer *p, pid_t pid, int *pidfd);
void peer_exited(struct peer *p, int status);
/* The process could not be started. */
void peer_not_started(struct peer *p, int error);

/*
 * Send one message with n_fds descriptors (loans). A worker that does not read its pair is ended:
 * there is no queue behind the socket's own. false when the peer was ended.
 */
bool peer_send(struct peer *p, const struct wire_writer *w, const int *fds, unsigned n_fds);

/* Show text on the sessions of this peer; end: and disconnect. */
void peer_notice(struct peer *p, enum ipc_notice_kind kind, const char *text);

/* Whom the audit log names for this peer; what it points to is the peer's. */
struct audit_subject peer_audit_subject(const struct peer *p);

const char *peer_state_name(enum peer_state state);

/* Change the state: checks the edge and logs it. */
void peer_enter(struct peer *p, enum peer_state next);

/* End: close everything, let go of containers, and see to it that the process goes. reason: log. */
void peer_end(struct peer *p, const char *reason);
/*
 * End for a reason that its user is told: text is shown on its sessions, and a worker that does not
 * leave by itself then is ended.
 */
void peer_dismiss(struct peer *p, const char *text, const char *reason);
/* End because it broke the protocol: killed at once, and said so in the log. */
void peer_violation(struct peer *p, const char *what);
/* End to make room for another connection: killed at once. */
void peer_evict(struct peer *p);

#endif
