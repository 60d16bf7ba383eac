/* SPDX-License-Identifier: Apache-2.0 */
/* A client's part of a key exchange. In broker and worker; what is read is hostile. */
#include "kexinit.h"

#include <string.h>

#include "attr.h"

#define SSH_MSG_KEXINIT 20
#define COOKIE_LEN      16
#define N_NAME_LISTS    10
#define VERSION         "SSH-2.0-"

/*
 * Clients that send first_only in their first KEXINIT and never again. Others do repeat them (Dropbear
 * and paramiko were seen to), and for those a rekey cannot be told from a first exchange. The signature
 * is good only towards a client with the same version string, so this is per client.
 */
static const char *const strict_clients[] = {
	"SSH-2.0-OpenSSH_",
	"SSH-2.0-libssh_",
	"SSH-2.0-PuTTY",
};
static const char *const first_only[] = {
	"ext-info-c",
	"kex-strict-c-v00@openssh.com",
};

struct wire_span
kexinit_next_name(struct wire_span *list)
{
	struct wire_span name = *list;
	const uint8_t *comma = list->len > 0 ? memchr(list->data, ',', list->len) : NULL;

	if (comma != NULL)
		name.len = (size_t)(comma - list->data);
	list->data += name.len;
	list->len -= name.len;
	if (list->len > 0) {
		list->data++;
		list->len--;
	}
	return name;
}

static bool
is_within(struct wire_span list, size_t max)
{
	size_t n = list.len > 0;

	for (size_t i = 0; i < list.len; i++)
		n += list.data[i] == ',';
	return n <= max;
}

bool
kexinit_list_has(struct wire_span list, struct wire_span name)
{
	while (list.len > 0) {
		struct wire_span other = kexinit_next_name(&list);

		if (wire_span_eq(other, name.data, name.len))
			return true;
	}
	return false;
}

bool
kexinit_read(struct wire_span payload, size_t names_max, struct kexinit *ret)
{
	struct wire_span lists[N_NAME_LISTS];
	struct wire_reader r;

	wire_reader_init(&r, payload.data, payload.len);
	if (wire_get_u8(&r) != SSH_MSG_KEXINIT)
		return false;
	(void)wire_get_bytes(&r, COOKIE_LEN);
	ret->is_text = true;
	for (size_t i = 0; i < N_NAME_LISTS; i++) {
		lists[i] = wire_get_span(&r);
		if (lists[i].len > 0 && memchr(lists[i].data, '\0', lists[i].len) != NULL)
			ret->is_text = false;
	}
	(void)wire_get_u8(&r);  /* first_kex_packet_follows */
	(void)wire_get_u32(&r); /* reserved */
	ret->exchanges = lists[0];
	ret->host_key_algorithms = lists[1];
	return wire_finish(&r) == 0 && is_within(ret->exchanges, names_max) &&
	    is_within(ret->host_key_algorithms, names_max);
}

static bool
starts_with(struct wire_span s, const char *prefix)
{
	return s.len >= strlen(prefix) && memcmp(s.data, prefix, strlen(prefix)) == 0;
}

bool
kexinit_is_version(struct wire_span version)
{
	return version.len > strlen(VERSION) && version.len <= KEXINIT_VERSION_MAX &&
	    starts_with(version, VERSION);
}

bool
kexinit_is_first(struct wire_span version, const struct kexinit *client)
{
	bool strict = false;

	for (size_t i = 0; i < SP_ARRAY_LEN(strict_clients); i++)
		strict |= starts_with(version, strict_clients[i]);
	for (size_t i = 0; strict && i < SP_ARRAY_LEN(first_only); i++) {
		struct wire_span name = { (const uint8_t *)first_only[i], strlen(first_only[i]) };

		if (kexinit_list_has(client->exchanges, name))
			return true;
	}
	return false;
}
