/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where forwards may go, and where listeners for them may be opened. Runs in the broker and the admin tool. What a
 * client asks for is hostile; the decision is about addresses: of a name it is which ones it may stand for, and whoever
 * looks it up has to keep to that.
 */
#include "policy_private.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TARGETS_MAX 64
#define CONTAINER   "container" /* the container itself: its loopback addresses */
#define HOST_MAX    64          /* an address is not longer, nor "localhost" */
#define PORT_MAX    65535

struct policy_target {
	struct cidr network;
	uint32_t first, last; /* ports; 0 alone stands for the kernel's choice */
};

struct target_list {
	const struct policy_target *list;
	size_t n;
};

/* A list that is being read: of places to go to, or to listen at. */
struct reading {
	struct policy_target *list;
	size_t n;
	bool listening;
};

_Static_assert(POLICY_NETWORKS_MAX == 2 * TARGETS_MAX, "all of them may have the same port");

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
parse_ports(const char *text, bool listening, struct policy_target *ret)
{
	const char *end;

	if (listening && strcmp(text, "0") == 0) {
		ret->first = ret->last = 0;
		return true;
	}
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

/* Who listens at all addresses listens at each of them. */
static void
widen_wildcard(struct cidr *c)
{
	static const uint8_t none[16];

	if (c->bits == (c->family == AF_INET ? 32 : 128) && memcmp(c->address, none, c->bits / 8) == 0)
		c->bits = 0;
}

/* How the target would be written; ports: with their colon. NULL: no memory. */
static const char *
without_host_bits(struct json_reader *r, const struct cidr *network, const char *ports)
{
	char text[CIDR_TEXT_MAX];

	return arena_format(r->arena, network->family == AF_INET6 ? "[%s]%s" : "%s%s",
	    cidr_format(network, text), ports);
}

/* One element, two of them for the container. */
static void
read_target(struct json_reader *r, const struct json_node *node, const char *text, struct reading *out)
{
	static const char *const loopback[] = { "127.0.0.0/8", "::1" };
	const char *colon = strrchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	struct policy_target t;
	int fault = 0;

	if (colon == NULL || !parse_ports(colon + 1, out->listening, &t)) {
		json_read_diag(r, DIAG_E_RANGE, node, JSON_AT_VALUE,
		    out->listening ? "for example \"" CONTAINER ":8080\", \"" CONTAINER
				     ":3000-3010\" or \"" CONTAINER ":0\""
				   : "for example \"" CONTAINER ":8080\" or \"10.0.0.0/8:3000-3010\"",
		    out->listening
			? "forward target \"%s\" has no port, a range of them of 1 to %d, or 0"
			: "forward target \"%s\" has no port, or a range of them, of 1 to %d",
		    text, PORT_MAX);
		return;
	}
	if (len == strlen(CONTAINER) && memcmp(text, CONTAINER, len) == 0) {
		for (size_t i = 0; fault == 0 && i < SP_ARRAY_LEN(loopback); i++) {
			fault = cidr_parse(loopback[i], &t.network);
			out->list[out->n++] = t;
		}
		return;
	}
	fault = parse_network(text, len, &t.network);
	if (fault == CIDR_E_HOST_BITS)
		json_read_diag(r, DIAG_E_ADDRESS, node, JSON_AT_VALUE,
		    json_read_did_you_mean(r, without_host_bits(r, &t.network, colon)),
		    "the network of forward target \"%s\" has bits beyond its prefix", text);
	else if (fault != 0)
		json_read_diag(r, DIAG_E_ADDRESS, node, JSON_AT_VALUE,
		    "names have no place here: write \"" CONTAINER "\", an address or a network",
		    "forward target \"%s\" is neither the container nor an address", text);
	else {
		if (out->listening)
			widen_wildcard(&t.network);
		out->list[out->n++] = t;
	}
}

/* Returns the texts, and *out the same read; NULL: it is no such list, or there is no memory. */
static const char *const *
read_targets(struct json_reader *r, const struct json_node *value, struct reading *out)
{
	const char *const *texts = json_read_texts(r, value, 0, TARGETS_MAX);
	const struct json_node *e;
	size_t i = 0;

	if (texts == NULL)
		return NULL;
	out->list = arena_array(r->arena, 2 * TARGETS_MAX, sizeof(*out->list));
	if (out->list == NULL)
		return NULL;
	for (e = json_node_first(value); e != NULL && texts[i] != NULL; e = json_node_next(e))
		read_target(r, e, texts[i++], out);
	return texts;
}

static void
read_local(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct reading read = { .listening = false };
	const char *const *texts = read_targets(r, value, &read);
	struct policy_profile *p = target;

	(void)field;
	if (texts == NULL)
		return;
	p->forward_local = texts;
	p->targets = read.list;
	p->n_targets = read.n;
}

static void
read_remote(struct json_reader *r, const struct json_node *value, const struct json_field *field,
    void *target)
{
	struct reading read = { .listening = true };
	const char *const *texts = read_targets(r, value, &read);
	struct policy_profile *p = target;

	(void)field;
	if (texts == NULL)
		return;
	p->forward_remote = texts;
	p->listens = read.list;
	p->n_listens = read.n;
}

static void
show_local(FILE *out, const void *target)
{
	const struct policy_profile *p = target;

	policy_show_texts(out, &p->forward_local);
}

static void
show_remote(FILE *out, const void *target)
{
	const struct policy_profile *p = target;

	policy_show_texts(out, &p->forward_remote);
}

static const struct json_field forward_fields[] = {
	{ .key = "local",
	    .read = read_local,
	    .schema = "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}",
	    .show = show_local },
	{ .key = "remote",
	    .read = read_remote,
	    .schema = "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}",
	    .show = show_remote },
	{ .key = "agent",
	    .read = json_read_bool,
	    .offset = offsetof(struct policy_profile, forward_agent) },
	{ .key = "x11", .read = json_read_bool, .offset = offsetof(struct policy_profile, forward_x11) },
};

const struct json_table policy_forward_table = JSON_TABLE("\"forward\"", forward_fields);

/* ---- deciding ---- */

static bool
is_allowed(const struct target_list *targets, const struct cidr *to, uint32_t port)
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
	for (size_t i = 0; i < targets->n; i++) {
		const struct policy_target *t = &targets->list[i];

		if (port >= t->first && port <= t->last && cidr_contains(&t->network, &address))
			return true;
	}
	return false;
}

