/* SPDX-License-Identifier: Apache-2.0 */
/* Tests: the worker's questions, with answers in every order and shape that a broken broker gives. */
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ask.h"
#include "fd.h"
#include "ipc_chan.h"

struct fixture {
	struct ask ask;
	int broker;
	unsigned fds; /* open before */
};

static uint8_t record[IPC_RECORD_MAX];

static int
set_up(void **state)
{
	static struct fixture f;
	int pair[2];

	f.fds = count_fds();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	ask_init(&f.ask, pair[0]);
	f.broker = pair[1];
	*state = &f;
	return 0;
}

/* Every case gives back each descriptor that it was sent. */
static int
tear_down(void **state)
{
	struct fixture *f = *state;
	struct ask_event *e;

	while (ask_next_event(&f->ask, &e) == 0)
		ask_event_free(e);
	fd_close(&f->broker);
	fd_close(&f->ask.fd);
	return count_fds() == f->fds ? 0 : -1;
}

static void
begin(struct wire_writer *w)
{
	wire_writer_init(w, record, sizeof(record));
}

static void
tell_fds(struct fixture *f, const struct wire_writer *w, unsigned n)
{
	int fds[IPC_STREAM_FDS];

	for (size_t i = 0; i < SP_ARRAY_LEN(fds); i++)
		fds[i] = STDIN_FILENO;
	assert_false(w->failed);
	assert_int_equal(ipc_chan_send(f->broker, w->data, w->len, fds, n, MSG_DONTWAIT), 0);
}

static void
say_sign(struct fixture *f)
{
	struct ipc_ans_sign m = { .signature = { (const uint8_t *)"signature", 9 } };
	struct wire_writer w;

	begin(&w);
	ipc_put_ans_sign(&w, &m);
	tell_fds(f, &w, 0);
}

static void
say_start(struct fixture *f, uint32_t channel, enum ipc_start_result result, bool pty, unsigned n)
{
	struct ipc_ans_start m = { .channel = channel,
		.result = result,
		.pty = pty,
		.text = { (const uint8_t *)"text", 4 } };
	struct wire_writer w;

	begin(&w);
	ipc_put_ans_start(&w, &m);
	tell_fds(f, &w, n);
}

/* The answers with the body of IPC_ANS_FORWARD. */
static void
put_outcome(struct wire_writer *w, uint8_t id, const struct ipc_ans_forward *m)
{
	if (id == IPC_ANS_FORWARD)
		ipc_put_ans_forward(w, m);
	else if (id == IPC_ANS_LISTEN)
		ipc_put_ans_listen(w, m);
	else
		ipc_put_ans_accepted(w, m);
}

static void
say_outcome(struct fixture *f, uint8_t id, uint32_t channel, enum ipc_start_result result, unsigned n)
{
	struct ipc_ans_forward m = { .channel = channel,
		.result = result,
		.text = { (const uint8_t *)"text", 4 } };
	struct wire_writer w;

	begin(&w);
	put_outcome(&w, id, &m);
	tell_fds(f, &w, n);
}

static void
say_notice(struct fixture *f, const char *text)
{
	struct ipc_notice m = { .kind = IPC_NOTICE_TEXT,
		.text = { (const uint8_t *)text, strlen(text) } };
	struct wire_writer w;

	begin(&w);
	ipc_put_notice(&w, &m);
	tell_fds(f, &w, 0);
}

static int
ask_for_signature(struct fixture *f, uint8_t *sig, size_t *len)
{
	return ask_sign(&f->ask, "ssh-ed25519", "transcript", 10, sig, len);
}

static void
test_sign(void **state)
{
	struct fixture *f = *state;
	struct ipc_req_sign m;
	struct wire_reader r;
	uint8_t sig[64];
	size_t len = sizeof(sig);
	size_t n;

	say_sign(f);
	assert_int_equal(ask_for_signature(f, sig, &len), 0);
	assert_int_equal(len, 9);
	assert_memory_equal(sig, "signature", 9);
	assert_int_equal(ipc_chan_recv(f->broker, record, sizeof(record), &n, MSG_DONTWAIT), 0);
	wire_reader_init(&r, record, n);
	assert_int_equal(wire_get_u8(&r), IPC_REQ_SIGN);
	assert_int_equal(ipc_get_req_sign(&r, &m), 0);
	assert_string_equal(m.algorithm, "ssh-ed25519");
	assert_true(wire_span_is(m.transcript, "transcript"));
}

