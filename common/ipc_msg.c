/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoders and decoders of every message between worker and broker, side by side, so that a message
 * is reviewed in one place. A decoder's input is hostile: each reads like the message and asks one
 * question at the end. The id byte has been consumed by whoever chose the decoder.
 */
#include "ipc_msg.h"

#include <string.h>

#include "tty_modes.h"

/* A string that is at most max bytes long. */
static struct wire_span
get_bounded(struct wire_reader *r, size_t max)
{
	struct wire_span s = wire_get_span(r);

	if (s.len > max)
		wire_fail(r);
	return s;
}

/* The same without NUL: text that will become a C string somewhere. */
static struct wire_span
get_text(struct wire_reader *r, size_t max)
{
	struct wire_span s = get_bounded(r, max);

	if (s.len > 0 && memchr(s.data, '\0', s.len) != NULL)
		wire_fail(r);
	return s;
}

static void
put_span(struct wire_writer *w, struct wire_span s)
{
	wire_put_str(w, s.data, s.len);
}

static uint32_t
get_count(struct wire_reader *r, uint32_t max)
{
	uint32_t n = wire_get_u32(r);

	if (n > max) {
		wire_fail(r);
		return 0;
	}
	return r->failed ? 0 : n;
}

static uint32_t
get_channel(struct wire_reader *r)
{
	uint32_t channel = wire_get_u32(r);

	if (channel >= IPC_CHANNEL_MAX) {
		wire_fail(r);
		return 0;
	}
	return channel;
}

void
ipc_put_hello(struct wire_writer *w, const struct ipc_hello *m)
{
	wire_put_u8(w, IPC_HELLO);
	wire_put_u32(w, m->version);
	wire_put_bytes(w, m->nonce, sizeof(m->nonce));
	wire_put_u32(w, m->login_tries);
	wire_put_u32(w, m->keepalive_seconds);
	wire_put_u32(w, m->keepalive_count);
	wire_put_u32(w, m->rekey_mib);
	wire_put_u8(w, m->older_clients ? 1 : 0);
	put_span(w, m->banner);
	wire_put_u32(w, m->n_host_keys);
	for (uint32_t i = 0; i < m->n_host_keys; i++)
		put_span(w, m->host_keys[i]);
}

int
ipc_get_hello(struct wire_reader *r, struct ipc_hello *ret)
{
	struct wire_span nonce;

	ret->version = wire_get_u32(r);
	nonce = wire_get_bytes(r, sizeof(ret->nonce));
	if (!r->failed)
		memcpy(ret->nonce, nonce.data, sizeof(ret->nonce));
	ret->login_tries = wire_get_u32(r);
	ret->keepalive_seconds = wire_get_u32(r);
	ret->keepalive_count = wire_get_u32(r);
	ret->rekey_mib = wire_get_u32(r);
	ret->older_clients = wire_get_bool(r);
	ret->banner = get_text(r, IPC_TEXT_MAX);
	ret->n_host_keys = get_count(r, IPC_HOST_KEYS_MAX);
	for (uint32_t i = 0; i < ret->n_host_keys; i++)
		ret->host_keys[i] = get_bounded(r, IPC_BLOB_MAX);
	return wire_finish(r);
}

void
ipc_put_ready(struct wire_writer *w, const struct ipc_ready *m)
{
	wire_put_u8(w, IPC_READY);
	wire_put_u32(w, m->version);
}

int
ipc_get_ready(struct wire_reader *r, struct ipc_ready *ret)
{
	ret->version = wire_get_u32(r);
	return wire_finish(r);
}

void
ipc_put_connection(struct wire_writer *w)
{
	wire_put_u8(w, IPC_CONNECTION);
}

int
ipc_get_connection(struct wire_reader *r)
{
	return wire_finish(r);
}

void
ipc_put_req_sign(struct wire_writer *w, const struct ipc_req_sign *m)
{
	wire_put_u8(w, IPC_REQ_SIGN);
	wire_put_cstr(w, m->algorithm);
	put_span(w, m->transcript);
}

