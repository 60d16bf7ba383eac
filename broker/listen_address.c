/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: see listen_address.h. */
#include "listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* 1 to 65535; 0: it is none. */
static uint16_t
port_of(const char *text)
{
	unsigned port = 0;
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || i == 5)
			return 0;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

const char *
listen_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	const char *colon = strrchr(text, ':');
	char address[INET6_ADDRSTRLEN] = "";
	bool v6 = text[0] == '[';
	uint16_t port;
	size_t len;

	if (colon == NULL)
		return "has no port: \"0.0.0.0:22\", \"[::]:22\"";
	len = (size_t)(colon - text);
	if (v6 && (len < 2 || text[len - 1] != ']'))
		return "has no \"]\" before its port";
	if (v6) {
		text++;
		len -= 2;
	}
	if (len >= sizeof(address))
		return "has no valid address";
	memcpy(address, text, len);
	if (!v6 && strchr(address, ':') != NULL)
		return "is IPv6 without brackets: \"[::]:22\"";
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(v6 ? AF_INET6 : AF_INET, address,
		v6 ? (void *)&in6->sin6_addr : (void *)&in4->sin_addr) != 1)
		return "has no valid numeric address: \"0.0.0.0:22\", \"[::]:22\"";
	port = port_of(colon + 1);
	if (port == 0)
		return "has no valid port; ports are 1 to 65535";
	if (v6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
	} else {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
	}
	*ret_len = v6 ? sizeof(*in6) : sizeof(*in4);
	return NULL;
}
