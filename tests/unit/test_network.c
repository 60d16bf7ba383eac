/* SPDX-License-Identifier: Apache-2.0 */
/* Where a connection may lead, and what may be looked up for it: addresses and names as hostile ones write them. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "network.h"
#include "test.h"

/* "a.b.c.d/n", "x:y/n"; without a length one address. */
static struct network
network(const char *text)
{
	struct network n = { .v6 = strchr(text, ':') != NULL };
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN] = "";

	memcpy(address, text, slash != NULL ? (size_t)(slash - text) : strlen(text));
	assert_int_equal(inet_pton(n.v6 ? AF_INET6 : AF_INET, address, n.bytes), 1);
	n.bits = slash != NULL ? (uint8_t)atoi(slash + 1) : n.v6 ? 128 : 32;
	return n;
}

static void
test_lead(void **state)
{
	static const struct {
		const char *list[3];
		const char *address;
		const char *to; /* NULL: nowhere */
	} cases[] = {
		{ { "10.0.0.0/8" }, "10.0.0.0", "10.0.0.0" },
		{ { "10.0.0.0/8" }, "10.255.255.255", "10.255.255.255" },
		{ { "10.0.0.0/8" }, "11.0.0.0", NULL },
		{ { "10.0.0.0/8" }, "9.255.255.255", NULL },
		{ { "10.0.0.0/9" }, "10.127.255.255", "10.127.255.255" },
		{ { "10.0.0.0/9" }, "10.128.0.0", NULL },
		{ { "10.1.2.3/31" }, "10.1.2.3",
		    NULL }, /* bits beyond the prefix: the other side refuses it */
		{ { "10.1.2.2/31" }, "10.1.2.3", "10.1.2.3" },
		{ { "10.1.2.3" }, "10.1.2.3", "10.1.2.3" },
		{ { "10.1.2.3" }, "10.1.2.2", NULL },
		{ { "0.0.0.0/0" }, "255.255.255.255", "255.255.255.255" },
		{ { "0.0.0.0/0" }, "::1", NULL },
		{ { "::/0" }, "127.0.0.1", NULL },
		{ { "::/0" }, "ffff::", "ffff::" },
		{ { "2001:db8::/33" }, "2001:db8:7fff::1", "2001:db8:7fff::1" },
		{ { "2001:db8::/33" }, "2001:db8:8000::1", NULL },
		{ { "2001:db8::9" }, "2001:db8::9", "2001:db8::9" },
		{ { "2001:db8::9" }, "2001:db8::8", NULL },
		{ { "10.1.2.3", "192.0.2.0/24", "::1" }, "192.0.2.7", "192.0.2.7" },
		{ { "10.1.2.3", "192.0.2.0/24", "::1" }, "::1", "::1" },
		/* IPv4 in IPv6 is that, whatever the networks of IPv6 are; what only looks like it is not. */
		{ { "127.0.0.0/8" }, "::ffff:127.0.0.1", "127.0.0.1" },
		{ { "::/0" }, "::ffff:127.0.0.1", NULL },
		{ { "10.0.0.0/8" }, "::ffff:127.0.0.1", NULL },
		{ { "127.0.0.0/8" }, "::127.0.0.1", NULL },
		{ { "127.0.0.0/8" }, "64:ff9b::127.0.0.1", NULL },
		{ { "127.0.0.0/8" }, "::fffe:127.0.0.1", NULL },
		{ { "127.0.0.0/8" }, "2002:7f00:1::", NULL },
		/* No address is the loopback's. */
		{ { "127.0.0.0/8" }, "0.0.0.0", "127.0.0.1" },
		{ { "127.0.0.1" }, "::ffff:0.0.0.0", "127.0.0.1" },
		{ { "0.0.0.0" }, "0.0.0.0", "127.0.0.1" },
		{ { "0.0.0.0" }, "127.0.0.1", NULL },
		{ { "10.0.0.0/8" }, "0.0.0.0", NULL },
		{ { "::1" }, "::", "::1" },
		{ { "::" }, "::", "::1" },
		{ { "::" }, "::1", NULL },
		{ { "::1" }, "0.0.0.0", NULL },
		{ { "127.0.0.0/8" }, "::", NULL },
		{ { "127.0.0.0/8" }, "0.0.0.1", NULL },
		{ { NULL }, "127.0.0.1", NULL },
		{ { NULL }, "::", NULL },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(cases); i++) {
		struct network address = network(cases[i].address);
		struct network list[3];
		struct network to;
		struct network wanted;
		size_t n = 0;

		for (; n < 3 && cases[i].list[n] != NULL; n++)
			list[n] = network(cases[i].list[n]);
		if (network_lead(list, n, &address, &to) != (cases[i].to != NULL))
			fail_msg("case %zu: %s", i, cases[i].address);
		if (cases[i].to == NULL)
			continue;
		wanted = network(cases[i].to);
		assert_int_equal(to.v6, wanted.v6);
		assert_int_equal(to.bits, wanted.bits);
		assert_memory_equal(to.bytes, wanted.bytes, sizeof(to.bytes));
	}
}

