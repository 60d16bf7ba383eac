/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: where to listen, as the administrator writes it. Pure. */
#ifndef SP_LISTEN_ADDRESS_H
#define SP_LISTEN_ADDRESS_H

#include <sys/socket.h>

/*
 * "192.0.2.1:22" or "[2001:db8::1]:22". Numeric only: names may change under a running service. NULL with *ret_len
 * bytes of *ret, or why it is none, to stand behind the text.
 */
const char *listen_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len);

#endif
