/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: see x11_auth.h. */
#include "x11_auth.h"

#include <string.h>

#include "hex.h"

/* sshd's own list, whatever the locale. */
static bool
is_name(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/-_") ==
	    strlen(text);
}

bool
x11_auth_read(const char *name, const char *hex, struct x11_auth *ret)
{
	size_t digits;

	if (name == NULL || hex == NULL || strlen(name) > IPC_X11_NAME_MAX || !is_name(name))
		return false;
	digits = strlen(hex);
	if (digits % 2 != 0 || digits / 2 > sizeof(ret->cookie))
		return false;
	strcpy(ret->name, name);
	ret->len = digits / 2;
	for (size_t i = 0; i < ret->len; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret->cookie[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
