/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets: opened from the configuration or inherited from the service manager. The broker
 * accepts connections and never reads what a client sent.
 */
#ifndef SP_LISTENER_H
#define SP_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "attr.h"

struct broker;
struct listener;
struct notify_socket;

/*
 * Open a socket for each "address:port" in addresses (NULL-ended), before privileges go. "[v6]:port"
 * for IPv6. by_default: nobody has named them, and those of a family that the kernel does not have are left out,
 * as long as there is another. 0, or -errno with a sentence in why[cap].
 */
SP_MUST_CHECK int listener_open(const char *const *addresses, bool by_default,
    struct listener **ret, char *why, size_t cap);

/* Use these inherited sockets (takes them); each must be a listening stream socket. As above. */
SP_MUST_CHECK int listener_inherit(const struct notify_socket *sockets, int n,
    struct listener **ret, char *why, size_t cap);

/* Begin to accept on the broker's loop, which is logged. 0 or -errno. */
SP_MUST_CHECK int listener_run(struct listener *l, struct broker *b);

/* "address:port" of the i-th socket, for people: out, or NULL behind the last. */
#define LISTENER_ADDRESS_MAX 96
char *listener_address(const struct listener *l, unsigned i, char *out, size_t cap);

/* Every socket listens still, and its connections are waited for: for the watchdog. */
bool listener_is_well(const struct listener *l);

/* Close all of it. NULL is fine. */
void listener_free(struct listener *l);

#endif
