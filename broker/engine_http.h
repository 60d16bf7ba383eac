/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over the engine's Unix socket: requests with a deadline and a bounded answer, on the caller's
 * event loop. The only module that knows libcurl.
 */
#ifndef SP_ENGINE_HTTP_H
#define SP_ENGINE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

struct event_base;
struct engine_http;
struct engine_http_call;

#define ENGINE_HTTP_HEADER_MAX  65536 /* bytes of one answer's headers */
#define ENGINE_HTTP_DETAIL_MAX  320
#define ENGINE_HTTP_VERSION_MAX 16 /* with the NUL */

enum engine_http_method {
	ENGINE_HTTP_GET,
	ENGINE_HTTP_POST,   /* sent at most once, even when a kept connection turns out dead */
	ENGINE_HTTP_DELETE, /* the same */
};

struct engine_http_ask {
	enum engine_http_method method;
	const char *path;    /* with query, already escaped; starts with '/' */
	const char *body;    /* JSON, POST only, or NULL. Borrowed until the end of the call */
	uint32_t timeout_ms; /* 0: none (the connection itself still has one) */
	size_t body_max;     /* a longer answer is ENGINE_HTTP_E_TOO_LONG */
	bool upgrade;        /* POST only: ask for the connection itself; see reply.fd */
};

enum engine_http_outcome {
	ENGINE_HTTP_OK = 0,    /* a complete answer; status and body are set */
	ENGINE_HTTP_E_CONNECT, /* nobody listens */
	ENGINE_HTTP_E_LOST,    /* the connection ended before the answer was complete */
	ENGINE_HTTP_E_TIMEOUT,
	ENGINE_HTTP_E_TOO_LONG, /* body or headers */
	ENGINE_HTTP_E_BROKEN,   /* not HTTP */
	ENGINE_HTTP_E_NO_MEMORY,
};

struct engine_http_reply {
	enum engine_http_outcome outcome;
	unsigned status;
	const char *body; /* len bytes and a NUL behind them; never NULL */
	size_t len;
	char api_version[ENGINE_HTTP_VERSION_MAX]; /* the Api-Version header, "" without one */
	/* The Libpod-Api-Version header, by which Podman's clients know it; the same. */
	char podman[ENGINE_HTTP_VERSION_MAX];
	/*
	 * After an upgrade that was granted (status 101, no byte behind it): the connection, which nothing but
	 * the stream goes over any more. The callee takes it with fd_steal(), or it is closed. Else -1.
	 */
	int *fd;
	char detail[ENGINE_HTTP_DETAIL_MAX]; /* why, when not OK; of a stream that began unasked, its bytes */
};

typedef void engine_http_done_fn(void *arg, const struct engine_http_reply *reply);

/* base is borrowed, socket is copied. 0, -EINVAL (path too long) or -errno. */
SP_MUST_CHECK int engine_http_new(struct event_base *base, const char *socket,
    struct engine_http **ret);
/* Ends every call without callback. NULL is fine; always returns NULL. */
struct engine_http *engine_http_free(struct engine_http *h);

/*
 * Send one request. done is called exactly once, from the event loop and never from here, unless the
 * call is cancelled. It may start and cancel calls, and must not free h. 0 or -errno.
 */
SP_MUST_CHECK int engine_http_start(struct engine_http *h, const struct engine_http_ask *ask,
    engine_http_done_fn *done, void *arg, struct engine_http_call **ret_call);
/* No callback after this; the connection of a request under way is closed. NULL is fine. */
void engine_http_cancel(struct engine_http_call *call);

/* Whose its socket is; (uid_t)-1: there is none. */
uid_t engine_http_owner(const struct engine_http *h);

/* Connections opened so far, for statistics and tests. */
uint64_t engine_http_connections(const struct engine_http *h);

/*
 * Write text into out[cap] with everything but letters, digits and "-._~/" as %XX. 0 or -ENOSPC.
 */
SP_MUST_CHECK int engine_http_escape(const char *text, char *out, size_t cap);

#endif
