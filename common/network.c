/* SPDX-License-Identifier: Apache-2.0 */
/* See network.h. Addresses and names are anybody's: a client's, a name server's, a tenant's. */
#include "network.h"

#include <string.h>

#define PART_MAX 63 /* of a name, between two dots */

static const struct network loopback_v4 = { .bits = 32, .bytes = { 127, 0, 0, 1 } };
static const struct network loopback_v6 = { .v6 = true, .bits = 128, .bytes = { [15] = 1 } };
static const uint8_t none[16];

bool
network_is_valid(const struct network *network)
{
	size_t size = network->v6 ? 16 : 4;
	size_t whole = network->bits / 8;
	uint8_t mask = (uint8_t)(0xff00u >> (network->bits % 8));

	if (network->bits > 8 * size || memcmp(network->bytes + size, none, 16 - size) != 0)
		return false;
	if (whole < size && (network->bytes[whole] & ~mask) != 0)
		return false;
	return whole >= size || memcmp(network->bytes + whole + 1, none, size - whole - 1) == 0;
}

static bool
covers(const struct network *network, const struct network *address)
{
	size_t whole = network->bits / 8;
	uint8_t mask = (uint8_t)(0xff00u >> (network->bits % 8));

	if (network->v6 != address->v6 || memcmp(network->bytes, address->bytes, whole) != 0)
		return false;
	return network->bits % 8 == 0 || (address->bytes[whole] & mask) == network->bytes[whole];
}

static bool
is_covered(const struct network *list, size_t n, const struct network *address)
{
	for (size_t i = 0; i < n; i++) {
		if (covers(&list[i], address))
			return true;
	}
	return false;
}

/* The same address, as IPv4 when it is one. */
static struct network
unmapped(const struct network *address)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
	struct network v4 = { .bits = 32 };

	if (!address->v6 || memcmp(address->bytes, prefix, sizeof(prefix)) != 0)
		return *address;
	memcpy(v4.bytes, address->bytes + sizeof(prefix), 4);
	return v4;
}

bool
network_lead(const struct network *list, size_t n, const struct network *address, struct network *ret)
{
	struct network to = unmapped(address);
	bool allowed = is_covered(list, n, &to);

	if (memcmp(to.bytes, none, to.v6 ? 16 : 4) == 0) {
		to = to.v6 ? loopback_v6 : loopback_v4;
		allowed = allowed || is_covered(list, n, &to);
	}
	*ret = to;
	return allowed;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Letters without a locale. */
static bool
is_letter(char c, char last)
{
	return (c >= 'a' && c <= last) || (c >= 'A' && c <= last - 'a' + 'A');
}

/* Decimal, octal or hexadecimal, as inet_aton(3) reads them, or nearly. */
static bool
is_number(const char *part, size_t len)
{
	bool hex = len >= 2 && part[0] == '0' && (part[1] == 'x' || part[1] == 'X');

	for (size_t i = hex ? 2 : 0; i < len; i++) {
		if (!is_digit(part[i]) && !(hex && is_letter(part[i], 'f')))
			return false;
	}
	return true;
}

static bool
is_part(const char *part, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(part[i]) && !is_letter(part[i], 'z') && part[i] != '-' && part[i] != '_')
			return false;
	}
	return len > 0 && len <= PART_MAX;
}

bool
network_is_name(const void *name, size_t len)
{
	const char *part = name;
	bool numbers = true;

	if (len == 0 || len > NETWORK_NAME_MAX)
		return false;
	while (len > 0) {
		const char *dot = memchr(part, '.', len);
		size_t part_len = dot != NULL ? (size_t)(dot - part) : len;

		if (!is_part(part, part_len))
			return false;
		numbers = numbers && is_number(part, part_len);
		part += part_len + (dot != NULL);
		len -= part_len + (dot != NULL);
	}
	return !numbers;
}
