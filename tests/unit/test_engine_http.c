/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP to the engine: whatever the other side does, one bounded answer or none after a cancel. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "engine_http.h"
#include "fake_engine.h"
#include "fd.h"

#define DEADLINE_MS 150

struct fixture {
	struct event_base *base;
	struct engine_http *http;
	struct fake *fake;
};

struct outcome {
	struct fixture *f;
	unsigned calls;
	struct engine_http_reply reply;
	char body[256];
	int stream;
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct fixture
set_up(const struct fake_rule *rules, size_t n)
{
	struct fixture f = { .base = event_base_new(), .fake = fake_new(rules, n) };

	assert_non_null(f.base);
	assert_int_equal(engine_http_new(f.base, fake_path(f.fake), &f.http), 0);
	return f;
}

static void
tear_down(struct fixture *f)
{
	assert_null(engine_http_free(f->http));
	event_base_free(f->base);
	fake_free(f->fake);
}

static void
on_done(void *arg, const struct engine_http_reply *reply)
{
	struct outcome *o = arg;

	o->calls++;
	o->reply = *reply;
	o->stream = fd_steal(reply->fd);
	(void)snprintf(o->body, sizeof(o->body), "%s", reply->body);
	assert_int_equal(reply->body[reply->len], '\0');
	(void)event_base_loopbreak(o->f->base);
}

static void
run_for(struct fixture *f, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	assert_int_equal(event_base_loopexit(f->base, &tv), 0);
	(void)event_base_dispatch(f->base);
}

/* One call to its end. */
static struct outcome
run_ask(struct fixture *f, const struct engine_http_ask *a)
{
	struct outcome o = { .f = f };

	assert_int_equal(engine_http_start(f->http, a, on_done, &o, NULL), 0);
	assert_int_equal(o.calls, 0);
	(void)event_base_dispatch(f->base);
	assert_int_equal(o.calls, 1);
	return o;
}

static struct outcome
ask(struct fixture *f, enum engine_http_method method, const char *path, const char *body)
{
	struct engine_http_ask a = { .method = method,
		.path = path,
		.body = body,
		.timeout_ms = 5000,
		.body_max = 4096 };
	struct outcome o = run_ask(f, &a);

	assert_int_equal(o.stream, -1);
	return o;
}

static struct outcome
ask_upgrade(struct fixture *f, const char *path)
{
	struct engine_http_ask a = { .method = ENGINE_HTTP_POST,
		.path = path,
		.body = "{}",
		.timeout_ms = DEADLINE_MS * 4,
		.body_max = 4096,
		.upgrade = true };

	return run_ask(f, &a);
}

static void
answers_arrive(void **state)
{
	static const struct fake_rule rules[] = {
		{ .path = "/plain", .status = 200, .body = "[1]" },
		{ .path = "/chunked", .act = FAKE_CHUNKED, .status = 201, .body = "{\"a\":1}" },
		{ .path = "/broken", .status = 500, .body = "{\"message\":\"oops\"}" },
		{ .path = "/none", .status = 204 },
		{ .path = "/moved",
		    .status = 302,
		    .headers = "Location: http://engine/plain\r\n",
		    .body = "x" },
	};
	struct fixture f = set_up(rules, SP_ARRAY_LEN(rules));
	struct outcome o;

	(void)state;
	o = ask(&f, ENGINE_HTTP_GET, "/plain?x=1", NULL);
	assert_int_equal(o.reply.outcome, ENGINE_HTTP_OK);
	assert_int_equal(o.reply.status, 200);
	assert_string_equal(o.body, "[1]");
	assert_string_equal(o.reply.api_version, "1.41");
	o = ask(&f, ENGINE_HTTP_POST, "/chunked", "{\"name\":1}");
	assert_int_equal(o.reply.status, 201);
	assert_string_equal(o.body, "{\"a\":1}");
	assert_string_equal(o.reply.api_version, "");
	assert_string_equal(fake_body(f.fake), "{\"name\":1}");
	o = ask(&f, ENGINE_HTTP_GET, "/broken", NULL);
	assert_int_equal(o.reply.status, 500);
	o = ask(&f, ENGINE_HTTP_DELETE, "/none", NULL);
	assert_int_equal(o.reply.status, 204);
	assert_int_equal(o.reply.len, 0);
	o = ask(&f, ENGINE_HTTP_GET, "/unknown", NULL);
	assert_int_equal(o.reply.status, 404);
	o = ask(&f, ENGINE_HTTP_GET, "/moved", NULL);
	assert_int_equal(o.reply.status, 302);
	assert_int_equal(fake_seen(f.fake, "GET", "/plain"), 1);
	assert_int_equal(fake_seen(f.fake, "DELETE", "/none"), 1);
	tear_down(&f);
}

static void
connections_are_kept(void **state)
{
	static const struct fake_rule rules[] = { { .path = "/", .status = 200, .body = "[]" } };
	struct fixture f = set_up(rules, 1);

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct outcome o =
		    ask(&f, i % 2 == 0 ? ENGINE_HTTP_GET : ENGINE_HTTP_POST, "/x", NULL);

		assert_int_equal(o.reply.status, 200);
	}
	assert_int_equal(fake_connections(f.fake), 1);
	assert_int_equal(engine_http_connections(f.http), 1);
	assert_int_equal(fake_seen(f.fake, NULL, "/x"), 20);
	tear_down(&f);
}

