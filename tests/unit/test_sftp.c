/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SFTP server without a process around it: every packet cut short anywhere, in pieces of every
 * size, with lengths and handles that lie, in numbers that nobody asks for. What it does to files is
 * compared with OpenSSH's server in tests/e2e/test_sftp.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attr.h"
#include "sftp_path.h"
#include "sftp_server.h"
#include "test.h"
#include "wire.h"

#define REPLIES_CAP (8 * 1024 * 1024)

static struct sftp_server server;
static uint8_t replies[REPLIES_CAP];
static size_t replies_len;
static int send_result;
static uint8_t packet[SFTP_PACKET_MAX + 16];
static struct wire_writer w;
static char directory[] = "/tmp/test_sftp-XXXXXX";

static int
collect(void *arg, const uint8_t *data, size_t len)
{
	(void)arg;
	assert_true(len <= sizeof(replies) - replies_len);
	memcpy(replies + replies_len, data, len);
	replies_len += len;
	return send_result;
}

static int
feed(const void *data, size_t len)
{
	/* a copy of exact size: the sanitizer sees a read beyond it */
	uint8_t *exact = malloc(len > 0 ? len : 1);
	int r;

	assert_non_null(exact);
	memcpy(exact, data, len);
	r = sftp_server_feed(&server, exact, len);
	free(exact);
	return r;
}

static void
begin(uint8_t type, uint32_t id)
{
	wire_writer_init(&w, packet, sizeof(packet));
	wire_put_u32(&w, 0);
	wire_put_u8(&w, type);
	wire_put_u32(&w, id);
}

/* The length in front; returns the whole packet's. */
static size_t
end(void)
{
	size_t len = w.len;

	assert_false(w.failed);
	w.len = 0;
	wire_put_u32(&w, (uint32_t)(len - 4));
	w.len = len;
	return len;
}

static void
start(bool read_only)
{
	sftp_server_init(&server, read_only, collect, NULL);
	send_result = 0;
	replies_len = 0;
	begin(SFTP_INIT, SFTP_VERSION);
	assert_int_equal(feed(packet, end()), 0);
	assert_int_equal(replies[4], SFTP_VERSION_REPLY);
	replies_len = 0;
}

/* The one reply to what has been put into packet. */
static struct wire_reader
ask(uint8_t *ret_type)
{
	struct wire_reader r;
	uint32_t id;

	replies_len = 0;
	assert_int_equal(feed(packet, end()), 0);
	wire_reader_init(&r, replies, replies_len);
	assert_int_equal(wire_get_u32(&r), replies_len - 4);
	*ret_type = wire_get_u8(&r);
	id = wire_get_u32(&r);
	assert_false(r.failed);
	assert_int_equal(id, 7);
	return r;
}

static uint32_t
ask_status(void)
{
	uint8_t type;
	struct wire_reader r = ask(&type);

	assert_int_equal(type, SFTP_STATUS);
	return wire_get_u32(&r);
}

static void
begin_open(const char *path, uint32_t flags)
{
	begin(SFTP_OPEN, 7);
	wire_put_cstr(&w, path);
	wire_put_u32(&w, flags);
	wire_put_u32(&w, 0);
}

static struct wire_span
get_handle(void)
{
	static uint8_t handle[SFTP_HANDLE_LEN];
	uint8_t type;
	struct wire_reader r = ask(&type);
	struct wire_span s;

	assert_int_equal(type, SFTP_HANDLE);
	s = wire_get_span(&r);
	assert_int_equal(s.len, SFTP_HANDLE_LEN);
	memcpy(handle, s.data, s.len);
	s.data = handle;
	return s;
}

static uint32_t
close_handle(struct wire_span handle)
{
	begin(SFTP_CLOSE, 7);
	wire_put_str(&w, handle.data, handle.len);
	return ask_status();
}

