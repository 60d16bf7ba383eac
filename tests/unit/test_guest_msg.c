/* SPDX-License-Identifier: Apache-2.0 */
/* guest_msg: each message there and back, every truncation, every trailing byte, every bound. */
#include <stdlib.h>
#include <string.h>

#include "guest_msg.h"
#include "test.h"
#include "tty_modes.h"

static uint8_t record[GUEST_ORDER_MAX];
static struct guest_spawn in, out; /* too large for a stack */

static struct wire_span
span_of(const char *s)
{
	struct wire_span span = { (const uint8_t *)s, strlen(s) };

	return span;
}

static void
usual_order(struct guest_spawn *m)
{
	memset(m, 0, sizeof(*m));
	m->want_pty = true;
	m->columns = 80;
	m->rows = 24;
	m->width_px = 640;
	m->height_px = UINT32_MAX;
	m->modes = (struct wire_span){ (const uint8_t *)"\3\0\0\0\10\65\0\0\0\0", 10 };
	m->hangup_grace_ms = 10000;
	m->workdir = span_of("/home/dev");
	m->argv0 = span_of("-sh");
	m->n_argv = 3;
	m->argv[0] = span_of("/bin/sh");
	m->argv[1] = span_of("-c");
	m->argv[2] = span_of("echo \xff\x01 'x'");
	m->n_env = 2;
	m->env[0] = span_of("TERM=xterm");
	m->env[1] = span_of("EMPTY=");
}

/* Encode; 0 when it did not fit. */
static size_t
encode(const struct guest_spawn *m)
{
	struct wire_writer w;

	wire_writer_init(&w, record, sizeof(record));
	guest_put_spawn(&w, m);
	return w.failed ? 0 : w.len;
}

/* Decode from a block of exactly len bytes, so that a sanitizer sees each byte read beyond it. */
static int
decode(const uint8_t *data, size_t len, struct guest_spawn *ret)
{
	uint8_t *exact = malloc(len == 0 ? 1 : len);
	struct wire_reader r;
	int result;

	assert_non_null(exact);
	if (len > 0)
		memcpy(exact, data, len);
	wire_reader_init(&r, exact, len);
	result = guest_get_spawn(&r, ret);
	free(exact);
	return result;
}

static void
assert_span_eq(struct wire_span a, struct wire_span b)
{
	assert_int_equal(a.len, b.len);
	if (a.len > 0)
		assert_memory_equal(a.data, b.data, a.len);
}

static void
test_spawn_round_trip(void **state)
{
	struct wire_reader r;
	size_t len;

	(void)state;
	usual_order(&in);
	len = encode(&in);
	assert_true(len > 0);
	wire_reader_init(&r, record, len);
	assert_int_equal(guest_get_spawn(&r, &out), 0);
	assert_true(out.want_pty);
	assert_int_equal(out.columns, 80);
	assert_int_equal(out.rows, 24);
	assert_int_equal(out.width_px, 640);
	assert_int_equal(out.height_px, UINT32_MAX);
	assert_span_eq(out.modes, in.modes);
	assert_int_equal(out.hangup_grace_ms, 10000);
	assert_span_eq(out.workdir, in.workdir);
	assert_span_eq(out.argv0, in.argv0);
	assert_int_equal(out.n_argv, 3);
	for (uint32_t i = 0; i < in.n_argv; i++)
		assert_span_eq(out.argv[i], in.argv[i]);
	assert_int_equal(out.n_env, 2);
	for (uint32_t i = 0; i < in.n_env; i++)
		assert_span_eq(out.env[i], in.env[i]);
}

static void
test_spawn_truncated_and_trailing(void **state)
{
	size_t len;

	(void)state;
	usual_order(&in);
	len = encode(&in);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(decode(record, n, &out), WIRE_E_MALFORMED);
	assert_int_equal(decode(record, len, &out), 0);
	for (unsigned byte = 0; byte < 256; byte++) {
		record[len] = (uint8_t)byte;
		assert_int_equal(decode(record, len + 1, &out), WIRE_E_MALFORMED);
	}
}

