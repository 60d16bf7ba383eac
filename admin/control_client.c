/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport: questions to the broker. A broker that does not answer is waited for, but not for ever. */
#include "control_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control_path.h"
#include "fd.h"
#include "log.h"

#define PATIENCE_SECONDS 30
#define ANSWER_MAX       (64U << 20) /* a hundred thousand sessions */

static void
complain(const char *path, int error)
{
	(void)fprintf(stderr, "sallyport: cannot ask the broker on %s: %s\n", path, strerror(error));
	if (error == ENOENT || error == ECONNREFUSED)
		(void)fprintf(stderr,
		    "  is sallyport-broker running? With sallyport.socket it starts when somebody connects.\n"
		    "  --socket names another socket\n");
	else if (error == EACCES)
		(void)fprintf(stderr,
		    "  root may ask, and the members of control.group in broker.json\n");
	else if (error == ETIMEDOUT || error == EAGAIN)
		(void)fprintf(stderr,
		    "  it is there, and has not answered within %d s; its log may say why\n",
		    PATIENCE_SECONDS);
	else if (error == EPROTO)
		(void)fprintf(stderr,
		    "  what came is no answer: has it ended, or is it no sallyport-broker? --socket names another socket\n");
}

/* Connected, or -1 with errno. */
static int
connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	SP_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd_steal(&fd);
}

static bool
send_line(int fd, const char *text)
{
	size_t len = strlen(text);

	return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len &&
	    send(fd, "\n", 1, MSG_NOSIGNAL) == 1;
}

/* Everything until the end, from malloc; NULL with errno. */
static char *
receive_all(int fd, size_t *ret_len)
{
	size_t cap = 1 << 16;
	size_t len = 0;
	char *text = malloc(cap);
	ssize_t n;

	while (text != NULL && (n = recv(fd, text + len, cap - len, 0)) != 0) {
		char *bigger = text;

		if (n > 0)
			len += (size_t)n;
		else if (errno == EINTR)
			continue;
		if (n > 0 && len == cap)
			bigger = cap < ANSWER_MAX ? realloc(text, cap * 2) : (errno = EMSGSIZE, NULL);
		if (n < 0 || bigger == NULL) {
			free(text);
			return NULL;
		}
		if (len == cap)
			cap *= 2;
		text = bigger;
	}
	*ret_len = len;
	return text;
}

static json_t *
exchange(int fd, const char *question)
{
	size_t len = 0;
	char *text = send_line(fd, question) ? receive_all(fd, &len) : NULL;
	json_t *answer = NULL;

	if (text != NULL) {
		answer = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(answer))
			errno = EPROTO;
	} else if (errno == EAGAIN) {
		errno = ETIMEDOUT;
	}
	free(text);
	return answer;
}

json_t *
control_try(const char *path, json_t *request)
{
	SP_CLEANUP_FD int fd = connect_to(path);
	char *question = json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_t *answer = fd >= 0 && question != NULL ? exchange(fd, question) : NULL;
	int error = errno;

	json_decref(request);
	free(question);
	if (!json_is_object(answer)) {
		json_decref(answer);
		answer = NULL;
	}
	errno = error;
	return answer;
}

json_t *
control_ask(const char *path, json_t *request)
{
	json_t *answer = control_try(path, request);
	const char *error;

	if (answer == NULL) {
		complain(path, errno);
		return NULL;
	}
	error = json_string_value(json_object_get(answer, "error"));
	if (error != NULL) {
		char safe[512];

		(void)fprintf(stderr, "sallyport: the broker says: %s\n",
		    log_escape(safe, sizeof(safe), error, strlen(error)));
		json_decref(answer);
		return NULL;
	}
	return answer;
}

/* As the broker reads them: what is relative is so to the file's directory. */
static bool
join(const char *file, const char *path, const char *name, char *out, size_t cap)
{
	const char *slash = strrchr(file, '/');
	int directory = path[0] != '/' && slash != NULL ? (int)(slash - file) + 1 : 0;

	return (size_t)snprintf(out, cap, "%.*s%s%s", directory, file, path, name) < cap;
}

bool
control_socket_of(const char *file, char *out, size_t cap)
{
	json_error_t error;
	json_t *config = json_load_file(file, 0, &error);
	const json_t *control = json_object_get(config, "control");
	const char *socket = json_string_value(json_object_get(control, "socket"));
	const char *runtime_dir = json_string_value(json_object_get(config, "runtime_dir"));
	char safe[512];
	bool done;

	if (config == NULL) {
		(void)fprintf(stderr,
		    "sallyport: cannot read the configuration %s: %s\n"
		    "  sallyport-broker -t -c FILE says more; --socket names the socket itself\n",
		    file, log_escape(safe, sizeof(safe), error.text, strlen(error.text)));
		return false;
	}
	if (socket != NULL)
		done = join(file, socket, "", out, cap);
	else
		done = join(file, runtime_dir != NULL ? runtime_dir : SP_RUNTIME_DIR,
		    "/" SP_CONTROL_NAME, out, cap);
	if (!done)
		(void)fprintf(stderr,
		    "sallyport: %s names a control socket whose path is too long\n", file);
	json_decref(config);
	return done;
}
