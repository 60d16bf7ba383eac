/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol between worker (sallyportd) and broker: ids and limits, nothing else.
 * PROTOCOL.md describes every message; ipc_msg.[ch] encodes and decodes them.
 */
#ifndef SP_IPC_H
#define SP_IPC_H

/* Changes whenever a message changes: both programs of one release speak exactly one version. */
#define IPC_VERSION 1

/* The worker's ends, fixed before exec. 2 is the log pipe; every other descriptor is closed. */
#define IPC_FD      3
#define IPC_LOG_FD  2
#define IPC_ROOT_FD 4 /* with --root: an empty root to be entered */

/* One SOCK_SEQPACKET record is one message: u8 id, then the body. */
#define IPC_RECORD_MAX 65536

/* broker to worker: odd.  worker to broker: even. */
enum ipc_id {
	IPC_HELLO = 1,
	IPC_READY = 2,
	IPC_CONNECTION = 3,
	IPC_REQ_SIGN = 4,
	IPC_ANS_SIGN = 5,
	IPC_REQ_QUERY = 6,
	IPC_ANS_QUERY = 7,
	IPC_REQ_AUTH = 8,
	IPC_ANS_AUTH = 9,
	IPC_REQ_START = 10,
	IPC_ANS_START = 11,
	IPC_REQ_CLOSE = 12,
	IPC_NOTICE = 13,
	IPC_REQ_FORWARD = 14,
	IPC_ANS_FORWARD = 15,
	IPC_REFUSED = 16,
	IPC_ACTIVITY = 18,
	IPC_REQ_LISTEN = 20,
	IPC_ANS_LISTEN = 21,
	IPC_ACCEPTED = 22,
	IPC_ANS_ACCEPTED = 23,
	IPC_ID_END = 24,
};

#define IPC_NONCE_LEN      16    /* bytes, in HELLO and (as hex) in the server's version string */
#define IPC_HOST_KEYS_MAX  8     /* host keys in HELLO */
#define IPC_USER_MAX       64    /* login name, bytes without the end */
#define IPC_ALGO_MAX       64    /* SSH algorithm name */
#define IPC_BLOB_MAX       16384 /* public key blob */
#define IPC_SIG_MAX        2048  /* signature */
#define IPC_SIGN_MAX       4096  /* key exchanges of one connection: one each GiB, for 4 TiB */
#define IPC_COMMAND_MAX    49152 /* exec command */
#define IPC_TERM_MAX       64    /* TERM */
#define IPC_ENV_MAX        64    /* environment entries of one channel */
#define IPC_ENV_NAME_MAX   128
#define IPC_ENV_VALUE_MAX  4096
#define IPC_ENV_BYTES_MAX  12288 /* all names and values of one channel */
#define IPC_SUBSYSTEM_MAX  64    /* name of a subsystem */
#define IPC_SUBSYSTEMS_MAX 8     /* subsystems of one login */
#define IPC_HOST_MAX       255   /* where a forward is to go */
#define IPC_ADDRESS_MAX    64    /* an IP address as text */
#define IPC_X11_NAME_MAX   64    /* of a way to authenticate to an X server */
#define IPC_X11_COOKIE_MAX 128   /* what is shown to it, in bytes */
#define IPC_X11_FIRST      10    /* the first display of forwarding, as sshd's X11DisplayOffset */
#define IPC_X11_DISPLAYS   1000  /* so many are tried, as by sshd */
#define IPC_TEXT_MAX       1024  /* sentences for the user */
#define IPC_DETAIL_MAX     256   /* what a request that the worker refused was about */
#define IPC_CHANNEL_MAX    64    /* worker's channel numbers are below this */
#define IPC_LISTENERS_MAX \
	48 /* of them for listeners; the others are for a shell, and for what comes to them */
#define IPC_START_FDS 4 /* descriptors of a program without a terminal: ctl and three pipes */
#define IPC_PIPE_FDS \
	4 /* of an accepted connection on the data path "engine": two pipes, all ends */
#define IPC_STREAM_FDS \
	9 /* of anything on the data path "engine": these, the stream, their other ends */

/* Kinds of IPC_REQ_START. */
enum ipc_start_kind {
	IPC_START_SHELL = 1,
	IPC_START_EXEC = 2,
	IPC_START_SUBSYSTEM = 3,
};

/* Kinds of IPC_REFUSED: requests of the client that the worker answers by itself. */
enum ipc_refused_kind {
	IPC_REFUSED_PTY = 1,       /* detail: TERM */
	IPC_REFUSED_SHELL = 2,     /* none */
	IPC_REFUSED_EXEC = 3,      /* the command */
	IPC_REFUSED_SUBSYSTEM = 4, /* its name */
	IPC_REFUSED_X11 = 5,       /* none */
	IPC_REFUSED_CHANNEL = 6,   /* the channel's type, as far as libssh tells it */
	IPC_REFUSED_TOO_MANY = 7,  /* the same, of a channel beyond the profile's number */
	IPC_REFUSED_LISTEN = 8,    /* tcpip-forward: address and port */
	IPC_REFUSED_END = 9,
};

/* Results in IPC_ANS_START, IPC_ANS_FORWARD, IPC_ANS_LISTEN and IPC_ANS_ACCEPTED. */
enum ipc_start_result {
	IPC_START_OK = 0,      /* descriptors follow */
	IPC_START_REFUSED = 1, /* policy: the request fails, text says why */
	IPC_START_FAILED = 2,  /* engine or container: the user sees the text, exit status 255 */
};

/* Kinds of IPC_NOTICE. */
enum ipc_notice_kind {
	IPC_NOTICE_TEXT = 1, /* show the text on every session */
	IPC_NOTICE_END = 2,  /* show the text, then disconnect */
};

#endif
