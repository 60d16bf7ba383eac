/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders to the guest and its control messages, encoder and decoder side by side. Linked by the
 * broker (orders out), the guest (orders in, ctl both ways) and the worker (ctl both ways); each
 * treats what comes in as hostile.
 */
#include "guest_msg.h"

#include <string.h>

#include "tty_modes.h"

/* A string without NUL, as a view. */
static struct wire_span
get_text(struct wire_reader *r)
{
	struct wire_span s = wire_get_span(r);

	if (s.len > 0 && memchr(s.data, '\0', s.len) != NULL)
		wire_fail(r);
	return s;
}

/* "NAME=value" with a name: anything else could not be found again, or replaced. */
static struct wire_span
get_variable(struct wire_reader *r)
{
	struct wire_span s = get_text(r);

	if (s.len < 2 || s.data[0] == '=' || memchr(s.data, '=', s.len) == NULL)
		wire_fail(r);
	return s;
}

static uint32_t
get_list(struct wire_reader *r, struct wire_span *out, uint32_t min, uint32_t max,
    struct wire_span (*get)(struct wire_reader *r))
{
	uint32_t n = wire_get_u32(r);

	if (n < min || n > max) {
		wire_fail(r);
		return 0;
	}
	for (uint32_t i = 0; i < n && !r->failed; i++)
		out[i] = get(r);
	return r->failed ? 0 : n;
}

static void
put_list(struct wire_writer *w, const struct wire_span *list, uint32_t n)
{
	wire_put_u32(w, n);
	for (uint32_t i = 0; i < n; i++)
		wire_put_str(w, list[i].data, list[i].len);
}

void
guest_put_spawn(struct wire_writer *w, const struct guest_spawn *m)
{
	wire_put_u8(w, GUEST_SPAWN);
	wire_put_u8(w, m->want_pty);
	wire_put_u32(w, m->columns);
	wire_put_u32(w, m->rows);
	wire_put_u32(w, m->width_px);
	wire_put_u32(w, m->height_px);
	wire_put_str(w, m->modes.data, m->modes.len);
	wire_put_u32(w, m->hangup_grace_ms);
	wire_put_str(w, m->workdir.data, m->workdir.len);
	wire_put_str(w, m->argv0.data, m->argv0.len);
	put_list(w, m->argv, m->n_argv);
	put_list(w, m->env, m->n_env);
}

int
guest_get_spawn(struct wire_reader *r, struct guest_spawn *ret)
{
	if (wire_get_u8(r) != GUEST_SPAWN)
		wire_fail(r);
	ret->want_pty = wire_get_bool(r);
	ret->columns = wire_get_u32(r);
	ret->rows = wire_get_u32(r);
	ret->width_px = wire_get_u32(r);
	ret->height_px = wire_get_u32(r);
	ret->modes = wire_get_span(r);
	if (!tty_modes_valid(ret->modes.data, ret->modes.len) ||
	    (!ret->want_pty && ret->modes.len > 0))
		wire_fail(r);
	ret->hangup_grace_ms = wire_get_u32(r);
	ret->workdir = get_text(r);
	ret->argv0 = get_text(r);
	ret->n_argv = get_list(r, ret->argv, 1, GUEST_ARGV_MAX, get_text);
	ret->n_env = get_list(r, ret->env, 0, GUEST_ENV_MAX, get_variable);
	return wire_finish(r);
}

static void
put_address(struct wire_writer *w, const struct guest_address *a)
{
	wire_put_u8(w, a->v6);
	wire_put_bytes(w, a->bytes, a->v6 ? 16 : 4);
}

static void
get_address(struct wire_reader *r, struct guest_address *ret)
{
	struct wire_span bytes;

	ret->v6 = wire_get_bool(r);
	bytes = wire_get_bytes(r, ret->v6 ? 16 : 4);
	if (!r->failed)
		memcpy(ret->bytes, bytes.data, bytes.len);
}

static void
put_addresses(struct wire_writer *w, const struct guest_address *list, uint32_t n)
{
	wire_put_u32(w, n);
	for (uint32_t i = 0; i < n; i++)
		put_address(w, &list[i]);
}

static uint32_t
get_addresses(struct wire_reader *r, struct guest_address *list, uint32_t min, uint32_t max)
{
	uint32_t n = wire_get_u32(r);

	if (n < min || n > max)
		wire_fail(r);
	for (uint32_t i = 0; !r->failed && i < n; i++)
		get_address(r, &list[i]);
	return n;
}