/* One good packet of each kind, into packet. False: there are no more. */
static bool
sample(size_t i)
{
	static const uint8_t paths[] = { SFTP_LSTAT, SFTP_STAT, SFTP_OPENDIR, SFTP_REMOVE,
		SFTP_RMDIR, SFTP_REALPATH, SFTP_READLINK };
	static const uint8_t handles[] = { SFTP_CLOSE, SFTP_FSTAT, SFTP_READDIR };
	static const char *const extended_paths[] = { "statvfs@openssh.com",
		"expand-path@openssh.com", "home-directory", "posix-rename@openssh.com",
		"hardlink@openssh.com", "users-groups-by-id@openssh.com" };

	if (i < SP_ARRAY_LEN(paths)) {
		begin(paths[i], 7);
		wire_put_cstr(&w, "no/such/path");
		return true;
	}
	i -= SP_ARRAY_LEN(paths);
	if (i < SP_ARRAY_LEN(handles)) {
		begin(handles[i], 7);
		wire_put_cstr(&w, "handle..");
		return true;
	}
	i -= SP_ARRAY_LEN(handles);
	if (i < SP_ARRAY_LEN(extended_paths)) {
		begin(SFTP_EXTENDED, 7);
		wire_put_cstr(&w, extended_paths[i]);
		wire_put_cstr(&w, "nope"); /* four bytes: also one id */
		if (i >= 3)
			wire_put_cstr(&w, "nope");
		return true;
	}
	i -= SP_ARRAY_LEN(extended_paths);
	switch (i) {
	case 0:
		begin_open("no/such/path", SFTP_OPEN_READ);
		return true;
	case 1:
		begin(SFTP_READ, 7);
		wire_put_cstr(&w, "handle..");
		wire_put_u64(&w, 0);
		wire_put_u32(&w, 10);
		return true;
	case 2:
		begin(SFTP_WRITE, 7);
		wire_put_cstr(&w, "handle..");
		wire_put_u64(&w, 0);
		wire_put_cstr(&w, "data");
		return true;
	case 3:
	case 4:
		begin(i == 3 ? SFTP_SETSTAT : SFTP_MKDIR, 7);
		wire_put_cstr(&w, "no/such/path");
		wire_put_u32(&w, 0x8000000f);
		wire_put_u64(&w, 1);
		for (int n = 0; n < 5; n++)
			wire_put_u32(&w, 1);
		wire_put_u32(&w, 1); /* one extended attribute */
		wire_put_cstr(&w, "name");
		wire_put_cstr(&w, "value");
		return true;
	case 5:
	case 6:
		begin(i == 5 ? SFTP_RENAME : SFTP_SYMLINK, 7);
		wire_put_cstr(&w, i == 5 ? "no/such/path" : "");
		wire_put_cstr(&w, "no/such/other");
		return true;
	case 7:
		begin(SFTP_EXTENDED, 7);
		wire_put_cstr(&w, "copy-data");
		wire_put_cstr(&w, "handle..");
		wire_put_u64(&w, 0);
		wire_put_u64(&w, 1);
		wire_put_cstr(&w, "handle..");
		wire_put_u64(&w, 0);
		return true;
	default:
		return false;
	}
}

/* Every request of every length that is shorter than it should be: an answer each, never an end. */
static void
test_truncated(void **state)
{
	static uint8_t whole[4096];

	(void)state;
	start(false);
	for (size_t i = 0; sample(i); i++) {
		size_t len = end();

		memcpy(whole, packet, len);
		for (size_t n = 9; n < len; n++) {
			uint8_t type;

			memcpy(packet, whole, n);
			w.len = n;
			(void)ask(&type);
			assert_int_equal(type, SFTP_STATUS);
			assert_int_not_equal(replies[12], SFTP_OK);
		}
	}
	sftp_server_end(&server);
}

/* All of it at once, byte by byte, and in pieces of other sizes: the same answers. */
static void
test_pieces(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 5, 7, 13, 64, 1000, 65536 };
	static uint8_t stream[65536];
	static uint8_t expected[65536];
	size_t expected_len;
	size_t len = 0;

	(void)state;
	for (size_t i = 0; sample(i); i++) {
		size_t n = end();

		memcpy(stream + len, packet, n);
		len += n;
	}
	start(false);
	assert_int_equal(feed(stream, len), 0);
	expected_len = replies_len;
	assert_true(expected_len > 0 && expected_len < sizeof(expected));
	memcpy(expected, replies, expected_len);
	for (size_t s = 0; s < SP_ARRAY_LEN(sizes); s++) {
		start(false);
		for (size_t at = 0; at < len; at += sizes[s])
			assert_int_equal(feed(stream + at, len - at < sizes[s] ? len - at : sizes[s]),
			    0);
		assert_int_equal(replies_len, expected_len);
		assert_memory_equal(replies, expected, expected_len);
	}
}

