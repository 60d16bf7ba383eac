/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this broker is to the engine, across its own restarts.
 *
 * A container is ours when its label carries the HMAC of its name under a secret that never leaves
 * the state directory. The name is the engine's and unique; an image may carry any label, but it
 * cannot know the name in advance, and a container that somebody else made has another name. So
 * neither an image nor a copied label makes us touch a container that is not our own.
 */
#ifndef SP_INSTANCE_H
#define SP_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

#define INSTANCE_SECRET_LEN 32
#define INSTANCE_ID_LEN     16 /* hex characters */
#define INSTANCE_PROOF_LEN  64 /* hex characters */
#define INSTANCE_NAME_LEN   26 /* "sallyport-" and 16 hex characters */

#define INSTANCE_LABEL       "sallyport.instance"
#define INSTANCE_LABEL_PROOF "sallyport.proof"

struct instance {
	uint8_t secret[INSTANCE_SECRET_LEN];
	char id[INSTANCE_ID_LEN + 1]; /* derived from the secret; public */
	int lock_fd;                  /* held for the life of the broker */
};

/*
 * Read the secret from state_dir/instance.key or its copy beside it, or make it at the first start, and take
 * the lock that keeps a second broker off the same state. 0, or -errno with a sentence in why[cap].
 */
SP_MUST_CHECK int instance_open(struct instance *ret, const char *state_dir, char *why, size_t cap);

/* A new unique container name. 0 or -EIO (no randomness). */
SP_MUST_CHECK int instance_new_name(char out[INSTANCE_NAME_LEN + 1]);

/* The proof that belongs to name. 0 or -ENOMEM. */
SP_MUST_CHECK int instance_proof(const struct instance *i, const char *name,
    char out[INSTANCE_PROOF_LEN + 1]);

/* Whether a container with this name and these label values (NULL: not there) is ours. False also when
 * memory is missing to find out. */
bool instance_owns(const struct instance *i, const char *name, const char *label_id,
    const char *label_proof);

#endif
