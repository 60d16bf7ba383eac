/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests: plays the broker, the engine and the guest for the real worker, so that stock SSH clients can
 * be tried against it without a container. Listens on 127.0.0.1, starts one sallyportd for each
 * connection as the spawner does (namespaces of its own when this runs as root), signs with a host
 * key made at start, checks Ed25519 user signatures over data that it builds itself, and runs
 * programs on this host as the user that it runs as. Never a service: any key logs in.
 *
 * Standard output, for the test that started it:
 *   listening PORT
 *   host-key TYPE BASE64
 *   worker PID exit CODE | signal NUMBER
 *
 * Users: "refused" never logs in; those of agents[] may forward an agent, which never comes of it. Commands that begin
 * with "fake:" make it misbehave (see tricks[]).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "guest_msg.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "ssh_version.h"

#define HASH_MAX    EVP_MAX_MD_SIZE
#define HOST_ALGO   "ssh-ed25519"
#define PIPE_BYTES  (1024 * 1024)
#define WORKER_ID   "65534"
#define EXIT_BROKEN 3 /* this program, not the worker, is at fault */

struct options {
	const char *worker;
	const char *banner;
	unsigned port;
	unsigned tries;
	unsigned rekey_mib;
	unsigned keepalive_seconds;
	unsigned channels;
	unsigned send_buffer; /* bytes that wait for a client in the kernel; 0: as it likes */
	bool older_clients;
	bool no_pty;
	bool no_exec;
};

static struct options options = { .worker = "",
	.banner = "",
	.tries = 6,
	.keepalive_seconds = 0,
	.channels = 10 };
static EVP_PKEY *host_key;
static uint8_t host_blob[128];
static size_t host_blob_len;

/* What becomes of a user's agent. */
struct agent {
	const char *user;
	enum ipc_start_result result; /* IPC_START_OK: the guest cannot listen */
};

static const struct agent agents[] = {
	{ "agent-refused", IPC_START_REFUSED },
	{ "agent-failed", IPC_START_FAILED },
	{ "agent-not-in-guest", IPC_START_OK },
};

/* One connection, in a process of its own. */
struct client {
	pid_t pid;
	int ipc;
	int log;
	uint8_t nonce[IPC_NONCE_LEN];
	uint8_t session_id[HASH_MAX];
	size_t session_id_len;
	bool logged_in;
	const struct agent *agent; /* NULL: may not be forwarded */
	unsigned agents;           /* so many times it was asked to listen for one */
	uint32_t agent_channel;    /* where it is listened for */
	bool agent_listens;        /* as far as the worker has not said otherwise */
};

static _Noreturn void
broken(const char *what)
{
	fprintf(stderr, "fake_broker: %s: %s\n", what, strerror(errno));
	_exit(EXIT_BROKEN);
}

static void
say(const char *what, unsigned pid, unsigned value)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "worker %u %s %u\n", pid, what, value);

	/* A test that has seen enough does not read any more. */
	if (n < 0 || write(STDOUT_FILENO, line, (size_t)n) < 0)
		_exit(0);
}

static void
copy_log(struct client *c)
{
	char text[1024];
	ssize_t n = read(c->log, text, sizeof(text));

	if (n <= 0)
		fd_close(&c->log);
	else
		fprintf(stderr, "worker: %.*s", (int)n, text);
}

static void
report(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		broken("waitpid");
	if (WIFSIGNALED(status))
		say("signal", (unsigned)pid, (unsigned)WTERMSIG(status));
	else
		say("exit", (unsigned)pid, (unsigned)WEXITSTATUS(status));
}

/* The worker has gone, or let go of its pair: say how it ended. */
static _Noreturn void
finish(struct client *c)
{
	while (c->log >= 0)
		copy_log(c);
	report(c->pid);
	_exit(0);
}

