/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service manager leaves in the environment: numbers, names, an address. Nonsense is refused
 * and never becomes a descriptor that was not handed over.
 *
 * The input is a row of strings (u32 length, bytes): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES,
 * WATCHDOG_USEC, WATCHDOG_PID, NOTIFY_SOCKET. "%" alone as a pid is our own.
 *
 * Covers: notify_take_sockets notify_watchdog_usec notify_open parse_number copy_name
 * Floor: 48
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "notify.h"
#include "wire.h"

static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC",
	"WATCHDOG_PID", "NOTIFY_SOCKET" };

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_strings(data, size, max, seed, 0);
}

void
fuzz_setup(void)
{
}

static void
set_variables(const uint8_t *data, size_t len)
{
	struct wire_reader r;
	char value[1024];

	wire_reader_init(&r, data, len);
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		wire_get_cstr(&r, value, sizeof(value));
		if (strcmp(value, "%") == 0)
			(void)snprintf(value, sizeof(value), "%d", (int)getpid());
		if (r.failed)
			(void)unsetenv(names[i]);
		else
			FUZZ_CHECK(setenv(names[i], value, 1) == 0);
	}
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct notify_socket sockets[NOTIFY_LISTEN_MAX];
	int before = fuzz_next_fd();
	const char *path;
	int n;

	set_variables(data, len);
	n = notify_take_sockets(sockets);
	FUZZ_CHECK(n <= NOTIFY_LISTEN_MAX);
	for (int i = 0; i < n; i++) {
		FUZZ_CHECK(sockets[i].fd == NOTIFY_LISTEN_FDS_START + i);
		FUZZ_CHECK(strnlen(sockets[i].name, sizeof(sockets[i].name)) <= NOTIFY_NAME_MAX);
		FUZZ_CHECK(strchr(sockets[i].name, ':') == NULL);
	}
	if (n > 0)
		FUZZ_CHECK(getenv("LISTEN_FDS") == NULL && getenv("LISTEN_PID") == NULL);
	(void)notify_watchdog_usec();
	path = getenv("NOTIFY_SOCKET");
	/* Nobody listens anywhere: no socket stays. */
	if (path != NULL && path[0] != '\0')
		FUZZ_CHECK(notify_open() < 0);
	FUZZ_CHECK(fuzz_next_fd() == before);
}

static void
seed(const char *const *values, size_t n)
{
	uint8_t buf[1024];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	for (size_t i = 0; i < n; i++)
		wire_put_cstr(&w, values[i]);
	fuzz_seed(w.data, w.len);
}

void
fuzz_seeds(void)
{
	static const char *const good[] = { "%", "2", "ssh:admin", "30000000", "%",
		"/nowhere/notify" };
	static const char *const others[] = { "1", "2", "a", "5", "1", "@nobody" };
	static const char *const nonsense[] = { "%", "99999999999999999999", "::", "-1", "x",
		"relative" };

	seed(good, SP_ARRAY_LEN(good));
	seed(others, SP_ARRAY_LEN(others));
	seed(nonsense, SP_ARRAY_LEN(nonsense));
}
