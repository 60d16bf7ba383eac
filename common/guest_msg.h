/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that the guest (PID 1 of a container) takes and gives.
 *
 *   order  broker to guest, one way, over the rendezvous connection (SOCK_SEQPACKET). The broker
 *          never reads from it: nothing that a guest says is parsed in the broker.
 *   ctl    guest and worker, both ways, over one SOCK_SEQPACKET pair per channel. The worker treats
 *          each byte and descriptor from it as hostile.
 *
 * The same encoding and decoding rules as in ipc_msg.h. PROTOCOL.md has the field tables.
 */
#ifndef SP_GUEST_MSG_H
#define SP_GUEST_MSG_H

#include "network.h"
#include "wire.h"

/*
 * Where the container sees our two read-only mounts. Both are at the top: the kernel lets nobody move what something
 * is mounted on, but a directory above it goes with who may write where that is, and other programs into its place.
 */
#define GUEST_BUNDLE_DIR     "/.sallyport"
#define GUEST_RENDEZVOUS_DIR "/.sallyport-rendezvous"
#define GUEST_PROGRAM        GUEST_BUNDLE_DIR "/sallyport-guest"
#define GUEST_SFTP           GUEST_BUNDLE_DIR "/sallyport-sftp"
#define GUEST_SOCKET         GUEST_RENDEZVOUS_DIR "/socket"
/* Seconds follow: so long the guest waits for a new broker when the old one is gone. */
#define GUEST_KEEP_OPTION "--keep"

#define GUEST_ORDER_MAX 131072 /* bytes of one order */
#define GUEST_ARGV_MAX  256
#define GUEST_ENV_MAX   512
#define GUEST_CTL_MAX   256 /* bytes of one ctl message */

enum guest_order_id {
	GUEST_SPAWN = 1,
	GUEST_CONNECT = 2,
	GUEST_LISTEN = 3,
	GUEST_CONNECT_NAME = 4,
	/* End every program, then the container; no body. Descriptors: 0; or 1, which gets a byte when nobody is left. */
	GUEST_END = 9,
};

void guest_put_end(struct wire_writer *w);
SP_MUST_CHECK int guest_get_end(struct wire_reader *r);

#define GUEST_ADDRESSES_MAX 2

#define GUEST_NETWORKS_MAX 128

/*
 * Connect to the first of these that answers, in the container's own network: of the addresses, or, which is
 * CONNECT_NAME, of those that the name stands for in the container, as far as the networks have them (network_lead()).
 * Descriptors: 1, ctl. One that does not know CONNECT_NAME, of an earlier build, says FAILED (order, EPROTO).
 */
struct guest_address {
	bool v6;
	uint8_t bytes[16]; /* IPv4: the first four */
};
struct guest_connect {
	uint32_t n; /* 0: by name */
	struct guest_address addresses[GUEST_ADDRESSES_MAX];
	uint32_t port; /* 1..65535 */
	/* By name */
	char name[NETWORK_NAME_MAX + 1]; /* network_is_name() */
	uint32_t n_networks;             /* at least 1 */
	struct network networks[GUEST_NETWORKS_MAX];
};
/* Bytes of the longest such order. */
#define GUEST_CONNECT_MAX (16 + NETWORK_NAME_MAX + 18 * GUEST_NETWORKS_MAX)
void guest_put_connect(struct wire_writer *w, const struct guest_connect *m);
SP_MUST_CHECK int guest_get_connect(struct wire_reader *r, struct guest_connect *ret);

/*
 * Listen until ctl closes, for connections that go to the worker: at these addresses and port in the
 * container's own network, each of them that can be had; or at a path, whose directory is made for it
 * and is the user's alone; or as an X server's display, at the first port that is free at all of the
 * addresses that there are, with a file at a path, as before, of what programs show to that server.
 * Descriptors: 1, ctl.
 */
enum guest_listen_kind {
	GUEST_LISTEN_TCP = 1,
	GUEST_LISTEN_UNIX = 2,
	GUEST_LISTEN_X11 = 3,
};
#define GUEST_PATH_MAX       107  /* of a Unix socket */
#define GUEST_X11_PORT       6000 /* display N is this port and N more */
#define GUEST_X11_NAME_MAX   64
#define GUEST_X11_COOKIE_MAX 128
/* Bytes of such an order at most. */
#define GUEST_LISTEN_RECORD_MAX (GUEST_PATH_MAX + GUEST_X11_NAME_MAX + GUEST_X11_COOKIE_MAX + 128)
struct guest_listen {
	enum guest_listen_kind kind;
	/* TCP and X11 */
	uint32_t n; /* at least 1 */
	struct guest_address addresses[GUEST_ADDRESSES_MAX];
	/* 0..65535; 0: the kernel's choice, the same for all addresses; X11: the first one, above GUEST_X11_PORT */
	uint32_t port;
	/* Unix and X11 */
	char path[GUEST_PATH_MAX + 1]; /* absolute */
	/* X11; the spans are views into the record */
	uint32_t n_ports;      /* at least 1 */
	struct wire_span name; /* of the way to authenticate */
	struct wire_span cookie;
	bool only_one; /* connection is accepted, then nobody listens; the file stays */
};
void guest_put_listen(struct wire_writer *w, const struct guest_listen *m);
SP_MUST_CHECK int guest_get_listen(struct wire_reader *r, struct guest_listen *ret);

