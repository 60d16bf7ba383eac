/* SPDX-License-Identifier: Apache-2.0 */
/* What the administrator is shown of containers that are there without a login, or after it. */
#ifndef SP_CONTAINERS_JSON_H
#define SP_CONTAINERS_JSON_H

#include <jansson.h>

struct broker;
struct container;

/* "name", "id", "state"; null for NULL. */
json_t *containers_json_one(const struct container *c);
/* "wanted", "ready", "starting". */
json_t *containers_json_pool(const struct broker *b);
/* One object for each container of mode "user". */
json_t *containers_json_kept(const struct broker *b);

#endif