static uint32_t
get_port(struct wire_reader *r, uint32_t min)
{
	uint32_t port = wire_get_u32(r);

	if (port < min || port > 65535)
		wire_fail(r);
	return port;
}

static void
put_networks(struct wire_writer *w, const struct network *list, uint32_t n)
{
	wire_put_u32(w, n);
	for (uint32_t i = 0; i < n; i++) {
		wire_put_u8(w, list[i].v6);
		wire_put_u8(w, list[i].bits);
		wire_put_bytes(w, list[i].bytes, list[i].v6 ? 16 : 4);
	}
}

static void
get_network(struct wire_reader *r, struct network *ret)
{
	struct wire_span bytes;

	ret->v6 = wire_get_bool(r);
	ret->bits = wire_get_u8(r);
	bytes = wire_get_bytes(r, ret->v6 ? 16 : 4);
	if (!r->failed)
		memcpy(ret->bytes, bytes.data, bytes.len);
	if (!network_is_valid(ret))
		wire_fail(r);
}

static uint32_t
get_networks(struct wire_reader *r, struct network list[GUEST_NETWORKS_MAX])
{
	uint32_t n = wire_get_u32(r);

	if (n < 1 || n > GUEST_NETWORKS_MAX)
		wire_fail(r);
	for (uint32_t i = 0; !r->failed && i < n; i++)
		get_network(r, &list[i]);
	return n;
}

void
guest_put_connect(struct wire_writer *w, const struct guest_connect *m)
{
	wire_put_u8(w, m->n > 0 ? GUEST_CONNECT : GUEST_CONNECT_NAME);
	if (m->n > 0) {
		put_addresses(w, m->addresses, m->n);
	} else {
		wire_put_cstr(w, m->name);
		put_networks(w, m->networks, m->n_networks);
	}
	wire_put_u32(w, m->port);
}

int
guest_get_connect(struct wire_reader *r, struct guest_connect *ret)
{
	uint8_t id = wire_get_u8(r);

	memset(ret, 0, sizeof(*ret));
	if (id == GUEST_CONNECT) {
		ret->n = get_addresses(r, ret->addresses, 1, GUEST_ADDRESSES_MAX);
	} else if (id == GUEST_CONNECT_NAME) {
		wire_get_cstr(r, ret->name, sizeof(ret->name));
		if (!network_is_name(ret->name, strlen(ret->name)))
			wire_fail(r);
		ret->n_networks = get_networks(r, ret->networks);
	} else {
		wire_fail(r);
	}
	ret->port = get_port(r, 1);
	return wire_finish(r);
}

void
guest_put_listen(struct wire_writer *w, const struct guest_listen *m)
{
	wire_put_u8(w, GUEST_LISTEN);
	wire_put_u8(w, (uint8_t)m->kind);
	if (m->kind != GUEST_LISTEN_UNIX) {
		put_addresses(w, m->addresses, m->n);
		wire_put_u32(w, m->port);
	}
	if (m->kind != GUEST_LISTEN_TCP)
		wire_put_cstr(w, m->path);
	if (m->kind == GUEST_LISTEN_X11) {
		wire_put_u32(w, m->n_ports);
		wire_put_str(w, m->name.data, m->name.len);
		wire_put_str(w, m->cookie.data, m->cookie.len);
		wire_put_u8(w, m->only_one);
	}
}

static void
get_display(struct wire_reader *r, struct guest_listen *ret)
{
	ret->n_ports = wire_get_u32(r);
	ret->name = get_text(r);
	ret->cookie = wire_get_span(r);
	ret->only_one = wire_get_bool(r);
	if (ret->port <= GUEST_X11_PORT || ret->n_ports < 1 || ret->n_ports > 65536 - ret->port ||
	    ret->name.len > GUEST_X11_NAME_MAX || ret->cookie.len > GUEST_X11_COOKIE_MAX)
		wire_fail(r);
}

int
guest_get_listen(struct wire_reader *r, struct guest_listen *ret)
{
	uint8_t kind;

	memset(ret, 0, sizeof(*ret));
	if (wire_get_u8(r) != GUEST_LISTEN)
		wire_fail(r);
	kind = wire_get_u8(r);
	if (kind < GUEST_LISTEN_TCP || kind > GUEST_LISTEN_X11)
		wire_fail(r);
	ret->kind = (enum guest_listen_kind)kind;
	if (ret->kind != GUEST_LISTEN_UNIX) {
		ret->n = get_addresses(r, ret->addresses, 1, GUEST_ADDRESSES_MAX);
		ret->port = get_port(r, 0);
	}
	if (ret->kind != GUEST_LISTEN_TCP) {
		wire_get_cstr(r, ret->path, sizeof(ret->path));
		if (ret->path[0] != '/')
			wire_fail(r);
	}
	if (ret->kind == GUEST_LISTEN_X11)
		get_display(r, ret);
	return wire_finish(r);
}