/*
 * Start a program. Descriptors:
 *   with a pty     1: ctl (the guest makes the pty and sends the master over ctl)
 *   without a pty  4: ctl, stdin, stdout, stderr
 * Strings hold no NUL; views into the record.
 */
struct guest_spawn {
	bool want_pty;
	uint32_t columns, rows, width_px, height_px; /* first window size, pty only */
	struct wire_span modes; /* what the client wants of it, a list as in tty_modes.h; empty without a pty */
	uint32_t hangup_grace_ms; /* from "channel gone" to SIGKILL of what is left of its session */
	struct wire_span workdir; /* empty: where the guest is */
	/* argv[0] as the program sees it; empty: argv_path itself. "-sh" makes a login shell. */
	struct wire_span argv0;
	uint32_t n_argv; /* at least 1; argv[0] is the program, looked up in PATH when it has no '/' */
	struct wire_span argv[GUEST_ARGV_MAX];
	uint32_t n_env; /* "NAME=value"; added to the container's own, replacing equal names */
	struct wire_span env[GUEST_ENV_MAX];
};
void guest_put_spawn(struct wire_writer *w, const struct guest_spawn *m);
SP_MUST_CHECK int guest_get_spawn(struct wire_reader *r, struct guest_spawn *ret);

enum guest_ctl_id {
	GUEST_CTL_STARTED = 1, /* guest to worker; with a pty it carries one descriptor, the master */
	GUEST_CTL_FAILED = 2, /* guest to worker: u32 stage, u32 errno */
	GUEST_CTL_EXITED = 3, /* guest to worker: u8 signaled, u32 code or signal, u8 core */
	GUEST_CTL_SIGNAL = 4, /* worker to guest: u32 signal number, to the program's process group */
	/* guest to worker; carries two descriptors of one connected socket: to write to, to read from */
	GUEST_CTL_CONNECTED = 5,
	GUEST_CTL_LISTENING = 6, /* guest to worker: u32 port, 0 at a path */
	/* guest to worker: where from; carries two descriptors of one socket, as CONNECTED */
	GUEST_CTL_ACCEPTED = 7,
	GUEST_CTL_TAKEN = 8, /* worker to guest: has taken one ACCEPTED */
};

/* Of one listener, ACCEPTED without TAKEN: the rest waits in the kernel. */
#define GUEST_UNTAKEN_MAX 4

enum guest_fail_stage {
	GUEST_FAIL_ORDER = 1, /* malformed order or too many programs */
	GUEST_FAIL_PTY = 2,
	GUEST_FAIL_FORK = 3,
	GUEST_FAIL_EXEC = 4,
	GUEST_FAIL_CONNECT = 5,
	GUEST_FAIL_LISTEN = 6,
	/*
	 * ENOENT: nobody has the name; EAGAIN: nobody who could be asked answers; ETIMEDOUT: nor do they together in
	 * time; EACCES: it stands for nothing that is allowed; else the errno of what went wrong
	 */
	GUEST_FAIL_LOOKUP = 7,
};

struct guest_ctl {
	enum guest_ctl_id id;
	union {
		struct {
			enum guest_fail_stage stage;
			uint32_t error; /* errno as the container's kernel gave it */
		} failed;
		struct {
			bool signaled;
			uint32_t value; /* exit code 0..255, or signal number */
			bool core;
		} exited;
		struct {
			uint32_t number; /* Linux signal number, 1..64 */
		} signal;
		struct {
			uint32_t port;
		} listening;
		struct {
			bool tcp; /* else at a path, and nothing else is known */
			struct guest_address from;
			uint32_t port; /* 0..65535 */
		} accepted;
	};
};
void guest_put_ctl(struct wire_writer *w, const struct guest_ctl *m);
SP_MUST_CHECK int guest_get_ctl(struct wire_reader *r, struct guest_ctl *ret);

/*
 * What the guest's own process that looks up one name says, once, and not one byte more. To the guest it is anybody's
 * word: a name server's, or of who has broken into that process through what it answered.
 */
#define GUEST_FOUND_ADDRESSES_MAX 48
#define GUEST_FOUND_MAX           (8 + 17 * GUEST_FOUND_ADDRESSES_MAX)
struct guest_found {
	uint32_t error; /* as of GUEST_FAIL_LOOKUP; 0: none, and there is an address */
	uint32_t n;
	struct guest_address addresses[GUEST_FOUND_ADDRESSES_MAX]; /* most wanted first */
};
void guest_put_found(struct wire_writer *w, const struct guest_found *m);
SP_MUST_CHECK int guest_get_found(struct wire_reader *r, struct guest_found *ret);

#endif
