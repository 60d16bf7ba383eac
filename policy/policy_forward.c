/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where forwards may go. Runs in the broker and the admin tool. What a client asks for is hostile; the
 * decision is about addresses and never about what a name may stand for.
 */
#include "policy_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS_MAX 64
#define CONTAINER   "container" /* the container itself: its loopback addresses */
#define HOST_MAX    64          /* an address is not longer */
#define PORT_MAX    65535

struct policy_target {
	struct cidr network;
	uint32_t first, last; /* ports */
};

/* One to five digits, 1 to PORT_MAX; 0: none. *ret_end is behind it. */
static uint32_t
parse_port(const char *text, const char **ret_end)
{
	uint32_t port = 0;
	size_t n = 0;

	while (n < 5 && text[n] >= '0' && text[n] <= '9')
		port = port * 10 + (uint32_t)(text[n++] - '0');
	*ret_end = text + n;
	return text[0] != '0' && port <= PORT_MAX ? port : 0;
}

static bool
parse_ports(const char *text, struct policy_target *ret)
{
	const char *end;

	ret->first = parse_port(text, &end);
	ret->last = ret->first;
	if (*end == '-')
		ret->last = parse_port(end + 1, &end);
	return *end == '\0' && ret->first > 0 && ret->last >= ret->first;
}

/* "[address]" or "address", or the same with a prefix length. */
static int
parse_network(const char *text, size_t len, struct cidr *ret)
{
	char copy[CIDR_TEXT_MAX];

	if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(copy))
		return CIDR_E_SYNTAX;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return cidr_parse(copy, ret);
}

/* One element of "local" at list[*n], two of them for the container. */
static void
read_target(struct json_reader *r, const struct json_node *node, const char *text,
    struct policy_target *list, size_t *n)
{
	static const char *const loopback[] = { "127.0.0.0/8", "::1" };
	const char *colon = strrchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	struct policy_target t;
	int fault = 0;

	if (colon == NULL || !parse_ports(colon + 1, &t)) {
		json_read_diag(r, DIAG_E_RANGE, node, JSON_AT_VALUE,
		    "for example \"" CONTAINER ":8080\" or \"10.0.0.0/8:3000-3010\"",
		    "forward target \"%s\" has no port, or a range of them, of 1 to %d", text,
		    PORT_MAX);
		return;
	}
	if (len == strlen(CONTAINER) && memcmp(text, CONTAINER, len) == 0) {
		for (size_t i = 0; fault == 0 && i < SP_ARRAY_LEN(loopback); i++) {
			fault = cidr_parse(loopback[i], &t.network);
			list[(*n)++] = t;
		}
		return;
	}
	fault = parse_network(text, len, &t.network);
	if (fault != 0)
		json_read_diag(r, DIAG_E_ADDRESS, node, JSON_AT_VALUE,
		    "names are not looked up: write \"" CONTAINER "\", an address or a network",
		    fault == CIDR_E_HOST_BITS
			? "the network of forward target \"%s\" has bits beyond its prefix"
			: "forward target \"%s\" is neither the container nor an address",
		    text);
	else
		list[(*n)++] = t;
}

static void
read_local(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct policy_profile *p = target;
	const char *const *texts = json_read_texts(r, value, 0, TARGETS_MAX);
	const struct json_node *e;
	struct policy_target *list;
	size_t i = 0;

	(void)field;
	if (texts == NULL)
		return;
	list = arena_array(r->arena, 2 * TARGETS_MAX, sizeof(*list));
	if (list == NULL)
		return;
	p->forward_local = texts;
	p->targets = list;
	p->n_targets = 0;
	for (e = json_node_first(value); e != NULL && texts[i] != NULL; e = json_node_next(e))
		read_target(r, e, texts[i++], list, &p->n_targets);
}

/* What this build cannot do may be said to be off. */
static void
read_off(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	enum json_kind kind = json_node_kind(value);

	if ((kind == JSON_KIND_ARRAY && json_node_count(value) == 0) ||
	    (kind == JSON_KIND_BOOLEAN && !json_node_boolean(value)))
		return;
	json_read_unavailable(r, value, field, target);
}

static void
show_local(FILE *out, const void *target)
{
	const struct policy_profile *p = target;

	policy_show_texts(out, &p->forward_local);
}

static const struct json_field forward_fields[] = {
	{ .key = "local",
	    .read = read_local,
	    .schema = "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}",
	    .show = show_local },
	{ .key = "remote", .read = read_off, .schema = "{\"type\": \"array\", \"maxItems\": 0}" },
	{ .key = "agent", .read = read_off, .schema = "{\"const\": false}" },
};

const struct json_table policy_forward_table = JSON_TABLE("\"forward\"", forward_fields);

/* ---- deciding ---- */

static bool
is_allowed(const struct policy_profile *profile, const struct cidr *to, uint32_t port)
{
	struct sockaddr_storage address = { 0 };

	if (to->family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&address;

		v4->sin_family = AF_INET;
		memcpy(&v4->sin_addr, to->address, 4);
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;

		v6->sin6_family = AF_INET6;
		memcpy(&v6->sin6_addr, to->address, 16);
	}
	for (size_t i = 0; i < profile->n_targets; i++) {
		const struct policy_target *t = &profile->targets[i];

		if (port >= t->first && port <= t->last && cidr_contains(&t->network, &address))
			return true;
	}
	return false;
}

static void
add_allowed(const struct policy_profile *profile, const char *text, uint32_t port,
    struct policy_destination *ret)
{
	struct cidr c;

	if (cidr_parse(text, &c) != 0 || !is_allowed(profile, &c, port))
		return;
	ret->list[ret->n].family = c.family;
	memcpy(ret->list[ret->n].bytes, c.address, sizeof(c.address));
	ret->n++;
}

const char *
policy_refuse_forward(const struct policy_profile *profile, const void *host, size_t len,
    uint32_t port, struct policy_destination *ret)
{
	char text[HOST_MAX];
	struct cidr c;

	memset(ret, 0, sizeof(*ret));
	if (profile->n_targets == 0)
		return "Forwarding is not allowed for this login.";
	/* In a container that was made for this forward alone nobody listens. */
	if (profile->mode == POLICY_MODE_SESSION)
		return "Forwarding needs a container for the whole connection.";
	if (len >= sizeof(text))
		return "Forwarding to names is not offered.";
	memcpy(text, host, len);
	text[len] = '\0';
	if (strcmp(text, "localhost") == 0) {
		add_allowed(profile, "::1", port, ret);
		add_allowed(profile, "127.0.0.1", port, ret);
	} else if (strchr(text, '/') != NULL || cidr_parse(text, &c) != 0) {
		return "Forwarding to names is not offered.";
	} else {
		add_allowed(profile, text, port, ret);
	}
	return ret->n > 0 ? NULL
			  : "Forwarding to this address and port is not allowed for this login.";
}
