/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which network a container is in, whom it asks for names, which runtime confines it, and which data path reaches into
 * that. Runs in the broker and the admin tool.
 */
#include "policy_private.h"

#include <arpa/inet.h>
#include <string.h>

#include "json_write.h"
#include "names.h"
#include "suggest.h"

#define DNS_MAX      3 /* a resolver reads no more */
#define RUNTIMES_MAX 16

const char *
policy_network_fault(const char *name, bool *ret_guarded)
{
	*ret_guarded = strcmp(name, "host") == 0 || strcmp(name, "default") == 0 ||
	    strcmp(name, "container") == 0 || strncmp(name, "container:", 10) == 0;
	return *ret_guarded ? "is refused by the guardrails (" POLICY_GUARDRAILS ")"
			    : names_engine_fault(name);
}

void
policy_read_network(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	struct policy_profile *p = target;
	const char *name;
	const char *example;
	const char *fault;
	bool guarded;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "a string"))
		return;
	name = json_node_string(value);
	example = policy_template_example(r->arena, name);
	if (example == NULL)
		return;
	fault = policy_network_fault(example, &guarded);
	/* Name and kind change together: a value with an error in it leaves both. */
	if (strcmp(name, "none") == 0) {
		p->network = POLICY_NETWORK_NONE;
		p->network_name = NULL;
	} else if (strcmp(name, "bridge") == 0) {
		p->network = POLICY_NETWORK_BRIDGE;
		p->network_name = NULL;
	} else if (guarded) {
		json_read_diag(r, DIAG_E_GUARDRAIL, value, JSON_AT_VALUE,
		    "\"none\", \"bridge\", or the name of a network made for this",
		    "network \"%s\" %s", name, fault);
	} else if (fault != NULL) {
		json_read_diag(r, DIAG_E_NAME, value, JSON_AT_VALUE, NULL,
		    "the name \"%s\" of a network %s", name, fault);
	} else {
		p->network = POLICY_NETWORK_NAMED;
		p->network_name = arena_copy(r->arena, name, strlen(name));
	}
}

void
policy_show_network(FILE *out, const void *target)
{
	const struct policy_profile *p = target;

	json_write_text(out,
	    p->network == POLICY_NETWORK_NAMED      ? p->network_name
		: p->network == POLICY_NETWORK_NONE ? "none"
						    : "bridge");
}

static bool
is_address(const char *text)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

void
policy_read_dns(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *texts = json_read_texts(r, value, 0, DNS_MAX);
	const struct json_node *e = texts == NULL ? NULL : json_node_first(value);
	bool good = texts != NULL;

	(void)field;
	for (; e != NULL; e = json_node_next(e)) {
		if (is_address(json_node_string(e)))
			continue;
		good = false;
		json_read_diag(r, DIAG_E_ADDRESS, e, JSON_AT_VALUE, NULL,
		    "\"%s\" is no address of a name server, such as \"192.0.2.53\"",
		    json_node_string(e));
	}
	if (good)
		*(const char *const **)target = texts;
}

void
policy_read_runtimes(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *texts = json_read_texts(r, value, 1, RUNTIMES_MAX);
	const struct json_node *e = texts == NULL ? NULL : json_node_first(value);

	(void)field;
	if (texts == NULL)
		return;
	for (; e != NULL; e = json_node_next(e)) {
		const char *fault = names_engine_fault(json_node_string(e));

		if (fault != NULL)
			json_read_diag(r, DIAG_E_NAME, e, JSON_AT_VALUE, NULL,
			    "the name \"%s\" of a runtime %s", json_node_string(e), fault);
	}
	*(const char *const **)target = texts;
}

/* Only what the top level names: a slip of the pen must not take somebody out of a stronger runtime. */
void
policy_read_runtime(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *runtimes = policy_draft_of(r)->runtimes;
	struct suggest near;
	const char *name;

	(void)field;
	if (!json_read_expect(r, value, JSON_KIND_STRING, "the name of a runtime"))
		return;
	name = json_node_string(value);
	suggest_init(&near, name);
	for (; runtimes != NULL && *runtimes != NULL; runtimes++) {
		if (strcmp(*runtimes, name) == 0) {
			*(const char **)target = *runtimes;
			return;
		}
		suggest_offer(&near, *runtimes);
	}
	json_read_diag(r, DIAG_E_CHOICE, value, JSON_AT_VALUE,
	    near.best != NULL ? json_read_did_you_mean(r, near.best)
			      : "\"runtimes\": [...] at the top level lists those that may be used",
	    "\"runtimes\" has no \"%s\"", name);
}

bool
policy_runtime_has_own_kernel(const char *runtime)
{
	static const char prefix[] = "io.containerd.";
	const char *name = strncmp(runtime, prefix, sizeof(prefix) - 1) == 0
	    ? runtime + sizeof(prefix) - 1
	    : runtime;
	size_t len = strcspn(name, "-.");

	return (len == 5 && memcmp(name, "runsc", len) == 0) ||
	    (len == 4 && memcmp(name, "kata", len) == 0);
}

void
policy_set_engine(struct policy *p, const struct policy_engine *engine)
{
	p->engine = *engine;
}

enum policy_data_path
policy_data_path(const struct policy *p, const struct policy_profile *profile)
{
	bool own_kernel = profile->runtime != NULL ? policy_runtime_has_own_kernel(profile->runtime)
						   : p->engine.own_kernels;

	if (profile->data_path != POLICY_DATA_PATH_AUTO)
		return profile->data_path;
	if (p->engine.only_direct)
		return POLICY_DATA_PATH_DIRECT;
	return own_kernel || p->engine.elsewhere ? POLICY_DATA_PATH_ENGINE : POLICY_DATA_PATH_DIRECT;
}