static void
every_fault_ends_in_its_outcome(void **state)
{
	static const struct {
		enum fake_act act;
		enum engine_http_outcome outcome;
		unsigned status;
	} faults[] = {
		{ FAKE_HANG, ENGINE_HTTP_E_TIMEOUT, 0 },
		{ FAKE_HANG_HEAD, ENGINE_HTTP_E_TIMEOUT, 0 },
		{ FAKE_HANG_BODY, ENGINE_HTTP_E_TIMEOUT, 0 },
		{ FAKE_SLOW, ENGINE_HTTP_E_TIMEOUT, 0 },
		{ FAKE_CLOSE, ENGINE_HTTP_E_LOST, 0 },
		{ FAKE_CUT, ENGINE_HTTP_E_LOST, 0 },
		{ FAKE_CUT_CHUNK, ENGINE_HTTP_E_LOST, 0 },
		{ FAKE_GARBAGE, ENGINE_HTTP_E_BROKEN, 0 },
		{ FAKE_BAD_CHUNK, ENGINE_HTTP_E_BROKEN, 0 },
		{ FAKE_BAD_LENGTH, ENGINE_HTTP_E_BROKEN, 0 },
		{ FAKE_ENDLESS, ENGINE_HTTP_E_TOO_LONG, 0 },
		{ FAKE_HEADERS, ENGINE_HTTP_E_TOO_LONG, 0 },
		{ FAKE_HUNDREDS, ENGINE_HTTP_E_TOO_LONG, 0 },
	};
	struct fixture f = set_up(NULL, 0);

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(faults); i++) {
		struct fake_rule rule = { .path = "/", .act = faults[i].act, .body = "[123456789]" };
		struct engine_http_ask a = { .path = "/x",
			.timeout_ms = faults[i].outcome == ENGINE_HTTP_E_TIMEOUT ? DEADLINE_MS : 10000,
			.body_max = 4096 };
		struct outcome o = { .f = &f };
		int64_t before = now_ms();

		fake_set(f.fake, &rule, 1);
		assert_int_equal(engine_http_start(f.http, &a, on_done, &o, NULL), 0);
		(void)event_base_dispatch(f.base);
		assert_int_equal(o.calls, 1);
		if (o.reply.outcome != faults[i].outcome)
			fail_msg("fault %zu: outcome %d: %s", i, (int)o.reply.outcome,
			    o.reply.detail);
		assert_int_equal(o.reply.status, faults[i].status);
		assert_string_equal(o.body, "");
		assert_string_not_equal(o.reply.detail, "");
		/* Who hears nothing at all is told where to look. */
		assert_int_equal(strstr(o.reply.detail, "tunnel") != NULL,
		    faults[i].act == FAKE_CLOSE);
		if (faults[i].outcome == ENGINE_HTTP_E_TIMEOUT)
			assert_true(now_ms() - before >= DEADLINE_MS - 5);
		assert_true(now_ms() - before < 5000);
	}
	tear_down(&f);
}

