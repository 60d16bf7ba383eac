/* SPDX-License-Identifier: Apache-2.0 */
/* notify: inherited sockets are taken only when they are meant for us, and states reach the manager. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attr.h"
#include "notify.h"
#include "test.h"

static void
set(const char *name, const char *value)
{
	assert_int_equal(setenv(name, value, 1), 0);
}

static void
test_sockets_for_another_process(void **state)
{
	struct notify_socket s[NOTIFY_LISTEN_MAX];

	(void)state;
	set("LISTEN_PID", "1");
	set("LISTEN_FDS", "1");
	assert_int_equal(notify_take_sockets(s), 0);
}

static void
test_nonsense(void **state)
{
	static const char *const bad[] = { "", "-1", "x", "33", "1x", "99999999999999999999" };
	struct notify_socket s[NOTIFY_LISTEN_MAX];
	char pid[32];

	(void)state;
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		set("LISTEN_PID", pid);
		set("LISTEN_FDS", bad[i]);
		assert_true(notify_take_sockets(s) < 0);
	}
}

/* In a child, where descriptors 3 and 4 are ours to define. */
static void
test_names(void **state)
{
	struct notify_socket s[NOTIFY_LISTEN_MAX];
	char pid[32];
	int saved3 = dup(3);
	int saved4 = dup(4);

	(void)state;
	assert_true(dup2(0, 3) == 3 && dup2(0, 4) == 4);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	set("LISTEN_PID", pid);
	set("LISTEN_FDS", "2");
	set("LISTEN_FDNAMES", "ssh:other");
	assert_int_equal(notify_take_sockets(s), 2);
	assert_int_equal(s[0].fd, 3);
	assert_string_equal(s[0].name, "ssh");
	assert_string_equal(s[1].name, "other");
	assert_null(getenv("LISTEN_FDS"));
	if (saved3 >= 0)
		(void)dup2(saved3, 3);
	if (saved4 >= 0)
		(void)dup2(saved4, 4);
	close(saved3);
	close(saved4);
}

static void
test_state_reaches_the_manager(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char text[256] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/sallyport-notify-%d",
	    (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	set("NOTIFY_SOCKET", addr.sun_path);
	assert_int_equal(notify_open(), 0);
	notify_send("READY=1\nSTATUS=%u", 7U);
	assert_true(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text, "READY=1\nSTATUS=7");
	close(fd);
	notify_send("READY=1"); /* nobody listens: nothing happens */
	unlink(addr.sun_path);
}

static void
test_watchdog(void **state)
{
	(void)state;
	unsetenv("WATCHDOG_PID");
	set("WATCHDOG_USEC", "30000000");
	assert_int_equal(notify_watchdog_usec(), 30000000);
	set("WATCHDOG_PID", "1");
	assert_int_equal(notify_watchdog_usec(), 0);
	set("WATCHDOG_USEC", "soon");
	assert_int_equal(notify_watchdog_usec(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets_for_another_process),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_state_reaches_the_manager),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
