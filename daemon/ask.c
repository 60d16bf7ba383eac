/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: questions to the broker. The broker is trusted; its messages are decoded with the same
 * care, because a mistake in either program should end one connection and nothing more.
 */
#include "ask.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "ipc_chan.h"

static uint8_t record_out[IPC_RECORD_MAX];
static uint8_t record_in[IPC_RECORD_MAX];

void
ask_init(struct ask *a, int fd)
{
	memset(a, 0, sizeof(*a));
	a->fd = fd;
}

static void
begin(struct wire_writer *w)
{
	wire_writer_init(w, record_out, sizeof(record_out));
}

static int
send_out(struct ask *a, const struct wire_writer *w)
{
	if (w->failed)
		return ASK_E_GONE;
	return ipc_chan_send_plain(a->fd, w->data, w->len, 0) == 0 ? 0 : ASK_E_GONE;
}

void
ask_event_free(struct ask_event *e)
{
	if (e == NULL)
		return;
	fd_close_all(e->fds, e->n_fds);
	free(e);
}

static void
copy_text(struct ask_event *e, struct wire_span text)
{
	memcpy(e->text, text.data, text.len);
	e->text[text.len] = '\0';
}

/* An answer whose body is that of IPC_ANS_FORWARD. */
static bool
is_outcome(uint8_t id)
{
	return id == IPC_ANS_FORWARD || id == IPC_ANS_LISTEN || id == IPC_ANS_ACCEPTED;
}

/* Exactly the descriptors that PROTOCOL.md gives to this answer. */
static bool
fds_fit(const struct ask_event *e)
{
	bool ok = e->result == IPC_START_OK;
	unsigned direct = 0;
	bool engine = false;

	if (e->id == IPC_ANS_START && ok) {
		direct = e->pty ? 1 : IPC_START_FDS;
		engine = true;
	} else if ((e->id == IPC_ANS_FORWARD || e->id == IPC_ANS_LISTEN) && ok) {
		direct = 1;
		engine = true;
	} else if (e->id == IPC_ANS_ACCEPTED && ok && e->n_fds == IPC_PIPE_FDS) {
		return true;
	}
	return e->n_fds == direct || (engine && e->n_fds == IPC_STREAM_FDS);
}

static bool
decode_event(struct ask_event *e, struct wire_reader *r)
{
	struct ipc_ans_start start;
	struct ipc_ans_forward forward;
	struct ipc_notice notice;

	if (e->id == IPC_ANS_START) {
		if (ipc_get_ans_start(r, &start) != 0)
			return false;
		e->channel = start.channel;
		e->result = start.result;
		e->pty = start.pty;
		copy_text(e, start.text);
	} else if (is_outcome(e->id)) {
		if (ipc_get_ans_forward(r, &forward) != 0)
			return false;
		e->channel = forward.channel;
		e->result = forward.result;
		copy_text(e, forward.text);
	} else {
		if (e->id != IPC_NOTICE || ipc_get_notice(r, &notice) != 0)
			return false;
		e->notice = notice.kind;
		copy_text(e, notice.text);
	}
	return fds_fit(e);
}

/*
 * Receive one record. An event is put into *ret_event; anything else is left in *body with its id.
 */
static int
receive(struct ask *a, int flags, uint8_t *ret_id, struct wire_reader *body,
    struct ask_event **ret_event)
{
	struct ask_event *e = calloc(1, sizeof(*e));
	size_t len;
	int r;

	*ret_event = NULL;
	if (e == NULL)
		return ASK_E_GONE;
	r = ipc_chan_recv_fds(a->fd, record_in, sizeof(record_in), &len, e->fds, IPC_STREAM_FDS,
	    &e->n_fds, flags);
	if (r != 0) {
		e->n_fds = 0;
		ask_event_free(e);
		return r == IPC_CHAN_E_AGAIN ? ASK_E_AGAIN : ASK_E_GONE;
	}
	wire_reader_init(body, record_in, len);
	*ret_id = e->id = wire_get_u8(body);
	if (e->id != IPC_ANS_START && !is_outcome(e->id) && e->id != IPC_NOTICE) {
		r = e->n_fds == 0 ? 0 : ASK_E_GONE;
		ask_event_free(e);
		return r;
	}
	if (!decode_event(e, body)) {
		ask_event_free(e);
		return ASK_E_GONE;
	}
	*ret_event = e;
	return 0;
}

