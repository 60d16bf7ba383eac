/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: keys without a secret. The blob comes from the broker before any client does. */
#include "dummy_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "hooks.h"

#define BINARY_MAX 4096

/* The seed is a name for the key, made of public bytes: there is nothing to find out from it. */
static bool
put_ed25519(struct wire_writer *w, struct wire_span blob, struct wire_reader *r)
{
	struct wire_span public = wire_get_span(r);
	uint8_t secret[64];

	if (wire_finish(r) != 0 || public.len != 32 ||
	    EVP_Digest(blob.data, blob.len, secret, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(secret + 32, public.data, 32);
	hooks_add_ed25519(secret, public.data);
	wire_put_str(w, public.data, public.len);
	wire_put_str(w, secret, sizeof(secret));
	return true;
}

static bool
put_rsa(struct wire_writer *w, struct wire_reader *r)
{
	static const uint8_t one = 1;
	static const uint8_t three = 3;
	struct wire_span e = wire_get_span(r);
	struct wire_span n = wire_get_span(r);

	wire_put_str(w, n.data, n.len);
	wire_put_str(w, e.data, e.len);
	wire_put_mpint(w, &three, 1); /* d */
	wire_put_mpint(w, &one, 1);   /* q^-1 mod p */
	wire_put_mpint(w, &three, 1); /* p */
	wire_put_mpint(w, &three, 1); /* q */
	return wire_finish(r) == 0;
}

static bool
put_ecdsa(struct wire_writer *w, struct wire_reader *r)
{
	static const uint8_t one = 1;
	struct wire_span curve = wire_get_span(r);
	struct wire_span point = wire_get_span(r);

	wire_put_str(w, curve.data, curve.len);
	wire_put_str(w, point.data, point.len);
	wire_put_mpint(w, &one, 1);
	return wire_finish(r) == 0;
}

static bool
put_private(struct wire_writer *w, struct wire_span blob)
{
	struct wire_reader r;
	struct wire_span type;

	wire_reader_init(&r, blob.data, blob.len);
	type = wire_get_span(&r);
	wire_put_str(w, type.data, type.len);
	if (wire_span_is(type, "ssh-ed25519"))
		return put_ed25519(w, blob, &r);
	if (wire_span_is(type, "ssh-rsa"))
		return put_rsa(w, &r);
	return put_ecdsa(w, &r);
}

int
dummy_key_format(struct wire_span blob, char out[DUMMY_KEY_TEXT_MAX])
{
	static const char magic[] = "openssh-key-v1"; /* its NUL is part of it */
	/* Not on the stack, of which each worker would keep every page for good. */
	static uint8_t private[BINARY_MAX];
	static uint8_t binary[BINARY_MAX];
	static char base64[DUMMY_KEY_TEXT_MAX - 128];
	struct wire_writer sec;
	struct wire_writer w;

	wire_writer_init(&sec, private, sizeof(private));
	wire_put_u32(&sec, 0);
	wire_put_u32(&sec, 0);
	if (!put_private(&sec, blob))
		return -EINVAL;
	wire_put_cstr(&sec, "");
	for (uint8_t i = 1; !sec.failed && sec.len % 8 != 0; i++)
		wire_put_u8(&sec, i);
	wire_writer_init(&w, binary, sizeof(binary));
	wire_put_bytes(&w, magic, sizeof(magic));
	wire_put_cstr(&w, "none");
	wire_put_cstr(&w, "none");
	wire_put_cstr(&w, "");
	wire_put_u32(&w, 1);
	wire_put_str(&w, blob.data, blob.len);
	wire_put_str(&w, sec.data, sec.len);
	if (sec.failed || w.failed || (w.len + 2) / 3 * 4 >= sizeof(base64))
		return -EINVAL;
	(void)EVP_EncodeBlock((uint8_t *)base64, w.data, (int)w.len);
	(void)snprintf(out, DUMMY_KEY_TEXT_MAX,
	    "-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n-----END OPENSSH PRIVATE KEY-----\n", base64);
	return 0;
}
