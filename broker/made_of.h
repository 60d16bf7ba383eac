/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container is made of, as one short text: two grants with the same text would ask the engine for
 * the same container, byte for byte, but for its name and labels. So a container that was started for one
 * of them can be used for the other. The image's content is not part of it: see image_watch.h.
 */
#ifndef SP_MADE_OF_H
#define SP_MADE_OF_H

#include <stddef.h>

#include "attr.h"

#define MADE_OF_LEN 64 /* hex characters */

struct broker;
struct policy_profile;

/* 0, -ENOMEM, or -EINVAL: the profile is none that can be asked for. */
SP_MUST_CHECK int made_of(const struct broker *b, const struct policy_profile *profile,
    char out[MADE_OF_LEN + 1]);

/* Hex SHA-256 of text[len]. 0 or -ENOMEM. */
SP_MUST_CHECK int made_of_hash(const char *text, size_t len, char out[MADE_OF_LEN + 1]);

#endif