int
ipc_get_req_sign(struct wire_reader *r, struct ipc_req_sign *ret)
{
	wire_get_cstr(r, ret->algorithm, sizeof(ret->algorithm));
	ret->transcript = wire_get_span(r);
	return wire_finish(r);
}

void
ipc_put_ans_sign(struct wire_writer *w, const struct ipc_ans_sign *m)
{
	wire_put_u8(w, IPC_ANS_SIGN);
	put_span(w, m->signature);
}

int
ipc_get_ans_sign(struct wire_reader *r, struct ipc_ans_sign *ret)
{
	ret->signature = get_bounded(r, IPC_SIG_MAX);
	return wire_finish(r);
}

void
ipc_put_req_query(struct wire_writer *w, const struct ipc_req_query *m)
{
	wire_put_u8(w, IPC_REQ_QUERY);
	put_span(w, m->user);
	put_span(w, m->blob);
}

int
ipc_get_req_query(struct wire_reader *r, struct ipc_req_query *ret)
{
	ret->user = get_bounded(r, IPC_USER_MAX);
	ret->blob = get_bounded(r, IPC_BLOB_MAX);
	return wire_finish(r);
}

void
ipc_put_ans_query(struct wire_writer *w, const struct ipc_ans_query *m)
{
	wire_put_u8(w, IPC_ANS_QUERY);
	wire_put_u8(w, m->acceptable);
}

int
ipc_get_ans_query(struct wire_reader *r, struct ipc_ans_query *ret)
{
	ret->acceptable = wire_get_bool(r);
	return wire_finish(r);
}

void
ipc_put_req_auth(struct wire_writer *w, const struct ipc_req_auth *m)
{
	wire_put_u8(w, IPC_REQ_AUTH);
	put_span(w, m->user);
	wire_put_cstr(w, m->algorithm);
	put_span(w, m->blob);
	put_span(w, m->signature);
	wire_put_u8(w, m->sk_flags);
	wire_put_u32(w, m->sk_counter);
}

int
ipc_get_req_auth(struct wire_reader *r, struct ipc_req_auth *ret)
{
	ret->user = get_bounded(r, IPC_USER_MAX);
	wire_get_cstr(r, ret->algorithm, sizeof(ret->algorithm));
	ret->blob = get_bounded(r, IPC_BLOB_MAX);
	ret->signature = get_bounded(r, IPC_SIG_MAX);
	ret->sk_flags = wire_get_u8(r);
	ret->sk_counter = wire_get_u32(r);
	return wire_finish(r);
}

void
ipc_put_ans_auth(struct wire_writer *w, const struct ipc_ans_auth *m)
{
	wire_put_u8(w, IPC_ANS_AUTH);
	wire_put_u8(w, m->accepted);
	if (!m->accepted) {
		put_span(w, m->text);
		return;
	}
	wire_put_u8(w, m->pty);
	wire_put_u8(w, m->shell);
	wire_put_u8(w, m->exec);
	wire_put_u8(w, m->agent);
	wire_put_u8(w, m->x11);
	wire_put_u32(w, m->max_channels);
	wire_put_u32(w, m->n_env);
	for (uint32_t i = 0; i < m->n_env; i++)
		put_span(w, m->env[i]);
	wire_put_u32(w, m->n_subsystems);
	for (uint32_t i = 0; i < m->n_subsystems; i++)
		put_span(w, m->subsystems[i]);
	put_span(w, m->greeting);
}

int
ipc_get_ans_auth(struct wire_reader *r, struct ipc_ans_auth *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->accepted = wire_get_bool(r);
	if (!ret->accepted) {
		ret->text = get_text(r, IPC_TEXT_MAX);
		return wire_finish(r);
	}
	ret->pty = wire_get_bool(r);
	ret->shell = wire_get_bool(r);
	ret->exec = wire_get_bool(r);
	ret->agent = wire_get_bool(r);
	ret->x11 = wire_get_bool(r);
	ret->max_channels = get_count(r, IPC_CHANNEL_MAX);
	ret->n_env = get_count(r, IPC_ENV_MAX);
	for (uint32_t i = 0; i < ret->n_env; i++)
		ret->env[i] = get_text(r, IPC_ENV_NAME_MAX);
	ret->n_subsystems = get_count(r, IPC_SUBSYSTEMS_MAX);
	for (uint32_t i = 0; i < ret->n_subsystems; i++)
		ret->subsystems[i] = get_text(r, IPC_SUBSYSTEM_MAX);
	ret->greeting = get_text(r, IPC_TEXT_MAX);
	return wire_finish(r);
}

