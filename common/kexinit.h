/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client says at the beginning of a key exchange (RFC 4253 sections 4.2 and 7.1), as far as the broker looks at it
 * before it signs. The worker asks the same first: what the broker does not sign it takes for an attack by the worker.
 */
#ifndef SP_KEXINIT_H
#define SP_KEXINIT_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.h"

#define KEXINIT_VERSION_MAX 255 /* RFC 4253 section 4.2, without CR LF */

/* In each list that decides here: these are compared with each other, and nobody else is served meanwhile. */
#define KEXINIT_CLIENT_NAMES_MAX 1024

/* Views into the message. */
struct kexinit {
	struct wire_span exchanges;
	struct wire_span host_key_algorithms;
	bool is_text; /* there is no NUL in any of its lists */
};

/* The next name of a list, moving it on; empty at the end. */
struct wire_span kexinit_next_name(struct wire_span *list);
bool kexinit_list_has(struct wire_span list, struct wire_span name);

/*
 * Read payload, from its type on. All of it, although only two lists decide here: one reading of a message, and no room for
 * others. false: it is none, or one of the two has more than names_max names.
 */
bool kexinit_read(struct wire_span payload, size_t names_max, struct kexinit *ret);

/* Whether a client's identification is one: SSH 2.0 and a name. */
bool kexinit_is_version(struct wire_span version);

/* Whether this client, by its identification, says only in its first exchange what is said here. */
bool kexinit_is_first(struct wire_span version, const struct kexinit *client);

#endif