static void
tell(struct client *c, const struct wire_writer *w, const int *fds, unsigned n)
{
	if (w->failed || ipc_chan_send(c->ipc, w->data, w->len, fds, n, 0) != 0)
		finish(c);
}

/* ---- keys ---- */

static void
make_host_key(void)
{
	uint8_t public_half[32];
	size_t len = sizeof(public_half);
	char base64[256];
	struct wire_writer w;

	host_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (host_key == NULL || EVP_PKEY_get_raw_public_key(host_key, public_half, &len) != 1)
		broken("host key");
	wire_writer_init(&w, host_blob, sizeof(host_blob));
	wire_put_cstr(&w, HOST_ALGO);
	wire_put_str(&w, public_half, len);
	host_blob_len = w.len;
	(void)EVP_EncodeBlock((uint8_t *)base64, host_blob, (int)host_blob_len);
	printf("host-key %s %s\n", HOST_ALGO, base64);
}

static struct wire_span
name_list(struct wire_span kexinit)
{
	struct wire_reader r;

	wire_reader_init(&r, kexinit.data, kexinit.len);
	(void)wire_get_bytes(&r, 17);
	return wire_get_span(&r);
}

static bool
list_has(struct wire_span list, const uint8_t *name, size_t len)
{
	const uint8_t *end = list.data + list.len;

	for (const uint8_t *at = list.data; at < end;) {
		const uint8_t *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma != NULL ? comma : end) - at);

		if (n == len && memcmp(at, name, n) == 0)
			return true;
		at += n + 1;
	}
	return false;
}

/* The first of the client's exchanges that the server has decides the digest. */
static const EVP_MD *
digest_of(struct wire_span client, struct wire_span server)
{
	const uint8_t *end = client.data + client.len;

	for (const uint8_t *at = client.data; at < end;) {
		const uint8_t *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma != NULL ? comma : end) - at);
		struct wire_span name = { at, n };

		if (list_has(server, at, n)) {
			if (wire_span_is(name, "ecdh-sha2-nistp384"))
				return EVP_sha384();
			if (wire_span_is(name, "ecdh-sha2-nistp521") ||
			    (n > 6 && memcmp(at + n - 6, "sha512", 6) == 0) ||
			    memmem(at, n, "sha512@", 7) != NULL)
				return EVP_sha512();
			return EVP_sha256();
		}
		at += n + 1;
	}
	return EVP_sha256();
}

static size_t
hash_transcript(const struct client *c, struct wire_span transcript, uint8_t hash[HASH_MAX])
{
	char expected[SSH_VERSION_MAX + 16];
	char version[SSH_VERSION_MAX];
	struct wire_span client_kex;
	struct wire_span server_kex;
	struct wire_span server_version;
	struct wire_reader r;
	unsigned len = HASH_MAX;

	wire_reader_init(&r, transcript.data, transcript.len);
	(void)wire_get_span(&r);
	server_version = wire_get_span(&r);
	client_kex = wire_get_span(&r);
	server_kex = wire_get_span(&r);
	ssh_version_format(c->nonce, version);
	(void)snprintf(expected, sizeof(expected), "SSH-2.0-%s", version);
	if (r.failed || !wire_span_is(server_version, expected) ||
	    !wire_span_eq(wire_get_span(&r), host_blob, host_blob_len)) {
		errno = EPROTO;
		broken("transcript");
	}
	if (EVP_Digest(transcript.data, transcript.len, hash, &len,
		digest_of(name_list(client_kex), name_list(server_kex)), NULL) != 1)
		broken("digest");
	return len;
}