/* Whatever one byte becomes, decoding is defined; and what decodes, encodes to the same bytes. */
static void
test_spawn_each_byte_changed(void **state)
{
	static uint8_t changed[512];
	static uint8_t again[GUEST_ORDER_MAX];
	size_t len;
	unsigned accepted = 0;

	(void)state;
	usual_order(&in);
	len = encode(&in);
	assert_in_range(len, 1, sizeof(changed));
	for (size_t at = 0; at < len; at++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			struct wire_reader r;
			struct wire_writer w;

			memcpy(changed, record, len);
			changed[at] = (uint8_t)byte;
			wire_reader_init(&r, changed, len);
			if (guest_get_spawn(&r, &out) != 0)
				continue;
			accepted++;
			wire_writer_init(&w, again, sizeof(again));
			guest_put_spawn(&w, &out);
			assert_false(w.failed);
			assert_int_equal(w.len, len);
			assert_memory_equal(again, changed, len);
		}
	}
	assert_true(accepted > len);
}

static void
assert_refused(const struct guest_spawn *m)
{
	size_t len = encode(m);

	assert_true(len > 0);
	assert_int_equal(decode(record, len, &out), WIRE_E_MALFORMED);
}

static void
test_spawn_bounds(void **state)
{
	static uint8_t modes[TTY_MODES_MAX];

	(void)state;
	usual_order(&in);
	in.n_argv = 0;
	assert_refused(&in);
	for (uint32_t i = 0; i < GUEST_ARGV_MAX; i++)
		in.argv[i] = span_of("a");
	for (uint32_t i = 0; i < GUEST_ENV_MAX; i++)
		in.env[i] = span_of("A=");
	in.n_argv = GUEST_ARGV_MAX;
	in.n_env = GUEST_ENV_MAX;
	for (size_t i = 0; i < TTY_MODES_OPCODES; i++)
		modes[i * TTY_MODES_ENTRY] = (uint8_t)(i + 1);
	in.modes = (struct wire_span){ modes, sizeof(modes) };
	assert_int_equal(decode(record, encode(&in), &out), 0);
	assert_int_equal(out.n_argv, GUEST_ARGV_MAX);
	assert_int_equal(out.n_env, GUEST_ENV_MAX);
	assert_span_eq(out.modes, in.modes);
}

/* Modes are a list in its one form, and a terminal's. */
static void
test_spawn_modes(void **state)
{
	static const struct wire_span bad[] = { { (const uint8_t *)"\3\0\0\0", 4 },
		{ (const uint8_t *)"\3\0\0\0\10\0", 6 }, { (const uint8_t *)"\0\0\0\0\10", 5 },
		{ (const uint8_t *)"\240\0\0\0\10", 5 },
		{ (const uint8_t *)"\3\0\0\0\10\3\0\0\0\10", 10 } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		usual_order(&in);
		in.modes = bad[i];
		assert_refused(&in);
	}
	usual_order(&in);
	in.want_pty = false;
	assert_refused(&in);
	in.modes.len = 0;
	assert_int_equal(decode(record, encode(&in), &out), 0);
}

