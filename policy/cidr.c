/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of the policy and the addresses of clients, which the kernel gave us. */
#include "cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* One to three digits without a leading zero. */
static bool
parse_bits(const char *text, unsigned max, unsigned *ret)
{
	unsigned bits = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 3 || (len > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		bits = bits * 10 + (unsigned)(text[i] - '0');
	}
	*ret = bits;
	return bits <= max;
}

static bool
parse_address(const char *text, size_t len, struct cidr *c)
{
	char address[INET6_ADDRSTRLEN];

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	c->family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	c->bits = c->family == AF_INET ? 32 : 128;
	return inet_pton(c->family, address, c->address) == 1;
}

/* The same network written as IPv4 in IPv6. */
static void
unmap(struct cidr *c)
{
	if (c->family != AF_INET6 || c->bits < 96 || memcmp(c->address, mapped_prefix, 12) != 0)
		return;
	c->family = AF_INET;
	c->bits -= 96;
	memmove(c->address, c->address + 12, 4);
	memset(c->address + 4, 0, 12);
}

/* Clear the bits beyond the prefix; whether any was set. */
static bool
clear_host_bits(struct cidr *c)
{
	unsigned n = c->family == AF_INET ? 4 : 16;
	bool any = false;

	for (unsigned i = c->bits / 8; i < n; i++) {
		uint8_t keep = (uint8_t)(i == c->bits / 8 ? 0xff00u >> (c->bits % 8) : 0);

		any = any || (c->address[i] & ~keep) != 0;
		c->address[i] &= keep;
	}
	return any;
}

int
cidr_parse(const char *text, struct cidr *ret)
{
	size_t len = strcspn(text, "/");
	struct cidr c = { 0 };
	bool host_bits;

	if (!parse_address(text, len, &c))
		return CIDR_E_SYNTAX;
	if (text[len] == '/' && !parse_bits(text + len + 1, c.bits, &c.bits))
		return CIDR_E_SYNTAX;
	unmap(&c);
	host_bits = clear_host_bits(&c);
	*ret = c;
	return host_bits ? CIDR_E_HOST_BITS : 0;
}

char *
cidr_format(const struct cidr *c, char out[CIDR_TEXT_MAX])
{
	char address[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(c->family, c->address, address, sizeof(address));
	(void)snprintf(out, CIDR_TEXT_MAX, "%s/%u", address, c->bits);
	return out;
}

/* The client's address as bytes of its true family. */
static bool
address_of(const struct sockaddr_storage *storage, struct cidr *ret)
{
	union {
		const struct sockaddr_storage *any;
		const struct sockaddr_in *v4;
		const struct sockaddr_in6 *v6;
	} address = { .any = storage };

	memset(ret, 0, sizeof(*ret));
	ret->family = storage->ss_family;
	if (storage->ss_family == AF_INET) {
		ret->bits = 32;
		memcpy(ret->address, &address.v4->sin_addr, 4);
		return true;
	}
	if (storage->ss_family != AF_INET6)
		return false;
	ret->bits = 128;
	memcpy(ret->address, &address.v6->sin6_addr, 16);
	unmap(ret);
	return true;
}

bool
cidr_covers(const struct cidr *outer, const struct cidr *inner)
{
	unsigned whole = outer->bits / 8;
	uint8_t mask = (uint8_t)(0xff00u >> (outer->bits % 8));

	if (inner->family != outer->family || inner->bits < outer->bits ||
	    memcmp(inner->address, outer->address, whole) != 0)
		return false;
	return outer->bits % 8 == 0 || (inner->address[whole] & mask) == outer->address[whole];
}

bool
cidr_contains(const struct cidr *c, const struct sockaddr_storage *address)
{
	struct cidr one;

	return address_of(address, &one) && cidr_covers(c, &one);
}

bool
cidr_list_contains(const struct cidr_list *list, const struct sockaddr_storage *address)
{
	for (size_t i = 0; i < list->n; i++) {
		if (cidr_contains(&list->items[i], address))
			return true;
	}
	return false;
}

bool
cidr_of(const struct sockaddr_storage *address, unsigned v4_bits, unsigned v6_bits, struct cidr *ret)
{
	if (!address_of(address, ret))
		return false;
	ret->bits = ret->family == AF_INET ? v4_bits : v6_bits;
	(void)clear_host_bits(ret);
	return true;
}