static void
answer_sign(struct client *c, struct wire_reader *body)
{
	uint8_t buf[IPC_SIG_MAX + 16];
	uint8_t hash[HASH_MAX];
	uint8_t sig[64];
	size_t sig_len = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct ipc_req_sign m;
	struct ipc_ans_sign answer;
	struct wire_writer w;
	size_t len;

	if (ipc_get_req_sign(body, &m) != 0 || strcmp(m.algorithm, HOST_ALGO) != 0)
		broken("REQ_SIGN");
	len = hash_transcript(c, m.transcript, hash);
	if (c->session_id_len == 0) {
		memcpy(c->session_id, hash, len);
		c->session_id_len = len;
	}
	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, host_key) != 1 ||
	    EVP_DigestSign(ctx, sig, &sig_len, hash, len) != 1)
		broken("signature");
	EVP_MD_CTX_free(ctx);
	answer.signature = (struct wire_span){ sig, sig_len };
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_sign(&w, &answer);
	tell(c, &w, NULL, 0);
}

/* ---- logins ---- */

static void
answer_query(struct client *c, struct wire_reader *body)
{
	struct ipc_req_query m;
	struct wire_writer w;
	uint8_t buf[16];

	if (ipc_get_req_query(body, &m) != 0)
		broken("REQ_QUERY");
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_query(&w,
	    &(struct ipc_ans_query){ .acceptable = !wire_span_is(m.user, "refused") });
	tell(c, &w, NULL, 0);
}

/* What the client has signed, in RFC 4252's form or in OpenSSH's, which names our host key too. */
static bool
is_signed(const struct client *c, const struct ipc_req_auth *m, EVP_PKEY *key, bool host_bound)
{
	static uint8_t signed_data[IPC_RECORD_MAX];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct wire_writer w;
	bool good;

	wire_writer_init(&w, signed_data, sizeof(signed_data));
	wire_put_str(&w, c->session_id, c->session_id_len);
	wire_put_u8(&w, 50);
	wire_put_str(&w, m->user.data, m->user.len);
	wire_put_cstr(&w, "ssh-connection");
	wire_put_cstr(&w, host_bound ? "publickey-hostbound-v00@openssh.com" : "publickey");
	wire_put_u8(&w, 1);
	wire_put_cstr(&w, m->algorithm);
	wire_put_str(&w, m->blob.data, m->blob.len);
	if (host_bound)
		wire_put_str(&w, host_blob, host_blob_len);
	good = EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, m->signature.data, m->signature.len, w.data, w.len) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

/* Ed25519 is checked in full; other kinds are believed, which is enough to try them out. */
static bool
signature_good(const struct client *c, const struct ipc_req_auth *m)
{
	struct wire_span public_half;
	struct wire_reader r;
	EVP_PKEY *key;
	bool good;

	if (strcmp(m->algorithm, "ssh-ed25519") != 0)
		return true;
	wire_reader_init(&r, m->blob.data, m->blob.len);
	(void)wire_get_span(&r);
	public_half = wire_get_span(&r);
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_half.data, public_half.len);
	good = key != NULL && (is_signed(c, m, key, false) || is_signed(c, m, key, true));
	EVP_PKEY_free(key);
	return good;
}

static void
answer_auth(struct client *c, struct wire_reader *body)
{
	static uint8_t buf[4096];
	struct ipc_req_auth m;
	struct ipc_ans_auth answer = { .pty = !options.no_pty,
		.shell = true,
		.exec = !options.no_exec,
		.max_channels = options.channels,
		.n_env = 2,
		.env = { { (const uint8_t *)"LC_*", 4 }, { (const uint8_t *)"TEST_?", 6 } } };
	struct wire_writer w;

	if (ipc_get_req_auth(body, &m) != 0)
		broken("REQ_AUTH");
	answer.accepted = !wire_span_is(m.user, "refused") && signature_good(c, &m);
	c->logged_in = c->logged_in || answer.accepted;
	for (size_t i = 0; i < SP_ARRAY_LEN(agents); i++) {
		if (wire_span_is(m.user, agents[i].user))
			c->agent = &agents[i];
	}
	answer.agent = c->agent != NULL;
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_auth(&w, &answer);
	tell(c, &w, NULL, 0);
}