static void
test_signature_does_not_fit(void **state)
{
	struct fixture *f = *state;
	uint8_t sig[8];
	size_t len = sizeof(sig);

	say_sign(f);
	assert_int_equal(ask_for_signature(f, sig, &len), ASK_E_GONE);
}

static void
test_transcript_does_not_fit(void **state)
{
	static uint8_t giant[IPC_RECORD_MAX];
	struct fixture *f = *state;
	uint8_t sig[64];
	size_t len = sizeof(sig);

	say_sign(f);
	assert_int_equal(ask_sign(&f->ask, "ssh-ed25519", giant, sizeof(giant), sig, &len),
	    ASK_E_GONE);
}

/* A rekey in the middle of other things: what comes first waits, with its descriptors, in order. */
static void
test_events_wait_for_an_answer(void **state)
{
	struct fixture *f = *state;
	struct ask_event *e;
	uint8_t sig[64];
	size_t len = sizeof(sig);

	say_start(f, 3, IPC_START_OK, false, 4);
	say_notice(f, "first");
	say_start(f, 4, IPC_START_OK, true, 1);
	say_sign(f);
	assert_int_equal(ask_for_signature(f, sig, &len), 0);
	assert_int_equal(ask_next_event(&f->ask, &e), 0);
	assert_int_equal(e->id, IPC_ANS_START);
	assert_int_equal(e->channel, 3);
	assert_int_equal(e->n_fds, 4);
	assert_string_equal(e->text, "text");
	ask_event_free(e);
	assert_int_equal(ask_next_event(&f->ask, &e), 0);
	assert_int_equal(e->id, IPC_NOTICE);
	assert_string_equal(e->text, "first");
	ask_event_free(e);
	assert_int_equal(ask_next_event(&f->ask, &e), 0);
	assert_int_equal(e->channel, 4);
	assert_true(e->pty);
	assert_int_equal(e->n_fds, 1);
	ask_event_free(e);
	assert_int_equal(ask_next_event(&f->ask, &e), ASK_E_AGAIN);
}

static void
test_wrong_answer(void **state)
{
	struct fixture *f = *state;
	struct wire_writer w;
	uint8_t sig[64];
	size_t len = sizeof(sig);
	bool acceptable;

	begin(&w);
	ipc_put_ans_query(&w, &(struct ipc_ans_query){ .acceptable = true });
	tell_fds(f, &w, 0);
	assert_int_equal(ask_for_signature(f, sig, &len), ASK_E_GONE);
	say_sign(f);
	assert_int_equal(ask_query(&f->ask, &(struct ipc_req_query){ .user = { NULL, 0 } },
			     &acceptable),
	    ASK_E_GONE);
}

static void
test_answer_without_a_question(void **state)
{
	struct fixture *f = *state;
	struct ask_event *e;

	say_sign(f);
	assert_int_equal(ask_next_event(&f->ask, &e), ASK_E_GONE);
}