/* One more than the arrays hold: written by hand, the encoder has no such struct. */
static void
test_spawn_too_many(void **state)
{
	static const struct {
		uint32_t n_argv, n_env;
	} cases[] = { { GUEST_ARGV_MAX + 1, 0 }, { 1, GUEST_ENV_MAX + 1 }, { UINT32_MAX, 0 },
		{ 1, UINT32_MAX } };

	(void)state;
	for (size_t c = 0; c < SP_ARRAY_LEN(cases); c++) {
		struct wire_writer w;

		wire_writer_init(&w, record, sizeof(record));
		wire_put_u8(&w, GUEST_SPAWN);
		wire_put_u8(&w, 0);
		for (int i = 0; i < 4; i++)
			wire_put_u32(&w, 0);
		wire_put_cstr(&w, "");
		wire_put_u32(&w, 0);
		wire_put_cstr(&w, "");
		wire_put_cstr(&w, "");
		wire_put_u32(&w, cases[c].n_argv);
		for (uint32_t i = 0; i < cases[c].n_argv && i <= GUEST_ARGV_MAX; i++)
			wire_put_cstr(&w, "a");
		wire_put_u32(&w, cases[c].n_env);
		for (uint32_t i = 0; i < cases[c].n_env && i <= GUEST_ENV_MAX; i++)
			wire_put_cstr(&w, "A=");
		assert_false(w.failed);
		assert_int_equal(decode(record, w.len, &out), WIRE_E_MALFORMED);
	}
}

static void
test_spawn_texts(void **state)
{
	static const uint8_t nul[] = { 'A', '=', 0, 'b' };
	const struct wire_span with_nul = { nul, sizeof(nul) };
	static const char *const bad_env[] = { "", "=", "A", "=A", "=A=b", "AB" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad_env); i++) {
		usual_order(&in);
		in.env[1] = span_of(bad_env[i]);
		assert_refused(&in);
	}
	usual_order(&in);
	in.workdir = with_nul;
	assert_refused(&in);
	usual_order(&in);
	in.argv0 = with_nul;
	assert_refused(&in);
	usual_order(&in);
	in.argv[2] = with_nul;
	assert_refused(&in);
	usual_order(&in);
	in.env[0] = with_nul;
	assert_refused(&in);
}

static void
test_spawn_unknown_id(void **state)
{
	size_t len;

	(void)state;
	usual_order(&in);
	len = encode(&in);
	for (unsigned id = 0; id < 256; id++) {
		record[0] = (uint8_t)id;
		assert_int_equal(decode(record, len, &out), id == GUEST_SPAWN ? 0 : WIRE_E_MALFORMED);
	}
}

static void
test_spawn_overflow(void **state)
{
	static char large[GUEST_ORDER_MAX + 1];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	usual_order(&in);
	in.argv[2] = span_of(large);
	assert_int_equal(encode(&in), 0);
}

/* ---- ctl ---- */

static size_t
encode_ctl(const struct guest_ctl *m, uint8_t buf[GUEST_CTL_MAX])
{
	struct wire_writer w;

	wire_writer_init(&w, buf, GUEST_CTL_MAX);
	guest_put_ctl(&w, m);
	assert_false(w.failed);
	return w.len;
}

static int
decode_ctl(const uint8_t *data, size_t len, struct guest_ctl *ret)
{
	struct wire_reader r;

	wire_reader_init(&r, data, len);
	return guest_get_ctl(&r, ret);
}

static const struct guest_ctl good_ctl[] = {
	{ .id = GUEST_CTL_STARTED },
	{ .id = GUEST_CTL_FAILED, .failed = { GUEST_FAIL_EXEC, 2 } },
	{ .id = GUEST_CTL_FAILED, .failed = { GUEST_FAIL_ORDER, UINT32_MAX } },
	{ .id = GUEST_CTL_EXITED, .exited = { false, 0, false } },
	{ .id = GUEST_CTL_EXITED, .exited = { false, 255, false } },
	{ .id = GUEST_CTL_EXITED, .exited = { true, 1, false } },
	{ .id = GUEST_CTL_EXITED, .exited = { true, 64, true } },
	{ .id = GUEST_CTL_SIGNAL, .signal = { 1 } },
	{ .id = GUEST_CTL_SIGNAL, .signal = { 64 } },
	{ .id = GUEST_CTL_CONNECTED },
	{ .id = GUEST_CTL_FAILED, .failed = { GUEST_FAIL_CONNECT, 111 } },
	{ .id = GUEST_CTL_FAILED, .failed = { GUEST_FAIL_LISTEN, 98 } },
	{ .id = GUEST_CTL_LISTENING, .listening = { 0 } },
	{ .id = GUEST_CTL_LISTENING, .listening = { 65535 } },
	{ .id = GUEST_CTL_ACCEPTED, .accepted = { false, { 0 }, 0 } },
	{ .id = GUEST_CTL_ACCEPTED, .accepted = { true, { false, { 127, 0, 0, 1 } }, 65535 } },
	{ .id = GUEST_CTL_ACCEPTED, .accepted = { true, { true, { [15] = 1 } }, 1 } },
	{ .id = GUEST_CTL_TAKEN },
};

