/* SPDX-License-Identifier: Apache-2.0 */
/* ipc_msg: decode(encode(m)) is m; every truncation, surplus byte and broken bound is malformed. */
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "ipc_msg.h"
#include "test.h"

static uint8_t record[IPC_RECORD_MAX];

static struct wire_span
span(const char *s)
{
	struct wire_span v = { (const uint8_t *)s, strlen(s) };

	return v;
}

/* Decode a record of the given id; any message. */
static int
decode(uint8_t id, const uint8_t *body, size_t len)
{
	static union {
		struct ipc_hello hello;
		struct ipc_ready ready;
		struct ipc_req_sign req_sign;
		struct ipc_ans_sign ans_sign;
		struct ipc_req_query req_query;
		struct ipc_ans_query ans_query;
		struct ipc_req_auth req_auth;
		struct ipc_ans_auth ans_auth;
		struct ipc_req_start req_start;
		struct ipc_ans_start ans_start;
		struct ipc_req_close req_close;
		struct ipc_req_forward req_forward;
		struct ipc_ans_forward ans_forward;
		struct ipc_req_listen req_listen;
		struct ipc_accepted accepted;
		struct ipc_activity activity;
		struct ipc_refused refused;
		struct ipc_notice notice;
	} m;
	struct wire_reader r;

	wire_reader_init(&r, body, len);
	switch (id) {
	case IPC_HELLO:
		return ipc_get_hello(&r, &m.hello);
	case IPC_READY:
		return ipc_get_ready(&r, &m.ready);
	case IPC_CONNECTION:
		return ipc_get_connection(&r);
	case IPC_REQ_SIGN:
		return ipc_get_req_sign(&r, &m.req_sign);
	case IPC_ANS_SIGN:
		return ipc_get_ans_sign(&r, &m.ans_sign);
	case IPC_REQ_QUERY:
		return ipc_get_req_query(&r, &m.req_query);
	case IPC_ANS_QUERY:
		return ipc_get_ans_query(&r, &m.ans_query);
	case IPC_REQ_AUTH:
		return ipc_get_req_auth(&r, &m.req_auth);
	case IPC_ANS_AUTH:
		return ipc_get_ans_auth(&r, &m.ans_auth);
	case IPC_REQ_START:
		return ipc_get_req_start(&r, &m.req_start);
	case IPC_ANS_START:
		return ipc_get_ans_start(&r, &m.ans_start);
	case IPC_REQ_CLOSE:
		return ipc_get_req_close(&r, &m.req_close);
	case IPC_REQ_FORWARD:
		return ipc_get_req_forward(&r, &m.req_forward);
	case IPC_ANS_FORWARD:
		return ipc_get_ans_forward(&r, &m.ans_forward);
	case IPC_REQ_LISTEN:
		return ipc_get_req_listen(&r, &m.req_listen);
	case IPC_ANS_LISTEN:
	case IPC_ANS_ACCEPTED:
		return ipc_get_ans_forward(&r, &m.ans_forward);
	case IPC_ACCEPTED:
		return ipc_get_accepted(&r, &m.accepted);
	case IPC_ACTIVITY:
		return ipc_get_activity(&r, &m.activity);
	case IPC_REFUSED:
		return ipc_get_refused(&r, &m.refused);
	case IPC_NOTICE:
		return ipc_get_notice(&r, &m.notice);
	default:
		return WIRE_E_MALFORMED;
	}
}

static struct ipc_req_start
start_message(void)
{
	struct ipc_req_start m = { .channel = 63,
		.kind = IPC_START_EXEC,
		.command = span("echo hi; true"),
		.want_pty = true,
		.pty = { "xterm", 80, 24, 640, 480 },
		.modes = { (const uint8_t *)"\3\0\0\0\10\65\0\0\0\0", 10 },
		.want_display = true,
		.display = { IPC_CHANNEL_MAX - 1, IPC_X11_FIRST, UINT32_MAX },
		.n_env = 2 };

	m.env[0].name = span("LANG");
	m.env[0].value = span("C");
	m.env[1].name = span("LC_ALL");
	m.env[1].value = span("");
	return m;
}

