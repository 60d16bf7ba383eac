/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyportd: the worker. Started by the broker's spawner, one for each connection. It prepares
 * everything that needs files or rights, locks itself down, proves it, and only then receives the
 * connection of a stranger.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "algorithms.h"
#include "connection.h"
#include "hooks.h"
#include "ipc_chan.h"
#include "ipc_msg.h"
#include "lockdown.h"
#include "log.h"
#include "sandbox.h"

#if LIBSSH_VERSION_INT < SSH_VERSION_INT(0, 10, 6) || \
    LIBSSH_VERSION_INT >= SSH_VERSION_INT(0, 13, 0)
#error "sallyportd is made for libssh 0.10.6 to 0.12: hooks.c depends on what it calls"
#endif

static uint8_t record[IPC_RECORD_MAX];
static struct connection connection; /* zero is its initial state */

static int
complain(const char *text)
{
	log_error("%s", text);
	return WORKER_EXIT_LOCKDOWN;
}

/* A number that is somebody's, and not root's. */
static bool
parse_id(const char *text, uint32_t *ret)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v == 0 || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool
parse_options(int argc, char **argv, struct sandbox_options *o)
{
	bool uid = false;
	bool gid = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--uid") == 0 && i + 1 < argc) {
			uid = parse_id(argv[++i], &o->uid);
		} else if (strcmp(argv[i], "--gid") == 0 && i + 1 < argc) {
			gid = parse_id(argv[++i], &o->gid);
		} else if (strcmp(argv[i], "--root") == 0) {
			o->has_root = true;
		} else if (strcmp(argv[i], "--best-effort") == 0) {
			o->best_effort = true;
		} else {
			return false;
		}
	}
	return uid && gid;
}

/* What OpenSSL fetches at its first use is fetched now: later there are no files. */
static void
warm_up(void)
{
	static const char *const digests[] = { "SHA256", "SHA384", "SHA512" };
	static const char *const ciphers[] = { "ChaCha20", "AES-128-CTR", "AES-192-CTR",
		"AES-256-CTR", "AES-128-GCM", "AES-256-GCM" };
	uint8_t byte;

	for (size_t i = 0; i < SP_ARRAY_LEN(digests); i++)
		EVP_MD_free(EVP_MD_fetch(NULL, digests[i], NULL));
	for (size_t i = 0; i < SP_ARRAY_LEN(ciphers); i++)
		EVP_CIPHER_free(EVP_CIPHER_fetch(NULL, ciphers[i], NULL));
	(void)RAND_bytes(&byte, 1);
	(void)RAND_priv_bytes(&byte, 1);
	ERR_clear_error();
	/* strerror() and time zones, for what is said later */
	(void)strerror(EINVAL);
}

static bool
library_is_supported(void)
{
	/* It answers with NULL when it is older than it is asked for. */
	return ssh_version(SSH_VERSION_INT(0, 10, 6)) != NULL &&
	    ssh_version(SSH_VERSION_INT(0, 13, 0)) == NULL;
}

/* HELLO, and all that can be made ready with it. 0 or an exit code. */
static int
prepare(void)
{
	struct ipc_hello hello;
	struct wire_reader r;
	char why[256];
	size_t len;

	if (ipc_chan_recv(IPC_FD, record, sizeof(record), &len, 0) != 0)
		return WORKER_EXIT_BROKER_GONE;
	wire_reader_init(&r, record, len);
	if (wire_get_u8(&r) != IPC_HELLO || ipc_get_hello(&r, &hello) != 0 ||
	    hello.version != IPC_VERSION)
		return complain("the broker is of another release");
	if (!algorithms_start(why, sizeof(why)))
		return complain(why);
	if (ssh_init() != SSH_OK)
		return complain("libssh does not start");
	if (!library_is_supported())
		return complain("libssh is not a version between 0.10.6 and 0.12");
	if (!hooks_in_place(why, sizeof(why)))
		return complain(why);
	ask_init(&connection.ask, IPC_FD);
	if (!connection_prepare(&connection, &hello, why, sizeof(why)))
		return complain(why);
	warm_up();
	return 0;
}

/* Tell the broker, and wait for a client: this is where a worker spends its time in the pool. */
static int
wait_for_client(int *ret_fd)
{
	uint8_t buf[16];
	struct wire_writer w;
	struct wire_reader r;
	unsigned n_fds = 0;
	size_t len;

	wire_writer_init(&w, buf, sizeof(buf));
	ipc_put_ready(&w, &(struct ipc_ready){ .version = IPC_VERSION });
	if (ipc_chan_send_plain(IPC_FD, w.data, w.len, 0) != 0 ||
	    ipc_chan_recv_fds(IPC_FD, buf, sizeof(buf), &len, ret_fd, 1, &n_fds, 0) != 0)
		return WORKER_EXIT_BROKER_GONE;
	wire_reader_init(&r, buf, len);
	if (wire_get_u8(&r) != IPC_CONNECTION || ipc_get_connection(&r) != 0 || n_fds != 1)
		return WORKER_EXIT_BROKER_GONE;
	return 0;
}

/*
 * One step of the work does not end: see limit_cpu() in connection.c. A handler, because the first
 * process of a namespace is spared by signals that nobody handles.
 */
static void
on_endless(int number)
{
	(void)number;
	_exit(WORKER_EXIT_ENDLESS);
}

int
main(int argc, char **argv)
{
	struct sandbox_options options = { .uid = 0 };
	char why[256] = "";
	int fd = -1;
	int r;

	if (!ipc_chan_is_pair(IPC_FD) || !parse_options(argc, argv, &options)) {
		(void)fprintf(stderr,
		    "sallyportd serves one SSH connection and is started by "
		    "sallyport-broker, not by hand\n");
		return WORKER_EXIT_BY_HAND;
	}
	log_setup("sallyportd", LOG_LEVEL_INFO, false);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGPROF, on_endless);
	if (lockdown_close_from(options.has_root ? IPC_ROOT_FD + 1 : IPC_FD + 1) < 0)
		return complain("cannot close what was inherited");
	r = prepare();
	if (r != 0)
		return r;
	if (sandbox_worker(&options, why, sizeof(why)) != 0)
		return complain(why);
	r = wait_for_client(&fd);
	if (r != 0)
		_exit(r);
	/* ---- from here on every byte that arrives is a stranger's ---- */
	_exit((int)connection_serve(&connection, fd));
}
