/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: PROXY protocol headers, from balancers that the configuration names. Strict all the same. */
#include "proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#define SMALLEST   15  /* "PROXY UNKNOWN\r\n"; less than the smallest of version 2 */
#define V1_MAX     107 /* with the end of the line */
#define V2_FIXED   16
#define V2_LOCAL   0x20
#define V2_PROXY   0x21
#define V2_UNSPEC  0x00
#define V2_TCP4    0x11
#define V2_TCP6    0x21
#define TCP4_BYTES 12
#define TCP6_BYTES 36
#define TLV_FIXED  3

static const uint8_t v1_start[6] = { 'P', 'R', 'O', 'X', 'Y', ' ' };
static const uint8_t v2_start[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
	0x54, 0x0a };

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int
missing_v1(const uint8_t *data, size_t len)
{
	const uint8_t *end = memchr(data, '\n', len);

	if (end != NULL)
		return end == data + len - 1 && end[-1] == '\r' ? 0 : -PROXY_HEADER_E_MALFORMED;
	if (len >= V1_MAX)
		return -PROXY_HEADER_E_MALFORMED;
	/* At least the end of the line is still to come. */
	return data[len - 1] == '\r' || len == V1_MAX - 1 ? 1 : 2;
}

static int
missing_v2(const uint8_t *data, size_t len)
{
	size_t whole = V2_FIXED;

	if (len >= V2_FIXED)
		whole += (size_t)data[14] << 8 | data[15];
	if (whole > PROXY_HEADER_MAX || len > whole)
		return -PROXY_HEADER_E_MALFORMED;
	return (int)(whole - len);
}

int
proxy_header_missing(const uint8_t *data, size_t len)
{
	bool v1 = memcmp(data, v1_start, least(len, sizeof(v1_start))) == 0;
	bool v2 = memcmp(data, v2_start, least(len, sizeof(v2_start))) == 0;

	if (!v1 && !v2)
		return -PROXY_HEADER_E_MALFORMED;
	if (len < SMALLEST)
		return (int)(SMALLEST - len);
	return v1 ? missing_v1(data, len) : missing_v2(data, len);
}

static void
set_v4(struct sockaddr_storage *out, const uint8_t address[4], uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
	memcpy(out, &in, sizeof(in));
}

static void
set_v6(struct sockaddr_storage *out, const uint8_t address[16], uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
	memcpy(out, &in6, sizeof(in6));
}

/* ---- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 1 22\r\n" ---- */

/* Decimal digits alone, no leading zero; 65535 at most. */
static bool
parse_port(const char *text, uint16_t *ret)
{
	unsigned port = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 5 || (text[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	*ret = (uint16_t)port;
	return port <= UINT16_MAX;
}

static bool
parse_endpoint(int family, const char *address, const char *port, struct sockaddr_storage *ret)
{
	uint8_t bytes[16];
	uint16_t number;

	if (inet_pton(family, address, bytes) != 1 || !parse_port(port, &number))
		return false;
	if (family == AF_INET)
		set_v4(ret, bytes, number);
	else
		set_v6(ret, bytes, number);
	return true;
}

static int
parse_v1(const uint8_t *data, size_t len, struct proxy_header *ret)
{
	char line[V1_MAX + 1];
	char *rest = line;
	char *fields[6]; /* PROXY, family, source, destination, their ports */
	size_t n = 0;
	int family;

	memcpy(line, data, len - 2);
	line[len - 2] = '\0';
	if (strlen(line) != len - 2)
		return PROXY_HEADER_E_MALFORMED;
	/* What follows is the balancer's own business. */
	if (strncmp(line, "PROXY UNKNOWN", 13) == 0 && (line[13] == '\0' || line[13] == ' '))
		return 0;
	while (rest != NULL && n < sizeof(fields) / sizeof(fields[0]))
		fields[n++] = strsep(&rest, " ");
	if (rest != NULL || n != sizeof(fields) / sizeof(fields[0]))
		return PROXY_HEADER_E_MALFORMED;
	if (strcmp(fields[1], "TCP4") == 0)
		family = AF_INET;
	else if (strcmp(fields[1], "TCP6") == 0)
		family = AF_INET6;
	else
		return PROXY_HEADER_E_MALFORMED;
	if (!parse_endpoint(family, fields[2], fields[4], &ret->source) ||
	    !parse_endpoint(family, fields[3], fields[5], &ret->destination))
		return PROXY_HEADER_E_MALFORMED;
	return 0;
}

/* ---- version 2 ---- */

static uint16_t
u16(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

/* Nothing in them is used, but what does not add up was not written by a balancer. */
static bool
tlvs_add_up(const uint8_t *data, size_t len)
{
	while (len >= TLV_FIXED) {
		size_t whole = TLV_FIXED + (size_t)u16(data + 1);

		if (whole > len)
			return false;
		data += whole;
		len -= whole;
	}
	return len == 0;
}

static int
parse_v2(const uint8_t *data, size_t len, struct proxy_header *ret)
{
	const uint8_t *body = data + V2_FIXED;
	size_t rest = len - V2_FIXED;
	size_t addresses = data[13] == V2_TCP4 ? TCP4_BYTES : TCP6_BYTES;

	if (data[12] == V2_LOCAL || (data[12] == V2_PROXY && data[13] == V2_UNSPEC))
		return 0; /* what follows is to be ignored, whatever it says */
	/* Nobody speaks SSH over what is not TCP. */
	if (data[12] != V2_PROXY || (data[13] != V2_TCP4 && data[13] != V2_TCP6) ||
	    rest < addresses || !tlvs_add_up(body + addresses, rest - addresses))
		return PROXY_HEADER_E_MALFORMED;
	if (data[13] == V2_TCP4) {
		set_v4(&ret->source, body, u16(body + 8));
		set_v4(&ret->destination, body + 4, u16(body + 10));
	} else {
		set_v6(&ret->source, body, u16(body + 32));
		set_v6(&ret->destination, body + 16, u16(body + 34));
	}
	return 0;
}

int
proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (len > PROXY_HEADER_MAX || proxy_header_missing(data, len) != 0)
		return PROXY_HEADER_E_MALFORMED;
	return memcmp(data, v1_start, sizeof(v1_start)) == 0 ? parse_v1(data, len, ret)
							     : parse_v2(data, len, ret);
}