static void
put_pty(struct wire_writer *w, const struct ipc_pty *p)
{
	wire_put_cstr(w, p->term);
	wire_put_u32(w, p->columns);
	wire_put_u32(w, p->rows);
	wire_put_u32(w, p->width_px);
	wire_put_u32(w, p->height_px);
}

static void
get_pty(struct wire_reader *r, struct ipc_pty *ret)
{
	wire_get_cstr(r, ret->term, sizeof(ret->term));
	ret->columns = wire_get_u32(r);
	ret->rows = wire_get_u32(r);
	ret->width_px = wire_get_u32(r);
	ret->height_px = wire_get_u32(r);
}

static struct wire_span
get_modes(struct wire_reader *r)
{
	struct wire_span s = wire_get_span(r);

	if (!tty_modes_valid(s.data, s.len))
		wire_fail(r);
	return s;
}

static void
put_display(struct wire_writer *w, const struct ipc_display *d)
{
	wire_put_u32(w, d->listener);
	wire_put_u32(w, d->number);
	wire_put_u32(w, d->screen);
}

static void
get_display(struct wire_reader *r, struct ipc_display *ret)
{
	ret->listener = get_channel(r);
	ret->number = wire_get_u32(r);
	ret->screen = wire_get_u32(r);
	if (ret->number < IPC_X11_FIRST || ret->number >= IPC_X11_FIRST + IPC_X11_DISPLAYS)
		wire_fail(r);
}

static void
get_env(struct wire_reader *r, struct ipc_req_start *ret)
{
	size_t total = 0;

	ret->n_env = get_count(r, IPC_ENV_MAX);
	for (uint32_t i = 0; i < ret->n_env; i++) {
		struct wire_span name = get_text(r, IPC_ENV_NAME_MAX);
		struct wire_span value = get_text(r, IPC_ENV_VALUE_MAX);

		total += name.len + value.len;
		if (name.len == 0 || memchr(name.data, '=', name.len) != NULL ||
		    total > IPC_ENV_BYTES_MAX)
			wire_fail(r);
		ret->env[i].name = name;
		ret->env[i].value = value;
	}
}

void
ipc_put_req_start(struct wire_writer *w, const struct ipc_req_start *m)
{
	wire_put_u8(w, IPC_REQ_START);
	wire_put_u32(w, m->channel);
	wire_put_u8(w, (uint8_t)m->kind);
	put_span(w, m->command);
	wire_put_u8(w, m->want_pty);
	if (m->want_pty) {
		put_pty(w, &m->pty);
		put_span(w, m->modes);
	}
	wire_put_u8(w, m->want_display);
	if (m->want_display)
		put_display(w, &m->display);
	wire_put_u32(w, m->n_env);
	for (uint32_t i = 0; i < m->n_env; i++) {
		put_span(w, m->env[i].name);
		put_span(w, m->env[i].value);
	}
}

/* What is started by this kind: nothing more to say, a line, or a name. */
static struct wire_span
get_command(struct wire_reader *r, enum ipc_start_kind kind)
{
	struct wire_span command =
	    get_text(r, kind == IPC_START_SUBSYSTEM ? IPC_SUBSYSTEM_MAX : IPC_COMMAND_MAX);

	if ((kind == IPC_START_SHELL && command.len != 0) ||
	    (kind == IPC_START_SUBSYSTEM && command.len == 0))
		wire_fail(r);
	return command;
}

