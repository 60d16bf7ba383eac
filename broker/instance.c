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
#include "hex.h"
#include "log.h"
#include "path.h"
#include "read_file.h"

#define NAME_PREFIX "sallyport-"

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

/*
 * The secret is in two files, each of them with a hash by which a part, or something else, is told from the
 * whole: when one was cut or lost, the other one brings it back, and our containers are known again.
 */
static const char *const file_names[] = { "instance.key", "instance.copy" };
#define N_FILES SP_ARRAY_LEN(file_names)

struct secret_file {
	int fd;
	char path[4096];
	uint8_t text[INSTANCE_SECRET_LEN + 32 + 1]; /* secret, hash, and what must not be there */
	size_t n;
	bool whole;
};
#define TEXT_LEN (INSTANCE_SECRET_LEN + 32)

/* Fewer bytes than there is room for only at the end of the file. 0 or -errno. */
static int
read_text(struct secret_file *f)
{
	while (f->n < sizeof(f->text)) {
		ssize_t r = pread(f->fd, f->text + f->n, sizeof(f->text) - f->n, (off_t)f->n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		f->n += (size_t)r;
	}
	return 0;
}

static int
hash_of_secret(const uint8_t *secret, uint8_t out[32])
{
	struct instance i = { .lock_fd = -1 };
	int r;

	memcpy(i.secret, secret, sizeof(i.secret));
	r = keyed_hash(&i, "whole", out);
	OPENSSL_cleanse(i.secret, sizeof(i.secret));
	return r;
}

static int
look_at(struct secret_file *f)
{
	uint8_t hash[32];
	int r = read_text(f);

	if (r == 0)
		r = hash_of_secret(f->text, hash);
	f->whole = r == 0 && f->n == TEXT_LEN &&
	    CRYPTO_memcmp(hash, f->text + INSTANCE_SECRET_LEN, sizeof(hash)) == 0;
	return r;
}

static int
write_text(int fd, const uint8_t *text)
{
	size_t done = 0;

	while (done < TEXT_LEN) {
		ssize_t r = pwrite(fd, text + done, TEXT_LEN - done, (off_t)done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return ftruncate(fd, TEXT_LEN) < 0 || fsync(fd) < 0 ? -errno : 0;
}

/*
 * None is whole: the first start, or the machine died in it: then there is no container yet, since the first
 * one is made after the files were synced. Or both are damaged: whatever was made before is not ours any more.
 */
static int
make_secret(const struct secret_file files[N_FILES], uint8_t *secret)
{
	if (files[0].n > 0 || files[1].n > 0)
		log_warn("neither %s nor %s is whole: containers of earlier runs are not known "
			 "again, and are to be removed by hand; they have the label " INSTANCE_LABEL,
		    files[0].path, files[1].path);
	return RAND_bytes(secret, INSTANCE_SECRET_LEN) == 1 ? 0 : -EIO;
}

/* All files hold it afterwards. 0 or -errno, and *ret_path is the file that it is about. */
static int
read_or_make(struct secret_file files[N_FILES], uint8_t *secret, const char **ret_path)
{
	uint8_t text[TEXT_LEN];
	const struct secret_file *good = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < N_FILES; i++) {
		*ret_path = files[i].path;
		r = look_at(&files[i]);
		if (files[i].whole && good == NULL)
			good = &files[i];
	}
	if (r == 0 && good != NULL)
		memcpy(secret, good->text, INSTANCE_SECRET_LEN);
	else if (r == 0)
		r = make_secret(files, secret);
	memcpy(text, secret, INSTANCE_SECRET_LEN);
	if (r == 0)
		r = hash_of_secret(secret, text + INSTANCE_SECRET_LEN);
	for (size_t i = 0; r == 0 && i < N_FILES; i++) {
		*ret_path = files[i].path;
		if (files[i].n == TEXT_LEN && memcmp(files[i].text, text, TEXT_LEN) == 0)
			continue;
		if (good != NULL && files[i].n > 0)
			log_warn("%s was damaged: it is made anew from %s", files[i].path,
			    good->path);
		r = write_text(files[i].fd, text);
		if (r == 0)
			r = path_sync_directory(files[i].path);
		/* On a full disk for instance: one is enough to be who we are, and the next start tries again. */
		if (r < 0 && good != NULL) {
			log_warn("cannot write %s: %s: there is no copy should %s be damaged",
			    files[i].path, strerror(-r), good->path);
			r = 0;
		}
	}
	OPENSSL_cleanse(text, sizeof(text));
	return r;
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

static int
open_file(struct secret_file *f, const char *state_dir, const char *name, char *why, size_t cap)
{
	int r;

	if (snprintf(f->path, sizeof(f->path), "%s/%s", state_dir, name) >= (int)sizeof(f->path)) {
		(void)snprintf(why, cap, "the path of the state directory is too long");
		return -ENAMETOOLONG;
	}
	r = trusted_place(f->path, why, cap);
	if (r < 0)
		return r;
	f->fd = open(f->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (f->fd < 0) {
		r = -errno;
		(void)snprintf(why, cap, "cannot open %s: %s", f->path, strerror(errno));
		return r;
	}
	return check_file(f->fd, f->path, why, cap);
}

static int
open_files(struct secret_file files[N_FILES], const char *state_dir, char *why, size_t cap)
{
	for (size_t i = 0; i < N_FILES; i++) {
		int r = open_file(&files[i], state_dir, file_names[i], why, cap);

		if (r == 0 && i == 0 && flock(files[i].fd, LOCK_EX | LOCK_NB) < 0) {
			r = -errno;
			(void)snprintf(why, cap,
			    "another broker is running with the state directory %s", state_dir);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int
instance_open(struct instance *ret, const char *state_dir, char *why, size_t cap)
{
	struct secret_file files[N_FILES] = { { .fd = -1 }, { .fd = -1 } };
	const char *path = "";
	uint8_t id[32];
	int r = open_files(files, state_dir, why, cap);

	if (r == 0) {
		r = read_or_make(files, ret->secret, &path);
		if (r == 0)
			r = keyed_hash(ret, "id", id);
		if (r < 0)
			(void)snprintf(why, cap, "cannot read or write %s: %s", path, strerror(-r));
	}
	if (r == 0) {
		hex_format(id, INSTANCE_ID_LEN / 2, ret->id);
		ret->lock_fd = fd_steal(&files[0].fd);
	}
	for (size_t i = 0; i < N_FILES; i++) {
		OPENSSL_cleanse(files[i].text, sizeof(files[i].text));
		fd_close(&files[i].fd);
	}
	return r;
}

int
instance_new_name(char out[INSTANCE_NAME_LEN + 1])
{
	uint8_t unique[8];

	if (RAND_bytes(unique, sizeof(unique)) != 1)
		return -EIO;
	strcpy(out, NAME_PREFIX);
	hex_format(unique, sizeof(unique), out + strlen(NAME_PREFIX));
	return 0;
}

int
instance_proof(const struct instance *i, const char *name, char out[INSTANCE_PROOF_LEN + 1])
{
	uint8_t proof[32];
	int r = keyed_hash(i, name, proof);

	if (r == 0)
		hex_format(proof, sizeof(proof), out);
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
