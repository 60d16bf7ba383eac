/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by config.c, config_keys.c, config_values.c and config_worker.c; nobody else includes it. */
#ifndef SP_CONFIG_PRIV_H
#define SP_CONFIG_PRIV_H

#include <stddef.h>
#include <sys/un.h>

#include "config.h"
#include "json_read.h"

#define MIB           (UINT64_C(1) << 20)
#define SECOND        1000u
#define HOUR          (3600 * SECOND)
#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/* What the tables fill beyond struct config. */
struct config_draft {
	struct config *config;
	const char *directory;        /* of the file, absolute */
	const struct json_node *user; /* worker.user */
	const struct json_node *uids; /* worker.uids */
	const char *view_guest_dir;   /* engine.host_view */
	const char *view_runtime_dir;
};

static inline struct config_draft *
config_draft_of(const struct json_reader *r)
{
	return r->context;
}

/* ---- config_keys.c ---- */

/* The file itself, root: into the draft and its configuration. */
void config_read_keys(struct json_reader *r, const struct json_node *root);

/* ---- config_values.c: const char *, and const char *const * that are NULL-ended ---- */

json_read_fn config_read_path;          /* made absolute; max 0: as long as a path may be */
json_read_fn config_read_engine_socket; /* the same, and no URL */
json_read_fn config_read_foreign_path;  /* on another host */
json_read_fn config_read_host_keys;     /* paths and credentials */
json_read_fn config_read_listen;        /* "address:port" */

/* ---- config_worker.c ---- */

/* Whom the workers run as: what was read of it, held against this host, or what is usual. */
void config_find_worker_user(struct json_reader *r, const struct json_node *root);

#endif