/* Bytes behind an answer must not become the answer to somebody else's question. */
static void
extra_bytes_are_no_answer(void **state)
{
	static const struct fake_rule rules[] = {
		{ .path = "/first", .act = FAKE_EXTRA, .status = 200, .body = "[1]" },
		{ .path = "/second", .status = 200, .body = "[2]" },
		{ .path = "/switch", .act = FAKE_SWITCH },
	};
	struct fixture f = set_up(rules, SP_ARRAY_LEN(rules));
	struct engine_http_ask a = { .path = "/switch", .timeout_ms = DEADLINE_MS, .body_max = 64 };
	struct outcome o = ask(&f, ENGINE_HTTP_GET, "/first", NULL);

	(void)state;
	assert_string_equal(o.body, "[1]");
	o = ask(&f, ENGINE_HTTP_GET, "/second", NULL);
	assert_string_equal(o.body, "[2]");
	assert_int_equal(fake_connections(f.fake), 2);
	/* An upgrade that nobody asked for is never a success that a caller could mistake. */
	o = (struct outcome){ .f = &f };
	assert_int_equal(engine_http_start(f.http, &a, on_done, &o, NULL), 0);
	(void)event_base_dispatch(f.base);
	assert_int_equal(o.calls, 1);
	assert_true(o.reply.outcome != ENGINE_HTTP_OK || o.reply.status == 101);
	tear_down(&f);
}

static void
bodies_are_bounded_to_the_byte(void **state)
{
	static const struct fake_rule rules[] = {
		{ .path = "/", .status = 200, .body = "0123456789" },
	};
	struct fixture f = set_up(rules, 1);
	struct engine_http_ask a = { .path = "/x", .timeout_ms = 5000 };

	(void)state;
	for (a.body_max = 0; a.body_max < 13; a.body_max++) {
		struct outcome o = { .f = &f };

		assert_int_equal(engine_http_start(f.http, &a, on_done, &o, NULL), 0);
		(void)event_base_dispatch(f.base);
		assert_int_equal(o.reply.outcome,
		    a.body_max < 10 ? ENGINE_HTTP_E_TOO_LONG : ENGINE_HTTP_OK);
	}
	tear_down(&f);
}

static void
nobody_listens(void **state)
{
	struct event_base *base = event_base_new();
	struct fixture f = { .base = base };
	char long_path[200];
	struct outcome o;

	(void)state;
	assert_int_equal(engine_http_new(base, "/nonexistent/engine.sock", &f.http), 0);
	o = ask(&f, ENGINE_HTTP_GET, "/x", NULL);
	assert_int_equal(o.reply.outcome, ENGINE_HTTP_E_CONNECT);
	assert_string_equal(o.reply.detail,
	    "cannot connect to the engine's socket /nonexistent/engine.sock: No such file or directory");
	engine_http_free(f.http);
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(engine_http_new(base, long_path, &f.http), -EINVAL);
	assert_int_equal(engine_http_new(base, "", &f.http), -EINVAL);
	event_base_free(base);
}

/*
 * A kept connection that dies under a request: a question may be asked again, a command may not, for
 * the engine may have obeyed already.
 */
static void
commands_are_sent_once(void **state)
{
	static const struct fake_rule dying[] = {
		{ .path = "/keep", .status = 200, .body = "[]" },
		{ .path = "/x", .act = FAKE_CLOSE, .times = 1 },
		{ .path = "/x", .status = 200, .body = "[]" },
	};
	static const enum engine_http_method methods[] = { ENGINE_HTTP_POST, ENGINE_HTTP_DELETE };
	struct fixture f = set_up(dying, SP_ARRAY_LEN(dying));
	struct outcome o;

	(void)state;
	(void)ask(&f, ENGINE_HTTP_GET, "/keep", NULL);
	o = ask(&f, ENGINE_HTTP_GET, "/x", NULL);
	assert_int_equal(o.reply.outcome, ENGINE_HTTP_OK);
	assert_int_equal(fake_seen(f.fake, "GET", "/x"), 2);
	for (size_t i = 0; i < SP_ARRAY_LEN(methods); i++) {
		const char *name = methods[i] == ENGINE_HTTP_POST ? "POST" : "DELETE";

		fake_set(f.fake, dying, SP_ARRAY_LEN(dying));
		(void)ask(&f, ENGINE_HTTP_GET, "/keep", NULL);
		o = ask(&f, methods[i], "/x", NULL);
		assert_int_equal(o.reply.outcome, ENGINE_HTTP_E_LOST);
		assert_int_equal(fake_seen(f.fake, name, "/x"), 1);
	}
	tear_down(&f);
}

