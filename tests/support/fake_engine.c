/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_engine.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX    32
#define REQUESTS_MAX 4096
#define CLIENTS_MAX  512
#define BUFFER       65536

struct client {
	struct fake *fake;
	pthread_t thread;
	int fd;
};

struct fake {
	pthread_mutex_t lock;
	pthread_t acceptor;
	char dir[64], path[96];
	int listen_fd;
	bool running;
	struct fake_rule rules[RULES_MAX];
	unsigned used[RULES_MAX];
	size_t n_rules;
	char *requests[REQUESTS_MAX];
	unsigned n_requests;
	char body[BUFFER];
	struct client *clients[CLIENTS_MAX];
	unsigned n_clients, n_connections;
	unsigned now_starting, most_starting;
};

static void
must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	abort();
}

static void
nap(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&t, NULL);
}

static bool
say(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		data += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool
say_text(int fd, const char *text)
{
	return say(fd, text, strlen(text));
}

/* Nothing more, until the other side or fake_down() ends it. */
static void
hang(int fd)
{
	char buf[256];

	while (recv(fd, buf, sizeof(buf), 0) > 0)
		continue;
}

/* As the engine answers the start of an exec. */
static void
upgrade(int fd)
{
	struct timespec pause = { .tv_nsec = 20000000 };
	char buf[256];
	ssize_t n;

	(void)say_text(fd,
	    "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n");
	(void)nanosleep(&pause, NULL);
	(void)say_text(fd, "Connection: Upgrade\r\nUpgrade: tcp\r\nServer: Docker\r\n\r\n");
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0 && say(fd, buf, (size_t)n))
		continue;
}

static void
answer(int fd, const struct fake_rule *r, char *out, size_t cap)
{
	(void)fd;
	(void)snprintf(out, cap, "HTTP/1.1 %d Whatever\r\n%sContent-Length: %zu\r\n\r\n%s", r->status,
	    r->headers != NULL ? r->headers : "Api-Version: 1.41\r\n", strlen(r->body), r->body);
}

static bool
act_cut(int fd, const struct fake_rule *r, bool close_it)
{
	char text[BUFFER];
	size_t n;

	answer(fd, r, text, sizeof(text));
	n = strlen(text) - strlen(r->body) / 2;
	(void)say(fd, text, r->act == FAKE_HANG_HEAD ? 30 : n);
	if (!close_it)
		hang(fd);
	return false;
}

static bool
act_chunks(int fd, const struct fake_rule *r)
{
	char head[64];
	size_t half = strlen(r->body) / 2;

	(void)snprintf(head, sizeof(head), "HTTP/1.1 %d Whatever\r\n", r->status);
	if (!say_text(fd, head) || !say_text(fd, "Transfer-Encoding: chunked\r\n\r\n"))
		return false;
	for (const char *at = r->body; *at != '\0';) {
		size_t n = strlen(at) > half && half > 0 ? half : strlen(at);

		(void)snprintf(head, sizeof(head), "%zx\r\n", n);
		if (!say_text(fd, head) || !say(fd, at, n) || !say_text(fd, "\r\n"))
			return false;
		at += n;
	}
	return say_text(fd, "0\r\n\r\n");
}

static bool
act_for_ever(int fd, const char *head, const char *again)
{
	if (!say_text(fd, head))
		return false;
	while (say_text(fd, again))
		continue;
	return false;
}