static void
add(const struct cidr *c, struct policy_destination *ret)
{
	ret->list[ret->n].family = c->family;
	memcpy(ret->list[ret->n].bytes, c->address, sizeof(c->address));
	ret->n++;
}

static void
add_allowed(const struct target_list *targets, const struct cidr *c, uint32_t port,
    struct policy_destination *ret)
{
	if (is_allowed(targets, c, port))
		add(c, ret);
}

static const struct cidr any_v4 = { .family = AF_INET, .bits = 32 };
static const struct cidr any_v6 = { .family = AF_INET6, .bits = 128 };
static const struct cidr loopback_v4 = { .family = AF_INET, .bits = 32, .address = { 127, 0, 0, 1 } };
static const struct cidr loopback_v6 = { .family = AF_INET6, .bits = 128, .address = { [15] = 1 } };

static void
add_loopback(const struct target_list *targets, uint32_t port, struct policy_destination *ret)
{
	add_allowed(targets, &loopback_v6, port, ret);
	add_allowed(targets, &loopback_v4, port, ret);
}

/* Address or network. */
static bool
is_loopback(const struct cidr *c)
{
	static const struct cidr v4 = { .family = AF_INET, .bits = 8, .address = { 127 } };

	return cidr_covers(&v4, c) || cidr_covers(&loopback_v6, c);
}

/* Nobody from outside of the container is to connect to what is listened at: sshd's "GatewayPorts no". */
static bool
is_loopback_alone(const struct target_list *targets)
{
	for (size_t i = 0; i < targets->n; i++) {
		if (!is_loopback(&targets->list[i].network))
			return false;
	}
	return true;
}

/* In a container that was made for this forward alone nobody listens, and nobody connects. */
static const char needs_connection[] = "Forwarding needs a container for the whole connection.";

/* What is said before any address is looked at; NULL: nothing. */
static const char *
refuse_any(const struct policy_profile *profile, const struct target_list *targets)
{
	if (targets->n == 0)
		return "Forwarding is not allowed for this login.";
	return profile->mode == POLICY_MODE_SESSION ? needs_connection : NULL;
}

/* A longer one is a name, and no other than that when it is cut. */
static void
copy_host(char text[HOST_MAX], const void *host, size_t len)
{
	if (len >= HOST_MAX)
		len = HOST_MAX - 1;
	memcpy(text, host, len);
	text[len] = '\0';
}

static bool
is_address(const char *text, struct cidr *ret)
{
	return strchr(text, '/') == NULL && cidr_parse(text, ret) == 0;
}

