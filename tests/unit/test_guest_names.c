/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest as a real process 1 whose container's files decide what names stand for: what is connected to is what
 * the order allows, nobody waits for who does not answer, and no process is left of it. Each case ends with the guest's
 * descriptors back at five, and with no other process of it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "guest_harness.h"
#include "ipc_chan.h"
#include "test.h"

#define SERVICE_PORT 7000 /* at all addresses of the loopback, and of IPv4 alone */
#define SLOTS        64   /* connections on their way */

#define V4(a, b, c, d, n)                                   \
	{                                                   \
		.bits = (n), .bytes = {(a), (b), (c), (d) } \
	}
#define LOOPBACK_V6                                            \
	{                                                      \
		.v6 = true, .bits = 128, .bytes = { [15] = 1 } \
	}

static struct harness container;
static struct program_ends service;
static char text[4096];
static const char *guest_path = GUEST_FILE;

static void
sh_output(const char *script)
{
	struct program_ends e;

	harness_sh(&container, script, &e);
	harness_expect_started(&e);
	harness_read_all(e.out, text, sizeof(text));
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
}

/* So many processes are the guest's, itself among them. */
static void
expect_processes(unsigned n)
{
	char script[256];

	(void)snprintf(script, sizeof(script),
	    "while test $(cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^sallyport-guest') != %u; "
	    "do sleep 0.05; done; echo so",
	    n);
	sh_output(script);
	assert_string_equal(text, "so\n");
}

static void
write_hosts(const char *lines)
{
	char script[1024];

	(void)snprintf(script, sizeof(script), "rm -f /etc/hosts; printf '%s' >/etc/hosts", lines);
	sh_output(script);
}

/* Who opens it waits until somebody writes. */
static void
block_hosts(void)
{
	sh_output("rm -f /etc/hosts; mkfifo /etc/hosts");
}

static int
group_setup(void **state)
{
	(void)state;
	harness_start(&container, HARNESS_ROOT_NAMES);
	harness_expect_fds(&container, HARNESS_IDLE_FDS);
	harness_sh(&container,
	    "exec python3 -c 'import socketserver as s\n"
	    "class Echo(s.BaseRequestHandler):\n"
	    "    def handle(self):\n"
	    "        while data := self.request.recv(99):\n"
	    "            self.request.sendall(data)\n"
	    "s.ThreadingTCPServer.request_queue_size = 64\n"
	    "server = s.ThreadingTCPServer((\"0.0.0.0\", 7000), Echo)\n"
	    "print(\"listens\", flush=True)\n"
	    "server.serve_forever()'",
	    &service);
	harness_expect_started(&service);
	harness_read_until(service.out, text, sizeof(text), "listens");
	return 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	program_ends_close(&service);
	assert_int_equal(harness_stop(&container), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	expect_processes(1);
	harness_expect_fds(&container, HARNESS_IDLE_FDS + 1); /* the service's ctl */
	return 0;
}

static void
order_name(const char *name, const struct network *list, uint32_t n, struct program_ends *ret)
{
	struct guest_connect to = { .n_networks = n, .port = SERVICE_PORT };
	uint8_t record[GUEST_CONNECT_MAX];
	struct wire_writer w;
	int pair[2];

	strcpy(to.name, name);
	memcpy(to.networks, list, n * sizeof(list[0]));
	wire_writer_init(&w, record, sizeof(record));
	guest_put_connect(&w, &to);
	assert_false(w.failed);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	harness_send_raw(&container, w.data, w.len, &pair[0], 1);
	*ret = (struct program_ends){ pair[1], -1, -1, -1, -1 };
	fd_close(&pair[0]);
}

/* Connected, to the service, at this address. */
static void
expect_connected(struct program_ends *e, const uint8_t v4[4])
{
	struct sockaddr_in peer = { 0 };
	socklen_t len = sizeof(peer);
	uint8_t buf[GUEST_CTL_MAX];
	int fds[4] = { -1, -1, -1, -1 };
	unsigned n = 0;
	size_t got;

	(void)poll(&(struct pollfd){ .fd = e->ctl, .events = POLLIN }, 1, HARNESS_WAIT_MS);
	assert_int_equal(ipc_chan_recv_fds(e->ctl, buf, sizeof(buf), &got, fds, 4, &n, MSG_DONTWAIT),
	    0);
	assert_int_equal(buf[0], GUEST_CTL_CONNECTED);
	assert_int_equal(n, 2);
	harness_expect_end(e->ctl);
	assert_int_equal(getpeername(fds[0], (struct sockaddr *)&peer, &len), 0);
	assert_int_equal(peer.sin_family, AF_INET);
	assert_memory_equal(&peer.sin_addr, v4, 4);
	assert_int_equal(write(fds[0], "there", 5), 5);
	(void)poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, HARNESS_WAIT_MS);
	assert_int_equal(read(fds[1], buf, sizeof(buf)), 5);
	fd_close_all(fds, 4);
	program_ends_close(e);
}

