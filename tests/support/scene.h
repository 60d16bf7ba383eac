/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's own dispatch, answers, peers, containers and worker pool, with everything around them
 * played by the test: the spawner, the workers, the engine, the data path, and time. What a link with
 * scene*.c replaces is engine*.c, direct_path.c and the monotonic clock; nothing else is a fake.
 *
 * The scene keeps its own books of what was asked, proven and answered, and ends the process when the
 * broker does something that nobody has earned.
 */
#ifndef SP_SCENE_H
#define SP_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker.h"
#include "ipc.h"
#include "transcript.h"
#include "wire.h"

#define SCENE_WORKERS_MAX 24
#define SCENE_USERS       3
#define SCENE_PORT        8080 /* of the container: where alice may forward to */

/* alice: one container for all channels, ptys, forwards, three channels. bob: one for each channel, no ptys.
 * carol: her key is known, and a rule sends her away with a sentence. */
enum scene_user {
	SCENE_ALICE,
	SCENE_BOB,
	SCENE_CAROL,
	SCENE_NOBODY,
};
extern const char *const scene_names[SCENE_USERS + 1];

/* What the worker can know about where it stands: the messages it sent and got. */
enum scene_stage {
	SCENE_STARTING = 1, /* the same bits as enum peer_state */
	SCENE_IDLE = 2,
	SCENE_EXCHANGE = 4,
	SCENE_LOGIN = 8,
	SCENE_LOGGED_IN = 16,
};

/* What the worker knows of one of its channels. */
struct scene_channel {
	unsigned starts, forwards, listens, accepts; /* requests without their answer */
	bool running;
	bool listener; /* what runs is one */
	bool display;  /* and this is what it was asked for */
};

struct scene_worker {
	bool used;
	uint32_t token;
	int ipc; /* -1: closed by one of the two */
	int log;
	bool started, exited; /* as reported by the spawner */
	enum scene_stage stage;
	uint8_t nonce[IPC_NONCE_LEN];
	uint8_t host_key[1024]; /* the blob of HELLO's first key */
	size_t host_key_len;
	struct transcript_state exchange; /* as the client sees it */
	enum scene_user proven;           /* whose genuine signature was sent last; SCENE_NOBODY */
	enum scene_user user;             /* logged in */
	int64_t asked_us;                 /* when QUERY or AUTH was sent; -1: nothing is pending */
	bool asked_auth;
	bool signing; /* a SIGN is not answered yet */
	struct scene_channel channels[IPC_CHANNEL_MAX];
	unsigned signatures, refusals, started_programs, connections, notices;
	uint64_t bytes_in, bytes_out; /* told in ACTIVITY */
	bool deaf;                    /* does not read its pair */
	/* It has asked while it was deaf: what it knows is not what the broker knows, and only what
	 * must never happen to anybody is checked of it. */
	bool muddled;
};

/* One launch that the engine was asked for, with its data path. */
struct scene_launch;

struct scene {
	struct broker broker;
	struct scene_worker workers[SCENE_WORKERS_MAX];
	bool ready;    /* the pool has said so */
	bool broken;   /* the pool has said so */
	bool somebody; /* has proven a login, so that a source may be known */
	int spawner;
	int start_result; /* of the data path's next orders: 0, DATA_PATH_E_BUSY, DATA_PATH_E_LATER or -errno */
	unsigned removing; /* containers that the engine has not removed so far, as it says */
	unsigned launches, discards; /* so far */
	uint32_t wait_ms; /* how long the engine was to wait for a container's end when it was asked last; 0: not to wait */
	/* Requests that were in order, when they were sent: the audit log has one line for each. */
	unsigned programs, forwards, listens, told;
	bool muddled; /* some worker was: they cannot be counted */
	bool faulty;  /* what the broker calls may fail, its audit log among it */
};

/* What the audit log has said so far. */
struct scene_audit {
	size_t bytes;
	unsigned lines;
	unsigned programs[2], forwards[2], listens[2]; /* refused, allowed */
	unsigned told;  /* IPC_REFUSED, those that were left out included */
	char ended[64]; /* the reason of the last disconnect */
};

