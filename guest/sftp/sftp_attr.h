/* SPDX-License-Identifier: Apache-2.0 */
/* File attributes on the wire and in the file system, and the line that a listing shows of them. */
#ifndef SP_SFTP_ATTR_H
#define SP_SFTP_ATTR_H

#include <stdint.h>
#include <sys/stat.h>

#include "attr.h"
#include "wire.h"

#define SFTP_LONGNAME_MAX 1024

struct sftp_attr {
	uint32_t flags; /* which of the others are given: SFTP_ATTR_ */
	uint64_t size;
	uint32_t uid, gid;
	uint32_t permissions;
	uint32_t atime, mtime; /* seconds */
};

/* Sticky failure as in wire.h. Extended attributes are passed over. */
void sftp_attr_get(struct wire_reader *r, struct sftp_attr *ret);
void sftp_attr_put(struct wire_writer *w, const struct stat *st);
/* None at all: where a reply has to carry some and there are none. */
void sftp_attr_put_none(struct wire_writer *w);

/*
 * Set what is given, each on its own: the later ones are tried also when an earlier one failed, as
 * OpenSSH does it. Returns the last failure as -errno, or 0.
 */
SP_MUST_CHECK int sftp_attr_set(const char *path, const struct sftp_attr *a);
SP_MUST_CHECK int sftp_attr_set_fd(int fd, const struct sftp_attr *a);
/* The same on a symbolic link itself. A size is -EINVAL and nothing is done. */
SP_MUST_CHECK int sftp_attr_set_link(const char *path, const struct sftp_attr *a);

/* "-rw-r--r--    1 dev      dev          1234 Jan  1 12:00 name", as OpenSSH's ls_file(). */
void sftp_longname(char out[SFTP_LONGNAME_MAX], const char *name, const struct stat *st);

#endif
