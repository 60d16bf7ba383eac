/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of records, through the broker's real dispatch, answers, peers, containers and pool. The
 * engine, the data path, the spawner and the clock follow the script too. What is held against it is
 * in support/scene_*.c: nothing is made or started without the login that has earned it; what is not
 * allowed or malformed ends its sender at once; each start has exactly one answer; each message that
 * comes from the broker is well formed and carries the descriptors that belong to it; refusals are
 * held back; at the end nothing is left.
 *
 * The input is a row of steps: what, an argument, u16 length, bytes. See the table below.
 *
 * Covers: dispatch answer_ready answer_sign answer_query answer_auth answer_start answer_close
 * Covers: answer_activity activity_update
 * Covers: answer_forward answer_refused refusals_end forward_run peer_charge_refusal
 * Covers: answer_listen answer_accepted forward_run_listener forward_refuse_listener decide conclude
 * Covers: fill_listen forward_agent forward_display forward_path add_listeners
 * Covers: forward_conclude on_ordered session_waiter
 * Covers: peer_enter peer_serve peer_exited peer_violation peer_end peer_send peer_notice on_records
 * Covers: on_log on_deadline hand_over close_pair free_peer count_attempt refuse_later send_refusal
 * Covers: judge send_accepted session_begin session_end run run_waiting on_up on_down session_refuse
 * Covers: may_begin_again begin_again refuse_all_waiting
 * Covers: free_channel fill_env fill_argv add_client_env container_for_channel keep_request
 * Covers: container_new container_release container_fail container_tell_down on_launched on_ready on_ended on_path_failed container_discard
 * Covers: worker_pool_serve worker_pool_drain worker_pool_end_all worker_pool_peer_gone take_spare
 * Floor: 25
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "data_path.h"
#include "fuzz.h"
#include "scene.h"
#include "worker_pool.h"

#define HEAD      4
#define STEPS_MAX 200 /* of one input; the rest is not looked at */
#define TEXT_MAX  256

/* Milliseconds that a step may take. */
static const int64_t pauses_ms[] = { 1, 4, 6, 20, 900, 1100, 3100, 11000, 16000, 130000 };
static const int exits[] = { 0, 1 << 8, 255 << 8, SIGKILL, SIGSYS, SIGSEGV };

static struct scene scene;
static uint8_t record[IPC_RECORD_MAX];

struct step {
	uint8_t arg;
	struct fuzz_input body;
};

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_records(data, size, max, seed, HEAD);
}

void
fuzz_setup(void)
{
	scene_setup();
}

/* Send a good record after the changes that the rest of the body names: u16 where, byte what. */
static void
send_changed(struct step *s, struct scene_worker *w, size_t len)
{
	while (s->body.left >= 3 && len > 0) {
		uint32_t at = fuzz_u16(&s->body);

		record[at % len] ^= fuzz_u8(&s->body);
	}
	if (s->body.left == 1 && len > 1)
		len -= 1 + fuzz_u8(&s->body) % (len - 1);
	scene_send(&scene, w, record, len);
}

static void
step_raw(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg);

	if (w != NULL)
		scene_send(&scene, w, s->body.next, s->body.left);
}

static void
step_ready(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg);

	if (w != NULL)
		send_changed(s, w, scene_put_ready(record, sizeof(record)));
}

static void
step_sign(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);

	if (w != NULL)
		send_changed(s, w, scene_put_sign(w, (s->arg & 16) != 0, record, sizeof(record)));
}

static void
step_query(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);

	if (w != NULL)
		send_changed(s, w,
		    scene_put_query((enum scene_user)(s->arg >> 4 & 3),
			(enum scene_user)(s->arg >> 6 & 3), record, sizeof(record)));
}

static void
step_auth(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);

	if (w != NULL)
		send_changed(s, w,
		    scene_put_auth(w, (enum scene_user)(s->arg >> 4 & 3), record, sizeof(record)));
}

static void
step_start(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);
	uint8_t channel = fuzz_u8(&s->body) % 8;

	if (w != NULL)
		send_changed(s, w,
		    (s->arg & 64) != 0
			? scene_put_drawing(channel, s->arg >> 7, record, sizeof(record))
			: scene_put_start(channel, (s->arg & 16) != 0, (s->arg & 32) != 0, "id; ls",
			      record, sizeof(record)));
}