static size_t
encode(uint8_t id)
{
	struct wire_writer w;

	wire_writer_init(&w, record, sizeof(record));
	switch (id) {
	case IPC_HELLO: {
		struct ipc_hello m = { .version = 1,
			.older_clients = true,
			.banner = span("hi\n"),
			.n_host_keys = 2 };

		m.host_keys[0] = span("blob one");
		m.host_keys[1] = span("blob two");
		ipc_put_hello(&w, &m);
		break;
	}
	case IPC_READY:
		ipc_put_ready(&w, &(struct ipc_ready){ .version = 1 });
		break;
	case IPC_CONNECTION:
		ipc_put_connection(&w);
		break;
	case IPC_REQ_SIGN:
		ipc_put_req_sign(&w,
		    &(struct ipc_req_sign){ .algorithm = "ssh-ed25519", .transcript = span("T") });
		break;
	case IPC_ANS_SIGN:
		ipc_put_ans_sign(&w, &(struct ipc_ans_sign){ .signature = span("sig") });
		break;
	case IPC_REQ_QUERY:
		ipc_put_req_query(&w,
		    &(struct ipc_req_query){ .user = span("alice"), .blob = span("blob") });
		break;
	case IPC_ANS_QUERY:
		ipc_put_ans_query(&w, &(struct ipc_ans_query){ .acceptable = true });
		break;
	case IPC_REQ_AUTH:
		ipc_put_req_auth(&w,
		    &(struct ipc_req_auth){ .user = span("alice"),
			.algorithm = "rsa-sha2-512",
			.blob = span("blob"),
			.signature = span("sig"),
			.sk_flags = 5,
			.sk_counter = 9 });
		break;
	case IPC_ANS_AUTH: {
		struct ipc_ans_auth m = { .accepted = true,
			.pty = true,
			.x11 = true,
			.max_channels = 10,
			.n_env = 1,
			.n_subsystems = 2 };

		m.env[0] = span("LC_*");
		m.subsystems[0] = span("sftp");
		m.subsystems[1] = span("netconf");
		m.greeting = span("Hello.\n");
		ipc_put_ans_auth(&w, &m);
		break;
	}
	case IPC_REQ_START: {
		struct ipc_req_start m = start_message();

		ipc_put_req_start(&w, &m);
		break;
	}
	case IPC_ANS_START:
		ipc_put_ans_start(&w,
		    &(struct ipc_ans_start){ .channel = 1,
			.result = IPC_START_FAILED,
			.text = span("no") });
		break;
	case IPC_REQ_CLOSE:
		ipc_put_req_close(&w, &(struct ipc_req_close){ 5, INT64_MAX, 1 });
		break;
	case IPC_REQ_FORWARD:
		ipc_put_req_forward(&w,
		    &(struct ipc_req_forward){ .channel = 7, .host = span("::1"), .port = 65535 });
		break;
	case IPC_ANS_FORWARD:
		ipc_put_ans_forward(&w,
		    &(struct ipc_ans_forward){ .channel = 7,
			.result = IPC_START_REFUSED,
			.text = span("no") });
		break;
	case IPC_REQ_LISTEN:
		ipc_put_req_listen(&w,
		    &(struct ipc_req_listen){ .channel = 7,
			.kind = IPC_LISTEN_X11,
			.name = span("MIT-MAGIC-COOKIE-1"),
			.cookie = span("0123456789abcdef"),
			.only_one = true });
		break;
	case IPC_ANS_LISTEN:
		ipc_put_ans_listen(&w,
		    &(struct ipc_ans_forward){ .channel = 7,
			.result = IPC_START_REFUSED,
			.text = span("no") });
		break;
	case IPC_ACCEPTED:
		ipc_put_accepted(&w, &(struct ipc_accepted){ 8, 7, span("::1"), 4242 });
		break;
	case IPC_ANS_ACCEPTED:
		ipc_put_ans_accepted(&w,
		    &(struct ipc_ans_forward){ .channel = 8,
			.result = IPC_START_FAILED,
			.text = span("no") });
		break;
	case IPC_ACTIVITY:
		ipc_put_activity(&w, &(struct ipc_activity){ 1, INT64_MAX, 7 });
		break;
	case IPC_REFUSED:
		ipc_put_refused(&w,
		    &(struct ipc_refused){ .kind = IPC_REFUSED_PTY, .detail = span("xterm") });
		break;
	case IPC_NOTICE:
		ipc_put_notice(&w,
		    &(struct ipc_notice){ .kind = IPC_NOTICE_END, .text = span("bye") });
		break;
	default:
		break;
	}
	assert_false(w.failed);
	return w.len;
}

