/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for the engine, from typed fields. Pure functions: no sockets, no clock, no log. */
#ifndef SP_ENGINE_JSON_WRITE_H
#define SP_ENGINE_JSON_WRITE_H

#include "attr.h"
#include "engine_spec.h"

/* Whether it can be sent: all text in it is UTF-8. The rest is engine_spec_check()'s. 0 or -EINVAL. */
SP_MUST_CHECK int engine_json_check(const struct engine_container_spec *spec);

/*
 * The body of a create request. The caller frees *ret. 0, -EINVAL (a string is not UTF-8; the rest is
 * engine_spec_check()'s) or -ENOMEM.
 */
SP_MUST_CHECK int engine_json_create(const struct engine_container_spec *spec, char **ret);
/* The same for Podman's own API. */
SP_MUST_CHECK int engine_json_create_podman(const struct engine_container_spec *spec, char **ret);
/* The body of an exec create request, with all three streams and without a terminal. As above. */
SP_MUST_CHECK int engine_json_exec(const struct engine_exec_spec *spec, char **ret);
/* The filters value that selects a label, with any value when value is NULL. As above. */
SP_MUST_CHECK int engine_json_filter(const char *label, const char *value, char **ret);

#endif