static void
expect_failed(struct program_ends *e, enum guest_fail_stage stage, int error)
{
	harness_expect_failed(e, stage, error);
	harness_expect_end(e->ctl);
	program_ends_close(e);
}

/* Of what a name stands for, what the order has in its networks, and nothing else. */
static void
test_addresses(void **state)
{
	static const struct {
		const char *hosts;
		struct network list[2];
		uint32_t n;
		uint8_t to[4]; /* 0: nothing of it is allowed */
	} cases[] = {
		{ "127.0.0.3 web\n", { V4(127, 0, 0, 0, 8) }, 1, { 127, 0, 0, 3 } },
		{ "127.0.0.3 web\n", { V4(127, 0, 0, 2, 31) }, 1, { 127, 0, 0, 3 } },
		{ "127.0.0.3 web\n", { V4(127, 0, 0, 1, 32), V4(127, 0, 0, 3, 32) }, 2,
		    { 127, 0, 0, 3 } },
		{ "127.0.0.3 web\n", { V4(127, 0, 0, 1, 32) }, 1, { 0 } },
		{ "127.0.0.3 web\n", { V4(10, 0, 0, 0, 8), LOOPBACK_V6 }, 2, { 0 } },
		{ "127.0.0.3 web\n127.0.0.4 web\n127.0.0.5 web\n", { V4(127, 0, 0, 4, 32) }, 1,
		    { 127, 0, 0, 4 } },
		{ "127.0.0.3 web\n127.0.0.4 web\n", { V4(127, 0, 0, 5, 32) }, 1, { 0 } },
		/* IPv4 in IPv6, and no address, as when they are named. */
		{ "::ffff:127.0.0.6 web\n", { V4(127, 0, 0, 6, 32) }, 1, { 127, 0, 0, 6 } },
		{ "::ffff:127.0.0.6 web\n", { LOOPBACK_V6 }, 1, { 0 } },
		{ "0.0.0.0 web\n", { V4(127, 0, 0, 0, 8) }, 1, { 127, 0, 0, 1 } },
		{ "0.0.0.0 web\n", { V4(127, 0, 0, 2, 32) }, 1, { 0 } },
		/* Nobody listens there; it is the next one's turn. */
		{ "::1 web\n127.0.0.7 web\n", { LOOPBACK_V6, V4(127, 0, 0, 7, 32) }, 2,
		    { 127, 0, 0, 7 } },
		{ "127.0.0.8 a_b-c.Example.\n127.0.0.8 web\n", { V4(127, 0, 0, 8, 32) }, 1,
		    { 127, 0, 0, 8 } },
	};
	struct program_ends e;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		write_hosts(cases[i].hosts);
		order_name("web", cases[i].list, cases[i].n, &e);
		if (cases[i].to[0] != 0)
			expect_connected(&e, cases[i].to);
		else
			expect_failed(&e, GUEST_FAIL_LOOKUP, EACCES);
	}
}