static void
assert_ctl_eq(const struct guest_ctl *a, const struct guest_ctl *b)
{
	assert_int_equal(a->id, b->id);
	switch (a->id) {
	case GUEST_CTL_STARTED:
	case GUEST_CTL_CONNECTED:
	case GUEST_CTL_TAKEN:
		break;
	case GUEST_CTL_FAILED:
		assert_int_equal(a->failed.stage, b->failed.stage);
		assert_int_equal(a->failed.error, b->failed.error);
		break;
	case GUEST_CTL_EXITED:
		assert_int_equal(a->exited.signaled, b->exited.signaled);
		assert_int_equal(a->exited.value, b->exited.value);
		assert_int_equal(a->exited.core, b->exited.core);
		break;
	case GUEST_CTL_SIGNAL:
		assert_int_equal(a->signal.number, b->signal.number);
		break;
	case GUEST_CTL_LISTENING:
		assert_int_equal(a->listening.port, b->listening.port);
		break;
	case GUEST_CTL_ACCEPTED:
		assert_memory_equal(&a->accepted, &b->accepted, sizeof(a->accepted));
		break;
	}
}

static int
decode_listen(const uint8_t *data, size_t len, struct guest_listen *ret)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	struct wire_reader r;
	int result;

	assert_non_null(exact);
	memcpy(exact, data, len);
	wire_reader_init(&r, exact, len);
	result = guest_get_listen(&r, ret);
	free(exact);
	return result;
}

static size_t
encode_listen(const struct guest_listen *m, uint8_t *to, size_t cap)
{
	struct wire_writer w;

	wire_writer_init(&w, to, cap);
	guest_put_listen(&w, m);
	assert_false(w.failed);
	return w.len;
}

static void
test_listen(void **state)
{
	static const struct guest_listen good[] = {
		{ .kind = GUEST_LISTEN_TCP,
		    .n = 2,
		    .addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } },
		    .port = 0 },
		{ .kind = GUEST_LISTEN_TCP, .n = 1, .port = 65535 },
		{ .kind = GUEST_LISTEN_UNIX, .path = "/dev/shm/x/agent" },
		{ .kind = GUEST_LISTEN_X11,
		    .n = 1,
		    .addresses = { { false, { 127, 0, 0, 1 } } },
		    .port = 6010,
		    .path = "/dev/shm/x/key",
		    .n_ports = 1000,
		    .name = { (const uint8_t *)"NAME", 4 },
		    .cookie = { (const uint8_t *)"\0\1\2", 3 },
		    .only_one = true },
	};
	struct guest_listen m = good[0];
	struct guest_listen back;
	uint8_t buf[256];
	size_t len;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		len = encode_listen(&good[i], buf, sizeof(buf));
		assert_int_equal(decode_listen(buf, len, &back), 0);
		assert_int_equal(back.kind, good[i].kind);
		assert_int_equal(back.n, good[i].n);
		assert_int_equal(back.port, good[i].port);
		assert_string_equal(back.path, good[i].path);
		assert_int_equal(back.n_ports, good[i].n_ports);
		assert_int_equal(back.name.len, good[i].name.len);
		assert_int_equal(back.cookie.len, good[i].cookie.len);
		assert_int_equal(back.only_one, good[i].only_one);
		assert_memory_equal(back.addresses, good[i].addresses, sizeof(back.addresses));
		for (size_t n = 0; n < len; n++)
			assert_int_not_equal(decode_listen(buf, n, &back), 0);
		buf[len] = 0;
		assert_int_not_equal(decode_listen(buf, len + 1, &back), 0);
		buf[0] = GUEST_CONNECT;
		assert_int_not_equal(decode_listen(buf, len, &back), 0);
		buf[0] = GUEST_LISTEN;
		buf[1] = 4;
		assert_int_not_equal(decode_listen(buf, len, &back), 0);
		buf[1] = 0;
		assert_int_not_equal(decode_listen(buf, len, &back), 0);
	}
	m.port = 65536;
	len = encode_listen(&m, buf, sizeof(buf));
	assert_int_not_equal(decode_listen(buf, len, &back), 0);
	/* A path that is none, or holds a NUL, or is longer than a socket's can be. */
	m = (struct guest_listen){ .kind = GUEST_LISTEN_UNIX, .path = "relative" };
	len = encode_listen(&m, buf, sizeof(buf));
	assert_int_not_equal(decode_listen(buf, len, &back), 0);
	memcpy(buf + 6, "/dev\0shm", 8);
	assert_int_not_equal(decode_listen(buf, len, &back), 0);
	memset(m.path, '/', sizeof(m.path) - 1);
	len = encode_listen(&m, buf, sizeof(buf));
	assert_int_equal(decode_listen(buf, len, &back), 0);
	buf[5]++;
	buf[len] = '/';
	assert_int_not_equal(decode_listen(buf, len + 1, &back), 0);
}

