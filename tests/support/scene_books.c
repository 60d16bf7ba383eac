/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene's books of each worker: what it has asked, what it was told, and what has to come of it.
 */
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dispatch.h"
#include "fd.h"
#include "fuzz_check.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "scene_private.h"

#define REFUSAL_LEAST_US 5000
#define REST_US          20000 /* as long as the broker lets somebody rest */
#define RESTS_MAX        1000

static uint8_t record[IPC_RECORD_MAX];

static void
got_hello(struct scene_worker *w, struct wire_reader *r)
{
	struct ipc_hello m;

	FUZZ_CHECK(ipc_get_hello(r, &m) == 0 && m.n_host_keys > 0);
	memcpy(w->nonce, m.nonce, sizeof(w->nonce));
	FUZZ_CHECK(m.host_keys[0].len <= sizeof(w->host_key));
	memcpy(w->host_key, m.host_keys[0].data, m.host_keys[0].len);
	w->host_key_len = m.host_keys[0].len;
}

static void
got_signature(struct scene_worker *w, struct wire_reader *r)
{
	struct ipc_ans_sign m;

	FUZZ_CHECK(ipc_get_ans_sign(r, &m) == 0 && m.signature.len > 0);
	FUZZ_CHECK(w->muddled ||
	    (w->signing && (w->stage == SCENE_EXCHANGE || w->stage == SCENE_LOGGED_IN)));
	w->signing = false;
	w->signatures++;
	if (w->stage == SCENE_EXCHANGE)
		w->stage = SCENE_LOGIN;
}

static void
got_verdict(struct scene_worker *w, bool auth, bool good)
{
	FUZZ_CHECK(
	    w->muddled || (w->stage == SCENE_LOGIN && w->asked_us >= 0 && w->asked_auth == auth));
	/* Not at once: how long the work took is not to be seen. */
	FUZZ_CHECK(good || w->muddled || scene_now_us() - w->asked_us >= REFUSAL_LEAST_US);
	w->refusals += !good;
	w->asked_us = -1;
}

static void
got_auth(struct scene_worker *w, struct wire_reader *r)
{
	struct ipc_ans_auth m;

	FUZZ_CHECK(ipc_get_ans_auth(r, &m) == 0);
	got_verdict(w, true, m.accepted);
	if (!m.accepted) {
		/* The rule's sentence is for whom it is about; that the audit log fails, for nobody else. */
		FUZZ_CHECK(w->muddled || m.text.len == 0 || w->proven == SCENE_CAROL ||
		    (scene_now->faulty && w->proven != SCENE_NOBODY));
		return;
	}
	FUZZ_CHECK(w->muddled || w->proven == SCENE_ALICE || w->proven == SCENE_BOB);
	FUZZ_CHECK(m.shell && m.exec && (w->muddled || m.pty == (w->proven == SCENE_ALICE)));
	w->user = w->proven;
	w->stage = SCENE_LOGGED_IN;
}

/* One answer to one request of its own kind, and to nobody more than have been asked. */
static void
got_answer(struct scene_worker *w, struct scene_channel *ch, unsigned *waiting,
    enum ipc_start_result result)
{
	FUZZ_CHECK(w->stage == SCENE_LOGGED_IN && (*waiting == 1 || (w->muddled && *waiting > 0)));
	(*waiting)--;
	FUZZ_CHECK(w->muddled || !ch->running);
	ch->running |= result == IPC_START_OK;
}

static void
got_start(struct scene_worker *w, struct wire_reader *r, unsigned n_fds)
{
	struct ipc_ans_start m;

	FUZZ_CHECK(ipc_get_ans_start(r, &m) == 0);
	got_answer(w, &w->channels[m.channel], &w->channels[m.channel].starts, m.result);
	FUZZ_CHECK(n_fds ==
		(m.result != IPC_START_OK ? 0
			: m.pty           ? 1
					  : IPC_START_FDS) ||
	    (m.result == IPC_START_OK && n_fds == IPC_STREAM_FDS));
	FUZZ_CHECK(!m.pty || w->user == SCENE_ALICE);
	w->started_programs += m.result == IPC_START_OK;
}

