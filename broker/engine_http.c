/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over the engine's Unix socket, with one libcurl multi handle on libevent. Runs in the broker.
 * Hostile: every byte of an answer. curl parses the HTTP; headers and body are counted here, and what
 * exceeds its bound ends that call and closes that connection.
 */
#include "engine_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "clock.h"
#include "fd.h"

#define CONNECT_TIMEOUT_MS 5000L
#define IDLE_CONNECTIONS   8L
#define BODY_FIRST         4096
#define IDLE_SECONDS       3600 /* the timer's, when curl wants none */
#define UNASKED_MAX        80   /* bytes for the log of what came too early */

struct engine_http_call {
	LIST_ENTRY(engine_http_call) link;
	struct engine_http *http;
	CURL *easy;
	struct event *deadline; /* NULL: it has none */
	struct curl_slist *headers;
	engine_http_done_fn *done;
	void *arg;
	char *body;
	size_t len, cap, max;
	size_t header_bytes;
	unsigned tries;
	bool once;
	/* why one of our own callbacks ended the transfer */
	enum engine_http_outcome stopped;
	char api_version[ENGINE_HTTP_VERSION_MAX];
	char podman[ENGINE_HTTP_VERSION_MAX];
	/* upgrade: the connection is ours, not curl's, from its beginning */
	bool upgrade;
	int fd;
	bool switching; /* the status line is 101 */
	bool upgraded;  /* its headers have ended */
};

/* One descriptor that curl wants watched. */
struct watch {
	LIST_ENTRY(watch) link;
	struct event *event;
};

LIST_HEAD(call_list, engine_http_call);

struct engine_http {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	char *socket;
	struct call_list calls;
	LIST_HEAD(, watch) watches;
	uint64_t connections;
};

static bool
append(struct engine_http_call *c, const char *data, size_t n)
{
	size_t need = c->len + n + 1;
	size_t cap = c->cap != 0 ? c->cap : BODY_FIRST;
	char *grown;

	if (need > c->cap) {
		while (cap < need)
			cap *= 2;
		grown = realloc(c->body, cap);
		if (grown == NULL)
			return false;
		c->body = grown;
		c->cap = cap;
	}
	memcpy(c->body + c->len, data, n);
	c->len += n;
	c->body[c->len] = '\0';
	return true;
}

/* curl's write callback: anything but n ends the transfer. */
static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct engine_http_call *c = arg;

	n *= size;
	/* It is the stream's already, and could not be put back: our guest says nothing before it is asked. */
	if (c->upgraded) {
		(void)append(c, data, n < UNASKED_MAX ? n : UNASKED_MAX);
		c->stopped = ENGINE_HTTP_E_BROKEN;
	} else if (n > c->max - c->len)
		c->stopped = ENGINE_HTTP_E_TOO_LONG;
	else if (!append(c, data, n))
		c->stopped = ENGINE_HTTP_E_NO_MEMORY;
	return c->stopped == ENGINE_HTTP_OK ? n : 0;
}

static bool
header_is(const char *data, size_t n, const char *name)
{
	size_t len = strlen(name);

	return n > len && strncasecmp(data, name, len) == 0 && data[len] == ':';
}

static void
take_version(char out[ENGINE_HTTP_VERSION_MAX], const char *name, const char *data, size_t n)
{
	size_t skip = strlen(name) + 1; /* and the colon */

	if (!header_is(data, n, name))
		return;
	data += skip;
	n -= skip;
	while (n > 0 && (*data == ' ' || *data == '\t')) {
		data++;
		n--;
	}
	while (n > 0 && (data[n - 1] == '\r' || data[n - 1] == '\n' || data[n - 1] == ' '))
		n--;
	/* Cut rather than refused: whoever wants the version parses it and sees nonsense. */
	if (n >= ENGINE_HTTP_VERSION_MAX)
		n = ENGINE_HTTP_VERSION_MAX - 1;
	memcpy(out, data, n);
	out[n] = '\0';
}

/*
 * The blank line is what counts: the engine sends the status line and the other headers of an exec in
 * separate writes.
 */
static void
watch_upgrade(struct engine_http_call *c, const char *data, size_t n)
{
	static const char granted[] = "HTTP/1.1 101";

	if (!c->upgrade)
		return;
	if (n >= sizeof(granted) - 1 && memcmp(data, granted, sizeof(granted) - 1) == 0)
		c->switching = true;
	else if (c->switching && n == 2 && memcmp(data, "\r\n", 2) == 0)
		c->upgraded = true;
}

