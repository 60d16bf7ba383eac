/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message between worker and broker as a struct, with its encoder and its decoder.
 *
 * Spans and strings that a decoder returns point into the record that it was given.
 * A decoder returns 0 or WIRE_E_MALFORMED and consumes every byte after the id. A decoded message is
 * well formed and within its bounds, and nothing more than that: whoever receives it still has to
 * judge what it says. An encoder writes the id and the body; overflow shows in w->failed.
 */
#ifndef SP_IPC_MSG_H
#define SP_IPC_MSG_H

#include "ipc.h"
#include "wire.h"

/* broker to worker, first message of all: what it needs before it locks itself down. */
struct ipc_hello {
	uint32_t version;
	uint8_t nonce[IPC_NONCE_LEN];
	uint32_t login_tries;       /* authentication attempts before disconnect, as MaxAuthTries */
	uint32_t keepalive_seconds; /* 0: none */
	uint32_t keepalive_count;   /* unanswered ones before disconnect */
	uint32_t rekey_mib;         /* 0: the library's default */
	bool older_clients;         /* also offer key exchanges that only they need */
	struct wire_span banner;    /* shown before login, may be empty; UTF-8 text */
	uint32_t n_host_keys;
	struct wire_span host_keys[IPC_HOST_KEYS_MAX]; /* public blobs, best first */
};
void ipc_put_hello(struct wire_writer *w, const struct ipc_hello *m);
SP_MUST_CHECK int ipc_get_hello(struct wire_reader *r, struct ipc_hello *ret);

/* worker to broker: locked down and verified. */
struct ipc_ready {
	uint32_t version;
};
void ipc_put_ready(struct wire_writer *w, const struct ipc_ready *m);
SP_MUST_CHECK int ipc_get_ready(struct wire_reader *r, struct ipc_ready *ret);

/* broker to worker: serve this client. Carries one descriptor, the connection. Empty body. */
void ipc_put_connection(struct wire_writer *w);
SP_MUST_CHECK int ipc_get_connection(struct wire_reader *r);

/* worker to broker: sign this key exchange with the host key of the algorithm. */
struct ipc_req_sign {
	char algorithm[IPC_ALGO_MAX + 1];
	struct wire_span transcript; /* V_C V_S I_C I_S K_S ... K: the whole hash input, RFC 4253 8 */
};
void ipc_put_req_sign(struct wire_writer *w, const struct ipc_req_sign *m);
SP_MUST_CHECK int ipc_get_req_sign(struct wire_reader *r, struct ipc_req_sign *ret);

struct ipc_ans_sign {
	struct wire_span signature; /* as OpenSSL's EVP_DigestSign() returns it: raw or DER */
};
void ipc_put_ans_sign(struct wire_writer *w, const struct ipc_ans_sign *m);
SP_MUST_CHECK int ipc_get_ans_sign(struct wire_reader *r, struct ipc_ans_sign *ret);

/* worker to broker: would this public key do for this user? An offer, never a login. */
struct ipc_req_query {
	struct wire_span user;
	struct wire_span blob;
};
void ipc_put_req_query(struct wire_writer *w, const struct ipc_req_query *m);
SP_MUST_CHECK int ipc_get_req_query(struct wire_reader *r, struct ipc_req_query *ret);

struct ipc_ans_query {
	bool acceptable;
};
void ipc_put_ans_query(struct wire_writer *w, const struct ipc_ans_query *m);
SP_MUST_CHECK int ipc_get_ans_query(struct wire_reader *r, struct ipc_ans_query *ret);

/* worker to broker: the client's signature for a public-key login. */
struct ipc_req_auth {
	struct wire_span user;
	char algorithm[IPC_ALGO_MAX + 1]; /* "public key algorithm name" of RFC 4252 section 7 */
	struct wire_span blob;
	struct wire_span signature; /* as libssh hands it to EVP_DigestVerify(): raw or DER */
	uint8_t sk_flags;           /* security keys only, else 0 */
	uint32_t sk_counter;
};
void ipc_put_req_auth(struct wire_writer *w, const struct ipc_req_auth *m);
SP_MUST_CHECK int ipc_get_req_auth(struct wire_reader *r, struct ipc_req_auth *ret);

