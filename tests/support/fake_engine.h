/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP server on a Unix socket that misbehaves by rule, in threads of the test's own process, and
 * remembers what it was asked.
 */
#ifndef SP_FAKE_ENGINE_H
#define SP_FAKE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

enum fake_act {
	FAKE_ANSWER,     /* status and body, with a Content-Length */
	FAKE_CHUNKED,    /* the same in chunks */
	FAKE_HANG,       /* say nothing until the client goes */
	FAKE_HANG_HEAD,  /* stop in the middle of the headers */
	FAKE_HANG_BODY,  /* stop in the middle of the body */
	FAKE_SLOW,       /* one byte each 20 ms */
	FAKE_CLOSE,      /* close without a byte */
	FAKE_CUT,        /* close in the middle of the body */
	FAKE_CUT_CHUNK,  /* close in the middle of a chunk */
	FAKE_GARBAGE,    /* no HTTP */
	FAKE_BAD_CHUNK,  /* a chunk length that is none */
	FAKE_BAD_LENGTH, /* a Content-Length that is none */
	FAKE_ENDLESS,    /* chunks for ever */
	FAKE_HEADERS,    /* headers for ever */
	FAKE_HUNDREDS,   /* 100 Continue for ever */
	FAKE_EXTRA,      /* an answer and more bytes behind it */
	FAKE_SWITCH,     /* 101 although nobody asked */
	FAKE_UPGRADE,    /* 101, in two writes, and then what comes back again */
};

/* The first rule whose method and path (without "/v1.NN") match is used; times 0: always. */
struct fake_rule {
	const char *method; /* NULL: any */
	const char *path;   /* a prefix; when it starts with '*', the rest is a suffix */
	enum fake_act act;
	int status;
	const char *body;
	const char *headers; /* more headers, each with its CRLF, or NULL */
	unsigned delay_ms;
	unsigned times;
};

struct fake;

/* Starts at once. The rules are copied (their strings are not). */
struct fake *fake_new(const struct fake_rule *rules, size_t n);
void fake_free(struct fake *f);
const char *fake_path(const struct fake *f);
/* Replace the rules. */
void fake_set(struct fake *f, const struct fake_rule *rules, size_t n);
/* Close the listener and every connection, as an engine that stops; start again with fake_up(). */
void fake_down(struct fake *f);
void fake_up(struct fake *f);

/* Requests whose method (NULL: any) and path, query included, contain these. */
unsigned fake_seen(struct fake *f, const char *method, const char *part);
/* "METHOD path" of request i in order of arrival, or NULL. Valid until fake_free(). */
const char *fake_request(struct fake *f, unsigned i);
/* The body of the last request that had one. Valid until the next. */
const char *fake_body(struct fake *f);
unsigned fake_connections(struct fake *f);
/* Most start requests that were being answered at one time. */
unsigned fake_most_parallel(struct fake *f);

#endif
