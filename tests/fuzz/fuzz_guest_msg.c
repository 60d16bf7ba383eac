/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest reads from the broker (orders) and what guest and worker read from each other (ctl):
 * the same promises as for the pair. The worker's side is the one that matters, since the guest lives
 * beside hostile code.
 *
 * Covers: guest_get_spawn guest_get_ctl get_failed get_exited get_list get_variable get_text
 * Covers: guest_get_connect guest_get_listen get_address get_addresses get_port get_accepted get_display
 * Covers: guest_get_found get_network get_networks
 * Covers: guest_put_spawn guest_put_connect guest_put_listen guest_put_ctl guest_put_found
 * Floor: 41
 */
#include <string.h>

#include "fuzz.h"
#include "guest_msg.h"

#define FOUND 4 /* of the first byte, else its last bits say it */

static uint8_t out[2 * GUEST_ORDER_MAX];

void
fuzz_setup(void)
{
}

static bool
is_text(struct wire_span s)
{
	return s.len == 0 || memchr(s.data, '\0', s.len) == NULL;
}

static void
check_spawn(const struct guest_spawn *m)
{
	FUZZ_CHECK(m->n_argv >= 1 && m->n_argv <= GUEST_ARGV_MAX && m->n_env <= GUEST_ENV_MAX);
	FUZZ_CHECK(is_text(m->workdir) && is_text(m->argv0));
	for (uint32_t i = 0; i < m->n_argv; i++)
		FUZZ_CHECK(is_text(m->argv[i]));
	for (uint32_t i = 0; i < m->n_env; i++) {
		const uint8_t *equals = memchr(m->env[i].data, '=', m->env[i].len);

		FUZZ_CHECK(is_text(m->env[i]) && equals != NULL && equals != m->env[i].data);
	}
}

static void
check_ctl(const struct guest_ctl *m)
{
	switch (m->id) {
	case GUEST_CTL_STARTED:
	case GUEST_CTL_CONNECTED:
	case GUEST_CTL_TAKEN:
		break;
	case GUEST_CTL_FAILED:
		FUZZ_CHECK(
		    m->failed.stage >= GUEST_FAIL_ORDER && m->failed.stage <= GUEST_FAIL_LOOKUP);
		break;
	case GUEST_CTL_EXITED:
		FUZZ_CHECK(m->exited.signaled ? m->exited.value >= 1 && m->exited.value <= 64
					      : m->exited.value <= 255 && !m->exited.core);
		break;
	case GUEST_CTL_SIGNAL:
		FUZZ_CHECK(m->signal.number >= 1 && m->signal.number <= 64);
		break;
	case GUEST_CTL_LISTENING:
		FUZZ_CHECK(m->listening.port <= 65535);
		break;
	case GUEST_CTL_ACCEPTED:
		FUZZ_CHECK(m->accepted.port <= 65535);
		break;
	}
}

static void
check_connect(const struct guest_connect *m)
{
	FUZZ_CHECK(m->port >= 1 && m->port <= 65535 && m->n <= GUEST_ADDRESSES_MAX);
	FUZZ_CHECK((m->n > 0) == (m->n_networks == 0) && m->n_networks <= GUEST_NETWORKS_MAX);
	FUZZ_CHECK(m->n > 0 || network_is_name(m->name, strlen(m->name)));
	for (uint32_t i = 0; i < m->n_networks; i++)
		FUZZ_CHECK(network_is_valid(&m->networks[i]));
}

/* What a process of the guest's says that a name server may have taken over. */
static void
one_found(struct wire_reader *r, struct wire_writer *w)
{
	struct guest_found found;

	if (guest_get_found(r, &found) != 0)
		return;
	FUZZ_CHECK(found.n <= GUEST_FOUND_ADDRESSES_MAX && (found.error == 0) == (found.n > 0));
	guest_put_found(w, &found);
}