/* broker to worker: the verdict, and what this login may ask for (early answers; the broker
 * decides again on each request). */
struct ipc_ans_auth {
	bool accepted;
	struct wire_span text; /* when not accepted: a rule's sentence for the user, or empty */
	/* the rest only when accepted */
	bool pty;
	bool shell;
	bool exec;
	bool agent; /* may be forwarded */
	bool x11;   /* the same */
	uint32_t max_channels;
	uint32_t n_env;
	struct wire_span env[IPC_ENV_MAX]; /* patterns of names with * and ? */
	uint32_t n_subsystems;
	struct wire_span subsystems[IPC_SUBSYSTEMS_MAX]; /* names */
	struct wire_span greeting; /* shown on each shell with a terminal, may be empty */
};
void ipc_put_ans_auth(struct wire_writer *w, const struct ipc_ans_auth *m);
SP_MUST_CHECK int ipc_get_ans_auth(struct wire_reader *r, struct ipc_ans_auth *ret);

/* worker to broker: start this channel's program. */
struct ipc_pty {
	char term[IPC_TERM_MAX + 1];
	uint32_t columns, rows, width_px, height_px;
};
struct ipc_display {
	uint32_t listener; /* its channel */
	uint32_t number;   /* by the container's word; IPC_X11_DISPLAYS from IPC_X11_FIRST on */
	uint32_t screen;   /* by the client's */
};
struct ipc_env {
	struct wire_span name, value;
};
struct ipc_req_start {
	uint32_t channel; /* below IPC_CHANNEL_MAX, free for reuse after IPC_REQ_CLOSE */
	enum ipc_start_kind kind;
	struct wire_span command; /* exec; subsystem: its name, not empty; shell: empty. No NUL */
	bool want_pty;
	struct ipc_pty pty;     /* when want_pty */
	struct wire_span modes; /* the same: of the terminal, a list as in tty_modes.h, may be empty */
	bool want_display;
	struct ipc_display display; /* when want_display */
	uint32_t n_env;
	struct ipc_env env[IPC_ENV_MAX]; /* names and values without NUL, names without '=' */
};
void ipc_put_req_start(struct wire_writer *w, const struct ipc_req_start *m);
SP_MUST_CHECK int ipc_get_req_start(struct wire_reader *r, struct ipc_req_start *ret);

/*
 * broker to worker. Descriptors, when the result is IPC_START_OK:
 *   with a pty     1: control pair (the guest sends the pty master over it)
 *   without a pty  4: control pair, stdin (write end), stdout and stderr (read ends)
 *   on the data path "engine", with a pty or without
 *                  9: as without a pty; the engine's stream; and the other ends of those four
 */
struct ipc_ans_start {
	uint32_t channel;
	enum ipc_start_result result;
	bool pty;
	struct wire_span text; /* a sentence for the user, may be empty; OK: the program's path */
};
void ipc_put_ans_start(struct wire_writer *w, const struct ipc_ans_start *m);
SP_MUST_CHECK int ipc_get_ans_start(struct wire_reader *r, struct ipc_ans_start *ret);

/* worker to broker: connect this channel to a port inside the container. */
struct ipc_req_forward {
	uint32_t channel;      /* as in IPC_REQ_START */
	struct wire_span host; /* as the client wrote it, not empty, no NUL */
	uint32_t port;         /* 1..65535 */
};
void ipc_put_req_forward(struct wire_writer *w, const struct ipc_req_forward *m);
SP_MUST_CHECK int ipc_get_req_forward(struct wire_reader *r, struct ipc_req_forward *ret);

/* broker to worker. One descriptor when the result is IPC_START_OK: the control pair, over which the
 * guest sends the connected socket. Or nine, on the data path "engine": as for a start. */