/* ---- programs: a process for each, which is its guest ---- */

static void
ctl_tell(int ctl, const struct guest_ctl *m, int *fd)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, m);
	if (ipc_chan_send(ctl, w.data, w.len, fd, fd != NULL ? 1 : 0, 0) != 0)
		_exit(0);
}

static void
set_env(const struct ipc_req_start *m)
{
	for (uint32_t i = 0; i < m->n_env; i++) {
		char *name = strndup((const char *)m->env[i].name.data, m->env[i].name.len);
		char *value = strndup((const char *)m->env[i].value.data, m->env[i].value.len);

		if (name == NULL || value == NULL || setenv(name, value, 1) < 0)
			_exit(EXIT_BROKEN);
	}
	if (m->want_pty)
		(void)setenv("TERM", m->pty.term, 1);
}

static _Noreturn void
run_program(const struct ipc_req_start *m, char *command)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	set_env(m);
	if (m->kind == IPC_START_SHELL)
		execl("/bin/sh", "-sh", (char *)NULL);
	else
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static pid_t
fork_program(const struct ipc_req_start *m, char *command, int *fds, int *ret_master)
{
	struct winsize size = { .ws_row = (unsigned short)m->pty.rows,
		.ws_col = (unsigned short)m->pty.columns };
	pid_t pid;

	if (m->want_pty) {
		pid = forkpty(ret_master, NULL, NULL, &size);
	} else {
		pid = fork();
		if (pid == 0 &&
		    (setsid() < 0 || dup2(fds[1], 0) < 0 || dup2(fds[2], 1) < 0 ||
			dup2(fds[3], 2) < 0))
			_exit(EXIT_BROKEN);
	}
	if (pid == 0) {
		(void)close_range(3, ~0U, 0);
		run_program(m, command);
	}
	return pid;
}

/* false: the worker has closed the pair. */
static bool
obey(int ctl, pid_t pid)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_reader r;
	struct guest_ctl m;
	size_t len;

	if (ipc_chan_recv(ctl, buf, sizeof(buf), &len, 0) != 0)
		return false;
	wire_reader_init(&r, buf, len);
	if (guest_get_ctl(&r, &m) == 0 && m.id == GUEST_CTL_SIGNAL)
		(void)kill(-pid, (int)m.signal.number);
	return true;
}

/* Wait for the program's end and the worker's words at once: SIGCHLD interrupts ppoll. */
static int
supervise(int ctl, pid_t pid)
{
	bool hung_up = false;
	sigset_t none;
	int status;

	(void)sigemptyset(&none);
	for (;;) {
		struct pollfd p = { .fd = hung_up ? -1 : ctl, .events = POLLIN };
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return status;
		if (ppoll(&p, 1, NULL, &none) > 0 && !obey(ctl, pid)) {
			hung_up = true;
			(void)kill(-pid, SIGKILL);
		}
	}
}

static void
on_child(int number)
{
	(void)number;
}

static _Noreturn void
be_guest(const struct ipc_req_start *m, char *command, int *fds)
{
	struct sigaction on = { .sa_handler = on_child };
	struct guest_ctl started = { .id = GUEST_CTL_STARTED };
	struct guest_ctl exited = { .id = GUEST_CTL_EXITED };
	int master = -1;
	sigset_t block;
	pid_t pid;
	int status;

	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &block, NULL) < 0 || sigaction(SIGCHLD, &on, NULL) < 0)
		_exit(EXIT_BROKEN);
	pid = fork_program(m, command, fds, &master);
	if (pid < 0)
		_exit(EXIT_BROKEN);
	if (!m->want_pty)
		fd_close_all(fds + 1, 3);
	ctl_tell(fds[0], &started, m->want_pty ? &master : NULL);
	fd_close(&master);
	status = supervise(fds[0], pid);
	exited.exited.signaled = WIFSIGNALED(status);
	exited.exited.value =
	    (uint32_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	exited.exited.core = WIFSIGNALED(status) && WCOREDUMP(status);
	ctl_tell(fds[0], &exited, NULL);
	_exit(0);
}