/* curl's header callback. It keeps every header in memory, so their sum is bounded here. */
static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct engine_http_call *c = arg;

	n *= size;
	c->header_bytes += n;
	if (c->header_bytes > ENGINE_HTTP_HEADER_MAX) {
		c->stopped = ENGINE_HTTP_E_TOO_LONG;
		return 0;
	}
	watch_upgrade(c, data, n);
	take_version(c->api_version, "Api-Version", data, n);
	take_version(c->podman, "Libpod-Api-Version", data, n);
	return n;
}

/*
 * Before each sending of the request. curl sends again on a new connection when a kept one turns out
 * to be dead, whatever the method; the engine may have acted on the first one, so we forbid that.
 */
static int
on_send(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
	struct engine_http_call *c = arg;

	(void)peer_ip;
	(void)local_ip;
	(void)peer_port;
	(void)local_port;
	c->tries++;
	if (c->once && c->tries > 1) {
		c->stopped = ENGINE_HTTP_E_LOST;
		return CURL_PREREQFUNC_ABORT;
	}
	return CURL_PREREQFUNC_OK;
}

static void
unlink_call(struct engine_http_call *c)
{
	LIST_REMOVE(c, link);
	(void)curl_multi_remove_handle(c->http->multi, c->easy);
}

static void
call_free(struct engine_http_call *c)
{
	if (c == NULL)
		return;
	if (c->easy != NULL)
		curl_easy_cleanup(c->easy);
	if (c->deadline != NULL)
		event_free(c->deadline);
	curl_slist_free_all(c->headers);
	fd_close(&c->fd);
	free(c->body);
	free(c);
}

/* The kernel's reason for a failed read, or 0 when curl failed on what it had read. */
static long
os_error(const struct engine_http_call *c)
{
	long error = 0;

	(void)curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &error);
	return error;
}

static enum engine_http_outcome
judge(const struct engine_http_call *c, CURLcode code)
{
	if (c->stopped != ENGINE_HTTP_OK)
		return c->stopped;
	if (c->upgraded)
		return ENGINE_HTTP_OK;
	/* A short list out of curl's hundred; everything else is an engine that talks nonsense. */
	if (code == CURLE_OK)
		return ENGINE_HTTP_OK;
	if (code == CURLE_COULDNT_CONNECT)
		return ENGINE_HTTP_E_CONNECT;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return ENGINE_HTTP_E_TIMEOUT;
	if (code == CURLE_OUT_OF_MEMORY)
		return ENGINE_HTTP_E_NO_MEMORY;
	if (code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE || code == CURLE_SEND_ERROR ||
	    code == CURLE_SEND_FAIL_REWIND || (code == CURLE_RECV_ERROR && os_error(c) != 0))
		return ENGINE_HTTP_E_LOST;
	return ENGINE_HTTP_E_BROKEN;
}

static void
explain(struct engine_http_call *c, CURLcode code, struct engine_http_reply *reply)
{
	char *out = reply->detail;
	size_t cap = sizeof(reply->detail);
	long error = os_error(c);

	switch (reply->outcome) {
	case ENGINE_HTTP_OK:
		break;
	case ENGINE_HTTP_E_CONNECT:
		(void)snprintf(out, cap, "cannot connect to the engine's socket %s: %s%s",
		    c->http->socket, error != 0 ? strerror((int)error) : "no reason given",
		    error == EACCES ? "; the broker's user needs the group that owns it" : "");
		break;
	case ENGINE_HTTP_E_LOST:
		/* What a tunnel does that cannot reach the engine, or does not trust it. */
		(void)snprintf(out, cap,
		    c->header_bytes == 0 ? "the connection ended without an answer; if a tunnel "
					   "listens on the engine's socket, its log says why"
					 : "the connection ended before the answer was complete");
		break;
	case ENGINE_HTTP_E_TIMEOUT:
		(void)snprintf(out, cap, "no complete answer within the deadline");
		break;
	case ENGINE_HTTP_E_TOO_LONG:
		if (c->header_bytes > ENGINE_HTTP_HEADER_MAX)
			(void)snprintf(out, cap, "the answer's headers are longer than %d bytes",
			    ENGINE_HTTP_HEADER_MAX);
		else
			(void)snprintf(out, cap, "the answer is longer than %zu bytes", c->max);
		break;
	case ENGINE_HTTP_E_BROKEN:
		if (c->upgraded)
			(void)snprintf(out, cap, "the stream sent data before it was asked: %.*s",
			    c->body != NULL ? UNASKED_MAX : 0, c->body != NULL ? c->body : "");
		else
			(void)snprintf(out, cap, "the answer is not proper HTTP (%s)",
			    curl_easy_strerror(code));
		break;
	case ENGINE_HTTP_E_NO_MEMORY:
		(void)snprintf(out, cap, "out of memory");
		break;
	}
}

