/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: see authority.h. The name and the cookie are the client's, and bytes to everybody here. */
#include "authority.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "guest_msg.h"

#define NUMBER_MAX  10
#define FAMILY_WILD 0xffff /* of an entry that holds for every address */

/* Behind its length, in two bytes as everything in this file. */
static uint8_t *
put(uint8_t *to, const void *data, size_t len)
{
	*to++ = (uint8_t)(len >> 8);
	*to++ = (uint8_t)len;
	if (len > 0)
		memcpy(to, data, len);
	return to + len;
}

int
authority_write(const char *path, uint32_t display, struct wire_span name, struct wire_span cookie)
{
	uint8_t entry[16 + NUMBER_MAX + GUEST_X11_NAME_MAX + GUEST_X11_COOKIE_MAX] = {
		FAMILY_WILD >> 8, FAMILY_WILD & 0xff
	};
	SP_CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	char number[NUMBER_MAX + 1];
	uint8_t *end = entry + 2;
	ssize_t n;

	if (fd < 0)
		return -errno;
	(void)snprintf(number, sizeof(number), "%u", display);
	end = put(end, "", 0); /* no address */
	end = put(end, number, strlen(number));
	end = put(end, name.data, name.len);
	end = put(end, cookie.data, cookie.len);
	n = write(fd, entry, (size_t)(end - entry));
	if (n < 0)
		return -errno;
	return n == end - entry ? 0 : -ENOSPC;
}