/* To the container's loopback, where the policy lets go who may, or elsewhere, also by names, of which one is none. */
static void
step_forward(struct step *s)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "::1", "10.0.0.1", "web",
		"web.example.", "127.1", "::1" };
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);
	uint8_t channel = fuzz_u8(&s->body) % 8;

	if (w != NULL)
		send_changed(s, w,
		    scene_put_forward(channel, hosts[(s->arg >> 4 & 3) | (s->arg >> 5 & 4)],
			SCENE_PORT + (s->arg >> 6 & 1), record, sizeof(record)));
}

/* At the container's loopback, or elsewhere, or for the agent, or as a display. */
static void
step_listen(struct step *s)
{
	static const char *const hosts[] = { "localhost", "", "10.0.0.1", NULL };
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);
	uint8_t channel = fuzz_u8(&s->body) % 8;

	if (w != NULL)
		send_changed(s, w,
		    scene_put_listen(channel, hosts[s->arg >> 4 & 3], s->arg >> 6 & 1, record,
			sizeof(record)));
}

static void
step_accepted(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);
	uint8_t channel = fuzz_u8(&s->body) % 8;

	if (w != NULL)
		send_changed(s, w,
		    scene_put_accepted(channel, s->arg >> 4 & 7, record, sizeof(record)));
}

static void
step_refused(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);

	if (w != NULL)
		send_changed(s, w,
		    scene_put_refused(s->arg >> 4, "what it was", record, sizeof(record)));
}

static void
step_close_channel(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);

	if (w != NULL)
		send_changed(s, w, scene_put_close(s->arg >> 4, record, sizeof(record)));
}

static void
step_activity(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg & 15);
	uint8_t bytes = fuzz_u8(&s->body);

	if (w != NULL)
		send_changed(s, w, scene_put_activity(bytes, s->arg >> 4, record, sizeof(record)));
}

/* Everything up to the login at once: deep states are not found by luck. */
static void
step_log_in(struct step *s)
{
	(void)scene_log_in(&scene, (enum scene_user)(s->arg % SCENE_USERS));
}

static void
step_client(struct step *s)
{
	scene_client(&scene, s->arg);
}

static void
step_time(struct step *s)
{
	scene_pass(&scene, pauses_ms[s->arg % SP_ARRAY_LEN(pauses_ms)] * 1000);
}

static void
step_engine(struct step *s)
{
	/* As often good as bad. */
	(void)scene_launched(&scene, s->arg & 15, (s->arg & 16) != 0 ? s->arg >> 5 : 0);
}

static void
step_path_ready(struct step *s)
{
	(void)scene_path_ready(&scene, s->arg);
}

static void
step_path_failed(struct step *s)
{
	(void)scene_path_failed(&scene, s->arg);
}

static void
step_container_ended(struct step *s)
{
	if ((s->arg & 0x40) == 0 || !scene_emptied(&scene, s->arg & 0x3f, (s->arg & 0x80) != 0))
		(void)scene_container_ended(&scene, s->arg);
}

static void
step_start_result(struct step *s)
{
	static const int results[] = { 0, DATA_PATH_E_BUSY, -24 /* EMFILE */, -7 /* E2BIG */,
		DATA_PATH_E_LATER };

	scene.start_result = results[s->arg % SP_ARRAY_LEN(results)];
}

static void
step_ordered(struct step *s)
{
	(void)scene_ordered(&scene, s->arg);
}

static void
step_hang_up(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg);

	if (w != NULL)
		scene_close(&scene, w);
}

static void
step_exit(struct step *s)
{
	struct scene_worker *w = &scene.workers[(s->arg & 15) % SCENE_WORKERS_MAX];

	scene_report_exit(&scene, w, exits[(s->arg >> 4) % SP_ARRAY_LEN(exits)]);
}

static void
step_log(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg);

	if (w != NULL && s->body.left > 0 && s->body.left <= TEXT_MAX)
		FUZZ_CHECK(write(w->log, s->body.next, s->body.left) > 0);
	scene_turn(&scene);
}

static void
step_deaf(struct step *s)
{
	struct scene_worker *w = scene_pick(&scene, s->arg);

	if (w != NULL)
		w->deaf = !w->deaf;
}

