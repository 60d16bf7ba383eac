/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders to the guest and its control messages, encoder and decoder side by side. Linked by the
 * broker (orders out), the guest (orders in, ctl both ways) and the worker (ctl both ways); each
 * treats what comes in as hostile.
 */
#include "guest_msg.h"

#include <string.h>

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
	ret->hangup_grace_ms = wire_get_u32(r);
	ret->workdir = get_text(r);
	ret->argv0 = get_text(r);
	ret->n_argv = get_list(r, ret->argv, 1, GUEST_ARGV_MAX, get_text);
	ret->n_env = get_list(r, ret->env, 0, GUEST_ENV_MAX, get_variable);
	return wire_finish(r);
}

void
guest_put_connect(struct wire_writer *w, const struct guest_connect *m)
{
	wire_put_u8(w, GUEST_CONNECT);
	wire_put_u32(w, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		wire_put_u8(w, m->addresses[i].v6);
		wire_put_bytes(w, m->addresses[i].bytes, m->addresses[i].v6 ? 16 : 4);
	}
	wire_put_u32(w, m->port);
}

int
guest_get_connect(struct wire_reader *r, struct guest_connect *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (wire_get_u8(r) != GUEST_CONNECT)
		wire_fail(r);
	ret->n = wire_get_u32(r);
	if (ret->n < 1 || ret->n > GUEST_ADDRESSES_MAX)
		wire_fail(r);
	for (uint32_t i = 0; !r->failed && i < ret->n; i++) {
		struct wire_span bytes;

		ret->addresses[i].v6 = wire_get_bool(r);
		bytes = wire_get_bytes(r, ret->addresses[i].v6 ? 16 : 4);
		memcpy(ret->addresses[i].bytes, bytes.data, bytes.len);
	}
	ret->port = wire_get_u32(r);
	if (ret->port < 1 || ret->port > 65535)
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
	}
}

static void
get_failed(struct wire_reader *r, struct guest_ctl *ret)
{
	uint32_t stage = wire_get_u32(r);

	if (stage < GUEST_FAIL_ORDER || stage > GUEST_FAIL_CONNECT)
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

int
guest_get_ctl(struct wire_reader *r, struct guest_ctl *ret)
{
	uint8_t id = wire_get_u8(r);

	memset(ret, 0, sizeof(*ret));
	ret->id = (enum guest_ctl_id)id;
	switch (id) {
	case GUEST_CTL_STARTED:
	case GUEST_CTL_CONNECTED:
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
	default:
		wire_fail(r);
		break;
	}
	return wire_finish(r);
}