static void
never(void *arg, const struct engine_http_reply *reply)
{
	(void)arg;
	(void)reply;
	fail_msg("callback of a call that was cancelled");
}

/* Cancelled before it is sent, while it waits, in the headers, in the body, and when it is over. */
static void
cancelled_calls_say_nothing(void **state)
{
	static const enum fake_act acts[] = { FAKE_ANSWER, FAKE_HANG, FAKE_HANG_HEAD,
		FAKE_HANG_BODY, FAKE_SLOW, FAKE_ENDLESS };
	struct fixture f = set_up(NULL, 0);
	unsigned fds;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(acts); i++) {
		struct fake_rule rule = { .path = "/", .act = acts[i], .body = "[123456789]" };
		struct engine_http_ask a = { .path = "/x", .timeout_ms = 5000, .body_max = SIZE_MAX };
		struct engine_http_call *call;

		fake_set(f.fake, &rule, 1);
		assert_int_equal(engine_http_start(f.http, &a, never, NULL, &call), 0);
		if (acts[i] != FAKE_ANSWER)
			run_for(&f, acts[i] == FAKE_ENDLESS ? 5 : 40);
		engine_http_cancel(call);
		run_for(&f, 20);
	}
	engine_http_cancel(NULL);
	fake_down(f.fake);
	fds = count_fds();
	engine_http_free(f.http);
	assert_true(count_fds() < fds);
	event_base_free(f.base);
	fake_free(f.fake);
}

static void
freeing_ends_everything(void **state)
{
	static const struct fake_rule rules[] = {
		{ .path = "/hang", .act = FAKE_HANG },
		{ .path = "/", .act = FAKE_HANG_BODY, .body = "[12345]" },
	};
	unsigned fds = count_fds();
	struct fixture f = set_up(rules, SP_ARRAY_LEN(rules));
	struct engine_http_ask a = { .path = "/hang", .timeout_ms = 5000, .body_max = 4096 };

	(void)state;
	for (int i = 0; i < 10; i++) {
		a.path = i % 2 == 0 ? "/hang" : "/body";
		assert_int_equal(engine_http_start(f.http, &a, never, NULL, NULL), 0);
		if (i == 7)
			run_for(&f, 30);
	}
	tear_down(&f);
	assert_int_equal(count_fds(), fds);
}

struct chain {
	struct fixture *f;
	struct engine_http_call *victim;
	unsigned left, done;
};

static void
on_link(void *arg, const struct engine_http_reply *reply)
{
	struct chain *c = arg;
	struct engine_http_ask a = { .path = "/x", .timeout_ms = 5000, .body_max = 4096 };

	assert_int_equal(reply->outcome, ENGINE_HTTP_OK);
	c->done++;
	engine_http_cancel(c->victim);
	c->victim = NULL;
	if (--c->left == 0) {
		(void)event_base_loopbreak(c->f->base);
		return;
	}
	a.path = "/hang";
	assert_int_equal(engine_http_start(c->f->http, &a, never, NULL, &c->victim), 0);
	a.path = "/x";
	assert_int_equal(engine_http_start(c->f->http, &a, on_link, c, NULL), 0);
}

static void
callbacks_may_start_and_cancel(void **state)
{
	static const struct fake_rule rules[] = {
		{ .path = "/hang", .act = FAKE_HANG },
		{ .path = "/", .status = 200, .body = "[]" },
	};
	struct fixture f = set_up(rules, SP_ARRAY_LEN(rules));
	struct chain c = { .f = &f, .left = 50 };
	struct engine_http_ask a = { .path = "/x", .timeout_ms = 5000, .body_max = 4096 };

	(void)state;
	assert_int_equal(engine_http_start(f.http, &a, on_link, &c, NULL), 0);
	(void)event_base_dispatch(f.base);
	assert_int_equal(c.done, 50);
	tear_down(&f);
}