static void
got_forward(struct scene_worker *w, struct wire_reader *r, unsigned n_fds)
{
	struct ipc_ans_forward m;

	FUZZ_CHECK(ipc_get_ans_forward(r, &m) == 0);
	got_answer(w, &w->channels[m.channel], &w->channels[m.channel].forwards, m.result);
	FUZZ_CHECK(n_fds == (m.result == IPC_START_OK) ||
	    (m.result == IPC_START_OK && n_fds == IPC_STREAM_FDS));
	FUZZ_CHECK(m.result != IPC_START_OK || w->user == SCENE_ALICE);
	w->connections += m.result == IPC_START_OK;
}

static void
got_listener(struct scene_worker *w, struct wire_reader *r, unsigned n_fds)
{
	struct ipc_ans_forward m;
	struct scene_channel *ch;

	FUZZ_CHECK(ipc_get_ans_forward(r, &m) == 0);
	ch = &w->channels[m.channel];
	got_answer(w, ch, &ch->listens, m.result);
	FUZZ_CHECK(n_fds == (m.result == IPC_START_OK) ||
	    (m.result == IPC_START_OK && n_fds == IPC_STREAM_FDS));
	FUZZ_CHECK(m.result != IPC_START_OK || w->user == SCENE_ALICE);
	ch->listener = m.result == IPC_START_OK;
}

/* Only the audit log refuses it. */
static void
got_accepted(struct scene_worker *w, struct wire_reader *r, unsigned n_fds)
{
	struct ipc_ans_forward m;
	struct scene_channel *ch;

	FUZZ_CHECK(ipc_get_ans_forward(r, &m) == 0);
	ch = &w->channels[m.channel];
	FUZZ_CHECK(n_fds == 0 || (m.result == IPC_START_OK && n_fds == IPC_PIPE_FDS));
	FUZZ_CHECK(w->user == SCENE_ALICE);
	FUZZ_CHECK(m.result == IPC_START_OK || scene_now->faulty);
	got_answer(w, ch, &ch->accepts, m.result);
}

static void
got_record(struct scene_worker *w, const uint8_t *data, size_t len, unsigned n_fds)
{
	struct ipc_ans_query query;
	struct ipc_notice notice;
	struct wire_reader r;
	uint8_t id;

	wire_reader_init(&r, data, len);
	id = wire_get_u8(&r);
	FUZZ_CHECK(n_fds == 0 || id == IPC_CONNECTION || id == IPC_ANS_START ||
	    id == IPC_ANS_FORWARD || id == IPC_ANS_LISTEN);
	switch (id) {
	case IPC_HELLO:
		got_hello(w, &r);
		break;
	case IPC_CONNECTION:
		FUZZ_CHECK(ipc_get_connection(&r) == 0 && n_fds == 1 && w->stage == SCENE_IDLE);
		w->stage = SCENE_EXCHANGE;
		break;
	case IPC_ANS_SIGN:
		got_signature(w, &r);
		break;
	case IPC_ANS_QUERY:
		FUZZ_CHECK(ipc_get_ans_query(&r, &query) == 0);
		got_verdict(w, false, query.acceptable);
		break;
	case IPC_ANS_AUTH:
		got_auth(w, &r);
		break;
	case IPC_ANS_START:
		got_start(w, &r, n_fds);
		break;
	case IPC_ANS_FORWARD:
		got_forward(w, &r, n_fds);
		break;
	case IPC_ANS_LISTEN:
		got_listener(w, &r, n_fds);
		break;
	case IPC_ANS_ACCEPTED:
		got_accepted(w, &r, n_fds);
		break;
	case IPC_NOTICE:
		FUZZ_CHECK(ipc_get_notice(&r, &notice) == 0);
		w->notices++;
		break;
	default:
		fuzz_broken(__FILE__, __LINE__, "the broker sent a message that is none");
	}
}