static void
test_every_message(void **state)
{
	(void)state;
	for (uint8_t id = IPC_HELLO; id < IPC_ID_END; id++) {
		size_t len = encode(id);

		if (id == 17 || id == 19) {
			assert_int_equal(len, 0); /* no message has these */
			continue;
		}
		assert_int_equal(record[0], id);
		assert_int_equal(decode(id, record + 1, len - 1), 0);
		for (size_t n = 0; n + 1 < len; n++) {
			/* a copy of exact size: the sanitizer sees a read beyond it */
			uint8_t *exact = malloc(n + 1);

			assert_non_null(exact);
			memcpy(exact, record + 1, n);
			assert_int_equal(decode(id, exact, n), WIRE_E_MALFORMED);
			free(exact);
		}
		record[len] = 0;
		assert_int_equal(decode(id, record + 1, len), WIRE_E_MALFORMED);
	}
}

static void
test_bytes_have_a_bound(void **state)
{
	struct ipc_activity bad[] = { { UINT64_MAX, 0, 0 }, { 0, 1ULL << 63, 0 } };
	struct wire_writer w;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		wire_writer_init(&w, record, sizeof(record));
		ipc_put_activity(&w, &bad[i]);
		assert_int_equal(decode(IPC_ACTIVITY, record + 1, w.len - 1), WIRE_E_MALFORMED);
		wire_writer_init(&w, record, sizeof(record));
		ipc_put_req_close(&w,
		    &(struct ipc_req_close){ 1, bad[i].bytes_in, bad[i].bytes_out });
		assert_int_equal(decode(IPC_REQ_CLOSE, record + 1, w.len - 1), WIRE_E_MALFORMED);
	}
}

static void
test_start_round_trip(void **state)
{
	struct ipc_req_start in = start_message();
	static struct ipc_req_start out;
	struct wire_reader r;
	size_t len = encode(IPC_REQ_START);

	(void)state;
	wire_reader_init(&r, record + 1, len - 1);
	assert_int_equal(ipc_get_req_start(&r, &out), 0);
	assert_int_equal(out.channel, in.channel);
	assert_int_equal(out.kind, in.kind);
	assert_true(wire_span_is(out.command, "echo hi; true"));
	assert_string_equal(out.pty.term, "xterm");
	assert_int_equal(out.pty.columns, 80);
	assert_int_equal(out.pty.height_px, 480);
	assert_int_equal(out.modes.len, 10);
	assert_memory_equal(out.modes.data, in.modes.data, 10);
	assert_true(out.want_display);
	assert_int_equal(out.display.listener, in.display.listener);
	assert_int_equal(out.display.number, in.display.number);
	assert_int_equal(out.display.screen, in.display.screen);
	assert_int_equal(out.n_env, 2);
	assert_true(wire_span_is(out.env[1].name, "LC_ALL"));
	assert_int_equal(out.env[1].value.len, 0);
}

static int
recode_start(const struct ipc_req_start *m)
{
	static struct ipc_req_start out;
	struct wire_writer w;
	struct wire_reader r;

	wire_writer_init(&w, record, sizeof(record));
	ipc_put_req_start(&w, m);
	assert_false(w.failed);
	wire_reader_init(&r, record + 1, w.len - 1);
	return ipc_get_req_start(&r, &out);
}

