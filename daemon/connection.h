/* SPDX-License-Identifier: Apache-2.0 */
/* One SSH connection, from the client's descriptor to the exit code of this process. */
#ifndef SP_CONNECTION_H
#define SP_CONNECTION_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <stdbool.h>
#include <stdint.h>

#include "activity.h"
#include "ask.h"
#include "channel.h"
#include "ipc.h"
#include "worker_exit.h"

#define CONNECTION_ENV_PATTERNS IPC_ENV_MAX

/* Messages that wait for a listener: all that may be asked for, and what comes with a session or two. */
#define CONNECTION_HELD_MAX (IPC_LISTENERS_MAX + 32)

/* Those of channels; those that channels have let go of, which are flushed or, in this turn, freed. */
#define CONNECTION_STREAMS (3 * IPC_CHANNEL_MAX)

/* What the login may ask for, as the broker said when it accepted it. */
struct grants {
	bool pty;
	bool shell;
	bool exec;
	bool agent;
	bool x11;
	uint32_t max_channels;
	uint32_t n_env;
	char env[CONNECTION_ENV_PATTERNS][IPC_ENV_NAME_MAX + 1];
	uint32_t n_subsystems;
	char subsystems[IPC_SUBSYSTEMS_MAX][IPC_SUBSYSTEM_MAX + 1];
	char greeting[IPC_TEXT_MAX + 1];
};

struct connection {
	struct ask ask;
	ssh_bind bind;
	ssh_session session;
	ssh_event event;
	int fd; /* the client; owned by the session once it has begun */
	char *banner;
	uint32_t login_tries;
	uint32_t keepalive_seconds;
	uint32_t keepalive_count;
	bool openssh_client; /* sends eow@openssh.com as an unknown request */

	unsigned exchanges; /* of keys, that were signed for */
	unsigned open_exchange; /* of those the one, from 1 on, for which libssh queues what it is given; 0: none */
	struct ssh_counter_struct socket; /* bytes as they travel */
	struct ssh_counter_struct inside; /* packets, and bytes before encryption */
	uint64_t data_packets;            /* channel data, which makes no message */
	uint64_t seen_packets;
	uint64_t served_packets; /* received before the channels were served the last time */
	uint64_t quiet_packets;  /* received when everything had last been sent */
	uint64_t probed_packets; /* received when it was last looked whether answers leave */
	uint64_t taken_bytes;    /* by the client's end when it was heard the last time */
	int64_t last_heard;      /* ms */
	int64_t next_keepalive;
	int64_t next_limit;   /* when limit_cpu() has something to do again */
	unsigned keepalives;  /* unanswered */
	bool typed;           /* a program has got a few bytes, and no wait was begun since */
	bool answers_at_once; /* the last such ones were answered in less than ANSWER_US */
	int64_t exchanging_since; /* ms: libssh has not taken output since, for a key exchange; 0: it does */

	bool banner_sent;
	bool asked_service;
	bool asked_methods; /* made a first request */
	bool logged_in;
	char user[IPC_USER_MAX + 1];
	unsigned offers; /* of keys that would do */
	uint64_t logins; /* requests, of which libssh has told */
	unsigned failures;
	struct grants grants;

	struct activity activity;
	struct channel channels[IPC_CHANNEL_MAX];
	unsigned n_channels; /* one more than the highest slot in use; memory behind it has not been touched, mostly */
	/* The listener of a tcpip-forward, an x11-req or for the agent that is not answered yet, one at a time. What is
	 * open goes on meanwhile; what has to wait for it is held. */
	struct channel *asking;
	bool agent_wanted; /* by the client, for programs that start later */
	bool agent_asked;
	ssh_message held[CONNECTION_HELD_MAX]; /* in the order in which they came */
	unsigned n_held;
	struct exec_stream *streams[CONNECTION_STREAMS];
	unsigned n_streams;
	unsigned first; /* channel that may send first next time: the one after the last that did */