static void
test_lengths(void **state)
{
	static const uint32_t bad[] = { 0, 1, 4, SFTP_PACKET_MAX + 1, 0x7fffffff, 0xffffffff };
	uint8_t head[16] = { 0 };
	struct wire_writer h;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(bad); i++) {
		for (size_t piece = 1; piece <= 9; piece += 4) {
			int r = 0;

			start(false);
			wire_writer_init(&h, head, sizeof(head));
			wire_put_u32(&h, bad[i]);
			wire_put_u8(&h, SFTP_STAT);
			for (size_t at = 0; at < 9 && r == 0; at += piece)
				r = feed(head + at, 9 - at < piece ? 9 - at : piece);
			assert_int_equal(r, SFTP_SERVER_E_PROTOCOL);
		}
	}
	/* The longest that is allowed. */
	start(false);
	begin(SFTP_STAT, 7);
	while (w.len < SFTP_PACKET_MAX + 4)
		wire_put_u8(&w, 0xff);
	assert_int_equal(ask_status(), SFTP_BAD_MESSAGE);
	/* Nothing before the greeting. */
	sftp_server_init(&server, false, collect, NULL);
	begin(SFTP_STAT, 7);
	wire_put_cstr(&w, "/");
	assert_int_equal(feed(packet, end()), SFTP_SERVER_E_PROTOCOL);
}

/* Strings that are longer than the packet, or hold what no path holds. */
static void
test_strings(void **state)
{
	static char longest[PATH_MAX + 1];

	(void)state;
	start(false);
	begin(SFTP_STAT, 7);
	wire_put_u32(&w, 0xffffffff);
	wire_put_bytes(&w, "/tmp", 4);
	assert_int_equal(ask_status(), SFTP_BAD_MESSAGE);
	begin(SFTP_STAT, 7);
	wire_put_str(&w, "/tmp\0x", 6);
	assert_int_equal(ask_status(), SFTP_BAD_MESSAGE);
	memset(longest, 'x', PATH_MAX);
	begin(SFTP_STAT, 7);
	wire_put_cstr(&w, longest);
	assert_int_equal(ask_status(), SFTP_BAD_MESSAGE);
	longest[PATH_MAX - 1] = '\0';
	begin(SFTP_STAT, 7);
	wire_put_cstr(&w, longest);
	assert_int_equal(ask_status(), SFTP_BAD_MESSAGE); /* the kernel's ENAMETOOLONG */
	begin(99, 7);
	assert_int_equal(ask_status(), SFTP_UNSUPPORTED);
	/* A count of attributes that the packet has no room for. */
	begin(SFTP_MKDIR, 7);
	wire_put_cstr(&w, "/tmp");
	wire_put_u32(&w, SFTP_ATTR_EXTENDED);
	wire_put_u32(&w, 0xffffffff);
	assert_int_equal(ask_status(), SFTP_BAD_MESSAGE);
}

static void
test_random(void **state)
{
	unsigned seed = 20261125;

	(void)state;
	/* Read only, and nothing of use below here: it may ask for what it likes. */
	assert_int_equal(chdir(directory), 0);
	for (int round = 0; round < 30000; round++) {
		size_t len;
		uint8_t type;

		start(true);
		if (!sample((size_t)rand_r(&seed) % 24))
			continue;
		len = end();
		for (int flips = rand_r(&seed) % 6; flips > 0; flips--)
			packet[9 + (size_t)rand_r(&seed) % (len - 9)] = (uint8_t)rand_r(&seed);
		w.len = len;
		(void)ask(&type);
		sftp_server_end(&server);
	}
}

