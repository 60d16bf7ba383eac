/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of orders and of what a worker is told, as the kernel has them. */
#ifndef SP_ADDRESS_H
#define SP_ADDRESS_H

#include <sys/socket.h>

#include "guest_msg.h"

/* Returns how long it is. */
socklen_t address_fill(struct sockaddr_storage *out, const struct guest_address *address,
    uint32_t port);

/* The other way; false: it is neither IPv4 nor IPv6. */
bool address_read(const struct sockaddr_storage *in, struct guest_address *ret, uint32_t *ret_port);

#endif