/* Allowed, but nobody listens: as with an address. */
static void
test_nobody_listens(void **state)
{
	static const struct network v6 = LOOPBACK_V6;
	struct program_ends e;

	(void)state;
	write_hosts("::1 web\n127.0.0.1 web\n");
	order_name("web", &v6, 1, &e);
	expect_failed(&e, GUEST_FAIL_CONNECT, ECONNREFUSED);
}

/* Nobody has the name, and who would have to be asked is not there. */
static void
test_unknown(void **state)
{
	static const struct network all = V4(0, 0, 0, 0, 0);
	struct program_ends e;

	(void)state;
	write_hosts("127.0.0.1 web\n");
	order_name("nobody.example", &all, 1, &e);
	expect_failed(&e, GUEST_FAIL_LOOKUP, EAGAIN);
	/* More addresses than there is room for: the first ones count. */
	sh_output("for i in $(seq 200); do echo 127.0.1.$i many; done >/etc/hosts");
	order_name("many", &all, 1, &e);
	expect_connected(&e, (const uint8_t[]){ 127, 0, 1, 1 });
}

/* While one waits for a file that never ends to open, everybody else is served; who lets go ends it. */
static void
test_who_never_answers(void **state)
{
	static const struct network all = V4(0, 0, 0, 0, 0);
	struct program_ends waits;

	(void)state;
	for (int i = 0; i < 3; i++) {
		block_hosts();
		order_name("web", &all, 1, &waits);
		expect_processes(2);
		sh_output("echo well");
		assert_string_equal(text, "well\n");
		assert_int_equal(poll(&(struct pollfd){ .fd = waits.ctl, .events = POLLIN }, 1, 0),
		    0);
		if (i == 1) /* a word is as good as none */
			assert_int_equal(ipc_chan_send_plain(waits.ctl, "\10", 1, 0), 0);
		if (i == 2) /* a file without an end, of which glibc has enough soon */
			sh_output("(yes 127.0.0.1 other >/etc/hosts) >/dev/null 2>&1 & sleep 0.2");
		if (i == 1)
			harness_expect_end(waits.ctl);
		program_ends_close(&waits);
		expect_processes(1);
	}
}

static void
test_it_has_an_end(void **state)
{
	static const struct network all = V4(0, 0, 0, 0, 0);
	struct program_ends e;
	int64_t began = harness_now_ms();

	(void)state;
	block_hosts();
	order_name("web", &all, 1, &e);
	expect_processes(2);
	/* Also of one that somebody has stopped. */
	sh_output("for p in /proc/[0-9]*; do grep -q '^sallyport-guest' $p/comm && "
		  "test $p != /proc/1 && kill -STOP ${p#/proc/}; done; echo stopped");
	assert_string_equal(text, "stopped\n");
	expect_failed(&e, GUEST_FAIL_LOOKUP, ETIMEDOUT);
	assert_in_range(harness_now_ms() - began, 9000, 20000);
}

/* Any program of the same user can kill it, and see that it is there. No more. */
static void
test_programs_beside_it(void **state)
{
	static const struct network all = V4(0, 0, 0, 0, 0);
	struct program_ends e;

	(void)state;
	block_hosts();
	order_name("web", &all, 1, &e);
	expect_processes(2);
	sh_output("for p in /proc/[0-9]*; do grep -q '^sallyport-guest' $p/comm || continue; "
		  "test $p != /proc/1 || continue; "
		  "for f in environ auxv maps mem cwd root exe fd/0 fd/1; do "
		  "test -e $p/$f -a -r $p/$f && cat $p/$f >/dev/null 2>&1 && echo $f; done; "
		  "ls $p/fd >/dev/null 2>&1 && echo fds; "
		  "kill -KILL ${p#/proc/} && echo killed; done; true");
	assert_string_equal(text, "killed\n");
	expect_failed(&e, GUEST_FAIL_LOOKUP, EIO);
}