int
ipc_get_req_start(struct wire_reader *r, struct ipc_req_start *ret)
{
	uint8_t kind;

	memset(&ret->pty, 0, sizeof(ret->pty));
	memset(&ret->modes, 0, sizeof(ret->modes));
	memset(&ret->display, 0, sizeof(ret->display));
	ret->channel = get_channel(r);
	kind = wire_get_u8(r);
	if (kind < IPC_START_SHELL || kind > IPC_START_SUBSYSTEM)
		wire_fail(r);
	ret->kind = (enum ipc_start_kind)kind;
	ret->command = get_command(r, ret->kind);
	ret->want_pty = wire_get_bool(r);
	if (ret->want_pty) {
		get_pty(r, &ret->pty);
		ret->modes = get_modes(r);
	}
	ret->want_display = wire_get_bool(r);
	if (ret->want_display)
		get_display(r, &ret->display);
	get_env(r, ret);
	return wire_finish(r);
}

void
ipc_put_ans_start(struct wire_writer *w, const struct ipc_ans_start *m)
{
	wire_put_u8(w, IPC_ANS_START);
	wire_put_u32(w, m->channel);
	wire_put_u8(w, (uint8_t)m->result);
	wire_put_u8(w, m->pty);
	put_span(w, m->text);
}

static enum ipc_start_result
get_result(struct wire_reader *r)
{
	uint8_t result = wire_get_u8(r);

	if (result > IPC_START_FAILED)
		wire_fail(r);
	return (enum ipc_start_result)result;
}

int
ipc_get_ans_start(struct wire_reader *r, struct ipc_ans_start *ret)
{
	ret->channel = get_channel(r);
	ret->result = get_result(r);
	ret->pty = wire_get_bool(r);
	ret->text = get_text(r, IPC_TEXT_MAX);
	return wire_finish(r);
}

void
ipc_put_req_forward(struct wire_writer *w, const struct ipc_req_forward *m)
{
	wire_put_u8(w, IPC_REQ_FORWARD);
	wire_put_u32(w, m->channel);
	put_span(w, m->host);
	wire_put_u32(w, m->port);
}

int
ipc_get_req_forward(struct wire_reader *r, struct ipc_req_forward *ret)
{
	ret->channel = get_channel(r);
	ret->host = get_text(r, IPC_HOST_MAX);
	ret->port = wire_get_u32(r);
	if (ret->host.len == 0 || ret->port < 1 || ret->port > 65535)
		wire_fail(r);
	return wire_finish(r);
}

static void
put_outcome(struct wire_writer *w, enum ipc_id id, const struct ipc_ans_forward *m)
{
	wire_put_u8(w, (uint8_t)id);
	wire_put_u32(w, m->channel);
	wire_put_u8(w, (uint8_t)m->result);
	put_span(w, m->text);
}

void
ipc_put_ans_forward(struct wire_writer *w, const struct ipc_ans_forward *m)
{
	put_outcome(w, IPC_ANS_FORWARD, m);
}

void
ipc_put_ans_listen(struct wire_writer *w, const struct ipc_ans_forward *m)
{
	put_outcome(w, IPC_ANS_LISTEN, m);
}

void
ipc_put_ans_accepted(struct wire_writer *w, const struct ipc_ans_forward *m)
{
	put_outcome(w, IPC_ANS_ACCEPTED, m);
}

int
ipc_get_ans_forward(struct wire_reader *r, struct ipc_ans_forward *ret)
{
	ret->channel = get_channel(r);
	ret->result = get_result(r);
	ret->text = get_text(r, IPC_TEXT_MAX);
	return wire_finish(r);
}

void
ipc_put_req_listen(struct wire_writer *w, const struct ipc_req_listen *m)
{
	wire_put_u8(w, IPC_REQ_LISTEN);
	wire_put_u32(w, m->channel);
	wire_put_u8(w, (uint8_t)m->kind);
	if (m->kind == IPC_LISTEN_TCP) {
		put_span(w, m->host);
		wire_put_u32(w, m->port);
	}
	if (m->kind == IPC_LISTEN_X11) {
		put_span(w, m->name);
		put_span(w, m->cookie);
		wire_put_u8(w, m->only_one);
	}
}

