/* SPDX-License-Identifier: Apache-2.0 */
/* The identification string with the connection's nonce. */
#include "ssh_version.h"

#include <string.h>

/* RFC 4253: the software version has no space and no minus sign; a comment follows after a space. */
#define SOFTWARE "OpenSSH_9.2 sallyport_" SP_VERSION " "

void
ssh_version_format(const uint8_t nonce[IPC_NONCE_LEN], char out[SSH_VERSION_MAX])
{
	static const char hex[] = "0123456789abcdef";
	size_t len = strlen(SOFTWARE);

	_Static_assert(sizeof(SOFTWARE) + 2 * IPC_NONCE_LEN <= SSH_VERSION_MAX,
	    "version string too long");
	memcpy(out, SOFTWARE, len);
	for (size_t i = 0; i < IPC_NONCE_LEN; i++) {
		out[len++] = hex[nonce[i] >> 4];
		out[len++] = hex[nonce[i] & 15];
	}
	out[len] = '\0';
}