static void
finish(struct engine_http_call *c, CURLcode code)
{
	struct engine_http *h = c->http;
	int nothing = -1;
	struct engine_http_reply reply = { .body = "", .fd = &nothing };
	long status = 0, opened = 0;

	if (curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &opened) == CURLE_OK && opened > 0)
		h->connections += (uint64_t)opened;
	reply.outcome = judge(c, code);
	if (reply.outcome == ENGINE_HTTP_OK) {
		(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		reply.status = status > 0 && status < 1000 ? (unsigned)status : 0;
		/* In another version of HTTP: curl has read what is behind it. */
		if (c->upgrade && !c->upgraded && status == 101)
			reply.outcome = ENGINE_HTTP_E_BROKEN;
		if (c->body != NULL) {
			reply.body = c->body;
			reply.len = c->len;
		}
		memcpy(reply.api_version, c->api_version, sizeof(reply.api_version));
		memcpy(reply.podman, c->podman, sizeof(reply.podman));
		if (c->upgraded)
			reply.fd = &c->fd;
	}
	explain(c, code, &reply);
	unlink_call(c);
	c->done(c->arg, &reply);
	call_free(c);
}

/*
 * Tell the owners of what has ended. A callback may cancel other calls: curl drops their messages
 * from its queue together with their handles.
 */
static void
pump(struct engine_http *h)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct engine_http_call *c = NULL;
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &c) == CURLE_OK && c != NULL)
			finish(c, code);
	}
}

/*
 * One of our callbacks failed, for want of memory, and to curl the whole handle is dead: no transfer
 * goes on, and none says so. Every call ends here; once it is empty the handle lives again.
 */
static void
give_up(struct engine_http *h)
{
	struct call_list ended = LIST_HEAD_INITIALIZER(ended);
	struct engine_http_call *c;

	while ((c = LIST_FIRST(&h->calls)) != NULL) {
		unlink_call(c);
		LIST_INSERT_HEAD(&ended, c, link);
	}
	while ((c = LIST_FIRST(&ended)) != NULL) {
		c->stopped = ENGINE_HTTP_E_NO_MEMORY;
		finish(c, CURLE_OUT_OF_MEMORY);
	}
}

/* curl waits for an answer to end that has become a stream: it is stopped, and never reads of it. */
static void
finish_upgraded(struct engine_http *h)
{
	struct engine_http_call *c;

	do {
		LIST_FOREACH(c, &h->calls, link)
		{
			if (c->upgraded)
				break;
		}
		if (c != NULL)
			finish(c, CURLE_OK);
	} while (c != NULL);
}

static void
act(struct engine_http *h, curl_socket_t fd, int mask)
{
	int running = 0;

	if (curl_multi_socket_action(h->multi, fd, mask, &running) != CURLM_OK) {
		give_up(h);
		return;
	}
	pump(h);
	finish_upgraded(h);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	int mask = 0;

	if ((what & EV_READ) != 0)
		mask |= CURL_CSELECT_IN;
	if ((what & EV_WRITE) != 0)
		mask |= CURL_CSELECT_OUT;
	act(arg, fd, mask);
}