static void
test_handles(void **state)
{
	struct rlimit limit;
	struct wire_span handle;
	uint8_t first[SFTP_HANDLE_LEN];
	unsigned opened = 0;
	unsigned before = count_fds();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	start(false);
	for (int i = 0; i < 100000; i++) {
		uint8_t type;
		struct wire_reader r;

		begin_open("/dev/null", SFTP_OPEN_READ);
		r = ask(&type);
		if (type == SFTP_HANDLE) {
			opened++;
			if (i == 0)
				memcpy(first, wire_get_span(&r).data, sizeof(first));
		} else {
			assert_int_equal(type, SFTP_STATUS);
			assert_int_equal(wire_get_u32(&r), SFTP_FAILURE);
		}
	}
	assert_true(opened <= SFTP_HANDLES_MAX && opened >= 500);
	/* One goes, one comes; the old name stays dead. */
	handle = (struct wire_span){ first, sizeof(first) };
	assert_int_equal(close_handle(handle), SFTP_OK);
	assert_int_equal(close_handle(handle), SFTP_NO_SUCH_FILE);
	begin_open("/dev/null", SFTP_OPEN_READ);
	handle = get_handle();
	assert_memory_not_equal(handle.data, first, sizeof(first));
	assert_int_equal(close_handle((struct wire_span){ first, sizeof(first) }), SFTP_NO_SUCH_FILE);
	assert_int_equal(close_handle(handle), SFTP_OK);
	sftp_server_end(&server);
	assert_int_equal(count_fds(), before);
}

static void
test_bad_handles(void **state)
{
	static const uint8_t types[] = { SFTP_CLOSE, SFTP_FSTAT, SFTP_READDIR };
	uint8_t name[SFTP_HANDLE_LEN + 1] = { 0 };
	struct wire_span dir;

	(void)state;
	start(false);
	begin(SFTP_OPENDIR, 7);
	wire_put_cstr(&w, "/");
	dir = get_handle();
	/* Of every length but the right one, and every bit of the right one flipped. */
	for (size_t t = 0; t < SP_ARRAY_LEN(types); t++) {
		for (size_t len = 0; len <= sizeof(name); len++) {
			begin(types[t], 7);
			wire_put_str(&w, name, len);
			if (len == SFTP_HANDLE_LEN) /* index 0, serial 0: it is the open one */
				continue;
			assert_int_not_equal(ask_status(), SFTP_OK);
		}
		for (unsigned bit = 0; bit < 8 * SFTP_HANDLE_LEN; bit++) {
			memcpy(name, dir.data, dir.len);
			name[bit / 8] ^= (uint8_t)(1U << bit % 8);
			begin(types[t], 7);
			wire_put_str(&w, name, SFTP_HANDLE_LEN);
			assert_int_not_equal(ask_status(), SFTP_OK);
		}
		memset(name, 0, sizeof(name));
	}
	/* A directory is nothing to read from or write to. */
	begin(SFTP_READ, 7);
	wire_put_str(&w, dir.data, dir.len);
	wire_put_u64(&w, 0);
	wire_put_u32(&w, 1);
	assert_int_equal(ask_status(), SFTP_FAILURE);
	begin(SFTP_WRITE, 7);
	wire_put_str(&w, dir.data, dir.len);
	wire_put_u64(&w, 0);
	wire_put_cstr(&w, "x");
	assert_int_equal(ask_status(), SFTP_FAILURE);
	assert_int_equal(close_handle(dir), SFTP_OK);
	sftp_server_end(&server);
}

/* Big answers to many requests at once: the queue is sent in between, and never grows. */
static void
test_many_big_replies(void **state)
{
	static uint8_t stream[256 * 64];
	struct wire_span handle;
	size_t len = 0;

	(void)state;
	start(false);
	begin_open("/dev/zero", SFTP_OPEN_READ);
	handle = get_handle();
	begin(SFTP_READ, 7);
	wire_put_str(&w, handle.data, handle.len);
	wire_put_u64(&w, 0);
	wire_put_u32(&w, 0xffffffff);
	for (int i = 0; i < 30; i++) {
		memcpy(stream + len, packet, end());
		len += w.len;
	}
	replies_len = 0;
	assert_int_equal(feed(stream, len), 0);
	assert_int_equal(replies_len, 30 * (4 + 1 + 4 + 4 + SFTP_DATA_MAX));
	/* A client that does not take them any more ends the session. */
	replies_len = 0;
	send_result = -EPIPE;
	assert_int_equal(feed(stream, len), -EPIPE);
	sftp_server_end(&server);
}