static void
test_start_bounds(void **state)
{
	static char big[IPC_COMMAND_MAX + 2];
	struct ipc_req_start m = start_message();

	(void)state;
	memset(big, 'x', IPC_COMMAND_MAX);
	m.command = span(big);
	assert_int_equal(recode_start(&m), 0);
	big[IPC_COMMAND_MAX] = 'x';
	m.command = span(big);
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.channel = IPC_CHANNEL_MAX;
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.kind = IPC_START_SHELL; /* a shell has no command */
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.kind = IPC_START_SUBSYSTEM;
	m.command = span("sftp");
	assert_int_equal(recode_start(&m), 0);
	m.command = span(""); /* a subsystem has a name, and a short one */
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	big[IPC_SUBSYSTEM_MAX] = '\0';
	m.command = span(big);
	assert_int_equal(recode_start(&m), 0);
	big[IPC_SUBSYSTEM_MAX] = 'x';
	big[IPC_SUBSYSTEM_MAX + 1] = '\0';
	m.command = span(big);
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m.kind = (enum ipc_start_kind)(IPC_START_SUBSYSTEM + 1);
	m.command = span("sftp");
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.display.number = IPC_X11_FIRST + IPC_X11_DISPLAYS - 1;
	assert_int_equal(recode_start(&m), 0);
	m.display.number++;
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m.display.number = IPC_X11_FIRST - 1;
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.display.listener = IPC_CHANNEL_MAX;
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.modes.len = 9; /* not a whole entry; the same opcode twice; one that takes no value */
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m.modes = (struct wire_span){ (const uint8_t *)"\3\0\0\0\10\3\0\0\0\10", 10 };
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m.modes = (struct wire_span){ (const uint8_t *)"\240\0\0\0\10", 5 };
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.command = (struct wire_span){ (const uint8_t *)"a\0b", 3 };
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m = start_message();
	m.env[0].name = span("A=B");
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m.env[0].name = span("");
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m.env[0].name = (struct wire_span){ (const uint8_t *)"A\0", 2 };
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
}

static void
test_listen_bounds(void **state)
{
	static char host[IPC_HOST_MAX + 2];
	static const struct {
		uint32_t channel;
		uint8_t kind;
		size_t host;
		uint32_t port;
		int outcome;
	} cases[] = {
		{ 0, IPC_LISTEN_TCP, 0, 0, 0 },
		{ IPC_CHANNEL_MAX - 1, IPC_LISTEN_TCP, IPC_HOST_MAX, 65535, 0 },
		{ 0, IPC_LISTEN_AGENT, 0, 0, 0 },
		{ IPC_CHANNEL_MAX, IPC_LISTEN_TCP, 1, 1, WIRE_E_MALFORMED },
		{ IPC_CHANNEL_MAX, IPC_LISTEN_AGENT, 0, 0, WIRE_E_MALFORMED },
		{ 0, 0, 0, 0, WIRE_E_MALFORMED },
		{ 0, 4, 0, 0, WIRE_E_MALFORMED },
		{ 0, IPC_LISTEN_TCP, IPC_HOST_MAX + 1, 1, WIRE_E_MALFORMED },
		{ 0, IPC_LISTEN_TCP, 1, 65536, WIRE_E_MALFORMED },
	};
	struct ipc_accepted accepted = { .from = { (const uint8_t *)host, IPC_ADDRESS_MAX } };
	struct ipc_req_listen out;
	struct wire_writer w;
	struct wire_reader r;

	(void)state;
	memset(host, 'h', sizeof(host));
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct ipc_req_listen m = { .channel = cases[i].channel,
			.kind = (enum ipc_listen_kind)cases[i].kind,
			.host = { (const uint8_t *)host, cases[i].host },
			.port = cases[i].port };

		wire_writer_init(&w, record, sizeof(record));
		ipc_put_req_listen(&w, &m);
		wire_reader_init(&r, record + 1, w.len - 1);
		assert_int_equal(ipc_get_req_listen(&r, &out), cases[i].outcome);
	}
	for (int i = 0; i < 5; i++) {
		struct ipc_accepted m = accepted;

		m.from.len += i == 1;
		m.port = i == 2 ? 65536 : 65535;
		m.channel = i == 3 ? IPC_CHANNEL_MAX : IPC_CHANNEL_MAX - 1;
		m.listener = i == 4 ? IPC_CHANNEL_MAX : 0;
		wire_writer_init(&w, record, sizeof(record));
		ipc_put_accepted(&w, &m);
		wire_reader_init(&r, record + 1, w.len - 1);
		assert_int_equal(ipc_get_accepted(&r, &m), i == 0 ? 0 : WIRE_E_MALFORMED);
	}
}