/* The timer is never off: setting one that is on needs no memory, so curl's every deadline is kept. */
static int
rest(struct engine_http *h)
{
	struct timeval tv = { .tv_sec = IDLE_SECONDS };

	return evtimer_add(h->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct engine_http *h = arg;

	(void)fd;
	(void)what;
	(void)rest(h);
	act(h, CURL_SOCKET_TIMEOUT, 0);
}

/* curl wants to be called after so many milliseconds; it must not be called from in here. */
static int
set_timer(CURLM *multi, long ms, void *arg)
{
	struct engine_http *h = arg;
	struct timeval tv = clock_timeval(ms);

	(void)multi;
	return ms < 0 ? rest(h) : evtimer_add(h->timer, &tv);
}

static void
watch_free(struct watch *w)
{
	LIST_REMOVE(w, link);
	if (w->event != NULL)
		event_free(w->event);
	free(w);
}

static int
watch_set(struct engine_http *h, struct watch *w, curl_socket_t fd, int what)
{
	short events = EV_PERSIST;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EV_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EV_WRITE;
	if (w->event != NULL)
		event_free(w->event);
	w->event = event_new(h->base, fd, events, on_ready, h);
	if (w->event == NULL || event_add(w->event, NULL) < 0)
		return -1;
	return 0;
}

/* curl wants this descriptor watched, or no longer (always said before it closes one). */
static int
set_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct engine_http *h = arg;
	struct watch *w = known;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			watch_free(w);
		return 0;
	}
	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		if (w == NULL)
			return -1;
		LIST_INSERT_HEAD(&h->watches, w, link);
		(void)curl_multi_assign(h->multi, fd, w);
	}
	return watch_set(h, w, fd, what);
}

static int
multi_setup(struct engine_http *h)
{
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		return -ENOMEM;
	if (curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_watch) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS) != CURLM_OK)
		return -ENOTSUP;
	return 0;
}

int
engine_http_new(struct event_base *base, const char *socket, struct engine_http **ret)
{
	struct engine_http *h;
	int r;

	if (socket[0] == '\0' || strlen(socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -EINVAL;
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		return -ENOMEM;
	h = calloc(1, sizeof(*h));
	if (h == NULL) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	h->base = base;
	h->socket = strdup(socket);
	h->timer = evtimer_new(base, on_timer, h);
	r = h->socket == NULL || h->timer == NULL || rest(h) < 0 ? -ENOMEM : multi_setup(h);
	if (r < 0) {
		engine_http_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

struct engine_http *
engine_http_free(struct engine_http *h)
{
	if (h == NULL)
		return NULL;
	while (!LIST_EMPTY(&h->calls))
		engine_http_cancel(LIST_FIRST(&h->calls));
	if (h->multi != NULL)
		(void)curl_multi_cleanup(h->multi);
	while (!LIST_EMPTY(&h->watches))
		watch_free(LIST_FIRST(&h->watches));
	if (h->timer != NULL)
		event_free(h->timer);
	free(h->socket);
	free(h);
	curl_global_cleanup();
	return NULL;
}

/* What is the same for every request: this one socket, plain HTTP, nothing from the environment. */
static CURLcode
set_transport(struct engine_http_call *c)
{
	CURL *easy = c->easy;
	CURLcode r;

	if ((r = curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, c->http->socket)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http")) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_PROXY, "")) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_NOPROXY, "*")) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L)) != CURLE_OK)
		return r;
	return curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
}

/* libcurl's own sockets are not marked close-on-exec. arg: NULL, or a call that keeps its socket. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct engine_http_call *c = arg;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void)purpose;
	if (c == NULL)
		return fd;
	fd_close(&c->fd);
	c->fd = fd;
	return fd;
}

/* call_free() closes it, or who has taken it. */
static int
leave_open(void *arg, curl_socket_t fd)
{
	(void)arg;
	(void)fd;
	return 0;
}

/* A connection for this one request. */
static CURLcode
set_upgrade(struct engine_http_call *c)
{
	CURL *easy = c->easy;
	CURLcode r;

	if ((r = curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, c)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, leave_open)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L)) != CURLE_OK)
		return r;
	return curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

static CURLcode
set_callbacks(struct engine_http_call *c)
{
	CURL *easy = c->easy;
	CURLcode r;

	if ((r = curl_easy_setopt(easy, CURLOPT_PRIVATE, c)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_WRITEDATA, c)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_HEADERDATA, c)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send)) != CURLE_OK)
		return r;
	return curl_easy_setopt(easy, CURLOPT_PREREQDATA, c);
}

static CURLcode
set_method(struct engine_http_call *c, const struct engine_http_ask *ask)
{
	CURL *easy = c->easy;
	const char *body = ask->body != NULL ? ask->body : "";
	CURLcode r;

	if (ask->method == ENGINE_HTTP_GET)
		return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	if (ask->method == ENGINE_HTTP_DELETE)
		return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
	if ((r = curl_easy_setopt(easy, CURLOPT_POST, 1L)) != CURLE_OK ||
	    (r = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body)) != CURLE_OK)
		return r;
	return curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
}

