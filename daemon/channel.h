/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One channel: what the client asks on it, the program or the connection behind it, and the bytes
 * between the two. Both sides are hostile: the client may ignore its window or never read; the guest may lie on
 * ctl, send any descriptor, flood or fall silent. Memory stays bounded against both, and neither
 * harms another channel of this connection more than by taking its turn.
 */
#ifndef SP_CHANNEL_H
#define SP_CHANNEL_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ask.h"
#include "attr.h"
#include "ipc.h"
#include "tty_modes.h"

struct connection;
struct exec_stream;

/* The most bytes of one stream that are taken from a program at once: with what goes around their four packets no
 * more than 128 KiB, so that libssh's queue, whose size is a power of two, need not be larger. */
#define CHANNEL_CHUNK (131072 - 512)
/* libssh 0.10 announces 1.3 MB, later ones 2 MiB; 0.10 does not enforce it: beyond this, and a packet, the
 * client ignores its window. */
#define CHANNEL_INPUT_MAX (2 * 1024 * 1024 + 65536)
/* More than a packet of a client that keeps to what libssh announces: 35000 bytes, and what goes around them. */
#define CHANNEL_PACKET 36864
/* A key, or a little more: whoever sends no more at once waits for an answer. */
#define CHANNEL_TYPED_MAX 256
#define CHANNEL_FDS       4

enum channel_state {
	CHANNEL_UNUSED,
	CHANNEL_OPEN,     /* no program yet */
	CHANNEL_STARTING, /* asked for; the broker or the guest have not answered */
	CHANNEL_RUNNING,
	CHANNEL_ENDED, /* exit status is sent, or there is none; output is drained */
};

enum channel_kind {
	CHANNEL_PROGRAM,
	CHANNEL_DIRECT,   /* direct-tcpip: in and out are one connection, as of the next one */
	CHANNEL_ACCEPTED, /* forwarded-tcpip, auth-agent@openssh.com or x11: opened by us */
	CHANNEL_LISTENER, /* no channel of the client's: what is accepted on it becomes one */
};

/* Bytes that have been read and could not be written yet. */
struct held {
	uint8_t *data;
	size_t len;
	size_t done;
};

struct channel_env {
	char *name;
	char *value;
};

struct channel {
	struct connection *connection;
	enum channel_state state;
	uint32_t number;
	ssh_channel ssh;
	struct ssh_channel_callbacks_struct callbacks;

	bool unanswered; /* asked for, without its answer: the number stays taken */
	bool known;      /* the broker runs something under this number */
	bool closed;     /* by the client */
	bool close_sent;

	enum channel_kind kind;
	/* The client's open, tcpip-forward or x11-req that waits for its answer; ssh is NULL. */
	ssh_message opening;
	enum ipc_listen_kind listens; /* a listener: for what; also of what it accepted */
	struct channel *shows; /* a listener for the client's X display: whose program does, and it ends with that */
	bool only_one; /* the same: one connection, and no other is taken */
	bool had_one;
	uint32_t port;              /* a listener's, also of what it accepted */
	char from[IPC_ADDRESS_MAX]; /* of what was accepted: who connected, as the guest says; "" for an agent */
	uint32_t from_port;
	int64_t answer_by; /* ms: the guest answers until then; 0: not asked yet */

	bool pty;
	struct ipc_pty size;
	uint8_t modes[TTY_MODES_MAX]; /* of the terminal that is asked for */
	size_t modes_len;
	bool x11;         /* a display was asked for, and there was one */
	uint32_t screen;  /* of the client's X server */
	bool subsystem;   /* asked for as one: no signals of the client's */
	uint64_t signals; /* of the client that wait for the program to run: bit N is signal N */
	struct channel_env env[IPC_ENV_MAX];
	uint32_t n_env;
	size_t env_bytes;

	uint64_t bytes_in; /* of channel data, from the client */
	uint64_t bytes_out;
	char program[256]; /* what is run, for messages; of a listener, and what it accepted, the address that the client wrote */

	struct exec_stream *stream; /* data path "engine": carries what is behind ctl, in, out and err */
	int ctl;
	int in;  /* stdin; with a terminal's master -1: it is both */
	int out; /* stdout, or the pty master */
	int err;
	uint32_t left;      /* of what the client has sent, still libssh's */
	struct held input;  /* to the program */
	struct held output; /* to the client */
	struct held errors;
	bool no_more_input; /* the program does not read any more */
	bool input_closed;
	bool eof_sent;
	int64_t eof_at; /* the streams have ended: EOF is sent then, or once the exit is known; 0: not yet */
	bool end_known; /* in this turn, of a running program: to be heard when its output has been sent */
	uint64_t end_by; /* with no more than so many bytes_out, since it was known first; 0: it was not */
	bool exited;
	bool lost; /* the guest is gone without a word: the streams may be held open for ever */
	bool errors_first;   /* stdout and stderr take turns */
	int64_t drain_until; /* pty or lost: silence after which the streams are closed */
};

/* A client opened this channel; it takes the slot. */
void channel_open(struct channel *ch, struct connection *c, uint32_t number, ssh_channel ssh);

/* Begin with an unused slot. */
void channel_begin(struct channel *ch, struct connection *c, uint32_t number, enum channel_kind kind);
/* Hear what the client sends on ch->ssh. */
void channel_add_callbacks(struct channel *ch);
/* Whether in and out are one connection, and there is no program. */
bool channel_is_connection(const struct channel *ch);
void channel_close_streams(struct channel *ch);
/* Take the descriptors of an answer on the data path "engine". false: they cannot be used, and are left. */
SP_MUST_CHECK bool channel_take_stream(struct channel *ch, int fds[IPC_STREAM_FDS]);

/* One SSH_REQUEST_CHANNEL message. Whether it is kept, to be answered later; else the caller frees it. */
bool channel_request(struct channel *ch, ssh_message m);

/* The broker's answer to a start or a forward (takes the descriptors). */
void channel_answer(struct channel *ch, struct ask_event *e);

/* The words for an errno of the container's kernel. */
const char *channel_error_text(uint32_t error);

/* Show a sentence to the user. */
void channel_say(struct channel *ch, const char *text);

/* What to wait for, in pfds[CHANNEL_FDS]: ctl, input, out, err; -1 where nothing. may_send: the client
 * takes output now. */
void channel_want(const struct channel *ch, bool may_send, struct pollfd *pfds);

/* Act on what poll() found, but for a running program's output and end. */
void channel_serve(struct channel *ch, const struct pollfd *pfds);

/* Whether something that libssh has could go to the program now. */
bool channel_has_left(const struct channel *ch);

/* If so, it goes. Nothing is read from the client for it. */
void channel_give_left(struct channel *ch);

/* Move what can be moved from the program to the client: one chunk. Whether there was any. */
bool channel_send_output(struct channel *ch, const struct pollfd *pfds);

/* How a running program has ended, if that is known. To be called when its output of this turn has been sent. */
void channel_hear_end(struct channel *ch);

/* Whether it has something to do soon although no descriptor says so. */
bool channel_wants_time(const struct channel *ch);

/*
 * Whether both sides have closed it and the broker knows: it counts no more, though libssh still has to let go of
 * it. A client may open the next one in the same write.
 */
bool channel_is_gone(const struct channel *ch);

/* EOF, close and free, as far as they are due. */
void channel_settle(struct channel *ch);

/* Give everything up at once: the connection is over. */
void channel_drop(struct channel *ch);

#endif