/* What is shown to an X server: a text, and bytes of any kind. */
static void
test_display_bounds(void **state)
{
	static const struct {
		const char *name;
		size_t name_len;
		size_t cookie;
		int outcome;
	} cases[] = {
		{ "", 0, 0, 0 },
		{ NULL, IPC_X11_NAME_MAX, IPC_X11_COOKIE_MAX, 0 },
		{ NULL, IPC_X11_NAME_MAX + 1, 1, WIRE_E_MALFORMED },
		{ NULL, 1, IPC_X11_COOKIE_MAX + 1, WIRE_E_MALFORMED },
		{ "a\0b", 3, 1, WIRE_E_MALFORMED },
	};
	static uint8_t bytes[IPC_X11_COOKIE_MAX + 1];
	static char text[IPC_X11_NAME_MAX + 1];
	struct ipc_req_listen out;
	struct wire_writer w;
	struct wire_reader r;

	(void)state;
	memset(text, 'n', sizeof(text));
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		const char *name = cases[i].name != NULL ? cases[i].name : text;
		struct ipc_req_listen m = { .kind = IPC_LISTEN_X11,
			.name = { (const uint8_t *)name, cases[i].name_len },
			.cookie = { bytes, cases[i].cookie },
			.only_one = i % 2 == 0 };

		wire_writer_init(&w, record, sizeof(record));
		ipc_put_req_listen(&w, &m);
		wire_reader_init(&r, record + 1, w.len - 1);
		assert_int_equal(ipc_get_req_listen(&r, &out), cases[i].outcome);
		if (cases[i].outcome != 0)
			continue;
		assert_true(wire_span_eq(out.name, name, cases[i].name_len));
		assert_true(wire_span_eq(out.cookie, bytes, cases[i].cookie));
		assert_int_equal(out.only_one, m.only_one);
		assert_int_equal(out.host.len, 0);
	}
}

static void
test_forward_bounds(void **state)
{
	static char host[IPC_HOST_MAX + 2];
	static const struct {
		uint32_t channel;
		size_t host;
		uint32_t port;
		int outcome;
	} cases[] = {
		{ 0, 1, 1, 0 },
		{ IPC_CHANNEL_MAX - 1, IPC_HOST_MAX, 65535, 0 },
		{ IPC_CHANNEL_MAX, 1, 1, WIRE_E_MALFORMED },
		{ 0, 0, 1, WIRE_E_MALFORMED },
		{ 0, IPC_HOST_MAX + 1, 1, WIRE_E_MALFORMED },
		{ 0, 1, 0, WIRE_E_MALFORMED },
		{ 0, 1, 65536, WIRE_E_MALFORMED },
		{ 0, 1, UINT32_MAX, WIRE_E_MALFORMED },
	};

	(void)state;
	memset(host, 'h', sizeof(host));
	for (size_t i = 0; i <= SP_ARRAY_LEN(cases); i++) {
		bool nul = i == SP_ARRAY_LEN(cases);
		struct ipc_req_forward m = { .host = { (const uint8_t *)"a\0b", 3 }, .port = 1 };
		struct ipc_req_forward out;
		struct wire_writer w;
		struct wire_reader r;

		if (!nul)
			m = (struct ipc_req_forward){ cases[i].channel,
				{ (const uint8_t *)host, cases[i].host }, cases[i].port };
		wire_writer_init(&w, record, sizeof(record));
		ipc_put_req_forward(&w, &m);
		wire_reader_init(&r, record + 1, w.len - 1);
		assert_int_equal(ipc_get_req_forward(&r, &out),
		    nul ? WIRE_E_MALFORMED : cases[i].outcome);
	}
}

