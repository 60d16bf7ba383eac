/* SPDX-License-Identifier: Apache-2.0 */
/* The identification string with the connection's nonce. */
#include "ssh_version.h"

#include <string.h>

#include "hex.h"

/* RFC 4253: the software version has no space and no minus sign; a comment follows after a space. */
#define SOFTWARE "OpenSSH_9.2 sallyport_" SP_VERSION " "

void
ssh_version_format(const uint8_t nonce[IPC_NONCE_LEN], char out[SSH_VERSION_MAX])
{
	size_t len = strlen(SOFTWARE);

	_Static_assert(sizeof(SOFTWARE) + 2 * IPC_NONCE_LEN <= SSH_VERSION_MAX,
	    "version string too long");
	memcpy(out, SOFTWARE, sizeof(SOFTWARE));
	hex_format(nonce, IPC_NONCE_LEN, out + len);
}
