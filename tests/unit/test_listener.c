/* SPDX-License-Identifier: Apache-2.0 */
/* listener: addresses that the kernel does not have, on a host that was started without IPv6 for instance. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "listener.h"
#include "test.h"

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);

int
__wrap_socket(int domain, int type, int protocol)
{
	if (domain == AF_INET6) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return __real_socket(domain, type, protocol);
}

static char v4[32];
static char v6[32];

/* A port that nobody has. */
static int
choose(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	SP_CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return -1;
	(void)snprintf(v4, sizeof(v4), "127.0.0.1:%u", (unsigned)ntohs(a.sin_port));
	(void)snprintf(v6, sizeof(v6), "[::1]:%u", (unsigned)ntohs(a.sin_port));
	return 0;
}

static void
test_named_by_nobody(void **state)
{
	const char *const addresses[] = { v6, v4, NULL };
	struct listener *l = NULL;
	char text[LISTENER_ADDRESS_MAX];
	char why[256] = "";

	(void)state;
	assert_int_equal(listener_open(addresses, true, &l, why, sizeof(why)), 0);
	assert_string_equal(listener_address(l, 0, text, sizeof(text)), v4);
	assert_null(listener_address(l, 1, text, sizeof(text)));
	listener_free(l);
}

static void
assert_refused(const char *const *addresses, bool by_default)
{
	struct listener *l = NULL;
	char why[256] = "";

	assert_int_equal(listener_open(addresses, by_default, &l, why, sizeof(why)), -EAFNOSUPPORT);
	assert_null(l);
	assert_non_null(strstr(why, v6));
}

/* Who names one means it; and without any nobody could come. */
static void
test_named(void **state)
{
	const char *const both[] = { v4, v6, NULL };
	const char *const one[] = { v6, NULL };

	(void)state;
	assert_refused(both, false);
	assert_refused(one, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_named_by_nobody, choose),
		cmocka_unit_test_setup(test_named, choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
