/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real sallyportd up to its client, by a broker that is of another release or broken: it ends with an
 * error, and nobody is served. Each case is a process of its own, locked down as in production.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attr.h"
#include "fd.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "worker_exit.h"

#define WORKER_ID "65534"
#define WAIT_MS   60000

struct worker {
	pid_t pid;
	int pair;
	int log;
};

static uint8_t record[IPC_RECORD_MAX + 1];

/* As the spawner does it. */
static _Noreturn void
exec_worker(int ipc, int log)
{
	bool root = geteuid() == 0;
	int ipc_high = fcntl(ipc, F_DUPFD_CLOEXEC, 20);
	int log_high = fcntl(log, F_DUPFD_CLOEXEC, 20);

	if (dup2(log_high, IPC_LOG_FD) < 0 || dup2(ipc_high, IPC_FD) < 0 ||
	    (root && unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0))
		_exit(99);
	execl(SALLYPORTD, "sallyportd", "--uid", WORKER_ID, "--gid", WORKER_ID,
	    root ? (char *)NULL : "--best-effort", (char *)NULL);
	_exit(99);
}

static struct worker
start(void)
{
	struct worker w;
	int pair[2];
	int log[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	w.pid = fork();
	assert_true(w.pid >= 0);
	if (w.pid == 0)
		exec_worker(pair[1], log[1]);
	fd_close(&pair[1]);
	fd_close(&log[1]);
	w.pair = pair[0];
	w.log = log[0];
	return w;
}

static bool
something_comes(int fd)
{
	return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, WAIT_MS) == 1;
}

/* Nothing more is said, and this is how it ends. */
static void
expect_end(struct worker *w, enum worker_exit code, const char *words)
{
	char log[1024] = "";
	size_t n = 0;
	ssize_t got;
	size_t len;
	int status;

	if (!something_comes(w->pair) || ipc_chan_recv(w->pair, record, sizeof(record), &len, 0) == 0)
		(void)kill(w->pid, SIGKILL);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	while (n < sizeof(log) - 1 && (got = read(w->log, log + n, sizeof(log) - 1 - n)) > 0)
		n += (size_t)got;
	fd_close(&w->pair);
	fd_close(&w->log);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != (int)code || strstr(log, words) == NULL)
		fail_msg("status %d, not %d: %s", status, (int)code << 8, log);
}

static size_t
put_hello(uint32_t version, uint32_t n_host_keys)
{
	/* RFC 8032, 7.1, the first of the keys */
	static const uint8_t host_key[] =
	    "\0\0\0\x0bssh-ed25519\0\0\0\x20"
	    "\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a"
	    "\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a";
	struct ipc_hello m = { .version = version,
		.login_tries = 6,
		.keepalive_count = 3,
		.banner = { (const uint8_t *)"Hello\n", 6 },
		.n_host_keys = n_host_keys };
	struct wire_writer w;

	for (size_t i = 0; i < SP_ARRAY_LEN(m.host_keys); i++)
		m.host_keys[i] = (struct wire_span){ host_key, sizeof(host_key) - 1 };
	wire_writer_init(&w, record, sizeof(record));
	ipc_put_hello(&w, &m);
	assert_false(w.failed);
	return w.len;
}

static void
say(const struct worker *w, size_t len, const int *fds, unsigned n_fds)
{
	assert_int_equal(ipc_chan_send(w->pair, record, len, fds, n_fds, 0), 0);
}

static void
refuse_hello(size_t len)
{
	struct worker w = start();

	say(&w, len, NULL, 0);
	expect_end(&w, WORKER_EXIT_LOCKDOWN, "the broker is of another release");
}

static void
test_hello_of_another_release(void **state)
{
	static const uint32_t versions[] = { 0, IPC_VERSION + 1, IPC_VERSION << 24, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(versions); i++)
		refuse_hello(put_hello(versions[i], 1));
}

static void
test_malformed_hello(void **state)
{
	size_t whole = put_hello(IPC_VERSION, 1);

	(void)state;
	for (size_t n = 1; n < whole; n++)
		refuse_hello(n);
	record[whole] = 0;
	refuse_hello(whole + 1);
	/* More keys, or fewer, than it says. */
	record[whole - 4 - 51 - 1] = 2;
	refuse_hello(whole);
	record[whole - 4 - 51 - 1] = 0;
	refuse_hello(whole);
	(void)put_hello(IPC_VERSION, 1);
	record[0] = IPC_CONNECTION;
	refuse_hello(whole);
	record[0] = IPC_READY;
	refuse_hello(whole);
	record[0] = 0;
	refuse_hello(whole);
}