	bool ending; /* flush, disconnect, exit */
	enum worker_exit exit_code;
	char goodbye[IPC_TEXT_MAX + 1]; /* text of the disconnect message, or "" */
};

/* connection_prepare.c: import host keys and set algorithms, before the lock-down. false with why[cap]. */
bool connection_prepare(struct connection *c, const struct ipc_hello *hello, char *why, size_t cap);

/* Serve the client at fd until the connection is over. */
enum worker_exit connection_serve(struct connection *c, int fd);

/* Begin the end: the first reason counts. */
void connection_end(struct connection *c, enum worker_exit code, const char *goodbye);

/*
 * Tell the broker, for the audit log, that this request of the client is refused here without a question.
 * detail: what it was about, cut to IPC_DETAIL_MAX bytes; "": nothing that is known.
 */
void connection_refused(struct connection *c, enum ipc_refused_kind kind, const char *detail);

/* libssh did not do what was asked of it: the client has left in the same moment, or there is no memory. */
void connection_cannot_go_on(struct connection *c);

/* Have what libssh has queued leave, as far as the kernel takes it. Whether all of it has left. */
bool connection_send(struct connection *c);

/*
 * libssh begins an exchange of keys by itself, by what has been sent, and from then on it takes all that it is given
 * into a queue that has no bound and tells of none, until the client has done its part. It is noticed by what it does
 * not send: written bytes of output were taken, and sent bytes of them, or more, have been counted.
 */
void connection_note_written(struct connection *c, uint64_t written, uint64_t sent);
/* Whether libssh queues what it is given: then it gets nothing more. */
bool connection_is_exchanging(struct connection *c);
/* Everything has been sent: answers leave as well, unless they are queued. */
void connection_note_quiet(struct connection *c);

/* Whether libssh took output that was held back; window: and the client had room for it. */
void connection_note_output(struct connection *c, bool taken, bool window);

/* connection_messages.c: what the client asks for. */

#define CONNECTION_MESSAGES_PER_TURN 256

/* Packets so far other than data: most of them want a reply. */
uint64_t connection_other_packets(const struct connection *c);

/*
 * Whether messages may be acted on. libssh queues replies without bound: a client that asks and asks and reads nothing
 * has nothing done, until something of what it was told has left.
 */
bool connection_may_act(const struct connection *c);

/*
 * Whether libssh may be called where it reads on when it has nothing: if so, and if there is room for what may have to
 * wait for a listener.
 */
bool connection_may_read(const struct connection *c);

/* Whether some message may not have been acted on. */
bool connection_has_messages(const struct connection *c);

/* Act on the messages that libssh has queued; not from inside of a message's own handling. Whether none is
 * left. */
bool connection_take_messages(struct connection *c);

/* Whether it left some for its next turn, of which no new packet will tell. */
bool connection_left_messages(const struct connection *c);

/* There may be some, although no packet came since the last look. */
void connection_look_again(struct connection *c);

/* The request of asking is answered: what is held has its turn. */
void connection_asked(struct connection *c);

/* Whether something that the client has asked of this channel is held. */
bool connection_holds(const struct connection *c, const struct channel *ch);

/* Free what is held, unanswered: the connection is over. */
void connection_drop_held(struct connection *c);

/* One more stream to be served. It is freed here when its channel has let go of it and it is over. */
void connection_add_stream(struct connection *c, struct exec_stream *s);
/* Whether one more that its channel lets go of may be flushed: a client must not fill our memory with them. */
bool connection_may_flush(const struct connection *c);

/* A slot for one channel more of this kind, with its number; NULL: the login has no more. */
struct channel *connection_free_channel(struct connection *c, enum channel_kind kind);

/* login.c: one SSH_REQUEST_AUTH or SSH_REQUEST_SERVICE message. */
void login_service(struct connection *c, ssh_message m);
void login_request(struct connection *c, ssh_message m);

#endif