/* It has one descriptor, and what it opens itself. */
static void
test_its_descriptors(void **state)
{
	static const struct network all = V4(0, 0, 0, 0, 0);
	struct program_ends e;
	char path[64];
	FILE *children;
	int child = 0;
	int blocked;

	(void)state;
	if (getuid() != 0)
		skip();
	block_hosts();
	order_name("web", &all, 1, &e);
	expect_processes(2);
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)container.guest,
	    (int)container.guest);
	children = fopen(path, "re");
	assert_non_null(children);
	/* The service's shell is the first one. */
	while (fscanf(children, "%d", &blocked) == 1)
		child = blocked;
	assert_int_equal(fclose(children), 0);
	assert_true(child > 1);
	assert_int_equal(harness_guest_fds(&(struct harness){ .guest = child }), 1);
	program_ends_close(&e);
}

static void
test_many(void **state)
{
	static const struct network all = V4(0, 0, 0, 0, 0);
	static struct program_ends e[SLOTS];
	struct program_ends more;

	(void)state;
	block_hosts();
	for (size_t i = 0; i < SLOTS; i++)
		order_name("web", &all, 1, &e[i]);
	expect_processes(SLOTS + 1);
	order_name("web", &all, 1, &more);
	expect_failed(&more, GUEST_FAIL_ORDER, EAGAIN);
	for (size_t i = 0; i < SLOTS; i++)
		program_ends_close(&e[i]);
	expect_processes(1);
	write_hosts("127.0.0.9 web\n");
	for (size_t i = 0; i < SLOTS; i++)
		order_name("web", &all, 1, &e[i]);
	for (size_t i = 0; i < SLOTS; i++)
		expect_connected(&e[i], (const uint8_t[]){ 127, 0, 0, 9 });
}

/* No order is none that the guest can be made to look up. */
static void
test_malformed(void **state)
{
	struct guest_connect to = { .name = "web",
		.n_networks = 2,
		.networks = { V4(127, 0, 0, 0, 8), LOOPBACK_V6 },
		.port = SERVICE_PORT };
	uint8_t record[GUEST_CONNECT_MAX];
	struct wire_writer w;
	int pair[2];

	(void)state;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_connect(&w, &to);
	for (size_t n = 1; n < w.len; n++) {
		struct program_ends e;

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		harness_send_raw(&container, record, n, &pair[0], 1);
		e = (struct program_ends){ pair[1], -1, -1, -1, -1 };
		fd_close(&pair[0]);
		expect_failed(&e, GUEST_FAIL_ORDER, EPROTO);
	}
}

/* The container does not wait for it. */
static void
test_end_of_the_container(void **state)
{
	static const struct network all = V4(0, 0, 0, 0, 0);
	struct harness other;
	struct program_ends e;
	int64_t began;

	(void)state;
	other = container;
	harness_start(&container, HARNESS_ROOT_NAMES);
	block_hosts();
	order_name("web", &all, 1, &e);
	expect_processes(2);
	began = harness_now_ms();
	assert_int_equal(harness_stop(&container), 0);
	assert_in_range(harness_now_ms() - began, 0, 5000);
	/* Whether it is still said or not that nothing came of it. */
	assert_true(harness_ends_within(e.ctl, HARNESS_WAIT_MS));
	program_ends_close(&e);
	container = other;
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_addresses, teardown),
		cmocka_unit_test_teardown(test_nobody_listens, teardown),
		cmocka_unit_test_teardown(test_unknown, teardown),
		cmocka_unit_test_teardown(test_who_never_answers, teardown),
		cmocka_unit_test_teardown(test_it_has_an_end, teardown),
		cmocka_unit_test_teardown(test_programs_beside_it, teardown),
		cmocka_unit_test_teardown(test_its_descriptors, teardown),
		cmocka_unit_test_teardown(test_many, teardown),
		cmocka_unit_test_teardown(test_malformed, teardown),
		cmocka_unit_test_teardown(test_end_of_the_container, teardown),
	};

	if (argc > 1)
		guest_path = argv[1];
	harness_set_guest(guest_path);
	if (!harness_is_possible()) {
		fprintf(stderr, "no namespaces here: skipped\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