/* ---- misbehaviour on demand: a hostile guest ---- */

/* Until the worker lets go of this channel. */
static void
wait_for_worker(int ctl)
{
	uint8_t buf[GUEST_CTL_MAX];
	size_t len;

	while (ipc_chan_recv(ctl, buf, sizeof(buf), &len, 0) == 0)
		;
}

static void
trick_garbage(int *fds)
{
	(void)!send(fds[0], "\377garbage", 8, 0);
	wait_for_worker(fds[0]);
}

static void
trick_flood(int *fds)
{
	struct guest_ctl m = { .id = GUEST_CTL_STARTED };

	for (;;)
		ctl_tell(fds[0], &m, NULL);
}

static void
trick_end(int *fds)
{
	struct guest_ctl m = { .id = GUEST_CTL_STARTED };

	ctl_tell(fds[0], &m, NULL);
	(void)!write(fds[2], "last words\n", 11);
	/* As when the kernel ends a container: its first process lets go before the others do. */
	fd_close(&fds[0]);
	(void)usleep(20000);
}

/* A descriptor that is no terminal multiplexer. */
static void
trick_null(int *fds)
{
	struct guest_ctl m = { .id = GUEST_CTL_STARTED };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ctl_tell(fds[0], &m, &null);
	wait_for_worker(fds[0]);
}

static void
trick_no_program(int *fds)
{
	struct guest_ctl m = { .id = GUEST_CTL_FAILED };

	m.failed.stage = GUEST_FAIL_EXEC;
	m.failed.error = ENOENT;
	ctl_tell(fds[0], &m, NULL);
}

static void
trick_silent(int *fds)
{
	wait_for_worker(fds[0]);
}

static void
trick_exit_first(int *fds)
{
	struct guest_ctl m = { .id = GUEST_CTL_EXITED };

	ctl_tell(fds[0], &m, NULL);
	wait_for_worker(fds[0]);
}

static const struct {
	const char *command;
	void (*run)(int *fds);
} tricks[] = {
	{ "fake:garbage", trick_garbage },
	{ "fake:flood", trick_flood },
	{ "fake:end", trick_end },
	{ "fake:null", trick_null },
	{ "fake:no-program", trick_no_program },
	{ "fake:silent", trick_silent },
	{ "fake:exit-first", trick_exit_first },
};

static void
answer_with(struct client *c, const struct ipc_req_start *m, enum ipc_start_result result,
    const char *text, const int *fds, unsigned n)
{
	uint8_t buf[IPC_TEXT_MAX + 64];
	struct ipc_ans_start answer = { .channel = m->channel,
		.result = result,
		.pty = result == IPC_START_OK && m->want_pty,
		.text = { (const uint8_t *)text, strlen(text) } };
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_start(&w, &answer);
	tell(c, &w, fds, n);
}

static void
notice(struct client *c, enum ipc_notice_kind kind, const char *text)
{
	uint8_t buf[IPC_TEXT_MAX + 64];
	struct ipc_notice m = { .kind = kind, .text = { (const uint8_t *)text, strlen(text) } };
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_notice(&w, &m);
	tell(c, &w, NULL, 0);
}