/* What the pair itself does not carry, or carries no more. */
static void
test_hello_that_does_not_arrive(void **state)
{
	size_t len = put_hello(IPC_VERSION, 1);
	int size = 4 * IPC_RECORD_MAX;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct worker w = start();
		int fds[2] = { w.log, w.log };

		if (i < 2) {
			say(&w, len, fds, i + 1);
		} else if (i == 2) {
			assert_int_equal(send(w.pair, "", 0, 0), 0);
		} else {
			assert_int_equal(setsockopt(w.pair, SOL_SOCKET, SO_SNDBUF, &size,
					     sizeof(size)),
			    0);
			memset(record + len, 0, sizeof(record) - len);
			say(&w, sizeof(record), NULL, 0);
		}
		expect_end(&w, WORKER_EXIT_BROKER_GONE, "");
	}
}

/* Locked down, and waiting for its client. */
static struct worker
start_ready(void)
{
	struct worker w = start();
	struct ipc_ready ready;
	struct wire_reader r;
	size_t len;

	say(&w, put_hello(IPC_VERSION, 1), NULL, 0);
	assert_true(something_comes(w.pair));
	assert_int_equal(ipc_chan_recv(w.pair, record, sizeof(record), &len, 0), 0);
	wire_reader_init(&r, record, len);
	assert_int_equal(wire_get_u8(&r), IPC_READY);
	assert_int_equal(ipc_get_ready(&r, &ready), 0);
	assert_int_equal(ready.version, IPC_VERSION);
	return w;
}

/* One connection: the client's end, and the one that is handed over. */
static void
make_client(int *ret_client, int *ret_served)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(here);
	SP_CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &len), 0);
	*ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*ret_client, (struct sockaddr *)&here, sizeof(here)), 0);
	*ret_served = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*ret_served >= 0);
}

/* This record in CONNECTION's place, with so many clients: none of them hears a word. */
static void
refuse_connection(const void *data, size_t len, unsigned n)
{
	struct worker w = start_ready();
	int clients[2] = { -1, -1 };
	int served[2] = { -1, -1 };
	char byte;

	for (unsigned i = 0; i < n; i++)
		make_client(&clients[i], &served[i]);
	memcpy(record, data, len);
	say(&w, len, served, n);
	fd_close_all(served, 2);
	expect_end(&w, WORKER_EXIT_BROKER_GONE, "");
	for (unsigned i = 0; i < n; i++) {
		assert_true(something_comes(clients[i]));
		assert_true(recv(clients[i], &byte, 1, 0) <= 0);
	}
	fd_close_all(clients, 2);
}

static void
test_connection(void **state)
{
	struct worker w = start_ready();
	uint8_t connection = IPC_CONNECTION;
	char words[9] = "";
	int client;
	int served;

	(void)state;
	make_client(&client, &served);
	record[0] = connection;
	say(&w, 1, &served, 1);
	fd_close(&served);
	assert_true(something_comes(client));
	assert_int_equal(recv(client, words, 8, MSG_WAITALL), 8);
	assert_string_equal(words, "SSH-2.0-");
	fd_close(&client);
	expect_end(&w, WORKER_EXIT_NO_LOGIN, "");
}

static void
test_connection_with_other_descriptors(void **state)
{
	(void)state;
	refuse_connection("\3", 1, 0);
	refuse_connection("\3", 1, 2);
}

static void
test_malformed_connection(void **state)
{
	static const uint8_t ids[] = { 0, IPC_HELLO, IPC_READY, IPC_ANS_SIGN, IPC_NOTICE,
		IPC_ID_END, 255 };

	(void)state;
	refuse_connection("\3\0", 2, 1);
	refuse_connection("\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17, 1);
	for (size_t i = 0; i < SP_ARRAY_LEN(ids); i++)
		refuse_connection(&ids[i], 1, 1);
}

/* The broker has gone before there was anybody. */
static void
test_no_connection(void **state)
{
	struct worker w = start_ready();
	int status;

	(void)state;
	fd_close(&w.pair);
	assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), WORKER_EXIT_BROKER_GONE);
	fd_close(&w.log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_of_another_release),
		cmocka_unit_test(test_malformed_hello),
		cmocka_unit_test(test_hello_that_does_not_arrive),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_connection_with_other_descriptors),
		cmocka_unit_test(test_malformed_connection),
		cmocka_unit_test(test_no_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
