/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every decoder of the pair between worker and broker. What decodes is within its bounds, and encodes
 * to the same bytes: no message has two spellings, so nobody reads it in two ways.
 *
 * Covers: ipc_get_hello ipc_get_ready ipc_get_connection ipc_get_req_sign ipc_get_ans_sign
 * Covers: ipc_get_req_query ipc_get_ans_query ipc_get_req_auth ipc_get_ans_auth ipc_get_req_start
 * Covers: ipc_get_ans_start ipc_get_req_close ipc_get_activity ipc_get_notice get_env get_pty get_count get_channel
 * Covers: ipc_get_req_forward ipc_get_ans_forward ipc_get_refused ipc_get_req_listen get_display
 * Floor: 44
 */
#include <string.h>

#include "fuzz.h"
#include "ipc_msg.h"

static uint8_t out[2 * IPC_RECORD_MAX];

void
fuzz_setup(void)
{
}

static bool
is_text(struct wire_span s, size_t max)
{
	return s.len <= max && (s.len == 0 || memchr(s.data, '\0', s.len) == NULL);
}

static void
check_start(const struct ipc_req_start *m)
{
	size_t total = 0;

	FUZZ_CHECK(m->channel < IPC_CHANNEL_MAX && m->n_env <= IPC_ENV_MAX);
	FUZZ_CHECK(is_text(m->command, IPC_COMMAND_MAX));
	FUZZ_CHECK(m->kind >= IPC_START_SHELL && m->kind <= IPC_START_SUBSYSTEM);
	FUZZ_CHECK(m->kind != IPC_START_SHELL || m->command.len == 0);
	FUZZ_CHECK(m->kind != IPC_START_SUBSYSTEM ||
	    (m->command.len > 0 && m->command.len <= IPC_SUBSYSTEM_MAX));
	FUZZ_CHECK(strnlen(m->pty.term, sizeof(m->pty.term)) <= IPC_TERM_MAX);
	for (uint32_t i = 0; i < m->n_env; i++) {
		const struct ipc_env *e = &m->env[i];

		FUZZ_CHECK(is_text(e->name, IPC_ENV_NAME_MAX) && e->name.len > 0);
		FUZZ_CHECK(memchr(e->name.data, '=', e->name.len) == NULL);
		FUZZ_CHECK(is_text(e->value, IPC_ENV_VALUE_MAX));
		total += e->name.len + e->value.len;
	}
	FUZZ_CHECK(total <= IPC_ENV_BYTES_MAX);
}

