/* SPDX-License-Identifier: Apache-2.0 */
/* Networks: "10.0.0.0/8", "2001:db8::/32", or one address. IPv4 in IPv6 (::ffff:a.b.c.d) is IPv4. */
#ifndef SP_CIDR_H
#define SP_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "attr.h"

#define CIDR_TEXT_MAX 64

struct cidr {
	int family; /* AF_INET or AF_INET6 */
	unsigned bits;
	uint8_t address[16]; /* network order; 4 bytes for IPv4 */
};

struct cidr_list {
	const struct cidr *items;
	size_t n;
};

#define CIDR_E_SYNTAX    1 /* no address, or no prefix length that fits it */
#define CIDR_E_HOST_BITS 2 /* bits beyond the prefix are set; *ret is the network without them */

/* 0 or an outcome. */
SP_MUST_CHECK int cidr_parse(const char *text, struct cidr *ret);
/* Into out, and returns it. */
char *cidr_format(const struct cidr *c, char out[CIDR_TEXT_MAX]);
/* Whether all of the inner network is in the outer one. */
bool cidr_covers(const struct cidr *outer, const struct cidr *inner);
/* Whether the address is in the network. Other families are in none. */
bool cidr_contains(const struct cidr *c, const struct sockaddr_storage *address);
bool cidr_list_contains(const struct cidr_list *list, const struct sockaddr_storage *address);
/* The network of so many bits that an address is in. false: it is of another family. */
SP_MUST_CHECK bool cidr_of(const struct sockaddr_storage *address, unsigned v4_bits,
    unsigned v6_bits, struct cidr *ret);

#endif