static void
step_service(struct step *s)
{
	switch (s->arg % 8) {
	case 0:
	case 1:
	case 2:
	case 3:
		scene_reload(&scene);
		break;
	case 4:
		container_set_hurry(scene.broker.containers);
		break;
	case 5:
		worker_pool_drain(scene.broker.workers, "The service is stopping.", false);
		break;
	case 6:
		worker_pool_drain(scene.broker.workers, "The service is stopping.", true);
		break;
	default:
		worker_pool_end_all(scene.broker.workers, "service stopped");
		break;
	}
	scene_turn(&scene);
}

static void (*const steps[])(struct step *s) = { step_raw, step_ready, step_sign, step_query,
	step_auth, step_start, step_close_channel, step_log_in, step_client, step_time, step_engine,
	step_path_ready, step_path_failed, step_container_ended, step_start_result, step_hang_up,
	step_exit, step_log, step_deaf, step_service, step_activity, step_forward, step_refused,
	step_listen, step_accepted, step_ordered };

enum {
	RAW,
	READY,
	SIGN,
	QUERY,
	AUTH,
	START,
	CLOSE_CHANNEL,
	LOG_IN,
	CLIENT,
	TIME,
	ENGINE,
	PATH_READY,
	PATH_FAILED,
	CONTAINER_ENDED,
	START_RESULT,
	HANG_UP,
	EXIT,
	LOG,
	DEAF,
	SERVICE,
	ACTIVITY,
	FORWARD,
	REFUSED,
	LISTEN,
	ACCEPTED,
	ORDERED,
};

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };

	scene_begin(&scene);
	for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++) {
		uint8_t what = fuzz_u8(&in);
		struct step s = { .arg = fuzz_u8(&in) };
		uint32_t n = fuzz_u16(&in);

		s.body.next = fuzz_bytes(&in, n, &s.body.left);
		steps[what % SP_ARRAY_LEN(steps)](&s);
	}
	scene_end(&scene);
}

/* One step: what, argument, body. */
#define STEP(what, arg)          what, arg, 0, 0
#define STEP1(what, arg, byte)   what, arg, 0, 1, byte
#define STEP3(what, arg, at, by) what, arg, 0, 3, 0, at, by