static void
start(struct client *c, const struct ipc_req_start *m, char *command)
{
	int worker[4] = { -1, -1, -1, -1 };
	int guest[4] = { -1, -1, -1, -1 };
	int pair[2];
	int ends[2];
	unsigned n = m->want_pty ? 1 : 4;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		broken("socketpair");
	worker[0] = pair[0];
	guest[0] = pair[1];
	for (unsigned i = 1; i < n; i++) {
		if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
			broken("pipe");
		worker[i] = i == 1 ? ends[1] : ends[0];
		guest[i] = i == 1 ? ends[0] : ends[1];
	}
	pid = fork();
	if (pid < 0)
		broken("fork");
	if (pid == 0) {
		fd_close_all(worker, 4);
		(void)close(c->ipc);
		(void)close(c->log);
		for (size_t i = 0; i < SP_ARRAY_LEN(tricks); i++) {
			if (strcmp(command, tricks[i].command) == 0) {
				tricks[i].run(guest);
				_exit(0);
			}
		}
		be_guest(m, command, guest);
	}
	fd_close_all(guest, 4);
	answer_with(c, m, IPC_START_OK, "sh", worker, n);
	fd_close_all(worker, 4);
}

static void
answer_start(struct client *c, struct wire_reader *body)
{
	static char command[IPC_COMMAND_MAX + 1];
	struct ipc_req_start m;

	if (!c->logged_in || ipc_get_req_start(body, &m) != 0)
		broken("REQ_START");
	memcpy(command, m.command.data, m.command.len);
	command[m.command.len] = '\0';
	if (strcmp(command, "fake:refuse") == 0) {
		answer_with(c, &m, IPC_START_REFUSED, "A rule says no.", NULL, 0);
		return;
	}
	if (strcmp(command, "fake:fail") == 0) {
		answer_with(c, &m, IPC_START_FAILED, "The container engine is not responding.",
		    NULL, 0);
		return;
	}
	if (strcmp(command, "fake:broker-end") == 0)
		_exit(0);
	if (strcmp(command, "fake:agents") == 0)
		(void)snprintf(command, sizeof(command), "echo %u", c->agents);
	if (strcmp(command, "fake:notice") == 0) {
		notice(c, IPC_NOTICE_TEXT, "This host goes down at noon.");
		strcpy(command, "sleep 0.3; echo ran");
	} else if (strcmp(command, "fake:notice-end") == 0) {
		notice(c, IPC_NOTICE_END, "The administrator ended this session.");
		return; /* the worker is on its way out: nothing more can be told */
	} else if (strncmp(command, "fake:slow ", 10) == 0) {
		(void)sleep(3);
		memmove(command, command + 10, strlen(command + 10) + 1);
	}
	start(c, &m, command);
}

/* ---- a connection ---- */

/* There is no container here that one could be connected to. */
static void
refuse_forward(struct client *c, struct wire_reader *body)
{
	struct ipc_ans_forward answer = { .result = IPC_START_REFUSED };
	struct ipc_req_forward m;
	struct wire_writer w;
	uint8_t buf[64];

	if (ipc_get_req_forward(body, &m) != 0)
		broken("REQ_FORWARD");
	answer.channel = m.channel;
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_forward(&w, &answer);
	tell(c, &w, NULL, 0);
}

static void
answer_listen(struct client *c, uint32_t channel, enum ipc_start_result result, int *ctl)
{
	struct ipc_ans_forward answer = { .channel = channel, .result = result };
	struct wire_writer w;
	uint8_t buf[64];

	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ans_listen(&w, &answer);
	tell(c, &w, ctl, ctl != NULL ? 1 : 0);
}

static void
not_in_guest(struct client *c, uint32_t channel)
{
	struct guest_ctl m = { .id = GUEST_CTL_FAILED,
		.failed = { .stage = GUEST_FAIL_ORDER, .error = ENOSPC } };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		broken("socketpair");
	c->agent_channel = channel;
	c->agent_listens = true;
	ctl_tell(pair[1], &m, NULL);
	answer_listen(c, channel, IPC_START_OK, &pair[0]);
	fd_close_all(pair, 2);
}

