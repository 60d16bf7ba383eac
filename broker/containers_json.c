/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: containers for the administrator's eyes. Names are ours and the policy's. */
#include "containers_json.h"

#include "broker.h"
#include "container.h"
#include "pool.h"
#include "user_containers.h"

json_t *
containers_json_one(const struct container *c)
{
	const char *id = c != NULL ? container_id(c) : "";

	if (c == NULL)
		return json_null();
	return json_pack("{s:s, s:o, s:s}", "name", container_name(c), "id",
	    id[0] != '\0' ? json_string(id) : json_null(), "state", container_state_name(c));
}

json_t *
containers_json_pool(const struct broker *b)
{
	struct pool_counts n = pool_counts(b->pool);

	return json_pack("{s:i, s:i, s:i}", "wanted", (int)n.wanted, "ready", (int)n.ready,
	    "starting", (int)n.starting);
}

static void
add_kept(const struct user_containers_view *view, void *arg)
{
	(void)json_array_append_new(arg,
	    json_pack("{s:s, s:s, s:o, s:i, s:o, s:b}", "user", view->user, "profile", view->profile,
		"container", containers_json_one(view->container), "sessions", (int)view->sessions,
		"seconds_left", view->left_ms >= 0 ? json_integer(view->left_ms / 1000) : json_null(),
		"ends_with_them", (int)view->retired));
}

json_t *
containers_json_kept(const struct broker *b)
{
	json_t *list = json_array();

	user_containers_visit(b->user_containers, add_kept, list);
	return list;
}