/* Whether the connection lives on. */
static bool
act(int fd, const struct fake_rule *r)
{
	static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	char text[BUFFER];

	answer(fd, r, text, sizeof(text));
	switch (r->act) {
	case FAKE_ANSWER:
		return say_text(fd, text);
	case FAKE_CHUNKED:
		return act_chunks(fd, r);
	case FAKE_HANG:
		hang(fd);
		return false;
	case FAKE_HANG_HEAD:
	case FAKE_HANG_BODY:
		return act_cut(fd, r, false);
	case FAKE_SLOW:
		for (size_t i = 0; text[i] != '\0'; i++) {
			if (!say(fd, &text[i], 1))
				return false;
			nap(20);
		}
		return true;
	case FAKE_CLOSE:
		return false;
	case FAKE_CUT:
		return act_cut(fd, r, true);
	case FAKE_CUT_CHUNK:
		return say_text(fd, chunked) && say_text(fd, "100\r\n[") && false;
	case FAKE_GARBAGE:
		return say_text(fd, "\x16\x03\x01 what is this\r\n\r\n") && false;
	case FAKE_BAD_CHUNK:
		return say_text(fd, chunked) && say_text(fd, "zz\r\n[]\r\n0\r\n\r\n") && false;
	case FAKE_BAD_LENGTH:
		return say_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n[]") && false;
	case FAKE_ENDLESS:
		return act_for_ever(fd, chunked, "10\r\n0123456789abcdef\r\n");
	case FAKE_HEADERS:
		return act_for_ever(fd, "HTTP/1.1 200 OK\r\n", "X-More: and more and more\r\n");
	case FAKE_HUNDREDS:
		return act_for_ever(fd, "", "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n");
	case FAKE_EXTRA:
		/* In one piece, so that it is there before the next question. */
		(void)strncat(text, "HTTP/1.1 200 OK\r\n\r\nstolen", sizeof(text) - strlen(text) - 1);
		return say_text(fd, text);
	case FAKE_UPGRADE:
		upgrade(fd);
		return false;
	case FAKE_SWITCH:
		(void)say_text(fd, "HTTP/1.1 101 Switching\r\nUpgrade: tcp\r\n\r\nbytes");
		hang(fd);
		return false;
	}
	return false;
}

static const char *
without_version(const char *path)
{
	return strncmp(path, "/v1.", 4) == 0 && strchr(path + 4, '/') != NULL ? strchr(path + 4, '/')
									      : path;
}

static bool
matches(const struct fake_rule *r, const char *method, const char *path)
{
	size_t n = strlen(path), m = strlen(r->path);

	if (r->method != NULL && strcmp(r->method, method) != 0)
		return false;
	if (r->path[0] == '*')
		return n >= m - 1 && strcmp(path + n - (m - 1), r->path + 1) == 0;
	return strncmp(path, r->path, m) == 0;
}

/* Note the request and find its rule; 404 without one. */
static struct fake_rule
choose(struct fake *f, const char *method, const char *path, const char *body)
{
	struct fake_rule r = { .status = 404, .body = "{\"message\":\"no rule\"}" };
	char line[4200];

	(void)pthread_mutex_lock(&f->lock);
	(void)snprintf(line, sizeof(line), "%s %s", method, path);
	must(f->n_requests < REQUESTS_MAX, "requests");
	must((f->requests[f->n_requests++] = strdup(line)) != NULL, "strdup");
	if (body[0] != '\0')
		(void)snprintf(f->body, sizeof(f->body), "%s", body);
	for (size_t i = 0; i < f->n_rules; i++) {
		if (!matches(&f->rules[i], method, without_version(path)) ||
		    (f->rules[i].times != 0 && f->used[i] >= f->rules[i].times))
			continue;
		f->used[i]++;
		r = f->rules[i];
		break;
	}
	(void)pthread_mutex_unlock(&f->lock);
	if (r.body == NULL)
		r.body = "";
	if (r.status == 0)
		r.status = 200;
	return r;
}

static void
count_start(struct fake *f, const char *path, int change)
{
	if (strstr(path, "/start") == NULL)
		return;
	(void)pthread_mutex_lock(&f->lock);
	f->now_starting += (unsigned)change;
	if (f->now_starting > f->most_starting)
		f->most_starting = f->now_starting;
	(void)pthread_mutex_unlock(&f->lock);
}

