/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks that a forward may lead into, and names of hosts. The policy compares an address with them that a
 * client has written, the guest those of a name that it has looked up, and both get the same answer here.
 */
#ifndef SP_NETWORK_H
#define SP_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETWORK_NAME_MAX 253 /* of a host, as DNS has it; a dot at its end counts */

/* Or an address, with all of its bits. */
struct network {
	bool v6;
	uint8_t bits;      /* of the prefix: 0..32, IPv6 0..128 */
	uint8_t bytes[16]; /* network order, zero beyond the prefix; IPv4: the first four */
};

/* Whether it is as above. */
bool network_is_valid(const struct network *network);

/*
 * Where a connection to this address goes, when that is in one of list[n]: *ret, an address. IPv4 in IPv6 is IPv4.
 * No address is the loopback's of its family, as Linux has it, and is in the networks of either. false: nowhere.
 */
bool network_lead(const struct network *list, size_t n, const struct network *address,
    struct network *ret);

/*
 * Whether name[len] (hostile) is one that may be looked up: parts of letters, digits, '-' and '_', with dots between
 * them, of which one is not a number. What is numbers alone ("127.1", "0x7f.1", "2130706433") is an address to who
 * looks up names, which nobody would see in it here.
 */
bool network_is_name(const void *name, size_t len);

#endif
