/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and directories of one SFTP session, by the handles that its client knows them by. */
#ifndef SP_SFTP_HANDLE_H
#define SP_SFTP_HANDLE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

#include "attr.h"
#include "wire.h"

#define SFTP_HANDLES_MAX 4096
#define SFTP_HANDLE_LEN  8 /* bytes on the wire */

struct sftp_handle {
	int fd;   /* -1: none; of a directory the one of dir */
	DIR *dir; /* NULL: a file */
	uint32_t serial;
	uint32_t next_free; /* index */
};

struct sftp_handles {
	struct sftp_handle slots[SFTP_HANDLES_MAX];
	uint32_t n_touched; /* slots from here on were never used */
	uint32_t first_free;
	uint32_t serial;
};

void sftp_handles_init(struct sftp_handles *hs);

/*
 * Take a file, or a directory (fd is then dir's own), under a new handle. NULL when there is no room:
 * both stay the caller's.
 */
SP_MUST_CHECK struct sftp_handle *sftp_handle_new(struct sftp_handles *hs, int fd, DIR *dir);

/* As its client names it: NULL for one that is closed or never was. */
struct sftp_handle *sftp_handle_find(struct sftp_handles *hs, struct wire_span name);

void sftp_handle_name(const struct sftp_handles *hs, const struct sftp_handle *h,
    uint8_t out[SFTP_HANDLE_LEN]);

/* 0 or -errno of close(2); it is closed in both cases. */
SP_MUST_CHECK int sftp_handle_close(struct sftp_handles *hs, struct sftp_handle *h);

void sftp_handles_close_all(struct sftp_handles *hs);

#endif
