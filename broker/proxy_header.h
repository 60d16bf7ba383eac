/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header with which a load balancer announces its client: PROXY protocol, versions 1 and 2. A pure
 * parser that never looks beyond the header: it says how many bytes surely belong to it, so that its
 * caller reads these and not one that the client sent.
 */
#ifndef SP_PROXY_HEADER_H
#define SP_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "attr.h"

#define PROXY_HEADER_MAX 2048 /* bytes; with what balancers say about TLS it is some hundred */

struct proxy_header {
	/* Both of one family; AF_UNSPEC: the balancer speaks for itself (a health check), or does
	 * not know. */
	struct sockaddr_storage source;
	struct sockaddr_storage destination;
};

#define PROXY_HEADER_E_MALFORMED 1

/*
 * How many bytes more are certainly part of a header that begins with data[len], len <= PROXY_HEADER_MAX;
 * 0: it is complete. Or -PROXY_HEADER_E_MALFORMED: it is no header, or too long a one.
 */
SP_MUST_CHECK int proxy_header_missing(const uint8_t *data, size_t len);

/* Parse a complete header. 0 or PROXY_HEADER_E_MALFORMED. */
SP_MUST_CHECK int proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *ret);

#endif