static CURLcode
set_headers(struct engine_http_call *c, const struct engine_http_ask *ask)
{
	/* An empty Expect keeps curl from asking for leave before a body. */
	const char *const lines[] = {
		"Expect:",
		ask->body != NULL ? "Content-Type: application/json" : NULL,
		ask->upgrade ? "Connection: Upgrade" : NULL,
		ask->upgrade ? "Upgrade: tcp" : NULL,
	};

	for (size_t i = 0; i < SP_ARRAY_LEN(lines); i++) {
		struct curl_slist *longer;

		if (lines[i] == NULL)
			continue;
		longer = curl_slist_append(c->headers, lines[i]);
		if (longer == NULL)
			return CURLE_OUT_OF_MEMORY;
		c->headers = longer;
	}
	return curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
}

static int
prepare(struct engine_http_call *c, const struct engine_http_ask *ask)
{
	char *url = NULL;
	CURLcode r;

	if (asprintf(&url, "http://engine%s", ask->path) < 0)
		return -ENOMEM;
	r = curl_easy_setopt(c->easy, CURLOPT_URL, url);
	free(url);
	if (r == CURLE_OK)
		r = set_transport(c);
	if (r == CURLE_OK)
		r = set_callbacks(c);
	if (r == CURLE_OK)
		r = set_method(c, ask);
	if (r == CURLE_OK)
		r = set_headers(c, ask);
	if (r == CURLE_OK && ask->upgrade)
		r = set_upgrade(c);
	if (r == CURLE_OK)
		return 0;
	return r == CURLE_OUT_OF_MEMORY ? -ENOMEM : -ENOTSUP;
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct engine_http_call *c = arg;

	(void)fd;
	(void)what;
	c->stopped = ENGINE_HTTP_E_TIMEOUT;
	finish(c, CURLE_OPERATION_TIMEDOUT);
}

/* Not curl's to keep: without memory curl 8 can forget a transfer, and the time it was given with it. */
static int
set_deadline(struct engine_http_call *c, uint32_t timeout_ms)
{
	struct timeval tv = clock_timeval(timeout_ms);

	if (timeout_ms == 0)
		return 0;
	c->deadline = evtimer_new(c->http->base, on_deadline, c);
	return c->deadline != NULL && evtimer_add(c->deadline, &tv) == 0 ? 0 : -ENOMEM;
}

int
engine_http_start(struct engine_http *h, const struct engine_http_ask *ask,
    engine_http_done_fn *done, void *arg, struct engine_http_call **ret_call)
{
	struct engine_http_call *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return -ENOMEM;
	c->http = h;
	c->done = done;
	c->arg = arg;
	c->max = ask->body_max;
	c->upgrade = ask->upgrade;
	c->fd = -1;
	c->once = ask->method != ENGINE_HTTP_GET;
	c->easy = curl_easy_init();
	r = c->easy == NULL ? -ENOMEM : prepare(c, ask);
	if (r == 0)
		r = set_deadline(c, ask->timeout_ms);
	if (r == 0 && curl_multi_add_handle(h->multi, c->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r < 0) {
		call_free(c);
		return r;
	}
	LIST_INSERT_HEAD(&h->calls, c, link);
	if (ret_call != NULL)
		*ret_call = c;
	return 0;
}

void
engine_http_cancel(struct engine_http_call *call)
{
	if (call == NULL)
		return;
	unlink_call(call);
	call_free(call);
}

uid_t
engine_http_owner(const struct engine_http *h)
{
	struct stat st;

	return stat(h->socket, &st) == 0 ? st.st_uid : (uid_t)-1;
}

uint64_t
engine_http_connections(const struct engine_http *h)
{
	return h->connections;
}

int
engine_http_escape(const char *text, char *out, size_t cap)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~/";
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;

	for (; *text != '\0'; text++) {
		uint8_t byte = (uint8_t)*text;
		bool as_is = strchr(plain, *text) != NULL;

		if (len + (as_is ? 1 : 3) >= cap)
			return -ENOSPC;
		if (as_is) {
			out[len++] = *text;
			continue;
		}
		out[len++] = '%';
		out[len++] = hex[byte >> 4];
		out[len++] = hex[byte & 15];
	}
	if (len >= cap)
		return -ENOSPC;
	out[len] = '\0';
	return 0;
}