/* The first byte says who reads the rest. */
void
fuzz_one(const uint8_t *data, size_t len)
{
	static struct guest_spawn spawn;
	struct fuzz_input in = { data, len };
	unsigned who = fuzz_u8(&in);
	unsigned reader = who & 3;
	struct guest_listen listen;
	struct guest_connect connect;
	struct guest_ctl ctl;
	struct wire_reader r;
	struct wire_writer w;

	if (in.left > (reader != 0 || who == FOUND ? GUEST_ORDER_MAX : GUEST_CTL_MAX))
		return;
	wire_reader_init(&r, in.next, in.left);
	wire_writer_init(&w, out, sizeof(out));
	if (who == FOUND) {
		one_found(&r, &w);
		if (w.len == 0)
			return;
	} else if (reader == 2) {
		if (guest_get_connect(&r, &connect) != 0)
			return;
		check_connect(&connect);
		guest_put_connect(&w, &connect);
	} else if (reader == 3) {
		if (guest_get_listen(&r, &listen) != 0)
			return;
		FUZZ_CHECK(listen.kind == GUEST_LISTEN_TCP || listen.path[0] == '/');
		FUZZ_CHECK(listen.kind == GUEST_LISTEN_UNIX || listen.n >= 1);
		FUZZ_CHECK(listen.port + listen.n_ports <= 65536);
		FUZZ_CHECK(listen.n <= GUEST_ADDRESSES_MAX && listen.port <= 65535);
		guest_put_listen(&w, &listen);
	} else if (reader == 1) {
		if (guest_get_spawn(&r, &spawn) != 0)
			return;
		check_spawn(&spawn);
		guest_put_spawn(&w, &spawn);
	} else {
		if (guest_get_ctl(&r, &ctl) != 0)
			return;
		check_ctl(&ctl);
		guest_put_ctl(&w, &ctl);
	}
	FUZZ_CHECK(!w.failed && w.len == in.left && memcmp(w.data, in.next, w.len) == 0);
}

static struct wire_span
span(const char *s)
{
	return (struct wire_span){ (const uint8_t *)s, strlen(s) };
}

static void
seed_spawn(const struct guest_spawn *m)
{
	struct wire_writer w;

	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, 1);
	guest_put_spawn(&w, m);
	fuzz_seed(w.data, w.len);
}

static void
seed_ctl(const struct guest_ctl *m)
{
	struct wire_writer w;

	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, 0);
	guest_put_ctl(&w, m);
	fuzz_seed(w.data, w.len);
}

static void
seed_orders(void)
{
	struct guest_connect connect = { .n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } },
		.port = 8080 };
	struct guest_connect named = { .name = "web.example.org",
		.n_networks = 2,
		.networks = { { false, 8, { 10 } }, { true, 128, { [15] = 1 } } },
		.port = 8080 };
	struct guest_found found = { .n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } } };
	struct guest_listen tcp = { .kind = GUEST_LISTEN_TCP,
		.n = 2,
		.addresses = { { true, { [15] = 1 } }, { false, { 127, 0, 0, 1 } } } };
	struct guest_listen path = { .kind = GUEST_LISTEN_UNIX, .path = "/dev/shm/ssh-1/agent" };
	struct guest_listen x11 = tcp;
	struct wire_writer w;

	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, 2);
	guest_put_connect(&w, &connect);
	fuzz_seed(w.data, w.len);
	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, 2);
	guest_put_connect(&w, &named);
	fuzz_seed(w.data, w.len);
	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, FOUND);
	guest_put_found(&w, &found);
	fuzz_seed(w.data, w.len);
	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, 3);
	guest_put_listen(&w, &tcp);
	fuzz_seed(w.data, w.len);
	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, 3);
	guest_put_listen(&w, &path);
	fuzz_seed(w.data, w.len);
	x11.kind = GUEST_LISTEN_X11;
	x11.port = 6010;
	x11.n_ports = 1000;
	strcpy(x11.path, "/dev/shm/ssh-1/Xauthority");
	x11.name = span("MIT-MAGIC-COOKIE-1");
	x11.cookie = span("0123456789abcdef");
	wire_writer_init(&w, out, sizeof(out));
	wire_put_u8(&w, 3);
	guest_put_listen(&w, &x11);
	fuzz_seed(w.data, w.len);
}

void
fuzz_seeds(void)
{
	seed_orders();
	seed_spawn(&(struct guest_spawn){ .want_pty = true,
	    .columns = 80,
	    .rows = 24,
	    .modes = { (const uint8_t *)"\3\0\0\0\10\65\0\0\0\0", 10 },
	    .hangup_grace_ms = 10000,
	    .workdir = span("/home/dev"),
	    .argv0 = span("-sh"),
	    .n_argv = 1,
	    .argv = { span("/bin/sh") },
	    .n_env = 2,
	    .env = { span("USER=alice"), span("TERM=xterm") } });
	seed_spawn(&(struct guest_spawn){ .n_argv = 3,
	    .argv = { span("/bin/sh"), span("-c"), span("exit 7") } });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_STARTED });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_FAILED,
	    .failed = { .stage = GUEST_FAIL_EXEC, .error = 2 } });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_EXITED, .exited = { .value = 7 } });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_EXITED,
	    .exited = { .signaled = true, .value = 11, .core = true } });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_SIGNAL, .signal = { .number = 15 } });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_LISTENING, .listening = { .port = 8080 } });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_ACCEPTED,
	    .accepted = { .tcp = true, .from = { false, { 127, 0, 0, 1 } }, .port = 4242 } });
	seed_ctl(&(struct guest_ctl){ .id = GUEST_CTL_TAKEN });
}