void
scene_hear(struct scene_worker *w)
{
	int fds[IPC_CHAN_FDS_MAX];
	unsigned n_fds;
	size_t len;
	int r;

	while (w->ipc >= 0 && !w->deaf) {
		r = ipc_chan_recv_fds(w->ipc, record, sizeof(record), &len, fds, IPC_CHAN_FDS_MAX,
		    &n_fds, MSG_DONTWAIT);
		if (r == IPC_CHAN_E_AGAIN)
			return;
		if (r != 0) {
			fd_close(&w->ipc);
			return;
		}
		fd_close_all(fds, n_fds);
		got_record(w, record, len, n_fds);
	}
}

/* ---- what is sent, and what has to come of it ---- */

static bool
is_busy(const struct scene_channel *ch)
{
	return ch->running || ch->starts + ch->forwards + ch->listens + ch->accepts > 0;
}

/*
 * A program, a connection or a listener for this channel was asked for, and there will be one answer. Whether the
 * channel is free for it, and not one too many, of listeners or of the others.
 */
static bool
claim(struct scene_worker *w, uint32_t channel, uint8_t id)
{
	struct scene_channel *ch = &w->channels[channel];
	unsigned most = w->user == SCENE_ALICE ? 3 : 5;
	bool busy = is_busy(ch);
	unsigned listeners = 0;
	unsigned n = 0;

	for (unsigned c = 0; c < IPC_CHANNEL_MAX; c++) {
		bool listens = w->channels[c].listener || w->channels[c].listens > 0;

		n += is_busy(&w->channels[c]) && !listens;
		listeners += is_busy(&w->channels[c]) && listens;
	}
	ch->starts += id == IPC_REQ_START;
	ch->forwards += id == IPC_REQ_FORWARD;
	ch->listens += id == IPC_REQ_LISTEN;
	ch->accepts += id == IPC_ACCEPTED;
	return !busy && (id == IPC_REQ_LISTEN ? listeners < IPC_LISTENERS_MAX : n < most);
}

static bool
is_display(const struct scene_channel *ch)
{
	return ch->running && ch->listener && ch->display;
}

/* What is counted whatever the worker knows: the answers that the broker may owe. */
static bool
enter_request(struct scene_worker *w, uint8_t id, struct wire_reader *r)
{
	struct ipc_req_forward forward;
	struct ipc_req_listen listen;
	struct ipc_req_start start;

	if (id == IPC_REQ_START)
		return ipc_get_req_start(r, &start) == 0 && claim(w, start.channel, id) &&
		    (!start.want_display || is_display(&w->channels[start.display.listener]));
	if (id == IPC_REQ_LISTEN) {
		if (ipc_get_req_listen(r, &listen) != 0 || !claim(w, listen.channel, id))
			return false;
		w->channels[listen.channel].display = listen.kind == IPC_LISTEN_X11;
		return true;
	}
	return ipc_get_req_forward(r, &forward) == 0 && claim(w, forward.channel, id);
}

static bool
enter_accepted(struct scene_worker *w, struct wire_reader *r)
{
	struct ipc_accepted m;

	return ipc_get_accepted(r, &m) == 0 && claim(w, m.channel, IPC_ACCEPTED) &&
	    w->channels[m.listener].running && w->channels[m.listener].listener;
}