static void
test_hello_bounds(void **state)
{
	static char text[IPC_BLOB_MAX + 1];
	const struct {
		size_t banner, blob;
		int outcome;
	} cases[] = {
		{ IPC_TEXT_MAX, IPC_BLOB_MAX, 0 },
		{ IPC_TEXT_MAX + 1, 1, WIRE_E_MALFORMED },
		{ 0, IPC_BLOB_MAX + 1, WIRE_E_MALFORMED },
	};

	(void)state;
	memset(text, 't', sizeof(text));
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct ipc_hello m = { .version = 1, .n_host_keys = 1 };
		struct ipc_hello out;
		struct wire_writer w;
		struct wire_reader r;

		m.banner = (struct wire_span){ (const uint8_t *)text, cases[i].banner };
		m.host_keys[0] = (struct wire_span){ (const uint8_t *)text, cases[i].blob };
		wire_writer_init(&w, record, sizeof(record));
		ipc_put_hello(&w, &m);
		wire_reader_init(&r, record + 1, w.len - 1);
		assert_int_equal(ipc_get_hello(&r, &out), cases[i].outcome);
	}
}

static void
test_refused_bounds(void **state)
{
	static char detail[IPC_DETAIL_MAX + 1];
	const struct {
		unsigned kind;
		struct wire_span detail;
		int outcome;
	} cases[] = {
		{ IPC_REFUSED_PTY, { NULL, 0 }, 0 },
		{ IPC_REFUSED_END - 1, { (const uint8_t *)detail, IPC_DETAIL_MAX }, 0 },
		{ 0, span("x"), WIRE_E_MALFORMED },
		{ IPC_REFUSED_END, span("x"), WIRE_E_MALFORMED },
		{ 255, span("x"), WIRE_E_MALFORMED },
		{ IPC_REFUSED_EXEC, { (const uint8_t *)detail, IPC_DETAIL_MAX + 1 },
		    WIRE_E_MALFORMED },
		{ IPC_REFUSED_EXEC, { (const uint8_t *)"a\0b", 3 }, WIRE_E_MALFORMED },
	};

	(void)state;
	memset(detail, 'd', sizeof(detail));
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct ipc_refused m = { (enum ipc_refused_kind)cases[i].kind, cases[i].detail };
		struct ipc_refused out;
		struct wire_writer w;
		struct wire_reader r;

		wire_writer_init(&w, record, sizeof(record));
		ipc_put_refused(&w, &m);
		wire_reader_init(&r, record + 1, w.len - 1);
		assert_int_equal(ipc_get_refused(&r, &out), cases[i].outcome);
	}
}

static void
test_env_total_is_bounded(void **state)
{
	static char value[IPC_ENV_VALUE_MAX + 1];
	struct ipc_req_start m = start_message();

	(void)state;
	memset(value, 'v', IPC_ENV_VALUE_MAX);
	m.n_env = 4;
	for (uint32_t i = 0; i < m.n_env; i++) {
		m.env[i].name = span("N");
		m.env[i].value = span(value);
	}
	assert_int_equal(recode_start(&m), WIRE_E_MALFORMED);
	m.n_env = 2;
	assert_int_equal(recode_start(&m), 0);
}

static void
test_random_bytes(void **state)
{
	unsigned seed = 20261124;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		uint8_t body[64];
		size_t len = (size_t)rand_r(&seed) % sizeof(body);

		for (size_t i = 0; i < len; i++)
			body[i] = rand_r(&seed) % 3 == 0 ? (uint8_t)rand_r(&seed) : 0;
		(void)decode((uint8_t)(rand_r(&seed) % (IPC_ID_END + 1)), body, len);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_message),
		cmocka_unit_test(test_bytes_have_a_bound),
		cmocka_unit_test(test_start_round_trip),
		cmocka_unit_test(test_start_bounds),
		cmocka_unit_test(test_forward_bounds),
		cmocka_unit_test(test_listen_bounds),
		cmocka_unit_test(test_display_bounds),
		cmocka_unit_test(test_hello_bounds),
		cmocka_unit_test(test_refused_bounds),
		cmocka_unit_test(test_env_total_is_bounded),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
