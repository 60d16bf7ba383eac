/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's HTTP, byte by byte, through the real client and libcurl: whatever comes, in whatever
 * pieces, the call ends exactly once, its answer is within its bounds, and nothing stays open.
 *
 * The input is a row of pieces: what to do after it, a byte for that, u16 length, bytes that the
 * engine sends. They answer one connection after another.
 *
 * Covers: engine_http_start engine_http_cancel on_body on_header take_version append on_send judge
 * Covers: explain finish pump on_ready on_timer set_timer set_watch watch_set set_method set_headers
 * Floor: 30
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine_http.h"
#include "fd.h"
#include "fuzz.h"

#define HEAD       4
#define BODY_MAX   1024
#define PIECES_MAX 32
#define TURNS      6

enum after {
	GO_ON,
	CLOSE,
	NEXT_CALL,
	CANCEL,
	N_AFTER,
};

static char directory[] = "/tmp/sp-fuzz-http-XXXXXX";
static struct sockaddr_un address = { .sun_family = AF_UNIX };

static struct {
	struct event_base *base;
	struct engine_http *http;
	struct engine_http_call *call;
	int listener, connection;
	unsigned begun, done;
} at;

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_records(data, size, max, seed, HEAD);
}

static void
clean_up(void)
{
	(void)unlink(address.sun_path);
	(void)rmdir(directory);
}

void
fuzz_setup(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	FUZZ_CHECK(mkdtemp(directory) != NULL && atexit(clean_up) == 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/engine", directory);
	at.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	FUZZ_CHECK(at.listener >= 0 &&
	    bind(at.listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(at.listener, 16) == 0);
}

static void
on_done(void *arg, const struct engine_http_reply *reply)
{
	(void)arg;
	at.done++;
	at.call = NULL;
	FUZZ_CHECK(reply->body != NULL && reply->len <= BODY_MAX && reply->body[reply->len] == '\0');
	FUZZ_CHECK(reply->status < 1000 && (reply->outcome == ENGINE_HTTP_OK || reply->len == 0));
	FUZZ_CHECK((reply->outcome == ENGINE_HTTP_OK) == (reply->detail[0] == '\0'));
	FUZZ_CHECK(
	    strnlen(reply->api_version, sizeof(reply->api_version)) < sizeof(reply->api_version));
	for (const char *p = reply->detail; *p != '\0'; p++)
		FUZZ_CHECK(*p >= 0x20 && *p < 0x7f);
}

/* The engine takes every connection and never reads: the newest one is answered. */
static void
turn(void)
{
	int fd;

	for (unsigned i = 0; i < TURNS; i++) {
		FUZZ_CHECK(event_base_loop(at.base, EVLOOP_NONBLOCK) >= 0);
		fd = accept4(at.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			continue;
		fd_close(&at.connection);
		at.connection = fd;
	}
}

static void
begin_call(uint8_t kind)
{
	struct engine_http_ask ask = { .method = (enum engine_http_method)(kind % 3),
		.path = "/v1.41/containers/json?all=1",
		.body = kind % 3 == ENGINE_HTTP_POST ? "{}" : NULL,
		.timeout_ms = 60000,
		.body_max = BODY_MAX };

	if (at.call != NULL)
		return;
	FUZZ_CHECK(engine_http_start(at.http, &ask, on_done, NULL, &at.call) == 0);
	at.begun++;
	turn();
}

static void
piece(enum after after, uint8_t detail, const uint8_t *data, size_t len)
{
	if (at.connection >= 0 && len > 0)
		(void)send(at.connection, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	turn();
	if (after == CLOSE)
		fd_close(&at.connection);
	if (after == CANCEL && at.call != NULL) {
		engine_http_cancel(at.call);
		at.call = NULL;
		at.done++;
	}
	turn();
	if (after == NEXT_CALL)
		begin_call(detail);
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	int before = fuzz_next_fd();

	at.begun = at.done = 0;
	at.connection = -1;
	at.call = NULL;
	at.base = event_base_new();
	FUZZ_CHECK(at.base != NULL);
	FUZZ_CHECK(engine_http_new(at.base, address.sun_path, &at.http) == 0);
	begin_call(0);
	for (unsigned i = 0; i < PIECES_MAX && in.left > 0; i++) {
		enum after after = (enum after)(fuzz_u8(&in) % N_AFTER);
		uint8_t detail = fuzz_u8(&in);
		uint32_t n = fuzz_u16(&in);
		size_t n_bytes;
		const uint8_t *bytes = fuzz_bytes(&in, n, &n_bytes);

		piece(after, detail, bytes, n_bytes);
	}
	/* The engine dies. Whoever waits hears of it; curl may try a GET once more. */
	for (unsigned i = 0; i < 4 && at.call != NULL; i++) {
		fd_close(&at.connection);
		turn();
	}
	FUZZ_CHECK(at.call == NULL && at.begun == at.done);
	engine_http_free(at.http);
	event_base_free(at.base);
	fd_close(&at.connection);
	FUZZ_CHECK(fuzz_next_fd() == before);
}

static size_t
put(uint8_t *out, enum after after, uint8_t detail, const char *text)
{
	size_t n = strlen(text);

	out[0] = (uint8_t)after;
	out[1] = detail;
	out[2] = (uint8_t)(n >> 8);
	out[3] = (uint8_t)n;
	memcpy(out + HEAD, text, n);
	return n + HEAD;
}

void
fuzz_seeds(void)
{
	static const struct {
		enum after after;
		const char *text;
	} lines[] = {
		{ NEXT_CALL, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\n[]" },
		{ NEXT_CALL,
		    "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n" },
		{ NEXT_CALL, "HTTP/1.1 204 No Content\r\n\r\n" },
		{ CLOSE, "HTTP/1.1 500 Oops\r\nContent-Length: 20\r\n\r\n{\"message\"" },
		{ NEXT_CALL, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n" },
		{ CANCEL, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n[]" },
		{ CLOSE,
		    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n" },
		{ CLOSE, "HTTP/1.1 101 Switching\r\nUpgrade: tcp\r\n\r\nbytes" },
		{ CLOSE, "HTTP/1.0 200 OK\r\n\r\n[]" },
		{ CLOSE, "\x16\x03\x01 what is this\r\n\r\n" },
		{ CLOSE, "HTTP/2 200\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\n\r\n" },
	};
	uint8_t buf[4096];
	size_t n = 0;

	for (size_t i = 0; i < SP_ARRAY_LEN(lines); i++) {
		fuzz_seed(buf, put(buf, lines[i].after, (uint8_t)i, lines[i].text));
		n += put(buf + n, NEXT_CALL, (uint8_t)i, lines[i].text);
		if (i == 4) {
			fuzz_seed(buf, n);
			n = 0;
		}
	}
	/* In three pieces, and too long. */
	n = put(buf, GO_ON, 0, "HTTP/1.1 200 OK\r\nContent-");
	n += put(buf + n, GO_ON, 0, "Length: 5000\r\n\r");
	n += put(buf + n, GO_ON, 0, "\n0123456789");
	memset(buf + n, 'x', 1500);
	buf[n] = GO_ON;
	buf[n + 2] = 1400 >> 8;
	buf[n + 3] = 1400 & 255;
	fuzz_seed(buf, n + HEAD + 1400);
}