static void
test_valid(void **state)
{
	static const char *const good[] = { "0.0.0.0/0", "10.0.0.0/8", "10.128.0.0/9", "10.1.2.3",
		"255.255.255.254/31", "::/0", "::1", "2001:db8::/32", "2001:db8:8000::/33",
		"8000::/1" };
	static const char *const bad[] = { "0.0.0.1/0", "10.0.0.0/4", "10.64.0.0/9", "10.1.2.3/31",
		"0.0.0.0/33", "0.0.0.0/255", "::1/0", "::1/127", "2001:db8:4000::/33", "::/129",
		"::/255", "4000::/1" };
	struct network n;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		n = network(good[i]);
		assert_true(network_is_valid(&n));
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		n = network(bad[i]);
		if (network_is_valid(&n))
			fail_msg("%s is a network", bad[i]);
	}
	/* Of IPv4 the rest is nothing. */
	n = network("10.0.0.0/8");
	n.bytes[4] = 1;
	assert_false(network_is_valid(&n));
	n.bytes[4] = 0;
	n.bytes[15] = 1;
	assert_false(network_is_valid(&n));
}

#define PART_OF_63 "a23456789012345678901234567890123456789012345678901234567890123"

static void
test_names(void **state)
{
	static const char *const good[] = { "a", "web", "example.org", "example.org.",
		"EXAMPLE.ORG", "web_1", "_http._tcp.example.org", "xn--mller-kva.de", "a-", "-a",
		"-", "1a", "1e5", "0xg", "web.1", "1.web", "0x7f.1.a", "127.0.0.1.example.org",
		"localhost", "localhost.", "container", PART_OF_63,
		PART_OF_63 "." PART_OF_63 "." PART_OF_63
			   ".a234567890123456789012345678901234567890123456789012345678901" };
	/* Addresses as inet_aton(3) takes them, what may be taken for one, and what is no name at all. */
	static const char *const bad[] = { "", ".", "..", "a..b", ".a", "a..", "127.0.0.1",
		"127.0.0.1.", "127.1", "127.0.1", "0x7f.1", "0X7F.0.0.1", "0x7f000001",
		"2130706433", "017700000001", "0", "00", "0x0", "0x", "0.0", "1.2.3.4.5",
		"256.1.1.1", "09", "0xA.0xb", "::1", "fe80::1%lo", "[::1]", "127.0.0.1%lo", "a b",
		" a", "a ", "a\n", "a\t", "a/b", "../etc/passwd", "a:80", "a@b", "a%", "*",
		"m\xc3\xbcller.de", "\x80", "\x7f", "a\x01", "a,b", "a'b", "a\"b", "a\\b", "a;b",
		"$(a)", PART_OF_63 "4", "b." PART_OF_63 "4", PART_OF_63 "4.c" };
	char longest[NETWORK_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		if (!network_is_name(good[i], strlen(good[i])))
			fail_msg("\"%s\" is no name", good[i]);
	}
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		if (network_is_name(bad[i], strlen(bad[i])))
			fail_msg("\"%s\" is a name", bad[i]);
	}
	assert_false(network_is_name("a\0b", 3));
	assert_false(network_is_name("a\0", 2));
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 2 == 0 ? 'a' : '.';
	assert_true(network_is_name(longest, NETWORK_NAME_MAX));
	assert_false(network_is_name(longest, NETWORK_NAME_MAX + 1));
	assert_false(network_is_name(longest, NETWORK_NAME_MAX + 2));
}

/* Whatever the resolver of either libc reads as an address is none of our names. */
static void
test_no_name_is_an_address(void **state)
{
	static const char digits[] = "0123456789abcdefxXAF..-";
	unsigned addresses = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 1000000; i++) {
		struct in_addr ignored;
		char text[16];
		size_t len = 1 + (size_t)rand() % (sizeof(text) - 1);

		for (size_t k = 0; k < len; k++)
			text[k] = digits[(size_t)rand() % (sizeof(digits) - 1)];
		text[len] = '\0';
		if (inet_aton(text, &ignored) == 0)
			continue;
		addresses++;
		if (network_is_name(text, len))
			fail_msg("\"%s\" is an address", text);
	}
	assert_true(addresses > 1000);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lead),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_no_name_is_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