/* Wait for the answer with this id; what comes unasked meanwhile is kept. */
static int
wait_for(struct ask *a, uint8_t id, struct wire_reader *body)
{
	for (;;) {
		struct ask_event *e;
		uint8_t got;
		int r = receive(a, 0, &got, body, &e);

		if (r != 0)
			return ASK_E_GONE;
		if (e == NULL)
			return got == id ? 0 : ASK_E_GONE;
		if (a->n_events == ASK_EVENTS) {
			ask_event_free(e);
			return ASK_E_GONE;
		}
		a->events[a->n_events++] = e;
	}
}

int
ask_sign(struct ask *a, const char *algorithm, const void *transcript, size_t len, uint8_t *sig,
    size_t *sig_len)
{
	struct ipc_req_sign m = { .transcript = { transcript, len } };
	struct ipc_ans_sign answer;
	struct wire_reader body;
	struct wire_writer w;

	if (strlen(algorithm) >= sizeof(m.algorithm))
		return ASK_E_GONE;
	strcpy(m.algorithm, algorithm);
	begin(&w);
	ipc_put_req_sign(&w, &m);
	if (send_out(a, &w) != 0)
		return ASK_E_GONE;
	explicit_bzero(record_out, w.len); /* the transcript holds the shared secret */
	if (wait_for(a, IPC_ANS_SIGN, &body) != 0 || ipc_get_ans_sign(&body, &answer) != 0 ||
	    answer.signature.len > *sig_len)
		return ASK_E_GONE;
	memcpy(sig, answer.signature.data, answer.signature.len);
	*sig_len = answer.signature.len;
	return 0;
}

int
ask_query(struct ask *a, const struct ipc_req_query *m, bool *ret_acceptable)
{
	struct ipc_ans_query answer;
	struct wire_reader body;
	struct wire_writer w;

	begin(&w);
	ipc_put_req_query(&w, m);
	if (send_out(a, &w) != 0 || wait_for(a, IPC_ANS_QUERY, &body) != 0 ||
	    ipc_get_ans_query(&body, &answer) != 0)
		return ASK_E_GONE;
	*ret_acceptable = answer.acceptable;
	return 0;
}

int
ask_auth(struct ask *a, const struct ipc_req_auth *m, struct ipc_ans_auth *ret)
{
	struct wire_reader body;
	struct wire_writer w;

	begin(&w);
	ipc_put_req_auth(&w, m);
	if (send_out(a, &w) != 0 || wait_for(a, IPC_ANS_AUTH, &body) != 0 ||
	    ipc_get_ans_auth(&body, ret) != 0)
		return ASK_E_GONE;
	return 0;
}

int
ask_start(struct ask *a, const struct ipc_req_start *m)
{
	struct wire_writer w;

	begin(&w);
	ipc_put_req_start(&w, m);
	return send_out(a, &w);
}

int
ask_forward(struct ask *a, const struct ipc_req_forward *m)
{
	struct wire_writer w;

	begin(&w);
	ipc_put_req_forward(&w, m);
	return send_out(a, &w);
}

int
ask_listen(struct ask *a, const struct ipc_req_listen *m)
{
	struct wire_writer w;

	begin(&w);
	ipc_put_req_listen(&w, m);
	return send_out(a, &w);
}

int
ask_accepted(struct ask *a, const struct ipc_accepted *m)
{
	struct wire_writer w;

	begin(&w);
	ipc_put_accepted(&w, m);
	return send_out(a, &w);
}

int
ask_refused(struct ask *a, const struct ipc_refused *m)
{
	struct wire_writer w;

	begin(&w);
	ipc_put_refused(&w, m);
	return send_out(a, &w);
}

int
ask_close(struct ask *a, const struct ipc_req_close *m)
{
	struct wire_writer w;

	begin(&w);
	ipc_put_req_close(&w, m);
	return send_out(a, &w);
}

int
ask_activity(struct ask *a, const struct ipc_activity *m)
{
	struct wire_writer w;

	begin(&w);
	ipc_put_activity(&w, m);
	return send_out(a, &w);
}

int
ask_next_event(struct ask *a, struct ask_event **ret)
{
	struct wire_reader body;
	uint8_t id;
	int r;

	if (a->n_events > 0) {
		*ret = a->events[0];
		a->n_events--;
		for (unsigned i = 0; i < a->n_events; i++)
			a->events[i] = a->events[i + 1];
		return 0;
	}
	r = receive(a, MSG_DONTWAIT, &id, &body, ret);
	if (r == 0 && *ret == NULL)
		return ASK_E_GONE; /* an answer that nobody waits for */
	return r;
}
