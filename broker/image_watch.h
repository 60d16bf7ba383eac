/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that are there before their login, or after it, are to be what a new one would be. So the
 * engine is asked every two seconds what their images are by now, and a container that was made of another
 * one is reported to its keeper.
 */
#ifndef SP_IMAGE_WATCH_H
#define SP_IMAGE_WATCH_H

#include "attr.h"

struct broker;
struct image_watch;

/* 0 or -ENOMEM. */
SP_MUST_CHECK int image_watch_new(struct broker *b, struct image_watch **ret);
/* NULL is fine. */
void image_watch_free(struct image_watch *w);

#endif