/* The ports are displays, and so many as there are; what is shown has a bound. */
static void
test_listen_display(void **state)
{
	static const uint8_t bytes[GUEST_X11_COOKIE_MAX + 1] = { 'x' };
	static const uint8_t text[] =
	    "MIT-MAGIC-COOKIE-1MIT-MAGIC-COOKIE-1MIT-MAGIC-COOKIE-1-----------";
	static const struct {
		uint32_t port;
		uint32_t n_ports;
		size_t name;
		size_t cookie;
		bool good;
	} cases[] = {
		{ GUEST_X11_PORT + 1, 1, 0, 0, true },
		{ 65535, 1, GUEST_X11_NAME_MAX, GUEST_X11_COOKIE_MAX, true },
		{ GUEST_X11_PORT + 1, 65536 - GUEST_X11_PORT - 1, 1, 1, true },
		{ GUEST_X11_PORT + 1, 65536 - GUEST_X11_PORT, 1, 1, false },
		{ GUEST_X11_PORT + 1, UINT32_MAX, 1, 1, false },
		{ GUEST_X11_PORT + 1, 0, 1, 1, false },
		{ GUEST_X11_PORT, 1, 1, 1, false },
		{ 0, 1, 1, 1, false },
		{ 65536, 1, 1, 1, false },
		{ 65535, 2, 1, 1, false },
		{ 6010, 1, GUEST_X11_NAME_MAX + 1, 1, false },
		{ 6010, 1, 1, GUEST_X11_COOKIE_MAX + 1, false },
	};
	struct guest_listen back;
	uint8_t buf[512];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct guest_listen m = { .kind = GUEST_LISTEN_X11,
			.n = 1,
			.port = cases[i].port,
			.path = "/x/y",
			.n_ports = cases[i].n_ports,
			.name = { text, cases[i].name },
			.cookie = { bytes, cases[i].cookie } };
		size_t len = encode_listen(&m, buf, sizeof(buf));

		assert_int_equal(decode_listen(buf, len, &back) == 0, cases[i].good);
	}
}

static int
decode_connect(const uint8_t *data, size_t len, struct guest_connect *ret)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	struct wire_reader r;
	int result;

	assert_non_null(exact);
	memcpy(exact, data, len);
	wire_reader_init(&r, exact, len);
	result = guest_get_connect(&r, ret);
	free(exact);
	return result;
}