/* Nor one that somebody could connect from. */
static void
refuse_listen(struct client *c, struct wire_reader *body)
{
	struct ipc_req_listen m;
	bool agent;

	if (ipc_get_req_listen(body, &m) != 0)
		broken("REQ_LISTEN");
	agent = m.kind == IPC_LISTEN_AGENT;
	if (agent && (c->agent == NULL || c->agent_listens))
		broken("an agent that is not allowed, or a second one");
	c->agents += agent;
	if (agent && c->agent->result == IPC_START_OK)
		not_in_guest(c, m.channel);
	else
		answer_listen(c, m.channel, agent ? c->agent->result : IPC_START_REFUSED, NULL);
}

static void
take_close(struct client *c, uint32_t channel)
{
	if (channel == c->agent_channel)
		c->agent_listens = false;
}

static void
dispatch(struct client *c, const uint8_t *data, size_t len)
{
	struct ipc_refused refused;
	struct wire_reader body;
	struct ipc_activity activity;
	struct ipc_req_close m;
	uint8_t id;

	wire_reader_init(&body, data, len);
	id = wire_get_u8(&body);
	errno = EPROTO;
	if (id == IPC_REQ_SIGN)
		answer_sign(c, &body);
	else if (id == IPC_REQ_QUERY && c->session_id_len > 0 && !c->logged_in)
		answer_query(c, &body);
	else if (id == IPC_REQ_AUTH && c->session_id_len > 0 && !c->logged_in)
		answer_auth(c, &body);
	else if (id == IPC_REQ_START)
		answer_start(c, &body);
	else if (id == IPC_REQ_FORWARD)
		refuse_forward(c, &body);
	else if (id == IPC_REQ_LISTEN && c->logged_in)
		refuse_listen(c, &body);
	else if (id == IPC_ACTIVITY && c->logged_in && ipc_get_activity(&body, &activity) == 0)
		return;
	else if (id == IPC_REFUSED && c->logged_in && ipc_get_refused(&body, &refused) == 0)
		return; /* for the audit log, which there is none of here */
	else if (id == IPC_REQ_CLOSE && ipc_get_req_close(&body, &m) == 0)
		take_close(c, m.channel);
	else
		broken("a message that this state does not allow");
}

static _Noreturn void
exec_worker(int ipc, int log)
{
	char name[] = "sallyportd";
	char uid[] = "--uid";
	char gid[] = "--gid";
	char id[] = WORKER_ID;
	char best_effort[] = "--best-effort";
	bool root = geteuid() == 0;
	char *argv[] = { name, uid, id, gid, id, root ? NULL : best_effort, NULL };

	/* The first three are taken by the worker's own, so that these two are free to move. */
	if (dup2(log, STDERR_FILENO) < 0 || dup2(ipc, IPC_FD) < 0 ||
	    fcntl(IPC_FD, F_SETFD, 0) < 0 || close_range(IPC_FD + 1, ~0U, 0) < 0)
		broken("descriptors");
	if (root && unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		broken("namespaces");
	execv(options.worker, argv);
	broken(options.worker);
}

static pid_t
start_worker(struct client *c)
{
	int pair[2];
	int log[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    pipe2(log, O_CLOEXEC) < 0)
		broken("worker");
	pid = fork();
	if (pid < 0)
		broken("fork");
	if (pid == 0) {
		int ipc_high = fcntl(pair[1], F_DUPFD_CLOEXEC, 20);
		int log_high = fcntl(log[1], F_DUPFD_CLOEXEC, 20);

		exec_worker(ipc_high, log_high);
	}
	(void)close(pair[1]);
	(void)close(log[1]);
	c->ipc = pair[0];
	c->log = log[0];
	return pid;
}

static void
send_hello(struct client *c)
{
	static uint8_t buf[IPC_RECORD_MAX];
	struct ipc_hello m = { .version = IPC_VERSION,
		.login_tries = options.tries,
		.keepalive_seconds = options.keepalive_seconds,
		.keepalive_count = 3,
		.rekey_mib = options.rekey_mib,
		.older_clients = options.older_clients,
		.banner = { (const uint8_t *)options.banner, strlen(options.banner) },
		.n_host_keys = 1,
		.host_keys = { { host_blob, host_blob_len } } };
	struct wire_writer w;

	if (RAND_bytes(c->nonce, sizeof(c->nonce)) != 1)
		broken("nonce");
	memcpy(m.nonce, c->nonce, sizeof(m.nonce));
	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_hello(&w, &m);
	tell(c, &w, NULL, 0);
}

static void
wait_ready(struct client *c, uint8_t *record)
{
	struct wire_reader r;
	struct ipc_ready ready;
	size_t len;

	if (ipc_chan_recv(c->ipc, record, IPC_RECORD_MAX, &len, 0) != 0) {
		while (c->log >= 0)
			copy_log(c);
		_exit(EXIT_BROKEN);
	}
	wire_reader_init(&r, record, len);
	if (wire_get_u8(&r) != IPC_READY || ipc_get_ready(&r, &ready) != 0)
		broken("READY");
}

static _Noreturn void
serve(int fd)
{
	static uint8_t record[IPC_RECORD_MAX];
	struct client c = { .ipc = -1, .log = -1 };
	struct wire_writer w;
	int on = 1;

	c.pid = start_worker(&c);
	send_hello(&c);
	wait_ready(&c, record);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (options.send_buffer > 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.send_buffer, sizeof(int)) < 0)
		broken("SO_SNDBUF");
	wire_writer_init(&w, record, sizeof(record));
	ipc_put_connection(&w);
	tell(&c, &w, &fd, 1);
	fd_close(&fd);
	for (;;) {
		struct pollfd p[2] = { { .fd = c.ipc, .events = POLLIN },
			{ .fd = c.log, .events = POLLIN } };
		size_t len;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			broken("poll");
		if (p[1].revents != 0)
			copy_log(&c);
		if (p[0].revents == 0)
			continue;
		if (ipc_chan_recv(c.ipc, record, sizeof(record), &len, 0) != 0)
			break;
		dispatch(&c, record, len);
	}
	finish(&c);
}

