/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: see address.h. */
#include "address.h"

#include <netinet/in.h>
#include <string.h>

socklen_t
address_fill(struct sockaddr_storage *out, const struct guest_address *address, uint32_t port)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (address->v6) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		memcpy(&v6->sin6_addr, address->bytes, 16);
		return sizeof(*v6);
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	memcpy(&v4->sin_addr, address->bytes, 4);
	return sizeof(*v4);
}

bool
address_read(const struct sockaddr_storage *in, struct guest_address *ret, uint32_t *ret_port)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)in;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)in;

	memset(ret, 0, sizeof(*ret));
	if (in->ss_family == AF_INET6) {
		ret->v6 = true;
		memcpy(ret->bytes, &v6->sin6_addr, 16);
		*ret_port = ntohs(v6->sin6_port);
		return true;
	}
	if (in->ss_family != AF_INET)
		return false;
	memcpy(ret->bytes, &v4->sin_addr, 4);
	*ret_port = ntohs(v4->sin_port);
	return true;
}