static void
test_wrong_number_of_descriptors(void **state)
{
	static const struct {
		enum ipc_start_result result;
		bool pty;
		unsigned n;
	} bad[] = {
		{ IPC_START_OK, false, 0 },
		{ IPC_START_OK, false, 1 },
		{ IPC_START_OK, false, 3 },
		{ IPC_START_OK, true, 0 },
		{ IPC_START_OK, true, 4 },
		{ IPC_START_OK, false, 5 },
		{ IPC_START_OK, false, 8 },
		{ IPC_START_OK, true, 8 },
		{ IPC_START_REFUSED, false, 4 },
		{ IPC_START_REFUSED, false, 9 },
		{ IPC_START_FAILED, true, 9 },
		{ IPC_START_FAILED, true, 1 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		struct ask_event *e;

		say_start(f, 0, bad[i].result, bad[i].pty, bad[i].n);
		assert_int_equal(ask_next_event(&f->ask, &e), ASK_E_GONE);
	}
}

static void
test_wrong_number_with_an_outcome(void **state)
{
	static const struct {
		uint8_t id;
		enum ipc_start_result result;
		unsigned n;
	} bad[] = {
		{ IPC_ANS_FORWARD, IPC_START_OK, 0 },
		{ IPC_ANS_FORWARD, IPC_START_OK, 2 },
		{ IPC_ANS_FORWARD, IPC_START_OK, 4 },
		{ IPC_ANS_FORWARD, IPC_START_OK, 8 },
		{ IPC_ANS_FORWARD, IPC_START_REFUSED, 1 },
		{ IPC_ANS_FORWARD, IPC_START_FAILED, 9 },
		{ IPC_ANS_LISTEN, IPC_START_OK, 0 },
		{ IPC_ANS_LISTEN, IPC_START_OK, 2 },
		{ IPC_ANS_LISTEN, IPC_START_OK, 4 },
		{ IPC_ANS_LISTEN, IPC_START_OK, 8 },
		{ IPC_ANS_LISTEN, IPC_START_REFUSED, 1 },
		{ IPC_ANS_LISTEN, IPC_START_FAILED, 9 },
		/* The connection itself came from the guest, or comes in the listener's stream. */
		{ IPC_ANS_ACCEPTED, IPC_START_OK, 1 },
		{ IPC_ANS_ACCEPTED, IPC_START_OK, 3 },
		{ IPC_ANS_ACCEPTED, IPC_START_OK, 5 },
		{ IPC_ANS_ACCEPTED, IPC_START_OK, 9 },
		{ IPC_ANS_ACCEPTED, IPC_START_FAILED, 1 },
		{ IPC_ANS_ACCEPTED, IPC_START_FAILED, 4 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		struct ask_event *e;

		say_outcome(f, bad[i].id, 0, bad[i].result, bad[i].n);
		assert_int_equal(ask_next_event(&f->ask, &e), ASK_E_GONE);
	}
}

/* Each form that an answer may have, that of the data path "engine" among them, arrives whole. */
static void
test_right_number_of_descriptors(void **state)
{
	static const struct {
		uint8_t id;
		enum ipc_start_result result;
		bool pty;
		unsigned n;
	} good[] = {
		{ IPC_ANS_START, IPC_START_OK, false, 4 },
		{ IPC_ANS_START, IPC_START_OK, true, 1 },
		{ IPC_ANS_START, IPC_START_OK, false, 9 },
		{ IPC_ANS_START, IPC_START_OK, true, 9 },
		{ IPC_ANS_START, IPC_START_REFUSED, false, 0 },
		{ IPC_ANS_FORWARD, IPC_START_OK, false, 1 },
		{ IPC_ANS_FORWARD, IPC_START_OK, false, 9 },
		{ IPC_ANS_FORWARD, IPC_START_REFUSED, false, 0 },
		{ IPC_ANS_LISTEN, IPC_START_OK, false, 1 },
		{ IPC_ANS_LISTEN, IPC_START_OK, false, 9 },
		{ IPC_ANS_LISTEN, IPC_START_FAILED, false, 0 },
		{ IPC_ANS_ACCEPTED, IPC_START_OK, false, 0 },
		{ IPC_ANS_ACCEPTED, IPC_START_OK, false, 4 },
		{ IPC_ANS_ACCEPTED, IPC_START_FAILED, false, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		struct ask_event *e;

		if (good[i].id == IPC_ANS_START)
			say_start(f, 5, good[i].result, good[i].pty, good[i].n);
		else
			say_outcome(f, good[i].id, 5, good[i].result, good[i].n);
		assert_int_equal(ask_next_event(&f->ask, &e), 0);
		assert_int_equal(e->id, good[i].id);
		assert_int_equal(e->channel, 5);
		assert_int_equal(e->result, good[i].result);
		assert_int_equal(e->pty, good[i].pty);
		assert_int_equal(e->n_fds, good[i].n);
		for (unsigned k = 0; k < e->n_fds; k++)
			assert_true(fcntl(e->fds[k], F_GETFD) == FD_CLOEXEC);
		ask_event_free(e);
	}
}

static void
test_descriptors_with_an_answer(void **state)
{
	struct fixture *f = *state;
	struct wire_writer w;
	bool acceptable = false;

	begin(&w);
	ipc_put_ans_query(&w, &(struct ipc_ans_query){ .acceptable = true });
	tell_fds(f, &w, 1);
	assert_int_equal(ask_query(&f->ask, &(struct ipc_req_query){ .user = { NULL, 0 } },
			     &acceptable),
	    ASK_E_GONE);
	assert_false(acceptable);
}

/* Each answer cut at each place, and with a byte too many. */
static void
test_cut_answers(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[256] = { 0 };
	struct ipc_ans_start m = { .channel = 1, .result = IPC_START_FAILED, .text = { whole, 3 } };
	struct wire_writer w;

	wire_writer_init(&w, whole + 8, sizeof(whole) - 8);
	memset(whole, 'a', 3);
	ipc_put_ans_start(&w, &m);
	for (size_t n = 1; n <= w.len + 1; n++) {
		struct ask_event *e = NULL;

		assert_int_equal(ipc_chan_send(f->broker, w.data, n, NULL, 0, MSG_DONTWAIT), 0);
		assert_int_equal(ask_next_event(&f->ask, &e), n == w.len ? 0 : ASK_E_GONE);
		ask_event_free(e);
	}
}

static void
test_cut_outcomes(void **state)
{
	static const uint8_t ids[] = { IPC_ANS_FORWARD, IPC_ANS_LISTEN, IPC_ANS_ACCEPTED };
	struct fixture *f = *state;
	struct ipc_ans_forward m = { .channel = 1,
		.result = IPC_START_FAILED,
		.text = { (const uint8_t *)"text", 4 } };

	for (size_t i = 0; i < SP_ARRAY_LEN(ids); i++) {
		uint8_t whole[256] = { 0 };
		struct wire_writer w;

		wire_writer_init(&w, whole, sizeof(whole));
		put_outcome(&w, ids[i], &m);
		for (size_t n = 1; n <= w.len + 1; n++) {
			struct ask_event *e = NULL;

			assert_int_equal(ipc_chan_send(f->broker, w.data, n, NULL, 0, MSG_DONTWAIT),
			    0);
			assert_int_equal(ask_next_event(&f->ask, &e), n == w.len ? 0 : ASK_E_GONE);
			ask_event_free(e);
		}
	}
}

static void
test_cut_login_answers(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[256] = { 0 };
	struct ipc_ans_auth m = { .accepted = true,
		.max_channels = 2,
		.n_env = 1,
		.env = { { (const uint8_t *)"LC_*", 4 } } };
	struct wire_writer w;

	wire_writer_init(&w, whole, sizeof(whole));
	ipc_put_ans_auth(&w, &m);
	for (size_t n = 1; n <= w.len + 1; n++) {
		static const struct ipc_req_auth q = { .algorithm = "ssh-ed25519" };
		static struct ipc_ans_auth answer;

		assert_int_equal(ipc_chan_send(f->broker, w.data, n, NULL, 0, MSG_DONTWAIT), 0);
		assert_int_equal(ask_auth(&f->ask, &q, &answer), n == w.len ? 0 : ASK_E_GONE);
	}
}

static void
test_unknown_messages(void **state)
{
	struct fixture *f = *state;

	for (unsigned id = 0; id < 256; id++) {
		uint8_t byte = (uint8_t)id;
		struct ask_event *e;

		assert_int_equal(ipc_chan_send(f->broker, &byte, 1, NULL, 0, MSG_DONTWAIT), 0);
		assert_int_equal(ask_next_event(&f->ask, &e), ASK_E_GONE);
	}
}

static void
test_broker_gone(void **state)
{
	struct fixture *f = *state;
	struct ask_event *e;
	uint8_t sig[64];
	size_t len = sizeof(sig);

	fd_close(&f->broker);
	assert_int_equal(ask_next_event(&f->ask, &e), ASK_E_GONE);
	assert_int_equal(ask_for_signature(f, sig, &len), ASK_E_GONE);
	assert_int_equal(ask_close(&f->ask, &(struct ipc_req_close){ 0 }), ASK_E_GONE);
}

/* What is said unasked while a question is open has a ceiling. */
static void
test_too_many_events(void **state)
{
	struct fixture *f = *state;
	uint8_t sig[64];
	size_t len = sizeof(sig);
	int room = 4 * 1024 * 1024;
	int r = 0;

	assert_int_equal(setsockopt(f->broker, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) |
		setsockopt(f->broker, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)),
	    0);
	/* The pair takes few records at a time, so the answer comes again and again. */
	for (unsigned i = 0; i < ASK_EVENTS + 1 && r == 0; i++) {
		say_notice(f, "again");
		if (i % 4 == 3) {
			say_sign(f);
			len = sizeof(sig);
			r = ask_for_signature(f, sig, &len);
			assert_int_equal(ipc_chan_recv(f->broker, record, sizeof(record),
					     &(size_t){ 0 }, MSG_DONTWAIT),
			    0);
		}
	}
	assert_int_equal(f->ask.n_events, ASK_EVENTS);
	say_notice(f, "one too many");
	say_sign(f);
	len = sizeof(sig);
	assert_int_equal(ask_for_signature(f, sig, &len), ASK_E_GONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sign, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_signature_does_not_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transcript_does_not_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_events_wait_for_an_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_answer_without_a_question, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_number_of_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_number_with_an_outcome, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_right_number_of_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_descriptors_with_an_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_outcomes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_login_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broker_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_events, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