void
fuzz_seeds(void)
{
	static const uint8_t login[] = { STEP(READY, 0), STEP(CLIENT, 1), STEP(SIGN, 0),
		STEP(QUERY, 0x00), STEP(AUTH, 0x00), STEP1(START, 0x30, 0), STEP(ENGINE, 0),
		STEP(PATH_READY, 0), STEP1(START, 0x00, 1), STEP(SIGN, 16),
		STEP1(ACTIVITY, 0x10, 9), STEP(CLOSE_CHANNEL, 0x10), STEP1(ACTIVITY, 0, 200),
		STEP(HANG_UP, 0), STEP(TIME, 6), STEP(EXIT, 0) };
	static const uint8_t denied[] = { STEP(CLIENT, 1), STEP(READY, 0), STEP(SIGN, 0),
		STEP(QUERY, 0x30), STEP(TIME, 3), STEP(AUTH, 0x20), STEP(TIME, 3), STEP(AUTH, 0x10),
		STEP1(START, 0x00, 0), STEP1(START, 0x10, 1), STEP(ENGINE, 0), STEP(ENGINE, 0x50),
		STEP(PATH_READY, 0), STEP(SERVICE, 6), STEP(TIME, 6) };
	static const uint8_t sessions[] = { STEP(LOG_IN, 1), STEP1(START, 0x10, 0),
		STEP1(START, 0x00, 1), STEP(ENGINE, 1), STEP(ENGINE, 0), STEP(PATH_READY, 0),
		STEP(PATH_FAILED, 0), STEP(CONTAINER_ENDED, 0), STEP1(START, 0x30, 2),
		STEP(CLOSE_CHANNEL, 0x00), STEP(TIME, 6), STEP(SERVICE, 0), STEP(EXIT, 0x30) };
	static const uint8_t violations[] = { STEP(READY, 0), STEP(CLIENT, 1), STEP3(SIGN, 0, 9, 1),
		STEP(LOG_IN, 0), STEP1(START, 0x10, 0), STEP1(START, 0x10, 0), STEP(READY, 0),
		STEP(READY, 0), RAW, 0, 0, 2, 200, 0, LOG, 0, 0, 6, 'h', 0x1b, '\n', 'x', '\n',
		0xff };
	static const uint8_t busy[] = { STEP(LOG_IN, 0), STEP1(START, 0x10, 0),
		STEP(CLOSE_CHANNEL, 0x00), STEP(ENGINE, 0), STEP(START_RESULT, 1),
		STEP1(START, 0, 0), STEP(PATH_READY, 0), STEP(START_RESULT, 0), STEP1(START, 0, 0),
		STEP(DEAF, 0), STEP(HANG_UP, 0), STEP(SERVICE, 4), STEP(TIME, 9), STEP(EXIT, 0x40) };
	static const uint8_t listeners[] = { STEP(LOG_IN, 0), STEP1(LISTEN, 0x00, 0),
		STEP1(LISTEN, 0x30, 1), STEP(ENGINE, 0), STEP(PATH_READY, 0), STEP1(LISTEN, 0x20, 2),
		STEP1(LISTEN, 0x40, 2), STEP1(ACCEPTED, 0x00, 2), STEP1(CLOSE_CHANNEL, 0x00, 0) };
	static const uint8_t displays[] = { STEP(LOG_IN, 0), STEP1(LISTEN, 0x70, 1),
		STEP(ENGINE, 0), STEP(PATH_READY, 0), STEP1(START, 0xc0, 0),
		STEP1(ACCEPTED, 0x10, 2), STEP1(CLOSE_CHANNEL, 0x00, 1), STEP1(START, 0xc0, 3) };
	static const uint8_t forwards[] = { STEP(LOG_IN, 0), STEP1(FORWARD, 0x00, 0),
		STEP1(FORWARD, 0x40, 1), STEP(ENGINE, 0), STEP(PATH_READY, 0),
		STEP1(FORWARD, 0x20, 1), STEP1(FORWARD, 0x30, 2), STEP(REFUSED, 0x10),
		STEP(REFUSED, 0x80), STEP(CLOSE_CHANNEL, 0x00), STEP1(START, 0x10, 0),
		STEP(REFUSED, 0xf0), STEP1(FORWARD, 0x80, 2), STEP1(FORWARD, 0xa0, 3) };
	static const uint8_t later[] = { STEP(LOG_IN, 0), STEP1(START, 0x10, 0), STEP(ENGINE, 0),
		STEP(START_RESULT, 4), STEP(PATH_READY, 0), STEP1(START, 0x00, 1),
		STEP1(FORWARD, 0x20, 1), STEP(ORDERED, 1), STEP1(LISTEN, 0x30, 0),
		STEP(CLOSE_CHANNEL, 0x10), STEP(ORDERED, 0), STEP1(START, 0x40, 0),
		STEP(CONTAINER_ENDED, 0), STEP(LOG_IN, 1), STEP1(START, 0x10, 0), STEP(ENGINE, 0),
		STEP(PATH_READY, 0), STEP(START_RESULT, 2), STEP(ORDERED, 0), STEP(HANG_UP, 0) };
	static const uint8_t ended[] = { STEP(LOG_IN, 0), STEP(ENGINE, 0), STEP(START_RESULT, 4),
		STEP(PATH_READY, 0), STEP1(START, 0x10, 0), STEP1(LISTEN, 0x30, 2),
		STEP(CONTAINER_ENDED, 0), STEP(ENGINE, 0), STEP(PATH_READY, 0), STEP(ORDERED, 0),
		STEP(CONTAINER_ENDED, 0), STEP(LOG_IN, 1), STEP1(START, 0x10, 0), STEP(ENGINE, 0),
		STEP(PATH_READY, 0), STEP(CONTAINER_ENDED, 0), STEP(ENGINE, 0x50), STEP(HANG_UP, 0) };
	static const uint8_t slow[] = { STEP(TIME, 8), STEP(TIME, 6), STEP(EXIT, 0x30),
		STEP(TIME, 5), STEP(CLIENT, 1), STEP(READY, 0), STEP(SIGN, 0), STEP(TIME, 9),
		STEP(TIME, 6), STEP(SERVICE, 5), STEP(SERVICE, 7) };

	fuzz_seed(login, sizeof(login));
	fuzz_seed(denied, sizeof(denied));
	fuzz_seed(later, sizeof(later));
	fuzz_seed(ended, sizeof(ended));
	fuzz_seed(sessions, sizeof(sessions));
	fuzz_seed(violations, sizeof(violations));
	fuzz_seed(busy, sizeof(busy));
	fuzz_seed(forwards, sizeof(forwards));
	fuzz_seed(listeners, sizeof(listeners));
	fuzz_seed(displays, sizeof(displays));
	fuzz_seed(slow, sizeof(slow));
}
