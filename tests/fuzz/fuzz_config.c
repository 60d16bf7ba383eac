/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's configuration file: a configuration within its bounds comes out, or messages do.
 *
 * Covers: config_load json_read_object json_read_u32 json_read_duration json_read_size
 * Covers: json_read_choice read_trusted_file
 * Floor: 34
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "fuzz.h"
#include "host_key.h"

static FILE *null;
static char directory[] = "/tmp/sp-fuzz-config-XXXXXX";
static char path[64];

static void
clean_up(void)
{
	(void)unlink(path);
	(void)rmdir(directory);
}

void
fuzz_setup(void)
{
	null = fopen("/dev/null", "we");
	FUZZ_CHECK(null != NULL && mkdtemp(directory) != NULL);
	(void)snprintf(path, sizeof(path), "%s/broker.json", directory);
	FUZZ_CHECK(atexit(clean_up) == 0);
}

static void
write_file(const uint8_t *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	(void)close(fd);
}

static void
check(const struct config *c)
{
	size_t n = 0;

	while (c->listen[n] != NULL)
		n++;
	FUZZ_CHECK(n <= CONFIG_LISTEN_MAX);
	FUZZ_CHECK(c->policy[0] == '/' && c->runtime_dir[0] == '/' && c->state_dir[0] == '/');
	FUZZ_CHECK(c->engine.socket[0] == '/' && c->engine.guest_dir[0] == '/');
	FUZZ_CHECK(c->engine.view_guest_dir[0] == '/' && c->engine.view_runtime_dir[0] == '/');
	FUZZ_CHECK(c->engine.starts >= 1 && c->engine.starts <= 64);
	FUZZ_CHECK(c->worker.program[0] == '/' && c->worker.prespawn <= 64);
	FUZZ_CHECK(geteuid() != 0 || c->worker.uid != 0);
	FUZZ_CHECK(c->login.tries >= 1 && c->admission.connections >= 1);
	FUZZ_CHECK(c->admission.startups_start >= 1 && c->admission.startups_rate >= 1 &&
	    c->admission.startups_rate <= 100 &&
	    c->admission.startups_start <= c->admission.startups_full);
	FUZZ_CHECK(c->admission.v4_bits >= 1 && c->admission.v4_bits <= 32 &&
	    c->admission.v6_bits >= 1 && c->admission.v6_bits <= 128);
	FUZZ_CHECK(c->admission.penalty_sources >= 1 &&
	    c->admission.penalty_min_ms <= c->admission.penalty_max_ms);
	for (const char *const *key = c->host_keys; *key != NULL; key++)
		FUZZ_CHECK((*key)[0] == '/' || host_key_credential(*key) != NULL);
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	SP_CLEANUP(config_freep) struct config *c = NULL;
	struct diag_list diags = DIAG_LIST_INIT;
	int r;

	write_file(data, len);
	r = config_load(path, &c, &diags);
	FUZZ_CHECK(r == 0 || r == CONFIG_E_INVALID);
	FUZZ_CHECK((r == 0) == (c != NULL) && (r == 0) == (diags.n_errors == 0));
	diag_print(&diags, null);
	diag_list_clear(&diags);
	if (r == 0)
		check(c);
}

void
fuzz_seeds(void)
{
	fuzz_seed_files("config/good", ".json", NULL, 0);
	fuzz_seed_files("config/bad", ".json", NULL, 0);
}