int
ipc_get_req_listen(struct wire_reader *r, struct ipc_req_listen *ret)
{
	uint8_t kind;

	memset(ret, 0, sizeof(*ret));
	ret->channel = get_channel(r);
	kind = wire_get_u8(r);
	if (kind < IPC_LISTEN_TCP || kind > IPC_LISTEN_X11)
		wire_fail(r);
	ret->kind = (enum ipc_listen_kind)kind;
	if (ret->kind == IPC_LISTEN_TCP) {
		ret->host = get_text(r, IPC_HOST_MAX);
		ret->port = wire_get_u32(r);
		if (ret->port > 65535)
			wire_fail(r);
	}
	if (ret->kind == IPC_LISTEN_X11) {
		ret->name = get_text(r, IPC_X11_NAME_MAX);
		ret->cookie = get_bounded(r, IPC_X11_COOKIE_MAX);
		ret->only_one = wire_get_bool(r);
	}
	return wire_finish(r);
}

void
ipc_put_accepted(struct wire_writer *w, const struct ipc_accepted *m)
{
	wire_put_u8(w, IPC_ACCEPTED);
	wire_put_u32(w, m->channel);
	wire_put_u32(w, m->listener);
	put_span(w, m->from);
	wire_put_u32(w, m->port);
}

int
ipc_get_accepted(struct wire_reader *r, struct ipc_accepted *ret)
{
	ret->channel = get_channel(r);
	ret->listener = get_channel(r);
	ret->from = get_text(r, IPC_ADDRESS_MAX);
	ret->port = wire_get_u32(r);
	if (ret->port > 65535)
		wire_fail(r);
	return wire_finish(r);
}

/* So many that everybody's integers hold it. */
static uint64_t
get_bytes_passed(struct wire_reader *r)
{
	uint64_t n = wire_get_u64(r);

	if (n > INT64_MAX)
		wire_fail(r);
	return n;
}

void
ipc_put_req_close(struct wire_writer *w, const struct ipc_req_close *m)
{
	wire_put_u8(w, IPC_REQ_CLOSE);
	wire_put_u32(w, m->channel);
	wire_put_u64(w, m->bytes_in);
	wire_put_u64(w, m->bytes_out);
}

int
ipc_get_req_close(struct wire_reader *r, struct ipc_req_close *ret)
{
	ret->channel = get_channel(r);
	ret->bytes_in = get_bytes_passed(r);
	ret->bytes_out = get_bytes_passed(r);
	return wire_finish(r);
}

void
ipc_put_activity(struct wire_writer *w, const struct ipc_activity *m)
{
	wire_put_u8(w, IPC_ACTIVITY);
	wire_put_u64(w, m->bytes_in);
	wire_put_u64(w, m->bytes_out);
	wire_put_u32(w, m->idle_seconds);
}

int
ipc_get_activity(struct wire_reader *r, struct ipc_activity *ret)
{
	ret->bytes_in = get_bytes_passed(r);
	ret->bytes_out = get_bytes_passed(r);
	ret->idle_seconds = wire_get_u32(r);
	return wire_finish(r);
}

void
ipc_put_refused(struct wire_writer *w, const struct ipc_refused *m)
{
	wire_put_u8(w, IPC_REFUSED);
	wire_put_u8(w, (uint8_t)m->kind);
	put_span(w, m->detail);
}

int
ipc_get_refused(struct wire_reader *r, struct ipc_refused *ret)
{
	uint8_t kind = wire_get_u8(r);

	if (kind < IPC_REFUSED_PTY || kind >= IPC_REFUSED_END)
		wire_fail(r);
	ret->kind = (enum ipc_refused_kind)kind;
	ret->detail = get_text(r, IPC_DETAIL_MAX);
	return wire_finish(r);
}

void
ipc_put_notice(struct wire_writer *w, const struct ipc_notice *m)
{
	wire_put_u8(w, IPC_NOTICE);
	wire_put_u8(w, (uint8_t)m->kind);
	put_span(w, m->text);
}

int
ipc_get_notice(struct wire_reader *r, struct ipc_notice *ret)
{
	uint8_t kind = wire_get_u8(r);

	if (kind != IPC_NOTICE_TEXT && kind != IPC_NOTICE_END)
		wire_fail(r);
	ret->kind = (enum ipc_notice_kind)kind;
	ret->text = get_text(r, IPC_TEXT_MAX);
	return wire_finish(r);
}