/* The record's claim on the books; whether it is well formed and allowed now. */
static bool
enter_in_books(struct scene_worker *w, const uint8_t *data, size_t len)
{
	struct ipc_activity activity;
	struct ipc_req_query query;
	struct ipc_req_auth auth;
	struct ipc_req_close done;
	struct ipc_req_sign sign;
	struct ipc_refused refused;
	struct ipc_ready ready;
	struct wire_reader r;
	bool asked = false;
	uint8_t id;

	wire_reader_init(&r, data, len);
	id = wire_get_u8(&r);
	if (id == IPC_REQ_START || id == IPC_REQ_FORWARD || id == IPC_REQ_LISTEN)
		asked = enter_request(w, id, &r);
	if ((dispatch_states(id) & (unsigned)w->stage) == 0)
		return false;
	/* Held back: nothing else may be asked meanwhile. */
	if (w->asked_us >= 0)
		return false;
	switch (id) {
	case IPC_READY:
		if (ipc_get_ready(&r, &ready) != 0 || ready.version != IPC_VERSION)
			return false;
		w->stage = SCENE_IDLE;
		return true;
	case IPC_REQ_SIGN:
		w->signing = true;
		return ipc_get_req_sign(&r, &sign) == 0;
	case IPC_REQ_QUERY:
		if (ipc_get_req_query(&r, &query) != 0)
			return false;
		w->asked_us = scene_now_us();
		w->asked_auth = false;
		return true;
	case IPC_REQ_AUTH:
		if (ipc_get_req_auth(&r, &auth) != 0)
			return false;
		w->asked_us = scene_now_us();
		w->asked_auth = true;
		return true;
	case IPC_REQ_START:
	case IPC_REQ_FORWARD:
	case IPC_REQ_LISTEN:
		return asked;
	case IPC_ACCEPTED:
		return enter_accepted(w, &r);
	case IPC_REFUSED:
		return ipc_get_refused(&r, &refused) == 0;
	case IPC_REQ_CLOSE:
		if (ipc_get_req_close(&r, &done) != 0 || !is_busy(&w->channels[done.channel]))
			return false;
		w->channels[done.channel].running = w->channels[done.channel].listener = false;
		return true;
	case IPC_ACTIVITY:
		if (ipc_get_activity(&r, &activity) != 0 || activity.bytes_in < w->bytes_in ||
		    activity.bytes_out < w->bytes_out)
			return false;
		w->bytes_in = activity.bytes_in;
		w->bytes_out = activity.bytes_out;
		return true;
	default:
		return false;
	}
}

/* Whose signature over this very connection this is: compared with the genuine one. */
static enum scene_user
proves(const struct scene_worker *w, const uint8_t *data, size_t len)
{
	static uint8_t genuine[4096];

	for (unsigned u = 0; u < SCENE_USERS; u++) {
		size_t n = scene_put_auth(w, (enum scene_user)u, genuine, sizeof(genuine));

		if (n == len && memcmp(genuine, data, n) == 0)
			return (enum scene_user)u;
	}
	return SCENE_NOBODY;
}

/* The broker lets a worker wait that asks for much: until it has read what was sent. */
static void
wait_until_read(struct scene *s, struct scene_worker *w)
{
	int unread = 0;

	for (unsigned i = 0; i < RESTS_MAX && w->ipc >= 0; i++) {
		if (ioctl(w->ipc, SIOCOUTQ, &unread) < 0 || unread == 0)
			return;
		scene_pass(s, REST_US);
	}
	FUZZ_CHECK(w->ipc < 0);
}

static void
count_good(struct scene *s, uint8_t id)
{
	s->programs += id == IPC_REQ_START;
	s->forwards += id == IPC_REQ_FORWARD;
	s->listens += id == IPC_REQ_LISTEN;
	s->told += id == IPC_REFUSED;
}

void
scene_send(struct scene *s, struct scene_worker *w, const uint8_t *data, size_t len)
{
	enum scene_user proven = SCENE_NOBODY;
	bool good;

	/* What the broker has said already is true for it, whether the worker has looked or not. */
	scene_hear(w);
	if (w->ipc < 0 || len == 0 || len > IPC_RECORD_MAX)
		return;
	if (ipc_chan_send(w->ipc, data, len, NULL, 0, MSG_DONTWAIT) != 0)
		return;
	w->muddled |= w->deaf;
	s->muddled |= w->muddled;
	/* The login is earned before the broker can have said anything. */
	if (data[0] == IPC_REQ_AUTH)
		proven = proves(w, data, len);
	if (proven != SCENE_NOBODY ||
	    (w->stage == SCENE_LOGIN && data[0] == IPC_REQ_AUTH && !w->muddled))
		w->proven = proven;
	s->somebody |= proven != SCENE_NOBODY;
	good = enter_in_books(w, data, len);
	if (good)
		count_good(s, data[0]);
	scene_turn(s);
	wait_until_read(s, w);
	/* What is not allowed, or malformed, ends the worker, there and then. */
	if (!good && !w->muddled)
		FUZZ_CHECK(w->ipc < 0);
}