/* Once: keys, policy, configuration. */
void scene_setup(void);
/* The same as the set-up of a group of cmocka's. */
int scene_group_setup(void **state);
/* A new broker; time starts again. scene_end() lets everything come to its end, and checks that nothing
 * is left: no peer, container, launch, path, or descriptor. */
void scene_begin(struct scene *s);
/* The same; around is called whenever the broker's code is entered (true) and left. */
void scene_begin_around(struct scene *s, void (*around)(bool broker));
void scene_end(struct scene *s);
/* Another policy for the same users: all of it behind them. */
void scene_set_policy(struct scene *s, const char *rest);

/* Let the broker handle what there is, then read what it said to its workers. */
void scene_turn(struct scene *s);
/* The same after so much time. */
void scene_pass(struct scene *s, int64_t us);
int64_t scene_now_us(void);
/* Move the date, and not the time that passes: added to the realtime clock. */
void scene_set_date_jump(int64_t seconds);

/* A client connects, from 10.0.0.net. */
void scene_client(struct scene *s, uint8_t net);
/* The worker at i, modulo those that there are; NULL: none has a pair. */
struct scene_worker *scene_pick(struct scene *s, unsigned i);

/* Send a record, keep the books, and see what the broker makes of it. */
void scene_send(struct scene *s, struct scene_worker *w, const uint8_t *record, size_t len);
/* The worker's end closes. */
void scene_close(struct scene *s, struct scene_worker *w);
/* The spawner reports. */
void scene_report_exit(struct scene *s, struct scene_worker *w, int status);
/* New policy of the same text: another generation. */
void scene_reload(struct scene *s);

/* Valid records for this worker as it stands. Return the length. */
size_t scene_put_ready(uint8_t *out, size_t cap);
size_t scene_put_sign(const struct scene_worker *w, bool rekey, uint8_t *out, size_t cap);
size_t scene_put_query(enum scene_user user, enum scene_user key, uint8_t *out, size_t cap);
size_t scene_put_auth(const struct scene_worker *w, enum scene_user user, uint8_t *out, size_t cap);
size_t scene_put_start(uint32_t channel, bool shell, bool pty, const char *command, uint8_t *out,
    size_t cap);
/* A command that draws at the display of this listener. */
size_t scene_put_drawing(uint32_t channel, uint32_t listener, uint8_t *out, size_t cap);
size_t scene_put_close(uint32_t channel, uint8_t *out, size_t cap);
size_t scene_put_activity(uint64_t in, uint32_t idle_seconds, uint8_t *out, size_t cap);
/* host NULL: with port 0 the agent, else a display. */
size_t scene_put_listen(uint32_t channel, const char *host, uint32_t port, uint8_t *out, size_t cap);
size_t scene_put_accepted(uint32_t channel, uint32_t listener, uint8_t *out, size_t cap);
size_t scene_put_forward(uint32_t channel, const char *host, uint32_t port, uint8_t *out, size_t cap);
/* kind: of enum ipc_refused_kind, or anything else. */
size_t scene_put_refused(uint8_t kind, const char *detail, uint8_t *out, size_t cap);

/* Read on in the audit log, where each line has to be well formed and in its place. */
const struct scene_audit *scene_audit_read(void);

/* The engine and the data path act on the i-th launch, modulo those that wait for it. False: none. */
bool scene_launched(struct scene *s, unsigned i, unsigned error);
bool scene_path_ready(struct scene *s, unsigned i);
/* The same, of one whose end only the engine knows: it is asked, and has answered; running: what it says of it. */
bool scene_path_ready_afar(struct scene *s, unsigned i);
bool scene_answered(struct scene *s, unsigned i, unsigned error, bool running);
/* Its data path has heard that such a one has ended. */
bool scene_path_ended(struct scene *s, unsigned i);
/* An order that was to come later has come, or failed as start_result says. */
bool scene_ordered(struct scene *s, unsigned i);
bool scene_path_failed(struct scene *s, unsigned i);
bool scene_container_ended(struct scene *s, unsigned i);
/* Nobody is left in one that was told to end; lost: it lets go of what it would say that with, and somebody may be. */
bool scene_emptied(struct scene *s, unsigned i, bool lost);

/* All of a login, from the connection on. NULL: the worker is gone. */
struct scene_worker *scene_log_in(struct scene *s, enum scene_user user);

#endif
