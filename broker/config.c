/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the broker's configuration, before any privilege goes. The file is the administrator's; nobody
 * else can have written it (read_file.h), and every value is checked all the same. Here are the defaults
 * and the whole; the tables of keys are in config_keys.c.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_priv.h"
#include "control_path.h"
#include "path.h"

#ifndef SP_WORKER_PATH
#define SP_WORKER_PATH "/usr/libexec/sallyport/sallyportd"
#endif
#ifndef SP_GUEST_DIR
#define SP_GUEST_DIR "/usr/libexec/sallyport/guest"
#endif

static const char *const default_listen[] = { "0.0.0.0:22", "[::]:22", NULL };
static const char *const default_host_keys[] = {
	"/etc/sallyport/host_ed25519_key",
	"/etc/sallyport/host_rsa_key",
	NULL,
};

/* A configuration together with its memory; config_free() finds one through the other. */
struct owned_config {
	struct config config; /* first */
	struct arena arena;
};

static const struct config defaults = {
	.listen = default_listen,
	.host_keys = default_host_keys,
	.engine = {
		.socket = "/var/run/docker.sock",
		.call_timeout_ms = 10 * SECOND,
		.start_timeout_ms = 60 * SECOND,
		.probe_interval_ms = 10 * SECOND,
		.starts = 4,
		.guest_dir = SP_GUEST_DIR,
	},
	.worker = {
		.program = SP_WORKER_PATH,
		.sandbox_required = true,
		.prespawn = 2,
		.memory = 256 * MIB,
	},
	.login = {
		.grace_ms = 120 * SECOND,
		.idle_ms = 20 * SECOND,
		.tries = 6,
		.banner = "",
		.keepalive_count = 3,
	},
	.limits = {
		.drain_ms = 10 * SECOND,
	},
	.admission = {
		.startups_start = 10,
		.startups_rate = 30,
		.startups_full = 100,
		.connections = 1000,
		.v4_bits = 32,
		.v6_bits = 64,
		.penalty_ms = {
			[ADMISSION_END_CRASH] = 90 * SECOND,
			[ADMISSION_END_AUTH_FAILED] = 5 * SECOND,
			[ADMISSION_END_DENIED] = 10 * SECOND,
			[ADMISSION_END_NO_AUTH] = 1 * SECOND,
			[ADMISSION_END_GRACE] = 10 * SECOND,
		},
		.penalty_min_ms = 15 * SECOND,
		.penalty_max_ms = 600 * SECOND,
		.penalty_sources = 65536,
	},
	.log_level = LOG_LEVEL_INFO,
	.audit = { .required = true },
	.runtime_dir = SP_RUNTIME_DIR,
	.state_dir = "/var/lib/sallyport",
};

static void
use_default_control(struct json_reader *r, const struct json_node *root)
{
	struct config *c = config_draft_of(r)->config;

	c->control.socket = arena_format(r->arena, "%s/" SP_CONTROL_NAME, c->runtime_dir);
	if (c->control.socket != NULL && strlen(c->control.socket) > UNIX_PATH_MAX)
		json_read_diag(r, DIAG_E_TOO_LONG, root, JSON_AT_VALUE,
		    "name another: \"control\": { \"socket\": ... }",
		    "\"runtime_dir\" is too long for the control socket in it: at most %zu bytes",
		    UNIX_PATH_MAX - sizeof("/" SP_CONTROL_NAME) + 1);
}

static int
read_document(const struct json_text *text, const char *directory, struct owned_config *owned,
    struct diag_list *diags)
{
	struct config_draft d = { .config = &owned->config, .directory = directory };
	struct json_reader r;

	owned->config = defaults;
	json_read_init(&r, diags, &owned->arena, &d);
	config_read_keys(&r, json_text_root(text));
	config_find_worker_user(&r, json_text_root(text));
	owned->config.engine.view_guest_dir =
	    d.view_guest_dir != NULL ? d.view_guest_dir : owned->config.engine.guest_dir;
	owned->config.engine.view_runtime_dir =
	    d.view_runtime_dir != NULL ? d.view_runtime_dir : owned->config.runtime_dir;
	if (owned->config.control.socket == NULL)
		use_default_control(&r, json_text_root(text));
	return json_read_finish(&r);
}

/* The directory of a file, absolute, from malloc; NULL with errno. */
static char *
directory_of(const char *path)
{
	char directory[PATH_MAX];

	path_directory(path, directory);
	return realpath(directory, NULL);
}

int
config_load(const char *path, struct config **ret, struct diag_list *diags)
{
	SP_CLEANUP(json_text_freep) struct json_text *text = NULL;
	struct owned_config *owned;
	char *directory;
	int r = json_text_load(path, "a configuration is far smaller: look whether this is one",
	    &text, diags);

	if (r != 0)
		return r < 0 ? r : CONFIG_E_INVALID;
	directory = directory_of(path);
	owned = calloc(1, sizeof(*owned));
	if (directory == NULL || owned == NULL)
		r = errno != 0 ? -errno : -ENOMEM;
	else
		r = read_document(text, directory, owned, diags);
	free(directory);
	if (r < 0)
		diag_add(diags, DIAG_E_FILE, path, 0, 0, 0, NULL, NULL, "%s", strerror(-r));
	if (r != 0) {
		if (owned != NULL)
			config_free(&owned->config);
		return r < 0 ? r : CONFIG_E_INVALID;
	}
	*ret = &owned->config;
	return 0;
}

bool
config_names_listen(const struct config *c)
{
	return c->listen != default_listen && c->listen[0] != NULL;
}

void
config_free(struct config *c)
{
	struct owned_config *owned;

	if (c == NULL)
		return;
	owned = (struct owned_config *)c;
	arena_clear(&owned->arena);
	free(owned);
}

void
config_freep(struct config **c)
{
	config_free(*c);
	*c = NULL;
}