/* Read one request into buf; its body starts at *ret_body. false: the client has gone. */
static bool
read_request(int fd, char *buf, size_t cap, char **ret_body)
{
	size_t len = 0, want = 0;
	char *end = NULL, *length;

	for (;;) {
		ssize_t n;

		if (end != NULL && len >= want)
			break;
		n = recv(fd, buf + len, cap - len - 1, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		buf[len] = '\0';
		end = strstr(buf, "\r\n\r\n");
		if (end == NULL)
			continue;
		length = strcasestr(buf, "Content-Length:");
		want = (size_t)(end - buf) + 4;
		if (length != NULL && length < end)
			want += strtoul(length + 15, NULL, 10);
	}
	*ret_body = end + 4;
	return true;
}

static void *
serve(void *arg)
{
	struct client *c = arg;
	char *buf = malloc(BUFFER), *body;
	bool alive = true;

	must(buf != NULL, "malloc");
	while (alive && read_request(c->fd, buf, BUFFER, &body)) {
		char method[16] = "", path[4096] = "";
		struct fake_rule r;

		if (sscanf(buf, "%15s %4095s", method, path) != 2)
			break;
		r = choose(c->fake, method, path, body);
		/* It counts until its answer begins: after that the next may come on another connection. */
		count_start(c->fake, path, 1);
		nap(r.delay_ms);
		count_start(c->fake, path, -1);
		alive = act(c->fd, &r);
	}
	free(buf);
	(void)shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static void *
accept_all(void *arg)
{
	struct fake *f = arg;
	int fd;

	while ((fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct client *c = calloc(1, sizeof(*c));

		must(c != NULL, "calloc");
		c->fake = f;
		c->fd = fd;
		(void)pthread_mutex_lock(&f->lock);
		must(f->n_clients < CLIENTS_MAX, "clients");
		f->clients[f->n_clients++] = c;
		f->n_connections++;
		(void)pthread_mutex_unlock(&f->lock);
		must(pthread_create(&c->thread, NULL, serve, c) == 0, "pthread_create");
	}
	return NULL;
}

void
fake_up(struct fake *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", f->path);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(f->listen_fd >= 0, "socket");
	must(bind(f->listen_fd, (struct sockaddr *)&a, sizeof(a)) == 0, "bind");
	must(listen(f->listen_fd, 256) == 0, "listen");
	must(pthread_create(&f->acceptor, NULL, accept_all, f) == 0, "pthread_create");
	f->running = true;
}

void
fake_down(struct fake *f)
{
	if (!f->running)
		return;
	(void)unlink(f->path);
	(void)shutdown(f->listen_fd, SHUT_RDWR);
	(void)pthread_join(f->acceptor, NULL);
	(void)close(f->listen_fd);
	for (unsigned i = 0; i < f->n_clients; i++) {
		(void)shutdown(f->clients[i]->fd, SHUT_RDWR);
		(void)pthread_join(f->clients[i]->thread, NULL);
		(void)close(f->clients[i]->fd);
		free(f->clients[i]);
	}
	f->n_clients = 0;
	f->running = false;
}

struct fake *
fake_new(const struct fake_rule *rules, size_t n)
{
	struct fake *f = calloc(1, sizeof(*f));

	must(f != NULL, "calloc");
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/fake-engine-XXXXXX");
	must(mkdtemp(f->dir) != NULL, "mkdtemp");
	(void)snprintf(f->path, sizeof(f->path), "%s/engine.sock", f->dir);
	fake_set(f, rules, n);
	fake_up(f);
	return f;
}

void
fake_free(struct fake *f)
{
	fake_down(f);
	(void)rmdir(f->dir);
	for (unsigned i = 0; i < f->n_requests; i++)
		free(f->requests[i]);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

const char *
fake_path(const struct fake *f)
{
	return f->path;
}

void
fake_set(struct fake *f, const struct fake_rule *rules, size_t n)
{
	must(n <= RULES_MAX, "rules");
	(void)pthread_mutex_lock(&f->lock);
	if (n > 0)
		memcpy(f->rules, rules, n * sizeof(*rules));
	memset(f->used, 0, sizeof(f->used));
	f->n_rules = n;
	(void)pthread_mutex_unlock(&f->lock);
}

unsigned
fake_seen(struct fake *f, const char *method, const char *part)
{
	unsigned n = 0;

	(void)pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < f->n_requests; i++) {
		const char *line = f->requests[i];

		if (method != NULL && strncmp(line, method, strlen(method)) != 0)
			continue;
		if (strstr(line, part) != NULL)
			n++;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}

const char *
fake_request(struct fake *f, unsigned i)
{
	const char *line;

	(void)pthread_mutex_lock(&f->lock);
	line = i < f->n_requests ? f->requests[i] : NULL;
	(void)pthread_mutex_unlock(&f->lock);
	return line;
}

const char *
fake_body(struct fake *f)
{
	return f->body;
}

unsigned
fake_connections(struct fake *f)
{
	unsigned n;

	(void)pthread_mutex_lock(&f->lock);
	n = f->n_connections;
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}

unsigned
fake_most_parallel(struct fake *f)
{
	unsigned n;

	(void)pthread_mutex_lock(&f->lock);
	n = f->most_starting;
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}