static void
test_connect(void **state)
{
	struct guest_connect m = { .n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } },
		.port = 8080 };
	/* id; number of addresses; a bool */
	static const struct {
		size_t at;
		uint8_t byte;
	} bad[] = { { 0, GUEST_SPAWN }, { 4, 0 }, { 4, 3 }, { 1, 1 }, { 5, 2 } };
	struct guest_connect got;
	uint8_t buf[64];
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_connect(&w, &m);
	assert_false(w.failed);
	assert_int_equal(decode_connect(buf, w.len, &got), 0);
	assert_memory_equal(&got, &m, sizeof(m));
	for (size_t n = 0; n < w.len; n++)
		assert_int_equal(decode_connect(buf, n, &got), WIRE_E_MALFORMED);
	buf[w.len] = 0;
	assert_int_equal(decode_connect(buf, w.len + 1, &got), WIRE_E_MALFORMED);
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		wire_writer_init(&w, buf, sizeof(buf));
		guest_put_connect(&w, &m);
		buf[bad[i].at] = bad[i].byte;
		assert_int_equal(decode_connect(buf, w.len, &got), WIRE_E_MALFORMED);
	}
	for (int i = 0; i < 2; i++) {
		m.port = i == 0 ? 0 : 65536;
		wire_writer_init(&w, buf, sizeof(buf));
		guest_put_connect(&w, &m);
		assert_int_equal(decode_connect(buf, w.len, &got), WIRE_E_MALFORMED);
	}
}

/* By name: what a broker never says is refused all the same. */
static void
test_connect_name(void **state)
{
	struct guest_connect m = { .name = "web_1.example.org",
		.n_networks = 3,
		.networks = { { false, 8, { 10 } }, { true, 128, { [15] = 1 } },
		    { false, 32, { 127, 0, 0, 1 } } },
		.port = 8080 };
	static const char *const names[] = { "", "127.1", "0x7f.1", "2130706433", "::1", "a b",
		"a..b", "a\n" };
	/* id; number of networks; IPv6; bits, too many or too few for the address */
	static const struct {
		size_t at;
		uint8_t byte;
	} bad[] = { { 0, GUEST_CONNECT }, { 0, GUEST_LISTEN }, { 25, 0 }, { 25, 2 }, { 25, 4 },
		{ 22, 1 }, { 26, 1 }, { 26, 2 }, { 27, 33 }, { 27, 255 }, { 27, 4 }, { 5, 0 },
		{ 5, ' ' }, { 4, 16 } };
	struct guest_connect full = m;
	struct guest_connect got;
	uint8_t buf[GUEST_CONNECT_MAX + 1];
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_connect(&w, &m);
	assert_false(w.failed);
	assert_int_equal(buf[0], GUEST_CONNECT_NAME);
	assert_int_equal(decode_connect(buf, w.len, &got), 0);
	assert_memory_equal(&got, &m, sizeof(m));
	for (size_t n = 0; n < w.len; n++)
		assert_int_equal(decode_connect(buf, n, &got), WIRE_E_MALFORMED);
	buf[w.len] = 0;
	assert_int_equal(decode_connect(buf, w.len + 1, &got), WIRE_E_MALFORMED);
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		wire_writer_init(&w, buf, sizeof(buf));
		guest_put_connect(&w, &m);
		buf[bad[i].at] = bad[i].byte;
		if (decode_connect(buf, w.len, &got) != WIRE_E_MALFORMED)
			fail_msg("case %zu", i);
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		struct guest_connect named = m;

		strcpy(named.name, names[i]);
		wire_writer_init(&w, buf, sizeof(buf));
		guest_put_connect(&w, &named);
		assert_int_equal(decode_connect(buf, w.len, &got), WIRE_E_MALFORMED);
	}
	for (uint32_t port = 0; port <= 65536; port += 65536) {
		struct guest_connect other = m;

		other.port = port;
		wire_writer_init(&w, buf, sizeof(buf));
		guest_put_connect(&w, &other);
		assert_int_equal(decode_connect(buf, w.len, &got), WIRE_E_MALFORMED);
	}
	/* The largest there is, and one more of each. */
	for (size_t i = 0; i < NETWORK_NAME_MAX; i++)
		full.name[i] = i % 2 == 0 ? 'a' : '.';
	full.n_networks = GUEST_NETWORKS_MAX;
	for (size_t i = 0; i < GUEST_NETWORKS_MAX; i++)
		full.networks[i] = m.networks[1];
	wire_writer_init(&w, buf, GUEST_CONNECT_MAX);
	guest_put_connect(&w, &full);
	assert_false(w.failed);
	assert_int_equal(decode_connect(buf, w.len, &got), 0);
	assert_memory_equal(&got, &full, sizeof(full));
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, GUEST_CONNECT_NAME);
	wire_put_cstr(&w, "a");
	wire_put_u32(&w, GUEST_NETWORKS_MAX + 1);
	for (size_t i = 0; i <= GUEST_NETWORKS_MAX; i++)
		wire_put_bytes(&w, "\0\40\177\0\0\1", 6);
	wire_put_u32(&w, 80);
	assert_false(w.failed);
	assert_int_equal(decode_connect(buf, w.len, &got), WIRE_E_MALFORMED);
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, GUEST_CONNECT_NAME);
	wire_put_u32(&w, NETWORK_NAME_MAX + 1);
	wire_put_bytes(&w, full.name, NETWORK_NAME_MAX);
	wire_put_bytes(&w, "\0\0\0\1\0\40\177\0\0\1\0\0\0\120", 14);
	assert_int_equal(decode_connect(buf, w.len, &got), WIRE_E_MALFORMED);
}

