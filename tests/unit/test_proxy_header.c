/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_header: what balancers write, what they must not, and never a byte beyond. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy_header.h"
#include "test.h"

#define V2_START "\r\n\r\n\0\r\nQUIT\n"

/* Read a header out of a stream as the broker does. The bytes taken, or -1: refused. */
static int
take(const uint8_t *stream, size_t len, struct proxy_header *ret)
{
	/* From malloc, so that a sanitizer sees a read beyond what was taken. */
	uint8_t *data = malloc(1);
	size_t n = 0;
	int missing;
	int r = -1;

	while ((missing = proxy_header_missing(data, n)) > 0 && n + (size_t)missing <= len) {
		assert_true(n + (size_t)missing <= PROXY_HEADER_MAX);
		data = realloc(data, n + (size_t)missing);
		assert_non_null(data);
		memcpy(data + n, stream + n, (size_t)missing);
		n += (size_t)missing;
	}
	if (missing == 0 && proxy_header_parse(data, n, ret) == 0)
		r = (int)n;
	free(data);
	return r;
}

static const char *
text_of(const struct sockaddr_storage *s, char out[80])
{
	char address[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memcpy(&v4, s, sizeof(v4));
	memcpy(&v6, s, sizeof(v6));
	if (s->ss_family == AF_INET)
		(void)snprintf(out, 80, "%s,%u",
		    inet_ntop(AF_INET, &v4.sin_addr, address, sizeof(address)), ntohs(v4.sin_port));
	else if (s->ss_family == AF_INET6)
		(void)snprintf(out, 80, "%s,%u",
		    inet_ntop(AF_INET6, &v6.sin6_addr, address, sizeof(address)),
		    ntohs(v6.sin6_port));
	else
		strcpy(out, "-");
	return out;
}

#define ENTRY(text)                    \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct {
	const char *data;
	size_t len;
	const char *source;
	const char *destination;
} good[] = {
	{ "PROXY TCP4 192.0.2.1 198.51.100.2 56324 22\r\n", 44, "192.0.2.1,56324", "198.51.100.2,22" },
	{ "PROXY TCP4 1.1.1.1 2.2.2.2 0 65535\r\n", 36, "1.1.1.1,0", "2.2.2.2,65535" },
	{ "PROXY TCP6 2001:db8::1 2001:db8::2 1 22\r\n", 41, "2001:db8::1,1", "2001:db8::2,22" },
	{ "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	  "65535 65535\r\n",
	    104, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,65535",
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,65535" },
	{ "PROXY UNKNOWN\r\n", 15, "-", "-" },
	{ "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	  "65535 65535\r\n",
	    107, "-", "-" },
	{ V2_START "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16", 28, "192.0.2.1,56324",
	    "198.51.100.2,22" },
	{ V2_START "\x21\x21\0\x24"
		   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
		   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\x16",
	    52, "2001:db8::1,1", "2001:db8::2,22" },
	/* TLVs */
	{ V2_START "\x21\x11\0\x15\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16\4\0\0\1\0\3abc", 37,
	    "192.0.2.1,56324", "198.51.100.2,22" },
	/* a health check, with and without more */
	{ V2_START "\x20\0\0\0", 16, "-", "-" },
	{ V2_START "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16", 28, "-", "-" },
	{ V2_START "\x21\0\0\3xyz", 19, "-", "-" },
};

static const struct {
	const char *data;
	size_t len;
} bad[] = {
	ENTRY("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"),
	ENTRY("\r\n\r\nSSH-2.0-OpenSSH_9.2p1\r\n"),
	ENTRY("GET / HTTP/1.1\r\n\r\n"),
	ENTRY("proxy TCP4 192.0.2.1 198.51.100.2 56324 22\r\n"),
	ENTRY("PROXY\r\n----------------------\r\n"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22\n--------\r\n"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n--------\r\n"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22 \r\n"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22 1\r\n"),
	ENTRY("PROXY TCP4  192.0.2.1 198.51.100.2 56324 22\r\n"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 65536 22\r\n"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 056324 22\r\n"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 -1 22\r\n"),
	ENTRY("PROXY TCP4 192.0.2.256 198.51.100.2 1 22\r\n"),
	ENTRY("PROXY TCP4 192.0.2 198.51.100.2 1 22\r\n"),
	ENTRY("PROXY TCP4 2001:db8::1 2001:db8::2 1 22\r\n"),
	ENTRY("PROXY TCP6 192.0.2.1 198.51.100.2 1 22\r\n"),
	ENTRY("PROXY UDP4 192.0.2.1 198.51.100.2 1 22\r\n"),
	ENTRY("PROXY UNKNOWNS\r\n"),
	ENTRY("PROXY TCP4 192.0.2.1\0 198.51.100.2 1 22\r\n"),
	ENTRY("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	      "aaaaaaaaaaaaaaaaaaaaaaa\r\n"),
	/* cut */
	ENTRY(""),
	ENTRY("PROXY"),
	ENTRY("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22\r"),
	ENTRY(V2_START "\x21\x11\0"),
	ENTRY(V2_START "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0"),
	/* version, command, family */
	ENTRY(V2_START "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"),
	ENTRY(V2_START "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"),
	ENTRY(V2_START "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"),
	ENTRY(V2_START "\x21\x31\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"),
	/* addresses that do not fit, TLVs that do not add up, more than is allowed */
	ENTRY(V2_START "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0"),
	ENTRY(V2_START "\x21\x21\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"),
	ENTRY(V2_START "\x21\x11\0\x0e\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16\4\0"),
	ENTRY(V2_START "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16\4\0\2x"),
	ENTRY(V2_START "\x21\x11\x07\xf1\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"),
	ENTRY(V2_START "\x21\x11\xff\xff\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"),
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(good); i++) {
		uint8_t stream[512];
		struct proxy_header h;
		char text[80];

		memcpy(stream, good[i].data, good[i].len);
		memcpy(stream + good[i].len, "SSH-2.0-client\r\n", 16);
		/* Exactly the header: what the client sent stays. */
		assert_int_equal(take(stream, good[i].len + 16, &h), good[i].len);
		assert_string_equal(text_of(&h.source, text), good[i].source);
		assert_string_equal(text_of(&h.destination, text), good[i].destination);
		for (size_t cut = 0; cut < good[i].len; cut++)
			assert_int_equal(take(stream, cut, &h), -1);
	}
}

static void
test_bad(void **state)
{
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		if (take((const uint8_t *)bad[i].data, bad[i].len, &h) != -1)
			fail_msg("taken: %zu %s", i, bad[i].data);
	}
}

static void
test_largest(void **state)
{
	static uint8_t stream[PROXY_HEADER_MAX + 1] = V2_START "\x21\x11\x07\xf0";
	struct proxy_header h;

	(void)state;
	stream[28] = 4; /* one TLV that fills it */
	stream[29] = (PROXY_HEADER_MAX - 31) >> 8;
	stream[30] = (PROXY_HEADER_MAX - 31) & 0xff;
	assert_int_equal(take(stream, sizeof(stream), &h), PROXY_HEADER_MAX);
	assert_int_equal(proxy_header_parse(stream, sizeof(stream), &h), PROXY_HEADER_E_MALFORMED);
}

static void
test_mangled(void **state)
{
	uint8_t stream[512];
	struct proxy_header h;

	(void)state;
	srandom(11);
	for (unsigned i = 0; i < 200000; i++) {
		size_t which = (size_t)random() % SP_ARRAY_LEN(good);
		size_t len = good[which].len;

		memset(stream, 'x', sizeof(stream));
		memcpy(stream, good[which].data, len);
		for (long n = random() % 3; n >= 0; n--)
			stream[(size_t)random() % len] = (uint8_t)random();
		/* Whatever it is: within bounds, and both halves agree on where it ends. */
		assert_true(take(stream, sizeof(stream), &h) <= PROXY_HEADER_MAX);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_mangled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