static struct network
network_of(const struct cidr *c)
{
	struct network network = { .v6 = c->family == AF_INET6, .bits = (uint8_t)c->bits };

	memcpy(network.bytes, c->address, sizeof(network.bytes));
	return network;
}

/* Of which port is one. */
static void
add_networks(const struct target_list *targets, uint32_t port, struct policy_destination *ret)
{
	for (size_t i = 0; i < targets->n; i++) {
		const struct policy_target *t = &targets->list[i];

		if (port >= t->first && port <= t->last)
			ret->networks[ret->n_networks++] = network_of(&t->network);
	}
}

/* Into ret's networks. */
static void
add_lead(const struct cidr *c, struct policy_destination *ret)
{
	struct network address = network_of(c);
	struct network to;

	if (!network_lead(ret->networks, ret->n_networks, &address, &to))
		return;
	ret->list[ret->n].family = to.v6 ? AF_INET6 : AF_INET;
	memcpy(ret->list[ret->n].bytes, to.bytes, sizeof(to.bytes));
	ret->n++;
}

/*
 * Whether looking a name up may lead anywhere but to the container itself: for its loopback there is "localhost", and a
 * question to a name server leaves the container.
 */
static bool
leads_beyond(const struct policy_destination *to)
{
	for (size_t i = 0; i < to->n_networks; i++) {
		const struct network *n = &to->networks[i];
		struct cidr c = { .family = n->v6 ? AF_INET6 : AF_INET, .bits = n->bits };

		memcpy(c.address, n->bytes, sizeof(n->bytes));
		if (!is_loopback(&c))
			return true;
	}
	return false;
}

const char *
policy_refuse_forward(const struct policy_profile *profile, const void *host, size_t len,
    uint32_t port, struct policy_destination *ret)
{
	struct target_list targets = { profile->targets, profile->n_targets };
	const char *why = refuse_any(profile, &targets);
	char text[HOST_MAX];
	struct cidr to;

	memset(ret, 0, sizeof(*ret));
	if (why != NULL)
		return why;
	add_networks(&targets, port, ret);
	copy_host(text, host, len);
	if (strcasecmp(text, "localhost") == 0) {
		add_lead(&loopback_v6, ret);
		add_lead(&loopback_v4, ret);
	} else if (is_address(text, &to)) {
		add_lead(&to, ret);
	} else if (!network_is_name(host, len)) {
		ret->n_networks = 0;
		return "This is neither an address in its usual form nor a name that can be looked up.";
	} else if (leads_beyond(ret)) {
		return NULL;
	}
	ret->n_networks = 0;
	return ret->n > 0 ? NULL
			  : "Forwarding to this address and port is not allowed for this login.";
}

const char *
policy_refuse_listen(const struct policy_profile *profile, const void *host, size_t len,
    uint32_t port, struct policy_destination *ret)
{
	struct target_list targets = { profile->listens, profile->n_listens };
	bool alone = is_loopback_alone(&targets);
	const char *why = refuse_any(profile, &targets);
	bool loopback = true; /* will do as well */
	char text[HOST_MAX];
	struct cidr at;

	memset(ret, 0, sizeof(*ret));
	if (why != NULL)
		return why;
	copy_host(text, host, len);
	/* RFC 4254 section 7.1: "" is every address of every family. */
	if (text[0] == '\0' || strcmp(text, "*") == 0) {
		add_allowed(&targets, &any_v6, port, ret);
		add_allowed(&targets, &any_v4, port, ret);
	} else if (is_address(text, &at)) {
		loopback = strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0 ||
		    (alone && !is_loopback(&at));
		add_allowed(&targets, &at, port, ret);
	} else if (!alone && strcmp(text, "localhost") != 0) {
		return "Listening at names is not offered.";
	}
	if (loopback && ret->n == 0)
		add_loopback(&targets, port, ret);
	return ret->n > 0 ? NULL
			  : "Listening at this address and port is not allowed for this login.";
}

const char *
policy_refuse_agent(const struct policy_profile *profile)
{
	if (!profile->forward_agent)
		return "Forwarding of an agent is not allowed for this login.";
	return profile->mode == POLICY_MODE_SESSION ? needs_connection : NULL;
}

const char *
policy_refuse_x11(const struct policy_profile *profile)
{
	if (!profile->forward_x11)
		return "X11 forwarding is not allowed for this login.";
	return profile->mode == POLICY_MODE_SESSION ? needs_connection : NULL;
}