static int
decode_found(const uint8_t *data, size_t len, struct guest_found *ret)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	struct wire_reader r;
	int result;

	assert_non_null(exact);
	memcpy(exact, data, len);
	wire_reader_init(&r, exact, len);
	result = guest_get_found(&r, ret);
	free(exact);
	return result;
}

/* What a process says that a name server may have taken over. */
static void
test_found(void **state)
{
	struct guest_found m = { .n = GUEST_FOUND_ADDRESSES_MAX };
	const struct guest_found failed = { .error = 2 };
	const struct guest_found nothing = { .error = 0 };
	struct guest_found got;
	uint8_t buf[GUEST_FOUND_MAX + 8];
	struct wire_writer w;

	(void)state;
	for (size_t i = 0; i < GUEST_FOUND_ADDRESSES_MAX; i++)
		m.addresses[i] = (struct guest_address){ true, { [15] = (uint8_t)i } };
	wire_writer_init(&w, buf, GUEST_FOUND_MAX);
	guest_put_found(&w, &m);
	assert_false(w.failed);
	assert_int_equal(decode_found(buf, w.len, &got), 0);
	assert_memory_equal(&got, &m, sizeof(m));
	for (size_t n = 0; n < w.len; n++)
		assert_int_equal(decode_found(buf, n, &got), WIRE_E_MALFORMED);
	buf[w.len] = 0;
	assert_int_equal(decode_found(buf, w.len + 1, &got), WIRE_E_MALFORMED);
	buf[3] = 1; /* an error, and addresses */
	assert_int_equal(decode_found(buf, w.len, &got), WIRE_E_MALFORMED);
	buf[3] = 0;
	buf[7]++; /* one more than there may be, and a v4 one is there */
	memset(buf + w.len, 0, 5);
	assert_int_equal(decode_found(buf, w.len + 5, &got), WIRE_E_MALFORMED);
	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_found(&w, &failed);
	assert_int_equal(decode_found(buf, w.len, &got), 0);
	assert_int_equal(got.error, 2);
	assert_int_equal(got.n, 0);
	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_found(&w, &nothing);
	assert_int_equal(decode_found(buf, w.len, &got), WIRE_E_MALFORMED);
}