struct ipc_ans_forward {
	uint32_t channel;
	enum ipc_start_result result;
	struct wire_span text; /* why not, for the log */
};
void ipc_put_ans_forward(struct wire_writer *w, const struct ipc_ans_forward *m);
SP_MUST_CHECK int ipc_get_ans_forward(struct wire_reader *r, struct ipc_ans_forward *ret);

/*
 * worker to broker: listen in the container, for connections that go to the client. The listener has a
 * channel's number, as if it were one.
 */
enum ipc_listen_kind {
	IPC_LISTEN_TCP = 1,
	IPC_LISTEN_AGENT = 2, /* the broker says where, and programs that start later are told */
	IPC_LISTEN_X11 = 3,   /* at a display; the program that IPC_REQ_START has it for is told */
};
struct ipc_req_listen {
	uint32_t channel;
	enum ipc_listen_kind kind;
	/* TCP only */
	struct wire_span host; /* as the client wrote it, may be empty, no NUL */
	uint32_t port;         /* 0..65535; 0: the kernel's choice */
	/* X11 only: what programs show to the X server */
	struct wire_span name; /* of the way to authenticate, no NUL */
	struct wire_span cookie;
	bool only_one; /* connection, and nobody listens any more */
};
void ipc_put_req_listen(struct wire_writer *w, const struct ipc_req_listen *m);
SP_MUST_CHECK int ipc_get_req_listen(struct wire_reader *r, struct ipc_req_listen *ret);

/* broker to worker: as IPC_ANS_FORWARD. */
void ipc_put_ans_listen(struct wire_writer *w, const struct ipc_ans_forward *m);

/* worker to broker: a listener was connected to, and the client is to be asked; a channel of its own. */
struct ipc_accepted {
	uint32_t channel;
	uint32_t listener;     /* its channel */
	struct wire_span from; /* an address as text, or empty; by the container's word */
	uint32_t port;         /* 0..65535 */
};
void ipc_put_accepted(struct wire_writer *w, const struct ipc_accepted *m);
SP_MUST_CHECK int ipc_get_accepted(struct wire_reader *r, struct ipc_accepted *ret);

/*
 * broker to worker: as IPC_ANS_FORWARD, but without a descriptor; on the data path "engine" four: two pipes, the
 * channel's ends (to write to the connection, to read from it), then the others, between which and the listener's
 * stream the worker moves the bytes.
 */
void ipc_put_ans_accepted(struct wire_writer *w, const struct ipc_ans_forward *m);

/* worker to broker: the channel is gone; its number is free again. */
struct ipc_req_close {
	uint32_t channel;
	uint64_t bytes_in; /* of the channel's data, from the client */
	uint64_t bytes_out;
};
void ipc_put_req_close(struct wire_writer *w, const struct ipc_req_close *m);
SP_MUST_CHECK int ipc_get_req_close(struct wire_reader *r, struct ipc_req_close *ret);

/* worker to broker: what has passed through all channels so far. Not answered. */
struct ipc_activity {
	uint64_t bytes_in; /* from the client */
	uint64_t bytes_out;
	uint32_t idle_seconds; /* since the last of it */
};
void ipc_put_activity(struct wire_writer *w, const struct ipc_activity *m);
SP_MUST_CHECK int ipc_get_activity(struct wire_reader *r, struct ipc_activity *ret);

/* worker to broker: it has refused something by itself. For the audit log; no answer. */
struct ipc_refused {
	enum ipc_refused_kind kind;
	struct wire_span detail; /* without NUL, may be empty */
};
void ipc_put_refused(struct wire_writer *w, const struct ipc_refused *m);
SP_MUST_CHECK int ipc_get_refused(struct wire_reader *r, struct ipc_refused *ret);

/* broker to worker: tell the user. */
struct ipc_notice {
	enum ipc_notice_kind kind;
	struct wire_span text;
};
void ipc_put_notice(struct wire_writer *w, const struct ipc_notice *m);
SP_MUST_CHECK int ipc_get_notice(struct wire_reader *r, struct ipc_notice *ret);

#endif