/* More names than an answer can hold are no answer. */
static void
test_too_many_ids(void **state)
{
	(void)state;
	start(false);
	begin(SFTP_EXTENDED, 7);
	wire_put_cstr(&w, "users-groups-by-id@openssh.com");
	wire_put_u32(&w, 200000);
	for (int i = 0; i < 50000; i++)
		wire_put_u32(&w, 0);
	wire_put_u32(&w, 0);
	assert_int_equal(ask_status(), SFTP_FAILURE);
	begin(SFTP_EXTENDED, 7);
	wire_put_cstr(&w, "users-groups-by-id@openssh.com");
	wire_put_str(&w, "12345", 5);
	wire_put_cstr(&w, "");
	assert_int_equal(ask_status(), SFTP_BAD_MESSAGE);
}

static void
test_copy(void **state)
{
	uint8_t source[SFTP_HANDLE_LEN];
	uint8_t other[SFTP_HANDLE_LEN];

	(void)state;
	assert_int_equal(chdir(directory), 0);
	start(false);
	begin_open("source", SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREATE);
	memcpy(source, get_handle().data, sizeof(source));
	begin_open("source", SFTP_OPEN_WRITE);
	memcpy(other, get_handle().data, sizeof(other));
	begin(SFTP_WRITE, 7);
	wire_put_str(&w, source, sizeof(source));
	wire_put_u64(&w, 0);
	wire_put_cstr(&w, "data");
	assert_int_equal(ask_status(), SFTP_OK);
	/* Two handles of one file: it would never end. */
	begin(SFTP_EXTENDED, 7);
	wire_put_cstr(&w, "copy-data");
	wire_put_str(&w, source, sizeof(source));
	wire_put_u64(&w, 0);
	wire_put_u64(&w, 0);
	wire_put_str(&w, other, sizeof(other));
	wire_put_u64(&w, 4);
	assert_int_equal(ask_status(), SFTP_FAILURE);
	sftp_server_end(&server);
	assert_int_equal(unlink("source"), 0);
}

static void
test_paths(void **state)
{
	static char deep[PATH_MAX];
	char expected[PATH_MAX];
	char out[PATH_MAX];

	(void)state;
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(mkdir("d", 0755), 0);
	assert_int_equal(symlink("d/../d//./", "l1"), 0);
	assert_int_equal(symlink("l1/new", "l2"), 0);
	assert_int_equal(symlink("loop", "loop"), 0);
	(void)snprintf(expected, sizeof(expected), "%s/d/new", directory);
	assert_int_equal(sftp_path_resolve("l2", out), 0);
	assert_string_equal(out, expected);
	assert_int_equal(sftp_path_resolve("l2/x", out), -ENOENT);
	assert_int_equal(sftp_path_resolve("loop", out), -ELOOP);
	assert_int_equal(sftp_path_resolve("", out), 0);
	assert_string_equal(out, directory);
	assert_int_equal(sftp_path_resolve("/../..", out), 0);
	assert_string_equal(out, "/");
	assert_int_equal(sftp_path_expand("~/d", out), 0);
	assert_int_equal(sftp_path_expand("~no-such-user-here/d", out), -ENOENT);
	memset(deep, '/', sizeof(deep) - 1);
	assert_int_equal(sftp_path_resolve(deep, out), 0);
	memset(deep, 'x', sizeof(deep) - 1);
	assert_true(sftp_path_resolve(deep, out) < 0);
	deep[0] = '~';
	deep[1] = '/';
	assert_true(sftp_path_expand(deep, out) < 0);
	assert_int_equal(unlink("l1") + unlink("l2") + unlink("loop") + rmdir("d"), 0);
}

/* Links that point from one to the next, each with a long name: no room is overrun. */
static void
test_long_links(void **state)
{
	static char target[PATH_MAX];
	char out[PATH_MAX];

	(void)state;
	assert_int_equal(chdir(directory), 0);
	memset(target, '/', PATH_MAX - 1);
	memcpy(target, "long", 4);
	assert_int_equal(symlink(target, "long"), 0);
	assert_int_equal(sftp_path_resolve("long/x", out), -ENAMETOOLONG);
	assert_int_equal(sftp_path_resolve("long", out), -ENAMETOOLONG);
	assert_int_equal(unlink("long"), 0);
}

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	return chdir("/") < 0 || rmdir(directory) < 0 ? -1 : 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_bad_handles),
		cmocka_unit_test(test_many_big_replies),
		cmocka_unit_test(test_too_many_ids),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_long_links),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
