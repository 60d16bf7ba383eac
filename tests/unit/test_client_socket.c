/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's recv(), send() and poll(), called as libssh calls them: the bytes are those of the kernel, in their order. */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_socket.h"
#include "fd.h"

#define PIECE 4096 /* as libssh asks for */

struct fixture {
	int client;
	int server;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int size = 1 << 20;
	int pair[2];

	assert_non_null(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(fd_set_nonblock(pair[0]), 0);
	assert_int_equal(fd_set_nonblock(pair[1]), 0);
	f->client = pair[0];
	f->server = pair[1];
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	client_socket_start(f->server);
	*state = f;
	return 0;
}

/* There is one of it in a process, so nothing may be left for the next test. */
static int
tear_down(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[PIECE];

	while (recv(f->server, buf, sizeof(buf), 0) > 0)
		;
	assert_int_equal(client_socket_held(), 0);
	(void)close(f->client);
	(void)close(f->server);
	free(f);
	return 0;
}

static void
send_zeros(const struct fixture *f, size_t n)
{
	static uint8_t zeros[200000];

	assert_true(n <= sizeof(zeros));
	assert_int_equal(write(f->client, zeros, n), n);
}

static void
expect_piece(const struct fixture *f, size_t n)
{
	uint8_t buf[PIECE];

	assert_int_equal(recv(f->server, buf, sizeof(buf), 0), n);
}

/* What poll() says of one descriptor at once. */
static int
told(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r = poll(&p, 1, 0);

	assert_int_equal(r, p.revents != 0);
	return p.revents;
}

/* Any sizes on both ends, and pauses: nothing is lost, doubled or moved. */
static void
test_the_same_bytes(void **state)
{
	const struct fixture *f = *state;
	uint32_t given = 0, got = 0, end = 3u << 20;
	uint8_t buf[2 * PIECE];

	srand(1);
	while (got < end) {
		size_t n = (size_t)rand() % (rand() % 4 == 0 ? 200000 : 3 * PIECE);
		int reads = rand() % 60;

		for (uint32_t sent = 0; sent < n && given < end;) {
			uint32_t len = (uint32_t)(n - sent) < 1024 ? (uint32_t)(n - sent) : 1024;
			uint8_t piece[1024];
			ssize_t w;

			len = len < end - given ? len : end - given;
			for (uint32_t i = 0; i < len; i++)
				piece[i] = (uint8_t)((given + i) * 2654435761u >> 24);
			w = write(f->client, piece, len);
			if (w < 0)
				break;
			given += (uint32_t)w;
			sent += (uint32_t)w;
		}
		for (int i = 0; i < reads; i++) {
			size_t len = i % 5 == 0 ? (size_t)rand() % sizeof(buf) + 1 : PIECE;
			ssize_t r;

			assert_int_equal((told(f->server, POLLIN) & POLLIN) != 0, got < given);
			r = recv(f->server, buf, len, 0);
			if (got == given) {
				assert_int_equal(r, -1);
				assert_int_equal(errno, EAGAIN);
				break;
			}
			assert_in_range(r, 1, len);
			for (ssize_t k = 0; k < r; k++, got++)
				assert_int_equal(buf[k], (uint8_t)(got * 2654435761u >> 24));
		}
	}
	assert_int_equal(got, end);
}

/* Who types: nothing is taken that was not asked for, so that nothing is ever held. */
static void
test_small_ones_are_not_held(void **state)
{
	const struct fixture *f = *state;

	for (int i = 0; i < 10; i++) {
		send_zeros(f, PIECE - 1);
		expect_piece(f, PIECE - 1);
		assert_int_equal(client_socket_held(), 0);
		assert_false(client_socket_flows());
		assert_int_equal(told(f->server, POLLIN), 0);
	}
}

static void
test_what_is_held_is_told(void **state)
{
	const struct fixture *f = *state;
	struct pollfd two[2];

	send_zeros(f, 4 * PIECE);
	expect_piece(f, PIECE);
	assert_int_equal(client_socket_held(), 0);
	expect_piece(f, PIECE);
	assert_int_equal(client_socket_held(), 2 * PIECE); /* and the kernel has nothing any more */
	assert_int_equal(told(f->server, POLLIN), POLLIN);
	assert_int_equal(told(f->server, POLLOUT), POLLOUT);
	assert_int_equal(told(f->server, POLLIN | POLLOUT), POLLIN | POLLOUT);
	/* Who waits for what it has written to leave is not told of anything to read, here or in the kernel. */
	client_socket_allow(CLIENT_SOCKET_SEND);
	assert_int_equal(told(f->server, POLLIN | POLLOUT), POLLOUT);
	assert_int_equal(told(f->server, POLLIN), 0);
	send_zeros(f, 1);
	assert_int_equal(told(f->server, POLLIN | POLLOUT), POLLOUT);
	client_socket_allow(CLIENT_SOCKET_BOTH);
	two[0] = (struct pollfd){ .fd = f->client, .events = POLLIN | POLLOUT };
	two[1] = (struct pollfd){ .fd = f->server, .events = POLLIN | POLLOUT };
	assert_int_equal(client_socket_poll(two, 2, -1), 2); /* and does not wait */
	assert_int_equal(two[0].revents, POLLOUT);
	assert_int_equal(two[1].revents, POLLIN | POLLOUT);
	two[0] = (struct pollfd){ .fd = f->client, .events = POLLIN };
	two[1] = (struct pollfd){ .fd = f->server, .events = POLLIN };
	assert_int_equal(client_socket_poll(two, 2, -1), 1);
	assert_int_equal(two[0].revents, 0);
	assert_int_equal(two[1].revents, POLLIN);
	/* Who does not want to read now is not told. */
	two[1].events = 0;
	assert_int_equal(client_socket_poll(two, 2, 1), 0);
	expect_piece(f, PIECE);
	expect_piece(f, PIECE);
	assert_int_equal(client_socket_held(), 0);
	expect_piece(f, 1);
	assert_int_equal(told(f->server, POLLIN | POLLOUT), POLLOUT);
}

/* The end comes after all that was sent before it, and is not told earlier. */
static void
test_the_end_comes_last(void **state)
{
	const struct fixture *f = *state;

	send_zeros(f, 3 * PIECE + 7);
	assert_int_equal(shutdown(f->client, SHUT_WR), 0);
	for (int i = 0; i < 3; i++)
		expect_piece(f, PIECE);
	assert_int_equal(told(f->server, POLLIN), POLLIN);
	expect_piece(f, 7);
	assert_int_equal(told(f->server, POLLIN), POLLIN);
	expect_piece(f, 0);
}

/* What poll() has told of is there until it is read, and what comes later is told of again. */
static void
test_what_is_known_is_true(void **state)
{
	const struct fixture *f = *state;
	struct pollfd two[2];

	for (int i = 0; i < 3; i++) {
		two[0] = (struct pollfd){ .fd = f->server, .events = POLLIN };
		two[1] = (struct pollfd){ .fd = f->client, .events = POLLIN };
		assert_int_equal(client_socket_poll(two, 2, 0), 0);
		assert_int_equal(told(f->server, POLLIN), 0);
		send_zeros(f, 7);
		two[0].revents = 0;
		assert_int_equal(client_socket_poll(two, 2, -1), 1);
		assert_int_equal(two[0].revents, POLLIN);
		assert_int_equal(told(f->server, POLLIN | POLLOUT), POLLIN | POLLOUT);
		client_socket_allow(CLIENT_SOCKET_SEND);
		assert_int_equal(told(f->server, POLLIN), 0);
		client_socket_allow(CLIENT_SOCKET_BOTH);
		assert_int_equal(told(f->server, POLLIN), POLLIN);
		expect_piece(f, 7);
		assert_int_equal(told(f->server, POLLIN), 0);
	}
	/* The end is told as the kernel tells it. */
	assert_int_equal(shutdown(f->client, SHUT_RDWR), 0);
	assert_int_equal(client_socket_poll(two, 1, 0), 1);
	assert_int_equal(two[0].revents, POLLIN | POLLHUP);
	assert_int_equal(told(f->server, POLLIN), POLLIN | POLLHUP);
	expect_piece(f, 0);
}

/* Any sizes, sent by one who does not ask first and keeps what was not taken: nothing is lost, doubled or moved. */
static void
test_what_is_sent_arrives(void **state)
{
	const struct fixture *f = *state;
	static uint8_t piece[100000], buf[300000];
	uint32_t sent = 0, got = 0, end = 8u << 20;
	bool was_full = false;

	srand(2);
	while (got < end) {
		size_t n = 1 + (size_t)rand() % sizeof(piece);
		ssize_t r;

		n = n < end - sent ? n : end - sent;
		for (size_t i = 0; i < n; i++)
			piece[i] = (uint8_t)((sent + (uint32_t)i) * 2654435761u >> 24);
		if (n > 0 && (told(f->server, POLLOUT) & POLLOUT) != 0) {
			r = send(f->server, piece, n, MSG_NOSIGNAL);
			assert_in_range(r, 0, n);
			sent += (uint32_t)r;
			assert_int_equal(client_socket_is_full(), (size_t)r < n);
			was_full = was_full || client_socket_is_full();
		}
		if (!client_socket_is_full() && sent < end && rand() % 4 != 0)
			continue;
		r = read(f->client, buf, 1 + (size_t)rand() % sizeof(buf));
		for (ssize_t k = 0; k < r; k++, got++)
			assert_int_equal(buf[k], (uint8_t)(got * 2654435761u >> 24));
		assert_true(got <= sent);
	}
	assert_int_equal(got, end);
	assert_true(was_full);
}

/* A full socket is the kernel's to tell of, and not an error; what may not be sent now does not leave. */
static void
test_full_and_held_back(void **state)
{
	const struct fixture *f = *state;
	static uint8_t zeros[100000];
	uint8_t buf[PIECE];

	client_socket_allow(CLIENT_SOCKET_HOLD);
	assert_int_equal(told(f->server, POLLOUT), POLLOUT);
	assert_int_equal(send(f->server, zeros, PIECE, MSG_NOSIGNAL), 0);
	assert_int_equal(read(f->client, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_false(client_socket_is_full());
	client_socket_allow(CLIENT_SOCKET_BOTH);
	assert_int_equal(send(f->server, zeros, PIECE, MSG_NOSIGNAL), PIECE);
	while (!client_socket_is_full())
		assert_in_range(send(f->server, zeros, sizeof(zeros), MSG_NOSIGNAL), 0,
		    sizeof(zeros));
	assert_int_equal(send(f->server, zeros, sizeof(zeros), MSG_NOSIGNAL), 0);
	assert_int_equal(told(f->server, POLLOUT), 0);
	/* Something to read is no news of that. */
	send_zeros(f, 1);
	assert_int_equal(told(f->server, POLLIN | POLLOUT), POLLIN);
	assert_true(client_socket_is_full());
	expect_piece(f, 1);
	while (read(f->client, buf, sizeof(buf)) > 0)
		;
	assert_int_equal(told(f->server, POLLIN | POLLOUT), POLLOUT);
	assert_false(client_socket_is_full());
	/* Nobody is there any more: that is one. */
	assert_int_equal(shutdown(f->client, SHUT_RDWR), 0);
	assert_int_equal(send(f->server, zeros, 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	assert_false(client_socket_is_full());
}

/* A stream flows once large pieces come, and as soon as one has been given out the next one may be waited for. */
static void
test_it_flows(void **state)
{
	const struct fixture *f = *state;
	uint8_t buf[PIECE];

	send_zeros(f, 60000);
	expect_piece(f, PIECE);
	assert_false(client_socket_flows());
	expect_piece(f, PIECE);
	assert_false(client_socket_flows());
	while (client_socket_held() > 0)
		assert_in_range(recv(f->server, buf, sizeof(buf), 0), 1, PIECE);
	assert_true(client_socket_flows());
	/* Where the kernel had more than could be held, the next one is here already. */
	send_zeros(f, 200000);
	expect_piece(f, PIECE);
	while (client_socket_held() > 0)
		expect_piece(f, PIECE);
	assert_false(client_socket_flows());
	expect_piece(f, PIECE);
	while (client_socket_held() > 0)
		assert_in_range(recv(f->server, buf, sizeof(buf), 0), 1, PIECE);
	assert_true(client_socket_flows());
	send_zeros(f, PIECE);
	expect_piece(f, PIECE);
	assert_false(client_socket_flows());
	assert_int_equal(recv(f->server, buf, sizeof(buf), 0), -1);
}

/* Other descriptors, and other ways to read, are the kernel's. */
static void
test_others_are_left_alone(void **state)
{
	const struct fixture *f = *state;
	uint8_t buf[3 * PIECE] = { 0 };
	ssize_t n;

	send_zeros(f, 2 * PIECE);
	assert_int_equal(recv(f->server, buf, sizeof(buf), MSG_PEEK), 2 * PIECE);
	assert_int_equal(recv(f->server, buf, sizeof(buf), MSG_PEEK), 2 * PIECE);
	assert_int_equal(write(f->server, buf, sizeof(buf)), sizeof(buf));
	for (int i = 0; i < 3; i++)
		assert_int_equal(recv(f->client, buf, PIECE, 0), PIECE);
	assert_int_equal(client_socket_held(), 0);
	assert_int_equal(recv(-1, buf, PIECE, 0), -1);
	assert_int_equal(errno, EBADF);
	client_socket_allow(CLIENT_SOCKET_HOLD);
	while ((n = send(f->client, buf, sizeof(buf), 0)) > 0)
		;
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	assert_false(client_socket_is_full());
	client_socket_allow(CLIENT_SOCKET_BOTH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_same_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_small_ones_are_not_held, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_held_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_end_comes_last, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_known_is_true, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_sent_arrives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_and_held_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_it_flows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_are_left_alone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