/* The connection is ours: curl neither reads of it nor closes it, and it is none that requests go over. */
static void
upgrades(void **state)
{
	static const struct fake_rule rules[] = {
		{ .path = "/up", .act = FAKE_UPGRADE },
		{ .path = "/early", .act = FAKE_SWITCH },
		{ .path = "/kept", .status = 404, .body = "{\"message\":\"no such exec\"}" },
		{ .path = "/ok", .status = 200, .body = "[]" },
		{ .path = "/hang", .act = FAKE_HANG },
		{ .path = "/cut", .act = FAKE_HANG_HEAD, .status = 101, .body = "" },
	};
	struct fixture f = set_up(rules, SP_ARRAY_LEN(rules));
	char echo[8] = "";
	struct outcome o;
	unsigned before;

	(void)state;
	for (int i = 0; i < 3; i++) {
		o = ask_upgrade(&f, "/up");
		assert_int_equal(o.reply.outcome, ENGINE_HTTP_OK);
		assert_int_equal(o.reply.status, 101);
		assert_int_equal(o.reply.len, 0);
		assert_true(o.stream >= 0);
		assert_int_equal(ask(&f, ENGINE_HTTP_GET, "/ok", NULL).reply.status, 200);
		assert_int_equal(fcntl(o.stream, F_SETFL, 0), 0);
		assert_int_equal(send(o.stream, "GET / H", 7, MSG_NOSIGNAL), 7);
		assert_int_equal(recv(o.stream, echo, 7, MSG_WAITALL), 7);
		assert_string_equal(echo, "GET / H");
		assert_int_equal(close(o.stream), 0);
	}
	/* Nothing is lost that came too early: then there is no stream. */
	o = ask_upgrade(&f, "/early");
	assert_int_equal(o.reply.outcome, ENGINE_HTTP_E_BROKEN);
	assert_non_null(strstr(o.reply.detail, "bytes"));
	assert_int_equal(o.stream, -1);
	/* A refusal's connection could be asked anything: it is not handed out, and not used again. */
	o = ask_upgrade(&f, "/kept");
	assert_int_equal(o.reply.outcome, ENGINE_HTTP_OK);
	assert_int_equal(o.reply.status, 404);
	assert_int_equal(o.stream, -1);
	before = fake_connections(f.fake);
	assert_int_equal(ask_upgrade(&f, "/ok").reply.status, 200);
	assert_int_equal(fake_connections(f.fake), before + 1);
	assert_int_equal(ask_upgrade(&f, "/hang").reply.outcome, ENGINE_HTTP_E_TIMEOUT);
	o = ask_upgrade(&f, "/cut");
	assert_int_equal(o.reply.outcome, ENGINE_HTTP_E_TIMEOUT);
	assert_int_equal(o.stream, -1);
	tear_down(&f);
}

static void
escaping(void **state)
{
	char out[32];

	(void)state;
	assert_int_equal(engine_http_escape("aZ0-._~/", out, sizeof(out)), 0);
	assert_string_equal(out, "aZ0-._~/");
	assert_int_equal(engine_http_escape("{\"a b\"}&?#%\r\n", out, sizeof(out)), -ENOSPC);
	assert_int_equal(engine_http_escape("{&?#%\r\n\xff", out, sizeof(out)), 0);
	assert_string_equal(out, "%7B%26%3F%23%25%0D%0A%FF");
	assert_int_equal(engine_http_escape("abc", out, 4), 0);
	assert_int_equal(engine_http_escape("abc", out, 3), -ENOSPC);
	assert_int_equal(engine_http_escape("a ", out, 4), -ENOSPC);
	assert_int_equal(engine_http_escape("", out, 1), 0);
	assert_int_equal(engine_http_escape("", out, 0), -ENOSPC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_arrive),
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(every_fault_ends_in_its_outcome),
		cmocka_unit_test(extra_bytes_are_no_answer),
		cmocka_unit_test(bodies_are_bounded_to_the_byte),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(commands_are_sent_once),
		cmocka_unit_test(cancelled_calls_say_nothing),
		cmocka_unit_test(freeing_ends_everything),
		cmocka_unit_test(callbacks_may_start_and_cancel),
		cmocka_unit_test(upgrades),
		cmocka_unit_test(escaping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