/* Each: decode, check bounds, encode. The decoders take the body, the encoders write the id too. */
#define CASE(id, name, check)                   \
	case id: {                              \
		struct ipc_##name m;            \
                                                \
		if (ipc_get_##name(r, &m) != 0) \
			return false;           \
		check;                          \
		ipc_put_##name(w, &m);          \
		return true;                    \
	}

static bool
decode(uint8_t id, struct wire_reader *r, struct wire_writer *w)
{
	switch (id) {
		CASE(IPC_HELLO, hello, FUZZ_CHECK(m.n_host_keys <= IPC_HOST_KEYS_MAX))
		CASE(IPC_READY, ready, )
		CASE(IPC_REQ_SIGN, req_sign, FUZZ_CHECK(strlen(m.algorithm) <= IPC_ALGO_MAX))
		CASE(IPC_ANS_SIGN, ans_sign, FUZZ_CHECK(m.signature.len <= IPC_SIG_MAX))
		CASE(IPC_REQ_QUERY, req_query,
		    FUZZ_CHECK(m.user.len <= IPC_USER_MAX && m.blob.len <= IPC_BLOB_MAX))
		CASE(IPC_ANS_QUERY, ans_query, )
		CASE(IPC_REQ_AUTH, req_auth,
		    FUZZ_CHECK(m.user.len <= IPC_USER_MAX && m.blob.len <= IPC_BLOB_MAX &&
			m.signature.len <= IPC_SIG_MAX && strlen(m.algorithm) <= IPC_ALGO_MAX))
		CASE(IPC_ANS_AUTH, ans_auth,
		    FUZZ_CHECK(is_text(m.text, IPC_TEXT_MAX) && is_text(m.greeting, IPC_TEXT_MAX) &&
			m.n_env <= IPC_ENV_MAX && m.max_channels <= IPC_CHANNEL_MAX))
		CASE(IPC_REQ_START, req_start, check_start(&m))
		CASE(IPC_ANS_START, ans_start,
		    FUZZ_CHECK(m.channel < IPC_CHANNEL_MAX && m.result <= IPC_START_FAILED &&
			is_text(m.text, IPC_TEXT_MAX)))
		CASE(IPC_REQ_CLOSE, req_close, FUZZ_CHECK(m.channel < IPC_CHANNEL_MAX))
		CASE(IPC_ACTIVITY, activity, )
		CASE(IPC_REQ_FORWARD, req_forward,
		    FUZZ_CHECK(m.channel < IPC_CHANNEL_MAX && m.host.len > 0 &&
			is_text(m.host, IPC_HOST_MAX) && m.port > 0 && m.port <= 65535))
		CASE(IPC_ANS_FORWARD, ans_forward,
		    FUZZ_CHECK(m.channel < IPC_CHANNEL_MAX && m.result <= IPC_START_FAILED &&
			is_text(m.text, IPC_TEXT_MAX)))
		CASE(IPC_REQ_LISTEN, req_listen,
		    FUZZ_CHECK(m.channel < IPC_CHANNEL_MAX && m.kind >= IPC_LISTEN_TCP &&
			m.kind <= IPC_LISTEN_X11 && is_text(m.host, IPC_HOST_MAX) && m.port <= 65535 &&
			is_text(m.name, IPC_X11_NAME_MAX) && m.cookie.len <= IPC_X11_COOKIE_MAX))
		CASE(IPC_ACCEPTED, accepted,
		    FUZZ_CHECK(m.channel < IPC_CHANNEL_MAX && m.listener < IPC_CHANNEL_MAX &&
			is_text(m.from, IPC_ADDRESS_MAX) && m.port <= 65535))
		CASE(IPC_REFUSED, refused,
		    FUZZ_CHECK(m.kind >= IPC_REFUSED_PTY && m.kind < IPC_REFUSED_END &&
			is_text(m.detail, IPC_DETAIL_MAX)))
		CASE(IPC_NOTICE, notice, FUZZ_CHECK(is_text(m.text, IPC_TEXT_MAX)))
	case IPC_ANS_LISTEN:
	case IPC_ANS_ACCEPTED: {
		struct ipc_ans_forward m;

		if (ipc_get_ans_forward(r, &m) != 0)
			return false;
		if (id == IPC_ANS_LISTEN)
			ipc_put_ans_listen(w, &m);
		else
			ipc_put_ans_accepted(w, &m);
		return true;
	}
	case IPC_CONNECTION:
		if (ipc_get_connection(r) != 0)
			return false;
		ipc_put_connection(w);
		return true;
	default:
		return false;
	}
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct wire_reader r;
	struct wire_writer w;
	uint8_t id;

	if (len > IPC_RECORD_MAX)
		return;
	wire_reader_init(&r, data, len);
	wire_writer_init(&w, out, sizeof(out));
	id = wire_get_u8(&r);
	if (!decode(id, &r, &w))
		return;
	FUZZ_CHECK(!w.failed && w.len == len && memcmp(w.data, data, len) == 0);
}

static struct wire_span
span(const char *s)
{
	return (struct wire_span){ (const uint8_t *)s, strlen(s) };
}

#define SEED(name, ...)                                                  \
	do {                                                             \
		struct wire_writer w;                                    \
                                                                         \
		wire_writer_init(&w, out, sizeof(out));                  \
		ipc_put_##name(&w, &(struct ipc_##name){ __VA_ARGS__ }); \
		fuzz_seed(w.data, w.len);                                \
	} while (0)

void
fuzz_seeds(void)
{
	static const uint8_t connection[] = { IPC_CONNECTION };

	SEED(hello, .version = IPC_VERSION, .login_tries = 6, .banner = span("Hello\n"),
	    .n_host_keys = 2, .host_keys = { span("blob"), span("another") });
	SEED(ready, .version = IPC_VERSION);
	fuzz_seed(connection, sizeof(connection));
	SEED(req_sign, .algorithm = "ssh-ed25519", .transcript = span("what was exchanged"));
	SEED(ans_sign, .signature = span("0123456789abcdef0123456789abcdef"));
	SEED(activity, .bytes_in = 1234, .bytes_out = 1ULL << 40, .idle_seconds = 3);
	SEED(req_query, .user = span("alice"), .blob = span("key"));
	SEED(ans_query, .acceptable = true);
	SEED(req_auth, .user = span("alice"), .algorithm = "ssh-ed25519", .blob = span("key"),
	    .signature = span("proof"), .sk_flags = 5, .sk_counter = 77);
	SEED(ans_auth, .text = span("You are not from here."));
	SEED(ans_auth, .accepted = true, .pty = true, .exec = true, .max_channels = 10, .n_env = 2,
	    .env = { span("LANG"), span("LC_*") });
	SEED(req_start, .channel = 3, .kind = IPC_START_EXEC, .command = span("ls -l"), .n_env = 1,
	    .env = { { span("LANG"), span("C.UTF-8") } });
	SEED(req_start, .kind = IPC_START_SHELL, .want_pty = true,
	    .pty = { .term = "xterm", .columns = 80, .rows = 24 });
	SEED(req_start, .kind = IPC_START_SHELL, .want_pty = true, .pty = { .term = "xterm" },
	    .modes = { (const uint8_t *)"\3\0\0\0\10\65\0\0\0\0", 10 });
	SEED(req_start, .channel = 2, .kind = IPC_START_SUBSYSTEM, .command = span("sftp"));
	SEED(req_start, .channel = 4, .kind = IPC_START_EXEC, .command = span("xterm"),
	    .want_display = true, .display = { .listener = 11, .number = 10, .screen = 1 });
	SEED(ans_start, .channel = 63, .result = IPC_START_FAILED, .text = span("It is gone."));
	SEED(req_close, .channel = 1);
	SEED(req_forward, .channel = 7, .host = span("localhost"), .port = 8080);
	SEED(ans_forward, .channel = 7, .result = IPC_START_REFUSED, .text = span("No."));
	SEED(req_listen, .channel = 8, .kind = IPC_LISTEN_TCP, .host = span("localhost"), .port = 0);
	SEED(req_listen, .channel = 9, .kind = IPC_LISTEN_AGENT);
	SEED(req_listen, .channel = 11, .kind = IPC_LISTEN_X11, .name = span("MIT-MAGIC-COOKIE-1"),
	    .cookie = span("0123456789abcdef"));
	SEED(accepted, .channel = 10, .listener = 8, .from = span("127.0.0.1"), .port = 4242);
	SEED(refused, .kind = IPC_REFUSED_SUBSYSTEM, .detail = span("netconf"));
	SEED(notice, .kind = IPC_NOTICE_END, .text = span("Good night."));
}