static void
test_ctl(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good_ctl); i++) {
		uint8_t buf[GUEST_CTL_MAX + 1];
		size_t len = encode_ctl(&good_ctl[i], buf);
		struct guest_ctl got;

		assert_int_equal(decode_ctl(buf, len, &got), 0);
		assert_ctl_eq(&got, &good_ctl[i]);
		for (size_t n = 0; n < len; n++)
			assert_int_equal(decode_ctl(buf, n, &got), WIRE_E_MALFORMED);
		for (unsigned byte = 0; byte < 256; byte++) {
			buf[len] = (uint8_t)byte;
			assert_int_equal(decode_ctl(buf, len + 1, &got), WIRE_E_MALFORMED);
		}
	}
}

static void
test_ctl_bounds(void **state)
{
	static const struct guest_ctl bad[] = {
		{ .id = GUEST_CTL_FAILED, .failed = { (enum guest_fail_stage)0, 2 } },
		{ .id = GUEST_CTL_FAILED, .failed = { (enum guest_fail_stage)8, 2 } },
		{ .id = GUEST_CTL_EXITED, .exited = { false, 256, false } },
		{ .id = GUEST_CTL_EXITED, .exited = { true, 0, false } },
		{ .id = GUEST_CTL_EXITED, .exited = { true, 65, false } },
		{ .id = GUEST_CTL_EXITED, .exited = { false, 0, true } },
		{ .id = GUEST_CTL_SIGNAL, .signal = { 0 } },
		{ .id = GUEST_CTL_SIGNAL, .signal = { 65 } },
		{ .id = GUEST_CTL_SIGNAL, .signal = { UINT32_MAX } },
		{ .id = GUEST_CTL_LISTENING, .listening = { 65536 } },
		{ .id = GUEST_CTL_ACCEPTED, .accepted = { true, { false, { 0 } }, 65536 } },
	};
	struct guest_ctl got;
	uint8_t buf[GUEST_CTL_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++)
		assert_int_equal(decode_ctl(buf, encode_ctl(&bad[i], buf), &got), WIRE_E_MALFORMED);
	for (unsigned id = 0; id < 256; id++) {
		static const uint8_t body[9] = { 0 };

		buf[0] = (uint8_t)id;
		memcpy(buf + 1, body, sizeof(body));
		/* No message is 10 bytes long: EXITED has 7, FAILED 9, SIGNAL and LISTENING 5,
		 * ACCEPTED 2, 11 or 23, the others 1. */
		assert_int_equal(decode_ctl(buf, 10, &got), WIRE_E_MALFORMED);
		if (id != GUEST_CTL_STARTED && id != GUEST_CTL_CONNECTED && id != GUEST_CTL_TAKEN)
			assert_int_equal(decode_ctl(buf, 1, &got), WIRE_E_MALFORMED);
	}
	/* A bool has two values. */
	for (unsigned v = 2; v < 256; v++) {
		size_t len = encode_ctl(&good_ctl[3], buf);

		buf[1] = (uint8_t)v;
		assert_int_equal(decode_ctl(buf, len, &got), WIRE_E_MALFORMED);
		len = encode_ctl(&good_ctl[6], buf);
		buf[len - 1] = (uint8_t)v;
		assert_int_equal(decode_ctl(buf, len, &got), WIRE_E_MALFORMED);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spawn_round_trip),
		cmocka_unit_test(test_spawn_truncated_and_trailing),
		cmocka_unit_test(test_spawn_each_byte_changed),
		cmocka_unit_test(test_spawn_bounds),
		cmocka_unit_test(test_spawn_modes),
		cmocka_unit_test(test_spawn_too_many),
		cmocka_unit_test(test_spawn_texts),
		cmocka_unit_test(test_spawn_unknown_id),
		cmocka_unit_test(test_spawn_overflow),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_name),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_listen_display),
		cmocka_unit_test(test_ctl),
		cmocka_unit_test(test_ctl_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
