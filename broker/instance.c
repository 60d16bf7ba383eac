/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's identity towards the engine. Names and labels that come back are hostile. */
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "read_file.h"

#define NAME_PREFIX "sallyport-"

static void
to_hex(const uint8_t *data, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * n] = '\0';
}

/* 0 or -ENOMEM, with nothing in out that could pass for a hash. */
static int
keyed_hash(const struct instance *i, const char *text, uint8_t out[32])
{
	unsigned len = 32;

	if (HMAC(EVP_sha256(), i->secret, sizeof(i->secret), (const uint8_t *)text, strlen(text),
		out, &len) != NULL)
		return 0;
	ERR_clear_error();
	return -ENOMEM;
}

/* Fewer than n bytes only at the end of the file. Returns how many, or -errno. */
static ssize_t
read_secret(int fd, uint8_t *out, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, out + done, n - done, (off_t)done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

static int
write_secret(int fd, const uint8_t *secret, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(fd, secret + done, n - done, (off_t)done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/*
 * A secret that is not whole (the machine died while it was written) is made anew: containers that
 * it had proven cannot exist yet, since the first one is made after the file was synced.
 */
static int
read_or_make(int fd, struct instance *ret)
{
	ssize_t n = read_secret(fd, ret->secret, sizeof(ret->secret));

	if (n < 0)
		return (int)n;
	if (n == (ssize_t)sizeof(ret->secret))
		return 0;
	if (RAND_bytes(ret->secret, sizeof(ret->secret)) != 1)
		return -EIO;
	return write_secret(fd, ret->secret, sizeof(ret->secret));
}

static int
check_file(int fd, const char *path, char *why, size_t cap)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		int r = -errno;

		(void)snprintf(why, cap, "cannot look at %s: %s", path, strerror(-r));
		return r;
	}
	if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return 0;
	(void)snprintf(why, cap,
	    "%s must be a regular file of this user with mode 0600: others could claim our containers",
	    path);
	return -EPERM;
}

int
instance_open(struct instance *ret, const char *state_dir, char *why, size_t cap)
{
	SP_CLEANUP_FD int fd = -1;
	char path[4096];
	uint8_t id[32];
	int r;

	if (snprintf(path, sizeof(path), "%s/instance.key", state_dir) >= (int)sizeof(path)) {
		(void)snprintf(why, cap, "the path of the state directory is too long");
		return -ENAMETOOLONG;
	}
	r = trusted_place(path, why, cap);
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0) {
		r = -errno;
		(void)snprintf(why, cap, "cannot open %s: %s", path, strerror(errno));
		return r;
	}
	r = check_file(fd, path, why, cap);
	if (r < 0)
		return r;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = -errno;
		(void)snprintf(why, cap, "another broker is running with the state directory %s",
		    state_dir);
		return r;
	}
	r = read_or_make(fd, ret);
	if (r == 0)
		r = keyed_hash(ret, "id", id);
	if (r < 0) {
		(void)snprintf(why, cap, "cannot read or write %s: %s", path, strerror(-r));
		return r;
	}
	to_hex(id, INSTANCE_ID_LEN / 2, ret->id);
	ret->lock_fd = fd_steal(&fd);
	return 0;
}

int
instance_new_name(char out[INSTANCE_NAME_LEN + 1])
{
	uint8_t unique[8];

	if (RAND_bytes(unique, sizeof(unique)) != 1)
		return -EIO;
	strcpy(out, NAME_PREFIX);
	to_hex(unique, sizeof(unique), out + strlen(NAME_PREFIX));
	return 0;
}

int
instance_proof(const struct instance *i, const char *name, char out[INSTANCE_PROOF_LEN + 1])
{
	uint8_t proof[32];
	int r = keyed_hash(i, name, proof);

	if (r == 0)
		to_hex(proof, sizeof(proof), out);
	return r;
}

bool
instance_owns(const struct instance *i, const char *name, const char *label_id,
    const char *label_proof)
{
	char proof[INSTANCE_PROOF_LEN + 1];

	if (name == NULL || label_id == NULL || label_proof == NULL)
		return false;
	if (strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0 || strcmp(label_id, i->id) != 0)
		return false;
	if (instance_proof(i, name, proof) < 0)
		return false;
	return strlen(label_proof) == INSTANCE_PROOF_LEN &&
	    CRYPTO_memcmp(proof, label_proof, INSTANCE_PROOF_LEN) == 0;
}
