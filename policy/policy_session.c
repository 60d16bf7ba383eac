/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session may do beside its shell and its commands. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <string.h>

#include "ipc.h"
#include "json_write.h"
#include "names.h"

#define SFTP      "sftp"
#define READ_ONLY "read-only"

/* true, "read-only", or the arguments of a program of the image; false takes it away. */
static bool
read_subsystem(struct json_reader *r, const struct json_node *value, struct policy_subsystem *ret)
{
	enum json_kind kind = json_node_kind(value);
	bool word = kind == JSON_KIND_STRING && strcmp(json_node_string(value), READ_ONLY) == 0;

	ret->name = arena_copy(r->arena, json_node_key(value), strlen(json_node_key(value)));
	if (ret->name == NULL)
		return false;
	if (kind == JSON_KIND_ARRAY) {
		ret->argv = policy_read_argv(r, value);
		return ret->argv != NULL;
	}
	if (kind == JSON_KIND_BOOLEAN && !json_node_boolean(value))
		return false;
	if (kind != JSON_KIND_BOOLEAN && !word) {
		json_read_diag(r, DIAG_E_TYPE, value, JSON_AT_VALUE,
		    "true is sallyport's own server, which needs nothing in the image",
		    "subsystem \"%s\" must be true, false, \"read-only\" or a list of arguments",
		    ret->name);
		return false;
	}
	if (strcmp(ret->name, SFTP) != 0) {
		json_read_diag(r, DIAG_E_CHOICE, value, JSON_AT_VALUE,
		    "name a program of the image: [ \"/path\", ... ]",
		    "only \"" SFTP "\" is served by sallyport itself, not \"%s\"", ret->name);
		return false;
	}
	ret->read_only = word;
	return true;
}

void
policy_read_subsystems(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	struct policy_profile *p = target;
	struct policy_subsystem *list;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_OBJECT, "an object of names and programs"))
		return;
	if (json_node_count(value) > IPC_SUBSYSTEMS_MAX) {
		json_read_diag(r, DIAG_E_TOO_MANY, value, JSON_AT_VALUE, NULL,
		    "\"subsystems\" has %zu entries, at most %d are allowed",
		    json_node_count(value), IPC_SUBSYSTEMS_MAX);
		return;
	}
	list = arena_array(r->arena, json_node_count(value), sizeof(*list));
	p->subsystems = list;
	p->n_subsystems = 0;
	for (const struct json_node *e = json_node_first(value); list != NULL && e != NULL;
	     e = json_node_next(e)) {
		const char *fault = names_label_fault(json_node_key(e));

		if (fault != NULL)
			json_read_diag(r, DIAG_E_NAME, e, JSON_AT_KEY, NULL,
			    "the name \"%s\" of a subsystem %s", json_node_key(e), fault);
		else if (read_subsystem(r, e, &list[p->n_subsystems]))
			p->n_subsystems++;
	}
}

void
policy_show_subsystems(FILE *out, const void *target)
{
	const struct policy_profile *p = target;
	struct json_writer w = { .out = out };

	json_write_open(&w, NULL, '{');
	for (size_t i = 0; i < p->n_subsystems; i++) {
		const struct policy_subsystem *s = &p->subsystems[i];

		if (s->argv == NULL && s->read_only) {
			json_write_string(&w, s->name, READ_ONLY);
		} else if (s->argv == NULL) {
			json_write_bool(&w, s->name, true);
		} else {
			json_write_open(&w, s->name, '[');
			for (const char *const *arg = s->argv; *arg != NULL; arg++)
				json_write_string(&w, NULL, *arg);
			json_write_close(&w, ']');
		}
	}
	json_write_close(&w, '}');
}

const struct policy_subsystem *
policy_find_subsystem(const struct policy_profile *profile, const void *name, size_t len)
{
	for (size_t i = 0; i < profile->n_subsystems; i++) {
		const struct policy_subsystem *s = &profile->subsystems[i];

		if (strlen(s->name) == len && memcmp(s->name, name, len) == 0)
			return s;
	}
	return NULL;
}
