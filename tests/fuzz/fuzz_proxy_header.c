/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load balancer sends before its client's bytes. The header is taken as the broker takes it: as
 * many bytes as are certainly part of it. Whatever the input is, that ends within bounds; what is
 * accepted has two addresses of one family, or none; and the bytes behind it change nothing.
 *
 * Covers: proxy_header_missing proxy_header_parse missing_v1 missing_v2 parse_v1 parse_v2 tlvs_add_up
 * Floor: 45
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "proxy_header.h"

#define V2_START "\r\n\r\n\0\r\nQUIT\n"

void
fuzz_setup(void)
{
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	uint8_t *taken =
	    malloc(1); /* always as large as what was taken, so that a read beyond is seen */
	struct proxy_header header;
	size_t n = 0;
	int missing;

	FUZZ_CHECK(taken != NULL);
	while ((missing = proxy_header_missing(taken, n)) > 0 && (size_t)missing <= len - n) {
		FUZZ_CHECK(n + (size_t)missing <= PROXY_HEADER_MAX);
		taken = realloc(taken, n + (size_t)missing);
		FUZZ_CHECK(taken != NULL);
		memcpy(taken + n, data + n, (size_t)missing);
		n += (size_t)missing;
	}
	FUZZ_CHECK(missing >= -PROXY_HEADER_E_MALFORMED);
	if (missing != 0) {
		FUZZ_CHECK(proxy_header_parse(taken, n, &header) == PROXY_HEADER_E_MALFORMED);
	} else if (proxy_header_parse(taken, n, &header) == 0) {
		FUZZ_CHECK(header.source.ss_family == header.destination.ss_family);
		FUZZ_CHECK(header.source.ss_family == AF_UNSPEC ||
		    header.source.ss_family == AF_INET || header.source.ss_family == AF_INET6);
	}
	free(taken);
}

void
fuzz_seeds(void)
{
	static const char *const lines[] = {
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 22\r\nSSH-2.0-client\r\n",
		"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
		"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
	};
	static const char v4[] = V2_START
	    "\x21\x11\0\x15\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16\4\0\0\1\0\3abcSSH-2.0";
	static const char v6[] = V2_START "\x21\x21\0\x24 123456789abcdef 123456789abcdef\0\1\0\x16";
	static const char local[] = V2_START "\x20\0\0\0";

	for (size_t i = 0; i < SP_ARRAY_LEN(lines); i++)
		fuzz_seed(lines[i], strlen(lines[i]));
	fuzz_seed(v4, sizeof(v4) - 1);
	fuzz_seed(v6, sizeof(v6) - 1);
	fuzz_seed(local, sizeof(local) - 1);
}
