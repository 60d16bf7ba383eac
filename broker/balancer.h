/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections from the load balancers that the configuration names: their PROXY header is read, and says
 * whose connection it is. Exactly the header is read, and nothing that the client sent.
 */
#ifndef SP_BALANCER_H
#define SP_BALANCER_H

#include "attr.h"

struct balancer_set;
struct broker;
struct peer_client;

/* 0 or -errno. */
SP_MUST_CHECK int balancer_set_new(struct broker *b, struct balancer_set **ret);
/* Connections that still wait for their header are closed. NULL is fine. */
void balancer_set_free(struct balancer_set *set);

/*
 * Take a connection (and *fd) whose other end is one of the configured balancers: client->source. It is
 * served or refused when the header is there, and refused when it does not come.
 */
void balancer_take(struct balancer_set *set, int *fd, const struct peer_client *client);

#endif