void
guest_put_end(struct wire_writer *w)
{
	wire_put_u8(w, GUEST_END);
}

int
guest_get_end(struct wire_reader *r)
{
	if (wire_get_u8(r) != GUEST_END)
		wire_fail(r);
	return wire_finish(r);
}

void
guest_put_ctl(struct wire_writer *w, const struct guest_ctl *m)
{
	wire_put_u8(w, (uint8_t)m->id);
	switch (m->id) {
	case GUEST_CTL_STARTED:
	case GUEST_CTL_CONNECTED:
	case GUEST_CTL_TAKEN:
		break;
	case GUEST_CTL_FAILED:
		wire_put_u32(w, (uint32_t)m->failed.stage);
		wire_put_u32(w, m->failed.error);
		break;
	case GUEST_CTL_EXITED:
		wire_put_u8(w, m->exited.signaled);
		wire_put_u32(w, m->exited.value);
		wire_put_u8(w, m->exited.core);
		break;
	case GUEST_CTL_SIGNAL:
		wire_put_u32(w, m->signal.number);
		break;
	case GUEST_CTL_LISTENING:
		wire_put_u32(w, m->listening.port);
		break;
	case GUEST_CTL_ACCEPTED:
		wire_put_u8(w, m->accepted.tcp);
		if (m->accepted.tcp) {
			put_address(w, &m->accepted.from);
			wire_put_u32(w, m->accepted.port);
		}
		break;
	}
}

static void
get_failed(struct wire_reader *r, struct guest_ctl *ret)
{
	uint32_t stage = wire_get_u32(r);

	if (stage < GUEST_FAIL_ORDER || stage > GUEST_FAIL_LOOKUP)
		wire_fail(r);
	ret->failed.stage = (enum guest_fail_stage)stage;
	ret->failed.error = wire_get_u32(r);
}

static void
get_exited(struct wire_reader *r, struct guest_ctl *ret)
{
	ret->exited.signaled = wire_get_bool(r);
	ret->exited.value = wire_get_u32(r);
	ret->exited.core = wire_get_bool(r);
	if (ret->exited.signaled ? ret->exited.value < 1 || ret->exited.value > 64
				 : ret->exited.value > 255 || ret->exited.core)
		wire_fail(r);
}

static void
get_accepted(struct wire_reader *r, struct guest_ctl *ret)
{
	ret->accepted.tcp = wire_get_bool(r);
	if (!ret->accepted.tcp)
		return;
	get_address(r, &ret->accepted.from);
	ret->accepted.port = get_port(r, 0);
}

int
guest_get_ctl(struct wire_reader *r, struct guest_ctl *ret)
{
	uint8_t id = wire_get_u8(r);

	memset(ret, 0, sizeof(*ret));
	ret->id = (enum guest_ctl_id)id;
	switch (id) {
	case GUEST_CTL_STARTED:
	case GUEST_CTL_CONNECTED:
	case GUEST_CTL_TAKEN:
		break;
	case GUEST_CTL_FAILED:
		get_failed(r, ret);
		break;
	case GUEST_CTL_EXITED:
		get_exited(r, ret);
		break;
	case GUEST_CTL_SIGNAL:
		ret->signal.number = wire_get_u32(r);
		if (ret->signal.number < 1 || ret->signal.number > 64)
			wire_fail(r);
		break;
	case GUEST_CTL_LISTENING:
		ret->listening.port = get_port(r, 0);
		break;
	case GUEST_CTL_ACCEPTED:
		get_accepted(r, ret);
		break;
	default:
		wire_fail(r);
		break;
	}
	return wire_finish(r);
}

void
guest_put_found(struct wire_writer *w, const struct guest_found *m)
{
	wire_put_u32(w, m->error);
	put_addresses(w, m->addresses, m->n);
}

int
guest_get_found(struct wire_reader *r, struct guest_found *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->error = wire_get_u32(r);
	ret->n = get_addresses(r, ret->addresses, 0, GUEST_FOUND_ADDRESSES_MAX);
	if ((ret->error == 0) != (ret->n > 0))
		wire_fail(r);
	return wire_finish(r);
}