static int
listen_on(unsigned port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		broken("listen");
	printf("listening %u\n", (unsigned)ntohs(a.sin_port));
	return fd;
}

static unsigned
number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || v > 65535) {
		errno = EINVAL;
		broken(text);
	}
	return (unsigned)v;
}

static void
parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "p:t:r:k:c:s:b:oTX")) != -1) {
		switch (c) {
		case 'p':
			options.port = number(optarg);
			break;
		case 't':
			options.tries = number(optarg);
			break;
		case 'r':
			options.rekey_mib = number(optarg);
			break;
		case 'k':
			options.keepalive_seconds = number(optarg);
			break;
		case 'c':
			options.channels = number(optarg);
			break;
		case 's':
			options.send_buffer = number(optarg);
			break;
		case 'b':
			options.banner = optarg;
			break;
		case 'o':
			options.older_clients = true;
			break;
		case 'T':
			options.no_pty = true;
			break;
		case 'X':
			options.no_exec = true;
			break;
		default:
			_exit(EXIT_BROKEN);
		}
	}
	if (optind + 1 != argc) {
		fprintf(stderr,
		    "usage: fake_broker [-p port] [-t tries] [-r rekey-MiB] [-k keepalive-seconds] "
		    "[-c channels] [-s send-buffer] [-b banner] [-o] [-T] [-X] sallyportd\n");
		_exit(EXIT_BROKEN);
	}
	options.worker = argv[optind];
}

int
main(int argc, char **argv)
{
	int listener;

	parse(argc, argv);
	/* The test is gone: so is this. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)signal(SIGPIPE, SIG_IGN);
	make_host_key();
	listener = listen_on(options.port);
	(void)fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pid_t pid;

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (fd < 0)
			continue;
		pid = fork();
		if (pid < 0)
			broken("fork");
		if (pid == 0) {
			(void)close(listener);
			serve(fd);
		}
		(void)close(fd);
	}
}
